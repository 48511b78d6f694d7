"""What large data cost: nothing is written twice, and equal cells are held once."""

import json
from pathlib import Path

import interruptions
import pytest
import tiny
from datasets import ClassLabel, Dataset, Value
from pyarrow.parquet import ParquetFile

from hftransfer import api
from hftransfer.core.arrow import cast_column, read_column, with_column
from hftransfer.core.errors import DataError, RecipeError
from hftransfer.core.features import Text
from hftransfer.core.plugins import load
from hftransfer.data import stream
from hftransfer.data.load import DataOptions, load_rows
from hftransfer.data.parts import Loaded
from hftransfer.data.splits import SplitOptions
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner import rows as recipe_rows
from hftransfer.runner import streaming
from hftransfer.runner.plan import check as plan_of
from hftransfer.runner.specs import data_options
from hftransfer.sources import _heads
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
    added = with_column(rows.select([7, 3]), "number", [7, 3], feature=Value("int32"))
    assert sorted(folder.iterdir()) == before
    assert added["number"][:] == [7, 3] and [text[:2] for text in added["text"]] == ["7 ", "3 "]
    assert added.features["number"] == Value("int32") and len(added) == 2
    assert with_column(rows.select([7, 7]), "number", [1, 2])["number"][:] == [1, 2]
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


@pytest.fixture
def table(tmp_path):
    """A recipe on 4,000 rows, sorted by label, in several row groups."""
    labels = ["a"] * 2000 + ["b"] * 2000
    texts = [f"good {number}" for number in range(4000)]
    file = tmp_path / "rows.parquet"
    Dataset.from_dict({"text": texts, "label": labels}).to_parquet(file, batch_size=700)
    checkpoint = tiny.checkpoint(load("tasks", "text-classification")(), tmp_path / "checkpoint")
    source = f"source: {{name: parquet, train: {file}}}"
    return f"task: text-classification\nmodel: {{id: {checkpoint}}}\ndata:\n  {source}\n", file


def _check(text, *overrides):
    return api.check(parse_recipe(text), overrides)


def test_check_reads_a_sample_and_says_so_and_a_run_reads_all(table, monkeypatch):
    monkeypatch.setattr(Parquet, "load", None)
    plan = _check(table[0], "data.check_rows=500", "data.splits.test=900")
    assert plan.rows.sampled == {"train": (500, 4000)} and plan.task.labels == ("a", "b")
    assert "500 of the 4,000 rows of 'train' were read, at random; a run reads all" in str(plan)
    assert sum(plan.rows.facts.rows.values()) == 500 and plan.rows.facts.rows["test"] == 100
    monkeypatch.undo()
    whole = _check(table[0], "data.check_rows=0", "data.splits.test=900")
    assert sum(whole.rows.facts.rows.values()) == 4000 and not whole.rows.sampled
    assert "were read" not in str(whole)


def test_a_mistake_in_a_sample_is_reported_of_the_whole(table):
    text, file = table
    rows = Dataset.from_parquet(str(file)).map(
        lambda row, number: {"text": row["text"] * (number % 20 != 3)}, with_indices=True
    )
    rows.to_parquet(file)
    with pytest.raises(DataError, match="200 of 4000 rows of split 'train' cannot be used, first row 3: the text is"):
        _check(text, "data.check_rows=500")


def test_slices_and_max_rows_read_what_they_use(table, monkeypatch):
    text, file = table
    loaded = _check(text, "data.max_rows=100", "data.splits.test=20").rows
    monkeypatch.setattr(Parquet, "load", None)
    taken = _check(text, "data.max_rows=100", "data.splits.test=20").rows
    assert [taken.splits[name].to_dict() for name in taken.splits] == [
        loaded.splits[name].to_dict() for name in loaded.splits
    ]
    splits = "data.splits={train: 'train[1500:2500]', validation: 'train[:50]', test: 'train[3990:]'}"
    rows = _check(text, splits).rows
    assert rows.facts.rows == {"train": 1000, "validation": 50, "test": 10}
    assert rows.splits["test"]["text"][0] == "good 3990" and rows.splits["train"]["text"][999] == "good 2499"
    with pytest.raises(DataError, match=r"'train\[4000:\]' has no rows: the source's split 'train' has 4000"):
        _check(text, splits, "data.splits.test='train[4000:]'")


