"""How the model card's Python snippets load and call a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hftransfer.core import plugins
from hftransfer.core.results import RunResult
from hftransfer.core.variants import Variant

_EXAMPLES = {"text": "A text.", "words": "A text.", "image": "image.png", "audio": "speech.wav"}
# The arguments of `transformers.pipeline` for what each Auto class loads.
_PROCESSOR_ARGUMENTS = {
    "AutoTokenizer": ["tokenizer"],
    "AutoImageProcessor": ["image_processor"],
    "AutoFeatureExtractor": ["feature_extractor"],
    "AutoProcessor": ["tokenizer"],
}
# Suffixes that transformers.js looks for; of the int8 schemes one is exported at a time.
_HUB_SUFFIXES = {"": "", "int8": "_quantized", "int4": "_q4"}


class _FeatureType(Protocol):
    name: str


class CardTask(Protocol):
    """What the card asks of a task."""

    inputs: Mapping[str, _FeatureType]
    auto_model: str
    auto_processor: str
    pretraining: str

    @property
    def pipeline_example(self) -> str:
        """The pipeline's input, as Python; empty for an example of the input type."""

    @property
    def pipeline_preparation(self) -> tuple[str, str]:
        """What the pipeline does not do to an input, and the Python that does it and asks; empty for nothing."""

    @property
    def pipeline_activation(self) -> str:
        """What the pipeline has to apply to the logits; empty for its default."""

    @property
    def model_outputs(self) -> int | None:
        """How many logits the head has, where the labels do not say so."""

    @property
    def usage_snippet(self) -> tuple[str, str, str] | None:
        """Import, load and call, if Transformers has no pipeline for the task."""


@dataclass(frozen=True)
class ModelUsage:
    """Python that imports, loads and calls the model in Transformers."""

    imports: str
    load: str
    call: str
    preparation: tuple[str, str] = ("", "")
    """What the call leaves out that the run did to an input, and the Python that does it before the call."""


@dataclass(frozen=True)
class ExportUsage:
    """How Optimum loads an exported variant from the Hub, in an environment of its own."""

    variant: str
    package: str
    """What pip installs."""
    module: str
    loader: str
    subfolder: str
    file_options: str
    """Further arguments of `from_pretrained`, with a leading comma."""
    pipeline: list[str]
    """Lines between loading and calling."""


@dataclass(frozen=True)
class RuntimeUsage:
    """Python that runs an ONNX export without Transformers."""

    package: str
    imports: str
    folder: str
    model: str
    body: str


@dataclass(frozen=True)
class AdapterUsage:
    """The checkpoint that an adapter is loaded onto."""

    base: str
    revision: str
    options: str
    """Further arguments of `from_pretrained`, with a leading comma."""


def card_task(result: RunResult) -> CardTask:
    """The run's task, with the fields that the run inferred and the class names."""
    cls = plugins.load("tasks", result.task)
    fields = {key: value for key, value in result.recipe["task"].items() if key in cls.model_fields}
    task: CardTask = cls.model_validate(fields).with_labels(tuple(result.data.labels))
    return task


def input_types(task: CardTask) -> list[str]:
    """The feature types of a task's inputs: `text`, `words`, `image`, `audio`."""
    return [feature.name for feature in task.inputs.values()]


def repository(result: RunResult, repo: str | None) -> str:
    """The line of Python that names the repository."""
    name = repo or f"OWNER/{re.sub(r'[^A-Za-z0-9._-]', '-', result.name)}"
    return f'repo = "{name}"  # the id on the Hub, or a local copy'


def model_usage(result: RunResult, task: CardTask) -> ModelUsage | None:
    """Loading and calling in Transformers; None for a checkpoint that has no head to call."""
    if task.pretraining:
        return None
    if task.usage_snippet:
        return ModelUsage(*task.usage_snippet)
    types = input_types(task)
    example = next(_EXAMPLES[name] for name in types if name in _EXAMPLES)
    imports, load = "from transformers import pipeline", f'pipe = pipeline("{result.task}", model=repo)'
    if "audio" in types:
        # Given a path, Transformers would need ffmpeg to read it and torchaudio to resample it.
        resampled = "soxr.resample(samples.mean(axis=1), rate, pipe.feature_extractor.sampling_rate)"
        read = f'samples, rate = soundfile.read("{example}", dtype="float32", always_2d=True)'
        call = f"{read}\nanswer = pipe({resampled})"
        return ModelUsage(f"import soundfile\nimport soxr\n{imports}", load, call)
    option = f', function_to_apply="{task.pipeline_activation}"' if task.pipeline_activation else ""
    argument = task.pipeline_example or f'"{example}"'
    return ModelUsage(imports, load, f"answer = pipe({argument}{option})", task.pipeline_preparation)


