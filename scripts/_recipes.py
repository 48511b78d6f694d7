"""The table of the recipes, from the recipes themselves; `scripts/docs` writes it to recipes/README.md."""

import re
from pathlib import Path

from hftransfer.recipe.loader import load_recipe
from hftransfer.recipe.schema import Recipe

RECIPES = Path(__file__).parent.parent / "recipes"
_HUB = "https://huggingface.co"
_HEAD = """# Recipes

Each is run by `scripts/run recipes/PATH`, any field overridden by `key=value`; `hftransfer check` tells in seconds
whether it would. This page is written by `scripts/docs`.
"""


def paths() -> list[Path]:
    """Every recipe that ships."""
    return sorted(RECIPES.rglob("*.yaml"))


def of_the_hub(recipe: Recipe) -> bool:
    """Does the recipe take its rows from the Hub?"""
    return bool(recipe.data.source.name == "hub")


def page() -> str:
    """The whole of recipes/README.md."""
    pulled, offline = [], []
    for path in paths():
        recipe, text = load_recipe(path), path.read_text(encoding="utf-8")
        place = path.relative_to(RECIPES).as_posix()
        start = [f"[{place}]({place})", recipe.task.name, _checkpoint(recipe)]
        if of_the_hub(recipe):
            data = f"[{recipe.data.source.id}]({_HUB}/datasets/{recipe.data.source.id})"
            noted = [_note(text, name) for name in ("Licences", "Expect")]
            pulled.append([*start, data, recipe.strategy.name, *noted])
        else:
            offline.append([*start, recipe.data.source.id, recipe.strategy.name, text.partition("\n")[0][2:]])
    head = ["recipe", "task", "checkpoint", "data", "strategy"]
    return "\n".join(
        [
            _HEAD,
            "## With a network\n",
            "Well-known pairs of the Hub. What to expect is told from the data and from what others publish: no figure "
            "in this table was measured here.\n",
            *_table([*head, "licences", "what to expect"], pulled),
            "\n## Without one\n",
            "Data and checkpoints that install with the package; their scores stand in the [README](../README.md).\n",
            *_table([*head, "what it does"], offline),
            "",
        ]
    )


def _checkpoint(recipe: Recipe) -> str:
    if recipe.model.id is None:
        return f"a new {(recipe.model.config or {})['model_type']}"
    local = recipe.model.id.startswith(("runs/", "sample:"))
    return recipe.model.id if local else f"[{recipe.model.id}]({_HUB}/{recipe.model.id})"


def _note(text: str, name: str) -> str:
    found = re.search(rf"^# {name}: (.+)\.$", text, re.MULTILINE)
    assert found, f"a recipe of the Hub has a line '# {name}: ...'"
    return found[1]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


if __name__ == "__main__":
    (RECIPES / "README.md").write_text(page(), encoding="utf-8")
