"""ONNX through Optimum and the ONNX runtime (https://huggingface.co/docs/optimum-onnx)."""

import shutil
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from hftransfer.errors import ExportError, MissingExtraError
from hftransfer.exporters import Exporter
from hftransfer.tasks import Task

# What dynamic quantization turns into integers; convolutions lose their accuracy under it.
_DYNAMIC = ["MatMul", "Gemm", "Gather"]


class Onnx(Exporter):
    """`model.onnx` in fp32, and in int8 with weights per channel and activations scaled as they come."""

    requires: ClassVar[dict[str, str]] = {"onnxruntime": "onnx", "optimum": "onnx"}

    def check_installed(self) -> None:
        installed = version("transformers")
        if int(installed.partition(".")[0]) >= 5:
            raise MissingExtraError(
                f"'onnx' works with transformers 4.57, and {installed} is installed: leave `export` out here, and "
                "export a finished run (hftransfer export RUN) in an environment made with -c constraints/default.txt "
                "by pip install 'hftransfer[onnx]'"
            )
        super().check_installed()

    def export(self, task: Task, model: Any, processor: Any, folder: Path) -> None:
        from optimum.exporters.onnx import onnx_export_from_model
        from optimum.exporters.tasks import TasksManager

        kind = TasksManager.infer_task_from_model(type(model), library_name="transformers")
        if model.can_generate():
            kind += "-with-past"
        # Whisper takes recordings of one length alone; the exporter supposes that of the published checkpoints.
        positions = getattr(model.config, "max_source_positions", None)
        shapes = {"nb_max_frames": 2 * positions} if positions else {}
        try:
            with warnings.catch_warnings():
                # The tracer warns of every Python branch; whether that matters is seen on the test rows, all of which
                # are compared afterwards, so the exporter's own validation on made-up inputs is left out too.
                warnings.simplefilter("ignore")
                onnx_export_from_model(model, folder, task=kind, do_validation=False, **shapes)
        except (KeyError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ExportError(f"Optimum cannot export {type(model).__name__} to ONNX: {reason}") from error
        if (folder / "decoder_model_merged.onnx").is_file():
            # The merged decoder does what these two do.
            for name in ("decoder_model.onnx", "decoder_with_past_model.onnx"):
                (folder / name).unlink()
        processor.save_pretrained(folder)

    def quantize(self, source: Path, folder: Path, quantization: str) -> None:
        from optimum.onnxruntime import ORTQuantizer
        from optimum.onnxruntime.configuration import AutoQuantizationConfig

        # Signed weights are twice as fast where the processor has VNNI, and overflow on AVX2 without it.
        target = AutoQuantizationConfig.avx512_vnni if _has_vnni() else AutoQuantizationConfig.avx2
        config = target(is_static=False, per_channel=True, operators_to_quantize=_DYNAMIC)
        for file in source.iterdir():
            if file.is_file() and file.suffix != ".onnx" and not file.name.endswith(".onnx_data"):
                shutil.copy2(file, folder)
        for file in sorted(source.glob("*.onnx")):
            quantizer = ORTQuantizer.from_pretrained(source, file_name=file.name)
            quantizer.quantize(save_dir=folder, quantization_config=config, file_suffix=None)

    def load(self, task: Task, folder: Path) -> Any:
        import optimum.onnxruntime as runtimes
        from transformers import AutoConfig

        name = task.model_class(AutoConfig.from_pretrained(folder)).replace("Auto", "ORT", 1)
        return getattr(runtimes, name, runtimes.ORTModelForCustomTasks).from_pretrained(folder)

    def files(self, folder: Path) -> list[str]:
        return sorted(file.name for file in folder.glob("*.onnx*"))


def _has_vnni() -> bool:
    info = Path("/proc/cpuinfo")
    return info.is_file() and "_vnni" in info.read_text()
