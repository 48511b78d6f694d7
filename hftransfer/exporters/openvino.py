"""OpenVINO and NNCF (https://docs.openvino.ai, https://github.com/openvinotoolkit/nncf)."""

from __future__ import annotations

import logging
import shutil
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hftransfer.core import machine
from hftransfer.exporters import (
    SENSITIVITY_ROWS,
    Exporter,
    ExportOptions,
    Inputs,
    is_generative,
    rank_by_sensitivity,
    refuse_generative,
    select_inputs,
)
from hftransfer.exporters._errors import as_export_error
from hftransfer.exporters._runtime import RuntimeModel

if TYPE_CHECKING:
    from openvino import Core, Model, Node

    from hftransfer.exporters import ExportedModel

# The operators that NNCF quantizes, as OpenVINO calls them.
_QUANTIZED = ("MatMul", "Convolution", "GroupConvolution")
# Where a graph says in which precision it is computed; without it, OpenVINO would choose bf16 where it is faster.
_PRECISION = ["runtime_options", "INFERENCE_PRECISION_HINT"]


class OpenVino(Exporter):
    """`openvino_model.xml` in fp32; computed in bf16; weights in int8 or int4; all in int8 by calibration."""

    requires: ClassVar[dict[str, str]] = {"openvino": "openvino", "nncf": "openvino"}
    module: ClassVar[str] = "optimum.intel"
    package: ClassVar[str] = "optimum-intel[openvino]"
    loader_prefix: ClassVar[str] = "OV"
    packages: ClassVar[tuple[str, ...]] = ("openvino", "nncf")

    def refuse_scheme(self, auto_model: str, scheme: str) -> None:
        if scheme == "int8-static":
            refuse_generative(auto_model, "a generative model is not calibrated")

    def schemes(self, source: Path) -> list[str]:
        if is_generative(source):
            return ["int8", "int4"]
        return [*(["bf16"] if machine.has_flag(*machine.BF16_FLAGS) else []), "int8", "int8-static", "int4"]

    def make_variant(
        self, scheme: str, source: Path, folder: Path, options: ExportOptions, excluded_nodes: frozenset[str]
    ) -> None:
        import openvino

        for file in source.iterdir():
            if file.is_file() and file.suffix not in (".xml", ".bin"):
                shutil.copy2(file, folder)
        for file in sorted(source.glob("*.xml")):
            with _as_openvino_error(f"{file.name} cannot be quantized"):
                graph = _core().read_model(file)
                if scheme == "bf16":
                    graph.set_rt_info("bf16", _PRECISION)
                elif scheme == "int8-static":
                    graph = _quantize_static(graph, options, excluded_nodes)
                else:
                    graph = _compress_weights(graph, scheme)
                # Weights of 16 bits are enough for products of bf16.
                openvino.save_model(graph, folder / file.name, compress_to_fp16=scheme == "bf16")

    def sensitive_nodes(self, source: Path, options: ExportOptions) -> list[list[str]]:

        file, rows = source / "openvino_model.xml", options.rows()[:SENSITIVITY_ROWS]
        graph = _core().read_model(file)
        quantized = [node for node in graph.get_ordered_ops() if node.get_type_name() in _QUANTIZED]
        nodes = {node.get_friendly_name(): _place(node) for node in quantized}

        def quantize_alone(group: list[str]) -> list[np.ndarray]:
            others = frozenset(nodes.keys() - set(group))
            return _first_outputs(_quantize_static(_core().read_model(file), options, others), rows)

        return rank_by_sensitivity(nodes, _first_outputs(graph, rows), quantize_alone)

    def open(self, folder: Path, threads: int) -> ExportedModel:
        return OpenVinoModel(folder, threads)

    def loader_options(self, scheme: str) -> str:
        return f', ov_config={{"INFERENCE_PRECISION_HINT": "{"bf16" if scheme == "bf16" else "f32"}"}}'

    def files(self, folder: Path) -> list[str]:
        return sorted(file.name for file in folder.iterdir() if file.suffix in (".xml", ".bin"))


