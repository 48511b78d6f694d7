"""The stages of a run: train, score, time. Each is done once in the life of the run, however often it is resumed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.core.errors import ModelError
from hftransfer.core.results import RuntimeFacts, Score
from hftransfer.core.run_folder import Workspace, packed, unpacked
from hftransfer.data.encode import Encoded
from hftransfer.data.mixup import mix
from hftransfer.evaluation.feature_similarity import drift
from hftransfer.evaluation.inference import predict
from hftransfer.evaluation.latency import runtime
from hftransfer.evaluation.scoring import Scorer, load_metric
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.weights import load_model, reload, save
from hftransfer.runner.plan import Fitting, Plan, tuned
from hftransfer.strategies import Ground, Strategy
from hftransfer.tasks import Outputs, Task
from hftransfer.training.trainer import arguments, train

History = list[dict[str, float]]
DRAWN = "drawn"
"""The record of the weights outside the head that the checkpoint lacks."""


@dataclass(frozen=True)
class Job:
    """What every stage needs, and where it leaves its outputs."""

    plan: Plan
    encoded: Encoded
    workspace: Workspace
    outputs: dict[str, dict[str, Outputs]]
    """Split -> variant -> outputs."""

    @property
    def scored(self) -> tuple[str, ...]:
        """Validation, test, and the test rows under shifts."""
        return tuple(name for name in self.encoded.splits if name != "train")

    def predict(self, model: Any, encoded: Encoded, variant: str, splits: tuple[str, ...]) -> dict[str, np.ndarray]:
        """The outputs of the splits, packed."""
        size = self.plan.recipe.evaluation.batch_size
        return packed(
            {
                split: predict(self.plan.task, model, encoded, split, size, f"scoring {variant} on {split}")
                for split in splits
            }
        )

    def outputs_of(self, task: Task, model: Any, encoded: Encoded, split: str) -> Outputs:
        """The outputs of any model of any task for a split."""
        return predict(task, model, encoded, split, self.plan.recipe.evaluation.batch_size, f"reading {split}")

    def note(self, variant: str, made: dict[str, np.ndarray]) -> None:
        """Take over the packed outputs of a variant, split by split."""
        for split, outputs in unpacked(made).items():
            self.outputs.setdefault(split, {})[variant] = outputs

    def shipped(self) -> Any:
        """The tuned model as its folder holds it."""
        model = reload(self.plan.task, Checkpoint(str(self.workspace.folder / "model")))
        return model.to(self.workspace.state.device)


def measured(job: Job, variant: str, load: Callable[[], Any], size: int) -> RuntimeFacts:
    """Size and speed of a variant, whose model is read only where they are not known yet."""
    made = job.workspace.record(
        f"{variant}/runtime", lambda: runtime(job.plan.task, load(), job.encoded, size, variant).model_dump()
    )
    return RuntimeFacts.model_validate(made)


def weights_size(folder: Path) -> int:
    """Bytes of the safetensors in a folder."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def majority(job: Job) -> None:
    """Outputs of the best model that looks at no input."""
    plan = job.plan
    references = plan.task.references(plan.rows.splits["train"])
    if plan.recipe.data.sampling == "balanced":
        # As the rows are, not as they are drawn.
        counts = plan.rows.facts.classes["train"]
        references = np.repeat(np.arange(len(plan.task.labels)), [counts.get(name, 0) for name in plan.task.labels])
    constant = plan.task.constant(references)
    for split in job.scored:
        repeated = {name: np.stack([row] * len(job.encoded.splits[split])) for name, row in constant.items()}
        job.note("majority", packed({split: repeated}))


