"""Outputs of a model for all rows of a split: one path for pretrained, tuned, exported and quantized models."""

from __future__ import annotations

import numpy as np

from hftransfer.core import ranks
from hftransfer.core.machine import keep_freed_memory
from hftransfer.core.progress import Progress
from hftransfer.data.encode import EncodedSplits, longest_first, side_of
from hftransfer.tasks import Model, Outputs, Task, stack


def predict(
    task: Task, model: Model, encoded: EncodedSplits, split: str, batch_size: int, description: str = ""
) -> Outputs:
    """Outputs for all model inputs of a split, in their order; batches hold inputs of like length.

    Without a description, of a few rows, no progress is shown.

    Under several processes each takes its share, and all get the whole.

    Raises:
        TypeError: the task gives no array of floats, by which an exported model could be compared.
    """
    import torch
    from accelerate.utils import gather_object, send_to_device

    rows = encoded.splits[split]
    order = longest_first(rows)
    number, processes = ranks.place()
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    share = batches[number::processes]
    if hasattr(model, "eval"):
        model.eval()
    device = getattr(model, "device", torch.device("cpu"))
    if torch.device(device).type == "cpu":
        keep_freed_memory()
    numbered: list[tuple[int, Outputs]] = []
    bar = Progress(total=len(rows), desc=description, unit="row", disable=number > 0 or not description)
    # Not inference_mode: a training may go on with what its model caches here, such as positions.
    with torch.no_grad(), bar:
        for batch in share:
            examples = rows.__getitems__(batch)
            inputs = send_to_device(encoded.collate(examples), device)
            outputs = task.outputs(model, inputs, side_of(examples))
            numbered += [(row, {name: array[i] for name, array in outputs.items()}) for i, row in enumerate(batch)]
            bar.update(min(len(batch) * processes, bar.total - bar.n))
    gathered = gather_object(numbered) if processes > 1 else numbered
    in_order = [output for _, output in sorted(gathered, key=lambda pair: pair[0])]
    stacked = {name: stack([np.asarray(output[name]) for output in in_order]) for name in in_order[0]}
    if not any(array.dtype.kind == "f" for array in stacked.values()):
        raise TypeError(f"task '{task.name}': `outputs` gives no array of floats, only {', '.join(stacked)}")
    return stacked
