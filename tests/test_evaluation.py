"""Scores, their intervals, and the gate."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import tiny

from hftransfer.core import plugins
from hftransfer.core.results import Score
from hftransfer.evaluation.scoring import Scorer, calibration_error, confusion, gate
from hftransfer.metrics import load_metric
from hftransfer.recipe.loader import parse_recipe
from hftransfer.recipe.schema import Export
from hftransfer.runner import export_search
from hftransfer.runner.plan import check

KINDS = ("single_label_classification", "multi_label_classification", "regression")


def test_an_interval_has_the_width_of_the_binomial():
    references = np.zeros(400, dtype=int)
    predictions = (np.arange(400) < 80).astype(int)
    scorer = Scorer([load_metric("accuracy")], 0.95, 2000, seed=0)
    values = scorer.resample(predictions, references)["accuracy"]
    score = scorer.interval(values, 400)
    half = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert score.value == 0.8 and score.count == 400
    assert score.low == pytest.approx(0.8 - half, abs=0.006) and score.high == pytest.approx(0.8 + half, abs=0.006)
    assert score == scorer.interval(scorer.resample(predictions, references)["accuracy"], 400)


def test_resamples_of_many_rows_are_drawn_a_few_at_a_time(monkeypatch):
    generator = np.random.default_rng(0)
    classes = generator.integers(0, 3, 50), generator.integers(0, 3, 50)
    words = tuple(np.array([" ".join(row) for row in generator.choice(["a", "b"], (50, 4))]) for _ in range(2))
    for name, rows in {"f1": classes, "wer": words}.items():
        scorer = Scorer([load_metric(name)], 0.95, 100, seed=0)
        whole = scorer.resample(*rows)[name]
        with monkeypatch.context() as patch:
            patch.setattr("hftransfer.evaluation.scoring._DRAWN_AT_ONCE", 7 * 50)
            np.testing.assert_array_equal(scorer.resample(*rows)[name], whole)


def test_the_interval_of_a_gain_is_paired():
    references = np.zeros(400, dtype=int)
    mine = (np.arange(400) < 80).astype(int)
    theirs = (np.arange(400) < 100).astype(int)
    scorer = Scorer([load_metric("accuracy")], 0.95, 2000, seed=0)
    one, other = (scorer.resample(it, references)["accuracy"] for it in (mine, theirs))
    gain = scorer.interval(one - other, 400)
    # Twenty rows of 400 differ: the interval is that of their share alone, and far from 0.
    half = 1.96 * np.sqrt(0.05 * 0.95 / 400)
    assert gain.value == pytest.approx(0.05)
    assert gain.low == pytest.approx(0.05 - half, abs=0.004) and gain.high == pytest.approx(0.05 + half, abs=0.004)


def test_the_gate_says_what_is_lost():
    def lost(value):
        return gate("f1", Score(value=value, low=value - 0.01, high=value + 0.01, count=60), 0.01)

    assert lost(0.005) is None and lost(-0.05) is None
    assert lost(0.02) == "it loses 0.0200 [0.0100, 0.0300] of f1 on 60 test rows, and max_drop is 0.01"
    # A model whose score is no number has not kept it.
    assert lost(float("nan")) is not None


@pytest.mark.parametrize(("metric", "sign"), [("mae", 1), ("r_squared", 1), ("pearsonr", 0)])
def test_a_loss_is_a_loss_whatever_the_direction_of_a_metric(metric, sign, tmp_path):
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path, labels="numbers")
    plan = check(parse_recipe(text))
    promise = Export(metric=metric)
    plan = replace(plan, recipe=plan.recipe.model_copy(update={"export": promise}))
    references = plan.task.references(plan.rows.splits["test"])
    mine, theirs = {"logits": references[:, None]}, {"logits": references[:, None] + 0.1}
    lost, _ = export_search.drop(plan, mine, theirs, references)
    assert np.sign(round(lost.value, 6)) == sign and lost.count == 12


def test_agreement_of_classes_lists_and_numbers():
    same = {kind: plugins.load("tasks", "text-classification")(problem_type=kind).same for kind in KINDS}
    classes = same["single_label_classification"](np.array([0, 1, 2]), np.array([0, 1, 1]), np.array([0, 1, 2]))
    assert classes.tolist() == [True, True, False]
    lists = np.eye(2, dtype=int), np.array([[1, 0], [1, 1]]), np.eye(2, dtype=int)
    assert same["multi_label_classification"](*lists).tolist() == [True, False]
    numbers = same["regression"](np.array([1.0, 2.0]), np.array([1.001, 2.5]), np.array([0.0, 4.0]))
    assert numbers.tolist() == [True, False]


def test_confusion_is_only_of_classes():
    assert confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), ("a", "b")) == [[1, 1], [0, 1]]
    assert confusion(np.array([0.5]), np.array([0.5]), ()) == []


def test_the_calibration_error_is_how_far_confidence_is_from_accuracy():
    probabilities = np.tile([0.8, 0.2], (100, 1))
    references = (np.arange(100) >= 80).astype(int)
    assert calibration_error(probabilities, references) == pytest.approx(0)
    assert calibration_error(probabilities, np.ones(100, dtype=int)) == pytest.approx(0.8)
    # Two bins, each as far off: over-confident by 0.3 on half of the rows, under-confident by 0.4 on the others.
    probabilities[50:] = [0.6, 0.4]
    references = np.concatenate([np.arange(50) >= 25, np.zeros(50)]).astype(int)
    assert calibration_error(probabilities, references) == pytest.approx(0.35)


def test_a_block_tells_what_it_draws(monkeypatch):
    from hftransfer.core import energy

    with energy.measure_energy() as told:
        sum(range(10**7))
    assert told.watt_hours is None if find_spec("codecarbon") is None else 0 < told.watt_hours < 1
    if find_spec("codecarbon"):
        # CodeCarbon hides why it cannot be made.
        monkeypatch.setattr("codecarbon.OfflineEmissionsTracker", lambda **_: object())
        assert energy._tracker.__wrapped__() is None
    monkeypatch.setattr(energy, "_tracker", lambda: None)
    with energy.measure_energy() as told:
        pass
    assert told.watt_hours is None
