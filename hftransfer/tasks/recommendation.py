"""What a user will like next, of a catalogue of items with texts: out of what the user liked before, in time order.

A small causal transformer over frozen vectors of the items' texts (`_recommend_model.py`), held against popularity,
item-kNN and EASE (https://arxiv.org/abs/1905.03375), which read no text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from hftransfer.core import plugins
from hftransfer.core.features import Feature, Text
from hftransfer.core.results import JsonObject
from hftransfer.tasks import IGNORED, Encoded, EncodedRow, Model, ModelBatch, Outputs, Predictions, Row, Rows, Side
from hftransfer.tasks import _recommend_baselines as baselines
from hftransfer.tasks import _recommend_rows as sequences
from hftransfer.tasks._recommend_items import Catalogue
from hftransfer.tasks._types import object_array

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

_OTHERWISE = "the encoder of the texts is frozen, and what is trained is a small model of its own: use full or scratch"


class Recommendation(Catalogue):
    """Lists of item ids to a ranking of all other items.

    Inputs: `input_ids` and `attention_mask` of shape (rows, places). Outputs: `ranking` and `scores` of the 100 best
    items, shape (rows, 100). Items of `history` and `seen` are not ranked.
    """

    inputs: ClassVar[dict[str, Feature]] = {
        "history": sequences.Items(),
        "seen": sequences.Items(optional=True),
        "user": Text(optional=True),
    }
    target: ClassVar[tuple[str, Feature] | None] = ("item", Text())
    metrics: ClassVar[list[str]] = ["recall_at_10", "ndcg_at_10", "mrr_at_10"]
    own_baselines: ClassVar[tuple[str, ...]] = baselines.NAMES
    refuses: ClassVar[dict[str, str]] = {
        it: _OTHERWISE for it in plugins.names("strategies") if it not in ("full", "scratch")
    }
    # Of the names of users.
    refused_corruptions: ClassVar[tuple[str, ...]] = ("typos", "casing")
    tiny_model: ClassVar[str] = "bert"
    suggested_checkpoints = {"history": ("sentence-transformers/all-MiniLM-L6-v2", "sample:minilm")}

    max_history: int = Field(default=50, ge=1, le=10_000)
    """Items of a history that the model reads, the last ones; EASE and item-kNN read all."""
    size: int = Field(default=128, ge=1, le=4096)
    """Values of the vector of an item and of a user."""
    layers: int = Field(default=1, ge=1, le=24)
    """Layers of self-attention."""
    attention_heads: int = Field(default=2, ge=1, le=64)
    """Heads of each, among which `size` is parted."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Of the vectors and layers; 0.2 as in SASRec on dense data."""

    @model_validator(mode="after")
    def _parts_evenly(self) -> Self:
        if self.size % self.attention_heads:
            raise ValueError(
                f"size is parted evenly among attention_heads, and {self.size} is no multiple of {self.attention_heads}"
            )
        return self

    @property
    def may_be_empty(self) -> frozenset[str]:
        return frozenset({"seen"})

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        sequences.check_users(splits)
        self.check_texts(config)
        return self.check_items(splits)

    def encode(self, rows: Rows) -> Encoded:
        histories = self.numbers(rows["history"], "history")
        seen = self.numbers(rows.get("seen") or [[]] * len(histories), "seen")
        inputs: dict[str, list[Any]] = {"history": histories}
        if "item" in rows:
            asked = self.numbers([[item] for item in rows["item"]], "item")
            inputs["next"] = [[IGNORED] * (len(it) - 1) + one for it, one in zip(histories, asked, strict=True)]
        return Encoded(inputs, {"known": [[*one, *two] for one, two in zip(histories, seen, strict=True)]})

    def pack(self, rows: Dataset) -> Dataset:
        """Windows of the training rows; each item of them is asked for, as in the loss of a language model."""
        return sequences.windows(rows, self.max_history)

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        return sequences.pad(encoded, self.max_history)

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])["logits"]
        return sequences.best(logits.float().cpu().numpy(), side["known"])

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        """For each row the numbers of ten items, the best first."""
        return object_array([[number for number in row if number >= 0] for row in outputs["ranking"][:, :10].tolist()])

    def references(self, rows: Dataset) -> Predictions:
        """For each row a set of one item number."""
        return object_array([frozenset(it) for it in self.numbers([[item] for item in rows["item"][:]], "item")])

    def wrong(self, reference: Any, prediction: Any) -> Any:
        return []

    def error(self, prediction: Any, reference: Any) -> float:
        """1 less 1 / rank of the item that was asked for; between models the share of places with other items."""
        if isinstance(reference, frozenset):
            places = [place for place, number in enumerate(prediction, 1) if number in reference]
            return 1 - 1 / places[0] if places else 1.0
        pairs = [one != other for one, other in zip(prediction, reference, strict=False)]
        return float(np.mean(pairs)) if pairs else 0.0

    def own_baseline(
        self, name: str, rows: Mapping[str, Dataset], encoded: Mapping[str, Dataset], seed: int
    ) -> dict[str, Outputs]:
        held = zip(rows["train"]["history"][:], rows["train"]["item"][:], strict=True)
        train = self.numbers([[*history, item] for history, item in held], "history")
        return {
            split: baselines.outputs(name, train, table["history"][:], table["side_known"][:], len(self.ids))
            for split, table in encoded.items()
            if split != "train"
        }

    @property
    def asked(self) -> dict[str, Feature]:
        return {role: self.inputs[role] for role in ("history", "seen")}

    def parse(self, text: str) -> Row:
        """Ids with commas between; after a tab, those that are not to be recommended either."""
        history, _, seen = text.partition("\t")
        return {"history": self.inputs["history"].parse(history), "seen": sequences.split_ids(seen.partition("\t")[0])}

    def respond(self, outputs: Outputs, side: Side) -> JsonObject:
        pairs = zip(outputs["ranking"][0, :10].tolist(), outputs["scores"][0].tolist(), strict=False)
        return {"items": [{"id": self.ids[number], "score": score} for number, score in pairs if number >= 0]}

    def tiny_row(self, number: int) -> Row:
        history = ",".join(f"i{(number + step) % 6}" for step in range(number % 3 + 1))
        item, seen = (f"i{(number + step) % 6}" for step in (3, 4))
        return {"history": history, "item": item, "seen": seen, "user": f"u{number}"}
