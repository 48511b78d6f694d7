"""The baselines on frozen features: what they read, what they choose, and where they are refused."""

import copy

import _peft
import numpy as np
import pytest
import tiny
import torch
import transformers
from datasets import Dataset
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.data.encode import EncodedSplits
from hftransfer.models.frozen_features import frozen_features
from hftransfer.models.pooling import hold_pooling
from hftransfer.models.probe import fit_and_score, fit_linear, of_all_classes
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check

RNG = np.random.default_rng(0)


def test_a_class_without_a_training_row_has_the_least_probability():
    scores = of_all_classes(np.log([[0.3, 0.7]]), 3)
    assert scores.shape == (1, 3) and scores[0, 2] < -10 and of_all_classes(scores, 3) is not None


def _planted(target, count=120, size=8):
    """Features under the name `mean` of which the labels follow, and under `first` noise."""
    signal = RNG.normal(size=(count, size)).astype(np.float32)
    weights = RNG.normal(size=(size, 3))
    labels = {
        "class": (signal @ weights).argmax(axis=1),
        "classes": (signal @ weights > 0).astype(int),
        "number": signal @ weights[:, 0] + 5,
    }[target]
    return {"first": RNG.normal(size=(count, size)).astype(np.float32), "mean": signal}, labels


@pytest.mark.parametrize("method", ["probe", "knn"])
@pytest.mark.parametrize("target", ["class", "classes", "number"])
def test_a_baseline_reads_the_pooling_that_tells_the_labels(method, target):
    features, labels = _planted(target)
    train = {name: array[:80] for name, array in features.items()}
    test = {name: array[80:] for name, array in features.items()}
    scores = fit_and_score(method, target, train, labels[:80], {"test": test}, 0)["test"]
    right = labels[80:]
    assert np.isfinite(scores).all() and scores.shape == (40, 1 if target == "number" else 3)
    if target == "class":
        np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, atol=1e-9)
        assert (scores.argmax(axis=1) == right).mean() > (0.8 if method == "probe" else 0.6)
    elif target == "classes":
        assert ((scores > 0) == right).mean() > (0.85 if method == "probe" else 0.7)
    else:
        assert np.corrcoef(scores[:, 0], right)[0, 1] > (0.99 if method == "probe" else 0.7)


@pytest.mark.parametrize("method", ["probe", "knn"])
@pytest.mark.parametrize("labels", [[0, 1], [0, 0, 0, 0, 0, 1], [0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2, 2]])
def test_few_rows_are_enough(method, labels):
    """Folds may lack a class, and there may be fewer rows than folds."""
    labels = np.array(labels)
    features = {"mean": np.eye(6, dtype=np.float32)[labels] + RNG.normal(size=(len(labels), 6)).astype("f") / 100}
    scores = fit_and_score(method, "class", features, labels, {"test": features}, 0)["test"]
    np.testing.assert_array_equal(scores.argmax(axis=1), labels)


def test_padding_is_not_pooled(tmp_path):
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    model = BertForSequenceClassification(BertConfig(vocab_size=20, **sizes))
    rows = [{"input_ids": [5, 6, 7], "length": 3}, {"input_ids": [8, 9, 10, 11, 12], "length": 5}]

    def collate(examples):
        ids = [torch.tensor(example["input_ids"]) for example in examples]
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(it) for it in ids], batch_first=True)
        return {"input_ids": padded, "attention_mask": mask}

    encoded = EncodedSplits({"train": Dataset.from_list(rows)}, collate)
    task = plugins.load("tasks", "text-classification")(problem_type="single_label_classification")
    together = frozen_features(task, model, encoded, "train", 2)
    assert set(together) == {"mean", "first", "pooler", "head"}
    with torch.inference_mode():
        for row, example in enumerate(rows):
            output = model.bert(torch.tensor([example["input_ids"]]))
            hidden = output.last_hidden_state[0].numpy()
            np.testing.assert_allclose(together["mean"][row], hidden.mean(axis=0), atol=1e-5)
            np.testing.assert_allclose(together["first"][row], hidden[0], atol=1e-5)
            np.testing.assert_allclose(together["pooler"][row], output.pooler_output[0].numpy(), atol=1e-5)


