"""`hftransfer compare`: the grid, its runs, and what is said of them."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
import tiny

from hftransfer.choosing import compare as comparing
from hftransfer.choosing import grid, next_rows
from hftransfer.choosing.compare import Costs, Row, advice
from hftransfer.choosing.learning_law import fit
from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.results import Score
from hftransfer.recipe.loader import load_recipe
from hftransfer.reporting.choice import pareto_front

BASE = grid.Base("quickstart", partial(load_recipe, "quickstart"))


def test_a_list_is_several_values_unless_the_field_takes_a_list():
    wide = ["strategy=[lora, {name: peft, method: ia3}]", "seed=4", "evaluation.metrics=[f1, accuracy]"]
    found = grid.combinations(BASE, [*wide, "training.learning_rate=[1.0e-4, 1.0e-3, 1.0e-2, 1.0e-3]"])
    assert len(found) == 6
    assert found[0].values == {"strategy": "lora", "training.learning_rate": "0.0001"}
    recipe = BASE.read(found[5].overrides)
    assert recipe.strategy.method == "ia3" and recipe.training["learning_rate"] == 0.01
    assert recipe.evaluation.metrics == ["f1", "accuracy"] and recipe.seed == 4 and recipe.hub is None
    with pytest.raises(RecipeError, match=r"strategy: .*'lorra'; did you mean 'lora'"):
        grid.combinations(BASE, ["strategy=[full, lorra]"])
    with pytest.raises(RecipeError, match="seed: the list has no values"):
        grid.combinations(BASE, ["seed=[]"])


@pytest.mark.usefixtures("in_process")
def test_a_planted_tie_is_called_one_and_finished_runs_are_kept(tmp_path, capsys):
    task = plugins.load("tasks", "text-classification")()
    recipe, out = tmp_path / "tiny.yaml", tmp_path / "out"
    recipe.write_text(tiny.recipe(task, tmp_path, more="export: null"))
    words = ["compare", str(recipe), "evaluation.batch_size=[4, 8]", "--seeds", "1", "--out", str(out)]
    assert main(words) == 0
    found = json.loads((out / "compare.json").read_text())
    assert [row["tied"] for row in found["rows"]] == [False, True]
    assert found["rows"][1]["difference_in_error"]["value"] == 0 and "in a tie with" in capsys.readouterr().out
    assert "Comparison: out" in (out / "compare.html").read_text()
    runs = sorted(path.parent for path in out.glob("runs/*/result.json"))
    kept = (runs[0] / "result.json").read_bytes()
    shutil.rmtree(runs[1])
    assert main(words) == 0
    again = json.loads((out / "compare.json").read_text())
    assert (runs[0] / "result.json").read_bytes() == kept
    assert [row["scores"] for row in again["rows"]] == [row["scores"] for row in found["rows"]]
    assert main([*words, "training.learning_rate=0.1"]) == 2
    assert "different recipe: 'training.learning_rate' differs" in capsys.readouterr().err


@pytest.mark.usefixtures("in_process")
def test_recipes_are_compared_by_name_if_they_have_one_headline(tmp_path, capsys):
    task, folder = plugins.load("tasks", "text-classification")(), tmp_path / "other"
    folder.mkdir()
    first, second, third = (tmp_path / name for name in ("few.yaml", "many.yaml", "other/few.yaml"))
    first.write_text(tiny.recipe(task, tmp_path, more="export: null"))
    second.write_text("extends: few.yaml\ntraining: {num_train_epochs: 1}\nhub: {repo: 'a/many-{seed}'}\n")
    third.write_text("extends: ../few.yaml\nevaluation: {metrics: [f1]}\n")
    words = ["compare", str(first), "--seeds", "1", "--out", str(tmp_path / "out"), str(second)]
    assert main([*words, "evaluation.batch_size=4"]) == 0
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert {row["label"] for row in found["rows"]} == {"few", "many"}
    assert sorted(it.name for it in tmp_path.glob("out/runs/*-seed0")) == ["recipe=few-seed0", "recipe=many-seed0"]
    bases = [grid.Base(str(file), partial(load_recipe, file)) for file in (first, third)]
    both = grid.combinations_of(bases, ["strategy=[lora, full]"])
    assert [one.label for one in both[::3]] == [f"{first}, lora", f"{third}, full"]
    capsys.readouterr()
    assert main(["compare", str(first), str(third), "--out", str(tmp_path / "no")]) == 2
    assert "different headline metrics: accuracy, f1; name one" in capsys.readouterr().err
    assert (
        main([words[0], str(first), *words[1:]]) == 2
        and f"the recipe '{first}' is there twice" in capsys.readouterr().err
    )
    assert not (tmp_path / "no").exists()


def test_a_run_has_a_process_whose_last_words_are_the_error(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(RecipeError, match=r"^taken: '.*taken' exists and is no run; --out chooses another place$"):
        grid.run_combination(grid.Combination(BASE, {}, ("seed=3",)), tmp_path / "taken")
    assert (tmp_path / "taken.log").read_text().startswith("hftransfer: ")


def test_a_refused_combination_is_named_before_the_first_run(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text(
        "task: text-classification\nmodel: {id: nowhere}\ndata: {source: {name: csv, train: no.csv}}\n"
    )
    words = ["compare", str(tmp_path / "a.yaml"), "strategy=[full, lora]", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "hftransfer: full: there is no local directory 'nowhere'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def _runs(folder, errors, *, shared=False):
    """Runs of one combination, with these errors of test rows."""
    runs = comparing._Runs(grid.Combination(BASE, {"strategy": folder.name}, ()))
    for seed, values in enumerate(errors):
        place = folder / str(seed) / "predictions"
        place.mkdir(parents=True)
        lines = "".join(f"{row},{0 if shared else seed},a,{value}\n" for row, value in enumerate(values))
        (place / "test.csv").write_text(f"row,reference,tuned,error\n{lines}")
        runs.folders.append(place.parent)
    return runs


def test_intervals_over_seeds_and_rows(tmp_path):
    rng = np.random.default_rng(0)
    truth = (rng.random((4, 200)) < 0.2).astype(int)
    worse = np.where(rng.random((4, 200)) < 0.15, 1, truth)
    best, other = _runs(tmp_path / "best", truth), _runs(tmp_path / "other", worse)
    by_row = comparing._over_rows(best, other, 0.95)
    gap = worse - truth
    # The rows are independent here: the interval is that of the mean of all.
    width = 2 * 1.96 * gap.std() / np.sqrt(gap.size)
    assert by_row.value == pytest.approx(gap.mean()) and by_row.low > 0
    assert 0.8 * width < by_row.high - by_row.low < 1.6 * width
    by_seed = comparing._over_seeds(gap.mean(axis=1), 0.95)
    assert by_seed.value == pytest.approx(gap.mean()) and by_seed.low < by_seed.value < by_seed.high
    same = comparing._over_rows(best, best, 0.95)
    assert (same.low, same.value, same.high) == (0, 0, 0)
    assert comparing._over_seeds(np.zeros(1), 0.95) is None
    # On the same test rows, four seeds tell no more of other rows than one does.
    copies = [np.repeat(errors[:1], 4, axis=0) for errors in (truth, worse)]
    repeated = comparing._over_rows(
        *(_runs(tmp_path / f"same{n}", it, shared=True) for n, it in enumerate(copies)), 0.95
    )
    width = 2 * 1.96 * gap[0].std() / np.sqrt(200)
    assert 0.8 * width < repeated.high - repeated.low < 1.2 * width and repeated.count == 200
    table = other.folders[2] / "predictions" / "test.csv"
    table.write_text(table.read_text().replace("199,2,", "199,of others,"))
    assert comparing._over_rows(best, other, 0.95) is None


def _row(label, score, ms, *, tied=False):
    difference = Score(value=0.01, low=-0.01, high=0.03, count=3)
    costs = Costs(minutes=1, megabytes=10, ms=ms)
    differences = {"difference": difference, "difference_in_error": difference}
    return Row(label=label, values={}, scores=[score], costs=costs, **differences, tied=tied)


def test_advice_names_a_tie_and_what_the_cheapest_saves():
    best = _row("full", 0.9, 30)
    assert "significantly better than all others: take it. The test" in advice([best, _row("probe", 0.8, 5)], "f1")
    said = advice([best, _row("small", 0.89, 5, tied=True), _row("probe", 0.5, 1)], "f1")
    assert "in a tie with small" in said and "is small: 5.00 ms a row instead of 30.0" in said and "probe" not in said
    elsewhere = _row("probe", 0.5, 1).model_copy(update={"difference_in_error": None})
    assert "Other test rows than the best have: probe;" in advice([best, elsewhere], "f1")
    assert "Take full, which is also the cheapest in use." in advice([best, _row("big", 0.89, 90, tied=True)], "f1")


def test_nothing_on_the_front_is_beaten():
    assert pareto_front([(1, 0.5), (2, 0.9), (2, 0.8), (3, 0.9), (1, 0.5)]) == [0, 1, 4]


def test_the_law_of_learning_covers_what_more_labels_give():
    rng = np.random.default_rng(0)
    labels, covered = [40.0, 80.0, 160.0], 0
    for _ in range(60):
        plateau, b, c = rng.uniform(0, 0.15), rng.uniform(0.3, 2), rng.uniform(0.2, 1)
        means = plateau + b * np.power([*labels, 640.0], -c)
        runs = np.clip(means[:3, None] + rng.normal(0, 0.015, (3, 5)), 0, 1)
        forecast = fit(labels, runs, 0.01).forecast(640)
        covered += forecast.low <= means[3] + rng.normal(0, 0.015) <= forecast.high
        assert forecast.high - forecast.low < 0.3
    assert covered >= 51
    flat = fit(labels, np.full((3, 3), 0.2), 0.001)
    assert flat.labels_for(0.05, 160).low == np.inf
    # Without a plateau, ten times the labels halve the error; 0.1 of 0.2 is half of it.
    halving = fit(labels, 0.2 * (np.array(labels)[:, None] / 160) ** -np.log10(2) + np.zeros((3, 3)), 1e-6)
    assert halving.labels_for(0.1, 160).low == pytest.approx(9 * 160, rel=0.1)


@pytest.mark.usefixtures("in_process")
def test_a_curve_of_three_numbers_of_labels(tmp_path, capsys):
    task = plugins.load("tasks", "text-classification")()
    (tmp_path / "tiny.yaml").write_text(tiny.recipe(task, tmp_path, more="export: null"))
    words = ["curve", str(tmp_path / "tiny.yaml"), "--seeds", "1", "--out", str(tmp_path / "out"), "--labels"]
    assert main([*words, "2", "4"]) == 2 and "at least 3 different numbers" in capsys.readouterr().err
    assert main([*words, "2", "4", "six"]) == 2 and "whole numbers or 'all', got 'six'" in capsys.readouterr().err
    assert main([*words, "2", "4", "all"]) == 0
    (one,) = json.loads((tmp_path / "out" / "curve.json").read_text())["curves"]
    sizes = [point["labels"] for point in one["points"]]
    assert sizes[:2] == [4, 8] and sizes[2] > 8
    assert list(one["forecast"]) == [str(2 * int(sizes[2])), str(4 * int(sizes[2]))]
    assert all(score["low"] <= score["value"] <= score["high"] for score in one["forecast"].values())
    assert "expected to be" in capsys.readouterr().out and (tmp_path / "out" / "curve.html").is_file()


def test_rows_to_label_next_are_uncertain_and_differ(tmp_path, capsys):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 16)) * 3
    labelled, classes = np.repeat(centres, 4, axis=0) + rng.normal(size=(12, 16)), np.repeat(np.arange(3), 4)
    # Of each pair of classes ten copies between them, and a hundred rows of which a probe is sure.
    between = [(centres[a] + centres[b]) / 2 for a, b in ((0, 1), (0, 2), (1, 2))]
    others = np.concatenate([np.repeat(centres, 33, axis=0), np.repeat(between, 10, axis=0)])
    others = others + rng.normal(size=others.shape) * 0.1
    margins, _ = next_rows.margins_of(labelled, classes, others)
    chosen = next_rows.choose(labelled, others, 1 - margins, 3, seed=0)
    assert sorted((place - 99) // 10 for place in chosen) == [0, 1, 2]
    task = plugins.load("tasks", "text-classification")()
    (tmp_path / "tiny.yaml").write_text(tiny.recipe(task, tmp_path, more="export: null"))
    words = ["curve", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "out"), "--next", "3"]
    assert main(words) == 2 and "--unlabelled names their split" in capsys.readouterr().err
    assert main([*words[:-2], "--unlabelled", "rest"]) == 2 and "give --next as well" in capsys.readouterr().err
    assert main([*words, "data.shots=2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["next"]
    header, *lines = (tmp_path / "out" / "next.csv").read_text().splitlines()
    assert header == "split,row,predicted,margin,text,text_pair,label" and len(lines) == len(found) == 3
    assert [row["margin"] for row in found] == sorted(row["margin"] for row in found)
    assert main([*words[:-1], "1000", "data.shots=2"]) == 2 and "ask for fewer" in capsys.readouterr().err
