"""ONNX through Optimum and the ONNX runtime (https://huggingface.co/docs/optimum-onnx)."""

import os
import shutil
import tempfile
import warnings
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hftransfer.core import machine
from hftransfer.core.errors import ExportError, MissingExtraError
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
from hftransfer.exporters._graph import simplify
from hftransfer.tasks import Task

# What integers suit. Of all that Optimum would turn into integers by default, LayerNorm, Softmax and residual sums
# lose a transformer's accuracy.
_LINEAR = ["MatMul", "Gemm", "Gather"]
_SUPPORTED = [*_LINEAR, "Conv", "Clip", "Relu"]
_WRITERS = ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM", "AutoModelForSpeechSeq2Seq")


class Onnx(Exporter):
    """`model.onnx` in fp32; optimized; in int8, its activations scaled as they come or by calibration; in int4."""

    requires: ClassVar[dict[str, str]] = {"onnxruntime": "onnx", "optimum": "onnx"}
    module: ClassVar[str] = "optimum.onnxruntime"
    package: ClassVar[str] = "optimum-onnx[onnxruntime]"
    keys: ClassVar[frozenset[str]] = frozenset({"optimize", "operators", "target"})

    def check_installed(self) -> None:
        installed = version("transformers")
        if int(installed.partition(".")[0]) >= 5:
            raise MissingExtraError(
                f"'onnx' works with transformers 4.57, and {installed} is installed: leave `export` out here, and "
                "export a finished run (hftransfer export RUN) in an environment made with -c constraints/default.txt "
                "by pip install 'hftransfer-recipes[onnx]'"
            )
        super().check_installed()

    def check(self, kind: str, config: Any, scheme: str | None) -> None:
        import optimum.exporters.onnx.model_configs  # noqa: F401 - which tells TasksManager what it knows

        check_known(kind, config, "onnx")
        if kind in _WRITERS and scheme in ("optimized", "int8-static"):
            raise ExportError(
                "export: Optimum neither optimizes nor calibrates a model that writes (its decoder has subgraphs); "
                "use dynamic-int8 or weight-int4"
            )
        if scheme == "optimized":
            from optimum.onnxruntime.utils import ORTConfigManager

            with _upstream("export.optimize: Optimum cannot optimize it"):
                ORTConfigManager.check_supported_model(config.model_type)

    def export(self, task: Task, model: Any, processor: Any, folder: Path) -> None:
        from optimum.exporters.onnx import onnx_export_from_model

        model = fold_parametrizations(model)
        # Whisper takes recordings of one length alone; the exporter supposes that of the published checkpoints.
        positions = getattr(model.config, "max_source_positions", None)
        shapes = {"nb_max_frames": 2 * positions} if positions else {}
        with _upstream(f"Optimum cannot export {type(model).__name__} to ONNX"), warnings.catch_warnings():
            # The tracer warns of every Python branch; whether that matters is seen on the test rows, all of which
            # are compared afterwards, so the exporter's own validation on made-up inputs is left out too.
            warnings.simplefilter("ignore")
            onnx_export_from_model(model, folder, task=optimum_task(model), do_validation=False, **shapes)
        if (folder / "decoder_model_merged.onnx").is_file():
            # The merged decoder does what these two do.
            for name in ("decoder_model.onnx", "decoder_with_past_model.onnx"):
                (folder / name).unlink()
        if not is_generative(folder):
            for file in folder.glob("*.onnx"):
                with _upstream(f"{file.name} cannot be simplified"):
                    simplify(file)
        processor.save_pretrained(folder)

    def schemes(self, source: Path) -> list[str]:
        return ["int8", "int4"] if is_generative(source) else ["optimized", "int8", "int8-static"]

    def make(
        self, scheme: str, source: Path, folder: Path, options: ExportOptions, excluded_nodes: frozenset[str]
    ) -> None:
        for file in source.iterdir():
            if file.is_file() and file.suffix != ".onnx" and not file.name.endswith(".onnx_data"):
                shutil.copy2(file, folder)
        if scheme == "optimized":
            _optimize(source, folder, options.optimize)
        elif scheme == "int4":
            _pack(source, folder)
        elif scheme == "int8":
            _quantize(source, folder, options, _dynamic_operators(source, options), {})
        else:
            operators = _SUPPORTED if options.operators == "supported" else None
            _quantize(source, folder, options, operators, {"nodes_to_exclude": sorted(excluded_nodes)}, static=True)

    def sensitive(self, source: Path, options: ExportOptions) -> list[list[str]]:
        import onnx

        rows = options.rows()[:PROBES]

        def alone(nodes: list[str]) -> list[np.ndarray]:
            with tempfile.TemporaryDirectory() as place:
                _quantize(source, Path(place), options, _SUPPORTED, {"nodes_to_quantize": nodes}, static=True)
                return _run(Path(place) / "model.onnx", rows)

        graph = onnx.load(source / "model.onnx", load_external_data=False).graph
        nodes = [node.name for node in graph.node if node.op_type in ("MatMul", "Gemm", "Conv")]
        return rank_by_sensitivity(nodes, _run(source / "model.onnx", rows), alone)

    def load(self, task: Task, folder: Path, threads: int = 0) -> Any:
        import optimum.onnxruntime as runtimes
        from transformers import AutoConfig

        name = task.model_class(AutoConfig.from_pretrained(folder)).replace("Auto", "ORT", 1)
        kind = getattr(runtimes, name, runtimes.ORTModelForCustomTasks)
        with _upstream(f"the runtime cannot load '{folder.name}'"):
            return kind.from_pretrained(folder, session_options=_options(threads))

    def files(self, folder: Path) -> list[str]:
        return sorted(file.name for file in folder.glob("*.onnx*"))


