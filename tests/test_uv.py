"""scripts/uv/hftransfer.py, the one file for `uv run`: its metadata, and that its name does not hide the package."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import hftransfer

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "uv" / "hftransfer.py"
# As PEP 723 says how the block is read.
BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


def test_the_metadata_agree_with_the_package():
    (block,) = [match for match in BLOCK.finditer(SCRIPT.read_text()) if match["type"] == "script"]
    found = tomllib.loads("".join(line[2:] for line in block["content"].splitlines(keepends=True)))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (requirement,) = map(Requirement, found["dependencies"])
    assert found["requires-python"] == project["requires-python"] and requirement.name == project["name"]
    assert {"onnx", "speech", "text", "vision"} <= requirement.extras <= set(project["optional-dependencies"])
    # What the README lets people install.
    assert f"pip install '{found['dependencies'][0]}'\n" in (ROOT / "README.md").read_text()


def _run(*words, cwd, code=0):
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.parametrize("where", ["elsewhere", "in its directory", "downloaded"])
def test_a_file_with_the_name_of_the_package_runs_its_commands(where, tmp_path):
    script = shutil.copy(SCRIPT, tmp_path) if where == "downloaded" else SCRIPT
    listed = _run(script, "list", "strategies", cwd=SCRIPT.parent if where == "in its directory" else tmp_path)
    assert "\n  lora " in listed.stdout and listed.stderr == ""


def test_mistakes_and_exit_codes_are_those_of_the_command_line(tmp_path):
    done = _run(SCRIPT, "lsit", cwd=tmp_path, code=2)
    assert done.stderr.startswith("hftransfer: there is no command 'lsit'; did you mean 'list'?")


def test_the_processes_of_a_command_find_the_package_too(tmp_path):
    shutil.copy(SCRIPT, tmp_path)
    (tmp_path / "parent.py").write_text(
        "import runpy, subprocess, sys\n"
        "runpy.run_path('hftransfer.py', run_name='__mp_main__')\n"
        "import hftransfer\n"
        "print(hftransfer.__version__, flush=True)\n"
        "sys.exit(subprocess.run([sys.executable, '-m', 'hftransfer.cli', '--version']).returncode)\n"
    )
    assert _run("parent.py", cwd=tmp_path).stdout == f"{hftransfer.__version__}\n" * 2


def test_without_the_package_there_is_a_sentence(tmp_path):
    # Isolated and without site-packages: neither PYTHONPATH nor what is installed.
    done = _run("-I", "-S", SCRIPT, "list", cwd=tmp_path, code=2)
    assert done.stderr == (
        f"hftransfer: the package is not installed here; this installs it: uv run {SCRIPT}\n"
    ) and not (done.stdout)
