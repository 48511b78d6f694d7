"""`hftransfer tune`: the space, the trials, and a search that goes on."""

import importlib
import json
from functools import partial

import processes
import pytest
import tiny
from optuna.trial import TrialState

from hftransfer.choosing import grid, run_process
from hftransfer.choosing.grid import Base
from hftransfer.choosing.parallel import environments
from hftransfer.choosing.search import Options, Search
from hftransfer.choosing.search_space import search_space
from hftransfer.choosing.study import interrupted, next_trial, open_study
from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError, RunError
from hftransfer.core.results import RunResult
from hftransfer.recipe.loader import load_recipe
from hftransfer.runner.trial_scores import environment, final_score, read_scores, scores_file

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


def test_the_folder_of_a_search_is_that_of_one_recipe(tmp_path):
    space = search_space(BASE, ["strategy=[lora, full]"])
    study = open_study(space, tmp_path, minimize=False)
    study.tell(study.ask(), 0.9)
    assert len(open_study(space, tmp_path, minimize=False).get_trials(states=[TrialState.COMPLETE])) == 1
    changed = Base("quickstart", lambda overrides: load_recipe("quickstart", [*overrides, "seed=7"]))
    with pytest.raises(RecipeError, match="holds a search of another recipe"):
        open_study(search_space(changed, ["strategy=[lora, full]"]), tmp_path, minimize=False)


def test_another_winner_of_a_search_that_goes_on_leaves_the_first_one_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(grid, "run_combination", lambda combination, folder: folder.mkdir(exist_ok=True))
    search = Search(search_space(BASE, ["strategy=[lora, full]"]), Options(None, 1), tmp_path)
    for rate in ("1e-4", "3e-4", "3e-4", "2e-4"):
        search.winner({"training.learning_rate": rate})
    assert sorted(it.name for it in tmp_path.iterdir() if it.is_dir()) == ["best", "best-1", "best-2"]


@pytest.mark.usefixtures("in_process")
def test_a_search_goes_on_and_its_winner_ships(tmp_path, capsys):
    task = plugins.load("tasks", "text-classification")()
    (tmp_path / "tiny.yaml").write_text(tiny.recipe(task, tmp_path, more="export: null"))
    words = ["tune", str(tmp_path / "tiny.yaml"), "--seeds", "1", "--out", str(tmp_path / "out")]
    assert main([*words, "--trials", "1"]) == 0
    first = json.loads((tmp_path / "out" / "tune.json").read_text())
    # As an interrupted trial is left.
    base = Base(words[1], partial(load_recipe, words[1]))
    search = Search(search_space(base, []), Options(None, 1), tmp_path / "out")
    asked = next_trial(search.study, 0, 1)
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


@pytest.fixture
def forked(monkeypatch):
    """Each run in a process that is forked, from one that has imported what it needs."""
    for name in ("transformers.trainer", "sklearn.metrics", "hftransfer.runner.pipeline"):
        importlib.import_module(name)
    monkeypatch.setattr(run_process, "start", processes.ForkedRun)
    monkeypatch.setattr(processes.ForkedRun, "barriers", [])
    return processes.ForkedRun


def _words(tmp_path, *more):
    """The command on a recipe whose learning rate alone is searched."""
    task = plugins.load("tasks", "text-classification")()
    (tmp_path / "tiny.yaml").write_text(tiny.recipe(task, tmp_path, more="export: null"))
    fixed = ["training.per_device_train_batch_size=8", "--seeds", "1", "--out", str(tmp_path / "out")]
    return ["tune", str(tmp_path / "tiny.yaml"), *fixed, *more]


