"""Checkpoints as the Hub has them: architectures that their configs name, missing weights, other image sizes."""

import json

import pytest
import tiny
import torch
import transformers
from safetensors.torch import load_file, save_file

from hftransfer.core import plugins
from hftransfer.core.errors import ModelError, RecipeError
from hftransfer.models.layers import head_names
from hftransfer.models.weights import load_model
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def _text(task, folder, **more):
    return tiny.recipe(plugins.load("tasks", task)(), folder, **more)


def _from(text, folder, task, place):
    """The recipe with another checkpoint than the task's own."""
    return text.replace(str(folder / "checkpoint" / task), str(place))


def test_a_head_for_the_same_labels_is_reused_whatever_the_config_leaves_out(tmp_path):
    text = _text("text-classification", tmp_path)
    file = tmp_path / "checkpoint" / "text-classification" / "config.json"
    fields = json.loads(file.read_text()) | {"id2label": {"0": "x", "1": "y"}, "label2id": {"x": 0, "y": 1}}
    for problem_type, reused in (
        (None, True),
        ("single_label_classification", True),
        ("multi_label_classification", False),
    ):
        file.write_text(json.dumps(fields | {"problem_type": problem_type}))
        assert check(parse_recipe(text)).origin.reuses_head is reused


def test_a_head_of_the_right_size_for_other_labels_is_newly_initialized(tmp_path):
    plan = check(parse_recipe(_text("text-classification", tmp_path)))
    trained = load_file(tmp_path / "checkpoint" / "text-classification" / "model.safetensors")
    assert not plan.origin.reuses_head
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(load_model(plan.task, plan.origin).classifier.weight)
    assert weights[0].shape == trained["classifier.weight"].shape
    assert not torch.equal(weights[0], trained["classifier.weight"])
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_fields_of_the_checkpoints_config_are_replaced_one_by_one(tmp_path):
    text = _text("text-classification", tmp_path)
    before = check(parse_recipe(text)).origin
    changed = text.replace("model: {", "model: {config: {attention_probs_dropout_prob: 0.0}, ")
    plan = check(parse_recipe(changed))
    assert plan.origin.config.attention_probs_dropout_prob == 0.0 != before.config.attention_probs_dropout_prob
    assert plan.origin.config.hidden_size == before.config.hidden_size and plan.origin.weights == before.weights
    assert load_model(plan.task, plan.origin).bert.encoder.layer[0].attention.self.dropout.p == 0.0
    with pytest.raises(ModelError, match="model.config: a bert has no field 'attention_dropout_prob'; did you mean"):
        check(parse_recipe(changed.replace("attention_probs_dropout_prob", "attention_dropout_prob")))


@pytest.mark.parametrize("task", ["text-classification", "token-classification"])
def test_a_generative_checkpoint_can_classify(task, tmp_path):
    writer = tiny.checkpoint(plugins.load("tasks", "text-generation")(), tmp_path / "writer")
    text = _from(_text(task, tmp_path), tmp_path, task, writer)
    result = run(parse_recipe(text), tmp_path / "run")
    assert result.scores["test"]["tuned"][result.headline].count == 12
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert task == "token-classification" or config["pad_token_id"] == 0


def test_numbers_need_a_bias_or_no_mean(tmp_path):
    writer = tiny.checkpoint(plugins.load("tasks", "text-generation")(), tmp_path / "writer")
    text = _from(_text("text-classification", tmp_path, labels="numbers"), tmp_path, "text-classification", writer)
    with pytest.raises(ModelError, match=r"no bias to hold the mean of the numbers: give task.mean: 0 and task.std: 1"):
        check(parse_recipe(text))
    with pytest.raises(RecipeError, match="given together"):
        check(parse_recipe(text, overrides=["task.mean=0"]))
    result = run(parse_recipe(text, overrides=["task.mean=0", "task.std=1.1"]), tmp_path / "run")
    assert result.headline == "r_squared"


def test_a_checkpoint_distilled_with_a_teacher_learns_from_labels(tmp_path):
    config = transformers.DeiTConfig(image_size=16, patch_size=8, **SMALL)
    transformers.DeiTForImageClassificationWithTeacher(config).save_pretrained(tmp_path / "deit")
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "deit")
    text = _from(_text("image-classification", tmp_path), tmp_path, "image-classification", tmp_path / "deit")
    plan = check(parse_recipe(text))
    assert type(load_model(plan.task, plan.origin)) is transformers.DeiTForImageClassification
    with pytest.raises(ModelError, match="a deit checkpoint takes images of 16 pixels alone"):
        check(parse_recipe(text, overrides=["task.image_size=32"]))


def test_a_vit_takes_images_of_another_size(tmp_path):
    text = _text("image-classification", tmp_path)
    plan = check(parse_recipe(text, overrides=["task.image_size=32"]))
    model, start = load_model(plan.task, plan.origin), load_model(plan.task, check(parse_recipe(text)).origin)
    resized, original = (it.vit.embeddings.position_embeddings for it in (model, start))
    assert resized.shape == (1, 17, 16)
    # The corners of the 4 x 4 grid are close to those of the 2 x 2 grid; the class token keeps its position.
    torch.testing.assert_close(resized[:, 0], original[:, 0])
    assert torch.cosine_similarity(resized[0, 1], original[0, 1], dim=0) > 0.9
    result = run(parse_recipe(text, overrides=["task.image_size=32"]), tmp_path / "run")
    assert result.scores["test"]["tuned"]["accuracy"].count == 12


@pytest.mark.parametrize("strategy", ["linear_probe", "lora"])
def test_a_classifier_without_a_base_model_attribute_trains_its_head(strategy):
    sizes = {"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    config = transformers.WhisperConfig(num_mel_bins=8, max_source_positions=20, num_labels=3, **sizes)
    model = transformers.WhisperForAudioClassification(config)
    assert model.base_model is model and head_names(model) == ["projector", "classifier"]
    prepared = plugins.load("strategies", strategy)().prepare(model)
    trained = {name for name, it in prepared.named_parameters() if it.requires_grad}
    assert any("classifier" in name for name in trained)
    assert not any("encoder" in name and "lora_" not in name for name in trained)


def test_label_smoothing_needs_classes(tmp_path):
    smooth = ["training.label_smoothing_factor=0.1"]
    with pytest.raises(RecipeError, match="label_smoothing_factor: 'translation' has no rows or words of one class"):
        check(parse_recipe(_text("translation", tmp_path), overrides=smooth))
    result = run(parse_recipe(_text("token-classification", tmp_path), overrides=smooth), tmp_path / "run")
    assert result.history["tuned"]


def test_new_weights_that_stay_frozen_are_reported(tmp_path):
    text = _text("text-classification", tmp_path)
    file = tmp_path / "checkpoint" / "text-classification" / "model.safetensors"
    weights = {name: it for name, it in load_file(file).items() if "pooler" not in name}
    save_file(weights, file, metadata={"format": "pt"})
    warnings = {}
    for strategy in ("lora", "full"):
        result = run(parse_recipe(text, overrides=[f"strategy={strategy}"]), tmp_path / strategy)
        warnings[strategy] = [line for line in result.warnings if "no weights for" in line]
    assert warnings["full"] == []
    assert "bert.pooler.dense.bias, bert.pooler.dense.weight: they were initialized" in warnings["lora"][0]
