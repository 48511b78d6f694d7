"""What the README says is so: its tree, its commands, its recipe."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.recipe.loader import load_recipe, parse_recipe

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
TREE = README.partition("## Tree")[2].split("```")[1]


def _entries(indent: str) -> dict[str, str]:
    """Name -> note of the tree's lines of an indent."""
    joined = re.sub(r",\n {10,}", ", ", TREE)
    found = re.findall(rf"^{indent}(\S+)(?: +(\S.*))?$", joined, re.MULTILINE)
    return {name.rstrip("/"): note for name, note in found}


def _files(folder: Path) -> set[str]:
    """What lies in a folder, but for what tools leave there."""
    return {p.name for p in folder.iterdir() if not p.name.startswith((".", "__pycache__"))}


def test_the_page_of_keys_is_that_of_the_classes():
    # In a process of its own, since the tests shorten trainings.
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import _keys; print(_keys.page(), end='')"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8") == made, "scripts/docs writes it"


def test_the_tree_is_that_of_the_repository():
    made = {"runs", "build", "hftransfer_recipes.egg-info", "htmlcov"}
    assert set(_entries("")) == _files(ROOT) - made
    assert set(_entries("  ")) == _files(ROOT / "hftransfer")


@pytest.mark.parametrize("kind", ["tasks", "strategies", "sources", "samples", "exporters", "metrics"])
def test_the_tree_names_every_plug_in(kind):
    assert _entries("  ")[kind].split(", ") == [name.replace("-", "_") for name in plugins.names(kind)]


@pytest.mark.parametrize("folder", ["scripts", "recipes"])
def test_the_tree_names_scripts_and_recipes(folder):
    named = {name.strip().rstrip("/") for name in _entries("")[folder].split(",")}
    assert named == {name for name in _files(ROOT / folder) if not name.startswith("_")}


def test_every_command_of_the_readme_exists(capsys):
    commands = set(re.findall(r"^hftransfer (\w+)", README, re.MULTILINE))
    with pytest.raises(SystemExit):
        main(["--help"])
    offered = set(re.findall(r"^    (\w+)", capsys.readouterr().out, re.MULTILINE))
    assert commands == offered


def test_the_recipe_shown_is_the_quickstart():
    shown = README.partition("```yaml")[2].partition("```")[0]
    assert parse_recipe(shown) == load_recipe(ROOT / "recipes/quickstart.yaml")
