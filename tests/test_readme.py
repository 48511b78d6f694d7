"""What README, CONTRIBUTING and the generated pages say is so."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hftransfer.recipe.loader import load_recipe, parse_recipe

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TREE = README.partition("## Tree")[2].split("```")[1].removeprefix("text\n")
# `path`, then names of it: `function`, or `Class` (`method`).
PLACES = re.findall(r"`((?:hftransfer|tests|scripts)/[\w./-]*)`((?:(?:: |, | \()`\w+`\)?)*)", CONTRIBUTING)


def _named(indent):
    """The names that begin the lines of an indent of the tree; a note has spaces in it."""
    names = set()
    for line in re.findall(rf"^{indent}(\S.*)$", TREE, re.MULTILINE):
        for part in re.split(r" {2,}", line):
            if " " in part:
                break
            names.add(part.rstrip("/"))
    return names


def _files(folder):
    """What lies in a folder, but for what tools leave there."""
    made = {"runs", "build", "hftransfer_recipes.egg-info", "htmlcov"}
    return {path.name for path in folder.iterdir() if not path.name.startswith((".", "__pycache__"))} - made


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 130


def test_the_tree_is_that_of_the_repository():
    assert _named("") == _files(ROOT)
    assert _named("  ") == _files(ROOT / "hftransfer")


def test_the_tree_names_every_script():
    (line,) = [line for line in TREE.splitlines() if "scripts/ " in line]
    named = set(line.rpartition("; ")[2].split(", "))
    assert named == {name for name in _files(ROOT / "scripts") if not name.startswith("_")}


def test_the_recipe_shown_is_the_quickstart():
    shown = README.partition("```yaml")[2].partition("```")[0]
    assert parse_recipe(shown) == load_recipe(ROOT / "recipes/quickstart.yaml")


@pytest.mark.parametrize(
    ("page", "script"),
    [("docs/recipe.md", "_keys"), ("docs/samples.md", "_samples"), ("docs/reference/cli.md", "_commands")],
)
def test_a_generated_page_is_that_of_the_code(page, script):
    # In a process of its own, since the tests shorten trainings.
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import {script}; print({script}.page(), end='')"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert (ROOT / page).read_text(encoding="utf-8") == made, "scripts/docs keys writes it"


def test_contributing_names_files_and_functions_that_exist():
    assert len([names for _, names in PLACES if names]) > 25
    for path, names in PLACES:
        assert (ROOT / path).exists(), path
        defined = _defined(ROOT / path) if path.endswith(".py") else set()
        assert set(re.findall(r"`(\w+)`", names)) <= defined, path


def _defined(path):
    """Functions, classes, methods and constants of a module."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


@pytest.mark.parametrize(
    "change",
    [
        "metric",
        "default learning rate",
        "sizes of the splits",
        "bootstrap",
        "early stopping",
        "confusion matrix",
        "layout of the HTML report",
        '"tuned is worse than"',
        "`max_drop` gate",
        "ONNX quantization",
        "how latency is measured",
        "what is pushed",
    ],
)
def test_contributing_says_where_an_everyday_change_is_made(change):
    table = CONTRIBUTING.partition("## Where do I change what")[2].partition("\n## ")[0]
    (row,) = [line for line in table.splitlines() if change in line.split(" | ")[0]][:1]
    assert "`hftransfer/" in row
