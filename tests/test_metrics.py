"""Every metric: that it keeps its contract, and that its values are those of the library that defined it."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
)

from hftransfer import metrics
from hftransfer.core import plugins
from hftransfer.core.errors import PluginError
from hftransfer.metrics import Metric, load_metric
from hftransfer.metrics.accuracy import Accuracy
from hftransfer.metrics.rouge import Rouge


def _rows(entries):
    """One entry a row; lists of one length stay lists."""
    array = np.empty(len(entries), dtype=object)
    array[:] = entries
    return np.array(entries) if isinstance(entries[0], int) else array


def _counts(draws):
    """How often each row is in each draw of as many rows."""
    return np.array([np.bincount(draw, minlength=len(draw)) for draw in draws], dtype=float)


@pytest.mark.parametrize("name", plugins.names("metrics"))
def test_a_metric_tells_good_from_bad_under_the_names_that_it_declares(name):
    metric = load_metric(name)
    references, wrong = (_rows(entries) for entries in metric.tiny())
    right = references
    if isinstance(references[0], list) and isinstance(references[0][0], float):
        right, wrong = (np.array(list(entries)) for entries in (references, wrong))
    if metric.needs_probabilities:
        right, wrong = (np.eye(4)[classes] for classes in (references, wrong))
    good, bad = metric(right, references), metric(wrong, references)
    assert next(iter(good)) == metric.name == name
    assert (good[name] < bad[name]) == metrics.lower_is_better(name) == metric.lower_is_better
    draws = [np.arange(len(references)), *np.random.default_rng(0).integers(0, len(references), (5, len(references)))]
    values = metric.of_counts(wrong, references)(_counts(draws))
    assert values.keys() == bad.keys()
    for detail, value in bad.items():
        assert values[detail][0] == pytest.approx(value) and values[detail].shape == (6,)
    for draw, value in zip(draws, values[name], strict=True):
        assert metric(wrong[draw], references[draw])[name] == pytest.approx(value, abs=0.02, nan_ok=True)


class _Undeclared(Accuracy):
    __module__ = "hftransfer.metrics.undeclared"

    def statistics(self, predictions, references):
        return super().statistics(predictions, references) | {"recall": np.ones((len(references), 2))}


class _Nameless(Metric):
    __module__ = "hftransfer.metrics.nameless"

    def compute(self, predictions, references):
        return {"accuracy": 1.0}


class _Doubled(Rouge):
    __module__ = "hftransfer.metrics.doubled"

    def value(self, sums):
        return 2 * super().value(sums)


def test_another_name_than_those_declared_is_an_error():
    rows = np.array([1]), np.array([1])
    with pytest.raises(PluginError, match="metric 'undeclared' returns undeclared, recall; it declares undeclared$"):
        _Undeclared()(*rows)
    with pytest.raises(PluginError, match="metric 'nameless' returns accuracy; it declares nameless"):
        _Nameless().of_counts(*rows)(np.ones((1, 1)))


def test_a_metric_that_extends_a_concrete_one_has_the_name_of_its_file():
    texts = np.array(["a few words"])
    assert _Doubled()(texts, texts) == {"doubled": 2.0, "doubled.1": 2.0, "doubled.2": 2.0}


def test_a_metric_is_of_one_class_where_it_has_a_positive_one():
    of_one = [name for name in plugins.names("metrics") if metrics.of_one_class(name)]
    assert of_one == ["average_precision", "f1", "false_alarm_rate", "precision", "recall", "roc_auc"]


def test_a_metric_of_the_hub_has_the_direction_of_its_name():
    lower = {name: metrics.lower_is_better(name) for name in ("wer", "evaluate-metric/mse", "someone/accuracy", "f1")}
    assert list(lower.values()) == [True, True, False, False]


HUB_METRIC = """
import datasets
import evaluate

