"""hftransfer run."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands import _arguments
from hftransfer.commands._output import show
from hftransfer.core.console import report
from hftransfer.core.errors import RecipeError

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands
    from hftransfer.recipe.schema import Recipe
    from hftransfer.runner.hf_jobs import Job


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("run", help="train, score, export and document what a recipe describes")
    _arguments.recipe(command)
    command.add_argument("--out", type=Path, help="directory of the run (default: runs/ and the recipe's name)")
    command.add_argument(
        "--on",
        metavar="slurm[:PARTITION]|hf-jobs:FLAVOR",
        help="run it as a job of Slurm or of the Hub, which goes on after a time limit",
    )
    command.add_argument(
        "--sbatch", action="append", default=[], metavar="OPTION", help="of a job of Slurm: --sbatch=--time=2:00:00"
    )
    command.add_argument("--timeout", metavar="TIME", help="time limit of a job of the Hub: 90m (default: 1h)")
    command.add_argument("--yes", action="store_true", help="start a job of the Hub without asking")
    _arguments.existing_run(command)
    return command


def run(args: argparse.Namespace) -> int:
    """Run the recipe, and push the run where the recipe asks for that; with `--on`, as a job elsewhere.

    Raises:
        RecipeError: arguments that do not go together.
    """
    from hftransfer import api
    from hftransfer.runner import pipeline
    from hftransfer.runner.jobs import split_place
    from hftransfer.runner.trial_scores import trial_file

    kind, place = split_place(args.on) if args.on is not None else (None, None)
    if args.sbatch and kind != "slurm":
        raise RecipeError("--sbatch: it is for jobs of Slurm; give --on slurm as well")
    if kind != "hf-jobs":
        for option, value in (("--timeout", args.timeout), ("--yes", args.yes)):
            if value not in (None, False):
                raise RecipeError(f"{option}: it is for jobs of the Hub; give --on hf-jobs:FLAVOR as well")
    recipe = api.read_recipe(args.recipe, args.overrides)
    out = args.out or api.default_folder(args.recipe)
    if kind is not None:
        return _submit(args, recipe, out, kind, place)
    if (scores := trial_file()) is not None:
        pipeline.run_trial(recipe, out, scores)
        return 0
    result = pipeline.run(recipe, out, resume=args.resume, overwrite=args.overwrite)
    return _arguments.finished(args, result, out, api.push_finished(recipe, out))


def _submit(args: argparse.Namespace, recipe: "Recipe", out: Path, kind: str, place: str | None) -> int:
    """Show the job, and start it."""
    from hftransfer.runner import hf_jobs, slurm
    from hftransfer.runner.jobs import check_options

    if kind not in (slurm.NAME, hf_jobs.NAME):
        raise RecipeError(f"--on: 'slurm', 'slurm:PARTITION' or 'hf-jobs:FLAVOR', got '{args.on}'")
    check_options(kind, args.overwrite)
    if kind == slurm.NAME:
        job = slurm.job(args.recipe, args.overrides, out, place, args.sbatch)
        report(job.text)
        number = job.submit()
        show(args, f"job {number}: {job.file}, log: {job.log}", {"job": number, "file": job.file, "log": job.log})
        return 0
    return _run_on_the_hub(args, hf_jobs.job(recipe, out, place or "", "1h" if args.timeout is None else args.timeout))


def _run_on_the_hub(args: argparse.Namespace, job: "Job") -> int:
    """Show what is uploaded and what it costs, start the job, and print the run or where it was pushed."""
    from hftransfer import api

    report(str(job))
    asks = sys.stdin.isatty() and not (args.yes or args.json or job.running or job.finished)
    if asks and input("start it? [y/N] ").strip().lower() not in ("y", "yes"):
        report("nothing was uploaded or started")
        return 0
    code = job.run()
    if code not in (0, 3):
        show(args, "", {"bucket": job.address, "code": code})
        return code
    if job.push is not None:
        show(args, f"pushed to {job.push}; the run: {job.address}", {"bucket": job.address, "repo": job.push})
        return code
    return _arguments.finished(args, api.finished_run(job.out), job.out)
