"""Shapes of data that `hftransfer new` once misread: each is read as meant, or a sentence says why not."""

import itertools
import json

import pytest
from test_new import _beir, _coco, _image, _lines, _table, _text, _voc, _yolo

from hftransfer.core import plugins
from hftransfer.core.errors import DataError, RecipeError
from hftransfer.drafting import heads
from hftransfer.drafting.draft import problems
from hftransfer.drafting.proposal import survey
from hftransfer.drafting.unread import unread
from hftransfer.tasks._label_kinds import infer_kind


def _labels(path, count=24):
    return _table(path, ["text", "label"], lambda n: [_text(n), ("good", "bad")[n % 2]], count)


def _read(name, **fields):
    return plugins.load("sources", name)(**fields).load()


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (("data.train.csv", "data.test.csv"), {"train": 24, "test": 12}),
        (("data.csv", "test.csv"), {"train": 24, "test": 12}),
        (("reviews-train.csv", "reviews-dev.csv"), {"train": 24, "validation": 12}),
    ],
)
def test_no_file_of_another_split_is_trained_on(names, rows, tmp_path):
    first, second = (_labels(tmp_path / name, count) for name, count in zip(names, (24, 12), strict=True))
    assert survey(str(tmp_path)).rows == rows
    assert survey(str(first)).rows == (rows if "train" in first.name else {"train": 24})
    assert second.is_file()


def test_words_with_tags_in_a_file_for_each_split(tmp_path):
    for split in ("train", "dev", "test"):
        (tmp_path / f"ner.{split}.txt").write_text("".join(f"Anna B-PER\nsaw O\nParis{n} B-LOC\n\n" for n in range(12)))
    assert survey(str(tmp_path)).rows == {"train": 12, "validation": 12, "test": 12}


def test_tables_that_are_not_read_are_named(tmp_path):
    for folder, names in (("a", ("train.jsonl", "test.jsonl", "names.csv")), ("b", ("train.csv", "holdout.csv"))):
        for name in names:
            write = _labels if name.endswith("csv") else None
            path = tmp_path / folder / name
            write(path) if write else _lines(path, lambda n: {"text": _text(n), "label": n % 2})
    first, second = (survey(str(tmp_path / name)) for name in "ab")
    assert first.rows == {"train": 24, "test": 24} and first.source["name"] == "json"
    assert unread(first) == [f"1 of the tables in '{tmp_path / 'a'}' are not read, first '{tmp_path / 'a/names.csv'}'"]
    assert second.rows == {"train": 24} and "holdout.csv" in unread(second)[0]


@pytest.mark.parametrize(("encoding", "text"), [("cp1251", "очень хорошая погода"), ("gbk", "这个很好用的东西")])
def test_an_encoding_that_is_not_western_is_asked_for(encoding, text, tmp_path):
    lines = ["text,label", *(f"{text} {n},{('да', '好')[encoding == 'gbk']}{n % 2}" for n in range(24))]
    (tmp_path / "a.csv").write_bytes("\n".join(lines).encode(encoding))
    with pytest.raises(DataError, match="data.source.encoding: .*is not in utf-8 .*cp1251, gbk"):
        survey(str(tmp_path / "a.csv"))


def test_a_guessed_encoding_is_told(tmp_path):
    lines = ["text,label", *(f"très bon café numéro {n},{('bien', 'mal')[n % 2]}" for n in range(24))]
    (tmp_path / "a.csv").write_bytes("\n".join(lines).encode("cp1252"))
    found = survey(str(tmp_path / "a.csv"))
    assert found.source["encoding"] == "cp1252"
    assert problems(found, found.ranking[0])[0].startswith("the file is not UTF-8 and is read as cp1252")


def test_boxes_beyond_the_part_that_is_looked_at_are_seen(tmp_path, monkeypatch):
    _coco(tmp_path)
    file = tmp_path / "train/_annotations.coco.json"
    table = json.loads(file.read_text())
    file.write_text(json.dumps({key: table[key] for key in ("categories", "images", "annotations")}))
    monkeypatch.setattr(heads, "_BYTES", 300)
    assert '"annotations"' not in heads.head(file) + heads._tail(file)
    assert survey(str(tmp_path)).source["name"] == "coco"


