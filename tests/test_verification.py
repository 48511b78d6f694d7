"""Embeddings by identity: error rates by hand, a threshold of validation identities, splits that share none."""

import json

import numpy as np
import pytest
import tiny

from hftransfer.core import plugins
from hftransfer.core.errors import DataError
from hftransfer.metrics import load_metric
from hftransfer.metrics._similarity_counts import BINS, accepted, counts_of, threshold_at
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.tasks import _trials

TASK = plugins.load("tasks", "image-feature-extraction")


def _counts(threshold=0.5):
    """Four rows of two identities; cosines of pairs of one: 0.9, 0.3, of two: 0.7, 0.1, -0.2, 0.4."""
    similarities = np.eye(4)
    for (one, other), cosine in {
        (0, 1): 0.9, (2, 3): 0.3, (0, 2): 0.7, (0, 3): 0.1, (1, 2): -0.2, (1, 3): 0.4,
    }.items():  # fmt: skip
        similarities[one, other] = similarities[other, one] = cosine + 1e-6
    identities = np.array([7, 7, 8, 8])
    return counts_of(similarities, identities[:, None] == identities, threshold)


def test_error_rates_by_hand():
    counts = _counts()
    assert counts.shape == (4, 1 + 2 * BINS) and counts[:, 1:].sum() == 12
    assert accepted(counts).tolist() == [[1, 1, 1, 2], [1, 1, 0, 2], [0, 1, 1, 2], [0, 1, 0, 2]]
    scores = load_metric("tar_at_far")(counts, counts)
    assert scores == {"tar_at_far": 0.5, "tar_at_far.far": 0.25}
    # From 0.3 on half of the pairs of one identity are refused, up to 0.4 half of the others are accepted.
    assert load_metric("eer")(counts, counts)["eer"] == pytest.approx(0.5, abs=1e-6)
    # Only 0.7 may be accepted of the pairs of two at a quarter, none of them below that.
    assert threshold_at(counts, 0.25) == pytest.approx(0.404, abs=0.003)
    assert threshold_at(counts, 0.01) == pytest.approx(0.704, abs=0.003)


def test_the_equal_error_rate_of_many_pairs_is_that_of_the_roc_curve():
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(0)
    identities = np.repeat(np.arange(20), 6)
    vectors = rng.normal(size=(20, 16))[identities] + 1.2 * rng.normal(size=(120, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarities, same = vectors @ vectors.T, identities[:, None] == identities
    pairs = np.triu_indices(120, 1)
    false, true, _ = roc_curve(same[pairs], similarities[pairs])
    expected = false[np.argmin(np.abs(false - (1 - true)))]
    counts = counts_of(similarities, same, 0.0)
    assert load_metric("eer")(counts, counts)["eer"] == pytest.approx(expected, abs=0.01)


def _recipe(folder, more="", identities=12):
    rows = [tiny.row(TASK(), i, folder) | {"label": f"p{i % identities}"} for i in range(48)]
    (folder / "rows.json").write_text("\n".join(map(json.dumps, rows)))
    model = tiny.checkpoint(TASK(), folder / "checkpoint")
    return f"""
task: image-feature-extraction
model: {{id: {model}}}
data: {{source: {{name: json, train: {folder / "rows.json"}}}, splits: {{validation: 8, test: 12}} {more}}}
training: {{num_train_epochs: 1, per_device_train_batch_size: 16, use_cpu: true}}
evaluation: {{resamples: 20}}
"""


def test_no_identity_of_test_is_trained_on_and_the_threshold_is_that_of_validation(tmp_path):
    result = run(parse_recipe(_recipe(tmp_path)), tmp_path / "run")
    classes = {split: set(names) for split, names in result.data.classes.items()}
    assert not classes["test"] & (classes["train"] | classes["validation"]) and len(classes["test"]) == 3
    assert set(result.scores["test"]) == {"random", "pretrained", "tuned"}
    assert -1 <= result.fitted["threshold"] <= 1
    validation = result.scores["validation"]["tuned"]
    assert validation["tar_at_far.far"].value <= 0.01
    with np.load(tmp_path / "run" / "predictions" / "test.npz") as outputs:
        assert outputs["tuned.image"].shape == (12, 16)


def test_bad_identities_get_a_sentence(tmp_path):
    text = _recipe(tmp_path)
    (tmp_path / "test.json").write_text((tmp_path / "rows.json").read_text())
    rows = f"train: {tmp_path / 'rows.json'}"
    named = text.replace(rows, f"{rows}, test: {tmp_path / 'test.json'}").replace(", test: 12", "")
    lines = (tmp_path / "rows.json").read_text().splitlines()
    (tmp_path / "test.json").write_text("\n".join(lines[:24]))
    (tmp_path / "rows.json").write_text("\n".join(lines[24:]))
    with pytest.raises(DataError, match="of split 'test' is trained on too: data.splits.test: 0.2 takes whole"):
        check(parse_recipe(named))
    one = [json.dumps(json.loads(line) | {"label": "other"}) for line in lines[:8]]
    (tmp_path / "test.json").write_text("\n".join(one))
    with pytest.raises(DataError, match="split 'test' has one identity, and pairs of two are needed"):
        check(parse_recipe(named))


def test_a_list_of_trials_says_which_pairs_are_scored(tmp_path):
    file = tmp_path / "trials.txt"
    file.write_text("1 a/1.wav a/2.wav\n0 b/1.wav a/1.wav\n")
    names = ["/data/a/1.wav", "/data/a/2.wav", "/data/b/1.wav", "/data/b/2.wav"]
    cells = [{"path": name, "bytes": None} for name in names]
    task = plugins.load("tasks", "audio-xvector")(trials=str(file))
    vectors = np.array([[1, 0], [1, 0], [-1, 0], [-1, 0]], dtype=np.float32)
    side = task.side_of({"audio": cells, "label": [0, 0, 1, 1]})
    counts = task.postprocess({"audio": vectors}, side)
    # Each pair counts in both of its rows; that of b with itself is not in the list.
    assert accepted(counts).tolist() == [[1, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    # Of the validation rows no pair is listed, and all are counted.
    others = side | {"file": ["/data/c/1.wav"] * 4}
    assert accepted(task.postprocess({"audio": vectors}, others))[:, 1::2].sum() == 12


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 a/1.wav", "line 1 of '.*' is '1 a/1.wav'; write 1 or 0 and two files"),
        ("1 a/1.wav a/9.wav", "names 'a/9.wav', which is the file of no test row"),
        ("0 a/1.wav a/2.wav", "says that its files are of two identities, and the rows otherwise"),
    ],
)
def test_a_list_of_trials_that_does_not_fit_gets_a_sentence(line, message, tmp_path):
    (tmp_path / "trials.txt").write_text(line)
    with pytest.raises(DataError, match=message):
        _trials.check(str(tmp_path / "trials.txt"), ["x/a/1.wav", "x/a/2.wav"], ["a", "a"])
