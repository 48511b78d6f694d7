"""Cells of tables come as the file writes them; how lines and labels were read is found, or asked for in a sentence."""

import gzip
import json

import pandas
import pytest

from hftransfer.core import plugins
from hftransfer.core.errors import DataError
from hftransfer.data.load import DataOptions, load_rows
from hftransfer.tasks._label_kinds import infer_kind


def _load(tmp_path, name, content, source="csv", **fields):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    opened = plugins.load("sources", source)(train=str(path), **fields)
    return opened.load()["train"], opened.warnings


@pytest.mark.parametrize(
    ("name", "content", "fields", "rows", "warning"),
    [
        ("a.csv", "text;label\na, b;x\nc;y\n", {}, [("a, b", "x"), ("c", "y")], "has ';' between"),
        ("a.txt", "text\tlabel\na, b\tx\n", {}, [("a, b", "x")], r"has '\\t' between"),
        ("a.TSV", "text\tlabel\na\tx\n", {}, [("a", "x")], None),
        ("a.tsv.gz", gzip.compress(b"text\tlabel\na\tx\n", mtime=0), {}, [("a", "x")], None),
        ("a.csv", "\ufefftext,label\r\n\r\na,x\r\n", {}, [("a", "x")], None),
        ("a.csv", "sep=|\ntext|label\na|x\n", {}, [("a", "x")], "has '|' between"),
        ("a.csv", "text::label\na::b\n", {"delimiter": "::"}, [("a", "b")], None),
        ("a.csv", 'text, label\n"a, b", x\n', {}, [("a, b", " x")], None),
        ("a.csv", 'label, "text"\nx, "a, b"\n', {}, [("a, b", "x")], None),
        ("a.csv", 'n,text,label\n1, "a", x\n2, "b", y\n', {}, [("a", "x"), ("b", "y")], None),
        ("a.csv", "Report of May,,\n,,\nn,text,label\n1,a,x\n2,b,x\n", {}, [("a", "x"), ("b", "x")],
         "names are read from line 3; what stands above them, 'Report of May,,', is left out"),
        ("a.csv", "Report of May\n\nmade, by hand\nn;text;label\n1;a;x\n2;b;x\n", {},
         [("a", "x"), ("b", "x")], "names are read from line 4"),
        ("a.csv", "# made by hand\n# 2020\ntext,label\na,x\nb,x\n", {}, [("a", "x"), ("b", "x")], "read from line 3"),
        ("a.csv", 'text,label\n"say \\"a\\", C:\\new",x\n', {}, [('say "a", C:\\new', "x")], "backslash"),
        ("a.csv", "text,label\n'say #'a#'',x\n".replace("'", '"'), {"escape": "#"}, [('say "a"', "x")], None),
        ("a.csv", 'text,label\n"a\nb",x\n5" pipe,y\n', {}, [("a\nb", "x"), ('5" pipe', "y")], None),
        ("a.tsv", 'text\tlabel\n"a\tx\nb\ty\nsaid "c\tx\n', {}, [('"a', "x"), ("b", "y"), ('said "c', "x")], "line 2"),
        ("a.tsv", 'text\tlabel\n"a\tx\nb\ty\nsaid c"\tx\n', {}, [('"a', "x"), ("b", "y"), ('said c"', "x")], None),
        ("a.csv", 'text,label\n"a,x\nb,y\nsaid c",x\n', {}, [("a,x\nb,y\nsaid c", "x")], "lines 2 to 4 are one row"),
        ("a.csv", "a|x\n", {"header": ["text", "label"]}, [("a", "x")], "between"),
        ("a.csv", "text,label\n1.50,01\n1e3,+1\nTrue,2020-01-01\n", {},
         [("1.50", "01"), ("1e3", "+1"), ("True", "2020-01-01")], None),
        ("a.csv", 'text,label\na,"1.234,5"\nb,\nc,-3\n', {"decimal": ","},
         [("a", "1234.5"), ("b", None), ("c", "-3")], None),
        ("a.csv", 'text,label\na,"$1,234.5"\nb,-$3\nc,4\n', {"decimal": "."},
         [("a", "1234.5"), ("b", "-3"), ("c", "4")], "column 'label' is read as numbers without '$'"),
        ("a.csv", "text,label\na,$5\nb,5 €\n", {"decimal": "."}, [("a", "$5"), ("b", "5 €")], None),
        ("a.csv", "text,label\ngood,1\nbad,1\nlabel,label\n", {}, [("good", "1"), ("bad", "1"), ("label", "label")],
         "line 1 looks like a row"),
    ],
)  # fmt: skip
def test_lines_are_read_as_they_are_written(tmp_path, name, content, fields, rows, warning):
    read, warnings = _load(tmp_path, name, content, **fields)
    assert [(row["text"], row["label"]) for row in read] == rows
    assert bool(warnings) is (warning is not None) or name == "a.tsv"
    if warning:
        assert any(warning.replace("\\\\", "\\") in sentence for sentence in warnings)


