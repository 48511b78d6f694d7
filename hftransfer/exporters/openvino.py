"""OpenVINO through Optimum Intel and NNCF (https://huggingface.co/docs/optimum-intel/openvino/inference)."""

import logging
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hftransfer.core.errors import ExportError
from hftransfer.exporters import (
    PROBES,
    Exporter,
    ExportOptions,
    Inputs,
    check_known,
    fold_parametrizations,
    is_generative,
    optimum_task,
    rank_by_sensitivity,
    select_inputs,
    upstream,
)
from hftransfer.tasks import Task

# What becomes integers, as OpenVINO calls it.
_KINDS = ("MatMul", "Convolution", "GroupConvolution")


class OpenVino(Exporter):
    """`openvino_model.xml` in fp32; weights in int8 or int4; weights and activations in int8 by calibration."""

    requires: ClassVar[dict[str, str]] = {"openvino": "openvino", "nncf": "openvino", "optimum": "openvino"}
    module: ClassVar[str] = "optimum.intel"
    package: ClassVar[str] = "optimum-intel[openvino]"

    def check(self, kind: str, config: Any, scheme: str | None) -> None:
        import optimum.exporters.openvino  # noqa: F401 - which tells TasksManager what it knows

        check_known(kind, config, "openvino")
        if scheme == "int8-static" and kind in ("AutoModelForSeq2SeqLM", "AutoModelForSpeechSeq2Seq"):
            raise ExportError("export: a model of several graphs is not calibrated; use dynamic-int8 or weight-int4")
        if scheme == "int8-static" and kind == "AutoModelForCausalLM":
            raise ExportError("export: a model that keeps what it has read is not calibrated; use weight-int4")

    def export(self, task: Task, model: Any, processor: Any, folder: Path) -> None:
        from optimum.exporters.openvino import export_from_model

        model = fold_parametrizations(model)
        with _upstream(f"Optimum cannot export {type(model).__name__} to OpenVINO"):
            export_from_model(model, folder, task=optimum_task(model))
        processor.save_pretrained(folder)

    def schemes(self, source: Path) -> list[str]:
        return ["int8", "int4"] if is_generative(source) else ["int8", "int8-static", "int4"]

    def make(
        self, scheme: str, source: Path, folder: Path, options: ExportOptions, excluded_nodes: frozenset[str]
    ) -> None:
        import openvino

        for file in source.iterdir():
            if file.is_file() and file.suffix not in (".xml", ".bin"):
                shutil.copy2(file, folder)
        for file in sorted(source.glob("*.xml")):
            with _upstream(f"{file.name} cannot be made smaller"):
                graph = openvino.Core().read_model(file)
                made = (
                    _calibrated(graph, options, excluded_nodes)
                    if scheme == "int8-static"
                    else _compressed(graph, scheme)
                )
                openvino.save_model(made, folder / file.name, compress_to_fp16=False)

    def sensitive(self, source: Path, options: ExportOptions) -> list[list[str]]:
        import openvino

        file, rows = source / "openvino_model.xml", options.rows()[:PROBES]
        graph = openvino.Core().read_model(file)
        nodes = [node.get_friendly_name() for node in graph.get_ordered_ops() if node.get_type_name() in _KINDS]

        def alone(group: list[str]) -> list[np.ndarray]:
            others = frozenset(nodes) - frozenset(group)
            return _run(_calibrated(openvino.Core().read_model(file), options, others), rows)

        return rank_by_sensitivity(nodes, _run(graph, rows), alone)

    def load(self, task: Task, folder: Path, threads: int = 0) -> Any:
        import optimum.intel as runtimes
        import torch
        from transformers import AutoConfig

        name = task.model_class(AutoConfig.from_pretrained(folder)).replace("Auto", "OV", 1)
        kind = getattr(runtimes, name, runtimes.OVModelForCustomTasks)
        settings = {"INFERENCE_NUM_THREADS": threads or torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
        with _upstream(f"OpenVINO cannot load '{folder.name}'"):
            return kind.from_pretrained(folder, device="CPU", ov_config=settings)

    def files(self, folder: Path) -> list[str]:
        return sorted(file.name for file in folder.iterdir() if file.suffix in (".xml", ".bin"))


def _upstream(what: str) -> AbstractContextManager[None]:
    import nncf

    return upstream(
        what,
        nncf.ValidationError,
        nncf.InternalError,
        nncf.InvalidGroupSizeError,
        nncf.UnsupportedModelError,
        nncf.ParameterNotSupportedError,
    )


def _nncf() -> Any:
    """NNCF without its tables of what it compressed, which would stand between the progress bars."""
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf


def _compressed(graph: Any, scheme: str) -> Any:
    """Weights in int8 by channel, or in int4 in blocks of 32; activations stay decimal."""
    nncf = _nncf()

    if scheme == "int8":
        return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)
    # A matrix that 32 does not divide stays in int8.
    fallback = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.IGNORE)
    return nncf.compress_weights(
        graph,
        mode=nncf.CompressWeightsMode.INT4_SYM,
        group_size=32,
        all_layers=True,
        advanced_parameters=fallback,
    )


def _calibrated(graph: Any, options: ExportOptions, excluded_nodes: frozenset[str]) -> Any:
    nncf = _nncf()

    rows = _taken(graph, options.rows())
    scope = nncf.IgnoredScope(names=sorted(excluded_nodes)) if excluded_nodes else None
    return nncf.quantize(
        graph, nncf.Dataset(rows), subset_size=len(rows), model_type=nncf.ModelType.TRANSFORMER, ignored_scope=scope
    )


def _taken(graph: Any, rows: list[Inputs]) -> list[Inputs]:
    return select_inputs(rows, {port.get_any_name() for port in graph.inputs})


def _run(graph: Any, rows: list[Inputs]) -> list[np.ndarray]:
    """The first output of each row."""
    import openvino

    compiled = openvino.compile_model(graph, "CPU")
    return [np.asarray(compiled(row)[0]) for row in _taken(graph, rows)]
