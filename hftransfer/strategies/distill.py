"""Knowledge distillation: a small student is trained on a teacher's outputs (Hinton et al. 2015, arXiv:1503.02531).

`model` is the student: a checkpoint, a config, or, with `layers`, some layers of a checkpoint. The teacher predicts
every row once, with its own processor, and its outputs are cached. Rows of `data.unlabelled` get its predictions as
labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, PrivateAttr

from hftransfer.core.errors import RecipeError
from hftransfer.core.files import arrays_once, flatten_outputs, nest_outputs
from hftransfer.core.plugins import nearest
from hftransfer.data.encode import EncodedSplits, Example, encode
from hftransfer.models.checkpoint import Checkpoint, find_checkpoint, open_processor
from hftransfer.models.layers import logits_layer
from hftransfer.models.pruning import drop_layers
from hftransfer.models.reading import read_pretrained
from hftransfer.models.weights import load_saved
from hftransfer.strategies import ScriptContext, Strategy, TrainingContext, TrainingFields, remove_hooks
from hftransfer.strategies._teacher_script import teacher_values
from hftransfer.tasks import IGNORED, ModelBatch, Outputs, Side, Task

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from torch import Tensor, nn
    from transformers import PreTrainedModel
    from transformers.utils import ModelOutput

_TEACHER = "teacher"
"""The column of rows, and the entry of a batch, that holds the teacher's outputs."""


