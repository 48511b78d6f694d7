"""The exporters of Transformers 5 (https://huggingface.co/docs/transformers/exporters), declared experimental there.

This is the only file that uses them.
"""

from __future__ import annotations

import ast
import contextlib
import io
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.errors import ExportError, MissingExtraError
from hftransfer.exporters import TrainedModel
from hftransfer.exporters._errors import as_export_error
from hftransfer.exporters._logging import without_messages

if TYPE_CHECKING:
    import onnx_ir
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

    from hftransfer.exporters import ExportedModel
    from hftransfer.tasks import ModelBatch, Processor

FIXED_SHAPES = ("d_fine", "rt_detr", "rt_detr_v2")
"""Model types whose graph is right for the batch of its example alone; Optimum's is not so."""
KNOWN = frozenset(
    {
        *("albert", "audio-spectrogram-transformer", "bert", "clip", "convnextv2", "deberta-v2", "detr", "dinov2"),
        *("dinov3_vit", "distilbert", "efficientnet", "hubert", "mobilenet_v2", "modernbert", "resnet", "roberta"),
        *("segformer", "siglip", "swinv2", "vit", "wav2vec2", "wav2vec2-bert", "wavlm", "whisper", "xlm-roberta"),
        *("yolos",),
    }
)
"""Model types that docs/export.md compares with PyTorch; others are exported on trial before the training."""

# Largest difference of an output to the PyTorch model's, for outputs of about 1.
_TOLERANCE = 1e-3
# protobuf writes no more than 2 GiB: larger weights lie beside the graph.
_MAX_BYTES = 2**30


def is_available() -> bool:
    """Whether the installed Transformers has exporters."""
    return int(version("transformers").partition(".")[0]) >= 5


def check_version() -> None:
    """Refuse a Transformers without exporters.

    Raises:
        MissingExtraError: the installed one is of version 4.
    """
    if not is_available():
        raise MissingExtraError(
            f"export.through: the exporters of Transformers came with version 5, and {version('transformers')} is "
            "installed; leave it out for Optimum's"
        )


def check(runtime: str, config: PretrainedConfig) -> None:
    """Refuse a model type that is known to come out wrong.

    Raises:
        ExportError: it is.
    """
    if config.model_type in FIXED_SHAPES:
        raise ExportError(
            f"export.through: Transformers exports a {config.model_type} to {runtime} for batches of one size alone; "
            "leave it out for Optimum"
        )


def export(runtime: str, trained: TrainedModel, folder: Path) -> None:
    """Write the graph for a runtime, its batch size and lengths free, and the config.

    Raises:
        ExportError: the model cannot be traced or converted.
    """
    model = trained.model.eval()
    failure = f"Transformers cannot export {type(model).__name__} to {runtime}"
    with as_export_error(failure, *_torch_errors()), _quiet():
        write = _export_onnx if runtime == "onnx" else _export_openvino
        write(model, dict(trained.example), _free_axes(trained), folder)
    model.config.save_pretrained(folder)


def _free_axes(trained: TrainedModel) -> dict[str, Any]:
    """For each input the axes of any size: of images of one size the batch, of all other inputs every one."""
    from torch.export import Dim

    fixed = has_one_image_size(trained.processor)
    return {
        name: {axis: Dim.AUTO for axis in range(1 if fixed and value.ndim == 4 else value.ndim)}
        for name, value in trained.example.items()
    }


def has_one_image_size(processor: Processor) -> bool:
    """Whether a processor makes all images equally large, by resizing both sides or by cropping."""
    processor = getattr(processor, "image_processor", processor)
    size = getattr(processor, "size", None) or {}
    return "height" in dict(size) or bool(getattr(processor, "do_center_crop", False))


def _export_onnx(model: PreTrainedModel, example: ModelBatch, axes: dict[str, Any], folder: Path) -> None:
    import onnx_ir
    from transformers.exporters import OnnxConfig, OnnxExporter

    program = OnnxExporter().export(model, example, OnnxConfig(dynamic_shapes=axes)).program
    _name_by_module(program)
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    onnx_ir.save(program, folder / "model.onnx", external_data="model.onnx.data" if size > _MAX_BYTES else None)


