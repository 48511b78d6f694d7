"""ONNX and the ONNX runtime (https://onnxruntime.ai/docs)."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import PrivateAttr

from hftransfer.exporters import (
    SENSITIVITY_ROWS,
    Exporter,
    ExportOptions,
    Inputs,
    is_generative,
    rank_by_sensitivity,
    refuse_generative,
)
from hftransfer.exporters._quantization import (
    Int8Quantizer,
    as_onnx_error,
    first_outputs,
    optimize,
    quantize_weights_int4,
    session_options,
)
from hftransfer.exporters._runtime import RuntimeModel
from hftransfer.exporters._simplification import simplify

if TYPE_CHECKING:
    from hftransfer.exporters import ExportedModel

# Types of a graph's inputs, as the runtime writes them.
_NUMPY_TYPES = {
    "tensor(bool)": np.dtype("bool"),
    "tensor(float)": np.dtype("float32"),
    "tensor(float16)": np.dtype("float16"),
    "tensor(int32)": np.dtype("int32"),
    "tensor(int64)": np.dtype("int64"),
}


class Onnx(Exporter):
    """`model.onnx` in fp32; optimized; in int8, its activations scaled dynamically or by calibration; in int4."""

    requires: ClassVar[dict[str, str]] = {"onnxruntime": "onnx"}
    module: ClassVar[str] = "optimum.onnxruntime"
    package: ClassVar[str] = "optimum-onnx[onnxruntime]"
    loader_prefix: ClassVar[str] = "ORT"
    packages: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    keys: ClassVar[frozenset[str]] = frozenset({"optimize", "operators", "target"})

    _calibrations: dict[Callable[[], list[Inputs]], tempfile.TemporaryDirectory[str]] = PrivateAttr(
        default_factory=dict
    )
    """Calibration rows -> where their ranges lie; a search quantizes the same graph many times."""

    def refuse_scheme(self, auto_model: str, scheme: str) -> None:
        if scheme in ("optimized", "int8-static"):
            refuse_generative(auto_model, "the decoder of a generative model is neither optimized nor calibrated")

    def simplify(self, folder: Path) -> None:
        with as_onnx_error("model.onnx cannot be simplified"):
            simplify(folder / "model.onnx")

    def schemes(self, source: Path) -> list[str]:
        return ["int8", "int4"] if is_generative(source) else ["optimized", "int8", "int8-static"]

    def make_variant(
        self, scheme: str, source: Path, folder: Path, options: ExportOptions, excluded_nodes: frozenset[str]
    ) -> None:
        for file in source.iterdir():
            if file.is_file() and ".onnx" not in file.name:
                shutil.copy2(file, folder)
        if scheme == "optimized":
            optimize(source, folder, options.optimize)
        elif scheme == "int4":
            quantize_weights_int4(source, folder)
        elif scheme == "int8":
            self._quantizer(source, options).quantize_dynamic(folder)
        else:
            self._quantizer(source, options).quantize_static(folder, sorted(excluded_nodes))

    def sensitive_nodes(self, source: Path, options: ExportOptions) -> list[list[str]]:
        import onnx

        rows = options.rows()[:SENSITIVITY_ROWS]
        quantizer = self._quantizer(source, options)

        def quantize_alone(nodes: list[str]) -> list[np.ndarray]:
            with tempfile.TemporaryDirectory() as place:
                quantizer.quantize_nodes(Path(place), nodes)
                return first_outputs(Path(place) / "model.onnx", rows)

        graph = onnx.load(source / "model.onnx", load_external_data=False).graph
        names = [node.name for node in graph.node if node.op_type in ("MatMul", "Gemm", "Conv")]
        # The number in a name is that of the block.
        nodes = {name: re.sub(r"\d+", "#", name) for name in names}
        return rank_by_sensitivity(nodes, first_outputs(source / "model.onnx", rows), quantize_alone)

    def open(self, folder: Path, threads: int) -> ExportedModel:
        return OnnxModel(folder, threads)

    def files(self, folder: Path) -> list[str]:
        return sorted(file.name for file in folder.glob("*.onnx*"))

    def _quantizer(self, source: Path, options: ExportOptions) -> Int8Quantizer:
        if options.rows not in self._calibrations:
            self._calibrations[options.rows] = tempfile.TemporaryDirectory()
        return Int8Quantizer(source, options, Path(self._calibrations[options.rows].name))


class OnnxModel(RuntimeModel):
    """`model.onnx` of a folder in the ONNX runtime."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        """Load it.

        Args:
            folder: with `model.onnx` and `config.json`.
            threads: that compute; 0: as many as PyTorch uses.

        Raises:
            ExportError: the runtime cannot load it.
        """
        import onnxruntime

        with as_onnx_error(f"the runtime cannot load '{folder / 'model.onnx'}'"):
            self._session = onnxruntime.InferenceSession(
                str(folder / "model.onnx"), session_options(threads), providers=["CPUExecutionProvider"]
            )
        inputs = {value.name: _NUMPY_TYPES[value.type] for value in self._session.get_inputs()}
        super().__init__(folder, inputs, [value.name for value in self._session.get_outputs()])

    def _run(self, arrays: Inputs) -> list[np.ndarray]:
        with as_onnx_error("the ONNX runtime fails"):
            return [np.asarray(output) for output in self._session.run(None, arrays)]
