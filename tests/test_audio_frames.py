"""Segments of recordings: read, turned into frames, learnt without padding, decided, scored, written."""

import json
import math
import re

import numpy as np
import pytest
import soundfile
import tiny
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForAudioClassification
from transformers.utils import ModelOutput

from hftransfer.core import plugins
from hftransfer.core.errors import DataError, HFTransferError, RecipeError
from hftransfer.data.encode import encode_one
from hftransfer.metrics import load_metric
from hftransfer.metrics._frames import Activity, Segment
from hftransfer.metrics.der import error_seconds
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.runner.predict import predictions
from hftransfer.tasks import IGNORED, _frame_decisions, _frames, _segments
from hftransfer.tasks._frame_decisions import Decisions

TASK = plugins.load("tasks", "audio-frame-classification")
RATE = 16_000


def _segment(start, end, label="speech"):
    return {"start": start, "end": end, "label": label}


def _recording(path, seconds=1.0, active=()):
    """Quiet noise, and a tone in the active spans."""
    time = np.arange(round(seconds * RATE)) / RATE
    sound = 0.01 * np.random.default_rng(0).normal(size=len(time))
    for start, end in active:
        sound += 0.4 * np.sin(2 * np.pi * 440 * time) * ((time >= start) & (time < end))
    soundfile.write(path, sound, RATE)
    return str(path)


def _whisper(folder, window=2):
    sizes = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    config = WhisperConfig(**sizes, num_mel_bins=20, max_source_positions=50 * window, vocab_size=60, decoder_layers=1)
    torch.manual_seed(0)
    WhisperForAudioClassification(config).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=20, chunk_length=window).save_pretrained(folder)
    return folder


def _task(config, extractor, labels=("speech",), **fields):
    return TASK(**fields).with_labels(labels).with_processor(extractor, config)


def _whisper_task(window=2, **fields):
    config = WhisperConfig(max_source_positions=50 * window)
    return _task(config, WhisperFeatureExtractor(feature_size=20, chunk_length=window), **fields)


def _wav2vec2_task(**fields):
    from transformers import Wav2Vec2FeatureExtractor

    return _task(tiny._wav2vec2(), Wav2Vec2FeatureExtractor(), **fields)


# Frames


def test_labels_become_frames_at_the_stride_of_the_model(tmp_path):
    path = _recording(tmp_path / "a.wav", 1.0)
    for task in (_whisper_task(), _wav2vec2_task()):
        assert task.step == 0.02
        (example,) = encode_one(task, {"audio": path, "segments": [_segment(0.1, 0.5)]})
        labels = np.asarray(example["labels"])
        assert len(labels) == example["side_frames"] == 50
        np.testing.assert_array_equal(np.flatnonzero(labels), np.arange(5, 25))


def test_a_frame_is_active_where_its_middle_is():
    active = _segments.to_frames([Segment(0.031, 0.07, 0), Segment(0.0, 0.04, 1)], 5, 0.02, 2)
    np.testing.assert_array_equal(active.T, [[0, 0, 1, 0, 0], [1, 1, 0, 0, 0]])
    assert _segments.from_frames(active, 0.02) == (Segment(0.0, 0.04, 1), Segment(0.04, 0.06, 0))


def test_several_classes_may_be_active_in_a_frame(tmp_path):
    path = _recording(tmp_path / "a.wav", 1.0)
    task = _wav2vec2_task(labels=("ann", "bob"))
    cell = [_segment(0.0, 0.6, "ann"), _segment(0.4, 1.0, "bob"), _segment(0.5, 0.7, "ann")]
    (reference,) = task.references({"audio": [path], "segments": [cell]})
    assert reference.segments == (Segment(0.0, 0.7, 0), Segment(0.4, 1.0, 1))
    np.testing.assert_array_equal(reference.active.sum(axis=0), [35, 30])
    assert reference.active.all(axis=1).sum() == 15


