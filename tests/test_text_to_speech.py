"""Texts spoken: spectrograms and their distortion, sound, speakers, what is refused, and what a person hears."""

import json

import numpy as np
import pytest
import soundfile
import tiny

from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.errors import DataError, HFTransferError, RecipeError
from hftransfer.metrics import load_metric
from hftransfer.metrics._speech import SILENCE, Speech, cepstra, distortion, warping_path
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.runner.predict import with_recording
from hftransfer.tasks import _speech_synthesis as speech
from hftransfer.tasks import _vocoder, object_array

TASK = plugins.load("tasks", "text-to-speech")


def _noise(frames, seed=0):
    return np.random.default_rng(seed).normal(-1, 0.5, (frames, 20)).astype(np.float32)


# Scores


def test_cepstra_are_those_of_the_cosine_series():
    logs = _noise(3) * np.log(10)
    bins = np.cos(np.pi * np.outer(np.arange(20), np.arange(20) + 0.5) / 20)
    series = logs @ bins.T * 2 / 20
    np.testing.assert_allclose(cepstra(logs / np.log(10)), series[:, 1:14], atol=1e-5)
    # Of all terms, ln(S) is the sum.
    np.testing.assert_allclose(series @ bins - series[:, :1] / 2, logs, atol=1e-5)


def test_distortion_of_a_ripple_is_its_effective_height_in_decibels():
    silence, height = np.full((4, 20), -2.0), 0.1
    ripple = silence + height * np.cos(3 * np.pi * (np.arange(20) + 0.5) / 20)
    # 20 dB for each unit of log10, and the effective value of a cosine is its height by the square root of 2.
    assert distortion(ripple, silence) == pytest.approx(20 * height / np.sqrt(2), rel=1e-6)
    # Loudness does not count.
    assert distortion(silence + 0.7, silence) == pytest.approx(0, abs=1e-6)


def test_alignment_is_the_cheapest_path_and_forgives_another_pace():
    costs = np.random.default_rng(0).random((5, 7))
    rows, columns = warping_path(costs)
    assert (rows[0], columns[0], rows[-1], columns[-1]) == (0, 0, 4, 6)

    def cheapest(i, j):
        if min(i, j) < 0:
            return np.inf
        before = min(cheapest(i - 1, j), cheapest(i, j - 1), cheapest(i - 1, j - 1)) if i + j else 0
        return costs[i, j] + before

    assert costs[rows, columns].sum() == pytest.approx(cheapest(4, 6))
    recorded = _noise(6)
    assert distortion(np.repeat(recorded, 2, axis=0), recorded) == 0


def test_speech_that_does_not_end_is_not_nearer_to_the_recording():
    recorded, mean = _noise(30), np.zeros((1, 20), np.float32)
    short, long = (np.repeat(mean, count, axis=0) for count in (30, 300))
    assert distortion(long, recorded) == pytest.approx(distortion(short, recorded), rel=1e-6)
    metric = load_metric("mel_cepstral_distortion")
    rows = [object_array([Speech(it, "a", 0.016, None)]) for it in (long, recorded)]
    assert metric(*rows)["mel_cepstral_distortion.length_ratio"] == 10


def test_what_a_recognizer_understands_stands_beside_the_recordings_own(tmp_path):
    metric = load_metric("round_trip_wer", {"recognizer": "none"})
    said = object_array([Speech(_noise(2), "One, two three", 0.016, None, heard) for heard in ("one two", "")])
    recorded = object_array([Speech(_noise(2), "one two three", 0.016, None, "one two tree") for _ in range(2)])
    scores = metric(said, recorded)
    assert scores["round_trip_wer"] == pytest.approx(4 / 6) and scores["round_trip_wer.recorded"] == pytest.approx(
        1 / 3
    )
    with pytest.raises(ValueError, match="task.recognizer names the checkpoint that listens"):
        load_metric("round_trip_wer")(object_array([Speech(_noise(2), "a", 0.016, None)]), recorded[:1])


def test_a_recognizer_listens_to_the_sound(tmp_path):
    recognizer = _recognizer(tmp_path / "recognizer")
    heard = []

    def sound():
        heard.append(1)
        return np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32), 8000

    speeches = [object_array([Speech(_noise(2), "a b", 0.016, sound)]) for _ in range(2)]
    metric = load_metric("round_trip_wer", {"recognizer": str(recognizer)})
    values = [metric(*speeches) for _ in range(2)]
    assert values[0] == values[1] and len(heard) == 2
    assert speeches[0][0].transcript == speeches[1][0].transcript
    assert values[0]["round_trip_wer"] == values[0]["round_trip_wer.recorded"]


def _recognizer(folder):
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC, Wav2Vec2Processor

    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({it: i for i, it in enumerate(["<pad>", "<unk>", "|", "A", "B"])}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), bos_token=None, eos_token=None)
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer).save_pretrained(folder)
    config = tiny._wav2vec2()
    config.vocab_size = 5
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    return folder


# Sound


