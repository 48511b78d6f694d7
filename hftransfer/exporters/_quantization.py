"""ONNX graphs made smaller or faster by the optimizer and the quantizers of the ONNX runtime.

https://onnxruntime.ai/docs/performance/model-optimizations/
"""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core import machine
from hftransfer.exporters import ExportOptions, Inputs, select_inputs
from hftransfer.exporters._errors import as_export_error
from hftransfer.exporters._logging import without_messages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from onnxruntime import InferenceSession, SessionOptions

# By default LayerNorm, Softmax and residual sums would be quantized too, at the cost of a transformer's accuracy.
LINEAR = ["MatMul", "Gemm", "Gather"]
SUPPORTED = [*LINEAR, "Conv", "Clip", "Relu"]
# Operators with graphs of their own.
_BRANCHES = {"If", "Loop", "Scan", "SequenceMap"}


def as_onnx_error(failure: str) -> AbstractContextManager[None]:
    """Turn exceptions of the ONNX runtime into a sentence."""
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    return as_export_error(
        failure,
        runtime.Fail,
        runtime.InvalidArgument,
        runtime.InvalidGraph,
        runtime.InvalidProtobuf,
        runtime.NoSuchFile,
        runtime.NotImplemented,
        runtime.RuntimeException,
    )


@dataclass(frozen=True)
class Int8Quantizer:
    """Quantizes the graphs of a folder to int8: weights by channel, activations dynamically or by calibration."""

    source: Path
    options: ExportOptions
    calibration: Path
    """A folder for the ranges of the tensors over the calibration rows, which are computed once."""

    def quantize_dynamic(self, folder: Path) -> None:
        """Write graphs whose activations are scaled as they come."""
        from onnxruntime.quantization import quantize_dynamic

        operators = None if self.options.operators == "all" else _dynamic_operators(self.source)
        for file in sorted(self.source.glob("*.onnx")):
            with as_onnx_error(f"{file.name} cannot be quantized"), without_messages():
                quantize_dynamic(
                    file,
                    folder / file.name,
                    op_types_to_quantize=operators,
                    # Tensors that an operator of the runtime's own computes have no inferred type.
                    extra_options=self._extra_options(file) | {"DefaultTensorType": 1},
                    **self._weight_options(),
                )

    def quantize_static(self, folder: Path, excluded_nodes: Sequence[str]) -> None:
        """Write graphs whose activations have fixed scales, from the calibration rows."""
        self._quantize_static(folder, nodes_to_exclude=list(excluded_nodes))

    def quantize_nodes(self, folder: Path, nodes: list[str]) -> None:
        """Write graphs in which these nodes alone are quantized, statically."""
        self._quantize_static(folder, nodes_to_quantize=nodes)

    def _quantize_static(self, folder: Path, **nodes: list[str]) -> None:
        from onnxruntime.quantization import QuantType, quantize_static

        operators = None if self.options.operators == "all" else SUPPORTED
        for file in sorted(self.source.glob("*.onnx")):
            with as_onnx_error(f"{file.name} cannot be quantized"), without_messages():
                quantize_static(
                    file,
                    folder / file.name,
                    _calibration_reader(file, self.options),
                    op_types_to_quantize=operators,
                    activation_type=QuantType.QUInt8,
                    extra_options=self._extra_options(file),
                    calibration_cache_path=self.calibration / f"{file.stem}-{self.options.operators}.json",
                    **self._weight_options(static=True),
                    **nodes,
                )

    def _weight_options(self, *, static: bool = False) -> dict[str, Any]:
        """Symmetric weights, by channel.

        Without VNNI the sums of signed weights of eight bits overflow. Dynamically they have seven then; with fixed
        scales they are unsigned: seven lose 0.06 of the accuracy of a MobileNetV2 on photographs.
        """
        from onnxruntime.quantization import QuantType

        overflows = (self.options.target or machine.instructions()) in ("avx2", "avx512")
        unsigned = overflows and static
        return {
            "weight_type": QuantType.QUInt8 if unsigned else QuantType.QInt8,
            "per_channel": True,
            "reduce_range": overflows and not static,
        }

    def _extra_options(self, file: Path) -> dict[str, Any]:
        import onnx

        nodes = onnx.load(file, load_external_data=False).graph.node
        return {"WeightSymmetric": True, "EnableSubgraph": any(node.op_type in _BRANCHES for node in nodes)}


def _calibration_reader(file: Path, options: ExportOptions) -> Any:
    """The calibration rows, one by one, read when the first is asked for."""
    from onnxruntime.quantization import CalibrationDataReader

    class Rows(CalibrationDataReader):
        def __init__(self) -> None:
            self._rows: Iterator[Inputs] | None = None

        def get_next(self) -> Inputs | None:
            if self._rows is None:
                _, inputs = open_session(file, options.rows())
                self._rows = iter(inputs)
            return next(self._rows, None)

    return Rows()


def optimize(source: Path, folder: Path, level: str) -> None:
    """Write the graph fused for the ONNX runtime.

    O1: the runtime's basic optimizations; O2: its extended ones, and fusions of transformers; O3: GELU is approximated
    too; O4: and in float16, for GPUs. The levels are Optimum's.
    https://huggingface.co/docs/optimum-onnx/onnxruntime/usage_guides/optimization
    """
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    fusions = FusionOptions("bert")
    fusions.enable_gelu_approximation = level in ("O3", "O4")
    with as_onnx_error("the graph cannot be optimized"), without_messages():
        optimized = optimize_model(
            str(source / "model.onnx"),
            "bert",
            opt_level=1 if level == "O1" else 2,
            optimization_options=fusions,
            only_onnxruntime=level == "O1",
            use_gpu=False,
        )
        if level == "O4":
            optimized.convert_float_to_float16(keep_io_types=True)
        large = (source / "model.onnx.data").is_file()
        optimized.save_model_to_file(str(folder / "model.onnx"), use_external_data_format=large)


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
    # Errors are raised too, as a sentence. And a graph of Optimum declares the outputs of segmentation models in the
    # size of its example, so that the runtime would warn of every batch of another size.
    options.log_severity_level = 4
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
