"""One label, several labels or a number for a text or a pair of texts.

https://huggingface.co/docs/transformers/tasks/sequence_classification
"""

from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import Field

from hftransfer.cells import Kind
from hftransfer.tasks import Batch
from hftransfer.tasks._classification import _Classification
from hftransfer.tasks._text import check_positions, longest, plain_inputs


class TextClassification(_Classification):
    """Texts to labels. Inputs: `input_ids` and `attention_mask` of shape (batch, tokens of the longest row)."""

    columns: ClassVar[dict[str, Kind]] = {"text": "text", "text_pair": "text", "label": "label"}
    optional: ClassVar[frozenset[str]] = frozenset({"text_pair"})
    auto_model: ClassVar[str] = "AutoModelForSequenceClassification"
    auto_processor: ClassVar[str] = "AutoTokenizer"

    max_length: int = Field(default=256, ge=2)
    """Tokens kept of a text; longer ones are cut."""

    def check(self, splits: dict[str, Any], config: Any) -> list[str]:
        check_positions(self.max_length, self.processor, config)
        return []

    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        length = longest(self.max_length, self.processor)
        encoded = dict(self.processor(rows["text"], rows.get("text_pair"), truncation=True, max_length=length))
        encoded["length"] = [len(ids) for ids in encoded["input_ids"]]
        if "label" in rows:
            encoded["labels"] = self._targets(rows["label"])
        return encoded

    def collator(self) -> Callable[[list[dict[str, Any]]], Batch]:
        from transformers import DataCollatorWithPadding

        pad = DataCollatorWithPadding(self.processor)

        def collate(rows: list[dict[str, Any]]) -> Batch:
            return dict(pad([{name: value for name, value in row.items() if name != "length"} for row in rows]))

        return collate

    def plain(self) -> str:
        return self._plain(plain_inputs(self.max_length, 'made = tokenizer.encode("A text.")'))

    def read(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        return {"text": " / ".join(row[role] for role in ("text", "text_pair") if role in row)[:400]}
