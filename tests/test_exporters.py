"""Exports by Transformers and by Optimum: what each makes, what is refused, and who loads the files."""

import json
import os
import signal

import numpy as np
import optimum_shell
import pytest
import tiny
import torch
import transformers

from hftransfer import api
from hftransfer.core import plugins
from hftransfer.core.errors import ExportError, MissingExtraError, ModelError, RecipeError
from hftransfer.core.results import RunResult
from hftransfer.exporters import TrainedModel, _optimum, _transformers, resolve_through
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check

HAS_EXPORTERS = _transformers.is_available()


def _recipe(name, folder, export="{format: onnx, quantization: none, max_drop: 1.0}", **kwargs):
    return tiny.recipe(plugins.load("tasks", name)(), folder, more=f"export: {export}", **kwargs)


@pytest.mark.parametrize("name", ["image-segmentation", "automatic-speech-recognition"])
def test_the_snippet_of_the_card_loads_an_openvino_graph(name, tmp_path):
    result = run(parse_recipe(_recipe(name, tmp_path, "{format: openvino, quantization: none}")), tmp_path / "run")
    facts = result.exports["openvino"]
    assert facts.max_abs_diff < 1e-4 and facts.agreement == 1
    assert ("optimum-intel" not in facts.made_by) is HAS_EXPORTERS
    optimum_shell.assert_loads(plugins.load("exporters", "openvino")(), tmp_path / "run" / "openvino", facts.loader)
    _, snippets = tiny.card_snippets(plugins.load("tasks", name)(), tmp_path / "run", result, tmp_path)
    assert optimum_shell.run(*snippets)


def test_a_pipeline_runs_an_export(tmp_path):
    run(parse_recipe(_recipe("text-classification", tmp_path)), tmp_path / "run")
    model = api.load_exported(tmp_path / "run" / "onnx")
    # Transformers 4.57 asks of any other class which framework it is of.
    options = {} if HAS_EXPORTERS else {"framework": "pt"}
    tokenizer = str(tmp_path / "run" / "onnx")
    exported = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, **options)
    plain = transformers.pipeline("text-classification", model=str(tmp_path / "run" / "model"))
    for text in ("good 1", "bad 2"):
        (mine,), (theirs,) = exported([text]), plain([text])
        assert mine["label"] == theirs["label"] and mine["score"] == pytest.approx(theirs["score"], abs=1e-5)
    with pytest.raises(ValueError, match="needs the input 'input_ids'"):
        model(attention_mask=torch.ones(1, 3))


def test_a_mask_with_zeros_is_not_dropped():
    from hftransfer.exporters._runtime import fill_inputs

    ids = np.ones((2, 3), np.int64)
    filled = fill_inputs({"input_ids": ids}, ["input_ids", "attention_mask", "token_type_ids"])
    assert filled["attention_mask"].all() and not filled["token_type_ids"].any()
    with pytest.raises(ValueError, match="takes no attention_mask"):
        fill_inputs({"input_ids": ids, "attention_mask": np.zeros((2, 3))}, ["input_ids"])


def test_padded_recordings_are_right(tmp_path):
    """A wav2vec2 that was trained with masks: the exported graph takes the mask."""
    config = tiny._wav2vec2()
    config.update({"feat_extract_norm": "layer", "do_stable_layer_norm": True, "vocab_size": 8})
    torch.manual_seed(0)
    model = transformers.Wav2Vec2ForCTC(config).eval()
    mask = torch.ones(2, 4000, dtype=torch.long)
    mask[0, 2500:] = 0
    batch = {"input_values": torch.randn(2, 4000), "attention_mask": mask}
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    model.save_pretrained(tmp_path / "saved")
    trained = TrainedModel(plugins.load("tasks", "automatic-speech-recognition")(), model, extractor, tmp_path, batch)
    if not HAS_EXPORTERS:
        return
    exporter = plugins.load("exporters", "onnx")()
    exporter.export(trained, "transformers", tmp_path)
    exported = exporter.open(tmp_path, 1)
    with torch.inference_mode():
        assert (exported(**batch).logits - model(**batch).logits).abs().max() < 1e-4
        assert (model(batch["input_values"]).logits - model(**batch).logits).abs().max() > 1e-3


def test_which_way_is_taken():
    bert, d_fine = (transformers.AutoConfig.for_model(name) for name in ("bert", "d_fine"))
    assert resolve_through("auto", "AutoModelForSeq2SeqLM", bert) == "optimum"
    assert resolve_through("auto", "AutoModelForObjectDetection", d_fine) == "optimum"
    assert resolve_through("optimum", "AutoModelForMaskedLM", bert) == "optimum"
    if HAS_EXPORTERS:
        assert resolve_through("auto", "AutoModelForMaskedLM", bert) == "transformers"
        with pytest.raises(ExportError, match="a d_fine .* for batches of one size alone"):
            _transformers.check("onnx", d_fine)
    else:
        with pytest.raises(MissingExtraError, match="the exporters of Transformers came with version 5"):
            resolve_through("transformers", "AutoModelForMaskedLM", bert)
    with pytest.raises(ExportError, match="a model that generates is exported by optimum alone"):
        resolve_through("transformers", "AutoModelForCausalLM", bert)