@pytest.mark.parametrize("make", [_whisper_task, _wav2vec2_task])
def test_a_long_recording_is_read_in_windows_without_a_gap(make, tmp_path):
    task = make(window_seconds=1)
    path = _recording(tmp_path / "a.wav", 2.5)
    examples = encode_one(task, {"audio": path, "segments": [_segment(0.9, 1.7)]})
    assert [example["side_frames"] for example in examples] == [42, 41, 42]
    labels = np.concatenate([example["labels"] for example in examples])
    np.testing.assert_array_equal(np.flatnonzero(labels), np.arange(45, 85))
    side = {name: [example[f"side_{name}"] for example in examples] for name in ("row", "frames")}
    logits = np.arange(3 * 50, dtype=np.float32).reshape(3, 50, 1)
    (frames,) = _frames.joined(logits, side)
    np.testing.assert_array_equal(frames[:, 0], [*range(42), *range(50, 91), *range(100, 142)])


def test_the_last_frame_stands_for_the_end_that_convolutions_leave_out():
    np.testing.assert_array_equal(_frames.fit_length(np.array([[1.0], [2.0]]), 4)[:, 0], [1, 2, 2, 2])
    np.testing.assert_array_equal(_frames.fit_length(np.array([[1.0], [2.0]]), 1)[:, 0], [1])


def test_the_loss_ignores_padding():
    logits = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0))
    labels = _frames.label_tensor([np.array([1, 0] * 5, "uint8"), np.array([0, 1] * 3, "uint8")], 2)
    assert (labels[1, 3:] == IGNORED).all()
    found = _frames.loss(ModelOutput(logits=logits), labels)
    kept = torch.cat([logits[0], logits[1, :3]]), torch.cat([labels[0], labels[1, :3]])
    assert found.item() == pytest.approx(torch.nn.functional.binary_cross_entropy_with_logits(*kept).item(), rel=1e-5)
    changed = logits.clone()
    changed[1, 3:] = 50
    assert _frames.loss(ModelOutput(logits=changed), labels) == found
    # Convolutions may make a frame less than there are labels.
    assert torch.isfinite(_frames.loss(ModelOutput(logits=logits[:, :4]), labels))


# Decisions


