"""The keys of `training:`, checked against the installed `transformers.TrainingArguments` without importing it.

Importing TrainingArguments imports torch, which takes longer than everything else that a wrong recipe needs;
so the names and types of its fields are read from its source.
"""

import ast
import functools
import importlib.util
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from hftransfer.core.plugins import nearest

# What the run itself decides, with the place where a recipe says it instead.
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

_SCALARS: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str, "dict": dict}


@functools.cache
def training_fields() -> dict[str, str]:
    """Field -> annotation, as the installed TrainingArguments declares them."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("transformers is not installed")
    source = Path(spec.submodule_search_locations[0]) / "training_args.py"
    tree = ast.parse(source.read_text(encoding="utf-8"))
    cls = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "TrainingArguments")
    annotated = (n for n in cls.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name))
    return {n.target.id: ast.unparse(n.annotation) for n in annotated if isinstance(n.target, ast.Name)}


def _type_of(annotation: str) -> Any:
    """The Python type behind a plain annotation; Any where an enum or a structure is allowed too."""
    optional = "Optional[" in annotation or "None" in annotation
    plain = annotation.removeprefix("Optional[").removesuffix("]").replace(" | None", "")
    if plain in _SCALARS:
        return _SCALARS[plain] | None if optional else _SCALARS[plain]
    return Any


def check_training(values: dict[str, Any]) -> dict[str, Any]:
    """The values with numbers as numbers ("2e-5" becomes 0.00002).

    Raises:
        pydantic.ValidationError: a key that TrainingArguments lacks or that the run sets itself, a wrong type.
    """
    fields = training_fields()
    allowed = set(fields) - set(RESERVED)
    checked: dict[str, Any] = {}
    wrong: list[InitErrorDetails] = []

    def refuse(key: str, text: str) -> None:
        error = PydanticCustomError("training", "{text}", {"text": text})
        wrong.append(InitErrorDetails(type=error, loc=(key,), input=values[key]))

    for key, value in values.items():
        if key in RESERVED:
            refuse(key, f"is set by {RESERVED[key]}, not under 'training'")
        elif key not in fields:
            near = nearest(key, allowed).partition("Allowed:")[0].strip() or "see transformers.TrainingArguments"
            refuse(key, f"is no field of the installed transformers.TrainingArguments; {near}")
        else:
            try:
                checked[key] = TypeAdapter(_type_of(fields[key])).validate_python(value)
            except ValidationError:
                refuse(key, f"expected {fields[key]}, got {value!r}")
    if wrong:
        raise ValidationError.from_exception_data("training", wrong)
    return checked
