"""The descriptions of the stamps of Tux Paint: a sentence in many languages, in some of them recorded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hftransfer.samples._debian import TUXPAINT_STAMPS

_LINE = re.compile(r"([\w@]+)\.utf8=(.*)")
_RECORDING = re.compile(r"(.+)_desc(?:_([a-z]+))?")


@dataclass(frozen=True)
class Description:
    """What the texts and the recordings of a stamp say."""

    stamp: str
    """Its path without ending, such as `animals/birds/hen`."""
    texts: dict[str, str]
    """Code of the language, as gettext writes it (`pt_BR`), -> sentence; `en` comes first."""
    recordings: dict[str, Path]
    """Code of the language -> OGG file."""


def descriptions(sample: str) -> Iterator[Description]:
    """Of every stamp, in the order of the paths.

    Raises:
        SampleError: the package cannot be had.
    """
    folder = TUXPAINT_STAMPS.path(sample)
    recordings: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.rglob("*.ogg")):
        match = _RECORDING.fullmatch(path.stem)
        if match and path.stat().st_size:
            stamp = path.with_name(match[1]).relative_to(folder).as_posix()
            recordings.setdefault(stamp, {})[match[2] or "en"] = path
    for path in sorted(folder.rglob("*.txt")):
        stamp = path.with_suffix("").relative_to(folder).as_posix()
        yield Description(stamp, _texts(path.read_text(encoding="utf-8", errors="replace")), recordings.get(stamp, {}))


def _texts(content: str) -> dict[str, str]:
    """Language -> sentence; the first line is English, and has no code."""
    english, *lines = content.splitlines() or [""]
    texts = {"en": " ".join(english.split())} if english.strip() else {}
    for match in filter(None, map(_LINE.fullmatch, lines)):
        if sentence := " ".join(match[2].split()):
            texts.setdefault(match[1], sentence)
    return texts
