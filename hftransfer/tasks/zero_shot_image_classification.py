"""Images and texts in one space (CLIP, SigLIP): any class by a prompt, and retrieval of images and captions.

https://huggingface.co/docs/transformers/tasks/zero_shot_image_classification
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hftransfer.core.errors import DataError
from hftransfer.core.features import Feature, Image, Text
from hftransfer.tasks import Encoded, ModelBatch, Outputs, Predictions, Side, object_array, replace_loss
from hftransfer.tasks import _clip as contrastive
from hftransfer.tasks._caption_retrieval import CaptionRetrieval, content_id
from hftransfer.tasks._image_task import ImageTask
from hftransfer.tasks._images import thumbnail
from hftransfer.tasks._pixels import encode_pixels, normalized
from hftransfer.tasks._prompts import PromptedClasses
from hftransfer.tasks._types import EncodedRow, Model, Processor, Rendered, Row, Rows

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel

_NO_HEAD = "the model has no head of classes, whose names are texts to it"


class ZeroShotImageClassification(PromptedClasses, CaptionRetrieval, ImageTask):
    """Images with captions, classes or both. Inputs: `pixel_values`, `input_ids`, and `labels`, of text and image.

    Training draws an image to its text and away from the others of the batch, that of one step and one process. Of rows
    with captions `outputs` has `image_embeds` and `text_embeds` too, both of shape (rows, size).
    """

    inputs: ClassVar[dict[str, Feature]] = {"image": Image(), "text": Text(optional=True)}
    auto_model: ClassVar[str] = "AutoModelForZeroShotImageClassification"
    auto_processor: ClassVar[str] = "AutoProcessor"
    metrics: ClassVar[list[str]] = ["accuracy", "image_to_text_recall", "text_to_image_recall"]
    output_names: ClassVar[tuple[str, ...]] = ("logits_per_image",)
    augmentations: ClassVar[tuple[str, ...]] = ("brightness", "contrast", "shift", "rotate", "erase")
    refuses: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("distill", "few_shot", "linear_probe", "lp_ft", "multi_task"), _NO_HEAD),
        "prune": "it takes layers out of one list, and the model has a tower for images and one for texts",
    }
    tiny_model: ClassVar[str] = "clip"
    suggested_checkpoints = {"image": ("openai/clip-vit-base-patch32",)}

    def infer(self, rows: Dataset) -> Self:
        if not {"text", "label"} & set(rows.column_names):
            raise DataError("the rows have neither captions nor classes: data.columns.text or data.columns.label")
        return self

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        return contrastive.checked_processor(read(self.auto_processor), config)

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> Processor:
        texts = [*(rows["text"][:] if self._captions else ()), *self.class_prompts(self.labels)]
        return contrastive.new_clip_processor(config, texts)

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        warnings = super().check(splits, config)
        texts = splits["train"]["text"][:1000] if self._captions else self.class_prompts(self.labels)
        return warnings + contrastive.check_texts(self.processor, config, texts, self.image_size)

    @property
    def replaces_loss(self) -> bool:
        return True

    def install_loss(self, model: PreTrainedModel, references: Predictions) -> None:
        replace_loss(model, contrastive.contrastive_loss(contrastive.is_sigmoid(self.architecture)))

    def encode(self, rows: Rows) -> Encoded:
        pixels = encode_pixels(self.processor.image_processor, [self.rgb(image) for image in rows["image"]])
        images = [content_id(array.tobytes()) for array in pixels]
        inputs, side = {"pixel_values": list(pixels)}, {}
        if "text" in rows:
            texts, side["text"] = rows["text"], rows["text"]
            numbers = [content_id(text.encode()) for text in texts]
        elif "label" in rows:
            numbers = rows["label"]
            texts = [self.prompt(self.labels[label], image) for label, image in zip(numbers, images, strict=True)]
        else:
            return Encoded(inputs, {name: rows[name] for name in ("candidates",) if name in rows})
        side["ids"] = [np.array(pair) for pair in zip(numbers, images, strict=True)]
        tokens = contrastive.tokenized(self.processor, self.architecture, texts)
        return Encoded(inputs | tokens | {"labels": side["ids"]}, side)

    def normalize(self, row: EncodedRow) -> EncodedRow:
        return row | {"pixel_values": normalized(self.processor.image_processor, row["pixel_values"])}

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        import torch

        rows = [self.normalize(row) for row in encoded]
        stacked = {
            name: np.stack([row[name] for row in rows]) for name in ("pixel_values", "labels") if name in rows[0]
        }
        batch: ModelBatch = {name: torch.from_numpy(array) for name, array in stacked.items()}
        tokens = {name: [np.asarray(row[name]).tolist() for row in rows] for name in rows[0].keys() - batch.keys()}
        return batch | (contrastive.padded(self.processor, self.architecture, tokens) if tokens else {})

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        """One pass of the model over the images, their captions, and the prompts of all classes."""
        captions = list(map(str, side.get("text", ())))
        classes = side["candidates"][0] if "candidates" in side else self.class_prompts(self.labels)
        tokens = contrastive.tokenized(self.processor, self.architecture, [*captions, *classes])
        pixels = batch["pixel_values"]
        texts = contrastive.padded(self.processor, self.architecture, tokens)
        result = model(pixel_values=pixels, **{name: it.to(pixels.device) for name, it in texts.items()})
        found: Outputs = {}
        if classes:
            logits = result.logits_per_image[:, len(captions) :].float().cpu().numpy()
            prompts = len(self.prompts) if "candidates" not in side else 1
            found["logits_per_image"] = logits.reshape(len(logits), -1, prompts).mean(axis=2)
        if captions:
            found["image_embeds"] = result.image_embeds.float().cpu().numpy()
            found["text_embeds"] = result.text_embeds[: len(captions)].float().cpu().numpy()
        return found

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        """Class numbers; of rows with captions alone the most similar caption of the split."""
        if "logits_per_image" in outputs:
            return np.asarray(outputs["logits_per_image"].argmax(axis=1))
        return self.nearest_texts(outputs, side)

    def references(self, rows: Dataset) -> Predictions:
        return np.array(rows["label"][:], dtype=int) if self.labels else object_array(rows["text"][:])

    def probabilities(self, outputs: Outputs, side: Side) -> np.ndarray | None:
        logits = outputs.get("logits_per_image")
        return None if logits is None else contrastive.probabilities(logits, self.architecture)

    def default_metrics(self) -> list[str]:
        accuracy = ["accuracy"] * bool(self.labels) + ["open_set_accuracy"] * self._unseen
        return [*accuracy, *(self.metrics[1:] if self._captions else ())]

    def baseline(self, references: Predictions) -> Outputs:
        """The most frequent class, and one ranking for every row."""
        if self.labels:
            return {"logits_per_image": self.constant_logits(references)}
        return self.constant_embeddings()

    def render(self, row: Row, prediction: Any, reference: Any) -> Rendered:
        return thumbnail(self.rgb(row["image"]))
