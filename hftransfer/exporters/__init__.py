"""Runtimes that a trained model is exported to, and what exporters share. Each file of this folder is one runtime."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hftransfer.core import machine
from hftransfer.core.compat import save_processor
from hftransfer.core.errors import ExportError
from hftransfer.core.plugins import Plugin
from hftransfer.core.progress import Progress
from hftransfer.exporters._errors import read_config
from hftransfer.tasks import ModelBatch, Task

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel
    from transformers.utils import ModelOutput

    from hftransfer.tasks import Processor

    ExportedModel = Callable[..., ModelOutput]
    """A model in its runtime, called with the same keyword arguments as the PyTorch model."""

Inputs = dict[str, np.ndarray]
"""One row as the model takes it: name -> array of shape (1, ...)."""

SCHEMES = {"dynamic-int8": "int8", "static-int8": "int8-static", "weight-int4": "int4"}
"""Quantization as a recipe names it -> the scheme in the variant's name."""

SENSITIVITY_ROWS = 16
"""Rows on which the sensitivity of groups of nodes is measured."""

_GENERATIVE = (
    "AutoModelForCausalLM",
    "AutoModelForImageTextToText",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSpeechSeq2Seq",
)


@dataclass(frozen=True)
class TrainedModel:
    """A model to be exported."""

    task: Task
    model: PreTrainedModel
    """On the CPU."""
    processor: Processor
    folder: Path
    """Where it is saved, as safetensors."""
    example: ModelBatch
    """Two rows as the model takes them, without labels."""


@dataclass(frozen=True)
class ExportOptions:
    """How an exported graph is optimized and quantized."""

    optimize: str = "O2"
    """Level of graph optimization."""
    target: str | None = None
    """Instruction set of the processor that runs the variant; None: this machine's."""
    operators: str = "supported"
    """Which operators are quantized: `supported`, those that keep a transformer's accuracy, or `all`."""
    rows: Callable[[], list[Inputs]] = list
    """Training rows to calibrate with, loaded when they are first needed."""


class Exporter(Plugin, ABC):
    """Base of the exporters. The plain export is the variant `name`, the others are `name-scheme`.

    The graph is made by the exporters of Transformers, or by Optimum (`through`); every other step is the same for
    both. Implement the abstract methods. Declare `module`, `package` and `loader_prefix`. Override `refuse_scheme`
    where a scheme does not fit every model, and `sensitive_nodes` where `schemes` has `int8-static`: the search for a
    variant then excludes nodes from quantization.
    """

    module: ClassVar[str]
    """Where Optimum's classes that load a variant are imported from."""
    package: ClassVar[str]
    """What pip installs to have them."""
    loader_prefix: ClassVar[str]
    """How the names of these classes begin, where those of Transformers begin with `Auto`."""
    packages: ClassVar[tuple[str, ...]]
    """Packages whose versions matter to a variant."""
    keys: ClassVar[frozenset[str]] = frozenset()
    """Those of the recipe's keys `export.optimize`, `export.operators` and `export.target` that have an effect here."""

    def check(self, through: str, auto_model: str, config: PretrainedConfig) -> None:
        """Refuse a model by its Auto class and config, before any training.

        Raises:
            ExportError: it cannot be exported in this way.
            MissingExtraError: Optimum is needed, and its environment is missing.
        """
        from hftransfer.exporters import _optimum, _transformers

        if through == "optimum":
            _optimum.check(self.name, auto_model, config)
        else:
            _transformers.check(self.name, config)

    def needs_trial(self, through: str, config: PretrainedConfig) -> bool:
        """Whether nobody has compared an export of the model type with PyTorch yet."""
        from hftransfer.exporters import _transformers

        return through == "transformers" and config.model_type not in _transformers.KNOWN

    def refuse_scheme(self, auto_model: str, scheme: str) -> None:
        """Refuse a scheme for models of an Auto class. Called for every scheme of a recipe, before any training.

        Raises:
            ExportError: the runtime cannot export such models by it.
        """

    def export(self, trained: TrainedModel, through: str, folder: Path) -> None:
        """Write the plain export in fp32, its config and its processor.

        Raises:
            ExportError: the model cannot be exported, or only for the shapes of the example.
        """
        from hftransfer.exporters import _optimum, _transformers

        if through == "optimum":
            auto_model = trained.task.model_class(trained.model.config)
            _optimum.export(self.name, auto_model, trained.folder, folder)
        else:
            _transformers.export(self.name, trained, folder)
            self.simplify(folder)
            _transformers.check_shapes(trained, self.load(trained.task, folder))
        save_processor(trained.processor, folder)

    def made_by(self, through: str) -> dict[str, str]:
        """The packages that make an export, with their versions."""
        from hftransfer.exporters import _optimum

        installed = machine.versions()
        own = {name: installed[name] for name in ("transformers", *self.packages) if name in installed}
        return own | _optimum.versions() if through == "optimum" else own

    def simplify(self, folder: Path) -> None:
        """Make the graph in a folder compute the same with less work."""

    @abstractmethod
    def schemes(self, source: Path) -> list[str]:
        """The schemes that apply to the plain export in `source`, in the order in which a search tries them."""

    @abstractmethod
    def make_variant(
        self, scheme: str, source: Path, folder: Path, options: ExportOptions, excluded_nodes: frozenset[str]
    ) -> None:
        """Write a smaller or faster variant of the plain export in `source`; excluded nodes stay in fp32.

        Raises:
            ExportError: the runtime cannot.
        """

    def sensitive_nodes(self, source: Path, options: ExportOptions) -> list[list[str]]:
        """Groups of nodes that may be excluded from static quantization, the most sensitive first."""
        return []

    def load(self, task: Task, folder: Path, threads: int = 0) -> ExportedModel:
        """A variant in its runtime, on so many threads; 0: on as many as PyTorch. Optimum runs generative models.

        Raises:
            ExportError: the runtime cannot load it.
            MissingExtraError: Optimum is needed, and its environment is missing.
        """
        from hftransfer.exporters import _optimum

        if is_generative(folder):
            return _optimum.load(self.name, folder, self.loader(task, folder), threads)
        return self.open(folder, threads)

    @abstractmethod
    def open(self, folder: Path, threads: int) -> ExportedModel:
        """A variant of one graph in its runtime.

        Raises:
            ExportError: the runtime cannot load it.
        """

    def loader(self, task: Task, folder: Path) -> str:
        """The class of Optimum that loads a variant."""
        from hftransfer.exporters import _optimum

        auto_model = _optimum.auto_class(task.export_class(read_config(folder)))
        name = self.loader_prefix + auto_model.removeprefix("Auto")
        return name if name in _optimum.RUNTIME_CLASSES else f"{self.loader_prefix}ModelForCustomTasks"

    def loader_options(self, scheme: str) -> str:
        """Further arguments of `from_pretrained` of that class, as Python with a leading comma."""
        return ""

    @abstractmethod
    def files(self, folder: Path) -> list[str]:
        """The names of the files in a variant's folder that hold graph and weights."""


