"""Folders, files and the Hub as sources, and errors about missing ones."""

import json
import re
import time
import wave

import pytest
from PIL import Image

from hftransfer.core import plugins
from hftransfer.core.errors import DataError, HubError, RecipeError
from hftransfer.data.load import load_rows
from hftransfer.evaluation.metric import check_metrics
from hftransfer.models.checkpoint import find_checkpoint
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.specs import data_options


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


def test_an_audio_folder_may_have_a_table_of_transcripts(tmp_path):
    for place in ("Train/1.wav", "Train/more/2.wav", "test/3.wav"):
        _wav(tmp_path / place)
    (tmp_path / "Train" / "metadata.csv").write_text('file_name,text\n1.wav,"yes, please"\nmore/2.wav,no\n')
    (tmp_path / "test" / "metadata.csv").write_text("file_name,text\n3.wav,no\n")
    rows = plugins.load("sources", "audiofolder")(path=str(tmp_path)).load()
    assert rows["train"]["text"][:] == ["yes, please", "no"] and rows["test"]["text"][:] == ["no"]
    assert rows["train"][1]["audio"]["path"] == str(tmp_path / "Train" / "more" / "2.wav")
    (tmp_path / "test" / "metadata.csv").write_text("file_name,label\n3.wav,12.5\n")
    rows = plugins.load("sources", "audiofolder")(path=str(tmp_path)).load()
    assert rows["test"]["label"][:] == ["12.5"] and rows["test"].column_names == ["label", "audio"]
    (tmp_path / "test" / "metadata.csv").write_text("file,text\n3.wav,no\n")
    with pytest.raises(DataError, match="no column 'file_name'"):
        plugins.load("sources", "audiofolder")(path=str(tmp_path)).load()


def _pictures(root, *places):
    for number, place in enumerate(places):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number, 0, 0)).save(root / place)


@pytest.mark.parametrize(
    ("places", "splits", "names"),
    [
        (["Train/a/1.png", "Train/b/2.png", "Test/b/3.png"], {"train": [0, 1], "test": [1]}, ["a", "b"]),
        (["bus/1.png", "car/2.png", "train/3.png"], {"train": [0, 1, 2]}, ["bus", "car", "train"]),
        (["train_station/1.png", "kitchen/my test 2.png"], {"train": [0, 1]}, ["kitchen", "train_station"]),
        (["train/cat/1.png", "train/train/2.png", "val/train/3.png"], {"train": [0, 1], "validation": [1]},
         ["cat", "train"]),
        (["1.png", "2.png"], {"train": None}, None),
    ],
    ids=["capitals", "a class train beside others", "words in names", "a class named train", "no classes"],
)  # fmt: skip
def test_an_image_folder_has_the_splits_and_classes_of_its_folders(places, splits, names, tmp_path):
    _pictures(tmp_path, *places)
    rows = plugins.load("sources", "imagefolder")(path=str(tmp_path)).load()
    assert rows.keys() == splits.keys()
    for split, labels in splits.items():
        if labels is None:
            assert rows[split].column_names == ["image"]
        else:
            names_of_rows = rows[split].features["label"].int2str(rows[split]["label"][:])
            assert sorted(names_of_rows) == sorted(names[label] for label in labels)
            assert rows[split].features["label"].names == names


def test_a_folder_without_classes_says_how_there_would_be_some(tmp_path):
    _pictures(tmp_path, "1.png", "2.png")
    text = f"task: image-classification\nmodel: {{id: x}}\ndata: {{source: {{name: imagefolder, path: {tmp_path}}}}}\n"
    recipe = parse_recipe(text)
    with pytest.raises(DataError, match="no column 'label' .*a folder for each class makes labels"):
        load_rows(recipe.task, recipe.data.source.load(), data_options(recipe.data), 0)


def test_plain_text_and_lists_under_a_key_are_read(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n\nthree\n")
    lines = plugins.load("sources", "text")(train=str(tmp_path / "a.txt")).load()["train"]
    parts = plugins.load("sources", "text")(train=str(tmp_path / "a.txt"), sample_by="paragraph").load()["train"]
    assert lines["text"][:] == ["one", "two", "", "three"]
    assert [part.strip() for part in parts["text"][:]] == ["one\ntwo", "three"]
    (tmp_path / "a.json").write_text('{"version": 1, "data": [{"text": "a"}, {"text": "b"}]}')
    rows = plugins.load("sources", "json")(train=str(tmp_path / "a.json"), field="data").load()["train"]
    assert rows["text"][:] == ["a", "b"]


def test_a_pattern_names_several_files(tmp_path):
    for number in (2, 1):
        (tmp_path / f"train-{number}.txt").write_text(f"{number}\n")
    rows = plugins.load("sources", "text")(train=str(tmp_path / "train-*.txt")).load()["train"]
    assert rows["text"][:] == ["1", "2"]
    with pytest.raises(DataError, match=r"no file '.*test-\*.txt'"):
        plugins.load("sources", "text")(train=str(tmp_path / "test-*.txt")).load()


@pytest.mark.parametrize(
    ("name", "content", "fields"),
    [
        ("rows.tsv", "text\tlabel\nGrüße, NA\tx\n", {}),
        ("rows.tsv", 'text\tlabel\n"Grüße, NA\tx\n', {"quotes": False}),
        ("rows.csv", "text;label\nGrüße, NA;x\n", {"delimiter": ";", "encoding": "latin-1"}),
    ],
    ids=["tabs", "marks", "semicolons"],
)
def test_tables_have_other_delimiters_and_encodings(name, content, fields, tmp_path):
    (tmp_path / name).write_text(content, encoding=fields.get("encoding", "utf-8"))
    (row,) = plugins.load("sources", "csv")(train=str(tmp_path / name), **fields).load()["train"]
    assert row == {"text": "Grüße, NA" if fields.get("quotes", True) else '"Grüße, NA', "label": "x"}


@pytest.mark.parametrize("name", ["audiofolder", "imagefolder"])
def test_a_missing_folder(name, tmp_path):
    with pytest.raises(DataError, match="no folder"):
        plugins.load("sources", name)(path=str(tmp_path / "none")).load()


def test_a_folder_without_recordings(tmp_path):
    with pytest.raises(DataError, match="no recordings"):
        plugins.load("sources", "audiofolder")(path=str(tmp_path)).load()


def test_the_hub_out_of_reach_is_reported_at_once(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    start = time.monotonic()
    with pytest.raises(HubError, match="cannot be reached"):
        plugins.load("sources", "hub")(id="someone/nothing").pin_revision()
    with pytest.raises(HubError, match="no local directory"):
        find_checkpoint("someone/nothing")
    with pytest.raises(RecipeError, match="did you mean 'accuracy'"):
        check_metrics(["accurcy"])
    assert time.monotonic() - start < 5


def _picture(path, number):
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 6), number).save(path)


