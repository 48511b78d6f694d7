"""Anomaly detection: what is fitted, against numpy by hand; a defect of one place; what is refused."""

import json
import re

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from hftransfer.core import plugins
from hftransfer.core.errors import DataError, ModelError, RecipeError
from hftransfer.metrics import load_metric
from hftransfer.models.weights import load_model
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.runner.predict import predictions
from hftransfer.tasks import _anomaly_fit as fit
from hftransfer.tasks._anomaly_baseline import numbers_of
from hftransfer.tasks._anomaly_labels import infer_normal
from hftransfer.tasks._anomaly_model import _detector, score_of

TASK = plugins.load("tasks", "anomaly-detection")


def _distances(vectors, queries, scale, bank, neighbours=1):
    arrays = fit.fit_detector(vectors, scale, bank, "random", 0)
    how = {"scale": scale, "channels": vectors.shape[1], "bank": len(arrays["bank"]), "neighbours": neighbours}
    detector = _detector(how)
    for name, array in arrays.items():
        detector.register_buffer(name, torch.tensor(array, dtype=torch.float32))
    return detector(torch.tensor(queries, dtype=torch.float32)[None])[0].numpy()


def test_the_distance_to_the_nearest_rows_is_that_of_numpy():
    rng = np.random.default_rng(0)
    vectors, queries = rng.normal(size=(40, 5)), rng.normal(size=(7, 5))
    first, second = (it / np.linalg.norm(it, axis=1, keepdims=True) for it in (vectors, queries))
    each = np.sort(np.linalg.norm(second[:, None] - first[None], axis=-1), axis=1)
    np.testing.assert_allclose(_distances(vectors, queries, "length", 100), each[:, 0], atol=1e-4)
    np.testing.assert_allclose(_distances(vectors, queries, "length", 100, 3), each[:, :3].mean(axis=1), atol=1e-4)


def test_mahalanobis_is_that_of_scikit_learn():
    from sklearn.covariance import LedoitWolf

    rng = np.random.default_rng(0)
    vectors, queries = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5)) + 3, rng.normal(size=(7, 5))
    expected = LedoitWolf().fit(vectors).mahalanobis(queries) ** 0.5
    np.testing.assert_allclose(_distances(vectors, queries, "whiten", 0), expected, rtol=1e-4)


def test_the_coreset_has_the_farthest_vectors():
    vectors = np.concatenate([np.zeros((50, 2)), [[9, 0], [0, 9], [9, 9]]]) + 1e-3 * np.arange(53)[:, None]
    places = fit.greedy_coreset(vectors, 4, np.random.default_rng(0))
    assert {50, 51, 52} <= set(places) and len(set(places)) == 4


@pytest.mark.parametrize(("count", "expected"), [(19, 19), (99, 95), (100, 96), (5, 5)])
def test_the_threshold_is_a_conformal_quantile(count, expected):
    """The ceil((n + 1) 0.95)-th smallest score, the largest where there are too few."""
    scores = np.random.default_rng(0).permutation(np.arange(1.0, count + 1))
    assert fit.fit_threshold(scores, 0.05) == expected


def test_new_normal_rows_pass_the_threshold_as_rarely_as_asked_for():
    rng = np.random.default_rng(0)
    alarms = [np.mean(rng.normal(size=500) > fit.fit_threshold(rng.normal(size=99), 0.05)) for _ in range(200)]
    assert abs(np.mean(alarms) - 0.05) < 0.005


def test_the_score_of_an_image_is_the_mean_of_its_largest_distances_after_smoothing():
    distances = torch.zeros(1, 25)
    distances[0, 12] = 9.0
    found = score_of(distances, (5, 5), {"smooth": 3, "top": 2})
    assert found["map"].shape == (1, 5, 5) and torch.allclose(found["score"], torch.tensor([1.0]))
    assert score_of(distances, (5, 5), {"smooth": 1, "top": 2})["score"].item() == 4.5


def test_maps_are_reduced_by_their_largest_values():
    heat = np.zeros((1, 10, 7))
    heat[0, 9, 6] = 5
    assert fit.reduced(heat, 4).shape == (1, 4, 3) and fit.reduced(heat, 4)[0, 3, 2] == 5


def test_the_false_alarm_rate_is_the_share_of_normal_rows():
    metric = load_metric("false_alarm_rate", {"positive": 1})
    predictions, references = np.array([1, 0, 0, 0, 1, 0]), np.array([0, 0, 0, 0, 1, 1])
    assert metric(predictions, references)["false_alarm_rate"] == 0.25


