"""`eject`: a script of plain Transformers that trains the very weights of a run, and predicts what it predicted."""

import csv
import json
import runpy
import shutil
import subprocess
import sys

import pytest
import tiny
from safetensors.numpy import load_file

from hftransfer import eject, run
from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.recipe.loader import parse_recipe
from hftransfer.reporting.python_source import argument, literal
from hftransfer.runner.eject import SCRIPT

TASKS = ("text-classification", "image-classification", "audio-classification")
_CASES = [
    *((task, "full") for task in TASKS),
    *((task, "linear_probe") for task in TASKS[1:]),
    ("text-classification", "lora"),
]


def _finished(folder, task_name, strategy, more=""):
    """A run of a tiny checkpoint whose weights are saved as they were trained."""
    task = plugins.load("tasks", task_name)()
    text = tiny.recipe(task, folder, strategy=strategy, more=f"calibrate: false\n{more}")
    # Large enough steps that a difference would show.
    text = text if strategy == "linear_probe" else text.replace("training: {", "training: {learning_rate: 0.01, ")
    run(parse_recipe(text), out=folder / "run")
    return folder / "run"


def _labels(file, column):
    with file.open() as table:
        return [row[column] for row in csv.DictReader(table)]


def _execute(script, monkeypatch):
    """Run a script as if this package were not installed."""
    monkeypatch.setitem(sys.modules, "hftransfer", None)
    runpy.run_path(str(script), run_name="__main__")
    monkeypatch.undo()


def _check_equal(run_folder, folder):
    assert _labels(folder / "predictions.csv", "label") == _labels(run_folder / "predictions/test.csv", "tuned")
    assert _labels(folder / "predictions.csv", "reference") == _labels(run_folder / "predictions/test.csv", "reference")
    weights = folder / "model/model.safetensors"
    if weights.is_file():
        of_script, of_run = load_file(weights), load_file(run_folder / "model/model.safetensors")
        assert of_script.keys() == of_run.keys()
        assert all((of_script[name] == of_run[name]).all() for name in of_run)


def _check_source(script):
    source = script.read_text()
    assert len(source.splitlines()) <= 150
    assert "import hftransfer" not in source and "from hftransfer" not in source
    ruff = (sys.executable, "-m", "ruff")
    subprocess.run([*ruff, "check", "-q", "--isolated", script], check=True)
    subprocess.run([*ruff, "format", "--check", "-q", "--isolated", "--line-length", "120", script], check=True)


@pytest.mark.parametrize(("task", "strategy"), _CASES)
def test_the_script_does_what_the_run_did(task, strategy, tmp_path, monkeypatch):
    folder = _finished(tmp_path, task, strategy)
    ejected = eject(folder)
    assert ejected == tmp_path / "run-ejected"
    _check_source(ejected / SCRIPT)
    _execute(ejected / SCRIPT, monkeypatch)
    _check_equal(folder, ejected)


def test_a_student_learns_from_a_copy_of_its_teacher_and_from_rows_without_labels(tmp_path, monkeypatch):
    teacher = _finished(tmp_path / "teacher", "text-classification", "full")
    strategy = f"{{name: distill, teacher: {teacher}, layers: 1}}"
    task = plugins.load("tasks", "text-classification")()
    text = tiny.recipe(task, tmp_path, strategy=strategy, more="calibrate: false")
    text = text.replace("splits:", "shots: 8\n  unlabelled: rest\n  splits:")
    run(parse_recipe(text), out=tmp_path / "run")
    ejected = eject(tmp_path / "run", tmp_path / "script")
    shutil.rmtree(teacher)
    _check_source(ejected / SCRIPT)
    _execute(ejected / SCRIPT, monkeypatch)
    _check_equal(tmp_path / "run", ejected)


def test_what_a_script_would_not_do_is_refused(tmp_path):
    folder = _finished(tmp_path, "image-classification", "linear_probe")
    record = json.loads((folder / "result.json").read_text())

    def refused(**changes):
        kept = {name: {} if "name" in fields else record["recipe"][name] for name, fields in changes.items()}
        recipe = {name: kept[name] | fields for name, fields in changes.items()}
        (folder / "result.json").write_text(json.dumps(record | {"recipe": record["recipe"] | recipe}))
        with pytest.raises(RecipeError) as error:
            eject(folder, tmp_path / "script")
        assert not (tmp_path / "script").exists()
        return str(error.value)

    assert "no script for the strategy 'bitfit'" in refused(strategy={"name": "bitfit"})
    assert "data.augment" in refused(data={"augment": ["brightness"]})
    assert "task.flip" in refused(task={"flip": True})
    assert "solver" in refused(strategy={"solver": "trainer"})
    (tmp_path / "script").mkdir()
    (tmp_path / "script/notes.txt").write_text("mine")
    with pytest.raises(RecipeError, match="not an empty directory"):
        eject(folder, tmp_path / "script")


def test_the_command_says_how_the_script_is_started(tmp_path, capsys):
    folder = _finished(tmp_path, "text-classification", "linear_probe")
    capsys.readouterr()
    assert main(["eject", str(folder), "--out", str(tmp_path / "script")]) == 0
    script = tmp_path / "script" / SCRIPT
    assert f"uv run {script}" in capsys.readouterr().out
    # Without the environment and the working directory, and as if this package were not installed.
    code = f"import runpy, sys; sys.modules['hftransfer'] = None; runpy.run_path({str(script)!r}, run_name='__main__')"
    subprocess.run([sys.executable, "-I", "-c", code], check=True, cwd=tmp_path)
    _check_equal(folder, tmp_path / "script")
    assert main(["eject", str(folder), "--out", str(tmp_path / "script")]) == 2


def test_values_are_written_as_ruff_formats_them():
    assert literal({"a": [1, 2.5e-05], "b": (True,)}) == '{"a": [1, 2.5e-05], "b": (True,)}'
    assert literal(r"a\.b") == 'r"a\\.b"'
    assert argument("names=", ["short"], 4) == '    names=["short"]'
    assert argument("names=", ["a" * 60, "b" * 60], 4).splitlines()[-2:] == [f'        "{"b" * 60}",', "    ]"]
