"""One label, several labels or a number for an image.

https://huggingface.co/docs/transformers/tasks/image_classification
"""

from typing import ClassVar, Literal

from hftransfer.tasks import Kind, Task


class ImageClassification(Task):
    """Images to labels."""

    columns: ClassVar[dict[str, Kind]] = {"image": "image", "label": "label"}
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "f1")
    auto_model: ClassVar[str] = "AutoModelForImageClassification"

    problem_type: Literal["single_label_classification", "multi_label_classification", "regression"] | None = None
    """As in a Transformers config; left out, it is read off the label column."""
    separator: str = ","
    """Between the labels of a multi-label cell that is written as one string."""
