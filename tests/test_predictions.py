"""The data set of predictions: what is written of rows in files, of texts, and what is not published."""

import numpy as np
import tiny
from datasets import Audio, Dataset, Image, Value, load_dataset
from results_builder import recipe, result

from hftransfer.core import plugins
from hftransfer.reporting.predictions_card import card
from hftransfer.runner.predictions import _answers, _write


def _read(file, folder):
    return load_dataset("parquet", data_files=str(file), split="train", cache_dir=str(folder / "cache"))


def test_images_and_recordings_are_in_the_file(tmp_path):
    columns = {"error": (Value("float64"), [0.0, 1.0])}
    for name, role, make, kind in (
        ("image-classification", "image", tiny._image_file, Image),
        ("audio-classification", "audio", tiny._recording, Audio),
    ):
        files = [str(make(number, tmp_path)) for number in (1, 2)]
        rows = Dataset.from_dict({role: files}).cast_column(role, kind(decode=False))
        file = tmp_path / f"{role}.parquet"
        assert _write(file, plugins.load("tasks", name)(), rows, columns) == [role, "error"]
        loaded = _read(file, tmp_path)
        assert isinstance(loaded.features[role], kind) and loaded["error"][:] == [0, 1]
        stored = loaded.cast_column(role, kind(decode=False))[1][role]
        assert stored["bytes"] == (tmp_path / files[1]).read_bytes() and str(tmp_path) not in str(stored["path"])


def test_texts_of_rows_that_are_not_public_are_left_out(tmp_path):
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "test.csv").write_text("row,reference,tuned,error\n0,'=a,b,0\n1,c,d,0.5\n")
    task = plugins.load("tasks", "question-answering")()
    answers = _answers(tmp_path, task, "test", 2, with_texts=True)
    assert {name: cells for name, (_, cells) in answers.items()} == {
        "reference": ["=a", "c"],
        "prediction": ["b", "d"],
        "right": [True, False],
        "error": [0, 0.5],
    }
    assert _answers(tmp_path, task, "test", 2, with_texts=False).keys() == {"right", "error"}


def test_numbers_and_several_classes_have_types_of_their_own(tmp_path):
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "test.csv").write_text("row,reference,tuned,error\n0,-1.5,2,0.5\n1,1,1,0\n")
    cls = plugins.load("tasks", "text-classification")
    answers = _answers(tmp_path, cls(problem_type="regression"), "test", 2, with_texts=False)
    assert answers["reference"][1] == [-1.5, 1] and "right" not in answers and "probabilities" not in answers
    (tmp_path / "predictions" / "test.csv").write_text('row,reference,tuned,error\n0,"a, b",a,0.5\n1,none,none,0\n')
    logits = {"tuned.logits": np.array([[0.0, 9.0], [0.0, 0.0]])}
    np.savez(tmp_path / "predictions" / "test.npz", **logits)
    several = cls(problem_type="multi_label_classification").with_labels(("a", "b"))
    answers = _answers(tmp_path, several, "test", 2, with_texts=False)
    assert answers["reference"][1] == ["a, b", "none"] and answers["probabilities"][1][1] == [0.5, 0.5]


def test_the_card_says_what_is_not_published():
    columns = ["right", "error", "source_split", "source_row"]
    local = recipe(data=recipe()["data"] | {"source": {"name": "json", "path": "secret/rows.jsonl"}})
    text = card(result(recipe=local), "alice/m", "alice/m-predictions", columns, public=False)
    assert "so are references and predictions" in text and "secret" not in text and "source_datasets" not in text
    public = card(result(), "alice/m", "alice/m-predictions", ["text", *columns], public=True)
    assert "source_datasets:\n- org/news" in public and "not public" not in public