def resolve_through(wanted: str, auto_model: str, config: PretrainedConfig) -> str:
    """`transformers` or `optimum`, what exports a model.

    Optimum is taken for models that generate, which it exports as one decoder with a cache; for those of which
    Transformers fixes the batch size; and under Transformers 4.

    Raises:
        ExportError: the exporters of Transformers are wanted, and cannot be had.
    """
    from hftransfer.exporters import _transformers

    generates = auto_model in _GENERATIVE
    if wanted == "transformers":
        if generates:
            raise ExportError("export.through: a model that generates is exported by optimum alone; leave it out")
        _transformers.check_version()
    if wanted == "auto":
        by_optimum = generates or config.model_type in _transformers.FIXED_SHAPES or not _transformers.is_available()
        return "optimum" if by_optimum else "transformers"
    return wanted


def refuse_generative(auto_model: str, why: str) -> None:
    """Refuse an Auto class whose models generate, for a reason.

    Raises:
        ExportError: they do.
    """
    if auto_model in _GENERATIVE:
        raise ExportError(f"export: {why}; use dynamic-int8 or weight-int4")


def format_of(folder: Path) -> str:
    """The exporter whose single graph is in a folder.

    Raises:
        ExportError: there is none.
    """
    names = {"onnx": "model.onnx", "openvino": "openvino_model.xml"}
    for name, file in names.items():
        if (folder / file).is_file() and not is_generative(folder):
            return name
    raise ExportError(f"'{folder}' holds no exported model of one graph ({' or '.join(names.values())})")


def is_generative(source: Path) -> bool:
    """Whether the exported model in a folder generates text: it has a decoder, or a cache of keys and values."""
    if any(source.glob("*decoder*")):
        return True
    names = read_config(source).architectures or []
    return any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names)


def rank_by_sensitivity(
    nodes: Mapping[str, str], expected: list[np.ndarray], quantize_alone: Callable[[list[str]], list[np.ndarray]]
) -> list[list[str]]:
    """Group the nodes at the same place of every block, and sort the groups by their sensitivity, the largest first.

    A group's sensitivity is the mean absolute difference to the expected outputs, those of the fp32 graph, when it is
    quantized alone.

    Args:
        nodes: Name -> place, the same for all nodes of a group.
        expected: Outputs of the fp32 graph.
        quantize_alone: Outputs of the graph with some nodes quantized.
    """
    groups: dict[str, list[str]] = {}
    for node, place in nodes.items():
        groups.setdefault(place, []).append(node)
    sensitivity: dict[str, float] = {}
    for name, group in Progress(groups.items(), desc="measuring sensitivity", unit="group"):
        pairs = zip(quantize_alone(group), expected, strict=True)
        sensitivity[name] = float(np.mean([np.abs(output - reference).mean() for output, reference in pairs]))
    return [groups[name] for name in sorted(sensitivity, key=lambda name: -sensitivity[name])]


def select_inputs(rows: list[Inputs], names: Collection[str]) -> list[Inputs]:
    """The rows reduced to what a graph takes; a mask or `token_type_ids` that it needs and rows lack are filled in."""
    from hftransfer.exporters._runtime import fill_inputs

    return [fill_inputs(row, names) for row in rows]
