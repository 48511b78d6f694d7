"""hftransfer list."""

import argparse
import json
import textwrap
from typing import TYPE_CHECKING

from hftransfer.core import plugins
from hftransfer.core.console import styled
from hftransfer.core.errors import RecipeError

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands
    from hftransfer.recipe.descriptions import PluginDescription

_RECIPES = "recipes"


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser(
        "list", help="list all plug-ins (tasks, strategies, metrics ...) and packaged recipes, or show one of them"
    )
    command.add_argument(
        "name", nargs="?", help="a plug-in or packaged recipe to show, or tasks, strategies, recipes ..."
    )
    command.add_argument("--schema", action="store_true", help="print the JSON schema of recipes instead, for editors")
    return command


def run(args: argparse.Namespace) -> int:
    """Print the names, each with a line on what it is; or one plug-in with its fields; or the schema.

    Raises:
        RecipeError: nothing has the name, or `--schema` is given one.
    """
    if args.schema and args.name:
        raise RecipeError(f"--schema: it prints the schema of whole recipes; leave '{args.name}' out")
    if args.schema:
        from hftransfer.recipe.schema import Recipe

        args.record = Recipe.json_schema()
        text = json.dumps(args.record, indent=1)
    elif args.name in (None, *plugins.KINDS, _RECIPES):
        args.record = _summaries([args.name] if args.name else [*plugins.KINDS, _RECIPES])
        text = "\n".join(_listed(kind, entries) for kind, entries in args.record.items())
    else:
        text = _one(args)
    if not args.json:
        print(text)
    return 0


def _summaries(kinds: list[str]) -> dict[str, dict[str, str]]:
    """Kind -> name -> its first line."""
    from hftransfer.recipe import catalog

    found = {
        kind: {name: plugins.summary(kind, name) for name in plugins.names(kind)} for kind in kinds if kind != _RECIPES
    }
    if _RECIPES in kinds:
        found[_RECIPES] = {name: catalog.summary(path) for name, path in catalog.packaged_recipes().items()}
    return found


def _listed(kind: str, entries: dict[str, str]) -> str:
    width = max(22, *map(len, entries)) if kind == _RECIPES else 22
    return "\n".join([styled(f"{kind}:", "bold"), *(f"  {name:<{width}} {text}" for name, text in entries.items())])


def _one(args: argparse.Namespace) -> str:
    """A packaged recipe, or every plug-in that has the name."""
    from hftransfer.recipe import catalog

    kinds = [kind for kind in plugins.KINDS if args.name in plugins.names(kind)]
    if kinds:
        from hftransfer.recipe.descriptions import describe

        args.record = {"plugins": [describe(kind, args.name) for kind in kinds]}
        return "\n\n".join(map(_described, args.record["plugins"]))
    if path := catalog.find_packaged(args.name):
        args.record = {"recipe": args.name, "file": path, "text": path.read_text(encoding="utf-8")}
        return f"# {path}\n{args.record['text'].rstrip()}"
    names = [name for kind in plugins.KINDS for name in plugins.names(kind)]
    near = plugins.nearest(args.name, [*names, *catalog.packaged_recipes()]).partition("Allowed:")[0]
    raise RecipeError(f"there is no plug-in or recipe '{args.name}'; {near}`hftransfer list` shows all")


def _described(plugin: "PluginDescription") -> str:
    lines = [styled(f"{plugin.name} ({plugin.kind})", "bold"), plugin.summary, "", *_wrapped(plugin.description, "")]
    lines += ["", *(line for key, text in plugin.facts.items() for line in _wrapped(f"{key}: {text}", ""))]
    for field in plugin.fields:
        default = "required" if field.required else f"default {json.dumps(field.default, default=str)}"
        lines += ["", f"  {styled(field.name, 'bold')}: {field.type}, {default}", *_wrapped(field.description, "    ")]
    if plugin.recipes:
        more = f", and {len(plugin.recipes) - 1} more" if len(plugin.recipes) > 1 else ""
        lines += ["", f"example: hftransfer list {plugin.recipes[0]}{more}"]
    return "\n".join([*lines, f"file: {plugin.file}"])


def _wrapped(text: str, indent: str) -> list[str]:
    paragraphs = (
        textwrap.wrap(part, 100, initial_indent=indent, subsequent_indent=indent) for part in text.split("\n")
    )
    return [line for lines in paragraphs for line in lines]
