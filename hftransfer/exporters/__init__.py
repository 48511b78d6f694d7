"""Runtimes that a trained model is exported to, and what exporters share. Each file of this folder is one runtime."""

from __future__ import annotations

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hftransfer.core.errors import ExportError
from hftransfer.core.plugins import Plugin
from hftransfer.core.progress import Progress
from hftransfer.tasks import Task

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

    Implement the five abstract methods: `export`, `schemes`, `make_variant`, `load` and `files`. Declare `module` and
    `package`. Override `check` where the runtime does not take every model, and `sensitive_nodes` where `schemes` has
    `int8-static`: the search for a variant then excludes nodes from quantization.
    """

    module: ClassVar[str]
    """Where Optimum's classes that load a variant are imported from."""
    package: ClassVar[str]
    """What pip installs to have them."""
    keys: ClassVar[frozenset[str]] = frozenset()
    """Those of the recipe's keys `export.optimize`, `export.operators` and `export.target` that have an effect here."""

    def check(self, auto_model: str, config: PretrainedConfig, scheme: str | None) -> None:
        """Refuse a model by its Auto class and config. Called for every scheme of a recipe, before any training.

        Raises:
            ExportError: the runtime cannot export such a model, or not by this scheme.
        """

    @abstractmethod
    def export(self, task: Task, model: PreTrainedModel, processor: Processor, folder: Path) -> None:
        """Write the plain export in fp32, its config and its processor.

        Raises:
            ExportError: the runtime cannot represent the model.
        """

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

    @abstractmethod
    def load(self, task: Task, folder: Path, threads: int = 0) -> ExportedModel:
        """A variant in its runtime, on so many threads; 0: on as many as PyTorch.

        Raises:
            ExportError: the runtime cannot load it.
        """

    @abstractmethod
    def files(self, folder: Path) -> list[str]:
        """The names of the files in a variant's folder that hold graph and weights."""


def is_generative(source: Path) -> bool:
    """Whether the exported model in a folder generates text: it has a decoder, or a cache of keys and values."""
    from transformers import AutoConfig

    if any(source.glob("*decoder*")):
        return True
    names = AutoConfig.from_pretrained(source).architectures or []
    return any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names)


@contextmanager
def as_export_error(failure: str, *runtime_errors: type[Exception]) -> Iterator[None]:
    """Turn what Optimum raises, and a runtime's own exceptions, into an ExportError that begins with the failure.

    Raises:
        ExportError: any of them.
    """
    errors: tuple[type[Exception], ...] = (KeyError, ValueError, TypeError, RuntimeError, NotImplementedError)
    try:
        yield
    except (*errors, *runtime_errors) as error:
        raise ExportError(f"{failure}: {' '.join(str(error).split())[:300]}") from error


def check_exportable(auto_model: str, config: PretrainedConfig, runtime: str) -> None:
    """Make sure that Optimum can export the architecture for what models of the Auto class do.

    Raises:
        ExportError: it cannot.
    """
    import transformers
    from optimum.exporters.tasks import TasksManager

    wanted = TasksManager.infer_task_from_model(getattr(transformers, auto_model), library_name="transformers")
    model_type = config.model_type
    try:
        tasks = TasksManager.get_supported_tasks_for_model_type(model_type, runtime, library_name="transformers")
    except KeyError:
        tasks = {}
    if wanted not in tasks:
        raise ExportError(f"export: Optimum has no {runtime} export of a {model_type} for '{wanted}'; leave it out")


def optimum_task(model: PreTrainedModel) -> str:
    """Optimum's name for what a model does; a generative model is exported with a cache of keys and values."""
    from optimum.exporters.tasks import TasksManager

    name: str = TasksManager.infer_task_from_model(type(model), library_name="transformers")
    return f"{name}-with-past" if model.can_generate() else name


def rank_by_sensitivity(
    nodes: Iterable[str], expected: list[np.ndarray], quantize_alone: Callable[[list[str]], list[np.ndarray]]
) -> list[list[str]]:
    """Group the nodes at the same place of every block, and sort the groups by their sensitivity, the largest first.

    A group is for example all of `layer.#/attention/self/query/MatMul`. Its sensitivity is the mean absolute difference
    to the expected outputs, those of the fp32 graph, when it is quantized alone.
    """
    groups: dict[str, list[str]] = {}
    for node in nodes:
        groups.setdefault(re.sub(r"\d+", "#", node), []).append(node)
    sensitivity: dict[str, float] = {}
    for name, group in Progress(groups.items(), desc="measuring sensitivity", unit="group"):
        pairs = zip(quantize_alone(group), expected, strict=True)
        sensitivity[name] = float(np.mean([np.abs(output - reference).mean() for output, reference in pairs]))
    return [groups[name] for name in sorted(sensitivity, key=lambda name: -sensitivity[name])]


def select_inputs(rows: list[Inputs], names: Collection[str]) -> list[Inputs]:
    """The rows reduced to what a graph takes; `token_type_ids` that a graph needs and rows lack are zeros."""
    if "token_type_ids" in names:
        rows = [{"token_type_ids": np.zeros_like(row["input_ids"])} | row for row in rows]
    return [{name: array for name, array in row.items() if name in names} for row in rows]


def fold_parametrizations(model: PreTrainedModel) -> PreTrainedModel:
    """The model with plain weights in place of those computed from others (the weight norm of wav2vec2).

    A copy where there are any, else the model itself.
    """
    import torch

    parametrized = [
        name for name, module in model.named_modules() if torch.nn.utils.parametrize.is_parametrized(module)
    ]
    if not parametrized:
        return model
    model = copy.deepcopy(model)
    for name in parametrized:
        module = model.get_submodule(name)
        for weight in list(module.parametrizations):
            torch.nn.utils.parametrize.remove_parametrizations(module, weight)
    return model