def test_the_median_filter_takes_the_majority():
    frames = np.array([0, 1, 0, 1, 1, 0, 1, 1, 0, 0], bool)[:, None]
    np.testing.assert_array_equal(_frame_decisions.median_filtered(frames, 3)[:, 0], [0, 0, 1, 1, 1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(_frame_decisions.median_filtered(frames, 1), frames)


def test_the_median_filter_is_that_of_scipy():
    from scipy.ndimage import median_filter

    frames = np.random.default_rng(0).random(300) > 0.5
    for width in (3, 5, 11):
        inner = slice(width, -width)
        expected = median_filter(frames.astype(int), width)[inner]
        np.testing.assert_array_equal(_frame_decisions.median_filtered(frames[:, None], width)[inner, 0], expected)


def test_short_gaps_are_filled_and_short_segments_removed():
    frames = np.array([1, 1, 0, 1, 0, 0, 0, 1, 0, 0], bool)[:, None].astype(float)
    smoothed = Decisions((0.5,), gap=0.04, shortest=0.04).decide(frames, 0.02)
    np.testing.assert_array_equal(smoothed[:, 0], [1, 1, 1, 1, 0, 0, 0, 0, 0, 0])


def test_what_is_fitted_to_validation_rows_raises_f1_and_what_is_given_stays():
    rng = np.random.default_rng(0)
    actual = np.repeat(rng.random((60, 1)) > 0.6, 20, axis=0)
    scores = np.where(actual, 0.3, 0.1) + rng.normal(0, 0.08, actual.shape)
    given = {"median": None, "gap": None, "shortest": None}
    fitted = _frame_decisions.fit([scores], [actual], 0.02, None, given)
    assert 0.1 < fitted["frame_thresholds"][0] < 0.3 and fitted["median_seconds"] > 0
    before, after = (
        _frame_decisions.macro_f1(decisions.decide(scores, 0.02), actual)
        for decisions in (Decisions((0.2,)), Decisions((fitted["frame_thresholds"][0],), fitted["median_seconds"]))
    )
    assert after > before + 0.03
    fitted = _frame_decisions.fit([scores], [actual], 0.02, [0.4], {"median": 0.0, "gap": 0.0, "shortest": 0.2})
    assert fitted == {"frame_thresholds": [0.4], "median_seconds": 0.0, "gap_seconds": 0.0, "shortest_seconds": 0.2}


def test_the_threshold_is_that_of_the_best_f1_of_all():
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(1)
    actual = rng.random(200) > 0.7
    scores = (actual + rng.normal(0, 0.7, 200)).round(2)
    threshold = _frame_decisions.best_threshold(scores, actual)
    best = max(f1_score(actual, scores > it) for it in np.unique(scores) - 0.001)
    assert f1_score(actual, scores > threshold) == pytest.approx(best)
    assert _frame_decisions.best_threshold(scores, np.zeros(200, bool)) == 0.5


def test_a_class_that_no_validation_row_has_is_reported():
    active = np.array([[True, False], [False, False]])
    references = {"validation": _rows([Activity(active.astype(np.float32), active, ())])}
    (warning,) = TASK().with_labels(("ann", "bob")).fit_warnings({}, {}, references)
    assert "threshold stays 0.5: bob" in warning


# Metrics


def _activity(segments, step=0.01, seconds=10.0, classes=2):
    active = _segments.to_frames(segments, round(seconds / step), step, classes)
    return Activity(active.astype(np.float32), active, tuple(segments))


def _random_segments(rng):
    starts = np.sort(rng.choice(900, (2, 4), replace=False), axis=1) / 100
    return [Segment(float(s), float(s + rng.integers(5, 90) / 100), label) for label in (0, 1) for s in starts[label]]


def _der_by_frames(predicted, actual, collar, step=0.001):
    """Diarization error rate by counting milliseconds."""
    times = (np.arange(round(12 / step)) + 0.5) * step
    counts = np.zeros(3)
    total = 0
    bounds = [t for s in actual for t in (s.start, s.end)]
    for time in times:
        if collar and any(abs(time - bound) < collar for bound in bounds):
            continue
        there, found = ({s.label for s in row if s.start <= time < s.end} for row in (actual, predicted))
        total += len(there)
        counts += [
            max(0, len(there) - len(found)),
            max(0, len(found) - len(there)),
            min(len(there), len(found)) - len(there & found),
        ]
    return counts * step, total * step


@pytest.mark.parametrize("collar", [0.0, 0.1])
def test_the_diarization_error_rate_is_that_of_a_count_of_milliseconds(collar):
    rng = np.random.default_rng(3)
    predicted, actual = (_segments.numbered([it._asdict() | {"label": str(it.label)} for it in _random_segments(rng)],
                                            ["0", "1"]) for _ in range(2))  # fmt: skip
    counts, total = _der_by_frames(predicted, actual, collar)
    found = error_seconds(predicted, actual, collar)
    np.testing.assert_allclose(found, [*counts, total], atol=0.02)
    rows = [np.empty(1, object), np.empty(1, object)]
    rows[0][0], rows[1][0] = _activity(predicted), _activity(actual)
    scores = load_metric("der", {"collar": collar})(*rows)
    assert scores["der"] == pytest.approx(counts.sum() / total, rel=0.02)
    assert scores["der"] == pytest.approx(sum(scores[f"der.{it}"] for it in ("missed", "false_alarm", "confusion")))


def test_the_error_rate_of_known_cases():
    actual = (Segment(1.0, 3.0, 0), Segment(2.0, 4.0, 1))
    assert error_seconds(actual, actual, 0.25)[:3] == (0, 0, 0)
    assert error_seconds((), actual, 0) == (4.0, 0, 0, 4.0)
    # From 1 to 2 a wrong name, from 2 to 3 one of two.
    assert error_seconds((Segment(1.0, 3.0, 1),), actual, 0) == (2.0, 0, 1.0, 4.0)
    # Boundaries that are a quarter second off cost nothing, within the collar.
    assert error_seconds((Segment(0.8, 3.2, 0), Segment(1.8, 4.2, 1)), actual, 0.25)[:3] == pytest.approx((0, 0, 0))
    assert math.isnan(load_metric("der")(*[_rows([_activity([])])] * 2)["der"])


def _rows(values):
    rows = np.empty(len(values), object)
    rows[:] = values
    return rows


def test_frame_metrics_are_those_of_scikit_learn_over_all_frames():
    from sklearn.metrics import f1_score, roc_auc_score

    rng = np.random.default_rng(0)
    lengths = [50, 80, 30]
    actual = [rng.random((n, 2)) > 0.5 for n in lengths]
    scores = [(0.4 * truth + 0.6 * rng.random(truth.shape)).astype(np.float32) for truth in actual]
    predicted = _rows([Activity(it, it > 0.5, ()) for it in scores])
    references = _rows([Activity(it.astype(np.float32), it, ()) for it in actual])
    every = [np.concatenate(it) for it in (actual, scores)]
    f1 = load_metric("frame_f1", {"labels": ("ann", "bob")})(predicted, references)
    assert f1["frame_f1"] == pytest.approx(f1_score(every[0], every[1] > 0.5, average="macro"))
    assert f1["frame_f1.bob"] == pytest.approx(f1_score(every[0][:, 1], every[1][:, 1] > 0.5))
    auroc = load_metric("frame_auroc")
    assert auroc(predicted, references)["frame_auroc"] == pytest.approx(roc_auc_score(*every, average="macro"))
    counts = np.array([[1.0, 1, 1], [2, 0, 1]])
    twice = [np.concatenate([it[0], it[0], it[2]]) for it in (actual, scores)]
    expected = [roc_auc_score(*pair, average="macro") for pair in (every, twice)]
    np.testing.assert_allclose(auroc.of_counts(predicted, references)(counts)["frame_auroc"], expected)


# Files


def _folder(tmp_path, names=("a", "b", "c")):
    for name in names:
        _recording(tmp_path / f"{name}.wav")
    return tmp_path


def _loaded(path):
    source = plugins.load("sources", "segments")(path=str(path))
    rows = source.load()["train"]
    names = [re.split(r"[/.]", cell["path"])[-2] for cell in rows["audio"]]
    return dict(zip(names, rows["segments"], strict=True)), source.warnings


def test_rttm_audacity_and_csv_are_read_beside_the_recordings(tmp_path):
    _folder(tmp_path)
    (tmp_path / "a.rttm").write_text(
        ";; made by hand\nSPKR-INFO a 1 <NA> <NA> <NA> unknown ann <NA> <NA>\n"
        "SPEAKER a 1 0.50 0.25 <NA> <NA> bob <NA> <NA>\nSPEAKER a 1 0.10 0.20 <NA> <NA> ann <NA> <NA>\n"
    )
    (tmp_path / "b.txt").write_text("0,2\t0,4\tann\n\\\t100\t2000\n0.5\t0.6\t\n")
    (tmp_path / "c.csv").write_text("label,start,end\nbob,0.1,0.3\n")
    (tmp_path / "README.txt").write_text("about")
    found, warnings = _loaded(tmp_path)
    assert found["a"] == [_segment(pytest.approx(0.1), pytest.approx(0.3), "ann"), _segment(0.5, 0.75, "bob")]
    assert found["b"] == [_segment(0.2, 0.4, "ann"), _segment(0.5, 0.6)]
    assert found["c"] == [_segment(0.1, 0.3, "bob")] and not warnings


def test_one_file_may_describe_many_recordings(tmp_path):
    _folder(tmp_path)
    (tmp_path / "all.csv").write_text("file_name;start;end;label\na.wav;0.1;0.2;x\nb;0;1;y\n")
    found, warnings = _loaded(tmp_path)
    assert found == {"a": [_segment(0.1, 0.2, "x")], "b": [_segment(0, 1, "y")], "c": []}
    assert "1 of 3 recordings have no segments" in warnings[0]


def test_rttm_that_predict_writes_is_read_again(tmp_path):
    text = _segments.rttm([Segment(0.1, 0.36, 1), Segment(0.5, 0.75, 0)], ("ann", "bob b"), "a")
    assert text.splitlines()[0] == "SPEAKER a 1 0.100 0.260 <NA> <NA> bob_b <NA> <NA>"
    _folder(tmp_path, "a")
    (tmp_path / "a.rttm").write_text(text)
    found, _ = _loaded(tmp_path)
    assert [(it["start"], round(it["end"], 3), it["label"]) for it in found["a"]] == [
        (0.1, 0.36, "bob_b"),
        (0.5, 0.75, "ann"),
    ]


BAD_FILES = [
    ({"a.rttm": "SPEAKER a 1 0.5\n"}, r"a\.rttm: line 1 has 4 fields, and SPEAKER lines of RTTM have 10"),
    ({"a.rttm": "SPEAKER a 1 x 0.1 <NA> <NA> ann <NA> <NA>\n"}, "line 1 has 'x' for a number of seconds"),
    ({"a.rttm": "SPEAKER aa 1 0 0.1 <NA> <NA> ann <NA> <NA>\n"}, "there is no recording 'aa' in .*did you mean 'a'"),
    ({"a.txt": "0.5 0.7 ann\n"}, r"a\.txt: line 1 is not start, end and label with tabs between"),
    ({"a.csv": "begin,end\n0,1\n"}, r"a\.csv: its header has no column 'start'"),
    ({"a.csv": "start,end\n0.7,0.2\n"}, "line 2 has a segment from 0.7 to 0.2 s"),
    ({"a.csv": "start,end\n0,1\n", "a.txt": "0\t1\tx\n"}, "both describe '.*a.wav'; keep one of them"),
    ({}, "1 of 1 recordings have no file of segments: '.*a.wav' needs a.rttm, .txt"),
]


@pytest.mark.parametrize(("files", "sentence"), BAD_FILES, ids=range(len(BAD_FILES)))
def test_a_bad_file_of_segments_is_a_sentence_with_its_place(files, sentence, tmp_path):
    _folder(tmp_path, "a")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=sentence) as raised:
        _loaded(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ([{"start": 0.1}], "is no list of segments with 'start', 'end' and 'label'"),
        ("speech", "is no list of segments"),
        ([_segment(0.5, 0.5)], "the segment 'speech' from 0.5 to 0.5 s is none: 0 <= start < end is needed"),
        ([_segment(0.5, 3.0)], "goes beyond the end of the recording, which lasts 1.00 s"),
        ([_segment(None, 0.5)], "a segment has no start or no end"),
        ([_segment(0.1, 0.5, "")], "a segment has an empty label"),
        ({"start": [0.1], "end": [0.2, 0.3]}, "start, end and label are no lists of one length"),
    ],
)
def test_a_bad_cell_of_segments_is_a_sentence(cell, sentence):
    assert sentence in TASK().check_row({"audio": (np.ones(RATE, np.float32), RATE), "segments": cell})


