"""The stages of a run: train, score, time. Each is done once in the life of the run, however often it is resumed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core import ranks
from hftransfer.core.errors import ModelError
from hftransfer.core.files import flatten_outputs, nest_outputs
from hftransfer.core.results import RuntimeFacts, Score
from hftransfer.data.encode import LENGTH, EncodedSplits
from hftransfer.data.mixup import install_mixup
from hftransfer.evaluation.feature_similarity import feature_similarity
from hftransfer.evaluation.inference import predict
from hftransfer.evaluation.latency import ENOUGH, ENOUGH_ALONE, measure_latency
from hftransfer.evaluation.scoring import answers
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.frozen_features import named_pooling
from hftransfer.models.weights import load_model, load_saved, save_adapter, save_model
from hftransfer.runner.calibration import calibrate, tuned_outputs
from hftransfer.runner.context import RunContext
from hftransfer.runner.fitting import fit_outputs, recall_fitted
from hftransfer.runner.specs import TrainingSpec
from hftransfer.runner.trial_scores import interim_callbacks
from hftransfer.strategies import Strategy, TrainingContext
from hftransfer.training.arguments import training_arguments
from hftransfer.training.trainer import train

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hftransfer.runner.forgetting import SourceTask
    from hftransfer.tasks import Side

History = list[dict[str, float]]
NEW_WEIGHTS = "new_weights"
"""The record of the weights outside the head that the checkpoint lacks."""
NOTE = "note"
"""The record of what the strategy says of a training."""
HEAD_INPUT = "head_input"
"""The record of what the head of a linear probe reads."""
_FROZEN = "frozen"


def measure(context: RunContext, variant: str, load: Callable[[], Any], size: int) -> RuntimeFacts:
    """Size and speed of a variant, whose model is read only where they are not known yet."""
    enough = ENOUGH if context.plan.recipe.export else ENOUGH_ALONE
    facts = context.run_folder.record(
        f"{variant}/runtime",
        lambda: measure_latency(context.plan.task, load(), context.encoded, size, variant, enough).model_dump(),
        alone=True,
    )
    return RuntimeFacts.model_validate(facts)


def weights_size(folder: Path) -> int:
    """Bytes of the safetensors in a folder."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def train_baseline(context: RunContext, spec: TrainingSpec) -> History:
    """Train and score a baseline; the model itself is not kept."""
    name, run_folder = spec.variant, context.run_folder

    def outputs(model: Any = None, encoded: EncodedSplits = context.encoded) -> dict[str, np.ndarray]:
        return run_folder.arrays(f"{name}/outputs", lambda: _score(context, model, encoded, name))

    def make() -> History:
        with run_folder.timed(f"train {name}"):
            model, encoded, history = _fit(context, spec)
            context.plan.task.finalize(model)
        with run_folder.timed(f"score {name}"):
            fit_outputs(context, name, outputs(model, encoded), lambda: model, encoded)
        return history

    history: History = run_folder.training(name, make)
    _remove_checkpoints(context, name)
    context.add_outputs(name, outputs())
    recall_fitted(context, name)
    return history


def tune(context: RunContext, save_auxiliary: Callable[[dict[str, PreTrainedModel]], None]) -> History:
    """Adapt the checkpoint, save what ships, and score it as it is read back.

    `save_auxiliary` takes the trained models of auxiliary tasks.
    """
    run_folder, plan = context.run_folder, context.plan
    spec = plan.tuned

    def make() -> History:
        with run_folder.timed("train tuned"):
            model, _, history = _fit(context, spec)
            plan.task.finalize(model)
        strategy, _ = spec.strategy.steps()[-1]
        auxiliary = strategy.auxiliary_models(model)
        save_auxiliary(auxiliary)
        adapter = strategy.adapter(model)
        if adapter is None:
            model = strategy.merge(model)
        if plan.recipe.calibrate and plan.task.row_target in ("class", "classes") and not auxiliary:
            with run_folder.timed("calibrate"):
                calibrate(context, model)
        if adapter is not None:
            run_folder.directory("adapter", partial(save_adapter, adapter))
            model = strategy.merge(model)
        run_folder.directory("model", lambda folder: save_model(model, plan.origin.processor, folder))
        return history

    history: History = run_folder.training("tuned", make, "adapter", "model")
    _remove_checkpoints(context, "tuned")
    score_tuned(context)
    return history


