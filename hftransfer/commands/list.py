"""hftransfer list."""

import argparse
import json
from typing import TYPE_CHECKING

from hftransfer.core import plugins

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser(
        "list", help="list all plug-ins (tasks, strategies, metrics ...) and packaged recipes"
    )
    command.add_argument("--schema", action="store_true", help="print the JSON schema of recipes instead, for editors")
    return command


def run(args: argparse.Namespace) -> int:
    """Print the names, each with a line on what it is; or the schema."""
    if args.schema:
        from hftransfer.recipe.schema import Recipe

        print(json.dumps(Recipe.json_schema(), indent=1))
        return 0
    from hftransfer.recipe import catalog

    for kind in plugins.KINDS:
        print(f"{kind}:")
        for name in plugins.names(kind):
            print(f"  {name:<22} {plugins.summary(kind, name)}")
    recipes = catalog.packaged_recipes()
    width = max(map(len, recipes), default=0)
    print("recipes:")
    for name, path in recipes.items():
        print(f"  {name:<{width}} {catalog.summary(path)}")
    return 0
