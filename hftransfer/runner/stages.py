"""The stages of a run: train, score, time. Each is done once in the life of the run, however often it is resumed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.core.errors import ModelError
from hftransfer.core.results import RuntimeFacts, Score
from hftransfer.core.run_folder import RunFolder, flatten_outputs, nest_outputs
from hftransfer.data.encode import Encoded
from hftransfer.data.mixup import install_mixup
from hftransfer.evaluation.feature_similarity import feature_similarity
from hftransfer.evaluation.inference import predict
from hftransfer.evaluation.latency import measure_latency
from hftransfer.evaluation.scoring import Scorer, load_metric
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.weights import load_model, load_saved, save_model
from hftransfer.runner.plan import Plan, TrainingSpec, tuned_spec
from hftransfer.strategies import Strategy, TrainingContext
from hftransfer.tasks import Outputs, Task
from hftransfer.training.trainer import arguments, train

History = list[dict[str, float]]
NEW_WEIGHTS = "drawn"
"""The record of the weights outside the head that the checkpoint lacks."""


@dataclass(frozen=True)
class RunContext:
    """What every stage needs, and where it leaves its outputs."""

    plan: Plan
    encoded: Encoded
    run_folder: RunFolder
    outputs: dict[str, dict[str, Outputs]]
    """Split -> variant -> outputs."""

    @property
    def scored(self) -> tuple[str, ...]:
        """Validation, test, and the test rows under corruptions."""
        return tuple(name for name in self.encoded.splits if name != "train")

    def predict(self, model: Any, encoded: Encoded, variant: str, splits: tuple[str, ...]) -> dict[str, np.ndarray]:
        """The outputs of the splits, packed."""
        size = self.plan.recipe.evaluation.batch_size
        return flatten_outputs(
            {
                split: predict(self.plan.task, model, encoded, split, size, f"scoring {variant} on {split}")
                for split in splits
            }
        )

    def outputs_of(self, task: Task, model: Any, encoded: Encoded, split: str) -> Outputs:
        """The outputs of any model of any task for a split."""
        return predict(task, model, encoded, split, self.plan.recipe.evaluation.batch_size, f"reading {split}")

    def add_outputs(self, variant: str, made: dict[str, np.ndarray]) -> None:
        """Take over the packed outputs of a variant, split by split."""
        for split, outputs in nest_outputs(made).items():
            self.outputs.setdefault(split, {})[variant] = outputs

    def tuned_model(self) -> Any:
        """The tuned model as its folder holds it."""
        model = load_saved(self.plan.task, Checkpoint(str(self.run_folder.folder / "model")))
        return model.to(self.run_folder.state.device)


def measure(context: RunContext, variant: str, load: Callable[[], Any], size: int) -> RuntimeFacts:
    """Size and speed of a variant, whose model is read only where they are not known yet."""
    made = context.run_folder.record(
        f"{variant}/runtime",
        lambda: measure_latency(context.plan.task, load(), context.encoded, size, variant).model_dump(),
    )
    return RuntimeFacts.model_validate(made)


def weights_size(folder: Path) -> int:
    """Bytes of the safetensors in a folder."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def score_majority(context: RunContext) -> None:
    """Outputs of the best model that looks at no input."""
    plan = context.plan
    references = plan.task.references(plan.rows.splits["train"])
    if plan.recipe.data.sampling == "balanced":
        # As the rows are, not as they are drawn.
        counts = plan.rows.facts.classes["train"]
        references = np.repeat(np.arange(len(plan.task.labels)), [counts.get(name, 0) for name in plan.task.labels])
    constant = plan.task.majority_baseline(references)
    for split in context.scored:
        repeated = {name: np.stack([row] * len(context.encoded.splits[split])) for name, row in constant.items()}
        context.add_outputs("majority", flatten_outputs({split: repeated}))


