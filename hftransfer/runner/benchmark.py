"""`bench`: how fast a finished run answers in PyTorch and exported, each in a process of its own, called in turns.

Turns spread what else the machine does over all of them alike. Times of one machine can be compared; those of two not.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.core import machine, plugins
from hftransfer.core.errors import HFTransferError, RecipeError
from hftransfer.core.files import write_text
from hftransfer.core.progress import Progress
from hftransfer.core.results import BenchmarkTiming, RunResult
from hftransfer.core.variants import Variant
from hftransfer.data.encode import encode, side_of
from hftransfer.evaluation.latency import time_calls
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.weights import load_saved
from hftransfer.recipe.loader import from_record
from hftransfer.reporting.tables import Table, amount
from hftransfer.runner.finished import variant_folder
from hftransfer.runner.plan import check
from hftransfer.tasks import Model, ModelBatch, Side, Task

Inputs = dict[int, tuple[ModelBatch, Side]]
"""Batch size -> a batch, and what belongs to it that the model does not see."""

# Calls before the first that counts, and calls in a turn.
_WARM, _TURN = 3, 5


def benchmark(
    folder: Path, batches: Sequence[int], threads: Sequence[int], calls: int, without: Sequence[str] = ()
) -> list[BenchmarkTiming]:
    """Time the variants of a finished run on its own test rows; `bench.json` in the run holds every call.

    Raises:
        HFTransferError: the rows of the run cannot be loaded, or `without` names no variant of it.
    """
    result = RunResult.load(folder / "result.json")
    variants = _variants(result, without)
    for name in variants:
        variant_folder(folder, result, name if name in result.exports else "tuned")
    plan = check(from_record(result.recipe))
    inputs = _inputs(plan.task, plan.rows.splits["test"], batches)
    turns = -(-calls // _TURN)
    timings: list[BenchmarkTiming] = []
    with Progress(total=len(threads) * len(batches) * turns, desc="timing in turns", unit="turn") as bar:
        for count in threads:
            workers = [_Worker(plan.task, name, folder, count, inputs) for name in variants]
            for size in batches:
                timings += _time_in_turns(workers, size, turns, bar)
            for worker in workers:
                worker.end()
    write_text(folder / "bench.json", json.dumps([timing.model_dump() for timing in timings]))
    return timings


def _variants(result: RunResult, without: Sequence[str]) -> list[str]:
    """The variants of a run that are timed."""
    variants = ["pytorch", "pytorch-compile", *(["pytorch-bf16"] if machine.has_flag(*machine.BF16_FLAGS) else [])]
    variants += [name for name in result.exports if name not in result.rejected()]
    # A machine may lack bf16.
    known = {*variants, "pytorch-bf16"}
    if unknown := sorted(set(without) - known):
        raise RecipeError(f"--without: the run has no variant '{unknown[0]}'; {plugins.nearest(unknown[0], known)}")
    variants = [name for name in variants if name not in without]
    if not variants:
        raise RecipeError("--without: at least one variant has to be left")
    return variants


def _inputs(task: Task, test: Any, batches: Sequence[int]) -> Inputs:
    """A batch of each size, of the first test rows."""
    rows = test.select(range(min(max(batches), len(test))))
    with tempfile.TemporaryDirectory() as place:
        encoded = encode(task, {"test": rows}, Path(place))
        examples = [encoded.splits["test"][row] for row in range(len(encoded.splits["test"]))]
        chosen = {size: [examples[i % len(examples)] for i in range(size)] for size in batches}
        return {size: (encoded.collate(some), side_of(some)) for size, some in chosen.items()}


def table(timings: Sequence[BenchmarkTiming]) -> Table:
    """Latency by percentile, throughput, memory, and how many times as fast as plain PyTorch."""
    pytorch = {
        (it.threads, it.batch): it.percentile(50) for it in timings if it.variant == "pytorch" and it.milliseconds
    }
    rows = []
    for timing in timings:
        start = (timing.variant, str(timing.threads), str(timing.batch))
        if not timing.milliseconds:
            rows.append((*start, timing.reason or "", *[""] * 6))
            continue
        p50 = timing.percentile(50)
        percentiles = (amount(timing.percentile(share)) for share in (50, 95, 99))
        speedup = pytorch.get((timing.threads, timing.batch), np.nan) / p50
        rate = (amount(1000 * timing.batch / p50), f"{speedup:.2f}")
        rows.append((*start, *percentiles, *rate, amount(timing.first_ms), amount(timing.peak_bytes / 1e6)))
    head = ("variant", "threads", "batch", "p50 ms", "p95 ms", "p99 ms", "rows/s", "times PyTorch", "first ms", "MB")
    return Table("Latency, all variants called in turns", head, rows)


class _Worker:
    """A variant in a process of its own."""

    def __init__(self, task: Task, variant: str, folder: Path, threads: int, inputs: Inputs) -> None:
        self.variant, self.threads = variant, threads
        self.failure: str | None = None
        context = multiprocessing.get_context("spawn")
        self._pipe, remote = context.Pipe()
        arguments = (remote, task, variant, folder, threads, inputs)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        remote.close()
        self._receive()

    def _receive(self) -> tuple[list[float], int]:
        """What the process answers; a sentence is the reason why it cannot go on."""
        try:
            answer = self._pipe.recv()
        except EOFError:
            answer = "its process has died"
        if isinstance(answer, str):
            self.failure = answer
            return [], 0
        timings: tuple[list[float], int] = answer
        return timings

    def call(self, size: int, count: int) -> tuple[list[float], int]:
        """Milliseconds of each of so many calls, and the largest memory so far."""
        if self.failure is not None:
            return [], 0
        try:
            self._pipe.send((size, count))
        except OSError:
            self.failure = "its process has died"
            return [], 0
        return self._receive()

    def end(self) -> None:
        """Let the process end, and make it."""
        if self.failure is None:
            self._pipe.send(None)
        self._process.join(timeout=10)
        self._process.terminate()


def _time_in_turns(workers: Sequence[_Worker], size: int, turns: int, bar: Progress) -> list[BenchmarkTiming]:
    first = {worker.variant: sum(worker.call(size, 1)[0]) for worker in workers}
    for worker in workers:
        worker.call(size, _WARM)
    times: dict[str, list[float]] = {worker.variant: [] for worker in workers}
    peaks: dict[str, int] = {}
    for _ in range(turns):
        for worker in workers:
            milliseconds, peaks[worker.variant] = worker.call(size, _TURN)
            times[worker.variant] += milliseconds
        bar.update()
    return [
        BenchmarkTiming(
            variant=worker.variant,
            threads=worker.threads,
            batch=size,
            milliseconds=times[worker.variant],
            first_ms=first[worker.variant],
            peak_bytes=peaks[worker.variant],
            reason=worker.failure,
        )
        for worker in workers
    ]


def _serve(pipe: Connection, task: Task, variant: str, folder: Path, threads: int, inputs: Inputs) -> None:
    """The process of a variant: times calls as it is asked, until it is stopped."""
    import torch

    torch.set_num_threads(threads)
    try:
        model, inputs = _load(task, variant, folder, threads, inputs)
        pipe.send(([], 0))
        while (request := pipe.recv()) is not None:
            size, count = request
            batch, side = inputs[size]
            pipe.send((time_calls(task, model, batch, side, count), machine.peak_memory()))
    except (HFTransferError, RuntimeError, ImportError, ValueError, TypeError, OSError) as error:
        pipe.send(" ".join(str(error).split())[:200])


def _load(task: Task, variant: str, folder: Path, threads: int, inputs: Inputs) -> tuple[Model, Inputs]:
    """A variant's model, and the inputs in the precision that it takes."""
    import torch

    parsed = Variant.parse(variant)
    if parsed.kind == "export":
        exporter = plugins.load("exporters", parsed.runtime)()
        return exporter.load(task, folder / variant, threads), inputs
    model = load_saved(task, Checkpoint(str(folder / "model"))).eval()
    if parsed.scheme == "bf16":
        model = model.to(torch.bfloat16)
        inputs = {size: (_in_bf16(batch), side) for size, (batch, side) in inputs.items()}
    if parsed.scheme == "compile":
        model.forward = torch.compile(model.forward)
    return model, inputs


def _in_bf16(batch: ModelBatch) -> ModelBatch:
    import torch

    return {name: it.to(torch.bfloat16) if torch.is_floating_point(it) else it for name, it in batch.items()}
