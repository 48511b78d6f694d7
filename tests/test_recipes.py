"""Every recipe that ships is read, and run with tiny settings on its own data."""

import re
from pathlib import Path

import pytest
import tiny
from _recipes import is_hub_recipe, paths

from hftransfer.core.errors import SampleError
from hftransfer.recipe.loader import load_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.runner.provenance import sample_facts

ROOT = Path(__file__).parent.parent
RECIPES = paths()
OFFLINE = [path for path in RECIPES if not is_hub_recipe(load_recipe(path))]
TINY = [
    "training.max_steps=2",
    "training.use_cpu=true",
    "evaluation.resamples=10",
    "data.max_rows=300",
    "data.splits.validation=20",
    "data.splits.test=20",
    "export.max_drop=1.0",
]


# Bytes up to which tests fetch the files of a sample.
LIGHT = 10_000_000

# Of the fields of tasks.
SMALL = {"max_length": 32, "max_new_tokens": 2, "max_target_length": 4}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_short_and_says_how_to_run_it(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 25 and lines[0].startswith("# ")
    assert any(f"scripts/run {path.relative_to(ROOT)}" in line for line in lines[:4])


def test_the_recipes_of_the_measured_strategies_are_valid():
    files = sorted((ROOT / "scripts/strategies").rglob("*.yaml"))
    assert len({load_recipe(file, ["seed=1"]).strategy.name for file in files}) > 10


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_what_is_transferred_is_compared_with_frozen_features(path):
    """The most frequent class is a baseline that every model beats."""
    recipe = load_recipe(path)
    baselines = recipe.evaluation.baselines
    assert (
        baselines is None
        or recipe.task.row_target is None
        or recipe.strategy.name == "scratch"
        or {"probe", "knn"} & set(baselines)
    )


# To trace a real model takes half a minute: `test_contract` exports a model of each task, and `scripts/bench export`
# those of the recipes.
EXPORTED = ROOT / "recipes" / "quickstart.yaml"


def _teacher(path, overrides, folder):
    """A model that knows the labels of the recipe, and nothing else."""
    import transformers

    task = check(load_recipe(path, [*overrides, "strategy=full", "data.unlabelled=null"])).task
    place = tiny.checkpoint(task, folder / "teacher")
    auto = getattr(transformers, task.auto_model)
    auto.from_pretrained(place, **task.config_fields(), ignore_mismatched_sizes=True).save_pretrained(place)
    return place


def _small(recipe):
    """Settings of the task with which a recipe is quick."""
    fields = type(recipe.task).model_fields
    # A window holds a question, which the stride must leave room for.
    small = SMALL | ({"max_length": 96, "stride": 8} if "stride" in fields else {})
    small |= {"image_size": 64} if (recipe.model.id or "").startswith("sample:") else {}
    settings = [f"task.{key}={size}" for key, size in small.items() if key in fields]
    # Each article has many windows.
    return settings + ["data.splits.validation=8", "data.splits.test=8", "data.max_rows=40"] * ("stride" in fields)


def _check_heavy(path, recipe, overrides, folder):
    """What is heavy is checked where the cache holds it, and run by `scripts/bench results`."""
    try:
        if recipe.strategy.name == "distill":
            overrides = [*overrides, f"strategy.teacher={_teacher(path, overrides, folder)}"]
        if recipe.task.open_set:
            # Whole identities, of which 20 rows have too few.
            overrides = [it for it in overrides if not it.startswith(("data.max_rows", "data.splits"))]
        rows = check(load_recipe(path, overrides)).rows.facts.rows["test"]
        assert rows > 20 if recipe.task.open_set else rows == 20
    except SampleError as error:
        assert "the cache does not hold it, and HF_HUB_OFFLINE forbids to fetch it" in str(error)


# A third to two thirds of a minute each; more where others use the machine.
@pytest.mark.timeout(120)
@pytest.mark.parametrize("path", OFFLINE, ids=lambda path: path.stem)
def test_a_recipe_runs(path, tmp_path, monkeypatch):
    recipe = load_recipe(path)
    heavy = any(facts.download_bytes > LIGHT for facts in sample_facts(recipe.model_dump()).values())
    if heavy:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cheap = [name for name in recipe.evaluation.baselines or [] if name == "majority"]
    overrides = [*TINY, f"evaluation.baselines={cheap}", *["export=null"] * (path != EXPORTED)]
    overrides += ["data.shots=4"] * (getattr(recipe.task, "problem_type", "regression") != "regression")
    overrides += _small(recipe)
    if recipe.model.id and recipe.model.id.startswith("runs/"):
        overrides.append(f"model.id={tiny.checkpoint(recipe.task, tmp_path / 'checkpoint')}")
    if recipe.strategy.name == "multi_task":
        for name, other in recipe.strategy.others.items():
            text = re.sub(r"max_length: \d+", "max_length: 32", (ROOT / other).read_text())
            text = re.sub("splits: .*", "splits: {validation: 20, test: 20}\n  max_rows: 300", text)
            (tmp_path / f"{name}.yaml").write_text(text)
            overrides.append(f"strategy.others.{name}={tmp_path / name}.yaml")
    if heavy:
        _check_heavy(path, recipe, overrides, tmp_path)
        return
    if recipe.strategy.name == "distill":
        overrides.append(f"strategy.teacher={_teacher(path, overrides, tmp_path)}")
    result = run(load_recipe(path, overrides), tmp_path / path.stem)
    assert result.scores["test"]["tuned"][result.headline].count == (8 if hasattr(recipe.task, "stride") else 20)
