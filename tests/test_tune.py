"""`hftransfer tune`: the space, the trials, and a search that goes on."""

import json
from functools import partial

import pytest

from hftransfer.choosing.grid import Base
from hftransfer.choosing.search_space import search_space
from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.results import RunResult
from hftransfer.recipe.loader import load_recipe
from tests import tiny

BASE = Base("quickstart", partial(load_recipe, "quickstart"))


def test_numbers_are_multiples_of_what_the_strategy_has():
    space = search_space(BASE, ["strategy=[lora, full]", "training.per_device_train_batch_size=8"])
    assert [one.key for one in space.dimensions] == [
        "strategy",
        "training.learning_rate",
        "training.num_train_epochs",
        "strategy.r",
    ]
    assert [one["strategy"] for one in space.defaults()] == ["lora", "full"]
    lora, full = ({"strategy": name, "training.learning_rate": 2.0, "strategy.r": 4.0} for name in ("lora", "full"))
    own = {name: plugins.load("strategies", name).training["learning_rate"] for name in ("lora", "full")}
    assert space.values(lora) == {
        "strategy": "lora",
        "training.learning_rate": f"{2 * own['lora']:.3g}",
        "strategy.r": "32",
    }
    assert space.values(full) == {"strategy": "full", "training.learning_rate": f"{2 * own['full']:.3g}"}
    with pytest.raises(RecipeError, match="nothing to search: strategy linear_probe has no learning rate"):
        search_space(BASE, ["strategy=linear_probe"])


@pytest.mark.usefixtures("in_process")
def test_a_search_goes_on_and_its_winner_ships(tmp_path, capsys):
    task = plugins.load("tasks", "text-classification")()
    (tmp_path / "tiny.yaml").write_text(tiny.recipe(task, tmp_path, more="export: null"))
    words = ["tune", str(tmp_path / "tiny.yaml"), "--seeds", "1", "--out", str(tmp_path / "out")]
    assert main([*words, "--trials", "1"]) == 0
    first = json.loads((tmp_path / "out" / "tune.json").read_text())
    # As an interrupted trial is left.
    from hftransfer.choosing.tune import Budget, _Search

    base = Base(words[1], partial(load_recipe, words[1]))
    search = _Search(search_space(base, []), Budget(None, 1), 1, tmp_path / "out")
    asked = search.study.ask()
    interrupted = search.space.values(search.space.suggest(asked))
    (tmp_path / "out" / "best").rename(tmp_path / "out" / "before")
    assert main([*words, "--trials", "2"]) == 0
    found = json.loads((tmp_path / "out" / "tune.json").read_text())
    assert found["trials"][0] == first["trials"][0] and found["trials"][1]["values"] == interrupted
    best = max(found["trials"], key=lambda trial: trial["score"])
    result = RunResult.load(tmp_path / "out" / "best" / "result.json")
    assert found["best"] == best["values"]
    assert f"{result.recipe['training']['learning_rate']:.3g}" == best["values"]["training.learning_rate"]
    assert result.scores["validation"]["tuned"]["accuracy"].value == pytest.approx(best["score"])
    assert main([*words, "--trials", "2", "strategy=[lora, full]"]) == 2
    assert "holds a search of another recipe or space" in capsys.readouterr().err
    assert main([*words, "--minutes", "0"]) == 2 and "--minutes: more than 0" in capsys.readouterr().err
