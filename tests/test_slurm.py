"""`run --on slurm`, on a Slurm of three scripts: the job is stopped by SIGTERM, queued again, and goes on."""

import os
import stat

import pytest
import tiny

from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.results import RunResult

# A job runs at once, and again as often as it is put into the queue.
SBATCH = """#!/bin/bash
export SLURM_JOB_ID=7
log=$(sed -n 's/^#SBATCH --output=//p' "$2")
while :; do
    rm -f "$STATE/requeue"
    bash "$2" >>"$log" 2>&1
    [ -f "$STATE/requeue" ] || break
done
echo "7;cluster"
"""
# The first start is stopped once the training has saved a step.
SRUN = """#!/bin/bash
"$@" &
child=$!
if mkdir "$STATE/started" 2>/dev/null; then
    until compgen -G "$STATE/run.partial/work/tuned/checkpoints/checkpoint-*/complete" >/dev/null; do
        kill -0 $child || exit 1
        sleep 0.05
    done
    kill -TERM $child
fi
wait $child
"""
SCONTROL = """#!/bin/bash
[ "$*" = "requeue 7" ] && touch "$STATE/requeue"
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"sbatch": SBATCH, "srun": SRUN, "scontrol": SCONTROL}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("STATE", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_secretOfTheUser")
    return programs


@pytest.fixture
def recipe(tmp_path):
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path)
    file = tmp_path / "with space.yaml"
    file.write_text(text.replace("save_strategy: epoch", "save_strategy: steps, save_steps: 1, max_steps: 40"))
    return str(file)


def test_a_job_is_stopped_queued_again_and_finished(slurm, recipe, tmp_path, capsys):
    words = ["run", recipe, "seed=3", "--out", str(tmp_path / "run"), "--on", "slurm:gpu,long"]
    assert main([*words, "--sbatch=--time=2:00:00"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("job 7: ") and "#SBATCH --partition=gpu,long\n#SBATCH --time=2:00:00\n" in printed.err
    log, job = (tmp_path / "run.slurm.log").read_text(), (tmp_path / "run.sbatch").read_text()
    assert "hftransfer: terminated" in log, log
    result = RunResult.load(tmp_path / "run" / "result.json")
    assert result.recipe["seed"] == 3 and max(entry["step"] for entry in result.history["tuned"]) == 40
    assert "hf_secret" not in job + log + printed.out + printed.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--on", "pbs"], "'slurm', 'slurm:PARTITION' or 'hf-jobs:FLAVOR', got 'pbs'"),
        (["--on", "slurm:a b"], "got 'slurm:a b'"),
        (["--on", "slurm", "--sbatch", "time"], "an option of sbatch, such as --time=2:00:00, got 'time'"),
        (["--on", "slurm", "--sbatch=--time=1\nrm x"], "an option of sbatch"),
        (["--on", "slurm", "--overwrite"], "remove the old run"),
        (["--sbatch=--time=1"], "give --on slurm as well"),
    ],
)
def test_what_is_no_job_gets_a_sentence(words, sentence, slurm, recipe, capsys):
    assert main(["run", recipe, *words]) == 2 and sentence in capsys.readouterr().err


def test_a_machine_without_slurm_and_a_job_that_is_refused(slurm, recipe, tmp_path, monkeypatch, capsys):
    words = ["run", recipe, "--out", str(tmp_path / "run"), "--on", "slurm:none"]
    (slurm / "sbatch").write_text("#!/bin/bash\necho 'invalid partition specified: none' >&2\nexit 1\n")
    assert main(words) == 2 and "sbatch refuses" in (said := capsys.readouterr().err) and "partition specified" in said
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(words) == 2 and "there is no 'sbatch' here" in capsys.readouterr().err
