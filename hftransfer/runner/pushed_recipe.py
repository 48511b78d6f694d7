"""The recipe of a pushed run, read with less trust than a file."""

from collections.abc import Sequence

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.recipe.schema import Recipe

# A recipe of a repository neither pushes nor runs code from the Hub, unless an override asks for it.
_FOREIGN = ("hub=null", "model.trust_remote_code=false")
# Left empty, Transformers 4 reports to every service whose package is installed.
_NO_REPORTS: tuple[object, ...] = ("none", ["none"], [])


def pushed_recipe(name: str, overrides: Sequence[str]) -> Recipe:
    """The recipe of `hub:user/name`, which neither pushes, nor runs code of the Hub, nor reports to a service.

    Raises:
        RecipeError: it names a metric whose code is on the Hub, or a service that would be told of the run.
        HubError: there is no such repository, or no recipe in it.
    """
    from hftransfer.hub import client
    from hftransfer.recipe.loader import parse_recipe

    recipe = parse_recipe(client.read_recipe(name.removeprefix("hub:")), name, [*_FOREIGN, *overrides])
    foreign = sorted(set(recipe.evaluation.metrics or []) - set(plugins.names("metrics")))
    if foreign and not any(text.startswith("evaluation.metrics=") for text in overrides):
        raise RecipeError(
            f"{name}: the metric '{foreign[0]}' is code of a repository, and a recipe from the Hub does not run such "
            "code; name the metrics yourself: evaluation.metrics=[...]"
        )
    reports = recipe.training.get("report_to", "none")
    if reports not in _NO_REPORTS and not any(text.startswith("training.report_to=") for text in overrides):
        raise RecipeError(
            f"{name}: the recipe reports to {reports}, and one from the Hub does not report what you run; choose "
            "yourself: training.report_to=none"
        )
    return recipe
