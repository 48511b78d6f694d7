"""The files of a folder at any depth: what can be read, without what operating systems and notebooks leave there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from hftransfer.data.normal_form import nfc

_SYSTEM = frozenset(
    ("__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "$recycle.bin")
    + ("system volume information", "lost+found")
)
_DOCUMENTS = frozenset(("readme", "license", "licence", "copying", "citation", "changelog", "dataset_infos"))
# Pillow knows these by their first bytes, and has no decoder for them, or only with another program.
_WITHOUT_DECODER = frozenset(("BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"))
# Of the formats of libsndfile, which itself names no endings.
_RECORDINGS = frozenset(
    (".aif", ".aifc", ".aiff", ".au", ".avr", ".caf", ".flac", ".htk", ".iff", ".mp1", ".mp2", ".mp3", ".mpga", ".nist")
    + (".oga", ".ogg", ".opus", ".paf", ".pvf", ".rf64", ".sd2", ".sds", ".sf", ".snd", ".sph", ".svx", ".voc", ".w64")
    + (".wav", ".wave", ".wve", ".xi")
)
_TEXTS = frozenset((".txt", ".text"))
# Bytes of a text, none of which is 0.
_START = 1000


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is not the user's: `.ipynb_checkpoints`, `__MACOSX`, `Thumbs.db`."""
    return name.startswith((".", "~$")) or name.lower() in _SYSTEM


def is_document(file: Path) -> bool:
    """Whether a file is about the data, as a README or a license."""
    return file.stem.lower() in _DOCUMENTS


def visible(folder: Path) -> list[Path]:
    """The files and folders in a folder that are not hidden, sorted."""
    return [path for path in sorted(folder.iterdir()) if not is_hidden(path.name)]


def files_below(folder: Path) -> list[Path]:
    """All files below a folder that are not hidden, sorted; links are followed once."""
    return sorted(_walk(folder))


def _walk(folder: Path) -> Iterator[Path]:
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not is_hidden(name)]
        yield from (Path(place, name) for name in files if not is_hidden(name))


@dataclass(frozen=True)
class Media:
    """Images, recordings or texts: which files hold them."""

    column: str
    plural: str
    decoder: str
    """The library that reads them."""
    usual: str
    """Endings that it reads, to which others can be converted."""

    def includes(self, file: Path) -> bool:
        """Whether a file can be read, by its ending; by its first bytes where it has none."""
        suffix = file.suffix.lower()
        suffixes, is_one = _TESTS[self.column]
        return suffix in suffixes() if any(letter.isalpha() for letter in suffix) else is_one(file)

    def below(self, folder: Path) -> list[Path]:
        """All files below a folder that can be read."""
        return [file for file in files_below(folder) if self.includes(file)]


IMAGES = Media("image", "images", "Pillow", ".jpg, .png and others")
RECORDINGS = Media("audio", "recordings", "libsndfile", ".wav, .flac and others")
TEXTS = Media("text", "texts", "this source", ".txt")


@cache
def _image_suffixes() -> frozenset[str]:
    from PIL import Image

    formats = Image.registered_extensions()
    return frozenset(it for it, name in formats.items() if name in Image.OPEN and name not in _WITHOUT_DECODER)


def _is_image(file: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return image.format not in _WITHOUT_DECODER
    except (OSError, SyntaxError, ValueError):
        return False
    except Image.DecompressionBombError:
        return True


def _is_recording(file: Path) -> bool:
    import soundfile

    try:
        soundfile.info(str(file))
    except soundfile.LibsndfileError:
        return False
    return True


def _is_text(file: Path) -> bool:
    with file.open("rb") as stream:
        start = stream.read(_START)
    return bool(start) and b"\0" not in start


# Column of a medium -> its endings, and what looks into a file without one.
_TESTS: dict[str, tuple[Callable[[], frozenset[str]], Callable[[Path], bool]]] = {
    "image": (_image_suffixes, _is_image),
    "audio": (lambda: _RECORDINGS, _is_recording),
    "text": (lambda: _TEXTS, _is_text),
}


def endings(files: Iterable[Path]) -> str:
    """How many files there are of each ending, the most frequent first: `40 .heic, 3 .txt`."""
    counts = Counter(file.suffix.lower() or "without an ending" for file in files).most_common()
    shown = [f"{count:,} {suffix}" for suffix, count in counts[:6]]
    return ", ".join([*shown, f"{sum(count for _, count in counts[6:]):,} others"] if counts[6:] else shown)


def _key(name: str) -> str:
    """Equal for names that differ by their Unicode form or by case alone."""
    return nfc(name).casefold()


class Finder:
    """Finds files of a folder by the names that tables give them: from another folder, system or Unicode form."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for file in files:
            self._by_name.setdefault(_key(file.name), []).append(file)
            self._by_stem.setdefault(_key(file.stem), []).append(file)

    def find(self, name: str, base: Path) -> Path | None:
        """The file with this path from `base` on, else the one file whose path ends most alike; None where several do.

        Args:
            name: a path, with slashes or backslashes.
            base: the folder from which it counts.
        """
        for written in dict.fromkeys((name, name.replace("\\", "/"))):
            if (base / written).is_file():
                return base / written
        parts = [_key(part) for part in PurePosixPath(name.replace("\\", "/")).parts]
        return _most_alike(self._by_name.get(parts[-1], []), parts[:-1], base) if parts else None

    def find_stem(self, stem: str, base: Path) -> Path | None:
        """The one file with this name before its ending, the nearest to `base`; None where several are."""
        return _most_alike(self._by_stem.get(_key(stem), []), [], base)


def _most_alike(files: list[Path], parts: list[str], base: Path) -> Path | None:
    """The file whose folders are most like `parts` from the end, then the one nearest to `base`."""

    def likeness(file: Path) -> tuple[int, int]:
        folders = [_key(part) for part in file.parts[:-1]]
        alike = 0
        while alike < min(len(parts), len(folders)) and parts[-1 - alike] == folders[-1 - alike]:
            alike += 1
        return alike, len(os.path.commonpath([file, base]))

    best = max(map(likeness, files), default=None)
    found = [file for file in files if likeness(file) == best]
    return found[0] if len(found) == 1 else None