def test_folders_of_parts_with_a_table_beside_them_are_questioned(tmp_path):
    for n in range(24):
        _image(tmp_path / f"part_{n % 2}" / f"img_{n}.png", n)
    _table(tmp_path / "metadata_of_lesions.csv", ["image_id", "dx"], lambda n: [f"img_{n}", ("nv", "mel")[n % 3 > 0]])
    assert "names the images in its column 'image_id', and is not read" in unread(survey(str(tmp_path)))[0]


def test_fast_text_has_one_label_or_several(tmp_path):
    single, several = tmp_path / "a.txt", tmp_path / "b.txt"
    single.write_text("".join(f"__label__{'ab'[n % 2]} how {_text(n)}\n" for n in range(24)))
    several.write_text("".join(f"__label__{'ab'[n % 2]}{' __label__c' * (n % 3 == 0)} how {n}\n" for n in range(24)))
    assert _read("text", train=str(single), labels="first_word")["train"]["label"][:2] == ["a", "b"]
    rows = _read("text", train=str(several), labels="first_word")["train"]
    assert rows["label"][:2] == [["a", "c"], ["b"]] and rows["text"][0] == "how 0"
    assert survey(str(several)).ranking[0].task == "text-classification"


def test_a_file_of_lines_for_each_class(tmp_path):
    for folder, names in {"reviews": ("pos", "neg"), "news": ("sports", "politics")}.items():
        (tmp_path / folder).mkdir()
        for split, name in itertools.product(("train", "test"), names):
            (tmp_path / folder / f"{split}-{name}.txt").write_text("".join(f"{split} {name} {n}\n" for n in range(24)))
    reviews, news = (survey(str(tmp_path / folder)) for folder in ("reviews", "news"))
    assert reviews.ranking[0].task == "text-classification"
    assert "names of the files are taken as classes" in problems(reviews, reviews.ranking[0])[0]
    rows = _read(**reviews.source)
    assert {split: sorted({*it["label"]}) for split, it in rows.items()} == dict.fromkeys(
        ("train", "test"), ["neg", "pos"]
    )
    assert rows["test"][0]["text"].startswith(f"test {rows['test'][0]['label']}")
    # A corpus may have several files too.
    assert news.ranking[0].task == "fill-mask"
    assert "--task text-classification" in problems(news, news.ranking[0])[0]
    asked = survey(str(tmp_path / "news"), "text-classification")
    assert {*_read(**asked.source)["train"]["label"]} == {"sports", "politics"}


def test_texts_of_boxes_without_their_image_are_told(tmp_path):
    _yolo(tmp_path)
    for file in list((tmp_path / "labels/train").iterdir())[:10]:
        file.rename(file.with_name(f"a1b2c3d4-{file.name}"))
    source = plugins.load("sources", "yolo")(path=str(tmp_path))
    source.load()
    assert any("10 text files of boxes belong to no image" in it and "10 of 24 images" in it for it in source.warnings)


def test_boxes_behind_many_empty_texts_are_seen(tmp_path):
    for n in range(80):
        _image(tmp_path / f"{n:03}.png", n)
        (tmp_path / f"{n:03}.txt").write_text("0 0.5 0.5 0.2 0.4\n" if n >= 60 else "")
    assert survey(str(tmp_path)).source["name"] == "yolo"


def test_a_table_of_customers_with_labels_is_no_recommendation(tmp_path):
    names = ["ticket_id", "customer_id", "product", "created_at", "subject", "priority"]
    path = _table(tmp_path / "tickets.csv", names, lambda n: [
        f"T{n}", f"C{n % 6}", f"P{n // 6 % 8}", f"2024-01-{n % 28 + 1:02}", _text(n, 5), ("low", "high")[n % 2]
    ], count=96)  # fmt: skip
    assert survey(str(path)).ranking[0].task == "text-classification"


@pytest.mark.parametrize(
    ("names", "row"),
    [
        (
            ["Timestamp", "What did you like or dislike about our service today?", "How satisfied are you?"],
            lambda n: [f"2024/01/{n % 28 + 1:02} 9:12:03", _text(n), ("very", "not")[n % 2]],
        ),
        (["text", "toxic"], lambda n: [_text(n), ("toxic", "non-toxic")[n % 2]]),
    ],
)
def test_a_header_that_looks_like_a_row_is_one(names, row, tmp_path):
    found = survey(str(_table(tmp_path / "a.csv", names, row)))
    assert "header" not in found.source and found.rows == {"train": 24}


