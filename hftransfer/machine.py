"""What a run ran on: hardware, versions, memory."""

import importlib.metadata
import os
import platform
import resource
import sys
from pathlib import Path

_PACKAGES = (
    "hftransfer",
    "torch",
    "transformers",
    "datasets",
    "evaluate",
    "accelerate",
    "peft",
    "optimum",
    "optimum-onnx",
    "onnxruntime",
)


def hardware() -> str:
    """Processor, cores, and the accelerators that torch sees."""
    import torch

    info = Path("/proc/cpuinfo")
    names = [n for n in info.read_text().splitlines() if n.startswith("model name")] if info.is_file() else []
    cpu = names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
    parts = [f"{cpu}, {os.cpu_count()} cores"]
    parts += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return "; ".join(parts)


def versions() -> dict[str, str]:
    """Package -> version, of those that are installed and shape a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes (getrusage: KiB on Linux, bytes on macOS)."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
