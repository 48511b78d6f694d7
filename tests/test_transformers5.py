"""What Transformers 5 alone has, trained and exported; and packages of others in the same environment."""

import importlib.util
import json

import pytest
import tiny
import transformers
from tokenizers import Tokenizer

from hftransfer.core import plugins
from hftransfer.core.errors import ModelError
from hftransfer.exporters import _transformers
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check


def _eurobert(folder):
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
    tokens = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "mask_token_id": 4}
    config = transformers.EuroBertConfig(
        vocab_size=len(tiny.WORDS), intermediate_size=32, max_position_embeddings=64, **sizes, **tokens
    )
    transformers.EuroBertForSequenceClassification(config).save_pretrained(folder)


def _rf_detr(folder):
    backbone = transformers.RfDetrDinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=32, patch_size=8,
        num_windows=2, out_features=["stage1", "stage2"],
    )  # fmt: skip
    config = transformers.RfDetrConfig(
        backbone_config=backbone, d_model=16, decoder_ffn_dim=32, decoder_layers=2, decoder_self_attention_heads=2,
        decoder_cross_attention_heads=2, decoder_n_points=2, num_queries=5, group_detr=2, num_labels=2,
    )  # fmt: skip
    transformers.RfDetrForObjectDetection(config).save_pretrained(folder)
    # Its own needs torchvision.
    transformers.DetrImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


@pytest.mark.parametrize(
    ("task", "make"), [("text-classification", _eurobert), ("object-detection", _rf_detr)], ids=["eurobert", "rf_detr"]
)
def test_an_architecture_of_transformers_5_is_trained_and_exported(task, make, tmp_path):
    task = plugins.load("tasks", task)()
    folder = tiny.checkpoint(task, tmp_path / "checkpoint" / task.name)
    # By Optimum, which takes half a minute for detection.
    export = "null" if make is _rf_detr else "{format: onnx, quantization: none, max_drop: 1}"
    recipe = parse_recipe(tiny.recipe(task, tmp_path, more=f"export: {export}"))
    if not _transformers.is_available():
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"model_type": make.__name__.removeprefix("_")}))
        with pytest.raises(ModelError, match="cannot read"):
            check(recipe)
        return
    make(folder)
    result = run(recipe, tmp_path / "run")
    assert result.scores["test"]["tuned"]
    assert bool(result.exports) == (make is not _rf_detr)
    assert all(it.max_abs_diff < 1e-4 and it.agreement == 1 for it in result.exports.values())


def test_a_t5_whose_further_tokens_are_a_list_is_trained(tmp_path):
    task = plugins.load("tasks", "translation")()
    folder = tiny.checkpoint(task, tmp_path / "checkpoint" / task.name)
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"▁{word}", -1.0) for word in tiny.WORDS[5:])]
    if _transformers.is_available():
        transformers.T5Tokenizer(vocab=words, extra_ids=3).save_pretrained(folder)
    else:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        transformers.T5TokenizerFast(tokenizer_object=tokenizer, extra_ids=0).save_pretrained(folder)
        file = folder / "tokenizer_config.json"
        fields = json.loads(file.read_text()) | {"extra_special_tokens": ["<extra_id_0>"], "extra_ids": 1}
        fields.pop("additional_special_tokens", None)
        file.write_text(json.dumps(fields))
    saved = json.loads((folder / "tokenizer_config.json").read_text())
    assert isinstance(saved["extra_special_tokens"], list)
    result = run(parse_recipe(tiny.recipe(task, tmp_path)), tmp_path / "run")
    shipped = json.loads((tmp_path / "run" / "model" / "tokenizer_config.json").read_text())
    assert result.scores["test"]["tuned"] and not isinstance(shipped.get("extra_special_tokens"), list)


def test_setfit_and_sentence_transformers_train_beside_this_package(tmp_path):
    """In the default lane they are installed; setfit is not made for Transformers 4.57."""
    if importlib.util.find_spec("setfit") is None:
        assert not _transformers.is_available()
        return
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from setfit import SetFitModel, Trainer, TrainingArguments

    folder = str(plugins.load("samples", "minilm")().checkpoint())
    assert SentenceTransformer(folder).encode(["good", "bad"]).shape == (2, 384)
    rows = Dataset.from_dict({"text": ["good a", "bad b", "good c", "bad d"], "label": [1, 0, 1, 0]})
    model = SetFitModel.from_pretrained(folder)
    arguments = TrainingArguments(max_steps=1, batch_size=2, output_dir=str(tmp_path), report_to="none")
    Trainer(model=model, args=arguments, train_dataset=rows).train()
    assert model.predict(["good a", "bad b"]).shape == (2,)
