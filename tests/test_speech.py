"""Recordings in every common format, their transcripts, and what is refused of both, on small real files."""

import numpy as np
import pytest
import soundfile
import tiny
from datasets import Dataset

from hftransfer.core import media, plugins
from hftransfer.core.errors import DataError, ModelError
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.tasks import _audio, _whisper

FORMATS = [
    ("wav", "PCM_U8", 1, 0.02), ("wav", "PCM_16", 2, 1e-3), ("wav", "PCM_24", 1, 1e-3), ("wav", "FLOAT", 2, 1e-3),
    ("flac", "PCM_16", 1, 1e-3), ("ogg", "VORBIS", 2, 0.1), ("mp3", "MPEG_LAYER_III", 1, 0.1),
]  # fmt: skip


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize(("suffix", "subtype", "channels", "near"), FORMATS)
def test_every_format_is_the_same_tone_at_the_rate_of_the_model(suffix, subtype, channels, near, rate, tmp_path):
    time = np.arange(rate) / rate
    tone = 0.5 * np.sin(2 * np.pi * 440 * time)
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, np.stack([tone] * channels, axis=1), rate, subtype=subtype)
    samples, stored_rate = media.open_audio(str(path))
    assert stored_rate == rate and samples.ndim == 1 and samples.dtype == np.float32
    assert media.seconds({"path": str(path), "bytes": None}) == pytest.approx(1, abs=0.1)
    resampled = media.resample(samples, rate, 16000)
    assert len(resampled) == pytest.approx(16000, abs=1600)
    middle = resampled[4000:12000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * 16000 / len(middle) == pytest.approx(440, abs=4)
    assert np.abs(middle).max() == pytest.approx(0.5, abs=near + 0.01)


def _speech(folder, rows):
    """A JSON source of recordings of given seconds and texts."""
    folder.mkdir(exist_ok=True)
    lines = []
    for number, (seconds, text) in enumerate(rows):
        path = folder / f"{number}.wav"
        tone = 0.3 * np.sin(np.arange(round(16000 * seconds)) * (0.1 + 0.001 * number))
        soundfile.write(path, tone, 16000)
        lines.append({"audio": str(path), "text": text})
    file = folder / "rows.json"
    Dataset.from_list(lines).to_json(file)
    return "{name: json, train: " + str(file) + "}"


def _recipe(tmp_path, rows):
    task = plugins.load("tasks", "automatic-speech-recognition")()
    source = _speech(tmp_path / "rows", rows)
    return parse_recipe(
        f"task: {task.name}\nmodel: {{id: {tiny.checkpoint(task, tmp_path / 'tiny')}}}\n"
        f"data:\n  source: {source}\n  splits: {{validation: 4, test: 4}}\ntraining: {{max_steps: 1, use_cpu: true}}\n"
    )


ROWS = [(0.5 + 0.01 * i, f"{['yes', 'no'][i % 2]} please") for i in range(24)]


def test_the_vocabulary_is_that_of_the_training_text_with_blank_and_delimiter(tmp_path):
    plan = check(_recipe(tmp_path, ROWS))
    tokenizer = plan.task.processor.tokenizer
    assert set(tokenizer.get_vocab()) == {"<pad>", "<unk>", "|", *"yesnoplease"}
    assert tokenizer.pad_token_id == 0 and plan.origin.config.pad_token_id == 0
    assert plan.origin.config.vocab_size == len(tokenizer)
    encoded = plan.task.encode({"audio": plan.rows.splits["train"]["audio"][:1], "text": ["no yes"]})
    assert tokenizer.convert_ids_to_tokens(encoded.inputs["labels"][0].tolist()) == list("no|yes")
    assert encoded.length == [len(encoded.inputs["input_values"][0])] and not encoded.side


def test_a_text_longer_than_its_frames_is_named(tmp_path):
    # 0.1 s are 4 or 5 frames of the tiny model.
    rows = [(0.1, "far too long for so short a sound")] * 1 + ROWS
    with pytest.raises(DataError, match="1 of .* rows of 'train' have more characters than frames"):
        for seed in range(8):
            recipe = _recipe(tmp_path, rows)
            check(recipe.model_copy(update={"seed": seed}))


def test_characters_that_training_lacks_are_counted_and_named(tmp_path):
    plan = check(_recipe(tmp_path, ROWS))
    known = plan.rows.splits["train"]
    lacking = known.map(lambda row: {"text": row["text"] + " žž"}).select(range(5))
    (warning,) = plan.task.check({"train": known, "test": lacking}, plan.origin.config)
    assert "'ž' (10)" in warning


def test_a_text_of_other_characters_is_named(tmp_path):
    recipe = _recipe(tmp_path, ROWS)
    plan = check(recipe)
    splits = {
        "train": plan.rows.splits["train"].map(
            lambda row, i: {"text": "да" if i == 2 else row["text"]}, with_indices=True
        )
    }
    with pytest.raises(DataError, match="1 of 16 rows of 'train' have no character that .* leave them out: 2"):
        plan.task.check(splits | {"test": plan.rows.splits["test"]}, plan.origin.config)


def test_frames_of_no_character_are_blanks(tmp_path):
    task = check(_recipe(tmp_path, ROWS)).task
    vocabulary = task.processor.tokenizer.get_vocab()
    characters = ["e", "<unk>", "s", "<pad>", "s", "s", "|", "<unk>", "|", "n"]
    ids = np.array([[vocabulary[c] for c in characters] + [-1]])
    assert task.postprocess({"ids": ids}, {}).tolist() == ["ess n"]


@pytest.mark.parametrize(
    ("prediction", "reference", "rate"),
    [("yes please", "yes please", 0), ("yes", "yes please", 0.5), ("a b c", "d", 3), ("", "", 0), ("yes", "", 1)],
)
def test_the_error_of_a_transcript_is_its_word_error_rate(prediction, reference, rate):
    assert plugins.load("tasks", "automatic-speech-recognition")().error(prediction, reference) == rate


def test_recordings_shorter_than_a_mask_are_padded_for_training():
    import torch
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

    config = tiny._wav2vec2()
    config.mask_time_prob = 0.5
    model = Wav2Vec2ForSequenceClassification(config).train()
    encoded = [{"input_values": np.random.default_rng(i).normal(size=1600)} for i in range(2)]
    batch = _audio.pad_batch(Wav2Vec2FeatureExtractor(), config, encoded)
    assert batch["attention_mask"].sum(dim=1).tolist() == [1600, 1600]
    assert torch.isfinite(model(**batch).logits).all()


def test_spectrograms_of_any_length_need_a_mask_that_the_model_reads():
    from transformers import SeamlessM4TFeatureExtractor, WhisperFeatureExtractor

    _audio.check_extractor(WhisperFeatureExtractor(), pads=False)
    _audio.check_extractor(SeamlessM4TFeatureExtractor())
    with pytest.raises(ModelError, match="SeamlessM4TFeatureExtractor makes spectrograms of any length"):
        _audio.check_extractor(SeamlessM4TFeatureExtractor(), pads=False)


def test_a_spectrogram_in_a_batch_is_answered_as_alone():
    """w2v-BERT: padded frames are masked, and the frame that the extractor adds to an odd number is left out."""
    import torch
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertForCTC

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = Wav2Vec2BertConfig(**sizes, output_hidden_size=16, vocab_size=8, apply_spec_augment=False)
    model, extractor = Wav2Vec2BertForCTC(config).eval(), SeamlessM4TFeatureExtractor()
    waves = [np.random.default_rng(i).normal(size=size).astype(np.float32) for i, size in enumerate((16160, 9000))]
    arrays = [_audio.features(extractor, samples) for samples in waves]
    assert [array.shape for array in arrays] == [(49, 160), (27, 160)] and _audio.input_rate(extractor) == 49.5
    batch = _audio.pad_batch(extractor, config, [{"input_features": array} for array in arrays])
    assert batch["input_features"].shape == (2, 49, 160) and batch["attention_mask"].sum(dim=1).tolist() == [49, 27]
    with torch.inference_mode():
        alone = _audio.unpadded_logits(model, batch, "input_features")
        together = model(**batch).logits.numpy()
    for row, logits in enumerate(alone):
        np.testing.assert_allclose(together[row, : len(logits)], logits, atol=1e-5)


def test_an_empty_text_and_a_silent_recording_are_named(tmp_path):
    with pytest.raises(DataError, match="the text is empty"):
        check(_recipe(tmp_path, [*ROWS, (0.5, " ")]))
    row = {"audio": (np.zeros(8000, np.float32), 16000)}
    assert "silence" in _audio.fault(row, silence=False) and _audio.fault(row) is None


def test_whisper_is_made_from_a_config_with_a_tokenizer_of_the_training_text(tmp_path):
    config = """{model_type: whisper, vocab_size: 280, d_model: 16, encoder_layers: 1, decoder_layers: 1,
      encoder_attention_heads: 2, decoder_attention_heads: 2, encoder_ffn_dim: 16, decoder_ffn_dim: 16,
      max_source_positions: 50, max_target_positions: 32}"""
    recipe = parse_recipe(
        f"task: {{name: automatic-speech-recognition, max_target_length: 8}}\nmodel:\n  config: {config}\n"
        f"data:\n  source: {_speech(tmp_path / 'rows', ROWS)}\n  splits: {{validation: 4, test: 4}}\n"
        "strategy: scratch\ntraining: {max_steps: 1, use_cpu: true}\nevaluation: {resamples: 10, batch_size: 2}\n"
        f"{tiny.EXPORT}\n"
    )
    result = run(recipe, tmp_path / "run")
    for variant in tiny.EXPORTS[:1]:
        assert result.exports[variant].agreement == 1 and result.exports[variant].max_abs_diff < 1e-4
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    processor = WhisperProcessor.from_pretrained(tmp_path / "run" / "model")
    model = WhisperForConditionalGeneration.from_pretrained(tmp_path / "run" / "model")
    assert model.config.vocab_size == len(processor.tokenizer)
    ids = processor.tokenizer("yes please").input_ids
    assert processor.tokenizer.decode(ids, skip_special_tokens=True) == "yes please"
    assert ids[0] == model.config.decoder_start_token_id and ids[-1] == model.config.eos_token_id


@pytest.mark.parametrize("language", ["spanish", None])
def test_whisper_ships_with_its_language_and_without_that_of_an_older_config(language, tmp_path):
    from tokenizers import ByteLevelBPETokenizer
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    special = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|es|>", "<|transcribe|>", "<|notimestamps|>"]
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(["uno"], 270, special_tokens=special, show_progress=False)
    tokenizer = WhisperTokenizer(*bpe.save_model(str(tmp_path)), additional_special_tokens=special[1:])
    end, start, english, spanish, transcribe, plain = tokenizer.convert_tokens_to_ids(special)
    sizes = {"d_model": 4, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 4, "decoder_ffn_dim": 4}
    sizes |= {"encoder_attention_heads": 1, "decoder_attention_heads": 1, "vocab_size": len(tokenizer)}
    ends = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    model = WhisperForConditionalGeneration(WhisperConfig(**sizes, **ends))
    # As the first checkpoints had it: no tables, and English.
    forced = [[1, english], [2, transcribe], [3, plain]]
    model.generation_config = GenerationConfig(**ends, forced_decoder_ids=forced)
    model.config.forced_decoder_ids = forced
    task = plugins.load("tasks", "automatic-speech-recognition")(language=language)
    processor = task._with_language(WhisperProcessor(WhisperFeatureExtractor(), tokenizer), model.config)
    task.with_processor(processor).finalize(model)
    model.save_pretrained(tmp_path / "model")
    ships = GenerationConfig.from_pretrained(tmp_path / "model")
    assert (ships.language, ships.task) == ("es" if language else None, "transcribe")
    assert ships.forced_decoder_ids is None and getattr(model.config, "forced_decoder_ids", None) is None
    assert ships.lang_to_id == {"<|en|>": english, "<|es|>": spanish} and ships.no_timestamps_token_id == plain
    assert ships.is_multilingual and ships.task_to_id == {"transcribe": transcribe}
    with pytest.raises(ModelError, match="of English alone"):
        task.model_copy(update={"language": "en"})._with_language(processor, WhisperConfig(vocab_size=51_864))


def test_a_random_crop_is_a_part_of_a_longer_recording():
    row = {"input_values": np.arange(1000, dtype=np.float32)}
    rngs = [np.random.default_rng(seed) for seed in range(5)]
    parts = [_audio.random_crop(row, "input_values", 0.02, 16000, rng)["input_values"] for rng in rngs]
    assert {len(part) for part in parts} == {320} and len({part[0] for part in parts}) > 1
    assert _audio.random_crop(row, "input_values", 1.0, 16000, np.random.default_rng(0)) is row


def test_a_recording_longer_than_the_model_reads_gives_a_warning(tmp_path):
    from transformers import ASTFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

    _speech(tmp_path / "rows", [(1.5, "long"), (0.5, "short"), (1.0, "just")])
    rows = Dataset.from_dict({"audio": [str(tmp_path / "rows" / f"{i}.wav") for i in range(3)]})
    for extractor in (WhisperFeatureExtractor(chunk_length=1), ASTFeatureExtractor(max_length=100)):
        assert _audio.truncated({"test": rows}, extractor) == [
            "1 of 3 recordings of 'test' are truncated to the 1 s that the model reads"
        ]
    assert _audio.truncated({"test": rows}, Wav2Vec2FeatureExtractor()) == []


def test_a_text_longer_than_whisper_generates_gives_a_warning_or_is_refused():
    class Tokenizer:
        unk_token_id = -1

        def __call__(self, text):
            return type("Encoding", (), {"input_ids": text.split()})

        def convert_tokens_to_ids(self, token):
            return token

    texts = [text + " word" * {3: 40, 5: 8}.get(i, 0) for i, (_, text) in enumerate(ROWS)]
    splits = {"train": {"text": texts[:3]}, "test": {"text": texts[4:]}}
    (warning,) = _whisper.check_lengths(splits, Tokenizer(), 20, 2)
    assert warning.startswith("1 of 20 texts of 'test' have more than the 2 tokens")
    message = "1 of .* rows of 'train' have a text of more than the 20 tokens .* leave them out: 3"
    with pytest.raises(DataError, match=message):
        _whisper.check_lengths({"train": {"text": texts}}, Tokenizer(), 20, 2)


def test_texts_without_spaces_between_words_give_a_warning(tmp_path):
    rows = [(seconds, "北京是中国的首都"[i % 3 :]) for i, (seconds, _) in enumerate(ROWS)]
    assert any("evaluation.metrics: [cer]" in line for line in check(_recipe(tmp_path, rows)).warnings)
    (tmp_path / "spaced").mkdir()
    assert not check(_recipe(tmp_path / "spaced", ROWS)).warnings
