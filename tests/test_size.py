"""What large data cost: nothing is written twice, and equal cells are held once."""

from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Value

from hftransfer.core.arrow import cast_column, read_column, with_column
from hftransfer.core.plugins import load
from hftransfer.data.load import DataOptions, load_rows
from hftransfer.data.splits import SplitOptions
from hftransfer.sources.parquet import Parquet


@pytest.fixture
def rows(tmp_path):
    """Rows in a file, of 100 KB."""
    table = {"text": [f"{number} " + "x" * 1000 for number in range(100)], "label": ["a", "b"] * 50}
    Dataset.from_dict(table).to_parquet(tmp_path / "rows.parquet")
    return Parquet(train=str(tmp_path / "rows.parquet")).load()["train"]


def test_equal_cells_are_one_object(rows):
    rows = rows.add_column("list", [[number % 2] for number in range(100)]).select([4, 2, 3])
    assert read_column(rows, "label") == ["a", "a", "b"] and read_column(rows, "list") == [[0], [0], [1]]
    first, second, _ = read_column(rows, "label")
    assert first is second
    assert read_column(Dataset.from_dict({"label": [None, 2.5]}), "label") == [None, 2.5]


def test_a_column_is_added_to_selected_rows_and_cast_without_writing_the_others(rows):
    folder = Path(rows.cache_files[0]["filename"]).parent
    before = sorted(folder.iterdir())
    added = with_column(rows.select([7, 3, 7]), "number", [7, 3, 7], feature=Value("int32"))
    assert sorted(folder.iterdir()) == before
    assert added["number"][:] == [7, 3, 7] and [text[:2] for text in added["text"]] == ["7 ", "3 ", "7 "]
    assert added.features["number"] == Value("int32") and len(added) == 3
    cast = cast_column(rows, "label", ClassLabel(names=["a", "b"]))
    assert cast.column_names == ["text", "label"] and cast["label"][:3] == [0, 1, 0]
    assert sum(file.stat().st_size for file in folder.iterdir()) < 130_000


def test_loading_writes_no_second_copy_of_the_texts(rows):
    folder = Path(rows.cache_files[0]["filename"]).parent
    task = load("tasks", "text-classification")()
    found = load_rows(task, {"train": rows}, DataOptions(splits=SplitOptions(test=20, validation=10)), 0)
    assert found.facts.rows == {"test": 20, "validation": 10, "train": 70}
    assert sum(file.stat().st_size for file in folder.iterdir()) < 130_000
    assert found.splits["train"]["label"][:] == [int(text[0:2]) % 2 for text in found.splits["train"]["text"]]