class Distill(Strategy):
    """Train the student on labels, on the teacher's softened outputs, and on the vectors that its last layer reads."""

    replaces_loss: ClassVar[bool] = True
    training: ClassVar[TrainingFields] = {"learning_rate": 3.0e-4, "num_train_epochs": 10}
    uses_unlabelled: ClassVar[bool] = True
    local_files: ClassVar[tuple[str, ...]] = ("teacher",)

    teacher: str | None = None
    """A tuned model for the same labels: a run, a directory or a Hub id; in `compress` the model before this step."""
    temperature: float = Field(default=2.0, gt=0, le=1000)
    """Divides the logits of teacher and student before the softmax."""
    alpha: float = Field(default=0.9, ge=0, le=1)
    """Weight of the softened outputs in the loss; the rest is the loss of the label, or of the teacher's prediction."""
    hidden: float = Field(default=1.0, ge=0, le=1e6)
    """Weight of the distance (1 - cosine) between the vectors that the last layers of both read, if of equal size."""
    layers: int | None = Field(default=None, ge=1, le=1000)
    """Keep this many layers of the student's checkpoint, evenly spaced; left out, all."""

    _is_step: bool = PrivateAttr(default=False)
    """Whether the teacher is a step of this training, saved before the task has finalized it."""

    def check(self, task: Task, model: PreTrainedModel) -> None:
        if type(task).pseudo_labels is Task.pseudo_labels:
            # The default says in its error that the task has none.
            task.pseudo_labels({}, {})
        if len(task.output_names) != 1 or len(task.label_names) != 1:
            raise RecipeError(f"strategy distill compares one output a model, and '{task.name}' has several")
        logits_layer(model)
        if self.teacher is not None:
            _check_labels(task, self.teacher)

    def script_values(self, context: ScriptContext) -> dict[str, Any]:
        assert self.teacher is not None
        checkpoint = find_checkpoint(self.teacher)
        weights = {"alpha": self.alpha, "temperature": self.temperature, "hidden": self.hidden}
        return weights | teacher_values(context, checkpoint, self.layers, uses_vectors=self.hidden > 0)

    def after_checkpoint(self, checkpoint: str) -> Strategy:
        if self.teacher:
            return self
        following = self.model_copy(update={"teacher": checkpoint})
        following._is_step = True
        return following

    def prepare(self, model: PreTrainedModel) -> nn.Module:
        if self.layers:
            drop_layers(model, self.layers)
        return model

    def training_rows(self, model: nn.Module, context: TrainingContext) -> EncodedSplits:
        """The rows with the teacher's outputs; after the training rows the unlabelled ones, with pseudo labels."""
        from datasets import concatenate_datasets

        task, encoded = context.task, context.encoded
        teacher = self._open_teacher(context)
        outputs = self._teacher_outputs(teacher, context, model.device)
        (name,) = task.output_names
        scaled = _pad_words({split: _training_scale(task, arrays[name]) for split, arrays in outputs.items()})
        splits = encoded.splits
        if "unlabelled" in outputs:
            pseudo = _pseudo_labelled(context, outputs["unlabelled"], teacher.encoded.side("unlabelled"))
            rows = concatenate_datasets([context.rows["train"], pseudo])
            splits = splits | encode(task, {"train": rows}, context.folder / "answered", encoded.augment).splits
            scaled["train"] = np.concatenate([scaled["train"], scaled["unlabelled"]])
        self._install_loss(model, task)
        with_teacher = {split: _with_teacher(splits[split], scaled[split]) for split in ("train", "validation")}
        return EncodedSplits(with_teacher, _collate_with(encoded, scaled["train"].shape[1:]), encoded.augment)

    def _open_teacher(self, context: TrainingContext) -> _Teacher:
        """The teacher's checkpoint and processor, and the rows as it takes them; no weights are read."""
        from transformers import AutoConfig

        assert self.teacher is not None
        checkpoint = find_checkpoint(self.teacher)
        config = read_pretrained(AutoConfig, checkpoint)
        task = context.task.with_processor(open_processor(context.task, checkpoint, config, context.rows["train"]))
        splits = {name: rows for name, rows in context.rows.items() if name != "test"}
        return _Teacher(task, checkpoint, encode(task, splits, context.folder / "teacher"))

    def _teacher_outputs(self, teacher: _Teacher, context: TrainingContext, device: torch.device) -> dict[str, Outputs]:
        """Split -> the teacher's outputs, computed once in the life of the run."""

        def predict() -> dict[str, np.ndarray]:
            model = self._load_teacher(teacher).to(device)
            splits = teacher.encoded.splits
            return flatten_outputs(
                {split: context.predict(teacher.task, model, teacher.encoded, split) for split in splits}
            )

        return nest_outputs(arrays_once(context.folder / "teacher.npz", predict))

    def _load_teacher(self, teacher: _Teacher) -> PreTrainedModel:
        """The teacher, with hooks that widen its output.

        Along the last axis are the logits in the order of the task's labels, then, where the last layer reads one
        vector of each row, that vector.
        """
        import torch

        model, task = load_saved(teacher.task, teacher.checkpoint), teacher.task
        if self._is_step:
            task.finalize(model)
        ids = {name: i for i, name in model.config.id2label.items()}
        order = [ids[label] for label in task.labels] or [0]
        (name,) = task.output_names
        recorded: list[Tensor] = []

        def widen(_module: nn.Module, _args: Any, output: ModelOutput) -> ModelOutput:
            vectors, logits = recorded.pop(), output[name][..., order]
            output[name] = torch.cat([logits, vectors], dim=1) if vectors.ndim == logits.ndim == 2 else logits
            return output

        logits_layer(model).register_forward_pre_hook(lambda _layer, args: recorded.append(args[0]))
        model.register_forward_hook(widen)
        return model

    def _install_loss(self, model: PreTrainedModel, task: Task) -> None:
        """Replace the loss of batches that hold the teacher's outputs."""
        import torch

        (output_name,), (label_name,), size = task.output_names, task.label_names, _label_count(task)
        teacher: list[Tensor] = []
        recorded: list[Tensor] = []

        def take_teacher(_module: nn.Module, args: Any, kwargs: ModelBatch) -> tuple[Any, ModelBatch]:
            teacher[:], recorded[:] = [kwargs[_TEACHER]] if _TEACHER in kwargs else [], []
            return args, {name: value for name, value in kwargs.items() if name != _TEACHER}

        def replace_loss(_module: nn.Module, _args: Any, kwargs: ModelBatch, output: ModelOutput) -> ModelOutput:
            if teacher:
                logits, vectors = teacher[0][..., :size], teacher[0][..., size:]
                pair = _comparable(output[output_name], logits, kwargs[label_name])
                soft = task.distillation_loss(*pair, self.temperature)
                output.loss = self.alpha * soft + (1 - self.alpha) * output.loss
                if self.hidden and recorded[0].shape == vectors.shape:
                    distance = 1 - torch.nn.functional.cosine_similarity(recorded[0], vectors)
                    output.loss = output.loss + self.hidden * distance.mean()
            return output

        model.hooks = [
            model.register_forward_pre_hook(take_teacher, with_kwargs=True),
            logits_layer(model).register_forward_pre_hook(lambda _layer, args: recorded.append(args[0])),
            model.register_forward_hook(replace_loss, with_kwargs=True),
        ]

    def merge(self, model: nn.Module) -> PreTrainedModel:
        return remove_hooks(model)


