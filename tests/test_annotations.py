"""Texts and images as annotation tools write them: spans of characters, choices, rectangles, columns of words."""

import json

import pytest
from datasets import Dataset, DatasetDict
from PIL import Image

from hftransfer.core import plugins
from hftransfer.core.errors import DataError
from hftransfer.sources._spans import words_and_tags


def read(name, tmp_path, content, ending=".json", **fields):
    """The rows of a source whose training file has this content, and its warnings."""
    file = tmp_path / f"train{ending}"
    file.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), encoding="utf-8")
    source = plugins.load("sources", name)(train=str(file), **fields)
    return source.load()["train"].to_list(), source.warnings


@pytest.mark.parametrize(
    ("text", "spans", "expected"),
    [
        ("Anna lives in New York.", [(0, 4, "PER"), (14, 22, "LOC")],
         "Anna/B-PER lives/O in/O New/B-LOC York/I-LOC ./O"),
        ("New YorkParis", [(0, 8, "LOC"), (8, 13, "LOC")], "New/B-LOC York/I-LOC Paris/B-LOC"),
        ("(don't) preEU x", [(11, 13, "ORG"), (13, 15, "X")], "(/O don/O '/O t/O )/O pre/O EU/B-ORG x/B-X"),
        ("我在北京。हिन्दी", [(2, 4, "LOC")], "我/O 在/O 北/B-LOC 京/I-LOC 。/O हिन्दी/O"),
        ("no\nspans", [], "no/O spans/O"),
    ],
    ids=["words", "neighbours", "parts of words", "scripts", "none"],
)  # fmt: skip
def test_spans_become_words_with_tags(text, spans, expected):
    words, tags = words_and_tags(text, spans)
    assert " ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True)) == expected


@pytest.mark.parametrize(
    ("spans", "said"),
    [([(0, 4, "A"), (2, 5, "B")], "'A' and 'B' overlap"), ([(3, 40, "A")], "from 3 to 40"), ([(4, 5, "A")], "nothing")],
)
def test_spans_that_do_not_fit_are_refused(spans, said):
    with pytest.raises(ValueError, match=said):
        words_and_tags("Anna lives", spans)


TAGGED = {"tokens": ["Anna", "lives", "."], "tags": ["B-PER", "O", "O"]}
PLAIN = {"tokens": ["Nobody"], "tags": ["O"]}


@pytest.mark.parametrize(
    "records",
    [
        [{"text": "Anna lives.", "label": [[0, 4, "PER"]]}, {"text": "Nobody", "label": []}],
        [{"text": "Anna lives.", "entities": [{"id": 1, "label": "PER", "start_offset": 0, "end_offset": 4}],
          "relations": []}, {"text": "Nobody", "entities": []}],
        [{"text": "Anna lives.", "spans": [{"start": 0, "end": 4, "label": "PER"}]}, {"text": "Nobody"}],
    ],
    ids=["lists", "entities", "Prodigy"],
)  # fmt: skip
def test_spans_of_doccano_are_read(records, tmp_path):
    lines = "\n".join(json.dumps(record) for record in records)
    rows, _ = read("doccano", tmp_path, lines, ".jsonl")
    assert rows == [{"text": "Anna lives.", **TAGGED}, {"text": "Nobody", **PLAIN}]
    with pytest.raises(DataError, match=r"train\.jsonl:1: the span 'X' from 3 to 99"):
        read("doccano", tmp_path, '{"text": "Anna", "label": [[3, 99, "X"]]}', ".jsonl")
    with pytest.raises(DataError, match=r"entry 0 has no 'text'"):
        read("doccano", tmp_path, [{"label": []}])


