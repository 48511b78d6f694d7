"""The test rows under conditions that the training did not show: noise, blur, typos, another speed.

Strengths are the middle ones of ImageNet-C where it has them (Hendrycks and Dietterich 2019,
https://arxiv.org/abs/1903.12261, severity 3).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core import media
from hftransfer.core.errors import RecipeError
from hftransfer.core.plugins import nearest
from hftransfer.core.variants import corrupted_split
from hftransfer.tasks import Task
from hftransfer.tasks._image_input import ImageInput

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image

    Draw = np.random.Generator


def _image_noise(image: Image, draw: Draw) -> Image:
    """Gaussian, of a deviation of 0.18 of the full scale."""
    pixels = np.asarray(image, dtype=float)
    return _image(pixels + draw.normal(0, 0.18 * 255, pixels.shape))


def _blur(image: Image, _draw: Draw) -> Image:
    """Gaussian, of a deviation of a fiftieth of the shorter side, at least a pixel."""
    from PIL import ImageFilter

    return image.filter(ImageFilter.GaussianBlur(max(1.0, min(image.size) / 50)))


def _contrast(image: Image, _draw: Draw) -> Image:
    """Pulled to the mean, 0.2 of the contrast left."""
    pixels = np.asarray(image, dtype=float)
    return _image(pixels.mean() + 0.2 * (pixels - pixels.mean()))


def _jpeg(image: Image, _draw: Draw) -> Image:
    """Quality 15 of 100."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=15)
    return media.open_image(buffer.getvalue())


def _image(pixels: np.ndarray) -> Image:
    from PIL import Image

    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def _typos(text: str, draw: Draw) -> str:
    """Every tenth word has two neighbouring letters the other way round."""

    def typo(word: str) -> str:
        if len(word) < 3 or draw.random() > 0.1:
            return word
        place = int(draw.integers(0, len(word) - 1))
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]

    return " ".join(map(typo, text.split(" ")))


def _casing(text: str, _draw: Draw) -> str:
    """Capitals alone."""
    return text.upper()


def _audio_noise(samples: np.ndarray, _rate: int, draw: Draw) -> np.ndarray:
    """White, 10 dB below the recording."""
    return samples + draw.normal(0, samples.std() * 10**-0.5, len(samples))


def _speed(samples: np.ndarray, _rate: int, _draw: Draw) -> np.ndarray:
    """A fifth faster, and higher by as much."""
    return media.resample(samples.astype(np.float32), 6, 5)


def _reverb(samples: np.ndarray, rate: int, draw: Draw) -> np.ndarray:
    """A room whose echo has fallen by 60 dB after 0.4 s, as decaying noise."""
    count = round(0.4 * rate)
    room = draw.normal(0, 1, count) * 10 ** (-3 * np.arange(count) / count)
    room[0] = 1 + np.abs(room).sum() / 20
    size = len(samples) + count
    heard = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(room, size), size)[: len(samples)]
    return np.asarray(heard * samples.std() / (heard.std() or 1))


def _heard(change: Callable[[np.ndarray, int, Draw], np.ndarray]) -> Callable[[Any, Draw], Any]:
    """The same for the cell of a recording."""

    def of_cell(cell: Any, draw: Draw) -> Any:
        import soundfile

        samples, rate = media.open_audio(media.location(cell))
        buffer = io.BytesIO()
        changed = change(samples, rate, draw)
        soundfile.write(buffer, changed / max(1.0, np.abs(changed).max()), rate, format="WAV", subtype="FLOAT")
        return {"bytes": buffer.getvalue(), "path": None}

    return of_cell


def _each(change: Callable[[str, Draw], str]) -> Callable[[list[str], Draw], list[str]]:
    return lambda words, draw: [change(word, draw) for word in words]


# Feature type -> corruption -> what it makes of a cell.
_CORRUPTIONS: dict[str, dict[str, Callable[[Any, Draw], Any]]] = {
    "image": {"noise": _image_noise, "blur": _blur, "contrast": _contrast, "jpeg": _jpeg},
    "text": {"typos": _typos, "casing": _casing},
    "words": {"typos": _each(_typos), "casing": _each(_casing)},
    "audio": {"noise": _heard(_audio_noise), "speed": _heard(_speed), "reverb": _heard(_reverb)},
}


def as_read(task: Task, cell: Any) -> Any:
    """The cell of a row, an image as the model sees it."""
    from PIL.Image import Image

    if not isinstance(cell, Image):
        return cell
    return task.rgb(cell) if isinstance(task, ImageInput) else media.rgb(cell)


def check_corruptions(task: Task, names: Iterable[str]) -> None:
    """Make sure that every name is a corruption of one of the task's inputs.

    Raises:
        RecipeError: it is not.
    """
    known = {name for feature in _inputs(task).values() for name in _CORRUPTIONS[feature]} - {*task.refused_corruptions}
    for name in names:
        if name not in known:
            raise RecipeError(
                f"evaluation.corruptions: '{task.name}' has no corruption '{name}'; {nearest(name, known)}"
            )


def _inputs(task: Task) -> dict[str, str]:
    """Role -> feature type of the inputs that can be corrupted."""
    return {role: feature.name for role, feature in task.inputs.items() if feature.name in _CORRUPTIONS}


def corrupted(task: Task, rows: Dataset, names: Iterable[str], seed: int) -> dict[str, Dataset]:
    """`test-NAME` -> the test rows under the corruption; the random draws of a row depend on seed and row alone."""
    inputs = {role: feature for role, feature in _inputs(task).items() if role in rows.column_names}

    def under(name: str) -> Dataset:
        changes = {role: _CORRUPTIONS[it][name] for role, it in inputs.items() if name in _CORRUPTIONS[it]}

        def corrupt(row: dict[str, Any], number: int) -> dict[str, Any]:
            rng = np.random.default_rng((seed, number))
            return {role: change(as_read(task, row[role]), rng) for role, change in changes.items()}

        return rows.map(corrupt, with_indices=True, features=rows.features, load_from_cache_file=False, desc=name)

    return {corrupted_split(name): under(name) for name in names}