@dataclass(frozen=True)
class _Teacher:
    """A teacher whose weights are not read yet."""

    task: Task
    """With the teacher's processor."""
    checkpoint: Checkpoint
    encoded: EncodedSplits
    """All splits but the test rows, as the teacher takes them."""


def _label_count(task: Task) -> int:
    """The number of logits; 1 for a regression."""
    return len(task.labels) or 1


def _check_labels(task: Task, teacher: str) -> None:
    """Refuse a teacher that lacks a label of the task.

    Raises:
        RecipeError: it does.
        ModelError, HubError: the teacher cannot be found or read.
    """
    from transformers import AutoConfig

    known = set((read_pretrained(AutoConfig, find_checkpoint(teacher)).id2label or {}).values())
    if not task.labels and len(known) != 1:
        raise RecipeError(f"strategy.teacher: '{teacher}' predicts {len(known)} labels, not a number")
    if missing := set(task.labels) - known:
        raise RecipeError(
            f"strategy.teacher: '{teacher}' has no label '{min(missing)}'; {nearest(min(missing), known)}"
        )


def _training_scale(task: Task, outputs: np.ndarray) -> np.ndarray:
    """The logits in the scale of the training's labels; the vectors after them unchanged."""
    size = _label_count(task)
    return np.concatenate([task.training_logits(outputs[..., :size]), outputs[..., size:]], axis=-1)


def _pad_words(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs for words, padded with NaN to the same number of words in all splits; other outputs unchanged."""
    if next(iter(outputs.values())).ndim == 2:
        return outputs
    words = max(array.shape[1] for array in outputs.values())
    return {
        split: np.pad(array, ((0, 0), (0, words - array.shape[1]), (0, 0)), constant_values=np.nan)
        for split, array in outputs.items()
    }


def _pseudo_labelled(context: TrainingContext, outputs: Outputs, side: Side) -> Dataset:
    """The unlabelled rows, with the teacher's predictions as their labels."""
    task = context.task
    (name,), role = task.output_names, task.target_role
    labels = task.pseudo_labels(outputs | {name: outputs[name][..., : _label_count(task)]}, side)
    feature = context.rows["train"].features[role]
    return context.rows["unlabelled"].add_column(role, labels, feature=feature)


def _comparable(student: Tensor, teacher: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The logits of both, one pair a row; of words one pair for each word that both have read.

    A student's logits are those of all its tokens, shape (rows, tokens, labels), where `labels` marks the first token
    of each word; a teacher's have the shape (rows, words, labels).
    """
    if student.ndim == 2:
        return student, teacher
    first = labels != IGNORED
    word = first.cumsum(dim=1) - 1
    first &= word < teacher.shape[1]
    by_word = teacher[first.nonzero()[:, 0], word[first]]
    read = ~by_word.isnan().any(dim=1)
    return student[first][read], by_word[read]


def _with_teacher(rows: Dataset, outputs: np.ndarray) -> Dataset:
    """The rows with the teacher's outputs in a column, flat."""
    from datasets import List, Value

    flat, feature = list(outputs.reshape(len(outputs), -1).astype(np.float32)), List(Value("float32"))
    transform = rows.format["format_kwargs"].get("transform")
    if transform is None:
        return rows.add_column(_TEACHER, flat, feature=feature)
    # The rows are encoded when they are read.
    wider = rows.with_format(None).add_column(_TEACHER, flat, feature=feature)
    return wider.with_transform(lambda batch: transform(batch) | {_TEACHER: batch[_TEACHER]})


def _collate_with(encoded: EncodedSplits, shape: tuple[int, ...]) -> Callable[[list[Example]], ModelBatch]:
    """The collator of the rows for rows with the teacher's outputs, which have this shape in each row."""
    import torch

    def collate(rows: list[Example]) -> ModelBatch:
        batch = encoded.collate([{name: cell for name, cell in row.items() if name != _TEACHER} for row in rows])
        outputs = np.stack([np.asarray(row[_TEACHER], dtype=np.float32) for row in rows])
        return batch | {_TEACHER: torch.from_numpy(outputs).unflatten(1, shape)}

    return collate
