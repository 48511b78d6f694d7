"""Every task with every strategy, trained, merged, saved, exported and quantized on tiny models."""

import json
import re

import numpy as np
import pytest
import tiny

from hftransfer.core import plugins
from hftransfer.core.errors import HFTransferError
from hftransfer.core.results import RunResult
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.runner.predict import predictions
from hftransfer.strategies import Strategy

LABELLED = [name for name in plugins.names("tasks") if "problem_type" in plugins.load("tasks", name).model_fields]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


def _task(name):
    return plugins.load("tasks", name)()


# What a strategy needs beside its name, and what it may say of a task that it cannot work with.
FIELDS = {
    "prune": "width: 0.5, layers: 1",
    "peft": "method: ia3",
    "lp_ft": "probe_epochs: 2",
    "few_shot": "head_epochs: 2",
}
WRITING = {"summarization", "text-generation", "translation"}
HIDING = {"fill-mask", "masked-image-modeling", "speech-pretraining"}
NO_ANSWERS = {"automatic-speech-recognition", "object-detection", *WRITING, *HIDING}
NO_HEAD = "no head of its own", {*WRITING, "masked-image-modeling", "speech-pretraining"}
# What a strategy says of the tasks that it cannot work with, and which these are.
REFUSALS = {
    "multi_task": ("cannot share the encoder", {*WRITING, "fill-mask", "speech-pretraining"}),
    "linear_probe": NO_HEAD, "lp_ft": NO_HEAD,
    "few_shot": ("one class a row", {*NO_ANSWERS, "token-classification"}),
    "distill": ("cannot be another's labels", NO_ANSWERS),
    "prune": ("layers cannot be taken out of|no feed-forward", {*WRITING, "object-detection"}),
}  # fmt: skip


@pytest.mark.parametrize("strategy", plugins.names("strategies"))
@pytest.mark.parametrize("task", plugins.names("tasks"))
def test_a_run_leaves_a_model_that_says_what_was_scored(task, strategy, folder, tmp_path):
    fields = FIELDS.get(strategy, "")
    if strategy == "distill":
        teacher = tiny.recipe(_task(task), folder)
        run(parse_recipe(teacher), tmp_path / "teacher")
        fields = f"teacher: {tmp_path / 'teacher'}, layers: 1"
    if strategy == "multi_task":
        (tmp_path / "other.yaml").write_text(tiny.recipe(_task(task), folder, more="seed: 1"))
        fields = f"others: {{second: {tmp_path / 'other.yaml'}}}"
    # What is exported is a plain model, however it was trained: all ways are seen on one task.
    shipped = strategy == "full" or task == "text-classification"
    exports = tiny.EXPORTS if shipped and not _task(task).pretraining else []
    text = tiny.recipe(
        _task(task), folder, strategy=f"{{name: {strategy}, {fields}}}", more=tiny.EXPORT if exports else ""
    )
    said, refused = REFUSALS.get(strategy, ("", set()))
    if task in refused:
        with pytest.raises(HFTransferError, match=said):
            run(parse_recipe(text), tmp_path / "run")
        assert not [*tmp_path.glob("run*")]
        return
    result = run(parse_recipe(text, overrides=["training.num_train_epochs=1"]), tmp_path / "run")
    test = result.scores["test"]
    assert {"pretrained", "tuned", *exports} <= set(test) and list(result.exports) == exports
    if exports:
        assert result.exports["onnx"].max_abs_diff < 1e-3 and result.exports["onnx"].agreement == 1
        assert result.exports["onnx-int8"].bytes > 0
    assert 0 < result.parameters["trainable"] <= 2 * result.parameters["all"]
    step, _ = parse_recipe(text).strategy.steps()[-1]
    alone = {"adapter"} if type(step).adapter is not Strategy.adapter else set()
    if strategy == "multi_task":
        alone = {"heads"}
        head = tmp_path / "run" / "heads" / "second"
        assert {"model", "predictions", "result.json", "report.html"} <= {p.name for p in head.iterdir()}
        assert set(result.task_heads) == {"second"} and RunResult.load(head / "result.json").task == task
    assert {p.name for p in (tmp_path / "run").iterdir()} == alone | {
        "model", *exports, "predictions", "recipe.yaml", "report.html", "result.json",
    }  # fmt: skip
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
    outputs = np.load(tmp_path / "run" / "predictions" / "test.npz")
    made = {name.partition(".")[2]: array for name, array in outputs.items() if name.startswith("tuned.")}
    for name, array in made.items():
        assert all(array.shape == outputs[f"{variant}.{name}"].shape for variant in exports) and len(array) == 12


def _refused(text):
    """What `check` says against a recipe."""
    try:
        check(parse_recipe(text))
    except HFTransferError as error:
        return str(error)
    return None


