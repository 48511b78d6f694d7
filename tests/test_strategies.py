"""What each strategy trains and changes, on tiny models of several families."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import _peft
import numpy as np
import pytest
import tiny
import torch
import transformers
from datasets import Dataset
from safetensors.torch import load_file

from hftransfer.core import plugins
from hftransfer.core.errors import ModelError, RecipeError
from hftransfer.data.encode import EncodedSplits, encode, without_side
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.compat import can_prune_heads
from hftransfer.models.layers import depths
from hftransfer.models.weights import load_model, load_saved
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.strategies import TrainingContext
from hftransfer.training.arguments import training_arguments
from hftransfer.training.trainer import train


def test_a_new_model_is_only_counted_where_the_given_one_has_no_weights():
    scratch, given = plugins.load("strategies", "scratch")(), _peft.model("bert")
    with torch.device("meta"):
        empty = scratch.prepare(type(given)(given.config))
    new = scratch.prepare(given)
    assert empty.num_parameters() == new.num_parameters() == given.num_parameters()
    assert empty.device.type == "meta" and new.device.type == "cpu"


def _rows(family, model):
    columns = {name: list(cells.numpy()) for name, cells in _peft.batch(family, model).items()}
    return Dataset.from_dict(columns).with_format("numpy")


def _context(task, encoded, folder):
    return TrainingContext(task, {}, encoded, folder, predict=None, features=None, pooling=None, seed=0)


@pytest.mark.parametrize("family", _peft.FAMILIES)
def test_a_probe_on_cached_features_answers_as_the_whole_model(family, tmp_path):
    model = _peft.model(family)
    rows = _rows(family, model)
    collate = transformers.default_data_collator
    batch = collate([rows[i] for i in range(6)])
    with torch.no_grad():
        before = model(**batch)
    probe = plugins.load("strategies", "linear_probe")()
    task = plugins.load("tasks", "text-classification")()
    context = _context(task, EncodedSplits({"train": rows}, collate), tmp_path)
    cached = probe.training_rows(probe.prepare(model), context)
    names = set(cached.splits["train"].column_names)
    assert names - {"labels"} and all(name.startswith("feature_") for name in names - {"labels"})
    with torch.no_grad():
        after = model(**cached.collate([cached.splits["train"][i] for i in range(6)]))
    torch.testing.assert_close(after.logits, before.logits)
    torch.testing.assert_close(after.loss, before.loss)
    merged = probe.merge(model)
    with torch.no_grad():
        torch.testing.assert_close(merged(**batch).logits, before.logits)


def _spans(lengths):
    """Rows of a question-answering model, with what the task alone reads of them."""
    rng = np.random.default_rng(0)
    rows = [
        {"input_ids": rng.integers(5, 50, length).tolist(), "start_positions": 1, "end_positions": 2,
         "side_context": "some text", "side_spans": [[0, 1]] * number, "row": number // 2}
        for number, length in enumerate(lengths)
    ]  # fmt: skip
    return Dataset.from_list(rows)


@pytest.mark.parametrize(("lengths", "cached"), [([7] * 6, True), ([7, 7, 6, 5, 7, 7], False)], ids=["equal", "other"])
def test_a_probe_on_spans_has_the_tasks_names_and_carries_the_side_columns(lengths, cached, tmp_path):
    def collate(examples):
        return transformers.default_data_collator(without_side(examples))

    config = transformers.BertConfig(**_peft.TOKENS | _peft.SMALL | {"num_labels": 2})
    model = transformers.AutoModelForQuestionAnswering.from_config(config).eval()
    task, rows = plugins.load("tasks", "question-answering")(), _spans(lengths)
    encoded = EncodedSplits({"train": rows}, collate)
    batch = collate([rows[i] for i in range(2)])
    with torch.no_grad():
        before = model(**batch)
    probe = plugins.load("strategies", "linear_probe")()
    context = _context(task, encoded, tmp_path)
    features = probe.training_rows(probe.prepare(model), context)
    assert (features is not encoded) is cached and features.side("train") == encoded.side("train")
    with torch.no_grad():
        after = model(**features.collate([features.splits["train"][i] for i in range(2)]))
    for name in ("loss", *task.output_names):
        torch.testing.assert_close(after[name], before[name])


def test_a_head_that_reads_more_than_features_is_not_cached(tmp_path):
    """ModernBERT's head takes the mean of the tokens that are not masked."""
    fields = _peft.TOKENS | _peft.SMALL | {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1}
    config = transformers.ModernBertConfig(**fields, eos_token_id=2, classifier_pooling="mean")
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    masks = [[1] * 7, [1] * 3 + [0] * 4] * 3
    columns = {"input_ids": [[5, 6, 7, 8, 9, 10, 11]] * 6, "attention_mask": masks, "labels": [0, 1] * 3}
    rows = Dataset.from_dict(columns)
    encoded = EncodedSplits({"train": rows}, transformers.default_data_collator)
    probe = plugins.load("strategies", "linear_probe")()
    context = _context(plugins.load("tasks", "text-classification")(), encoded, tmp_path)
    assert probe.training_rows(probe.prepare(model), context) is encoded
    assert not hasattr(model.base_model, "replaced")


