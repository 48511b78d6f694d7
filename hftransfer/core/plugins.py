"""A plug-in is a file: its name is its registry entry, its one class is the plug-in, the fields are its recipe keys."""

import ast
import difflib
import importlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from hftransfer.core.errors import MissingExtraError, RecipeError

_ROOT = Path(__file__).parent.parent

# A longer list would hide what stands before it.
_SHOWN = 30
# The Hub writes its task names with hyphens; every other kind is named as Python names it.
_HYPHENATED = {"tasks"}


class Section(BaseModel):
    """A frozen group of recipe keys; a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True)


class Plugin(Section):
    """Base of tasks, strategies, sources and samples."""

    requires: ClassVar[dict[str, str]] = {}
    """Packages that the plug-in imports, each with the extra of hftransfer-recipes that installs it."""

    @property
    def name(self) -> str:
        """The name that a recipe uses: the file's name."""
        kind, stem = type(self).__module__.split(".")[-2:]
        return stem.replace("_", "-") if kind in _HYPHENATED else stem

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


def _files(kind: str) -> dict[str, Path]:
    files = sorted(p for p in (_ROOT / kind).glob("*.py") if not p.stem.startswith("_"))
    return {(p.stem.replace("_", "-") if kind in _HYPHENATED else p.stem): p for p in files}


def names(kind: str) -> list[str]:
    """The plug-ins of a kind ("tasks", "strategies", ...), read from the file names, nothing imported."""
    return list(_files(kind))


def summary(kind: str, name: str) -> str:
    """The first line of a plug-in's file, read without importing it."""
    doc = ast.get_docstring(ast.parse(_files(kind)[name].read_text())) or ""
    return doc.partition("\n")[0]


def nearest(word: object, allowed: Iterable[str]) -> str:
    """What stands behind a wrong word in an error: the nearest right one, and all that are allowed."""
    choices = sorted(allowed)
    close = difflib.get_close_matches(str(word), choices, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    shown = choices if len(choices) <= _SHOWN else [*choices[:_SHOWN], f"... ({len(choices)} in all)"]
    return f"{hint}Allowed: {', '.join(shown) or 'none'}"


def natural(name: str) -> tuple[bool, int, str]:
    """By which names are sorted: whole numbers first, by their value."""
    return (False, int(name), "") if name.lstrip("-").isdigit() else (True, 0, name)


def load(kind: str, name: str) -> type[Any]:
    """The class of a plug-in; only its own module is imported.

    Raises:
        RecipeError: no file of this kind has the name.
    """
    files = _files(kind)
    if name not in files:
        raise RecipeError(f"no {kind} plug-in is named '{name}'; {nearest(name, files)}")
    module = importlib.import_module(f"hftransfer.{kind}.{files[name].stem}")
    found = [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__]
    (plugin,) = (c for c in found if issubclass(c, Plugin) and not c.__name__.startswith("_"))
    return plugin
