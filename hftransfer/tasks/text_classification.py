"""One label, several labels or a number for a text or a pair of texts.

https://huggingface.co/docs/transformers/tasks/sequence_classification
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from hftransfer.core.arrow import read_rows
from hftransfer.core.empty_model import empty_model
from hftransfer.core.errors import DataError, ModelError
from hftransfer.core.features import Feature, Text
from hftransfer.tasks import Encoded, EncodedRow, ModelBatch, Processor, Rendered, Row, Rows
from hftransfer.tasks._classification import Classification
from hftransfer.tasks._limits import refuse_unknown_ids
from hftransfer.tasks._text import (
    check_positions,
    open_for_pairs,
    pad_batch,
    snippet_inputs,
    tokens_kept,
    truncated,
    truncated_shares,
)

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from transformers import PretrainedConfig

    from hftransfer.core.data_facts import InputFact


class TextClassification(Classification):
    """Texts to labels. Inputs: `input_ids` and `attention_mask` of shape (batch, tokens of the longest row)."""

    inputs: ClassVar[dict[str, Feature]] = {"text": Text(), "text_pair": Text(optional=True)}
    auto_model: ClassVar[str] = "AutoModelForSequenceClassification"
    auto_processor: ClassVar[str] = "AutoTokenizer"
    augmentations: ClassVar[tuple[str, ...]] = ("word_dropout", "swap")
    tiny_model: ClassVar[str] = "bert"
    suggested_checkpoints = {"text": ("sentence-transformers/all-MiniLM-L6-v2", "sample:minilm")}

    max_length: int = Field(default=256, ge=2, le=10**6)
    """Tokens kept of a text, or of both texts of a pair together; longer ones are truncated."""
    pairs: bool | None = None
    """Whether a row is two texts; left out, it is inferred from the columns."""

    @property
    def pipeline_example(self) -> str:
        return '{"text": "A text.", "text_pair": "Another."}' if self.pairs else super().pipeline_example

    def infer(self, rows: Dataset) -> Self:
        has_pairs = "text_pair" in rows.column_names
        if self.pairs not in (None, has_pairs):
            texts = "two texts" if has_pairs else "one text: there is no column 'text_pair'"
            raise DataError(f"task.pairs is {str(self.pairs).lower()}, and each row has {texts}")
        return super().infer(rows).model_copy(update={"pairs": has_pairs})

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        return open_for_pairs(read, self.auto_processor, config)

    def config_fields(self) -> dict[str, Any]:
        """Generative models find the end of a text by its padding, and their configs often name none."""
        known = self.processor is None or getattr(self.architecture, "pad_token_id", None) is not None
        return super().config_fields() | ({} if known else {"pad_token_id": self.processor.pad_token_id})

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        super().check(splits, config)
        check_positions(self.auto_model, config, self.max_length, self.processor)
        if self._regression and self.mean:
            self._check_bias(config)
        return truncated(splits, "max_length", tokens_kept(self.max_length, self.processor), self._tokens)

    def _check_bias(self, config: PretrainedConfig) -> None:
        """Refuse a regression whose mean the last layer cannot hold.

        Raises:
            ModelError: the layer has no bias.
        """
        import torch

        model = empty_model(self.auto_model, config)
        last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
        if last.bias is None:
            spread = ((self.mean or 0) ** 2 + (self.std or 0) ** 2) ** 0.5
            raise ModelError(
                f"the head of a {type(model).__name__} has no bias to hold the mean of the numbers: "
                f"give task.mean: 0 and task.std: {spread:.4g}"
            )

    def _tokens(self, rows: Rows) -> list[list[int]]:
        ids: list[list[int]] = self.processor(rows["text"], rows.get("text_pair"), verbose=False)["input_ids"]
        refuse_unknown_ids(ids, self.processor, self.architecture)
        return ids

    def token_counts(self, rows: Dataset) -> tuple[list[list[int]], int] | None:
        if "text" not in rows.column_names:
            # Of a task that makes its texts of other inputs.
            return None
        return self._tokens(read_rows(rows)), tokens_kept(self.max_length, self.processor)

    def input_facts(self, rows: Dataset) -> dict[InputFact, np.ndarray]:
        counted = self.token_counts(rows)
        return {"truncated": truncated_shares(*counted)} if counted else {}

    def encode(self, rows: Rows) -> Encoded:
        length = tokens_kept(self.max_length, self.processor)
        inputs = dict(self.processor(rows["text"], rows.get("text_pair"), truncation=True, max_length=length))
        refuse_unknown_ids(inputs["input_ids"], self.processor, self.architecture)
        if "label" in rows:
            inputs["labels"] = self._targets(rows["label"])
        return Encoded(inputs, length=[len(ids) for ids in inputs["input_ids"]])

    def script_values(self, rows: Dataset) -> dict[str, Any]:
        collated = {"collator": "DataCollatorWithPadding(processor)", "masked": True}
        fields = {"max_length": self.max_length, "pairs": self.pairs, "left": self.processor.padding_side == "left"}
        return super().script_values(rows) | collated | fields | {"processor_type": "PreTrainedTokenizerBase"}

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        return pad_batch(self.processor, encoded)

    def runtime_snippet(self) -> str:
        if not self.processor.is_fast:
            return ""
        texts = '"A text.", "Another."' if self.pairs else '"A text."'
        return self._snippet(snippet_inputs(self.max_length, self.processor, f"made = tokenizer.encode({texts})"))

    @property
    def asked(self) -> dict[str, Feature]:
        return {role: Text() for role in self.inputs if role == "text" or self.pairs}

    def parse(self, text: str) -> Row:
        """Two texts have a tab between them."""
        if not self.pairs:
            return {"text": text}
        texts = text.split("\t")
        if len(texts) != 2:
            raise DataError(f"'{text[:40]}': the model reads two texts; write both as one argument, a tab between them")
        return dict(zip(("text", "text_pair"), texts, strict=True))

    def render(self, row: Row, prediction: Any, reference: Any) -> Rendered:
        return {"text": " / ".join(row[role] for role in ("text", "text_pair") if role in row)[:400]}
