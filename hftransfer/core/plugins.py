"""A plug-in is a file: its name is its registry entry, its one class is the plug-in, the fields are its recipe keys.

Plug-ins come from the folders `tasks/`, `strategies/`, ... of this package, of folders that the user names (`--plugins
DIR`, or the environment variable HFTRANSFER_PLUGINS), and of installed packages with an entry point of the group
`hftransfer.plugins`. A recipe can name a plug-in, never a place to load one from.
"""

import ast
import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ConfigDict, StrictBool, ValidationInfo, field_validator

from hftransfer.core import synonyms
from hftransfer.core.errors import MissingExtraError, PluginError, RecipeError

KINDS = ("tasks", "strategies", "sources", "samples", "exporters", "metrics")
ENVIRONMENT_VARIABLE = "HFTRANSFER_PLUGINS"
_ENTRY_POINTS = "hftransfer.plugins"
_PACKAGE = "hftransfer"
_ROOT = Path(__file__).parent.parent

# A longer list would hide what stands before it.
_SHOWN = 30
# The Hub writes its task names with hyphens; every other kind is named as Python names it.
_HYPHENATED = {"tasks"}


def plugin_name(kind: str, stem: str) -> str:
    """The name of the plug-in in a file of this name."""
    return stem.replace("_", "-") if kind in _HYPHENATED else stem


class Record(BaseModel):
    """A frozen part of a run's record, in which a score may be NaN and a prediction an empty text."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True)


class Section(Record):
    """A frozen group of recipe keys; a key that it does not know is an error."""

    model_config = ConfigDict(allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_written_as_meant(cls, value: object, info: ValidationInfo) -> object:
        """Refuse what pydantic would read as something else: true as the number 1, an empty string as a name."""
        field = cls.model_fields[str(info.field_name)]
        types = {field.annotation, *get_args(field.annotation)}
        if isinstance(value, bool) and not types & {bool, StrictBool, Any} and types & {int, float}:
            raise ValueError(f"expected a number, got {str(value).lower()}")
        # What stands in a section is checked there; a mapping whose values may be anything is a library's.
        is_mapping = get_origin(field.annotation) is dict and Any not in types
        entries = list(value.values()) if isinstance(value, dict) and is_mapping else value
        texts = entries if isinstance(entries, list) else [entries]
        if "" in texts and field.default != "":
            raise ValueError("an empty string; leave the key out" if value == "" else "one of the strings is empty")
        return value


class Plugin(Section):
    """Base of tasks, strategies, sources, samples, exporters and metrics."""

    requires: ClassVar[dict[str, str]] = {}
    """Packages that the plug-in imports, each with the extra of hftransfer-recipes that installs it."""
    local_files: ClassVar[tuple[str, ...]] = ()
    """Fields that may name files or folders of this machine; a job on another one gets copies of them."""

    @property
    def name(self) -> str:
        """The name that a recipe uses: the file's name."""
        kind, stem = type(self).__module__.split(".")[-2:]
        return plugin_name(kind, stem)

    @classmethod
    def extras(cls) -> set[str]:
        """The extras of hftransfer-recipes that the plug-in needs."""
        return set(cls.requires.values())

    def check_installed(self) -> None:
        """Refuse the plug-in while a package of its extra is missing.

        Raises:
            MissingExtraError: a package of `requires` cannot be found.
        """
        for package, extra in self.requires.items():
            if importlib.util.find_spec(package) is None:
                raise MissingExtraError(
                    f"'{self.name}' needs the package '{package}', which is not installed: "
                    f"pip install 'hftransfer-recipes[{extra}]'"
                )


class _PluginFile(NamedTuple):
    """Where a plug-in is, and the package whose module it is; None for a folder that the user names."""

    path: Path
    package: str | None


def add_folder(folder: str | Path) -> None:
    """Find plug-ins in a folder too, in this process and in those that it starts.

    The folder has sub-folders named as those of this package: `tasks/`, `strategies/`, `sources/`, `samples/`,
    `exporters/`, `metrics/`.

    Raises:
        RecipeError: there is no such folder, or it has none of the sub-folders.
    """
    path = _check_folder(Path(folder).absolute(), "--plugins")
    known = [name for name in os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep) if name]
    os.environ[ENVIRONMENT_VARIABLE] = os.pathsep.join(dict.fromkeys([*known, str(path)]))


def _check_folder(folder: Path, named_by: str) -> Path:
    if not folder.is_dir():
        raise RecipeError(f"{named_by}: there is no folder '{folder}'")
    if not any((folder / kind).is_dir() for kind in KINDS):
        raise RecipeError(f"{named_by}: '{folder}' has none of the folders {', '.join(KINDS)}")
    return folder


def _roots() -> Iterator[tuple[Path, str | None]]:
    """Folders with plug-ins, each with its package."""
    yield _ROOT, _PACKAGE
    for name in os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep):
        if name:
            yield _check_folder(Path(name).absolute(), ENVIRONMENT_VARIABLE), None
    yield from _installed_roots()


