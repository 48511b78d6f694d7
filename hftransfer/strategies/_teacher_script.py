"""What a script of plain Transformers has to know of a teacher and of the layers that a student keeps."""

from __future__ import annotations

from typing import Any

from hftransfer.core.empty_model import empty_model
from hftransfer.core.errors import RecipeError
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.frozen_features import reads_one_vector
from hftransfer.models.layers import attribute, logits_layer
from hftransfer.models.pruning import has_numbered_layers, selected_layers
from hftransfer.models.reading import read_pretrained
from hftransfer.strategies import ScriptContext


def teacher_values(
    context: ScriptContext, checkpoint: Checkpoint, layers: int | None, uses_vectors: bool
) -> dict[str, Any]:
    """The teacher's checkpoint, the layers that make the logits of both, and the student's layers that are left.

    Where the loss compares what these layers read, it does so if both read one vector of the same size a row.

    Raises:
        RecipeError: the student has a config with an entry for each layer.
    """
    from transformers import AutoConfig

    student, labels = context.model, context.task.labels
    config = read_pretrained(AutoConfig, checkpoint)
    teacher = empty_model(context.task.model_loader(config), config)
    if layers and has_numbered_layers(student):
        raise RecipeError(f"eject: its scripts cannot take layers out of a {type(student).__name__}")
    read, taught = logits_layer(student), logits_layer(teacher)
    one_vector = reads_one_vector(context.task, student, context.rows)
    values: dict[str, Any] = {
        "teacher": checkpoint,
        "other_order": [config.id2label.get(number) for number in range(len(labels))] != list(labels),
        "logits_layer": attribute(student, read),
        "teacher_layer": attribute(teacher, taught),
        "uses_vectors": uses_vectors and one_vector and read.in_features == taught.in_features,
        "layers": None,
    }
    if layers:
        name, field, selected = selected_layers(student, layers)
        values["layers"] = {
            "place": attribute(student, student.get_submodule(name)),
            "field": field,
            "selected": selected,
        }
    return values
