"""Data augmentation: training rows are changed after they are encoded, differently in each epoch.

What an operation needs to know stands in the encoded row; a task declares which of them leave its labels right
(`Task.augmentations`). Mirroring is in no preset, since a mirrored digit, letter or traffic sign is another one; tasks
on images have `task.flip` and `task.crop` of their own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hftransfer.core.errors import RecipeError
from hftransfer.core.plugins import nearest
from hftransfer.data.encode import AugmentRows, Example
from hftransfer.data.mixup import INPUTS
from hftransfer.tasks import IGNORED, Task

Rng = np.random.Generator
Change = Callable[[np.ndarray, Rng], np.ndarray]


def _shift(pixels: np.ndarray, rng: Rng, *, labels: bool = False) -> np.ndarray:
    """Up to a tenth of the side each way; what comes in is the edge's colour, of labels what the loss ignores."""
    from scipy.ndimage import shift

    _, height, width = pixels.shape
    down, right = (int(rng.integers(-side // 10, side // 10 + 1)) for side in (height, width))
    outside: dict[str, Any] = {"mode": "constant", "cval": IGNORED} if labels else {"mode": "nearest"}
    return np.asarray(shift(pixels, (0, down, right), order=0, **outside))


def _rotate(pixels: np.ndarray, rng: Rng, *, labels: bool = False) -> np.ndarray:
    """Up to 15 degrees each way."""
    from scipy.ndimage import rotate

    angle = float(rng.uniform(-15, 15))
    outside: dict[str, Any] = (
        {"mode": "constant", "cval": IGNORED, "order": 0} if labels else {"mode": "nearest", "order": 1}
    )
    return np.asarray(rotate(pixels, angle, axes=(1, 2), reshape=False, **outside))


def _brightness(pixels: np.ndarray, rng: Rng) -> np.ndarray:
    """Up to a fifth of the image's range each way."""
    return np.asarray(pixels + rng.uniform(-0.2, 0.2) * np.ptp(pixels))


def _contrast(pixels: np.ndarray, rng: Rng) -> np.ndarray:
    """From 0.7 to 1.3 of its contrast."""
    return np.asarray(pixels.mean() + rng.uniform(0.7, 1.3) * (pixels - pixels.mean()))


def _erase(pixels: np.ndarray, rng: Rng) -> np.ndarray:
    """A rectangle of a quarter of each side becomes the image's mean (Zhong et al. 2020, arXiv:1708.04896)."""
    _, height, width = pixels.shape
    high, wide = max(1, height // 4), max(1, width // 4)
    top, left = rng.integers(0, height - high + 1), rng.integers(0, width - wide + 1)
    changed = pixels.copy()
    changed[:, top : top + high, left : left + wide] = pixels.mean()
    return changed


def _gain(samples: np.ndarray, rng: Rng) -> np.ndarray:
    """Up to 6 dB louder or softer; a spectrogram has its logarithms, and stays."""
    return samples if samples.ndim > 1 else np.asarray(samples * 10 ** (rng.uniform(-6, 6) / 20))


def _noise(samples: np.ndarray, rng: Rng) -> np.ndarray:
    """White, 15 to 30 dB below the recording."""
    return np.asarray(samples + samples.std() * 10 ** (-rng.uniform(15, 30) / 20) * rng.normal(0, 1, samples.shape))


def _time_mask(samples: np.ndarray, rng: Rng) -> np.ndarray:
    """Up to a tenth of the time becomes the mean (SpecAugment, Park et al. 2019, arXiv:1904.08779)."""
    return _masked(samples, int(np.argmax(samples.shape)), rng)


def _bin_mask(features: np.ndarray, rng: Rng) -> np.ndarray:
    """Likewise up to a tenth of the bins of a spectrogram; a waveform has none."""
    # Whisper's bins come first, AST's last; there are fewer of them than frames.
    return _masked(features, int(np.argmin(features.shape)), rng) if features.ndim > 1 else features


def _masked(array: np.ndarray, axis: int, rng: Rng) -> np.ndarray:
    size = array.shape[axis]
    wide = int(rng.integers(0, size // 10 + 1))
    start = int(rng.integers(0, size - wide + 1))
    changed = array.copy()
    changed[(slice(None),) * axis + (slice(start, start + wide),)] = array.mean()
    return changed


def _word_dropout(free: np.ndarray, rng: Rng) -> np.ndarray:
    """Every tenth token goes (Iyyer et al. 2015, aclanthology.org/P15-1162)."""
    return np.flatnonzero(~free | (rng.random(len(free)) >= 0.1))


def _swap(free: np.ndarray, rng: Rng) -> np.ndarray:
    """Two neighbouring tokens change places, one pair of twenty (EDA, Wei and Zou 2019, arXiv:1901.11196)."""
    places = np.arange(len(free))
    for place in np.flatnonzero(free[:-1] & free[1:]):
        if rng.random() < 0.05:
            places[[place, place + 1]] = places[[place + 1, place]]
    return places


_ARRAYS: dict[str, Change] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "shift": _shift,
    "rotate": _rotate,
    "erase": _erase,
    "gain": _gain,
    "noise": _noise,
    "time_mask": _time_mask,
    "bin_mask": _bin_mask,
}
# These take which tokens are words, and give the places of what stays, in its order.
_TOKENS: dict[str, Change] = {"word_dropout": _word_dropout, "swap": _swap}
# These move what stands in the image, and the labels of its pixels with it.
_MOVES = {"shift": _shift, "rotate": _rotate}
_LIGHT = {"brightness", "contrast", "shift", "gain", "time_mask", "word_dropout"}


def operations(task: Task, wanted: str | list[str]) -> list[str]:
    """The names of the operations of a preset (none, light, strong) or of a list, without mixes of two rows.

    Raises:
        RecipeError: the task has no such operation, or none at all.
    """
    if wanted == "none":
        return []
    if not task.augmentations:
        raise RecipeError(f"data.augment: no operation leaves the labels of '{task.name}' right")
    if isinstance(wanted, str):
        return [name for name in task.augmentations if wanted == "strong" or name in _LIGHT]
    for name in wanted:
        if name not in task.augmentations and name not in task.mixes:
            near = nearest(name, [*task.augmentations, *task.mixes])
            raise RecipeError(f"data.augment: '{task.name}' has no operation '{name}'; {near}")
    return [name for name in wanted if name in task.augmentations]


def augmenter(task: Task, wanted: str | list[str]) -> AugmentRows | None:
    """What changes an encoded row: the task's own augmentation, then each operation with a probability of a half.

    None where nothing changes it.
    """
    names = operations(task, wanted)
    if not names:
        return None
    special_ids = task.processor.all_special_ids if any(name in _TOKENS for name in names) else []

    def augment(row: Example, rng: Rng) -> Example:
        row = task.augment(row, rng) if task.augments else row
        for name in names:
            if rng.random() < 0.5:
                if name in _TOKENS:
                    row = row | _change_tokens(row, _TOKENS[name], rng, special_ids)
                else:
                    row = row | _change_array(row, name, rng, task.moves_with_image)
        return row

    return augment


def _change_array(row: Example, name: str, rng: Rng, moved: Sequence[str]) -> Example:
    """The image or the recording of a row, changed, and the labels of its pixels moved along."""
    key = next(name for name in INPUTS if name in row)
    changed: Example = {}
    if name in _MOVES:
        for labels in moved:
            # The same draws again for the labels.
            array = _MOVES[name](np.asarray(row[labels])[None], copy.deepcopy(rng), labels=True)
            changed[labels] = array[0].astype(np.int64)
    return changed | {key: _ARRAYS[name](np.asarray(row[key]), rng).astype(np.float32)}


def _change_tokens(row: Example, change: Change, rng: Rng, special_ids: list[int]) -> Example:
    """What a row has for each token, changed; special tokens, which begin and end texts, stay where they are."""
    free = ~np.isin(row["input_ids"], special_ids)
    places = change(free, rng)
    columns = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in row]
    return {name: np.asarray(row[name])[places].tolist() for name in columns} if free[places].any() else {}
