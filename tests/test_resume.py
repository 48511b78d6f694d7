"""A run that is killed at any point and resumed ends with the same predictions as an uninterrupted one."""

import multiprocessing
import os
import shutil
import signal

import processes
import pytest
import tiny
from interruptions import assert_same, kill_at

from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.errors import ExportError, RecipeError
from hftransfer.core.results import RunResult
from hftransfer.core.run_folder import RunFolder
from hftransfer.recipe.loader import load_recipe, parse_recipe
from hftransfer.runner.pipeline import run


def _recipe(folder):
    task = plugins.load("tasks", "text-classification")()
    text = tiny.recipe(task, folder, strategy="lora", more=tiny.EXPORT)
    text = text.replace("baselines: []", "baselines: [linear_probe, scratch]")
    return text.replace("num_train_epochs: 2", "num_train_epochs: 3")


def test_three_kills_change_no_prediction(tmp_path):
    text = _recipe(tmp_path)
    (tmp_path / "recipe.yaml").write_text(text)
    assert processes.finish("run", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "uninterrupted")) == 0
    command = ["run", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "killed"), "--resume"]
    partial = tmp_path / "killed.partial"
    for pattern in (
        "work/frozen/features-train.npz",
        "work/tuned/checkpoints/checkpoint-8/trainer_state.json",
        "onnx.partial",
    ):
        assert processes.kill_when(command, partial, pattern) == -signal.SIGKILL
    assert processes.finish(*command) == 0
    assert_same(tmp_path / "uninterrupted", tmp_path / "killed")
    assert not partial.exists()


def test_a_run_killed_after_its_last_step_is_complete(tmp_path):
    """Killed after the work folder is renamed, and before the run gets its final name."""
    task = plugins.load("tasks", "text-classification")()
    recipe = parse_recipe(tiny.recipe(task, tmp_path))
    result = run(recipe, tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "run.partial")
    (tmp_path / "run.discarded").mkdir()
    assert run(recipe, tmp_path / "run", resume=True).id == result.id
    assert not [path for path in tmp_path.glob("run.*") if path.suffix != ".yaml"]
    # An export had put the run aside that it replaces.
    (tmp_path / "run").rename(tmp_path / "run.replaced")
    shutil.copytree(tmp_path / "run.replaced", tmp_path / "run.partial")
    assert main(["predict", str(tmp_path / "run"), "good 1\tgood 1"]) == 0
    assert not list(tmp_path.glob("run.*"))


def _assert_a_kill_changes_nothing(text, tmp_path, monkeypatch, step):
    recipe = parse_recipe(text)
    uninterrupted = run(recipe, tmp_path / "uninterrupted")
    kill_at(monkeypatch, step, lambda: run(recipe, tmp_path / "killed"))
    resumed = run(recipe, tmp_path / "killed", resume=True)
    assert resumed.history["tuned"] == uninterrupted.history["tuned"]
    assert_same(tmp_path / "uninterrupted", tmp_path / "killed")


@pytest.mark.parametrize(
    ("task", "step"), [("text-generation", 3), ("masked-image-modeling", 4), ("speech-pretraining", 4)]
)
def test_a_kill_changes_no_masking(task, step, tmp_path, monkeypatch):
    # Packed into blocks of 128 tokens, the few rows would be one.
    text = tiny.recipe(plugins.load("tasks", task)(), tmp_path)
    text = text.replace("{name: text-generation,", "{name: text-generation, max_length: 4,")
    _assert_a_kill_changes_nothing(text, tmp_path, monkeypatch, step)


def test_a_kill_changes_no_mixed_row(tmp_path, monkeypatch):
    text = tiny.recipe(plugins.load("tasks", "image-classification")(), tmp_path)
    text = text.replace("data:", "data:\n  augment: [mixup, cutmix]")
    _assert_a_kill_changes_nothing(text, tmp_path, monkeypatch, 4)


def test_a_trained_model_is_saved_when_a_later_stage_fails(tmp_path, monkeypatch):
    def fail(*_args):
        raise ExportError("no such scheme")

    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("hftransfer.runner.pipeline.export_variants", fail)
        with pytest.raises(ExportError):
            run(parse_recipe(text), tmp_path / "run")
    assert (tmp_path / "run.partial" / "model" / "model.safetensors").is_file()
    assert run(parse_recipe(text), tmp_path / "run", resume=True).scores["test"]["tuned"]


def test_a_kill_changes_no_random_crop(tmp_path, monkeypatch):
    text = tiny.recipe(plugins.load("tasks", "image-classification")(crop=0.3, flip=True), tmp_path)
    text = text.replace("image-classification}", "image-classification, crop: 0.3, flip: true}", 1)
    _assert_a_kill_changes_nothing(text, tmp_path, monkeypatch, 4)


