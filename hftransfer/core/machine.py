"""What a run ran on: hardware, versions, memory."""

import ctypes
import importlib.metadata
import os
import platform
import re
import resource
import sys
from pathlib import Path

from hftransfer import __version__

_PACKAGES = (
    "torch",
    "transformers",
    "datasets",
    "evaluate",
    "accelerate",
    "peft",
    "optimum",
    "optimum-onnx",
    "onnxruntime",
    "optimum-intel",
    "openvino",
    "nncf",
)
# The numbers of mallopt's parameters in malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def hardware() -> str:
    """Processor, cores, and the accelerators that torch sees."""
    import torch

    info = Path("/proc/cpuinfo")
    names = [n for n in info.read_text().splitlines() if n.startswith("model name")] if info.is_file() else []
    cpu = names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
    parts = [f"{cpu}, {os.cpu_count()} cores"]
    parts += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return "; ".join(parts)


def has_flag(*flags: str) -> bool:
    """Whether Linux tells of the processor that it has one of these instructions."""
    info = Path("/proc/cpuinfo")
    return info.is_file() and any(flag in info.read_text() for flag in flags)


def instructions() -> str:
    """The instructions that integers are multiplied with here, as `export.target` names them."""
    if platform.machine() in ("arm64", "aarch64"):
        return "arm64"
    return "avx512_vnni" if has_flag("_vnni") else "avx2"


def versions() -> dict[str, str]:
    """Package -> version, of those that are installed and shape a result."""
    found = {"python": platform.python_version(), "hftransfer": __version__}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes.

    Linux has it in /proc/self/status (proc(5), VmHWM); what getrusage tells there is never less than the peak of the
    process that started this one. Elsewhere getrusage, in KiB but for macOS.
    """
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.is_file() else None
    if found:
        return int(found[1]) * 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def keep_freed_memory() -> None:
    """Have the GNU C library keep what is freed for the next step; anywhere else, nothing.

    By default every tensor over 32 MiB is mapped anew and returned to the kernel at once, which then clears it page
    by page: at 8 rows of 512 tokens, a third of a training step of MiniLM on a CPU. M_MMAP_MAX = 0 and
    M_TRIM_THRESHOLD = -1 are said in mallopt(3).
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)
