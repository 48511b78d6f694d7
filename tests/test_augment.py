"""Training rows changed in each epoch, classes weighed, drawn alike: what changes, and what must not."""

from collections import Counter

import numpy as np
import pytest
import tiny
import torch
from _peft import batch, model

from hftransfer.core import plugins
from hftransfer.core.errors import DataError, RecipeError
from hftransfer.data.augmentation import augmenter, operations
from hftransfer.data.mixup import MIXES, install_mixup, mixup_operations
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check

ROWS = {
    "image-classification": {"pixel_values": np.random.default_rng(0).normal(size=(3, 20, 30)).astype("float32")},
    "object-detection": {"pixel_values": np.random.default_rng(0).normal(size=(3, 20, 30)).astype("float32")},
    "audio-classification": {"input_values": np.random.default_rng(0).normal(size=4000).astype("float32")},
    "automatic-speech-recognition": {
        "input_features": np.random.default_rng(0).normal(size=(100, 16)).astype("float32")
    },
    "text-classification": {"input_ids": [101, *range(1000, 1060), 102], "attention_mask": [1] * 62},
}


def _task(name):
    facts = {"model_input_names": ["input_values"], "sampling_rate": 8000, "all_special_ids": [101, 102]}
    return plugins.load("tasks", name)().with_processor(type("Processor", (), facts))


@pytest.mark.parametrize(("name", "row"), ROWS.items(), ids=list(ROWS))
def test_rows_change_by_the_draw_alone_and_keep_their_labels(name, row):
    augment = augmenter(_task(name), "strong")
    seen = [augment(row | {"labels": 3}, np.random.default_rng((0, 1, i))) for i in (0, 0, 1, 2, 3)]
    (key,) = (key for key in row if key != "attention_mask")
    np.testing.assert_array_equal(seen[0][key], seen[1][key])
    assert len({np.asarray(one[key]).tobytes() for one in seen}) >= 3 and all(one["labels"] == 3 for one in seen)
    for one in seen:
        if key == "input_ids":
            assert len(one[key]) == len(one["attention_mask"]) and one[key][0] == 101 and one[key][-1] == 102
        else:
            assert np.shape(one[key]) == np.shape(row[key]) and one[key].dtype == np.float32


def test_what_parts_two_texts_stays_between_them():
    first, second = [*range(1000, 1030)], [*range(2000, 2030)]
    row = {
        "input_ids": [101, *first, 102, *second, 102],
        "attention_mask": [1] * 63,
        "token_type_ids": [0] * 32 + [1] * 31,
    }
    augment = augmenter(_task("text-classification"), ["word_dropout", "swap"])
    seen = [augment(row, np.random.default_rng(i)) for i in range(20)]
    assert len({len(one["input_ids"]) for one in seen}) > 3
    for one in seen:
        ids, types = one["input_ids"], one["token_type_ids"]
        assert [it for it in ids if it < 1000] == [101, 102, 102] and len(one["attention_mask"]) == len(ids)
        assert all(kind == (token >= 2000) for token, kind in zip(ids[:-1], types[:-1], strict=True))


def test_kept_features_are_of_rows_as_they_are(tmp_path):
    text = _recipe(tmp_path, "  augment: light\n").replace("strategy: full", "strategy: linear_probe")
    with pytest.raises(RecipeError, match="linear_probe computes the features of each row once"):
        check(parse_recipe(text))
    check(parse_recipe(text, overrides=["strategy.cache_features=false"]))


def test_boxes_stay_where_the_picture_stays():
    assert operations(_task("object-detection"), "strong") == ["brightness", "contrast"]
    assert "flip" not in operations(_task("image-classification"), "strong")


def test_what_is_no_operation_is_refused():
    with pytest.raises(RecipeError, match="no operation 'rotat'; did you mean 'rotate'"):
        operations(_task("image-classification"), ["rotat"])
    with pytest.raises(RecipeError, match="no operation leaves the labels of 'token-classification' right"):
        operations(_task("token-classification"), "light")


def _recipe(folder, more, task="{name: text-classification"):
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), folder)
    return text.replace("{name: text-classification", task).replace("data:\n", f"data:\n{more}")


def test_an_augmented_run_goes_through(tmp_path):
    result = run(parse_recipe(_recipe(tmp_path, "  augment: strong\n")), tmp_path / "run")
    assert result.recipe["data"]["augment"] == "strong"


