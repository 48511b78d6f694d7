"""The catalogue of recommendation: the items of the second table, their numbers, how often training rows hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, PrivateAttr

from hftransfer.core.arrow import read_column
from hftransfer.core.errors import DataError
from hftransfer.core.features import Feature, Text
from hftransfer.tasks import Processor, Rendered, Row, Task
from hftransfer.tasks._recommend_model import FIELD, ItemTexts, loader
from hftransfer.tasks._recommend_rows import counts, numbers_of
from hftransfer.tasks._recommend_snippet import USAGE
from hftransfer.tasks._text import check_positions, open_for_pairs, tokens_kept

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig


class Catalogue(Task):
    """Adds the items, what the config says of them, and how the model is loaded.

    The config of a trained model holds the ids, so that `predict` needs no second table.
    """

    items: ClassVar[dict[str, Feature]] = {"text": Text()}
    auto_model: ClassVar[str] = "AutoModel"
    auto_processor: ClassVar[str] = "AutoTokenizer"

    max_length: int = Field(default=64, ge=2, le=10**6)
    """Tokens kept of the text of an item; longer ones are truncated."""

    _ids: dict[str, int] = PrivateAttr(default_factory=dict)
    _counts: list[int] = PrivateAttr(default_factory=list)
    _pooling: str = PrivateAttr(default="mean")

    @property
    def ids(self) -> list[str]:
        """The ids of all items, in the order of their numbers."""
        return list(self._ids)

    def with_items(self, table: Dataset) -> Self:
        """The task with the numbers of its items."""
        return super().with_items(table)._with(ids=_numbered(read_column(table, "id")))

    def with_processor(self, processor: Processor, architecture: PretrainedConfig | None = None) -> Self:
        """The task with the checkpoint's processor and config and, where there is no table, its items."""
        stored = getattr(architecture, FIELD, None)
        ids = _numbered(stored["items"]) if stored and not self._ids else None
        return super().with_processor(processor, architecture)._with(ids=ids)

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        return open_for_pairs(read, self.auto_processor, config)

    def with_pooling(self, named: Callable[[], str | None]) -> Self:
        return super().with_pooling(named)._with(pooling=named())

    def fit(self, rows: Dataset) -> Self:
        """The task with how many training rows hold each item."""
        return self._with(counts=counts(rows.select_columns(["history", "item"])[:], self._ids))

    def numbers(self, lists: Sequence[Sequence[str] | None], role: str) -> list[list[int]]:
        """The item numbers of lists of ids.

        Raises:
            DataError: an id is none of the catalogue's.
        """
        return [numbers_of(ids or [], self._ids, role) for ids in lists]

    def config_fields(self) -> dict[str, Any]:
        return {FIELD: self._description}

    @property
    def _description(self) -> dict[str, Any]:
        """What the model reads of its config."""
        sizes = {name: getattr(self, name) for name in ("max_history", "size", "layers", "attention_heads", "dropout")}
        return {"items": self.ids, "popularity": self._counts or [0] * len(self._ids), **sizes}

    def head_fits(self, config: PretrainedConfig) -> bool:
        """Whether the checkpoint is a recommender of the very items."""
        stored = getattr(config, FIELD, None)
        return stored is not None and stored["items"] == self.ids

    def model_loader(self, config: PretrainedConfig) -> Any:
        texts = None
        if self.items_table is not None:
            texts = ItemTexts(
                read_column(self.items_table, "text"),
                self.processor,
                tokens_kept(self.max_length, self.processor),
                self._pooling,
            )
        return loader(config, self._description, texts)

    def check_texts(self, config: PretrainedConfig) -> None:
        """Refuse texts longer than the encoder's positions."""
        check_positions(self.auto_model, config, self.max_length, self.processor)

    def check_items(self, splits: Mapping[str, Dataset]) -> list[str]:
        """Warnings of items that no training row holds, and which are asked for.

        Raises:
            DataError: a row names an item that the catalogue lacks.
        """
        for split, rows in splits.items():
            for role in [role for role in ("history", "seen") if role in rows.column_names]:
                for row, ids in enumerate(read_column(rows, role)):
                    try:
                        self.numbers([ids], role)
                    except DataError as error:
                        raise DataError(f"row {row} of split '{split}': {error}") from None
        asked = [self._ids[item] for item in read_column(splits["test"], "item")]
        cold = sum(not self._counts[number] for number in asked)
        return [f"{cold} of {len(asked)} test rows ask for items that no training row holds"] if cold else []

    def describe(self, value: Any) -> str:
        """Items by their texts, where these are at hand."""
        texts = self._shown
        return "; ".join(texts[number] for number in value) or "no items"

    def render(self, row: Row, prediction: Any, reference: Any) -> Rendered:
        """The last five items before."""
        return {"text": f"liked last: {self.describe(self.numbers([row['history'][-5:]], 'history')[0])}"}

    @cached_property
    def _shown(self) -> list[str]:
        return self.ids if self.items_table is None else [f"{it:.60}" for it in read_column(self.items_table, "text")]

    @property
    def usage_snippet(self) -> tuple[str, str, str]:
        return USAGE


def _numbered(ids: Sequence[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(ids)}
