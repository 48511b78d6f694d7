"""An exported graph that is called as the PyTorch model is, and that `transformers.pipeline` takes as a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.exporters._errors import read_config

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    import torch
    from transformers.utils import ModelOutput

    from hftransfer.exporters import Inputs

# The inputs by which a model is called; the others are as large, or one entry for each of its positions.
_MAIN_INPUTS = ("input_ids", "input_values", "input_features", "pixel_values")


class RuntimeModel(ABC):
    """One graph in its runtime, on the CPU. Tensors and arrays go in, tensors come out.

    A pipeline runs it: `pipeline(task, model=model, tokenizer=folder)`.
    """

    def __init__(self, folder: Path, inputs: dict[str, np.dtype[Any]], outputs: Sequence[str]) -> None:
        import torch

        self.config = read_config(folder)
        self.name_or_path = str(folder)
        self.inputs, self.outputs = inputs, list(outputs)
        self.main_input_name = next((name for name in _MAIN_INPUTS if name in inputs), next(iter(inputs)))
        self.device, self.dtype = torch.device("cpu"), torch.float32

    @property
    def thresholds(self) -> dict[str, float]:
        """Label -> the probability above which it is predicted, as chosen on validation rows; empty without any."""
        return dict(getattr(self.config, "thresholds", None) or {})

    @abstractmethod
    def _run(self, arrays: Inputs) -> list[np.ndarray]:
        """The graph's outputs, in their order."""

    def forward(self, **inputs: torch.Tensor | np.ndarray) -> ModelOutput:
        """The outputs by their names.

        Raises:
            ValueError: an input is missing, or a mask has zeros and the graph takes no mask.
        """
        import torch
        from transformers.utils import ModelOutput

        arrays = {name: np.asarray(value) for name, value in inputs.items() if value is not None}
        filled = fill_inputs(arrays, self.inputs)
        cast = {name: array.astype(self.inputs[name], copy=False) for name, array in filled.items()}
        outputs = [torch.from_numpy(np.array(array, copy=None)) for array in self._run(cast)]
        return ModelOutput(zip(self.outputs, outputs, strict=True))

    def __call__(self, **inputs: Any) -> ModelOutput:
        """As `forward`."""
        return self.forward(**inputs)

    def eval(self) -> RuntimeModel:
        """The model; it does nothing else than inference."""
        return self

    def to(self, *_: Any, **__: Any) -> RuntimeModel:
        """The model; it stays on the CPU."""
        return self

    def can_generate(self) -> bool:
        """No: a model that generates is run by Optimum."""
        return False


def fill_inputs(arrays: Inputs, names: Collection[str]) -> Inputs:
    """What a graph takes, by name: masks that are missing are ones, `token_type_ids` are zeros.

    Raises:
        ValueError: another input is missing, or a mask has zeros and the graph takes no mask.
    """
    filled = {name: arrays[name] for name in names if name in arrays}
    for name in names:
        if name not in arrays:
            filled[name] = _default(name, arrays)
    if "attention_mask" in arrays and "attention_mask" not in names and not np.all(arrays["attention_mask"]):
        raise ValueError("the exported model takes no attention_mask, and the given one has zeros")
    return filled


def _default(name: str, arrays: Inputs) -> np.ndarray:
    main = next((arrays[key] for key in _MAIN_INPUTS if key in arrays), None)
    if main is not None and name in ("attention_mask", "token_type_ids"):
        return np.full(main.shape[:2], int(name == "attention_mask"), np.int64)
    if main is not None and name == "pixel_mask":
        return np.ones((main.shape[0], *main.shape[-2:]), np.int64)
    raise ValueError(f"the exported model needs the input '{name}'")
