"""Files of Debian packages: the installed ones, else downloaded by apt and unpacked into the cache, without root."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hftransfer.core.errors import SampleError
from hftransfer.samples._cache import announce, cached_folder, megabytes, refuse_offline

_QUICKLY = ("-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10", "-o", "Acquire::https::Timeout=10")


@dataclass(frozen=True)
class DebianPackage:
    """A package of Debian and of Ubuntu."""

    name: str
    size: int
    """Bytes of the .deb."""
    shows: str
    """A file or folder, as a path below the root, that is there where the package is installed."""

    def root(self, sample: str, installed: Path = Path("/")) -> Path:
        """The folder below which the package's files lie: the root of the system, or a folder of the cache.

        Args:
            sample: the name of the sample that needs them, for messages.
            installed: where an installed package lies.

        Raises:
            SampleError: it is not installed, and apt cannot fetch it.
        """
        if (installed / self.shows).exists():
            return installed
        return cached_folder(f"debian/{self.name}", lambda folder: self._unpack(folder, sample))

    def path(self, sample: str) -> Path:
        """Where the file or folder that shows the package lies.

        Raises:
            SampleError: as `root`.
        """
        return self.root(sample) / self.shows

    def _unpack(self, folder: Path, sample: str) -> None:
        needs = f"sample '{sample}' needs the Debian package {self.name} ({megabytes(self.size)})"
        command = f"apt-get install {self.name}"
        refuse_offline(needs)
        apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
        if apt is None or dpkg is None:
            raise SampleError(f"{needs}; on Debian or Ubuntu: {command}")
        announce(f"{needs}: apt-get downloads it once, and it is unpacked into {folder.parent}")
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            answer = subprocess.run([apt, *_QUICKLY, "download", self.name], cwd=place, capture_output=True, text=True)
            files = list(Path(place).glob("*.deb"))
            if answer.returncode or not files:
                errors = [line[3:] for line in answer.stderr.splitlines() if line.startswith("E: ")] or ["no answer"]
                raise SampleError(f"{needs}, and apt-get cannot download it ({errors[0]}): {command}")
            unpacked = subprocess.run([dpkg, "-x", str(files[0]), str(folder)], capture_output=True, text=True)
        if unpacked.returncode or not (folder / self.shows).exists():
            raise SampleError(f"{needs}, and what apt-get has downloaded holds no {self.shows}: {command}")


TUXPAINT_STAMPS = DebianPackage("tuxpaint-stamps-default", 160_880_444, "usr/share/tuxpaint/stamps")
"""Photographs with alpha, their descriptions in many languages, and recordings of them (GPL-2)."""
