"""Outputs of a model for all rows of a split: one path for pretrained, tuned, exported and quantized models."""

from typing import Any

import numpy as np
from tqdm.auto import tqdm

from hftransfer.data.encode import Encoded
from hftransfer.tasks import Outputs, Task, stacked


def predict(task: Task, model: Any, encoded: Encoded, split: str, batch_size: int, what: str) -> Outputs:
    """Outputs for all rows of a split, in their order; batches hold rows of like length.

    Under several processes each takes its share, and all get the whole.
    """
    import torch
    from accelerate import PartialState
    from accelerate.utils import gather_object, send_to_device

    rows = encoded.splits[split]
    order = _by_length(rows)
    state = PartialState()
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    mine = batches[state.process_index :: state.num_processes]
    if hasattr(model, "eval"):
        model.eval()
    device = getattr(model, "device", torch.device("cpu"))
    found: list[tuple[int, Outputs]] = []
    with torch.inference_mode(), tqdm(total=len(rows), desc=what, unit="row", disable=not state.is_main_process) as bar:
        for batch in mine:
            made = task.predict(model, send_to_device(encoded.collate(rows.__getitems__(batch)), device))
            found += [(row, {name: array[i] for name, array in made.items()}) for i, row in enumerate(batch)]
            bar.update(min(len(batch) * state.num_processes, bar.total - bar.n))
    shared = gather_object(found) if state.num_processes > 1 else found
    outputs = [output for _, output in sorted(shared, key=lambda pair: pair[0])]
    return {name: stacked([output[name] for output in outputs]) for name in outputs[0]}


def _by_length(rows: Any) -> list[int]:
    """Row numbers, longest rows first, so that the progress bar errs on the safe side."""
    names = rows.column_names or []
    return (
        np.argsort(-np.asarray(rows["length"][:]), kind="stable").tolist() if "length" in names else [*range(len(rows))]
    )
