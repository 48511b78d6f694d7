"""A small student learns what a tuned teacher says (Hinton et al. 2015, https://arxiv.org/abs/1503.02531).

`model` is the student: a checkpoint, a config, or, with `layers`, some layers of a checkpoint. The teacher reads every
row once, with a processor of its own; what it says is kept. Rows of `data.unlabelled` are learnt from it alone.
"""

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.encoding import Encoded, encode
from hftransfer.errors import RecipeError
from hftransfer.modeling import find, logits_layer, open_processor, read
from hftransfer.plugins import nearest
from hftransfer.shrinking import drop_layers
from hftransfer.strategies import Ground, Strategy, check_one_class, unhooked
from hftransfer.tasks import IGNORED, Task
from hftransfer.weights import reload

_TOLD = "teacher"


class Distill(Strategy):
    """Train the student on labels, on the teacher's softened outputs, and on the vectors that its head reads."""

    own_loss: ClassVar[bool] = True
    training: ClassVar[dict[str, Any]] = {"learning_rate": 3.0e-4, "num_train_epochs": 10}
    uses_unlabelled: ClassVar[bool] = True

    teacher: str | None = None
    """A tuned model: a run, a directory or a Hub id, for the same labels; in `compress` the model before this step."""
    temperature: float = Field(default=2.0, gt=0)
    """By which the logits of both are divided."""
    alpha: float = Field(default=0.9, ge=0, le=1)
    """Share of the teacher in the loss of a labelled row; the rest is that of the label."""
    hidden: float = Field(default=1.0, ge=0)
    """Weight of the distance (1 - cosine) between the vectors that the two heads read, where their sizes are equal."""
    layers: int | None = Field(default=None, ge=1)
    """Keep this many layers of the student's checkpoint, evenly spaced; left out, all."""

    def check(self, task: Task, model: Any) -> None:
        import transformers

        check_one_class(self, task, model)
        if self.teacher is None:
            return
        config = read(transformers.AutoConfig, find(self.teacher))
        theirs = set((config.id2label or {}).values())
        if unknown := set(task.labels) - theirs:
            raise RecipeError(
                f"strategy.teacher: '{self.teacher}' does not know the label '{min(unknown)}'; "
                f"{nearest(min(unknown), theirs)}"
            )

    def behind(self, model: str) -> Strategy:
        return self if self.teacher else self.model_copy(update={"teacher": model})

    def prepare(self, model: Any) -> Any:
        if self.layers:
            drop_layers(model, self.layers)
        return model

    def keep(self, model: Any, ground: Ground) -> Encoded:
        """The rows with what the teacher says of them, the unlabelled ones behind the others."""
        from datasets import concatenate_datasets

        told = self._asked(ground)
        rows = {split: _beside(ground.encoded.splits[split], told[split]) for split in ("train", "validation")}
        if "unlabelled" in told:
            unlabelled = _beside(ground.encoded.splits["unlabelled"], told["unlabelled"])
            labels = np.full(len(unlabelled), IGNORED)
            unlabelled = unlabelled.add_column("labels", labels, feature=rows["train"].features["labels"])
            style = rows["train"].format
            both = concatenate_datasets([rows["train"].with_format(None), unlabelled.with_format(None)])
            rows["train"] = both.with_format(style["type"])
        vary = ground.encoded.vary
        if vary is not None:
            numbers = np.arange(len(rows["train"]))
            rows["train"] = rows["train"].remove_columns("row").add_column("row", numbers)
        self._listen(model, len(ground.task.labels))
        return Encoded(rows, _collator(ground.encoded), vary)

    def _asked(self, ground: Ground) -> dict[str, np.ndarray]:
        """Split -> (rows, labels + size): the teacher's logits in the order of the task's labels, then the vectors."""
        import torch
        from transformers import AutoConfig

        assert self.teacher is not None
        place = find(self.teacher)
        processor = open_processor(ground.task, place, read(AutoConfig, place), ground.rows["train"])
        task = ground.task.know(processor=processor)
        teacher = reload(task, place)
        ids = {name: i for i, name in teacher.config.id2label.items()}
        order = [ids[label] for label in task.labels]
        seen: list[Any] = []
        logits_layer(teacher).register_forward_pre_hook(lambda _layer, args: seen.append(args[0]))

        def widen(_module: Any, _args: Any, output: Any) -> Any:
            output.logits = torch.cat([output.logits[:, order], seen.pop().flatten(1)], dim=1)
            return output

        teacher.register_forward_hook(widen)
        splits = {name: rows for name, rows in ground.rows.items() if name != "test"}
        encoded = encode(task, splits, ground.folder / "teacher")
        return {split: ground.predict(task, teacher, encoded, split)["logits"] for split in splits}

    def _listen(self, model: Any, labels: int) -> None:
        """Make the loss of the student's batches, those that hold what the teacher says, that of a distillation."""
        import torch

        told: list[Any] = []
        seen: list[Any] = []

        def take(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            told[:], seen[:] = [kwargs[_TOLD]] if _TOLD in kwargs else [], []
            return args, {name: value for name, value in kwargs.items() if name != _TOLD}

        def replace(_module: Any, _args: Any, kwargs: dict[str, Any], output: Any) -> Any:
            if told:
                logits, vectors = told[0][:, :labels], told[0][:, labels:]
                output.loss = self._loss(torch, output.logits, logits, kwargs["labels"])
                mine = seen[0].flatten(1)
                if self.hidden and mine.shape == vectors.shape:
                    apart = 1 - torch.nn.functional.cosine_similarity(mine, vectors)
                    output.loss = output.loss + self.hidden * apart.mean()
            return output

        model.hooks = [
            model.register_forward_pre_hook(take, with_kwargs=True),
            logits_layer(model).register_forward_pre_hook(lambda _layer, args: seen.append(args[0])),
            model.register_forward_hook(replace, with_kwargs=True),
        ]

    def _loss(self, torch: Any, mine: Any, theirs: Any, labels: Any) -> Any:
        """Equation of Hinton et al., section 2: alpha * T^2 * KL(teacher, student) + (1 - alpha) * cross-entropy."""
        functional = torch.nn.functional
        soft = functional.kl_div(
            functional.log_softmax(mine / self.temperature, dim=1),
            functional.log_softmax(theirs / self.temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        known = (labels != IGNORED).sum()
        hard = functional.cross_entropy(mine, labels, ignore_index=IGNORED, reduction="sum") / known.clamp(min=1)
        share = (1 - self.alpha) * known / len(labels)
        return (1 - share) * self.temperature**2 * soft + share * hard

    def merge(self, model: Any) -> Any:
        return unhooked(model)


def _beside(rows: Any, told: np.ndarray) -> Any:
    """The rows with what the teacher says in a column of its own."""
    from datasets import List, Value

    return rows.add_column(_TOLD, list(told.astype(np.float32)), feature=List(Value("float32")))


def _collator(encoded: Encoded) -> Any:
    """The collator of the rows, and what the teacher says of them as it is."""
    import torch

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = encoded.collate([{name: cell for name, cell in row.items() if name != _TOLD} for row in rows])
        return batch | {_TOLD: torch.from_numpy(np.stack([np.asarray(row[_TOLD], dtype=np.float32) for row in rows]))}

    return collate