class Theirs(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        right = float((predictions == references).mean())
        return RESULT
"""


@pytest.mark.parametrize(
    ("result", "value"),
    [
        ("{'theirs': right, 'count': 4}", 0.75),
        ("{'score': right, 'count': 4}", 0.75),
        ("{'right': right}", 0.75),
        ("{'theirs1': right, 'theirs2': right}", None),
    ],
)
def test_a_metric_of_the_hub_is_the_value_of_its_name_or_its_only_one(result, value, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "theirs.py").write_text(HUB_METRIC.replace("RESULT", result))
    metric = load_metric(str(tmp_path / "theirs"), {"positive": 1})
    rows = np.array([0, 1, 2, 3]), np.array([0, 1, 2, 2])
    if value is None:
        with pytest.raises(ValueError, match="it returns theirs1, theirs2, and none of them is 'theirs' or 'score'"):
            metric(*rows)
    else:
        assert metric(*rows) == {metric.name: value} and metric.name.endswith("theirs")


def test_what_metrics_declare_is_read_without_the_libraries_that_compute_them():
    code = (
        "import sys\nfrom hftransfer import metrics\nfrom hftransfer.core import plugins\n"
        "for name in plugins.names('metrics'): metrics.lower_is_better(name), metrics.of_one_class(name)\n"
        "heavy = {'torch', 'evaluate', 'datasets', 'sklearn', 'transformers'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_metric_says_where_its_definition_stands():
    for name in plugins.names("metrics"):
        text = sys.modules[type(load_metric(name)).__module__].__doc__
        assert "https://" in text, name


@pytest.mark.parametrize(
    ("name", "theirs"), [("f1", f1_score), ("precision", precision_score), ("recall", recall_score)]
)
def test_counts_of_classes_are_those_of_scikit_learn(name, theirs):
    generator = np.random.default_rng(0)
    predictions, references = generator.integers(0, 6, 200), generator.integers(0, 5, 200)
    truth = {"zero_division": 0, "y_true": references, "y_pred": predictions}
    assert load_metric(name)(predictions, references)[name] == pytest.approx(theirs(average="macro", **truth))
    of_one = load_metric(name, {"positive": 2})(predictions, references)[name]
    assert of_one == pytest.approx(theirs(average=None, labels=[2], **truth)[0])
    # A draw without the class says nothing of it.
    assert np.isnan(load_metric(name, {"positive": 7})(predictions, references)[name])
    rare = (np.arange(500) < 2).astype(int)
    draws = generator.integers(0, 500, (200, 500))
    values = load_metric(name, {"positive": 1}).of_counts(rare, rare)(_counts(draws))[name]
    assert np.isnan(values).any() and np.nanmin(values) == 1
    predicted, actual = generator.integers(0, 2, (50, 4)), generator.integers(0, 2, (50, 4))
    assert load_metric(name, {"multilabel": True})(predicted, actual)[name] == pytest.approx(
        theirs(actual, predicted, average="micro")
    )


@pytest.mark.parametrize("classes", [2, 6])
def test_the_correlation_of_classes_is_that_of_scikit_learn(classes):
    predictions, references = np.random.default_rng(0).integers(0, classes, (2, 200))
    metric, draws = load_metric("matthews_correlation"), np.random.default_rng(1).integers(0, 200, (5, 200))
    values = metric.of_counts(predictions, references)(_counts(draws))["matthews_correlation"]
    assert values == pytest.approx([matthews_corrcoef(references[rows], predictions[rows]) for rows in draws])
    # A model that predicts one class has none.
    assert metric(np.zeros(200, dtype=int), references) == {"matthews_correlation": 0}


@pytest.mark.parametrize(
    ("name", "theirs", "blind"), [("roc_auc", roc_auc_score, 0.5), ("average_precision", average_precision_score, 0.25)]
)
def test_ranks_are_those_of_scikit_learn(name, theirs, blind):
    generator = np.random.default_rng(0)
    references = generator.integers(0, 4, 200)
    # Rounded, so that rows share a chance.
    probabilities = np.round(generator.dirichlet(np.ones(4), 200) + 0.3 * np.eye(4)[references], 1)
    each = [theirs(references == number, probabilities[:, number]) for number in range(4)]
    metric = load_metric(name)
    assert metric(probabilities, references)[name] == pytest.approx(np.mean(each))
    assert load_metric(name, {"positive": 2})(probabilities, references)[name] == pytest.approx(each[2])
    several = (probabilities > 0.5).astype(int)[::-1]
    assert load_metric(name, {"multilabel": True})(probabilities, several)[name] == pytest.approx(
        theirs(several, probabilities)
    )
    # A row that is drawn twice counts twice; a class that is not drawn does not count.
    draws = generator.integers(0, 200, (3, 200))
    drawn = metric.of_counts(probabilities, references)(_counts(draws))[name]
    assert drawn == pytest.approx([metric(probabilities[rows], references[rows])[name] for rows in draws])
    assert metric(probabilities[references < 3], references[references < 3])[name] == pytest.approx(
        np.mean([theirs(references[references < 3] == one, probabilities[references < 3, one]) for one in range(3)])
    )
    assert np.isnan(metric(np.full((200, 4), np.nan), references)[name])
    share = np.arange(200) % 4
    assert metric(np.full((200, 4), 0.25), share)[name] == pytest.approx(blind)


TAGS = {
    ("chunks", "O"): [["B-PER", "L-PER", "O", "U-LOC"], ["O", "U-LOC", "U-ORG", "O"]],
    ("chunks", "_"): [["B-PER", "E-PER", "_", "S-LOC"], ["_", "S-LOC", "S-ORG", "_"]],
    ("runs", "O"): [["PER", "PER", "O", "LOC"], ["O", "LOC", "ORG", "O"]],
    ("runs", "0"): [["1", "1", "0", "2"], ["0", "2", "3", "0"]],
    ("words", "O"): [["IN", "NN", "VB", "NN"], ["NNP", "RB", "IN", "ORD"]],
}


@pytest.mark.parametrize(("scheme", "outside"), TAGS)
def test_entities_are_found_however_tags_are_written(scheme, outside):
    found = TAGS[scheme, outside]
    labels = tuple(sorted({tag for tags in found for tag in tags}))
    task = plugins.load("tasks", "token-classification")(outside=outside).with_labels(labels)
    assert task.metric_options() == {"scheme": scheme, "outside": outside}
    metric = load_metric("seqeval", task.metric_options())
    references = np.array(found, dtype=object)
    assert metric(references, references)["seqeval"] == 1
    # One is taken for another.
    wrong = references.copy()
    wrong[1, 2] = wrong[0, 3]
    # Of bare names, the two neighbours become one: three are found, two of them rightly.
    expected = {"chunks": 3 / 4, "runs": 4 / 7, "words": 7 / 8}[scheme]
    assert metric(wrong, references)["seqeval"] == pytest.approx(expected)


def test_texts_of_any_script_have_words():
    texts = {
        "ru": "москва слезам не верит",
        "hi": "दिल्ली भारत की राजधानी है",
        "zh": "北京是中国的首都",
        "th": "กรุงเทพเป็นเมืองหลวง",
    }
    for language, text in texts.items():
        halved = text[: len(text) // 2]
        for name, most in (("rouge", 1), ("sacrebleu", 100)):
            metric = load_metric(name)
            same, half = (metric(np.array([said]), np.array([text]))[name] for said in (text, halved))
            assert same == pytest.approx(most), language
            assert name == "sacrebleu" or 0.3 < half < 0.9, language
    assert load_metric("sacrebleu")(np.array(["北京是日本的首都"]), np.array([texts["zh"]]))["sacrebleu"] > 20


def test_the_words_of_english_are_those_of_rouge():
    from rouge_score.tokenizers import DefaultTokenizer

    from hftransfer.metrics._scripts import words

    text = "The U.S. teams_won 3-2 at O'Hare's pitch; running,  jumping!\nA 2nd LINE"
    assert words(text) == DefaultTokenizer(use_stemmer=False).tokenize(text)
    pair = ["runners were running in the rain", "a runner was running, it rained"]
    found = load_metric("rouge")(np.array(pair[:1]), np.array(pair[1:]))
    from rouge_score.rouge_scorer import RougeScorer

    theirs = RougeScorer(["rougeL"], use_stemmer=True).score(pair[1], pair[0])["rougeL"].fmeasure
    assert found["rouge"] == pytest.approx(theirs)
