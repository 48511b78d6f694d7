"""ONNX through Optimum and the ONNX runtime (https://huggingface.co/docs/optimum-onnx)."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import PrivateAttr

from hftransfer.core.errors import ExportError, MissingExtraError
from hftransfer.exporters import (
    SENSITIVITY_ROWS,
    Exporter,
    ExportOptions,
    Inputs,
    check_exportable,
    fold_parametrizations,
    is_generative,
    optimum_task,
    rank_by_sensitivity,
)
from hftransfer.exporters._quantization import (
    Int8Quantizer,
    TensorRanges,
    as_onnx_error,
    first_outputs,
    quantize_weights_int4,
    session_options,
)
from hftransfer.exporters._simplification import simplify
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from hftransfer.exporters import ExportedModel
    from hftransfer.tasks import Processor

_GENERATIVE = ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM", "AutoModelForSpeechSeq2Seq")


class Onnx(Exporter):
    """`model.onnx` in fp32; optimized; in int8, its activations scaled dynamically or by calibration; in int4."""

    requires: ClassVar[dict[str, str]] = {"onnxruntime": "onnx", "optimum": "onnx"}
    module: ClassVar[str] = "optimum.onnxruntime"
    package: ClassVar[str] = "optimum-onnx[onnxruntime]"
    keys: ClassVar[frozenset[str]] = frozenset({"optimize", "operators", "target"})

    _ranges: dict[Callable[[], list[Inputs]], dict[tuple[str, ...], TensorRanges]] = PrivateAttr(default_factory=dict)
    """Calibration rows -> what was computed of them; a search quantizes the same graph many times."""

    def check_installed(self) -> None:
        installed = version("transformers")
        if int(installed.partition(".")[0]) >= 5:
            raise MissingExtraError(
                f"'onnx' works with transformers 4.57, and {installed} is installed: leave `export` out here, and "
                "export a finished run (hftransfer export RUN) in an environment made with -c constraints/default.txt "
                "by pip install 'hftransfer-recipes[onnx]'"
            )
        super().check_installed()

    def check(self, auto_model: str, config: PretrainedConfig, scheme: str | None) -> None:
        import optimum.exporters.onnx.model_configs  # noqa: F401 - registers the architectures with TasksManager

        check_exportable(auto_model, config, "onnx")
        if auto_model in _GENERATIVE and scheme in ("optimized", "int8-static"):
            raise ExportError(
                "export: Optimum neither optimizes nor calibrates a generative model (its decoder has subgraphs); "
                "use dynamic-int8 or weight-int4"
            )
        if scheme == "optimized":
            from optimum.onnxruntime.utils import ORTConfigManager

            with as_onnx_error("export.optimize: Optimum cannot optimize it"):
                ORTConfigManager.check_supported_model(config.model_type)

    def export(self, task: Task, model: PreTrainedModel, processor: Processor, folder: Path) -> None:
        from optimum.exporters.onnx import onnx_export_from_model

        model = fold_parametrizations(model)
        # Whisper takes recordings of one length alone; the exporter assumes that of the published checkpoints.
        positions = getattr(model.config, "max_source_positions", None)
        shapes = {"nb_max_frames": 2 * positions} if positions else {}
        with as_onnx_error(f"Optimum cannot export {type(model).__name__} to ONNX"), warnings.catch_warnings():
            # The tracer warns of every Python branch. Whether one matters shows on the test rows, all of which are
            # compared afterwards; so the exporter's own validation on random inputs is left out too.
            warnings.simplefilter("ignore")
            onnx_export_from_model(model, folder, task=optimum_task(model), do_validation=False, **shapes)
        if (folder / "decoder_model_merged.onnx").is_file():
            # The merged decoder replaces these two.
            for name in ("decoder_model.onnx", "decoder_with_past_model.onnx"):
                (folder / name).unlink()
        if not is_generative(folder):
            for file in folder.glob("*.onnx"):
                with as_onnx_error(f"{file.name} cannot be simplified"):
                    simplify(file)
        processor.save_pretrained(folder)

    def schemes(self, source: Path) -> list[str]:
        return ["int8", "int4"] if is_generative(source) else ["optimized", "int8", "int8-static"]

    def make_variant(
        self, scheme: str, source: Path, folder: Path, options: ExportOptions, excluded_nodes: frozenset[str]
    ) -> None:
        for file in source.iterdir():
            if file.is_file() and file.suffix != ".onnx" and not file.name.endswith(".onnx_data"):
                shutil.copy2(file, folder)
        if scheme == "optimized":
            _optimize(source, folder, options.optimize)
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
        nodes = [node.name for node in graph.node if node.op_type in ("MatMul", "Gemm", "Conv")]
        return rank_by_sensitivity(nodes, first_outputs(source / "model.onnx", rows), quantize_alone)

    def load(self, task: Task, folder: Path, threads: int = 0) -> ExportedModel:
        import optimum.onnxruntime as runtimes
        from transformers import AutoConfig

        name = task.model_class(AutoConfig.from_pretrained(folder)).replace("Auto", "ORT", 1)
        model_class = getattr(runtimes, name, runtimes.ORTModelForCustomTasks)
        with as_onnx_error(f"the runtime cannot load '{folder.name}'"):
            model: ExportedModel = model_class.from_pretrained(folder, session_options=session_options(threads))
            return model

    def files(self, folder: Path) -> list[str]:
        return sorted(file.name for file in folder.glob("*.onnx*"))

    def _quantizer(self, source: Path, options: ExportOptions) -> Int8Quantizer:
        return Int8Quantizer(source, options, self._ranges.setdefault(options.rows, {}))


def _optimize(source: Path, folder: Path, level: str) -> None:
    from optimum.onnxruntime import AutoOptimizationConfig, ORTOptimizer

    with as_onnx_error("Optimum cannot optimize the model"), tempfile.TemporaryDirectory(dir=folder.parent) as place:
        # Optimum deletes the weights of a large model after it has read them: it gets a folder of hard links.
        shutil.copytree(source, place, dirs_exist_ok=True, copy_function=os.link)
        optimizer = ORTOptimizer.from_pretrained(place)
        config = AutoOptimizationConfig.with_optimization_level(level)
        optimizer.optimize(save_dir=folder, optimization_config=config, file_suffix="")
