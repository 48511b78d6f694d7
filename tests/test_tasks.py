"""What a label column becomes, on small real objects."""

import numpy as np
import pytest
from datasets import Dataset

from hftransfer import plugins
from hftransfer.errors import DataError


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
    task = plugins.load("tasks", "text-classification")().resolve(rows)
    assert task.find_labels({"train": rows, "test": rows}) == names
    assert list(task.know(labels=names).index(rows)["label"]) == indexed


def test_a_label_that_training_lacks_is_named_with_its_row():
    task = plugins.load("tasks", "text-classification")().resolve(_rows("a", "b"))
    with pytest.raises(DataError, match=r"label 'c' in split 'test' \(row 1\)"):
        task.find_labels({"train": _rows("a", "b"), "test": _rows("a", "c")})


def test_a_word_in_a_regression_is_named_with_its_row():
    task = plugins.load("tasks", "text-classification")(problem_type="regression")
    with pytest.raises(DataError, match="row 1"):
        task.index(_rows("1.5", "many"))


@pytest.mark.parametrize("name", plugins.names("metrics"))
def test_a_metric_loads_from_disk_and_tells_good_from_bad(name):
    import evaluate

    import hftransfer.metrics as metrics

    module = evaluate.load(f"{next(iter(metrics.__path__))}/{name}.py")
    references, wrong = [0, 1, 2, 3], [1, 0, 3, 1]
    if "boxes" in str(module.features):
        references = [{"boxes": [[1, 1, 9, 9], [20, 5, 40, 30]], "labels": ["x", "y"], "scores": [0.9, 0.8]}] * 2
        wrong = [{"boxes": [[1, 1, 9, 9], [50, 5, 90, 30]], "labels": ["y", "y"], "scores": [0.9, 0.8]}] * 2
    elif "List" in str(module.features) and "float64" in str(module.features):
        references, wrong = [[1.0, 10, 9], [2.0, 10, 8]], [[30.0, 10, 2], [20.0, 10, 1]]
    elif "List" in str(module.features) and "string" in str(module.features):
        references, wrong = [["B-X", "I-X", "O", "B-Y"]] * 2, [["B-X", "O", "O", "B-Y"], ["O", "O", "O", "O"]]
    elif "'string'" in str(module.features):
        references, wrong = ["a short text of words"] * 2, ["a text of other things", "a short word"]
    good = module.compute(predictions=references, references=references)[name]
    bad = module.compute(predictions=wrong, references=references)[name]
    assert (good < bad) == (name in metrics.LOWER_IS_BETTER)


def test_the_majority_answers_alike_for_every_row():
    task = plugins.load("tasks", "text-classification")(problem_type="single_label_classification")
    outputs = np.stack([task.constant(np.array([2, 1, 2, 0]))["logits"]] * 3)
    assert task.decide({"logits": outputs}).tolist() == [2, 2, 2]


def test_training_sees_crops_and_flips_of_an_image_in_its_own_size():
    row = {"pixel_values": np.arange(3 * 8 * 12, dtype="float32").reshape(3, 8, 12), "labels": 1}
    assert not plugins.load("tasks", "image-classification")().varies
    cropped = plugins.load("tasks", "image-classification")(crop=0.2).vary(row, np.random.default_rng(1))
    assert cropped["pixel_values"].shape == (3, 8, 12) and cropped["labels"] == 1
    assert not np.array_equal(cropped["pixel_values"], row["pixel_values"])
    flip = plugins.load("tasks", "image-classification")(flip=True)
    seen = {flip.vary(row, np.random.default_rng(seed))["pixel_values"][0, 0, 0] for seed in range(8)}
    assert seen == {0.0, 11.0}
