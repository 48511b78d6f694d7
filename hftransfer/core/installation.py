"""What is installed, found and free here: packages and extras, caches, token, accelerators. Torch is imported for the
last alone."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterable
from pathlib import Path

from hftransfer.core import machine
from hftransfer.core.plugins import Record

DISTRIBUTION = "hftransfer-recipes"
# Made by a command of its own, in an environment of its own.
_SEPARATE = {"optimum": "hftransfer setup-optimum"}


class Extra(Record):
    """A group of optional packages, or the required ones."""

    name: str
    """`required` for those that every command may need."""
    lacks: list[str]
    """Packages that are missing or of another version, each with the version that is asked for."""
    command: str | None = None
    """What installs them; None where nothing is lacking."""


class Cache(Record):
    """A folder that fills by itself."""

    name: str
    path: str
    bytes: int
    """Size of its files; 0 where it is not there yet."""


class Installation(Record):
    """What a run will find here."""

    versions: dict[str, str]
    """Package -> version, and `python`."""
    lane: str
    """The line of Transformers, and how models are exported with it."""
    extras: list[Extra]
    optimum: str | None
    """The Python that has Optimum; None where there is none."""
    caches: list[Cache]
    free_bytes: int
    """Of the disk of the working directory."""
    token: str | None
    """Where a token of the Hub comes from, never the token; None where there is none."""
    offline: bool
    """Whether HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set."""
    processor: str
    memory_bytes: int
    accelerators: list[str]
    """Names as torch has them, with their memory."""


def installation(optimum: str | None) -> Installation:
    """Look at this environment; `optimum` is the Python that has Optimum, where one does."""
    from huggingface_hub import constants

    versions = machine.versions()
    datasets_cache = Path(os.environ.get("HF_DATASETS_CACHE") or Path(constants.HF_HOME) / "datasets")
    caches = {
        "checkpoints and data of the Hub": Path(constants.HF_HUB_CACHE),
        "data sets": datasets_cache,
        "samples": datasets_cache / "hftransfer",
    }
    return Installation(
        versions=versions,
        lane=_lane(versions.get("transformers", "")),
        extras=_extras(optimum),
        optimum=optimum,
        caches=[Cache(name=name, path=str(path), bytes=_size(path)) for name, path in caches.items()],
        free_bytes=shutil.disk_usage(".").free,
        token=_token(),
        offline=constants.HF_HUB_OFFLINE,
        processor=f"{machine.processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        accelerators=_accelerators(),
    )


def _lane(transformers: str) -> str:
    if transformers.startswith("4."):
        return "Transformers 4: Optimum exports in this environment"
    return "Transformers 5: its own exporters, and Optimum in an environment of its own for models that generate"


def _extras(optimum: str | None) -> list[Extra]:
    """The required packages, then the extras, each with what it lacks."""
    from packaging.requirements import Requirement

    wanted: dict[str, list[Requirement]] = {"required": []}
    names = importlib.metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    wanted |= {name: [] for name in names}
    for text in importlib.metadata.requires(DISTRIBUTION) or []:
        requirement = Requirement(text)
        groups = [name for name in wanted if name != "required" and is_for(requirement, name)]
        for name in ["required"] if is_for(requirement, "") else groups:
            wanted[name].append(requirement)
    extras = []
    for name, requirements in wanted.items():
        separate = name in _SEPARATE and optimum is not None
        lacks = [] if separate else [str(one).partition(";")[0] for one in requirements if not _is_installed(one)]
        bracket = "" if name == "required" else f"[{name}]"
        command = _SEPARATE.get(name, f"pip install '{DISTRIBUTION}{bracket}'")
        extras.append(Extra(name=name, lacks=lacks, command=command if lacks else None))
    return extras


def this_version(extras: Iterable[str]) -> str:
    """What pip installs of this version: `hftransfer-recipes[onnx,text]==0.1.0`."""
    names = ",".join(sorted(extras))
    return f"{DISTRIBUTION}{f'[{names}]' if names else ''}=={importlib.metadata.version(DISTRIBUTION)}"


def is_for(requirement: object, extra: str) -> bool:
    """Whether a requirement holds here with an extra; with the extra "" whether it holds without any."""
    marker = getattr(requirement, "marker", None)
    return marker is None or bool(marker.evaluate({"extra": extra}))


def _is_installed(requirement: object) -> bool:
    name, versions = getattr(requirement, "name", ""), getattr(requirement, "specifier", None)
    try:
        installed = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return versions is None or versions.contains(installed, prereleases=True)


def _size(folder: Path) -> int:
    """The bytes of the files below a folder, each once: the Hub's cache links to them."""
    files = (Path(root) / name for root, _, names in os.walk(folder) for name in names)
    return sum(file.lstat().st_size for file in files if not file.is_symlink() and file.exists())


def _token() -> str | None:
    from huggingface_hub import constants, get_token

    if get_token() is None:
        return None
    named = [name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name)]
    return named[0] if named else constants.HF_TOKEN_PATH


def _accelerators() -> list[str]:
    import torch

    found = []
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        found.append(f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        found.append("Apple GPU (MPS)")
    return found