def test_a_trial_that_is_absurd_is_pruned_also_after_an_interruption(tmp_path, capsys, monkeypatch, forked):
    words = _words(
        tmp_path,
        "training.num_train_epochs=40",
        "training.save_strategy=no",
        "training.learning_rate=[1.0e-2, 50.0]",
        "--trials",
        "2",
    )
    look, runs = Search._is_pruned, []

    def interrupt(self, one):
        if one.trial.number == 1 and read_scores(one.scores_file):
            raise KeyboardInterrupt
        return look(self, one)

    with monkeypatch.context() as patched:
        patched.setattr(Search, "_is_pruned", interrupt)
        patched.setattr(run_process, "start", lambda *given: runs.append(forked(*given)) or runs[-1])
        assert main(words) == 130
    (partial,) = (tmp_path / "out" / "runs").glob("*50.0*.partial")
    assert len(runs) == 2 and not any(run.process.is_alive() for run in runs)
    assert main(words) == 0
    found = json.loads((tmp_path / "out" / "tune.json").read_text())
    good, absurd = found["trials"]
    assert good["pruned_at"] is None and good["score"] == 1 and found["best"] == good["values"]
    assert absurd["values"] == {"training.learning_rate": "50.0"}
    assert absurd["pruned_at"] == 25 and absurd["score"] < 1
    assert not partial.exists() and not partial.with_suffix("").exists()
    text = capsys.readouterr().out
    assert "2 trials, 1 pruned:" in text and ", pruned at 25 %" in text


def test_jobs_run_at_the_same_time(tmp_path, forked):
    # Each of the first two runs waits for the other.
    barrier = processes.TEST_FORKS.Barrier(2)
    forked.barriers = [barrier, barrier]
    words = _words(tmp_path, "training.num_train_epochs=2", "training.learning_rate=[1.0e-3, 1.0e-4, 1.0e-5]")
    assert main([*words, "--trials", "3", "--jobs", "2"]) == 0
    found = json.loads((tmp_path / "out" / "tune.json").read_text())
    rates = [trial["values"]["training.learning_rate"] for trial in found["trials"]]
    assert rates == ["0.001", "0.0001", "1e-05"]
    assert all(trial["score"] is not None and trial["seconds"] > 0 for trial in found["trials"])


def test_each_job_has_its_share_of_the_machine(monkeypatch):
    monkeypatch.setattr("hftransfer.choosing.parallel.usable_cores", lambda: 8)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert environments(1) == [{}]
    assert environments(3) == [{"OMP_NUM_THREADS": "2"}] * 3
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert [it["CUDA_VISIBLE_DEVICES"] for it in environments(3)] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7f")
    assert environments(2) == [
        {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "5"},
        {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "GPU-7f"},
    ]


def test_an_interrupted_search_proposes_what_it_would_have(tmp_path):
    space = search_space(BASE, [])
    trials = []
    for name in ("whole", "interrupted"):
        study = open_study(space, tmp_path / name, minimize=False)
        for number in range(15):
            trial = next_trial(study, 3, 1)
            values = space.suggest(trial)
            if name == "interrupted" and number in (4, 12):
                study = open_study(space, tmp_path / name, minimize=False)
                (trial,) = interrupted(study, tmp_path / name)
                assert space.suggest(trial) == values
            study.tell(trial, values["training.learning_rate"])
        trials.append([trial.params for trial in study.trials])
    assert trials[0] == trials[1] and len(trials[0]) == 15


class _Failed:
    """A run that has ended without a result."""

    def has_ended(self):
        return True

    def check(self):
        raise RunError("out of memory")


@pytest.mark.usefixtures("in_process")
def test_a_trial_that_fails_is_left_out_unless_it_is_the_first(tmp_path, monkeypatch):
    words = _words(tmp_path, "training.num_train_epochs=1", "training.learning_rate=[1.0e-3, 1.0e-4]", "--trials", "2")
    start = run_process.start

    def run(rate):
        failing = f"training.learning_rate={rate}"
        monkeypatch.setattr(run_process, "start", lambda *given: _Failed() if failing in given[1] else start(*given))
        return main(words)

    assert run("0.001") == 2
    assert run("0.0001") == 0
    first, second = json.loads((tmp_path / "out" / "tune.json").read_text())["trials"]
    assert first["score"] is not None and first["failed"] is None
    assert second["score"] is None and second["failed"] == "out of memory"


