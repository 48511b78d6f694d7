"""`bench`: how fast a finished run answers in PyTorch and exported, each in a process of its own, called in turns.

Turns spread what else the machine does over all of them alike. Times of one machine compare; those of two do not.
"""

import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from hftransfer.core import machine, plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.results import BenchmarkTiming, RunResult
from hftransfer.core.run_folder import write_text
from hftransfer.data.encode import encode
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.weights import load_saved
from hftransfer.recipe.loader import from_record
from hftransfer.reporting.tables import Table, amount
from hftransfer.runner.plan import check
from hftransfer.tasks import Task

# Calls before the first that counts, and calls in a turn.
_WARM, _TURN = 3, 5
# What /proc/cpuinfo says of a processor that multiplies in bf16 by itself.
_BF16 = ("avx512_bf16", "amx_bf16", " bf16")


def benchmark(
    folder: Path, batches: Sequence[int], threads: Sequence[int], calls: int, without: Sequence[str] = ()
) -> list[BenchmarkTiming]:
    """Time every variant of a finished run but for some on its own test rows; `bench.json` in the run keeps every call.

    Raises:
        HFTransferError: the rows of the run are not to be had.
    """
    result = RunResult.load(folder / "result.json")
    plan = check(from_record(result.recipe))
    rows = plan.rows.splits["test"].select(range(min(max(batches), len(plan.rows.splits["test"]))))
    with tempfile.TemporaryDirectory() as place:
        encoded = encode(plan.task, {"test": rows}, Path(place))
        cells = [encoded.splits["test"][row] for row in range(len(rows))]
        inputs = {size: encoded.collate([cells[i % len(cells)] for i in range(size)]) for size in batches}
    variants = ["pytorch", "pytorch-compile", *(["pytorch-bf16"] if machine.has_flag(*_BF16) else [])]
    variants += [name for name in result.exports if name not in result.rejected()]
    # A machine may lack bf16.
    known = {*variants, "pytorch-bf16"}
    if unknown := sorted(set(without) - known):
        raise RecipeError(f"--without: the run has no variant '{unknown[0]}'; {plugins.nearest(unknown[0], known)}")
    variants = [name for name in variants if name not in without]
    if not variants:
        raise RecipeError("--without: at least one variant has to be left")
    turns = -(-calls // _TURN)
    found: list[BenchmarkTiming] = []
    with tqdm(total=len(threads) * len(batches) * turns, desc="timing in turns", unit="turn") as bar:
        for count in threads:
            contenders = [_Contender(plan.task, name, folder, count, inputs) for name in variants]
            for size in batches:
                found += _in_turns(contenders, size, turns, bar)
            for contender in contenders:
                contender.end()
    write_text(folder / "bench.json", json.dumps([it.model_dump() for it in found]))
    return found


def table(found: Sequence[BenchmarkTiming]) -> Table:
    """Latency by percentile, throughput, memory, and how many times as fast as plain PyTorch, at its side."""
    plain = {(it.threads, it.batch): it.percentile(50) for it in found if it.variant == "pytorch" and it.milliseconds}
    rows = []
    for it in found:
        start = (it.variant, str(it.threads), str(it.batch))
        if not it.milliseconds:
            rows.append((*start, it.reason or "", *[""] * 6))
            continue
        p50 = it.percentile(50)
        times = (amount(it.percentile(share)) for share in (50, 95, 99))
        rate = (amount(1000 * it.batch / p50), f"{plain.get((it.threads, it.batch), np.nan) / p50:.2f}")
        rows.append((*start, *times, *rate, amount(it.first_ms), amount(it.peak_bytes / 1e6)))
    head = ("variant", "threads", "batch", "p50 ms", "p95 ms", "p99 ms", "rows/s", "times PyTorch", "first ms", "MB")
    return Table("Latency, all variants called in turns", head, rows)


class _Contender:
    """A variant in a process of its own."""

    def __init__(self, task: Task, variant: str, folder: Path, threads: int, inputs: dict[int, Any]) -> None:
        self.variant, self.threads = variant, threads
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, task, variant, folder, threads, inputs)
        self._process = context.Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        self.why: str | None = None
        self._told()

    def _told(self) -> Any:
        """What the process says; a sentence is the reason why it cannot go on."""
        try:
            said = self._pipe.recv()
        except EOFError:
            said = "its process has died"
        if isinstance(said, str):
            self.why = said
            return [], 0
        return said

    def call(self, size: int, count: int) -> tuple[list[float], int]:
        """Milliseconds of each of so many calls, and the largest memory so far."""
        if self.why is not None:
            return [], 0
        try:
            self._pipe.send((size, count))
        except OSError:
            self.why = "its process has died"
            return [], 0
        found: tuple[list[float], int] = self._told()
        return found

    def end(self) -> None:
        """Let the process end, and make it."""
        if self.why is None:
            self._pipe.send(None)
        self._process.join(timeout=10)
        self._process.terminate()


def _in_turns(contenders: list[_Contender], size: int, turns: int, bar: Any) -> list[BenchmarkTiming]:
    first = {it.variant: sum(it.call(size, 1)[0]) for it in contenders}
    for contender in contenders:
        contender.call(size, _WARM)
    times: dict[str, list[float]] = {it.variant: [] for it in contenders}
    peaks: dict[str, int] = {}
    for _ in range(turns):
        for contender in contenders:
            made, peaks[contender.variant] = contender.call(size, _TURN)
            times[contender.variant] += made
        bar.update()
    return [
        BenchmarkTiming(
            variant=it.variant,
            threads=it.threads,
            batch=size,
            milliseconds=times[it.variant],
            first_ms=first[it.variant],
            peak_bytes=peaks[it.variant],
            reason=it.why,
        )
        for it in contenders
    ]


def _work(pipe: Any, task: Task, variant: str, folder: Path, threads: int, inputs: dict[int, Any]) -> None:
    """The process of a variant: calls as it is told, until it is stopped."""
    import torch

    torch.set_num_threads(threads)
    try:
        if variant.startswith("pytorch"):
            model = load_saved(task, Checkpoint(str(folder / "model"))).eval()
            if variant == "pytorch-bf16":
                model = model.to(torch.bfloat16)
                inputs = {size: _halved(batch) for size, batch in inputs.items()}
            if variant == "pytorch-compile":
                model.forward = torch.compile(model.forward)
        else:
            model = plugins.load("exporters", variant.partition("-")[0])().load(task, folder / variant, threads)
        pipe.send(([], 0))
        while (told := pipe.recv()) is not None:
            size, count = told
            pipe.send((_timed(task, model, inputs[size], count), machine.peak_memory()))
    except (RuntimeError, ImportError, ValueError, TypeError, OSError) as error:
        pipe.send(" ".join(str(error).split())[:200])


def _halved(batch: dict[str, Any]) -> dict[str, Any]:
    import torch

    return {name: it.to(torch.bfloat16) if torch.is_floating_point(it) else it for name, it in batch.items()}


def _timed(task: Task, model: Any, batch: dict[str, Any], count: int) -> list[float]:
    import torch

    times = []
    with torch.inference_mode():
        for _ in range(count):
            start = time.perf_counter()
            task.predict(model, batch)
            times.append(1000 * (time.perf_counter() - start))
    return times
