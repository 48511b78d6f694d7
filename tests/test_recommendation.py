"""Recommendation: splits by time, baselines by hand, items that are known, the snippet of the card, bad input."""

import json
import re

import numpy as np
import pytest
import tiny
import torch
from datasets import Dataset
from safetensors.torch import load_file

from hftransfer.core.errors import DataError, HFTransferError, RecipeError
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.runner.predict import predictions
from hftransfer.sources._times import times
from hftransfer.sources.interactions import Interactions
from hftransfer.tasks import _recommend_baselines as baselines
from hftransfer.tasks import _recommend_rows as sequences
from hftransfer.tasks.recommendation import Recommendation

# Four users, three items.
MATRIX = [[0, 1], [0, 1], [1, 2], [0]]


def _csv(folder, lines, header="user,item,time,rating"):
    path = folder / "interactions.csv"
    path.write_text("\n".join([header, *lines]))
    return str(path)


def _source(folder, lines, **fields):
    given = {"table": _csv(folder, lines), "rating": "rating", "liked_from": 4.0, "min_liked": 4}
    return Interactions(**given | fields)


def test_the_last_liked_items_are_held_out_by_time(tmp_path):
    # In disorder; b is not liked; a comes twice; u2 has liked too little.
    lines = ["u1,d,40,5", "u1,a,10,4", "u1,b,15,1", "u1,c,20,5", "u1,e,50,4", "u1,a,90,5", "u1,f,60,5", "u1,g,70,2"]
    source = _source(tmp_path, [*lines, "u2,a,10,5", "u1,h,2.5,3"])
    rows = {split: table[:] for split, table in source.load().items()}
    assert rows["test"] == {"user": ["u1"], "history": [["a", "c", "d", "e"]], "item": ["f"], "seen": [["h", "b"]]}
    assert rows["validation"] == {"user": ["u1"], "history": [["a", "c", "d"]], "item": ["e"], "seen": [["h", "b"]]}
    assert rows["train"] == {"user": ["u1"], "history": [["a", "c"]], "item": ["d"], "seen": [["h", "b"]]}
    (warning,) = source.warnings
    assert "1 of 2 users have liked fewer than 4 items" in warning


def test_times_may_be_dates_and_ties_stay_in_the_order_of_the_table(tmp_path):
    days = ["u,d,2026-01-03,5", "u,z,2026-01-02 12:00,5", "u,a,2026-01-02T12:00,5", "u,q,2026-01-01,5"]
    source = _source(tmp_path, days)
    assert source.load()["test"]["history"][:] == [["q", "z", "a"]] and source.warnings == []
    tied = _source(tmp_path, [*days, "u,b,2026-01-03,5"])
    assert tied.load()["test"][:]["item"] == ["b"] and "1 of 1 users have the same time" in tied.warnings[0]


@pytest.mark.parametrize(
    ("cells", "day_first", "order", "guess"),
    [
        (["03/05/2024", "13/01/2024"], None, [1, 0], ""),
        (["03/05/2024 10:00", "01/13/2024 9:00"], None, [1, 0], ""),
        (["03/05/2024", "04/02/2024"], None, [1, 0], "nothing says whether the day or the month stands first"),
        (["03/05/2024", "04/02/2024"], False, [0, 1], ""),
        (["03.05.2024 10:00", "04.02.2024 09:00"], None, [1, 0], ""),
        (["5/3/2024 1:00 PM", "5/13/2024 9:00 AM"], None, [0, 1], ""),
        (["2024-05-01T12:00:00+02:00", "2024-05-01T11:00:00Z"], None, [0, 1], ""),
        (["2024/5/1", "2024/10/01"], None, [0, 1], ""),
        (["2 May 2024", "1 Jan 2024 10:30"], None, [1, 0], ""),
        (["1714521600000", "1714521500000"], None, [1, 0], ""),
    ],
)
def test_times_are_read_as_people_write_them(cells, day_first, order, guess):
    found, said = times(cells, day_first)
    assert sorted(range(len(cells)), key=found.__getitem__) == order and (guess in said if guess else not said)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1714521600", "1714521500000"], "row 0 has '1714521600', which is in seconds .* row 1 .* in milliseconds"),
        (["13/05/2024", "05/13/2024"], "'13/05/2024' has the day before the month, and '05/13/2024' after it"),
        (["1714521600", "2024-05-01"], "row 0 has the number '1714521600', and row 1 the date '2024-05-01'"),
    ],
)
def test_times_of_two_notations_are_refused(cells, message):
    with pytest.raises(DataError, match=message):
        times(cells, None)