def test_classes_are_drawn_alike(tmp_path):
    rows = [f"a {i},x" for i in range(40)] + [f"b {i},y" for i in range(12)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    text = _recipe(tmp_path, "  sampling: balanced\n")
    start = text.index("source:")
    text = text[:start] + f"source: {{name: csv, train: {tmp_path / 'rows.csv'}}}" + text[text.index("\n", start) :]
    plan = check(parse_recipe(text))
    assert plan.rows.facts.classes["train"] == {"x": 25, "y": 7}
    assert Counter(plan.rows.splits["train"]["label"]) == {0: 25, 1: 25}
    told = run(parse_recipe(text, overrides=["evaluation.baselines=[majority]"]), tmp_path / "run").scores["test"]
    test = Counter(plan.rows.splits["test"]["label"])
    assert told["majority"]["accuracy"].value == pytest.approx(test[0] / 12) and test[0] > test[1]
    with pytest.raises(DataError, match="no single class"):
        check(parse_recipe(text.replace("{name: text-classification", "{name: fill-mask").replace("label\n", "l\n")
                           .replace(str(tmp_path / "rows.csv"), str(_bare(tmp_path)))))  # fmt: skip


def _bare(folder):
    path = folder / "bare.csv"
    path.write_text("\n".join(["text", *(f"a {i}" for i in range(40))]) + "\n")
    return path


def _loss(fields, references):
    task = plugins.load("tasks", "text-classification")(problem_type="single_label_classification", **fields)
    made = model("bert")
    task.with_labels(("a", "b", "c")).install_loss(made, references)
    rows = batch("bert", made)
    with torch.no_grad():
        output = made(**rows)
    return output.loss, output.logits, rows["labels"]


def test_class_weights_are_those_of_pytorch():
    loss, logits, labels = _loss({"class_weights": "balanced"}, np.array([0] * 6 + [1] * 3 + [2]))
    weights = torch.tensor([10 / 3 / 6, 10 / 3 / 3, 10 / 3 / 1])
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, labels, weight=weights))


def test_the_focal_loss_is_that_of_the_paper():
    loss, logits, labels = _loss({"focal_gamma": 2}, np.array([0, 1, 2]))
    right = logits.softmax(dim=1)[torch.arange(len(labels)), labels]
    torch.testing.assert_close(loss, (-((1 - right) ** 2) * right.log()).mean())


def test_smoothing_would_undo_a_loss_of_ones_own(tmp_path):
    text = _recipe(tmp_path, "", task="{name: text-classification, focal_gamma: 2")
    text = text.replace("training: {", "training: {label_smoothing_factor: 0.1, ")
    with pytest.raises(RecipeError, match="would undo the loss of task.class_weights or focal_gamma"):
        check(parse_recipe(text))


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixed_rows_have_the_loss_of_both_labels(name):
    made = model("vit").eval()
    rows = batch("vit", made)
    task, seen = _single("image-classification"), []
    plain = made(**rows).loss
    install_mixup(task, made, [name])
    torch.testing.assert_close(made(**rows).loss, plain)
    made.base_model.register_forward_pre_hook(
        lambda _m, args, kwargs: seen.append((args or (kwargs["pixel_values"],))[0]), with_kwargs=True
    )
    made.train()
    torch.manual_seed(3)
    output = made(**rows)
    torch.manual_seed(3)
    order = torch.randperm(6)
    torch.randint(1, ())
    mixed, share = MIXES[name](rows["pixel_values"], order)
    torch.testing.assert_close(seen[0], mixed)
    assert 0 < share < 1 and not torch.equal(order, torch.arange(6))
    losses = [torch.nn.functional.cross_entropy(output.logits, it) for it in (rows["labels"], rows["labels"][order])]
    torch.testing.assert_close(output.loss, share * losses[0] + (1 - share) * losses[1])
    assert losses[0] != losses[1]


def _single(name):
    return plugins.load("tasks", name)(problem_type="single_label_classification")


def test_what_cannot_be_mixed_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="no operation 'mixup'"):
        operations(_task("text-classification"), ["mixup"])
    with pytest.raises(RecipeError, match="mixup mixes rows of one class each"):
        mixup_operations(plugins.load("tasks", "image-classification")(problem_type="regression"), ["mixup"])
    text = tiny.recipe(plugins.load("tasks", "image-classification")(), tmp_path, strategy="few_shot")
    with pytest.raises(RecipeError, match="data.augment: mixup would undo the loss of strategy few_shot"):
        check(parse_recipe(text.replace("data:", "data:\n  augment: [mixup]")))


def test_a_run_with_mixed_rows(tmp_path):
    text = tiny.recipe(plugins.load("tasks", "image-classification")(), tmp_path)
    result = run(parse_recipe(text.replace("data:", "data:\n  augment: [shift, mixup, cutmix]")), tmp_path / "run")
    assert result.recipe["data"]["augment"] == ["shift", "mixup", "cutmix"]
    assert np.isfinite(result.history["tuned"][0]["loss"])
