"""OpenVINO through Optimum Intel and NNCF (https://huggingface.co/docs/optimum-intel/openvino/inference)."""

from __future__ import annotations

import logging
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hftransfer.core.errors import ExportError
from hftransfer.exporters import (
    SENSITIVITY_ROWS,
    Exporter,
    ExportOptions,
    Inputs,
    as_export_error,
    check_exportable,
    fold_parametrizations,
    is_generative,
    optimum_task,
    rank_by_sensitivity,
    select_inputs,
)
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from openvino import Model
    from transformers import PretrainedConfig, PreTrainedModel

    from hftransfer.exporters import ExportedModel
    from hftransfer.tasks import Processor

# The operators that NNCF quantizes, as OpenVINO calls them.
_QUANTIZED = ("MatMul", "Convolution", "GroupConvolution")


class OpenVino(Exporter):
    """`openvino_model.xml` in fp32; weights in int8 or int4; weights and activations in int8 by calibration."""

    requires: ClassVar[dict[str, str]] = {"openvino": "openvino", "nncf": "openvino", "optimum": "openvino"}
    module: ClassVar[str] = "optimum.intel"
    package: ClassVar[str] = "optimum-intel[openvino]"

    def check(self, auto_model: str, config: PretrainedConfig, scheme: str | None) -> None:
        import optimum.exporters.openvino  # noqa: F401 - registers the architectures with TasksManager

        check_exportable(auto_model, config, "openvino")
        if scheme == "int8-static" and auto_model in ("AutoModelForSeq2SeqLM", "AutoModelForSpeechSeq2Seq"):
            raise ExportError("export: a model of several graphs is not calibrated; use dynamic-int8 or weight-int4")
        if scheme == "int8-static" and auto_model == "AutoModelForCausalLM":
            raise ExportError("export: a model with a cache of keys and values is not calibrated; use weight-int4")

    def export(self, task: Task, model: PreTrainedModel, processor: Processor, folder: Path) -> None:
        from optimum.exporters.openvino import export_from_model

        model = fold_parametrizations(model)
        with _as_openvino_error(f"Optimum cannot export {type(model).__name__} to OpenVINO"):
            export_from_model(model, folder, task=optimum_task(model))
        processor.save_pretrained(folder)

    def schemes(self, source: Path) -> list[str]:
        return ["int8", "int4"] if is_generative(source) else ["int8", "int8-static", "int4"]

    def make_variant(
        self, scheme: str, source: Path, folder: Path, options: ExportOptions, excluded_nodes: frozenset[str]
    ) -> None:
        import openvino

        for file in source.iterdir():
            if file.is_file() and file.suffix not in (".xml", ".bin"):
                shutil.copy2(file, folder)
        for file in sorted(source.glob("*.xml")):
            with _as_openvino_error(f"{file.name} cannot be quantized"):
                graph = openvino.Core().read_model(file)
                if scheme == "int8-static":
                    quantized = _quantize_static(graph, options, excluded_nodes)
                else:
                    quantized = _compress_weights(graph, scheme)
                openvino.save_model(quantized, folder / file.name, compress_to_fp16=False)

    def sensitive_nodes(self, source: Path, options: ExportOptions) -> list[list[str]]:
        import openvino

        file, rows = source / "openvino_model.xml", options.rows()[:SENSITIVITY_ROWS]
        graph = openvino.Core().read_model(file)
        nodes = [node.get_friendly_name() for node in graph.get_ordered_ops() if node.get_type_name() in _QUANTIZED]

        def quantize_alone(group: list[str]) -> list[np.ndarray]:
            others = frozenset(nodes) - frozenset(group)
            return _first_outputs(_quantize_static(openvino.Core().read_model(file), options, others), rows)

        return rank_by_sensitivity(nodes, _first_outputs(graph, rows), quantize_alone)

    def load(self, task: Task, folder: Path, threads: int = 0) -> ExportedModel:
        import optimum.intel as runtimes
        import torch
        from transformers import AutoConfig

        name = task.model_class(AutoConfig.from_pretrained(folder)).replace("Auto", "OV", 1)
        model_class = getattr(runtimes, name, runtimes.OVModelForCustomTasks)
        settings = {"INFERENCE_NUM_THREADS": threads or torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
        with _as_openvino_error(f"OpenVINO cannot load '{folder.name}'"):
            model: ExportedModel = model_class.from_pretrained(folder, device="CPU", ov_config=settings)
            return model

    def files(self, folder: Path) -> list[str]:
        return sorted(file.name for file in folder.iterdir() if file.suffix in (".xml", ".bin"))


def _as_openvino_error(failure: str) -> AbstractContextManager[None]:
    """Turn exceptions of Optimum and of NNCF into a sentence."""
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
    import openvino

    compiled = openvino.compile_model(graph, "CPU")
    return [np.asarray(compiled(row)[0]) for row in _inputs_of(graph, rows)]