def export_usage(result: RunResult, task: CardTask) -> ExportUsage | None:
    """Loading of the last accepted export; None without one."""
    accepted = _accepted_exports(result)
    if not accepted:
        return None
    variant, facts = Variant.parse(accepted[-1]), result.exports[accepted[-1]]
    exporter = plugins.load("exporters", variant.runtime)
    models = [file for file in facts.files if file.endswith((".onnx", ".xml"))]
    files = [option for file in models for option in _file_options(variant, file)]
    pipeline = []
    if not task.usage_snippet:
        names = [*_PROCESSOR_ARGUMENTS[task.auto_processor]]
        if task.auto_processor == "AutoProcessor":
            names += ["image_processor" if "image" in input_types(task) else "feature_extractor"]
        processors = ", ".join(f"{argument}=repo" for argument in names)
        # The pipeline reads an attribute that these classes of Optimum lack.
        pipeline += ['model.main_input_name = "input_values"'] if facts.loader.endswith("ModelForCTC") else []
        pipeline += [f'pipe = pipeline("{result.task}", model=model, {processors})']
    return ExportUsage(
        variant=variant.name,
        package=exporter.package,
        module=exporter.module,
        loader=facts.loader,
        subfolder=variant.runtime,
        file_options="".join(f", {file}" for file in files) + exporter().loader_options(variant.scheme),
        pipeline=pipeline,
    )


def runtime_usage(result: RunResult, repo: str | None) -> RuntimeUsage | None:
    """The last accepted export in ONNX Runtime alone; None if it is not ONNX, or the task has no such snippet.

    A local run has the model's files in the variant's folder, the Hub in that of the runtime.
    """
    accepted = _accepted_exports(result)
    if not accepted or not result.runtime_snippet:
        return None
    variant = Variant.parse(accepted[-1])
    if variant.runtime != "onnx":
        return None
    file = result.exports[variant.name].files[0]
    imports, _, body = result.runtime_snippet.partition("\n\n")
    local = f'Path("{variant.name}")  # in the run\'s folder'
    return RuntimeUsage(
        package="tokenizers" if "tokenizers" in result.runtime_snippet else "pillow",
        imports=imports,
        folder='Path(".")  # a local copy of the repository' if repo else local,
        model=f"onnx/{hub_file_name(variant, file)}" if repo else file,
        body=body,
    )


def adapter_usage(result: RunResult, task: CardTask) -> AdapterUsage:
    """Loading of a PEFT adapter onto its checkpoint."""
    base, count = result.recipe["model"]["id"], task.model_outputs or len(result.data.labels)
    options = f", num_labels={count}, ignore_mismatched_sizes=True" if count else ""
    return AdapterUsage(base, result.revisions[base], options)


def hub_file_name(variant: Variant, file: str) -> str:
    """The name of an exported file in the repository's folder of its runtime, as transformers.js looks for it."""
    if file.endswith(("_data", ".data")):
        # The graph names its file of weights.
        return file
    stem, dot, ending = file.rpartition(".")
    suffix = _HUB_SUFFIXES.get(variant.base_scheme, f"_{variant.scheme}")
    return f"{stem}{suffix}{dot}{ending}"


def _accepted_exports(result: RunResult) -> list[str]:
    return [name for name in result.exports if name not in result.rejected()]


def _file_options(variant: Variant, file: str) -> list[str]:
    """Optimum's arguments for a file: a whole model, an encoder, or a decoder.

    A merged decoder runs with and without past key values, so that it is passed as both.
    """
    arguments = {"encoder_": ["encoder_file_name"], "decoder_": ["decoder_file_name", "decoder_with_past_file_name"]}
    stem, name = file.removeprefix("openvino_"), hub_file_name(variant, file)
    parts = next((names for start, names in arguments.items() if stem.startswith(start)), [])
    if not parts:
        return [f'file_name="{name}"']
    # optimum-intel looks for them in the repository's root, whatever `subfolder` is.
    folder = "openvino/" if variant.runtime == "openvino" else ""
    return [f'{argument}="{folder}{name}"' for argument in parts]
