"""Transfer learning in the Hugging Face ecosystem, by one recipe.

`run` trains, scores and exports what a recipe describes, `check` finds its mistakes in seconds, `audit` looks for what
is wrong with its rows, `rank`, `compare`, `curve`, `next_rows` and `tune` choose, `predict` applies a finished run,
`demo_page` shows it in a browser, `eject` writes it as a script of plain Transformers, `update` brings a recipe of an
earlier version up to date. Names are imported when they are first used, so that `import hftransfer` costs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hftransfer.api import check, demo_page, load_exported, predict, run
    from hftransfer.api_choosing import audit, compare, curve, next_rows, rank, tune
    from hftransfer.core.results import RunResult
    from hftransfer.drafting.new import new
    from hftransfer.recipe.loader import load_recipe
    from hftransfer.recipe.schema import Recipe
    from hftransfer.recipe.update import update
    from hftransfer.runner.eject import eject

__version__ = "0.1.0"
__all__ = [
    "Recipe",
    "RunResult",
    "__version__",
    "audit",
    "check",
    "compare",
    "curve",
    "demo_page",
    "eject",
    "load_exported",
    "load_recipe",
    "new",
    "next_rows",
    "predict",
    "rank",
    "run",
    "tune",
    "update",
]

_MODULES = {
    "Recipe": "hftransfer.recipe.schema",
    "RunResult": "hftransfer.core.results",
    "audit": "hftransfer.api_choosing",
    "check": "hftransfer.api",
    "compare": "hftransfer.api_choosing",
    "curve": "hftransfer.api_choosing",
    "demo_page": "hftransfer.api",
    "eject": "hftransfer.runner.eject",
    "load_exported": "hftransfer.api",
    "load_recipe": "hftransfer.recipe.loader",
    "new": "hftransfer.drafting.new",
    "next_rows": "hftransfer.api_choosing",
    "predict": "hftransfer.api",
    "rank": "hftransfer.api_choosing",
    "run": "hftransfer.api",
    "tune": "hftransfer.api_choosing",
    "update": "hftransfer.recipe.update",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'hftransfer' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
