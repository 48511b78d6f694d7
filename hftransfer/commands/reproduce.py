"""hftransfer reproduce."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands import _arguments
from hftransfer.commands._output import show

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("reproduce", help="repeat a pushed run and compare its scores with the card's")
    command.add_argument("repo", help="user/name")
    _arguments.overrides(command, "fields to change, such as seed=1")
    command.add_argument("--out", type=Path, help="directory of the run (default: runs/ and the repository's name)")
    _arguments.existing_run(command)
    return command


def run(args: argparse.Namespace) -> int:
    """Print both runs' scores side by side; 3 when they differ."""
    from hftransfer import api
    from hftransfer.core.prefixes import HUB
    from hftransfer.hub import client
    from hftransfer.reporting import report
    from hftransfer.reporting.tables import headline_scores
    from hftransfer.runner import pipeline

    pushed, name = client.read_result(args.repo), f"{HUB}{args.repo}"
    out = args.out or api.default_folder(name)
    recipe = api.read_recipe(name, args.overrides)
    repeated = pipeline.run(recipe, out, resume=args.resume, overwrite=args.overwrite)
    table, agree = report.reproduced(pushed, repeated)
    text = f"\n{table.text()}\n\n{'reproduced' if agree else 'NOT reproduced'}"
    record = {
        "folder": out,
        "reproduced": agree,
        "published": headline_scores(pushed),
        "repeated": headline_scores(repeated),
    }
    show(args, text, record)
    return 0 if agree else 3
