"""What all commands share: JSON, quiet, verbose, colours, completion, what a wrong word means; and `doctor`."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from hftransfer.cli import main
from hftransfer.commands import _parser, doctor
from hftransfer.commands._arguments import split_overrides
from hftransfer.core import console, plugins, synonyms
from hftransfer.core.installation import Installation, installation
from hftransfer.recipe import catalog
from hftransfer.recipe.descriptions import describe, type_name

# One process, in which they share a finished run.
pytestmark = pytest.mark.xdist_group("command_line")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lines")
    (folder / "first.yaml").write_text(tiny.recipe(plugins.load("tasks", "text-classification")(), folder))
    assert main(["run", str(folder / "first.yaml"), "--out", str(folder / "runs" / "first")]) == 0
    return folder / "runs" / "first"


def _json(capsys):
    """The object on stdout."""
    return json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


MEANT = {
    "a misspelt command": (["rnu", "x"], "there is no command 'rnu'; did you mean 'run'? Allowed: "),
    "another word for a command": (["train", "x"], "did you mean 'run'?"),
    "no command": ([], "a command is missing; Allowed: "),
    "a misspelt option": (["run", "quickstart", "--ouput", "x"], "run has no option '--ouput'; did you mean '--out'?"),
    "an option with its value": (["curve", "quickstart", "--sedes=3"], "no option '--sedes'; did you mean '--seeds'?"),
    "an option before the command": (["-q", "run"], "options follow it: hftransfer COMMAND -q"),
    "a missing argument": (["run"], "arguments are required: recipe; `hftransfer run --help`"),
    "a word too many": (["doctor", "now"], "doctor takes no argument 'now' there"),
    "a number in words": (["bench", "x", "--calls", "many"], "argument --calls: invalid int value: 'many'"),
    "another word for a field": (
        ["check", "quickstart", "strategy.rank=4"], "unknown key 'strategy.rank'; did you mean 'r'?"
    ),
    "a field of another section": (["check", "quickstart", "lr=1"], "did you mean 'training.learning_rate'?"),
    "another word for a training argument": (
        ["check", "quickstart", "training.epochs=1"], "did you mean 'num_train_epochs'?"
    ),
    "another word for a task": (
        ["check", "quickstart", "task=semantic-segmentation"], "did you mean 'image-segmentation'?"
    ),
    "an unknown name": (["list", "lorra"], "there is no plug-in or recipe 'lorra'; did you mean 'lora'?"),
}  # fmt: skip


@pytest.mark.parametrize("case", MEANT)
def test_a_wrong_word_is_answered_with_the_right_one(case, capsys):
    words, said = MEANT[case]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("hftransfer: ") and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "lora", "--schema"], "--schema: it prints the schema of whole recipes; leave 'lora' out"),
        (["curve", "quickstart", "--next", "9", "--gain", "0.1"], "--gain: it is for runs with several numbers"),
        (["curve", "quickstart", "--labels", "8", "16", "32", "seed=x"], "'seed' should be"),
        (["curve", "quickstart", "--gain", "inf"], "--gain: a number above 0, got inf"),
        (["rank", "quickstart", "--checkpoints", "a", "seed=x"], "'seed' should be"),
    ],
)
def test_options_that_do_not_go_together_are_refused_and_overrides_may_follow_them(words, said, capsys):
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_a_directory_with_an_equals_sign_is_no_override(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strategy=lora-seed0").mkdir()
    words = ["strategy=lora-seed0", "runs/x/strategy=lora", "org/small", "seed=1", "data.shots=8"]
    assert split_overrides(words) == (words[:3], words[3:])


def test_a_report_replaces_no_file_but_a_page(finished, capsys):
    record = (finished / "result.json").read_text()
    assert main(["report", str(finished), "--out", str(finished / "result.json")]) == 2
    assert "exists and is no HTML file" in capsys.readouterr().err
    assert (finished / "result.json").read_text() == record


def test_synonyms_stand_for_what_there_is():
    named = {name for kind in plugins.KINDS for name in plugins.names(kind)}
    for word, right in synonyms.NAMES.items():
        assert set(right) <= named and word not in named and word.replace("_", "-") not in named, word
    commands = set(_parser.of_commands(_parser.parser()))
    # `new` may be a command of a later version.
    assert {right for words in synonyms.COMMANDS.values() for right in words} <= commands | {"new"}
    assert not commands & set(synonyms.COMMANDS)
    keys = json.dumps(_schema())
    assert all(f'"{right.rpartition(".")[2]}"' in keys for words in synonyms.KEYS.values() for right in words)


def _schema():
    from hftransfer.recipe.schema import Recipe
    from hftransfer.recipe.training_arguments import training_fields

    return [Recipe.json_schema(), list(training_fields())]


def test_json_is_one_object_whatever_the_command(finished, tmp_path, capsys):
    recipe = str(finished.parent.parent / "first.yaml")
    assert main(["run", recipe, "--out", str(tmp_path / "run"), "export=null", "--json"]) == 0
    run = _json(capsys)
    assert run["folder"] == str(tmp_path / "run") and run["headline"] in run["scores"]["test"]["tuned"]
    assert {"verdict", "seconds", "warnings", "exports", "pushed"} <= set(run)
    assert main(["check", recipe, "--json"]) == 0
    assert _json(capsys)["rows"]["train"] == 28
    assert main(["predict", str(finished), "good 2\tgood 2", "--json"]) == 0
    assert _json(capsys)["answers"][0]["label"] in ("x", "y")
    assert main(["report", str(finished), "--out", str(tmp_path / "r.html"), "--json"]) == 0
    assert _json(capsys)["runs"][0]["name"] == "first"
    assert main(["list", "--json"]) == 0
    assert set(_json(capsys)) == {*plugins.KINDS, "recipes"}
    assert main(["list", "lora", "--json"]) == 0
    assert _json(capsys)["plugins"][0]["fields"][0]["name"] == "r"
    assert main(["completion", "bash", "--json"]) == 0
    assert "complete -F" in _json(capsys)["output"]
    for words in (["report", "nowhere", "--json"], ["rnu", "--json"]):
        assert main(words) == 2
        assert "did you mean" in _json(capsys)["error"] or words[0] == "report"


def test_numbers_that_json_lacks_are_null(capsys):
    from hftransfer.commands._output import print_json

    print_json({"score": float("nan"), "low": float("-inf")})
    assert _json(capsys) == {"score": None, "low": None}


def test_quiet_leaves_warnings_alone_and_verbose_adds_the_traceback(finished, tmp_path, capsys, monkeypatch):
    # What is set here is not set in the tests that follow.
    for name in console._LOG_LEVELS:
        monkeypatch.setenv(name, "warning")
    words = ["report", str(finished), "--out", str(tmp_path / "r.html")]
    assert main([*words, "-q"]) == 0
    said = capsys.readouterr()
    assert said.out == "" and all(line.startswith("WARNING: ") for line in said.err.splitlines())
    assert main(["check", str(finished.parent.parent / "first.yaml"), "seed=5", "-q"]) == 0
    assert not re.search(r" in \d+\.\d s$", capsys.readouterr().err, re.MULTILINE)
    damaged = tmp_path / "damaged"
    shutil.copytree(finished, damaged)
    (damaged / "result.json").write_text("{")
    assert main(["report", str(damaged), "-v"]) == 2
    error = capsys.readouterr().err
    # The cause stands there too, though the error is raised `from None`.
    assert "ValidationError" in error and error.splitlines()[-1].startswith("hftransfer: ")
    assert main(["report", str(damaged)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    class Terminal:
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert console.styled("x", "error", Terminal()) == "\033[1;31mx\033[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert console.styled("x", "error", Terminal()) == "x"
    monkeypatch.delenv("NO_COLOR")
    assert console.with_marks("WARNING: x") == "WARNING: x" or sys.stdout.isatty()


def test_a_plug_in_is_shown_with_its_fields_and_a_recipe(capsys):
    assert main(["list", "image-segmentation"]) == 0
    said = capsys.readouterr().out
    assert "roles of columns: image (image), mask (mask)" in said and "metrics: mean_iou, pixel_accuracy" in said
    assert "background: 'white' | 'black', default \"white\"" in said and "ignore: int | None, default 255" in said
    assert "example: hftransfer list vision/" in said
    assert main(["list", "metrics"]) == 0
    assert "accuracy" in (said := capsys.readouterr().out) and "lora" not in said
    assert main(["list", "quickstart"]) == 0
    assert "task: {name: text-classification" in capsys.readouterr().out


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_plug_in_can_be_shown(kind):
    for name in plugins.names(kind):
        shown = describe(kind, name)
        assert shown.summary and all(field.type for field in shown.fields)
    # What a kind's examples are found by.
    assert any(describe(kind, name).recipes for name in plugins.names(kind)) or kind == "exporters"


def test_types_are_written_as_in_python():
    assert type_name(int | None) == "int | None" and type_name(dict[str, list[int]]) == "dict[str, list[int]]"


def test_doctor_names_what_an_extra_lacks_and_its_command(tmp_path):
    metadata = tmp_path / "hftransfer_recipes-9.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: hftransfer-recipes\nVersion: 9.0\nRequires-Dist: pydantic<2\n"
        "Requires-Dist: numpy\nProvides-Extra: speech\nRequires-Dist: not-to-be-had>=3; extra == 'speech'\n"
        "Requires-Dist: numpy<1; extra == 'speech'\nRequires-Dist: pillow; extra == 'speech'\n"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parent.parent)])
    environment = os.environ | {"PYTHONPATH": path, "HF_TOKEN": "hf_abcdefghijklmnopqrst"}
    command = [sys.executable, "-m", "hftransfer", "doctor", "--json"]
    # A checkout in which the package is installed has metadata of its own.
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=tmp_path)
    found = Installation.model_validate_json(done.stdout)
    # A required package is missing.
    assert done.returncode == 2 and found.extras[0].lacks == ["pydantic<2"]
    assert found.extras[1].lacks == ["not-to-be-had>=3", "numpy<1"]
    assert found.token == "HF_TOKEN" and "hf_abc" not in done.stdout + done.stderr
    assert found.versions["hftransfer-recipes"] == "9.0" and found.memory_bytes > 1e8
    said = doctor._text(found)
    assert "  speech    lacks not-to-be-had>=3, numpy<1: pip install 'hftransfer-recipes[speech]'" in said
    assert "  required  lacks pydantic<2: pip install 'hftransfer-recipes'" in said


def test_doctor_knows_the_environment_of_optimum():
    (without,) = (extra for extra in installation(None).extras if extra.name == "optimum")
    (having,) = (extra for extra in installation("python").extras if extra.name == "optimum")
    assert without.command == "hftransfer setup-optimum" and without.lacks and not having.lacks


def _script(shell, tmp_path, capsys):
    assert main(["completion", shell]) == 0
    file = tmp_path / f"completion.{shell}"
    file.write_text(capsys.readouterr().out)
    return file


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["ru"], {"run"}),
        (["re"], {"render", "report", "reproduce"}),
        (["run", "quick"], {"quickstart"}),
        (["run", "quickstart", "--o"], {"--on", "--out", "--overwrite"}),
        (["list", "lo"], {"lora"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
        (["report", "--out", "completion.b"], {"completion.bash"}),
    ],
)
def test_bash_completes(words, completed, tmp_path, capsys, monkeypatch):
    _script("bash", tmp_path, capsys)
    monkeypatch.chdir(tmp_path)
    code = 'source completion.bash; COMP_WORDS=(hftransfer "$@"); COMP_CWORD=$#; _hftransfer; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", code, "bash", *words], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == completed


def test_scripts_of_all_shells_have_every_command_and_recipe(tmp_path, capsys):
    for shell in ("bash", "zsh", "fish"):
        file = _script(shell, tmp_path, capsys)
        text = file.read_text()
        assert all(name in text for name in _parser.of_commands(_parser.parser()))
        assert all(name in text for name in catalog.packaged_recipes())
        # Each shell that is installed reads it.
        if program := shutil.which(shell):
            subprocess.run([program, "-n", file], check=True)