def test_a_single_graph_through_optimum_is_the_same(tmp_path):
    export = "{format: onnx, quantization: none, max_drop: 1.0, through: optimum}"
    result = run(parse_recipe(_recipe("text-classification", tmp_path, export)), tmp_path / "run")
    facts = result.exports["onnx"]
    assert facts.max_abs_diff < 1e-4 and facts.made_by["transformers"].startswith("4.57")


def _qwen2(folder, initializer_range):
    """With a tokenizer of its class: of this type, Transformers 5 reads no other."""
    from tokenizers import ByteLevelBPETokenizer

    for file in folder.iterdir():
        file.unlink()
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(["good bad"], 300, special_tokens=["<|endoftext|>"], show_progress=False)
    bpe.save_model(str(folder))
    end = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Qwen2Tokenizer"} | end))
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = transformers.Qwen2Config(
        vocab_size=bpe.get_vocab_size(), intermediate_size=32, max_position_embeddings=64, bos_token_id=0,
        eos_token_id=[0, 3], initializer_range=initializer_range, tie_word_embeddings=True, **sizes,
    )  # fmt: skip
    model = transformers.Qwen2ForCausalLM(config)
    # As its checkpoints of chats have.
    model.generation_config.update(repetition_penalty=1.1, do_sample=True, top_k=20)
    return model


def _sequence_to_sequence(name, **generation):
    def make(folder, init_std):
        count = json.loads((folder / "config.json").read_text())["vocab_size"]
        sides = {f"{side}_{size}" for side in ("encoder", "decoder") for size in ("layers", "attention_heads")}
        config = transformers.AutoConfig.for_model(
            name, vocab_size=count, d_model=16, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=512,
            pad_token_id=0, eos_token_id=1, forced_eos_token_id=1, bos_token_id=2, decoder_start_token_id=0,
            init_std=init_std, **dict.fromkeys(sides, 2),
        )  # fmt: skip
        model = transformers.AutoModelForSeq2SeqLM.from_config(config)
        model.generation_config.update(num_beams=4, max_length=142, **generation)
        return model

    return make


_GENERATIVE = {
    "marian": ("translation", _sequence_to_sequence("marian", bad_words_ids=[[0]])),
    "bart": ("summarization", _sequence_to_sequence("bart", no_repeat_ngram_size=3, forced_bos_token_id=2)),
    "qwen2": ("text-generation", _qwen2),
}


@pytest.mark.parametrize("name", _GENERATIVE)
def test_generated_tokens_of_an_export_are_those_of_pytorch(name, tmp_path):
    """With what the checkpoints of these types set for generation; those of T5 and GPT-2 are in `test_contract`."""
    task, make = _GENERATIVE[name]
    task = plugins.load("tasks", task)()
    folder = tiny.checkpoint(task, tmp_path / "checkpoint" / task.name)
    # Weights as large as this, so that rows get different tokens.
    make(folder, 0.5).save_pretrained(folder)
    text = (
        _recipe(task.name, tmp_path).replace("_tokens: 2", "_tokens: 8").replace("target_length: 2", "target_length: 8")
    )
    result = run(parse_recipe(text), tmp_path / "run")
    outputs = np.load(tmp_path / "run" / "predictions" / "test.npz")
    np.testing.assert_array_equal(outputs["onnx.ids"], outputs["tuned.ids"])
    assert len(np.unique(outputs["tuned.ids"], axis=0)) > 1 and result.exports["onnx"].max_abs_diff < 1e-3
    assert "optimum-onnx" in RunResult.load(tmp_path / "run" / "result.json").exports["onnx"].made_by
    assert result.exports["onnx"].files == (
        ["model.onnx"] if name == "qwen2" else ["decoder_model_merged.onnx", "encoder_model.onnx"]
    )


class _Embedding(type(plugins.load("tasks", "text-classification")())):
    """A task of the base model, as a plug-in may be one."""

    auto_model = "AutoModel"


def test_optimum_loads_a_base_model(tmp_path):
    task = _Embedding()
    folder = tiny.checkpoint(task, tmp_path / "checkpoint")
    model, tokenizer = (
        transformers.BertModel.from_pretrained(folder).eval(),
        transformers.AutoTokenizer.from_pretrained(folder),
    )
    model.save_pretrained(tmp_path / "saved")
    example = dict(tokenizer(["good a b", "bad"], padding=True, return_tensors="pt"))
    exporter = plugins.load("exporters", "onnx")()
    trained = TrainedModel(task, model, tokenizer, tmp_path / "saved", example)
    exporter.export(trained, resolve_through("auto", task.auto_model, model.config), tmp_path)
    optimum_shell.assert_loads(exporter, tmp_path, "ORTModelForFeatureExtraction")


