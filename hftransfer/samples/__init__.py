"""Small real data sets and checkpoints that install with pip (extra `samples`)."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypedDict

import PIL.Image

from hftransfer.core.errors import DataError, MissingExtraError, ModelError
from hftransfer.core.plugins import Plugin
from hftransfer.core.results import SampleFacts

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset


class StoredFile(TypedDict):
    """A cell of an image or audio column, as `datasets` stores it: the bytes of a file, or its path."""

    bytes: bytes | None
    path: str | None


class Sample(Plugin):
    """Base of the samples. Implement `rows` or `checkpoint`; both give the same result every time.

    Declare what the cards of all runs with the sample say of it.
    """

    license: ClassVar[str] = "unknown"
    """As the Hub writes it (apache-2.0), where its list has it."""
    provenance: ClassVar[str] = ""
    """The package, and where its content comes from."""
    download_bytes: ClassVar[int] = 0
    """What is fetched when the sample is first used; 0 where it comes with the extra `samples`."""
    flaws: ClassVar[tuple[str, ...]] = ()
    """What is known to be wrong with it, a sentence each."""

    def rows(self) -> dict[str, Dataset]:
        """Split -> rows.

        Raises:
            DataError: the sample is a checkpoint, or its files are missing.
        """
        raise DataError(f"sample '{self.name}' is a checkpoint and holds no rows")

    def checkpoint(self) -> Path:
        """The directory that `from_pretrained` reads.

        Raises:
            ModelError: the sample holds rows, or the weights are not the published ones.
        """
        raise ModelError(f"sample '{self.name}' holds rows and is no checkpoint")

    def facts(self) -> SampleFacts:
        """What cards say of the sample."""
        return SampleFacts(
            license=self.license,
            provenance=self.provenance,
            download_bytes=self.download_bytes,
            flaws=list(self.flaws),
        )


def package_folder(package: str) -> Path:
    """The folder of an installed package, which is not imported.

    Raises:
        MissingExtraError: it is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtraError(f"the package '{package}' is not installed")
    return Path(spec.origin).parent


def png(pixels: np.ndarray) -> StoredFile:
    """A cell of an image column from an array of bytes, shape (height, width) or (height, width, 3)."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return {"bytes": buffer.getvalue(), "path": None}


def image_rows(pixels: np.ndarray, labels: Iterable[int], names: list[str]) -> Dataset:
    """Rows of grey images, encoded as PNG, from an array of shape (rows, height, width) and their class numbers."""
    from datasets import ClassLabel, Dataset, Features, Image

    features = Features({"image": Image(), "label": ClassLabel(names=names)})
    columns = {"image": [png(array) for array in pixels], "label": [int(label) for label in labels]}
    return Dataset.from_dict(columns, features=features)
