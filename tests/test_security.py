"""What a recipe, a checkpoint or a data set of somebody else must not do; SECURITY.md says it in words."""

import bz2
import csv
import gzip
import io
import lzma
import tomllib
import zipfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from results_builder import recipe, result

from hftransfer import api
from hftransfer.core.errors import DataError, HubError, RecipeError, without_secrets
from hftransfer.hub import client
from hftransfer.reporting.model_card import card
from hftransfer.reporting.tables import escape_cell, escape_markdown
from hftransfer.sources.csv import Csv
from hftransfer.sources.parquet import Parquet

ROOT = Path(__file__).parent.parent
EVIL = [
    "[click](javascript:alert(3))",
    "![x](http://evil.example/a.png)",
    "[0.1, 0.2](http://evil.example)",
    "[x]: http://evil.example",
    "<img src=http://evil.example/a.png>",
    "`code` ```",
    "| a | b |",
    "a\n\n# Heading",
    "**bold** \\[x](y)",
    "=cmd|' /C calc'!A0",
]


@pytest.mark.parametrize("text", EVIL)
def test_a_text_of_the_data_adds_nothing_to_the_card(text):
    shown = escape_markdown(text)
    for sign in ("[", "`", "|", "*"):
        assert shown.count(sign) == shown.count(f"\\{sign}")
    assert "<" not in shown and "\n" not in shown
    assert escape_markdown("0.925 [0.905, 1,234.5]") == "0.925 [0.905, 1,234.5]"


def test_no_link_or_picture_of_a_label_stands_in_the_whole_card():
    data = result().data.model_copy(update={"labels": EVIL[:3]})
    groups = {text: {"tuned": result().scores["test"]["tuned"]["f1"]} for text in EVIL}
    evil = recipe(data=recipe()["data"] | {"names": ["x\n\n````\n\n![y](http://evil.example/b.png)"]})
    page = card(result(data=data, groups=groups, warnings=EVIL, name=EVIL[0], recipe=evil))
    text, _, rest = page.split("---\n", 2)[2].partition("`````yaml\n")
    inside, _, after = rest.partition("\n`````\n")
    for part in (text, after):
        assert "](javascript" not in part.replace("\\](", "") and "](http://evil" not in part.replace("\\](", "")
    assert "evil" in inside and "evil" in text


@pytest.mark.parametrize("text", ["=1+1", "@SUM(1)", "+cmd", "-x", "\t=1", "-", "-2+3"])
def test_a_formula_in_a_csv_is_a_text(text):
    assert escape_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-5", "+1.5e-3", "a=b", "", "-0.25", "word"])
def test_numbers_and_words_in_a_csv_stay(text):
    assert escape_cell(text) == text


def test_the_predictions_of_a_run_hold_no_formula():
    from types import SimpleNamespace

    from hftransfer.runner.collect import _prediction_table

    answers = SimpleNamespace(predictions=["=1+1"])
    context = SimpleNamespace(
        references=lambda _: ["@x"],
        outputs={"test": {"tuned": None}},
        answers=lambda *_: answers,
        errors=lambda _: [1.0],
        plan=SimpleNamespace(task=SimpleNamespace(describe=str)),
    )
    assert list(csv.reader(io.StringIO(_prediction_table(context, "test"))))[1] == ["0", "'@x", "'=1+1", "1"]