def pretrained(job: Job) -> None:
    """Outputs of the checkpoint before any training, its head drawn anew unless it knows the labels."""
    from transformers import set_seed

    def make() -> dict[str, np.ndarray]:
        set_seed(job.plan.recipe.seed)
        model = load_model(job.plan.task, job.plan.origin).to(job.workspace.state.device)
        job.workspace.record(DRAWN, lambda: model.drawn)
        job.plan.task.finish(model)
        return job.predict(model, job.encoded, "pretrained", ("test",))

    with job.workspace.timed("score pretrained"):
        job.note("pretrained", job.workspace.arrays("pretrained/outputs", make))


def baseline(job: Job, fitting: Fitting) -> History:
    """Train and score a baseline; the model itself is not kept."""
    name, workspace = fitting.variant, job.workspace

    def make() -> History:
        with workspace.timed(f"train {name}"):
            model, encoded, history = _fit(job, fitting)
            job.plan.task.finish(model)
        with workspace.timed(f"score {name}"):
            workspace.arrays(f"{name}/outputs", lambda: _sound(job.predict(model, encoded, name, job.scored), name))
        return history

    history: History = workspace.record(f"{name}/history", make)
    job.note(name, workspace.arrays(f"{name}/outputs"))
    return history


def tune(job: Job, keep_heads: Callable[[dict[str, Any]], None]) -> History:
    """Adapt the checkpoint, save what ships, and score it as it is read back.

    `keep_heads` takes the models of further heads.
    """
    workspace, plan = job.workspace, job.plan
    fitting = tuned(plan.recipe)

    def make() -> History:
        with workspace.timed("train tuned"):
            model, _, history = _fit(job, fitting)
            plan.task.finish(model)
        strategy, _ = fitting.strategy.steps()[-1]
        keep_heads(strategy.further(model))
        if (adapter := strategy.adapter(model)) is not None:
            workspace.directory("adapter", adapter.save_pretrained)
        model = strategy.merge(model)
        workspace.directory("model", lambda folder: save(model, plan.origin.processor, folder))
        return history

    history: History = workspace.record("tuned/history", make)
    score_tuned(job)
    return history


def score_tuned(job: Job) -> None:
    """Outputs of the tuned model as its folder holds it."""

    def make() -> dict[str, np.ndarray]:
        return _sound(job.predict(job.shipped(), job.encoded, "tuned", job.scored), "tuned")

    with job.workspace.timed("score tuned"):
        job.note("tuned", job.workspace.arrays("tuned/outputs", make))


def _sound(outputs: dict[str, np.ndarray], variant: str) -> dict[str, np.ndarray]:
    """The outputs of a training that has not diverged.

    Raises:
        ModelError: it has: all that the model answers is NaN, and a metric would count that as some class.
    """
    for array in outputs.values():
        if array.dtype.kind == "f" and array.size and np.isnan(array).all():
            own = "lower training.learning_rate, or train without fp16"
            way = own if variant == "tuned" else f"leave '{variant}' out of evaluation.baselines"
            raise ModelError(f"the training of '{variant}' has diverged, its outputs are no numbers: {way}")
    return outputs


def drifted(job: Job) -> list[float]:
    """How near the features of the tuned model's blocks still are to those of the checkpoint."""
    from transformers import set_seed

    plan = job.plan
    if plan.origin.weights is None:
        return []

    def make() -> list[float]:
        # What the checkpoint lacks is drawn as for the training.
        set_seed(plan.recipe.seed)
        return drift(plan.task, load_model(plan.task, plan.origin), job.shipped().cpu(), job.encoded)

    with job.workspace.timed("compare features"):
        found: list[float] = job.workspace.record("drift", make)
    return found