@pytest.mark.onnx
@pytest.mark.parametrize("task", plugins.names("tasks"))
def test_the_snippets_of_the_card_run_on_what_is_pushed(task, folder, tmp_path, capsys):
    """With Transformers and Optimum alone, on the files as they lie in a repository of the Hub."""
    alone = _task(task).pretraining
    result = run(parse_recipe(tiny.recipe(_task(task), folder, more="" if alone else tiny.EXPORT)), tmp_path / "run")
    repo = tiny.pushed(tmp_path / "run", result, tmp_path / "repo")
    rows = [json.loads(line) for line in (folder / "rows" / "classes.json").read_text().splitlines()]
    given = next(cell for role, cell in rows[0].items() if role not in _task(task).targets)
    text = (repo / "README.md").read_text()
    given = " ".join(given) if isinstance(given, list) else given
    if task == "fill-mask":
        given = f"{given} [MASK]"
        text = text.replace("Put your {mask} here.", given)
    text = text.replace('Path(".")', f"Path({str(repo)!r})").replace("A text.", str(given)).replace("Another.", "bad")
    snippets = re.findall(r"```python\n(.*?)```", re.sub(r"(image|speech)\.(png|wav)", str(given), text), re.DOTALL)
    plain = task in ("fill-mask", "image-classification", "text-classification", "token-classification")
    assert bool(result.runtime_snippet) is plain
    assert len(snippets) == (1 if alone else 2 + plain)
    names = {}
    for snippet in snippets:
        capsys.readouterr()
        exec(snippet, names)
    if "text_pair" in rows[0]:
        given = f"{given}\tbad"
    if plain:
        (said,) = predictions(tmp_path / "run", result, [given], "onnx-int8")
        assert capsys.readouterr().out.strip() == str(said.get("label") or said.get("tags") or said["guesses"][0])
    (answer,) = predictions(tmp_path / "run", result, [given])
    json.dumps(answer)


@pytest.mark.parametrize("task", ["summarization", "translation"])
def test_the_snippet_writes_what_predict_writes(task, folder, tmp_path, capsys):
    """Transformers 5 has no pipeline for these."""
    recipe = tiny.recipe(_task(task), folder).replace(f"name: {task}", f"name: {task}, prefix: '\"s\": '")
    longer = ["training.num_train_epochs=20", "training.learning_rate=1.0e-2"]
    result = run(parse_recipe(recipe, overrides=longer), tmp_path / "run")
    repo = tiny.pushed(tmp_path / "run", result, tmp_path / "repo")
    (snippet,) = re.findall(r"```python\n(.*?)```", (repo / "README.md").read_text(), re.DOTALL)
    capsys.readouterr()
    exec(snippet, {})
    (said,) = predictions(tmp_path / "run", result, ["A text."])
    assert capsys.readouterr().out.strip() == said["text"] != ""
    print(said)


def test_heads_of_several_tasks_leave_the_encoder_as_it_was_trained(folder, tmp_path):
    from safetensors.numpy import load_file

    task = _task("text-classification")
    (tmp_path / "other.yaml").write_text(tiny.recipe(task, folder, labels="numbers"))
    strategy = f"{{name: multi_task, others: {{second: {tmp_path / 'other.yaml'}}}}}"
    run(parse_recipe(tiny.recipe(task, folder, strategy=strategy)), tmp_path / "run")
    main, head = (load_file(tmp_path / "run" / p / "model.safetensors") for p in ("model", "heads/second/model"))
    start = load_file(folder / "checkpoint" / task.name / "model.safetensors")
    for name in (name for name in main if name.startswith("bert.")):
        np.testing.assert_array_equal(main[name], head[name])
        assert np.abs(main[name] - start[name]).max() < 0.01


@pytest.mark.parametrize(
    ("labels", "metric"), [("numbers", "r_squared"), ("lists", "f1")], ids=["regression", "multi_label"]
)
@pytest.mark.parametrize("task", LABELLED)
def test_other_kinds_of_labels(task, labels, metric, folder, tmp_path):
    text = tiny.recipe(_task(task), folder, labels=labels, more=tiny.EXPORT)
    text = text.replace("evaluation: {", "evaluation: {baselines: [majority, linear_probe], ")
    if refused := _refused(text):
        assert "learns one label a row alone" in refused
        return
    result = run(parse_recipe(text), tmp_path / "run")
    assert result.headline == metric
    assert {"majority", "linear_probe", "tuned", *tiny.EXPORTS} <= set(result.scores["test"])


def test_a_run_can_be_the_checkpoint_of_another_and_its_head_is_kept_for_equal_labels(folder, tmp_path):
    task = _task("image-classification")
    text = tiny.recipe(task, folder)
    first = run(parse_recipe(text), tmp_path / "first")
    second = run(parse_recipe(text, overrides=[f"model.id={tmp_path / 'first'}"]), tmp_path / "second")
    assert second.scores["test"]["pretrained"] == first.scores["test"]["tuned"]


@pytest.mark.onnx
def test_a_variant_over_max_drop_is_rejected_and_removed(folder, tmp_path, monkeypatch):
    from hftransfer.exporters.onnx import Onnx

    task = _task("image-classification")
    text = tiny.recipe(task, folder, more="export: {format: onnx, max_drop: 0.01}")
    text = text.replace("num_train_epochs: 2", "num_train_epochs: 12, learning_rate: 3.0e-3")

    load = Onnx.load
    monkeypatch.setattr(
        Onnx, "load", lambda self, t, f: tiny.Turned(load(self, t, f)) if f.name == "onnx-int8" else load(self, t, f)
    )
    result = run(parse_recipe(text), tmp_path / "run")
    assert set(result.rejected()) == {"onnx-int8"} and "max_drop is 0.01" in result.rejected()["onnx-int8"]
    assert not (tmp_path / "run" / "onnx-int8").exists() and (tmp_path / "run" / "onnx").is_dir()
