"""Embeddings of texts for search and similarity: queries with the documents that answer them, or pairs with a score.

https://huggingface.co/tasks/sentence-similarity. Trained by in-batch negatives, or by regression of the cosine.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic import Field, field_validator

from hftransfer.core.features import Feature, Label
from hftransfer.tasks import Outputs, Predictions, Row, Rows, Side, _pair_scores, object_array
from hftransfer.tasks._bm25 import AT_ONCE, bm25
from hftransfer.tasks._choice_hooks import Sampled, values_of
from hftransfer.tasks._contrastive import cosine_regression, in_batch_negatives, no_negatives
from hftransfer.tasks._retrieval import best, content_id, first_rows, rank, relevant_rows
from hftransfer.tasks._text_pairs import TextPairs

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

# Scores that differ by less than this share of their range are alike.
_TOLERANCE = 0.01


class SentenceSimilarity(TextPairs):
    """Texts to vectors. Without scores, a row asks which of the split's positives answers its query.

    Equal positives are one document, and all positives of an equal query are right; in training none is a negative.
    """

    target: ClassVar[tuple[str, Feature] | None] = ("score", Label(optional=True))
    metrics: ClassVar[list[str]] = ["ndcg_at_10", "mrr_at_10", "recall_at_1", "recall_at_10"]
    own_baselines: ClassVar[tuple[str, ...]] = ("random", "bm25")
    tiny_model: ClassVar[str] = "bert"
    suggested_checkpoints = {"query": ("sentence-transformers/all-MiniLM-L6-v2", "sample:minilm")}

    temperature: float = Field(default=0.05, gt=0, le=10)
    """What cosines are divided by in the loss of in-batch negatives; 0.05 as in SimCSE
    (https://arxiv.org/abs/2104.08821, section 3)."""
    score_range: tuple[float, float] | None = None
    """The scores of pairs that stand for a cosine of 0 and of 1; left out, the least and the largest training score."""

    @classmethod
    def likeness(cls, columns: Mapping[str, str], rows: Sampled) -> float:
        """Scores are numbers between the least and the most; two values of them are classes."""
        scores = {str(score) for score in values_of(rows, "score")}
        return 0.0 if len(scores) > 2 else -0.1 if not scores else -1.0

    @field_validator("score_range")
    @classmethod
    def _rises(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError(f"the score of a cosine of 0 is less than that of 1, got {list(value)}")
        return value

    def check_row(self, row: Row) -> str | None:
        return _pair_scores.fault(row)

    def fit(self, rows: Dataset) -> Self:
        return self.model_copy(update={"score_range": _pair_scores.bounds(rows, self.score_range)})

    def index_labels(self, rows: Dataset) -> Dataset:
        return _pair_scores.as_numbers(rows)

    def default_metrics(self) -> list[str]:
        return ["spearmanr", "pearsonr"] if self.score_range else self.metrics

    def describe_labels(self, rows: Dataset) -> str:
        if self.score_range is None:
            return "the positive of each query, among those of all queries"
        low, high = self.score_range
        return f"scores, {low:g} for a cosine of 0 and {high:g} for 1"

    def units(self, rows: Dataset) -> list[Any] | None:
        """Rows of one query stay together, where there are such."""
        queries = [content_id(text) for text in rows["query"][:]]
        return None if self.score_range or len({*queries}) == len(queries) else queries

    def targets(self, rows: Rows, contents: dict[str, list[int]]) -> list[Any]:
        if self.score_range is None:
            return super().targets(rows, contents)
        low, high = self.score_range
        return [(score - low) / (high - low) for score in rows.get("score", [])]

    def pair_loss(self, queries: Tensor, documents: Tensor, labels: Tensor) -> Tensor:
        """`labels`: ids of the contents, shape (2 or 3, rows); with scores the targets of the cosines, (rows,)."""
        if labels.ndim == 1:
            return self.nested(lambda one, other: cosine_regression(one, other, labels), queries, documents)
        left_out = no_negatives(labels[0], labels[1], labels[1:].flatten())
        contrast = partial(in_batch_negatives, left_out=left_out, temperature=self.temperature)
        return self.nested(contrast, queries, documents)

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        """Scores of shape (rows,); or a list for each row, the rows of the ten nearest positives."""
        if self.score_range:
            low, high = self.score_range
            cosines = outputs.get("similarity")
            if cosines is None:
                cosines = (outputs["query"] * outputs["positive"]).sum(axis=1)
            return low + cosines.astype(float) * (high - low)
        if "ranking" in outputs:
            return object_array(outputs["ranking"].tolist())
        return rank(outputs["query"], outputs["positive"], side["positive"])

    def references(self, rows: Dataset) -> Predictions:
        """Scores; or a set for each row, the rows of the positives that answer its query."""
        if self.score_range:
            return np.array(rows["score"][:], dtype=float)
        queries, documents = ([content_id(text) for text in rows[role][:]] for role in ("query", "positive"))
        return relevant_rows(queries, documents)

    def wrong(self, reference: Any, prediction: Any) -> Any:
        return prediction if self.score_range else []

    def error(self, prediction: Any, reference: Any) -> float:
        """The share of the range of scores; or 1 less 1 / rank of the first right answer, between models of the first.

        Scores that differ by less than a hundredth of their range are alike.
        """
        if self.score_range:
            low, high = self.score_range
            distance = abs(float(prediction) - float(reference)) / (high - low)
            return distance if distance >= _TOLERANCE else 0.0
        if isinstance(reference, frozenset):
            places = [place for place, row in enumerate(prediction, 1) if row in reference]
            return 1 - 1 / places[0] if places else float(bool(reference))
        return float(prediction[:1] != reference[:1])

    def describe(self, value: Any) -> str:
        if self.score_range:
            return f"{value:.3g}"
        rows = sorted(value) if isinstance(value, frozenset) else value
        return f"rows {', '.join(map(str, rows))}" if rows else "no rows"

    def _baseline_outputs(self, name: str, rows: Dataset) -> Outputs:
        if name != "bm25":
            return super()._baseline_outputs(name, rows)
        queries, documents = rows["query"][:], rows["positive"][:]
        first = first_rows([content_id(text) for text in documents])
        if self.score_range is None:
            return {"ranking": best(bm25(queries, [documents[row] for row in first]), first)}
        own = np.concatenate([np.diagonal(part, AT_ONCE * it) for it, part in enumerate(bm25(queries, documents))])
        return {"similarity": own / max(own.max(), 1e-9)}
