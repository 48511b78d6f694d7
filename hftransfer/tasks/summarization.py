"""A long text to a short one (T5, BART, Pegasus).

https://huggingface.co/docs/transformers/tasks/summarization
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from hftransfer.tasks._choice_hooks import Sampled, mean_words, values_of
from hftransfer.tasks._generation import Generation


class Summarization(Generation):
    """Texts to summaries; scored by ROUGE."""

    metrics: ClassVar[list[str]] = ["rouge"]
    suggested_checkpoints = {"source": ("google-t5/t5-small",)}
    requires: ClassVar[dict[str, str]] = {"rouge_score": "text"}

    max_source_length: int = Field(default=512, ge=2, le=10**6)
    """Tokens of an input; longer ones are truncated."""

    @classmethod
    def likeness(cls, columns: Mapping[str, str], rows: Sampled) -> float:
        """The target is much shorter than the source."""
        source, target = (mean_words(values_of(rows, role)) for role in ("source", "target"))
        return 0.4 if source > 20 and target < 0.5 * source else -0.6