def test_griffin_lim_makes_sound_whose_spectrogram_is_that_one(tmp_path):
    from transformers import SpeechT5FeatureExtractor

    extractor = SpeechT5FeatureExtractor(num_mel_bins=40, mel_floor=1e-5)
    time = np.arange(16_000) / 16_000
    # A voice: the harmonics of a pitch that rises, loud and quiet in turn, over the noise of a room.
    tone = sum(np.sin(2 * np.pi * number * (120 + 30 * time) * time) / number for number in range(1, 40))
    tone = 0.1 * tone * np.sin(5 * time) ** 2 + 0.002 * np.random.default_rng(0).normal(size=len(time))
    soundfile.write(tmp_path / "tone.wav", tone, 16_000)
    recorded = speech.spectrogram(str(tmp_path / "tone.wav"), extractor)
    samples, rate = _vocoder.synthesize(recorded, "griffin_lim", extractor)
    assert rate == 16_000 and abs(len(samples) - len(tone)) < 256 and samples.dtype == np.float32
    soundfile.write(tmp_path / "made.wav", samples, rate)
    made = speech.spectrogram(str(tmp_path / "made.wav"), extractor)
    silence = np.full_like(recorded, SILENCE)
    assert distortion(made, recorded) < 0.3 * distortion(silence, recorded)
    # Two frames are shorter than the window.
    assert _vocoder.synthesize(recorded[:2], "griffin_lim", extractor)[0].shape == (1024,)


# Speakers


def test_a_speaker_is_a_name_a_vector_or_the_only_one():
    assert speech.speaker_names([10, 9, 10]) == ["9", "10"] and speech.speaker_names([[0.5, 1]]) == []
    np.testing.assert_array_equal(speech.speaker_vector("10", ["9", "10"], 4), [0, 1, 0, 0])
    np.testing.assert_array_equal(speech.speaker_vector(None, None, 4), [1, 0, 0, 0])
    np.testing.assert_array_equal(speech.speaker_vector([1, 2], [], 2), [1, 2])
    for cell, names, message in [
        ("ann", ["anna", "bob"], "the speaker 'ann' is in no training row; did you mean 'anna'"),
        ([1.0], [], "a vector of a speaker is 4 numbers for this model"),
        ("ann", [], "the speakers of the training rows are vectors"),
        ("e", list("abcde"), "there are 5 speakers, and the model tells 4 apart at most"),
    ]:
        with pytest.raises(DataError, match=message):
            speech.speaker_vector(cell, names, 4)
    assert TASK(speakers=["a", "b"]).parse("hello\tb") == {"text": "hello", "speaker": "b"}
    assert TASK(speakers=["a", "b"]).parse("hello")["speaker"] == "a"
    assert TASK(speakers=[]).parse("hello\t[1, 2]")["speaker"] == [1, 2]
    with pytest.raises(DataError, match="after a tab, write the vector of a speaker"):
        TASK(speakers=[]).parse("hello")


# Runs


def _text(tmp_path):
    baselines = "baselines: [mean_spectrogram, nearest_text]"
    return tiny.recipe(TASK(), tmp_path).replace("baselines: []", baselines)


def test_a_run_speaks_and_its_report_plays_what_it_said_beside_the_recording(tmp_path, capsys):
    result = run(parse_recipe(_text(tmp_path)), tmp_path / "run")
    scores = result.scores["test"]
    assert {"mean_spectrogram", "nearest_text", "pretrained", "tuned"} == scores.keys()
    # The nearest text is of the same one of two tones.
    assert scores["nearest_text"][result.headline].value < scores["mean_spectrogram"][result.headline].value
    report = (tmp_path / "run" / "report.html").read_text()
    assert report.count("synthesized:\n<audio") == report.count("recorded:\n<audio") == len(result.worst) > 0
    capsys.readouterr()
    spoken = tmp_path / "spoken"
    assert main(["predict", str(tmp_path / "run"), "good 1\tb", "bad", "--out", str(spoken)]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["audio"] for answer in answers] == [str(spoken / f"{number}.wav") for number in (1, 2)]
    written, rate = soundfile.read(answers[0]["audio"])
    assert rate == 16_000 and len(written) / rate == pytest.approx(answers[0]["seconds"], abs=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("baselines", "metrics: [round_trip_wer], baselines"), "task.recognizer names the checkpoint that listens"),
        (("task: {", "task: {vocoder: nowhere, "), "task.vocoder: 'nowhere' is no folder, no sample:NAME and no id"),
        (("strategy:", "export: {format: onnx}\nstrategy:"), "models of 'text-to-speech' generate frame by frame"),
        (("model: {", "model: {config: {model_type: vits}, "), "Transformers has no training of VITS"),
        (("model: {", "model: {config: {max_text_positions: 3}, "), "texts of more than the 3 tokens"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(change, message, tmp_path):
    text = _text(tmp_path)
    assert change[0] in text
    with pytest.raises(HFTransferError, match=message):
        check(parse_recipe(text.replace(*change, 1)))


def test_only_what_speaks_writes_recordings(tmp_path):
    with pytest.raises(RecipeError, match="--out: it is for models that speak, and this one answers label; leave it"):
        with_recording({"label": "x"}, tmp_path / "spoken" / "1.wav")
    assert not (tmp_path / "spoken").exists()
