"""A data set of the Hub (https://huggingface.co/docs/datasets/load_hub)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from hftransfer.sources import Source, read_with_datasets

if TYPE_CHECKING:
    from datasets import Dataset


class Hub(Source):
    """The splits of one config."""

    id: str
    """For example `stanfordnlp/sst2`."""
    config: str | None = None
    """The config, where the data set has several."""
    revision: str | None = None
    """Branch, tag or commit."""

    def pin_revision(self) -> Self:
        from hftransfer.hub.client import resolve_revision

        return self.model_copy(update={"revision": resolve_revision(self.id, self.revision, repo_type="dataset")})

    def load(self) -> dict[str, Dataset]:
        return read_with_datasets(self.id, name=self.config, revision=self.revision)