def test_rows_under_a_missing_number_have_no_header(tmp_path):
    path = _table(tmp_path / "a.csv", None, lambda n: [_text(n, 16), "n/a" if n == 0 else n % 5])
    assert survey(str(path)).source["header"] is False


def _ner_dataset(root):
    names = ["Sentence #", "Word", "POS", "Tag"]
    return _table(root / "ner.csv", names, lambda n: ["" if n % 4 else f"Sentence: {n}", f"word{n}", "NN", "O"])


def _clinc(root):
    splits = {split: [[_text(n), f"intent{n % 3}"] for n in range(9)] for split in ("train", "val", "test")}
    (root / "data.json").write_text(json.dumps(splits))
    return root / "data.json"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_ner_dataset, "a word a row, which is read as CoNLL"),
        (_clinc, "holds the splits train, val, test, whose rows have no names"),
    ],
)
def test_what_no_source_reads_is_a_sentence(make, said, tmp_path):
    with pytest.raises((RecipeError, DataError), match=said):
        survey(str(make(tmp_path)))


def test_labels_in_angle_brackets_are_refused_where_some_are_several():
    with pytest.raises(DataError, match="labels such as '<python><pandas>' are several in one text"):
        infer_kind(["<java>", "<python><pandas>"] * 9, ",", named=False)
    assert infer_kind(["<java>", "<c++>"] * 9, ",", named=False)[0] == "single_label_classification"


def test_ratings_and_numbers_of_label_studio_are_columns(tmp_path):
    def task(n):
        result = [{"from_name": "mood", "type": "rating", "value": {"rating": n % 5 + 1}}]
        return {"id": n, "data": {"text": _text(n), "stars": n % 3}, "annotations": [{"result": result}]}

    (tmp_path / "a.json").write_text(json.dumps([task(n) for n in range(24)]))
    rows = _read("label_studio", train=str(tmp_path / "a.json"))["train"]
    assert rows["mood"][:2] == ["1", "2"] and rows["stars"][:2] == ["0", "1"]


def test_a_log_beside_images_holds_no_boxes(tmp_path):
    for n in range(24):
        _image(tmp_path / "ab"[n % 2] / f"{n}.png", n)
    (tmp_path / "log.txt").write_text("0 2024-05-01 12 7 3\n" * 9)
    assert survey(str(tmp_path)).source["name"] == "imagefolder"


def test_files_of_names_in_another_encoding_are_a_sentence(tmp_path):
    beir, yolo, voc = (tmp_path / name for name in ("beir", "yolo", "voc"))
    for folder in (beir, yolo, voc):
        folder.mkdir()
    _beir(beir)
    (beir / "queries.jsonl").write_bytes('{"_id": "q0", "text": "café"}\n'.encode("latin-1"))
    _yolo(yolo)
    (yolo / "data.yaml").write_text("train: train.txt\nnames: [a, b]\n")
    (yolo / "train.txt").write_bytes("images/train/café.png\n".encode("latin-1"))
    _voc(voc)
    (voc / "ImageSets/Main").mkdir(parents=True)
    (voc / "ImageSets/Main/train.txt").write_bytes("café\n".encode("latin-1"))
    for name, folder in (("beir", beir), ("yolo", yolo), ("voc", voc)):
        with pytest.raises(DataError, match="is not in utf-8"):
            _read(name, path=str(folder))


def test_marks_and_comments_of_other_tools_are_passed_over(tmp_path):
    article = {"title": "a", "paragraphs": [{"context": "Anna ran.", "qas": [
        {"id": "1", "question": "Who?", "answers": [{"text": "Anna", "answer_start": 0}]}]}]}  # fmt: skip
    (tmp_path / "squad.json").write_text(json.dumps({"data": [article]}), encoding="utf-8-sig")
    assert len(_read("squad", train=str(tmp_path / "squad.json"))["train"]) == 1
    (tmp_path / "a.conll").write_text("# sent_id = 0\nAnna B-PER\nran O\n\n# O\n")
    assert _read("conll", train=str(tmp_path / "a.conll"))["train"]["tokens"][0] == ["Anna", "ran"]
