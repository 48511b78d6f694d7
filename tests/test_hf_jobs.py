"""`run --on hf-jobs`, on a Hub that runs the job here: it is killed when its time is over, and goes on."""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from threading import Thread

import loopback_jobs
import pytest
import tiny

from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.results import RunResult
from hftransfer.hub import jobs as jobs_of_the_hub
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner import hf_jobs, staging, volume

TOKEN = "hf_aliceMayWrite"
# In the place of uv and all that it would start: a run that ends as it should, or by the exit code in its recipe.
STAND_IN = f"""#!{sys.executable}
import json, re, sys
from pathlib import Path

place, name, _, key = sys.argv[sys.argv.index("hftransfer.runner.volume") + 1 :][:4]
print("the token is {TOKEN}")
(run := Path(place, "run", name)).mkdir(parents=True, exist_ok=True)
(run / "result.json").write_text("done")
code = int(re.search("seed: (.+)", Path(place, "recipe.yaml").read_text())[1])
Path(place, "end.json").write_text(json.dumps({{"key": key, "code": code}}))
sys.exit(code)
"""


@pytest.fixture
def jobs(hub, tmp_path_factory, monkeypatch):
    hub.jobs_and_buckets = loopback_jobs.Jobs(hub, tmp_path_factory.mktemp("jobs"))
    yield hub.jobs_and_buckets
    for job in hub.jobs_and_buckets.jobs.values():
        with contextlib.suppress(ProcessLookupError):
            for group in loopback_jobs._groups(job.process.pid):
                os.killpg(group, signal.SIGKILL)


@pytest.fixture
def recipe(tmp_path):
    """Enough for a job that is refused, or whose run is a stand-in."""
    (tmp_path / "rows.csv").write_text("text,label\ngood,1\n")
    file = tmp_path / "words.yaml"
    file.write_text(f"""
task: text-classification
model: {{id: google/bert_uncased_L-2_H-128_A-2}}
data: {{source: {{name: csv, train: {tmp_path / "rows.csv"}}}}}
""")
    return str(file)


@pytest.mark.timeout(180)
def test_a_job_whose_time_is_over_goes_on_and_is_downloaded(jobs, tmp_path, capsys):
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path)
    recipe = tmp_path / "words.yaml"
    recipe.write_text(text.replace("save_strategy: epoch", "save_strategy: steps, save_steps: 5, max_steps: 300"))
    words = ["run", str(recipe), "seed=3", "--out", str(tmp_path / "run"), "--on", "hf-jobs:t4-small"]
    words += ["--timeout", "0.5h"]
    jobs.time_is_over = lambda mount: any(mount.glob("run/run.partial/work/tuned/checkpoints/checkpoint-*/complete"))
    assert main(words) == 143
    first = capsys.readouterr().err
    for text in (
        "1 x Nvidia T4 with 16 GB), $0.40 an hour",
        "time limit: 30m (--timeout), so the job costs at most $0.20",
        "which is private",
        "  recipe.yaml",
        "installed hftransfer-recipes[text]==",
        "the same command goes on",
    ):
        assert text in first
    (bucket,), (killed,) = jobs.buckets, jobs.jobs.values()
    assert not (tmp_path / "run").exists() and any("checkpoint-" in path for path in jobs.buckets[bucket])
    jobs.time_is_over = lambda mount: False
    assert main(words) == 0
    printed = capsys.readouterr()
    result = RunResult.load(tmp_path / "run" / "result.json")
    assert result.recipe["seed"] == 3 and max(entry["step"] for entry in result.history["tuned"]) == 300
    assert result.recipe["data"]["source"]["train"].startswith("_outside/") and "report: " in printed.out
    folders = {path.split("/")[0] for path in jobs.buckets[bucket]}
    assert len(folders) == 1 and not any(".partial" in path for path in jobs.buckets[bucket])
    # The token is in the secrets that create a job, and nowhere else.
    written = [first, printed.err, printed.out, *("".join(job.lines) for job in jobs.jobs.values())]
    for path, body in jobs.bodies:
        parts = json.loads(body) if path == "/api/jobs/alice" and body else {}
        assert parts.pop("secrets", {"HF_TOKEN": TOKEN}) == {"HF_TOKEN": TOKEN}
        written.append(json.dumps(parts) if parts else body.decode())
    assert TOKEN not in "".join(written)
    files = [file for place in (tmp_path, jobs.folder) for file in place.rglob("*") if file.is_file()]
    assert len(files) > 50 and not [file for file in files if TOKEN.encode() in file.read_bytes()]
    assert killed.message == "Job timeout" and len(jobs.jobs) == 2


