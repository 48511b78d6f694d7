"""The test rows under corruptions: what changes, and that it is the same each time."""

import numpy as np
import pytest
import tiny
from datasets import Audio, Dataset
from PIL import Image

from hftransfer.core import features, plugins
from hftransfer.core.errors import RecipeError
from hftransfer.data.corruptions import check_corruptions, corrupted
from hftransfer.recipe.loader import parse_recipe
from hftransfer.recipe.schema import Export
from hftransfer.runner.pipeline import export, run


def _task(name):
    return plugins.load("tasks", name)()


def _pictures():
    pixels = [np.random.default_rng(i).integers(0, 255, (32, 32, 3)).astype("uint8") for i in range(3)]
    return Dataset.from_dict({"image": [Image.fromarray(one) for one in pixels], "label": [0, 1, 0]})


@pytest.mark.parametrize("name", ["noise", "blur", "contrast", "jpeg"])
def test_pictures_change_and_labels_do_not(name):
    rows = _pictures()
    (one,), (other,) = (corrupted(_task("image-classification"), rows, [name], 3).values() for _ in range(2))
    assert one["label"] == rows["label"]
    for before, after, again in zip(rows["image"], one["image"], other["image"], strict=True):
        assert after.size == before.size and np.any(np.asarray(after) != np.asarray(before))
        np.testing.assert_array_equal(np.asarray(after), np.asarray(again))


def test_contrast_is_a_fifth():
    (made,) = corrupted(_task("image-classification"), _pictures(), ["contrast"], 0).values()
    for before, after in zip(_pictures()["image"], made["image"], strict=True):
        assert np.asarray(after).std() == pytest.approx(0.2 * np.asarray(before).std(), rel=0.05)


def test_texts_keep_their_words():
    words = " ".join(["transfer"] * 200)
    rows = Dataset.from_dict({"text": [words], "label": [0]})
    made = corrupted(_task("text-classification"), rows, ["typos", "casing"], 0)
    typos = made["test-typos"]["text"][0].split()
    wrong = [word for word in typos if word != "transfer"]
    assert len(typos) == 200 and 5 < len(wrong) < 40 and all(sorted(w) == sorted("transfer") for w in wrong)
    assert made["test-casing"]["text"] == [words.upper()]


@pytest.mark.parametrize(("name", "length"), [("noise", 1.0), ("speed", 5 / 6), ("reverb", 1.0)])
def test_recordings(name, length, tmp_path):
    cell = tiny._recording(1, tmp_path)
    rows = Dataset.from_dict({"audio": [{"bytes": None, "path": cell}], "label": [0]})
    rows = rows.cast_column("audio", Audio(decode=False))
    (made,) = corrupted(_task("audio-classification"), rows, [name], 0).values()
    before, rate = features.open_audio(cell)
    after, same = features.open_audio(features.location(made["audio"][0]))
    assert same == rate and len(after) == pytest.approx(length * len(before), abs=2) and abs(after).max() <= 1
    if name == "noise":
        ratio = 10 * np.log10(before.var() / (after - before).var())
        assert ratio == pytest.approx(10, abs=0.5)


def test_a_corruption_of_another_input_is_refused():
    with pytest.raises(RecipeError, match="has no corruption 'blurr'; did you mean 'blur'"):
        check_corruptions(_task("image-classification"), ["noise", "blurr"])


def test_every_variant_is_scored_under_the_corruptions(tmp_path):
    text = tiny.recipe(_task("image-classification"), tmp_path)
    text = text.replace("baselines: []", "baselines: [majority, probe], corruptions: [noise, jpeg]")
    result = run(parse_recipe(text), tmp_path / "run")
    for split in ("test-noise", "test-jpeg"):
        assert set(result.scores[split]) == {"majority", "probe", "tuned"}
        assert result.scores[split]["tuned"]["accuracy"].count == 12
    assert set(result.transfer_gain) == {"majority", "probe"}
    assert 0 <= result.calibration_error["tuned"] <= 1
    assert "under corruptions" in (tmp_path / "run" / "report.html").read_text()
    again = export(tmp_path / "run", Export(format="onnx"))
    assert set(again.scores["test-noise"]) == {"majority", "probe", "tuned"} and "onnx" in again.scores["test"]
    assert again.scores["test-noise"]["tuned"] == result.scores["test-noise"]["tuned"]
