"""A recipe by its address, from a server on loopback."""

from pathlib import Path

import pytest

from hftransfer import api
from hftransfer.cli import main
from hftransfer.core.errors import RecipeError
from hftransfer.runner.folders import default_folder

QUICKSTART = (Path(__file__).parent.parent / "recipes" / "quickstart.yaml").read_bytes()


@pytest.fixture
def address(hub):
    """Of the files in a repository."""
    files = {"a.yaml": QUICKSTART, "long.yaml": b"#" * 1_000_001, "bytes.yaml": b"\xff"}
    return f"{hub.url}/{hub.add('someone/recipes', files).id}/resolve/main"


def test_a_recipe_is_read_with_overrides_and_trusted_as_little_as_one_of_the_hub(address):
    recipe = api.read_recipe(f"{address}/a.yaml", ["seed=3"])
    assert recipe == api.read_recipe("quickstart", ["seed=3"])
    assert default_folder(f"{address}/a.yaml?download=true") == Path("runs/a")


def test_it_pushes_nothing(hub):
    text = QUICKSTART + b"hub: {repo: alice/own}\n"
    place = f"{hub.url}/{hub.add('someone/pushing', {'a.yaml': text}).id}/resolve/main/a.yaml"
    assert api.read_recipe(place).hub is None


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none.yaml", "the server answers 404"),
        ("long.yaml", "has more than 1,000,000 bytes, so it is no recipe"),
        ("bytes.yaml", "is no text in UTF-8, so it is no recipe"),
    ],
)
def test_what_is_no_recipe_is_one_sentence(address, name, sentence, capsys):
    assert main(["check", f"{address}/{name}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line and f"{address}/{name}" in line


def test_the_web_is_read_by_https_alone_and_a_dead_server_is_named():
    with pytest.raises(RecipeError, match="a recipe is read from https:// alone"):
        api.read_recipe("http://example.org/a.yaml")
    with pytest.raises(RecipeError, match=r"'http://127\.0\.0\.1:1/a\.yaml' cannot be read"):
        api.read_recipe("http://127.0.0.1:1/a.yaml")