def score_tuned(context: RunContext) -> None:
    """Outputs of the tuned model as its folder holds it."""
    run_folder = context.run_folder
    with run_folder.timed("score tuned"):
        outputs = run_folder.arrays(
            "tuned/outputs", lambda: _check_finite(tuned_outputs(context, context.tuned_model()), "tuned")
        )
        fit_outputs(context, "tuned", outputs, context.tuned_model)
    context.add_outputs("tuned", outputs)
    recall_fitted(context, "tuned")


def _score(context: RunContext, model: Any, encoded: EncodedSplits, variant: str) -> dict[str, np.ndarray]:
    """The outputs of a trained model for all splits that are scored."""
    return _check_finite(context.predict(model, encoded, variant, context.scored_splits), variant)


def _check_finite(outputs: dict[str, np.ndarray], variant: str) -> dict[str, np.ndarray]:
    """The outputs of a training that has not diverged.

    Raises:
        ModelError: all outputs are NaN, which a metric would count as some class.
    """
    for array in outputs.values():
        if array.dtype.kind == "f" and array.size and np.isnan(array).all():
            remedy = "lower training.learning_rate, or train without fp16"
            if variant != "tuned":
                remedy = f"leave '{variant}' out of evaluation.baselines"
            raise ModelError(f"the training of '{variant}' has diverged, its outputs are no numbers: {remedy}")
    return outputs


def compare_features(context: RunContext) -> list[float]:
    """How similar the features of the tuned model's blocks still are to those of the checkpoint (CKA), where asked."""
    from transformers import set_seed

    plan = context.plan
    if plan.origin.weights is None or not plan.recipe.evaluation.feature_similarity:
        return []

    def make() -> list[float]:
        # What the checkpoint lacks is initialized as for the training.
        set_seed(plan.recipe.seed)
        before, after = load_model(plan.task, plan.origin), context.tuned_model().cpu()
        return feature_similarity(plan.task, before, after, context.encoded)

    with context.run_folder.timed("compare features"):
        similarities: list[float] = context.run_folder.record("feature_similarity", make, alone=True)
    return similarities


def score_source_task(context: RunContext) -> dict[str, Score]:
    """The source's test rows, scored before and after the training; empty where the recipe names none."""
    source, size = context.plan.source, context.plan.recipe.evaluation.batch_size
    if source is None:
        return {}
    device = context.run_folder.state.device
    encoded = source.encoded(context.run_folder.work_folder / "source")

    def make() -> dict[str, np.ndarray]:
        models = {"before": source.before(), "after": source.after(context.tuned_model())}
        return flatten_outputs(
            {
                name: predict(source.task, model.to(device), encoded, "test", size, f"scoring the source {name}")
                for name, model in models.items()
                if model is not None
            }
        )

    with context.run_folder.timed("score source"):
        outputs = nest_outputs(context.run_folder.arrays("source/outputs", make))
    return ranks.from_main(lambda: _source_scores(context, source, encoded.side("test"), outputs))


def _source_scores(
    context: RunContext, source: SourceTask, side: Side, outputs: dict[str, dict[str, np.ndarray]]
) -> dict[str, Score]:
    """Accuracy before and after the training, and what it has lost."""
    accuracy = context.scorer(["accuracy"])
    variants = {name: answers(source.task, arrays, side, source.references) for name, arrays in outputs.items()}
    resampled = {name: it["accuracy"] for name, it in accuracy.resample(variants, source.references).items()}
    if "after" in resampled:
        resampled["lost"] = resampled["before"] - resampled["after"]
    return {name: accuracy.interval(values, len(source.references)) for name, values in resampled.items()}


