"""What a run on another machine needs from this one: its recipe with everything resolved, local files, extras."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.features import Audio, Image
from hftransfer.core.paths import is_file, is_folder
from hftransfer.core.plugins import Plugin
from hftransfer.core.prefixes import SAMPLE
from hftransfer.core.yaml_writer import dump_yaml
from hftransfer.recipe.schema import Data, Recipe
from hftransfer.recipe.training_arguments import Fields
from hftransfer.sources import LineFiles, matching
from hftransfer.sources._listing import files_below

Place = tuple[str | int, ...]
"""Keys that lead to a value of a recipe."""

_OUTSIDE = "_outside"
"""Folder of the copies of files that are not below the working directory."""


@dataclass
class Staged:
    """A recipe for another machine, and the files that it names there."""

    recipe: str = ""
    """YAML that `run` takes in the folder of the copies."""
    files: dict[str, Path] = field(default_factory=dict)
    """Path in the folder of the copies -> the file here."""
    _outside: int = 0

    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.files.values())

    def copy_of(self, value: str) -> str:
        """What the recipe names there in the place of a file, a folder or a pattern here; other values as they are."""
        path = Path(value).expanduser()
        found = [match for match in map(Path, matching(value)) if is_file(match) or is_folder(match)]
        if not found:
            return value
        inside = not path.is_absolute() and ".." not in path.parts
        folder = path.parent if inside else Path(_OUTSIDE, str(self._outside))
        self._outside += not inside
        for match in found:
            self._add(match, folder / match.name if path.name else folder)
        return value if inside else str(folder / path.name)

    def _add(self, path: Path, target: Path) -> None:
        if is_file(path):
            self.files[target.as_posix()] = path
        elif is_file(path / "result.json"):
            # A run serves as a checkpoint: of its record and its model is all that another run reads.
            self.files[(target / "result.json").as_posix()] = path / "result.json"
            self._add(path / "model", target / "model")
        else:
            self.files |= {(target / os.path.relpath(file, path)).as_posix(): file for file in files_below(path)}


def stage(recipe: Recipe) -> Staged:
    """Resolve a recipe for another machine; nothing is copied yet.

    Raises:
        RecipeError: it names files that are not there, or that cannot be found by reading it.
    """
    _refuse_unseen_files(recipe)
    staged, tree = Staged(), recipe.written()
    for place, value in _local_values(recipe):
        if isinstance(value, str):
            copied: object = staged.copy_of(value)
        elif isinstance(value, list):
            copied = [staged.copy_of(one) for one in value]
        else:
            continue
        if copied != value:
            _set(tree, place, copied)
    staged.recipe = dump_yaml(tree)
    return staged


def extras(recipe: Recipe) -> list[str]:
    """The extras of hftransfer-recipes that a run of the recipe needs."""
    needed = {extra for plugin in _parts(recipe) for extra in plugin.extras()}
    texts = [recipe.model.id, recipe.model.processor, *(str(value) for _, value in _local_values(recipe))]
    if any(text and text.startswith(SAMPLE) for text in texts):
        needed.add("samples")
    return sorted(needed)


def _parts(recipe: Recipe) -> Iterator[type[Plugin] | Plugin]:
    """The plug-ins that a recipe names."""
    for _, plugin in _sections(recipe):
        yield plugin
        if plugin.name == "sample":
            yield plugins.load("samples", getattr(plugin, "id", ""))
    if recipe.export is not None:
        yield plugins.load("exporters", recipe.export.format)
    for metric in set(recipe.evaluation.metrics) & set(plugins.names("metrics")):
        yield plugins.load("metrics", metric)


def _sections(recipe: Recipe) -> Iterator[tuple[Place, Plugin]]:
    """Task, strategies and sources, each with its place."""
    yield ("task",), recipe.task
    yield ("strategy",), recipe.strategy
    for number, strategy in enumerate(recipe.compress):
        yield ("compress", number), strategy
    for place, data in _tables(recipe):
        yield (*place, "source"), data.source
        if data.items is not None:
            yield (*place, "items", "source"), data.items.source


def _tables(recipe: Recipe) -> Iterator[tuple[Place, Data]]:
    yield ("data",), recipe.data
    if recipe.evaluation.source_task is not None:
        yield ("evaluation", "source_task"), recipe.evaluation.source_task


def _local_values(recipe: Recipe) -> Iterator[tuple[Place, object]]:
    """Values that may name files of this machine.

    Raises:
        RecipeError: a source names one that is not there.
    """
    yield ("model", "id"), recipe.model.id
    yield ("model", "processor"), recipe.model.processor
    for place, plugin in _sections(recipe):
        for name in plugin.local_files:
            value = getattr(plugin, name)
            if place[-1] == "source":
                _check_exists(".".join(map(str, (*place, name))), value)
            yield (*place, name), value
    for place, data in _tables(recipe):
        _check_exists(".".join(map(str, (*place, "drop"))), data.drop)
        yield (*place, "drop"), data.drop


def _check_exists(place: str, value: object) -> None:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str) and not one.startswith(SAMPLE):
            for path in matching(one):
                if not is_file(path) and not is_folder(path):
                    raise RecipeError(f"{place}: there is no file or folder '{one}'")


def _refuse_unseen_files(recipe: Recipe) -> None:
    """Raises a RecipeError where a run reads files that the recipe itself does not name."""
    if folders := os.environ.get(plugins.ENVIRONMENT_VARIABLE):
        raise RecipeError(f"--on hf-jobs: plug-ins of your own ({folders}) are not uploaded; run it here, or on slurm")
    if getattr(recipe.strategy, "others", None):
        raise RecipeError(
            f"--on hf-jobs: the recipes and rows of the auxiliary tasks of '{recipe.strategy.name}' are not uploaded; "
            "run it here, or on slurm"
        )
    has_files = any(isinstance(feature, Image | Audio) for feature in recipe.task.inputs.values())
    for place, data in _tables(recipe):
        if has_files and isinstance(data.source, LineFiles):
            raise RecipeError(
                f"{'.'.join(map(str, place))}.source: the files that the rows of '{data.source.name}' name are not "
                "uploaded; use a source that is a folder, parquet with their content, or a data set of the Hub"
            )


def _set(tree: Fields, place: Place, value: object) -> None:
    """Replace one value of a recipe as it is written."""
    node: Fields = tree
    for key in place[:-1]:
        node = node[key]  # type: ignore[index]
    node[str(place[-1])] = value
