"""Published weights of other formats as checkpoints of Transformers: converted once, with a card, and cached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.core.files import write_text
from hftransfer.samples import Sample
from hftransfer.samples._cache import cached_folder

if TYPE_CHECKING:
    from torch import Tensor

_CARD = """---
library_name: transformers
license: {license}
---

# {name}

{summary}

From: {provenance}

{flaws}
"""
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def converted(sample: Sample, version: int, summary: str, write: Callable[[Path], object]) -> Path:
    """The checkpoint that `write` makes in a folder, with a card; made once.

    `version` is increased when `write` changes.
    """

    def write_with_card(folder: Path) -> None:
        write(folder)
        facts = sample.facts().model_dump() | {"flaws": "\n".join(f"- {flaw}" for flaw in sample.flaws)}
        write_text(folder / "README.md", _CARD.format(name=sample.name, summary=summary, **facts))

    return cached_folder(f"checkpoints/{sample.name}-{version}", write_with_card)


def renamed(
    weights: Mapping[str, Tensor], convolutions: Mapping[str, str], norms: Mapping[str, str]
) -> dict[str, Tensor]:
    """Weights of convolutions and of batch norms under other names, each a prefix -> the published prefix."""
    made = {f"{name}.weight": weights[f"{published}.weight"] for name, published in convolutions.items()}
    for name, published in norms.items():
        made |= {f"{name}.{part}": weights[f"{published}.{part}"] for part in _NORM}
    return made
