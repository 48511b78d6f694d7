"""The section `data.splits` of a recipe."""

from typing import Self

from pydantic import field_validator, model_validator

from hftransfer.core.plugins import Section


class Splits(Section):
    """The three splits. Left out: the source's own split of that name, else a random part of `train`."""

    train: str = "train"
    """The source's split to train on, or a slice of it: `train[:1000]`, the first 1,000 rows."""
    validation: str | int | float | None = None
    """A split of the source, or a part of the training rows: a fraction or a number of rows (default 0.1). It chooses
    checkpoints and thresholds."""
    test: str | int | float | None = None
    """As `validation` (default 0.2). Scored once, at the end."""
    by_group: bool = False
    """Put all rows of a group (the role `group`: a patient, a speaker) into one split, so that the test groups are new
    to the model."""

    @field_validator("validation", "test")
    @classmethod
    def _fraction_or_count(cls, value: str | int | float | None) -> str | int | float | None:
        if isinstance(value, float) and not 0 < value < 1:
            raise ValueError(f"a fraction lies between 0 and 1, got {value}; for a number of rows write a whole number")
        if isinstance(value, int) and value < 1:
            raise ValueError(f"a number of rows is at least 1, got {value}")
        return value

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        named = [split for split in (self.train, self.validation, self.test) if isinstance(split, str)]
        if len(set(named)) != len(named):
            raise ValueError(f"the three splits must be different rows, got {', '.join(named)}")
        return self