def test_numbers_are_read_only_of_rows_that_are_nothing_else():
    assert numbers_of({"train": ["1 2.5", "-3\n4e2"]})["train"].tolist() == [[1, 2.5], [-3, 400]]
    assert numbers_of({"train": ["1 2", "3"]}) is None and numbers_of({"train": ["1 x", "2 y"]}) is None


def _images(folder, count=80):
    """Noise; of anomalies a square of 16 x 16 pixels in 64 x 64 has stripes of the same mean and deviation."""
    folder.mkdir(exist_ok=True)
    lines = []
    for number in range(count):
        rng = np.random.default_rng(number)
        pixels = np.full((64, 64), 128) + rng.choice([-40, 40], (64, 64))
        if number % 2:
            top, left = rng.integers(0, 48, 2)
            pixels[top : top + 16, left : left + 16] = 128 + np.where(np.arange(16) % 2, -40, 40)
        path = folder / f"{number}.png"
        Image.fromarray(pixels.astype("uint8")).save(path)
        lines.append(json.dumps({"image": str(path), "label": ["good", "scratch"][number % 2]}))
    (folder / "rows.json").write_text("\n".join(lines))
    return folder / "rows.json"


def _convolutional(folder):
    """A ResNet with random weights, whose statistics are those of a ResNet nobody has trained."""
    from transformers import ConvNextImageProcessor, ResNetConfig, ResNetModel

    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(folder)
    ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=1.0).save_pretrained(folder)
    return folder


def _recipe(tmp_path, task, more=""):
    return f"""
task: {{name: anomaly-detection, image_size: 64, {task}}}
model: {{id: {_convolutional(tmp_path / "checkpoint")}}}
data:
  source: {{name: json, train: {_images(tmp_path / "images")}}}
  splits: {{validation: 20, test: 24}}
strategy: frozen
training: {{use_cpu: true}}
evaluation: {{resamples: 20, batch_size: 4}}
{more}
"""


def _detected(recipe):
    """The area under the ROC curve on the test rows, without the stages of a run."""
    plan = check(parse_recipe(recipe))
    task, splits = plan.task, plan.rows.splits
    model = load_model(task, plan.origin).eval()
    pixels = {split: _pixels(task, rows) for split, rows in splits.items()}
    task.fit_frozen(model, lambda rows: [{"pixel_values": pixels["train"][rows]}], task.references(splits["train"]), 0)
    with torch.inference_mode():
        outputs = task.outputs(model, {"pixel_values": pixels["test"]}, {})
    probabilities = task.probabilities(outputs, {})
    return load_metric("roc_auc", task.metric_options())(probabilities, task.references(splits["test"]))["roc_auc"]


def _pixels(task, rows):
    return task.collate([{"pixel_values": pixels} for pixels in task.encode(rows[:]).inputs["pixel_values"]])[
        "pixel_values"
    ]


_PLACES = "method: patch_mahalanobis, layers: [embedder.embedder.normalization], smooth: 5"


def test_places_find_a_defect_that_pooling_misses(tmp_path):
    assert _detected(_recipe(tmp_path, _PLACES)) > 0.95
    nearest = _PLACES.replace("mahalanobis", "knn, bank: 200, coreset: random")
    assert _detected(_recipe(tmp_path, nearest)) > 0.8
    assert _detected(_recipe(tmp_path, "method: knn")) < 0.75


def test_a_run_has_its_forest_beside_it_and_predict_answers_by_its_threshold(tmp_path):
    result = run(parse_recipe(_recipe(tmp_path, _PLACES)), tmp_path / "run")
    assert set(result.scores["test"]) == {"tuned", "isolation_forest", "plain_knn"} and set(result.transfer_gain) == {
        "isolation_forest",
        "plain_knn",
    }
    assert "No weight was trained" in result.strategy_note and result.parameters["trainable"] == 0
    with np.load(tmp_path / "run" / "predictions" / "test.npz") as outputs:
        assert max(outputs["tuned.map"].shape[1:]) <= 64 and len(outputs["tuned.map"]) == 24
    (answer,) = predictions(tmp_path / "run", result, [str(tmp_path / "images" / "1.png")])
    assert set(answer) == {"label", "score", "threshold"} and answer["threshold"] == result.fitted["threshold"]
    assert _answer_of_the_card(result, tmp_path, "image.png", str(tmp_path / "images" / "1.png")) == pytest.approx(
        answer["score"], rel=1e-3
    )


