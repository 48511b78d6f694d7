"""`check --largest-batch`: steps of more and more rows, until memory is short."""

import json

import pytest
import tiny

from hftransfer import api_choosing
from hftransfer.choosing import largest_batch as batches
from hftransfer.choosing import parts
from hftransfer.choosing.parts import Part
from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.console import Level
from hftransfer.core.errors import MemoryShortError, RecipeError, RunError
from hftransfer.recipe.loader import parse_recipe

MEGABYTE = 10**6


@pytest.fixture
def text(tmp_path):
    """Of a recipe with batches of 8 of its 28 training rows."""
    return tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path, more="export: null")


def _steps(monkeypatch, most, *, error=MemoryShortError, available=None):
    """Steps that take 100 MB and 10 MB a row, and fail beyond `most` rows; the batches that were tried."""
    tried = []

    def run(recipe, _share, _folder, *, scored):
        batch = recipe.training["per_device_train_batch_size"]
        tried.append(batch)
        assert recipe.training["max_steps"] == 1 and recipe.evaluation.baselines == [] and 0 < scored <= 1
        if batch > most:
            raise error("short")
        return Part(1.0, {}, {}, (100 + 10 * batch) * MEGABYTE)

    monkeypatch.setattr(batches, "run_alone", run)
    monkeypatch.setattr(batches, "available_memory", lambda: available)
    return tried


@pytest.mark.parametrize("error", [MemoryShortError, RunError])
def test_batches_double_until_one_does_not_fit(text, error, monkeypatch):
    tried = _steps(monkeypatch, 20, error=error)
    found = api_choosing.largest_batch(parse_recipe(text))
    assert (tried, found.rows, found.too_large) == ([8, 16, 28], 16, [28])
    assert str(found) == "batch       16 rows a step fit, 260 MB of memory; 28 do not"


def test_they_are_halved_where_that_of_the_recipe_does_not_fit(text, monkeypatch):
    tried = _steps(monkeypatch, 2)
    assert api_choosing.largest_batch(parse_recipe(text)).rows == 2 and tried == [8, 4, 2]
    tried = _steps(monkeypatch, 0)
    assert (
        str(api_choosing.largest_batch(parse_recipe(text))) == "batch       not even a step of one row fits into memory"
    )


def test_on_a_cpu_what_two_smaller_ones_show_to_be_too_large_is_not_tried(text, monkeypatch):
    tried = _steps(monkeypatch, 1000, available=300 * MEGABYTE)
    found = api_choosing.largest_batch(parse_recipe(text))
    assert (tried, found.rows, found.too_large) == ([8, 16], 16, [28])


def test_the_command_tries_and_tells(text, tmp_path, monkeypatch, capsys):
    def run(recipe, share, folder, *, scored):
        return parts.run_part(recipe.model_dump(), share, folder, scored)

    monkeypatch.setattr(batches, "run_alone", run)
    monkeypatch.setattr("hftransfer.core.console._State.level", Level.NORMAL)
    (tmp_path / "tiny.yaml").write_text(text)
    assert main(["check", str(tmp_path / "tiny.yaml"), "--largest-batch", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["largest_batch"]
    assert found["rows"] == found["training_rows"] == 28 and not found["too_large"]
    assert len(found["peak_memory_bytes"]) >= 2


def test_what_is_trained_in_no_steps_is_refused(text):
    with pytest.raises(RecipeError, match="strategy linear_probe takes no training steps"):
        api_choosing.largest_batch(parse_recipe(text, overrides=["strategy=linear_probe", "training={}"]))
