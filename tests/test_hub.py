"""The Hub: what is read from it, what is pushed, and the messages when it refuses."""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import results_builder
import tiny
import yaml
from conftest import HUB
from datasets import ClassLabel

import hftransfer
from hftransfer import api
from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.errors import HubError, ModelError
from hftransfer.exporters import _optimum
from hftransfer.hub import client, push
from hftransfer.hub.space import check_space
from hftransfer.models.checkpoint import find_checkpoint
from hftransfer.recipe.loader import load_recipe

# One process, in which they share a finished run; the first test waits for it, and for the imports of its process.
pytestmark = [pytest.mark.xdist_group("hub"), pytest.mark.timeout(120)]

TOKEN = "hf_aliceMayWrite"


def _id(name="m"):
    """A repository that no cache has seen."""
    return f"alice/{name}-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    tiny.checkpoint(plugins.load("tasks", "text-classification")(), folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


ROWS = {
    split: "\n".join(json.dumps({"sentence": f"{['good', 'bad'][i % 2]} {i}", "topic": "xy"[i % 2]}) for i in numbers)
    for split, numbers in {"train": range(40), "test": range(40, 60)}.items()
}


def _sentence(capsys):
    """The message of a command that failed: one line, after the progress."""
    progress, name, message = capsys.readouterr().err.rpartition("hftransfer: ")
    assert name and message.count("\n") == 1 and TOKEN not in progress + message and "Traceback" not in progress
    return message