@cache
def _installed_roots() -> list[tuple[Path, str]]:
    """Folders of the packages that entry points name."""
    roots = []
    for point in entry_points(group=_ENTRY_POINTS):
        spec = importlib.util.find_spec(point.value)
        if spec is None or not spec.submodule_search_locations:
            raise PluginError(f"the entry point '{point.name}' of {_ENTRY_POINTS} names no package: '{point.value}'")
        roots += [(Path(folder), point.value) for folder in spec.submodule_search_locations]
    return roots


def _files(kind: str) -> dict[str, _PluginFile]:
    """Name -> file of every plug-in of a kind.

    Raises:
        PluginError: two files have the same name.
    """
    files: dict[str, _PluginFile] = {}
    for root, package in _roots():
        for path in sorted((root / kind).glob("[!_]*.py")):
            name = plugin_name(kind, path.stem)
            if name in files:
                raise PluginError(f"two {kind} are named '{name}': {files[name].path} and {path}; rename one of them")
            files[name] = _PluginFile(path, package)
    return files


def names(kind: str) -> list[str]:
    """The plug-ins of a kind ("tasks", "strategies", ...), read from the file names, nothing imported."""
    return list(_files(kind))


def is_packaged(kind: str, name: str) -> bool:
    """Whether a plug-in is a part of hftransfer, and not of a folder or a package of somebody else."""
    return _files(kind)[name].package == _PACKAGE


def path(kind: str, name: str) -> Path:
    """The file of a plug-in."""
    return _files(kind)[name].path


def summary(kind: str, name: str) -> str:
    """The first line of a plug-in's file, read without importing it."""
    doc = ast.get_docstring(ast.parse(path(kind, name).read_text(encoding="utf-8"))) or ""
    return doc.partition("\n")[0]


def nearest(word: object, allowed: Iterable[str], other_words: Mapping[str, tuple[str, ...]] = synonyms.NAMES) -> str:
    """The end of an error about a wrong name: the right one that it stands for, and all that are allowed.

    `other_words` is a table of `core.synonyms`; a word that it lacks is taken for a misspelling.
    """
    choices = sorted(allowed)
    close = difflib.get_close_matches(str(word), choices, n=1, cutoff=0.5)
    if right := synonyms.suggested(str(word), choices, other_words):
        close = [right]
    hint = f"did you mean '{close[0]}'? " if close else ""
    shown = choices if len(choices) <= _SHOWN else [*choices[:_SHOWN], f"... ({len(choices)} in all)"]
    return f"{hint}Allowed: {', '.join(shown) or 'none'}"


def one_of(word: str, allowed: Iterable[str], what: str) -> str:
    """A word of a recipe, for a validator.

    Raises:
        ValueError: it is not among the allowed ones; `what` says what it should be.
    """
    choices = list(allowed)
    if word not in choices:
        raise ValueError(f"'{word}' is no {what}; {nearest(word, choices)}")
    return word


def natural(name: str) -> tuple[bool, int, str]:
    """By which names are sorted: whole numbers first, by their value."""
    return (False, int(name), "") if name.lstrip("-").isdigit() else (True, 0, name)


def load(kind: str, name: str) -> type[Any]:
    """The class of a plug-in; only its own module is imported.

    Raises:
        RecipeError: no file of this kind has the name.
        PluginError: the file does not hold one class that implements the contract of its kind.
    """
    files = _files(kind)
    if name not in files:
        raise RecipeError(f"no {kind} plug-in is named '{name}'; {nearest(name, files)}")
    file = files[name]
    if file.package is None:
        module = _import_file(f"{_PACKAGE}.{kind}.{file.path.stem}", file.path)
    else:
        module = importlib.import_module(f"{file.package}.{kind}.{file.path.stem}")
    return _only_plugin(module, kind)


def _import_file(name: str, path: Path) -> ModuleType:
    """A file outside the package, as if it were in the package's folder of its kind."""
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ == str(path):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    # Pydantic and pickle look a class up in its module while the module is still being executed, and later.
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _only_plugin(module: ModuleType, kind: str) -> type[Plugin]:
    classes = [cls for cls in vars(module).values() if isinstance(cls, type) and cls.__module__ == module.__name__]
    plugins = [cls for cls in classes if issubclass(cls, Plugin) and not cls.__name__.startswith("_")]
    if len(plugins) != 1:
        found = ", ".join(cls.__name__ for cls in plugins) or "none"
        raise PluginError(
            f"'{module.__file__}' should define one plug-in class and has {found}; "
            "helper classes have a name that starts with _"
        )
    (plugin,) = plugins
    if missing := sorted(getattr(plugin, "__abstractmethods__", ())):
        raise PluginError(
            f"'{module.__file__}': {plugin.__name__} does not implement {', '.join(missing)}, which every class of "
            f"{kind} has to"
        )
    return plugin
