"""Training rows as no two epochs see them alike: changed after they are encoded, so that nothing is encoded twice.

What an operation needs to know stands in the encoded row; which of them keep the label is said here by task. Mirroring
is in no preset, since a mirrored digit, letter or traffic sign is another one; `task.flip` and `task.crop` of the tasks
on images are told for themselves.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from hftransfer.core.errors import RecipeError
from hftransfer.core.plugins import nearest
from hftransfer.data.encode import Augment
from hftransfer.data.mixup import INPUTS, MIXES
from hftransfer.tasks import Task

Draw = np.random.Generator
Change = Callable[[np.ndarray, Draw], np.ndarray]


def _shift(pixels: np.ndarray, draw: Draw) -> np.ndarray:
    """Up to a tenth of the side each way; what comes in is the edge's colour."""
    from scipy.ndimage import shift

    _, height, width = pixels.shape
    down, right = (int(draw.integers(-side // 10, side // 10 + 1)) for side in (height, width))
    return np.asarray(shift(pixels, (0, down, right), order=0, mode="nearest"))


def _rotate(pixels: np.ndarray, draw: Draw) -> np.ndarray:
    """Up to 15 degrees each way."""
    from scipy.ndimage import rotate

    angle = float(draw.uniform(-15, 15))
    return np.asarray(rotate(pixels, angle, axes=(1, 2), reshape=False, order=1, mode="nearest"))


def _brightness(pixels: np.ndarray, draw: Draw) -> np.ndarray:
    """Up to a fifth of the image's range each way."""
    return np.asarray(pixels + draw.uniform(-0.2, 0.2) * np.ptp(pixels))


def _contrast(pixels: np.ndarray, draw: Draw) -> np.ndarray:
    """From 0.7 to 1.3 of its contrast."""
    return np.asarray(pixels.mean() + draw.uniform(0.7, 1.3) * (pixels - pixels.mean()))


def _erase(pixels: np.ndarray, draw: Draw) -> np.ndarray:
    """A rectangle of a quarter of each side becomes the image's mean (Zhong et al. 2020, arXiv:1708.04896)."""
    _, height, width = pixels.shape
    high, wide = max(1, height // 4), max(1, width // 4)
    top, left = draw.integers(0, height - high + 1), draw.integers(0, width - wide + 1)
    changed = pixels.copy()
    changed[:, top : top + high, left : left + wide] = pixels.mean()
    return changed


def _gain(samples: np.ndarray, draw: Draw) -> np.ndarray:
    """Up to 6 dB louder or softer; a spectrogram has its logarithms, and stays."""
    return samples if samples.ndim > 1 else np.asarray(samples * 10 ** (draw.uniform(-6, 6) / 20))


def _noise(samples: np.ndarray, draw: Draw) -> np.ndarray:
    """White, 15 to 30 dB below the recording."""
    return np.asarray(samples + samples.std() * 10 ** (-draw.uniform(15, 30) / 20) * draw.normal(0, 1, samples.shape))


def _time_mask(samples: np.ndarray, draw: Draw) -> np.ndarray:
    """Up to a tenth of the time becomes the mean (SpecAugment, Park et al. 2019, arXiv:1904.08779)."""
    return _masked(samples, int(np.argmax(samples.shape)), draw)


def _bin_mask(features: np.ndarray, draw: Draw) -> np.ndarray:
    """Likewise up to a tenth of the bins of a spectrogram; a waveform has none."""
    # Whisper's bins come first, AST's last; there are fewer of them than frames.
    return _masked(features, int(np.argmin(features.shape)), draw) if features.ndim > 1 else features


def _masked(array: np.ndarray, axis: int, draw: Draw) -> np.ndarray:
    size = array.shape[axis]
    wide = int(draw.integers(0, size // 10 + 1))
    start = int(draw.integers(0, size - wide + 1))
    changed = array.copy()
    changed[(slice(None),) * axis + (slice(start, start + wide),)] = array.mean()
    return changed


def _word_dropout(free: np.ndarray, draw: Draw) -> np.ndarray:
    """Every tenth token goes (Iyyer et al. 2015, aclanthology.org/P15-1162)."""
    return np.flatnonzero(~free | (draw.random(len(free)) >= 0.1))


def _swap(free: np.ndarray, draw: Draw) -> np.ndarray:
    """Two neighbouring tokens change places, one pair of twenty (EDA, Wei and Zou 2019, arXiv:1901.11196)."""
    places = np.arange(len(free))
    for place in np.flatnonzero(free[:-1] & free[1:]):
        if draw.random() < 0.05:
            places[[place, place + 1]] = places[[place + 1, place]]
    return places


_COLOURS: dict[str, Change] = {"brightness": _brightness, "contrast": _contrast}
_PLACES: dict[str, Change] = {"shift": _shift, "rotate": _rotate, "erase": _erase}
_SOUNDS: dict[str, Change] = {"gain": _gain, "noise": _noise, "time_mask": _time_mask, "bin_mask": _bin_mask}
# These take which tokens are words, and give the places of what stays in its order.
_WORDS: dict[str, Change] = {"word_dropout": _word_dropout, "swap": _swap}
# Task -> operation; boxes would have to move with what moves, and tags with their words.
_OPERATIONS: dict[str, dict[str, Change]] = {
    "image-classification": _COLOURS | _PLACES,
    "object-detection": _COLOURS,
    "audio-classification": _SOUNDS,
    "automatic-speech-recognition": _SOUNDS,
    "text-classification": _WORDS,
}
_LIGHT = {"brightness", "contrast", "shift", "gain", "time_mask", "word_dropout"}


def operations(task: Task, wanted: str | list[str]) -> list[str]:
    """The names of the operations of a preset (none, light, strong) or of a list, but for mixes of two rows.

    Raises:
        RecipeError: the task has no such operation, or none at all.
    """
    known = _OPERATIONS.get(task.name, {})
    mixes = MIXES.get(task.name, {})
    if wanted == "none":
        return []
    if not known:
        raise RecipeError(f"data.augment: there is no operation that keeps what '{task.name}' has to find")
    if isinstance(wanted, str):
        return [name for name in known if wanted == "strong" or name in _LIGHT]
    for name in wanted:
        if name not in known and name not in mixes:
            near = nearest(name, [*known, *mixes])
            raise RecipeError(f"data.augment: '{task.name}' has no operation '{name}'; {near}")
    return [name for name in wanted if name in known]


def augmenter(task: Task, wanted: str | list[str]) -> Augment | None:
    """What changes an encoded row: the task's own variation, then each operation on every other row; None for none."""
    names = operations(task, wanted)
    if not names:
        return None
    known = _OPERATIONS[task.name]
    words = known is _WORDS
    fixed = task.processor.all_special_ids if words else []

    def augment(row: dict[str, Any], draw: Draw) -> dict[str, Any]:
        row = task.augment(row, draw) if task.augments else row
        for name in names:
            if draw.random() < 0.5:
                change = known[name]
                row = row | (_of_tokens(row, change, draw, fixed) if words else _of_array(row, change, draw))
        return row

    return augment


def _of_array(row: dict[str, Any], change: Change, draw: Draw) -> dict[str, Any]:
    """The image or the recording of a row, changed."""
    key = next(name for name in INPUTS if name in row)
    return {key: change(np.asarray(row[key]), draw).astype(np.float32)}


def _of_tokens(row: dict[str, Any], change: Change, draw: Draw, fixed: list[int]) -> dict[str, Any]:
    """What a row has for each token; the fixed ones, which begin, part and end texts, stay where they are."""
    free = ~np.isin(row["input_ids"], fixed)
    places = change(free, draw)
    columns = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in row]
    return {name: np.asarray(row[name])[places].tolist() for name in columns} if free[places].any() else {}