def _recipe(hub, checkpoint, folder, more="", strategy="lora"):
    """A recipe with a model and a data set of the Hub, both of which are added to it."""
    model, data, repo = _id("model"), _id("data"), _id("run")
    card = b"---\nlicense: mit\n---\n# Tiny\n"
    hub.add(model, checkpoint | {"README.md": card})
    card_file = {"README.md": b"---\nlanguage: en\nlicense: cc0-1.0\n---\n# Rows\n"}
    hub.add(data, card_file | {f"{split}.jsonl": rows.encode() for split, rows in ROWS.items()}, kind="datasets")
    folder.mkdir(exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(
        f"task: text-classification\nmodel: {{id: {model}}}\n"
        f"data: {{source: {{name: hub, id: {data}}}, columns: {{text: sentence, label: topic}}}}\n"
        f"strategy: {strategy}\ntraining: {{num_train_epochs: 4, use_cpu: true}}\nevaluation: {{resamples: 20}}\n"
        f"{tiny.EXPORT}\nhub: {{repo: {repo}{more}}}\n"
    )
    return path, model, data, repo


def _elsewhere(code, *arguments):
    """What a Python program prints in a new process with an empty cache."""
    guard = "import sys; sys.modules['hftransfer'] = None\n"
    home = os.environ["HF_HOME"] + uuid.uuid4().hex
    python = _optimum.python() if "optimum" in code else sys.executable
    process = subprocess.run(
        [python, "-W", "ignore", "-c", guard + code, *arguments],
        capture_output=True, text=True, check=False, env=os.environ | {"HF_HOME": home, "HF_DATASETS_CACHE": home},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout.splitlines()[-1])


TUNED = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
repo, texts = sys.argv[1], json.loads(sys.argv[2])
labels = [row["label"] for row in pipeline("text-classification", model=repo)(texts)]
model, tokenizer = AutoModelForSequenceClassification.from_pretrained(repo), AutoTokenizer.from_pretrained(repo)
with torch.no_grad():
    logits = [model(**tokenizer(text, return_tensors="pt")).logits[0].tolist() for text in texts]
print(json.dumps([labels, logits]))
"""
EXPORTED = """
import json, sys
from optimum.onnxruntime import ORTModelForSequenceClassification
from transformers import AutoTokenizer
repo, texts = sys.argv[1], json.loads(sys.argv[2])
model = ORTModelForSequenceClassification.from_pretrained(repo, subfolder="onnx", file_name=sys.argv[3])
tokenizer = AutoTokenizer.from_pretrained(repo)
print(json.dumps([model(**tokenizer(text, return_tensors="pt")).logits[0].tolist() for text in texts]))
"""
ADAPTED = """
import json, sys, torch
from peft import PeftConfig, PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer
repo, texts = sys.argv[1], json.loads(sys.argv[2])
config = PeftConfig.from_pretrained(repo)
base = AutoModelForSequenceClassification.from_pretrained(config.base_model_name_or_path, revision=config.revision)
model, tokenizer = PeftModel.from_pretrained(base, repo).eval(), AutoTokenizer.from_pretrained(repo)
with torch.no_grad():
    print(json.dumps([model(**tokenizer(text, return_tensors="pt")).logits[0].tolist() for text in texts]))
"""


def _texts():
    return json.dumps([json.loads(line)["sentence"] for line in ROWS["test"].splitlines()])


@pytest.fixture(scope="module")
def pushed(checkpoint, tmp_path_factory):
    """A run of a model and rows of the Hub that was pushed there: its folder, its repositories, all it printed."""
    folder = tmp_path_factory.mktemp("pushed")
    path, model, data, repo = _recipe(HUB, checkpoint, folder / "in")
    HUB.tokens[TOKEN] = ("alice", "write")
    process = subprocess.run(
        [sys.executable, "-m", "hftransfer.cli", "run", str(path), "--out", str(folder / "run")],
        capture_output=True, text=True, check=False, env=os.environ | {"HF_TOKEN": TOKEN},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-2000:]
    return folder / "run", model, data, repo, process.stdout + process.stderr


def test_a_run_is_pushed_in_one_commit(pushed, hub):
    folder, model, data, repo, printed = pushed
    pushed_repo = hub.repos["models", repo]
    assert len(pushed_repo.commits) == 2 and f"pushed: {hub.url}/{repo}/commit/" in printed
    wanted = {"README.md", "config.json", "model.safetensors"}
    wanted |= {"onnx/model.onnx", "onnx/model_quantized.onnx"}
    assert wanted | {"recipe.yaml", "result.json", "report/scores.png", "tokenizer.json"} <= set(pushed_repo.files)
    revisions = json.loads(pushed_repo.files["result.json"])["revisions"]
    assert revisions == {i: hub.repos[kind, i].commits[-1].oid for kind, i in (("models", model), ("datasets", data))}
    card = pushed_repo.files["README.md"].decode()
    assert (
        "license: mit" in card
        and "language:\n- en" in card
        and f"base_model: {model}" in card
        and "base_model_relation: finetune" in card
    )
    readable = [content for name, content in pushed_repo.files.items() if "onnx" not in name]
    assert not any(str(folder.parent).encode() in content for content in readable)


def test_the_same_push_again_makes_no_commit(pushed, hub):
    folder, _, _, repo, _ = pushed
    assert main(["push", str(folder)]) == 0
    assert len(hub.repos["models", repo].commits) == 2


def test_transformers_loads_what_is_pushed(pushed, hub):
    folder, *_, repo, _ = pushed
    outputs = np.load(folder / "predictions" / "test.npz")["tuned.logits"]
    predicted, logits = _elsewhere(TUNED, repo, _texts())
    np.testing.assert_allclose(logits, outputs, atol=1e-4)
    labels = json.loads((folder / "result.json").read_text())["data"]["labels"]
    assert [labels.index(label) for label in predicted] == outputs.argmax(axis=1).tolist()


@pytest.mark.parametrize(
    ("variant", "file", "near"), [("onnx", "model.onnx", 1e-4), ("onnx-int8", "model_quantized.onnx", 2e-2)]
)
def test_optimum_loads_what_is_pushed(variant, file, near, pushed, hub):
    folder, *_, repo, _ = pushed
    logits = _elsewhere(EXPORTED, repo, _texts(), file)
    np.testing.assert_allclose(logits, np.load(folder / "predictions" / "test.npz")[f"{variant}.logits"], atol=near)


def test_peft_loads_an_adapter_that_is_pushed_alone(pushed, hub):
    folder = pushed[0]
    repo = _id("adapter")
    assert main(["push", str(folder), "--repo", repo, "--adapter", "--private"]) == 0
    alone = hub.repos["models", repo]
    assert alone.private and "adapter_model.safetensors" in alone.files and "model.safetensors" not in alone.files
    assert b"library_name: peft" in alone.files["README.md"]
    assert b"base_model_relation: adapter" in alone.files["README.md"]
    outputs = np.load(folder / "predictions" / "test.npz")["tuned.logits"]
    np.testing.assert_allclose(_elsewhere(ADAPTED, repo, _texts()), outputs, atol=1e-4)
    assert not any(TOKEN.encode() in content for content in alone.files.values())


def test_a_pushed_run_is_reproduced(pushed, hub, tmp_path, capsys, monkeypatch):
    *_, repo, _ = pushed
    assert main(["reproduce", repo, "--out", str(tmp_path / "again")]) == 0
    assert capsys.readouterr().out.endswith("reproduced\n")
    published = client.read_result(repo)
    scores = published.scores["test"]["tuned"]
    scores[published.headline] = scores[published.headline].model_copy(update={"low": 1.5, "high": 2.0})
    with monkeypatch.context() as patch:
        patch.setattr(client, "read_result", lambda _repo: published)
        assert main(["reproduce", repo, "--out", str(tmp_path / "again"), "--overwrite"]) == 3
    assert capsys.readouterr().out.endswith("NOT reproduced\n")
    assert main(["check", f"hub:{repo}"]) == 0
    assert main(["reproduce", pushed[1], "--out", str(tmp_path / "never")]) == 2
    assert "was not pushed by hftransfer" in _sentence(capsys)


def _ask_space(files, folder, text):
    """What the program of a Space answers to a text, over HTTP, in a process with an empty cache."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = {"HF_HOME": str(folder / "home"), "GRADIO_SERVER_PORT": str(port), "PYTHONPATH": os.pathsep.join(sys.path)}
    # As on the Hub, where no token is unless the settings of the Space have one.
    environment = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"} | home
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=folder, stdout=log, stderr=log, env=environment)
    address = f"http://127.0.0.1:{port}/gradio_api/call/answer"
    request = urllib.request.Request(
        address, json.dumps({"data": [text]}).encode(), {"Content-Type": "application/json"}
    )
    try:
        while True:
            try:
                event = json.load(urllib.request.urlopen(request, timeout=60))["event_id"]
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                time.sleep(0.2)
        stream = urllib.request.urlopen(f"{address}/{event}", timeout=60).read().decode()
    finally:
        process.terminate()
        process.wait()
    (data,) = re.findall(r"^event: complete\ndata: (.*)$", stream, re.MULTILINE)
    return json.loads(data)[0]