def _with_baselines(name, folder, baselines, **kwargs):
    text = tiny.recipe(plugins.load("tasks", name)(), folder, **kwargs)
    return parse_recipe(text.replace("baselines: []", f"baselines: [{baselines}]"))


@pytest.mark.parametrize("name", ["text-classification", "image-classification", "audio-classification"])
def test_a_run_has_them_beside_the_tuned_model(name, tmp_path):
    result = run(_with_baselines(name, tmp_path, "majority, knn, probe"), tmp_path / "run")
    # The head is new, and says nothing before it is trained.
    assert list(result.scores["test"]) == ["majority", "knn", "probe", "tuned"]
    assert set(result.transfer_gain) == {"majority", "knn", "probe"}
    assert result.scores["test"]["probe"]["accuracy"].value == 1
    assert {"score knn", "score probe"} <= set(result.seconds)


@pytest.mark.parametrize(("count", "shared", "noise", "strength"), [(60, 0.0, 2.0, 10.0), (600, 30.0, 0.0, 1000.0)])
def test_another_penalty_is_taken_only_where_it_is_clearly_better(count, shared, noise, strength):
    """What tells the classes is small beside what all features share, so that the weights must be large."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(count, 20)) + shared * rng.normal(size=(count, 1))
    labels = (features[:, 0] - features[:, 1] > noise * rng.normal(size=count)).astype(int)
    weight, _ = fit_linear("class", features, labels, 0)
    by_hand = make_pipeline(StandardScaler(), LogisticRegression(C=strength / 20, max_iter=1000)).fit(features, labels)
    expected = by_hand[-1].coef_[0] / by_hand[0].scale_
    assert np.linalg.norm(weight[1] - weight[0] - expected) < 0.02 * np.linalg.norm(expected)


def test_what_has_no_label_a_row_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="'probe' is for tasks whose rows have classes or a number each"):
        check(_with_baselines("token-classification", tmp_path, "probe"))


@pytest.mark.parametrize(("target", "classes"), [("class", 3), ("class", 2), ("classes", 3), ("number", 1)])
def test_a_fitted_layer_gives_the_scores_of_the_probe(target, classes):
    features, labels = _planted(target)
    if classes == 2:
        labels = np.minimum(labels, 1)
    weight, bias = fit_linear(target, features["mean"], labels, 0)
    assert weight.shape == (classes, 8)
    logits = features["mean"] @ weight.T + bias
    scores = fit_and_score("probe", target, {"mean": features["mean"]}, labels, {"": features}, 0)[""]
    if target == "class":
        logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
    # Probabilities of a baseline are kept from 0 and 1.
    finite = np.abs(scores) < 10
    assert finite.sum() > 60
    np.testing.assert_allclose(logits[finite], scores[finite], rtol=1e-3, atol=1e-2)


# Family -> the poolings of its encoder that its classifier can be made to read.
HELD = {
    "bert": {"mean", "first", "pooler"},
    "roberta": {"mean", "first"},
    "electra": {"mean", "first"},
    "distilbert": {"mean", "first"},
    "vit": {"mean", "first"},
    "swin": {"mean", "pooler"},
    "resnet": {"mean", "pooler"},
    "qwen2": set(),
    "llama": set(),
    "convnextv2": {"pooler"},
    "clip": set(),
}
# Families whose blocks, configs or heads are of another kind than BERT's.
_OTHERS = {
    "qwen2": _peft.TOKENS | _peft.SMALL | {"num_key_value_heads": 2, "pad_token_id": 0},
    "llama": _peft.TOKENS | _peft.SMALL | {"num_key_value_heads": 2, "pad_token_id": 0},
    "convnextv2": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_labels": 3, "image_size": 32},
    "clip": {"vision_config": {"image_size": 16, "patch_size": 8, **_peft.SMALL}, "num_labels": 3},
}


def _family(name):
    """A tiny classifier of a family, and rows for it."""
    if name not in _OTHERS:
        model = _peft.model(name)
        return model, _peft.batch(name, model)
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(name, **_OTHERS[name])
    texts = "vocab_size" in _OTHERS[name]
    auto = transformers.AutoModelForSequenceClassification if texts else transformers.AutoModelForImageClassification
    model, generator = auto.from_config(config).eval(), torch.Generator().manual_seed(0)
    if texts:
        ids = torch.randint(5, 50, (6, 7), generator=generator)
        return model, {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.arange(6) % 3}
    side = 16 if name == "clip" else 32
    return model, {"pixel_values": torch.randn((6, 3, side, side), generator=generator), "labels": torch.arange(6) % 3}


@pytest.mark.parametrize("family", HELD)
def test_a_classifier_is_made_to_read_another_pooling(family):
    """Or it stays as it was; what it reads is what is promised, padding or not."""
    task = plugins.load("tasks", "text-classification")()

    def made():
        model, batch = _family(family)
        rows = {name: tensor.clone() for name, tensor in batch.items()}
        if "attention_mask" in rows:
            rows["attention_mask"][3:, 5:] = 0
        dataset = Dataset.from_dict(rows).with_format("numpy")
        return model, EncodedSplits({"train": dataset}, transformers.default_data_collator)

    model, rows = made()
    features = frozen_features(task, model, rows, "train", 6)
    held = set()
    for pooling in sorted(features.keys() - {"head"}):
        model, rows = made()
        before = copy.deepcopy(model.state_dict())

        def read(row, model=model, rows=rows):
            seen = frozen_features(task, model, rows, "train", 6).get("head")
            return np.empty(0) if seen is None else seen[row]

        transform = hold_pooling(model, pooling, features[pooling], read)
        if transform is None:
            assert model.state_dict().keys() == before.keys()
            assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
            continue
        held.add(pooling)
        expected = transform(features[pooling])
        seen = frozen_features(task, model, rows, "train", 6)["head"]
        np.testing.assert_allclose(seen, expected, atol=0.02 * expected.std())
        assert np.ptp(expected, axis=0).max() > 0.01
    assert held == HELD[family]


def test_a_shipped_probe_reads_the_mean_and_answers_without_this_package(tmp_path):
    """It scores as the baseline of the same name, which reads the same features."""
    task = plugins.load("tasks", "text-classification")()
    text = tiny.recipe(task, tmp_path, strategy="linear_probe").replace("baselines: []", "baselines: [probe]")
    result = run(parse_recipe(text), tmp_path / "run")
    assert "block of uniform attention" in result.strategy_note and not result.history["tuned"]
    assert result.strategy_note in (tmp_path / "run/model/README.md").read_text()
    assert result.recipe["training"].keys() == parse_recipe(text).training.keys()
    tuned, probe = (result.scores["test"][name]["accuracy"].value for name in ("tuned", "probe"))
    assert abs(tuned - probe) < 0.15


@pytest.mark.parametrize(
    ("task", "strategy", "expected"),
    [
        ("text-classification", "full", "majority, probe"),
        ("text-classification", "linear_probe", "majority"),
        ("text-classification", "scratch", "majority, probe"),
        ("token-classification", "full", "none"),
        ("translation", "full", "none"),
    ],
)
def test_the_default_baselines(task, strategy, expected, tmp_path):
    text = tiny.recipe(plugins.load("tasks", task)(), tmp_path, strategy=strategy).replace("baselines: [], ", "")
    assert f"baselines   {expected}\n" in str(check(parse_recipe(text)))
