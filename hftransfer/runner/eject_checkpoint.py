"""How a script of plain Transformers reads the checkpoint of a run: its copy, its processor, fields of its config."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core.errors import RecipeError
from hftransfer.models.checkpoint import Checkpoint, open_processor
from hftransfer.models.reading import read_pretrained
from hftransfer.reporting.python_source import LINE_LENGTH, literal
from hftransfer.runner.plan import Plan
from hftransfer.tasks import Processor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Files of a checkpoint that Transformers reads; other formats of the weights are left where they are.
_SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".jinja")
# Fields of a config that say where it comes from.
_ORIGIN = ("_name_or_path", "transformers_version", "id2label", "label2id")
# The indentation of the line that opens a processor.
_INDENT = 4


@dataclass(frozen=True)
class ScriptCheckpoint:
    """A checkpoint as a script names it."""

    place: str
    """Python: a path beside the script, or a Hub id."""
    revision: str | None
    processor: str
    """Python that opens the processor."""
    pads_with_end: bool
    """Whether the tokenizer has no token for padding."""


def script_checkpoint(plan: Plan, checkpoint: Checkpoint, name: str) -> ScriptCheckpoint:
    """A checkpoint of a run as the constant `NAME` of a script, beside which a local one lies in the folder `name`.

    Raises:
        RecipeError: its processor cannot be opened in the same way by Transformers alone.
    """
    from transformers import AutoConfig

    local, constant = Path(checkpoint.path).is_dir(), name.upper()
    config = read_pretrained(AutoConfig, checkpoint)
    processor = open_processor(plan.task, checkpoint, config, plan.rows.splits["train"])
    fields, pads_with_end = _processor_fields(plan, checkpoint, processor)
    revision = "REVISION" if name == "checkpoint" else f"{constant}_REVISION"
    arguments = [constant, *([] if local else [f"revision={revision}"])]
    arguments += [f"{key}={literal(value)}" for key, value in fields.items()]
    return ScriptCheckpoint(
        place=f"HERE / {literal(name)}" if local else literal(checkpoint.path),
        revision=checkpoint.revision if not local else None,
        processor=_call(f"{plan.task.auto_processor}.from_pretrained", arguments),
        pads_with_end=pads_with_end,
    )


def _call(function: str, arguments: list[str]) -> str:
    """A call on one line, or with a line an argument."""
    line = f"{function}({', '.join(arguments)})"
    if len(f"{' ' * _INDENT}processor = {line}") <= LINE_LENGTH:
        return line
    lines = "".join(f"{' ' * (_INDENT + 4)}{argument},\n" for argument in arguments)
    return f"{function}(\n{lines}{' ' * _INDENT})"


def copy_checkpoint(checkpoint: Checkpoint, target: Path) -> None:
    """Copy the files of a local checkpoint; one on the Hub stays there."""
    source = Path(checkpoint.path)
    if source.is_dir():
        target.mkdir()
        for file in source.iterdir():
            if file.is_file() and file.suffix in _SUFFIXES:
                shutil.copyfile(file, target / file.name)


def _processor_fields(plan: Plan, checkpoint: Checkpoint, processor: Processor) -> tuple[dict[str, Any], bool]:
    """Arguments of `from_pretrained` that give the run's processor, and whether its padding is the end of a text."""
    import transformers

    def read(**fields: Any) -> Processor:
        return read_pretrained(getattr(transformers, plan.task.auto_processor), checkpoint, **fields)

    unchanged = read()
    if hasattr(unchanged, "pad_token"):
        names = {"model_input_names": processor.model_input_names}
        return names if names["model_input_names"] != unchanged.model_input_names else {}, unchanged.pad_token is None
    wanted, found = processor.to_dict(), unchanged.to_dict()
    fields = {key: value for key, value in wanted.items() if found.get(key) != value and not key.startswith("_")}
    # Some fields follow from others (Whisper's samples from its seconds).
    for key in list(fields):
        fewer = {name: value for name, value in fields.items() if name != key}
        if read(**fewer).to_dict() == wanted:
            fields = fewer
    if read(**fields).to_dict() != wanted:
        raise RecipeError(f"eject: Transformers alone does not open the {type(processor).__name__} as the run did")
    return fields, False


def changed_config(plan: Plan) -> dict[str, Any]:
    """Fields of the run's config besides its labels that are not the checkpoint's.

    Raises:
        RecipeError: with them Transformers alone does not make the run's config.
    """
    from transformers import AutoConfig

    weights, config = plan.origin.weights, plan.origin.config
    assert weights is not None
    labels = {"id2label": config.id2label, "label2id": config.label2id}
    wanted = config.to_dict()

    def differing(**fields: Any) -> dict[str, Any]:
        found = read_pretrained(AutoConfig, weights, **labels, **fields).to_dict()
        return {key: it for key, it in wanted.items() if key not in _ORIGIN and found.get(key) != it}

    fields = differing()
    if differing(**fields):
        raise RecipeError(f"eject: Transformers alone does not make the config of the run: {', '.join(fields)}")
    return fields


def refuse_odd_weights(model: PreTrainedModel) -> None:
    """Refuse weights that `load_model` makes out of others.

    Raises:
        RecipeError: names the first of them.
    """
    for name in model.new_weights:
        if name.endswith(("position_embeddings", "_tokens")):
            raise RecipeError(f"eject: its scripts do not fit '{name}' to another size than the checkpoint has")
