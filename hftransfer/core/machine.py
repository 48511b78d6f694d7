"""The machine and software of a run: hardware, package versions, memory."""

import ctypes
import importlib.metadata
import os
import platform
import re
import resource
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_PACKAGES = (
    "hftransfer-recipes",
    "torch",
    "transformers",
    "datasets",
    "evaluate",
    "accelerate",
    "peft",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "openvino",
    "nncf",
    "optimum-onnx",
    "optimum-intel",
)
# To look for a file among thousands that are mapped takes longer than to leave so many bytes in memory.
_WORTH_RELEASING = 4_000_000
BF16_FLAGS = ("avx512_bf16", "amx_bf16", " bf16")
"""CPU flags of arithmetic in bf16, as /proc/cpuinfo lists them."""
# Parameters of mallopt(3), from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
# Of madvise(2), from mman.h.
_MADV_DONTNEED = 4


def hardware() -> str:
    """Processor, number of cores, and the GPUs that torch sees, in words."""
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return "; ".join([f"{processor()}, {os.cpu_count()} cores", *gpus])


def processor() -> str:
    """The name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def usable_cores() -> int:
    """The cores on which this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_flag(*flags: str) -> bool:
    """Whether Linux lists one of these CPU flags in /proc/cpuinfo (avx2, _vnni); matched as parts of the text."""
    info = Path("/proc/cpuinfo")
    return info.is_file() and any(flag in info.read_text() for flag in flags)


def instructions() -> str:
    """This machine's instruction set for products of int8, as `export.target` names it."""
    if platform.machine() in ("arm64", "aarch64"):
        return "arm64"
    return "avx512_vnni" if has_flag("_vnni") else "avx2"


def versions() -> dict[str, str]:
    """Package -> version, of the installed packages that influence a result."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    installed = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def peak_memory() -> int:
    """Largest resident set of this process so far, in bytes.

    On Linux VmHWM of /proc/self/status, proc(5): getrusage would report at least the peak of the parent process.
    Elsewhere ru_maxrss of getrusage, which is in KiB, on macOS in bytes.
    """
    if (peak := _proc_bytes("/proc/self/status", "VmHWM")) is not None:
        return peak
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def available_memory() -> int | None:
    """Bytes that this process can still have without swapping: MemAvailable of /proc/meminfo, proc(5).

    None where there is no such file, as outside of Linux.
    """
    return _proc_bytes("/proc/meminfo", "MemAvailable")


def _proc_bytes(file: str, name: str) -> int | None:
    """What Linux tells of a memory in a file of /proc, in bytes; None where there is no such file or line."""
    path = Path(file)
    match = re.search(rf"{name}:\s*(\d+) kB", path.read_text()) if path.is_file() else None
    return int(match[1]) * 1024 if match else None


@cache
def keep_freed_memory() -> None:
    """Let the GNU C library reuse freed memory for the next batch; with other C libraries, do nothing.

    By default it maps every tensor over 32 MiB separately and returns it to the kernel at once, which then clears each
    page: a third of the time of a training step of MiniLM on a CPU, with 8 rows of 512 tokens, and a tenth of the time
    in which it reads 32 rows of 80 tokens. mallopt(3) documents M_MMAP_MAX = 0 (never map separately) and
    M_TRIM_THRESHOLD = -1 (never return memory).
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)


def release_pages(files: Iterable[str]) -> None:
    """Give back the memory of what was read from mapped files; the kernel reads them again where needed.

    A pass over all rows would otherwise leave the whole file in the memory of this process. On Linux, where
    /proc/self/maps lists what is mapped; elsewhere, and for small files, nothing is done.
    """
    maps = Path("/proc/self/maps")
    mapped = {os.path.realpath(file) for file in files if Path(file).stat().st_size >= _WORTH_RELEASING}
    if not mapped or not maps.is_file():
        return
    libc = ctypes.CDLL(None)
    for line in maps.read_text().splitlines():
        span, permissions, *_, file = line.split(maxsplit=5) if line.count("/") else ("", "", "")
        # Of a file that is only read, which has the same content when it is read again.
        if file in mapped and permissions.startswith("r-"):
            start, end = (int(address, 16) for address in span.split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)
