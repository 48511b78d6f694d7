"""Hooks that no task of the package needs yet, each shown by a toy task that is loaded from outside the package."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny

from hftransfer.core import plugins
from hftransfer.core.errors import DataError, RecipeError
from hftransfer.core.results import RunResult
from hftransfer.data.load import DataOptions, load_rows
from hftransfer.data.splits import SplitOptions
from hftransfer.evaluation.scoring import Answers, Scorer
from hftransfer.metrics import load_metric
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.runner.predict import predictions

TOYS = Path(__file__).parent / "toy_plugins"


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setenv("HFTRANSFER_PLUGINS", str(TOYS))


def _recipe(folder: Path, items: str) -> str:
    rows = [{"user": f"u{i // 4}", "item": str(i % 4), "label": "ny"[i % 2], "text": "a"} for i in range(64)]
    table = [{"code": str(number), "title": ["bad", "good"][number % 2]} for number in range(4)]
    for name, lines in (("rows", rows), ("items", table)):
        (folder / f"{name}.json").write_text("\n".join(json.dumps(line) for line in lines))
    model = tiny.checkpoint(plugins.load("tasks", "text-classification")(), folder / "checkpoint")
    return f"""
task: item-review
model: {{id: {model}}}
data:
  source: {{name: json, train: {folder / "rows.json"}}}
  splits: {{validation: 8, test: 16}}
  {items}
training: {{num_train_epochs: 1, per_device_train_batch_size: 8, use_cpu: true}}
evaluation: {{resamples: 20, baselines: [majority]}}
"""


def test_a_task_reads_a_second_table_fits_a_threshold_and_keeps_it_with_the_model(toys, tmp_path):
    items = f"items: {{source: {{name: json, train: {tmp_path / 'items.json'}}}, columns: {{id: code}}}}"
    text = _recipe(tmp_path, items)
    result = run(parse_recipe(text), tmp_path / "run")
    threshold = result.fitted["cutoff"]
    assert 0 < threshold < 1 and threshold != 0.5
    assert json.loads((tmp_path / "run" / "model" / "task.json").read_text()) == result.fitted
    assert RunResult.load(tmp_path / "run" / "result.json").fitted == result.fitted
    with np.load(tmp_path / "run" / "predictions" / "test.npz") as outputs:
        logits = outputs["tuned.logits"]
    lines = (tmp_path / "run" / "predictions" / "test.csv").read_text().splitlines()
    place = lines[0].split(",").index("tuned")
    likes = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1])) > threshold
    assert [line.split(",")[place] for line in lines[1:]] == ["ny"[int(like)] for like in likes]
    before = result.data.fingerprint
    (tmp_path / "items.json").write_text((tmp_path / "items.json").read_text().replace("good", "fine"))
    assert check(parse_recipe(text)).rows.facts.fingerprint != before


@pytest.mark.parametrize(
    ("items", "message"),
    [("", "needs a second table, of title"), ("items: {source: {name: json, train: %s}}", "no column 'id'")],
)
def test_a_second_table_that_is_missing_or_wrong_gets_a_sentence(items, message, toys, tmp_path):
    text = _recipe(tmp_path, items % (tmp_path / "items.json") if "%" in items else items)
    with pytest.raises((RecipeError, DataError), match=message):
        check(parse_recipe(text))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ("00", "the id '0' stands in two rows"),
        ("01", "row 2 of split 'train' names the item '2', which data.items lacks"),
    ],
)
def test_ids_of_the_table_are_checked(ids, message, toys, tmp_path):
    items = f"items: {{source: {{name: json, train: {tmp_path / 'items.json'}}}, columns: {{id: code}}}}"
    text = _recipe(tmp_path, items)
    lines = [json.dumps({"code": number, "title": "x"}) for number in ids]
    (tmp_path / "items.json").write_text("\n".join(lines))
    with pytest.raises(DataError, match=message):
        check(parse_recipe(text))


def test_units_are_resampled_whole():
    """Rows of one unit are all right or all wrong, so that an interval of rows alone would be far too narrow."""
    units = np.repeat(np.arange(10), 50)
    references = np.zeros(500, int)
    answers = Answers((units % 2).astype(int), None)
    scorer = Scorer([load_metric("accuracy")], 0.95, 500, 0)
    by_row, by_unit = (
        scorer.resample({"tuned": answers}, references, it)["tuned"]["accuracy"] for it in (None, units.tolist())
    )
    assert by_row[0] == by_unit[0] == 0.5
    # Of ten units the share that is right is a multiple of a tenth.
    assert np.allclose(by_unit * 10, np.round(by_unit * 10)) and by_unit[1:].std() > 3 * by_row[1:].std()


def test_an_open_set_has_classes_in_test_that_training_never_saw(toys):
    from datasets import Dataset

    task = plugins.load("tasks", "voice-matching")(problem_type="single_label_classification")
    rows = Dataset.from_dict({"text": [f"t{i}" for i in range(60)], "label": [f"v{i % 6}" for i in range(60)]})
    found = load_rows(task, {"train": rows}, DataOptions(splits=SplitOptions(test=20, validation=10)), 0)
    classes = {split: set(found.facts.classes[split]) for split in ("train", "validation", "test")}
    assert (
        len(classes["test"]) == 2
        and not classes["test"] & classes["train"]
        and not classes["test"] & classes["validation"]
    )
    assert set(found.task.labels) == classes["train"]


def test_predict_uses_what_was_fitted(toys, tmp_path):
    from hftransfer.tasks.question_answering import QuestionAnswering

    task = QuestionAnswering()
    rows = [tiny.row(task, i, tmp_path) for i in range(48)]
    for row in rows[::3]:
        row["answers"] = {"text": [], "answer_start": []}
    text = tiny.recipe(task, tmp_path)
    (tmp_path / "rows" / "classes.json").write_text("\n".join(map(json.dumps, rows)))
    result = run(parse_recipe(text), tmp_path / "run")
    assert set(result.fitted) == {"no_answer_threshold"}
    (answer,) = predictions(tmp_path / "run", result, ["a\tb good 3"])
    assert set(answer) == {"answer"}
