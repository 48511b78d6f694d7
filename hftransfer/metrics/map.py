"""Mean average precision of boxes, 0 to 1, over overlaps of 0.50 to 0.95 as COCO counts it; by pycocotools.

Beside it `map.50`, `map.75` and that of each class. https://cocodataset.org/#detection-eval
"""

import contextlib
import io
import warnings

import datasets
import evaluate
import numpy as np

_RECALLS = np.linspace(0, 1, 101)


class Map(evaluate.Metric):
    """Rows are dictionaries of boxes (left, top, right, bottom), labels and scores; at most 100 of a row count."""

    def _info(self):
        value, text = datasets.Value("float64"), datasets.Value("string")
        boxes = {
            "boxes": datasets.List(datasets.List(value)),
            "labels": datasets.List(text),
            "scores": datasets.List(value),
        }
        features = datasets.Features({"predictions": boxes, "references": boxes})
        return evaluate.MetricInfo(
            description=__doc__, citation="", inputs_description="one image a row", features=features
        )

    def _compute(self, predictions, references):
        labels, found = _matched(predictions, references)
        with contextlib.redirect_stdout(io.StringIO()):
            found.accumulate()
        # (overlaps, recalls, classes); -1 stands for classes that the references lack.
        precision = found.eval["precision"][..., 0, 0]
        values = np.where(precision < 0, np.nan, precision).mean(axis=1).T
        return {name: float(value[0]) for name, value in _named(values[None], labels).items()}

    def weighted(self, predictions, references):
        """A function from `times` (resamples, rows), how often each row is drawn, to name -> a value for each.

        What COCO's accumulation does, with a weight for each image; the boxes are matched once.
        """
        labels, found = _matched(predictions, references)

        def values(times):
            made = np.full((len(times), len(labels), len(found.params.iouThrs)), np.nan)
            for number in range(len(labels)):
                images = found.evalImgs[number * len(references) : (number + 1) * len(references)]
                made[:, number] = _resampled_class(images, times)
            return _named(made, labels)

        return values


def _named(values, labels):
    """Average precisions of shape (resamples, classes, overlaps) under the names of the metric."""
    parts = {"map": values, "map.50": values[..., :1], "map.75": values[..., 5:6]}
    parts |= {f"map.{label}": values[:, [number]] for number, label in enumerate(labels)}
    with warnings.catch_warnings():
        # A class that a resample lacks has no value in it.
        warnings.filterwarnings("ignore", "Mean of empty slice")
        return {name: np.nanmean(part, axis=(1, 2)) for name, part in parts.items()}


def _matched(predictions, references):
    """Class names, and pycocotools' evaluator after it has matched boxes to boxes."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    labels = sorted({label for row in references for label in row["labels"]})
    ids = {label: number + 1 for number, label in enumerate(labels)}

    def coco(rows):
        annotations: list[object] = []
        for image, row in enumerate(rows):
            for box, label, score in zip(row["boxes"], row["labels"], row["scores"], strict=True):
                left, top, right, bottom = (float(side) for side in box)
                # A class that no reference has cannot be scored.
                if label in ids:
                    entry = {"id": len(annotations) + 1, "image_id": image, "category_id": ids[label], "iscrowd": 0}
                    sides = [left, top, max(0.0, right - left), max(0.0, bottom - top)]
                    annotations.append(entry | {"bbox": sides, "area": sides[2] * sides[3], "score": float(score)})
        made = COCO()
        categories = [{"id": number, "name": label} for label, number in ids.items()]
        made.dataset = {
            "images": [{"id": image} for image in range(len(rows))],
            "annotations": annotations,
            "categories": categories,
        }
        made.createIndex()
        return made

    with contextlib.redirect_stdout(io.StringIO()):
        found = COCOeval(coco(references), coco(predictions), "bbox")
        found.params.imgIds, found.params.catIds = list(range(len(references))), list(ids.values())
        found.params.areaRng, found.params.areaRngLbl, found.params.maxDets = [[0, 1e10]], ["all"], [100]
        found.evaluate()
    return labels, found


def _resampled_class(images, times):
    """Average precision of a class by overlap, shape (resamples, overlaps)."""
    present = [(number, image) for number, image in enumerate(images) if image is not None]
    true = np.zeros(len(images))
    for number, image in present:
        true[number] = len(image["gtIds"])
    scores = np.concatenate([image["dtScores"] for _, image in present] or [[]])
    result = np.full((len(times), 10), np.nan)
    wanted = times @ true
    if not len(scores):
        result[wanted > 0] = 0
        return result
    owners = np.concatenate([np.full(len(image["dtScores"]), number) for number, image in present])
    right = np.concatenate([image["dtMatches"] > 0 for _, image in present], axis=1)
    order = np.argsort(-scores, kind="mergesort")
    # Behind the last right box, precision only falls and no recall is reached.
    order = order[: 1 + max(np.flatnonzero(right[:, order].any(axis=0)), default=-1)]
    owners, right = owners[order], right[:, order]
    for draw in np.flatnonzero(wanted > 0):
        weights = times[draw, owners]
        hits, all_ = np.cumsum(right * weights, axis=1), np.cumsum(weights)
        precision = hits / np.maximum(all_, 1)
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = hits / wanted[draw]
        for overlap in range(10):
            places = np.searchsorted(recall[overlap], _RECALLS, side="left")
            reached = places < len(order)
            result[draw, overlap] = precision[overlap, places[reached]].sum() / len(_RECALLS)
    return result