def remembered(job: Job) -> dict[str, Score]:
    """The source's test rows, scored before and after the training; empty where the recipe names none."""
    source, size = job.plan.source, job.plan.recipe.evaluation.batch_size
    if source is None:
        return {}
    device = job.workspace.state.device

    def make() -> dict[str, np.ndarray]:
        encoded = source.encoded(job.workspace.kept / "source")
        models = {"before": source.before(), "after": source.after(job.shipped())}
        return packed(
            {
                name: predict(source.task, model.to(device), encoded, "test", size, f"scoring the source {name}")
                for name, model in models.items()
                if model is not None
            }
        )

    with job.workspace.timed("score source"):
        made = unpacked(job.workspace.arrays("source/outputs", make))
    by_accuracy = scorer(job.plan, ["accuracy"])
    drawn = {n: by_accuracy.judge(source.task, it, source.references)["accuracy"] for n, it in made.items()}
    if "after" in drawn:
        drawn["lost"] = drawn["before"] - drawn["after"]
    return {name: by_accuracy.interval(values, len(source.references)) for name, values in drawn.items()}


def _fit(job: Job, fitting: Fitting) -> tuple[Any, Encoded, History]:
    """A trained model, not yet merged, the rows that it was trained on, and the Trainer's log."""
    from transformers import set_seed

    workspace, name = job.workspace, fitting.variant
    *before, (strategy, last) = fitting.strategy.steps()
    set_seed(job.plan.recipe.seed)
    model = load_model(job.plan.task, job.plan.origin).to(workspace.state.device)
    earlier: History = []
    place = None
    for number, (step, more) in enumerate(before, 1):
        follower = step.behind(str(place)) if place else step
        model, log = _first_step(job, follower, model, fitting.training | more, f"{name}-{number}")
        earlier = _followed(earlier, log)
        place = workspace.kept / f"{name}-{number}" / "model"
    strategy = strategy.behind(str(place)) if place else strategy
    model, encoded, log = _train(job, strategy, model, fitting.training | last, name)
    return model, encoded, _followed(earlier, log)


def _first_step(job: Job, step: Strategy, model: Any, training: dict[str, Any], name: str) -> tuple[Any, History]:
    """A training that another follows: its model as it is read back, so that a resumed run goes on from the same."""
    from transformers import set_seed

    workspace = job.workspace

    def make() -> History:
        trained, _, log = _train(job, step, model, training, name)
        merged = step.merge(trained)
        workspace.directory(f"work/{name}/model", lambda folder: save(merged, job.plan.origin.processor, folder))
        return log

    log: History = workspace.record(f"{name}/history", make)
    kept = reload(job.plan.task, Checkpoint(str(workspace.kept / name / "model")))
    set_seed(job.plan.recipe.seed)
    return kept.to(workspace.state.device), log


def _train(
    job: Job, strategy: Strategy, model: Any, training: dict[str, Any], name: str
) -> tuple[Any, Encoded, History]:
    """One training: the model, the rows that it saw, and the log."""
    plan, folder = job.plan, job.workspace.kept / name
    model = strategy.prepare(model)
    if plan.task.own_loss:
        plan.task.weigh(model, plan.task.references(plan.rows.splits["train"]))
    mix(plan.task, model, plan.recipe.data.augment)
    encoded = strategy.keep(model, Ground(plan.task, plan.rows.splits, job.encoded, folder / "kept", job.outputs_of))
    by_length = "length" in (encoded.splits["train"].column_names or [])
    args = arguments(training, folder / "checkpoints", plan.recipe.seed, by_length)
    args.label_names = [plan.task.loss_input]
    log = train(model, encoded, args, strategy.callbacks(model), name, rates=strategy.rates(model))
    return model, encoded, log


def _followed(first: History, second: History) -> History:
    """Two logs as one, the second's epochs counted on."""
    epochs = max((entry.get("epoch", 0.0) for entry in first), default=0.0)
    return first + [entry | {"epoch": entry["epoch"] + epochs} if "epoch" in entry else entry for entry in second]


def scorer(plan: Plan, names: Sequence[str] | None = None) -> Scorer:
    """Metrics, those of the recipe unless others are named, with its intervals and seed."""
    evaluation = plan.recipe.evaluation
    metrics = [load_metric(name, plan.task.metric_config()) for name in names or plan.metrics]
    return Scorer(metrics, evaluation.confidence, evaluation.resamples, plan.recipe.seed)
