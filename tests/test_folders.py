"""Folders as people have them: other endings, tables in other places, hidden files, splits without classes."""

import json
import re
import unicodedata

import numpy as np
import pytest
import soundfile
from datasets import ClassLabel, Dataset, Features, List, Value
from PIL import Image

from hftransfer.core import plugins
from hftransfer.core.errors import DataError
from hftransfer.data.load import load_rows
from hftransfer.data.normal_form import with_normal_form
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.data_warnings import data_warnings
from hftransfer.runner.specs import data_options
from hftransfer.sources._split_names import split_in, split_of


def write(root, *places):
    """An image, a recording or some bytes at each place, each with contents of its own."""
    for number, place in enumerate(places):
        file = root / place
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix.lower() in (".jpg", ".png", ".avif", ".pgm", ""):
            Image.new("L", (8, 6), number).save(file, format=None if file.suffix else "PNG")
        elif file.suffix in (".wav", ".au", ".aif", ".caf", ".w64", ".oga", ".mp3"):
            form = {".oga": "OGG", ".aif": "AIFF"}.get(file.suffix)
            soundfile.write(file, np.random.default_rng(number).uniform(-0.5, 0.5, 800), 8000, format=form)
        else:
            file.write_bytes(b"?")


def read(name, root, **fields):
    """A source after `load`, and its rows."""
    source = plugins.load("sources", name)(path=str(root), **fields)
    return source, source.load()


def labels(rows):
    """Split -> the label of each row, as a word, and its file below the folder of its class."""
    return {
        split: [part.features["label"].int2str(it) for it in part["label"]]
        for split, part in rows.items()
        if "label" in part.features
    }


@pytest.mark.parametrize(
    ("name", "places", "expected", "warning"),
    [
        ("audiofolder", ["low/1.wav", "low/2.au", "low/x/y/3.aif", "high/4.caf", "high/5.w64", "high/6.oga"],
         {"train": ["high"] * 3 + ["low"] * 3}, "folders below that of their class, such as .*3.aif', whose class"),
        ("audiofolder", ["low/1.wav", "high/2.wav", "high/3.m4a", "low/4.m4a", "low/5.amr", "README.md"],
         {"train": ["high", "low"]}, "3 of 5 files in .* are left out: 2 .m4a, 1 .amr, first .*3.m4a.* libsndfile"),
        ("imagefolder", ["a/1.png", "b/2.avif", "b/3", "b/4.heic", "5.png"],
         {"train": ["a", "b", "b"]}, "1 .heic, first .*4.heic.*Pillow does not read .*; 1 .png, first .*5.png"),
        ("imagefolder", ["a/1.png", "b/2.png", ".ipynb_checkpoints/3.png", "__MACOSX/a/._1.png", "a/Thumbs.db",
                         "@eaDir/a/1.png"], {"train": ["a", "b"]}, None),
        ("imagefolder", ["set-train/a/1.png", "set-train/b/2.png", "set-test/a/3.png"],
         {"train": ["a", "b"], "test": ["a"]}, None),
        ("imagefolder", ["flowers/train/a/1.png", "flowers/train/b/2.png", "flowers/Validation/a/3.png"],
         {"train": ["a", "b"], "validation": ["a"]}, None),
        ("imagefolder", ["training_set/training_set/a/1.png", "training_set/training_set/b/2.png", "test_set/b/3.png"],
         {"train": ["a", "b"], "test": ["b"]}, None),
        ("imagefolder", ["train/a/1.png", "train/b/2.png", "val/a/3.png", "valid/b/4.png", "more/a/5.png"],
         {"train": ["a", "b"], "validation": ["a", "b"]}, "1 .png, first .*5.png'.* no class, table or split"),
        ("imagefolder", ["train/a/1.png", "train/b/2.png", "test/1.png"], {"train": ["a", "b"]}, None),
        ("imagefolder", ["train/a/1.png", "train/b/2.png", "test/unknown/1.png"], {"train": ["a", "b"]}, None),
        ("imagefolder", [unicodedata.normalize(form, f"{split}/{word}/1.png") for form, split in
                         (("NFC", "train"), ("NFD", "test")) for word in ("café", "thé")],
         {"train": ["café", "thé"], "test": ["café", "thé"]}, None),
    ],
    ids=["depth and endings", "unknown recordings", "unknown images", "hidden", "named splits", "wrapped",
         "words of splits",
         "two folders of a split", "no classes", "a class of its own", "two forms"],
)  # fmt: skip
def test_what_can_be_decoded_is_read_and_the_rest_is_counted(name, places, expected, warning, tmp_path):
    write(tmp_path, *places)
    source, rows = read(name, tmp_path)
    assert {split: sorted(names) for split, names in labels(rows).items()} == expected
    if warning is None:
        assert source.warnings == []
    else:
        assert re.search(warning, " ".join(source.warnings)), source.warnings