@pytest.mark.parametrize(
    ("lines", "fields", "message"),
    [
        (["u,a,1,5"], {"table": "no.csv"}, "data.source.table: there is no file 'no.csv'"),
        (["u,a,1,5"], {"table": "rows.xlsx"}, "'rows.xlsx' ends in none of .csv, .tsv"),
        (["u,a,soon,5"], {}, "row 0 has 'soon', which is neither a number nor a date"),
        (["u,a,nan,5"], {}, "row 0 has 'nan', which is neither a number nor a date"),
        (["u,a,1,many"], {}, "row 0 has 'many', which is no number"),
        (["u,,1,5"], {}, "row 0 has no item"),
        (["u,a,1,5"], {}, "none of 1 users has liked 4 items, the most is 1"),
        (["u,a,1,5"], {"time": "tme"}, "no column 'tme'; did you mean 'time'"),
        (['u,"a,b",1,5'], {}, "has the id 'a,b', and an id has no comma"),
    ],
)
def test_interactions_that_cannot_be_read_get_a_sentence(lines, fields, message, tmp_path):
    with pytest.raises(DataError, match=message):
        _source(tmp_path, lines, **fields).load()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"table": "sample:movielens"}, "did you mean 'movielens_100k'"),
        ({"table": "a.csv", "liked_from": 4}, "rating and liked_from belong together"),
    ],
)
def test_fields_that_do_not_go_together(fields, message):
    with pytest.raises(ValueError, match=message):
        Interactions(**fields)


def test_ease_by_hand():
    weights = baselines.ease(baselines.interactions(MATRIX, 3), ridge=1.0)
    gram = np.array([[3, 2, 0], [2, 3, 1], [0, 1, 1]], float)
    # Column j holds the ridge regression of item j on the other items, without an intercept.
    for j in range(3):
        others = [i for i in range(3) if i != j]
        solved = np.linalg.solve(gram[np.ix_(others, others)] + np.eye(2), gram[others, j])
        np.testing.assert_allclose(weights[others, j], solved, rtol=1e-5)
        assert weights[j, j] == 0


def test_item_knn_by_hand():
    weights = baselines.item_knn(baselines.interactions(MATRIX, 3), neighbours=1, shrinkage=1.0)
    both = 2 / (3 + 1)
    # The nearest of item 0 is 1, of 1 is 0, of 2 is 1.
    expected = [[0, both, 0], [both, 0, 1 / (np.sqrt(3) + 1)], [0, 0, 0]]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


@pytest.mark.parametrize(("name", "best"), [("popularity", [1, 2]), ("ease", [1, 2]), ("item_knn", [1, 2])])
def test_a_baseline_ranks_all_items_but_the_known(name, best):
    outputs = baselines.outputs(name, MATRIX, [[0]], [[0]], 3)
    assert outputs["ranking"].tolist() == [[*best, -1]] and np.isfinite(outputs["scores"]).all()


def test_ease_of_a_large_catalogue_is_refused():
    with pytest.raises(RecipeError, match=r"10,001 are more than 10,000; leave it out: \[popularity\]"):
        baselines.outputs("ease", MATRIX, [[0]], [[0]], 10_001)


def test_training_windows_ask_for_every_item_once():
    rows = Dataset.from_dict({"history": [[1, 2, 3, 4], [7]], "next": [[-100] * 3 + [5], [8]]})
    found = sequences.windows(rows, 3)[:]
    assert found == {"history": [[2, 3, 4], [1], [7]], "next": [[3, 4, 5], [2], [8]]}
    batch = sequences.pad([{"history": [2, 3, 4], "next": [3, 4, 5]}, {"history": [1], "next": [2]}], 2)
    assert {name: it.tolist() for name, it in batch.items()} == {
        "input_ids": [[3, 4], [1, 0]],
        "attention_mask": [[1, 1], [1, 0]],
        "labels": [[4, 5], [2, -100]],
    }


def _recipe(folder, rows, more=""):
    for name, lines in rows.items():
        (folder / f"{name}.json").write_text("\n".join(map(json.dumps, lines)))
    files = ", ".join(f"{name}: {folder / name}.json" for name in rows if name != "items")
    return f"""
task: {{name: recommendation, size: 8, max_history: 3}}
model: {{id: {tiny.checkpoint(Recommendation(), folder / "checkpoint")}}}
data: {{source: {{name: json, {files}}}, items: {{source: {{name: json, train: {folder / "items"}.json}}}}}}
training: {{num_train_epochs: 1, per_device_train_batch_size: 8, use_cpu: true}}
evaluation: {{resamples: 20}}
{more}
"""


@pytest.fixture
def tables():
    items = [{"id": it, "text": f"good {it}"} for it in "abcdefghijklm"]
    users = {f"u{number}": ["abcdefghijklm"[(number + step) % 13] for step in range(6)] for number in range(12)}
    cut = {"train": 3, "validation": 4, "test": 5}
    rows = {
        split: [{"user": user, "history": its[:end], "item": its[end], "seen": []} for user, its in users.items()]
        for split, end in cut.items()
    }
    return rows | {"items": items}


