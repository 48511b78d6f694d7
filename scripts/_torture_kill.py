"""`scripts/torture kill`: tiny runs are killed at random moments and resumed; they end as the uninterrupted ones.

Equal are the predictions of all variants, the bytes of model, adapter and exports, and the log of every training. By
SIGTERM a run has to end with 143, and to have saved the step that it was at, or the one before.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import processes
import tiny

from hftransfer.core import plugins

_PROBE = ("baselines: []", "baselines: [majority, probe]")
_STEPS = ("save_strategy: epoch", "save_strategy: steps, save_steps: 2")
# Name -> task, strategy, further sections, and what else is replaced in the tiny recipe.
KINDS = {
    "text": ("text-classification", "lora", tiny.EXPORT, [_PROBE]),
    "steps": ("text-classification", "full", "", [_STEPS]),
    "image": (
        "image-classification",
        "full",
        "export: {format: onnx, quantization: auto, max_drop: 1.0}",
        [_PROBE, ("data:", "data:\n  augment: [mixup, cutmix]")],
    ),
    "generation": ("summarization", "full", "", [_STEPS]),
}
_EPOCHS = ("num_train_epochs: 2", "num_train_epochs: 6")


@dataclass
class Campaign:
    """One kind of run: its recipe, the run that nobody disturbs, and how long that takes."""

    command: list[str]
    folder: Path
    seconds: float = 0.0

    @property
    def expected(self) -> Path:
        """The uninterrupted run."""
        return self.folder / "uninterrupted"


def begin(kind: str, root: Path) -> Campaign:
    """Run a recipe without interruption, twice: the first one also warms the caches."""
    task, strategy, more, changes = KINDS[kind]
    folder = root / kind
    folder.mkdir()
    text = tiny.recipe(plugins.load("tasks", task)(), folder, strategy=strategy, more=more)
    for old, new in [*changes, _EPOCHS]:
        assert old in text, old
        text = text.replace(old, new, 1)
    (folder / "recipe.yaml").write_text(text)
    campaign = Campaign(["run", str(folder / "recipe.yaml"), "--resume", "--out"], folder)
    for name in ("first", "uninterrupted"):
        start = time.monotonic()
        assert finish(campaign, folder / name) == 0
        campaign.seconds = time.monotonic() - start
    assert not differences(folder / "first", campaign.expected), differences(folder / "first", campaign.expected)
    return campaign


def start(campaign: Campaign, out: Path) -> processes.multiprocessing.Process:
    """The command in a process of its own, which notes each step of its trainings."""
    process = processes._FORKS.Process(target=_command, args=([*campaign.command, str(out)], out.with_suffix(".step")))
    process.start()
    return process


def _command(arguments: list[str], note: Path) -> None:
    from hftransfer.training.callbacks import AugmentingCollator

    def on_step_end(_self: object, args: Any, state: Any, _control: object, **_kwargs: object) -> None:
        note.write_text(f"{state.global_step} {args.output_dir}")

    AugmentingCollator.on_step_end = on_step_end
    processes._main(tuple(arguments))


def finish(campaign: Campaign, out: Path) -> int:
    """The exit code of the command, undisturbed."""
    process = start(campaign, out)
    process.join()
    return int(process.exitcode)


def disturb(campaign: Campaign, out: Path, draw: random.Random, number: signal.Signals) -> list[str]:
    """Send a run one to three signals at random moments and let it finish; what was not as it should be."""
    faults = []
    for _ in range(draw.choice([1, 1, 3])):
        process = start(campaign, out)
        process.join(draw.uniform(0.1, 1.05 * campaign.seconds))
        alive = process.is_alive()
        if alive:
            os.kill(process.pid, number)
        process.join()
        if alive and number == signal.SIGTERM:
            # It may have been about to end, or not yet have begun.
            if process.exitcode not in (143, 0, -signal.SIGTERM):
                faults.append(f"exit code {process.exitcode} after SIGTERM")
            faults += lost_steps(out)
        if not alive:
            break
    code = finish(campaign, out)
    return [*faults, *([f"exit code {code} when resumed"] if code else differences(campaign.expected, out))]


def lost_steps(out: Path) -> list[str]:
    """A fault where more than one step of the interrupted training is not saved."""
    note = out.with_suffix(".step")
    if not note.is_file():
        return []
    step, _, checkpoints = note.read_text().partition(" ")
    folder = Path(checkpoints)
    if not folder.is_dir() or (folder.parent / "history.json").is_file():
        return []
    saved = max((int(mark.parent.name.split("-")[1]) for mark in folder.glob("checkpoint-*/complete")), default=0)
    return [f"SIGTERM at step {step} lost {int(step) - saved} steps"] if int(step) - saved > 1 else []


def differences(first: Path, second: Path) -> list[str]:
    """What differs of two runs, but for times and what holds them."""
    found = []
    for file in sorted((first / "predictions").glob("*.npz")):
        expected, other = np.load(file), np.load(second / "predictions" / file.name)
        same = {it for it in expected if it in other and _equal(expected[it], other[it])}
        # Which quantization ships, or none, is chosen by measured times.
        chosen = {it for it in {*expected} ^ {*other} if it.startswith("onnx-")}
        differing = sorted(({*expected} | {*other}) - same - chosen)
        found += [f"predictions/{file.name} ({', '.join(differing)})"] if differing else []
    for folder in ("model", "adapter", "onnx"):
        for file in sorted((first / folder).rglob("*")):
            twin = second / file.relative_to(first)
            if file.is_file() and file.name != "README.md" and file.read_bytes() != twin.read_bytes():
                found.append(str(file.relative_to(first)))
    logs = [json.loads((run / "result.json").read_text())["history"] for run in (first, second)]
    return found + (["the log of the training"] if logs[0] != logs[1] else [])


def _equal(first: np.ndarray, second: np.ndarray) -> bool:
    return bool(np.array_equal(first, second, equal_nan=first.dtype.kind == "f"))


def main() -> int:
    """The exit code: 1 where a run ended otherwise."""
    parser = argparse.ArgumentParser(prog="scripts/torture kill", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="runs, the kinds in turn")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--signal", default="KILL", choices=["KILL", "TERM"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60, help="after which no further run begins")
    args = parser.parse_args()
    draw, end, faulty, done = random.Random(args.seed), time.monotonic() + 60 * args.minutes, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        campaigns: dict[str, Campaign] = {}
        for number in range(args.runs):
            kind = args.kinds[number % len(args.kinds)]
            if time.monotonic() > end:
                break
            if kind not in campaigns:
                campaigns[kind] = begin(kind, Path(folder))
            out = campaigns[kind].folder / f"run-{number}"
            faults = disturb(campaigns[kind], out, draw, signal.Signals[f"SIG{args.signal}"])
            print(f"{number} {kind}: {'; '.join(faults) or 'equal'}", flush=True)
            faulty, done = faulty + bool(faults), done + 1
            shutil.rmtree(out, ignore_errors=True)
    print(f"{done} runs disturbed by SIG{args.signal} (seed {args.seed}), {faulty} with a fault")
    return 1 if faulty or not done else 0


if __name__ == "__main__":
    sys.exit(main())
