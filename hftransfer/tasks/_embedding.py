"""The family of the tasks whose model gives a vector for a row: texts and images are compared by directions.

The encoder stays a plain model of Transformers. Pooling and normalization follow its last hidden states here, in an
exported model too, and in sentence-transformers by the files that are saved with the model.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, field_validator

from hftransfer.core.errors import ModelError
from hftransfer.tasks import Model, Outputs, Predictions, Task, _contrastive
from hftransfer.tasks._loss import replace_loss_of_batch
from hftransfer.tasks._retrieval import random_direction

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

    from hftransfer.tasks import ModelBatch

Pooling = Literal["mean", "first"]

_SENTENCE_MODULES = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
_SENTENCE_POOLING = {"mean": "pooling_mode_mean_tokens", "first": "pooling_mode_cls_token"}


class Embedding(Task):
    """Adds pooling, normalization, the loss on embeddings, and the baseline `random`. Implement `loss`."""

    auto_model: ClassVar[str] = "AutoModel"
    output_names: ClassVar[tuple[str, ...]] = ("last_hidden_state",)
    own_baselines: ClassVar[tuple[str, ...]] = ("random",)
    refuses: ClassVar[dict[str, str]] = {
        "few_shot": "its contrastive training is what this task does by itself",
        "gradual_unfreeze": "its training begins with the head alone, and this model has none",
        "distill": "the embeddings of a teacher are no labels for another model",
        "linear_probe": "its model has no head that could be trained alone",
        "lp_ft": "its model has no head that could be trained alone",
        "multi_task": "it trains with the losses of the models, and this task replaces its model's",
    }

    pooling: Pooling | None = None
    """`mean` of the last hidden states without padding, or the `first`, that of the class token; left out, what the
    checkpoint names (`1_Pooling/config.json`), else `mean`."""
    dimensions: list[Annotated[int, Field(ge=1, le=10**6)]] = []
    """Sizes to which embeddings may be cut afterwards: the loss is also that of the first so many values (Matryoshka,
    https://arxiv.org/abs/2205.13147)."""

    _guessed: bool = PrivateAttr(default=False)

    @field_validator("dimensions")
    @classmethod
    def _are_sizes(cls, value: list[int]) -> list[int]:
        if len({*value}) < len(value):
            raise ValueError(f"each size stands there once, got {value}")
        return value

    @property
    def replaces_loss(self) -> bool:
        """The model has no loss."""
        return True

    def config_fields(self) -> dict[str, Any]:
        """None: an encoder has no head for labels."""
        return {}

    def with_pooling(self, named: Callable[[], str | None]) -> Self:
        pooling = self.pooling or named()
        return self.model_copy(update={"pooling": pooling or "mean"})._with(guessed=pooling is None)

    def check_sizes(self, config: PretrainedConfig) -> list[str]:
        """Refuse `dimensions` beyond the model's; a warning where the pooling is a guess."""
        size = getattr(config, "hidden_size", None)
        if isinstance(size, int) and max(self.dimensions, default=0) > size:
            raise ModelError(f"task.dimensions: {max(self.dimensions)} is more than the {size} values of an embedding")
        guess = "task.pooling: the checkpoint names neither mean nor first as its only last step, so the mean is taken"
        return [guess] if self._guessed else []

    def embed(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Embeddings of length 1, shape (rows, size), of hidden states (rows, places, size) or (rows, size, h, w)."""
        import torch

        if hidden.ndim == 4:
            hidden, mask = hidden.flatten(2).transpose(1, 2), None
        if mask is None:
            mask = torch.ones(hidden.shape[:2], dtype=torch.long, device=hidden.device)
        if self.pooling == "first":
            # Padding may stand on the left.
            pooled = hidden[torch.arange(len(hidden), device=hidden.device), mask.argmax(dim=1)]
        else:
            weights = mask[..., None].to(hidden.dtype)
            pooled = (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
        return torch.nn.functional.normalize(pooled.float(), dim=-1)

    @abstractmethod
    def loss(self, model: Model, hidden: Tensor, batch: ModelBatch) -> Tensor:
        """The loss of a batch with labels, as `collate` made it; a scalar.

        `hidden` are the last hidden states of the model, which it may call for further entries of the batch.
        """

    def states(self, output: Any) -> Tensor:
        """What is pooled of a model's output."""
        states: Tensor = output.last_hidden_state
        return states

    def install_loss(self, model: PreTrainedModel, references: Predictions) -> None:
        def of_batch(output: Any, batch: ModelBatch) -> Tensor:
            return self.loss(model, self.states(output), batch)

        replace_loss_of_batch(model, of_batch, self.label_names)

    def nested(self, loss: Any, *embeddings: Tensor) -> Tensor:
        """A loss on whole embeddings and on those cut to `dimensions`."""
        return _contrastive.nested(loss, self.dimensions, *embeddings)

    def own_baseline(
        self, name: str, rows: Mapping[str, Dataset], encoded: Mapping[str, Dataset], seed: int
    ) -> dict[str, Outputs]:
        return {split: self._baseline_outputs(name, rows[split]) for split in ("validation", "test")}

    def _baseline_outputs(self, name: str, rows: Dataset) -> Outputs:
        """Of `random`: a random direction for each content."""
        return {
            role: np.stack([random_direction(cell) for cell in rows[role][:]])
            for role in self.inputs
            if role in rows.column_names
        }

    def sentence_files(self, max_length: int, prompts: dict[str, str]) -> dict[str, str]:
        """The files by which sentence-transformers (5 and 6) loads the model: encoder, pooling, normalization."""
        modules = [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for number, (path, kind) in enumerate(_SENTENCE_MODULES)
        ]
        pooling: dict[str, Any] = {name: mode == self.pooling for mode, name in _SENTENCE_POOLING.items()}
        contents = {
            "modules.json": modules,
            "sentence_bert_config.json": {"max_seq_length": max_length, "do_lower_case": False},
            "config_sentence_transformers.json": {"prompts": prompts, "similarity_fn_name": "cosine"},
            "1_Pooling/config.json": {"word_embedding_dimension": self.architecture.hidden_size} | pooling,
            # Git has no empty folders.
            "2_Normalize/config.json": {},
        }
        return {name: json.dumps(value, indent=2) + "\n" for name, value in contents.items()}