@pytest.mark.parametrize(
    ("training", "step"),
    [
        ("save_strategy: steps, save_steps: 3", 3),
        # The last step of an epoch, which is evaluated after it.
        ("save_strategy: steps, save_steps: 2", 4),
        ("save_strategy: steps, save_steps: 4, logging_steps: 3, logging_strategy: steps", 4),
        # The last step of the training, within an epoch.
        ("save_strategy: steps, save_steps: 2, max_steps: 6", 6),
        ("save_strategy: best, metric_for_best_model: loss, load_best_model_at_end: true", 4),
    ],
)
def test_a_kill_at_any_step_changes_neither_model_nor_log(training, step, tmp_path, monkeypatch):
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path)
    text = text.replace("save_strategy: epoch", training)
    _assert_a_kill_changes_nothing(text, tmp_path, monkeypatch, step)


@pytest.mark.parametrize(
    ("event", "step", "saved"),
    [("on_step_end", 3, 3), ("on_step_end", 4, 4), ("on_prediction_step", 8, 8), ("on_train_end", 8, 8)],
)
def test_sigterm_loses_no_step(event, step, saved, tmp_path, monkeypatch, capsys):
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path)
    workers = f"dataloader_num_workers: {int(step == 3)}"
    (tmp_path / "recipe.yaml").write_text(text.replace("save_strategy: epoch", workers))
    uninterrupted = run(load_recipe(tmp_path / "recipe.yaml"), tmp_path / "uninterrupted")

    def send(self, args, state, control, **_kwargs):
        if state.global_step == step:
            # As Slurm does, to all processes of a job.
            for process in [*multiprocessing.active_children(), multiprocessing.current_process()]:
                os.kill(process.pid, signal.SIGTERM)

    command = ["run", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "stopped")]
    with monkeypatch.context() as patched:
        patched.setattr(f"hftransfer.training.callbacks.AugmentingCollator.{event}", send, raising=False)
        assert main(command) == 143
    assert "hftransfer: terminated; the same command with --resume continues" in capsys.readouterr().err
    (checkpoint,) = (tmp_path / "stopped.partial").rglob("complete")
    assert checkpoint.parent.name == f"checkpoint-{saved}"
    assert main([*command, "--resume"]) == 0
    resumed = RunResult.load(tmp_path / "stopped" / "result.json")
    assert resumed.history == uninterrupted.history
    assert_same(tmp_path / "uninterrupted", tmp_path / "stopped")


def test_a_training_of_seconds_writes_no_checkpoint_unless_it_is_asked_to(tmp_path, monkeypatch):
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path)
    saved = []
    monkeypatch.setattr(
        "hftransfer.training.callbacks.CompleteCheckpoint.on_save", lambda *_args, **_kw: saved.append(1)
    )
    run(parse_recipe(text.replace(", save_strategy: epoch", "")), tmp_path / "seldom")
    assert not saved
    run(parse_recipe(text), tmp_path / "asked")
    assert len(saved) == 2
    assert_same(tmp_path / "seldom", tmp_path / "asked")


def test_the_checkpoints_of_a_recorded_training_are_removed(tmp_path, monkeypatch):
    def fail(*_args):
        raise ExportError("no such scheme")

    monkeypatch.setattr("hftransfer.runner.pipeline.export_variants", fail)
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path)
    with pytest.raises(ExportError):
        run(parse_recipe(text), tmp_path / "run")
    assert not list((tmp_path / "run.partial").rglob("checkpoint-*"))


def test_two_runs_into_one_directory(tmp_path):
    from accelerate import PartialState

    first, second = (RunFolder(tmp_path / "run", PartialState()) for _ in range(2))
    with first.open("a: 1\n", overwrite=False):
        with pytest.raises(RecipeError, match="another run is writing"), second.open("a: 1\n", overwrite=True):
            pass
        with pytest.raises(RecipeError, match="another run is writing"):
            second.check({"a": 1}, resume=False, overwrite=False)
        with pytest.raises(RecipeError, match="'a' differs"):
            second.check({"a": 2}, resume=True, overwrite=False)
    with pytest.raises(RecipeError, match="--resume"):
        second.check({"a": 1}, resume=False, overwrite=False)


@pytest.mark.parametrize(
    ("strategy", "step"),
    [
        ("{name: gradual_unfreeze, every: 0.5}", 4),
        ("layer_decay", 4),
        ("{name: l2_sp, alpha: 1000}", 4),
        ("{name: prune, width: 0.5, weights: 0.3}", 4),
        ("{name: few_shot, temperature: 0.2}", None),
        ("{name: multi_task, others: {second: OTHER}}", 7),
    ],
    ids=lambda value: str(value).partition(",")[0].removeprefix("{name: ").partition("/")[0],
)
def test_a_kill_changes_no_strategy(strategy, step, tmp_path, monkeypatch):
    task = plugins.load("tasks", "text-classification")()
    (tmp_path / "other.yaml").write_text(tiny.recipe(task, tmp_path, more="seed: 1"))
    text = tiny.recipe(task, tmp_path, strategy=strategy.replace("OTHER", str(tmp_path / "other.yaml")))
    _assert_a_kill_changes_nothing(text, tmp_path, monkeypatch, step)