def test_texts_are_rows_and_those_without_a_label_no_class(tmp_path):
    for place in ("train/pos/1.txt", "train/pos/2", "train/neg/1.txt", "train/unsup/1.txt", "test/pos/1.txt", "a.txt"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(f"first line of {place}\nsecond line\n")
    (tmp_path / "test" / "pos" / "2.txt").write_text("")
    source, rows = read("textfolder", tmp_path)
    assert labels(rows) == {"train": ["neg", "pos", "pos"], "test": ["pos", "pos"]}
    assert rows["train"]["text"][2] == "first line of train/pos/2\nsecond line\n"
    assert rows["unlabelled"].column_names == ["text"] and len(rows["unlabelled"]) == 1
    said = " ".join(source.warnings)
    assert "'unsup' is taken for no class, by its name: its 1 texts" in said
    assert "1 of 7 files" in said and "1 of 2 texts are empty, first" in said
    (tmp_path / "test" / "unsup").mkdir()
    (tmp_path / "test" / "unsup" / "3.txt").write_text("x")
    _, rows = read("textfolder", tmp_path)
    assert labels(rows)["train"] == ["neg", "pos", "pos", "unsup"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("name", "ending", "column"), [("audiofolder", "wav", "audio"), ("imagefolder", "png", "image")]
)
def test_a_table_may_be_at_the_root_or_in_a_split(suffix, name, ending, column, tmp_path):
    write(tmp_path, *(f"{split}/clips/{number}.{ending}" for split in ("train", "test") for number in range(3)))
    root = [{"file_name": f"{split}/clips/{number}.{ending}", "text": f"{split} {number}"}
            for split in ("train", "test") for number in range(3)]  # fmt: skip
    getattr(Dataset.from_list(root), f"to_{'json' if suffix == 'jsonl' else suffix}")(tmp_path / f"metadata.{suffix}")
    source, rows = read(name, tmp_path)
    assert {split: part["text"][:] for split, part in rows.items()} == {
        split: [f"{split} {number}" for number in range(3)] for split in ("train", "test")
    }
    assert source.warnings == []
    (tmp_path / f"metadata.{suffix}").unlink()
    # The table of a split, with file names alone.
    lines = "".join(json.dumps({"file_name": f"{number}.{ending}", "text": "x"}) + "\n" for number in range(2))
    (tmp_path / "train" / "metadata.jsonl").write_text(lines)
    source, rows = read(name, tmp_path)
    assert len(rows["train"]) == 2 and rows["test"].column_names == [column]
    assert "1 of 6 files" in source.warnings[0]
    (tmp_path / "train" / "metadata.csv").write_text("file_name\n")
    with pytest.raises(DataError, match="describe one folder"):
        read(name, tmp_path)


def test_a_split_without_a_table_has_the_labels_of_its_folders(tmp_path):
    write(tmp_path, "train/0.wav", "train/1.wav", "test/high/2.wav", "test/low/3.wav")
    (tmp_path / "train" / "metadata.csv").write_text("file_name,label\n0.wav,low\n1.wav,high\n")
    _, rows = read("audiofolder", tmp_path)
    assert {split: part["label"][:] for split, part in rows.items()} == {
        "train": ["low", "high"],
        "test": ["high", "low"],
    }


@pytest.mark.parametrize("place", ["test/1.png", "test/unknown/1.png"])
def test_a_split_without_classes_is_named_with_what_helps(place, tmp_path):
    write(tmp_path, *(f"train/{name}/{number}.png" for name in "ab" for number in range(10)), place)
    text = f"task: image-classification\nmodel: {{id: x}}\ndata: {{source: {{name: imagefolder, path: {tmp_path}}}}}\n"
    recipe = parse_recipe(text)
    said = r"split 'test' has no column 'label' .*; data\.splits\.test: 0\.2 takes its rows"
    with pytest.raises(DataError, match=said):
        load_rows(recipe.task, recipe.data.source.load(), data_options(recipe.data), 0)


def test_splits_are_whole_words_of_names():
    whole = {"Train": "train", "train2017": "train", "obj_train_data": "train", "Test Set": "test"}
    assert {name: split_of(name) for name in whole} == whole
    assert not any(map(split_of, ("trains", "train_station", "latest", "devices", "values", "contest")))
    words = {"instances_val2017": "validation", "dev-clean": "validation", "my_test": "test"}
    assert {name: split_in(name) for name in words} == words
    assert not any(map(split_in, ("annotations_latest", "instances_default", "retrained", "result")))


def test_names_of_two_unicode_forms_are_one_and_the_rest_of_the_rows_stays():
    decomposed = unicodedata.normalize("NFD", "é")
    objects = {"bbox": List(List(Value("float32"))), "category": List(ClassLabel(names=[decomposed, "é"]))}
    features = {"text": Value("string"), "tags": List(Value("string")), "label": ClassLabel(names=["é", decomposed])}
    rows = Dataset.from_dict(
        {
            "text": [decomposed, None, "x"],
            "tags": [[decomposed, "é"], [], None],
            "label": [1, -1, None],
            "objects": [{"bbox": [[1]], "category": [1]}, None, {"bbox": [], "category": []}],
        },
        Features(features | {"objects": objects}),
    )
    expected = {"text": ["é", None, "x"], "tags": [["é", "é"], [], None], "label": [0, -1, None]}
    expected["objects"] = [{"bbox": [[1]], "category": [0]}, None, {"bbox": [], "category": []}]
    for name, cells in expected.items():
        for numbers in ([0, 1, 2], [2, 0, 0]):
            given = rows.select(numbers)
            changed = with_normal_form(given, name)
            assert changed[name][:] == [cells[number] for number in numbers]
            others = [column for column in rows.column_names if column != name]
            assert changed.select_columns(others)[:] == given.select_columns(others)[:]
            assert with_normal_form(changed, name) is changed
    assert with_normal_form(rows, "label").features["label"].names == ["é"]


def test_one_image_with_a_label_in_each_of_several_rows_is_a_warning(tmp_path):
    lines = [f"{tmp_path}/{number}.png,{label}" for number in range(20) for label in ("dark", "cat"[: 3 - number % 2])]
    write(tmp_path, *(f"{number}.png" for number in range(20)))
    (tmp_path / "rows.csv").write_text("\n".join(["image,label", *lines]))
    source = f"{{name: csv, train: {tmp_path / 'rows.csv'}}}"
    recipe = parse_recipe(f"task: image-classification\nmodel: {{id: x}}\ndata: {{source: {source}}}\n")
    rows = load_rows(recipe.task, recipe.data.source.load(), data_options(recipe.data), 0)
    (warning,) = data_warnings(rows, None)
    assert re.search("training rows have the same content .* most likely each has several labels.*'dark,ca", warning)


LAYOUTS = {
    "LJSpeech": (["wavs/LJ1-1.wav", "wavs/LJ1-2.wav"], {"metadata.csv": 'LJ1-1|"One|"one\nLJ1-2|Dr. Two|doctor two\n'}),
    "a header": (["wavs/1.wav", "wavs/2.wav"], {"metadata.csv": 'id|text\n1|"One\n2|Dr. Two\n'}),
    "Common Voice": (
        ["clips/a_1.mp3", "clips/a_2.mp3", "clips/a_3.mp3"],
        {
            "train.tsv": 'client_id\tpath\tsentence\tage\nx\ta_1.mp3\t"One\t\ny\ta_2.mp3\tDr. Two\t\n',
            "dev.tsv": "client_id\tpath\tsentence\tage\nx\ta_3\tThree\t\n",
            "invalidated.tsv": "client_id\tpath\tsentence\tage\nx\ta_1.mp3\tno\t\n",
        },
    ),
    "LibriSpeech": (
        ["train-clean-100/19/198/19-198-0.wav", "train-clean-100/19/198/19-198-1.wav", "dev-other/3/4/3-4-0.wav"],
        {
            "train-clean-100/19/198/19-198.trans.txt": '19-198-0 "One\n19-198-1 Dr. Two\n',
            "dev-other/3/4/3-4.trans.txt": "3-4-0 Three\n",
        },
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_well_known_folders_of_speech_are_read_as_they_are_unpacked(layout, tmp_path):
    root = tmp_path / "unpacked"
    recordings, tables = LAYOUTS[layout]
    write(root, *recordings)
    for name, content in tables.items():
        (root / name).write_text(content)
    source, rows = read("audiofolder", tmp_path)
    column = "sentence" if layout == "Common Voice" else "text"
    assert rows["train"][column][:] == ['"One', "Dr. Two"] and source.warnings == []
    assert [cell["path"] for cell in rows["train"]["audio"][:]] == [str(root / name) for name in recordings[:2]]
    assert rows["validation"][column][:] == ["Three"] if len(recordings) > 2 else list(rows) == ["train"]
