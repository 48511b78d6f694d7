"""The parser of all commands, and what it says to a command or an option that there is not."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hftransfer import __version__, commands
from hftransfer.core import synonyms
from hftransfer.core.errors import RecipeError
from hftransfer.core.plugins import nearest

_DESCRIPTION = "Transfer learning by recipe: fine-tune, score, export and publish a Hugging Face checkpoint."
_EXIT_CODES = (
    "Exit codes: 0 success; 2 a mistake in recipe, data or arguments, explained in one sentence; 3 an exported variant "
    "was rejected, or a run not reproduced; 130 interrupted; 143 terminated, --resume continues."
)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are those of this package."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments.

        Raises:
            RecipeError: always.
        """
        raise RecipeError(f"{message}; `{self.prog} --help` shows the arguments")


def parser() -> Parser:
    """The parser of the command line, with that of each command."""
    main = Parser(prog="hftransfer", description=_DESCRIPTION, epilog=_EXIT_CODES)
    main.add_argument("--version", action="version", version=__version__)
    subparsers = main.add_subparsers(metavar="COMMAND", required=True)
    for name in commands.ORDER:
        module = importlib.import_module(f"hftransfer.commands.{name}")
        command = module.add(subparsers)
        _add_shared(command)
        command.set_defaults(command=module.run, record=None)
    return main


def _add_shared(command: argparse.ArgumentParser) -> None:
    """What every command has."""
    command.add_argument(
        "--plugins",
        type=Path,
        metavar="DIR",
        action="append",
        default=[],
        help="a folder with plug-ins of your own, in tasks/, strategies/, metrics/ ...; may be repeated",
    )
    command.add_argument("--json", action="store_true", help="print the result as one JSON object, all else on stderr")
    loudness = command.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="print neither progress nor tables: only warnings")
    loudness.add_argument("-v", "--verbose", action="store_true", help="print the libraries' logs, and tracebacks")


def of_commands(main: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Name -> parser of each command."""
    (action,) = (one for one in main._actions if isinstance(one, argparse._SubParsersAction))
    return dict(action.choices)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command line.

    Raises:
        RecipeError: there is no such command or option, or an argument is missing or wrong.
    """
    main = parser()
    known = of_commands(main)
    first = words[0] if words else ""
    if not first:
        raise RecipeError(f"a command is missing; {nearest('', known)}")
    if not first.startswith("-") and first not in known:
        raise RecipeError(f"there is no command '{first}'; {nearest(first, known, synonyms.COMMANDS)}")
    if first.startswith("-") and first not in main._option_string_actions and not _abbreviated(first, main):
        raise RecipeError(f"'{first}' stands before the command; options follow it: hftransfer COMMAND {first}")
    args, rest = main.parse_known_args(words)
    command = known[first]
    for word in rest:
        if word.startswith("-"):
            option, options = word.partition("=")[0], _options(command)
            raise RecipeError(f"{first} has no option '{option}'; {nearest(option, options)}")
        # argparse accepts positional arguments only in one group; overrides may follow an option too.
        if ("=" not in word and not hasattr(args, "takes_recipes")) or not hasattr(args, "overrides"):
            raise RecipeError(f"{first} takes no argument '{word}' there; `{command.prog} --help` shows the arguments")
    if rest:
        args.overrides = [*args.overrides, *rest]
    return args


def _options(command: argparse.ArgumentParser) -> list[str]:
    return [name for name in command._option_string_actions if name.startswith("--")]


def _abbreviated(word: str, main: argparse.ArgumentParser) -> bool:
    return word.startswith("--") and any(name.startswith(word) for name in main._option_string_actions)