def _answer_of_the_card(result, tmp_path, example, given):
    """The score that the card's Python gives, with Transformers alone."""
    repo = tiny.pushed(tmp_path / "run", result, tmp_path / "repo")
    snippet = re.findall(r"```python\n(.*?)```", (repo / "README.md").read_text(), re.DOTALL)[0]
    names = {}
    exec(snippet.replace(example, given), names)
    return names["answer"]["score"]


@pytest.mark.parametrize("method", ["knn", "mahalanobis"])
def test_texts_and_their_card(method, tmp_path):
    """Lines of a log file whose labels are the first word."""
    task = TASK(modality="text")
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "app.log").write_text("\n".join(f"{'-E'[i % 2]} {['good', 'bad'][i % 2]} {i}" for i in range(48)))
    model = tiny.checkpoint(plugins.load("tasks", "text-classification")(), tmp_path / "checkpoint")
    result = run(
        parse_recipe(f"""
task: {{name: {task.name}, method: {method}}}
model: {{id: {model}}}
data: {{source: {{name: text, train: {folder / "app.log"}, labels: first_word}}, splits: {{validation: 8, test: 12}}}}
strategy: frozen
evaluation: {{resamples: 20}}
"""),
        tmp_path / "run",
    )
    assert result.recipe["task"]["modality"] == "text" and result.recipe["task"]["normal"] == ["-"]
    (answer,) = predictions(tmp_path / "run", result, ["good 3"])
    assert _answer_of_the_card(result, tmp_path, "A text.", "good 3") == pytest.approx(answer["score"], rel=1e-3)


def test_sound(tmp_path):
    """Recordings of one pitch are normal; the others are told from them, and the card's Python says the same."""
    rows = [{"audio": tiny._recording(i, tmp_path), "label": ["normal", "hum"][i % 2]} for i in range(40)]
    (tmp_path / "rows.json").write_text("\n".join(map(json.dumps, rows)))
    model = tiny.checkpoint(plugins.load("tasks", "audio-classification")(), tmp_path / "checkpoint")
    result = run(
        parse_recipe(f"""
task: anomaly-detection
model: {{id: {model}}}
data: {{source: {{name: json, train: {tmp_path / "rows.json"}}}, splits: {{validation: 8, test: 12}}}}
strategy: frozen
evaluation: {{resamples: 20}}
"""),
        tmp_path / "run",
    )
    assert result.recipe["task"]["modality"] == "audio"
    assert result.scores["test"]["isolation_forest"]["roc_auc"].value > 0.9
    (answer,) = predictions(tmp_path / "run", result, [rows[1]["audio"]])
    found = _answer_of_the_card(result, tmp_path, "speech.wav", rows[1]["audio"])
    assert found == pytest.approx(answer["score"], rel=1e-3)


def test_a_report_shows_where_a_defect_is():
    task = TASK(modality="image", method="patch_knn", normal=["good"], threshold=2.0)
    image = Image.new("RGB", (32, 32), "grey")
    heat = np.zeros((4, 4))
    heat[0, 0] = 5
    shown = task.render_scored({"image": image}, 1, 0, {"score": np.array(5.0), "map": heat})
    plain = task.render({"image": image}, 1, 0)
    assert set(shown) == {"image"} and shown["image"] != plain["image"]


@pytest.mark.parametrize(
    ("names", "wanted", "normal"),
    [
        (["good", "bad"], [], ["good"]),
        (["0", "1"], [], ["0"]),
        (["a", "b", "c"], ["a", "b"], ["a", "b"]),
        (["-", "KERNEL"], [], ["-"]),
    ],
)
def test_the_usual_names_of_normal_rows_are_known(names, wanted, normal):
    assert infer_normal(names, wanted) == normal


@pytest.mark.parametrize(
    ("names", "wanted", "message"),
    [
        (["cats", "dogs"], [], "task.normal: say which labels are normal; of cats, dogs, none is a usual name"),
        (["good", "ok", "bad"], [], "good and ok may all be meant"),
        (["good", "bad"], ["god"], "did you mean 'good'"),
    ],
)
def test_labels_that_nobody_calls_normal_get_a_sentence(names, wanted, message):
    with pytest.raises(DataError, match=message):
        infer_normal(names, wanted)