def test_a_cell_may_be_a_mapping_of_lists_without_labels():
    assert _segments.named_segments({"start": [0.5, 0.1], "end": [0.6, 0.2]}) == [
        (0.1, 0.2, "speech"),
        (0.5, 0.6, "speech"),
    ]
    assert _segments.fault([], 1.0) is None


# Runs


def _rows_file(folder, count=16):
    rows = []
    for number in range(count):
        spans = [(0.2 + 0.02 * number, 0.7 + 0.02 * number)]
        path = _recording(folder / f"{number}.wav", 1.3, spans)
        rows.append({"audio": path, "segments": [_segment(*span) for span in spans]})
    file = folder / "rows.json"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    return file


def _recipe(tmp_path, baselines="", more="", task=""):
    rows, checkpoint = _rows_file(tmp_path), _whisper(tmp_path / "checkpoint")
    return parse_recipe(f"""
task: {{name: audio-frame-classification, collar: 0.05 {task}}}
model: {{id: {checkpoint}}}
data: {{source: {{name: json, train: {rows}}}, splits: {{validation: 4, test: 4}}}}
strategy: full
training: {{num_train_epochs: 1, per_device_train_batch_size: 4, use_cpu: true}}
evaluation: {{resamples: 20 {baselines}}}
{more}""")


