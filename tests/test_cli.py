"""The commands, each as a user types it: what they print, what they leave, and what bad input gets."""

import gc
import json
import re
import subprocess
import sys
from importlib.metadata import version

import pytest
import tiny
from PIL import Image

from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.progress import Progress

# One process, in which they share a finished run.
pytestmark = pytest.mark.xdist_group("cli")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def task():
    return plugins.load("tasks", "text-classification")()


@pytest.fixture(scope="module")
def finished(folder, task):
    recipe = folder / "first.yaml"
    recipe.write_text(tiny.recipe(task, folder, more=tiny.EXPORT))
    assert main(["run", str(recipe), "--out", str(folder / "runs" / "first")]) == 0
    return folder / "runs" / "first"


def test_the_module_is_the_command():
    said = subprocess.run([sys.executable, "-m", "hftransfer", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"{version('hftransfer-recipes')}\n"


@pytest.mark.parametrize(
    "words", [["--help"], ["list"], ["list", "--schema"], ["run", "none.yaml"], ["check", "quikstart"]]
)
def test_torch_is_not_imported_before_a_command_needs_it(words):
    code = (
        "import sys; from hftransfer.cli import main\n"
        f"try: main({words})\nexcept SystemExit: pass\n"
        "assert not {'torch', 'transformers', 'datasets'} & set(sys.modules), 'imported'"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_list_names_every_plug_in(capsys):
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    for kind in plugins.KINDS:
        for name in plugins.names(kind):
            assert f"  {name}" in said


def test_a_closed_pipe_ends_a_command_quietly():
    # More than a pipe holds, so that the command has not finished before the pipe is closed.
    words = [sys.executable, "-m", "hftransfer", "list", "--schema"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert errors == b"" and process.returncode == 141


def test_the_log_of_a_run_has_one_line_a_stage(folder, task):
    recipe = folder / "logged.yaml"
    recipe.write_text(tiny.recipe(task, folder, more="export: null"))
    words = [sys.executable, "-m", "hftransfer", "run", str(recipe), "--out", str(folder / "logged")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert "\r" not in done.stderr and len(lines) == len(set(lines)) <= 8
    assert all(re.fullmatch(r"[\w ]+: \d+ \w+ in \d+\.\d s", line) for line in lines), lines
    assert any(line.startswith("training tuned: 8 steps in ") for line in lines)


@pytest.mark.parametrize(
    ("fields", "counted", "line"),
    [
        ({"unit": "row"}, 3, "reading: 3 rows in 0.0 s\n"),
        ({"unit": "batch"}, 1, "reading: 1 of 3 batches in 0.0 s\n"),
        ({"unit": "row", "leave": False}, 3, ""),
        ({"unit": "row", "disable": True}, 3, ""),
    ],
)
def test_progress_without_a_terminal_is_a_line_at_the_end(fields, counted, line, capsys):
    with Progress(total=3, desc="reading", **fields) as bar:
        bar.set_postfix({"loss": 1.0})
        bar.update(counted)
        assert bar.n == counted and capsys.readouterr().err == ""
    bar.close()
    assert capsys.readouterr().err == line
    assert list(Progress("ab", desc="reading", unit="row", disable=True)) == ["a", "b"]


def test_progress_on_a_terminal_is_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("hftransfer.core.progress.has_display", lambda: True)
    assert list(Progress("ab", desc="reading", unit="row")) == ["a", "b"]
    assert "reading: 100%" in capsys.readouterr().err


def test_the_schema_knows_every_strategy_and_its_fields(capsys):
    assert main(["list", "--schema"]) == 0
    text = capsys.readouterr().out
    assert json.loads(text)["properties"]["strategy"]["anyOf"][0]["enum"] == plugins.names("strategies")
    assert '"use_dora"' in text
    assert {"const": "quantize"} in json.loads(text)["properties"]["compress"]["items"]["anyOf"]


def test_check_says_what_would_run(folder, task, capsys):
    recipe = folder / "checked.yaml"
    recipe.write_text(tiny.recipe(task, folder, strategy="linear_probe"))
    assert main(["check", str(recipe)]) == 0 and gc.isenabled()
    said = capsys.readouterr().out
    assert "28 train" in said and "linear_probe, 34 parameters train" in said and "x, y" in said


def test_predict_answers_alike_in_pytorch_and_exported(finished, capsys):
    answers = []
    for variant in ("tuned", "onnx"):
        assert main(["predict", str(finished), "good 2\tgood 2", "bad 3\tbad 3", "--variant", variant]) == 0
        answers.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    assert len(answers[0]) == 2 and [a["label"] for a in answers[0]] == [a["label"] for a in answers[1]]
    assert sum(answers[0][0]["scores"].values()) == pytest.approx(1)
    assert main(["predict", str(finished), "good", "--variant", "onyx"]) == 2
    assert "did you mean 'onnx'" in capsys.readouterr().err


def test_export_replaces_the_exports_of_a_run(finished, capsys):
    before = json.loads((finished / "result.json").read_text())
    assert main(["export", str(finished), "--quantization", "none", "max_drop=1"]) == 0
    after = json.loads((finished / "result.json").read_text())
    assert set(after["exports"]) == {"onnx"} and not (finished / "onnx-int8").exists()
    assert after["scores"]["test"]["tuned"] == before["scores"]["test"]["tuned"]
    assert main(["export", str(finished), "--max-drop", "1"]) == 0
    assert (finished / "onnx-int8" / "model.onnx").is_file()
    assert main(["export", str(finished), "--quantization", "int3"]) == 2
    capsys.readouterr()


def test_a_rejected_export_has_an_exit_code(folder, task, tmp_path, capsys, monkeypatch):
    from hftransfer.runner import export

    monkeypatch.setattr(export, "gate", lambda *_: "it loses too much")
    recipe = tmp_path / "rejected.yaml"
    recipe.write_text(tiny.recipe(task, folder, more=tiny.EXPORT))
    assert main(["run", str(recipe), "--out", str(tmp_path / "run")]) == 3
    assert "it loses too much" in capsys.readouterr().out


def test_an_export_is_not_held_to_scores_of_other_rows(task, tmp_path, capsys):
    (tmp_path / "first.yaml").write_text(tiny.recipe(task, tmp_path))
    assert main(["run", str(tmp_path / "first.yaml"), "--out", str(tmp_path / "run")]) == 0
    before = (tmp_path / "run" / "result.json").read_text()
    rows = tmp_path / "rows" / "classes.json"
    rows.write_text(rows.read_text().replace("good 1", "good one"))
    assert main(["export", str(tmp_path / "run")]) == 2
    assert "the rows are no longer those" in capsys.readouterr().err
    assert (tmp_path / "run" / "result.json").read_text() == before and not (tmp_path / "run.partial").exists()
    (tmp_path / "run" / "result.json").write_text(re.sub(r'("fingerprint_version"): \d+', r"\1: 1", before))
    assert main(["export", str(tmp_path / "run")]) == 2
    assert "made by another version of hftransfer, which computes the fingerprint" in capsys.readouterr().err


def test_report_compares_runs(finished, folder, capsys):
    out = folder / "new" / "both.html"
    assert main(["report", str(finished), str(finished), "--out", str(out)]) == 0
    assert out.read_text().startswith("<!doctype html>") and "| first" in capsys.readouterr().out
    assert main(["report", str(folder / "nothing")]) == 2
    for place in (folder, out / "below.html"):
        assert main(["report", str(finished), "--out", str(place)]) == 2
        assert "should be a file" in capsys.readouterr().err


def test_a_finished_run_is_only_replaced_by_overwrite(finished, folder, capsys):
    before = (finished / "result.json").read_text()
    words = ["run", str(folder / "first.yaml"), "--out", str(finished)]
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--resume", "seed=5"]) == 2
    assert "'seed' differs" in capsys.readouterr().err
    assert (finished / "result.json").read_text() == before


ROWS = [f'{{"text": "good {i}", "label": "{"xy"[i % 2]}"}}' for i in range(40)]
BASE = """
task: text-classification
model: {{id: {model}}}
data:
  source: {{name: json, train: {rows}}}
  splits: {{validation: 4, test: 4}}
training: {{max_steps: 1, use_cpu: true}}
"""

MISTAKES = {
    "a misspelt key": (["modle.id=x"], ROWS, "did you mean 'model'"),
    "a misspelt key below": (["data.splits.tset=3"], ROWS, "did you mean 'test'"),
    "a wrong type": (["seed=soon"], ROWS, "'seed' should be"),
    "an unknown task": (["task.name=text-clasification"], ROWS, "did you mean 'text-classification'"),
    "an unknown strategy": (["strategy.name=lorra"], ROWS, "did you mean 'lora'"),
    "an unknown field of a strategy": (["strategy.name=lora", "strategy.rank=4"], ROWS, "unknown key 'strategy.rank'"),
    "an unknown source": (["data.source.name=jsn"], ROWS, "did you mean 'json'"),
    "an unknown sample": (["data.source.name=sample", "data.source.id=bbc_new"], ROWS, "did you mean 'bbc_news'"),
    "an unknown metric": (["evaluation.metrics=[acuracy]"], ROWS, "did you mean 'accuracy'"),
    "an unknown baseline": (["evaluation.baselines=[majorty]"], ROWS, "did you mean 'majority'"),
    "an unknown export format": (["export.format=onyx"], ROWS, "did you mean 'onnx'"),
    "a token in a recipe": (["training.hub_token=hf_x"], ROWS, "is set by HF_TOKEN in the environment"),
    "a missing column": (["data.columns={text: body}"], ROWS, "no column 'body'"),
    "a split that is too large": (["data.splits.test=400"], ROWS, "asks for 400 rows"),
    "a source file that is not there": (["data.source.train=rows.jsn"], ROWS, "no file 'rows.jsn'"),
    "a file that is not JSON": ([], ["not json {"], "line 1, column 1 is no JSON"),
    "an empty file": ([], [""], "rows.json is empty"),
    "texts that are null": ([], ['{"text": null, "label": "x"}'] * 30, "30 of 30 rows"),
    "one class": ([], [row.replace('"y"', '"x"') for row in ROWS], "only one class"),
    "a checkpoint directory that is not there": (["model.id=runs/none"], ROWS, "no local directory 'runs/none'"),
    "a path that is not there": (["model.id=./none"], ROWS, "no checkpoint directory './none'"),
    "a Hub id without a network": (["model.id=google/bert_uncased"], ROWS, "the Hub has no model"),
    "an unknown checkpoint sample": (["model.id=sample:minilmm"], ROWS, "did you mean 'minilm'"),
    "a sample without a checkpoint": (["model.id=sample:digits"], ROWS, "is no checkpoint"),
    "a checkpoint for another task": (["task=image-classification"], ROWS, "no column 'image'"),
    "an unknown training argument": (["training.learning_rat=1"], ROWS, "did you mean 'learning_rate'"),
    "epochs in words": (["training.num_train_epochs=lots"], ROWS, "expected float, got 'lots'"),
    "an optimizer that is not installed": (["training.optim=lomo"], ROWS, "training: "),
    "reports to what is not there": (["training.report_to=wandbb"], ROWS, "wandbb"),
    "a schedule without its fields": (["training.lr_scheduler_type=cosine_with_min_lr"], ROWS, "min_lr"),
    "a training argument that the run sets": (["training.output_dir=x"], ROWS, "--out"),
    "half precision on a CPU": (["training.fp16=true"], ROWS, "bf16"),
    "a config of an unknown model type": (
        ["model={config: {model_type: vitt}}", "strategy=scratch"], ROWS, "did you mean 'vit'"
    ),
    "a config without a tokenizer": (
        ["model={config: {model_type: bert}}", "strategy=scratch"], ROWS, "needs 'model.processor'"
    ),
    "a field that a config lacks": (
        ["model={config: {model_type: bert, hidden: 3}}", "strategy=scratch"], ROWS, "did you mean 'hidden_act'"
    ),
    "random weights that are to transfer": (["model={config: {model_type: bert}}"], ROWS, "nothing to transfer"),
    "a value that a config refuses": (
        ["model={config: {model_type: bert, hidden_size: 30, num_attention_heads: 4}, processor: 'sample:minilm'}",
         "strategy=scratch"], ROWS, "not a multiple"
    ),
    "no epochs": (["training={num_train_epochs: 0, use_cpu: true}"], ROWS, "more than 0"),
    "an empty batch": (["training.per_device_train_batch_size=0"], ROWS, "at least 1"),
    "no learning rate": (["training.learning_rate=nan"], ROWS, "more than 0"),
    "a best metric that training does not know": (
        ["training={load_best_model_at_end: true, metric_for_best_model: accuracy}"], ROWS, "only 'loss'"
    ),
    "a metric that does not fit": (["evaluation.metrics=[wer]"], ROWS, "does not fit the task"),
    "a class to find that is none": (["task={name: text-classification, positive: xx}"], ROWS, "did you mean 'x'"),
    "a class to find that no test row has": (
        ["task={name: text-classification, positive: z}", "data.splits={validation: 12, test: 1}"],
        [*ROWS, *['{"text": "bad", "label": "z"}'.replace("bad", f"bad {i}") for i in range(9)]],
        "'f1' has no value on the 1 rows of split 'test'"
    ),
    "a class to find among numbers": (
        ["task={name: text-classification, positive: 1}"],
        [row.replace('"x"', "0.5").replace('"y"', "1.5") for row in ROWS], "rows of one class each"
    ),
    "a metric of probabilities where there are none": (
        ["evaluation.metrics=[roc_auc]"],
        [row.replace('"x"', "0.5").replace('"y"', "1.5") for row in ROWS], "it compares probabilities of classes"
    ),
    "more tokens than positions": (
        ["model.processor='sample:minilm'", "task={name: text-classification, max_length: 99}"], ROWS, "64 tokens"
    ),
    "a module that is not there": (["strategy={name: lora, target_modules: [querry]}"], ROWS, "did you mean 'query'"),
    "a module to save that is not there": (
        ["strategy={name: peft, method: lora, config: {modules_to_save: [pooller]}}"], ROWS, "did you mean 'pooler'"
    ),
    "an unknown field of a step": (
        ["compress=[{name: distill, layres: 2}]"], ROWS, "unknown key 'compress.0.layres'; did you mean 'layers'"
    ),
    "labels that are lists in a text": (
        [], [row.replace('"y"', '"[\'x\', \'y\']"') for row in ROWS], "a list that was written as text"
    ),
    "a seed that is too large": (["seed=9999999999"], ROWS, "less than"),
    "a column in two roles": (["data.columns={text: text, text_pair: text}"], ROWS, "two roles"),
    "a column in two roles, one by its name": (["data.columns={text: label}"], ROWS, "two roles"),
    "a strategy without its fields": (["strategy=multi_task"], ROWS, "'strategy.others' is missing"),
    "a key that is a number": (["model.3=x"], ROWS, "unknown key 'model.3'"),
    "a value within an override": (["strategy={name: lora, r: abc}"], ROWS, "command line: 'strategy.r' should be"),
    "a word that is none of several kinds": (["data.augment=lite"], ROWS, "command line: 'data.augment' should be"),
    "a name in place of a section": (["export=onnx"], ROWS, "should be a mapping of format"),
    "labels that are mappings": ([], ['{"text": "good", "label": {"a": 1}}'] * 30, "should hold labels"),
    "a recipe of another head that is wrong": (
        ["strategy={name: multi_task, others: {second: recipes.yaml}}"], ROWS,
        "strategy.others.second (recipes.yaml): there is no recipe file 'recipes.yaml'; did you mean 'recipe.yaml'"
    ),
    "several columns of pictures": (
        ["task=image-classification", "data.columns={image: [text, label]}"], ROWS, "only labels and texts"
    ),
    "texts that are lists": ([], ['{"text": ["a"], "label": "x"}'] * 30, "should hold text"),
    "labels by columns that hold words": (
        ["data.columns={label: [text, label]}"], ROWS, "'good 0' is neither 0 nor 1"
    ),
    "a place that is a file": (["--out", "rows.json/run"], ROWS, "cannot be created"),
    "a place without a name": (["--out", "."], ROWS, "is not the name"),
    "a licence that the Hub does not know": (["hub={repo: a/b, license: Apache 2.0}"], ROWS, "such as apache-2.0"),
    "a language in words": (["hub={repo: a/b, language: [english]}"], ROWS, "ISO 639 codes, such as en"),
    "an empty place of a job": (["--on", ""], ROWS, "'slurm', 'slurm:PARTITION' or 'hf-jobs:FLAVOR', got ''"),
    "an answer without a question": (["--yes"], ROWS, "--yes: it is for jobs of the Hub"),
    "an override without a value": (["seed"], ROWS, "key=value"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_a_sentence_and_leaves_nothing(mistake, folder, task, tmp_path, monkeypatch, capsys):
    overrides, rows, said = MISTAKES[mistake]
    (tmp_path / "rows.json").write_text("\n".join(rows))
    model = tiny.checkpoint(task, folder / "checkpoint" / task.name)
    (tmp_path / "recipe.yaml").write_text(BASE.format(model=model, rows=tmp_path / "rows.json"))
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    assert main(["run", "recipe.yaml", *overrides]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and "hftransfer: " in error
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe\x00t", "UTF-8"), (b"task: \x07", "not YAML"), (b"[1]", "is a mapping"), (b"", "is a mapping")],
)
def test_a_file_that_is_no_recipe_gets_a_sentence(content, said, tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_bytes(content)
    assert main(["check", str(tmp_path / "recipe.yaml")]) == 2
    assert said in capsys.readouterr().err
    assert main(["check", str(tmp_path)]) == 2
    assert "is a directory" in capsys.readouterr().err


def test_a_run_finished_meanwhile_is_not_replaced(finished, folder, tmp_path, monkeypatch):
    from hftransfer.core.errors import RecipeError
    from hftransfer.recipe.loader import load_recipe
    from hftransfer.runner import pipeline

    recipe = load_recipe(folder / "first.yaml", ["export=null"])
    ready = pipeline.check

    def slow(recipe, **kwargs):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "result.json").write_text("somebody else's")
        return ready(recipe, **kwargs)

    monkeypatch.setattr(pipeline, "check", slow)
    with pytest.raises(RecipeError, match="--overwrite replaces it"):
        pipeline.run(recipe, tmp_path / "run")
    assert (tmp_path / "run" / "result.json").read_text() == "somebody else's"
    assert not (tmp_path / "run.partial").exists()


def test_a_label_in_test_that_is_not_in_train_is_named(folder, task, tmp_path, monkeypatch, capsys):
    (tmp_path / "rows.json").write_text("\n".join(ROWS))
    (tmp_path / "test.json").write_text('{"text": "other", "label": "q"}')
    model = tiny.checkpoint(task, folder / "checkpoint" / task.name)
    text = BASE.format(model=model, rows=tmp_path / "rows.json").replace("test: 4", "test: test")
    (tmp_path / "recipe.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "recipe.yaml", f"data.source.test={tmp_path}/test.json"]) == 2
    assert "label 'q' in split 'test' (row 0)" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_pickled_checkpoint_is_refused(folder, task, tmp_path, capsys):
    import shutil

    import torch

    model = tmp_path / "pickled"
    shutil.copytree(tiny.checkpoint(task, folder / "checkpoint" / task.name), model)
    (model / "model.safetensors").unlink()
    torch.save({}, model / "pytorch_model.bin")
    (tmp_path / "rows.json").write_text("\n".join(ROWS))
    (tmp_path / "recipe.yaml").write_text(BASE.format(model=model, rows=tmp_path / "rows.json"))
    assert main(["run", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert "safetensors" in capsys.readouterr().err
    assert not (tmp_path / "out.partial").exists()


def test_predict_refuses_what_is_no_image(tmp_path, capsys):
    task = plugins.load("tasks", "image-classification")()
    recipe = tmp_path / "images.yaml"
    recipe.write_text(tiny.recipe(task, tmp_path))
    assert main(["run", str(recipe), "--out", str(tmp_path / "run")]) == 0
    Image.new("L", (20, 30)).save(tmp_path / "grey.png")
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "grey.png")]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["label"] in ("x", "y")
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "none.png")]) == 2
    assert main(["predict", str(tmp_path / "run"), str(recipe)]) == 2