@pytest.mark.parametrize(
    ("content", "fields", "sentence"),
    [
        ("text,label\na,x\ndull, table,x\n", {}, "line 3 has 3 cells, and the header 2"),
        ("text,label\na,x,\n", {}, "line 2 has 3 cells"),
        ("text,label,more\na,x\n", {}, "line 2 has 2 cells"),
        ('text,label\na,x\n"b,x\n', {"quotes": True}, "line 3: a quoted cell does not end"),
        ('text,label\n"say "a", b",x\n"b",y\n', {}, "line 2: a quoted cell does not end"),
        ('text,label\n"b ""x""",y\n"say "a"",x\n', {}, r"data\.source\.quotes: false"),
        ("a|b|b\n1|2|3\n", {}, r"names two columns 'b'; .*data\.source\.header"),
        ("text\nhello, world\nbye, all\n", {}, "line 2 has 2 cells, and the header 1"),
        ("text,label\nhello, world,x\nbye, all,y\n", {}, "line 2 has 3 cells, and the header 2"),
        ("text,label\n", {}, "no rows"),
        ("", {}, "is empty"),
        (b"text,label\n\xe9,x\n", {}, r"data\.source\.encoding: .* is not in utf-8"),
        ("text,label\na,x\n", {"encoding": "utf-99"}, "no encoding 'utf-99'"),
        ("te\0xt,label\na,x\n", {}, "cannot name a column"),
    ],
)
def test_lines_that_do_not_fit_are_named(tmp_path, content, fields, sentence):
    with pytest.raises(DataError, match=sentence):
        _load(tmp_path, "a.csv", content, **fields)


def test_a_changed_file_is_read_again(tmp_path):
    first, _ = _load(tmp_path, "a.csv", "text,label\na,x\n")
    second, _ = _load(tmp_path, "a.csv", "text,label\nb,x\n")
    assert (first["text"][0], second["text"][0]) == ("a", "b")
    (tmp_path / "b.csv").write_text("text,other\nb,x\n")
    with pytest.raises(DataError, match=r"differ in the column 'label'"):
        plugins.load("sources", "csv")(train=str(tmp_path / "*.csv")).load()


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('{"a": "1990-01-01"}\n{"a": "1991-02-02T00:00:00Z"}\n', ["1990-01-01", "1991-02-02T00:00:00Z"]),
        ('[{"a": "say \\"x\\""}, {"a": 10}, {"a": 1.50}, {"a": true}]', ['say "x"', "10", "1.50", "true"]),
        ('{"a": ["In", 1990]}\n{"a": ["x"]}\n', [["In", "1990"], ["x"]]),
        ('{"a": {"choices": ["x", "y"]}}\n{"a": "z"}\n', [["x", "y"], ["z"]]),
        ('\ufeff{"a": 1}\n\n{"a": 2.50}\n', ["1", "2.50"]),
        ('{"a": 6109.10}\n{"a": NaN}\n{"a": 1e3}\n', ["6109.10", None, "1e3"]),
        ('{"a": 123456789012345678901}\n{"a": 1}\n', ["123456789012345678901", "1"]),
        ('{\n"a": ["x", "y"],\n"b": [1, 2]}', ["x", "y"]),
        ('{"a": [{"b": 1}]}\n{"a": "x"}\n', [[{"b": 1}], "x"]),
    ],
)
def test_json_cells_are_what_the_file_writes(tmp_path, content, rows):
    read, _ = _load(tmp_path, "a.json", content, "json")
    assert read["a"][:] == rows


