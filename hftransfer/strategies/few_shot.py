"""Few labels: contrastive training of the encoder, then a head on its features (SetFit).

The two phases of Tunstall et al. 2022, https://arxiv.org/abs/2209.11055, for encoders of images, texts or speech, with
the supervised contrastive loss (Khosla et al. 2020, https://arxiv.org/abs/2004.11362, equation 2): all pairs within a
batch count, so that an epoch costs one pass over the rows, however many pairs they form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from hftransfer.core.errors import ModelError
from hftransfer.data.encode import EncodedSplits
from hftransfer.models.layers import logits_layer
from hftransfer.strategies import Strategy, TrainingContext, TrainingFields, check_single_label, remove_hooks
from hftransfer.strategies._pooling import hold_best_pooling
from hftransfer.strategies.linear_probe import LinearProbe
from hftransfer.tasks import ModelBatch, Task

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel
    from transformers.utils import ModelOutput


class _Contrastive(Strategy):
    """The first phase: the model's loss is the contrastive loss of the vectors that its last layer reads."""

    replaces_loss: ClassVar[bool] = True

    temperature: float

    def training_rows(self, model: nn.Module, context: TrainingContext) -> EncodedSplits:
        """The encoded rows; the loss is installed by hooks of the model, on the pooling that suits the rows best."""
        hold_best_pooling(model, "class", context)
        recorded: list[Tensor] = []
        label_name = context.task.label_names[0]

        def record_vectors(_layer: nn.Module, args: tuple[Tensor, ...]) -> None:
            recorded.append(args[0])

        def replace_loss(module: nn.Module, _args: tuple[()], kwargs: ModelBatch, output: ModelOutput) -> ModelOutput:
            vectors, labels = recorded.pop(), kwargs.get(label_name)
            recorded.clear()
            # Decoders that `check` does not recognize.
            if vectors.ndim != 2 and _is_text_classifier(module):
                raise _token_error(module)
            if labels is not None:
                output.loss = contrastive_loss(vectors, labels, self.temperature)
            return output

        model.hooks = [
            logits_layer(model).register_forward_pre_hook(record_vectors),
            model.register_forward_hook(replace_loss, with_kwargs=True),
        ]
        return context.encoded

    def merge(self, model: nn.Module) -> PreTrainedModel:
        return remove_hooks(model)


class FewShot(Strategy):
    """Contrastive training of the encoder, then a linear probe; the recipe's `training` is for the first."""

    replaces_loss: ClassVar[bool] = True
    training: ClassVar[TrainingFields] = {
        "learning_rate": 1.0e-4,
        "num_train_epochs": 10,
        "per_device_train_batch_size": 16,
        "warmup_steps": 5,
    }

    temperature: float = Field(default=0.1, gt=0, le=1000)
    """Temperature of the contrastive loss."""

    def steps(self) -> list[tuple[Strategy, TrainingFields]]:
        return [(_Contrastive(temperature=self.temperature), {}), (LinearProbe(), LinearProbe.training)]

    def check(self, task: Task, model: PreTrainedModel) -> None:
        check_single_label(self, task, model)
        # Decoders (GPT-2, Llama) have a layer of this name, which reads the vectors of all tokens.
        if hasattr(model, "score") and _is_text_classifier(model):
            raise _token_error(model)


def _is_text_classifier(model: nn.Module) -> bool:
    return type(model).__name__.endswith("ForSequenceClassification")


def _token_error(model: nn.Module) -> ModelError:
    return ModelError(
        f"strategy few_shot compares one vector a row, and the head of a {type(model).__name__} reads all tokens of it"
    )


def contrastive_loss(vectors: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Mean, over the rows whose class others have too, of -log softmax(similarity / temperature) of these others.

    `vectors` has the shape (rows, size), `labels` (rows,); similarity is the cosine.
    """
    import torch

    unit = torch.nn.functional.normalize(vectors.flatten(1), dim=1)
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    logits = (unit @ unit.T / temperature).masked_fill(itself, float("-inf"))
    positives = (labels[:, None] == labels[None, :]) & ~itself
    log_probabilities = (logits - logits.logsumexp(dim=1, keepdim=True)).masked_fill(~positives, 0.0)
    count = positives.sum(dim=1)
    return -(log_probabilities.sum(dim=1) / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)