class OpenVinoModel(RuntimeModel):
    """`openvino_model.xml` of a folder in OpenVINO, on the CPU."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        """Load it.

        Args:
            folder: with `openvino_model.xml`, `openvino_model.bin` and `config.json`.
            threads: that compute; 0: as many as PyTorch uses.

        Raises:
            ExportError: OpenVINO cannot load it.
        """
        import torch

        with _as_openvino_error(f"OpenVINO cannot load '{folder / 'openvino_model.xml'}'"):
            graph = _core().read_model(folder / "openvino_model.xml")
            precision = graph.get_rt_info(_PRECISION).astype(str) if graph.has_rt_info(_PRECISION) else "f32"
            settings = {
                "INFERENCE_NUM_THREADS": threads or torch.get_num_threads(),
                "INFERENCE_PRECISION_HINT": precision,
            }
            self._compiled = _core().compile_model(graph, "CPU", settings)
        inputs = {port.get_any_name(): np.dtype(port.get_element_type().to_dtype()) for port in self._compiled.inputs}
        super().__init__(folder, inputs, [port.get_any_name() for port in self._compiled.outputs])

    def _run(self, arrays: Inputs) -> list[np.ndarray]:
        with _as_openvino_error("OpenVINO fails"):
            outputs = self._compiled(arrays)
            # A copy: the next call writes its outputs to the same memory.
            return [np.array(outputs[port]) for port in self._compiled.outputs]


@cache
def _core() -> Core:
    """OpenVINO's runtime, one for the process.

    Where the processor has AMX, each `Core` has a stack for signals and puts the stack of the one before back when it
    ends. When two overlap, that stack may be gone, and the next signal ends the process.
    """
    import openvino

    return openvino.Core()


def _place(node: Node) -> str:
    """The operator and what it reads, by which nodes at the same place of every block are alike."""
    sources = [port.get_source_output() for port in node.inputs()]
    read = [f"{source.get_node().get_type_name()} {source.get_partial_shape()}" for source in sources]
    return f"{node.get_type_name()} of {', '.join(read)}"


def _as_openvino_error(failure: str) -> AbstractContextManager[None]:
    """Turn exceptions of OpenVINO and of NNCF into a sentence."""
    import nncf

    return as_export_error(
        failure,
        nncf.ValidationError,
        nncf.InternalError,
        nncf.InvalidGroupSizeError,
        nncf.UnsupportedModelError,
        nncf.ParameterNotSupportedError,
    )


def _silence_nncf() -> None:
    """Suppress NNCF's tables of what it compressed, which would stand between the progress bars."""
    import nncf

    nncf.set_log_level(logging.ERROR)


def _compress_weights(graph: Model, scheme: str) -> Model:
    """Weights in int8 by channel, or in int4 in blocks of 32; activations stay in fp32."""
    import nncf

    _silence_nncf()
    if scheme == "int8":
        return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)
    # A matrix whose size 32 does not divide stays in int8.
    fallback = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.IGNORE)
    return nncf.compress_weights(
        graph,
        mode=nncf.CompressWeightsMode.INT4_SYM,
        group_size=32,
        all_layers=True,
        advanced_parameters=fallback,
    )


def _quantize_static(graph: Model, options: ExportOptions, excluded_nodes: frozenset[str]) -> Model:
    """Weights and activations in int8, with scales from the calibration rows."""
    import nncf

    _silence_nncf()
    rows = _inputs_of(graph, options.rows())
    scope = nncf.IgnoredScope(names=sorted(excluded_nodes)) if excluded_nodes else None
    return nncf.quantize(
        graph, nncf.Dataset(rows), subset_size=len(rows), model_type=nncf.ModelType.TRANSFORMER, ignored_scope=scope
    )


def _inputs_of(graph: Model, rows: list[Inputs]) -> list[Inputs]:
    return select_inputs(rows, {port.get_any_name() for port in graph.inputs})


def _first_outputs(graph: Model, rows: list[Inputs]) -> list[np.ndarray]:
    """The first output of a graph for each row."""

    compiled = _core().compile_model(graph, "CPU")
    return [np.asarray(compiled(row)[0]) for row in _inputs_of(graph, rows)]