def test_whisper_is_scored_beside_its_baselines_exported_and_read_without_hftransfer(tmp_path):
    recipe = _recipe(tmp_path, more="export: {format: onnx, max_drop: 1.0}")
    result = run(recipe, tmp_path / "run")
    test = result.scores["test"]
    assert {"majority", "energy", "log_mel", "tuned", "onnx", "onnx-int8"} == set(test)
    assert set(result.transfer_gain) == {"majority", "energy", "log_mel"}
    assert test["energy"]["frame_f1"].value > 0.95 and test["log_mel"]["frame_auroc"].value > 0.95
    assert result.exports["onnx"].loader == "ORTModelForCustomTasks"
    assert test["majority"]["frame_auroc"].value == 0.5 and result.exports["onnx"].agreement == 1
    (answer,) = predictions(tmp_path / "run", result, [str(tmp_path / "3.wav")])
    assert set(answer) == {"segments", "rttm"} and answer["rttm"].startswith("SPEAKER 3 1 ") or not answer["segments"]
    # The card's way: a class of Transformers, its layers one by one.
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

    model = AutoModelForAudioClassification.from_pretrained(tmp_path / "run" / "model").eval()
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path / "run" / "model")
    assert type(model) is WhisperForAudioClassification
    row = next(row for row in _json_rows(tmp_path) if row["audio"].endswith("/3.wav"))
    samples, _ = soundfile.read(row["audio"], dtype="float32")
    inputs = extractor(samples, sampling_rate=RATE, return_tensors="pt").input_features
    with torch.no_grad():
        logits = model.classifier(model.projector(model.encoder(inputs).last_hidden_state))
        torch.testing.assert_close(logits.mean(dim=1), model(inputs).logits)
    outputs = np.load(tmp_path / "run" / "predictions" / "test.npz")["tuned.logits"]
    assert outputs.shape == (4, 65, 1)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "energy" in page and "log_mel" in page


