"""hftransfer bench."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands._output import show
from hftransfer.core.errors import RecipeError

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("bench", help="measure the latency of a finished run in PyTorch and exported")
    command.add_argument("run", type=Path, help="directory of a finished run")
    command.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32], help="batch sizes")
    command.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count() or 1], help="numbers of threads")
    command.add_argument("--calls", type=int, default=50, help="timed calls of each variant at each batch size")
    command.add_argument("--without", nargs="+", default=[], help="variants to leave out, such as pytorch-compile")
    return command


def run(args: argparse.Namespace) -> int:
    """Print a table of the timings, and write plot and calls into the run.

    Raises:
        RecipeError: a number that cannot be measured, or there is no such run.
    """
    for name in ("batch", "threads", "calls"):
        values = getattr(args, name)
        if not all(1 <= value <= 10**5 for value in (values if isinstance(values, list) else [values])):
            raise RecipeError(f"--{name}: at least 1 and at most 100,000, got {values}")
    from hftransfer.api import finished_run
    from hftransfer.reporting.plots import latency_plot
    from hftransfer.runner.benchmark import benchmark, table

    finished_run(args.run)
    timings = benchmark(args.run, args.batch, args.threads, args.calls, args.without)
    (args.run / "bench.png").write_bytes(latency_plot(timings).png())
    text = f"\n{table(timings).text()}\n\nplot: {args.run}/bench.png, all timed calls: {args.run}/bench.json"
    show(args, text, {"folder": args.run, "timings": timings})
    return 0
