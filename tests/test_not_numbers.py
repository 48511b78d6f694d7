"""Rows whose outputs are NaN: never right, whatever the first class is, and reported."""

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from hftransfer.core import plugins
from hftransfer.evaluation.scoring import answers, rows_without_numbers
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.tasks import object_array

NAN, LOGITS = np.nan, np.float32([[2, 1], [1, 2], [0, 0]])


def _text(problem_type, labels=("a", "b")):
    return plugins.load("tasks", "text-classification")(problem_type=f"{problem_type}").with_labels(labels)


CASES = {
    "class": (_text("single_label_classification"), LOGITS, np.array([0, 0, 1])),
    "classes": (_text("multi_label_classification"), LOGITS, np.array([[1, 1], [0, 0], [0, 0]])),
    "number": (_text("regression", ()), LOGITS[:, :1], np.array([2.0, 1.0, 0.0])),
    "words": (
        plugins.load("tasks", "token-classification")().with_labels(("O", "B-X")),
        np.stack([LOGITS] * 3),
        object_array([["O", "B-X", "O"], ["O"] * 3, ["O"] * 3]),
    ),
    "pixels": (
        plugins.load("tasks", "image-segmentation")(classes=["0", "1"]).with_labels(("0", "1")),
        np.stack([np.stack([LOGITS] * 2)] * 3),
        object_array([np.zeros((3, 2), int)] * 3),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_nan_is_never_right(case):
    task, logits, references = CASES[case]
    side = {"size": [np.array([3, 2])] * 3}
    before = answers(task, {"logits": logits}, side, references)
    broken = logits.copy()
    broken[1] = NAN
    after = answers(task, {"logits": broken}, side, references)
    assert rows_without_numbers(task, {"logits": broken}, side, 3).tolist() == [False, True, False]
    assert task.error(after.predictions[1], references[1]) > 0
    assert after.probabilities is None or np.isfinite(after.probabilities).all()
    for row in (0, 2):
        np.testing.assert_array_equal(after.predictions[row], before.predictions[row])


def test_a_run_reports_rows_whose_outputs_are_nan(tmp_path):
    task = plugins.load("tasks", "text-classification")()
    model = tiny.checkpoint(task, tmp_path / "tiny")
    weights = load_file(model / "model.safetensors")
    name = next(name for name in weights if name.endswith("word_embeddings.weight"))
    weights[name][tiny.WORDS.index("z")] = torch.nan
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    lines = [f"{'good' if i % 2 else 'bad'} {'abcdefghij'[i // 4]} {i % 4},{i % 2}\n" for i in range(40)]
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(lines[:32]))
    (tmp_path / "test.csv").write_text("text,label\n" + "".join(lines[32:]) + "bad z z,0\n")
    recipe = parse_recipe(f"""
task: {{name: text-classification, problem_type: single_label_classification}}
model: {{id: {model}}}
data: {{source: {{name: csv, train: {tmp_path / "train.csv"}, test: {tmp_path / "test.csv"}}}}}
strategy: linear_probe
training: {{max_steps: 1, use_cpu: true}}
evaluation: {{resamples: 10, metrics: [accuracy, roc_auc, f1], baselines: [majority]}}
""")
    result = run(recipe, tmp_path / "run")
    sentence = "the outputs of tuned are no numbers (NaN or infinite) on 1 of 9 rows of test (the first is row 8)"
    assert any(sentence in line for line in result.warnings)
    scores = result.scores["test"]["tuned"]
    assert scores["accuracy"].value <= 8 / 9 and 0 <= scores["roc_auc"].value <= 1
