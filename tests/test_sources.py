"""Folders and the Hub as sources, and what is said of those that are not there."""

import time
import wave

import pytest

from hftransfer import plugins
from hftransfer.errors import DataError, HubError, RecipeError
from hftransfer.evaluation import check_metrics
from hftransfer.modeling import find


def _wav(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0\0" * 80)


def test_an_audio_folder_has_its_splits_and_classes(tmp_path):
    for place in ("train/yes/1.wav", "train/no/1.WAV", "test/yes/2.wav", "val/no/3.wav"):
        _wav(tmp_path / place)
    (tmp_path / "train/yes/notes.txt").write_text("no recording")
    rows = plugins.load("sources", "audiofolder")(path=str(tmp_path)).load()
    assert {split: len(r) for split, r in rows.items()} == {"train": 2, "test": 1, "validation": 1}
    assert rows["test"].features["label"].names == ["no", "yes"] and rows["test"]["label"] == [1]
    assert rows["train"][0]["audio"]["path"].endswith(".WAV")


def test_an_audio_folder_may_have_a_table_of_what_is_said(tmp_path):
    for place in ("Train/1.wav", "Train/more/2.wav", "test/3.wav"):
        _wav(tmp_path / place)
    (tmp_path / "Train" / "metadata.csv").write_text('file_name,text\n1.wav,"yes, please"\nmore/2.wav,no\n')
    (tmp_path / "test" / "metadata.csv").write_text("file_name,text\n3.wav,no\n")
    rows = plugins.load("sources", "audiofolder")(path=str(tmp_path)).load()
    assert rows["train"]["text"][:] == ["yes, please", "no"] and rows["test"]["text"][:] == ["no"]
    assert rows["train"][1]["audio"]["path"] == str(tmp_path / "Train" / "more" / "2.wav")
    (tmp_path / "test" / "metadata.csv").write_text("file,text\n3.wav,no\n")
    with pytest.raises(DataError, match="no column 'file_name'"):
        plugins.load("sources", "audiofolder")(path=str(tmp_path)).load()


@pytest.mark.parametrize(
    ("name", "content", "fields"),
    [
        ("rows.tsv", "text\tlabel\nGrüße, NA\tx\n", {}),
        ("rows.csv", "text;label\nGrüße, NA;x\n", {"delimiter": ";", "encoding": "latin-1"}),
    ],
    ids=["tabs", "semicolons"],
)
def test_tables_have_other_delimiters_and_encodings(name, content, fields, tmp_path):
    (tmp_path / name).write_text(content, encoding=fields.get("encoding", "utf-8"))
    (row,) = plugins.load("sources", "csv")(train=str(tmp_path / name), **fields).load()["train"]
    assert row == {"text": "Grüße, NA", "label": "x"}


@pytest.mark.parametrize("name", ["audiofolder", "imagefolder"])
def test_a_folder_that_is_not_there(name, tmp_path):
    with pytest.raises(DataError, match="no folder"):
        plugins.load("sources", name)(path=str(tmp_path / "none")).load()


def test_a_folder_without_recordings(tmp_path):
    with pytest.raises(DataError, match="no recordings"):
        plugins.load("sources", "audiofolder")(path=str(tmp_path)).load()


def test_the_hub_out_of_reach_is_said_at_once(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    start = time.monotonic()
    with pytest.raises(HubError, match="cannot be reached"):
        plugins.load("sources", "hub")(id="someone/nothing").resolve()
    with pytest.raises(HubError, match="no local directory"):
        find("someone/nothing")
    with pytest.raises(RecipeError, match="did you mean 'accuracy'"):
        check_metrics(["accurcy"])
    assert time.monotonic() - start < 5
