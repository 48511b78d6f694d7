"""Recordings that are not what they say: cut short, NaN, channels that cancel; the extractors of new models."""

import io
import struct

import numpy as np
import pytest
import soundfile
from datasets import Dataset

from hftransfer.core import media, plugins
from hftransfer.core.errors import DataError, ModelError
from hftransfer.core.features import Audio
from hftransfer.core.results import Example
from hftransfer.core.scores import Score
from hftransfer.tasks import _audio, _ctc

CUT = [("wav", "PCM_16"), ("wav", "FLOAT"), ("aiff", "PCM_16"), ("au", "PCM_16"), ("w64", "PCM_16"), ("rf64", "PCM_16"),
       ("nist", "PCM_16"), ("mp3", "MPEG_LAYER_III"), ("flac", "PCM_16"), ("ogg", "VORBIS")]  # fmt: skip


@pytest.mark.parametrize(("kind", "subtype"), CUT)
def test_a_recording_that_is_cut_short_is_refused(kind, subtype):
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(16_000) * 0.1), 16_000, format=kind, subtype=subtype)
    content = file.getvalue()
    assert len(media.open_audio(content)[0]) == 16_000
    with pytest.raises(DataError, match="is cut short: its head says|is not a readable recording"):
        media.open_audio(content[: len(content) // 2])


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFF024])
def test_a_recording_written_into_a_pipe_is_whole(length):
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(16_000) * 0.1), 16_000, format="wav")
    content = file.getvalue().replace(struct.pack("<I", 32_000), struct.pack("<I", length), 1)
    assert len(media.open_audio(content)[0]) == 16_000


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        ([[0.1], [np.nan], [0.1]], "has 1 samples that are no numbers"),
        ([[0.1, 0.1], [0.1, -np.inf]], "has 1 samples that are no numbers"),
        ([[0.5, -0.5], [-0.3, 0.3]], "its 2 channels cancel when they are averaged"),
    ],
)
def test_samples_that_are_no_numbers_and_channels_that_cancel_are_refused(samples, sentence, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array(samples), 16_000, "FLOAT")
    with pytest.raises(DataError, match=rf"a\.wav:? {sentence}"):
        Audio().read("audio", str(tmp_path / "a.wav"))


@pytest.mark.parametrize(
    ("kind", "fields", "extractor"),
    [
        ("wav2vec2-conformer", {}, "Wav2Vec2FeatureExtractor"),
        ("wav2vec2-bert", {"feature_projection_input_dim": 80}, "SeamlessM4TFeatureExtractor"),
        ("whisper", {"num_mel_bins": 40, "max_source_positions": 200}, "WhisperFeatureExtractor"),
        ("speech_to_text", {}, "Speech2TextFeatureExtractor"),
    ],
)
def test_a_new_model_has_the_extractor_of_its_kind(kind, fields, extractor):
    from transformers import AutoConfig

    made = _audio.new_extractor(AutoConfig.for_model(kind, **fields))
    assert type(made).__name__ == extractor
    if fields:
        assert made.feature_size == (40 if fields else 80)
    task, rows = plugins.load("tasks", "automatic-speech-recognition")(), Dataset.from_dict({"text": ["a"]})
    if kind == "speech_to_text":
        with pytest.raises(ModelError, match="needs 'model.processor'"):
            task.new_processor(AutoConfig.for_model(kind), rows)


def test_turkish_case_is_folded_by_the_language_or_told():
    from transformers import Wav2Vec2FeatureExtractor

    rows = Dataset.from_dict({"text": ["KAPI AÇIK", "İyi akşamlar", "ılık su"]})
    new, told = [_ctc.new_processor(Wav2Vec2FeatureExtractor(), rows, it).tokenizer for it in (None, "Turkish")]
    assert _ctc.normalize(told, "KAPI AÇIK İYİ", "tr") == "kapı açık iyi"
    assert _ctc.normalize(new, "KAPI AÇIK") == "kapi açik"
    (warning,) = _ctc._dotless_i(rows, new, None)
    assert "2 of 3 are folded as in English" in warning and not _ctc._dotless_i(rows, told, "turkish")
    assert not _ctc._dotless_i(Dataset.from_dict({"text": ["I am here"]}), new, None)
    assert not _ctc._dotless_i(rows.select([2]), new, None)


def test_a_record_may_hold_an_empty_transcript_and_a_score_without_value():
    assert Example(row=0, reference="a", prediction="", error=1, rendered={}).prediction == ""
    assert np.isnan(Score(value=float("nan"), low=float("nan"), high=1, count=2).value)
