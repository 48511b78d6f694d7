"""How anomaly detection fits its model to normal rows, and what it reads of the model's outputs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hftransfer.core.empty_model import empty_model
from hftransfer.core.errors import ModelError, RecipeError
from hftransfer.tasks import Model, ModelBatch, Outputs, Predictions, Processor, Rendered
from hftransfer.tasks._anomaly_fit import SAMPLED, Scale, fit_detector, reduced
from hftransfer.tasks._images import rendered

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import PretrainedConfig, PreTrainedModel

# Sides of the maps that are kept of each image, and rows at once of those that have maps.
_MAP, _ROWS = 64, 4
# Pixels of a side of an image of the report.
_SHOWN = 200


class Method(Protocol):
    """The fields of the task that are read here."""

    @property
    def name(self) -> str:
        """Of the task."""

    @property
    def auto_model(self) -> str:
        """The Auto class of the encoder."""

    @property
    def processor(self) -> Processor:
        """The checkpoint's."""

    method: Any
    modality: Any
    false_alarms: float
    neighbours: int
    bank: int
    coreset: Any
    scale: Scale | None
    layers: list[str]
    smooth: int
    top: int


def description(task: Method) -> dict[str, Any]:
    """What the model reads of its config; `fit_model` replaces the sizes of the detector."""
    patches = task.method.startswith("patch_")
    return {
        "patches": patches,
        "layers": list(task.layers),
        "scale": task.scale or ("length" if task.method == "knn" else "whiten"),
        "neighbours": task.neighbours,
        "smooth": task.smooth if patches else 1,
        "top": task.top,
        "bank": 1,
        "channels": 1,
    }


def check(task: Method, references: Mapping[str, Predictions], config: PretrainedConfig) -> list[str]:
    """Warnings of rows that are not used, and of too few to find a threshold.

    Raises:
        RecipeError: fields do not go together.
        ModelError: the encoder has no such layer.
    """
    if task.smooth % 2 == 0:
        raise RecipeError(f"task.smooth: the places around one, and itself: an odd number, got {task.smooth}")
    if task.method.endswith("mahalanobis") and task.scale not in (None, "whiten"):
        raise RecipeError(f"task.scale: {task.method} whitens features; leave it out, or use a method with a bank")
    if task.layers and not task.method.startswith("patch_"):
        raise RecipeError(f"task.layers: {task.method} reads the encoder's output; it is for the methods on patches")
    modules = [name for name, _ in empty_model(task.auto_model, config).named_modules() if name]
    for name in [name for name in task.layers if name not in modules]:
        near = difflib.get_close_matches(name, modules, n=3, cutoff=0.3) or modules[:3]
        raise ModelError(f"task.layers: a {config.model_type} has no module '{name}'; near: {', '.join(near)}")
    return _warnings(task, references)


def _warnings(task: Method, references: Mapping[str, Predictions]) -> list[str]:
    warnings = []
    if unused := int((references["train"] != 0).sum()):
        warnings.append(
            f"{unused} of {len(references['train'])} training rows are anomalies, which nothing is fitted to"
        )
    count = int((references["validation"] == 0).sum())
    if (count + 1) * task.false_alarms < 1:
        warnings.append(
            f"task.false_alarms: {task.false_alarms} of the {count} normal validation rows is less than one: the "
            f"threshold is the largest of their scores; {int(np.ceil(1 / task.false_alarms)) - 1} are needed"
        )
    return warnings


def fit_model(
    task: Method,
    model: PreTrainedModel,
    batches: Callable[[np.ndarray], Iterable[ModelBatch]],
    normal: np.ndarray,
    seed: int,
) -> str:
    """Fit the detector of a model, in place, to the normal training rows, given by their numbers."""
    import torch

    from hftransfer.tasks._anomaly_model import fill

    rng, patches = np.random.default_rng(seed), task.method.startswith("patch_")
    most = max(1, SAMPLED // len(normal)) if patches else 1
    vectors: list[np.ndarray] = []
    with torch.inference_mode():
        for batch in batches(normal):
            for rows in _calls(task, batch):
                for row in model.features(**rows).float().cpu().numpy():
                    vectors.append(row[rng.permutation(len(row))[:most]])
    bank = 0 if task.method.endswith("mahalanobis") else task.bank
    sample = np.concatenate(vectors)
    fill(model, fit_detector(sample, description(task)["scale"], bank, task.coreset, seed))
    what = f"places of {len(normal):,} images" if patches else "rows"
    return f"No weight was trained: {task.method} was fitted to {len(sample):,} normal {what}."


def _calls(task: Method, batch: ModelBatch) -> Iterable[ModelBatch]:
    """A batch as the model is called: few images of many places, recordings of one length, without padding."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    if task.modality == "audio":
        name = task.processor.model_input_names[0]
        lengths = inputs["attention_mask"].sum(dim=1).tolist() if "attention_mask" in inputs else None
        count = len(inputs[name])
        yield from (
            {name: inputs[name][i : i + 1, : lengths[i]] if lengths else inputs[name][i : i + 1]} for i in range(count)
        )
        return
    count = len(next(iter(inputs.values())))
    step = _ROWS if task.method.startswith("patch_") else count
    for start in range(0, count, step):
        yield {name: tensor[start : start + step] for name, tensor in inputs.items()}


def outputs(task: Method, model: Model, batch: ModelBatch) -> Outputs:
    """`score` of shape (rows,); of patches also `map`, no side above 64, each place the largest of its distances."""
    answers = [model(**call) for call in _calls(task, batch)]
    named = {
        name: [answer[name].float().cpu().numpy() for answer in answers]
        for name in ("score", "map")
        if name in answers[0]
    }
    joined = {name: np.concatenate(arrays) for name, arrays in named.items()}
    return joined | ({"map": reduced(joined["map"], _MAP)} if "map" in joined else {})


def heat_map(image: Image, heat: np.ndarray, threshold: float | None) -> Rendered:
    """The image, and beside it the distances over it: dark up to their median, bright at the largest."""
    from matplotlib import colormaps
    from PIL import Image as Pictures

    scale = _SHOWN / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    picture = image.resize(size)
    lowest, highest = float(np.median(heat)), max(threshold or 0.0, float(heat.max()))
    levels = np.clip((heat - lowest) / max(highest - lowest, 1e-12), 0, 1)
    colours = (colormaps["inferno"](levels)[..., :3] * 255).astype(np.uint8)
    layer = Pictures.fromarray(colours).resize(size, Pictures.Resampling.BILINEAR)
    strip = Pictures.new("RGB", (2 * size[0], size[1]))
    strip.paste(picture, (0, 0))
    strip.paste(Pictures.blend(picture, layer, 0.7), (size[0], 0))
    return rendered(strip)