def test_rows_that_are_encoded_when_read_keep_their_side_columns(tmp_path):
    from hftransfer.strategies._features import with_side

    lazy = Dataset.from_dict({"text": ["a", "bb"]}).with_transform(
        lambda batch: {"x": [0] * len(batch["text"]), "side_size": [np.ones(len(text)) for text in batch["text"]]}
    )
    features = Dataset.from_dict({"feature_x": [np.zeros(3)] * 2}).with_format("numpy")
    rows = with_side(features, lazy, tmp_path / "side.arrow")
    assert rows[1]["side_size"] == [1, 1] and rows[1]["feature_x"].shape == (3,)


@pytest.mark.parametrize("fields", [{}, {"use_dora": True}, {"use_rslora": True}], ids=["lora", "dora", "rslora"])
@pytest.mark.parametrize("family", [name for name in _peft.FAMILIES if name != "resnet"])
def test_adapters_are_found_trained_and_merged(family, fields):
    model = _peft.model(family)
    lora = plugins.load("strategies", "lora")(r=2, **fields)
    batch = transformers.default_data_collator([_rows(family, model)[i] for i in range(6)])
    wrapped = lora.prepare(model)
    optimizer = torch.optim.SGD([p for p in wrapped.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        wrapped(**batch).loss.backward()
        optimizer.step()
    wrapped.eval()
    with torch.no_grad():
        trained = wrapped(**batch).logits
        merged = lora.merge(wrapped)
        torch.testing.assert_close(merged(**batch).logits, trained, atol=1e-5, rtol=1e-4)
    assert type(merged) is type(_peft.model(family))


def test_adapters_train_with_gradient_checkpointing(tmp_path):
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path, strategy="lora")
    run(parse_recipe(text, overrides=["training.gradient_checkpointing=true"]), tmp_path / "run")
    adapter = load_file(tmp_path / "run" / "adapter" / "adapter_model.safetensors")
    assert all(weights.any() for name, weights in adapter.items() if "lora_B" in name)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("bart", {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
                  "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}),
        ("t5", {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}),
    ],
)  # fmt: skip
def test_a_narrower_encoder_and_decoder_are_loaded_again(kind, fields, tmp_path):
    config = transformers.AutoConfig.for_model(kind, vocab_size=50, **fields)
    model = transformers.AutoModelForSeq2SeqLM.from_config(config).eval()
    plugins.load("strategies", "prune")(width=0.5).prepare(model)
    model.save_pretrained(tmp_path)
    again = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    ids = torch.arange(4, 10)[None]
    with torch.no_grad():
        before, after = (it(input_ids=ids, decoder_input_ids=ids).logits for it in (model, again))
    torch.testing.assert_close(after, before)


def test_entries_of_a_config_for_each_layer_are_removed_with_it(tmp_path):
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 32}
    kinds = ["full_attention", "sliding_attention"] * 2
    config = transformers.Qwen2Config(vocab_size=50, num_hidden_layers=4, layer_types=kinds, **sizes)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    plugins.load("strategies", "prune")(layers=2).prepare(model)
    model.save_pretrained(tmp_path)
    assert transformers.AutoConfig.from_pretrained(tmp_path).layer_types == ["full_attention", "sliding_attention"]
    bert = _peft.model("bert")
    if not can_prune_heads(bert):
        # Transformers 5 has no config for heads that are left out.
        with pytest.raises(ModelError, match="set strategy.attention_heads to 0"):
            plugins.load("strategies", "prune")(attention_heads=0.5).prepare(bert)
        return
    plugins.load("strategies", "prune")(attention_heads=0.5).prepare(bert)
    plugins.load("strategies", "prune")(layers=1).prepare(bert)
    assert set(bert.config.pruned_heads) == {0}