def test_records_that_were_rejected_or_ignored_in_prodigy_are_left_out(tmp_path):
    spans = [{"start": 0, "end": 4, "label": "PER"}]
    answers = ("accept", "reject", "ignore", "reject")
    lines = [json.dumps({"text": "Anna lives.", "spans": spans, "answer": answer}) for answer in answers]
    rows, warnings = read("doccano", tmp_path, "\n".join(lines), ".jsonl")
    assert rows == [{"text": "Anna lives.", **TAGGED}]
    assert [line.partition(": ")[2].replace(str(tmp_path), "") for line in warnings] == [
        "2 of 4 records of /train.jsonl with the answer 'reject' are left out",
        "1 of 4 records of /train.jsonl with the answer 'ignore' are left out",
    ]
    with pytest.raises(DataError, match="all 1 records were rejected or ignored"):
        read("doccano", tmp_path, lines[1], ".jsonl")
    own, _ = read("doccano", tmp_path, [{"text": "2 + 2?", "answer": "4", "label": ["sum"]}])
    assert own == [{"text": "2 + 2?", "answer": "4", "label": "sum"}]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([["a"], ["b"]], ["a", "b"]), ([["a", "b"], []], [["a", "b"], []]), (["a", ["b"]], ["a", "b"])],
)
def test_classes_of_doccano_are_one_or_several(labels, expected, tmp_path):
    rows, _ = read("doccano", tmp_path, [{"text": "x", "label": label} for label in labels])
    assert [row["label"] for row in rows] == expected


def _region(kind, name, **value):
    return {"type": kind, "from_name": name, "to_name": "text", "value": value}


def test_texts_of_label_studio_have_choices_and_spans(tmp_path):
    def task(text, *regions, **fields):
        return {"data": {"text": text, "id": 3}, "annotations": [{"result": list(regions), **fields}]}

    person = _region("labels", "ner", start=0, end=4, text="Anna", labels=["PER"])
    tasks = [
        task(
            "Anna lives.",
            person,
            _region("choices", "mood", choices=["good"]),
            _region("rating", "stars", rating=3),
            _region("ranker", "order", ranker=["a"]),
        ),
        task("Nobody", _region("choices", "mood", choices=["bad"])),
        task("skipped", was_cancelled=True),
        {"data": {"text": "open"}, "annotations": []},
    ]
    rows, warnings = read("label_studio", tmp_path, tasks)
    assert rows == [
        {"text": "Anna lives.", "id": "3", "mood": "good", "stars": "3", **TAGGED},
        {"text": "Nobody", "id": "3", "mood": "bad", "stars": None, **PLAIN},
    ]
    assert "2 tasks" in warnings[0] and "1 annotations of the type 'ranker'" in warnings[1]
    with pytest.raises(DataError, match="entry 0: the result of its annotation is .*, not a list of regions"):
        read("label_studio", tmp_path, [{"data": {"text": "x"}, "annotations": [{"result": [3]}]}])
    flat = [
        {"text": "Anna lives.", "mood": {"choices": ["a", "b"]},
         "ner": [{"start": 0, "end": 4, "text": "Anna", "labels": ["PER"]}]},
        {"text": "Nobody", "mood": "a"},
    ]  # fmt: skip
    rows, _ = read("label_studio", tmp_path, flat)
    assert rows == [{"text": "Anna lives.", "mood": ["a", "b"], **TAGGED}, {"text": "Nobody", "mood": ["a"], **PLAIN}]


def test_rectangles_of_label_studio_are_boxes_of_the_images_in_the_folder(tmp_path):
    (tmp_path / "my images").mkdir()
    for name in ("cat 1.png", "dog.png"):
        Image.new("L", (200, 100)).save(tmp_path / "my images" / name)
    box = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["cat"]}
    region = {"original_width": 200, "original_height": 100, "type": "rectanglelabels", "value": box}
    turned = region | {"value": box | {"rotation": 90, "x": 50}}
    tasks = [
        {"data": {"image": "/data/upload/1/0a1b2c3d-cat%201.png"}, "annotations": [{"result": [region, turned]}]},
        {"data": {"image": "/data/local-files/?d=my%20images/dog.png"}, "annotations": [{"result": []}]},
    ]
    rows, _ = read("label_studio", tmp_path, tasks)
    assert [row["image"] for row in rows] == [str(tmp_path / "my images" / name) for name in ("cat 1.png", "dog.png")]
    assert rows[0]["objects"]["category"] == ["cat", "cat"] and rows[1]["objects"] == {"bbox": [], "category": []}
    assert [[round(side, 6) for side in it] for it in rows[0]["objects"]["bbox"]] == [
        [20, 20, 60, 40],
        [60, 20, 40, 60],
    ]