def test_a_space_answers_with_the_pushed_model(pushed, hub, tmp_path, capsys):
    pytest.importorskip("gradio")
    folder, *_, repo, _ = pushed
    assert main(["push", str(folder), "--space"]) == 0
    model, space = hub.repos["models", repo], hub.repos["spaces", f"{repo}-demo"]
    assert capsys.readouterr().out.splitlines()[-1] == f"{hub.url}/spaces/{space.id}/commit/{space.commits[-1].oid}"
    assert space.files.keys() == {".gitattributes", "README.md", "app.py", "hftransfer.json", "requirements.txt"}
    card = yaml.safe_load(space.files["README.md"].decode().split("---")[1])
    assert card["sdk"] == "gradio" and card["app_file"] == "app.py" and card["license"] == "mit"
    assert card["models"] == [repo] and card["short_description"] == "Ask a model for text-classification"
    requirements = space.files["requirements.txt"].decode().splitlines()
    assert requirements[0] == f"hftransfer-recipes[text]=={hftransfer.__version__}"
    pinned = {"gradio": card["sdk_version"], **dict(line.split("==") for line in requirements[1:])}
    assert pinned == {name: version(name).partition("+")[0] for name in pinned}
    assert model.commits[-1].oid in space.files["app.py"].decode()
    text = json.loads(ROWS["test"].splitlines()[0])["sentence"]
    (expected,) = api.predict(folder, text)
    answer = _ask_space(space.files, tmp_path, text)
    assert answer["label"] == expected["label"]
    assert answer["scores"] == pytest.approx(expected["scores"], abs=1e-4)
    assert main(["push", str(folder), "--space"]) == 0
    assert (len(model.commits), len(space.commits)) == (2, 2)