def _name_by_module(program: onnx_ir.Model) -> None:
    """Name each node by the module of the model that it comes from: `bert.encoder.layer.0.output.dense/MatMul`.

    So the nodes at the same place of every block have names that differ in the block's number alone.
    """
    counts: Counter[str] = Counter()
    for node in program.graph:
        scopes = node.metadata_props.get("pkg.torch.onnx.name_scopes")
        modules = [scope for scope in ast.literal_eval(scopes)[:-1] if scope] if scopes else []
        name = f"{modules[-1] if modules else 'model'}/{node.op_type}"
        counts[name] += 1
        # The letter, since a number would be taken for that of a block.
        node.name = name if counts[name] == 1 else f"{name}_{_letters(counts[name] - 1)}"


def _letters(number: int) -> str:
    """1 -> b, 2 -> c, 26 -> ba."""
    digits = ""
    while number:
        number, digit = divmod(number, 26)
        digits = chr(ord("a") + digit) + digits
    return digits


def _export_openvino(model: PreTrainedModel, example: ModelBatch, axes: dict[str, Any], folder: Path) -> None:
    import openvino
    from transformers.exporters import OpenVINOConfig, OpenVINOExporter

    program = OpenVINOExporter().export(model, example, OpenVINOConfig(dynamic_shapes=axes)).program
    openvino.save_model(program, folder / "openvino_model.xml", compress_to_fp16=False)


def _torch_errors() -> tuple[type[Exception], ...]:
    """What tracing raises beside the builtin exceptions."""
    import torch

    return torch.onnx.OnnxExporterError, AssertionError, AttributeError, IndexError


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' progress messages and warnings off the terminal.

    Whether a warning matters shows on other shapes, which are tried at once, and on the test rows.
    """
    with without_messages(), warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def check_shapes(trained: TrainedModel, exported: ExportedModel) -> None:
    """Compare an export with the PyTorch model at other batch sizes and lengths than the example's.

    Raises:
        ExportError: it is right for the shapes of the example alone.
    """
    import torch

    for shape, batch in _other_shapes(trained):
        try:
            with torch.inference_mode():
                expected = trained.model(**batch)
        except (RuntimeError, ValueError, IndexError):
            # PyTorch does not take this size either.
            continue
        failure = f"the export of {type(trained.model).__name__} is right for the shape of its example alone"
        with as_export_error(f"{failure}, not for {shape}", Exception):
            found = exported(**batch)
        names = [name for name, value in found.items() if isinstance(expected.get(name), torch.Tensor)]
        for name in names:
            difference = _relative_difference(found[name], expected[name])
            if not difference <= _TOLERANCE:
                raise ExportError(f"{failure}: for {shape}, `{name}` differs by {difference:.2g}")


def _other_shapes(trained: TrainedModel) -> Iterator[tuple[str, ModelBatch]]:
    """Batches of one and of three, and one whose sequences are shorter, or its images narrower where they may be."""
    example = trained.example
    yield "a batch of one", {name: value[:1] for name, value in example.items()}
    yield "a batch of three", {name: value[[0, 1, 0]] for name, value in example.items()}
    main = max((value for value in example.values()), key=lambda value: value.ndim)
    length = main.shape[-1]
    # Padding of some convolutional nets (MobileNetV2) is a constant for images of so many times 32 pixels.
    kept = (length - 1) // 32 * 32 if main.ndim == 4 else length - length // 4
    if kept > 0 and not (main.ndim == 4 and has_one_image_size(trained.processor)):
        shorter = {name: value[..., :kept] if value.shape[-1] == length else value for name, value in example.items()}
        yield f"a length of {kept}", {name: value.contiguous() for name, value in shorter.items()}


def _relative_difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, in units of the largest expected value where that is above 1."""
    import torch

    if found.shape != expected.shape:
        return float("inf")
    # Logits of what is padded may be minus infinity in both.
    same = found == expected
    difference = torch.where(same, 0.0, (found.float() - expected.float()).abs())
    finite = expected.float()[expected.isfinite()]
    scale = max(1.0, float(finite.abs().max())) if finite.numel() else 1.0
    return float(difference.max()) / scale if np.isfinite(float(difference.max())) else float("inf")
