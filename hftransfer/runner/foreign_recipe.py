"""The recipe of a pushed run or of an address, read with less trust than a file."""

from collections.abc import Sequence

from hftransfer.core import plugins
from hftransfer.core.addresses import is_address, read_address
from hftransfer.core.errors import RecipeError
from hftransfer.core.prefixes import HUB
from hftransfer.recipe.schema import Recipe

# A recipe from elsewhere neither pushes nor runs code from the Hub, unless an override asks for it.
_FOREIGN = ("hub=null", "model.trust_remote_code=false")
# Left empty, Transformers 4 reports to every service whose package is installed.
_NO_REPORTS: tuple[object, ...] = ("none", ["none"], [])


def is_foreign(name: str) -> bool:
    """Whether a recipe is named by a repository of the Hub or an address."""
    return name.startswith(HUB) or is_address(name)


def foreign_recipe(name: str, overrides: Sequence[str]) -> Recipe:
    """The recipe of `hub:user/name` or `https://...`, which neither pushes, nor runs code of the Hub, nor reports.

    Raises:
        RecipeError: it names a metric whose code is on the Hub, or a service that would be told of the run; or the
            address cannot be read.
        HubError: there is no such repository, or no recipe in it.
    """
    from hftransfer.hub import client
    from hftransfer.recipe.loader import parse_recipe

    text = read_address(name) if is_address(name) else client.read_recipe(name.removeprefix(HUB))
    recipe = parse_recipe(text, name, [*_FOREIGN, *overrides])
    foreign = sorted(set(recipe.evaluation.metrics or []) - set(plugins.names("metrics")))
    if foreign and not any(text.startswith("evaluation.metrics=") for text in overrides):
        raise RecipeError(
            f"{name}: the metric '{foreign[0]}' is code of a repository, and a recipe from elsewhere does not run "
            "such code; name the metrics yourself: evaluation.metrics=[...]"
        )
    reports = recipe.training.get("report_to", "none")
    if reports not in _NO_REPORTS and not any(text.startswith("training.report_to=") for text in overrides):
        raise RecipeError(
            f"{name}: the recipe reports to {reports}, and one from elsewhere does not report what you run; choose "
            "yourself: training.report_to=none"
        )
    return recipe
