"""`run --on slurm[:PARTITION]`: a run as a job of Slurm, which goes on after a time limit (https://slurm.schedmd.com)."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hftransfer.core.errors import RecipeError, RunError
from hftransfer.core.files import write_text
from hftransfer.reporting.templates import render
from hftransfer.runner.jobs import GRACE, TERMINATED, run_arguments

NAME = "slurm"
_PARTITION = re.compile(r"[\w.,-]+")
_UNSAFE = re.compile(r"[^\w.=-]+")
_OPTION = re.compile(r"--?[A-Za-z][\w-]*(?:[= ]\S.*)?")


@dataclass(frozen=True)
class Job:
    """A job file that `sbatch` takes."""

    file: Path
    text: str
    log: Path
    """What the job prints, of all its starts."""

    def submit(self) -> str:
        """Write the file and put the job into the queue; its number.

        Raises:
            RunError: Slurm refuses the job.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.file, self.text)
        done = subprocess.run(["sbatch", "--parsable", str(self.file)], capture_output=True, text=True, check=False)
        if done.returncode:
            reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            raise RunError(f"--on slurm: sbatch refuses '{self.file}': {reason[:500]}")
        # With several clusters, `number;cluster`.
        return done.stdout.strip().partition(";")[0]


def job(recipe: str, overrides: Sequence[str], out: Path, partition: str | None, options: Sequence[str]) -> Job:
    """The job of a run; nothing is written yet.

    Args:
        recipe: as the command line names it.
        overrides: of the recipe.
        out: directory of the run.
        partition: of the cluster; None: the default one.
        options: further ones of sbatch, such as `--time=2:00:00`.

    Raises:
        RecipeError: a partition or an option that is none, or a machine without Slurm.
    """
    if partition is not None and not _PARTITION.fullmatch(partition):
        raise RecipeError(f"--on: 'slurm' or 'slurm:PARTITION', got '{NAME}:{partition}'")
    for option in options:
        # One that holds a line break would be a command of the job.
        if not _OPTION.fullmatch(option) or "\n" in option:
            raise RecipeError(f"--sbatch: an option of sbatch, such as --time=2:00:00, got '{option}'")
    if shutil.which("sbatch") is None:
        raise RecipeError("--on slurm: there is no 'sbatch' here; start it on a login node of a cluster with Slurm")
    out = out.absolute()
    words = [sys.executable, *run_arguments(recipe, overrides, out)]
    log = out.with_name(f"{out.name}.slurm.log")
    text = render(
        "job.sh.jinja",
        name=_UNSAFE.sub("_", f"hftransfer-{out.name}"),
        log=shlex.quote(str(log)),
        options=[*([f"--partition={partition}"] if partition else []), *options],
        folder=shlex.quote(str(Path.cwd())),
        grace=GRACE,
        terminated=TERMINATED,
        command=shlex.join(words),
    )
    return Job(out.with_name(f"{out.name}.sbatch"), text, log)