def test_a_space_of_others_is_left_and_one_of_a_private_model_is_private(hub, finished, capsys):
    foreign, repo = hub.add(_id(), {"app.py": b"print()"}, kind="spaces"), _id()
    assert main(["push", str(finished), "--repo", repo, "--space", foreign.id]) == 2
    assert "not from hftransfer; --force replaces it, --space chooses" in _sentence(capsys)
    assert ("models", repo) not in hub.repos and foreign.files == {"app.py": b"print()"}
    assert main(["push", str(finished), "--repo", repo, "--space", "--adapter"]) == 2
    assert main(["push", str(finished), "--repo", repo, "--private"]) == 0
    assert main(["push", str(finished), "--repo", repo, "--space"]) == 0
    space = hub.repos["spaces", f"{repo}-demo"]
    assert space.private and b"a secret `HF_TOKEN`" in space.files["README.md"]
    assert TOKEN.encode() not in b"".join(space.files.values())
    assert main(["push", str(finished), "--repo", _id(), "--space", foreign.id, "--force"]) == 0
    assert b"hftransfer.demo_page" in foreign.files["app.py"]


def test_a_run_with_a_plug_in_from_elsewhere_has_no_space(monkeypatch):
    monkeypatch.setenv("HFTRANSFER_PLUGINS", str(Path(__file__).parent / "toy_plugins"))
    own = results_builder.result(recipe=results_builder.recipe(task={"name": "item-review"}))
    with pytest.raises(HubError, match="'item-review' is a plug-in from outside"):
        check_space(own)
    spoken = results_builder.recipe(task={"name": "text-to-speech", "vocoder": "/home/alice/vocoder"})
    with pytest.raises(HubError, match=r"task\.vocoder is a file or a folder of this machine"):
        check_space(results_builder.result(recipe=spoken))


LOADED = """
import json, sys
from datasets import load_dataset
splits = load_dataset(sys.argv[1])
types = {name: str(kind) for name, kind in splits["test"].features.items()}
print(json.dumps([list(splits), types, splits["test"][:]]))
"""


def test_predictions_are_a_data_set_that_datasets_loads(pushed, hub):
    folder, model, data, repo, _ = pushed
    assert main(["push", str(folder), "--predictions"]) == 0
    there = hub.repos["datasets", f"{repo}-predictions"]
    splits, types, rows = _elsewhere(LOADED, there.id)
    assert set(splits) == {"test", "validation"} and types["reference"] == types["prediction"] == str(
        ClassLabel(names=["x", "y"])
    )
    source = [json.loads(line) for line in ROWS["test"].splitlines()]
    assert rows["text"] == [source[number]["sentence"] for number in rows["source_row"]]
    assert ["xy"[number] for number in rows["reference"]] == [source[number]["topic"] for number in rows["source_row"]]
    record = json.loads((folder / "result.json").read_text())
    assert np.mean(rows["right"]) == record["scores"]["test"]["tuned"]["accuracy"]["value"]
    assert np.argmax(rows["probabilities"], axis=1).tolist() == rows["prediction"]
    card = yaml.safe_load(there.files["README.md"].decode().split("---")[1])
    assert card["task_categories"] == ["text-classification"] and card["source_datasets"] == [data]
    assert card["models"] == [repo] and card["license"] == "cc0-1.0"
    assert main(["push", str(folder), "--predictions"]) == 0
    assert len(there.commits) == 2 and len(hub.repos["models", repo].commits) == 2


