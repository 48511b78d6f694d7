"""Scripts by which bash, zsh and fish complete commands, options, and names of recipes and plug-ins.

They are written from the parser, and hold all words: nothing of Python runs while somebody types.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hftransfer.core import plugins

Words = list[str]


@dataclass(frozen=True)
class Option:
    """An option of a command."""

    names: Words
    help: str
    takes_value: bool
    words: Words
    """The values that it may have; empty for any, or a file."""


@dataclass(frozen=True)
class Command:
    """A command, and what may follow it."""

    name: str
    help: str
    options: list[Option]
    words: Words
    """What its first argument may be, apart from files."""
    has_files: bool


def commands() -> list[Command]:
    """All commands, in the order of `hftransfer --help`."""
    from hftransfer.commands import _parser

    main = _parser.parser()
    (choices,) = (action for action in main._actions if isinstance(action, argparse._SubParsersAction))
    helps = {choice.dest: choice.help or "" for choice in choices._choices_actions}
    return [_command(name, helps[name], command) for name, command in _parser.of_commands(main).items()]


def _command(name: str, text: str, parser: argparse.ArgumentParser) -> Command:
    options = [
        Option(list(action.option_strings), action.help or "", action.nargs != 0, list(map(str, action.choices or ())))
        for action in parser._actions
        if action.option_strings
    ]
    positional = [action for action in parser._actions if not action.option_strings]
    words = [word for action in positional for word in _words(name, action)]
    return Command(name, text, options, words, any(_is_file(action) for action in positional))


def _words(command: str, action: argparse.Action) -> Words:
    """What an argument may be: one of its choices, a packaged recipe, a plug-in."""
    from hftransfer.recipe import catalog

    recipes = list(catalog.packaged_recipes())
    if action.dest == "recipe":
        return recipes
    if (command, action.dest) == ("list", "name"):
        named = {name for kind in plugins.KINDS for name in plugins.names(kind)}
        return [*plugins.KINDS, "recipes", *sorted(named), *recipes]
    return list(map(str, action.choices or ()))


def _is_file(action: argparse.Action) -> bool:
    return action.type is Path or action.dest in ("recipe", "input", "data")


def _quoted(words: Sequence[str]) -> str:
    return shlex.quote(" ".join(words))


def _bash(found: Sequence[Command]) -> str:
    cases = []
    for command in found:
        flags = [name for option in command.options for name in option.names]
        values = "".join(
            f"{'|'.join(option.names)}) words={_quoted(option.words)}; files={'' if option.words else 1};; "
            for option in command.options
            if option.takes_value
        )
        cases.append(
            f"        {command.name})\n"
            f'            case "$before" in {values}*)\n'
            f'                if [[ "$word" == -* ]]; then words={_quoted(flags)}; '
            f"else words={_quoted(command.words)}; files={1 if command.has_files else ''}; fi;;\n"
            "            esac;;\n"
        )
    names = _quoted([command.name for command in found])
    return (
        '# bash completion of hftransfer: eval "$(hftransfer completion bash)"\n'
        "_hftransfer() {\n"
        '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words="" files=""\n'
        "    COMPREPLY=()\n"
        "    if [[ $COMP_CWORD -eq 1 ]]; then\n"
        f'        COMPREPLY=($(compgen -W {names}" --help --version" -- "$word")); return\n'
        "    fi\n"
        '    case "${COMP_WORDS[1]}" in\n' + "".join(cases) + "    esac\n"
        '    COMPREPLY=($(compgen -W "$words" -- "$word"))\n'
        '    if [[ -n $files ]]; then compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$word")); fi\n'
        "}\n"
        "complete -F _hftransfer hftransfer\n"
    )


def _zsh(found: Sequence[Command]) -> str:
    cases = []
    for command in found:
        specs = []
        for option in command.options:
            named = f"'({' '.join(option.names)})'{{{','.join(option.names)}}}" if option.names[1:] else option.names[0]
            value = f":value:({' '.join(option.words)})" if option.words else ":value:_files"
            specs.append(named + shlex.quote(f"[{_zsh_text(option.help)}]{value if option.takes_value else ''}"))
        words = f"compadd -- {' '.join(map(shlex.quote, command.words))}; " if command.words else ""
        files = "_files" if command.has_files else "true"
        specs.append(shlex.quote(f"*:argument:{{{words}{files}}}"))
        cases.append(f"        {command.name}) _arguments " + " \\\n            ".join(specs) + ";;\n")
    described = "\n".join(f"        {shlex.quote(f'{command.name}:{command.help}')}" for command in found)
    return (
        "#compdef hftransfer\n"
        '# zsh completion of hftransfer: eval "$(hftransfer completion zsh)" after compinit\n'
        "_hftransfer() {\n"
        "    local -a commands\n"
        f"    commands=(\n{described}\n    )\n"
        "    if (( CURRENT == 2 )); then\n"
        "        _describe command commands; return\n"
        "    fi\n"
        "    local command=$words[2]\n"
        "    shift words; (( CURRENT-- ))\n"
        '    case "$command" in\n' + "".join(cases) + "    esac\n"
        "}\n"
        "compdef _hftransfer hftransfer\n"
    )


def _zsh_text(text: str) -> str:
    return text.replace("[", "(").replace("]", ")").replace(":", " -")


def _fish(found: Sequence[Command]) -> str:
    lines = ["# fish completion of hftransfer: hftransfer completion fish | source", "complete -c hftransfer -f"]
    for command in found:
        lines.append(f"complete -c hftransfer -n __fish_use_subcommand -a {command.name} -d {_fish_text(command.help)}")
        start = f"complete -c hftransfer -n '__fish_seen_subcommand_from {command.name}'"
        if command.words:
            lines.append(f"{start} -a {_fish_text(' '.join(command.words))}")
        if command.has_files:
            lines.append(f"{start} -F")
        for option in command.options:
            flags = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
            value = f" -x -a {_fish_text(' '.join(option.words))}" if option.words else " -r -F"
            lines.append(f"{start} {flags}{value if option.takes_value else ''} -d {_fish_text(option.help)}")
    return "\n".join(lines) + "\n"


def _fish_text(text: str) -> str:
    """A text in fish's single quotes, in which a backslash escapes a quote."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


SCRIPTS: dict[str, Callable[[Sequence[Command]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
"""Shell -> how its script is written."""
