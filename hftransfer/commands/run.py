"""hftransfer run."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands import _arguments
from hftransfer.commands._output import show
from hftransfer.core.console import report
from hftransfer.core.errors import RecipeError

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("run", help="train, score, export and document what a recipe describes")
    _arguments.recipe(command)
    command.add_argument("--out", type=Path, help="directory of the run (default: runs/ and the recipe's name)")
    command.add_argument("--on", metavar="slurm[:PARTITION]", help="submit the run as a job of Slurm, which goes on")
    command.add_argument(
        "--sbatch", action="append", default=[], metavar="OPTION", help="of the job: --sbatch=--time=2:00:00"
    )
    _arguments.existing_run(command)
    return command


def run(args: argparse.Namespace) -> int:
    """Run the recipe, and push the run where the recipe asks for that; with `--on`, submit the run as a job.

    Raises:
        RecipeError: arguments that do not go together.
    """
    from hftransfer import api
    from hftransfer.runner import pipeline

    if args.sbatch and not args.on:
        raise RecipeError("--sbatch: it is for jobs; give --on slurm as well")
    recipe = api.read_recipe(args.recipe, args.overrides)
    out = args.out or api.default_folder(args.recipe)
    if args.on:
        return _submit(args, out)
    result = pipeline.run(recipe, out, resume=args.resume, overwrite=args.overwrite)
    return _arguments.finished(args, result, out, api.push_finished(recipe, out))


def _submit(args: argparse.Namespace, out: Path) -> int:
    """Show the job, and put it into the queue."""
    from hftransfer.runner import slurm

    if args.overwrite:
        raise RecipeError("--overwrite: a job that is started again would overwrite its own run; remove the old run")
    job = slurm.job(args.recipe, args.overrides, out, args.on, args.sbatch)
    report(job.text)
    number = job.submit()
    show(args, f"job {number}: {job.file}, log: {job.log}", {"job": number, "file": job.file, "log": job.log})
    return 0
