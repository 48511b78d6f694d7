"""Quantized ONNX graphs, by Optimum and the quantizers of the ONNX runtime."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core import machine
from hftransfer.exporters import ExportOptions, Inputs, as_export_error, select_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxruntime import InferenceSession, SessionOptions
    from optimum.onnxruntime import ORTQuantizer, QuantizationConfig

# Optimum would also quantize LayerNorm, Softmax and residual sums by default, at the cost of a transformer's accuracy.
LINEAR = ["MatMul", "Gemm", "Gather"]
SUPPORTED = [*LINEAR, "Conv", "Clip", "Relu"]

TensorRanges = dict[str, tuple[float, float]]
"""Tensor of a graph -> its least and greatest value over the calibration rows."""


def as_onnx_error(failure: str) -> AbstractContextManager[None]:
    """Turn exceptions of Optimum and of the ONNX runtime into a sentence."""
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    return as_export_error(
        failure,
        runtime.Fail,
        runtime.InvalidArgument,
        runtime.InvalidGraph,
        runtime.NotImplemented,
        runtime.RuntimeException,
    )


@dataclass(frozen=True)
class Int8Quantizer:
    """Quantizes the graphs of a folder to int8: weights by channel, activations dynamically or by calibration."""

    source: Path
    options: ExportOptions
    ranges: dict[tuple[str, ...], TensorRanges] = field(default_factory=dict)
    """Filled by calibration: file and operators -> the ranges, which are computed once."""

    def quantize_dynamic(self, folder: Path) -> None:
        """Write graphs whose activations are scaled as they come."""
        operators = None if self.options.operators == "all" else _dynamic_operators(self.source)
        self._quantize(folder, operators, is_static=False)

    def quantize_static(self, folder: Path, excluded_nodes: Sequence[str]) -> None:
        """Write graphs whose activations have fixed scales, from the calibration rows."""
        operators = None if self.options.operators == "all" else SUPPORTED
        self._quantize(folder, operators, is_static=True, nodes_to_exclude=list(excluded_nodes))

    def quantize_nodes(self, folder: Path, nodes: list[str]) -> None:
        """Write graphs in which these nodes alone are quantized, statically."""
        self._quantize(folder, SUPPORTED, is_static=True, nodes_to_quantize=nodes)

    def _quantize(self, folder: Path, operators: list[str] | None, *, is_static: bool, **nodes: list[str]) -> None:
        from onnxruntime.quantization import QuantType
        from optimum.onnxruntime import ORTQuantizer
        from optimum.onnxruntime.configuration import AutoQuantizationConfig

        target = self.options.target or machine.instructions()
        config = getattr(AutoQuantizationConfig, target)(
            is_static=is_static, per_channel=True, operators_to_quantize=operators, **nodes
        )
        if target in ("avx2", "avx512"):
            # Signed weights are faster than unsigned ones; of eight bits they overflow where there is no VNNI.
            # https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
            config = replace(config, weights_dtype=QuantType.QInt8, reduce_range=True)
        for file in sorted(self.source.glob("*.onnx")):
            quantizer = ORTQuantizer.from_pretrained(self.source, file_name=file.name)
            with as_onnx_error(f"{file.name} cannot be quantized"):
                calibration = {"calibration_tensors_range": self._ranges(file, quantizer, config)} if is_static else {}
                quantizer.quantize(save_dir=folder, quantization_config=config, file_suffix=None, **calibration)

    def _ranges(self, file: Path, quantizer: ORTQuantizer, config: QuantizationConfig) -> TensorRanges:
        from onnxruntime.quantization import CalibrationMethod
        from optimum.onnxruntime.configuration import CalibrationConfig

        key = (str(file), *(config.operators_to_quantize or ()))
        if key not in self.ranges:
            _, inputs = open_session(file, self.options.rows())
            # Optimum makes batches of the rows itself.
            rows = [{name: array[0] for name, array in row.items()} for row in inputs]
            calibration = CalibrationConfig("training rows", "", "train", len(rows), CalibrationMethod.MinMax)
            with tempfile.TemporaryDirectory() as place:
                self.ranges[key] = quantizer.fit(
                    rows,
                    calibration,
                    onnx_augmented_model_name=str(Path(place) / "augmented.onnx"),
                    operators_to_quantize=config.operators_to_quantize,
                )
        return self.ranges[key]


def _dynamic_operators(source: Path) -> list[str]:
    """`LINEAR`; convolutions too where they hold most of the weights, since such a model would hardly get smaller."""
    import onnx

    sizes: Counter[str] = Counter()
    for file in source.glob("*.onnx"):
        graph = onnx.load(file, load_external_data=False).graph
        weights = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}
        for node in graph.node:
            sizes[node.op_type] += sum(weights.get(name, 0) for name in node.input)
    return SUPPORTED if sizes["Conv"] > sum(sizes[name] for name in LINEAR) else LINEAR


def quantize_weights_int4(source: Path, folder: Path) -> None:
    """Weights of MatMul in blocks of 32 with a scale each, 4 bits a weight; activations stay in fp32."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from onnxruntime.quantization.onnx_model import ONNXModel

    for file in sorted(source.glob("*.onnx")):
        with as_onnx_error(f"{file.name} cannot be quantized"):
            model = ONNXModel(onnx.load(file))
            model.replace_gemm_with_matmul()
            quantizer = MatMulNBitsQuantizer(model.model, block_size=32, is_symmetric=True)
            quantizer.process()
            quantizer.model.save_model_to_file(str(folder / file.name), False)


def session_options(threads: int = 0) -> SessionOptions:
    """Options of an ONNX runtime session; 0 threads: as many as PyTorch, in turns with which it is timed."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    # Errors alone: Optimum declares the outputs of segmentation models in the size of its example, and the runtime
    # would warn of every batch of another size.
    options.log_severity_level = 3
    return options


def open_session(file: Path, rows: list[Inputs]) -> tuple[InferenceSession, list[Inputs]]:
    """The model in a file, and the rows reduced to what it takes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), session_options(), providers=["CPUExecutionProvider"])
    return session, select_inputs(rows, {value.name for value in session.get_inputs()})


def first_outputs(file: Path, rows: list[Inputs]) -> list[np.ndarray]:
    """The first output of the model in a file for each row."""
    session, inputs = open_session(file, rows)
    return [np.asarray(session.run(None, row)[0]) for row in inputs]
