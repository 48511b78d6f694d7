"""What cannot be exported, found before the training."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.core import plugins
from hftransfer.core.errors import ExportError, RecipeError
from hftransfer.data.encode import EncodedSplits, encode
from hftransfer.exporters import SCHEMES, Exporter, TrainedModel, resolve_through
from hftransfer.models.checkpoint import ResolvedCheckpoint
from hftransfer.models.weights import load_model
from hftransfer.recipe.schema import Export
from hftransfer.tasks import ModelBatch, Task

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

# What configs call their numbers of layers.
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers")


def check_export(task: Task, origin: ResolvedCheckpoint, export: Export, metrics: list[str], rows: Dataset) -> None:
    """Refuse what the exporter cannot do with the model, and keys that have no effect.

    A model type that nobody has compared with PyTorch yet is exported on trial: one layer, random weights.

    Raises:
        HFTransferError: in a sentence, what is wrong.
    """
    if reason := ("are checkpoints for other tasks" if task.pretraining else task.not_exported):
        raise RecipeError(f"export: models of '{task.name}' {reason}; leave it out here")
    if export.metric not in ("headline", *metrics):
        near = plugins.nearest(export.metric, ["headline", *metrics])
        raise RecipeError(f"export.metric: the run is not scored by '{export.metric}'; {near}")
    exporter = plugins.load("exporters", export.format)()
    for key in sorted({"optimize", "operators", "target"} - exporter.keys):
        if getattr(export, key) != type(export).model_fields[key].default:
            raise RecipeError(f"export.{key}: '{export.format}' has no such option; leave it out")
    auto_model = task.model_class(origin.config)
    for scheme in ("optimized" if export.optimize else None, SCHEMES.get(export.quantization)):
        if scheme is not None:
            exporter.refuse_scheme(auto_model, scheme)
    through = resolve_through(export.through, auto_model, origin.config)
    _refuse_own_class(task, through)
    exporter.check(through, auto_model, origin.config)
    if exporter.needs_trial(through, origin.config):
        _export_on_trial(task, origin, exporter, rows)


def _refuse_own_class(task: Task, through: str) -> None:
    """Refuse to have Optimum export a model that is no class of Transformers."""
    if through == "optimum" and type(task).model_loader is not Task.model_loader:
        raise ExportError(f"export: Optimum does not know the model of '{task.name}'; Transformers 5 exports it")


def _export_on_trial(task: Task, origin: ResolvedCheckpoint, exporter: Exporter, rows: Dataset) -> None:
    """Export a small model of the same config for two rows.

    Raises:
        ExportError: it cannot be exported, or for the shapes of these rows alone.
    """
    small = ResolvedCheckpoint(_with_one_layer(origin.config), None, origin.processor, reuses_head=False)
    model = load_model(task, small).eval()
    with tempfile.TemporaryDirectory() as place:
        encoded = encode(task, {"train": rows.select([0, len(rows) // 2])}, Path(place))
        trained = TrainedModel(task, model, origin.processor, Path(place), example_batch(task, encoded))
        exporter.export(trained, "transformers", Path(place))


def _with_one_layer(config: PretrainedConfig) -> PretrainedConfig:
    small = copy.deepcopy(config)
    for name in _LAYERS:
        if isinstance(getattr(small, name, None), int):
            setattr(small, name, 1)
    return small


def example_batch(task: Task, encoded: EncodedSplits) -> ModelBatch:
    """Two rows of the training split as the model takes them, without labels; no graph may depend on their lengths."""
    rows = encoded.splits["train"]
    batch = encoded.collate([rows[0], rows[len(rows) // 2]])
    extractor = getattr(task.processor, "feature_extractor", task.processor)
    # A checkpoint may be trained without masks (wav2vec2 with group norm).
    masks = [] if getattr(extractor, "return_attention_mask", True) else ["attention_mask"]
    return {name: value for name, value in batch.items() if name not in (*task.label_names, *masks)}
