"""Embeddings of rows that have an identity: whether two rows show the same person, animal or product (verification)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from hftransfer.core.errors import DataError
from hftransfer.core.features import Feature, Label
from hftransfer.metrics._similarity_counts import accepted, counts_of, threshold_at
from hftransfer.tasks import Model, ModelBatch, Outputs, Predictions, Rows, Side, _labels, _trials
from hftransfer.tasks._answer_hooks import Answer
from hftransfer.tasks._choice_hooks import Sampled, values_of
from hftransfer.tasks._contrastive import batch_hard_triplets, margin_softmax
from hftransfer.tasks._embedding import Embedding

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedModel

_WEIGHTS = "identity_weights"

_IDENTITIES = frozenset(("identity", "person", "individual", "speaker", "face", "subject"))


class Identities(Embedding):
    """Adds identities, the losses on them, and a threshold fitted to validation rows.

    Splits share no identity; a row is compared with all others of its split. Triplets need batches with several rows of
    an identity: a batch size above the number of identities, or few identities. Declare `identified`.
    """

    identified: ClassVar[str]
    """The input that has an identity, and the name of its embedding in the outputs."""

    target: ClassVar[tuple[str, Feature] | None] = ("label", Label())
    open_set: ClassVar[bool] = True
    fit_splits: ClassVar[tuple[str, ...]] = ("validation",)
    metrics: ClassVar[list[str]] = ["eer", "tar_at_far"]
    local_files: ClassVar[tuple[str, ...]] = ("trials",)

    objective: Literal["triplet", "am_softmax", "arcface"] = "triplet"
    """`triplet`: the farthest row of an identity nearer than the nearest other one; `am_softmax`, `arcface`: a
    classification of the training identities with a margin, whose weights are not saved."""
    margin: float = Field(default=0.2, gt=0, le=2)
    """By how much a row is to be nearer to its identity than to all others (https://arxiv.org/abs/1503.03832): a
    distance for `triplet`, a cosine for `am_softmax`, an angle in radians for `arcface`."""
    scale: float = Field(default=30.0, gt=0, le=1000)
    """The factor of cosines in `am_softmax` and `arcface`."""
    false_accepts: float = Field(default=0.01, gt=0, lt=1)
    """The share of pairs of two identities that the threshold may accept, fitted to validation rows."""
    threshold: float | None = Field(default=None, ge=-1, le=1)
    """The cosine from which on two rows are taken for one identity; left out, fitted to validation rows."""

    trials: str | None = None
    """A file with the pairs of test rows that are scored, a line `1 FILE FILE` (one identity) or `0 FILE FILE` each, as
    VoxCeleb's lists; left out, all pairs."""

    @classmethod
    def likeness(cls, columns: Mapping[str, str], rows: Sampled) -> float:
        """Splits that share no label, or a column that is called so, tell identities from classes."""
        train = set(map(str, values_of(rows, "label")))
        others = {str(label) for split in rows if split != "train" for label in rows[split].get("label", ())}
        words = set(re.split("[^a-z]+", columns.get("label", "").lower()))
        if len(train) < 2:
            return -3.0
        apart = bool(others) and len(others - train) > len(others) / 2
        return 1.0 if apart else 0.5 if words & _IDENTITIES else -0.5

    def strata(self, rows: Dataset) -> list[Any] | None:
        return _labels.strata(rows)

    def row_labels(self, rows: Dataset) -> list[list[str]] | None:
        return _labels.row_names(rows)

    def units(self, rows: Dataset) -> list[Any] | None:
        """Identities are resampled whole."""
        return list(rows["label"][:])

    def index_labels(self, rows: Dataset) -> Dataset:
        """Identities beyond those of the training rows have numbers of their own."""
        names = _labels.row_names(rows)
        every = dict.fromkeys([*self.labels, *(name for (name,) in names)])
        return _labels.numbered(rows, names, {name: number for number, name in enumerate(every)})

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        for split in ("validation", "test"):
            known = sorted({*splits[split]["label"][:]} & set(range(len(self.labels))))
            if known:
                raise DataError(
                    f"the identity '{self.labels[known[0]]}' of split '{split}' is trained on too: "
                    f"data.splits.{split}: 0.2 takes whole identities from the training rows"
                )
            if len({*splits[split]["label"][:]}) < 2:
                raise DataError(f"split '{split}' has one identity, and pairs of two are needed: make it larger")
        if self.trials is not None:
            _trials.check(self.trials, self._files(splits["test"]), splits["test"]["label"][:])
        return super().check(splits, config) + self.check_sizes(config)

    def _files(self, rows: Rows | Dataset) -> list[str]:
        return [_trials.file_name(cell) for cell in rows[self.identified]]

    def side_of(self, rows: Rows) -> dict[str, list[Any]]:
        """The side data of encoded rows that scores need."""
        if "label" not in rows:
            return {}
        return {"identity": list(rows["label"])} | ({"file": self._files(rows)} if self.trials else {})

    def batch_embeddings(self, hidden: Tensor, batch: ModelBatch) -> Tensor:
        """Embeddings of a training batch, shape (rows, size), of what `states` gives."""
        return self.embed(hidden, batch.get("attention_mask"))

    @property
    def loss_has_weights(self) -> bool:
        return self.objective != "triplet"

    def install_loss(self, model: PreTrainedModel, references: Predictions) -> None:
        super().install_loss(model, references)
        if self.loss_has_weights:
            weights = _identity_weights(self.embedding_size(model), len(self.labels))
            model.add_module(_WEIGHTS, weights.to(model.device))

    def embedding_size(self, model: PreTrainedModel) -> int:
        """How many values an embedding has: what the config says, else the size of the last norm (MobileNetV2)."""
        size = getattr(model.config, "hidden_size", None) or getattr(model.config, "hidden_sizes", [None])[-1]
        return size or [len(it) for it in model.parameters() if it.ndim == 1][-1]

    def loss(self, model: Model, hidden: Tensor, batch: ModelBatch) -> Tensor:
        """Of validation rows, whose identities have no weights, the loss of triplets."""
        embeddings, identities = self.batch_embeddings(hidden, batch), batch["labels"]
        if self.objective == "triplet" or int(identities.max()) >= len(self.labels):
            triplets = partial(batch_hard_triplets, identities=identities, margin=self.margin)
            return self.nested(triplets, embeddings)
        softmax = partial(
            margin_softmax, identities=identities, kind=self.objective, margin=self.margin, scale=self.scale
        )
        return self.nested(softmax, embeddings, getattr(model, _WEIGHTS).weight)

    def finalize(self, model: PreTrainedModel) -> None:
        super().finalize(model)
        if hasattr(model, _WEIGHTS):
            delattr(model, _WEIGHTS)

    def _counts(self, outputs: Outputs, side: Side) -> np.ndarray:
        vectors, identities = outputs[self.identified], np.asarray(side["identity"])
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        threshold = 0.0 if self.threshold is None else self.threshold
        pairs = self._pairs(side.get("file", ()))
        return counts_of(vectors @ vectors.T, identities[:, None] == identities, threshold, pairs)

    def _pairs(self, files: Sequence[str]) -> np.ndarray | None:
        """Which pairs are scored."""
        return None if self.trials is None else _trials.listed(self.trials, files)

    def fit_outputs(
        self, outputs: Mapping[str, Outputs], side: Mapping[str, Side], references: Mapping[str, Predictions]
    ) -> dict[str, Any]:
        if self.threshold is not None:
            return {}
        return {"threshold": threshold_at(self._counts(outputs["validation"], side["validation"]), self.false_accepts)}

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        """What `hftransfer/metrics/_similarity_counts.py` describes, of each row against all others."""
        return self._counts(outputs, side)

    def references(self, rows: Dataset) -> Predictions:
        """The counts of a model without errors."""
        identities = np.asarray(rows["label"][:])
        same = identities[:, None] == identities
        return counts_of(np.where(same, 1.0, -1.0), same, 0.0, self._pairs(self._files(rows) if self.trials else ()))

    def error(self, prediction: Any, reference: Any) -> float:
        """The share of a row's pairs that are decided otherwise."""
        first, second = accepted(np.stack([prediction, reference]))
        return float(np.abs(first - second)[[0, 2]].sum() / max(first[[1, 3]].sum(), 1))

    def describe(self, value: Any) -> str:
        own, of_own, other, of_other = accepted(np.asarray(value)[None])[0]
        return f"{own:.0f} of {of_own:.0f} of its identity, {other:.0f} of {of_other:.0f} others"

    def respond(self, outputs: Outputs, side: Side) -> dict[str, Any]:
        return {"embedding": [round(float(value), 6) for value in outputs[self.identified][0]]}

    @property
    def compared(self) -> str:
        return self.identified

    def compare(self, answer: Answer, given: str, others: Sequence[str]) -> list[dict[str, Any]]:
        """The cosine, and whether it is one identity."""
        vectors = [np.array(answer(self.parse(text))["embedding"]) for text in (given, *others)]
        units = [vector / max(float(np.linalg.norm(vector)), 1e-9) for vector in vectors]
        cosines = [float(units[0] @ unit) for unit in units[1:]]
        return [
            {"similarity": it} | ({} if self.threshold is None else {"same": it >= self.threshold}) for it in cosines
        ]


def _identity_weights(size: int, identities: int) -> nn.Linear:
    """A vector for each identity that is trained on."""
    import torch

    return torch.nn.Linear(size, identities, bias=False)
