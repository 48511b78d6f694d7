"""`hftransfer push --collection`: the runs of a comparison on the Hub, and the collection that has them."""

import json
import re
import shutil
import uuid

import loopback_collections  # noqa: F401
import pytest
import tiny
from conftest import HUB, run_in_process

from hftransfer.choosing import publish
from hftransfer.choosing.compare import Comparison, Costs, Row
from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.errors import HubError, RecipeError
from hftransfer.core.results import Score
from hftransfer.hub.collection import Item, publish_collection
from hftransfer.hub.push import Wanted

# One process, in which they share a comparison.
pytestmark = [pytest.mark.xdist_group("collection"), pytest.mark.timeout(180)]

TOKEN = "hf_aliceMayWrite"


def _id(name="c"):
    return f"alice/{name}-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The directory of a comparison of two combinations, of which one changes no score."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "tiny.yaml").write_text(
        tiny.recipe(plugins.load("tasks", "text-classification")(), folder, more="export: null")
    )
    with pytest.MonkeyPatch.context() as patch:
        run_in_process(patch)
        patch.setattr("hftransfer.reporting.report.run_plots", lambda result: {})
        patch.setattr("hftransfer.evaluation.latency._TIMED", {1: 3, 8: 2})
        words = ["compare", str(folder / "tiny.yaml"), "evaluation.batch_size=[4, 8]", "--seeds", "1"]
        assert main([*words, "--out", str(folder / "out")]) == 0
    return folder / "out"


def _collection(title):
    """The one collection of a title."""
    (found,) = [it for it in HUB.__dict__.get("collections", {}).values() if it.title == title]
    return found


def _models(base):
    return {repo: it for (kind, repo), it in HUB.repos.items() if kind == "models" and repo.startswith(base)}


def _sentence(capsys):
    progress, name, message = capsys.readouterr().err.rpartition("hftransfer: ")
    assert name and message.count("\n") == 1 and "Traceback" not in progress and "hf_alice" not in progress + message
    return message


