"""The section `training`, checked against the installed `transformers.TrainingArguments` without importing it.

Importing TrainingArguments imports torch, which takes longer than everything else that a wrong recipe needs. So names
and types of the fields are read from the source file.
"""

import ast
import functools
import importlib.util
import operator
import re
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from hftransfer.core import synonyms
from hftransfer.core.errors import shortened
from hftransfer.core.paths import is_file
from hftransfer.core.plugins import nearest
from hftransfer.recipe.changes import renamed
from hftransfer.recipe.training_ranges import UNUSED, broken_range

Fields = dict[str, Any]
"""Keys and values of a section that is not a class here: Transformers or a plug-in defines them."""

# Fields that the run sets, and where the user sets them instead.
RESERVED = {
    "output_dir": "the command's --out",
    "overwrite_output_dir": "the command's --overwrite",
    "resume_from_checkpoint": "the command's --resume",
    "seed": "the recipe's 'seed'",
    "data_seed": "the recipe's 'seed'",
    "do_train": "the recipe itself",
    "do_eval": "the recipe itself",
    "do_predict": "the recipe itself",
    "remove_unused_columns": "the task",
    "label_names": "the task",
    "push_to_hub": "the command 'push'",
    "hub_token": "HF_TOKEN in the environment, or by hf auth login",
    "push_to_hub_token": "HF_TOKEN in the environment, or by hf auth login",
}

# Fields that may keep their defaults, and why nothing else.
REFUSED = {
    "save_only_model": "a resumed training would end with another model, since its checkpoints lack the optimizer",
    "ignore_data_skip": "a resumed training would end with another model, since it would see rows again",
    "enable_jit_checkpoint": "SIGTERM saves the step without it",
    "fsdp": "only data parallelism (DDP) is supported; no test shows that sharded weights are saved whole",
    "fsdp_config": "only data parallelism (DDP) is supported; no test shows that sharded weights are saved whole",
    "deepspeed": "only data parallelism (DDP) is supported; no test shows that its weights are saved whole",
}

_TYPES: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str, "dict": dict, "list": list[str]}
# Fields whose text Transformers reads as JSON, and the one whose text may be the name of a file with JSON.
_MAPPINGS = ("gradient_checkpointing_kwargs", "activation_checkpointing_kwargs", "lr_scheduler_kwargs")
_FILE = "accelerator_config"
_MAX_FILE_BYTES = 1_000_000


@functools.cache
def training_fields() -> dict[str, str]:
    """Field -> annotation, as the installed TrainingArguments declares them."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("transformers is not installed")
    source = Path(spec.submodule_search_locations[0]) / "training_args.py"
    tree = ast.parse(source.read_text(encoding="utf-8"))
    (cls,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "TrainingArguments")
    return {
        node.target.id: ast.unparse(node.annotation)
        for node in cls.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def training_keys() -> set[str]:
    """The fields that a recipe may give."""
    return set(training_fields()) - set(RESERVED) - set(UNUSED)


def _types(annotation: str) -> tuple[list[Any], bool]:
    """The types of a field that YAML has, and whether it may be null; an enum is given by its value, a string."""
    names = re.findall(r"\w+", re.sub(r"\b(dict|list)\[[^\]]*\]", r"\1", annotation))
    return [_TYPES[name] for name in names if name in _TYPES], not {"None", "Optional"}.isdisjoint(names)


def _checked(key: str, value: object, annotation: str) -> Any:
    """A value in the type of its field: "2e-5" becomes 0.00002.

    Raises:
        ValueError: it has another type, lies outside of the field's range, or names no file; the text says which.
    """
    types, is_optional = _types(annotation)
    if value is None and is_optional:
        return None
    expected = ValueError(f"expected {annotation}, got {shortened(value)}")
    if value == "" or (isinstance(value, bool) and bool not in types):
        raise expected
    try:
        typed = TypeAdapter(functools.reduce(operator.or_, types)).validate_python(value)
    except ValidationError:
        raise expected from None
    if allowed := broken_range(key, typed):
        raise ValueError(f"{allowed}, got {shortened(value)}")
    if isinstance(typed, dict) and (wrong := [name for name, entry in typed.items() if _is_not_finite(entry)]):
        raise ValueError(f"{wrong[0]}: a finite number, got {shortened(typed[wrong[0]])}")
    if isinstance(typed, str) and key in _MAPPINGS:
        raise ValueError(f"a mapping, got {shortened(value)}")
    if isinstance(typed, str) and key == _FILE and not _is_small_file(typed):
        raise ValueError(f"a mapping, or a file of JSON, got {shortened(value)}")
    return typed


def _is_not_finite(entry: object) -> bool:
    """Whether a library would read an entry as a number that is none: YAML 1.2 has `nan` as a word."""
    return isinstance(entry, str) and entry.strip().lstrip("+-.").lower() in ("nan", "inf", "infinity")


def _is_small_file(name: str) -> bool:
    """Whether a name is that of a regular file: a device would be read for ever."""
    return is_file(name) and Path(name).stat().st_size <= _MAX_FILE_BYTES


def check_training(values: Fields) -> Fields:
    """The values in the types of their fields.

    Raises:
        pydantic.ValidationError: a key that TrainingArguments lacks, that the run sets or does not use, or a value of
            another type or out of range.
    """
    fields, allowed = training_fields(), training_keys()
    checked: Fields = {}
    errors: list[InitErrorDetails] = []
    for key, value in values.items():
        try:
            if key in RESERVED:
                raise ValueError(f"is set by {RESERVED[key]}, not under 'training'")
            if key in UNUSED:
                raise ValueError(f"has no effect on a run; instead: {UNUSED[key]}")
            if key not in fields:
                near = nearest(key, allowed, {**synonyms.KEYS, **renamed("training")}).partition("Allowed:")[0].strip()
                hint = near or "see transformers.TrainingArguments"
                raise ValueError(f"is no field of the installed transformers.TrainingArguments; {hint}")
            if value and key in REFUSED:
                raise ValueError(f"cannot be used: {REFUSED[key]}; leave it out")
            checked[key] = _checked(key, value, fields[key])
        except ValueError as error:
            reason = PydanticCustomError("training", "{text}", {"text": str(error)})
            errors.append(InitErrorDetails(type=reason, loc=(key,), input=value))
    if errors:
        raise ValidationError.from_exception_data("training", errors)
    return checked