def _upstream(what: str) -> AbstractContextManager[None]:
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    return upstream(
        what,
        runtime.Fail,
        runtime.InvalidArgument,
        runtime.InvalidGraph,
        runtime.NotImplemented,
        runtime.RuntimeException,
    )


def _optimize(source: Path, folder: Path, level: str) -> None:
    from optimum.onnxruntime import AutoOptimizationConfig, ORTOptimizer

    with _upstream("Optimum cannot optimize the model"), tempfile.TemporaryDirectory(dir=folder.parent) as place:
        # Optimum removes the weights of a large model beside its source.
        shutil.copytree(source, place, dirs_exist_ok=True, copy_function=os.link)
        optimizer = ORTOptimizer.from_pretrained(place)
        config = AutoOptimizationConfig.with_optimization_level(level)
        optimizer.optimize(save_dir=folder, optimization_config=config, file_suffix="")


def _pack(source: Path, folder: Path) -> None:
    """Weights of MatMul in blocks of 32 with a scale each, 4 bits a weight; activations stay decimal."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from onnxruntime.quantization.onnx_model import ONNXModel

    for file in sorted(source.glob("*.onnx")):
        with _upstream(f"{file.name} cannot be packed"):
            model = ONNXModel(onnx.load(file))
            model.replace_gemm_with_matmul()
            quantizer = MatMulNBitsQuantizer(model.model, block_size=32, is_symmetric=True)
            quantizer.process()
            quantizer.model.save_model_to_file(str(folder / file.name), False)


def _dynamic_operators(source: Path, options: ExportOptions) -> list[str] | None:
    """Convolutions too where they hold most of the weights: without them such a model would stay as it is."""
    import onnx

    if options.operators == "all":
        return None
    sizes: Counter[str] = Counter()
    for file in source.glob("*.onnx"):
        graph = onnx.load(file, load_external_data=False).graph
        weights = {it.name: int(np.prod(it.dims)) for it in graph.initializer}
        for node in graph.node:
            sizes[node.op_type] += sum(weights.get(name, 0) for name in node.input)
    return _SUPPORTED if sizes["Conv"] > sum(sizes[name] for name in _LINEAR) else _LINEAR


def _quantize(
    source: Path,
    folder: Path,
    options: ExportOptions,
    operators: list[str] | None,
    nodes: dict[str, Any],
    static: bool = False,
) -> None:
    from onnxruntime.quantization import QuantType
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    target = options.target or machine.instructions()
    config = getattr(AutoQuantizationConfig, target)(
        is_static=static, per_channel=True, operators_to_quantize=operators, **nodes
    )
    if target in ("avx2", "avx512"):
        # Signed weights are faster than unsigned ones; of eight bits they overflow where there is no VNNI.
        # https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
        config = replace(config, weights_dtype=QuantType.QInt8, reduce_range=True)
    for file in sorted(source.glob("*.onnx")):
        quantizer = ORTQuantizer.from_pretrained(source, file_name=file.name)
        with _upstream(f"{file.name} cannot be quantized"):
            more = {"calibration_tensors_range": _ranges(file, quantizer, options, config)} if static else {}
            quantizer.quantize(save_dir=folder, quantization_config=config, file_suffix=None, **more)


def _ranges(file: Path, quantizer: Any, options: ExportOptions, config: Any) -> Any:
    """Least and greatest value of every tensor of the graph over the calibration rows, computed once."""
    from onnxruntime.quantization import CalibrationMethod
    from optimum.onnxruntime.configuration import CalibrationConfig

    key = (str(file), *(config.operators_to_quantize or ()))
    if key not in options.known:
        _, given = _opened(file, options.rows())
        # Optimum makes batches of the rows itself.
        rows = [{name: array[0] for name, array in row.items()} for row in given]
        calibration = CalibrationConfig("training rows", "", "train", len(rows), CalibrationMethod.MinMax)
        with tempfile.TemporaryDirectory() as place:
            options.known[key] = quantizer.fit(
                rows,
                calibration,
                onnx_augmented_model_name=str(Path(place) / "augmented.onnx"),
                operators_to_quantize=config.operators_to_quantize,
            )
    return options.known[key]


def _options(threads: int = 0) -> Any:
    """How a session runs: on as many threads as PyTorch, beside which it is measured, unless told otherwise."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    return options


def _opened(file: Path, rows: list[Inputs]) -> tuple[Any, list[Inputs]]:
    """The model in a file, and of the rows what it takes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), _options(), providers=["CPUExecutionProvider"])
    return session, select_inputs(rows, {it.name for it in session.get_inputs()})


def _run(file: Path, rows: list[Inputs]) -> list[np.ndarray]:
    """The first output of each row."""
    session, given = _opened(file, rows)
    return [np.asarray(session.run(None, row)[0]) for row in given]
