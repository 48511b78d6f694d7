"""How much is printed (`-q`, `-v`), and in which colours; the command line sets the level once."""

from __future__ import annotations

import os
import re
import sys
from enum import IntEnum
from typing import TextIO


class Level(IntEnum):
    """How much a command prints."""

    QUIET = -1
    """Warnings and errors."""
    NORMAL = 0
    VERBOSE = 1
    """The log of the libraries too, and the tracebacks of errors."""


class _State:
    level = Level.NORMAL


# Read by Transformers, datasets and huggingface_hub when they are imported.
_LOG_LEVELS = ("TRANSFORMERS_VERBOSITY", "DATASETS_VERBOSITY", "HF_HUB_VERBOSITY")
_CODES = {"bold": "1", "error": "1;31", "warning": "33", "finding": "36"}
_MARKED = re.compile(r"^(WARNING|FINDING)(?=: )", re.MULTILINE)


def set_level(level: Level) -> None:
    """Set how much is printed, before the libraries are imported."""
    _State.level = level
    if level is Level.VERBOSE:
        for name in _LOG_LEVELS:
            os.environ.setdefault(name, "info")


def is_quiet() -> bool:
    """Whether only warnings and errors are printed."""
    return _State.level is Level.QUIET


def is_verbose() -> bool:
    """Whether the libraries print their logs, and errors their tracebacks."""
    return _State.level is Level.VERBOSE


def silence_transformers() -> None:
    """Let Transformers print errors alone, unless the level is verbose."""
    from transformers.utils import logging

    if not is_verbose():
        logging.set_verbosity_error()


def report(text: str) -> None:
    """Print a line on how far long work is to stderr, unless the level is quiet."""
    if not is_quiet():
        print(text, file=sys.stderr, flush=True)


def has_colours(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows colours, and the user wants some (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, style: str, stream: TextIO | None = None) -> str:
    """A text in bold or in the colour of an error, a warning or a finding, where the stream (stdout) has colours."""
    return f"\033[{_CODES[style]}m{text}\033[0m" if has_colours(stream or sys.stdout) else text


def with_marks(text: str) -> str:
    """A text for stdout whose words `WARNING` and `FINDING` at the beginning of a line have their colours."""
    return _MARKED.sub(lambda match: styled(match[0], match[0].lower()), text)