def test_a_comparison_becomes_a_collection_and_is_pushed_once(compared, hub, tmp_path, capsys):
    base, title = _id("news"), f"Sizes {uuid.uuid4().hex[:6]}"
    # Moved, as a comparison may be before it is pushed.
    moved = shutil.copytree(compared, tmp_path / "moved")
    words = ["push", str(moved), "--repo", base, "--collection", title]
    assert main(words) == 0
    printed, made = capsys.readouterr().out, _collection(title)
    found = Comparison.load(moved / "compare.json")
    expected = [f"{base}-{row.label}-seed0" for row in found.rows]
    assert [item["id"] for item in made.items] == expected and set(_models(base)) == set(expected)
    assert f"collection: {hub.url}/collections/{made.slug}\n" in printed and not made.private
    rows = f"{found.test_rows} test rows"
    scored = f"text-classification, accuracy on {rows}"
    assert made.description == f"Runs of hftransfer compare, the best first: {scored}"
    for row, item, outcome in zip(found.rows, made.items, ("the best combination", "tied with the best"), strict=True):
        result = json.loads(_models(base)[item["id"]].files["result.json"])
        score = result["scores"]["test"]["tuned"]["accuracy"]
        shown = f"accuracy {score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}] (95 % interval, {rows})"
        assert item["note"]["text"] == f"{row.label}, seed 0: {shown}; {outcome}"
        assert result["recipe"]["evaluation"]["batch_size"] == int(row.label)
    # Once more: nothing is made, nothing is moved.
    hub.arm(None)
    assert main([*words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["collection"].endswith(made.slug) and list(record["models"]) == expected
    assert all(len(repo.commits) == 2 for repo in _models(base).values())
    assert not [path for method, path in hub.log if method == "PATCH" or path.endswith("/items")]
    assert [item["id"] for item in _collection(title).items] == expected
    for path in (path for path in moved.rglob("*") if path.is_file()):
        assert TOKEN.encode() not in path.read_bytes(), path
    assert not any(TOKEN.encode() in it for repo in _models(base).values() for it in repo.files.values())


def test_a_private_comparison_and_one_of_adapters(compared, hub, capsys):
    base, title = _id("private"), f"Private {uuid.uuid4().hex[:6]}"
    words = ["push", str(compared), "--repo", base, "--collection", title]
    assert main([*words, "--private"]) == 0
    assert _collection(title).private and all(repo.private for repo in _models(base).values())
    # Private models, and so a private collection, though the second time nobody says so.
    other = f"{title} too"
    assert main([*words[:-1], other]) == 0 and _collection(other).private
    _collection(other).private = False
    capsys.readouterr()
    assert main([*words[:-1], other, "--private"]) == 2
    assert f"the collection '{other}' exists and is public" in _sentence(capsys)
    assert main([*words, "--adapter", "--repo", _id()]) == 2
    assert "leaves no adapter" in _sentence(capsys)


def test_a_push_cut_at_any_request_of_the_collection_goes_on(compared, hub, capsys):
    base = _id("cut")
    assert main(["push", str(compared), "--repo", base, "--collection", "Whole"]) == 0
    whole = [(item["id"], item["note"]) for item in _collection("Whole").items]
    # Its creation, the first item, the second one.
    for number, kind in ((0, "cut"), (0, "lost"), (1, "lost"), (2, "cut")):
        title, cut = f"{kind} {number} {base}"[:60], []

        def fault(at, method, path, number=number, kind=kind, cut=cut):
            if path.startswith("/api/collections"):
                cut.append(path)
                return kind if len(cut) == number + 1 else None
            return None

        words = ["push", str(compared), "--repo", base, "--collection", title]
        hub.arm(fault)
        code = main(words)
        assert len(cut) == number + 1 and code == 2 and "the same command goes on" in _sentence(capsys)
        hub.arm(None)
        assert main(words) == 0
        assert [(item["id"], item["note"]) for item in _collection(title).items] == whole
    assert all(len(repo.commits) == 2 for repo in _models(base).values())


@pytest.mark.parametrize(
    ("status", "said"),
    [(403, "the token may not do this with collection"), (429, "fewer requests"), (500, "answers 500 for collection")],
)
def test_a_refusal_of_the_collection_is_reported(status, said, compared, hub, capsys):
    hub.arm(lambda number, method, path: status if path == "/api/collections" else None)
    assert main(["push", str(compared), "--repo", _id(), "--collection", "Refused"]) == 2
    assert said in _sentence(capsys)


def test_what_cannot_be_pushed_is_said_before_the_first_push(compared, hub, tmp_path, monkeypatch, capsys):
    before = len(hub.repos)
    (run,) = [path for path in (compared / "runs").iterdir() if path.name.endswith("=4-seed0")]

    def refused(*words, folder=compared):
        assert main(["push", str(folder), *words]) == 2
        return _sentence(capsys)

    base = _id("refused")
    assert "--repo user/name is missing" in refused("--collection", "A")
    assert "the title is empty" in refused("--collection", " ", "--repo", base)
    assert "are for one run" in refused("--collection", "A", "--repo", base, "--space")
    assert "holds no finished comparison (compare.json)" in refused("--collection", "A", "--repo", base, folder=run)
    assert "holds a comparison: --collection TITLE pushes its runs" in refused("--repo", base)
    assert "cannot write to 'bob'" in refused("--collection", "A", "--repo", "bob/x")
    assert "is no Hub id" in refused("--collection", "A", "--repo", "x")
    lacking = shutil.copytree(compared, tmp_path / "lacking")
    shutil.rmtree(lacking / "runs" / run.name)
    assert "is not a finished run" in refused("--collection", "A", "--repo", base, folder=lacking)
    record = json.loads((lacking / "compare.json").read_text())
    (lacking / "compare.json").write_text(json.dumps(record | {"runs": {}}))
    assert "compare.json' is damaged" in refused("--collection", "A", "--repo", base, folder=lacking)
    monkeypatch.setenv("HF_TOKEN", "hf_aliceMayRead")
    assert "may only read" in refused("--collection", "A", "--repo", base)
    monkeypatch.delenv("HF_TOKEN")
    assert "needs a token" in refused("--collection", "A", "--repo", base)
    assert len(hub.repos) == before
    # The second model's name is taken: the first is not pushed either.
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.add(f"{base}-{Comparison.load(compared / 'compare.json').rows[1].label}-seed0", {"weights.bin": b"1"})
    assert "not from hftransfer; --force" in refused("--collection", "A", "--repo", base)
    assert len(_models(base)) == 1


def test_a_collection_is_filled_up_and_ordered_before_what_others_put_there(hub):
    repos = [hub.add(_id(name), {"config.json": b"{}"}).id for name in "abcd"]
    title = f"Order {uuid.uuid4().hex[:6]}"

    def made(*numbers, note="first"):
        items = [Item(repos[number], f"{note} {number}") for number in numbers]
        return publish_collection(title, "alice", items, description="d", private=False)

    address = made(1, 2)
    there = _collection(title)
    there.items.insert(0, {"_id": "1" * 24, "type": "model", "id": repos[3], "repoType": "model", "private": False})
    # A third one, which is the best, and new notes.
    assert made(0, 2, 1, note="second") == address
    assert [item["id"] for item in there.items] == [repos[number] for number in (0, 2, 1, 3)]
    assert [item.get("note", {}).get("text") for item in there.items] == ["second 0", "second 2", "second 1", None]
    hub.arm(None)
    made(0, 2, 1, note="second")
    assert [method for method, _ in hub.log] == ["POST", "GET"]
    with pytest.raises(HubError, match=r"answers 400 for collection .*at most 60 characters"):
        publish_collection("t" * 61, "alice", [], description="d", private=False)
    with pytest.raises(HubError, match="the token may not do this with collection"):
        publish_collection("T", "bob", [], description="d", private=False)


NAMES = {
    "lora": {"strategy": "lora"},
    "lora-0.0001": {"strategy": "lora", "training.learning_rate": "0.0001"},
    "bert-base-uncased": {"model.id": "bert-base-uncased"},
    # What stands in the name does not say which value is meant.
    "a-b-c-HASH": {"x": "a-b", "y": "c"},
    "user-model-HASH": {"model.id": "user/model"},
    "name-peft-method-ia3-HASH": {"strategy": '{"name": "peft", "method": "ia3"}'},
    "checkpoint-HASH": {"model.id": "/home/someone/checkpoint"},
    "HASH": {"model.id": "日本語"},
}


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_model_says_its_values(name, hub):
    from huggingface_hub.utils import validate_repo_id

    made = publish.repo_of("alice/news", NAMES[name], 3)
    assert re.fullmatch(f"alice/news-{re.escape(name).replace('HASH', '[0-9a-f]{8}')}-seed3", made)
    validate_repo_id(made)


def test_long_and_like_values_have_names_of_their_own():
    from huggingface_hub.utils import validate_repo_id

    values = [{"x": "v" * 200 + end} for end in "ab"] + [{"x": "a-b", "y": "c"}, {"x": "a", "y": "b-c"}]
    values += [{"x": "u/m"}, {"x": "u-m"}, {"x": "u..m"}, {"x": "u--m"}]
    made = [publish.repo_of(f"alice/{'n' * 60}", value, seed) for value in values for seed in (0, 11)]
    assert len(set(made)) == len(made) and max(map(len, made)) <= len("alice/") + 96
    for repo in made:
        validate_repo_id(repo)


def test_a_note_has_no_paths_and_fits():
    class _Result:
        recipe = {"evaluation": {"confidence": 0.9}}
        scores = {"test": {"tuned": {"f1": Score(value=0.5, low=0.4, high=0.6, count=1234)}}}

    costs = Costs(minutes=1, megabytes=1, ms=1)
    rows = [
        Row(label="/home/me/checkpoint, lora", values={}, scores=[0.5, 0.7], costs=costs),
        Row(label="x" * 900, values={}, scores=[0.4, 0.5], costs=costs),
    ]
    comparison = Comparison(metric="f1", seeds=[0, 1], confidence=0.9, rows=rows, test_rows=1, advice="", runs={})
    assert publish.note(comparison, rows[0], 1, _Result) == (
        "checkpoint, lora, seed 1: f1 0.500 [0.400, 0.600] (90 % interval, 1,234 test rows); mean of 2 seeds 0.600, "
        "the best combination"
    )
    long = publish.note(comparison, rows[1], 0, _Result)
    assert len(long) < 500 and long.endswith("mean of 2 seeds 0.450, worse than the best")


def test_a_comparison_that_is_none_is_refused(tmp_path):
    (tmp_path / "compare.json").write_text("{")
    assert publish.is_comparison(tmp_path)
    with pytest.raises(RecipeError, match="is damaged, or another record"):
        publish.publish(tmp_path, "A", Wanted("alice/x"))
