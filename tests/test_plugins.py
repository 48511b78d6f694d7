"""Plug-ins from outside the package: of a folder that the user names, and of an installed package."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.errors import PluginError, RecipeError

STRATEGY = '''"""Every weight with more than one dimension is frozen."""

from typing import ClassVar

from hftransfer.strategies import Strategy


class Vectors(Strategy):
    """Train biases and norms."""

    training: ClassVar = {"learning_rate": 1.0e-3}
    dimensions: int = 1
    """The most that a trained parameter has."""

    def prepare(self, model):
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.ndim <= self.dimensions)
        return model
'''
METRIC = '''"""Errors, 0 to 1: the share of wrong rows."""

from typing import ClassVar

from hftransfer.metrics import Metric


class Errors(Metric):
    """Share of wrong rows."""

    lower_is_better: ClassVar = True

    def compute(self, predictions, references):
        return {self.name: float((predictions != references).mean())}
'''
OLD_TASK = '''"""A task of an earlier contract."""

from hftransfer.tasks import Task


class Old(Task):
    """It has `predict` and `decide`."""

    def encode(self, rows): ...

    def collator(self): ...

    def predict(self, model, batch): ...

    def decide(self, outputs): ...

    def references(self, rows): ...
'''


@pytest.fixture(autouse=True)
def _no_folders_yet(monkeypatch):
    monkeypatch.setenv(plugins.ENVIRONMENT_VARIABLE, "")


def _write(root: Path, **files: str) -> Path:
    """A folder of plug-ins; `strategies__vectors` stands for strategies/vectors.py."""
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def folder(tmp_path):
    return _write(tmp_path / "mine", strategies__vectors=STRATEGY, metrics__row_errors=METRIC)


def _recipe(tmp_path: Path) -> Path:
    task = plugins.load("tasks", "text-classification")()
    text = tiny.recipe(task, tmp_path, strategy="{name: vectors, dimensions: 1}")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        text.replace("{baselines: [], resamples: 20}", "{resamples: 20, metrics: [row_errors, accuracy]}")
    )
    return recipe


def test_a_folder_of_plug_ins_is_listed_run_and_applied(folder, tmp_path, capsys):
    recipe, out = _recipe(tmp_path), tmp_path / "run"
    mine = ["--plugins", str(folder)]
    assert main(["list", *mine]) == 0
    listed = capsys.readouterr().out
    assert "  vectors                Every weight with more than one dimension is frozen." in listed
    assert "  row_errors             Errors, 0 to 1: the share of wrong rows." in listed
    assert main(["run", str(recipe), "--out", str(out), *mine]) == 0
    record = json.loads((out / "result.json").read_text())
    assert record["recipe"]["strategy"] == {"name": "vectors", "dimensions": 1} and record["headline"] == "row_errors"
    scores = record["scores"]["test"]["tuned"]
    assert scores["row_errors"]["value"] == pytest.approx(1 - scores["accuracy"]["value"])
    assert record["parameters"]["trainable"] < record["parameters"]["all"]
    assert main(["predict", str(out), "good 1\tgood 1", *mine]) == 0


def test_a_recipe_cannot_bring_plug_ins(folder, tmp_path, capsys):
    recipe = _recipe(tmp_path)
    assert main(["check", str(recipe)]) == 2
    assert "no strategies plug-in is named 'vectors'" in capsys.readouterr().err
    assert main(["check", str(recipe), f"plugins={folder}"]) == 2
    assert "unknown key 'plugins'" in capsys.readouterr().err


def test_the_environment_variable_names_folders_too(folder, monkeypatch):
    monkeypatch.setenv(plugins.ENVIRONMENT_VARIABLE, f"{folder}{os.pathsep}")
    strategy = plugins.load("strategies", "vectors")(dimensions=2)
    assert strategy.name == "vectors" and pickle.loads(pickle.dumps(strategy)) == strategy
    assert plugins.path("metrics", "row_errors") == folder / "metrics" / "row_errors.py"


def test_another_folder_brings_its_own_file_of_the_same_name(folder, tmp_path, monkeypatch):
    other = _write(tmp_path / "other", strategies__vectors=STRATEGY.replace("= 1\n", "= 2\n"))
    for root, dimensions in ((folder, 1), (other, 2), (folder, 1)):
        monkeypatch.setenv(plugins.ENVIRONMENT_VARIABLE, str(root))
        assert plugins.load("strategies", "vectors")().dimensions == dimensions


def test_a_name_that_exists_twice_is_an_error(folder, tmp_path, monkeypatch, capsys):
    twice = _write(tmp_path / "twice", strategies__lora=STRATEGY)
    assert main(["list", "--plugins", str(twice)]) == 2
    assert "two strategies are named 'lora'" in capsys.readouterr().err
    monkeypatch.setenv(plugins.ENVIRONMENT_VARIABLE, "")
    again = _write(tmp_path / "again", strategies__vectors=STRATEGY)
    assert main(["list", "--plugins", str(folder), "--plugins", str(again)]) == 2
    assert "two strategies are named 'vectors'" in capsys.readouterr().err


def test_a_folder_without_plug_ins_is_an_error(tmp_path, monkeypatch, capsys):
    assert main(["list", "--plugins", str(tmp_path / "none")]) == 2
    assert f"--plugins: there is no folder '{tmp_path / 'none'}'" in capsys.readouterr().err
    assert main(["list", "--plugins", str(tmp_path)]) == 2
    assert "has none of the folders tasks, strategies" in capsys.readouterr().err
    monkeypatch.setenv(plugins.ENVIRONMENT_VARIABLE, str(tmp_path))
    with pytest.raises(RecipeError, match=plugins.ENVIRONMENT_VARIABLE):
        plugins.names("tasks")


def test_a_plug_in_of_an_earlier_contract_gets_the_names_of_the_new_methods(tmp_path):
    plugins.add_folder(_write(tmp_path / "old", tasks__old_task=OLD_TASK))
    with pytest.raises(PluginError, match="old_task.py': Old does not implement collate, error, outputs, postprocess"):
        plugins.load("tasks", "old-task")


@pytest.mark.parametrize(
    ("text", "found"),
    [('"""Nothing."""\n', "none"), (STRATEGY + "\n\nclass Second(Vectors):\n    pass\n", "Vectors, Second")],
)
def test_a_file_holds_one_plug_in(text, found, tmp_path):
    plugins.add_folder(_write(tmp_path, strategies__odd=text))
    with pytest.raises(PluginError, match=f"should define one plug-in class and has {found};"):
        plugins.load("strategies", "odd")


def test_an_installed_package_has_plug_ins_by_its_entry_point(tmp_path):
    _write(tmp_path / "sites", toy_package__metrics__row_errors=METRIC)
    (tmp_path / "sites" / "toy_package" / "__init__.py").write_text("")
    facts = tmp_path / "sites" / "toy_package-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.4\nName: toy-package\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[hftransfer.plugins]\ntoy = toy_package\n")
    code = (
        "from hftransfer.core import plugins\n"
        "metric = plugins.load('metrics', 'row_errors')\n"
        "print(metric.__module__, metric().name)"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "sites")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.split() == ["toy_package.metrics.row_errors", "row_errors"]
    (facts / "entry_points.txt").write_text("[hftransfer.plugins]\ntoy = toy_packages\n")
    command = [sys.executable, "-m", "hftransfer", "list"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 2 and "the entry point 'toy' of hftransfer.plugins names no package" in done.stderr
