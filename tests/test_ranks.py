"""The same command under torchrun: two processes train one model and leave one run."""

import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file

from hftransfer.core import plugins
from hftransfer.core.results import RunResult
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run

STRATEGIES = plugins.names("strategies")
FIELDS = {"prune": "layers: 1", "peft": "method: ia3", "lp_ft": "probe_epochs: 2", "few_shot": "temperature: 0.2"}


def _launched(*command: str) -> str:
    """The output of two processes."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    ended = subprocess.run([sys.executable, *launch, *command], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return ended.stdout + ended.stderr


def test_two_processes_train_what_one_trains_with_twice_the_rows(tmp_path):
    """ViT has no dropout here, so that the gradient of a batch is the mean of the gradients of its halves."""
    # A temperature would enlarge the small differences.
    text = tiny.recipe(plugins.load("tasks", "image-classification")(), tmp_path, more="calibrate: false")
    once = run(parse_recipe(text), tmp_path / "once")
    (tmp_path / "recipe.yaml").write_text(text)
    command = str(Path(sys.executable).with_name("hftransfer"))
    half = "training.per_device_train_batch_size=4"
    output = _launched(
        "--no-python", command, "run", str(tmp_path / "recipe.yaml"), half, "--out", str(tmp_path / "two")
    )
    assert output.count("accuracy on the test split") <= 1
    twice = RunResult.load(tmp_path / "two" / "result.json")
    assert twice.scores["test"].keys() == once.scores["test"].keys()
    for name, score in once.scores["test"].items():
        assert twice.scores["test"][name]["accuracy"].value == pytest.approx(score["accuracy"].value)
    first, second = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("once", "two"))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("part", range(3))
def test_every_strategy_trains_in_two_processes(part, tmp_path):
    task, files = plugins.load("tasks", "text-classification")(), []
    fields = FIELDS | {
        "distill": f"teacher: {tmp_path / 'full'}",
        "multi_task": f"others: {{b: {tmp_path / 'b.yaml'}}}",
    }
    (tmp_path / "b.yaml").write_text(tiny.recipe(task, tmp_path, more="seed: 1"))
    strategies = STRATEGIES[part::3]
    for strategy in dict.fromkeys([*(["full"] if "distill" in strategies else []), *strategies]):
        files.append(tmp_path / f"{strategy}.yaml")
        files[-1].write_text(tiny.recipe(task, tmp_path, strategy=f"{{name: {strategy}, {fields.get(strategy, '')}}}"))
    _launched(str(Path(__file__).with_name("ranks.py")), *map(str, files))
    for file in files:
        assert RunResult.load(file.with_suffix("") / "result.json").scores["test"]["tuned"]["accuracy"].count == 12
        assert (file.with_suffix("") / "model" / "model.safetensors").is_file()
