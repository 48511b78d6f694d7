"""The recipes that come with the package, by name: `quickstart`, `text/bbc_news-minilm-full`."""

import difflib
from pathlib import Path

# In a checkout a link to the top-level folder `recipes/`, in an installed package a folder.
_FOLDER = Path(__file__).parent.parent / "recipes"
_PREFIX, _SUFFIX = "recipes/", ".yaml"


def packaged_recipes() -> dict[str, Path]:
    """Name -> file of every recipe of the package; the name is the path within `recipes/` without `.yaml`."""
    files = sorted(_FOLDER.rglob(f"*{_SUFFIX}"))
    return {path.relative_to(_FOLDER).with_suffix("").as_posix(): path for path in files}


def find_packaged(name: str) -> Path | None:
    """The file of a packaged recipe; None where no recipe has the name.

    The folder may be left out (`bbc_news-minilm-full`), and a path as in the repository is understood too
    (`recipes/text/bbc_news-minilm-full.yaml`).
    """
    asked = name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
    recipes = packaged_recipes()
    by_last_part = {full.rpartition("/")[2]: path for full, path in recipes.items()}
    return recipes.get(asked) or by_last_part.get(asked)


def nearest_packaged(name: str) -> str:
    """The end of an error about an unknown name: up to three names like it, and how to see all."""
    recipes = list(packaged_recipes())
    by_last_part = {full.rpartition("/")[2]: full for full in recipes}
    close = difflib.get_close_matches(name, [*recipes, *by_last_part], n=3, cutoff=0.5)
    names = list(dict.fromkeys(by_last_part.get(one, one) for one in close))
    hint = f"did you mean {' or '.join(map(repr, names))}? " if names else ""
    return f"{hint}`hftransfer list` shows the recipes of the package"


def summary(path: Path) -> str:
    """The first line of a recipe file, which says what it shows."""
    with path.open(encoding="utf-8") as lines:
        return next(lines, "").lstrip("#").strip()
