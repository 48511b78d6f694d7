"""A small real data set that installs with pip: see `hftransfer/samples/`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import field_validator, model_validator

from hftransfer.core import plugins
from hftransfer.sources import Source

if TYPE_CHECKING:
    from datasets import Dataset


class SampleSource(Source):
    """The rows of a sample."""

    id: str
    """The sample's name."""
    options: dict[str, Any] = {}
    """The sample's own fields, such as the languages of `django_messages`."""

    @field_validator("id")
    @classmethod
    def _is_a_sample(cls, value: str) -> str:
        return plugins.one_of(value, plugins.names("samples"), "sample")

    @model_validator(mode="after")
    def _options_are_fields(self) -> Self:
        fields = plugins.load("samples", self.id).model_fields
        for key in self.options:
            if key not in fields:
                raise ValueError(f"sample '{self.id}' has no option '{key}'; {plugins.nearest(key, fields)}")
        return self

    def load(self) -> dict[str, Dataset]:
        sample = plugins.load("samples", self.id)(**self.options)
        sample.check_installed()
        return dict(sample.rows())
