"""`hftransfer audit`: near copies, wrong labels, odd rows; and `data.drop`, which takes what it has found."""

import csv
import io

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageEnhance

import hftransfer.auditing.audit as audits
from hftransfer import audit, cli
from hftransfer.auditing.audio_contents import AudioContents
from hftransfer.auditing.image_contents import ImageContents
from hftransfer.auditing.label_issues import find_label_issues, folds_of
from hftransfer.auditing.near_copies import Pair, clusters, find_pairs, superfluous
from hftransfer.auditing.odd_rows import odd_sizes
from hftransfer.auditing.text_contents import TextContents
from hftransfer.core import plugins
from hftransfer.core.audit_record import AuditResult
from hftransfer.core.errors import DataError, RecipeError
from hftransfer.core.media import location, open_audio
from hftransfer.data.corruptions import _typos
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.plan import check
from hftransfer.samples._espeak import Line, speak


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Features that no other test has computed."""
    from datasets import config

    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")


def _articles(count):
    rows = plugins.load("samples", "bbc_news")().rows()["train"]
    places = np.linspace(0, len(rows) - 1, count).round().astype(int)
    return rows.select(places)["text"][:], [rows.features["label"].int2str(i) for i in rows.select(places)["label"]]


def _found(contents):
    return {(pair.first, pair.second) for pair in find_pairs(contents, None)}


def test_texts_with_typos_and_without_their_end_are_near_copies_and_others_are_not():
    texts, _ = _articles(60)
    rng = np.random.default_rng(0)
    changed = [_typos(text, rng) for text in texts[:10]] + [text[: len(text) * 4 // 5] for text in texts[10:20]]
    assert _found(TextContents([*texts, *changed])) == {(place, 60 + place) for place in range(20)}


def test_images_that_were_cropped_compressed_brightened_or_mirrored_are_near_copies():
    from sklearn.datasets import load_sample_images

    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    tiles = [it.crop((x, y, x + 128, y + 128)) for it in photographs for x in range(0, 512, 128) for y in (0, 128, 256)]
    buffer = io.BytesIO()
    tiles[1].save(buffer, "JPEG", quality=30)
    changed = [
        tiles[0].crop((6, 3, 120, 117)),
        Image.open(buffer),
        ImageEnhance.Brightness(tiles[2]).enhance(0.7),
        tiles[3].transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    ]
    contents, count = ImageContents([*tiles, *changed]), len(tiles)
    # Features of a copy are near those of the original.
    copies = [contents.similarity(place, count + place, 0.2) is not None for place in range(4)]
    others = [contents.similarity(first, second, 0.2) for first in range(6) for second in range(6, count)]
    assert copies == [True] * 4 and set(others) == {None}
    assert {(1, count + 1), (2, count + 2), (3, count + 3)} <= _found(contents)


def test_recordings_that_were_made_louder_or_cut_are_near_copies():
    texts, _ = _articles(16)
    lines = [Line(text[:30], "en-us+f2", 150, 50, 1.0, 0.1) for text in texts]
    cells, changed = list(speak(lines, 8000)), []
    for cell in cells[:4]:
        samples, rate = open_audio(location(cell))
        for values in (samples * 0.3, samples[rate // 20 :]):
            buffer = io.BytesIO()
            soundfile.write(buffer, values, rate, format="WAV")
            changed.append({"bytes": buffer.getvalue(), "path": None})
    planted = {(place // 2, 16 + place) for place in range(8)}
    # The two copies of a recording are near each other too.
    among_copies = {(16 + place, 17 + place) for place in range(0, 8, 2)}
    assert _found(AudioContents([*cells, *changed])) - among_copies == planted


def test_labels_that_were_flipped_are_suspicious():
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(4), 60)
    features = rng.normal(size=(4, 16))[classes] * 2 + rng.normal(size=(240, 16))
    flipped = rng.choice(240, 12, replace=False)
    labels = classes.copy()
    labels[flipped] = (labels[flipped] + 1) % 4
    issues = find_label_issues(features.astype(np.float32), labels, np.arange(240), 0)
    found = np.flatnonzero(issues.suspicious)
    hits = np.intersect1d(found, flipped)
    assert len(hits) >= 0.9 * len(flipped) and len(hits) >= 0.9 * len(found)
    np.testing.assert_array_equal(issues.suggested[hits], classes[hits])
    assert find_label_issues(features, labels, np.zeros(240, dtype=int), 0) is None


def test_groups_are_whole_in_the_folds():
    groups = np.arange(100) // 4
    for train, held_out in folds_of(np.arange(100) % 2, groups, 0):
        assert not set(groups[train]) & set(groups[held_out])


def test_of_a_chain_of_copies_every_other_row_stays():
    pairs = [Pair(0, 1, 0.9), Pair(1, 2, 0.9), Pair(3, 4, 0.9)]
    assert superfluous(5, pairs, np.array([0, 1, 1, 0, 0], dtype=bool)).tolist() == [False, True, False, False, False]
    assert clusters(6, pairs).tolist() == [0, 0, 0, 3, 3, 5]


def test_sizes_far_from_the_usual_are_odd():
    sizes = np.concatenate([np.linspace(900, 1100, 50), [3, 40_000]])
    assert np.sign(odd_sizes(sizes)).tolist() == [0] * 50 + [-1, 1]


def _write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["text", "label"], *rows])


def _recipe(folder):
    """Articles of which one is there again with typos, and one has a wrong label."""
    texts, labels = _articles(60)
    assert labels[42] == "sports"
    labels[42] = "business"
    rows = [*zip(texts, labels, strict=True), (_typos(texts[20], np.random.default_rng(0)), labels[20])]
    _write(folder / "rows.csv", rows)
    return parse_recipe(
        f"task: {{name: text-classification, max_length: 32}}\nmodel: {{id: 'sample:minilm'}}\n"
        f"data: {{source: {{name: csv, train: {folder / 'rows.csv'}}}, splits: {{validation: 6, test: 10}}}}",
        "recipe",
    )


def test_an_audit_is_continued_kept_and_its_rows_are_dropped(tmp_path, monkeypatch, own_cache):
    recipe, out = _recipe(tmp_path), tmp_path / "audit"

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(audits, "find_label_issues", interrupt)
        with pytest.raises(KeyboardInterrupt):
            audit(recipe, out=out)
    with pytest.raises(RecipeError, match="--resume continues it"):
        audit(recipe, out=out)
    result = audit(recipe, out=out, resume=True)
    assert result.features == {"computed": 0, "kept": 61}
    pair = next(it for it in result.of("near copy") if {it.row.row, it.similar_to.row} == {20, 60})
    assert pair.score > 0.6
    wrong = {it.row.row: it for it in result.of("suspicious label")}
    assert wrong[42].suggested == "sports" and wrong[42].drop == (wrong[42].row.part == "train")
    assert AuditResult.load(out / "result.json") == result == audit(recipe, out=out, resume=True)
    page = (out / "audit.html").read_text()
    assert "Near copies" in page and "<p>" in page and "http" not in page.replace("http://www.w3.org", "")

    with (out / "audit.csv").open() as file:
        lines = list(csv.DictReader(file))
    named = {line["row"] for line in lines if line["drop"] == "yes"}
    assert len(lines) == len(result.findings) and named
    before, after = (check(it).rows.facts for it in (recipe, _dropping(recipe, out / "audit.csv")))
    assert sum(after.dropped.values()) == len(named) == before.rows["train"] - after.rows["train"]
    assert after.rows["test"] == before.rows["test"] and after.fingerprint != before.fingerprint
    # What is already gone is not found again.
    again = audit(_dropping(recipe, out / "audit.csv"), out=tmp_path / "again")
    assert not [it for it in again.of("near copy") if it.drop] and again.features["computed"] == 0


def _dropping(recipe, path):
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"drop": str(path)})})


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (None, "there is no file"),
        ("split,number\ntrain,3\n", "needs the columns split and row, or content"),
        ("split,row\ntrain,x\n", "line 2 .* row is a number from 0 on, got 'x'"),
        ("split,row\n,3\n", "line 2 .* names no row"),
        ("split,row\ntrain,500\n", "names row 500 of split 'train', which is not among the rows"),
        ("content\nabc\n", "32 hexadecimal digits, got 'abc'"),
        (f"content,reason\n{'0' * 32},copy\n", "a row with the content 0000.* is not among the rows"),
        ("split,row,drop\ntrain,3,perhaps\n", "drop is yes or no, got 'perhaps'"),
    ],
)
def test_a_mistake_in_a_list_of_rows_is_a_sentence(tmp_path, table, sentence):
    recipe = _recipe(tmp_path)
    if table is not None:
        (tmp_path / "drop.csv").write_text(table)
    with pytest.raises(DataError, match=sentence):
        check(_dropping(recipe, tmp_path / "drop.csv"))


def test_validation_and_test_rows_stay(tmp_path):
    recipe = _recipe(tmp_path)
    (tmp_path / "drop.csv").write_text(
        "split,row,reason,drop\n" + "".join(f"train,{i},bad,\n" for i in range(0, 60, 3)) + "train,31,bad,no\n"
    )
    plan = check(_dropping(recipe, tmp_path / "drop.csv"))
    before = check(recipe).rows
    leaving = sum(number % 3 == 0 and number < 60 for number in before.origins["train"].numbers)
    assert plan.rows.facts.dropped == {"bad": leaving} and f"{leaving} bad" in str(plan)
    assert any(f"{20 - leaving} of the 20 rows" in warning for warning in plan.warnings)
    assert plan.rows.origins["test"].numbers.tolist() == before.origins["test"].numbers.tolist()


def test_what_is_not_checked_is_said(tmp_path, capsys):
    """Rows of several labels each, and weights that know nothing."""
    texts, _ = _articles(24)
    _write(tmp_path / "rows.csv", [(text, "ab"[number % 2]) for number, text in enumerate(texts)])
    (tmp_path / "recipe.yaml").write_text(
        "task: {name: text-classification, max_length: 16}\n"
        "model: {config: {model_type: bert, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}, "
        "processor: 'sample:minilm'}\nstrategy: scratch\n"
        f"data: {{source: {{name: csv, train: {tmp_path / 'rows.csv'}}}}}\n"
    )
    assert cli.main(["audit", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "audit")]) == 0
    printed = capsys.readouterr().out
    assert "NOT CHECKED: labels and rows unlike the rest: the recipe has no pretrained checkpoint" in printed
    assert "fewer than 10 training rows" in printed
