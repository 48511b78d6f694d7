"""Mean average precision of boxes, 0 to 1, the mean over IoU thresholds 0.50 to 0.95 as COCO counts it; by pycocotools.

With it `map.50` and `map.75`, of one threshold each, and `map.CLASS`. https://cocodataset.org/#detection-eval
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hftransfer.metrics import Metric, Resampler

if TYPE_CHECKING:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

_RECALLS = np.linspace(0, 1, 101)
_LARGEST = 1e10


class Map(Metric):
    """Rows are mappings of `boxes` (left, top, right, bottom), `labels` and `scores`; at most 100 boxes a row count.

    References may have `iscrowd`, as COCO counts it, and `ignore`: who finds such a box is neither right nor wrong.
    """

    requires: ClassVar[dict[str, str]] = {"pycocotools": "vision"}
    details: ClassVar[tuple[str, ...]] = ("50", "75")
    details_of_classes: ClassVar[bool] = True

    def compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        labels, evaluator = match(predictions, references)
        with contextlib.redirect_stdout(io.StringIO()):
            evaluator.accumulate()
        # (thresholds, recalls, classes); -1 stands for classes that the references lack.
        precision = evaluator.eval["precision"][..., 0, 0]
        values = np.where(precision < 0, np.nan, precision).mean(axis=1).T
        return {name: float(value[0]) for name, value in self._named(values[None], labels).items()}

    def resampler(self, predictions: np.ndarray, references: np.ndarray) -> Resampler:
        """What COCO's accumulation does, with a weight for each image; the boxes are matched once."""
        labels, evaluator = match(predictions, references)

        def values(counts: np.ndarray) -> dict[str, np.ndarray]:
            precisions = np.full((len(counts), len(labels), len(evaluator.params.iouThrs)), np.nan)
            for number in range(len(labels)):
                images = evaluator.evalImgs[number * len(references) : (number + 1) * len(references)]
                precisions[:, number] = _resampled_class(images, counts)
            return self._named(precisions, labels)

        return values

    def _named(self, values: np.ndarray, labels: list[str]) -> dict[str, np.ndarray]:
        """Average precisions of shape (resamples, classes, thresholds) under the names of the metric."""
        parts = {self.name: values, f"{self.name}.50": values[..., :1], f"{self.name}.75": values[..., 5:6]}
        parts |= {f"{self.name}.{label}": values[:, [number]] for number, label in enumerate(labels)}
        with warnings.catch_warnings():
            # A class that a resample lacks has no value in it.
            warnings.filterwarnings("ignore", "Mean of empty slice")
            return {name: np.nanmean(part, axis=(1, 2)) for name, part in parts.items()}

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        reference = {"boxes": [[1, 1, 9, 9], [20, 5, 40, 30]], "labels": ["x", "y"], "scores": [0.9, 0.8]}
        wrong = {"boxes": [[1, 1, 9, 9], [50, 5, 90, 30]], "labels": ["y", "y"], "scores": [0.9, 0.8]}
        return [reference] * 2, [wrong] * 2


def match(predictions: np.ndarray, references: np.ndarray) -> tuple[list[str], COCOeval]:
    """Class names, and pycocotools' evaluator after it has matched boxes to boxes."""
    from pycocotools.cocoeval import COCOeval

    labels = sorted({label for row in references for label in row["labels"]})
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(_coco(references, labels), _coco(predictions, labels), "bbox")
        evaluator.params.imgIds = list(range(len(references)))
        evaluator.params.catIds = [number + 1 for number in range(len(labels))]
        evaluator.params.areaRng, evaluator.params.areaRngLbl = [[0, _LARGEST]], ["all"]
        evaluator.params.maxDets = [100]
        evaluator.evaluate()
    return labels, evaluator


def _coco(rows: Sequence[Mapping[str, Any]] | np.ndarray, labels: list[str]) -> COCO:
    """Rows as a data set of pycocotools; boxes of a class that no reference has cannot be scored and are left out."""
    from pycocotools.coco import COCO

    ids = {label: number + 1 for number, label in enumerate(labels)}
    annotations: list[dict[str, object]] = []
    for image, row in enumerate(rows):
        crowds, ignored = (row.get(name, np.zeros(len(row["labels"]), bool)) for name in ("iscrowd", "ignore"))
        columns = (row["boxes"], row["labels"], row["scores"], crowds, ignored)
        for box, label, score, crowd, ignore in zip(*columns, strict=True):
            if label not in ids:
                continue
            left, top, right, bottom = (float(side) for side in box)
            width, height = max(0.0, right - left), max(0.0, bottom - top)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": ids[label],
                    "iscrowd": int(crowd),
                    "bbox": [left, top, width, height],
                    # pycocotools ignores what is no crowd by its area alone.
                    "area": 2 * _LARGEST if ignore else width * height,
                    "score": float(score),
                }
            )
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image} for image in range(len(rows))],
        "annotations": annotations,
        "categories": [{"id": number, "name": label} for label, number in ids.items()],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _resampled_class(images: list[dict[str, Any] | None], counts: np.ndarray) -> np.ndarray:
    """Average precision of a class by threshold, shape (resamples, thresholds)."""
    present = [(number, image) for number, image in enumerate(images) if image is not None]
    actual = np.zeros(len(images))
    for number, image in present:
        actual[number] = np.count_nonzero(image["gtIgnore"] == 0)
    scores = np.concatenate([image["dtScores"] for _, image in present] or [[]])
    values = np.full((len(counts), 10), np.nan)
    actual_counts = counts @ actual
    if not len(scores):
        values[actual_counts > 0] = 0
        return values
    image_of = np.concatenate([np.full(len(image["dtScores"]), number) for number, image in present])
    # A box matched to a crowd or an ignored one is left out, at the thresholds where it is.
    counted = np.concatenate([~image["dtIgnore"].astype(bool) for _, image in present], axis=1)
    correct = np.concatenate([image["dtMatches"] > 0 for _, image in present], axis=1) & counted
    order = np.argsort(-scores, kind="mergesort")
    # After the last correct box, precision only falls and no recall is reached.
    order = order[: 1 + max(np.flatnonzero(correct[:, order].any(axis=0)), default=-1)]
    image_of, correct, counted = image_of[order], correct[:, order], counted[:, order]
    for resample in np.flatnonzero(actual_counts > 0):
        weights = counts[resample, image_of]
        hits, predicted = (np.cumsum(them * weights, axis=1) for them in (correct, counted))
        precision = hits / np.maximum(predicted, 1)
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = hits / actual_counts[resample]
        for threshold in range(10):
            places = np.searchsorted(recall[threshold], _RECALLS, side="left")
            reached = places < len(order)
            values[resample, threshold] = precision[threshold, places[reached]].sum() / len(_RECALLS)
    return values
