"""The family of the tasks whose rows are pairs, of which each half is looked for by the other one: retrieval."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import PrivateAttr

from hftransfer.tasks import Outputs, Predictions, Side, Task, object_array

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

# Queries whose similarity to all targets is in memory at once.
_QUERIES = 1024
# Rows of a split whose images are compared with those of another.
_COMPARED = 5000


class CaptionRetrieval(Task):
    """Adds ranks of rows with captions (the role `text`), where the source has them.

    Outputs: `image_embeds` and `text_embeds` of shape (rows, size), normalized. `encode` gives the side data `text` and
    `ids`, numbers of the row's text and image by `content_id`, or others that equal contents have in common.
    """

    _captions: bool = PrivateAttr(default=False)

    def fit(self, rows: Dataset) -> Self:
        return super().fit(rows)._with(captions="text" in rows.column_names)

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        """Rows are duplicates where image and caption are equal; an image with several captions is seen here."""
        warnings = super().check(splits, config)
        images = {split: _image_files(splits[split]) for split in ("train", "test")} if self._captions else {}
        if images and (shared := len(images["train"] & images["test"])):
            warnings.append(
                f"{shared} of {len(images['test'])} test images are training images too, with another caption: "
                "data.splits.by_group, with data.columns.group naming the image, keeps them apart"
            )
        return warnings

    @property
    def rank_directions(self) -> int:
        """Image to text, text to image."""
        return 2 if self._captions else 0

    def ranks(self, outputs: Outputs, side: Side) -> np.ndarray | None:
        """Baselines that embed nothing have the same ranking for every row."""
        if not self._captions:
            return None
        ids = np.array([list(pair) for pair in side["ids"]])
        nothing = np.zeros((len(ids), 1), dtype=np.float32)
        images, texts = (outputs.get(name, nothing) for name in ("image_embeds", "text_embeds"))
        return pair_ranks(images, texts, ids)

    def nearest_texts(self, outputs: Outputs, side: Side) -> Predictions:
        """The most similar caption of the split for each image."""
        images, texts = outputs["image_embeds"], outputs["text_embeds"].T
        best = [(images[at : at + _QUERIES] @ texts).argmax(axis=1) for at in range(0, len(images), _QUERIES)]
        return object_array([str(side["text"][row]) for row in np.concatenate(best)])

    def constant_embeddings(self) -> Outputs:
        """Of a model that reads nothing."""
        return {name: np.zeros(1, dtype=np.float32) for name in ("image_embeds", "text_embeds")}


def _image_files(rows: Dataset) -> set[bytes | str]:
    """The different images of the first rows, by the bytes or the paths of their files."""
    from datasets import Image

    first = rows.select(range(min(_COMPARED, len(rows)))).select_columns("image")
    files = first.cast_column("image", Image(decode=False))["image"]
    return {hashlib.sha256(file["bytes"]).digest() if file["bytes"] else file["path"] for file in files}


def content_id(content: bytes) -> int:
    """A number that equal contents have in common (CRC-32)."""
    return zlib.crc32(content)


def pair_ranks(images: np.ndarray, texts: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The place, from 0, of the first right text for each row's image, and of the first right image for its text.

    All texts, or images, of the rows are ranked by their cosine; equal ones stand there once, and of equally similar
    ones that of more rows is first, then the earlier one. A text is right for an image that some row pairs it with.

    Args:
        images: Normalized embeddings, (rows, size).
        texts: The same of texts.
        ids: Numbers of the row's text and image, (rows, 2).

    Returns:
        Of shape (rows, 2): image to text, text to image.
    """
    text_ids, image_ids = ids[:, 0], ids[:, 1]
    return np.stack([_ranks(images, texts, image_ids, text_ids), _ranks(texts, images, text_ids, image_ids)], axis=1)


def _ranks(queries: np.ndarray, targets: np.ndarray, query_ids: np.ndarray, target_ids: np.ndarray) -> np.ndarray:
    _, first, place, rows = np.unique(target_ids, return_index=True, return_inverse=True, return_counts=True)
    # So that one ranking for all queries is the best such ranking.
    order = np.lexsort((first, -rows))
    gallery, place = targets[first[order]], np.argsort(order)[place]
    pairs: dict[int, set[int]] = {}
    for query, target in zip(query_ids.tolist(), place.tolist(), strict=True):
        pairs.setdefault(query, set()).add(target)
    found = np.empty(len(queries), dtype=int)
    for start in range(0, len(queries), _QUERIES):
        similarity = queries[start : start + _QUERIES] @ gallery.T
        for row, scores in enumerate(similarity, start):
            right = sorted(pairs[int(query_ids[row])])
            best = right[int(scores[right].argmax())]
            before = scores[:best] >= scores[best]
            found[row] = before.sum() + (scores[best + 1 :] > scores[best]).sum()
    return found
