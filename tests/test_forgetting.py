"""What is told of the source task, and of groups of rows."""

import json

import pytest
import tiny

from hftransfer.core import plugins
from hftransfer.core.errors import DataError, RecipeError
from hftransfer.recipe.loader import parse_recipe
from hftransfer.reporting.model_card import card
from hftransfer.reporting.report import terminal
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check

# One process, in which they share a finished run.
pytestmark = pytest.mark.xdist_group("forgetting")


def _text(folder, **more):
    return tiny.recipe(plugins.load("tasks", "text-classification")(), folder, **more)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run whose head knows the labels x and y, and the text of its recipe."""
    folder = tmp_path_factory.mktemp("first")
    text = _text(folder).replace("num_train_epochs: 2", "num_train_epochs: 8, learning_rate: 0.01")
    run(parse_recipe(text), folder / "run")
    return folder, text


def _second(first, tmp_path, training="", source=None):
    """The run as the checkpoint of a target with the labels turned round, the first one's rows as its source."""
    folder, _ = first
    rows = [json.loads(line) for line in (folder / "rows" / "classes.json").read_text().splitlines()]
    turned = tmp_path / "turned.json"
    turned.write_text("\n".join(json.dumps(row | {"label": {"x": "u", "y": "v"}[row["label"]]}) for row in rows))
    text = _text(folder).replace(str(folder / "checkpoint" / "text-classification"), str(folder / "run"))
    text = text.replace(str(folder / "rows" / "classes.json"), str(turned)).replace("use_cpu", f"{training}use_cpu")
    named = f"{{source: {{name: json, train: {source or folder / 'rows' / 'classes.json'}}}, splits: {{test: 12}}}}"
    return text.replace("resamples: 20", f"resamples: 20, source_task: {named}")


def test_an_encoder_that_does_not_move_forgets_nothing(first, tmp_path):
    kept = run(parse_recipe(_second(first, tmp_path, "learning_rate: 1.0e-12, ")), tmp_path / "kept")
    scores = kept.source_task_scores
    assert scores["before"] == scores["after"] and scores["before"].value == 1
    assert scores["lost"].value == scores["lost"].high == 0 and scores["lost"].count == 12
    assert "Accuracy on the source task" in terminal(kept)


def test_a_torn_encoder_forgets(first, tmp_path):
    torn = run(parse_recipe(_second(first, tmp_path, "learning_rate: 1.0, ")), tmp_path / "torn")
    scores = torn.source_task_scores
    assert scores["after"].value < 1 and scores["lost"].value == 1 - scores["after"].value


def test_a_source_that_the_checkpoint_does_not_know_is_refused(first, tmp_path):
    text = _second(first, tmp_path, source=tmp_path / "turned.json")
    with pytest.raises(RecipeError, match="source_task: the checkpoint has the labels x, y, and the rows have"):
        check(parse_recipe(text))


def _grouped(tmp_path):
    text = _text(tmp_path)
    path = tmp_path / "rows" / "classes.json"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("\n".join(json.dumps(row | {"site": ["north", "south"][i % 3 == 0]}) for i, row in enumerate(rows)))
    return text.replace("data:", "data:\n  columns: {group: site}")


def test_scores_are_told_for_each_group_of_rows(tmp_path):
    result = run(parse_recipe(_grouped(tmp_path)), tmp_path / "run")
    assert set(result.groups) == {"north", "south"} and set(result.groups["north"]) == set(result.scores["test"])
    counts = {group: of["tuned"].count for group, of in result.groups.items()}
    assert sum(counts.values()) == result.scores["test"]["tuned"]["accuracy"].count
    parts = sum(of["tuned"].value * of["tuned"].count for of in result.groups.values())
    assert parts == pytest.approx(result.scores["test"]["tuned"]["accuracy"].value * 12)
    worst = min(result.groups, key=lambda group: result.groups[group]["tuned"].value)
    assert any("2 of the 2 groups of the test rows have training rows too" in line for line in result.warnings)
    # Names of groups of rows that are not public stay on this machine.
    number = [*result.groups].index(worst) + 1
    assert f"Worst of 2 groups: group {number}" in card(result)
    assert "accuracy on test by group" in terminal(result) and worst in terminal(result)


def test_a_group_column_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="no column 'sites' for the role 'group'"):
        check(parse_recipe(_grouped(tmp_path).replace("group: site", "group: sites")))
