"""Names of a run's variants and scored splits: the only place that composes them and takes them apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from hftransfer.core import plugins

Kind = Literal["baseline", "pretrained", "compression_step", "tuned", "export"]
"""In the order in which tables list them."""

_KINDS: tuple[Kind, ...] = get_args(Kind)
FrozenBaseline = Literal["knn", "probe"]
FROZEN_BASELINES: tuple[FrozenBaseline, ...] = get_args(FrozenBaseline)
"""Baselines on the features of the checkpoint as it is: the nearest neighbours, and a linear probe."""
UNTRAINED_BASELINES = ("majority", *FROZEN_BASELINES)
"""Baselines for which no network is trained; all others are strategies."""
CHEAP_BASELINES = (*UNTRAINED_BASELINES, "scratch", "linear_probe")
"""What no transfer, or the least one, gives; from the cheapest on."""
_PYTORCH = "pytorch"


@dataclass(frozen=True)
class Variant:
    """A model that a run scores, times or exports.

    - baseline: `majority`, `knn`, `probe`, or a strategy (`scratch`)
    - pretrained: the checkpoint before training, where its head knows the labels
    - compression_step: `1-full`, `2-distill`: the model after a step of `compress` that is not the last
    - tuned: the adapted model; `pytorch`, `pytorch-compile` and `pytorch-bf16` are ways of running it
    - export: `onnx`, `onnx-int8`: the runtime, and the scheme that the graph was optimized or quantized by
    """

    name: str
    """As the record and the run's folder name it."""
    kind: Kind
    runtime: str = _PYTORCH
    """The exporter's name, or `pytorch`."""
    scheme: str = ""
    """What follows the runtime in the name (`int8-static`); empty for the unoptimized export and for plain PyTorch."""
    step: int = 0
    """Number of a compression step, from 1; 0 for all others."""

    @classmethod
    def parse(cls, name: str) -> Variant:
        """The variant of a name."""
        if name == "tuned":
            return cls(name, "tuned")
        if name == "pretrained":
            return cls(name, "pretrained")
        start, _, rest = name.partition("-")
        if start == _PYTORCH:
            return cls(name, "tuned", scheme=rest)
        if start.isdecimal():
            return cls(name, "compression_step", step=int(start))
        if start in plugins.names("exporters"):
            return cls(name, "export", start, rest)
        return cls(name, "baseline")

    @classmethod
    def export(cls, runtime: str, scheme: str = "") -> Variant:
        """The export for a runtime, by a scheme."""
        return cls(f"{runtime}-{scheme}" if scheme else runtime, "export", runtime, scheme)

    @classmethod
    def compression_step(cls, step: int, strategy: str) -> Variant:
        """The model after a step of `compress`; step 1 is the recipe's `strategy`."""
        return cls(f"{step}-{strategy}", "compression_step", step=step)

    @property
    def base_scheme(self) -> str:
        """The scheme without its options: `int8` of `int8-static`."""
        return self.scheme.partition("-")[0]

    @property
    def order(self) -> tuple[int, int]:
        """Sort key: by kind, baselines from the cheapest on, steps by number, the unoptimized export first."""
        position = self.step or int(bool(self.scheme))
        if self.kind == "baseline":
            position = CHEAP_BASELINES.index(self.name) if self.name in CHEAP_BASELINES else len(CHEAP_BASELINES)
        return _KINDS.index(self.kind), position


def sort_variants(names: Iterable[str]) -> list[str]:
    """Names of variants in the order of tables; those of equal order stay as they are."""
    return sorted(names, key=lambda name: Variant.parse(name).order)


def corrupted_split(corruption: str) -> str:
    """The name under which the corrupted test rows are scored: `test-noise`."""
    return f"test-{corruption}"


def parse_split(name: str) -> tuple[str, str]:
    """Split and corruption of a scored split: ("test", "noise") of `test-noise`; no corruption is empty."""
    split, _, corruption = name.partition("-")
    return split, corruption
