"""A small student learns what a tuned teacher says (Hinton et al. 2015, https://arxiv.org/abs/1503.02531).

`model` is the student: a checkpoint, a config, or, with `layers`, some layers of a checkpoint. The teacher reads every
row once, with a processor of its own; what it says is kept. Rows of `data.unlabelled` are learnt from it alone.
"""

from typing import Any, ClassVar

import numpy as np
from pydantic import Field, PrivateAttr

from hftransfer.core.errors import RecipeError
from hftransfer.core.plugins import nearest
from hftransfer.core.run_folder import arrays_once, flatten_outputs, nest_outputs
from hftransfer.data.encode import Encoded, encode
from hftransfer.models.checkpoint import find_checkpoint, open_processor, read_pretrained
from hftransfer.models.layers import logits_layer
from hftransfer.models.pruning import drop_layers
from hftransfer.models.weights import load_saved
from hftransfer.strategies import Strategy, TrainingContext, remove_hooks
from hftransfer.tasks import IGNORED, Outputs, Task

_TOLD = "teacher"


class Distill(Strategy):
    """Train the student on labels, on the teacher's softened outputs, and on the vectors that its head reads."""

    replaces_loss: ClassVar[bool] = True
    training: ClassVar[dict[str, Any]] = {"learning_rate": 3.0e-4, "num_train_epochs": 10}
    uses_unlabelled: ClassVar[bool] = True

    teacher: str | None = None
    """A tuned model: a run, a directory or a Hub id, for the same labels; in `compress` the model before this step."""
    temperature: float = Field(default=2.0, gt=0)
    """By which the logits of both are divided."""
    alpha: float = Field(default=0.9, ge=0, le=1)
    """Share of the softened outputs in the loss; the rest is that of the label, or of the teacher's answer as one."""
    hidden: float = Field(default=1.0, ge=0)
    """Weight of the distance (1 - cosine) between the vectors that the two heads read, where their sizes are equal."""
    layers: int | None = Field(default=None, ge=1)
    """Keep this many layers of the student's checkpoint, evenly spaced; left out, all."""

    _unfinished: bool = PrivateAttr(default=False)
    """Whether the teacher is a step of this training, whose outputs the task has not put into its own terms yet."""

    def check(self, task: Task, model: Any) -> None:
        import transformers

        if type(task).answers is Task.answers:
            task.answers({})
        logits_layer(model)
        if self.teacher is None:
            return
        config = read_pretrained(transformers.AutoConfig, find_checkpoint(self.teacher))
        theirs = set((config.id2label or {}).values())
        if not task.labels and len(theirs) != 1:
            raise RecipeError(
                f"strategy.teacher: '{self.teacher}' answers with {len(theirs)} labels, not with a number"
            )
        if unknown := set(task.labels) - theirs:
            raise RecipeError(
                f"strategy.teacher: '{self.teacher}' does not know the label '{min(unknown)}'; "
                f"{nearest(min(unknown), theirs)}"
            )

    def after_checkpoint(self, model: str) -> Strategy:
        if self.teacher:
            return self
        follower = self.model_copy(update={"teacher": model})
        follower._unfinished = True
        return follower

    def prepare(self, model: Any) -> Any:
        if self.layers:
            drop_layers(model, self.layers)
        return model

    def keep(self, model: Any, ground: TrainingContext) -> Encoded:
        """The rows with what the teacher says of them; the unlabelled ones, with its answers as labels, are behind."""
        from datasets import concatenate_datasets

        outputs, size = self._told(ground, model.device), len(ground.task.labels) or 1
        told = _padded({name: _as_trained(ground.task, it["logits"], size) for name, it in outputs.items()})
        encoded, rows = ground.encoded, ground.encoded.splits
        if "unlabelled" in told:
            both = concatenate_datasets([ground.rows["train"], _answered(ground, outputs["unlabelled"], size)])
            rows = rows | encode(ground.task, {"train": both}, ground.folder / "answered", encoded.augment).splits
            told["train"] = np.concatenate([told["train"], told["unlabelled"]])
        self._listen(model, size, getattr(ground.task, "problem_type", None))
        heard = {name: _beside(rows[name], told[name]) for name in ("train", "validation")}
        return Encoded(heard, _collator(encoded, told["train"].shape[1:]), encoded.augment)

    def _told(self, ground: TrainingContext, device: Any) -> dict[str, Outputs]:
        """What the teacher says, asked once in the life of the run."""
        from accelerate import PartialState

        file = ground.folder / "teacher.npz"
        return nest_outputs(arrays_once(file, lambda: flatten_outputs(self._asked(ground, device)), PartialState()))

    def _asked(self, ground: TrainingContext, device: Any) -> dict[str, Outputs]:
        """Split -> what the teacher says of its rows.

        In the last axis of `logits` these are in the order of the task's labels; behind them, where the last layer of
        the head reads one vector of each row, that vector.
        """
        import torch
        from transformers import AutoConfig

        assert self.teacher is not None
        place = find_checkpoint(self.teacher)
        processor = open_processor(ground.task, place, read_pretrained(AutoConfig, place), ground.rows["train"])
        task = ground.task.know(processor=processor)
        teacher = load_saved(task, place).to(device)
        if self._unfinished:
            task.finish(teacher)
        ids = {name: i for i, name in teacher.config.id2label.items()}
        order = [ids[label] for label in task.labels] or [0]
        seen: list[Any] = []
        logits_layer(teacher).register_forward_pre_hook(lambda _layer, args: seen.append(args[0]))

        def widen(_module: Any, _args: Any, output: Any) -> Any:
            vectors, output.logits = seen.pop(), output.logits[..., order]
            if vectors.ndim == output.logits.ndim == 2:
                output.logits = torch.cat([output.logits, vectors], dim=1)
            return output

        teacher.register_forward_hook(widen)
        splits = {name: rows for name, rows in ground.rows.items() if name != "test"}
        encoded = encode(task, splits, ground.folder / "teacher")
        return {split: ground.predict(task, teacher, encoded, split) for split in splits}

    def _listen(self, model: Any, size: int, problem: str | None) -> None:
        """Make the loss of the student's batches, those that hold what the teacher says, that of a distillation."""
        import torch

        told: list[Any] = []
        seen: list[Any] = []

        def take(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            told[:], seen[:] = [kwargs[_TOLD]] if _TOLD in kwargs else [], []
            return args, {name: value for name, value in kwargs.items() if name != _TOLD}

        def replace(_module: Any, _args: Any, kwargs: dict[str, Any], output: Any) -> Any:
            if told:
                logits, vectors = told[0][..., :size], told[0][..., size:]
                soft = self._soft(torch, *_pairs(output.logits, logits, kwargs["labels"]), problem)
                output.loss = self.alpha * soft + (1 - self.alpha) * output.loss
                mine = seen[0]
                if self.hidden and mine.shape == vectors.shape:
                    apart = 1 - torch.nn.functional.cosine_similarity(mine, vectors)
                    output.loss = output.loss + self.hidden * apart.mean()
            return output

        model.hooks = [
            model.register_forward_pre_hook(take, with_kwargs=True),
            logits_layer(model).register_forward_pre_hook(lambda _layer, args: seen.append(args[0])),
            model.register_forward_hook(replace, with_kwargs=True),
        ]

    def _soft(self, torch: Any, mine: Any, theirs: Any, problem: str | None) -> Any:
        """T^2 * KL(teacher, student), section 2 of Hinton et al.: over classes, or for each label by itself.

        Of numbers, the squared distance.
        """
        functional, heat = torch.nn.functional, self.temperature
        if problem == "regression":
            return functional.mse_loss(mine, theirs)
        if problem == "multi_label_classification":
            probabilities = (theirs / heat).sigmoid()
            own = functional.binary_cross_entropy_with_logits(theirs / heat, probabilities)
            return heat**2 * (functional.binary_cross_entropy_with_logits(mine / heat, probabilities) - own)
        both = [functional.log_softmax(logits / heat, dim=-1) for logits in (mine, theirs)]
        return heat**2 * functional.kl_div(*both, reduction="batchmean", log_target=True)

    def merge(self, model: Any) -> Any:
        return remove_hooks(model)


def _as_trained(task: Task, logits: np.ndarray, size: int) -> np.ndarray:
    """The logits as a training compares them with labels; the vectors behind them as they are."""
    return np.concatenate([task.training_logits(logits[..., :size]), logits[..., size:]], axis=-1)


def _padded(told: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows of as many words in every split; those that are not there are NaN."""
    if next(iter(told.values())).ndim == 2:
        return told
    words = max(it.shape[1] for it in told.values())
    return {
        name: np.pad(it, ((0, 0), (0, words - it.shape[1]), (0, 0)), constant_values=np.nan)
        for name, it in told.items()
    }


def _answered(ground: TrainingContext, outputs: Outputs, size: int) -> Any:
    """The unlabelled rows, with the teacher's answers as their labels."""
    (role,) = ground.task.targets
    labelled = ground.rows["train"]
    answers = ground.task.answers(outputs | {"logits": outputs["logits"][..., :size]})
    return ground.rows["unlabelled"].add_column(role, answers, feature=labelled.features[role])


def _pairs(mine: Any, theirs: Any, labels: Any) -> tuple[Any, Any]:
    """The logits of both where both have some: of the rows, or of the first tokens of words that both have read."""
    if mine.ndim == 2:
        return mine, theirs
    first = labels != IGNORED
    word = first.cumsum(dim=1) - 1
    first &= word < theirs.shape[1]
    theirs = theirs[first.nonzero()[:, 0], word[first]]
    read = ~theirs.isnan().any(dim=1)
    return mine[first][read], theirs[read]


def _beside(rows: Any, told: np.ndarray) -> Any:
    """The rows with what the teacher says in a column of its own."""
    from datasets import List, Value

    flat, feature = list(told.reshape(len(told), -1).astype(np.float32)), List(Value("float32"))
    transform = rows.format["format_kwargs"].get("transform")
    if transform is None:
        return rows.add_column(_TOLD, flat, feature=feature)
    # Rows that are encoded when they are read.
    wider = rows.with_format(None).add_column(_TOLD, flat, feature=feature)
    return wider.with_transform(lambda batch: transform(batch) | {_TOLD: batch[_TOLD]})


def _collator(encoded: Encoded, shape: tuple[int, ...]) -> Any:
    """The collator of the rows, and what the teacher says of them as it is; a row of it has this shape."""
    import torch

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = encoded.collate([{name: cell for name, cell in row.items() if name != _TOLD} for row in rows])
        told = np.stack([np.asarray(row[_TOLD], dtype=np.float32) for row in rows])
        return batch | {_TOLD: torch.from_numpy(told).unflatten(1, shape)}

    return collate