def test_a_run_is_held_against_its_baselines_and_predict_is_the_snippet(tables, tmp_path):
    result = run(parse_recipe(_recipe(tmp_path, tables, "export: {format: onnx, max_drop: 1}")), tmp_path / "run")
    assert set(result.scores["test"]) >= {"tuned", "popularity", "item_knn", "ease", "onnx"}
    assert result.exports["onnx"].agreement == 1
    assert result.worst[0].rendered["text"].startswith("liked last: good ")
    with np.load(tmp_path / "run" / "predictions" / "test.npz") as outputs:
        for name in ("tuned", "ease", "popularity"):
            for row, ranking in zip(tables["test"], outputs[f"{name}.ranking"], strict=True):
                known = {"abcdefghijklm".index(it) for it in row["history"]}
                assert not known & {*ranking.tolist()} and len({*ranking[ranking >= 0]}) == 13 - len(known)
    repo = tiny.pushed(tmp_path / "run", result, tmp_path / "repo")
    names = {}
    exec(re.findall(r"```python\n(.*?)```", (repo / "README.md").read_text(), re.DOTALL)[0], names)
    (answer,) = predictions(tmp_path / "run", result, ["a, b"])
    assert [it["id"] for it in answer["items"]] == [it["id"] for it in names["answer"]]
    np.testing.assert_allclose(
        [it["score"] for it in answer["items"]], [it["score"] for it in names["answer"]], atol=1e-5
    )
    (without,) = predictions(tmp_path / "run", result, [f"a, b\t{answer['items'][0]['id']}"])
    assert [it["id"] for it in without["items"]][:3] == [it["id"] for it in answer["items"]][1:4]
    with pytest.raises(DataError, match="names the item 'zz', which is none of the 13 of data.items"):
        list(predictions(tmp_path / "run", result, ["a, zz"]))


def _leak(tables):
    tables["train"][3]["history"] = [*tables["train"][3]["history"], tables["test"][3]["item"]]


def _unknown(tables):
    tables["test"][2]["history"] = ["a", "zz"]


def _unknown_target(tables):
    tables["test"][2]["item"] = "zz"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_leak, "row 3 of split 'test' asks for the item '.', which a training row of the user 'u3' holds"),
        (_unknown, "row 2 of split 'test': the history names the item 'zz'"),
        (_unknown_target, "row 2 of split 'test' names the item 'zz', which data.items lacks"),
        (lambda tables: tables.update(items=tables["items"][:1] * 2), "the id 'a' stands in two rows"),
        (lambda tables: tables["train"][0].update(history=[]), "the history is empty"),
    ],
)
def test_rows_that_leak_or_name_no_item_are_refused(change, message, tables, tmp_path):
    change(tables)
    with pytest.raises(HFTransferError, match=message):
        check(parse_recipe(_recipe(tmp_path, tables)))


def test_a_model_for_other_items_is_no_start(tables, tmp_path):
    text = _recipe(tmp_path, tables)
    run(parse_recipe(text), tmp_path / "run")
    again = run(parse_recipe(text, overrides=[f"model.id={tmp_path / 'run'}"]), tmp_path / "again")
    assert "pretrained" in again.scores["test"]
    tables["items"] = [*tables["items"], {"id": "z", "text": "bad"}]
    text = _recipe(tmp_path, tables)
    with pytest.raises(HFTransferError, match="recommends other items"):
        run(parse_recipe(text, overrides=[f"model.id={tmp_path / 'run'}"]), tmp_path / "other")


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_any_model_that_reads_texts_describes_items(kind, tables, tmp_path):
    (tmp_path / "checkpoint").mkdir()
    tiny._CHECKPOINTS[kind](tmp_path / "checkpoint")
    result = run(parse_recipe(_recipe(tmp_path, tables), overrides=["evaluation.baselines=[ease]"]), tmp_path / "run")
    assert set(result.scores["test"]) == {"tuned", "ease"}
    vectors = load_file(tmp_path / "run" / "model" / "model.safetensors")["vectors"]
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(13))
    (answer,) = predictions(tmp_path / "run", result, ["a,b"])
    assert len(answer["items"]) == 10


def test_names_of_users_are_not_corrupted(tables, tmp_path):
    text = _recipe(tmp_path, tables).replace("resamples: 20", "resamples: 20, corruptions: [typos]")
    with pytest.raises(RecipeError, match="typos"):
        check(parse_recipe(text))


def test_sizes_are_parted_evenly():
    with pytest.raises(RecipeError, match="no multiple of 3"):
        parse_recipe(
            "task: {name: recommendation, attention_heads: 3}\nmodel: {id: x}\ndata: {source: {name: json, train: a}}"
        )


def test_a_padded_row_has_the_scores_that_it_has_alone(tables, tmp_path):
    plan = check(parse_recipe(_recipe(tmp_path, tables)))
    model = plan.task.model_loader(plan.origin.config).from_config(plan.origin.config).eval()
    with torch.inference_mode():
        alone = model(input_ids=torch.tensor([[4]]), attention_mask=torch.tensor([[1]]))["logits"]
        padded = model(input_ids=torch.tensor([[4, 0, 0]]), attention_mask=torch.tensor([[1, 0, 0]]))["logits"]
    torch.testing.assert_close(alone, padded)
