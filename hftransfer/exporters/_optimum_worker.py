"""The process in which Optimum exports models and runs those that generate. It is started by `_optimum.py`.

It runs in an environment that has Optimum and not this package: it imports nothing of it. Requests are pairs of a
function's name and its arguments; answers say whether it succeeded, with the value or the reason.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_MODELS: dict[int, Any] = {}
_PACKAGES = ("transformers", "optimum", "optimum-onnx", "optimum-intel", "onnxruntime", "openvino", "nncf")


def versions() -> dict[str, str]:
    """Package -> version."""
    return {name: version(name) for name in _PACKAGES}


def can_export(runtime: str, auto_model: str, model_type: str, decoder: str | None = None) -> bool:
    """Whether Optimum knows the architecture for what models of the Auto class do, and a decoder within it.

    It exports a decoder with a cache of keys and values alone, which BERT's, for one, has not there.
    """
    import transformers
    from optimum.exporters.tasks import TasksManager

    # Importing registers the architectures with TasksManager.
    if runtime == "onnx":
        import optimum.exporters.onnx.model_configs
    else:
        import optimum.exporters.openvino  # noqa: F401
    wanted = TasksManager.infer_task_from_model(getattr(transformers, auto_model), library_name="transformers")

    def supported(name: str) -> list[str]:
        try:
            return list(TasksManager.get_supported_tasks_for_model_type(name, runtime, library_name="transformers"))
        except KeyError:
            return []

    has_cache = decoder is None or any(task.endswith("-with-past") for task in supported(decoder))
    return wanted in supported(model_type) and has_cache


def export(runtime: str, auto_model: str, source: str, target: str) -> None:
    """Export a saved model to a folder; one that generates as a single decoder with a cache of keys and values.

    What it is exported for follows from the Auto class: BART's class of models is one for hidden tokens as well.
    """
    import torch
    import transformers
    from optimum.exporters.tasks import TasksManager

    folder = Path(target)
    config = json.loads((Path(source) / "config.json").read_text(encoding="utf-8"))
    model_class = getattr(transformers, config["architectures"][0])
    model = model_class.from_pretrained(source, dtype=torch.float32, use_safetensors=True).eval()
    _fold_parametrizations(model)
    task = TasksManager.infer_task_from_model(getattr(transformers, auto_model), library_name="transformers")
    if model.can_generate():
        task = f"{task}-with-past"
    with warnings.catch_warnings():
        # The tracer warns of every Python branch. Whether one matters shows on the test rows, all of which are
        # compared afterwards; so the exporter's own validation on random inputs is left out too.
        warnings.simplefilter("ignore")
        # Whisper takes recordings of one length alone; the exporters assume that of the published checkpoints.
        positions = getattr(model.config, "max_source_positions", None)
        shapes = {"nb_max_frames": 2 * positions} if positions else {}
        if runtime == "onnx":
            _export_onnx(model, task, folder, shapes)
        else:
            from optimum.exporters.openvino import export_from_model

            export_from_model(model, folder, task=task, **shapes)


def _export_onnx(model: Any, task: str, folder: Path, shapes: dict[str, int]) -> None:
    from optimum.exporters.onnx import onnx_export_from_model

    onnx_export_from_model(model, folder, task=task, do_validation=False, **shapes)
    if (folder / "decoder_model_merged.onnx").is_file():
        # The merged decoder replaces these two.
        for name in ("decoder_model.onnx", "decoder_with_past_model.onnx"):
            (folder / name).unlink()


def _fold_parametrizations(model: Any) -> None:
    """Replace weights that are computed from others (the weight norm of wav2vec2) by plain ones."""
    from torch.nn.utils import parametrize

    for module in [module for module in model.modules() if parametrize.is_parametrized(module)]:
        for name in list(module.parametrizations):
            parametrize.remove_parametrizations(module, name)


def load(runtime: str, folder: str, loader: str, threads: int) -> int:
    """Load an exported model by a class of Optimum; the number by which it is called."""
    if runtime == "onnx":
        import onnxruntime
        import optimum.onnxruntime as runtimes

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        settings: dict[str, Any] = {"session_options": options}
    else:
        import optimum.intel as runtimes

        settings = {
            "device": "CPU",
            "ov_config": {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"},
        }
    number = max(_MODELS, default=0) + 1
    _MODELS[number] = getattr(runtimes, loader).from_pretrained(folder, **settings)
    return number


def forward(number: int, inputs: dict[str, Any]) -> dict[str, Any]:
    """Outputs as arrays, without the cache."""
    import torch

    with torch.inference_mode():
        outputs = _MODELS[number](**_as_tensors(inputs))
    return {name: value.numpy() for name, value in outputs.items() if isinstance(value, torch.Tensor)}


def generate(number: int, inputs: dict[str, Any]) -> Any:
    """Generated token ids."""
    import torch

    with torch.inference_mode():
        return _MODELS[number].generate(**_as_tensors(inputs)).numpy()


def forget(number: int) -> None:
    """Let a model go."""
    del _MODELS[number]


def _as_tensors(inputs: dict[str, Any]) -> dict[str, Any]:
    import numpy as np
    import torch

    return {name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for name, value in inputs.items()}


_FUNCTIONS = {
    function.__name__: function for function in (versions, can_export, export, load, forward, generate, forget)
}


def main(handle: int) -> None:
    """Answer requests until the other end of the pipe is closed."""
    pipe = Connection(handle)
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((True, _FUNCTIONS[name](*arguments)))
        except Exception as error:  # noqa: BLE001 - the other process turns any of them into a sentence
            pipe.send((False, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"))


if __name__ == "__main__":
    main(int(sys.argv[1]))
