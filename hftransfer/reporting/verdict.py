"""The verdict on a run: the tuned model against the strongest of what it was compared with, in a sentence or two."""

from hftransfer.core import plugins
from hftransfer.core.results import RunResult, Score
from hftransfer.core.variants import Variant
from hftransfer.reporting.tables import confidence, interval

# More test rows than these are not asked for.
_MOST_ROWS = 1_000_000


def verdict(result: RunResult) -> str:
    """Whether the transfer has gained over its strongest baseline, and what to do next; empty without baselines."""
    if not result.transfer_gain:
        return ""
    baseline = min(result.transfer_gain, key=lambda name: result.transfer_gain[name].value)
    gain, strategy = result.transfer_gain[baseline], result.recipe["strategy"]["name"]
    gained = f"gain in {result.headline} {interval(gain)}, {confidence(result)}, {gain.count:,} test rows"
    strongest = baseline if len(result.transfer_gain) == 1 else f"{baseline}, the strongest baseline"
    if gain.low > 0:
        return f"{strategy} is significantly better than {strongest} ({gained})."
    remedy = "another learning rate, more epochs, another strategy or checkpoint, or more labels"
    if gain.high < 0:
        return f"{strategy} is significantly worse than {strongest} ({gained}). Try {remedy}."
    untrained = Variant.parse(baseline).kind == "baseline" and baseline not in plugins.names("strategies")
    cheap = f"Until then the cheaper {baseline} serves as well." if untrained else ""
    return f"{strategy} is not significantly better than {strongest} ({gained}). {_more_rows(gain)} {cheap}".rstrip()


def outcome(result: RunResult) -> str:
    """The verdict in a word: `better`, `worse`, `equal` where the gain is not significant, or nothing."""
    if not result.transfer_gain:
        return ""
    gain = min(result.transfer_gain.values(), key=lambda score: score.value)
    return "better" if gain.low > 0 else "worse" if gain.high < 0 else "equal"


def _more_rows(gain: Score) -> str:
    """How many test rows would tell a gain of this size from none: an interval is as wide as one over their root."""
    if gain.value <= 0:
        return "More labels, or another strategy or checkpoint, may help."
    needed = gain.count * ((gain.value - gain.low) / gain.value) ** 2
    if needed > _MOST_ROWS:
        return "The gain is too small to be shown by test rows; more labels may help."
    digits = 10 ** max(0, len(str(int(needed))) - 2)
    rows = -int(-needed // digits) * digits
    if rows <= gain.count:
        # The interval ends at zero itself.
        return "More test rows, or more labels, may tell a gain of this size."
    return f"About {rows:,} test rows would tell a gain of this size; so may more labels."
