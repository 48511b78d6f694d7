"""Every task with every strategy, trained, merged, saved, exported and quantized on tiny models."""

import json
import re

import numpy as np
import optimum_shell
import pytest
import tiny
import torch
import transformers

from hftransfer.core import plugins
from hftransfer.core.errors import HFTransferError
from hftransfer.core.results import RunResult
from hftransfer.exporters import TrainedModel, resolve_through
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.runner.predict import predictions
from hftransfer.strategies import Strategy
from hftransfer.tasks._classification import Classification

TASKS = {name: plugins.load("tasks", name) for name in plugins.names("tasks")}
LABELLED = [name for name, task in TASKS.items() if issubclass(task, Classification)]
# What a strategy needs besides its name.
FIELDS = {
    "prune": "width: 0.5, layers: 1",
    "peft": "method: ia3",
    "lp_ft": "probe_epochs: 2",
    "few_shot": "temperature: 0.2",
    "distill": "teacher: {teacher}, layers: 1",
    "multi_task": "others: {{second: {other}}}",
}
# What a strategy says of models that it cannot adapt, whatever the task, and which Auto classes the tiny ones are of.
MODEL_REFUSALS = {
    "multi_task": (
        "cannot share the encoder",
        {
            "AutoModelForSeq2SeqLM",
            "AutoModelForCausalLM",
            "AutoModelForImageTextToText",
            "AutoModelForMaskedLM",
            "AutoModelForPreTraining",
        },
    ),
    "prune": (
        "layers cannot be taken out of|no list of layers|no feed-forward",
        {
            "AutoModelForSeq2SeqLM",
            "AutoModelForCausalLM",
            "AutoModelForImageTextToText",
            "AutoModelForObjectDetection",
            "AutoModelForSemanticSegmentation",
        },
    ),
}

# What these do depends on the model: one task trains by them for all tasks of a model type.
BY_MODEL = {"bitfit", "gradual_unfreeze", "l2_sp", "last_layers", "layer_decay", "peft", "scratch"}
# Always trained: a task of each kind of input by every strategy, and each task by those that read its head, inputs and
# loss. `scripts/torture matrix` trains the rest.
ALL_STRATEGIES = {"audio-classification", "image-classification", "text-classification"}
ALL_TASKS = {"distill", "linear_probe", "lora"}
# Tasks whose models a card shows with numpy and the ONNX runtime alone.
RUNTIME_SNIPPETS = {"fill-mask", "image-classification", "text-classification", "token-classification"}
# Task -> the class of Optimum that loads its graph.
SINGLE_GRAPHS = {
    "text-classification": "ORTModelForSequenceClassification",
    "token-classification": "ORTModelForTokenClassification",
    "question-answering": "ORTModelForQuestionAnswering",
    "fill-mask": "ORTModelForMaskedLM",
    "image-classification": "ORTModelForImageClassification",
    "image-segmentation": "ORTModelForSemanticSegmentation",
    "object-detection": "ORTModelForCustomTasks",
    "audio-classification": "ORTModelForAudioClassification",
    "automatic-speech-recognition": "ORTModelForCTC",
}


def _by_task(values):
    """Parameters whose tests run in one process for each task, where they share its trained model."""
    return [pytest.param(task, marks=pytest.mark.xdist_group(task)) for task in values]


def _by_strategy():
    """Tasks with the strategies that they are trained by, or that they refuse."""
    stand_ins = {task.tiny_model: name for name, task in sorted(TASKS.items(), key=lambda it: it[0] in LABELLED)}
    return [
        pytest.param(name, strategy, marks=_marks(name, strategy))
        for name, task in TASKS.items()
        for strategy in plugins.names("strategies")
        if strategy != "full"
        and (strategy not in BY_MODEL or strategy in task.refuses or stand_ins[task.tiny_model] == name)
    ]


def _marks(name, strategy):
    always = name in ALL_STRATEGIES or strategy in ALL_TASKS or strategy in TASKS[name].refuses
    return [pytest.mark.xdist_group(name), *([] if always else [pytest.mark.matrix])]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def full_run(folder):
    """Name of a task -> the result of a run by `full`, exported where it can be, and the run's folder."""
    runs = {}

    def made(name):
        if name not in runs:
            task = TASKS[name]()
            text = tiny.recipe(task, folder / name, more=tiny.EXPORT if tiny.is_exported(task) else "")
            out = folder / name / "full"
            runs[name] = run(parse_recipe(text), out), out
        return runs[name]

    return made


