"""The inputs of anomaly detection: images, texts or recordings, whichever the rows have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from hftransfer.core.arrow import read_rows
from hftransfer.core.errors import DataError, RecipeError
from hftransfer.core.features import Audio, Feature, Image, Text
from hftransfer.tasks import Encoded, EncodedRow, ModelBatch, Processor, Rendered, Row, Rows, _audio
from hftransfer.tasks._image_input import ImageInput
from hftransfer.tasks._images import input_facts as image_facts
from hftransfer.tasks._images import new_processor, resized_to, thumbnail, without_crop
from hftransfer.tasks._limits import refuse_unknown_ids
from hftransfer.tasks._pixels import encode_pixels, normalized
from hftransfer.tasks._text import check_positions, open_for_pairs, pad_batch, tokens_kept, truncated, truncated_shares

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

    from hftransfer.core.data_facts import InputFact

Modality = Literal["image", "text", "audio"]
_MODALITIES: tuple[Modality, ...] = ("image", "text", "audio")
PROCESSORS = {"image": "AutoImageProcessor", "text": "AutoTokenizer", "audio": "AutoFeatureExtractor"}


class AnyInput(ImageInput):
    """Adds `modality`, and for each of them what encodes a row; images are resized whole, none of their edges is cut.

    Inputs: `pixel_values`, or `input_ids` and `attention_mask`, or the main input of the feature extractor.
    """

    inputs: ClassVar[dict[str, Feature]] = {
        "image": Image(optional=True),
        "text": Text(optional=True),
        "audio": Audio(optional=True),
    }

    modality: Modality | None = None
    """What is read of a row; left out, the first of `image`, `text` and `audio` that the rows have a column of."""
    image_size: int | None = Field(default=None, ge=8, le=8192)
    """Pixels of a side to which images are resized; left out, what the checkpoint's processor says."""
    max_length: int = Field(default=128, ge=2, le=10**6)
    """Tokens that are read of a text; longer ones are truncated."""

    def infer(self, rows: Dataset) -> Self:
        present = [name for name in _MODALITIES if name in rows.column_names]
        wanted = self.modality or next(iter(present), None)
        if wanted not in present:
            roles = f"'{wanted}'" if wanted else "'image', 'text' or 'audio'"
            raise DataError(
                f"'{self.name}' needs a column for the role {roles}, and the rows have none: data.columns maps it, "
                "several columns of numbers, [a, b], to a text"
            )
        ignored = [name for name in present if name != wanted]
        guesses = [f"of each row the {wanted} is read, and not {' nor '.join(ignored)} (task.modality)"]
        guessed = guesses if ignored and self.modality is None else []
        return self.model_copy(update={"modality": wanted})._with(guesses=guessed)

    def fit(self, rows: Dataset) -> Self:
        return super().fit(rows) if self.modality == "image" else self

    def check_row(self, row: Row) -> str | None:
        return _audio.fault(row) if "audio" in row else None

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        name = PROCESSORS[self.modality or "image"]
        if self.modality == "text":
            return open_for_pairs(read, name, config)
        processor = read(name)
        if self.modality == "audio":
            return processor
        return without_crop(resized_to(processor, self.image_size) if self.image_size else processor)

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> Processor:
        made = {"image": new_processor(config, self.image_size), "audio": None, "text": None}[self.modality or "image"]
        return made or super().new_processor(config, rows)

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        if self.modality == "image":
            return super().check(splits, config)
        if self.modality == "audio":
            _audio.check_extractor(self.processor)
            return _audio.truncated(splits, self.processor)
        check_positions(self.auto_model, config, self.max_length, self.processor)
        return truncated(splits, "max_length", tokens_kept(self.max_length, self.processor), self._tokens)

    def _tokens(self, rows: Rows) -> list[list[int]]:
        ids: list[list[int]] = self.processor(rows["text"], verbose=False)["input_ids"]
        refuse_unknown_ids(ids, self.processor, self.architecture)
        return ids

    def input_facts(self, rows: Dataset) -> dict[InputFact, np.ndarray]:
        if self.modality == "audio":
            return _audio.input_facts(rows["audio"], self.processor)
        if self.modality == "text":
            counts = self._tokens(read_rows(rows)), tokens_kept(self.max_length, self.processor)
            return {"truncated": truncated_shares(*counts)}

        def size_of(batch: Rows) -> tuple[int, int]:
            height, width = np.shape(self.encode(batch).inputs["pixel_values"][0])[1:]
            return height, width

        return image_facts(rows, size_of)

    def encode(self, rows: Rows) -> Encoded:
        if self.modality == "image":
            pixels = encode_pixels(self.processor, [self.rgb(image) for image in rows["image"]])
            return Encoded({"pixel_values": list(pixels)})
        if self.modality == "audio":
            name, arrays, lengths = _audio.extract_features(rows["audio"], self.processor)
            return Encoded({name: arrays}, length=lengths)
        length = tokens_kept(self.max_length, self.processor)
        inputs = dict(self.processor(rows["text"], truncation=True, max_length=length))
        refuse_unknown_ids(inputs["input_ids"], self.processor, self.architecture)
        return Encoded(inputs, length=[len(ids) for ids in inputs["input_ids"]])

    def normalize(self, row: EncodedRow) -> EncodedRow:
        if self.modality != "image":
            return row
        return row | {"pixel_values": normalized(self.processor, row["pixel_values"])}

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        from transformers import default_data_collator

        if self.modality == "text":
            return pad_batch(self.processor, encoded)
        if self.modality == "audio":
            return _audio.pad_batch(self.processor, self.architecture, encoded)
        return dict(default_data_collator([self.normalize(row) for row in encoded]))

    @property
    def asked(self) -> dict[str, Feature]:
        role = self.modality or "image"
        return {role: replace(self.inputs[role], optional=False)}

    def parse(self, text: str) -> Row:
        """A text, or the path of a file, which has no tab in its name."""
        role = self.modality or "image"
        if role != "text":
            text = text.partition("\t")[0]
        return {role: self.inputs[role].parse(text)}

    @property
    def pipeline_preparation(self) -> tuple[str, str]:
        """The card's snippet does it."""
        return "", ""

    def render(self, row: Row, prediction: Any, reference: Any) -> Rendered:
        if self.modality == "image":
            return thumbnail(self.rgb(row["image"]))
        return {**_audio.render(row["audio"])} if self.modality == "audio" else {"text": row["text"][:400]}


def refuse_patches(modality: Modality | None, method: str) -> None:
    """Refuse a method of patches for what has none.

    Raises:
        RecipeError: rows are no images.
    """
    if modality != "image":
        raise RecipeError(f"task.method: {method} compares places of images, and the rows are of {modality}; use knn")
