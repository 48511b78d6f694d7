"""Every code block of README, CONTRIBUTING and docs/: Python runs on tiny data, YAML and commands are parsed."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import tiny
import yaml
from conftest import HUB
from test_hub_recipes import MODELS

import hftransfer.api
from hftransfer.commands import _parser
from hftransfer.core import plugins
from hftransfer.data.augmentation import operations
from hftransfer.data.corruptions import check_corruptions
from hftransfer.recipe import catalog
from hftransfer.recipe.loader import load_recipe, parse_recipe

ROOT = Path(__file__).parent.parent
FILES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "recipes/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in FILES}
BLOCK = re.compile(r'^```(\w*)(?: title="([^"\n]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
PART = "part of a recipe"
LANGUAGES = {"bash", "json", "python", "text", "toml", "yaml"}
BASE = {
    "task": "text-classification",
    "model": {"id": "distilbert/distilbert-base-uncased"},
    "data": {"source": {"name": "csv", "train": "rows.csv"}},
}
# Programs of others, whose arguments are not looked at.
OTHERS = {"cd", "git", "hf", "."}


def _blocks(page, language):
    """(title, content) of the code blocks of a language."""
    return [(title, text) for name, title, text in BLOCK.findall(PAGES[page]) if name == language]


def _with(language):
    return [page for page in PAGES if _blocks(page, language)]


def _recipe(title, text):
    """The text of a whole recipe, out of a block that may be a part of one."""
    if title != PART:
        return text
    part = yaml.safe_load(text)
    return yaml.safe_dump(BASE | part | {"data": BASE["data"] | part.get("data", {})})


def test_every_block_names_a_language_that_is_tested():
    for page, text in PAGES.items():
        fences = [line for line in text.splitlines() if line.startswith("```")]
        assert len(fences) == 2 * len(BLOCK.findall(text)), f"{page}: a fence that is not understood"
        assert {name for name, _, _ in BLOCK.findall(text)} <= LANGUAGES, page


@pytest.mark.parametrize("page", _with("yaml"))
def test_yaml_is_a_recipe(page):
    for title, text in _blocks(page, "yaml"):
        recipe = parse_recipe(_recipe(title, text), f"{page}: {title or 'a recipe'}")
        # What only `check` refuses.
        operations(recipe.task, recipe.data.augment)
        check_corruptions(recipe.task, recipe.evaluation.corruptions)
        assert set(recipe.evaluation.metrics) <= set(plugins.names("metrics"))


@pytest.mark.parametrize("page", _with("json") + _with("toml"))
def test_json_and_toml_can_be_read(page):
    for _, text in _blocks(page, "json"):
        json.loads(text)
    for _, text in _blocks(page, "toml"):
        tomllib.loads(text)


@pytest.mark.parametrize("page", _with("bash"))
def test_commands_are_understood(page):
    own = {title: text for title, text in _blocks(page, "yaml") if title != PART}
    for _, text in _blocks(page, "bash"):
        for line in text.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                # What runs where the command fails is the shell's.
                _check_command(words[: words.index("||")] if "||" in words else words, own)


def _check_command(words, recipes):
    if words[0] in OTHERS:
        return
    if words[0] == "pip":
        _check_extras(words)
    elif words[0].startswith("scripts/"):
        assert (ROOT / words[0]).is_file(), words
        if words[0] == "scripts/run":
            _check_arguments(["run", *words[1:]], recipes)
    elif words[0] == "uv":
        # The one file that is fetched from the repository.
        (place,) = [number for number, word in enumerate(words) if word.endswith("/hftransfer.py")]
        assert words[1] == "run" and (ROOT / words[place].partition("/main/")[2]).is_file(), words
        _check_arguments(words[place + 1 :], recipes)
    else:
        # After a launcher, such as torchrun, too.
        _check_arguments(words[words.index("hftransfer") + 1 :], recipes)


def _check_extras(words):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (named,) = re.findall(r"^hftransfer-recipes\[(.+)\]$", words[2])
    assert words[1] == "install" and set(named.split(",")) <= set(extras), words


def _check_arguments(words, recipes):
    """As the command line reads them; overrides of a recipe that is known are applied."""
    args, rest = _parser.parser().parse_known_args(words)
    assert all("=" in word and not word.startswith("-") for word in rest), words
    overrides = [*getattr(args, "overrides", []), *rest]
    if words[0] not in ("run", "check") or any("my_" in word for word in overrides):
        return
    if catalog.find_packaged(args.recipe):
        load_recipe(args.recipe, overrides)
    elif args.recipe in recipes:
        parse_recipe(recipes[args.recipe], args.recipe, overrides)
    else:
        elsewhere = args.recipe.startswith(("hub:", "https://"))
        assert args.recipe == "recipe.yaml" or elsewhere, f"{args.recipe} is not on the page"
        parse_recipe(yaml.safe_dump(BASE), args.recipe, overrides)


# What a page's Python finds in the working directory.


def _tickets(folder):
    topics = ["account", "billing"]
    rows = [f'Ticket {i},"good {i}, a {i % 7}",{topics[i % 2]}' for i in range(60)]
    (folder / "tickets.csv").write_text("\n".join(["Subject,Body,Topic", *rows]))


def _leaves(folder):
    for name in ("healthy", "rust", "spot"):
        (folder / "leaves" / name).mkdir(parents=True)
    for number in range(60):
        made = Path(tiny._image_file(number, folder))
        made.rename(folder / "leaves" / ["healthy", "rust", "spot"][number % 3] / f"{number:04}.png")
    Path(tiny._image_file(60, folder)).rename(folder / "photo.jpg")


def _calls(folder):
    calls = folder / "calls"
    calls.mkdir()
    lines = ["file_name,transcript,speaker"]
    for number in range(40):
        made = Path(tiny._recording(number, calls))
        lines.append(f"{made.name},{['good', 'bad'][number % 2]} {number},speaker{number % 8}")
    (calls / "metadata.csv").write_text("\n".join(lines))
    Path(tiny._recording(40, folder)).rename(folder / "new_call.wav")


DATA = {"docs/tutorials/text.md": _tickets, "docs/tutorials/vision.md": _leaves, "docs/tutorials/speech.md": _calls}
SMALL = ["training.max_steps=2", "training.use_cpu=true", "evaluation.resamples=20"]
SMALL_QUICKSTART = ["evaluation.baselines=[majority]", "data.splits.test=40", "data.splits.validation=20"]
WITH_EXPORT = {"docs/how-to/export.md"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", _with("python"))
def test_python_runs(page, hub, tmp_path, monkeypatch):
    """The blocks of a page, one after another, with the page's recipes and small data in the working directory."""
    monkeypatch.chdir(tmp_path)
    DATA.get(page, lambda folder: None)(tmp_path)
    for title, text in _blocks(page, "yaml"):
        if title and title != PART:
            Path(title).write_text(text)
            model = yaml.safe_load(text)["model"]["id"]
            if not model.startswith("sample:"):
                _upload(model, tmp_path)
    bert = tiny.checkpoint(plugins.load("tasks", "text-classification")(), tmp_path / "bert")
    export = "export.max_drop=1" if page in WITH_EXPORT else "export=null"
    read_recipe = hftransfer.api.read_recipe

    def read_small(recipe, overrides=()):
        quick = [*SMALL_QUICKSTART, f"model.id={bert}"] if recipe == "quickstart" else []
        return read_recipe(recipe, [*overrides, *SMALL, *quick, export])

    monkeypatch.setattr(hftransfer.api, "read_recipe", read_small)
    names = {}
    for number, (_, text) in enumerate(_blocks(page, "python"), 1):
        exec(compile(text, f"{page}, Python block {number}", "exec"), names)


