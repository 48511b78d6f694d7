"""What users act on: temperatures of several labels, thresholds, abstaining, and rows of other domains."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tiny

import hftransfer
from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.errors import DataError, RecipeError
from hftransfer.evaluation.calibration import (
    calibration_error,
    error_if_calibrated,
    fit_temperature,
    fit_temperatures,
    reliability,
)
from hftransfer.evaluation.out_of_domain import neighbour_distances, share_nearer
from hftransfer.evaluation.selective import accuracy_at, area_under_risk_coverage, risk_coverage
from hftransfer.recipe.loader import parse_recipe
from hftransfer.reporting.report import terminal
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.tasks._thresholds import fit_thresholds

TASK = "text-classification"


def _labels(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of three labels, and labels that have them with just these probabilities."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, 3)) * 2
    return logits, (generator.random((rows, 3)) < 1 / (1 + np.exp(-logits))).astype(int)


def test_the_temperature_of_each_label_is_found():
    logits, flags = _labels(4000)
    planted = np.array([3.0, 1.0, 0.2])
    np.testing.assert_allclose(fit_temperatures(logits * planted, flags), planted, rtol=0.15)
    flags[:, 0] = 0
    assert fit_temperatures(logits, flags)[0] == 1


def test_sixty_calibrated_rows_leave_a_good_model_as_confident_as_it_is():
    temperatures, errors = [], []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        logits = generator.normal(size=(60, 5)) * 8
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        references = np.array([generator.choice(5, p=row) for row in probabilities])
        temperatures.append(fit_temperature(logits, references))
        errors.append(calibration_error(probabilities, references))
    # Targets smoothed as by Platt 1999 would make it 1.9.
    assert 0.8 < np.exp(np.mean(np.log(temperatures))) < 1.2
    mean, limit = error_if_calibrated(probabilities, references, 0.95, 0)
    assert mean == pytest.approx(np.mean(errors), rel=0.3) and np.mean(np.array(errors) > limit) <= 0.2


def test_an_error_beyond_chance_is_told_from_one_of_few_rows():
    """Of answers that are right as often as they say one sample in twenty is beyond the limit, of others nearly all."""
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.7, 1, 400)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    mean, limit = error_if_calibrated(probabilities, np.zeros(400, dtype=int), 0.95, 0)
    shares = []
    for accuracy in (confidence, confidence - 0.15):
        answers = [(generator.random(400) >= accuracy).astype(int) for _ in range(100)]
        shares.append(np.mean([calibration_error(probabilities, it) > limit for it in answers]))
    assert mean < limit and shares[0] < 0.15 and shares[1] > 0.95


def test_the_calibration_error_of_labels_is_the_mean_of_each():
    logits, flags = _labels(20000)
    right, wrong = (1 / (1 + np.exp(-logits * factor)) for factor in (1, np.array([1, 1, 4])))
    assert calibration_error(right, flags) < 0.02
    alone = calibration_error(wrong[:, 2:], flags[:, 2:])
    assert alone > 0.1 and calibration_error(wrong, flags) == pytest.approx(alone / 3, abs=0.01)
    assert sum(decisions for _, _, decisions in reliability(right, flags)) == flags.size


def test_thresholds_find_the_planted_optimum():
    scores = np.repeat([[0.1], [0.3], [0.7]], 20, axis=0)
    flags = np.repeat([[0], [1], [1]], 20, axis=0)
    # Between 0.1 and 0.3 every row is right.
    assert fit_thresholds(scores, flags, "f1") == [pytest.approx(0.2)]
    assert fit_thresholds(scores, flags, {"recall_at_precision": 1}) == [pytest.approx(0.2)]
    # Half of the rows at 0.3 have the label: they are found where a miss costs more than a false alarm.
    flags[20:30] = 0
    for costs, expected in (((1, 5), 0.2), ((5, 1), 0.5)):
        rule = {"cost": dict(zip(("false_positive", "false_negative"), costs, strict=True))}
        assert fit_thresholds(scores, flags, rule) == [pytest.approx(expected)]
    assert fit_thresholds(scores, flags, {"recall_at_precision": 0.9}) == [0.5]
    assert "no threshold reaches" in str(fit_thresholds(-scores + 1, flags, {"recall_at_precision": 0.9})[0])


def test_the_f1_of_all_labels_together_is_not_lower_than_at_a_half_and_no_other_thresholds_are_better():
    logits, flags = _labels(60, seed=3)
    scores = 1 / (1 + np.exp(-logits / 2 + 1))

    def f1(thresholds: list) -> float:
        predicted = scores > np.array(thresholds)
        return 2 * (predicted & (flags == 1)).sum() / (predicted.sum() + flags.sum())

    best = fit_thresholds(scores, flags, "f1")
    assert f1(best) > f1([0.5, 0.5, 0.5])
    generator = np.random.default_rng(0)
    assert all(f1(list(other)) <= f1(best) for other in generator.random((500, 3)))


def test_a_label_of_few_rows_has_no_threshold_of_its_own():
    scores, flags = np.full((40, 2), 0.1), np.zeros((40, 2), int)
    flags[:4, 0], flags[:20, 1] = 1, 1
    scores[:20, 1] = 0.2
    few, enough = fit_thresholds(scores, flags, "f1")
    assert str(few).startswith("4 of 40 validation rows have it") and enough == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("f2", "task.threshold: should be f1, {recall_at_precision: 0.9} or"),
        ("{recall_at_precision: 90}", "a precision lies between 0 and 1, got 90"),
        ("{cost: {false_positive: 1}}", "give false_positive and false_negative, each above 0"),
        ("{cost: {false_positive: 1, false_negative: 0}}", "each above 0"),
    ],
)
def test_a_rule_that_is_none_gets_a_sentence(rule, message):
    text = f"{{task: {{name: {TASK}, threshold: {rule}}}, model: {{id: a}}, data: {{source: {{name: csv, train: b}}}}}}"
    with pytest.raises(RecipeError, match=message):
        parse_recipe(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("threshold: f1", "for rows of several labels, or of one class with task.positive"),
        ("positive: x, thresholds: {y: 0.3}", "no threshold can be of 'y'.*x"),
    ],
)
def test_thresholds_of_rows_that_have_none_get_a_sentence(fields, message, tmp_path):
    text = tiny.recipe(plugins.load("tasks", TASK)(), tmp_path)
    with pytest.raises(RecipeError, match=message):
        check(parse_recipe(text.replace(f"name: {TASK}", f"name: {TASK}, {fields}")))


def test_a_positive_class_is_predicted_above_its_threshold():
    task = plugins.load("tasks", TASK)(problem_type="single_label_classification", positive="b")
    task = task.with_labels(("a", "b", "c"))
    logits = np.log(np.array([[0.6, 0.3, 0.1], [0.2, 0.6, 0.2], [0.3, 0.1, 0.6]]))
    assert task.postprocess({"logits": logits}, {}).tolist() == [0, 1, 2]
    lower, higher = (task.model_copy(update={"thresholds": {"b": value}}) for value in (0.25, 0.7))
    assert lower.postprocess({"logits": logits}, {}).tolist() == [1, 1, 2]
    assert higher.postprocess({"logits": logits}, {}).tolist() == [0, 0, 2]
    np.testing.assert_allclose(lower.confidence({"logits": logits}, {}), [0.3, 0.6, 0.6])


def test_abstaining_raises_the_accuracy_of_a_model_that_knows_what_it_does_not_know():
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.5, 1, 2000)
    right = generator.random(2000) < confidence
    found = risk_coverage(confidence, right, 0.95, 0)
    assert found.accuracy.value == right.mean() == accuracy_at(confidence, right, 1)
    assert found.accuracy_of_90.low > found.accuracy.value
    assert found.accuracy_of_90.value == accuracy_at(confidence, right, 0.9)
    assert found.aurc.low <= found.aurc.value <= found.aurc.high < 1 - found.accuracy.value
    # Where confidence says nothing, abstaining gains nothing; a model that is always right has no risk.
    shuffled = generator.permutation(right)
    assert area_under_risk_coverage(confidence, shuffled) == pytest.approx(1 - right.mean(), abs=0.03)
    assert area_under_risk_coverage(confidence, np.ones(2000)) == 0


def test_thresholds_of_several_labels_are_kept_with_the_model_and_applied(tmp_path, capsys):
    task, folder = plugins.load("tasks", TASK)(), tmp_path / "run"
    text = tiny.recipe(task, tmp_path, labels="lists", more=tiny.EXPORT)
    text = text.replace(f"name: {TASK}", f"name: {TASK}, threshold: f1")
    overrides = ["data.splits.validation=16", "evaluation.baselines=[majority,probe]", "export.quantization=none"]
    result = run(parse_recipe(text, overrides=overrides), folder)
    assert set(result.fitted["thresholds"]) == {"x", "y", "z"} == set(result.calibration.temperature)
    # Every row has it.
    assert result.fitted["thresholds"]["z"] == 0.5 and result.calibration.temperature["z"] == 1
    assert any("'z' has no threshold of its own, 0.5 is kept: 16 of 16 validation rows" in it for it in result.warnings)
    for name in ("model", "onnx"):
        assert json.loads((folder / name / "config.json").read_text())["thresholds"] == result.fitted["thresholds"]
    assert hftransfer.load_exported(folder / "onnx").thresholds == result.fitted["thresholds"]
    card, report = (folder / "model" / "README.md").read_text(), (folder / "report.html").read_text()
    assert "exceeds its threshold: x" in card and "Thresholds chosen by f1 on validation rows" in report
    assert "Abstaining on the least certain 10 %" in card and "Risk and coverage" in report
    assert {"tuned", "probe", "onnx"} == result.calibration_error.keys()
    changed = result.thresholds
    gain = changed.after["f1"].value - changed.before["f1"].value
    assert changed.gain["f1"].value == pytest.approx(gain)
    assert changed.after["f1"].value == pytest.approx(result.scores["test"]["tuned"]["f1"].value)
    for variant in ("tuned", "onnx"):
        answer, certain = (hftransfer.predict(folder, "good\t3", variant, abstain=it)[0] for it in (0.0, 1.0))
        expected = [it for it in result.data.labels if answer["scores"][it] > result.fitted["thresholds"][it]]
        assert answer["label"] == ", ".join(expected) and answer["abstained"] is False
        assert certain == answer | {"label": None, "abstained": True}
    assert "confidence" not in hftransfer.predict(folder, "good\t3")[0]
    assert main(["predict", str(folder), "good\t3", "--abstain", "1.5"]) == 2
    assert capsys.readouterr().err.endswith("hftransfer: abstain: a probability lies between 0 and 1, got 1.5\n")


def test_a_run_without_probabilities_does_not_abstain(tmp_path):
    text = tiny.recipe(plugins.load("tasks", TASK)(), tmp_path, labels="numbers")
    result = run(parse_recipe(text), tmp_path / "run")
    assert result.risk_coverage is None and result.calibration is None
    with pytest.raises(RecipeError, match="have no probabilities here"):
        hftransfer.predict(tmp_path / "run", "good\t3", abstain=0.9)


def test_rows_far_from_the_training_rows_have_a_high_share_of_nearer_ones():
    generator = np.random.default_rng(0)
    near, far = (generator.normal(size=(40, 8)) * 0.1 + np.eye(8)[place] for place in (0, 3))
    train = generator.normal(size=(40, 8)) * 0.1 + np.eye(8)[0]
    distances = neighbour_distances(train, near)
    cosines = train @ near[0] / np.linalg.norm(train, axis=1) / np.linalg.norm(near[0])
    assert distances[0] == pytest.approx(1 - np.sort(cosines)[-10], abs=1e-5)
    assert neighbour_distances(train[:3], near)[0] == pytest.approx(1 - min(cosines[:3]), abs=1e-5)
    assert (share_nearer(neighbour_distances(train, far), distances) == 1).all()
    assert share_nearer(distances, distances).mean() == pytest.approx(0.5, abs=0.02)


def _three_classes(folder, more: str) -> str:
    """A recipe of rows of the classes x, y and z."""
    task = plugins.load("tasks", TASK)()
    text = tiny.recipe(task, folder, more=more)
    rows = [tiny.row(task, i, folder) | {"label": "xyz"[i % 3], "text": f"{'abc'[i % 3]} {i}"} for i in range(60)]
    (folder / "rows" / "classes.json").write_text("\n".join(map(json.dumps, rows)))
    return text.replace("resamples: 20", "resamples: 20, out_of_domain: [z]")


def test_a_class_that_is_left_out_is_recognized_by_its_distance(tmp_path):
    result = run(parse_recipe(_three_classes(tmp_path, "")), tmp_path / "run")
    found = result.out_of_domain
    assert result.data.labels == ["x", "y"] and found.classes == ["z"]
    assert found.rows == result.data.rows["out_of_domain"] > 0 and 0 <= found.auroc.low <= found.auroc.high <= 1
    assert sum(result.data.rows.values()) - found.rows <= 40
    with np.load(tmp_path / "run" / "features.npz") as arrays:
        assert arrays["train"].dtype == np.float16 and arrays["train"].shape[1] == 16
    (answer,) = hftransfer.predict(tmp_path / "run", "c\t3")
    assert 0 <= answer["out_of_domain"] <= 1
    assert "Out-of-domain score" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("value", "message"), [("[w]", "no class is 'w'; .*x, y, z"), ("[y, z]", "only one class|two are needed")]
)
def test_classes_that_cannot_be_left_out_get_a_sentence(value, message, tmp_path):
    text = _three_classes(tmp_path, "").replace("out_of_domain: [z]", f"out_of_domain: {value}")
    with pytest.raises(DataError, match=message):
        check(parse_recipe(text))


def test_what_errors_cost_is_scored_with_and_without_the_threshold(tmp_path):
    text = tiny.recipe(plugins.load("tasks", TASK)(), tmp_path)
    fields = "positive: x, threshold: {cost: {false_positive: 1, false_negative: 50}}"
    text = text.replace(f"name: {TASK}", f"name: {TASK}, {fields}").replace("validation: 8", "validation: 16")
    result = run(parse_recipe(text), tmp_path / "run")
    found = result.thresholds
    assert set(found.values) == {"x"} and found.values == result.fitted["thresholds"]
    # A miss is so dear that every test row of the class is found.
    assert found.after["recall"].value == 1 and found.after["cost"].value <= 1
    assert found.gain["cost"].value == pytest.approx(found.before["cost"].value - found.after["cost"].value)
    assert "Thresholds chosen by cost" in terminal(result)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"problem_type": "multi_label_classification", "thresholds": {"a": 0.9, "b": 0.2, "c": 0.5}}, "['b']"),
        ({"problem_type": "multi_label_classification"}, "['a']"),
        ({"problem_type": "single_label_classification", "positive": "b", "thresholds": {"b": 0.1}}, "b"),
        ({"problem_type": "single_label_classification", "positive": "b", "thresholds": {"b": 0.4}}, "a"),
    ],
)
def test_the_snippet_of_the_card_answers_as_the_task_does(fields, expected, tmp_path, capsys):
    task = plugins.load("tasks", TASK)(**fields).with_labels(("a", "b", "c"))
    logits = np.array([[1.0, -0.5, -2.0]])
    names = {"id2label": dict(enumerate(task.labels)), "thresholds": task.thresholds}
    (tmp_path / "config.json").write_text(json.dumps(names))
    session = SimpleNamespace(run=lambda _names, _inputs: [logits])
    exec(task._snippet(""), {"session": session, "inputs": {}, "folder": tmp_path, "json": json, "np": np})
    assert capsys.readouterr().out.strip() == expected
    (answer,) = task.postprocess({"logits": logits}, {})
    assert task.describe(answer) == expected.strip("[']")
