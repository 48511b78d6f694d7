"""What a command prints: text for people, or one JSON object with `--json`."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

from hftransfer.core.console import is_quiet, with_marks


def show(args: argparse.Namespace, text: str, record: object, warnings: Sequence[str] = ()) -> None:
    """Print what a command has found: a text, with `-q` its warnings alone, with `--json` the record instead.

    Args:
        args: of the command.
        text: for people.
        record: what pydantic can write as JSON: mappings, sequences, records, paths, numbers.
        warnings: those that `text` holds.
    """
    args.record = record
    if args.json:
        return
    if is_quiet():
        for line in warnings:
            print(with_marks(f"WARNING: {line}"), file=sys.stderr)
    else:
        print(with_marks(text))


@contextmanager
def json_alone(args: argparse.Namespace) -> Iterator[None]:
    """With `--json`, let stdout hold only the record of `show`; what is printed in the block goes to stderr.

    Of a command that shows no record, the object has the printed text as `output`.
    """
    if not args.json:
        yield
        return
    printed = _Copied()
    with redirect_stdout(printed):
        yield
    print_json({"output": printed.getvalue()} if args.record is None else args.record)


def print_json(record: object) -> None:
    """Print one JSON object; numbers that JSON lacks (NaN, infinity) become null."""
    from pydantic_core import to_json

    print(to_json(record, by_alias=True, inf_nan_mode="null", indent=1).decode("utf-8"))


class _Copied(io.StringIO):
    """Text that is written to stderr as well."""

    def write(self, text: str) -> int:
        """Write a text; its length."""
        sys.stderr.write(text)
        return super().write(text)

    def isatty(self) -> bool:
        """No terminal: a text without colours."""
        return False
