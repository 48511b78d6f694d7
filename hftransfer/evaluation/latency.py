"""How long a model takes to answer."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from hftransfer.core.results import RuntimeFacts
from hftransfer.data.encode import Encoded
from hftransfer.tasks import Task

# Timed calls by batch size, and seconds after which a slow model has been timed often enough.
_TIMED = {1: 40, 8: 15}
_WARM, _LEAST, _ENOUGH = 3, 5, 5.0


def measure_latency(
    task: Task, model: Any, encoded: Encoded, size: int, what: str, split: str = "test"
) -> RuntimeFacts:
    """Latency of batches of 1 and 8 rows of a split, warm, and `size`, the bytes of the weights.

    The median of 40 (of 15) calls; of fewer where they take more than five seconds.
    """
    import torch
    from accelerate.utils import send_to_device

    rows = encoded.splits[split]
    milliseconds: dict[int, list[float]] = {}
    if hasattr(model, "eval"):
        model.eval()
    device = getattr(model, "device", torch.device("cpu"))
    with torch.inference_mode():
        for count, repeats in _TIMED.items():
            milliseconds[count] = []
            for turn in tqdm(range(_WARM + repeats), desc=f"timing {what}, batch {count}", unit="batch", leave=False):
                batch = encoded.collate([rows[(turn * count + i) % len(rows)] for i in range(count)])
                moved = send_to_device(batch, device)
                start = time.perf_counter()
                task.predict(model, moved)
                milliseconds[count].append(1000 * (time.perf_counter() - start))
                if turn >= _WARM + _LEAST and sum(milliseconds[count]) > 1000 * _ENOUGH:
                    break
    (p50, p95), (p50_8, p95_8) = (np.percentile(milliseconds[n][_WARM:], [50, 95]).tolist() for n in (1, 8))
    return RuntimeFacts(bytes=size, p50_ms=p50, p95_ms=p95, p50_ms_batch8=p50_8, p95_ms_batch8=p95_8)


def paired_latency(task: Task, models: Sequence[Any], encoded: Encoded, split: str) -> list[float]:
    """Median milliseconds of a call of each model on one row of a split.

    The models take turns of five calls, of which the first is not counted: what else the machine does, and what the
    one before leaves in the caches, is the same for all.
    """
    import torch

    rows = encoded.splits[split]
    times: list[list[float]] = [[] for _ in models]
    with torch.inference_mode():
        for turn in range(max(2, _TIMED[1] // 5)):
            batch = encoded.collate([rows[turn % len(rows)]])
            for model, own in zip(models, times, strict=True):
                for call in range(5):
                    start = time.perf_counter()
                    task.predict(model, batch)
                    if call:
                        own.append(1000 * (time.perf_counter() - start))
            if sum(map(sum, times)) > 1000 * _ENOUGH * len(models):
                break
    return [float(np.median(own)) for own in times]
