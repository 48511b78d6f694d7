"""`check --estimate`: runs on parts of the rows, and the line that continues them."""

import json
from dataclasses import replace

import pytest
import tiny

from hftransfer import api_choosing
from hftransfer.choosing import estimate as estimates
from hftransfer.choosing import parts
from hftransfer.choosing.parts import OTHER, Part
from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.console import Level
from hftransfer.core.errors import RecipeError
from hftransfer.core.yaml_writer import dump_yaml
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.plan import check


def _parts(monkeypatch, cost, memory=10**9):
    """Parts that cost what a function of their share says; the shares that were asked for."""
    asked = []

    def run(_recipe, share, _folder):
        asked.append(share)
        return Part(share, cost(share) | {OTHER: 5.0}, {}, memory)

    monkeypatch.setattr(estimates, "run_alone", run)
    return asked


@pytest.fixture
def recipe(tmp_path):
    task = plugins.load("tasks", "text-classification")()
    return parse_recipe(tiny.recipe(task, tmp_path, more="export: null"), overrides=["evaluation.batch_size=1"])


def test_each_stage_is_continued_as_a_line(recipe, monkeypatch):
    asked = _parts(monkeypatch, lambda share: {"train tuned": 400 * share + 3, "export": 30.0})
    found = api_choosing.estimate(recipe, price_per_hour=9.0)
    assert asked == [0.25, 0.5] == found.shares
    assert found.seconds == pytest.approx({"train tuned": 403, "export": 30, OTHER: 5})
    assert found.peak_memory_bytes == 10**9
    first, _, *stages = str(found).splitlines()
    assert found.dollars == pytest.approx(9 * 438 / 3600) and first.endswith(", $1.09")
    assert "7.3 minutes, at most 1,000 MB" in first and stages[0].split() == ["6.7", "minutes", "train", "tuned"]


def test_parts_grow_until_the_growth_is_clear(recipe, monkeypatch):
    monkeypatch.setattr(estimates, "_first_share", lambda plan: 0.01)
    asked = _parts(monkeypatch, lambda share: {"train tuned": 150 * share})
    api_choosing.estimate(recipe)
    assert asked == [0.01, 0.02, 0.04, 0.08, 0.16]


def test_steps_shrink_with_the_rows_and_every_class_stays(recipe):
    assert parts._fewer_steps({"max_steps": 200, "eval_steps": 4, "warmup_steps": 0.1}, 0.1) == {
        "max_steps": 20, "eval_steps": 1, "warmup_steps": 0.1,
    }  # fmt: skip
    assert parts._fewer_steps({"max_steps": -1}, 0.1) == {"max_steps": -1}
    plan = check(recipe)
    part = parts.reduced(plan, 0.01)
    counts = {name: len(rows) for name, rows in part.rows.splits.items()}
    classes = plan.task.strata(part.rows.splits["train"])
    assert counts == part.rows.facts.rows and len(classes) == 2 * len(set(classes)) == 2 * len(plan.task.labels)


def test_the_command_runs_parts_and_reports_their_line(tmp_path, capsys, monkeypatch):
    alone = parts.run_alone

    def run(recipe, share, folder):
        """A process takes ten seconds to import what is there: the first part has one."""
        if share < 0.5:
            return alone(recipe, share, folder)
        part = parts.run_part(recipe.model_dump(), share, folder)
        return replace(part, seconds=part.seconds | {OTHER: 1.0})

    monkeypatch.setattr(estimates, "run_alone", run)
    # A part sets it for its own process.
    monkeypatch.setattr("hftransfer.core.console._State.level", Level.NORMAL)
    task = plugins.load("tasks", "text-classification")()
    (tmp_path / "tiny.yaml").write_text(tiny.recipe(task, tmp_path, more="export: null"))
    assert main(["check", str(tmp_path / "tiny.yaml"), "--estimate", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["estimate"]
    assert {"encode", "train tuned", "score tuned", OTHER} <= set(found["seconds"])
    assert found["shares"] == [0.25, 0.5] and found["spent"] > 0
    # A process that has imported torch and trained.
    assert 10**8 < found["peak_memory_bytes"] < 4 * 10**9
    assert not [*tmp_path.glob("run*")]


def test_what_has_no_parts_is_refused_in_a_sentence(recipe):
    streamed = recipe.model_copy(update={"data": recipe.data.model_copy(update={"streaming": True})})
    with pytest.raises(RecipeError, match="--estimate: rows that are streamed are not counted"):
        api_choosing.estimate(streamed)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--price-per-hour", "0.4"], "--price-per-hour is of the costs of --estimate; give that as well"),
        (["--estimate", "--price-per-hour", "-1"], "--price-per-hour: -1 is no price in US dollars"),
    ],
)
def test_a_price_without_sense_is_refused(words, sentence, recipe, tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(dump_yaml(recipe.model_dump(exclude_none=True)))
    assert main(["check", str(tmp_path / "tiny.yaml"), *words]) == 2
    assert sentence in capsys.readouterr().err