def _json_rows(folder):
    return [json.loads(line) for line in (folder / "rows.json").read_text().splitlines()]


def test_the_segments_are_drawn_over_the_waveform(tmp_path):
    task = _wav2vec2_task()
    row = {"audio": _recording(tmp_path / "a.wav"), "segments": [_segment(0.2, 0.6)]}
    (reference,) = task.references({name: [cell] for name, cell in row.items()})
    shown = task.render({"audio": {"path": row["audio"], "bytes": None}}, task.wrong(reference, reference), reference)
    assert set(shown) == {"image", "audio"} and len(shown["image"]) > 2000
    assert task.describe(reference) == "speech 0.20-0.60"
    assert task.describe(task.wrong(reference, reference)) == "speech 0.00-0.20, speech 0.60-1.00"
    assert task.error(reference, reference) == 0 and task.error(task.wrong(reference, reference), reference) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"baselines": ", baselines: [energi]"}, "'energi' is no baseline of 'audio-frame-classification'"),
        ({"baselines": ", corruptions: [speed]"}, "has no corruption 'speed'"),
        ({"task": ", frame_thresholds: [0.5, 0.5]"}, "task.frame_thresholds: there are 2, and 1 classes: speech"),
        ({"task": ", window_seconds: 5"}, "the checkpoint reads at most 2 seconds, got 5"),
    ],
)
def test_a_bad_recipe_is_a_sentence(options, sentence, tmp_path):
    with pytest.raises(HFTransferError, match=re.escape(sentence)):
        check(_recipe(tmp_path, **options))


def test_the_baselines_of_a_task_are_those_of_no_other(tmp_path):
    task = plugins.load("tasks", "text-classification")()
    text = tiny.recipe(task, tmp_path).replace("baselines: []", "baselines: [energy]")
    with pytest.raises(RecipeError, match="'energy' is no baseline of 'text-classification'"):
        check(parse_recipe(text))


def test_a_bad_segment_in_a_table_names_its_row(tmp_path):
    recipe = _recipe(tmp_path)
    rows = _json_rows(tmp_path)
    rows[2]["segments"][0]["end"] = 9.5
    (tmp_path / "rows.json").write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(DataError, match=r"row 2: the segment 'speech' from 0.24 to 9.5 s goes beyond the end"):
        check(recipe)


def test_w2v_bert_reads_spectrograms_of_any_length(tmp_path):
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertForAudioFrameClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = Wav2Vec2BertConfig(**sizes, num_labels=1, mask_time_prob=0.0)
    task = _task(config, SeamlessM4TFeatureExtractor())
    paths = [_recording(tmp_path / f"{seconds}.wav", seconds, [(0.2, 0.6)]) for seconds in (1.0, 1.5)]
    examples = [encode_one(task, {"audio": path, "segments": [_segment(0.2, 0.6)]})[0] for path in paths]
    batch = task.collate([{name: it for name, it in row.items() if name[:5] != "side_"} for row in examples])
    assert batch["labels"].shape == (2, 75, 1)
    side = {"frames": [row["side_frames"] for row in examples], "row": [0, 1]}
    with torch.no_grad():
        outputs = task.outputs(Wav2Vec2BertForAudioFrameClassification(config).eval(), batch, side)
    assert [len(it) for it in _frames.joined(outputs["logits"], side)] == [50, 75]
    splits = {"train": examples, "test": examples}
    for name in task.own_baselines:
        found = task.own_baseline(name, {}, splits, 0)["test"]["logits"]
        assert found.shape == (2, 75, 1) and np.isnan(found[0, 50:]).all()
