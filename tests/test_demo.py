"""`hftransfer demo`: a page for every task out of its contract; a request and a bad upload of each kind of input."""

import contextlib
import io
import json
import os
import re
import signal
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tiny
import transformers

pytest.importorskip("gradio")

from hftransfer.core import plugins
from hftransfer.core.features import Audio, Image
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.reading import read_pretrained
from hftransfer.models.weights import load_saved
from hftransfer.runner import demo
from hftransfer.runner.demo_page import _argument, _row, build
from hftransfer.runner.predict import Predictor
from hftransfer.tasks import Illustration

TASKS = {name: plugins.load("tasks", name) for name in plugins.names("tasks")}
# Of tasks that ask for something else by their fields.
FIELDS = {
    "text-classification": [{"pairs": True}, {"pairs": False}],
    "anomaly-detection": [{"modality": it} for it in ("image", "text", "audio")],
    "text-to-speech": [{}, {"speakers": ["Ann", "Bob"]}, {"speakers": []}],
}
CASES = [(name, fields) for name in TASKS for fields in FIELDS.get(name, [{}])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


def _predictor(folder, name, **fields):
    """A task with a tiny checkpoint that nothing has trained."""
    task = TASKS[name](**fields).with_labels(("x", "y"))
    place = Checkpoint(str(tiny.checkpoint(task, folder / name)))
    model = load_saved(task, place).eval()

    def read(kind, **options):
        return read_pretrained(getattr(transformers, kind), place, **options)

    return Predictor(task.with_processor(task.open_processor(read, model.config, None), model.config), model, _nothing)


def _nothing(_examples):
    return {}


class Page:
    """The page of a predictor, asked over HTTP as a browser asks it."""

    def __init__(self, predictor):
        from starlette.testclient import TestClient

        page = build(predictor.task, predictor.illustrated, "tiny", "A page.")
        self.client = TestClient(demo.application(page), base_url=f"http://{demo.HOST}")

    def __enter__(self):
        self.client.__enter__()
        return self

    def __exit__(self, *error):
        self.client.__exit__(*error)

    def upload(self, file):
        with Path(file).open("rb") as content:
            (path,) = self.client.post("/gradio_api/upload", files={"files": (Path(file).name, content)}).json()
        return {"path": path, "orig_name": Path(file).name, "meta": {"_type": "gradio.FileData"}}

    def ask(self, *values):
        """The event that ends a request, and its data: the answer and what each part of the page shows."""
        event = self.client.post("/gradio_api/call/answer", json={"data": values}).json()["event_id"]
        stream = self.client.get(f"/gradio_api/call/answer/{event}").text
        kind, data = re.findall(r"^event: (\w+)\ndata: (.*)$", stream, re.MULTILINE)[-1]
        return kind, json.loads(data)

    def answer(self, *values):
        kind, data = self.ask(*values)
        assert kind == "complete", data
        return data[0], [part["value"] for part in data[1:] if part["visible"]]

    def sentence(self, *values):
        kind, data = self.ask(*values)
        assert kind == "error"
        return data["error"] if isinstance(data, dict) else data


def _typed(cell):
    return " ".join(cell) if isinstance(cell, list) else str(cell)


@pytest.mark.parametrize(("name", "fields"), CASES)
def test_every_task_has_a_page_whose_inputs_it_parses(name, fields, folder):
    task = TASKS[name](**fields).with_labels(("x", "y"))
    page = build(task, lambda row: ({}, Illustration()), name, "")
    inputs = page.fns[0].inputs
    assert len(inputs) == len(task.asked) + bool(task.compared)
    for component, (role, feature) in zip(inputs, task.asked.items(), strict=False):
        assert component.label.startswith(role)
        kinds = {Image: "image", Audio: "audio"}
        expected = next((kind for one, kind in kinds.items() if isinstance(feature, one)), None)
        assert component.get_block_name() in ((expected,) if expected else ("textbox", "dropdown"))
    (folder / "rows").mkdir(exist_ok=True)
    cells = {
        role: tiny._CELLS[it.name](1, folder / "rows") for role, it in task.inputs.items() if it.name in tiny._CELLS
    }
    cells |= {role: value for role, value in task.tiny_row(1).items() if role in task.inputs and value is not None}
    cells |= {"speaker": "[0.1]" if fields.get("speakers") == [] else "Bob", "candidates": "a\nb"}
    row = _row(task, _argument(task, [_typed(cells[role]) for role in task.asked]))
    assert set(task.asked) <= set(row)


def test_a_text_is_answered_and_an_empty_one_refused(folder):
    with Page(_predictor(folder, "text-classification", problem_type="single_label_classification")) as page:
        answer, (label,) = page.answer("good 3")
        assert set(answer["scores"]) == {"x", "y"} and label["label"] == answer["label"]
        assert page.sentence("  ") == "The field 'text' is empty"
        html = page.client.get("/")
        assert "default-src 'self'" in html.headers["content-security-policy"]
        assert not re.findall(r'(?:src|href)="(?:https?:)?//(?!127\.0\.0\.1)', html.text)
        assert page.client.get("/", headers={"host": "a-site-of-others.example"}).status_code == 400


def test_a_picture_has_a_label_and_a_text_file_is_no_picture(folder, tmp_path):
    wrong = tmp_path / "notes.png"
    wrong.write_text("no picture")
    with Page(_predictor(folder, "image-classification", problem_type="single_label_classification")) as page:
        answer, _ = page.answer(page.upload(tiny._image_file(1, tmp_path)))
        assert answer["label"] in ("x", "y")
        assert page.sentence(page.upload(wrong)) == "notes.png is not a readable image (UnidentifiedImageError)"
        assert page.sentence(None) == "The field 'image' is empty"


@pytest.mark.parametrize(("name", "fields"), [("object-detection", {"threshold": 0.01}), ("image-segmentation", {})])
def test_boxes_and_masks_are_shown_on_the_picture(name, fields, folder, tmp_path):
    with Page(_predictor(folder, name, **fields)) as page:
        _, (picture, *_) = page.answer(page.upload(tiny._image_file(1, tmp_path)))
        assert picture["image"]["path"] and {it["label"][0] for it in picture["annotations"]} <= {"x", "y"}
        assert picture["annotations"]


def test_a_recording_is_answered_and_a_broken_one_refused(folder, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(Path(tiny._recording(1, tmp_path)).read_bytes()[:30])
    with Page(_predictor(folder, "audio-classification", problem_type="single_label_classification")) as page:
        answer, _ = page.answer(page.upload(tmp_path / "1.wav"))
        assert answer["label"] in ("x", "y")
        assert page.sentence(page.upload(broken)) == "broken.wav is not a readable recording"


def test_neighbours_are_a_table_nearest_first(folder, tmp_path):
    with Page(_predictor(folder, "sentence-similarity")) as page:
        answer, (table,) = page.answer("good a", "bad b\ngood a\n")
        assert [row["positive"] for row in answer["neighbours"]] == ["good a", "bad b"]
        assert answer["neighbours"][0]["similarity"] == pytest.approx(1)
        assert table["headers"] == ["positive", "similarity"]
        assert len(page.answer("good a", "")[0]["embedding"]) == 16
    with Page(_predictor(folder, "image-feature-extraction", threshold=0.999)) as page:
        first, second = (page.upload(tiny._image_file(number, tmp_path)) for number in (0, 1))
        rows = page.answer(first, [second, first])[0]["neighbours"]
        assert [(row["image"], row["same"]) for row in rows] == [("0.png", True), ("1.png", False)]


def test_the_items_of_a_history_are_written_one_a_line():
    task = TASKS["recommendation"]()
    row = _row(task, _argument(task, ["i3\n i1\n", "i2"]))
    assert row == {"history": ["i3", "i1"], "seen": ["i2"]}
    labels = [component.label for component in build(task, lambda row: ({}, Illustration()), "", "").fns[0].inputs]
    assert labels[0] == "history, the id of an item a line"


def test_words_of_an_entity_stand_together():
    task = TASKS["token-classification"]().with_labels(("B-X", "I-X", "O"))
    words = ["a", "b", "c", "d", "e"]
    logits = np.eye(3)[[[0, 1, 0, 2]]]
    spans = task.illustrate({"tokens": words}, {"logits": logits}, {}).spans
    assert spans == (("a b", "X"), ("c", "X"), ("d", None), ("e", None))


def test_the_page_is_served_until_an_interruption_and_uploads_are_removed(monkeypatch):
    task, seen = TASKS["text-classification"](), []
    # Not capsys: uvicorn closes all handlers of logs, and that of absl closes a stderr which is not the current one.
    printed = io.StringIO()
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")

    def ask(port):
        seen.append(urllib.request.urlopen(f"http://{demo.HOST}:{port}/config", timeout=20).status)
        seen.append(os.environ["GRADIO_TEMP_DIR"])
        signal.raise_signal(signal.SIGINT)

    with demo.listen(0) as listening:
        port = listening.getsockname()[1]
        asking = threading.Thread(target=ask, args=[port])
        asking.start()
        with pytest.raises(KeyboardInterrupt), contextlib.redirect_stdout(printed):
            demo.serve(lambda: build(task, lambda row: ({}, Illustration()), "tiny", ""), listening, "tiny")
        asking.join()
    status, uploads = seen
    assert status == 200 and not Path(uploads).exists()
    assert printed.getvalue() == f"http://127.0.0.1:{port} answers for tiny; Ctrl-C ends it\n"


def test_a_port_that_is_taken_or_none_is_one_sentence():
    with demo.listen(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(demo.RecipeError, match=f"--port: {port} cannot be used"):
            demo.listen(port)
    with pytest.raises(demo.RecipeError, match="from 0 to 65535"):
        demo.listen(70_000)


def test_without_gradio_the_sentence_has_the_command(monkeypatch):
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(demo.MissingExtraError, match=r"pip install 'hftransfer-recipes\[demo\]'"):
        demo.check_installed()
