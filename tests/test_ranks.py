"""The same command under torchrun or `accelerate launch`: two processes train one model and leave one run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from interruptions import assert_same
from safetensors.torch import load_file

from hftransfer.core import plugins, ranks
from hftransfer.core.errors import RecipeError
from hftransfer.core.results import RunResult
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.training.arguments import training_arguments

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
ACCELERATE = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]


def _launched(launch: list[str], *files: Path) -> str:
    """What two processes print that run recipes in turn."""
    command = [sys.executable, *launch, str(Path(__file__).with_name("ranks.py")), *map(str, files)]
    # Where there is no GPU, accelerate launches several processes by this variable alone; torchrun needs none.
    environment = os.environ | ({"ACCELERATE_USE_CPU": "true"} if launch is ACCELERATE else {})
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return ended.stdout + ended.stderr


def test_two_processes_train_what_one_trains_with_twice_the_rows(tmp_path):
    """ViT has no dropout here, so that the gradient of a batch is the mean of the gradients of its halves."""
    # A temperature would enlarge the small differences.
    more = "calibrate: false"
    text = tiny.recipe(plugins.load("tasks", "image-classification")(), tmp_path, more=more)
    text = text.replace("baselines: []", "feature_similarity: true, baselines: [probe]")
    once = run(parse_recipe(text), tmp_path / "once")
    files = [tmp_path / name for name in ("two.yaml", "killed.yaml")]
    for file in files:
        file.write_text(text.replace("per_device_train_batch_size: 8", "per_device_train_batch_size: 4"))
    output = _launched(ACCELERATE, *files)
    # Each line once a run.
    for line in ("training tuned: 8 steps", "scoring tuned on test: 12 rows", "bootstrap intervals", "/report.html"):
        assert output.count(line) == 2, output
    twice = RunResult.load(tmp_path / "two" / "result.json")
    assert twice.scores["test"].keys() == once.scores["test"].keys()
    for name, score in once.scores["test"].items():
        assert twice.scores["test"][name]["accuracy"].value == pytest.approx(score["accuracy"].value)
    first, second = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("once", "two"))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, atol=1e-4, rtol=1e-3)
    assert_same(tmp_path / "two", tmp_path / "killed")
    assert RunResult.load(tmp_path / "killed" / "result.json").history == twice.history
    calls = [json.loads((tmp_path / f"calls-{rank}.json").read_text()) for rank in range(2)]
    # Three commands read the rows.
    assert calls[0]["load_rows"] == 3
    assert {name: calls[0][name] for name in ("measure_latency", "feature_similarity", "fit_and_score", "html")} == {
        "measure_latency": 2, "feature_similarity": 2, "fit_and_score": 2, "html": 2,
    }  # fmt: skip
    assert calls[1] == {}


def test_machines_without_a_shared_disk_get_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "lock").write_text("another run")
    monkeypatch.setattr(ranks, "_SECONDS_TO_APPEAR", 1)
    monkeypatch.setattr(ranks, "place", lambda: (1, 2))
    monkeypatch.setattr(ranks, "from_main", lambda _compute: "this run")
    monkeypatch.setattr("accelerate.utils.gather_object", lambda seen: [True, *seen])
    with pytest.raises(RecipeError, match="process 1 does not see '.*', .* a disk that they share"):
        ranks.wait_for_file(tmp_path / "lock")


def test_accelerate_configured_for_sharding_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(RecipeError, match="accelerate launch: fsdp cannot be used"):
        training_arguments({"use_cpu": True}, tmp_path, 0, by_length=False)


def test_strategies_of_every_kind_train_in_two_processes(tmp_path):
    """By a fit without Trainer, with an adapter, with several tasks; `test_two_processes_...` has full fine-tuning."""
    task, files = plugins.load("tasks", "text-classification")(), []
    (tmp_path / "b.yaml").write_text(tiny.recipe(task, tmp_path, more="seed: 1"))
    fields = {"multi_task": f"others: {{b: {tmp_path / 'b.yaml'}}}"}
    for strategy in ("linear_probe", "lora", "multi_task"):
        files.append(tmp_path / f"{strategy}.yaml")
        text = tiny.recipe(task, tmp_path, strategy=f"{{name: {strategy}, {fields.get(strategy, '')}}}")
        # That there is no GPU, the run sees.
        files[-1].write_text(text.replace("use_cpu: true, ", ""))
    _launched(TORCHRUN, *files)
    for file in files:
        assert RunResult.load(file.with_suffix("") / "result.json").scores["test"]["tuned"]["accuracy"].count == 12
        assert (file.with_suffix("") / "model" / "model.safetensors").is_file()
