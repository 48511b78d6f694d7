"""Layers and heads of unusual model families; what of a model is trained, and what stays frozen."""

import _peft
import numpy as np
import pytest
import tiny
import torch
import transformers

from hftransfer.core import plugins
from hftransfer.core.errors import ModelError, RecipeError
from hftransfer.models.layers import depths
from hftransfer.models.pruning import drop_layers
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check

SMALL = {"vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_labels": 3}


def _first_number(name):
    """The first number in a name: versions of Transformers name the parts of a stage before or after its number."""
    return next((part for part in name.split(".") if part.isdigit()), None)


def _strategy(name, **fields):
    return plugins.load("strategies", name)(**fields)


def test_positions_that_all_blocks_read_are_no_part_of_the_last_block():
    config = transformers.DebertaV2Config(
        num_hidden_layers=2, relative_attention=True, pos_att_type=["p2c", "c2p"], max_position_embeddings=16, **SMALL
    )
    found = depths(transformers.DebertaV2ForSequenceClassification(config))
    assert found["deberta.encoder.rel_embeddings.weight"] == 0
    assert found["deberta.encoder.layer.1.output.dense.weight"] == 2 and found["classifier.weight"] == 3


def test_parallel_lists_are_parts_of_the_same_blocks():
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2], num_labels=3
    )
    found = depths(transformers.SegformerForImageClassification(config))
    for number in range(4):
        block_depths = {depth for name, depth in found.items() if _first_number(name) == str(number)}
        assert block_depths == {number + 1}, number
    assert found["classifier.weight"] == 5


@pytest.mark.parametrize("steps", [8, 40])
def test_all_blocks_are_unfrozen_in_a_training_that_ends_within_an_epoch(steps):
    """Ten steps are an epoch; Trainer rounds the number of epochs up."""
    model = _peft.model("bert")
    (callback,) = _strategy("gradual_unfreeze", every=1).callbacks(model)
    state = transformers.TrainerState(max_steps=steps, num_train_epochs=-(-steps // 10))
    for step in range(steps):
        state.global_step, state.epoch = step, step / 10
        callback.on_step_begin(None, state, None)
        if step == 0:
            assert not model.bert.encoder.layer[0].output.dense.weight.requires_grad
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("strategy", ["linear_probe", "last_layers"])
def test_running_means_of_frozen_layers_stay(strategy):
    model = _peft.model("resnet")
    made = _strategy(strategy, **({"layers": 1} if strategy == "last_layers" else {}))
    before = {name: it.clone() for name, it in model.named_buffers()}
    model = made.prepare(model).train()
    for _ in range(3):
        model(**_peft.batch("resnet", model))
    frozen = {name for name, it in model.named_buffers() if torch.equal(it, before[name])}
    assert any("embedder" in name for name in frozen)
    assert (frozen == set(before)) is (strategy == "linear_probe")
    model = made.merge(model).train()
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("strategy", "moves"),
    [
        (_strategy("full"), True),
        (_strategy("full", batch_norm="frozen"), False),
        (_strategy("lp_ft").steps()[-1][0], False),
        (_strategy("lp_ft", batch_norm="train").steps()[-1][0], True),
        (_strategy("gradual_unfreeze"), False),
    ],
    ids=["full", "full, frozen", "lp_ft", "lp_ft, train", "gradual_unfreeze"],
)
def test_running_means_of_trained_layers_move_where_batches_normalize(strategy, moves):
    model = strategy.prepare(_peft.model("resnet")).train()
    means = {name: it.clone() for name, it in model.named_buffers() if name.endswith("running_mean")}
    scales = [it for name, it in model.named_parameters() if "normalization" in name]
    model(**_peft.batch("resnet", model)).loss.backward()
    assert {not torch.equal(it, means[name]) for name, it in model.named_buffers() if name in means} == {moves}
    assert scales and all(it.grad is not None for it in scales)
    assert all(module.training for module in strategy.merge(model).train().modules())


def test_a_config_describes_the_layers_that_are_left(tmp_path):
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_layers": 4, "num_heads": 2, "intermediate_size": 32}
    config = transformers.GPTNeoConfig(
        attention_types=[[["global", "local"], 2]], pad_token_id=0, bos_token_id=1, eos_token_id=1, **sizes
    )
    model = transformers.GPTNeoForCausalLM(config)
    drop_layers(model, 2)
    model.save_pretrained(tmp_path)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert again.config.attention_layers == ["global", "local"]
    ids = torch.randint(2, 50, (2, 7))
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits, model.eval()(ids).logits)


