"""One label, several labels or a number for a text or a pair of texts.

https://huggingface.co/docs/transformers/tasks/sequence_classification
"""

import copy
from collections.abc import Callable
from typing import Any, ClassVar, Self

from pydantic import Field

from hftransfer.core.errors import DataError, ModelError
from hftransfer.core.features import Kind
from hftransfer.tasks import Batch
from hftransfer.tasks._classification import _Classification
from hftransfer.tasks._text import check_positions, cut, longest, padded, plain_inputs


class TextClassification(_Classification):
    """Texts to labels. Inputs: `input_ids` and `attention_mask` of shape (batch, tokens of the longest row)."""

    columns: ClassVar[dict[str, Kind]] = {"text": "text", "text_pair": "text", "label": "label"}
    optional: ClassVar[frozenset[str]] = frozenset({"text_pair"})
    auto_model: ClassVar[str] = "AutoModelForSequenceClassification"
    auto_processor: ClassVar[str] = "AutoTokenizer"

    max_length: int = Field(default=256, ge=2)
    """Tokens kept of a text, or of both texts of a pair together; longer ones are cut."""
    pairs: bool | None = None
    """Whether a row is two texts; left out, it is read off the columns."""

    @property
    def example(self) -> str:
        return '{"text": "A text.", "text_pair": "Another."}' if self.pairs else super().example

    def resolve(self, rows: Any) -> Self:
        found = "text_pair" in rows.column_names
        if self.pairs not in (None, found):
            texts = "two texts" if found else "one text: there is no column 'text_pair'"
            raise DataError(f"task.pairs is {str(self.pairs).lower()}, and each row has {texts}")
        return super().resolve(rows).model_copy(update={"pairs": found})

    def open_processor(self, read: Callable[..., Any], config: Any, rows: Any) -> Any:
        return padded(super().open_processor(read, config, rows))

    def config(self) -> dict[str, Any]:
        """Models that write tell where a text ends by its padding, and their configs often name none."""
        known = self.processor is None or getattr(self.architecture, "pad_token_id", None) is not None
        return super().config() | ({} if known else {"pad_token_id": self.processor.pad_token_id})

    def check(self, splits: dict[str, Any], config: Any) -> list[str]:
        import torch
        import transformers

        check_positions(self.max_length, self.processor, config)
        if self.problem_type == "regression" and self.mean:
            with torch.device("meta"):
                model = transformers.AutoModelForSequenceClassification.from_config(copy.deepcopy(config))
            if [it for it in model.modules() if isinstance(it, torch.nn.Linear)][-1].bias is None:
                spread = (self.mean**2 + (self.std or 0) ** 2) ** 0.5
                raise ModelError(
                    f"the head of a {type(model).__name__} has no bias to hold the mean of the numbers: "
                    f"give task.mean: 0 and task.std: {spread:.4g}"
                )
        return cut(splits, "max_length", longest(self.max_length, self.processor), self._tokens)

    def _tokens(self, rows: dict[str, list[Any]]) -> Any:
        return self.processor(rows["text"], rows.get("text_pair"), verbose=False)["input_ids"]

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
        if not self.processor.is_fast:
            return ""
        texts = '"A text.", "Another."' if self.pairs else '"A text."'
        return self._plain(plain_inputs(self.max_length, self.processor, f"made = tokenizer.encode({texts})"))

    def read(self, text: str) -> dict[str, Any]:
        """Two texts have a tab between them."""
        if not self.pairs:
            return {"text": text}
        texts = text.split("\t")
        if len(texts) != 2:
            raise DataError(f"'{text[:40]}': the model reads two texts; write both as one argument, a tab between them")
        return dict(zip(("text", "text_pair"), texts, strict=True))

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        return {"text": " / ".join(row[role] for role in ("text", "text_pair") if role in row)[:400]}
