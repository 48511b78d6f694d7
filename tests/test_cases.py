"""Situations of people who asked for help in public, each made small: what is read of their files, or what is said."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from hftransfer.core.errors import DataError
from hftransfer.data.load import Rows, load_rows
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.data_warnings import data_warnings
from hftransfer.runner.specs import data_options

TEXTS, IMAGES, BOXES = "text-classification", "image-classification", "object-detection"
SPEECH, SOUNDS = "automatic-speech-recognition", "audio-classification"
TOGETHER, APART = "Jos\u00e9", "Jose\u0301"
"""One name in two Unicode forms."""


@dataclass(frozen=True)
class Case:
    """A situation: its files, the section `data`, and what is right."""

    task: str
    files: dict[str, str | bytes]
    right: Any
    """What `of` gives; or a sentence that refuses the files."""
    data: str = "{source: {name: csv, train: rows.csv}}"
    of: Callable[[Rows, list[str]], Any] | None = None
    """What is looked at, of the rows and of all warnings."""


def _labels(rows: Rows, _warnings: list[str]) -> list[str]:
    return sorted(rows.task.labels)


def _cells(role: str) -> Callable[[Rows, list[str]], list[Any]]:
    return lambda rows, _: sorted(cell for split in rows.splits.values() for cell in split[role][:])


def _counts(rows: Rows, _warnings: list[str]) -> dict[str, int]:
    return rows.facts.rows


def _warned(pattern: str) -> Callable[[Rows, list[str]], bool]:
    return lambda _, warnings: any(re.search(pattern, warning) for warning in warnings)


def _lines(*lines: str) -> dict[str, str]:
    return {"rows.csv": "".join(f"{line}\n" for line in lines)}


def _json(*rows: Any) -> dict[str, str]:
    return {"rows.jsonl": "".join(json.dumps(row) + "\n" for row in rows)}


def _png(level: int = 0, mode: str = "L", size: tuple[int, int] = (8, 8), ending: str = "png") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, level).save(buffer, {"tif": "TIFF"}.get(ending, ending))
    return buffer.getvalue()


def _wav(number: int = 0, level: float = 0.1) -> bytes:
    buffer = io.BytesIO()
    samples = np.sin(np.arange(800) * (0.1 + 0.01 * number)) * level
    soundfile.write(buffer, samples, 16000, "FLOAT", format="WAV")
    return buffer.getvalue()


def _classes(folder: str, names: str, count: int, make: Callable[[int], bytes], ending: str) -> dict[str, bytes]:
    """A folder for each class, with files of different content."""
    places = [f"{name}/{number}.{ending}" for name in names.split() for number in range(count)]
    return {f"{folder}/{place}": make(number) for number, place in enumerate(places)}


def _recordings(folder: str, count: int, first: int = 0) -> dict[str, bytes]:
    return {f"{folder}/{number}.wav": _wav(number) for number in range(first, first + count)}


def _coco(folder: str, listed: str, name: str = "{}.png", place: str = "{}.png", ids: int = 24) -> dict[str, Any]:
    """24 images with a box each, and their list."""
    table = {
        "images": [{"id": row % ids, "file_name": name.format(row), "width": 8, "height": 8} for row in range(24)],
        "annotations": [
            {"id": row, "image_id": row % ids, "category_id": 1, "bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0}
            for row in range(24)
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    images = {f"{folder}/{place.format(row)}": _png(row) for row in range(24)}
    return images | {f"{folder}/{listed}": json.dumps(table)}


VOC = (
    "<annotation><filename>{0}.png</filename><size><width>8</width><height>8</height></size><object><name>cat</name>"
    "<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>"
)
JSON, SOUND_FOLDER = "{source: {name: json, train: rows.jsonl}}", "{source: {name: audiofolder, path: data}}"
IMAGE_FOLDER, COCO = "{source: {name: imagefolder, path: data}}", "{source: {name: coco, path: data}}"
TRANSCRIBED = "{source: {name: audiofolder, path: data}, columns: {text: transcription}}"
CODES = ("6109.10", "6109.1", "0101.20", "6110.20")
HOT = ([1, 0, 1], [0, 1, 0], [1, 1, 0])
VOICE = "client_id\tpath\tsentence\n"
QUOTES = ['"one', "two", 'the "end"', 'one"']

CASES = {
    # Texts and tables.
    "multi_hot_lists": Case(TEXTS, _json(*({"text": f"t{n}", "label": HOT[n % 3]} for n in range(24))),
        (["a", "b", "c"], "multi_label_classification"), "{source: {name: json, train: rows.jsonl}, names: [a, b, c]}",
        lambda rows, _: ([*rows.task.labels], rows.task.problem_type)),
    "multi_hot_floats_in_csv": Case(TEXTS, _lines("text,label", *(f't{n},"[1.0, 0.0]"' for n in range(24))),
        r"\[1.0, 0.0\]"),
    "decimal_comma": Case(TEXTS, _lines("text;label", *(f"t{n};{n % 5},5" for n in range(24))), "data.source.decimal"),
    "decimal_comma, with the key": Case(TEXTS, _lines("text;label", *(f"t{n};{n % 5},5" for n in range(25))),
        [number + 0.5 for number in range(5) for _ in range(5)],
        "{source: {name: csv, train: rows.csv, decimal: ','}}", _cells("label")),
    "unquoted_comma": Case(TEXTS, _lines("text,label", "dull, table 0,bad", *(f"t{n},good" for n in range(9))),
        "line 2 has 3 cells.*header 2"),
    "codes_with_a_dot": Case(TEXTS, _lines("text,label", *(f"t{n},{CODES[n % 4]}" for n in range(40))), sorted(CODES),
        of=_labels),
    "iso_dates_jsonl": Case("translation",
        _json(*({"source": f"day {n}", "target": f"1992-03-{n:02}"} for n in range(1, 25))),
        [f"1992-03-{n:02}" for n in range(1, 25)], JSON, _cells("target")),
    "json_mixed_text": Case(TEXTS,
        _json({"text": 10, "label": "a"}, *({"text": f'"{n}" \\ x', "label": "ab"[n % 2]} for n in range(19))),
        sorted(["10", *(f'"{n}" \\ x' for n in range(19))]), JSON, _cells("text")),
    "a_word_label_after_row_10000": Case(TEXTS,
        _lines("text,label", *(f"t{n},{1 + n % 3}" for n in range(10_002)), *(f"u{n},unknown" for n in range(9))),
        ["1", "2", "3", "unknown"], of=_labels),
    "backslash_quotes": Case(TEXTS,
        _lines("text,label", *(rf'"said \"no {n}\", left",{"ab"[n % 2]}' for n in range(24))),
        sorted(f'said "no {n}", left' for n in range(24)), of=_cells("text")),
    "semicolons_not_told": Case(TEXTS, _lines("text;label", *(f"a dull, {n};{'ab'[n % 2]}" for n in range(24))),
        sorted(f"a dull, {n}" for n in range(24)), of=_cells("text")),
    "many_whole_number_classes": Case(TEXTS, _lines("text,label", *(f"t{n},{n % 77}" for n in range(308))),
        ("single_label_classification", 77), of=lambda rows, _: (rows.task.problem_type, len(rows.task.labels))),
    "label_studio_json_min": Case(TEXTS,
        _json(*({"text": f"t{n}", "topic": ["a", {"choices": ["b", "c"]}][n % 2]} for n in range(24))),
        ["a", "b", "c"], "{source: {name: json, train: rows.jsonl}, columns: {label: topic}}", _labels),
    "pairs_that_join_alike": Case(TEXTS,
        _lines("text,text_pair,label", *(f"part {a},{b},{c}" for n in range(10, 25)
            for a, b, c in ((f"{n}1", f"2{n}", "x"), (n, f"12{n}", "y")))),
        {"train": 20, "validation": 4, "test": 6},
        "{source: {name: csv, train: rows.csv}, splits: {test: 6, validation: 4}}", _counts),
    # Recordings.
    "audio-ipynb-checkpoints": Case(SOUNDS, _classes("data", "high low .ipynb_checkpoints __MACOSX", 12, _wav, "wav"),
        (["high", "low"], 24), SOUND_FOLDER, lambda rows, _: (_labels(rows, _), sum(rows.facts.rows.values()))),
    "audio-m4a-mixed": Case(SOUNDS,
        _classes("data", "high low", 12, _wav, "wav") | {f"data/high/{n}.m4a": b"x" for n in range(40, 46)}, True,
        SOUND_FOLDER, _warned(r"6 of 30 files in 'data' are left out.*m4a")),
    "audio-test-without-table": Case(SOUNDS,
        _recordings("data/train", 16)
        | {"data/train/metadata.csv": "file_name,label\n" + "".join(f"{n}.wav,{'ab'[n % 2]}\n" for n in range(16))}
        | _classes("data/test", "a b", 3, lambda number: _wav(number + 50), "wav"), 6, SOUND_FOLDER,
        lambda rows, _: rows.facts.rows["test"]),
    "audio-metadata-root": Case(SPEECH,
        _recordings("data/train", 12) | _recordings("data/test", 4, 12)
        | {"data/metadata.csv": "file_name,transcription\n" + "".join(
            f"{'train' if n < 12 else 'test'}/{n}.wav,one\n" for n in range(16))}, 4, TRANSCRIBED,
        lambda rows, _: rows.facts.rows["test"]),
    "audio-metadata-jsonl": Case(SPEECH,
        _recordings("data", 16) | {"data/metadata.jsonl": "".join(
            json.dumps({"file_name": f"{n}.wav", "transcription": "one"}) + "\n" for n in range(16))}, 16, TRANSCRIBED,
        lambda rows, _: sum(rows.facts.rows.values())),
    "audio-nan": Case(SOUNDS, _classes("data", "high low", 12, _wav, "wav") | {"data/low/bad.wav": _wav(0, np.nan)},
        "low/bad.wav has 800 samples that are no numbers.*on_error: skip", SOUND_FOLDER),
    "audio-nan, left out": Case(SOUNDS,
        _classes("data", "high low", 12, _wav, "wav") | {"data/low/bad.wav": _wav(0, np.nan)}, 24,
        "{source: {name: audiofolder, path: data}, on_error: skip}", lambda rows, _: sum(rows.facts.rows.values())),
    "speech-common-voice-test-quotes": Case(SPEECH,
        {f"data/{split}.tsv": VOICE + "".join(f"x\t{place}_{n}.mp3\t{QUOTES[n % 4]}\n" for n in range(8))
            for place, split in enumerate(("train", "test"))}
        | {f"data/clips/{place}_{n}.mp3": _wav(8 * place + n) for place in range(2) for n in range(8)},
        sorted(QUOTES * 2), "{source: {name: audiofolder, path: data}, columns: {text: sentence}}",
        lambda rows, _: sorted(rows.splits["test"]["text"][:])),
    "speech-ljspeech": Case(SPEECH,
        {"data/metadata.csv": "".join(f'LJ-{n}|"one|"one\n' for n in range(12))}
        | {f"data/wavs/LJ-{n}.wav": _wav(n) for n in range(12)}, ['"one'] * 12, SOUND_FOLDER, _cells("text")),
    "speech-nfc-nfd": Case(SPEECH,
        _lines("audio,text", *(f"{n}.wav,{(TOGETHER, APART)[n % 2]}" for n in range(12)))
        | {f"{n}.wav": _wav(n) for n in range(12)}, [TOGETHER] * 12, of=_cells("text")),
    # Images and boxes.
    "image-avif-heic-skipped": Case(IMAGES,
        _classes("data", "dark light", 6, _png, "png") | {f"data/dark/{n}.avif": _png(40 * n + 9, "RGB", ending="avif")
            for n in range(6)} | {f"data/light/{n}.heic": b"x" for n in range(5)},
        (18, True), IMAGE_FOLDER,
        lambda rows, warnings: (sum(rows.facts.rows.values()), _warned("5 of 23 files .*heic")(rows, warnings))),
    "image-class-nfc-nfd": Case(IMAGES, _classes("data", f"{TOGETHER} {APART} x", 8, _png, "png"),
        sorted([TOGETHER, "x"]), IMAGE_FOLDER, _labels),
    "image-float-tiff": Case(IMAGES, _classes("data", "a b", 8, lambda n: _png(n, "F", ending="tif"), "tif"),
        "its pixels are decimals", IMAGE_FOLDER),
    "image-kaggle-test": Case(IMAGES,
        _classes("data/train", "dark light", 8, _png, "png") | {f"data/test/{n}.png": _png(50 + n) for n in range(4)},
        r"split 'test' has no column 'label' .*data\.splits\.test", IMAGE_FOLDER),
    "image-long-multilabel": Case(IMAGES,
        _lines("image,label", *(f"{n}.png,{label}" for n in range(20) for label in ("square", ("dark", "lit")[n % 2])))
        | {f"{n}.png": _png(n) for n in range(20)}, True, of=_warned("most likely each has several labels")),
    "coco-cvat-default": Case(BOXES, _coco("data", "annotations/instances_default.json", place="images/default/{}.png"),
        24, COCO, lambda rows, _: sum(rows.facts.rows.values())),
    "coco-labelstudio": Case(BOXES, _coco("data", "result.json", "images\\{}.png", "images/{}.png"), 24, COCO,
        lambda rows, _: sum(rows.facts.rows.values())),
    "coco-latest": Case(BOXES, _coco("data", "annotations_latest.json"), 24, COCO,
        lambda rows, _: sum(rows.facts.rows.values())),
    "coco-root-trains": Case(BOXES,
        _coco("trains", "train.json", place="train/{}.png")
        | {name: _png(200 + n) if name.endswith("png") else content for n, (name, content) in
            enumerate(_coco("trains", "val.json", place="val/{}.png").items())}, 24,
        "{source: {name: coco, path: trains}}", lambda rows, _: rows.facts.rows["validation"]),
    "coco-image-listed-twice": Case(BOXES, _coco("data", "result.json", ids=12), "2 entries of 'images' have the id 0",
        COCO),
    "detect-voc": Case(BOXES,
        {f"data/JPEGImages/{n}.png": _png(n) for n in range(12)}
        | {f"data/Annotations/{n}.xml": VOC.format(n) for n in range(12)}, (["cat"], 12),
        "{source: {name: voc, path: data}}", lambda rows, _: (_labels(rows, _), sum(rows.facts.rows.values()))),
}  # fmt: skip
ELSEWHERE = {
    "audio-nan, in a test row": "test_not_numbers::test_a_run_reports_rows_whose_outputs_are_nan",
    "coco-crowd": "test_box_files::test_a_crowd_is_not_trained_on_and_counts_as_pycocotools_counts_it",
    "full_disk": "test_damaged_runs::test_a_run_on_a_full_disk_goes_on_when_there_is_space",
    "image-1px-high-first": "test_image_input::test_thin_images_are_read_as_any",
    "image-one-channel-model": "test_image_input::test_a_model_of_one_channel_is_refused",
    "mbart25_target_lang": (
        "test_text_checkpoints::test_a_language_behind_the_text_is_the_first_token_and_one_before_it_is_forced"
    ),
    "ner_tokenizer_without_prefix_space": "test_text_checkpoints::test_words_are_tokenized_as_a_pipeline_reads_them",
    "new_t5_without_start_token": (
        "test_text_checkpoints::test_a_model_without_a_first_token_is_refused_before_the_training"
    ),
    "png-16bit-series": "test_image_input::test_16_bits_have_one_scale_for_the_data_set",
    "png-transparent-sizes": "test_image_input::test_what_is_transparent_lies_on_the_background",
    "png-white-sizes": "test_image_input::test_what_is_transparent_lies_on_the_background",
    "resume_after_data_changed": ("test_damaged_runs::test_a_run_is_not_resumed_with_other_rows_or_another_checkpoint"),
    "roberta_positions": "test_text_checkpoints::test_as_many_tokens_fit_as_have_a_position",
    "sentencepiece_only_deberta": "test_damaged_files::test_a_package_that_a_tokenizer_needs_is_named",
    "speech-architectures": "test_recordings::test_a_new_model_has_the_extractor_of_its_kind",
    "speech-turkish-case": "test_recordings::test_turkish_case_is_folded_by_the_language_or_told",
    "speech-whisper-bilingual": (
        "test_speech::test_whisper_ships_with_its_language_and_without_that_of_an_older_config"
    ),
}
"""Situations of models and runs -> the test that makes them."""


@pytest.mark.parametrize("name", CASES)
def test_the_rows_of_a_case_are_read_right_or_refused_in_a_sentence(name, tmp_path, monkeypatch):
    case = CASES[name]
    monkeypatch.chdir(tmp_path)
    for place, content in case.files.items():
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).write_bytes(content if isinstance(content, bytes) else content.encode())

    def read() -> tuple[Rows, list[str]]:
        recipe = parse_recipe(f"task: {case.task}\nmodel: {{id: x}}\ndata: {case.data}\n")
        rows = load_rows(recipe.task, recipe.data.source.load(), data_options(recipe.data), 0)
        return rows, [*recipe.data.source.warnings, *rows.warnings, *data_warnings(rows, None)]

    if case.of is None:
        with pytest.raises(DataError, match=case.right):
            read()
    else:
        assert case.of(*read()) == case.right


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_test_of_a_case_is_there(name):
    module, _, test = ELSEWHERE[name].partition("::")
    assert f"\ndef {test}(" in (Path(__file__).parent / f"{module}.py").read_text()
