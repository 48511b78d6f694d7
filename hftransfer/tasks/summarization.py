"""A long text to a short one (T5, BART, Pegasus).

https://huggingface.co/docs/transformers/tasks/summarization
"""

from typing import ClassVar

from pydantic import Field

from hftransfer.tasks._text2text import _Text2Text


class Summarization(_Text2Text):
    """Texts to summaries; scored by ROUGE."""

    requires: ClassVar[dict[str, str]] = {"rouge_score": "text"}

    max_source_length: int = Field(default=512, ge=2)
    """Tokens kept of an input."""

    def metrics(self) -> list[str]:
        return ["rouge"]
