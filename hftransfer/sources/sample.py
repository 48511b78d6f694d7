"""A small real data set that installs with pip: see `hftransfer/samples/`."""

from typing import Any

from pydantic import field_validator

from hftransfer import plugins
from hftransfer.sources import Source


class SampleSource(Source):
    """Rows of a sample."""

    id: str
    """The sample's name."""

    @field_validator("id")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in plugins.names("samples"):
            raise ValueError(f"'{value}' is no sample; {plugins.nearest(value, plugins.names('samples'))}")
        return value

    def load(self) -> dict[str, Any]:
        """The sample's splits."""
        sample = plugins.load("samples", self.id)()
        sample.check_installed()
        return dict(sample.rows())
