"""Files of a checkpoint or of a finished run that are damaged or missing: one sentence that names the file."""

import json
import shutil

import pytest
import tiny

from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.errors import MissingExtraError, ModelError
from hftransfer.models.checkpoint import Checkpoint, find_checkpoint
from hftransfer.models.reading import read_pretrained

# One process, in which they share a finished run.
pytestmark = pytest.mark.xdist_group("damaged_files")

CUT, FLIPPED, BIT, GONE = "cut", "flipped", "bit", "gone"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a recipe and its finished run, exported to ONNX."""
    folder = tmp_path_factory.mktemp("finished")
    export = "export: {format: onnx, quantization: none, max_drop: 1}"
    (folder / "recipe.yaml").write_text(
        tiny.recipe(plugins.load("tasks", "text-classification")(), folder, more=export)
    )
    assert main(["run", str(folder / "recipe.yaml"), "training.max_steps=1", "--out", str(folder / "run")]) == 0
    return folder


def _damage(file, content):
    """Put the content in the place of a file's own; half of it, other bytes, or no file."""
    if content is GONE:
        shutil.rmtree(file) if file.is_dir() else file.unlink()
        return
    before = file.read_bytes()
    # The files of a run may be links to the same content elsewhere.
    file.unlink()
    # Near the end of its file, one bit is that of a weight.
    bit = before[:-20] + bytes([before[-20] ^ 1]) + before[-19:]
    changed = {CUT: before[: len(before) // 2], FLIPPED: bytes(byte ^ 0x5A for byte in before), BIT: bit}
    file.write_bytes(changed.get(content, content))


COMMANDS = {
    "predict": lambda run, recipe: ["predict", run, "good\tbad"],
    "onnx": lambda run, recipe: ["predict", run, "good\tbad", "--variant", "onnx"],
    "resume": lambda run, recipe: ["run", recipe, "training.max_steps=1", "--out", run, "--resume"],
    "export": lambda run, recipe: ["export", run],
    "bench": lambda run, recipe: ["bench", run],
    "push": lambda run, recipe: ["push", run, "--repo", "alice/tiny"],
}


@pytest.mark.parametrize(
    ("command", "name", "content"),
    [
        *(("predict", f"model/{name}", content)
          for name in ("config.json", "tokenizer.json", "tokenizer_config.json")
          for content in (b"", CUT, b"[]", b"null", b"\xff\xfe")),
        ("predict", "model/tokenizer.json", b"{}"),
        ("predict", "model", GONE),
        ("predict", "model/model.safetensors", CUT),
        ("predict", "result.json", CUT),
        *(("onnx", f"onnx/{name}", content)
          for name in ("model.onnx", "config.json") for content in (CUT, FLIPPED, GONE)),
        ("onnx", "onnx/tokenizer.json", CUT),
        ("onnx", "onnx", GONE),
        *(("resume", "result.json", content) for content in (CUT, b"", b"\xff\xfe", b"[]")),
        ("resume", "model", GONE),
        ("resume", "model/model.safetensors", CUT),
        ("resume", "model/model.safetensors", FLIPPED),
        ("resume", "model/config.json", b"null"),
        *(("export", f"predictions/{name}.npz", content)
          for name, content in (("test", CUT), ("test", GONE), ("validation", FLIPPED), ("test", b""))),
        ("export", "model/model.safetensors", CUT),
        *((command, "model/model.safetensors", BIT) for command in ("predict", "resume", "export", "push")),
        *((command, "onnx/model.onnx", BIT) for command in ("onnx", "bench", "push")),
        ("bench", "onnx/model.onnx", GONE),
        ("push", "model/model.safetensors", GONE),
    ],
)  # fmt: skip
def test_a_damaged_file_of_a_finished_run_is_named(command, name, content, finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished / "run", run)
    _damage(run / name, content)
    assert main(COMMANDS[command](str(run), str(finished / "recipe.yaml"))) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("hftransfer: ") and str(run / name) in message
    assert any(remedy in message for remedy in ("again", "--overwrite"))


INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"model.safetensors.index.json": {"weight_map": {"a": "../outside.safetensors"}}},
            "outside of the checkpoint",
        ),
        ({"model.safetensors.index.json": {"weight_map": {"a": "/outside.safetensors"}}}, "outside of the checkpoint"),
        (
            {"model.safetensors.index.json": {"weight_map": {"a": "one-of-two.safetensors"}}},
            "is missing, a part of the",
        ),
        ({"model.safetensors.index.json": {}}, "does not say which file holds which weights"),
        ({"generation_config.json": []}, "holds no JSON object"),
    ],
)
def test_an_index_stays_in_the_folder_of_the_checkpoint(files, message, tmp_path):
    for name, fields in ({"config.json": {"model_type": "bert"}} | files).items():
        (tmp_path / name).write_text(json.dumps(fields))
    with pytest.raises(ModelError, match=message):
        find_checkpoint(str(tmp_path))


def test_a_tokenizer_without_a_vocabulary_is_refused(tmp_path):
    """Transformers 5 makes one of special tokens alone, and 4.57 raises."""
    import transformers

    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    with pytest.raises(ModelError, match=r"has no vocabulary for its BertTokenizer|AutoTokenizer cannot read"):
        read_pretrained(transformers.AutoTokenizer, Checkpoint(str(tmp_path)))


@pytest.mark.parametrize("package", ["sentencepiece", "google.protobuf"])
def test_a_package_that_a_tokenizer_needs_is_named(package, tmp_path, monkeypatch):
    class Reader:
        @staticmethod
        def from_pretrained(*_, **__):
            raise ValueError(
                "`tiktoken` is required to read a `tiktoken` file. Install it with `pip install tiktoken`."
            )

    monkeypatch.setitem(__import__("sys").modules, package, None)
    name = package.removeprefix("google.")
    with pytest.raises(
        MissingExtraError, match=rf"by the package '{name}', which is not installed: pip install '.*text"
    ):
        read_pretrained(Reader, Checkpoint(str(tmp_path)))
