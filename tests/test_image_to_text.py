"""Reading text from images: labels and token ids, processors that are made or put together, what is refused."""

import copy

import numpy as np
import pytest
import tiny
import torch
from datasets import Dataset
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, PreTrainedTokenizerFast

from hftransfer.core import plugins
from hftransfer.core.compat import save_processor
from hftransfer.core.errors import ExportError, ModelError
from hftransfer.models.checkpoint import find_checkpoint, resolve_checkpoint
from hftransfer.models.weights import load_model
from hftransfer.samples import rendered_lines
from hftransfer.tasks import IGNORED
from hftransfer.tasks._image_text import character_tokenizer, end_token, set_decoder, shortened
from hftransfer.tasks.image_to_text import ImageToText

ENCODER = {
    "model_type": "vit",
    "image_size": [8, 32],
    "patch_size": [8, 4],
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.1,
}
TROCR = {"model_type": "trocr", "d_model": 32, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 64}
DECODERS = {
    "trocr": TROCR | {"max_position_embeddings": 16, "init_std": 0.1, "dropout": 0.0},
    "bert": {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    | {"intermediate_size": 32, "max_position_embeddings": 16},
    "gpt2": {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 16},
}
TEXTS = ["ab", "b a", "ccab", "a"]


def _line(text):
    """A picture with a column of its own level of grey for each character."""
    pixels = np.full((8, 32), 255, np.uint8)
    for place, character in enumerate(text):
        pixels[:, 4 * place + 1 : 4 * place + 4] = 50 * (ord(character) % 4)
    return Image.fromarray(pixels)


def _rows(texts=TEXTS):
    return Dataset.from_dict({"image": [_line(text) for text in texts], "text": list(texts)})


def _config(decoder="trocr", **fields):
    return {"model_type": "vision-encoder-decoder", "encoder": ENCODER, "decoder": DECODERS[decoder]} | fields


def _new(decoder="trocr", **fields):
    """A task, fitted to the rows, and a new model of it."""
    task = ImageToText(max_target_length=8, **fields).fit(_rows())
    origin = resolve_checkpoint(task, _rows(), None, _config(decoder))
    torch.manual_seed(0)
    return task.with_processor(origin.processor, origin.config), load_model(task, origin)


@pytest.mark.parametrize("decoder", DECODERS)
def test_labels_end_with_the_end_and_the_model_puts_the_start_before_them(decoder):
    task, model = _new(decoder)
    # <s>, <pad>, </s>, <unk>, space, a, b, c
    assert task.labels_of({"text": ["ab", "b az"]}) == [[5, 6, 2], [6, 4, 5, 3, 2]]
    encoded = task.encode(_rows()[:])
    batch = task.collate([{name: values[row] for name, values in encoded.inputs.items()} for row in (0, 1)])
    assert batch["labels"].tolist() == [[5, 6, 2, IGNORED], [6, 4, 5, 2]]
    assert batch["pixel_values"].shape == (2, 3, 8, 32) and batch["pixel_values"].dtype == torch.float32
    starts = model.prepare_decoder_input_ids_from_labels(batch["labels"])
    assert starts.tolist() == [[0, 5, 6, 2], [0, 6, 4, 5]]
    assert (model.config.pad_token_id, model.config.eos_token_id, model.config.decoder.vocab_size) == (1, 2, 8)
    model.eval()
    with torch.inference_mode():
        output = model(**batch)
    losses = torch.nn.functional.cross_entropy(output.logits.flatten(0, 1), batch["labels"].flatten(), reduction="none")
    assert output.loss.item() == pytest.approx(losses.sum().item() / 7, abs=1e-5)


def test_a_new_model_learns_to_read_a_few_lines():
    task, model = _new()
    inputs = task.encode(_rows()[:]).inputs
    batch = task.collate([{name: values[row] for name, values in inputs.items()} for row in range(len(TEXTS))])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(100):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    task.finalize(model.eval())
    with torch.inference_mode():
        outputs = task.outputs(model, batch, {})
    assert task.postprocess(outputs, {}).tolist() == task.references(_rows()).tolist() == TEXTS
    assert outputs["logprobs"].shape == (4, 5) and np.isnan(outputs["logprobs"][0, 3:]).all()
    assert model.generation_config.max_new_tokens == 8 and model.generation_config.decoder_start_token_id == 0


def test_a_new_model_sees_pixels_by_the_scale_of_the_training_images():
    task, _ = _new()
    pixels = np.stack([np.asarray(_line(text)) for text in TEXTS]) / 255
    assert task.processor.image_processor.image_mean == pytest.approx([pixels.mean()] * 3, abs=1e-4)
    assert task.processor.image_processor.image_std == pytest.approx([pixels.std()] * 3, abs=1e-4)
    encoded = task.encode(_rows()[:]).inputs["pixel_values"]
    batch = task.collate([{"pixel_values": row} for row in encoded])["pixel_values"]
    assert batch.mean().item() == pytest.approx(0, abs=1e-2) and batch.std().item() == pytest.approx(1, abs=1e-2)


def test_a_character_tokenizer_gives_back_what_it_was_given(tmp_path):
    texts = ["Größe: 3,5 m²", " two  spaces ", "it's (50 %) - n°1!", "a\nb"]
    tokenizer = character_tokenizer(texts)
    tokenizer.save_pretrained(tmp_path)
    for it in (tokenizer, PreTrainedTokenizerFast.from_pretrained(tmp_path)):
        assert [it.decode(ids, skip_special_tokens=True) for ids in it(texts)["input_ids"]] == texts
        assert [len(ids) for ids in it(texts)["input_ids"]] == [len(text) + 1 for text in texts]
        assert it("Z")["input_ids"] == [it.unk_token_id, it.eos_token_id]


def test_labels_of_other_tokenizers(tmp_path):
    """BERT's texts begin with the token by which generation starts; GPT-2's tokenizer writes no end."""
    config = AutoConfig.for_model(**copy.deepcopy(_config()))
    config.decoder_start_token_id = None
    for kind, tokens in (("bert", ["good", "a", "[SEP]"]), ("gpt2", ["good", "a", "<end>"])):
        (tmp_path / kind).mkdir()
        tiny._CHECKPOINTS[kind](tmp_path / kind)
        tokenizer = AutoProcessor.from_pretrained(tmp_path / kind)
        set_decoder(config, tokenizer)
        task = ImageToText().with_processor(type("Both", (), {"tokenizer": tokenizer}), config)
        (ids,) = task.labels_of({"text": ["good a"]})
        assert tokenizer.convert_ids_to_tokens(ids) == tokens and ids[-1] == end_token(tokenizer)
        config.decoder_start_token_id = None
    assert shortened([5, 6, 7, 2], 3) == [5, 6, 2] and shortened([5, 2], 3) == [5, 2]


def test_a_checkpoint_gets_the_ids_that_it_lacks_and_a_processor_of_its_parts(tmp_path):
    """As vit-gpt2 lies on the Hub: an image processor and a tokenizer, and no class for both."""
    task = ImageToText(max_target_length=8)
    folder = tiny.checkpoint(task, tmp_path / "whole")
    model, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
        delattr(model.config, name)
    for part in (model, processor.image_processor, processor.tokenizer):
        part.save_pretrained(tmp_path / "parts")
    (tmp_path / "parts" / "generation_config.json").unlink()
    origin = resolve_checkpoint(task, _rows(), find_checkpoint(str(tmp_path / "parts")))
    ids = [getattr(origin.config, name) for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id")]
    assert ids == [1, 2, 0]
    task = task.with_processor(origin.processor, origin.config)
    inputs = task.encode(_rows()[:]).inputs
    save_processor(origin.processor, tmp_path / "again")
    again = task.with_processor(AutoProcessor.from_pretrained(tmp_path / "again"), origin.config).encode(_rows()[:])
    np.testing.assert_array_equal(again.inputs["pixel_values"], inputs["pixel_values"])
    assert again.inputs["labels"] == inputs["labels"]


def test_texts_that_cannot_be_written_are_reported():
    task, _ = _new()
    warnings = task.check({"train": _rows(), "test": _rows(["aé", "aaaaaaaabbb"])}, task.architecture)
    truncated, unknown = warnings
    assert "texts of more than 8 tokens are truncated: 50 % of test" in truncated
    assert unknown == "the tokenizer cannot write some characters of the texts (test): é"
    assert task.encode({"image": [_line("a")], "text": ["aaaaaaaabbb"]}).inputs["labels"] == [[5] * 7 + [2]]


def test_the_most_frequent_text_is_the_baseline():
    task, _ = _new()
    ids = task.baseline(np.array(["ab", "b", "ab"], dtype=object))["ids"]
    assert task.postprocess({"ids": ids[None]}, {}).tolist() == ["ab"]


def _refused(config, **fields):
    task = ImageToText(**fields)
    origin = resolve_checkpoint(task, _rows(), None, config)
    task.with_processor(origin.processor, origin.config).check({"train": _rows()}, origin.config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "llava"}, "a llava is built otherwise: take a vision-encoder-decoder"),
        ({"model_type": "pix2struct"}, "a pix2struct is built otherwise"),
        (_config(decoder_layers=2), "'vision-encoder-decoder' has no field 'decoder_layers'"),
        (
            _config() | {"decoder": TROCR | {"d_modle": 32}},
            r"model.config.decoder: 'trocr' has no field 'd_modle'; did you mean 'd_model'",
        ),
        (_config() | {"encoder": {"hidden_size": 32}}, "model.config.encoder.model_type: 'None' is unknown"),
        (_config() | {"encoder": ENCODER | {"num_channels": 1}}, "the model takes images of 1 channel"),
        (_config(), "task.max_target_length: 128 is more than the 16 tokens that the checkpoint takes"),
    ],
    ids=["llava", "pix2struct", "field", "part", "no-type", "grey", "positions"],
)
def test_models_that_cannot_read_are_refused_in_a_sentence(config, message):
    with pytest.raises(ModelError, match=message) as caught:
        _refused(config)
    assert "\n" not in str(caught.value)


def test_a_decoder_without_a_cache_is_not_exported():
    onnx, (config, other) = plugins.load("exporters", "onnx")(), (_new(it)[0].architecture for it in ("gpt2", "bert"))
    onnx.check("optimum", ImageToText.auto_model, config)
    with pytest.raises(ExportError, match="no onnx export of a vision-encoder-decoder with the decoder bert"):
        onnx.check("optimum", ImageToText.auto_model, other)


def test_lines_are_whole_words_in_ink_on_paper():
    article = "Ad sales boost profit\n\nQuarterly profits at the US media giant jumped 76% to £1bn, it said.\n"
    lines = list(rendered_lines._lines(article))
    assert lines == ["Ad sales boost profit", "Quarterly profits at", "the US media", "giant jumped 76% to", "said."]
    first, second = (rendered_lines._rendered("giant", "cmr10", np.random.default_rng(0)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (32, 256) and first.dtype == np.uint8 and 0.01 < np.mean(first < np.median(first) - 60) < 0.2
    fonts = [set(names) for names in rendered_lines._FONTS.values()]
    assert len(set.union(*fonts)) == sum(map(len, fonts))
