"""Boxes around the objects of an image, and what each one is (YOLOS, DETR, RT-DETR).

https://huggingface.co/docs/transformers/tasks/object_detection
"""

import base64
import inspect
import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from hftransfer.core.compat import model_classes
from hftransfer.core.errors import DataError
from hftransfer.core.features import Kind, open_image, rgb
from hftransfer.tasks import Batch, Outputs, Task, _boxes
from hftransfer.tasks._pictures import new_processor, resized_crop


class ObjectDetection(Task):
    """Images to boxes, each image scored without padding, so that its boxes do not depend on the others in its batch.

    Outputs: `logits` (rows, queries, classes), `boxes` (rows, queries, 4: middle, width and height as shares of the
    image), `size` (rows, 2: height and width of the image in pixels).
    """

    columns: ClassVar[dict[str, Kind]] = {"image": "image", "objects": "objects"}
    targets: ClassVar[frozenset[str]] = frozenset({"objects"})
    auto_model: ClassVar[str] = "AutoModelForObjectDetection"
    auto_processor: ClassVar[str] = "AutoImageProcessor"
    requires: ClassVar[dict[str, str]] = {"pycocotools": "vision"}

    box_format: Literal["coco", "pascal_voc", "yolo"] = "coco"
    """Of the column's boxes: coco is left, top, width, height in pixels; pascal_voc is left, top, right, bottom in
    pixels; yolo is middle x, middle y, width, height as shares of the image."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Boxes below this score are not shown as an answer; the mean average precision looks at all of them."""
    crop: float = Field(default=1.0, gt=0, le=1)
    """Training sees a random part of an image, at least this share of its area, in its full size; 1 leaves it whole.

    Boxes are cut with it; one of which less than half is left is none any more.
    """
    flip: bool = False
    """Training sees every other image mirrored, left for right, its boxes with it."""

    def metrics(self) -> list[str]:
        return ["map"]

    def open_processor(self, read: Callable[..., Any], config: Any, rows: Any) -> Any:
        return _as_model_takes(read(self.auto_processor), config)

    def new_processor(self, config: Any, rows: Any) -> Any:
        return _as_model_takes(new_processor(config) or super().new_processor(config, rows), config)

    def check_row(self, row: dict[str, Any]) -> str | None:
        return _boxes.row_fault(row["objects"], row["image"].size, self.box_format)

    def named(self, rows: Any) -> list[list[str]] | None:
        own = _boxes.names(rows.features["objects"])
        found = [_boxes.parts(objects)[1] for objects in rows["objects"][:]]
        return [[own[it] if own else str(it) for it in categories] for categories in found]

    def find_labels(self, splits: dict[str, Any]) -> tuple[str, ...]:
        found = super().find_labels(splits)
        for split, rows in splits.items():
            if not any(_boxes.parts(objects)[1] for objects in rows["objects"]):
                raise DataError(
                    f"no image of split '{split}' has a box, as where they are kept from the public; data.splits names "
                    "another split, or a larger part of the training rows"
                )
        return tuple(it for it in _boxes.names(splits["train"].features["objects"]) or found if it in found)

    def index(self, rows: Any) -> Any:
        """The boxes as corners (left, top, right, bottom) in pixels, under the numbers of their labels."""
        from datasets import List, Value

        ids = {name: i for i, name in enumerate(self.labels)}
        # The images are decoded only where the boxes are shares of them.
        sizes = [image.size for image in rows["image"]] if self.box_format == "yolo" else [(1, 1)] * len(rows)
        column = []
        for objects, size, names in zip(rows["objects"][:], sizes, self.named(rows) or [], strict=True):
            corners = _boxes.corners(_boxes.parts(objects)[0], size, self.box_format)
            column.append({"bbox": corners.tolist(), "category": [ids[name] for name in names]})
        feature = {"bbox": List(List(Value("float32"))), "category": List(Value("int64"))}
        return rows.remove_columns("objects").add_column("objects", column, feature=feature)

    def check(self, splits: dict[str, Any], config: Any) -> list[str]:
        queries = getattr(config, "num_detection_tokens", None) or getattr(config, "num_queries", None)
        boxes = [_corners(objects) for objects in splits["train"]["objects"][:]]
        most, told = max(map(len, boxes)), []
        if queries is not None and most > queries:
            told.append(f"a training image has {most} boxes, and the model finds at most {queries} in an image")
        corners = np.concatenate(boxes)
        sizes = corners[:, 2:] - corners[:, :2]
        if self.box_format == "coco" and len(corners) >= 10 and (sizes > corners[:, :2]).all():
            told.append("all boxes could be corners too, left, top, right, bottom: task.box_format: pascal_voc?")
        return told

    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        encoded: dict[str, list[Any]] = {name: [] for name in ("pixel_values", "shape", "size", "length")}
        for image in rows["image"]:
            pixels = self.processor(images=[rgb(image)], return_tensors="np")["pixel_values"][0]
            encoded["shape"].append(np.array(pixels.shape))
            # Flat, since a table has no column for arrays of many shapes.
            encoded["pixel_values"].append(pixels.astype(np.float32).ravel())
            encoded["size"].append(np.array([image.height, image.width]))
            encoded["length"].append(pixels.shape[1] * pixels.shape[2])
        if "objects" in rows:
            cells = zip(rows["objects"], rows["image"], strict=True)
            found = [_boxes.shares(_corners(objects), image.size) for objects, image in cells]
            encoded["boxes"] = [boxes.astype(np.float32).ravel() for boxes in found]
            encoded["class_labels"] = [np.array(o["category"], dtype=np.int64) for o in rows["objects"]]
        return encoded

    @property
    def augments(self) -> bool:
        return self.flip or self.crop < 1

    def augment(self, row: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
        pixels = np.asarray(row["pixel_values"], np.float32).reshape(row["shape"])
        boxes, labels = np.asarray(row["boxes"]).reshape(-1, 4), np.asarray(row["class_labels"])
        if self.crop < 1:
            pixels, part = resized_crop(pixels, self.crop, draw)
            boxes, kept = _boxes.within(boxes, part)
            labels = labels[kept]
        if self.flip and draw.random() < 0.5:
            pixels, boxes = pixels[..., ::-1], boxes * [-1, 1, 1, 1] + [1, 0, 0, 0]
        varied = {"pixel_values": pixels.ravel(), "boxes": boxes.astype(np.float32).ravel(), "class_labels": labels}
        return row | varied

    def collator(self) -> Callable[[list[dict[str, Any]]], Batch]:
        """Images padded to the largest; the boxes are shares of the unpadded ones, as DETR and YOLOS were trained."""
        import torch

        masked = "pixel_mask" in self.processor.model_input_names

        def collate(rows: list[dict[str, Any]]) -> Batch:
            images = [np.asarray(row["pixel_values"], np.float32).reshape(row["shape"]) for row in rows]
            height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
            pixels = np.zeros((len(rows), len(images[0]), height, width), np.float32)
            mask = np.zeros((len(rows), height, width), np.int64)
            for number, image in enumerate(images):
                pixels[number, :, : image.shape[1], : image.shape[2]] = image
                mask[number, : image.shape[1], : image.shape[2]] = 1
            batch: Batch = {"pixel_values": torch.from_numpy(pixels)}
            if masked:
                batch["pixel_mask"] = torch.from_numpy(mask)
            batch["labels"] = [_target(row) for row in rows]
            return batch

        def _target(row: dict[str, Any]) -> dict[str, Any]:
            target = {"size": torch.tensor(row["shape"][1:]), "orig_size": torch.tensor(row["size"])}
            if "boxes" in row:
                target["boxes"] = torch.tensor(np.asarray(row["boxes"], np.float32)).view(-1, 4)
                target["class_labels"] = torch.tensor(np.asarray(row["class_labels"], np.int64))
            return target

        return collate

    def predict(self, model: Any, batch: Batch) -> Outputs:
        sizes = [tuple(target["size"].tolist()) for target in batch["labels"]]
        found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for height, width in sorted(set(sizes)):
            rows = [row for row, size in enumerate(sizes) if size == (height, width)]
            inputs = {name: cells[rows, ..., :height, :width] for name, cells in batch.items() if name != "labels"}
            made = model(**inputs)
            arrays = (made.logits.float().cpu().numpy(), made.pred_boxes.float().cpu().numpy())
            found |= dict(zip(rows, zip(*arrays, strict=True), strict=True))
        logits, boxes = (np.stack([found[row][i] for row in range(len(sizes))]) for i in (0, 1))
        size = np.stack([target["orig_size"].cpu().numpy() for target in batch["labels"]])
        return {"logits": logits, "boxes": boxes, "size": size}

    def postprocess(self, outputs: Outputs) -> np.ndarray:
        """Boxes (left, top, right, bottom, in pixels), their labels and scores, the surest first, at most 100."""
        import torch

        made = SimpleNamespace(logits=torch.tensor(outputs["logits"]), pred_boxes=torch.tensor(outputs["boxes"]))
        sizes = torch.tensor(outputs["size"])
        decided = np.empty(len(sizes), dtype=object)
        for row, found in enumerate(self.processor.post_process_object_detection(made, 0.0, sizes)):
            best = found["scores"].argsort(descending=True, stable=True)[:100]
            labels = [self.labels[i] for i in found["labels"][best].tolist()]
            decided[row] = {
                "boxes": found["boxes"][best].numpy(),
                "labels": labels,
                "scores": found["scores"][best].numpy(),
            }
        return decided

    def references(self, rows: Any) -> np.ndarray:
        found = np.empty(len(rows), dtype=object)
        for row, objects in enumerate(rows["objects"][:]):
            labels = [self.labels[i] for i in objects["category"]]
            found[row] = {"boxes": _corners(objects), "labels": labels, "scores": np.ones(len(labels))}
        return found

    def _sure(self, found: dict[str, Any]) -> list[tuple[str, float, list[float]]]:
        """Label, score and box of what is found above the threshold."""
        rows = zip(found["labels"], found["scores"].tolist(), found["boxes"].tolist(), strict=True)
        return [(label, score, box) for label, score, box in rows if score >= self.threshold]

    def _missed(self, mine: dict[str, Any], theirs: dict[str, Any]) -> float:
        """Share of the boxes of both that have no partner in the other."""
        one, other = self._sure(mine), self._sure(theirs)
        pairs = _boxes.pairs([(label, box) for label, _, box in one], [(label, box) for label, _, box in other])
        return 1 - 2 * pairs / (len(one) + len(other)) if one or other else 0.0

    def same(self, mine: np.ndarray, theirs: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Rows where every box above the threshold has a partner, of its label, that covers it by half or more."""
        return np.array([self._missed(one, other) == 0 for one, other in zip(mine, theirs, strict=True)])

    def losses(self, outputs: Outputs, references: np.ndarray) -> np.ndarray:
        """Share of the boxes, found and true ones together, that have no partner."""
        return np.array([self._missed(p, r) for p, r in zip(self.postprocess(outputs), references, strict=True)])

    def describe(self, value: Any) -> str:
        sure = self._sure(value)
        return "; ".join(f"{label} {[round(side) for side in box]}" for label, _, box in sure) or "nothing"

    def read(self, text: str) -> dict[str, Any]:
        return {"image": open_image(text)}

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        layers = [(self._sure(reference), "#12a05c"), (self._sure(prediction), "#e5484d")]
        buffer = io.BytesIO()
        _boxes.drawn(rgb(row["image"]), layers).save(buffer, format="PNG")
        return {"image": base64.b64encode(buffer.getvalue()).decode("ascii")}

    def answer(self, outputs: Outputs) -> dict[str, Any]:
        names = ("xmin", "ymin", "xmax", "ymax")
        return {
            "objects": [
                {"label": label, "score": score, "box": dict(zip(names, box, strict=True))}
                for label, score, box in self._sure(self.postprocess(outputs)[0])
            ]
        }


def _corners(objects: dict[str, Any]) -> np.ndarray:
    """Of an image, shape (boxes, 4)."""
    return np.array(objects["bbox"], dtype=float).reshape(-1, 4)


def _as_model_takes(processor: Any, config: Any) -> Any:
    """The processor, promising only those inputs that the model has (YOLOS has no mask)."""
    for kind in model_classes("AutoModelForObjectDetection", config)[:1]:
        taken = inspect.signature(kind.forward).parameters
        processor.model_input_names = [name for name in processor.model_input_names if name in taken]
    return processor
