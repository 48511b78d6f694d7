"""`hftransfer new`: the task and the roles of data of many shapes, recipes that `check` accepts, a terminal session."""

import csv
import json
import os
import pty
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
import uuid
import wave
import zipfile
from functools import partial
from pathlib import Path
from shlex import quote

import huggingface_hub
import numpy as np
import pyarrow.parquet
import pytest
import tiny
from PIL import Image

from hftransfer import api, new
from hftransfer.cli import main
from hftransfer.commands import _parser
from hftransfer.core import plugins
from hftransfer.core.errors import DataError, RecipeError
from hftransfer.drafting.proposal import file_name, survey
from hftransfer.drafting.unread import unread
from hftransfer.recipe.loader import load_recipe

SENTENCE = "the old house by the river was sold to a young family who like long quiet evenings with many friends"
WORDS = re.findall("[a-z]+", SENTENCE)


def _text(number, length=9):
    return (
        " ".join(WORDS[(number * 7 + place * (number % 5 + 1)) % len(WORDS)] for place in range(length)) + f" {number}"
    )


def _table(path, names, row, count=24, delimiter=","):
    """A table with a header, if there are names, and `row(number)` for each row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([*([names] if names else []), *(row(number) for number in range(count))])
    return path


def _lines(path, row, count=24):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row(number)) + "\n" for number in range(count)))
    return path


def _image(path, number=0, size=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), (number * 7 % 256, number % 256, 9)).save(path)
    return path


def _mask(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), number % 2, np.uint8)).save(path)


def _wav(path, number=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes((np.sin(np.arange(4000) * (number + 2) / 40) * 9000).astype("<i2").tobytes())
    return path


def _color(number):
    return ("red", "green", "blue")[number % 3]


def _plain(root):
    return _table(root / "a.csv", ["text", "label"], lambda n: [_text(n), _color(n)])


def _stars(root):
    return _table(root / "a.csv", ["id", "Review Text", "Stars", "date"],
                  lambda n: [n, _text(n), n % 5 + 1, f"2024-01-{n + 1:02d}"])  # fmt: skip


def _tabs(root):
    return _table(root / "a.tsv", ["sentence", "polarity"], lambda n: [_text(n), n % 2], delimiter="\t")


def _semicolons(root):
    return _table(root / "a.csv", ["Kommentar", "Klasse"], lambda n: [_text(n), _color(n)], delimiter=";")


def _decimal_comma(root):
    return _table(root / "a.csv", ["text", "price"], lambda n: [_text(n), f"{n},{n % 9 + 1}"], delimiter=";")


def _no_header(root):
    return _table(root / "a.csv", None, lambda n: [_color(n), _text(n)])


def _latin(root):
    (root / "a.csv").write_bytes("".join(["text,label\n", *(f"café {_text(n)},{_color(n)}\n" for n in range(24))])
                                 .encode("latin-1"))  # fmt: skip
    return root / "a.csv"


def _splits(root):
    for name in ("train", "valid", "test"):
        _table(root / f"mail_{name}.csv", ["message", "category"], lambda n: [_text(n), _color(n)])
    return root / "mail_train.csv"


def _folder_of_tables(root):
    for name in ("train", "test"):
        _lines(root / f"{name}.jsonl", lambda n: {"utterance": _text(n), "intent": _color(n)})
    return root


def _hidden_test(root):
    _table(root / "train.csv", ["id", "comment", "toxicity"], lambda n: [f"a{n}", _text(n), n % 2])
    _table(root / "test.csv", ["id", "comment"], lambda n: [f"b{n}", _text(n)])
    return root / "train.csv"


def _json_list(root):
    (root / "a.json").write_text(json.dumps([{"body": _text(n), "topic": _color(n)} for n in range(24)]))
    return root / "a.json"


def _parquet(root):
    from datasets import Dataset

    Dataset.from_dict({"text": [_text(n) for n in range(24)], "score": [n / 7 for n in range(24)]}).to_parquet(
        str(root / "a.parquet")
    )
    return root / "a.parquet"


def _pair_classes(root):
    return _lines(root / "a.jsonl", lambda n: {"premise": _text(n), "hypothesis": _text(n + 3), "label": n % 3})


def _pair_scores(root):
    return _table(root / "a.csv", ["sentence1", "sentence2", "score"], lambda n: [_text(n), _text(n + 1), n / 10])


def _flags(root):
    return _table(root / "a.csv", ["id", "comment_text", "toxic", "insult", "threat"],
                  lambda n: [n, _text(n), n % 2, n // 2 % 2, int(n % 5 == 0)])  # fmt: skip


def _tags(root):
    return _lines(root / "a.jsonl", lambda n: {"text": _text(n), "tags": [_color(n), "all"][: n % 2 + 1]})


def _titles(root):
    return _table(root / "a.csv", ["title", "body", "topic"], lambda n: [_text(n, 4), _text(n, 30), _color(n)])


def _answers(root):
    return _lines(root / "a.jsonl", lambda n: {
        "id": str(n), "question": f"who is {n}?", "context": _text(n, 20),
        "answers": {"text": ["the"], "answer_start": [0]}})  # fmt: skip


def _squad(root):
    answers = [{"text": "old", "answer_start": 4}]
    paragraphs = [
        {"context": f"the old {n} house", "qas": [{"id": str(n), "question": f"what is {n}?", "answers": answers}]}
        for n in range(24)
    ]
    (root / "a.json").write_text(json.dumps({"version": "1.1", "data": [{"title": "a", "paragraphs": paragraphs}]}))
    return root / "a.json"


def _conll(root):
    (root / "train.txt").write_text("-DOCSTART- -X- O O\n\n" + "".join(
        f"Anna NNP B-NP B-PER\nsaw VBD B-VP O\nParis{n} NNP B-NP B-LOC\n\n" for n in range(24)))  # fmt: skip
    return root / "train.txt"


def _zipped(root):
    with zipfile.ZipFile(root / "mail.zip", "w") as archive:
        archive.write(_plain(root), "mail.csv")
        archive.writestr("__MACOSX/._mail.csv", "")
    return root / "mail.zip"


def _tags_first(root):
    (root / "tags.txt").write_text("".join(
        f"B-PER Anna\nO saw\nB-LOC Paris{n}\n\n" for n in range(24)))  # fmt: skip
    return root / "tags.txt"


def _ner_lines(root):
    return _lines(
        root / "a.jsonl", lambda n: {"id": n, "tokens": ["Anna", "ran", str(n)], "ner_tags": ["B-PER", "O", "O"]}
    )


def _doccano(root):
    return _lines(root / "a.jsonl", lambda n: {"id": n, "text": f"Anna saw Paris {n}", "label": [[0, 4, "PER"]]})


def _label_studio(root):
    entry = [{"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": ["good"]}}]
    other = [entry[0] | {"value": {"choices": ["bad"]}}]
    (root / "a.json").write_text(json.dumps([
        {"id": n, "data": {"text": _text(n)}, "annotations": [{"result": entry if n % 2 else other}]}
        for n in range(24)]))  # fmt: skip
    return root / "a.json"


def _class_folders(root):
    for n in range(24):
        _image(root / _color(n) / f"{n}.png", n)
    return root


def _split_folders(root):
    for n in range(24):
        _image(root / ("train", "val", "test")[n % 3] / ("cat", "dog")[n // 3 % 2] / f"{n}.jpg", n)
    return root


def _texts_in_folders(root):
    for n in range(24):
        folder = root / ("train", "test")[n % 2] / ("neg", "pos")[n // 2 % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{n}_7.txt").write_text(f"{_color(n)} {_text(n, 30)} café", encoding="cp1252")
    (root / "train" / "unsup").mkdir()
    for n in range(9):
        (root / "train" / "unsup" / f"{n}.txt").write_text(_text(n + 50, 30))
    return root


def _white_masks(root):
    for n in range(24):
        _image(root / "train" / f"{n}.jpg", n)
        mask = np.zeros((8, 8), np.uint8)
        mask[n % 7 :] = 255
        (root / "train_masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(root / "train_masks" / f"{n}_mask.gif")
    return root


def _films(root):
    genres = ["Action", "Comedy", "Drama"]
    return _table(root / "films.csv", ["id", "title", "overview", "genres"],
                  lambda n: [n * 3, _text(n, 2), _text(n, 20), "|".join(genres[n % 3 :][: n % 2 + 1])])  # fmt: skip


def _bytes_in_parquet(root):
    content = [_image(root / f"{n}.png", n).read_bytes() for n in range(24)]
    table = pyarrow.table({"image": pyarrow.array(content, pyarrow.binary()), "label": [_color(n) for n in range(24)]})
    pyarrow.parquet.write_table(table, root / "a.parquet")
    return root / "a.parquet"


def _identities(root):
    for n in range(24):
        _image(root / ("train" if n < 16 else "test") / f"person_{n // 2}" / f"{n}.png", n)
    return root


def _metadata(root):
    for n in range(24):
        _image(root / "train" / f"{n}.png", n)
    _table(root / "train" / "metadata.csv", ["file_name", "age"], lambda n: [f"{n}.png", n + 0.5])
    return root


def _text_lines(root):
    for n in range(24):
        _image(root / f"{n}.png", n)
    _lines(root / "metadata.jsonl", lambda n: {"file_name": f"{n}.png", "text": _text(n, 4)})
    return root


def _image_paths(root):
    return _table(root / "a.csv", ["image_path", "label"], lambda n: [_image(root / f"i/{n}.png", n), _color(n)])


def _masks(root):
    for n in range(24):
        _image(root / "imgs" / f"{n}.jpg", n)
        _mask(root / "masks" / f"{n}.png", n)
    return root


def _coco(root):
    images = [
        {"id": n, "file_name": _image(root / f"train/{n}.png", n).name, "width": 8, "height": 8} for n in range(24)
    ]
    boxes = [{"id": n, "image_id": n, "category_id": n % 2, "bbox": [1, 1, 4, 4]} for n in range(24)]
    table = {"images": images, "annotations": boxes, "categories": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}]}
    (root / "train" / "_annotations.coco.json").write_text(json.dumps(table))
    return root


def _yolo(root):
    for n in range(24):
        _image(root / "images/train" / f"{n}.png", n)
        (root / "labels/train").mkdir(parents=True, exist_ok=True)
        (root / "labels/train" / f"{n}.txt").write_text(f"{n % 2} 0.5 0.5 0.2 0.4\n")
    (root / "data.yaml").write_text(
        "train: images/train\nval: images/train\nnames: [a, b]\n".replace("val: images/train\n", "")
    )
    return root


def _voc(root):
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>6</ymax></bndbox>"
    (root / "Annotations").mkdir()
    for n in range(24):
        _image(root / "JPEGImages" / f"{n}.jpg", n)
        (root / "Annotations" / f"{n}.xml").write_text(
            f"<annotation><filename>{n}.jpg</filename><object><name>{_color(n)}</name>{box}</object></annotation>"
        )
    return root


def _mvtec(root):
    for n in range(24):
        _image(root / "train/good" / f"{n}.png", n)
        _image(root / "test" / ("good", "hole", "scratch")[n % 3] / f"{n}.png", n + 30)
        _mask(root / "ground_truth" / ("hole", "scratch")[n % 2] / f"{n}_mask.png", n)
    return root


def _sounds(root):
    for n in range(12):
        _wav(root / ("train", "test")[n % 2] / ("yes", "no")[n // 2 % 2] / f"{n}.wav", n)
    return root


def _transcripts(root):
    for n in range(12):
        _wav(root / f"clips/{n}.wav", n)
    _table(root / "metadata.csv", ["file_name", "transcription", "speaker"],
           lambda n: [f"clips/{n}.wav", _text(n), f"s{n % 2}"], count=12)  # fmt: skip
    return root


def _lj_speech(root):
    for n in range(12):
        _wav(root / f"wavs/LJ{n}.wav", n)
    (root / "metadata.csv").write_text("".join(f"LJ{n}|{_text(n)}|{_text(n)}\n" for n in range(12)))
    return root


def _common_voice(root):
    for n in range(12):
        _wav(root / f"clips/{n}.wav", n)
    for split in ("train", "dev", "test"):
        _table(root / f"{split}.tsv", ["client_id", "path", "sentence", "up_votes"],
               lambda n: [f"c{n % 3}", f"{n}.wav", _text(n), 2], count=12, delimiter="\t")  # fmt: skip
    return root


def _rttm(root):
    for n in range(12):
        _wav(root / f"{n}.wav", n)
        (root / f"{n}.rttm").write_text(f"SPEAKER {n} 1 0.1 0.2 <NA> <NA> {_color(n)} <NA> <NA>\n")
    return root


def _audacity(root):
    for n in range(12):
        _wav(root / f"{n}.wav", n)
        (root / f"{n}.txt").write_text("0.1\t0.3\tspeech\n")
    return root


def _beir(root):
    _lines(root / "corpus.jsonl", lambda n: {"_id": f"d{n}", "title": "", "text": _text(n, 20)})
    _lines(root / "queries.jsonl", lambda n: {"_id": f"q{n}", "text": f"where is {n}?"})
    _table(
        root / "qrels/train.tsv", ["query-id", "corpus-id", "score"], lambda n: [f"q{n}", f"d{n}", 1], delimiter="\t"
    )
    return root


def _ratings(root):
    _table(root / "ratings.csv", ["userId", "movieId", "rating", "timestamp"],
           lambda n: [n // 10, (n + n // 10) % 10 + 1, n % 2 + 4, 1_000_000_000 + n * 37], count=80)  # fmt: skip
    _table(
        root / "movies.csv", ["movieId", "title", "genres"], lambda n: [n + 1, f"The film of {_text(n, 3)}", "Drama"]
    )
    return root


def _translation(root):
    letters = str.maketrans("aeiou", "ouiea")
    return _table(root / "a.csv", ["en", "fr"], lambda n: [_text(n), _text(n).translate(letters)])


def _nested_translation(root):
    letters = str.maketrans("aeiou", "ouiea")
    return _lines(root / "a.jsonl",
                  lambda n: {"translation": {"de": _text(n).translate(letters), "en": _text(n)}})  # fmt: skip


def _articles(root):
    return _lines(root / "a.jsonl", lambda n: {"id": f"x{n}", "article": _text(n, 60), "highlights": _text(n, 8)})


def _questions(root):
    return _table(root / "a.csv", ["question", "answer"], lambda n: [f"how is {_text(n, 4)}?", _text(n + 5, 14)])


def _document(root):
    (root / "a.txt").write_text("".join(f"{_text(n, 12)}.\n" for n in range(24)))
    return root / "a.txt"


def _fast_text(root):
    (root / "a.txt").write_text("".join(f"__label__{_color(n)} {_text(n)}\n" for n in range(24)))
    return root / "a.txt"


def _saved(root):
    from datasets import ClassLabel, Dataset, DatasetDict

    rows = Dataset.from_dict({"text": [_text(n) for n in range(24)], "label": [n % 2 for n in range(24)]})
    rows = rows.cast_column("label", ClassLabel(names=["ham", "spam"]))
    DatasetDict({"train": rows, "test": rows}).save_to_disk(str(root / "saved"))
    return root / "saved"


CLASSES = "text-classification"
PAIRS = {"query": "question", "positive": "answer"}
SHAPES = [
    (_plain, "csv", CLASSES, {"text": "text", "label": "label"}),
    (_stars, "csv", CLASSES, {"text": "Review Text", "label": "Stars"}),
    (_tabs, "csv", CLASSES, {"text": "sentence", "label": "polarity"}),
    (_semicolons, "csv", CLASSES, {"text": "Kommentar", "label": "Klasse"}),
    (_decimal_comma, "csv", CLASSES, {"text": "text", "label": "price"}),
    (_no_header, "csv", CLASSES, {"text": "column_2", "label": "column_1"}),
    (_latin, "csv", CLASSES, {"text": "text", "label": "label"}),
    (_splits, "csv", CLASSES, {"text": "message", "label": "category"}),
    (_folder_of_tables, "json", CLASSES, {"text": "utterance", "label": "intent"}),
    (_hidden_test, "csv", CLASSES, {"text": "comment", "label": "toxicity"}),
    (_json_list, "json", CLASSES, {"text": "body", "label": "topic"}),
    (_parquet, "parquet", CLASSES, {"text": "text", "label": "score"}),
    (_pair_classes, "json", CLASSES, {"text": "premise", "text_pair": "hypothesis", "label": "label"}),
    (_pair_scores, "csv", "sentence-similarity", {"query": "sentence1", "positive": "sentence2", "score": "score"}),
    (_flags, "csv", CLASSES, {"text": "comment_text", "label": ["toxic", "insult", "threat"]}),
    (_tags, "json", CLASSES, {"text": "text", "label": "tags"}),
    (_titles, "csv", CLASSES, {"text": ["title", "body"], "label": "topic"}),
    (_answers, "json", "question-answering", {"question": "question", "context": "context", "answers": "answers"}),
    (_squad, "squad", "question-answering", {"question": "question", "context": "context", "answers": "answers"}),
    (_conll, "conll", "token-classification", {"tokens": "tokens", "tags": "tags"}),
    (_zipped, "csv", CLASSES, {"text": "text", "label": "label"}),
    (_tags_first, "conll", "token-classification", {"tokens": "tokens", "tags": "tags"}),
    (_ner_lines, "json", "token-classification", {"tokens": "tokens", "tags": "ner_tags"}),
    (_doccano, "doccano", "token-classification", {"tokens": "tokens", "tags": "tags"}),
    (_label_studio, "label_studio", CLASSES, {"text": "text", "label": "sentiment"}),
    (_class_folders, "imagefolder", "image-classification", {"image": "image", "label": "label"}),
    (_split_folders, "imagefolder", "image-classification", {"image": "image", "label": "label"}),
    (_identities, "imagefolder", "image-feature-extraction", {"image": "image", "label": "label"}),
    (_metadata, "imagefolder", "image-classification", {"image": "image", "label": "age"}),
    (_text_lines, "imagefolder", "image-to-text", {"image": "image", "text": "text"}),
    (_image_paths, "csv", "image-classification", {"image": "image_path", "label": "label"}),
    (_masks, "maskfolder", "image-segmentation", {"image": "image", "mask": "mask"}),
    (_coco, "coco", "object-detection", {"image": "image", "objects": "objects"}),
    (_yolo, "yolo", "object-detection", {"image": "image", "objects": "objects"}),
    (_voc, "voc", "object-detection", {"image": "image", "objects": "objects"}),
    (_mvtec, "imagefolder", "anomaly-detection", {"image": "image", "label": "label"}),
    (_sounds, "audiofolder", "audio-classification", {"audio": "audio", "label": "label"}),
    (_transcripts, "audiofolder", "automatic-speech-recognition", {"audio": "audio", "text": "transcription"}),
    (_lj_speech, "audiofolder", "automatic-speech-recognition", {"audio": "audio", "text": "text"}),
    (_common_voice, "audiofolder", "automatic-speech-recognition", {"audio": "audio", "text": "sentence"}),
    (_rttm, "segments", "audio-frame-classification", {"audio": "audio", "segments": "segments"}),
    (_audacity, "segments", "audio-frame-classification", {"audio": "audio", "segments": "segments"}),
    (_beir, "beir", "sentence-similarity", {"query": "query", "positive": "positive"}),
    (_ratings, "interactions", "recommendation", {"history": "history", "item": "item"}),
    (_translation, "csv", "translation", {"source": "en", "target": "fr"}),
    (_nested_translation, "json", "translation", {"source": "translation.de", "target": "translation.en"}),
    (_articles, "json", "summarization", {"source": "article", "target": "highlights"}),
    (_questions, "csv", "sentence-similarity", PAIRS),
    (_document, "text", "fill-mask", {"text": "text"}),
    (_fast_text, "text", CLASSES, {"text": "text", "label": "label"}),
    (_films, "csv", "text-classification", {"text": ["title", "overview"], "label": "genres"}),
    (_bytes_in_parquet, "parquet", "image-classification", {"image": "image", "label": "label"}),
    (_white_masks, "maskfolder", "image-segmentation", {"image": "image", "mask": "mask"}),
    (_texts_in_folders, "textfolder", CLASSES, {"text": "text", "label": "label"}),
    (_saved, "disk", CLASSES, {"text": "text", "label": "label"}),
]


def _roles(candidate):
    return {role: list(column.parts) or column.name for role, column in candidate.columns.items()}


@pytest.mark.parametrize(("make", "source", "task", "roles"), SHAPES, ids=[shape[0].__name__[1:] for shape in SHAPES])
def test_task_and_roles_are_found(make, source, task, roles, tmp_path):
    found = survey(str(make(tmp_path)))
    best = found.ranking[0]
    assert (found.source["name"], best.task) == (source, task), [(it.task, it.points) for it in found.ranking[:4]]
    assert roles.items() <= _roles(best).items(), _roles(best)


def test_rows_that_fit_several_tasks_are_a_question(tmp_path):
    lines = survey(str(_document(tmp_path)))
    assert {it.task for it in lines.close} == {"fill-mask", "text-generation"}
    reviews = survey(str(_reviews(tmp_path / "r")))
    assert {it.task for it in reviews.close} == {"summarization", "text-classification"}
    assert [it.task for it in survey(str(_plain(tmp_path))).close] == ["text-classification"]


def _reviews(root):
    """Reviews with a summary and stars, which are both something to find."""
    return _lines(root / "a.jsonl",
                  lambda n: {"asin": f"B{n % 6}", "overall": n % 5 + 1, "verified": n % 7 > 0,
                             "reviewText": _text(n, 30), "summary": _text(n, 4)})  # fmt: skip


def _odd_names(root):
    """Names that mean something else in YAML, and line breaks that would end a comment."""
    return _table(root / "my data.csv", ["no", "a\nmodel: {id: other}", "Text: # the [first]", "label, 'quoted'"],
                  lambda n: [n, n / 7 + 0.5, _text(n), _color(n)])  # fmt: skip


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (_stars, ["columns: {text: Review Text, label: Stars}", "strategy: linear_probe", "not used: id, date"]),
        (_odd_names, ["not used: no, a model: {id: other}", "my data.yaml'\n"]),
        (_titles, ["columns: {text: [title, body], label: topic}"]),
        (_hidden_test, ["splits: {validation: 0.1, test: 0.2}", "'test' of the source has no label"]),
        (_decimal_comma, ["decimal: ','"]),
        (_split_folders, ["task: image-classification", "source: {name: imagefolder"]),
        (_white_masks, ["classes: [background, object], mask_values: [0, 255]", "images: train, masks: train_masks"]),
        (_films, ["separator: '|'"]),
        (_texts_in_folders, ["encoding: cp1252", "12 test, 12 train, 9 unlabelled"]),
        (_coco, ["task: object-detection", "strategy: full", "training: {num_train_epochs: 20}"]),
        (_sounds, ["task: audio-classification ", "strategy: linear_probe"]),
        (_ratings, ["items: {source: {name: csv, train: ", "liked_from: 4.0"]),
    ],
    ids=lambda value: value.__name__[1:] if callable(value) else "",
)
def test_check_accepts_the_recipe(make, expected, tmp_path):
    data = str(make(tmp_path))
    task = plugins.load("tasks", survey(data).ranking[0].task)()
    proposal = new(data, tmp_path / "out", model=str(tiny.checkpoint(task, tmp_path / "checkpoint")))
    assert proposal.plan is not None and proposal.plan.task.name == task.name
    text = proposal.path.read_text()
    assert [part for part in expected if part not in text] == [], text
    assert 7 <= text.count("#") <= 14 and load_recipe(proposal.path).model.id == str(tmp_path / "checkpoint")
    assert f"hftransfer run {quote(str(proposal.path))}" in str(proposal)


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No network, and a cache that holds nothing of what other tests have fetched."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("huggingface_hub.scan_cache_dir", partial(huggingface_hub.scan_cache_dir, tmp_path / "empty"))
    # Imported before, since `datasets` keeps what it reads there.
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("offline")
def test_without_the_hub_a_sample_takes_its_place_and_the_recipe_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _table(tmp_path / "mail.csv", ["text", "label"], lambda n: [f"{_color(n)} {_text(n)}", _color(n)], count=48)
    assert main(["new", "mail.csv", "--yes"]) == 0
    assert "sample:minilm takes its place" in capsys.readouterr().out
    assert main(["run", "mail.yaml", "export=null", "evaluation.resamples=20"]) == 0
    assert api.finished_run(Path("runs/mail")).recipe["strategy"]["name"] == "linear_probe"


@pytest.mark.usefixtures("offline")
def test_a_task_whose_checkpoint_is_out_of_reach_is_not_exchanged_for_another(tmp_path):
    proposal = new(str(_reviews(tmp_path / "r")), tmp_path)
    assert proposal.task == "summarization" and proposal.plan is None
    assert "the recipe is not checked" in str(proposal) and "or          text-classification: --task NAME" in str(
        proposal
    )
    assert load_recipe(proposal.path).model.id == "google-t5/t5-small"


def test_what_cannot_be_proposed_is_a_sentence_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _table(Path("numbers.csv"), ["height", "width"], lambda n: [n + 0.5, n * 1.5])
    _plain(tmp_path)
    Path("a.xlsx").write_bytes(b"PK")
    Path("a.bin").write_bytes(b"PK")
    with zipfile.ZipFile("two.zip", "w") as archive:
        archive.write("a.csv")
        archive.write("numbers.csv")
    for words, sentence in {
        ("numbers.csv",): "no task fits the columns of 'numbers.csv': height (number), width (number)",
        ("b.csv",): "there is no file or folder 'b.csv'; did you mean 'a.csv'?",
        ("two.zip",): "'two.zip' is an archive of more than one table: unpack it",
        ("a.csv", "--task", "sentiment"): "no task is named 'sentiment'; did you mean 'text-classification'?",
        ("a.xlsx",): "'a.xlsx' is a workbook, which no source reads: save the sheet as CSV",
        ("a.bin",): "'a.bin' ends in none of .parquet, .csv",
        ("a.csv", "--task", "text-clasification"): "--task: no task is named 'text-clasification'; did you mean",
        ("a.csv", "--task", "object-detection"): "the task 'object-detection' does not fit the columns",
        ("sample:bbc",): "no sample is named 'bbc'; did you mean",
        ("a.csv", "--model", "./none"): "there is no checkpoint directory './none'",
    }.items():
        assert main(["new", *words, "--yes"]) == 2, words
        assert sentence in capsys.readouterr().err
    assert not list(tmp_path.glob("*.yaml"))
    Path("a.yaml").write_text("mine")
    assert main(["new", "a.csv", "--yes"]) == 2 and Path("a.yaml").read_text() == "mine"
    assert "'a.yaml' exists" in capsys.readouterr().err


def _sides(root):
    for language in ("en", "de"):
        (root / f"train.{language}").write_text("".join(f"{language} sentence {n} here\n" for n in range(24)))
    return root / "train.en", root / "train.tsv", "translation"


def _ratings_without_names(root, sign="\t"):
    lines = [[n % 4, n % 41, n % 5 + 1, 880000000 + n] for n in range(160)]
    (root / "u.data").write_text("".join(sign.join(map(str, row)) + "\n" for row in lines))
    return root / "u.data", root / "u.csv", "recommendation"


@pytest.mark.parametrize("make", [_sides, _ratings_without_names, partial(_ratings_without_names, sign="::")])
def test_the_command_that_is_named_makes_a_table(make, tmp_path):
    data, table, task = make(tmp_path)
    for named in (data, tmp_path):
        with pytest.raises(RecipeError, match="`.*`") as refused:
            survey(str(named))
    subprocess.run(["bash", "-c", re.search("`(.*)`", str(refused.value))[1]], check=True)
    assert survey(str(table)).ranking[0].task == task


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["prompt", "chosen", "rejected"], r"preferences \(DPO\), from which no task learns"),
        (["instruction", "input", "output"], r"instructions \(Alpaca\).* --task text-generation"),
    ],
)
def test_columns_for_which_there_is_no_task_are_a_sentence(names, sentence, tmp_path):
    data = _lines(tmp_path / "a.jsonl", lambda n: {name: f"{name} {_text(n)}" for name in names})
    with pytest.raises(RecipeError, match=sentence):
        survey(str(data))
    assert survey(str(data), "text-generation").ranking


def _new(data, tmp_path, task="text-classification"):
    """The proposal for some data with a tiny checkpoint."""
    checkpoint = tiny.checkpoint(plugins.load("tasks", task)(), tmp_path / "checkpoint")
    return new(str(data), tmp_path / "out", model=str(checkpoint))


def test_a_comma_before_three_digits_is_one_of_thousands_and_said(tmp_path):
    prices = _table(
        tmp_path / "p.csv", ["description", "price"], lambda n: [_text(n), f"{n + 2},500" if n % 3 else 850]
    )
    proposal = _new(prices, tmp_path)
    source = load_recipe(proposal.path).data.source
    assert source.decimal == "." and source.load()["train"]["price"][:2] == ["850", "3500"]
    assert "problem     column 'price': the comma of 3,500 is read as one of thousands" in str(proposal)
    for name, cells, decimal, said in [
        ("millions", ["1,234,567", "12,500"], ".", ""),
        ("points", ["12,500", "3.5"], ".", ""),
        ("small", ["0,125", "3,500"], ",", ""),
        ("mixed", ["12,500", "3,5"], ",", ""),
        ("three", ["12,500", "13,500"], ".", "12,500"),
    ]:
        table = _table(tmp_path / f"{name}.csv", ["text", "price"], lambda n, cells=cells: [_text(n), cells[n % 2]])
        found = survey(str(table))
        assert (found.source.get("decimal"), found.columns[1].unsure) == (decimal, said), name


@pytest.mark.parametrize(
    ("cell", "decimal", "first"), [("${},250.50", ".", "1250.5"), ("{},5 %", ",", "1.5"), ("{} EUR", ".", "1")]
)
def test_prices_and_shares_are_numbers_and_said(cell, decimal, first, tmp_path):
    table = _table(tmp_path / "p.csv", ["description", "price"], lambda n: [_text(n), cell.format(n + 1)])
    proposal = _new(table, tmp_path)
    source = load_recipe(proposal.path).data.source
    assert (source.decimal, source.load()["train"]["price"][0]) == (decimal, first)
    assert proposal.task == "text-classification" and "is read as numbers without '" in str(proposal)


def test_one_line_of_another_encoding_is_named_and_garbles_no_other(tmp_path):
    lines = [f"Grüße {_text(n)},{_color(n)}\n".encode("cp1252" if n == 17 else "utf-8") for n in range(24)]
    (tmp_path / "a.csv").write_bytes(b"text,label\n" + b"".join(lines))
    with pytest.raises(DataError, match=r"line 19: .*; 1 of its 24 lines beyond ASCII are so"):
        survey(str(tmp_path / "a.csv"))


@pytest.mark.parametrize(
    ("names", "row", "header"),
    [
        (["Comment", "Topic", "2023"], lambda n: [_text(n), _color(n), n * 7 % 5], True),
        (["Comment", "Topic", "2023"], lambda n: [_text(n), _color(n), "yes" if n % 2 else "no"], True),
        (["0", "1"], lambda n: [_text(n), n % 2], True),
        (["0", "1"], lambda n: [_text(n), _color(n)], True),
        (["id", "Comment", "7"], lambda n: [n, _text(n), n % 9], True),
        (["a good one", "4"], lambda n: [_text(n), n % 5], False),
        (["1", "a good one", "red"], lambda n: [n + 2, _text(n), _color(n)], False),
        (["a good one", "4.25"], lambda n: [_text(n), n / 7], False),
    ],
)
def test_a_number_may_be_the_name_of_a_column(names, row, header, tmp_path):
    found = survey(str(_table(tmp_path / "a.csv", names, row)))
    assert found.source.get("header", True) is header


def test_rows_without_a_label_are_left_out_and_counted(tmp_path):
    table = _table(tmp_path / "a.csv", ["text", "topic"], lambda n: [_text(n), "" if n % 4 == 3 else _color(n)], 120)
    proposal = _new(table, tmp_path)
    assert load_recipe(proposal.path).data.on_error == "skip"
    assert "30 of 120 rows cannot be used and are left out (data.on_error: skip), first row" in str(proposal)
    few = _table(tmp_path / "b.csv", ["text", "topic"], lambda n: [_text(n), _color(n) if n % 20 == 0 else ""], 400)
    with pytest.raises(DataError, match="cannot be used"):
        _new(few, tmp_path)


def test_a_column_of_splits_is_named(tmp_path):
    table = _table(tmp_path / "a.csv", ["text", "topic", "split"],
                   lambda n: [_text(n), _color(n), ("train", "train", "val", "test")[n % 4]])  # fmt: skip
    said = str(_new(table, tmp_path))
    assert "column 'split' names the split of each row (test, train, val)" in said and "data.source.train" in said


def test_spans_that_overlap_are_said_and_not_read_as_texts(tmp_path):
    _lines(tmp_path / "a.jsonl", lambda n: {"text": _text(n), "label": [[0, 7, "A"], [2, 9, "B"]]})
    with pytest.raises(DataError, match="overlap"):
        survey(str(tmp_path / "a.jsonl"))
    assert survey(str(tmp_path / "a.jsonl"), "fill-mask").ranking[0].task == "fill-mask"


@pytest.mark.parametrize(
    ("table", "column", "cell"),
    [("labels.csv", "id", "{n}"), ("train.csv", "filename", "{n}.png"), ("meta/pets.csv", "path", "train/{n}.png")],
)
def test_a_table_that_names_the_images_is_named(table, column, cell, tmp_path):
    for n in range(12):
        _image(tmp_path / "dogs" / "train" / f"pet{n}.png", n)
    _table(tmp_path / "dogs" / table, [column, "breed"], lambda n: [cell.format(n=f"pet{n}"), _color(n)], 12)
    [said] = unread(survey(str(tmp_path / "dogs")))
    assert f"{table}' names the images in its column '{column}'" in said and "metadata.csv" in said


def test_a_file_in_place_of_the_folder_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _plain(tmp_path)
    for words in (["new", "a.csv", "out.yaml", "--yes"], ["new", "a.csv", "out.yaml", "--yes", "--project"]):
        assert main(words) == 2 and "the second argument is a folder" in capsys.readouterr().err
    assert not Path("out.yaml").exists()


def test_a_damaged_annotation_is_named_and_not_read_as_something_else(tmp_path):
    _coco(tmp_path)
    file = tmp_path / "train" / "_annotations.coco.json"
    table = json.loads(file.read_text())
    file.write_text(json.dumps(table | {"images": table["images"] + table["images"][:1]}))
    with pytest.raises(DataError, match="2 entries of 'images' have the id 0"):
        survey(str(tmp_path))


def test_a_data_set_of_the_hub_is_read(hub, tmp_path):
    rows = "".join(json.dumps({"sentence": _text(n), "emotion": _color(n)}) + "\n" for n in range(24))
    name = f"alice/moods-{uuid.uuid4().hex[:8]}"
    hub.add(name, {"README.md": b"---\nlanguage: en\n---\n", "train.jsonl": rows.encode()}, kind="datasets")
    checkpoint = tiny.checkpoint(plugins.load("tasks", "text-classification")(), tmp_path / "checkpoint")
    proposal = new(name, tmp_path, model=str(checkpoint))
    assert proposal.columns == {"text": "sentence", "label": "emotion"} and proposal.plan is not None
    assert load_recipe(tmp_path / f"{name.rpartition('/')[2]}.yaml").data.source.id == name


def test_three_questions_are_answered_at_a_terminal(tmp_path):
    _reviews(tmp_path)
    checkpoint = tiny.checkpoint(plugins.load("tasks", "text-classification")(), tmp_path / "checkpoint")
    master, slave = pty.openpty()
    words = [sys.executable, "-m", "hftransfer", "new", "a.jsonl"]
    with subprocess.Popen(words, cwd=tmp_path, stdin=slave, stdout=subprocess.PIPE, text=True) as process:
        # The second answer is no number of a list, so that the question is put again.
        for answer in ("text-classification", "9", "verified", str(checkpoint)):
            os.write(master, f"{answer}\n".encode())
        said, _ = process.communicate(timeout=120)
    os.close(master)
    os.close(slave)
    assert process.returncode == 0, said
    places = [said.index(part) for part in ("Which task?", "Which column is the label?", "Which checkpoint?")]
    assert places == sorted(places) and "a number from 1 to" in said
    assert said.count("?") == 3
    recipe = load_recipe(tmp_path / "a.yaml")
    assert (recipe.task.name, recipe.model.id) == ("text-classification", str(checkpoint))
    assert recipe.data.columns["label"] == "verified"


def test_a_recipe_is_called_after_the_data(tmp_path):
    _plain(tmp_path / "Mails")
    _hidden_test(tmp_path / "Comments")
    assert file_name(str(tmp_path / "Mails" / "a.csv")) == "a" and file_name(str(tmp_path / "Mails")) == "Mails"
    assert file_name(str(tmp_path / "Comments" / "train.csv")) == "Comments"
    assert file_name("nyu-mll/glue:mrpc") == "glue-mrpc" and file_name("sample:digits") == "digits"


@pytest.mark.parametrize(
    ("data", "task"),
    [("text", "text-classification"), ("vision", "image-classification"), ("speech", "audio-classification")],
)
def test_the_tests_of_a_project_pass_at_once(data, task, tmp_path, monkeypatch, capsys):
    model = tiny.checkpoint(plugins.load("tasks", task)(), tmp_path / "checkpoint")
    words = ["new", data, str(tmp_path / "my project"), "--project", "--yes", "--model", str(model)]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["task"] == task and Path(found["recipe"]).is_file()
    project = tmp_path / "my project"
    settings = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert settings["name"] == "my-project" and settings["dependencies"][0].startswith("hftransfer-recipes[onnx,")
    monkeypatch.chdir(project)
    tests = runpy.run_path("tests/test_recipe.py")
    tests["test_the_data_fit_the_recipe"]()
    tests["test_a_short_run_answers"](tmp_path)
    # Its README's commands are understood.
    for line in re.findall("^hftransfer (.*)$", (project / "README.md").read_text(), re.MULTILINE):
        _parser.parser().parse_args(shlex.split(line))
    assert main(words) == 2 and "a project is laid out in a new folder" in capsys.readouterr().err


def test_a_project_of_own_data_points_to_them(tmp_path, monkeypatch):
    model = tiny.checkpoint(plugins.load("tasks", "text-classification")(), tmp_path / "checkpoint")
    _table(tmp_path / "mail.csv", ["text", "label"], lambda n: [f"{_color(n)} {_text(n)}", _color(n)], count=48)
    monkeypatch.chdir(tmp_path)
    assert main(["new", "mail.csv", "--project", "--yes", "--model", str(model)]) == 0
    project = tmp_path / "mail-project"
    assert "../mail.csv" in (project / "mail.yaml").read_text() and not (project / "data").exists()
    monkeypatch.chdir(project)
    assert load_recipe("mail.yaml").data.source.load()["train"].num_rows == 48
    assert main(["new", "nothing.csv", "other", "--project", "--yes"]) == 2 and not list(tmp_path.glob("other*"))
