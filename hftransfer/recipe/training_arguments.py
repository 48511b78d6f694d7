"""The section `training`, checked against the installed `transformers.TrainingArguments` without importing it.

Importing TrainingArguments imports torch, which takes longer than everything else that a wrong recipe needs. So names
and types of the fields are read from the source file.
"""

import ast
import functools
import importlib.util
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from hftransfer.core.plugins import nearest

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
    "deepspeed": "only data parallelism (DDP) is supported; no test shows that its weights are saved whole",
}

_SCALARS: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str, "dict": dict}


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


def _adapter(annotation: str) -> TypeAdapter[Any]:
    """What checks a value by its annotation; anything passes where that allows an enum or a structure too."""
    is_optional = "Optional[" in annotation or "None" in annotation
    name = annotation.removeprefix("Optional[").removesuffix("]").replace(" | None", "")
    scalar: Any = _SCALARS.get(name, Any)
    return TypeAdapter(scalar | None if is_optional and scalar is not Any else scalar)


def check_training(values: Fields) -> Fields:
    """The values in the types of their fields: "2e-5" becomes 0.00002.

    Raises:
        pydantic.ValidationError: a key that TrainingArguments lacks or that the run sets, or a value of another type.
    """
    fields = training_fields()
    allowed = set(fields) - set(RESERVED)
    checked: Fields = {}
    errors: list[InitErrorDetails] = []

    def refuse(key: str, text: str) -> None:
        error = PydanticCustomError("training", "{text}", {"text": text})
        errors.append(InitErrorDetails(type=error, loc=(key,), input=values[key]))

    for key, value in values.items():
        if key in RESERVED:
            refuse(key, f"is set by {RESERVED[key]}, not under 'training'")
        elif key not in fields:
            hint = nearest(key, allowed).partition("Allowed:")[0].strip() or "see transformers.TrainingArguments"
            refuse(key, f"is no field of the installed transformers.TrainingArguments; {hint}")
        elif value and key in REFUSED:
            refuse(key, f"cannot be used: {REFUSED[key]}; leave it out")
        else:
            try:
                checked[key] = _adapter(fields[key]).validate_python(value)
            except ValidationError:
                refuse(key, f"expected {fields[key]}, got {value!r}")
    if errors:
        raise ValidationError.from_exception_data("training", errors)
    return checked