@pytest.mark.parametrize(
    ("kind", "what"), [("deberta", "attention_heads"), ("swin", "attention_heads"), ("mobilebert", "width")]
)
def test_what_cannot_be_pruned_gets_a_sentence(kind, what):
    auto = transformers.AutoModelForImageClassification if kind == "swin" else transformers.AutoModelForMaskedLM
    with torch.device("meta"):
        model = auto.from_config(transformers.AutoConfig.for_model(kind))
    with pytest.raises(ModelError, match="cannot|no attention of four"):
        plugins.load("strategies", "prune")(**{what: 0.5}).prepare(model)


def test_training_rows_of_every_task_are_augmented():
    from hftransfer.strategies.multi_task import _augment, _MixedRows

    parts = {"": EncodedSplits({}, list), "second": EncodedSplits({}, list, lambda row, rng: row | {"x": row["x"] + 1})}
    rows, sampled = {"": [{"x": 1}], "second": [{"x": 1}]}, [np.array([0]), np.array([0])]
    mixed = _MixedRows(rows, sampled, numbered=True)
    rng = np.random.default_rng(0)
    assert [_augment(parts, mixed[i], rng)["example"]["x"] for i in range(2)] == [1, 2]
    assert [mixed[i]["row"] for i in range(2)] == [0, 1] and "row" not in _MixedRows(rows, sampled, numbered=False)[0]


def test_an_adapter_that_starts_from_the_weights_trains_and_loads(tmp_path):
    """Its parameters are counted on a model that has no weights to start from."""
    from peft import PeftModel

    text = tiny.recipe(plugins.load("tasks", "image-classification")(), tmp_path)
    strategy = "strategy={name: peft, method: lora, config: {init_lora_weights: pissa, r: 2}}"
    recipe = parse_recipe(text, overrides=[strategy])
    run(recipe, tmp_path / "run")
    plan = check(recipe)
    start = load_model(plan.task, plan.origin)
    model = PeftModel.from_pretrained(start, tmp_path / "run" / "adapter").merge_and_unload()
    tuned = load_saved(plan.task, Checkpoint(str(tmp_path / "run" / "model"))).state_dict()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, tuned[name], atol=1e-5, rtol=1e-4)


def test_modules_to_save_train_and_are_merged(tmp_path):
    """BERT's pooler, which follows the blocks that adapters are put into."""
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path)
    strategy = "strategy={name: peft, method: ia3, config: {modules_to_save: [pooler.dense]}}"
    run(parse_recipe(text, overrides=[strategy, "training.num_train_epochs=1"]), tmp_path / "run")
    adapter = load_file(tmp_path / "run" / "adapter" / "adapter_model.safetensors")
    tuned = load_file(tmp_path / "run" / "model" / "model.safetensors")
    start = load_file(next((tmp_path / "checkpoint").glob("*/model.safetensors")))
    (saved,) = (name for name in adapter if name.endswith("pooler.dense.weight"))
    torch.testing.assert_close(adapter[saved], tuned["bert.pooler.dense.weight"])
    (before,) = (it for name, it in start.items() if name.endswith("pooler.dense.weight"))
    assert not torch.equal(before, tuned["bert.pooler.dense.weight"])