@pytest.mark.parametrize("layout", ["{split}/{kind}/{name}", "{kind}/{split}/{name}"])
def test_masks_are_found_by_the_names_of_their_images(layout, tmp_path):
    for split in ("train", "val"):
        for number in range(3):
            for kind, ending in (("images", "jpg"), ("masks", "png")):
                _picture(tmp_path / layout.format(split=split, kind=kind, name=f"{number}.{ending}"), number)
    splits = plugins.load("sources", "maskfolder")(path=str(tmp_path)).load()
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 3, "validation": 3}
    assert [mask.getpixel((0, 0)) for mask in splits["train"]["mask"]] == [0, 1, 2]


def test_masks_may_have_longer_names_in_a_folder_beside_that_of_a_split(tmp_path):
    for split in ("train", "val"):
        for number in range(12):
            _picture(tmp_path / split / f"{number}.jpg", number)
            _picture(tmp_path / f"{split}_masks" / f"{number}_mask.png", number)
    _picture(tmp_path / "test" / "1.jpg", 1)
    source = plugins.load("sources", "maskfolder")(path=str(tmp_path), images="train", masks="train_masks")
    splits = source.load()
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 12, "validation": 12}
    assert [mask.getpixel((0, 0)) for mask in splits["train"]["mask"]] == [0, 1, 10, 11, *range(2, 10)]
    assert "1 of 49 files" in source.warnings[0]


def test_an_image_without_a_mask_is_named(tmp_path):
    for place in ("images/a", "images/b", "masks/a", "masks/c"):
        _picture(tmp_path / f"{place}.png", 0)
    source = plugins.load("sources", "maskfolder")(path=str(tmp_path))
    assert len(source.load()["train"]) == 1
    assert re.search("1 of 2 images have no mask in .* left out, first 'b'", source.warnings[0])
    assert re.search("1 of 2 masks have no image in .* left out, first 'c'", source.warnings[1])
    (tmp_path / "masks" / "a.png").rename(tmp_path / "masks" / "d.png")
    with pytest.raises(DataError, match="no mask in .* has the name of an image .*'c' and 'a'"):
        plugins.load("sources", "maskfolder")(path=str(tmp_path)).load()
    with pytest.raises(DataError, match=r"data\.source\.masks: there is no folder .*did you mean 'masks'"):
        plugins.load("sources", "maskfolder")(path=str(tmp_path), masks="mask").load()


def test_the_lists_of_voc_part_images_with_masks(tmp_path):
    for number in range(6):
        _picture(tmp_path / "JPEGImages" / f"{number}.jpg", number)
        if number < 4:
            _picture(tmp_path / "SegmentationClass" / f"{number}.png", number)
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("3\n0\n")
    (lists / "val.txt").write_text("1\n")
    fields = {"images": "JPEGImages", "masks": "SegmentationClass"}
    splits = plugins.load("sources", "maskfolder")(path=str(tmp_path), **fields).load()
    found = {split: [mask.getpixel((0, 0)) for mask in rows["mask"]] for split, rows in splits.items()}
    assert found == {"train": [3, 0], "validation": [1]}


def test_squad_files_are_read_with_and_without_answers(tmp_path):
    found = {"question": "Who?", "answers": [{"text": "Bonn", "answer_start": 0}]}
    none = {"question": "When?", "answers": [], "is_impossible": True}
    data = {"data": [{"title": "t", "paragraphs": [{"context": "Bonn is a city.", "qas": [found, none]}]}]}
    (tmp_path / "train.json").write_text(json.dumps(data))
    rows = plugins.load("sources", "squad")(train=str(tmp_path / "train.json")).load()["train"]
    assert rows["answers"][:] == [{"text": ["Bonn"], "answer_start": [0]}, {"text": [], "answer_start": []}]
    (tmp_path / "train.json").write_text("[]")
    with pytest.raises(DataError, match="is no JSON file of SQuAD"):
        plugins.load("sources", "squad")(train=str(tmp_path / "train.json")).load()