@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        ("smooth: 4", RecipeError, "task.smooth: .* an odd number, got 4"),
        ("layers: [encoder.stages.0]", RecipeError, "it is for the methods on patches"),
        ("method: patch_knn, layers: [stage.1]", ModelError, "has no module 'stage.1'; near: "),
        ("method: mahalanobis, scale: length", RecipeError, "mahalanobis whitens features"),
        ("modality: text", DataError, "needs a column for the role 'text'"),
        ("normal: [fine]", DataError, "no training row has the label 'fine'"),
        ("method: nearest", RecipeError, "method"),
    ],
)
def test_bad_fields_get_one_sentence(task, error, message, tmp_path):
    with pytest.raises(error, match=message):
        check(parse_recipe(_recipe(tmp_path, task)))


def test_rows_that_cannot_be_scored_get_one_sentence(tmp_path):
    text = _recipe(tmp_path, "method: knn")
    file = tmp_path / "images" / "rows.json"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[::2]))
    with pytest.raises(DataError, match="split 'test' has no anomaly among its 24 rows"):
        check(parse_recipe(text.replace("validation: 20", "validation: 4")))


def test_texts_have_no_places(tmp_path):
    task = TASK()
    text = tiny.recipe(task, tmp_path).replace("name: anomaly-detection", "name: anomaly-detection, modality: text")
    with pytest.raises(RecipeError, match="the rows are of text"):
        check(parse_recipe(text.replace("modality: text", "modality: text, method: patch_knn, normal: [normal]")))


def test_other_strategies_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="strategy full cannot train 'anomaly-detection': nothing is trained"):
        check(parse_recipe(_recipe(tmp_path, "method: knn").replace("strategy: frozen", "strategy: full")))


def test_a_forest_belongs_to_the_tasks_that_have_it(tmp_path):
    task = plugins.load("tasks", "image-classification")()
    text = tiny.recipe(task, tmp_path).replace("baselines: []", "baselines: [isolation_forest]")
    with pytest.raises(RecipeError, match="'isolation_forest' is no baseline of 'image-classification'"):
        check(parse_recipe(text))


def test_folders_of_mvtec_are_read(tmp_path):
    """`train/good`, `test/good` and `test/DEFECT`, beside masks that nothing reads; no anomaly trains."""
    places = {"train/good": 30, "test/good": 8, "test/hole": 5, "test/stain": 4, "ground_truth/hole": 5}
    number = 0
    for place, count in places.items():
        (tmp_path / "carpet" / place).mkdir(parents=True)
        for _ in range(count):
            pixels = np.random.default_rng(number).integers(0, 255, (16, 16, 3))
            Image.fromarray(pixels.astype("uint8")).save(tmp_path / "carpet" / place / f"{number}.png")
            number += 1
    recipe = parse_recipe(f"""
task: anomaly-detection
model: {{id: {_convolutional(tmp_path / "checkpoint")}}}
data: {{source: {{name: imagefolder, path: {tmp_path / "carpet"}}}, splits: {{validation: 8}}}}
strategy: frozen
evaluation: {{resamples: 20}}
""")
    plan = check(recipe)
    assert plan.task.normal == ["good"] and plan.baselines == ["isolation_forest", "plain_knn"]
    counts = {split: np.bincount(plan.task.references(rows)).tolist() for split, rows in plan.rows.splits.items()}
    assert counts == {"train": [22], "validation": [8], "test": [8, 9]}
    assert run(recipe, tmp_path / "run").scores["test"]["tuned"]["roc_auc"].count == 17
    assert any("threshold is the largest of their scores; 19 are needed" in warning for warning in plan.warnings)


def test_a_line_without_a_text_gets_a_sentence(tmp_path):
    (tmp_path / "app.log").write_text("- fine\n-\n")
    source = plugins.load("sources", "text")(train=str(tmp_path / "app.log"), labels="first_word")
    with pytest.raises(DataError, match="row 1 of split 'train', '-', has a first word and nothing after it"):
        source.load()


def test_tables_of_numbers_are_joined_to_a_text(tmp_path):
    lines = ["a,b,anomaly", *(f"{i},{i % 7},{int(i % 5 == 0)}" for i in range(60))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    model = tiny.checkpoint(plugins.load("tasks", "text-classification")(), tmp_path / "checkpoint")
    plan = check(
        parse_recipe(f"""
task: anomaly-detection
model: {{id: {model}}}
data:
  source: {{name: csv, train: {tmp_path / "rows.csv"}}}
  columns: {{text: [a, b], label: anomaly}}
  splits: {{validation: 12, test: 20}}
strategy: frozen
""")
    )
    assert plan.task.normal == ["0"]
    for name in plan.task.own_baselines:
        found = plan.task.own_baseline(name, plan.rows.splits, {}, 0)
        assert found["test"]["score"].shape == (20,) and set(found) == {"validation", "test"}