def test_adalora_resumes_from_a_checkpoint_after_its_first_reduction_of_ranks(tmp_path):
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path)
    strategy = "strategy={name: peft, method: adalora, config: {init_r: 4, target_r: 2, deltaT: 1}}"
    plan = check(parse_recipe(text, overrides=[strategy, "training.num_train_epochs=6", "training.learning_rate=0.01"]))
    encoded = encode(plan.task, plan.rows.labelled, tmp_path / "encoded")
    args = training_arguments(plan.recipe.training, tmp_path / "training", 0, by_length=False)
    trained = []
    for _ in range(2):
        transformers.set_seed(0)
        adapted = plan.recipe.strategy.prepare(load_model(plan.task, plan.origin))
        train(adapted, encoded, args, plan.recipe.strategy.callbacks(adapted), "adalora", learning_rate_factors={})
        trained.append({name: it.clone() for name, it in adapted.named_parameters()})
        # As if it had been killed before its last checkpoint, it is started again and resumes.
        (last,) = (tmp_path / "training").glob("checkpoint-24")
        shutil.rmtree(last)
    for name, weights in trained[0].items():
        torch.testing.assert_close(trained[1][name], weights)
    left = [it.ne(0).sum().item() for name, it in trained[0].items() if ".lora_E." in name]
    assert sum(left) == 2 * len(left)


def test_adalora_keeps_its_matrices_orthogonal():
    model = _peft.model("bert")
    adapted = plugins.load("strategies", "peft")(method="adalora").prepare(model)
    rows = _peft.batch("bert", model)
    without_penalty = adapted.eval()(**rows).loss.item()
    optimizer = torch.optim.SGD([it for name, it in adapted.named_parameters() if "lora_A" in name], lr=0.5)
    penalties = []
    # Without dropout the two losses differ by the penalty alone.
    adapted.training = True
    for _ in range(20):
        loss = adapted(**rows).loss
        penalties.append(loss.item() - without_penalty)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert penalties[0] > penalties[-1] > 0


def test_lora_refuses_a_model_without_linear_layers():
    with pytest.raises(ModelError, match="no Linear layer"):
        plugins.load("strategies", "lora")().prepare(_peft.model("resnet"))


# RoBERTa and ELECTRA are built as BERT is, DINOv2 as ViT; `scripts/docs` tries them too.
@pytest.mark.parametrize("family", ["bert", "distilbert", "vit", "swin", "resnet"])
def test_the_page_of_peft_is_up_to_date(family):
    lines = [line.strip("| ").split(" | ") for line in _peft.PAGE.read_text(encoding="utf-8").splitlines()]
    head, _, *rows = [line for line in lines if len(line) > len(_peft.FAMILIES)]
    columns = dict(zip(head, zip(*rows, strict=True), strict=True))
    assert list(columns["method"]) == _peft.methods() and set(head) == {"method", *_peft.FAMILIES}
    assert list(columns[family]) == _peft.column(family), "scripts/docs writes it"


def test_every_method_is_counted_before_there_are_weights():
    """A recipe is checked on a model without weights: every method of the page has to pass there too."""
    counts = {}
    for device in ("meta", "cpu"):
        for method in _peft.methods():
            bert = _peft.model("bert")
            with torch.device(device):
                model = type(bert)(bert.config)
            adapted = plugins.load("strategies", "peft")(method=method, config=_peft.SIZES.get(method, {})).prepare(
                model
            )
            counts.setdefault(method, []).append(sum(it.numel() for it in adapted.parameters() if it.requires_grad))
    # Without weights AdaLoRA counts the rank of each layer as trained.
    assert all(counted == pytest.approx(trained, abs=12) for counted, trained in counts.values()), counts


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"method": "lorra"}, "did you mean 'lora'"),
        ({"method": "prompt_tuning"}, "an adapter of 'prompt_tuning' cannot be merged"),
        ({"method": "ia3", "config": {"r": 8}}, "'ia3' has no field 'r'"),
    ],
    ids=["unknown", "unmerged", "field"],
)
def test_peft_refuses_unknown_methods_and_fields(fields, sentence):
    with pytest.raises(RecipeError, match=sentence):
        plugins.load("strategies", "peft")(**fields).check(None, None)


def test_depth_counts_from_the_embeddings_to_the_head():
    depth = depths(_peft.model("bert"))
    assert depth["bert.embeddings.word_embeddings.weight"] == 0
    assert depth["bert.encoder.layer.1.output.dense.weight"] == 2
    assert depth["bert.pooler.dense.weight"] == depth["classifier.weight"] == 3
    assert set(depth) == {name for name, _ in _peft.model("bert").named_parameters()}


def test_the_last_layers_alone_train():
    model = plugins.load("strategies", "last_layers")(layers=1).prepare(_peft.model("vit"))
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    trained = {found[1] if (found := re.search(r"\.layers?\.(\d)", name)) else "" for name in names}
    assert trained == {"1", ""} and not model.vit.embeddings.cls_token.requires_grad


