"""The temperature of a classifier: fitted after the training, folded into the model, and what it has changed."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from hftransfer.core.files import flatten_outputs
from hftransfer.core.results import Calibration
from hftransfer.data.encode import first_rows
from hftransfer.evaluation.calibration import (
    calibration_score,
    error_if_calibrated,
    fit_temperature,
    fit_temperatures,
    reliability,
)
from hftransfer.runner.context import RunContext

_TEMPERATURE = "tuned/temperature"
# The outputs of the calibrated model on the validation rows.
_OUTPUTS = "tuned/calibrated"
# Validation rows by which the layer that makes the logits is recognized, and the model when it is read back.
_ROWS = 4


def calibrate(context: RunContext, model: Any) -> None:
    """Divide the logits of a trained classifier by a temperature fitted to validation rows, in their own layer.

    Each of several labels has a temperature of its own. Which layer it is, the outputs show; where none is, the model
    stays as it is.
    """
    import torch

    task, encoded = context.plan.task, context.encoded
    name = task.output_names[0]
    outputs = context.predict_for_training(task, model, encoded, "validation")
    logits = outputs[name]
    if not np.isfinite(logits).all():
        return
    references = context.references("validation")
    fit = fit_temperature if task.single_label else fit_temperatures
    temperature = np.atleast_1d(fit(logits, references))
    calibrated = outputs | {name: (logits / temperature).astype(logits.dtype)}
    few = first_rows(encoded, "validation", _ROWS)
    layers = [it for it in model.modules() if isinstance(it, torch.nn.Linear) and it.out_features == logits.shape[1]]
    for layer in reversed(layers):
        undivided = [tensor.detach().clone() for tensor in _tensors(layer)]
        with torch.no_grad():
            for tensor in _tensors(layer):
                divisor = torch.from_numpy(temperature).to(tensor)
                tensor.div_(divisor if tensor.ndim == 1 else divisor[:, None])
        divided = context.predict_few(task, model, few, "validation")[name]
        if np.allclose(divided * temperature, logits[: len(divided)], rtol=1e-3, atol=1e-3):
            # First the outputs: a run that is stopped here then calibrates again, and does not read the rows again.
            context.run_folder.arrays(_OUTPUTS, lambda: calibrated)
            context.run_folder.record(_TEMPERATURE, temperature.tolist)
            return
        with torch.no_grad():
            for tensor, before in zip(_tensors(layer), undivided, strict=True):
                tensor.copy_(before)


def tuned_outputs(context: RunContext, model: Any) -> dict[str, np.ndarray]:
    """The outputs of the tuned model, as its folder holds it, for all splits that are scored.

    Calibration has read the validation rows already. They are read again where the first of them show that the model
    does not answer as it did before it was saved.
    """
    task, encoded, split = context.plan.task, context.encoded, "validation"
    if context.run_folder.record(_TEMPERATURE, lambda: None) is None:
        return context.predict(model, encoded, "tuned", context.scored_splits)
    outputs = context.run_folder.arrays(_OUTPUTS, lambda: context.predict_for_training(task, model, encoded, split))
    few = context.predict_few(task, model, first_rows(encoded, split, _ROWS), split)
    near = partial(np.allclose, rtol=1e-3, atol=1e-3, equal_nan=True)
    if not all(near(array, outputs[name][: len(array)]) for name, array in few.items()):
        return context.predict(model, encoded, "tuned", context.scored_splits)
    others = [name for name in context.scored_splits if name != split]
    return flatten_outputs({split: outputs}) | context.predict(model, encoded, "tuned", others)


def _tensors(layer: Any) -> list[Any]:
    return [layer.weight] if layer.bias is None else [layer.weight, layer.bias]


def calibration(context: RunContext) -> Calibration | None:
    """How calibrated the tuned model is on the test rows, with and without its temperature; None where it has none."""
    temperatures = context.run_folder.record(_TEMPERATURE, lambda: None)
    if temperatures is None:
        return None
    task, outputs, references = context.plan.task, context.outputs["test"]["tuned"], context.references("test")
    undivided = {name: array * np.array(temperatures) for name, array in outputs.items()}
    before, after = (task.probabilities(it, context.side("test")) for it in (undivided, outputs))
    assert before is not None and after is not None
    numbers = np.isfinite(after).all(axis=1) & np.isfinite(before).all(axis=1)
    before, after, references = before[numbers], after[numbers], references[numbers]
    confidence, seed = context.plan.recipe.evaluation.confidence, context.plan.recipe.seed
    if_calibrated, limit = error_if_calibrated(after, references, confidence, seed)
    return Calibration(
        temperature=temperatures[0] if task.single_label else dict(zip(task.labels, temperatures, strict=True)),
        before=calibration_score(before, references, confidence, seed),
        after=calibration_score(after, references, confidence, seed),
        if_calibrated=if_calibrated,
        if_calibrated_limit=limit,
        curve_before=reliability(before, references),
        curve=reliability(after, references),
    )
