"""A task from the skeleton, and one written outside of the package by CONTRIBUTING alone."""

import json
import subprocess
import sys
from pathlib import Path

import _new_task
import numpy as np
import pytest
import tiny

from hftransfer import predict
from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run

ROOT = Path(__file__).parent.parent
TOYS = ROOT / "tests" / "toy_plugins"


@pytest.fixture(autouse=True)
def _no_other_folders(monkeypatch):
    monkeypatch.setenv(plugins.ENVIRONMENT_VARIABLE, "")


def test_the_skeleton_is_listed_and_trains(tmp_path, capsys):
    folder = tmp_path / "mine"
    assert _new_task.main(["text-score", "--plugins", str(folder)]) == 0
    assert main(["list", "--plugins", str(folder)]) == 0
    assert "  text-score             One line that says what the task does" in capsys.readouterr().out
    task = plugins.load("tasks", "text-score")()
    assert (type(task).__name__, task.name) == ("TextScore", "text-score")
    result = run(parse_recipe(tiny.recipe(task, tmp_path, labels="numbers")), tmp_path / "run")
    assert result.headline == "mae" and np.isfinite(result.scores["test"]["tuned"]["mae"].value)
    (answer,) = predict(tmp_path / "run", "good 1")
    assert float(answer["prediction"])


def test_the_skeleton_passes_the_checks_of_the_package():
    """Types are checked with those of the package: the template is among mypy's files."""
    text = (ROOT / "scripts" / "_task_template.py").read_text(encoding="utf-8").replace("NewTask", "TextScore")
    for command in (["check"], ["format", "--check"]):
        options = [*command, "--stdin-filename", "hftransfer/tasks/text_score.py", "-"]
        subprocess.run([sys.executable, "-m", "ruff", *options], input=text, text=True, cwd=ROOT, check=True)


@pytest.mark.parametrize("name", ["TextScore", "text_score", "text-"])
def test_a_name_that_is_none_of_a_task_is_refused(name, tmp_path, capsys):
    with pytest.raises(SystemExit):
        _new_task.main([name, "--plugins", str(tmp_path)])
    assert "lower case, with hyphens" in capsys.readouterr().err and not (tmp_path / "tasks").exists()


def test_a_file_that_exists_is_not_replaced(tmp_path, capsys):
    _new_task.main(["text-score", "--plugins", str(tmp_path)])
    with pytest.raises(SystemExit):
        _new_task.main(["text-score", "--plugins", str(tmp_path)])
    assert "text_score.py exists" in capsys.readouterr().err


VALUES = {"good": 1.0, "bad": -1.0, "a": 0.5, "b": 0.0}


def test_a_task_from_outside_of_the_package_learns_a_number_for_each_word(tmp_path):
    assert len((TOYS / "tasks" / "token_regression.py").read_text().splitlines()) <= 60
    plugins.add_folder(TOYS)
    task, rng = plugins.load("tasks", "token-regression"), np.random.default_rng(0)
    texts = [rng.choice(list(VALUES), 1 + i % 4).tolist() for i in range(200)]
    rows = [{"tokens": words, "values": [VALUES[word] for word in words]} for words in texts]
    (tmp_path / "rows.json").write_text("\n".join(map(json.dumps, rows)))
    bert = tiny.checkpoint(plugins.load("tasks", "token-classification"), tmp_path / "bert")
    text = f"""
task: token-regression
model: {{id: {bert}}}
data:
  source: {{name: json, train: {tmp_path / "rows.json"}}}
  splits: {{validation: 20, test: 40}}
training: {{num_train_epochs: 6, learning_rate: 1.0e-2, per_device_train_batch_size: 8, use_cpu: true}}
evaluation: {{resamples: 20}}
{tiny.EXPORT}
"""
    result = run(parse_recipe(text), tmp_path / "run")
    test = {variant: scores["word_mae"].value for variant, scores in result.scores["test"].items()}
    assert issubclass(task, plugins.Plugin) and test["tuned"] < 0.2
    assert set(test) == {"tuned", *tiny.EXPORTS}
    (answer,) = predict(tmp_path / "run", "good bad b")
    assert json.loads(answer["prediction"]) == pytest.approx([1.0, -1.0, 0.0], abs=0.5)
