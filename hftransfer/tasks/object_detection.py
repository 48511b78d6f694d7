"""Boxes around the objects of an image, and what each one is (YOLOS, DETR, RT-DETR).

https://huggingface.co/docs/transformers/tasks/object_detection
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from hftransfer.core.arrow import with_column
from hftransfer.core.compat import model_classes
from hftransfer.core.errors import DataError
from hftransfer.core.features import Boxes, Feature, Image
from hftransfer.core.media import location, read_image
from hftransfer.tasks import (
    Encoded,
    EncodedRow,
    Illustration,
    Model,
    ModelBatch,
    Outputs,
    Predictions,
    Processor,
    Rendered,
    Row,
    Rows,
    Side,
    _boxes,
)
from hftransfer.tasks import object_array as objects
from hftransfer.tasks._image_input import ImageInput
from hftransfer.tasks._images import input_facts, new_processor, random_resized_crop, rendered
from hftransfer.tasks._pixels import encode_pixels, normalized

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

    from hftransfer.core.data_facts import InputFact

# Boxes of an image that the mean average precision looks at, as COCO does.
_MOST = 100


class ObjectDetection(ImageInput):
    """Images to boxes, each image scored without padding, so that its boxes do not depend on the others in its batch.

    Outputs: `logits` (rows, queries, classes), `boxes` (rows, queries, 4: middle, width, height as image shares).
    """

    inputs: ClassVar[dict[str, Feature]] = {"image": Image()}
    target: ClassVar[tuple[str, Feature] | None] = ("objects", Boxes())
    auto_model: ClassVar[str] = "AutoModelForObjectDetection"
    auto_processor: ClassVar[str] = "AutoImageProcessor"
    metrics: ClassVar[list[str]] = ["map"]
    output_names: ClassVar[tuple[str, ...]] = ("logits", "pred_boxes")
    augmentations: ClassVar[tuple[str, ...]] = ("brightness", "contrast")
    refuses: ClassVar[dict[str, str]] = {
        "few_shot": "it compares rows of one class each, and an image may have many objects",
        "distill": "the boxes of a teacher are no labels for another model",
    }
    requires: ClassVar[dict[str, str]] = {"pycocotools": "vision"}
    tiny_model: ClassVar[str] = "yolos"
    suggested_checkpoints = {"image": ("hustvl/yolos-tiny",)}

    box_format: Literal["coco", "pascal_voc", "yolo"] = "coco"
    """Of the column's boxes: coco is left, top, width, height in pixels; pascal_voc is left, top, right, bottom in
    pixels; yolo is middle x, middle y, width, height as shares of the image."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Boxes below this score are not shown as an answer; the mean average precision looks at all of them."""
    crop: float = Field(default=1.0, gt=0, le=1)
    """Training sees a random part of an image, at least this share of its area, in its full size; 1 leaves it whole.

    Boxes are cut with it; one of which less than half is left is dropped.
    """
    flip: bool = False
    """Training sees every other image mirrored, left for right, its boxes with it."""

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        return _without_unused_inputs(read(self.auto_processor), config)

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> Processor:
        return _without_unused_inputs(new_processor(config) or super().new_processor(config, rows), config)

    def check_row(self, row: Row) -> str | None:
        return _boxes.row_fault(row["objects"], row["image"].size, self.box_format) if "objects" in row else None

    def row_labels(self, rows: Dataset) -> list[list[str]] | None:
        return [
            [name for name, flagged in _boxes.named(rows.features["objects"], cell) if not flagged]
            for cell in rows["objects"][:]
        ]

    def find_labels(self, splits: Mapping[str, Dataset]) -> tuple[str, ...]:
        found = super().find_labels(splits)
        for split, rows in splits.items():
            if not any(self.row_labels(rows) or []):
                raise DataError(
                    f"no image of split '{split}' has a box, as in a benchmark whose boxes are hidden; data.splits "
                    "names another split, or a larger part of the training rows"
                )
        names = _boxes.names(splits["train"].features["objects"])
        return tuple(name for name in names or found if name in found)

    def index_labels(self, rows: Dataset) -> Dataset:
        """The boxes as corners (left, top, right, bottom) in pixels, with `iscrowd` and `ignore` of each."""
        # The images are opened only where the boxes are shares of them.
        sizes = _sizes(rows) if self.box_format == "yolo" else [(1, 1)] * len(rows)
        ids = {name: number for number, name in enumerate(self.labels)}
        feature = rows.features["objects"]
        column = [
            _boxes.indexed(feature, cell, ids, _boxes.corners(_boxes.parts(cell)[0], size, self.box_format))
            for cell, size in zip(rows["objects"][:], sizes, strict=True)
        ]
        return with_column(rows.remove_columns("objects"), "objects", column, feature=_boxes.indexed_feature())

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        queries = getattr(config, "num_detection_tokens", None) or getattr(config, "num_queries", None)
        most = max(len(_boxes.corners_to_find(cell)) for cell in splits["train"]["objects"][:])
        warnings = super().check(splits, config)
        if queries is not None and most > queries:
            warnings.append(f"a training image has {most} boxes, and the model finds at most {queries} in an image")
        return warnings

    def layout_questions(self, rows: Dataset) -> list[str]:
        corners = np.concatenate([_boxes.corners_to_find(cell) for cell in rows["objects"][:]])
        sizes = corners[:, 2:] - corners[:, :2]
        if self.box_format == "coco" and len(corners) >= 10 and (sizes > corners[:, :2]).all():
            return ["all boxes could be corners too, left, top, right, bottom: task.box_format: pascal_voc?"]
        return []

    def encode(self, rows: Rows) -> Encoded:
        inputs: dict[str, list[Any]] = {"pixel_values": [], "shape": []}
        for image in rows["image"]:
            pixels = encode_pixels(self.processor, [self.rgb(image)])[0]
            inputs["shape"].append(np.array(pixels.shape))
            # Flat, since a table has no column for arrays of many shapes.
            inputs["pixel_values"].append(pixels.ravel())
        if "objects" in rows:
            pairs = zip(rows["objects"], rows["image"], strict=True)
            boxes = [_boxes.shares(_boxes.corners_to_find(cell), image.size) for cell, image in pairs]
            inputs["boxes"] = [box.astype(np.float32).ravel() for box in boxes]
            inputs["class_labels"] = [
                np.array(cell["category"], dtype=np.int64)[_boxes.to_find(cell)] for cell in rows["objects"]
            ]
        return Encoded(
            inputs,
            side={
                "original_size": [np.array([image.height, image.width]) for image in rows["image"]],
                "size": [shape[1:] for shape in inputs["shape"]],
            },
            length=[int(shape[1] * shape[2]) for shape in inputs["shape"]],
        )

    def input_facts(self, rows: Dataset) -> dict[InputFact, np.ndarray]:
        facts = input_facts(rows, lambda batch: tuple(self.encode(batch).side["size"][0]))
        sides = [_boxes.median_side(_boxes.corners_to_find(cell)) for cell in rows["objects"][:]]
        return facts | {"object_side": np.array(sides) * facts["scale"]}

    def normalize(self, row: EncodedRow) -> EncodedRow:
        pixels = normalized(self.processor, np.asarray(row["pixel_values"]).reshape(row["shape"]))
        return row | {"pixel_values": pixels.ravel()}

    @property
    def augments(self) -> bool:
        return self.flip or self.crop < 1

    def augment(self, row: EncodedRow, rng: np.random.Generator) -> EncodedRow:
        pixels = np.asarray(row["pixel_values"], np.float32).reshape(row["shape"])
        boxes, labels = np.asarray(row["boxes"]).reshape(-1, 4), np.asarray(row["class_labels"])
        if self.crop < 1:
            pixels, part = random_resized_crop(pixels, self.crop, rng)
            boxes, kept = _boxes.within(boxes, part)
            labels = labels[kept]
        if self.flip and rng.random() < 0.5:
            pixels, boxes = pixels[..., ::-1], boxes * [-1, 1, 1, 1] + [1, 0, 0, 0]
        changed = {"pixel_values": pixels.ravel(), "boxes": boxes.astype(np.float32).ravel(), "class_labels": labels}
        return row | changed

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        """Images padded to the largest; the boxes are shares of the unpadded ones, as DETR and YOLOS were trained."""
        import torch

        rows = [self.normalize(row) for row in encoded]
        images = [np.asarray(row["pixel_values"], np.float32).reshape(row["shape"]) for row in rows]
        height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
        pixels = np.zeros((len(encoded), len(images[0]), height, width), np.float32)
        mask = np.zeros((len(encoded), height, width), np.int64)
        for number, image in enumerate(images):
            pixels[number, :, : image.shape[1], : image.shape[2]] = image
            mask[number, : image.shape[1], : image.shape[2]] = 1
        batch: ModelBatch = {"pixel_values": torch.from_numpy(pixels)}
        if "pixel_mask" in self.processor.model_input_names:
            batch["pixel_mask"] = torch.from_numpy(mask)
        if "boxes" in encoded[0]:
            batch["labels"] = [_boxes.model_target(row) for row in encoded]
        return batch

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        sizes = [tuple(int(pixels) for pixels in size) for size in side["size"]]
        rows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for height, width in sorted(set(sizes)):
            places = [row for row, size in enumerate(sizes) if size == (height, width)]
            inputs = {name: it[places, ..., :height, :width] for name, it in batch.items() if name != "labels"}
            result = model(**inputs)
            arrays = (result.logits.float().cpu().numpy(), result.pred_boxes.float().cpu().numpy())
            rows |= dict(zip(places, zip(*arrays, strict=True), strict=True))
        logits, boxes = (np.stack([rows[row][i] for row in range(len(sizes))]) for i in (0, 1))
        return {"logits": logits, "boxes": boxes}

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        """Boxes (left, top, right, bottom, in pixels), their labels and scores, highest scores first, at most 100."""
        import torch

        result = SimpleNamespace(logits=torch.tensor(outputs["logits"]), pred_boxes=torch.tensor(outputs["boxes"]))
        sizes = torch.tensor(np.array(side["original_size"]))
        predictions = []
        for found in self.processor.post_process_object_detection(result, 0.0, sizes):
            best = found["scores"].argsort(descending=True, stable=True)[:_MOST]
            labels = [self.labels[i] for i in found["labels"][best].tolist()]
            boxes, scores = found["boxes"][best].numpy(), found["scores"][best].numpy()
            predictions.append({"boxes": boxes, "labels": labels, "scores": scores})
        return objects(predictions)

    def references(self, rows: Dataset) -> Predictions:
        """Boxes as `postprocess` gives them, and which of them are crowds or otherwise not to be found."""
        return objects(
            [
                {
                    "boxes": _boxes.read_corners(cell),
                    "labels": [self.labels[number] for number in cell["category"]],
                    "scores": np.ones(len(cell["category"])),
                    "iscrowd": np.array(cell["iscrowd"], dtype=bool),
                    "ignore": np.array(cell["ignore"], dtype=bool),
                }
                for cell in rows["objects"][:]
            ]
        )

    def _above_threshold(self, boxes: dict[str, Any]) -> list[tuple[str, float, list[float]]]:
        """Label, score and box of what is found above the threshold, or is to be found."""
        chosen = _boxes.to_find(boxes)
        labels = np.array(boxes["labels"], dtype=object)[chosen].tolist()
        rows = zip(labels, boxes["scores"][chosen].tolist(), boxes["boxes"][chosen].tolist(), strict=True)
        return [(label, score, box) for label, score, box in rows if score >= self.threshold]

    def error(self, prediction: dict[str, Any], reference: dict[str, Any]) -> float:
        """Share of the boxes of both, above the threshold, without a partner of the label that covers half of it."""
        predicted, true = self._above_threshold(prediction), self._above_threshold(reference)
        if not predicted and not true:
            return 0.0
        pairs = _boxes.pairs([(label, box) for label, _, box in predicted], [(label, box) for label, _, box in true])
        return 1 - 2 * pairs / (len(predicted) + len(true))

    def describe(self, value: Any) -> str:
        sure = self._above_threshold(value)
        return "; ".join(f"{label} {[round(side) for side in box]}" for label, _, box in sure) or "nothing"

    def render(self, row: Row, prediction: Any, reference: Any) -> Rendered:
        layers = [(self._above_threshold(reference), "#12a05c"), (self._above_threshold(prediction), "#e5484d")]
        return rendered(_boxes.draw(self.rgb(row["image"]), layers))

    def illustrate(self, row: Row, outputs: Outputs, side: Side) -> Illustration:
        found = self._above_threshold(self.postprocess(outputs, side)[0])
        return Illustration(self.rgb(row["image"]), tuple((box, f"{label} {score:.2f}") for label, score, box in found))

    def respond(self, outputs: Outputs, side: Side) -> dict[str, Any]:
        names = ("xmin", "ymin", "xmax", "ymax")
        return {
            "objects": [
                {"label": label, "score": score, "box": dict(zip(names, box, strict=True))}
                for label, score, box in self._above_threshold(self.postprocess(outputs, side)[0])
            ]
        }


def _sizes(rows: Dataset) -> list[tuple[int, int]]:
    """Width and height of each image, none of them decoded."""
    images = Image().cast(rows, "image", decode=False)["image"]
    return [read_image(location(image), decode=False).size for image in images]


def _without_unused_inputs(processor: Processor, config: PretrainedConfig) -> Processor:
    """The processor, which then promises only those inputs that the model has (YOLOS has no mask)."""
    classes = model_classes("AutoModelForObjectDetection", config)
    if classes:
        taken = inspect.signature(classes[0].forward).parameters
        processor.model_input_names = [name for name in processor.model_input_names if name in taken]
    return processor