@pytest.mark.parametrize("orient", ["columns", "index", "split", "records"])
@pytest.mark.parametrize("indent", [None, 1])
def test_json_of_pandas_is_read_in_each_orientation(tmp_path, orient, indent):
    content = pandas.DataFrame({"a": ["x", "y"], "b": [[1], [2, 3]]}).to_json(orient=orient, indent=indent)
    read, _ = _load(tmp_path, "a.json", content, "json")
    assert list(read) == [{"a": "x", "b": [1]}, {"a": "y", "b": [2, 3]}]


def test_json_rows_without_names_are_a_sentence(tmp_path):
    with pytest.raises(DataError, match=r"row 1 is no mapping .* df\.to_json\(file, orient='records', lines=True\)"):
        _load(tmp_path, "a.json", '[["x", 1], ["y", 2]]', "json")


def test_plain_text_has_no_byte_order_mark_and_may_be_in_another_encoding(tmp_path):
    first, _ = _load(tmp_path, "a.txt", "\ufeffé\n", "text")
    second, _ = _load(tmp_path, "b.txt", "é\n".encode("cp1252"), "text", encoding="cp1252")
    assert first["text"][:] == second["text"][:] == ["é"]


def test_a_word_among_numbers_of_a_later_block_is_read(tmp_path):
    lines = [json.dumps({"label": "unknown" if i == 10_500 else i % 3}) for i in range(10_600)]
    read, _ = _load(tmp_path, "a.json", "\n".join(lines), "json")
    assert sorted(set(read["label"][:])) == ["0", "1", "2", "unknown"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"a": 1}\n{"a": 2\n', "line 2, column 8 is no JSON"),
        ('{"data": [{"a": 1}, {"a": 2}]}', r"data\.source\.field: data"),
        ('[["a"], ["b"]]', "row 1 is no mapping"),
        ('{"a": "\\ud83d"}', "half of a character"),
        ('{"\\ud83d": 1}', "cannot name a column"),
        ("[]", "there are no rows"),
    ],
)
def test_json_that_holds_no_rows_is_named(tmp_path, content, sentence):
    with pytest.raises(DataError, match=sentence):
        _load(tmp_path, "a.json", content, "json")


ONE, SEVERAL, NUMBERS = "single_label_classification", "multi_label_classification", "regression"
FORTY = range(40)


