"""A long text to a short one (T5, BART, Pegasus).

https://huggingface.co/docs/transformers/tasks/summarization
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from hftransfer.tasks._generation import Generation


class Summarization(Generation):
    """Texts to summaries; scored by ROUGE."""

    metrics: ClassVar[list[str]] = ["rouge"]
    requires: ClassVar[dict[str, str]] = {"rouge_score": "text"}

    max_source_length: int = Field(default=512, ge=2, le=10**6)
    """Tokens of an input; longer ones are truncated."""
