"""hftransfer report."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands._output import show
from hftransfer.core.errors import RecipeError

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("report", help="write an HTML page of a finished run, or compare several")
    command.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="directories of finished runs")
    command.add_argument("--out", type=Path, default=Path("report.html"), help="the HTML file")
    return command


def run(args: argparse.Namespace) -> int:
    """Write the page, and print its tables.

    Raises:
        RecipeError: there is no such run, or the page cannot be written there.
    """
    from hftransfer.api import finished_run
    from hftransfer.core.files import write_text
    from hftransfer.reporting import report
    from hftransfer.reporting.summary import summary

    results = [finished_run(folder) for folder in args.runs]
    if args.out.is_dir() or any(place.is_file() for place in args.out.parents):
        raise RecipeError(f"--out: '{args.out}' should be a file, such as report.html")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_text(args.out, report.html(results))
    runs = [summary(result, folder) for result, folder in zip(results, args.runs, strict=True)]
    warnings = [line for result in results for line in result.warnings]
    show(args, f"{report.markdown(results)}\n{args.out} written", {"page": args.out, "runs": runs}, warnings)
    return 0
