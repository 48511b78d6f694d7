"""hftransfer tune."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands import _arguments
from hftransfer.commands._output import show

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("tune", help="search hyper-parameters under a budget, by validation rows")
    _arguments.recipe(command, "fields to change; of a list, such as strategy=[lora,full], one value is chosen")
    command.add_argument("--minutes", type=float, help="wall time of the search, its seeds and the winner's run")
    command.add_argument("--trials", type=int, help="number of trials (default without --minutes: 20)")
    command.add_argument("--seeds", type=int, default=3, help="runs of each of the two best trials, to decide")
    _arguments.jobs(command)
    command.add_argument("--no-prune", action="store_true", help="train every trial to its end")
    command.add_argument("--out", type=Path, help="directory of the search (default: runs/tune-NAME of the recipe)")
    return command


def run(args: argparse.Namespace) -> int:
    """Search, and run the winner; print the trials and the winner's result, and write `tune.json`."""
    from hftransfer import api, api_choosing
    from hftransfer.choosing.tune import table
    from hftransfer.runner.folders import folder_of

    out = args.out or folder_of("tune", args.recipe)
    found = api_choosing.tune(
        args.recipe,
        args.overrides,
        minutes=args.minutes,
        trials=args.trials,
        seeds=args.seeds,
        jobs=args.jobs,
        prune=not args.no_prune,
        out=out,
    )
    trials, best = table(found), " ".join(f"{key}={value}" for key, value in found.best.items())
    show(args, f"\n{trials.title}:\n{trials.text()}\n\nbest by validation: {best}", found)
    code = _arguments.finished(args, api.finished_run(Path(found.run)), Path(found.run))
    args.record = {"search": found, "run": args.record}
    return code
