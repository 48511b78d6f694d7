"""`hftransfer rank`: its measures against other computations, what it calls separable, its cache, and its mistakes."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf

from hftransfer import cli, rank
from hftransfer.auditing import kept_features
from hftransfer.choosing import frozen, halving, ranking_text
from hftransfer.choosing.candidates import candidates
from hftransfer.choosing.frozen import Extraction
from hftransfer.choosing.measures import differences, is_separable
from hftransfer.choosing.ranking import Ranking
from hftransfer.choosing.transferability import h_score, in_span, label_columns, log_me, on_halves
from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.models.probe import out_of_fold
from hftransfer.recipe.loader import parse_recipe
from hftransfer.recipe.schema import Model
from hftransfer.runner.rows import read_rows


def _labelled(rows, size, spread=0.8):
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, rows)
    return rng.normal(size=(rows, size)) + spread * rng.normal(size=(3, size))[classes], classes


@pytest.mark.parametrize(("rows", "size"), [(40, 12), (24, 40)])
def test_log_me_is_the_maximum_of_the_evidence(rows, size):
    features, classes = _labelled(rows, size)
    columns = label_columns("class", classes)

    def evidence(column, precisions):
        weights, noise = np.exp(precisions)
        covariance = np.eye(rows) / noise + features @ features.T / weights
        return multivariate_normal.logpdf(column, np.zeros(rows), covariance)

    options = {"xatol": 1e-6, "fatol": 1e-9, "maxiter": 400}
    found = [
        -minimize(lambda it, column=column: -evidence(column, it), [0, 0], method="Nelder-Mead", options=options).fun
        for column in columns.T
    ]
    assert log_me(in_span(features), columns) == pytest.approx(np.mean(found) / rows, abs=1e-5)


@pytest.mark.parametrize(("rows", "size"), [(60, 20), (40, 90)])
def test_the_h_score_is_that_of_the_shrunk_covariance(rows, size):
    features, classes = _labelled(rows, size)
    shrunk = LedoitWolf().fit(features)
    means = np.stack([features[classes == number].mean(axis=0) for number in classes])
    between = (1 - shrunk.shrinkage_) * np.cov(means.T, ddof=0)
    expected = np.trace(np.linalg.inv(shrunk.covariance_) @ between)
    assert h_score(in_span(features), classes, size) == pytest.approx(expected)


def test_halves_estimate_the_standard_error():
    """The deviation over halves of some rows, against that over other rows of the same kind."""
    features, classes = _labelled(600, 8)
    columns, parts = label_columns("class", classes), np.arange(600).reshape(10, 60)
    estimated = [on_halves(log_me, features[it], columns[it], 40, 0)[1:].std(ddof=1) for it in parts]
    true = np.std([log_me(features[it], columns[it]) for it in parts], ddof=1)
    assert 0.5 < np.mean(estimated) / true < 2


@pytest.mark.parametrize("method", ["probe", "knn"])
def test_no_row_is_scored_by_its_own_label(method):
    """Features that name the row and nothing else: what was fitted to the row itself would be right."""
    classes = np.random.default_rng(0).integers(0, 2, 60)
    scores = out_of_fold(method, "class", {"mean": np.eye(60, dtype=np.float32)}, classes, 0)
    assert scores.shape == (60, 2) and np.isfinite(scores).all()
    assert (scores.argmax(axis=1) == classes).mean() < 0.75
    signal = {"mean": np.eye(2, dtype=np.float32)[classes] + np.float32(0.01) * np.eye(60, 2, dtype=np.float32)}
    assert (out_of_fold(method, "class", signal, classes, 0).argmax(axis=1) == classes).all()


def test_only_a_difference_beyond_its_paired_interval_is_separable():
    rng = np.random.default_rng(0)
    right = rng.random((3, 200)) < np.array([0.9, 0.88, 0.6])[:, None]
    draws = [np.arange(200), *(rng.integers(0, 200, 200) for _ in range(300))]
    values = {name: np.array([row[it].mean() for it in draws]) for name, row in zip("abc", right, strict=True)}
    scores, gaps = differences(values, 1, 0.95, 200)
    assert {name: is_separable(gap) for name, gap in gaps.items()} == {"a": False, "b": False, "c": True}
    assert gaps["c"].value == max(it.value for it in scores.values()) - scores["c"].value
    # With more checkpoints, a distance has to be larger.
    many = {f"{name}{n}": it for n in range(9) for name, it in values.items()}
    _, shared = differences(many, 1, 0.95, 200)
    assert shared["c0"].low < gaps["c"].low and shared["c0"].value == gaps["c"].value
    # Of an error the least is the best.
    _, gaps = differences(values, -1, 0.95, 200)
    assert gaps["c"].value == 0 and is_separable(gaps["a"])


def test_the_own_checkpoint_is_ranked_and_tuned_at_the_revision_of_the_recipe(hub, tmp_path):
    files = {"config.json": b"{}"}
    first, other = (hub.add(f"alice/{tmp_path.name}-{n}", files) for n in range(2))
    old = first.commits[0].oid
    first.commit("a later one", {"config.json": (b"{ }", False)})
    model = Model(id=first.id, revision=old, trust_remote_code=True)
    own, foreign = (it.checkpoint for it in candidates([first.id, other.id], model))
    assert own.revision == old and own.trust_remote_code and not foreign.trust_remote_code
    assert candidates([first.id, other.id], Model(id=other.id))[0].checkpoint.revision != old


def test_features_are_kept_by_the_content_of_the_processor(tmp_path):
    def keys():
        rows, candidate = SimpleNamespace(key="rows"), SimpleNamespace(content="weights")
        task = SimpleNamespace(name="task", model_dump=dict)
        extraction = Extraction(rows, candidate, None, str(tmp_path), 8, True, tmp_path)
        return extraction._key, kept_features._key(task, None, {"processor": str(tmp_path)})

    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "vocab.txt").write_text("a")
    before = keys()
    assert keys() == before
    (tmp_path / "vocab.txt").write_text("b")
    assert not set(keys()) & set(before)


@pytest.fixture
def texts(tmp_path):
    """A recipe, and three checkpoints: a BERT with random weights twice, and one that gives every text one vector."""
    task = plugins.load("tasks", "text-classification")()
    text = tiny.recipe(task, tmp_path)
    first = tiny.checkpoint(task, tmp_path / "first")
    shutil.copytree(first, tmp_path / "copy")
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(first)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.zero_()
        model.bert.embeddings.position_embeddings.weight.zero_()
    shutil.copytree(first, tmp_path / "blind")
    model.save_pretrained(tmp_path / "blind")
    return parse_recipe(text), [str(tmp_path / name) for name in ("blind", "copy", "first")]


def test_checkpoints_are_ranked_and_the_second_call_reads_the_cache(texts, tmp_path, monkeypatch, capsys):
    recipe, names = texts
    ranking = rank(recipe, names, out=tmp_path / "out")
    blind = ranking.checkpoints[-1]
    assert blind.name == names[0] and blind.separable["probe"] and blind.separable["knn"]
    assert not any(it.separable["probe"] for it in ranking.checkpoints[:2])
    assert "not separable from it" in ranking.verdict
    assert Ranking.load(tmp_path / "out" / "result.json") == ranking
    assert "not separable" in ranking_text.text(ranking) and (tmp_path / "out" / "pareto.png").is_file()

    def fail(*_args, **_kwargs):
        raise AssertionError("a model was read")

    monkeypatch.setattr(frozen, "load_model", fail)
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe.model_dump(mode="json")))
    (tmp_path / "list.txt").write_text("\n".join(["# three of them", "", *names]))
    arguments = ["--from", str(tmp_path / "list.txt"), "--out", str(tmp_path / "out")]
    assert cli.main(["rank", str(tmp_path / "recipe.yaml"), *arguments]) == 0
    assert ranking.verdict in capsys.readouterr().out
    assert Ranking.load(tmp_path / "out" / "result.json").checkpoints == ranking.checkpoints
    # Other weights under the same name are another checkpoint.
    weights = tmp_path / "copy" / "model.safetensors"
    save_file({name: 2 * it for name, it in load_file(weights).items()}, weights, {"format": "pt"})
    with pytest.raises(AssertionError, match="a model was read"):
        rank(recipe, names, out=tmp_path / "out")


def test_an_interrupted_ranking_is_continued(texts, tmp_path, monkeypatch):
    recipe, names = texts
    compute, calls = frozen.frozen_features, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return compute(*args)

    monkeypatch.setattr(frozen, "frozen_features", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rank(recipe, names, out=tmp_path / "out")
    ranking = rank(recipe, names[1:], out=tmp_path / "out")
    assert ranking.verdict.startswith("Not separable: ")
    assert all(not any(it.separable.values()) for it in ranking.checkpoints)
    # Once each, but for the one that was interrupted; equal weights are one checkpoint.
    assert len(calls) == 3


def test_survivors_are_fine_tuned_on_training_rows_and_compared_on_validation_rows(texts, tmp_path, monkeypatch):
    recipe, names = texts
    read = read_rows(recipe.task, recipe.data, recipe.seed)
    test_rows, encoded = set(read.splits["test"]["text"]), []
    for module in (frozen, halving):
        compute = module.encode

        def spy(task, splits, *args, compute=compute, **kwargs):
            encoded.extend(text for rows in splits.values() for text in rows["text"])
            return compute(task, splits, *args, **kwargs)

        monkeypatch.setattr(module, "encode", spy)
    late = rank(recipe, names, out=tmp_path / "out", minutes=0.001)
    assert late.fine_tuned == [] and "the time was over" in late.warnings[0]
    ranking = rank(recipe, names, out=tmp_path / "out", minutes=5)
    assert encoded and not test_rows & set(encoded)
    assert {it.name for it in ranking.fine_tuned} == set(names[1:]) and ranking.best in names[1:]
    assert {it.steps for it in ranking.fine_tuned} == {8}
    assert "After fine-tuning" in ranking.verdict

    def fail(*_args):
        raise AssertionError("a model was trained")

    monkeypatch.setattr(halving, "train_baseline", fail)
    assert rank(recipe, names, out=tmp_path / "out", minutes=5).fine_tuned == ranking.fine_tuned


@pytest.mark.parametrize("target", ["numbers", "lists"])
def test_rows_of_numbers_and_of_several_classes_are_ranked(target, texts, tmp_path):
    task = plugins.load("tasks", "text-classification")()
    recipe = parse_recipe(tiny.recipe(task, tmp_path / "other", labels=target))
    ranking = rank(recipe, texts[1][:2], out=tmp_path / "out")
    assert list(ranking.checkpoints[0].measures) == ["probe", "knn", "log_me"]
    assert ranking.checkpoints[0].name == texts[1][1]


def test_mistakes_are_explained(texts, tmp_path, capsys):
    recipe, names = texts
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe.model_dump(mode="json")))
    (tmp_path / "list.txt").write_text(f"{names[0]}  # the first\n\n")
    vit = tiny.checkpoint(plugins.load("tasks", "image-classification")(), tmp_path / "vit")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").touch()
    file, checkpoints = str(tmp_path / "recipe.yaml"), ["--checkpoints", *names]
    for arguments, sentence in [
        (["--checkpoints", names[0]], "at least two are compared"),
        (["--checkpoints", names[0], names[0]], "is there twice"),
        (["--from", str(tmp_path / "list.txt")], "at least two are compared"),
        (["--from", str(tmp_path / "no.txt")], "there is no file"),
        (["--checkpoints", names[0], str(tmp_path / "firts")], "did you mean"),
        (["--checkpoints", names[0], str(vit)], "cannot do 'text-classification'"),
        ([*checkpoints, "--rows", "3"], "--rows: at least 10"),
        ([*checkpoints, "--minutes", "0"], "--minutes: more than 0"),
        ([*checkpoints, "--out", str(tmp_path / "taken")], "exists and is no ranking"),
    ]:
        assert (
            cli.main(["rank", file, *arguments, *([] if "--out" in arguments else ["--out", str(tmp_path / "o")])]) == 2
        )
        assert sentence in capsys.readouterr().err, arguments
    assert not (tmp_path / "o").exists()


def test_rows_without_labels_of_their_own_are_refused(texts, tmp_path):
    recipe = parse_recipe(tiny.recipe(plugins.load("tasks", "token-classification")(), tmp_path / "words"))
    with pytest.raises(RecipeError, match="rank is for tasks whose rows have classes or a number each"):
        rank(recipe, texts[1], out=tmp_path / "out")
