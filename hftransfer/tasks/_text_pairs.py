"""Texts in pairs as an encoder of embeddings reads them: queries, the documents that answer them, and some that do not.

What the model sees, how the run's folder is loaded elsewhere, and what cards and `predict` show.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.arrow import read_column
from hftransfer.core.errors import DataError
from hftransfer.core.features import Feature, Text
from hftransfer.tasks import Encoded, EncodedRow, Model, ModelBatch, Outputs, Processor, Rendered, Row, Rows, Side
from hftransfer.tasks._answer_hooks import Answer
from hftransfer.tasks._embedding import Embedding
from hftransfer.tasks._limits import refuse_unknown_ids
from hftransfer.tasks._retrieval import content_id
from hftransfer.tasks._text import check_positions, open_for_pairs, pad_batch, tokens_kept, truncated, truncated_shares

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor
    from transformers import PretrainedConfig

    from hftransfer.core.data_facts import InputFact

QUERY = "query_"
"""The start of the names of what a batch with documents holds of its queries."""
# How the card pools, by the field.
_POOLED = {
    "mean": 'mask = batch["attention_mask"].unsqueeze(-1)\npooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)',
    "first": 'pooled = hidden[range(len(hidden)), batch["attention_mask"].argmax(dim=1)]',
}


class TextPairs(Embedding):
    """Adds the roles `query`, `positive`, `negative`, their tokens, and their embeddings.

    Inputs: `input_ids` of shape (texts, tokens of the longest), all positives before all negatives, and of the queries
    `query_input_ids`, for which the model is called by itself. Outputs: `query` and `positive`, of shape (rows, size).
    """

    inputs: ClassVar[dict[str, Feature]] = {"query": Text(), "positive": Text(), "negative": Text(optional=True)}
    auto_processor: ClassVar[str] = "AutoTokenizer"
    label_names: ClassVar[tuple[str, ...]] = ("labels", f"{QUERY}input_ids", f"{QUERY}attention_mask")

    max_length: int = Field(default=256, ge=2, le=10**6)
    """Tokens kept of a text; longer ones are truncated."""
    query_prefix: str = ""
    """What stands before each query for the model, such as "query: " of E5."""
    document_prefix: str = ""
    """What stands before each positive and negative, such as "passage: " of E5."""

    @property
    def may_be_empty(self) -> frozenset[str]:
        return frozenset({"negative"})

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        return open_for_pairs(read, self.auto_processor, config)

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        check_positions(self.auto_model, config, self.max_length, self.processor)
        kept = tokens_kept(self.max_length, self.processor)
        warnings = self.check_sizes(config) + truncated(splits, "max_length", kept, self._document_tokens)
        return warnings + ([] if self.target_role in splits["train"].column_names else _known_queries(splits))

    def input_facts(self, rows: Dataset) -> dict[InputFact, np.ndarray]:
        kept = tokens_kept(self.max_length, self.processor)
        return {"truncated": truncated_shares(self._document_tokens(rows[:]), kept)}

    def _document_tokens(self, rows: Rows) -> list[list[int]]:
        ids: list[list[int]] = self.processor(self._texts(rows, "positive"), verbose=False)["input_ids"]
        refuse_unknown_ids(ids, self.processor, self.architecture)
        return ids

    def _texts(self, rows: Rows, role: str) -> list[str]:
        """The texts of a role as the model reads them."""
        prefix = self.query_prefix if role == "query" else self.document_prefix
        return [prefix + text for text in self._contents(rows, role)]

    def _contents(self, rows: Rows, role: str) -> list[str]:
        """The texts of a role without prefix; of a negative that is not there its positive, no negative in the loss."""
        if role != "negative":
            return rows[role]
        return [text or positive for text, positive in zip(rows["negative"], rows["positive"], strict=True)]

    def encode(self, rows: Rows) -> Encoded:
        roles, kept = [role for role in self.inputs if role in rows], tokens_kept(self.max_length, self.processor)
        inputs: dict[str, list[Any]] = {}
        for role in roles:
            ids = self.processor(self._texts(rows, role), truncation=True, max_length=kept)["input_ids"]
            refuse_unknown_ids(ids, self.processor, self.architecture)
            inputs[f"{role}_ids"] = ids
        contents = {role: [content_id(cell) for cell in self._contents(rows, role)] for role in roles}
        length = [max(map(len, texts)) for texts in zip(*inputs.values(), strict=True)]
        if labels := self.targets(rows, contents):
            inputs["labels"] = labels
        return Encoded(inputs, {role: contents[role] for role in roles if role != "negative"}, length=length)

    def targets(self, rows: Rows, contents: dict[str, list[int]]) -> list[Any]:
        """The label of each row: what `content_id` says of its texts; empty where there is a query alone."""
        return [list(row) for row in zip(*contents.values(), strict=True)] if len(contents) > 1 else []

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        import torch

        documents = [row[name] for name in ("positive_ids", "negative_ids") if name in encoded[0] for row in encoded]
        queries = pad_batch(self.processor, [{"input_ids": row["query_ids"]} for row in encoded])
        if not documents:
            return queries
        # By themselves, since queries are short.
        batch = pad_batch(self.processor, [{"input_ids": ids} for ids in documents])
        batch |= {QUERY + name: tensor for name, tensor in queries.items()}
        if "labels" in encoded[0]:
            batch["labels"] = torch.from_numpy(np.array([row["labels"] for row in encoded]).T.copy())
        return batch

    def loss(self, model: Model, hidden: Tensor, batch: ModelBatch) -> Tensor:
        queries = query_inputs(batch)
        embeddings = self.embed(model(**queries).last_hidden_state, queries["attention_mask"])
        return self.pair_loss(embeddings, self.embed(hidden, batch["attention_mask"]), batch["labels"])

    @abstractmethod
    def pair_loss(self, queries: Tensor, documents: Tensor, labels: Tensor) -> Tensor:
        """The loss of embeddings, all positives before the negatives, with labels as `targets` made them; a scalar."""

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        inputs, rows = {"query": query_inputs(batch)}, len(side["query"])
        if "positive" in side:
            names = [name for name in batch if name not in self.label_names]
            inputs["positive"] = {name: batch[name][:rows] for name in names}
        embeddings = {}
        for role, it in inputs.items():
            embeddings[role] = self.embed(model(**it).last_hidden_state, it["attention_mask"]).cpu().numpy()
        return embeddings

    def companion_files(self) -> dict[str, str]:
        prompts = {"query": self.query_prefix, "document": self.document_prefix}
        return self.sentence_files(tokens_kept(self.max_length, self.processor), prompts)

    @property
    def usage_snippet(self) -> tuple[str, str, str]:
        prefixed = f"{self.query_prefix + 'A text.'!r}, {self.document_prefix + 'Another.'!r}".replace("'", '"')
        call = (
            f"batch = tokenizer([{prefixed}], padding=True, truncation=True, max_length={self.max_length},\n"
            '                  return_tensors="pt")\n'
            "with torch.inference_mode():\n    hidden = model(**batch).last_hidden_state\n"
            f"{_POOLED[self.pooling or 'mean']}\n"
            "# The same as SentenceTransformer(repo).encode([...]).\n"
            "query, document = torch.nn.functional.normalize(pooled)\nanswer = float(query @ document)"
        )
        load = "tokenizer = AutoTokenizer.from_pretrained(repo)\nmodel = AutoModel.from_pretrained(repo)"
        return "import torch\nfrom transformers import AutoModel, AutoTokenizer", load, call

    @property
    def asked(self) -> dict[str, Feature]:
        return {"query": self.inputs["query"]}

    @property
    def compared(self) -> str:
        return "positive"

    def compare(self, answer: Answer, given: str, others: Sequence[str]) -> list[dict[str, Any]]:
        """Documents are not always read as queries are."""
        return [answer(self.parse(f"{given}\t{other}")) for other in others]

    def parse(self, text: str) -> Row:
        """A query, or a query and a document with a tab between them."""
        texts = text.split("\t")
        if len(texts) > len(self.inputs) or not all(it.strip() for it in texts):
            raise DataError(f"'{text[:40]}': write a query, or a query and a document with a tab between them")
        return dict(zip(self.inputs, texts, strict=False))

    def respond(self, outputs: Outputs, side: Side) -> dict[str, Any]:
        """The cosine of query and document; of a query alone its embedding."""
        if "positive" not in outputs:
            return {"embedding": [round(float(value), 6) for value in outputs["query"][0]]}
        return {"similarity": float(outputs["query"][0] @ outputs["positive"][0])}

    def render(self, row: Row, prediction: Any, reference: Any) -> Rendered:
        return {"text": f"{row['query']:.200} / {row['positive']:.200}"}

    def tiny_row(self, number: int) -> Row:
        """Rows without scores, whose negatives are texts of their own."""
        word, other = ("good", "bad")[:: 1 if number % 2 else -1]
        return {"positive": f"{word} {number} a", "negative": f"{other} {number} b", "score": None}


def _known_queries(splits: Mapping[str, Dataset]) -> list[str]:
    """A warning where test queries are trained on, with other documents."""
    known, asked = ({*read_column(splits[split], "query")} for split in ("train", "test"))
    if not known & asked:
        return []
    return [
        f"{len(known & asked)} of {len(asked)} queries of test are trained on too, with other documents: "
        "data.columns.group, the column of the queries, and data.splits.by_group keep them apart"
    ]


def query_inputs(batch: ModelBatch) -> ModelBatch:
    """What the model takes of the queries of a batch."""
    named = {name.removeprefix(QUERY): tensor for name, tensor in batch.items() if name.startswith(QUERY)}
    return named or {name: tensor for name, tensor in batch.items() if name != "labels"}