def test_steps_that_see_few_rows_use_a_sample_of_many(table, monkeypatch):
    monkeypatch.setattr(recipe_rows, "_FEWEST", 100)
    recipe = parse_recipe(table[0] + "training: {max_steps: 10}")
    plan = plan_of(recipe)
    assert plan.rows.facts.rows["train"] == len(plan.rows.splits["train"]) == 160
    assert any("the steps see 160 rows; of the 2,800 training rows 160 are used" in line for line in plan.warnings)
    recipe = recipe.model_copy(update={"training": {"max_steps": 50}})
    assert plan_of(recipe).rows.facts.rows["train"] == 2800


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_check_reads_the_first_lines_of_a_large_text_file(kind, tmp_path, monkeypatch):
    lines = [f"good {number};{'ab'[number % 2]}" for number in range(4000)]
    if kind == "json":
        lines = [json.dumps(dict(zip(("text", "label"), line.split(";"), strict=True))) for line in lines]
    file = tmp_path / f"rows.{kind}"
    # What a sample does not see, a run does.
    file.write_text("\n".join([*["text;label"] * (kind == "csv"), *lines, "{;;"]))
    checkpoint = tiny.checkpoint(load("tasks", "text-classification")(), tmp_path / "checkpoint")
    source = f"source: {{name: {kind}, train: {file}}}"
    recipe = parse_recipe(f"task: text-classification\nmodel: {{id: {checkpoint}}}\ndata:\n  {source}\n")
    with pytest.raises(DataError, match="rows"):
        api.check(recipe)
    monkeypatch.setattr(_heads, "_LARGE", 20_000)
    monkeypatch.setattr(_heads, "_HEAD", 20_000)
    plan = api.check(recipe, ["data.check_rows=500"])
    assert plan.rows.sampled["train"][0] == 500 and plan.rows.sampled["train"][1] < 2000
    assert f"only the first 32 MB of {file} were read; a run reads all" in str(plan)
    assert (f"{file} has ';' between its cells" in str(plan)) == (kind == "csv")
    # A mistake in the sample is reported of the whole.
    file.write_text(file.read_text().replace("good 7", "", 1))
    with pytest.raises(DataError, match=f"{file}, line 400"):
        api.check(recipe, ["data.check_rows=3000"])


def test_a_cell_of_megabytes_is_refused():
    with pytest.raises(DataError, match="the text has 10,000,001 characters, and no cell may have more than"):
        Text().read("text", "a" * 10_000_001)


STREAMED = "  streaming: true\n  splits: {validation: 50, test: 100}\nevaluation: {baselines: []}\n"
STEPS = "training: {max_steps: 3, use_cpu: true}\n"


@pytest.fixture
def mixed(table):
    """A recipe that streams rows of alternating labels, and these rows."""
    texts = [f"good {number}" for number in range(4000)]
    rows = Dataset.from_dict({"text": texts, "label": ["a", "b"] * 2000})
    rows.to_parquet(table[1], batch_size=700)
    return table[0] + STREAMED, rows


def test_streaming_trains_without_reading_the_rest(mixed, monkeypatch, tmp_path):
    read, batches = [], ParquetFile.iter_batches

    def counted(*args, **kwargs):
        for batch in batches(*args, **kwargs):
            read.append(len(batch))
            yield batch

    monkeypatch.setattr(ParquetFile, "iter_batches", counted)
    monkeypatch.setattr(Parquet, "load", None)
    for module in (streaming, stream):
        monkeypatch.setattr(module, "BUFFER", 200)
    result = api.run(parse_recipe(mixed[0] + STEPS), out=tmp_path / "run")
    assert result.data.rows == {"train": 200, "validation": 50, "test": 100}
    assert result.history["tuned"][-1]["step"] == 3
    assert sum(read) < 4000


def test_a_kill_changes_no_training_on_a_stream(mixed, monkeypatch, tmp_path):
    for module in (streaming, stream):
        monkeypatch.setattr(module, "BUFFER", 200)
    steps = "training: {max_steps: 6, save_strategy: steps, save_steps: 2, use_cpu: true}\n"
    recipe = parse_recipe(mixed[0] + steps)
    expected = api.run(recipe, out=tmp_path / "uninterrupted")
    interruptions.kill_at(monkeypatch, 4, lambda: api.run(recipe, out=tmp_path / "killed"))
    resumed = api.run(recipe, out=tmp_path / "killed", resume=True)
    assert resumed.history == expected.history
    interruptions.assert_same(tmp_path / "uninterrupted", tmp_path / "killed")


def test_a_stream_leaves_out_the_rows_of_other_splits_and_names_unknown_labels(mixed):
    text, rows = mixed
    recipe = parse_recipe(text + STEPS)
    plan = plan_of(recipe)
    options = data_options(recipe.data)
    source = Loaded({"train": rows})
    assert len([*stream.Stream(plan.task, source, "train", options, plan.rows.held_out).shuffled(0)]) == 3850
    source = Loaded({"train": Dataset.from_dict({"text": ["x", "y"], "label": ["a", "c"]})})
    with pytest.raises(
        DataError, match=r"the label 'c' \(row 1 of 'train', or later\) is not among those of the first"
    ):
        [*stream.Stream(plan.task, source, "train", options, []).shuffled(0)]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training={}"], "training.max_steps says how long to train"),
        (["strategy=linear_probe"], "strategy linear_probe reads all training rows"),
        (["data.shots=3"], "data.shots needs all training rows"),
        (["data.splits.test=0.5"], "data.splits.test is a split of the source, or a number of rows"),
    ],
)
def test_what_streaming_cannot_do_is_a_sentence(mixed, overrides, message):
    with pytest.raises(RecipeError, match=message):
        api.check(parse_recipe(mixed[0] + STEPS), overrides)