def test_learning_rates_fall_by_depth():
    rates = plugins.load("strategies", "layer_decay")(decay=0.5).learning_rate_factors(_peft.model("bert"))
    assert rates["classifier.weight"] == 1 and rates["bert.encoder.layer.1.output.dense.bias"] == 0.5
    assert rates["bert.embeddings.word_embeddings.weight"] == 0.125


@pytest.mark.parametrize("strategy", ["full", "lora", "linear_probe"])
def test_a_temperature_divides_the_logits_and_changes_no_class(strategy, tmp_path):
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path, strategy=strategy)
    plain, divided = (
        run(parse_recipe(text, overrides=[f"calibrate={flag}"]), tmp_path / flag) for flag in ("false", "true")
    )
    assert plain.calibration is None and divided.calibration is not None
    # Those of the validation rows are taken from the calibration.
    for file in ("test.npz", "validation.npz"):
        outputs = [np.load(tmp_path / name / "predictions" / file)["tuned.logits"] for name in ("false", "true")]
        np.testing.assert_allclose(outputs[0], outputs[1] * divided.calibration.temperature, atol=1e-4)
    assert plain.scores["test"]["tuned"] == divided.scores["test"]["tuned"]
    assert divided.calibration.after.value == pytest.approx(divided.calibration_error["tuned"])
    assert divided.calibration.before.value == pytest.approx(plain.calibration_error["tuned"], abs=1e-5)
    assert "Reliability" in (tmp_path / "true" / "report.html").read_text()


@pytest.mark.parametrize(("more", "precision"), [("bf16: true, ", "bf16"), ("", "no")], ids=["bf16", "fp32"])
def test_the_precision_reaches_the_trainer_and_no_later_one(more, precision, tmp_path, monkeypatch):
    from transformers import Trainer

    seen, train = [], Trainer.train

    def watched(trainer, *args, **kwargs):
        seen.append(trainer.accelerator.mixed_precision)
        return train(trainer, *args, **kwargs)

    monkeypatch.setattr(Trainer, "train", watched)
    before = dict(os.environ)
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path)
    text = text.replace("training: {", f"training: {{{more}max_steps: 1, ").replace(" use_cpu: true,", "")
    result = run(parse_recipe(text), tmp_path / "run")
    assert seen == [precision] and result.recipe["training"].get("bf16", False) == bool(more)
    assert {name for name in os.environ if name.startswith("ACCELERATE_")} <= before.keys()


def test_learning_rate_factors_reach_the_optimizer():
    from hftransfer.training.trainer import _scale_learning_rates

    model = _peft.model("bert")
    rates = plugins.load("strategies", "layer_decay")(decay=0.5).learning_rate_factors(model)
    optimizer = torch.optim.AdamW([{"params": list(model.parameters()), "weight_decay": 0.1}], lr=1.0)
    _scale_learning_rates(optimizer, model, rates)
    found = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(found) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert found[id(parameter)]["lr"] == rates[name] and found[id(parameter)]["weight_decay"] == 0.1


def test_blocks_are_unfrozen_epoch_by_epoch():
    model = _peft.model("bert")
    (callback,) = plugins.load("strategies", "gradual_unfreeze")(every=2).callbacks(model)
    seen = []
    for epoch in (0, 1.9, 2, 4, 6):
        callback.on_step_begin(None, transformers.TrainerState(epoch=epoch), None)
        seen.append(sorted({depths(model)[name] for name, p in model.named_parameters() if p.requires_grad}))
    assert seen == [[3], [3], [2, 3], [1, 2, 3], [0, 1, 2, 3]]


def test_weights_are_pulled_back_to_the_checkpoint():
    model = _peft.model("bert")
    (callback,) = plugins.load("strategies", "l2_sp")(alpha=10).callbacks(model)
    weight, start = model.bert.pooler.dense.weight, model.bert.pooler.dense.weight.detach().clone()
    head = model.classifier.weight.detach().clone()
    with torch.no_grad():
        weight.add_(1)
    callback.on_optimizer_step(None, None, None, optimizer=torch.optim.SGD(model.parameters(), lr=0.05))
    torch.testing.assert_close(weight.detach(), start + 0.5)
    torch.testing.assert_close(model.classifier.weight.detach(), head)