@pytest.mark.parametrize(
    ("content", "ending", "fields"),
    [
        ("-DOCSTART- -X- O O\n\nAnna NNP I B-PER\nlives VB I O\n. . O O\n\n\nNobody NN I O\n", ".txt", {}),
        ("Anna\tB-PER\r\nlives\tO\r\n.\tO\r\n\r\nNobody\tO", ".tsv", {}),
        ("# id 5 domain=en\nB-PER Anna\nO lives\nO .\n\nO Nobody\n", ".conll", {"token_column": 1, "tag_column": 0}),
        ("# text = Anna\n1\tAnna\t_\tB-PER\n2-3\tlives.\t_\t_\n2\tlives\t_\tO\n3\t.\t_\tO\n\n1\tNobody\t_\tO\n",
         ".conllu", {}),
    ],
    ids=["CoNLL-2003", "tabs", "columns", "CoNLL-U"],
)  # fmt: skip
def test_columns_of_words_are_sentences(content, ending, fields, tmp_path):
    rows, _ = read("conll", tmp_path, content, ending, **fields)
    assert rows == [TAGGED, PLAIN]


@pytest.mark.parametrize(
    ("content", "warned"),
    [
        ("B-PER Anna\nO lives\nO .\n\nO Nobody\n", True),
        ("B-PER NNP Anna\nO VB lives\nO . .\n\nO NN Nobody\n", True),
        ("Anna B-PER\nlives O\n. O\n\nNobody O\n", False),
    ],
    ids=["tag first", "three columns", "word first"],
)
def test_tags_before_the_words_are_found_and_reported(content, warned, tmp_path):
    file = tmp_path / "train.txt"
    file.write_text(content)
    source = plugins.load("sources", "conll")(train=str(file))
    assert list(source.load()["train"]) == [TAGGED, PLAIN]
    assert [("first column holds the tags" in it, "token_column: 0" in it) for it in source.warnings] == (
        [(True, True)] if warned else []
    )


def test_a_line_of_words_without_a_tag_is_named(tmp_path):
    with pytest.raises(DataError, match=r"train\.txt:2: 'lives' has 1 columns, other lines 2"):
        read("conll", tmp_path, "Anna B-PER\nlives\n", ".txt")


@pytest.mark.parametrize(("name", "content"), [("conll", "\n\n"), ("doccano", "[]"), ("label_studio", "")])
def test_a_file_without_rows_is_an_error(name, content, tmp_path):
    with pytest.raises(DataError, match=r"data\.source\.train: there are no rows in its files"):
        read(name, tmp_path, content)


def test_a_folder_of_save_to_disk_has_its_splits(tmp_path):
    rows = Dataset.from_dict({"text": ["a", "b"]})
    DatasetDict({"train": rows, "dev": rows.select([0])}).save_to_disk(tmp_path / "splits")
    rows.save_to_disk(tmp_path / "whole")
    disk = plugins.load("sources", "disk")
    splits = disk(path=str(tmp_path / "splits")).load()
    assert {split: len(part) for split, part in splits.items()} == {"train": 2, "validation": 1}
    assert disk(path=str(tmp_path / "whole")).load()["train"]["text"][:] == ["a", "b"]
    with pytest.raises(DataError, match="is no folder of save_to_disk"):
        disk(path=str(tmp_path)).load()


@pytest.mark.parametrize("kept", ["schema", "batches"])
def test_an_arrow_file_that_ends_between_two_batches_is_refused(kept, tmp_path):
    Dataset.from_dict({"text": list("abcd"), "label": [0, 1, 0, 1]}).save_to_disk(tmp_path / "rows", num_shards=2)
    file = tmp_path / "rows" / "data-00001-of-00002.arrow"
    content = file.read_bytes()
    # Each message begins with the same four bytes; the last is the end of the stream.
    file.write_bytes(content[: content.index(b"\xff\xff\xff\xff", 8) if kept == "schema" else -8])
    with pytest.raises(DataError, match="data-00001-of-00002.arrow' is cut short"):
        plugins.load("sources", "disk")(path=str(tmp_path / "rows")).load()
