"""hftransfer export."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands import _arguments

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands

_OPTIONS = ("format", "quantization", "max_drop")


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("export", help="export a finished run again, with other settings")
    command.add_argument("run", type=Path, help="directory of a finished run")
    _arguments.overrides(command, "fields of `export:`, such as quantization=auto")
    for name in _OPTIONS:
        command.add_argument(f"--{name.replace('_', '-')}", help=f"the same as {name}=...")
    return command


def run(args: argparse.Namespace) -> int:
    """Export, score and judge the variants anew, and write the run's record, report and card."""
    from hftransfer.api import finished_run
    from hftransfer.recipe.loader import parse_export

    before = finished_run(args.run).recipe["export"]
    given = {name: getattr(args, name) for name in _OPTIONS}
    named = [f"{name}={value}" for name, value in given.items() if value is not None]
    settings = parse_export([*named, *args.overrides], before)
    from hftransfer.runner.pipeline import export

    return _arguments.finished(args, export(args.run, settings), args.run)
