"""What a label column becomes, on small real objects."""

import json
import re

import numpy as np
import pytest
import tiny
from datasets import Dataset

from hftransfer.core import plugins
from hftransfer.core.errors import DataError, ModelError, RecipeError
from hftransfer.metrics import load_metric
from hftransfer.recipe.loader import parse_recipe
from hftransfer.reporting.tables import score_table
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.runner.stages import _check_finite
from hftransfer.tasks._text import truncated


def _rows(*labels):
    return Dataset.from_dict({"text": [str(i) for i in range(len(labels))], "label": list(labels)})


@pytest.mark.parametrize(
    ("labels", "names", "indexed"),
    [
        (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
        ([10, 2, 2], ("2", "10"), [1, 0, 0]),
        ([["x", "y"], [], ["y"]], ("x", "y"), [[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]]),
        ([0.5, 2.0, 3.0], (), [0.5, 2.0, 3.0]),
        (["x,y", "x", "y", "y"], ("x", "y"), [[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]),
        (["Bonn, DE", "Rome, IT"], ("Bonn, DE", "Rome, IT"), [0, 1]),
        (list(range(100, 130)), (), [float(i) for i in range(100, 130)]),
    ],
)
def test_labels_are_read_off_the_column(labels, names, indexed):
    rows = _rows(*labels)
    task = plugins.load("tasks", "text-classification")().infer(rows)
    assert task.find_labels({"train": rows, "test": rows}) == names
    assert list(task.with_labels(names).index_labels(rows)["label"]) == indexed


def test_a_label_that_training_lacks_is_named_with_its_row():
    task = plugins.load("tasks", "text-classification")().infer(_rows("a", "b"))
    with pytest.raises(DataError, match=r"label 'c' in split 'test' \(row 1\)"):
        task.find_labels({"train": _rows("a", "b"), "test": _rows("a", "c")})


def test_a_word_in_a_regression_is_named_with_its_row():
    task = plugins.load("tasks", "text-classification")(problem_type="regression")
    with pytest.raises(DataError, match="row 1"):
        task.index_labels(_rows("1.5", "many"))


def test_the_majority_answers_alike_for_every_row():
    task = plugins.load("tasks", "text-classification")(problem_type="single_label_classification")
    outputs = np.stack([task.baseline(np.array([2, 1, 2, 0]))["logits"]] * 3)
    assert task.postprocess({"logits": outputs}, {}).tolist() == [2, 2, 2]


def test_training_sees_crops_and_flips_of_an_image_in_its_own_size():
    row = {"pixel_values": np.arange(3 * 8 * 12, dtype="float32").reshape(3, 8, 12), "labels": 1}
    assert not plugins.load("tasks", "image-classification")().augments
    cropped = plugins.load("tasks", "image-classification")(crop=0.2).augment(row, np.random.default_rng(1))
    assert cropped["pixel_values"].shape == (3, 8, 12) and cropped["labels"] == 1
    assert not np.array_equal(cropped["pixel_values"], row["pixel_values"])
    flip = plugins.load("tasks", "image-classification")(flip=True)
    seen = {flip.augment(row, np.random.default_rng(seed))["pixel_values"][0, 0, 0] for seed in range(8)}
    assert seen == {0.0, 11.0}


@pytest.mark.parametrize(
    ("spelling", "scheme"),
    [("B-PER I-PER", "chunks"), ("B-PER M-PER", "chunks"), ("b_per i_per", "chunks"), ("PER PER", "runs")],
)
def test_an_entity_is_found_whatever_the_spelling_of_its_tags(spelling, scheme):
    begin, inside = spelling.split()
    task = plugins.load("tasks", "token-classification")().with_labels(("O", *sorted({begin, inside})))
    assert task.metric_options() == {"scheme": scheme, "outside": "O"}
    metric = load_metric("seqeval", task.metric_options())
    truth = np.empty(2, dtype=object)
    truth[:] = [[begin, inside, inside, "O"], ["O", begin, "O", "O"]]
    half = np.empty(2, dtype=object)
    half[:] = [[begin, inside, "O", "O"], ["O", begin, "O", "O"]]
    assert metric(truth, truth)["seqeval"] == 1 and metric(half, truth)["seqeval"] == 0.5


def test_truncated_texts_are_a_warning(tmp_path):
    task = plugins.load("tasks", "text-classification")()
    text = tiny.recipe(task, tmp_path).replace(f"name: {task.name}", f"name: {task.name}, max_length: 3")
    (warning,) = [it for it in check(parse_recipe(text)).warnings if "are truncated" in it]
    assert (
        warning.startswith("task.max_length: texts of more than 3 tokens are truncated: ")
        and "100 % of train" in warning
    )


def test_the_words_that_make_a_text_too_long_are_enough_to_see_it():
    looked_at = []

    def tokens(rows):
        looked_at.extend(rows["text"])
        return [[*text.replace(" ", "")] for text in rows["text"]]

    texts = ["a b c", "ab\tcd ", "abcde", "", "a b c d e f g h", "a b"]
    rows = Dataset.from_dict({"text": texts, "label": [0] * 6})
    assert truncated({"test": rows}, "max_length", 4, tokens) == [
        "task.max_length: texts of more than 4 tokens are truncated: 50 % of test"
    ]
    assert looked_at == [*texts[:4], "a b c d e", "a b"]


def test_training_that_has_diverged_ends_with_a_sentence():
    with pytest.raises(ModelError, match="'full' has diverged"):
        _check_finite({"test/logits": np.full((3, 2), np.nan)}, "full")
    padded = {"test/logits": np.array([[0.5, np.nan]]), "test/ids": np.array([[1, -1]])}
    assert _check_finite(padded, "full") is padded


def test_a_model_that_has_diverged_gets_no_score_for_it():
    task = plugins.load("tasks", "fill-mask")()
    outputs = {"losses": np.array([[np.nan, np.nan], [0.5, np.nan]]), "right": np.array([[0, 0], [1, -1]])}
    decided = task.postprocess(outputs, {})
    assert np.isnan(decided[0, 0]) and decided[:, 1].tolist() == [2, 1] and decided[1].tolist() == [0.5, 1, 1]


@pytest.mark.parametrize("labels", [[["a", "b"]] * 40, [0.5] * 40, [None, "a"] * 20])
def test_labels_that_are_no_classes_hinder_no_pretraining(labels, tmp_path):
    (tmp_path / "rows.json").write_text(
        "\n".join(json.dumps({"text": f"good {i}", "label": label}) for i, label in enumerate(labels))
    )
    text = tiny.recipe(plugins.load("tasks", "fill-mask")(), tmp_path)
    source = re.search(r"source: .*", text).group(0)
    plan = check(parse_recipe(text.replace(source, f"source: {{name: json, train: {tmp_path / 'rows.json'}}}")))
    assert plan.rows.facts.rows["test"] == 12


def test_blocks_of_a_packed_text_hold_all_of_it_but_a_lone_end():
    from datasets import Dataset

    task = plugins.load("tasks", "text-generation")(max_length=4)
    task = task.with_processor(type("Tokenizer", (), {"model_max_length": 64}))
    blocks = task.pack(Dataset.from_dict({"input_ids": [[1, 2, 3], [4, 5], [6, 7, 8, 9]]}))["input_ids"]
    assert [list(block) for block in blocks] == [[1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize("name", ["distill", "prune"])
def test_a_strategy_that_needs_fields_is_no_baseline(name, tmp_path):
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path)
    text = text.replace("baselines: []", f"baselines: [{name}]")
    with pytest.raises(RecipeError, match=f"strategy '{name}' needs fields of its own"):
        check(parse_recipe(text))


def test_rows_need_no_labels_to_learn_from(tmp_path):
    (tmp_path / "rows.csv").write_text("\n".join(["text", *(f"good {i}" for i in range(40))]))
    text = tiny.recipe(plugins.load("tasks", "fill-mask")(), tmp_path)
    source = re.search(r"source: .*", text).group(0)
    plan = check(parse_recipe(text.replace(source, f"source: {{name: csv, train: {tmp_path / 'rows.csv'}}}")))
    assert plan.rows.splits["train"].column_names == ["text"] and plan.rows.facts.classes["train"] == {}


def test_pairs_of_texts_are_inferred():
    task = plugins.load("tasks", "text-classification")
    rows = Dataset.from_dict({"text": ["a", "b"], "label": ["x", "y"]})
    single, paired = (task().infer(it) for it in (rows, rows.add_column("text_pair", ["c", "d"])))
    assert single.parse("a\tb") == {"text": "a\tb"} and single.pairs is False
    assert paired.parse("a\tb") == {"text": "a", "text_pair": "b"} and paired.pipeline_example
    with pytest.raises(DataError, match="'a b': the model reads two texts"):
        paired.parse("a b")
    with pytest.raises(DataError, match=r"task.pairs is true, and each row has one text: .*'text_pair'"):
        task(pairs=True).infer(rows)


@pytest.mark.parametrize("labels", ["classes", "lists"])
def test_a_run_is_scored_by_the_probabilities_of_the_positive_class(labels, tmp_path):
    task = plugins.load("tasks", "text-classification")()
    asked = "{resamples: 20, metrics: [average_precision, roc_auc], baselines: [majority]}"
    text = tiny.recipe(task, tmp_path, labels=labels).replace("{baselines: [], resamples: 20}", asked)
    if labels == "classes":
        text = text.replace("name: text-classification", "name: text-classification, positive: x")
    result = run(parse_recipe(text), tmp_path / "run")
    test = result.scores["test"]
    assert result.headline == "average_precision" and test["majority"]["roc_auc"].value == 0.5
    assert 0 < test["tuned"]["average_precision"].low <= test["tuned"]["average_precision"].high <= 1
    assert ("average_precision of 'x'" in score_table(result).header) == (labels == "classes")
    assert set(result.calibration_error) == {"tuned"}
