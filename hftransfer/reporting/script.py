"""A Python script out of templates: its imports, and the packages that it needs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hftransfer.reporting.python_source import LINE_LENGTH
from hftransfer.reporting.templates import render

# Module -> what is imported of it, if the script has the word; an empty name is for the module itself.
_NAMES: dict[str, tuple[str, ...]] = {
    "io": ("BytesIO",),
    "pathlib": ("Path",),
    "numpy": ("",),
    "soundfile": ("",),
    "torch": ("",),
    "datasets": ("Audio", "Dataset", "DatasetDict", "concatenate_datasets", "load_dataset"),
    "huggingface_hub": ("hf_hub_download",),
    "peft": ("LoraConfig", "get_peft_model"),
    "safetensors.torch": ("load_file",),
    "safetensors.numpy": ("save_file",),
    "sklearn.linear_model": ("LogisticRegression",),
    "sklearn.model_selection": ("KFold", "StratifiedKFold", "cross_val_predict"),
    "sklearn.pipeline": ("Pipeline", "make_pipeline"),
    "sklearn.preprocessing": ("FunctionTransformer", "StandardScaler"),
    "torch.nn.functional": ("cosine_similarity", "kl_div", "log_softmax"),
    "torch.nn.utils.rnn": ("pad_sequence",),
    "torch.utils.data": ("DataLoader",),
    "transformers": (
        *("BaseImageProcessor", "DataCollatorWithPadding", "FeatureExtractionMixin", "PreTrainedModel"),
        *("PreTrainedTokenizerBase", "Trainer", "TrainingArguments", "default_data_collator", "set_seed"),
    ),
}
_STANDARD = ("io", "pathlib")
_ALIASES = {"numpy": "np"}
# Of packages that are not called as their module is.
_DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def script(template: str, values: Mapping[str, Any], versions: Mapping[str, str], extra: Sequence[str]) -> str:
    """A template of this folder as a script with its dependencies (PEP 723), a docstring and its imports.

    Args:
        template: what follows the imports.
        values: of the template, and of `script_head.py.jinja`.
        versions: package -> version, of those whose version is known; of others it is the installed one.
        extra: packages that no import names, those that are not installed left out.

    Raises:
        jinja2.UndefinedError: a template uses a value that is not given.
    """
    body = _blank_lines(render(template, **values))
    found = _imports(body, [*(values[name] for name in ("auto_model", "auto_processor"))])
    modules = {module.partition(".")[0] for module in found if module not in _STANDARD}
    packages = {_DISTRIBUTIONS.get(module, module) for module in modules} | set(extra)
    pinned = {name: _version(name, versions) for name in sorted(packages)}
    head = render(
        "script_head.py.jinja",
        dependencies=[f"{name}=={number}" for name, number in pinned.items() if number],
        standard=[_statement(module, found[module]) for module in _STANDARD if module in found],
        imports=_statements({module: names for module, names in found.items() if module not in _STANDARD}),
        **values,
    )
    return f"{head.strip()}\n\n{body.strip()}\n"


def template_exists(name: str) -> bool:
    """Whether this folder has a template."""
    return (Path(__file__).parent / name).is_file()


def _blank_lines(text: str) -> str:
    """Two empty lines around the functions and classes of a file, at most one within them."""
    lines = [line.rstrip() for line in text.splitlines()]
    spaced: list[str] = []
    for line in filter(None, re.split(r"(?<=\n)", "\n".join(lines) + "\n")):
        previous = next((it for it in reversed(spaced) if it.strip()), "")
        if line.strip() and not line.startswith((" ", ")", "]", "#")) and previous:
            starts = line.startswith(("def ", "class ", "@", "if ")) and not previous.startswith("@")
            if starts or previous.startswith(" "):
                while not spaced[-1].strip():
                    spaced.pop()
                spaced += ["\n", "\n"]
        spaced.append(line)
    return re.sub(r"\n{3,}(?= )", "\n\n", "".join(spaced))


def _imports(body: str, auto_classes: Sequence[str]) -> dict[str, list[str]]:
    """Module -> the names of it that a text has; an empty one for the module itself."""
    known = _NAMES | {"transformers": (*_NAMES["transformers"], *auto_classes)}
    found: dict[str, list[str]] = {}
    for module, names in known.items():
        for name in names:
            word = name or _ALIASES.get(module, module) + "."
            if re.search(rf"(?<![\w.\"']){re.escape(word)}" + r"\b" * bool(name), body):
                found.setdefault(module, []).append(name)
    return found


def _statements(found: Mapping[str, list[str]]) -> list[str]:
    """Import statements as isort orders them: modules, then names of modules."""
    whole = [_statement(module, names) for module, names in sorted(found.items()) if names == [""]]
    return whole + [_statement(module, names) for module, names in sorted(found.items()) if names != [""]]


def _statement(module: str, names: list[str]) -> str:
    """An import; one that is too long for a line has a line a name."""
    if names == [""]:
        return f"import {module}" + (f" as {_ALIASES[module]}" if module in _ALIASES else "")
    ordered = sorted(set(names), key=lambda name: (not name[0].isupper(), name.lower()))
    line = f"from {module} import {', '.join(ordered)}"
    return line if len(line) <= LINE_LENGTH else f"from {module} import (\n    " + ",\n    ".join(ordered) + ",\n)"


def _version(package: str, versions: Mapping[str, str]) -> str | None:
    """The version of a package without its build (`+cpu`); None where it is neither known nor installed."""
    try:
        return (versions.get(package) or version(package)).partition("+")[0]
    except PackageNotFoundError:
        return None