def test_the_contrastive_loss_is_that_of_the_paper():
    from hftransfer.strategies.few_shot import contrastive_loss

    torch.manual_seed(0)
    vectors, labels, temperature = torch.randn(5, 4), torch.tensor([0, 0, 1, 1, 2]), 0.5
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    expected = []
    for i in range(4):
        others = [j for j in range(5) if j != i]
        total = sum(torch.exp(unit[i] @ unit[j] / temperature) for j in others)
        (same,) = (j for j in others if labels[j] == labels[i])
        expected.append(-torch.log(torch.exp(unit[i] @ unit[same] / temperature) / total))
    found = contrastive_loss(vectors, labels, temperature)
    torch.testing.assert_close(found, torch.stack(expected).mean())


def test_soft_targets_are_those_of_the_paper():
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3)
    probabilities = (teacher / 2).softmax(dim=1)
    expected = 4 * (probabilities * (probabilities.log() - (student / 2).log_softmax(dim=1))).sum(dim=1).mean()
    tags = plugins.load("tasks", "token-classification")()
    torch.testing.assert_close(tags.distillation_loss(student, teacher, 2), expected)
    for problem_type in ("single_label_classification", "multi_label_classification", "regression"):
        task = plugins.load("tasks", "text-classification")(problem_type=problem_type)
        assert abs(task.distillation_loss(teacher, teacher, 2)) < 1e-6 < task.distillation_loss(student, teacher, 2)


def test_words_are_compared_that_both_models_have_read():
    from hftransfer.strategies.distill import _comparable

    student = torch.arange(10.0).reshape(1, 5, 2)
    teacher = torch.tensor([[[0.0, 1], [2, 3], [float("nan")] * 2]])
    by_student, by_teacher = _comparable(student, teacher, torch.tensor([[-100, 0, -100, 1, 0]]))
    assert by_student.tolist() == [[2, 3], [6, 7]] and by_teacher.tolist() == [[0, 1], [2, 3]]


def _with_unlabelled(text, folder):
    """The recipe with 21 more rows, which have no labels."""
    cells = ({"text": f"bad {i}", "text_pair": f"bad {i}", "tokens": ["bad", str(i)]} for i in range(99, 120))
    (folder / "more.json").write_text("".join(f"{json.dumps(row)}\n" for row in cells))
    return text.replace(".json}", f".json, unlabelled: {folder / 'more.json'}}}")


@pytest.mark.parametrize(
    ("task", "labels"),
    [("text-classification", "numbers"), ("text-classification", "lists"), ("token-classification", "classes")],
)
def test_a_student_predicts_what_its_teacher_predicts(task, labels, tmp_path):
    task = plugins.load("tasks", task)()
    text = tiny.recipe(task, tmp_path, labels=labels)
    long = ["training.num_train_epochs=20", "training.learning_rate=0.01", "training.save_strategy=no"]
    run(parse_recipe(text, overrides=long), tmp_path / "teacher")
    more = [
        f"strategy={{name: distill, teacher: {tmp_path / 'teacher'}, layers: 1, alpha: 1}}",
        "data.unlabelled=unlabelled",
    ]
    run(parse_recipe(_with_unlabelled(text, tmp_path), overrides=[*long, *more]), tmp_path / "student")
    outputs = [np.load(tmp_path / name / "predictions" / "test.npz") for name in ("teacher", "student")]
    teacher, student = (arrays["tuned.logits"] for arrays in outputs)
    assert np.nanmean(abs(teacher - student)) < 0.3 * np.nanmean(abs(teacher))


def test_a_teacher_that_is_a_step_of_the_run_has_the_scale_of_the_labels(tmp_path):
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path, labels="numbers")
    rows = tmp_path / "rows" / "numbers.json"
    rows.write_text(re.sub(r"[01]\.5", lambda number: f"1{number.group()}", rows.read_text()))
    more = ["training.num_train_epochs=20", "training.learning_rate=0.01", "compress=[{name: distill, alpha: 1}]"]
    run(parse_recipe(text, overrides=more), tmp_path / "run")
    outputs = np.load(tmp_path / "run" / "predictions" / "test.npz")
    teacher, student = outputs["1-full.logits"], outputs["tuned.logits"]
    assert abs(teacher - 11).mean() < 0.6 and abs(teacher - student).mean() < 0.3


