"""What users install: the wheel, the packaged recipes, the Python API, a notebook."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
import results_builder
import tiny
import yaml
from nbclient import NotebookClient

import hftransfer
from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.recipe import catalog
from hftransfer.recipe.loader import load_recipe

ROOT = Path(__file__).parent.parent


def _tracked(suffix: str) -> set[str]:
    """The package's files of a suffix, as a wheel names them."""
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / "hftransfer").rglob(f"*{suffix}")}


@pytest.mark.xdist_group("wheel")
def test_the_wheel_holds_code_recipes_and_templates(wheel):
    with zipfile.ZipFile(wheel) as archive:
        files = set(archive.namelist())
        (metadata,) = (name for name in files if name.endswith("dist-info/METADATA"))
        facts = archive.read(metadata).decode()
    assert _tracked(".py") <= files and _tracked(".jinja") <= files and "hftransfer/py.typed" in files
    recipes = {f"hftransfer/{path.relative_to(ROOT)}" for path in (ROOT / "recipes").rglob("*.yaml")}
    assert recipes == {name for name in files if name.endswith(".yaml")} and len(recipes) > 30
    assert "hftransfer-recipes" in facts and "License-Expression: Apache-2.0" in facts
    assert any(name.endswith("licenses/LICENSE") for name in files)
    assert not [name for name in files if name.startswith(("tests", "scripts"))]


@pytest.mark.xdist_group("wheel")
def test_the_installed_package_lists_its_recipes_anywhere(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    (tmp_path / "empty").mkdir()
    code = "import hftransfer; print(hftransfer.__file__); from hftransfer.cli import main; main(['list'])"
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "empty", env=env, capture_output=True, text=True, check=True
    )
    place, *lines = done.stdout.splitlines()
    assert place.startswith(str(tmp_path / "site"))
    assert {line.split()[0] for line in lines if line.startswith("  ")} >= {"quickstart", "text/bbc_news-minilm-full"}


def test_the_version_is_one():
    version = hftransfer.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == "hftransfer-recipes" and project["dynamic"] == ["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"\n## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


def test_importing_costs_no_torch_and_little_time():
    code = (
        "import time; start = time.process_time(); import hftransfer; print(time.process_time() - start)\n"
        "from hftransfer import Recipe, RunResult, check, load_recipe, predict, run\n"
        "import sys; print(sorted({'torch', 'transformers', 'datasets', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, loaded = done.stdout.splitlines()
    assert float(seconds) <= 0.3 and loaded == "[]"


def test_public_names_are_what_they_say():
    assert dir(hftransfer) == hftransfer.__all__
    for name in hftransfer.__all__:
        assert getattr(hftransfer, name) and name in vars(hftransfer)
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        hftransfer.train  # noqa: B018


def test_names_of_recipes_are_different_without_their_folder():
    names = [name.rpartition("/")[2] for name in catalog.packaged_recipes()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "name", ["bbc_news-minilm-full", "text/bbc_news-minilm-full", "recipes/text/bbc_news-minilm-full.yaml"]
)
def test_a_packaged_recipe_is_found_by_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").mkdir()
    assert load_recipe(name) == load_recipe(ROOT / "recipes" / "text" / "bbc_news-minilm-full.yaml")


def test_a_file_comes_before_a_packaged_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text((ROOT / "recipes" / "quickstart.yaml").read_text() + "\nseed: 7\n")
    assert load_recipe("quickstart").seed == 7


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quikstart", "there is no recipe 'quikstart'; did you mean 'quickstart'?"),
        ("bbc_news-minilm-ful", "did you mean 'text/bbc_news-minilm-full'"),
        ("zzz", "there is no recipe 'zzz'; `hftransfer list` shows the recipes of the package"),
        ("none/zzz.yaml", "there is no recipe file 'none/zzz.yaml'$"),
    ],
)
def test_an_unknown_recipe_gets_the_nearest_names(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=message):
        load_recipe(name)


def test_the_api_checks_runs_and_predicts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = plugins.load("tasks", "text-classification")()
    Path("mine.yaml").write_text(tiny.recipe(task, tmp_path))
    short = ["training.num_train_epochs=1", "evaluation.resamples=10"]
    assert "strategy    full" in str(hftransfer.check("mine.yaml", short))
    result = hftransfer.run("mine.yaml", short)
    assert isinstance(result, hftransfer.RunResult) and Path("runs/mine/model/model.safetensors").is_file()
    assert hftransfer.run("mine.yaml", short, resume=True) == result
    with pytest.raises(RecipeError, match="--overwrite"):
        hftransfer.run("mine.yaml", short)
    answers = hftransfer.predict("runs/mine", ["good 1\tgood 2", "bad 3\tbad 4"])
    assert len(answers) == 2 and {"label", "scores"} <= answers[0].keys()
    assert hftransfer.predict("runs/mine", "good 1\tgood 2") == answers[:1]
    recipe = hftransfer.Recipe(**yaml.safe_load(Path("mine.yaml").read_text()))
    again = hftransfer.run(recipe, overrides=short, out="again")
    assert again.scores == result.scores and again.recipe == result.recipe


def test_a_notebook_shows_a_result(tmp_path):
    record = tmp_path / "result.json"
    results_builder.result(name="a <name>").save(record)
    code = f"from hftransfer import RunResult\nfrom pathlib import Path\nRunResult.load(Path({str(record)!r}))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(
        notebook, timeout=50, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    (output,) = notebook.cells[0].outputs
    html = output["data"]["text/html"]
    assert "<td>tuned</td><td>0.925 [0.905, 0.945]</td>" in html and "onnx-int8 (rejected)" in html
    assert "a &lt;name&gt;" in html