def _upload(repo, folder):
    """A tiny model of the same architecture, on the Hub of the tests."""
    place = folder / "hub" / repo
    place.mkdir(parents=True, exist_ok=True)
    MODELS[repo](place)
    files = {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}
    HUB.add(repo, files | {"README.md": b"---\nlicense: mit\n---\n"})


# Links and messages.


def _anchor(heading):
    """As GitHub and mkdocs name a heading."""
    text = re.sub(r"[^\w\- ]", "", re.sub(r"\[(.+?)\]\(.+?\)", r"\1", heading).lower())
    return text.strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = BLOCK.sub("", PAGES[page])
    for target, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        file = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        assert file.exists(), f"{page}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", file.read_text(encoding="utf-8")), re.MULTILINE)
            assert anchor in map(_anchor, headings), f"{page}: {target}#{anchor}"


def test_every_page_is_in_the_navigation_of_the_site():
    text = (ROOT / "mkdocs.yml").read_text()
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    named = set(re.findall(r"[\w/-]+\.md", text.partition("\nnav:")[2]))
    assert named == pages | {"recipes.md", "contributing.md"}


def test_messages_of_the_troubleshooting_page_are_those_of_the_code():
    known = "\n".join(_templates())
    messages = re.findall(r"^\| (?:warning |exit code 3, )?`(.+?)` \|", PAGES["docs/troubleshooting.md"], re.MULTILINE)
    assert len(messages) > 40
    assert [message for message in messages if _spelled(message) not in known] == []


def _templates():
    """The strings of the package, with ... for what is filled in."""
    import ast

    for path in (ROOT / "hftransfer").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
                yield _spelled("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield _spelled(node.value)


def _spelled(text):
    """With one ... for several in a row, at the ends too."""
    return re.sub(r"(\.\.\. ?)+", "...", text).strip(" .;")
