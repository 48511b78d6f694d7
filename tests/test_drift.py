"""The similarity of features before and after a training."""

import numpy as np
import pytest
import tiny

from hftransfer.core import plugins
from hftransfer.evaluation.feature_similarity import alignment
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run

ASKED = ["evaluation.feature_similarity=true"]
TASKS = {name: plugins.load("tasks", name) for name in plugins.names("tasks")}
# Blocks are those of the model: one task for each type of model.
BITFIT = sorted({task.tiny_model: name for name, task in TASKS.items() if "bitfit" not in task.refuses}.values())


def test_a_rotation_and_a_scale_are_no_drift():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(64, 20))
    rotation, _ = np.linalg.qr(generator.normal(size=(20, 20)))
    assert alignment(features, features) == pytest.approx(1)
    assert alignment(features, 3 * features @ rotation + 1) == pytest.approx(1)


def test_features_that_have_nothing_in_common_are_near_0_though_there_are_more_of_them_than_rows():
    generator = np.random.default_rng(0)
    found = [alignment(generator.normal(size=(64, 400)), generator.normal(size=(64, 400))) for _ in range(10)]
    assert abs(np.mean(found)) < 0.05


@pytest.mark.parametrize("task", BITFIT)
def test_a_run_tells_how_far_each_block_went(task, tmp_path):
    text = tiny.recipe(TASKS[task](), tmp_path)
    frozen = run(
        parse_recipe(text, overrides=[*ASKED, "strategy=bitfit", "training.learning_rate=1.0e-12"]), tmp_path / "run"
    )
    assert len(frozen.feature_similarity) >= 2 and frozen.feature_similarity == pytest.approx(
        [1.0] * len(frozen.feature_similarity), abs=1e-3
    )


def test_a_training_that_goes_far_is_seen(tmp_path):
    text = tiny.recipe(TASKS["text-classification"](), tmp_path)
    near, far = (
        run(parse_recipe(text, overrides=[*ASKED, f"training.learning_rate={rate}"]), tmp_path / rate)
        for rate in ("0.0001", "0.05")
    )
    assert min(near.feature_similarity) > 0.999 > 0.98 > min(far.feature_similarity)