def _zip(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", data)
    return buffer.getvalue()


def _packed_by_arrow(codec):
    return lambda data: pyarrow.compress(data, codec, asbytes=True)


_PACKERS = {"gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zip": _zip}
_PACKERS |= {codec: _packed_by_arrow(codec) for codec in ("zstd", "lz4")}


@pytest.mark.parametrize("pack", _PACKERS.values(), ids=_PACKERS)
def test_a_packed_file_that_becomes_too_large_is_refused(pack, tmp_path, monkeypatch):
    monkeypatch.setattr("hftransfer.sources._archives._ALWAYS_ALLOWED", 100_000)
    file = tmp_path / "rows.csv.packed"
    file.write_bytes(pack(b"text,label\n" + b"a" * 1_000_000))
    with pytest.raises(DataError, match="once it is unpacked"):
        Csv(train=str(file)).load()
    file.write_bytes(pack(b"text,label\na,b\n" * 500))
    Csv(train=str(file))._paths()


def _write_parquet(file, values, count):
    numbers = pyarrow.array([min(row, len(values) - 1) for row in range(count)], pyarrow.int32())
    text = pyarrow.DictionaryArray.from_arrays(numbers, pyarrow.array(values))
    table = {"text": text, "tags": [["a", "b"], []] * (count // 2), "maps": [{"x": "y"}] * count}
    pyarrow.parquet.write_table(pyarrow.table(table), file, compression="zstd")
    return Parquet(train=str(file))


def test_a_parquet_file_whose_dictionary_becomes_too_large_is_refused(tmp_path, monkeypatch):
    # 300 KB once, which 100,000 rows repeat: 30 GB.
    bomb = _write_parquet(tmp_path / "bomb.parquet", ["x" * 300_000], 100_000)
    for read in (bomb.count, bomb.load):
        with pytest.raises(DataError, match="more than 1,000,000,000 once it is read"):
            read()
    # The bound by the longest value is as high; that value stands in one row.
    rare = _write_parquet(tmp_path / "rare.parquet", ["x" * 300_000, "y"], 100_000)
    assert rare.count() == {"train": 100_000}
    monkeypatch.setattr("hftransfer.sources._parquet_size._TIMES_UNPACKED", 1e-3)
    with pytest.raises(DataError, match="once it is read"):
        _write_parquet(tmp_path / "numbers.parquet", ["z"], 100_000).load()


def test_a_packed_file_that_is_cut_is_refused(tmp_path):
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(b"text,label\n" + bytes(range(32, 127)) * 99)[:-20])
    with pytest.raises(DataError, match="to its end"):
        Csv(train=str(tmp_path / "rows.csv.gz")).load()


PUSHED = "task: text-classification\nmodel: {id: 'sample:minilm'}\ndata: {source: {name: sample, id: bbc_news}}\n"


@pytest.mark.parametrize("services", ["wandb", "all", "[tensorboard, mlflow]", "null"])
def test_a_recipe_of_the_hub_does_not_report(services, monkeypatch):
    monkeypatch.setattr(client, "read_recipe", lambda repo: f"{PUSHED}training: {{report_to: {services}}}\n")
    with pytest.raises(RecipeError, match="reports to"):
        api.read_recipe("hub:somebody/model")
    assert api.read_recipe("hub:somebody/model", ["training.report_to=none"]).training["report_to"] == "none"


def test_a_recipe_of_the_hub_neither_pushes_nor_runs_code(monkeypatch):
    text = PUSHED.replace("minilm'", "minilm', trust_remote_code: true") + "hub: {repo: me/mine}\n"
    monkeypatch.setattr(client, "read_recipe", lambda repo: text)
    foreign = api.read_recipe("hub:somebody/model")
    assert foreign.hub is None and not foreign.model.trust_remote_code
    monkeypatch.setattr(client, "read_recipe", lambda repo: f"{PUSHED}evaluation: {{metrics: [evil/metric]}}\n")
    with pytest.raises(RecipeError, match="is code of a repository"):
        api.read_recipe("hub:somebody/model")


def test_errors_repeat_neither_tokens_nor_passwords():
    for error in (HubError, DataError, RecipeError):
        message = str(error("no hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ at https://me:secret@host/x or s3://key:word@bucket"))
        assert message == "no hf_*** at https://***@host/x or s3://***@bucket"
    assert without_secrets("hf_datasets/train.csv at me@host") == "hf_datasets/train.csv at me@host"


def test_versions_of_torch_that_run_code_of_a_checkpoint_are_excluded():
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (torch,) = [line for line in needs if line.startswith("torch>")]
    assert tuple(map(int, torch.partition(">=")[2].partition(",")[0].split("."))) >= (2, 10)
