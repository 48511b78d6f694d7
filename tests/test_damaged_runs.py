"""A resumed run meets damaged files, other rows or a full disk: it ends the same, or says why it does not go on."""

import errno
import json
import shutil
from types import SimpleNamespace

import interruptions
import numpy as np
import pytest
import tiny
import torch
from accelerate import PartialState

from hftransfer.core import plugins
from hftransfer.core.errors import DataError, DiskFullError, MemoryShortError, ModelError, RecipeError
from hftransfer.core.exhaustion import exhaustion_explained
from hftransfer.core.files import seal
from hftransfer.core.results import RunResult
from hftransfer.core.run_folder import RunFolder
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.resuming import refuse_changes
from hftransfer.training.checkpoints import COMPLETE, last_checkpoint

# One process, in which they share a finished run.
pytestmark = pytest.mark.xdist_group("damaged_runs")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A recipe, its uninterrupted run, and what a killed one has left."""
    folder = tmp_path_factory.mktemp("runs")
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), folder)
    text = text.replace("save_strategy: epoch", "save_strategy: steps, save_steps: 2")
    recipe = parse_recipe(text.replace("baselines: []", "baselines: [probe]"))
    run(recipe, folder / "uninterrupted")
    with pytest.MonkeyPatch.context() as monkeypatch:
        interruptions.kill_at(monkeypatch, 6, lambda: run(recipe, folder / "killed"))
    return SimpleNamespace(recipe=recipe, folder=folder, uninterrupted=folder / "uninterrupted")


@pytest.fixture
def killed(runs, tmp_path):
    """Where a copy of the killed run continues."""
    shutil.copytree(runs.folder / "killed.partial", tmp_path / "killed.partial")
    return tmp_path / "killed"


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


def _remove(path):
    path.unlink()


@pytest.mark.parametrize("damage", [_cut, _flip, _remove])
@pytest.mark.parametrize("name", ["optimizer.pt", "rng_state.pth", "trainer_state.json", "config.json", COMPLETE])
def test_a_damaged_checkpoint_is_deleted_for_the_one_before(name, damage, tmp_path, capsys):
    for step in (4, 12):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for file in ("optimizer.pt", "rng_state.pth", "trainer_state.json", "config.json"):
            (folder / file).write_text(json.dumps({"best_global_step": 4, "more": "x" * 50}))
        seal(folder, folder / COMPLETE)
    assert last_checkpoint(tmp_path, "tuned") == str(tmp_path / "checkpoint-12")
    damage(tmp_path / "checkpoint-12" / name)
    assert last_checkpoint(tmp_path, "tuned") == str(tmp_path / "checkpoint-4")
    # Without its mark, it may be one that a killed process was writing.
    unmarked = (name, damage) == (COMPLETE, _remove)
    assert ("checkpoint-12 of the training 'tuned' is damaged" in capsys.readouterr().err) != unmarked
    assert last_checkpoint(tmp_path / "none", "tuned") is None


def test_damaged_files_of_stages_are_made_again(runs, killed, monkeypatch, capsys):
    work = killed.with_suffix(".partial") / "work"
    _cut(work / "tuned" / "checkpoints" / "checkpoint-6" / "model.safetensors")
    _flip(work / "encoded" / "train.arrow")
    _cut(work / "probe" / "outputs.npz")
    (work / "frozen" / "features-test.npz").write_bytes(b"")
    (work / "costs.json").write_text("{")
    with monkeypatch.context() as patched:
        patched.setattr("hftransfer.runner.pipeline.export_variants", interruptions.kill)
        with pytest.raises(interruptions.Killed):
            run(runs.recipe, killed, resume=True)
    warnings = capsys.readouterr().err
    for name in ("checkpoint-6", "train.arrow", "outputs.npz", "features-test.npz", "costs.json"):
        assert any("warning" in line and name in line for line in warnings.splitlines()), name
    _cut(killed.with_suffix(".partial") / "model" / "model.safetensors")
    run(runs.recipe, killed, resume=True)
    assert "model is damaged (model.safetensors) and made again" in capsys.readouterr().err
    interruptions.assert_same(runs.uninterrupted, killed)
    assert RunResult.load(killed / "result.json").history == RunResult.load(runs.uninterrupted / "result.json").history
    (killed / "model" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model.safetensors' is missing: .*--overwrite"):
        run(runs.recipe, killed, resume=True)


def test_a_damaged_recipe_of_a_run_is_told(runs, killed):
    file = killed.with_suffix(".partial") / "recipe.yaml"
    text = file.read_text()
    for damaged in (b"\xff\xfe\x00: [", text[: len(text) // 2].encode(), b""):
        file.write_bytes(damaged)
        with pytest.raises(RecipeError, match=r"recipe.yaml is damaged, .* --overwrite"):
            run(runs.recipe, killed, resume=True)


def test_a_run_is_not_resumed_with_other_rows_or_another_checkpoint(runs, killed):
    rows, config = runs.folder / "rows" / "classes.json", runs.folder / "checkpoint" / "text-classification"
    text = rows.read_text()
    swapped = [json.loads(line) for line in text.splitlines()]
    for row in swapped:
        row["label"] = "yx"["xy".index(row["label"])]
    more = tiny.row(runs.recipe.task, 99, runs.folder)
    for changed in (swapped, [json.loads(line) for line in text.splitlines()] + [more]):
        rows.write_text("\n".join(map(json.dumps, changed)))
        with pytest.raises(DataError, match="the rows are no longer what the run in '.*killed' was begun with"):
            run(runs.recipe, killed, resume=True)
    rows.write_text(text)
    weights = config / "model.safetensors"
    content = weights.read_bytes()
    _flip(weights)
    with pytest.raises(ModelError, match="the checkpoint of 'model' is no longer what"):
        run(runs.recipe, killed, resume=True)
    weights.write_bytes(content)


def test_a_run_is_not_resumed_with_another_teacher_or_number_of_processes(tmp_path, monkeypatch):
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    (teacher / "config.json").write_text("{}")
    recipe = SimpleNamespace(
        model=SimpleNamespace(processor=None), strategy=SimpleNamespace(teacher=str(teacher)), compress=[]
    )
    rows, origin = SimpleNamespace(facts=SimpleNamespace(fingerprint="1")), SimpleNamespace(weights=None)
    plan = SimpleNamespace(recipe=recipe, rows=rows, origin=origin, source=None, auxiliary={})
    folder = RunFolder(tmp_path / "run", PartialState())
    for _ in range(2):
        refuse_changes(plan, folder)
    with monkeypatch.context() as patched:
        patched.setattr("hftransfer.runner.resuming.ranks.total", lambda: 2)
        with pytest.raises(RecipeError, match="begun with 1 processes, and now there are 2"):
            refuse_changes(plan, folder)
    (teacher / "vocab.txt").write_text("more")
    with pytest.raises(ModelError, match="the teacher is no longer what the run in '.*run' was begun with"):
        refuse_changes(plan, folder)


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (Exception("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"), True),
        (RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"), False),
        (OSError(errno.EACCES, "Permission denied"), False),
    ],
)
def test_a_full_disk_gets_a_sentence_whoever_finds_it(error, full, tmp_path, monkeypatch):
    monkeypatch.setattr("hftransfer.core.exhaustion._is_full", lambda _out: full)
    sentence = "no space left on the disk of '.*run'; free some, then the same command with --resume"
    expected = pytest.raises(DiskFullError if full else type(error), match=sentence if full else None)
    with expected, exhaustion_explained(tmp_path / "run"):
        raise error


@pytest.mark.parametrize(
    ("allocate", "where"),
    [
        (lambda: torch.empty(10**15), "this machine"),
        (lambda: np.empty(10**15), "this machine"),
        (lambda: _raise(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")), "the accelerator"),
        (lambda: _raise(RuntimeError("MPS backend out of memory (MPS allocated: 9.07 GB")), "the accelerator"),
    ],
)
def test_memory_that_does_not_suffice_gets_a_sentence(allocate, where, tmp_path):
    expected = pytest.raises(MemoryShortError, match=f"out of memory on {where}; .*per_device_train_batch_size")
    with expected, exhaustion_explained(tmp_path / "run"):
        allocate()


def _raise(error):
    raise error


def test_a_run_on_a_full_disk_goes_on_when_there_is_space(runs, killed, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("torch.save", fail)
        with pytest.raises(DiskFullError, match="--resume continues"):
            run(runs.recipe, killed, resume=True)
    run(runs.recipe, killed, resume=True)
    interruptions.assert_same(runs.uninterrupted, killed)