def test_rows_that_are_not_public_are_not_in_the_predictions(hub, finished, pushed, capsys):
    repo, foreign = _id(), hub.add(_id(), {"rows.csv": b"a"}, kind="datasets")
    assert main(["push", str(finished), "--repo", repo, "--predictions", foreign.id]) == 2
    assert "--predictions chooses another place" in _sentence(capsys) and ("models", repo) not in hub.repos
    assert main(["push", str(finished), "--repo", repo, "--predictions", "--private"]) == 0
    there = hub.repos["datasets", f"{repo}-predictions"]
    assert there.private and b"not public" in there.files["README.md"]
    assert "text" not in _columns(there) >= {"reference", "prediction", "source_row"}
    # A data set that has become gated since.
    folder, _, data, *_ = pushed
    hub.repos["datasets", data].gated = True
    try:
        assert main(["push", str(folder), "--repo", repo + "2", "--predictions"]) == 0
    finally:
        hub.repos["datasets", data].gated = False
    assert "text" not in _columns(hub.repos["datasets", f"{repo}2-predictions"])


def _columns(repo):
    return set(pyarrow.parquet.read_schema(io.BytesIO(repo.files["predictions/test.parquet"])).names)


def test_the_token_is_written_nowhere(pushed, hub):
    folder, *_, repo, printed = pushed
    assert TOKEN not in printed
    files = [file for file in folder.parent.rglob("*") if file.is_file()]
    assert len(files) > 12 and not any(TOKEN.encode() in file.read_bytes() for file in files)
    assert not any(TOKEN.encode() in content for content in hub.repos["models", repo].files.values())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of a local model, to be pushed."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "recipe.yaml").write_text(tiny.recipe(plugins.load("tasks", "text-classification")(), folder))
    assert main(["run", str(folder / "recipe.yaml"), "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_a_push_cut_at_any_request_is_finished_by_the_same_command(hub, finished, capsys):
    repo = _id()
    hub.arm(None)
    assert main(["push", str(finished), "--repo", repo]) == 0
    count, complete = len(hub.log), hub.repos["models", repo].files
    assert count > 5
    for number in range(count):
        hub.blobs.clear()
        del hub.repos["models", repo]
        cut = []

        def fault(at, method, path, number=number, cut=cut):
            # Once: what the client tries again by itself may succeed.
            if at == number:
                cut.append(path)
                return ("cut", "lost")[number % 2]
            return None

        hub.arm(fault)
        code = main(["push", str(finished), "--repo", repo])
        assert cut and code in (0, 2)
        if code == 2:
            message = _sentence(capsys)
            assert "`hftransfer push` sends what is missing" in message or "cannot be reached" in message
            partial = hub.repos.get(("models", repo))
            assert partial is None or partial.files in ({".gitattributes": b""}, complete), "a half commit"
        hub.arm(None)
        assert main(["push", str(finished), "--repo", repo]) == 0
        assert hub.repos["models", repo].files == complete
        assert len(hub.repos["models", repo].commits) == 2


def test_what_has_arrived_is_not_sent_again(hub, finished):
    repo = _id()
    hub.blobs.clear()
    hub.arm(lambda number, method, path: "cut" if "/commit/" in path else None)
    assert main(["push", str(finished), "--repo", repo]) == 2
    assert any(method == "PUT" for method, _ in hub.log)
    hub.arm(None)
    assert main(["push", str(finished), "--repo", repo]) == 0
    assert not any(method == "PUT" for method, _ in hub.log)


@pytest.mark.parametrize(("status", "message"), [(429, "fewer requests"), (500, "answers 500"), (503, "answers 503")])
def test_a_refusal_during_a_push_is_reported(status, message, hub, finished, capsys):
    hub.arm(lambda number, method, path: status if "/commit/" in path else None)
    assert main(["push", str(finished), "--repo", _id()]) == 2
    assert message in _sentence(capsys)


def test_missing_write_access_is_reported_before_any_work(hub, finished, monkeypatch, capsys):
    recipe, before = finished.parent / "recipe.yaml", len(hub.repos)

    def refused(repo, token):
        monkeypatch.setenv("HF_TOKEN", token)
        messages = []
        for command in (["check", str(recipe), f"hub.repo={repo}"], ["push", str(finished), "--repo", repo]):
            assert main(command) == 2
            messages.append(_sentence(capsys))
        assert messages[0] == messages[1] and token not in messages[0]
        return messages[0]

    assert "may only read" in refused(_id(), "hf_aliceMayRead")
    assert "does not know the token" in refused(_id(), "hf_madeUp")
    assert "cannot write to 'bob'" in refused("bob/model", TOKEN)
    assert "is no Hub id" in refused("one/two/three", TOKEN)
    monkeypatch.delenv("HF_TOKEN")
    assert main(["check", str(recipe), f"hub.repo={_id()}"]) == 2
    assert "needs a token" in _sentence(capsys)
    assert len(hub.repos) == before


def test_what_another_run_has_pushed_is_replaced_only_by_force(hub, finished, tmp_path, capsys):
    repo = _id()
    assert main(["push", str(finished), "--repo", repo]) == 0
    other = tmp_path / "other"
    assert main(["run", str(finished.parent / "recipe.yaml"), "seed=1", "--out", str(other)]) == 0
    before = hub.repos["models", repo].files
    assert main(["push", str(other), "--repo", repo]) == 2
    assert "another run's; --force" in _sentence(capsys)
    assert hub.repos["models", repo].files == before
    assert main(["push", str(other), "--repo", repo, "--force"]) == 0
    assert hub.repos["models", repo].files != before
    foreign = hub.add(_id(), {"README.md": b"# Mine", "weights.bin": b"1"})
    assert main(["push", str(other), "--repo", foreign.id]) == 2
    assert "not from hftransfer" in _sentence(capsys)
    assert main(["push", str(other), "--repo", repo, "--adapter"]) == 2
    assert "leaves no adapter" in _sentence(capsys)


def test_a_second_push_leaves_files_that_others_have_added(hub, finished, capsys):
    repo = _id()
    assert main(["push", str(finished), "--repo", repo]) == 0
    there = hub.repos["models", repo]
    added = {name: (b"added", False) for name in ("LICENSE", "onnx/old.onnx", "model.gguf")}
    there.commit("more", there.commits[-1].files | added)
    assert main(["push", str(finished), "--repo", repo]) == 0
    assert {"LICENSE", "model.gguf", "config.json"} <= there.files.keys() and "onnx/old.onnx" not in there.files
    assert main(["push", str(finished), "--repo", repo, "--force"]) == 0
    assert "LICENSE" not in there.files
    assert main(["push", str(finished), "--repo", repo, "--private"]) == 2
    assert "exists and is public" in _sentence(capsys)


def test_private_rows_are_not_published(hub, finished, pushed):
    repo = _id()
    assert main(["push", str(finished), "--repo", repo]) == 0
    private, published = (hub.repos["models", name].files for name in (repo, pushed[3]))
    for files, source in ((private, finished), (published, pushed[0])):
        local, sent = (json.loads(text) for text in ((source / "result.json").read_text(), files["result.json"]))
        public = files is published
        assert local["examples"] and (sent["examples"] == local["examples"]) is public
        assert (sent["worst"] == local["worst"]) is (public or not local["worst"])
        assert (b"widget:" in files["README.md"]) is public


def test_rows_of_a_data_set_that_is_gated_by_now_are_not_published(hub, pushed):
    folder, _, data, _, _ = pushed
    repo, hub.repos["datasets", data].gated = _id(), True
    try:
        assert main(["push", str(folder), "--repo", repo]) == 0
    finally:
        hub.repos["datasets", data].gated = False
    files = hub.repos["models", repo].files
    assert json.loads(files["result.json"])["examples"] == [] and b"widget:" not in files["README.md"]


def test_a_card_that_the_hub_refuses_is_a_sentence(hub, finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    record = json.loads((run / "result.json").read_text())
    record["recipe"]["hub"] = {"repo": _id(), "license": "made-up-1.0"}
    (run / "result.json").write_text(json.dumps(record))
    assert main(["push", str(run)]) == 2
    assert "(hub.license, hub.language): Invalid metadata in README.md" in _sentence(capsys)


def test_an_adapter_is_refused_before_the_training_where_there_is_none(hub, finished, capsys):
    recipe = str(finished.parent / "recipe.yaml")
    for changes, said in (
        (["strategy=full"], "strategy 'full' makes no adapter"),
        (["strategy=lora", "model.id=sample:minilm"], "needs its checkpoint on the Hub"),
    ):
        assert main(["check", recipe, f"hub={{repo: {_id()}, adapter: true}}", *changes]) == 2
        assert said in _sentence(capsys)


def test_a_run_that_replaces_another_may_push_to_its_repository(hub, finished, tmp_path, capsys):
    recipe, repo = str(finished.parent / "recipe.yaml"), _id()
    words = ["run", recipe, "--out", str(tmp_path / "run"), f"hub.repo={repo}", "export=null"]
    assert main(words) == 0
    assert main([*words, "seed=1", "--overwrite"]) == 0
    assert len(hub.repos["models", repo].commits) == 3
    hub.arm(lambda number, method, path: "cut" if "/commit/" in path else None)
    assert main([*words, "seed=2", "--overwrite"]) == 2
    assert f"the run is finished: `hftransfer push {tmp_path / 'run'}`" in _sentence(capsys)
    hub.arm(None)
    assert main(["push", str(tmp_path / "run")]) == 0


def test_a_pushed_recipe_runs_no_remote_code_unless_allowed(hub, finished, capsys):
    text = (finished / "recipe.yaml").read_text()
    assert "trust_remote_code: false" in text
    trusting = hub.add(_id(), {"recipe.yaml": text.replace("code: false", "code: true").encode()}).id
    assert api.read_recipe(f"hub:{trusting}").model.trust_remote_code is False
    assert api.read_recipe(f"hub:{trusting}", ["model.trust_remote_code=true"]).model.trust_remote_code is True
    metric = "evaluation: {metrics: [someone/metric]}\n"
    measuring = hub.add(_id(), {"recipe.yaml": (text.partition("evaluation:")[0] + metric).encode()}).id
    assert main(["check", f"hub:{measuring}"]) == 2
    assert "the metric 'someone/metric' is code of a repository" in _sentence(capsys)


def test_a_record_of_another_version_is_reported(hub, capsys):
    for content in (b"[]", b"no json", b'{"id": "1", "later": 2}'):
        repo = hub.add(_id(), {"result.json": content, "recipe.yaml": b"task: x"}).id
        assert main(["reproduce", repo]) == 2
        assert "is no record of a run, or that of another version" in _sentence(capsys)


def test_an_adapter_for_a_changed_checkpoint_is_not_pushed_alone(tmp_path):
    (tmp_path / "adapter").mkdir()
    model = {"id": "org/small", "config": {"model_type": "yolos"}, "processor": None}
    changed = results_builder.recipe(model=model)
    result = results_builder.result(recipe=changed, revisions={"org/small": "a" * 40})
    with pytest.raises(HubError, match="does not fit 'org/small', which the recipe changes"):
        push.contents(tmp_path, result, "alice/x", adapter=True)


def test_an_interrupted_download_is_continued(hub, checkpoint, tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 65536)
    content = os.urandom(3_000_000)
    repo = hub.add(_id(), {"model.safetensors": content}).id
    hub.arm(lambda number, method, path: "half" if method == "GET" and "/resolve/" in path and number < 3 else None)
    for _ in range(3):
        try:
            path = huggingface_hub.hf_hub_download(repo, "model.safetensors", cache_dir=tmp_path)
            break
        except OSError:
            continue
    assert Path(path).read_bytes() == content


@pytest.mark.parametrize(
    ("settings", "revision", "token", "message"),
    [
        (None, None, TOKEN, "has no model"),
        ({"private": True}, None, "hf_bob", "or it is private"),
        ({"gated": True}, None, "hf_bob", "is gated"),
        ({}, "v9", TOKEN, "has no revision 'v9'"),
        ({}, None, "hf_madeUp", "does not know the token"),
    ],
)
def test_what_cannot_be_read_is_reported(settings, revision, token, message, request):
    hub, monkeypatch = request.getfixturevalue("hub"), request.getfixturevalue("monkeypatch")
    hub.tokens["hf_bob"] = ("bob", "write")
    monkeypatch.setenv("HF_TOKEN", token)
    repo = _id()
    if settings is not None:
        hub.add(repo, {"config.json": b"{}"}, **settings)
    with pytest.raises(HubError, match=message):
        find_checkpoint(repo, revision)


def test_a_private_repository_is_read_by_its_owner_and_a_tag_is_resolved(hub, checkpoint):
    repo = hub.add(_id(), checkpoint, private=True)
    first = repo.commits[-1].oid
    repo.refs["v1"] = first
    repo.commit("second", repo.commits[-1].files | {"more.txt": (b"1", False)})
    assert (
        find_checkpoint(repo.id, "v1").revision == first
        and find_checkpoint(repo.id).revision == repo.commits[-1].oid != first
    )
    assert "more.txt" in client.list_files(repo.id) and "more.txt" not in client.list_files(repo.id, "v1")


def test_pickled_weights_and_remote_code_are_refused(hub, checkpoint, tmp_path, capsys):
    path, *_ = _recipe(hub, checkpoint, tmp_path / "in")
    config = json.loads(checkpoint["config.json"])
    pickled = {name: content for name, content in checkpoint.items() if name != "model.safetensors"}
    repo = hub.add(_id(), pickled | {"pytorch_model.bin": b"\x80"}).id
    assert main(["check", str(path), f"model.id={repo}", "hub=null"]) == 2
    assert "are pickled" in _sentence(capsys)
    repo = hub.add(_id(), pickled).id
    assert main(["check", str(path), f"model.id={repo}", "hub=null"]) == 2
    assert "holds no weights" in _sentence(capsys)
    remote = config | {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
    repo = hub.add(_id(), checkpoint | {"config.json": json.dumps(remote).encode(), "own.py": b"raise SystemExit"}).id
    assert main(["check", str(path), f"model.id={repo}", "hub=null"]) == 2
    assert "trust_remote_code" in _sentence(capsys)


def test_cached_repositories_work_offline_and_others_are_reported_at_once(hub, checkpoint, tmp_path):
    path, *_, repo = _recipe(hub, checkpoint, tmp_path / "in")
    load_recipe(path)
    home = {"HF_HOME": str(tmp_path / "home"), "HF_DATASETS_CACHE": str(tmp_path / "home" / "rows")}
    short = ["hub=null", "export=null", "evaluation.baselines=[]", "training.max_steps=2", "--out"]

    def commands(*asked: list[str], **settings: str) -> tuple[list[int], list[str]]:
        """Exit codes, and the last line of what each command says of errors, of one process."""
        script = "import json, sys; from hftransfer.cli import main\n"
        script += "for words in json.loads(sys.argv[1]): print('rc', main(words), file=sys.stderr)"
        words = [sys.executable, "-c", script, json.dumps(asked)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ | home | settings)
        lines = done.stderr.splitlines()
        ends = [number for number, line in enumerate(lines) if line.startswith("rc ")]
        return [int(lines[end][3:]) for end in ends], [lines[end - 1] for end in ends]

    codes, _ = commands(["run", str(path), *short, str(tmp_path / "one")])
    assert codes == [0]
    codes, said = commands(
        ["run", str(path), *short, str(tmp_path / "two")],
        ["check", str(path), "hub=null", "model.id=nobody/nothing"],
        ["push", str(tmp_path / "one"), "--repo", repo],
        HF_HUB_OFFLINE="1",
    )
    assert codes[:2] == [0, 2] and codes[2]
    assert "not in the local cache" in said[1] and "HF_HUB_OFFLINE is set" in said[2]
    one, two = (json.loads((tmp_path / run / "result.json").read_text()) for run in ("one", "two"))
    assert one["scores"] == two["scores"] and one["revisions"] == two["revisions"]
    codes, said = commands(["check", str(path)], HF_ENDPOINT="http://127.0.0.1:9")
    assert codes == [2] and "cannot be reached" in said[0]


def test_an_unknown_model_is_reported(hub):
    with pytest.raises(HubError, match="no local directory"):
        find_checkpoint("alice/none")
    with pytest.raises(ModelError):
        find_checkpoint("./none")