def test_exit_codes_a_finished_run_and_a_running_job(jobs, recipe, tmp_path, monkeypatch, capsys):
    jobs.install(STAND_IN)
    monkeypatch.setattr("hftransfer.commands._arguments.finished", lambda args, result, out: 0)
    monkeypatch.setattr("hftransfer.api.finished_run", lambda out: None)
    words = ["run", recipe, "--out", str(tmp_path / "run"), "--on", "hf-jobs:cpu-basic"]
    assert main([*words, "seed=2"]) == 2 and not (tmp_path / "run").exists()
    printed = capsys.readouterr().err
    assert "the token is ***" in printed and TOKEN not in printed
    assert main([*words, "seed=0"]) == 0 and (tmp_path / "run" / "result.json").read_text() == "done"
    assert main([*words, "seed=0"]) == 2 and "--out chooses another place" in capsys.readouterr().err
    (tmp_path / "run").rename(tmp_path / "moved")
    started = len(jobs.jobs)
    assert main([*words, "seed=0"]) == 0 and len(jobs.jobs) == started and (tmp_path / "run").is_dir()
    # Pushed by the job: nothing is downloaded. After Ctrl+C, the same command finds the job that has not ended.
    may_end = tmp_path / "may_end"
    wait = f"import pathlib, time; [time.sleep(0.1) for _ in range(300) if not pathlib.Path('{may_end}').exists()]"
    jobs.install(STAND_IN.replace("import json", f"{wait}; import json", 1))
    words += ["seed=0", "hub={repo: alice/words}"]
    jobs.hub.arm(None)
    Thread(target=_interrupt_when, args=(lambda: any(path.endswith("/logs") for _, path in jobs.hub.log),)).start()
    assert main(words) == 130 and "hf jobs cancel" in capsys.readouterr().err
    asked = _log_requests(jobs)
    Thread(target=_touch_when, args=(lambda: _log_requests(jobs) > asked, may_end)).start()
    assert main([*words, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["repo"] == "alice/words" and "has not ended yet" in printed.err
    assert len(jobs.jobs) == started + 1


def _log_requests(jobs):
    return sum(path.endswith("/logs") for _, path in jobs.hub.log)


def _touch_when(is_time, file):
    while not is_time():
        time.sleep(0.02)
    file.touch()


def _interrupt_when(is_time):
    while not is_time():
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--on", "hf-jobs:t4-smal"],
            "there is no flavor 't4-smal'; did you mean 't4-small'? Allowed: cpu-basic, l4x4",
        ),
        (["--on", "hf-jobs"], "there is no flavor ''; Allowed: cpu-basic"),
        (["--on", "hf-jobs:t4-small", "--timeout", "1 hour"], "from 1m to 30d"),
        (["--on", "hf-jobs:t4-small", "--overwrite"], "remove the old run"),
        (
            ["--on", "hf-jobs:t4-small", "data.source={name: csv, train: nothing.csv}"],
            "no file or folder 'nothing.csv'",
        ),
        (["--on", "hf-jobs:t4-small", "--sbatch=--time=1"], "give --on slurm as well"),
        (["--on", "slurm", "--timeout", "1h"], "give --on hf-jobs:FLAVOR as well"),
    ],
)
def test_what_is_no_job_gets_a_sentence(words, sentence, jobs, recipe, capsys):
    assert main(["run", recipe, *words]) == 2 and sentence in capsys.readouterr().err
    assert not jobs.buckets and not jobs.jobs


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        ((None, None), "a job needs a token"),
        (("hf_unknownToken", None), "does not know the token"),
        (("hf_aliceMayRead", None), "it needs the rights to run jobs and to write"),
        ((TOKEN, 402), "asks for payment"),
    ],
)
def test_a_token_that_may_not_gets_a_sentence(refusal, sentence, jobs, recipe, monkeypatch, capsys):
    token, status = refusal
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    jobs.hub.arm(lambda number, method, path: status if (method, path) == ("POST", "/api/jobs/alice") else None)
    assert main(["run", recipe, "--on", "hf-jobs:cpu-basic"]) == 2
    said = capsys.readouterr().err
    assert sentence in said and str(token) not in said and not jobs.jobs


