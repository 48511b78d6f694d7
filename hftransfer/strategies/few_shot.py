"""Few labels: the encoder learns to put rows of one class together, then a head is trained on what it says.

The two phases of SetFit (Tunstall et al. 2022, https://arxiv.org/abs/2209.11055), for encoders of any modality, with
the supervised contrastive loss (Khosla et al. 2020, https://arxiv.org/abs/2004.11362, equation 2): every pair within a
batch counts, so that an epoch costs one pass over the rows, however many pairs they make.
"""

from typing import Any, ClassVar

from pydantic import Field

from hftransfer.core.errors import ModelError
from hftransfer.models.layers import logits_layer
from hftransfer.strategies import Strategy, check_one_class, remove_hooks
from hftransfer.strategies.linear_probe import LinearProbe
from hftransfer.tasks import Task


class _Contrastive(Strategy):
    """The first phase: the loss of the model becomes that of the vectors which its last layer reads."""

    replaces_loss: ClassVar[bool] = True

    temperature: float

    def prepare(self, model: Any) -> Any:
        import torch

        last = logits_layer(model)
        seen: list[Any] = []

        def look(_module: Any, args: Any) -> None:
            seen.append(args[0])

        def replace(module: Any, _args: Any, kwargs: dict[str, Any], output: Any) -> Any:
            vectors, labels = seen.pop(), kwargs.get("labels")
            seen.clear()
            if vectors.ndim != 2 and type(module).__name__.endswith("ForSequenceClassification"):
                kind = type(module).__name__
                raise ModelError(f"few_shot compares one vector a row, and the head of a {kind} reads all tokens of it")
            if labels is not None:
                output.loss = contrastive_loss(torch, vectors, labels, self.temperature)
            return output

        model.hooks = [last.register_forward_pre_hook(look), model.register_forward_hook(replace, with_kwargs=True)]
        return model

    def merge(self, model: Any) -> Any:
        return remove_hooks(model)


class FewShot(Strategy):
    """Contrastive tuning of the encoder, then a linear probe; `training:` is that of the first."""

    replaces_loss: ClassVar[bool] = True
    training: ClassVar[dict[str, Any]] = {
        "learning_rate": 2.0e-4,
        "num_train_epochs": 10,
        "per_device_train_batch_size": 16,
        "warmup_steps": 5,
    }

    temperature: float = Field(default=0.1, gt=0)
    """Of the contrastive loss."""
    head_learning_rate: float = Field(default=LinearProbe.training["learning_rate"], gt=0)
    """Of the head."""
    head_epochs: float = Field(default=LinearProbe.training["num_train_epochs"], gt=0)
    """Of the head."""

    def steps(self) -> list[tuple[Strategy, dict[str, Any]]]:
        head = {"learning_rate": self.head_learning_rate, "num_train_epochs": self.head_epochs, "max_steps": -1}
        return [(_Contrastive(temperature=self.temperature), {}), (LinearProbe(), head)]

    def check(self, task: Task, model: Any) -> None:
        check_one_class(self, task, model)


def contrastive_loss(torch: Any, vectors: Any, labels: Any, temperature: float) -> Any:
    """Mean over the rows that share their class with another of -log softmax(similarity / temperature) of these others.

    `vectors` has the shape (rows, size), `labels` (rows,).
    """
    unit = torch.nn.functional.normalize(vectors.flatten(1), dim=1)
    apart = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    logits = (unit @ unit.T / temperature).masked_fill(apart, float("-inf"))
    same = (labels[:, None] == labels[None, :]) & ~apart
    log_chance = (logits - logits.logsumexp(dim=1, keepdim=True)).masked_fill(~same, 0.0)
    count = same.sum(dim=1)
    return -(log_chance.sum(dim=1) / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)
