"""How long a model takes to answer. Every latency in a record comes from `time_calls`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from hftransfer.core.progress import Progress
from hftransfer.core.results import RuntimeFacts
from hftransfer.data.encode import EncodedSplits, side_of
from hftransfer.tasks import Model, ModelBatch, Side, Task

ENOUGH, ENOUGH_ALONE = 1.5, 0.5
"""Seconds after which a slow model has been timed often enough, and one that no other variant is compared with."""

# Timed calls by batch size.
_TIMED = {1: 40, 8: 15}
_WARM, _LEAST = 3, 5


def time_calls(task: Task, model: Model, batch: ModelBatch, side: Side, count: int) -> list[float]:
    """Milliseconds of each of `count` calls of a model on one batch, its outputs as arrays included."""
    import torch

    milliseconds = []
    with torch.inference_mode():
        for _ in range(count):
            start = time.perf_counter()
            task.outputs(model, batch, side)
            milliseconds.append(1000 * (time.perf_counter() - start))
    return milliseconds


def measure_latency(
    task: Task, model: Any, encoded: EncodedSplits, size: int, variant: str, enough: float = ENOUGH
) -> RuntimeFacts:
    """Latency of batches of 1 and 8 test rows, warm, and `size`, the bytes of the weights.

    The median of 40 (of 15) calls; of fewer, at least five, where they take more than `enough` seconds.
    """
    import torch
    from accelerate.utils import send_to_device

    rows = encoded.splits["test"]
    milliseconds: dict[int, list[float]] = {}
    if hasattr(model, "eval"):
        model.eval()
    device = getattr(model, "device", torch.device("cpu"))
    for count, repeats in _TIMED.items():
        milliseconds[count] = []
        turns = Progress(range(_WARM + repeats), desc=f"timing {variant}, batch {count}", unit="batch", leave=False)
        for turn in turns:
            examples = [rows[(turn * count + i) % len(rows)] for i in range(count)]
            batch = send_to_device(encoded.collate(examples), device)
            milliseconds[count] += time_calls(task, model, batch, side_of(examples), 1)
            if turn >= _WARM + _LEAST and sum(milliseconds[count]) > 1000 * enough:
                break
    (p50, p95), (p50_8, p95_8) = (np.percentile(milliseconds[n][_WARM:], [50, 95]).tolist() for n in (1, 8))
    return RuntimeFacts(bytes=size, p50_ms=p50, p95_ms=p95, p50_ms_batch8=p50_8, p95_ms_batch8=p95_8)


def paired_latency(task: Task, models: Sequence[Model], encoded: EncodedSplits, split: str) -> list[float]:
    """Median milliseconds of a call of each model on one row of a split.

    The models take turns of five calls, of which the first is not counted: what else the machine does, and what the
    previous model leaves in the caches, is the same for all.
    """
    rows = encoded.splits[split]
    times: list[list[float]] = [[] for _ in models]
    for turn in range(max(2, _TIMED[1] // 5)):
        examples = [rows[turn % len(rows)]]
        batch, side = encoded.collate(examples), side_of(examples)
        for model, milliseconds in zip(models, times, strict=True):
            milliseconds += time_calls(task, model, batch, side, 5)[1:]
        if sum(map(sum, times)) > 1000 * ENOUGH * len(models):
            break
    return [float(np.median(milliseconds)) for milliseconds in times]