@pytest.mark.parametrize("strategy", ["multi_task", "linear_probe", "few_shot"])
def test_a_trial_of_each_kind_of_strategy_is_scored_as_the_whole_run(strategy, tmp_path, monkeypatch):
    task = plugins.load("tasks", "text-classification")()
    (tmp_path / "other.yaml").write_text(tiny.recipe(task, tmp_path, labels="numbers"))
    fields = f", others: {{second: {tmp_path / 'other.yaml'}}}" if strategy == "multi_task" else ""
    text = tiny.recipe(task, tmp_path, strategy=f"{{name: {strategy}{fields}}}", more="export: null")
    (tmp_path / "tiny.yaml").write_text(text)
    words = ["run", str(tmp_path / "tiny.yaml"), "--out"]
    assert main([*words, str(tmp_path / "whole")]) == 0
    for name, value in environment(tmp_path / "trial", on_its_way=True).items():
        monkeypatch.setenv(name, value)
    assert main([*words, str(tmp_path / "trial")]) == 0
    result = RunResult.load(tmp_path / "whole" / "result.json")
    score, _ = final_score(scores_file(tmp_path / "trial"))
    assert score == result.scores["validation"]["tuned"][result.headline].value


def test_what_validation_rows_cannot_choose_is_refused(tmp_path, capsys):
    task = plugins.load("tasks", "anomaly-detection")(modality="text")
    (tmp_path / "tiny.yaml").write_text(tiny.recipe(task, tmp_path, strategy="frozen", more="export: null"))
    words = ["tune", str(tmp_path / "tiny.yaml"), "task.bank=[500, 2000]", "--trials", "1"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "task 'anomaly-detection' does not score" in capsys.readouterr().err


def test_a_torn_line_of_scores_is_left_out(tmp_path):
    file = tmp_path / "trial.scores"
    file.write_text(
        '\n{"progress": 25, "score": 0.5}\n\n{"progress": 50, "sc\n{"progress": 100, "score": 0.7, "seconds": 1}\n'
    )
    assert read_scores(file) == [(25, 0.5)] and final_score(file) == (0.7, 1)


def test_a_trial_is_scored_as_the_whole_run_and_reads_no_test_rows(tmp_path, monkeypatch):
    # Of numbers, whose unit a model answers in only once its training is over.
    task = plugins.load("tasks", "text-classification")()
    (tmp_path / "tiny.yaml").write_text(tiny.recipe(task, tmp_path, labels="numbers", more="export: null"))

    def run(folder, rate):
        words = [f"training.learning_rate={rate}", "--out", str(folder)]
        assert main(["run", str(tmp_path / "tiny.yaml"), *words]) == 0

    def trial(folder, rate):
        with monkeypatch.context() as patched:
            for name, value in environment(folder, on_its_way=True).items():
                patched.setenv(name, value)
            run(folder, rate)
        ((progress, on_its_way),) = read_scores(scores_file(folder))
        assert progress == 50 and not folder.exists()
        return on_its_way, final_score(scores_file(folder))[0]

    whole, learning, still = (tmp_path / name for name in ("whole", "learning", "still"))
    run(whole, "1.0e-2")
    _, score = trial(learning, "1.0e-2")
    assert score == RunResult.load(whole / "result.json").scores["validation"]["tuned"]["r_squared"].value
    trained, shipped = (it / "model/model.safetensors" for it in (learning.with_name("learning.partial"), whole))
    assert trained.read_bytes() == shipped.read_bytes()
    encoded = learning.with_name("learning.partial") / "work" / "encoded"
    assert {it.name.partition(".")[0] for it in encoded.iterdir() if "train" in it.name or "test" in it.name} == {
        "train"
    }
    # A training that changes nothing ends with the score that it had on its way.
    on_its_way, score = trial(still, "1.0e-12")
    assert score == pytest.approx(on_its_way, abs=1e-4)