@pytest.mark.parametrize(
    ("labels", "kind", "warned"),
    [
        (["6109.10", "6109.1", "0101.20"] * 9, ONE, True),
        (["0", "1", "2"] * 9, ONE, False),
        ([str(i // 3) for i in range(231)], ONE, True),
        ([i // 3 for i in range(231)], ONE, True),
        ([i * 17 for i in FORTY], NUMBERS, True),
        ([str(i / 10) for i in FORTY], NUMBERS, False),
        (["1", "2.5", "3"] * 9, NUMBERS, True),
        ([f"{i / 7:.2f}" for i in FORTY], ONE, True),
        (["1e-05", "2.5"] * 30, NUMBERS, True),
        (["True", "False"] * 9, ONE, False),
        (["a,b", "a", "b"] * 9, SEVERAL, True),
        (["a;b", "a", "b"] * 9, ONE, True),
        ([["a"], ["b", "c"]] * 9, SEVERAL, False),
    ],
)
def test_the_kind_of_labels_is_inferred_and_doubts_are_told(labels, kind, warned):
    inferred, warnings = infer_kind(labels, ",", named=False)
    assert (inferred, bool(warnings)) == (kind, warned)
    assert all("task." in sentence for sentence in warnings)


@pytest.mark.parametrize(
    "cell",
    ["[1, 0]", "[1.0 0.0]", "[1. 0. 1.]", "array([1, 0])", "{'a', 'b'}", "('a',)", "(1, 0)", "['a' 'b']", "[a, b]",
     "[]", '{"choices": ["a"]}', "[True, False]", "1,0,1", "0 1 1", "tensor([0., 1.])", "[[1], [2]]"],
)  # fmt: skip
def test_lists_that_are_written_as_text_are_refused(cell):
    with pytest.raises(DataError, match="written as text"):
        infer_kind(["a", cell], ",", named=False)


@pytest.mark.parametrize(
    "cells", [["3,5", "4"], ["1.234,5", "2,0"], ["12 %", "3%"], ["$5", "$1,200.50"], ["5 €", "7 €"]]
)
def test_numbers_in_another_notation_are_asked_for(cells):
    with pytest.raises(DataError, match=r"data\.source\.decimal.*task\.problem_type"):
        infer_kind(cells, ",", named=False)


@pytest.mark.parametrize("cell", ["(other)", "C#, C++", "1.2.3", "10-12", "a [b]", "[PAD]", "3 stars"])
def test_odd_names_are_names(cell):
    assert infer_kind([cell, "x"] * 9, ";", named=False) == (ONE, [])


def _rows(tmp_path, labels, names=(), **fields):
    lines = [json.dumps({"text": f"text {i}", "label": label}) for i, label in enumerate(labels)]
    table, _ = _load(tmp_path, "a.json", "\n".join(lines), "json")
    task = plugins.load("tasks", "text-classification")(**fields)
    return load_rows(task, {"train": table}, DataOptions(names=names), 0)


def test_multi_hot_vectors_are_labels(tmp_path):
    vectors = [[1, 0, 0], [0.0, 1, 1], [True, False, True]] * 20
    rows = _rows(tmp_path, vectors)
    assert rows.task.labels == ("0", "1", "2")
    assert sorted(map(tuple, rows.splits["test"]["label"][:]))[-1] == (1.0, 0.0, 1.0)
    assert rows.task.describe_labels(rows.splits["train"]) == (
        "3: 0, 1, 2; several a row (task.problem_type: multi_label_classification, inferred)"
    )
    named = _rows(tmp_path, vectors, ("sport", "law", "tech"))
    assert named.task.labels == ("sport", "law", "tech")
    with pytest.raises(DataError, match="there are 2, and the role 'label' has vectors of 3"):
        _rows(tmp_path, vectors, ("sport", "law"))


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([[1, 1, 0], [1, 0]], "repeats an entry"),
        ([[0.2, 0.8], [0.5, 0.5]], "holds decimals"),
        ([{"choices": ["a"], "x": 1}, "b"], "is a mapping"),
        ([{"name": "a"}, {"name": "b"}], r"part of them, such as COLUMN\.name"),
        ([[{"name": "a"}], [{"name": "b"}]], "a mapping"),
    ],
)
def test_lists_that_are_no_names_are_refused(tmp_path, labels, sentence):
    with pytest.raises(DataError, match=sentence):
        _rows(tmp_path, labels * 20)


@pytest.mark.parametrize(
    "labels", [[{"choices": ["a", "b"]}, {"choices": ["b"]}], [{"choices": ["a", "b"]}, "b", None]]
)
def test_choices_of_label_studio_are_labels(tmp_path, labels):
    rows = _rows(tmp_path, labels * 20, problem_type=SEVERAL)
    assert rows.task.labels == ("a", "b") and sum(map(len, rows.splits.values())) == 20 * len(labels)


def test_numbers_are_told_with_their_range(tmp_path):
    rows = _rows(tmp_path, [i / 10 for i in range(60)])
    shown = rows.task.describe_labels(rows.splits["train"])
    assert shown.startswith("numbers from ") and shown.endswith("(task.problem_type: regression, inferred)")