def test_rows_with_pseudo_labels_are_augmented_and_encoded_like_the_others(tmp_path):
    task = plugins.load("tasks", "text-classification")()
    text = tiny.recipe(task, tmp_path)
    run(parse_recipe(text), tmp_path / "teacher")
    strategy = f"strategy={{name: distill, teacher: {tmp_path / 'teacher'}}}"
    more = ["data.unlabelled=unlabelled", "data.augment=light", strategy]
    result = run(parse_recipe(_with_unlabelled(text, tmp_path), overrides=more), tmp_path / "student")
    steps = max(entry["step"] for entry in result.history["tuned"])
    assert result.data.rows["unlabelled"] == 21 and steps == 2 * -(-(28 + 21) // 8)


def test_rows_that_are_encoded_when_read_hold_the_teachers_outputs():
    from hftransfer.strategies.distill import _with_teacher

    lazy = Dataset.from_dict({"text": ["a", "bb"]}).with_transform(
        lambda batch: {"size": [len(t) for t in batch["text"]]}
    )
    row = _with_teacher(lazy, np.array([[1.0, 2], [3, 4]]))[1]
    assert row["size"] == 2 and list(row["teacher"]) == [3, 4]


@pytest.mark.parametrize(
    ("fields", "size"),
    [({"width": 0.5}, "intermediate_size"), ({"layers": 1}, "num_hidden_layers"), ({"attention_heads": 0.5}, None)],
    ids=["width", "layers", "heads"],
)
@pytest.mark.parametrize("family", ["bert", "vit"])
def test_a_pruned_model_is_smaller_and_loaded_equal(family, fields, size, tmp_path):
    before = _peft.model(family)
    if "attention_heads" in fields and not hasattr(before.base_model, "_prune_heads"):
        with pytest.raises(ModelError, match="cannot take attention heads out"):
            plugins.load("strategies", "prune")(**fields).prepare(before)
        return
    count, full = before.num_parameters(), getattr(before.config, size) if size else None
    pruned = plugins.load("strategies", "prune")(**fields).prepare(before).eval()
    assert pruned.num_parameters() < count and (size is None or getattr(pruned.config, size) == full // 2)
    pruned.save_pretrained(tmp_path)
    again = getattr(transformers, _peft.FAMILIES[family][1]).from_pretrained(tmp_path).eval()
    rows = _peft.batch(family, pruned)
    with torch.no_grad():
        torch.testing.assert_close(again(**rows).logits, pruned(**rows).logits)


def test_the_units_with_the_smallest_weights_are_removed():
    from hftransfer.models.pruning import narrow

    model = _peft.model("bert")
    block = model.bert.encoder.layer[0]
    with torch.no_grad():
        block.intermediate.dense.weight[1::2] = 0
    largest = block.intermediate.dense.weight[::2].clone()
    narrow(model, 0.5)
    torch.testing.assert_close(block.intermediate.dense.weight, largest)


def test_single_pruned_weights_stay_zero():
    model = _peft.model("bert")
    (callback,) = plugins.load("strategies", "prune")(weights=0.5).callbacks(model)
    callback.on_train_begin(None, None, None)
    weight = model.bert.encoder.layer[0].output.dense.weight
    assert (weight == 0).float().mean() == 0.5
    with torch.no_grad():
        weight.add_(1)
    callback.on_optimizer_step(None, None, None)
    assert (weight == 0).float().mean() == 0.5


def test_an_adapter_is_written_alike_by_every_process(tmp_path):
    """PEFT's sets have the order of their hashes, which every process salts anew."""
    code = """
import sys
from pathlib import Path
from _peft import model
from hftransfer.core import plugins
from hftransfer.models.weights import save_adapter

lora = plugins.load("strategies", "lora")()
save_adapter(lora.prepare(model("bert")), Path(sys.argv[1]))
"""
    for seed in "12":
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent.parent / "scripts")}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / seed)], check=True, env=environment)
    first, second = ((tmp_path / seed / "adapter_config.json").read_text() for seed in "12")
    assert first == second and '"target_modules"' in first
