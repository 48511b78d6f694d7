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