def score_pretrained(context: RunContext) -> None:
    """Outputs of the checkpoint before any training, its head drawn anew unless it knows the labels."""
    from transformers import set_seed

    def make() -> dict[str, np.ndarray]:
        set_seed(context.plan.recipe.seed)
        model = load_model(context.plan.task, context.plan.origin).to(context.run_folder.state.device)
        context.run_folder.record(NEW_WEIGHTS, lambda: model.new_weights)
        context.plan.task.finish(model)
        return context.predict(model, context.encoded, "pretrained", ("test",))

    with context.run_folder.timed("score pretrained"):
        context.add_outputs("pretrained", context.run_folder.arrays("pretrained/outputs", make))


def train_baseline(context: RunContext, spec: TrainingSpec) -> History:
    """Train and score a baseline; the model itself is not kept."""
    name, run_folder = spec.variant, context.run_folder

    def make() -> History:
        with run_folder.timed(f"train {name}"):
            model, encoded, history = _fit(context, spec)
            context.plan.task.finish(model)
        with run_folder.timed(f"score {name}"):
            run_folder.arrays(
                f"{name}/outputs", lambda: _check_finite(context.predict(model, encoded, name, context.scored), name)
            )
        return history

    history: History = run_folder.record(f"{name}/history", make)
    context.add_outputs(name, run_folder.arrays(f"{name}/outputs"))
    return history


def tune(context: RunContext, keep_heads: Callable[[dict[str, Any]], None]) -> History:
    """Adapt the checkpoint, save what ships, and score it as it is read back.

    `keep_heads` takes the models of further heads.
    """
    run_folder, plan = context.run_folder, context.plan
    spec = tuned_spec(plan.recipe)

    def make() -> History:
        with run_folder.timed("train tuned"):
            model, _, history = _fit(context, spec)
            plan.task.finish(model)
        strategy, _ = spec.strategy.steps()[-1]
        keep_heads(strategy.auxiliary_models(model))
        if (adapter := strategy.adapter(model)) is not None:
            run_folder.directory("adapter", adapter.save_pretrained)
        model = strategy.merge(model)
        run_folder.directory("model", lambda folder: save_model(model, plan.origin.processor, folder))
        return history

    history: History = run_folder.record("tuned/history", make)
    score_tuned(context)
    return history


def score_tuned(context: RunContext) -> None:
    """Outputs of the tuned model as its folder holds it."""

    def make() -> dict[str, np.ndarray]:
        return _check_finite(context.predict(context.tuned_model(), context.encoded, "tuned", context.scored), "tuned")

    with context.run_folder.timed("score tuned"):
        context.add_outputs("tuned", context.run_folder.arrays("tuned/outputs", make))


def _check_finite(outputs: dict[str, np.ndarray], variant: str) -> dict[str, np.ndarray]:
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


def compare_features(context: RunContext) -> list[float]:
    """How near the features of the tuned model's blocks still are to those of the checkpoint."""
    from transformers import set_seed

    plan = context.plan
    if plan.origin.weights is None:
        return []

    def make() -> list[float]:
        # What the checkpoint lacks is drawn as for the training.
        set_seed(plan.recipe.seed)
        return feature_similarity(
            plan.task, load_model(plan.task, plan.origin), context.tuned_model().cpu(), context.encoded
        )

    with context.run_folder.timed("compare features"):
        found: list[float] = context.run_folder.record("drift", make)
    return found


def score_source_task(context: RunContext) -> dict[str, Score]:
    """The source's test rows, scored before and after the training; empty where the recipe names none."""
    source, size = context.plan.source, context.plan.recipe.evaluation.batch_size
    if source is None:
        return {}
    device = context.run_folder.state.device

    def make() -> dict[str, np.ndarray]:
        encoded = source.encoded(context.run_folder.work_folder / "source")
        models = {"before": source.before(), "after": source.after(context.tuned_model())}
        return flatten_outputs(
            {
                name: predict(source.task, model.to(device), encoded, "test", size, f"scoring the source {name}")
                for name, model in models.items()
                if model is not None
            }
        )

    with context.run_folder.timed("score source"):
        made = nest_outputs(context.run_folder.arrays("source/outputs", make))
    by_accuracy = scorer(context.plan, ["accuracy"])
    drawn = {n: by_accuracy.evaluate(source.task, it, source.references)["accuracy"] for n, it in made.items()}
    if "after" in drawn:
        drawn["lost"] = drawn["before"] - drawn["after"]
    return {name: by_accuracy.interval(values, len(source.references)) for name, values in drawn.items()}


