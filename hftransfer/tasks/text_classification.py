"""One label, several labels or a number for a text or a pair of texts.

https://huggingface.co/docs/transformers/tasks/sequence_classification
"""

from typing import ClassVar, Literal

from pydantic import Field

from hftransfer.tasks import Kind, Task


class TextClassification(Task):
    """Texts to labels."""

    columns: ClassVar[dict[str, Kind]] = {"text": "text", "text_pair": "text", "label": "label"}
    optional: ClassVar[frozenset[str]] = frozenset({"text_pair"})
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "f1")
    auto_model: ClassVar[str] = "AutoModelForSequenceClassification"

    problem_type: Literal["single_label_classification", "multi_label_classification", "regression"] | None = None
    """As in a Transformers config; left out, it is read off the label column."""
    separator: str = ","
    """Between the labels of a multi-label cell that is written as one string."""
    max_length: int = Field(default=256, ge=2)
    """Tokens kept of a text; longer ones are cut."""
