"""What the record of a run says of its rows: counts, copies, contradictions, and how much of them the model reads."""

from __future__ import annotations

from typing import Literal

from hftransfer.core.plugins import Record

InputFact = Literal["truncated", "label_lost", "rate", "pace", "scale", "squeeze", "side", "object_side"]
"""A number about a row and what the model gets to see of it.

- truncated: share of the text or the recording that the model does not read
- label_lost: 1 where a part of the label lies beyond what the model reads or can write, else 0
- rate: the recording's sampling rate as a share of the model's
- pace: characters of the transcript a second
- scale: pixels of the model's input for a pixel of the image, by the side that shrinks most
- squeeze: how many times more one side of the image is shrunk than the other, from 1 on
- side: pixels of the model's input along its shorter side
- object_side: pixels of the model's input along the shorter side of the median object of the image
"""


class Spread(Record):
    """How a number is spread over rows."""

    rows: int
    """Rows that were looked at."""
    mean: float
    deciles: list[float]
    """Least, 10 %, 20 % ... 90 % and largest value: 11 numbers."""


class ErrorCounts(Record):
    """Test rows that have a property and those that lack it, and how many of each the tuned model gets wrong."""

    rows: int
    wrong: int
    other_rows: int
    other_wrong: int


class TokenBaseline(Record):
    """Accuracy of a linear classifier of token counts, cross-validated on training rows: what truncation costs."""

    rows: int
    whole: float
    """On whole texts."""
    truncated: float
    """On what the model reads of them."""
    significant: bool
    """Whether whole texts give significantly more (McNemar 1947, https://doi.org/10.1007/BF02295996; 99.9 %)."""


class Contradictions(Record):
    """Training rows whose content is equal, but for case, spaces and punctuation of texts, and whose labels differ."""

    rows: int
    """All rows of such content."""
    split: str
    """The source's split in which they are."""
    example: tuple[int, int]
    """Row numbers of two of them in it."""
    labels: tuple[str, str]
    """The labels of these two."""


class DataFacts(Record):
    """Counts, classes and fingerprint of the rows."""

    fingerprint: str
    """SHA-256 over the content and the labels of all splits."""
    fingerprint_version: int = 1
    """Of how it is computed; only fingerprints of one version can be compared."""
    rows: dict[str, int]
    """Split -> rows used."""
    duplicates_removed: dict[str, int]
    """Split -> rows removed because a split closer to the test split contains the same content."""
    skipped: dict[str, int]
    """Split -> unreadable rows that were skipped (`data.on_error: skip`)."""
    labels: list[str]
    """Class names in the order of the model's outputs."""
    classes: dict[str, dict[str, int]]
    """Split -> class -> rows."""
    dropped: dict[str, int] = {}
    """Reason -> training rows that `data.drop` has left out."""
    repeated: int = 0
    """Training rows whose content an earlier training row has, before `data.sampling` repeats any."""
    contradictions: Contradictions | None = None
    """Training rows that contradict each other; None where none do, or rows have no classes."""
    inputs: dict[str, dict[InputFact, Spread]] = {}
    """Split -> fact -> its spread over a sample of the rows."""
    checkpoint_side: int | None = None
    """Pixels of the images' shorter side in the checkpoint's config; None where it names none."""
    errors: dict[InputFact, ErrorCounts] = {}
    """`truncated` (by more than half) and `rate` (below the model's) -> errors of such test rows and of the others."""
    token_baseline: TokenBaseline | None = None
    """None where few texts are truncated by much, or rows have no single class."""
