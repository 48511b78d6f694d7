"""Scores, their intervals, and the gate."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import tiny

from hftransfer.core import plugins
from hftransfer.core.results import Score
from hftransfer.evaluation.calibration import calibration_error, calibration_score, fit_temperature, reliability
from hftransfer.evaluation.scoring import Answers, Scorer, confusion_matrix, gate
from hftransfer.metrics import load_metric
from hftransfer.recipe.loader import parse_recipe
from hftransfer.recipe.schema import Export
from hftransfer.runner import export_search
from hftransfer.runner.context import RunContext
from hftransfer.runner.plan import check

KINDS = ("single_label_classification", "multi_label_classification", "regression")


def _values(scorer, predictions, references):
    """Metric -> its values, of one variant."""
    return scorer.resample({"tuned": Answers(predictions, None)}, references)["tuned"]


def test_an_interval_has_the_width_of_the_binomial():
    references = np.zeros(400, dtype=int)
    predictions = (np.arange(400) < 80).astype(int)
    scorer = Scorer([load_metric("accuracy")], 0.95, 2000, seed=0)
    score = scorer.interval(_values(scorer, predictions, references)["accuracy"], 400)
    half = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert score.value == 0.8 and score.count == 400
    assert score.low == pytest.approx(0.8 - half, abs=0.006) and score.high == pytest.approx(0.8 + half, abs=0.006)
    assert score == scorer.interval(_values(scorer, predictions, references)["accuracy"], 400)


@pytest.mark.parametrize("count", [50, 2**14])
def test_resamples_of_many_rows_are_drawn_a_few_at_a_time(count, monkeypatch):
    rng = np.random.default_rng(0)
    rows = {"f1": (rng.integers(0, 3, count), rng.integers(0, 3, count))}
    if count == 50:
        rows["wer"] = tuple(np.array([" ".join(row) for row in rng.choice(["a", "b"], (50, 4))]) for _ in range(2))
    for name, (predictions, references) in rows.items():
        scorer = Scorer([load_metric(name)], 0.95, 100, seed=0)
        whole = _values(scorer, predictions, references)[name]
        with monkeypatch.context() as patch:
            patch.setattr("hftransfer.evaluation.resampling._SAMPLED_AT_ONCE", 7 * count)
            np.testing.assert_array_equal(_values(scorer, predictions, references)[name], whole)


def test_the_interval_of_a_gain_is_paired():
    references = np.zeros(400, dtype=int)
    variants = {wrong: Answers((np.arange(400) < wrong).astype(int), None) for wrong in (80, 100)}
    scorer = Scorer([load_metric("accuracy")], 0.95, 2000, seed=0)
    better, worse = (values["accuracy"] for values in scorer.resample(variants, references).values())
    gain = scorer.interval(better - worse, 400)
    # Twenty rows of 400 differ: the interval is that of their share alone, and far from 0.
    half = 1.96 * np.sqrt(0.05 * 0.95 / 400)
    assert gain.value == pytest.approx(0.05)
    assert gain.low == pytest.approx(0.05 - half, abs=0.004) and gain.high == pytest.approx(0.05 + half, abs=0.004)
    # With few rows the other variants change nothing, though they divide rows that are alike into more.
    np.testing.assert_array_equal(_values(scorer, variants[80].predictions, references)["accuracy"], better)


def _accuracy_and_f1(predictions, references):
    matrix = np.bincount(4 * references + predictions, minlength=16).reshape(4, 4)
    correct = matrix.diagonal()
    return correct.sum() / matrix.sum(), (2 * correct / (matrix.sum(axis=0) + matrix.sum(axis=1))).mean()


def test_intervals_of_many_rows_are_those_of_resampled_rows():
    """20,000 rows are resampled by how often each combination of answers occurs; here they are, row by row."""
    count, rng = 20_000, np.random.default_rng(0)
    references = rng.integers(0, 4, count)
    better = np.where(rng.random(count) < 0.9, references, rng.integers(0, 4, count))
    worse = np.where(rng.random(count) < 0.97, better, rng.integers(0, 4, count))
    scorer = Scorer([load_metric(name) for name in ("accuracy", "f1")], 0.95, 2000, seed=0)
    variants = {"better": Answers(better, None), "worse": Answers(worse, None)}
    values = [np.stack(list(of_metrics.values())) for of_metrics in scorer.resample(variants, references).values()]
    samples = [np.arange(count), *(rng.integers(0, count, count) for _ in range(1000))]
    plain = [
        np.array([_accuracy_and_f1(predictions[rows], references[rows]) for rows in samples]).T
        for predictions in (better, worse)
    ]
    for metric in range(2):
        scores = [
            [scorer.interval(it[metric], count) for it in (better, worse, better - worse)]
            for better, worse in (values, plain)
        ]
        for ours, theirs in zip(*scores, strict=True):
            assert ours.value == pytest.approx(theirs.value)
            assert ours.low == pytest.approx(theirs.low, abs=0.001)
            assert ours.high == pytest.approx(theirs.high, abs=0.001)
        # Few rows differ, so that the interval of the gain is narrower than those of the scores.
        *alone, paired = (score.high - score.low for score in scores[0])
        assert paired < 0.6 * min(alone)


def test_the_gate_says_what_is_lost():
    def lost(value):
        return gate("f1", Score(value=value, low=value - 0.01, high=value + 0.01, count=60), 0.01)

    assert lost(0.005) is None and lost(-0.05) is None
    assert lost(0.02) == "it loses 0.0200 [0.0100, 0.0300] of f1 on 60 test rows, and max_drop is 0.01"
    # A score that is not a number fails the gate.
    assert lost(float("nan")) is not None


@pytest.mark.parametrize(("metric", "sign"), [("mae", 1), ("r_squared", 1), ("pearsonr", 0)])
def test_a_loss_is_a_loss_whatever_the_direction_of_a_metric(metric, sign, tmp_path):
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path, labels="numbers")
    plan = check(parse_recipe(text))
    plan = replace(plan, recipe=plan.recipe.model_copy(update={"export": Export(metric=metric)}))
    references = plan.task.references(plan.rows.splits["test"])
    reference, candidate = Answers(references, None), Answers(references + 0.1, None)
    lost, _ = export_search.drop(RunContext(plan, None, None), reference, candidate, "test")
    assert np.sign(round(lost.value, 6)) == sign and lost.count == 12


def test_the_error_of_classes_lists_and_numbers():
    classes, lists, numbers = (
        plugins.load("tasks", "text-classification")(problem_type=kind, std=2.0, mean=0.0) for kind in KINDS
    )
    assert (classes.error(1, 1), classes.error(1, 2)) == (0, 1)
    assert (lists.error(np.array([1, 0]), np.array([1, 0])), lists.error(np.array([1, 0]), np.array([1, 1]))) == (
        0,
        0.5,
    )
    assert (numbers.error(1.0, 1.001), numbers.error(2.0, 2.5)) == (0, 0.25)


def test_confusion_is_only_of_classes():
    assert confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), ("a", "b")) == [[1, 1], [0, 1]]
    assert confusion_matrix(np.array([0.5]), np.array([0.5]), ()) == []


def test_the_temperature_that_logits_were_multiplied_by_is_found():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4000, 4)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    references = np.array([generator.choice(4, p=row) for row in probabilities])
    assert fit_temperature(logits * 3, references) == pytest.approx(3, rel=0.1)
    assert fit_temperature(logits / 5, references) == pytest.approx(1 / 5, rel=0.1)
    score = calibration_score(probabilities, references, 0.95, 0)
    assert score.value == calibration_error(probabilities, references) and score.low < 0.03 < 0.06 > score.high
    curve = reliability(probabilities, references)
    assert sum(rows for _, _, rows in curve) == 4000 and all(abs(x - y) < 0.1 for x, y, rows in curve if rows > 100)


def test_a_few_rows_that_are_all_right_make_no_model_certain():
    logits = np.eye(3)[[0, 1, 2, 0]]
    assert 0.1 < fit_temperature(logits, np.array([0, 1, 2, 0])) < 1


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy():
    probabilities = np.tile([0.8, 0.2], (100, 1))
    references = (np.arange(100) >= 80).astype(int)
    assert calibration_error(probabilities, references) == pytest.approx(0)
    assert calibration_error(probabilities, np.ones(100, dtype=int)) == pytest.approx(0.8)
    # Two bins, each as far off: over-confident by 0.3 on half of the rows, under-confident by 0.4 on the others.
    probabilities[50:] = [0.6, 0.4]
    references = np.concatenate([np.arange(50) >= 25, np.zeros(50)]).astype(int)
    assert calibration_error(probabilities, references) == pytest.approx(0.35)


def test_the_energy_of_a_block_is_measured(monkeypatch):
    from hftransfer.core import energy

    with energy.measure_energy() as measured:
        sum(range(10**7))
    assert measured.watt_hours is None if find_spec("codecarbon") is None else 0 < measured.watt_hours < 1
    if find_spec("codecarbon"):
        # CodeCarbon only logs a failed construction.
        monkeypatch.setattr("codecarbon.OfflineEmissionsTracker", lambda **_: object())
        assert energy._tracker.__wrapped__() is None
    monkeypatch.setattr(energy, "_tracker", lambda: None)
    with energy.measure_energy() as measured:
        pass
    assert measured.watt_hours is None