def _fit(context: RunContext, spec: TrainingSpec) -> tuple[Any, Encoded, History]:
    """A trained model, not yet merged, the rows that it was trained on, and the Trainer's log."""
    from transformers import set_seed

    run_folder, name = context.run_folder, spec.variant
    *before, (strategy, last) = spec.strategy.steps()
    set_seed(context.plan.recipe.seed)
    model = load_model(context.plan.task, context.plan.origin).to(run_folder.state.device)
    earlier: History = []
    place = None
    for number, (step, more) in enumerate(before, 1):
        follower = step.after_checkpoint(str(place)) if place else step
        model, log = _first_step(context, follower, model, spec.training | more, f"{name}-{number}")
        earlier = _concatenated(earlier, log)
        place = run_folder.work_folder / f"{name}-{number}" / "model"
    strategy = strategy.after_checkpoint(str(place)) if place else strategy
    model, encoded, log = _train(context, strategy, model, spec.training | last, name)
    return model, encoded, _concatenated(earlier, log)


def _first_step(
    context: RunContext, step: Strategy, model: Any, training: dict[str, Any], name: str
) -> tuple[Any, History]:
    """A training that another follows: its model as it is read back, so that a resumed run goes on from the same."""
    from transformers import set_seed

    run_folder = context.run_folder

    def make() -> History:
        trained, _, log = _train(context, step, model, training, name)
        merged = step.merge(trained)
        run_folder.directory(
            f"work/{name}/model", lambda folder: save_model(merged, context.plan.origin.processor, folder)
        )
        return log

    log: History = run_folder.record(f"{name}/history", make)
    kept = load_saved(context.plan.task, Checkpoint(str(run_folder.work_folder / name / "model")))
    set_seed(context.plan.recipe.seed)
    return kept.to(run_folder.state.device), log


def _train(
    context: RunContext, strategy: Strategy, model: Any, training: dict[str, Any], name: str
) -> tuple[Any, Encoded, History]:
    """One training: the model, the rows that it saw, and the log."""
    plan, folder = context.plan, context.run_folder.work_folder / name
    model = strategy.prepare(model)
    if plan.task.replaces_loss:
        plan.task.install_loss(model, plan.task.references(plan.rows.splits["train"]))
    install_mixup(plan.task, model, plan.recipe.data.augment)
    encoded = strategy.keep(
        model, TrainingContext(plan.task, plan.rows.splits, context.encoded, folder / "kept", context.outputs_of)
    )
    by_length = "length" in (encoded.splits["train"].column_names or [])
    args = arguments(training, folder / "checkpoints", plan.recipe.seed, by_length)
    args.label_names = [plan.task.loss_input]
    log = train(model, encoded, args, strategy.callbacks(model), name, rates=strategy.learning_rate_factors(model))
    return model, encoded, log


def _concatenated(first: History, second: History) -> History:
    """Two logs as one, the second's epochs counted on."""
    epochs = max((entry.get("epoch", 0.0) for entry in first), default=0.0)
    return first + [entry | {"epoch": entry["epoch"] + epochs} if "epoch" in entry else entry for entry in second]


def scorer(plan: Plan, names: Sequence[str] | None = None) -> Scorer:
    """Metrics, those of the recipe unless others are named, with its intervals and seed."""
    evaluation = plan.recipe.evaluation
    metrics = [load_metric(name, plan.task.metric_config()) for name in names or plan.metrics]
    return Scorer(metrics, evaluation.confidence, evaluation.resamples, plan.recipe.seed)