def test_a_public_bucket_and_a_refusal_at_a_terminal(jobs, recipe, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    words = ["run", recipe, "--on", "hf-jobs:cpu-basic"]
    assert main(words) == 0 and "nothing was uploaded" in capsys.readouterr().err and not jobs.buckets
    jobs.buckets["alice/hftransfer-runs"] = {}
    jobs.public.add("alice/hftransfer-runs")
    assert main([*words, "--yes"]) == 2 and "is public" in capsys.readouterr().err and not jobs.jobs


def test_what_is_staged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("rows/train-1.csv", "rows/train-2.csv", "rows/.env", "text", "../absolute.csv", "teacher/result.json"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("x")
    for name in ("teacher/model/config.json", "teacher/onnx/model.onnx"):
        Path(name).parent.mkdir()
        Path(name).write_text("x")
    outside = tmp_path.parent / "absolute.csv"
    recipe = parse_recipe(f"""
task: text-classification
model: {{id: google/bert_uncased_L-2_H-128_A-2}}
data:
  source: {{name: csv, train: "rows/train-*.csv", test: {outside}}}
  columns: {{text: text}}
strategy: {{name: distill, teacher: teacher}}
export: {{format: onnx}}
""")
    staged = staging.stage(recipe)
    names = ["rows/train-1.csv", "rows/train-2.csv", "teacher/result.json", "teacher/model/config.json"]
    assert sorted(staged.files) == sorted([*names, "_outside/0/absolute.csv"])
    again = parse_recipe(staged.recipe).data.source
    assert again.train == "rows/train-*.csv" and again.test == "_outside/0/absolute.csv"
    assert staging.extras(recipe) == ["onnx", "text"]


def test_several_gpus_have_a_process_each(tmp_path):
    machine = jobs_of_the_hub.Machine("l4x4", "", 1.0, 4)
    job = hf_jobs.Job(None, tmp_path / "a run", staging.Staged("x"), "hftransfer-recipes", machine, 60, None)
    assert job.command("key")[-5:] == ["/hftransfer", "a_run", "60", "key", "4"]


@pytest.mark.parametrize("name", plugins.names("sources"))
def test_fields_of_local_files_are_fields(name):
    source = plugins.load("sources", name)
    assert set(source.local_files) <= source.model_fields.keys()
    assert source.local_files or name in ("hub", "sample")


def test_a_run_is_ended_in_time_and_copied_whole(tmp_path, monkeypatch):
    place, script = tmp_path / "volume", tmp_path / "run.py"
    (place / "files").mkdir(parents=True)
    (place / "run" / "name").mkdir(parents=True)
    (place / "run" / "name" / "torn").write_text("of a run that was not copied to its end")
    (place / "run" / "name.partial").mkdir()
    (place / "run" / "name.partial" / "step").write_text("1")
    script.write_text("""
import signal, sys, time
from pathlib import Path
out = Path(sys.argv[1] + ".partial")
def end(*_):
    (out / "step").write_text("2")
    (out / "new.partial").write_text("being written")
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
assert (out / "step").read_text() == "1" and not Path(sys.argv[1]).exists()
time.sleep(20)
""")
    monkeypatch.setattr(volume, "run_arguments", lambda recipe, overrides, out: [str(script), str(out)])
    monkeypatch.setenv(volume.STARTED, str(time.time() - 7))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert volume.main([str(place), "name", "9", "abc"]) == 143
    finally:
        signal.signal(signal.SIGTERM, before)
    assert json.loads((place / "end.json").read_text()) == {"key": "abc", "code": 143}
    left = [str(path.relative_to(place / "run")) for path in (place / "run").rglob("*") if path.is_file()]
    assert left == ["name.partial/step"] and (place / "run" / left[0]).read_text() == "2"
