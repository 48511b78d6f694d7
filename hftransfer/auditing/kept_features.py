"""Features of a frozen checkpoint, kept on disk by the content of the rows: a row is read by the model once.

They lie in the cache of `datasets`, some hundred rows a file, so that what is interrupted loses only the last ones.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.files import hash_of, is_whole, write_sealed
from hftransfer.core.progress import Progress
from hftransfer.data.encode import encode, longest_first
from hftransfer.data.hashes import FINGERPRINT_VERSION, SIZE
from hftransfer.models.checkpoint import Checkpoint, find_checkpoint
from hftransfer.models.frozen_features import Features, baseline_features, features_of, named_pooling
from hftransfer.models.weights import load_model
from hftransfer.runner.resuming import READ, content_of

if TYPE_CHECKING:
    from datasets import Dataset

    from hftransfer.data.hashes import Hashes
    from hftransfer.models.checkpoint import ResolvedCheckpoint
    from hftransfer.tasks import Task

# Rows of a file.
_ROWS = 256
_HASHES = "contents"


class KeptFeatures:
    """The features of one checkpoint, as one task reads its rows."""

    def __init__(self, task: Task, origin: ResolvedCheckpoint, model: dict[str, Any]) -> None:
        """`model` is the section of the recipe that names the checkpoint."""
        from datasets import config

        self._task, self._origin = task, origin
        self._folder = Path(config.HF_DATASETS_CACHE) / "hftransfer" / "features" / _key(task, origin.weights, model)
        self._found: dict[bytes, tuple[int, int]] = {}
        """Content -> file and place in it."""
        self._files: list[Features] = []
        self.computed = 0
        """How many rows the model has read."""
        for file in sorted(self._folder.glob("*.npz")):
            if is_whole(file):
                with np.load(file, allow_pickle=False) as arrays:
                    self._add(dict(arrays))

    def of(self, rows: Dataset, contents: Hashes, folder: Path, batch_size: int, device: Any) -> Features:
        """The features of some rows, in their order.

        Args:
            rows: as the task encodes them.
            contents: the hash of each row's inputs.
            folder: for what is encoded.
            batch_size: rows that the model reads at once.
            device: of the model.
        """
        hashes = contents.to_pylist()
        missing: dict[bytes, int] = {}
        for place, content in enumerate(hashes):
            if content not in self._found:
                missing.setdefault(content, place)
        if missing:
            self._compute(rows.select([*missing.values()]), [*missing], folder, batch_size, device)
        places = [self._found[content] for content in hashes]
        names = self._files[0].keys()
        return {name: np.stack([self._files[file][name][place] for file, place in places]) for name in names}

    def _compute(self, rows: Dataset, contents: list[bytes], folder: Path, batch_size: int, device: Any) -> None:
        """Read rows that are not kept yet, and keep them."""
        from transformers import set_seed

        encoded = encode(self._task, {"rows": rows}, folder, None, None)
        table, order = encoded.splits["rows"], longest_first(encoded.splits["rows"])
        # What a checkpoint lacks, such as a pooler, is initialized alike in every audit.
        set_seed(0)
        model = load_model(self._task, self._origin).to(device)
        named = named_pooling(self._origin.weights)
        with Progress(total=len(order), desc="features", unit="row") as bar:
            for start in range(0, len(order), _ROWS):
                chunk, found = order[start : start + _ROWS], []
                for first in range(0, len(chunk), batch_size):
                    batch = chunk[first : first + batch_size]
                    read = features_of(self._task, model, table.__getitems__(batch), encoded.collate)
                    found.append(baseline_features(read, named))
                    bar.update(len(batch))
                self._keep([contents[place] for place in chunk], found)
        self.computed += len(order)

    def _keep(self, contents: list[bytes], found: list[Features]) -> None:
        """Write the features of some rows."""
        hashes = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, SIZE)
        arrays = {name: np.concatenate([features[name] for features in found]) for name in found[0]}
        file = self._folder / f"{hashlib.sha256(hashes.tobytes()).hexdigest()[:24]}.npz"

        def write(path: Path) -> None:
            with path.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **{_HASHES: hashes}, **arrays)

        write_sealed(file, write)
        self._add({_HASHES: hashes, **arrays})

    def _add(self, arrays: dict[str, np.ndarray]) -> None:
        hashes = arrays.pop(_HASHES)
        self._found.update({hashes[place].tobytes(): (len(self._files), place) for place in range(len(hashes))})
        self._files.append(arrays)


def one_pooling(features: Features) -> np.ndarray:
    """The features by the pooling that the checkpoint names, else the mean; shape (rows, size)."""
    return features.get("mean", next(iter(features.values())))


def _key(task: Task, weights: Checkpoint | None, model: dict[str, Any]) -> str:
    """A hash of all that the features of a row depend on, beside its content."""
    import transformers

    parts = [task.name, task.model_dump(), model, FINGERPRINT_VERSION, transformers.__version__]
    if model.get("processor"):
        parts.append(content_of(find_checkpoint(model["processor"])))
    if weights is not None:
        parts += [weights.path, weights.revision]
        # The files of the Hub are those of the revision.
        folder = Path(weights.path)
        files = sorted(file for file in folder.iterdir() if file.suffix in READ) if folder.is_dir() else []
        parts += [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hash_of(*parts)[:32]
