"""Every task with every strategy, trained, merged, saved, exported and quantized on tiny models."""

import numpy as np
import pytest
import tiny

from hftransfer import plugins
from hftransfer.pipeline import run
from hftransfer.reading import parse_recipe

EXPORT = "export: {format: onnx, max_drop: 1.0}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


def _task(name):
    return plugins.load("tasks", name)()


@pytest.mark.parametrize("strategy", plugins.names("strategies"))
@pytest.mark.parametrize("task", plugins.names("tasks"))
def test_a_run_leaves_a_model_that_says_what_was_scored(task, strategy, folder, tmp_path):
    text = tiny.recipe(_task(task), folder, strategy=strategy, more=EXPORT)
    result = run(parse_recipe(text), tmp_path / "run")
    test = result.scores["test"]
    assert {"pretrained", "tuned", "onnx", "onnx-int8"} <= set(test)
    assert result.exports["onnx"].max_abs_diff < 1e-3 and result.exports["onnx"].agreement == 1
    assert result.exports["onnx-int8"].bytes > 0
    assert 0 < result.parameters["trainable"] <= 2 * result.parameters["all"]
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        "model", "onnx", "onnx-int8", "predictions", "recipe.yaml", "report.html", "result.json",
    }  # fmt: skip
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
    outputs = np.load(tmp_path / "run" / "predictions" / "test.npz")
    assert outputs["tuned.logits"].shape == outputs["onnx.logits"].shape and len(outputs["tuned.logits"]) == 12


@pytest.mark.parametrize(
    ("labels", "metric"), [("numbers", "r_squared"), ("lists", "f1")], ids=["regression", "multi_label"]
)
@pytest.mark.parametrize("task", plugins.names("tasks"))
def test_other_kinds_of_labels(task, labels, metric, folder, tmp_path):
    text = tiny.recipe(_task(task), folder, labels=labels, more=EXPORT)
    text = text.replace("evaluation: {", "evaluation: {baselines: [majority, linear_probe], ")
    result = run(parse_recipe(text), tmp_path / "run")
    assert result.headline == metric
    assert {"majority", "linear_probe", "tuned", "onnx"} <= set(result.scores["test"])


def test_a_run_can_be_the_checkpoint_of_another_and_its_head_is_kept_for_equal_labels(folder, tmp_path):
    task = _task("image-classification")
    text = tiny.recipe(task, folder)
    first = run(parse_recipe(text), tmp_path / "first")
    second = run(parse_recipe(text, overrides=[f"model.id={tmp_path / 'first'}"]), tmp_path / "second")
    assert second.scores["test"]["pretrained"] == first.scores["test"]["tuned"]


def test_a_variant_over_max_drop_is_rejected_and_removed(folder, tmp_path, monkeypatch):
    from hftransfer.exporters.onnx import Onnx

    task = _task("image-classification")
    text = tiny.recipe(task, folder, more="export: {format: onnx, max_drop: 0.01}")
    text = text.replace("num_train_epochs: 2", "num_train_epochs: 12, learning_rate: 3.0e-3")

    class Broken:
        """An exported model whose answers are turned round."""

        def __init__(self, model):
            self.model = model

        def __call__(self, **inputs):
            answer = self.model(**inputs)
            answer.logits = -answer.logits
            return answer

    load = Onnx.load
    monkeypatch.setattr(
        Onnx, "load", lambda self, t, f: Broken(load(self, t, f)) if f.name == "onnx-int8" else load(self, t, f)
    )
    result = run(parse_recipe(text), tmp_path / "run")
    assert set(result.rejected()) == {"onnx-int8"} and "over 0.01" in result.rejected()["onnx-int8"]
    assert not (tmp_path / "run" / "onnx-int8").exists() and (tmp_path / "run" / "onnx").is_dir()