def _check_files(out, result, more=()):
    assert {path.name for path in out.iterdir()} == {
        "model", *result.exports, *more, "predictions", "recipe.yaml", "report.html", "result.json",
    }  # fmt: skip
    assert (out / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize("name", _by_task(TASKS))
def test_a_run_leaves_a_model_and_exports_that_answer_as_it_was_scored(name, full_run):
    result, out = full_run(name)
    exports = tiny.EXPORTS if tiny.is_exported(TASKS[name]) else []
    assert {"tuned", *exports} <= set(result.scores["test"]) and list(result.exports) == exports
    _check_files(out, result)
    if exports:
        assert result.exports["onnx"].max_abs_diff < 1e-3 and result.exports["onnx"].agreement == 1
        assert result.exports["onnx-int8"].bytes > 0
    outputs = np.load(out / "predictions" / "test.npz")
    tuned = {name.partition(".")[2]: array for name, array in outputs.items() if name.startswith("tuned.")}
    for name, array in tuned.items():
        assert all(array.shape == outputs[f"{variant}.{name}"].shape for variant in exports) and len(array) == 12
    if exports and "ids" in tuned:
        np.testing.assert_array_equal(outputs["onnx.ids"], tuned["ids"])


@pytest.mark.parametrize(("name", "strategy"), _by_strategy())
def test_a_strategy_trains_a_task_or_says_why_not(name, strategy, folder, full_run, tmp_path):
    task = TASKS[name]()
    home = folder / name
    places = {"teacher": home / "full", "other": tmp_path / "other.yaml"}
    places["other"].write_text(tiny.recipe(task, home, more="seed: 1"))
    fields = FIELDS.get(strategy, "").format(**places)
    # On one task, the ways of training that leave another graph than `full`.
    exported = ("linear_probe", "lora", "prune")
    exports = tiny.EXPORTS if name == "text-classification" and strategy in exported else []
    text = tiny.recipe(task, home, strategy=f"{{name: {strategy}, {fields}}}", more=tiny.EXPORT if exports else "")
    reason, models = MODEL_REFUSALS.get(strategy, ("", set()))
    # What learns needs a training, and what does not has none.
    trained = strategy == "frozen" and "full" not in task.refuses
    reason = "trains nothing" if trained else reason
    if trained or strategy in task.refuses or task.auto_model in models:
        with pytest.raises(HFTransferError, match=task.refuses.get(strategy, reason)):
            run(parse_recipe(text), tmp_path / "run")
        assert not [*tmp_path.glob("run*")]
        return
    if strategy == "distill":
        full_run(name)
    result = run(parse_recipe(text, overrides=["training.num_train_epochs=1"]), tmp_path / "run")
    assert {"tuned", *exports} <= set(result.scores["test"]) and list(result.exports) == exports
    assert (strategy != "frozen") <= result.parameters["trainable"] <= 2 * result.parameters["all"]
    step, _ = parse_recipe(text).strategy.steps()[-1]
    adapter = {"adapter"} if type(step).adapter is not Strategy.adapter else set()
    if strategy == "multi_task":
        head = tmp_path / "run" / "heads" / "second"
        assert {"model", "predictions", "result.json", "report.html"} <= {p.name for p in head.iterdir()}
        assert set(result.task_heads) == {"second"} and RunResult.load(head / "result.json").task == name
    _check_files(tmp_path / "run", result, {"heads"} if strategy == "multi_task" else adapter)


def _refused(text):
    """What `check` says against a recipe."""
    try:
        check(parse_recipe(text))
    except HFTransferError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", _by_task(TASKS))
def test_the_snippets_of_the_card_run_on_what_is_pushed(name, full_run, tmp_path, capsys):
    """With Transformers and Optimum alone, on the files as they lie in a repository of the Hub."""
    task = TASKS[name]()
    result, out = full_run(name)
    given, snippets = tiny.card_snippets(task, out, result, tmp_path)
    assert bool(result.runtime_snippet) is (name in RUNTIME_SNIPPETS)
    more = bool(result.runtime_snippet) + bool(task.pipeline_preparation[0])
    assert len(snippets) == (2 + more if tiny.is_exported(task) else 1)
    names = {}
    for number, snippet in enumerate(snippets):
        if number <= 2:
            # What may follow prints nothing.
            capsys.readouterr()
        if number == 1:
            assert optimum_shell.run(*snippets[:2])
        else:
            exec(snippet, names)
    if len(task.inputs) > 1:
        row = tiny.row(task, 0, tmp_path)
        given = "\t".join(str(row[role]) for role in task.inputs)
    if result.runtime_snippet:
        (said,) = predictions(out, result, [given], "onnx-int8")
        assert capsys.readouterr().out.strip() == str(said.get("label") or said.get("tags") or said["guesses"][0])
    (answer,) = predictions(out, result, [given])
    json.dumps(answer)


@pytest.mark.parametrize("name", _by_task(SINGLE_GRAPHS))
def test_optimum_loads_a_single_graph(name, full_run):
    result, out = full_run(name)
    loader = result.exports["onnx"].loader
    assert loader == SINGLE_GRAPHS[name]
    optimum_shell.assert_loads(plugins.load("exporters", "onnx")(), out / "onnx", loader)


@pytest.mark.parametrize(
    "name",
    [
        *_by_task(["token-classification"]),
        *(
            pytest.param(name, marks=[pytest.mark.xdist_group(name), pytest.mark.matrix])
            for name in ("audio-classification", "image-classification")
        ),
    ],
)
def test_optimum_loads_an_openvino_graph(name, full_run, tmp_path):
    """Of the model of the run; `test_exporters` and `test_openvino` have graphs of other tasks."""
    _, out = full_run(name)
    task, exporter = TASKS[name](), plugins.load("exporters", "openvino")()
    names = (task.auto_model, task.auto_processor)
    model, processor = (getattr(transformers, it).from_pretrained(out / "model") for it in names)
    inputs = optimum_shell.inputs_of(plugins.load("exporters", "onnx")().open(out / "onnx", 1))
    example = {it: torch.from_numpy(array) for it, array in inputs.items()}
    trained = TrainedModel(task, model, processor, out / "model", example)
    exporter.export(trained, resolve_through("auto", task.auto_model, model.config), tmp_path)
    loader = exporter.loader(task, tmp_path)
    assert loader == task.auto_model.replace("Auto", "OV")
    optimum_shell.assert_loads(exporter, tmp_path, loader)


@pytest.mark.parametrize("task", ["summarization", "translation"])
def test_the_snippet_writes_what_predict_writes(task, folder, tmp_path, capsys):
    """Transformers 5 has no pipeline for these."""
    recipe = tiny.recipe(TASKS[task](), folder / task).replace(f"name: {task}", f"name: {task}, prefix: '\"s\": '")
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

    task = TASKS["text-classification"]()
    (tmp_path / "other.yaml").write_text(tiny.recipe(task, folder / "other" / task.name, labels="numbers"))
    strategy = f"{{name: multi_task, others: {{second: {tmp_path / 'other.yaml'}}}}}"
    run(parse_recipe(tiny.recipe(task, folder / "other" / task.name, strategy=strategy)), tmp_path / "run")
    main, head = (load_file(tmp_path / "run" / p / "model.safetensors") for p in ("model", "heads/second/model"))
    start = load_file(folder / "other" / task.name / "checkpoint" / task.name / "model.safetensors")
    for name in (name for name in main if name.startswith("bert.")):
        np.testing.assert_array_equal(main[name], head[name])
        assert np.abs(main[name] - start[name]).max() < 0.01


@pytest.mark.parametrize(
    ("labels", "metric"), [("numbers", "r_squared"), ("lists", "f1")], ids=["regression", "multi_label"]
)
@pytest.mark.parametrize("task", LABELLED)
def test_other_kinds_of_labels(task, labels, metric, folder, tmp_path):
    exports = tiny.EXPORTS if (task, labels) == ("text-classification", "lists") else []
    more = tiny.EXPORT if exports else ""
    text = tiny.recipe(TASKS[task](), folder / "other" / task, labels=labels, more=more)
    text = text.replace("baselines: []", "baselines: [majority, probe, linear_probe]")
    if refused := _refused(text):
        assert "learns one label a row alone" in refused
        return
    result = run(parse_recipe(text), tmp_path / "run")
    assert result.headline == metric
    assert {"majority", "probe", "linear_probe", "tuned", *exports} <= set(result.scores["test"])


@pytest.mark.xdist_group("image-classification")
def test_a_run_can_be_the_checkpoint_of_another_and_its_head_is_kept_for_equal_labels(folder, full_run, tmp_path):
    first, out = full_run("image-classification")
    text = tiny.recipe(TASKS["image-classification"](), folder / "image-classification")
    second = run(parse_recipe(text, overrides=[f"model.id={out}"]), tmp_path / "second")
    assert second.scores["test"]["pretrained"] == first.scores["test"]["tuned"]


def test_a_variant_over_max_drop_is_rejected_and_removed(folder, tmp_path, monkeypatch):
    from hftransfer.exporters.onnx import Onnx

    task = TASKS["image-classification"]()
    text = tiny.recipe(task, folder / "other" / task.name, more="export: {format: onnx, max_drop: 0.01}")
    text = text.replace("num_train_epochs: 2", "num_train_epochs: 12, learning_rate: 3.0e-3")

    load = Onnx.load
    monkeypatch.setattr(
        Onnx, "load", lambda self, t, f: tiny.Turned(load(self, t, f)) if "onnx-int8" in f.name else load(self, t, f)
    )
    result = run(parse_recipe(text), tmp_path / "run")
    assert set(result.rejected()) == {"onnx-int8"} and "max_drop is 0.01" in result.rejected()["onnx-int8"]
    assert not (tmp_path / "run" / "onnx-int8").exists() and (tmp_path / "run" / "onnx").is_dir()
