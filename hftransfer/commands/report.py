"""hftransfer report."""

import argparse
from dataclasses import asdict
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
    from hftransfer.choosing.paired import differences
    from hftransfer.core.files import write_text
    from hftransfer.reporting import report
    from hftransfer.reporting.side_by_side import with_own_names
    from hftransfer.reporting.summary import summary

    results = with_own_names([finished_run(folder) for folder in args.runs])
    if args.out.is_dir() or any(place.is_file() for place in args.out.parents):
        raise RecipeError(f"--out: '{args.out}' should be a file, such as report.html")
    if args.out.exists() and args.out.suffix.lower() not in (".html", ".htm"):
        raise RecipeError(f"--out: '{args.out}' exists and is no HTML file; name another, such as report.html")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    paired = differences(results, args.runs)
    write_text(args.out, report.html(results, paired))
    runs = [summary(result, folder) for result, folder in zip(results, args.runs, strict=True)]
    warnings = [line for result in results for line in result.warnings]
    record = {"page": args.out, "runs": runs, "paired": [asdict(it) for it in paired[0]]}
    show(args, f"{report.markdown(results, paired)}\n{args.out} written", record, warnings)
    return 0