def _fit(context: RunContext, spec: TrainingSpec) -> tuple[Any, EncodedSplits, History]:
    """A trained model, not yet merged, the rows that it was trained on, and the Trainer's log."""
    from transformers import set_seed

    run_folder, name = context.run_folder, spec.variant
    *earlier_steps, (strategy, arguments) = spec.strategy.steps()
    set_seed(context.plan.recipe.seed)
    model = load_model(context.plan.task, context.plan.origin).to(run_folder.state.device)
    run_folder.record(NEW_WEIGHTS, lambda: model.new_weights)
    earlier: History = []
    folder = None
    for number, (step, step_arguments) in enumerate(earlier_steps, 1):
        step, features = (step.after_checkpoint(str(folder)), f"{name}-{number}") if folder else (step, _FROZEN)
        training = spec.training | step_arguments
        model, log = _earlier_step(context, step, model, training, f"{name}-{number}", features)
        earlier = _concatenated(earlier, log)
        folder = run_folder.work_folder / f"{name}-{number}" / "model"
    strategy, features = (strategy.after_checkpoint(str(folder)), name) if folder else (strategy, _FROZEN)
    model, encoded, log = _train(context, strategy, model, spec.training | arguments, name, features)
    return model, encoded, _concatenated(earlier, log)


def _earlier_step(
    context: RunContext, step: Strategy, model: Any, training: dict[str, Any], name: str, features: str
) -> tuple[Any, History]:
    """A training that another follows: its model as it is read back, so that a resumed run goes on from the same."""
    from transformers import set_seed

    run_folder, plan = context.run_folder, context.plan

    def make() -> History:
        trained, _, log = _train(context, step, model, training, name, features)
        merged = step.merge(trained)
        run_folder.directory(f"work/{name}/model", lambda folder: save_model(merged, plan.origin.processor, folder))
        return log

    log: History = run_folder.training(name, make, f"work/{name}/model")
    _remove_checkpoints(context, name)
    saved = load_saved(plan.task, Checkpoint(str(run_folder.work_folder / name / "model")))
    set_seed(plan.recipe.seed)
    return saved.to(run_folder.state.device), log


def _remove_checkpoints(context: RunContext, name: str) -> None:
    """Delete the checkpoints of a training whose result is recorded."""
    if ranks.is_main():
        shutil.rmtree(context.run_folder.work_folder / name / "checkpoints", ignore_errors=True)


def _train(
    context: RunContext, strategy: Strategy, model: Any, training: dict[str, Any], name: str, features: str
) -> tuple[Any, EncodedSplits, History]:
    """One training: the model, the rows that it saw, and the log; `features` names the frozen features of the model."""
    plan, folder = context.plan, context.run_folder.work_folder / name
    model = strategy.prepare(model)
    if plan.task.replaces_loss:
        plan.task.install_loss(model, plan.task.references(plan.rows.splits["train"]))
    install_mixup(plan.task, model, plan.recipe.data.augment)
    training_context = TrainingContext(
        task=plan.task,
        rows=plan.rows.splits,
        encoded=context.encoded,
        folder=folder / "cached",
        predict=context.predict_for_training,
        features=lambda model: context.frozen_features(features, lambda: model, "train"),
        pooling=named_pooling(plan.origin.weights) if features == _FROZEN else None,
        seed=plan.recipe.seed,
    )
    if fitted := strategy.fit(model, training_context):
        context.run_folder.record(f"{name}/{NOTE}", lambda: fitted.note)
        if fitted.head_input is not None:
            context.run_folder.record(f"{name}/{HEAD_INPUT}", fitted.head_input.model_dump)
        return model, context.encoded, fitted.log
    encoded = strategy.training_rows(model, training_context)
    by_length = encoded.stream is None and LENGTH in (encoded.splits["train"].column_names or [])
    arguments = training_arguments(training, folder / "checkpoints", plan.recipe.seed, by_length)
    arguments.label_names = list(plan.task.label_names)
    factors = strategy.learning_rate_factors(model)
    callbacks = [*strategy.callbacks(model), *interim_callbacks(context, model, encoded, name)]
    log = train(model, encoded, arguments, callbacks, name, learning_rate_factors=factors)
    return model, encoded, log


def _concatenated(first: History, second: History) -> History:
    """Two logs as one, the second's epochs counted on."""
    epochs = max((entry.get("epoch", 0.0) for entry in first), default=0.0)
    return first + [entry | {"epoch": entry["epoch"] + epochs} if "epoch" in entry else entry for entry in second]