def test_without_the_environment_one_sentence_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(_optimum.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv(_optimum.PYTHON_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingExtraError, match="`hftransfer setup-optimum` makes it"):
        _optimum.python()
    monkeypatch.setenv(_optimum.PYTHON_VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(MissingExtraError, match="HFTRANSFER_OPTIMUM_PYTHON: there is no Python"):
        _optimum.python()


def test_a_killed_worker_leaves_nothing_half_written(tmp_path, monkeypatch):
    def kill(self, function, *arguments):
        if function == "export":
            os.kill(self._process.pid, signal.SIGKILL)
        return call(self, function, *arguments)

    call = _optimum._Worker.call
    monkeypatch.setattr(_optimum._Worker, "call", kill)
    with pytest.raises(ExportError, match="the process of Optimum has died"):
        run(parse_recipe(_recipe("translation", tmp_path)), tmp_path / "run")
    assert not list(tmp_path.glob("run*/onnx"))
    monkeypatch.undo()
    result = run(parse_recipe(_recipe("translation", tmp_path)), tmp_path / "run", resume=True)
    assert result.exports["onnx"].agreement == 1


def test_an_unknown_architecture_is_exported_on_trial_before_the_training(tmp_path, monkeypatch):
    if not HAS_EXPORTERS:
        return
    monkeypatch.setattr(_transformers, "KNOWN", frozenset())
    exported = []
    export = _transformers.export
    monkeypatch.setattr(_transformers, "export", lambda *arguments: exported.append(arguments) or export(*arguments))
    check(parse_recipe(_recipe("text-classification", tmp_path)))
    ((_, trained, _),) = exported
    assert trained.model.config.num_hidden_layers == 1 and len(trained.example["input_ids"]) == 2

    def refuse(*_):
        raise ExportError("it cannot")

    monkeypatch.setattr(_transformers, "export", refuse)
    with pytest.raises(ExportError, match="it cannot"):
        check(parse_recipe(_recipe("text-classification", tmp_path)))


class _Fixed(torch.nn.Module):
    """A model whose answer for another batch size is another one."""

    def forward(self, x):
        return transformers.utils.ModelOutput(logits=x * len(x))


def test_a_graph_that_is_right_for_one_batch_size_alone_is_refused(tmp_path):
    example = {"x": torch.ones(2, 4)}
    trained = TrainedModel(None, _Fixed(), None, tmp_path, example)
    with pytest.raises(ExportError, match="right for the shape of its example alone: for a batch of one, `logits`"):
        _transformers.check_shapes(trained, lambda x: {"logits": x * 2})
    _transformers.check_shapes(trained, lambda x: {"logits": x * len(x)})


def _tokenizer(folder, **more):
    """A tokenizer as Transformers 5 saves one of no class of its own, with further special tokens."""
    words = ["<pad>", "</s>", "<unk>", "good", "bad", *tiny.WORDS[5:]]
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(dict.fromkeys(words))}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = ["input_ids", "attention_mask"]
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=64, model_input_names=names, **special
    )
    made.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    fields = {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<extra_id_0>"], "backend": "tokenizers"}
    file.write_text(json.dumps(json.loads(file.read_text()) | fields | more))


def test_a_tokenizer_as_transformers_5_saves_it_is_read_and_shipped_for_both(tmp_path):
    task = plugins.load("tasks", "text-classification")()
    _tokenizer(tiny.checkpoint(task, tmp_path / "checkpoint" / task.name))
    run(parse_recipe(tiny.recipe(task, tmp_path)), tmp_path / "run")
    shipped = json.loads((tmp_path / "run" / "model" / "tokenizer_config.json").read_text())
    assert shipped["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert not isinstance(shipped.get("extra_special_tokens"), list)
    model = tmp_path / "run" / "model"
    mine = transformers.AutoTokenizer.from_pretrained(model)
    code = f"from transformers import AutoTokenizer\ntokenizer = AutoTokenizer.from_pretrained({str(model)!r})"
    theirs = optimum_shell.run(code, "print(tokenizer('good <extra_id_0> bad')['input_ids'])")
    assert json.loads(theirs) == mine("good <extra_id_0> bad")["input_ids"]


def test_a_tokenizer_that_cannot_be_read_is_a_sentence(tmp_path):
    task = plugins.load("tasks", "text-classification")()
    folder = tiny.checkpoint(task, tmp_path / "checkpoint" / task.name)
    _tokenizer(folder)
    (folder / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(ModelError, match="AutoTokenizer cannot read|cannot read '|tokenizer.json' is damaged"):
        check(parse_recipe(tiny.recipe(task, tmp_path)))


def test_a_run_that_another_transformers_began_is_not_continued(tmp_path, monkeypatch):
    recipe = parse_recipe(tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr("hftransfer.runner.pipeline._encode", lambda *_: 1 / 0)
        patch.setattr("hftransfer.core.machine.versions", lambda: {"transformers": "3.5.1"})
        with pytest.raises(ZeroDivisionError):
            run(recipe, tmp_path / "run")
    with pytest.raises(RecipeError, match="was begun with transformers 3.5.1, and .* is installed"):
        run(recipe, tmp_path / "run", resume=True)