def test_attention_windows_of_the_layers_that_are_left():
    config = transformers.LongformerConfig(attention_window=[4, 8, 4, 8], num_hidden_layers=4, **SMALL)
    model = transformers.LongformerForSequenceClassification(config)
    drop_layers(model, 2)
    assert model.config.attention_window == [4, 8]


def _recipe(task, folder, *overrides, **more):
    return parse_recipe(tiny.recipe(plugins.load("tasks", task)(), folder, **more), overrides=list(overrides))


@pytest.mark.parametrize("strategy", ["linear_probe", "lp_ft", "few_shot", "multi_task", "gradual_unfreeze"])
def test_gradient_checkpointing(strategy, tmp_path):
    saving = ["training.gradient_checkpointing=true", "training.num_train_epochs=1"]
    fields = ""
    if strategy == "multi_task":
        (tmp_path / "other.yaml").write_text(tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path))
        fields = f", others: {{second: {tmp_path / 'other.yaml'}}}"
    recipe = _recipe("text-classification", tmp_path, *saving, strategy=f"{{name: {strategy}{fields}}}")
    assert run(recipe, tmp_path / "run").scores["test"]["tuned"]["accuracy"].count == 12


def test_a_model_without_gradient_checkpointing_is_named(tmp_path):
    saving = ["training.gradient_checkpointing=true", "strategy=scratch"]
    model = "model={config: {model_type: mobilenet_v2, image_size: 32}}"
    with pytest.raises(RecipeError, match="gradient_checkpointing: a MobileNetV2ForImageClassification has none"):
        check(_recipe("image-classification", tmp_path, *saving, model))


def test_an_auxiliary_task_changes_neither_its_rows_nor_its_loss(tmp_path):
    other = tmp_path / "other.yaml"
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path, more="seed: 1")
    strategy = f"strategy={{name: multi_task, others: {{second: {other}}}}}"
    changed = {
        "data.augment has no effect": text.replace("splits", "augment: light\n  splits"),
        "with its model's loss": text.replace("name: text-classification", "name: text-classification, focal_gamma: 2"),
    }
    for sentence, recipe in changed.items():
        other.write_text(recipe)
        with pytest.raises(RecipeError, match=f"strategy.others.second.*{sentence}"):
            check(_recipe("text-classification", tmp_path, strategy))


def test_learnt_variances_move(tmp_path):
    (tmp_path / "other.yaml").write_text(tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path))
    strategy = _strategy("multi_task", others={"second": str(tmp_path / "other.yaml")}, weighting="uncertainty")
    assert strategy.learning_rate_factors(None) == {"log_variances": 100.0}
    assert _strategy("multi_task", others={"second": "x"}).learning_rate_factors(None) == {}


def test_persistent_workers_augment_differently_in_each_epoch(tmp_path):
    from hftransfer.data.encode import EncodedSplits
    from hftransfer.training.callbacks import AugmentingCollator

    rows = [{"row": i, "x": np.zeros(1)} for i in range(4)]
    augment = AugmentingCollator(EncodedSplits({}, lambda rows: [row["x"][0] for row in rows], _noisy), 0)
    loader = torch.utils.data.DataLoader(rows, 2, collate_fn=augment, num_workers=1, persistent_workers=True)
    seen = []
    for epoch in (0, 1, 1):
        augment.on_epoch_begin(None, transformers.TrainerState(epoch=epoch), None)
        seen.append([value for batch in loader for value in batch])
    assert seen[0] != seen[1] == seen[2]


def _noisy(row, rng):
    return row | {"x": rng.normal(size=1)}


def test_an_unknown_module_to_save_is_refused():
    with pytest.raises(ModelError, match="strategy.modules_to_save: there is no module 'poler'; did you mean 'pooler'"):
        _strategy("peft", config={"modules_to_save": "poler"}).prepare(_peft.model("bert"))
