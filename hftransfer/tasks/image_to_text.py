"""An image to the text in it: TrOCR (https://arxiv.org/abs/2109.10282), Donut and other encoder-decoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hftransfer.core.empty_model import empty_model
from hftransfer.core.features import Feature, Image, Text
from hftransfer.core.results import JsonObject
from hftransfer.tasks import IGNORED, Encoded, ModelBatch, Outputs, Processor, Rows, Side
from hftransfer.tasks._generation import generation_outputs, word_changes
from hftransfer.tasks._image_input import ImageInput
from hftransfer.tasks._image_text import (
    WrittenText,
    character_tokenizer,
    check_parts,
    scale_pixels,
    set_decoder,
    shortened,
)
from hftransfer.tasks._images import input_facts, new_processor, rendered, rgb_lines
from hftransfer.tasks._limits import SAMPLED, check_start, position_limit, refuse_longer
from hftransfer.tasks._pixels import encode_pixels, normalized
from hftransfer.tasks._text import padded
from hftransfer.tasks._types import EncodedRow, Model, Row

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

    from hftransfer.core.data_facts import InputFact


class ImageToText(ImageInput, WrittenText):
    """Images to texts. Inputs: `pixel_values` of shape (batch, 3, height, width), as the image processor makes them.

    Outputs: `ids` of shape (rows, tokens), generated, and `logprobs` of the reference's tokens by teacher forcing.
    """

    inputs: ClassVar[dict[str, Feature]] = {"image": Image()}
    target: ClassVar[tuple[str, Feature] | None] = ("text", Text())
    auto_model: ClassVar[str] = "AutoModelForImageTextToText"
    auto_processor: ClassVar[str] = "AutoProcessor"
    metrics: ClassVar[list[str]] = ["cer", "wer"]
    requires: ClassVar[dict[str, str]] = {"jiwer": "speech"}
    augmentations: ClassVar[tuple[str, ...]] = ("brightness", "contrast")
    refuses: ClassVar[dict[str, str]] = {
        "few_shot": "it compares rows of one class each, and these have texts",
        "distill": "the texts of a teacher are no labels for another model",
        "linear_probe": "a model that writes texts has no head that could be trained alone",
        "lp_ft": "a model that writes texts has no head that could be trained alone",
    }
    tiny_model: ClassVar[str] = "vision-encoder-decoder"
    suggested_checkpoints = {"image": ("microsoft/trocr-small-printed",)}

    @property
    def usage_snippet(self) -> tuple[str, str, str]:
        """Transformers 5 has no pipeline for it, and that of 4 lays no transparency on a background."""
        numpy = "" if self.pixel_range is None else "import numpy as np\n"
        classes = f"from transformers import {self.auto_model}, {self.auto_processor}"
        return (
            f"{numpy}from PIL import Image, ImageOps\n{classes}",
            f"processor = {self.auto_processor}.from_pretrained(repo)\nmodel = {self.auto_model}.from_pretrained(repo)",
            f"{rgb_lines(self.pixel_range, self.background)}"
            'pixels = processor(images=image, return_tensors="pt").pixel_values\n'
            f"(ids,) = model.generate(pixel_values=pixels, num_beams={self.num_beams}, "
            f"max_new_tokens={self.max_target_length})\n"
            'answer = " ".join(processor.tokenizer.decode(ids, skip_special_tokens=True).split())',
        )

    @property
    def pipeline_preparation(self) -> tuple[str, str]:
        return "", ""

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        """The checkpoint's; where it names none, its image processor and its tokenizer together."""
        from transformers import TrOCRProcessor

        check_parts(config)
        processor = read(self.auto_processor)
        if not (hasattr(processor, "image_processor") and hasattr(processor, "tokenizer")):
            parts = {"image_processor": read("AutoImageProcessor"), "tokenizer": read("AutoTokenizer")}
            processor = TrOCRProcessor(**parts)
        padded(processor.tokenizer)
        if rows is not None:
            set_decoder(config, processor.tokenizer)
        return processor

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> Processor:
        """The encoder's image processor, scaled to the training images, and a tokenizer of their texts' characters."""
        from transformers import TrOCRProcessor

        check_parts(config)
        images = new_processor(config.encoder) or super().new_processor(config, rows)
        sampled = rows.select(range(min(SAMPLED, len(rows))))
        scale_pixels(images, (self.rgb(row["image"]) for row in sampled))
        tokenizer = character_tokenizer(rows["text"][:])
        set_decoder(config, tokenizer, new_vocabulary=True)
        return TrOCRProcessor(image_processor=images, tokenizer=tokenizer)

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        warnings = super().check(splits, config)
        model, length = empty_model(self.auto_model, config), self.max_target_length
        refuse_longer("max_target_length", length, length, position_limit(model, generates=True))
        check_start(model, self.labels_of({"text": ["a"]})[0])
        return warnings + self.text_warnings(splits)

    def input_facts(self, rows: Dataset) -> dict[InputFact, np.ndarray]:
        def size_of(batch: Rows) -> tuple[int, int]:
            height, width = np.shape(self.encode(batch).inputs["pixel_values"][0])[1:]
            return height, width

        lost = [len(ids) > self.max_target_length for ids in self.labels_of({"text": rows["text"][:]})]
        return {**input_facts(rows, size_of), "label_lost": np.array(lost)}

    def encode(self, rows: Rows) -> Encoded:
        pixels = encode_pixels(self.processor.image_processor, [self.rgb(image) for image in rows["image"]])
        inputs = {"pixel_values": list(pixels)}
        if "text" in rows:
            inputs["labels"] = [shortened(ids, self.max_target_length) for ids in self.labels_of(rows)]
        return Encoded(inputs)

    def normalize(self, row: EncodedRow) -> EncodedRow:
        return row | {"pixel_values": normalized(self.processor.image_processor, row["pixel_values"])}

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        import torch

        pixels = [np.asarray(self.normalize(row)["pixel_values"], dtype=np.float32) for row in encoded]
        batch = {"pixel_values": torch.from_numpy(np.stack(pixels))}
        if "labels" in encoded[0]:
            labels = [torch.tensor(row["labels"]) for row in encoded]
            batch["labels"] = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED)
        return batch

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        inputs = {"pixel_values": batch["pixel_values"]}
        return generation_outputs(model, inputs, batch.get("labels"), self.max_target_length, self.num_beams)

    def render(self, row: Row, prediction: str, reference: str) -> JsonObject:
        picture = self.rgb(row["image"])
        picture.thumbnail((480, 240))
        return {**rendered(picture), "changes": word_changes(reference, prediction)}
