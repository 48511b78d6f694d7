"""Findings in what is recorded of the rows: labels, copies, and how much of a row the model gets to see.

Each rule returns a sentence, empty where it finds nothing. What many data sets have without harm (long texts, telephone
recordings, small images) is a finding only where the record shows the harm.
"""

import math

from hftransfer.core.data_facts import ErrorCounts, InputFact, Spread, TokenBaseline
from hftransfer.core.results import RunResult
from hftransfer.reporting.tables import number

# Shares of the training rows from which on contradictions and copies matter.
_CONTRADICTORY, _REPEATED = 0.02, 0.2
# Share of a split whose labels are lost, and share of a class that leaves accuracy without meaning.
_LOST, _DOMINANT = 0.1, 0.9
# Points of accuracy that the truncated part of the texts has to be worth.
_WORTH = 0.1
# Characters a second that nobody speaks: English has about 15.
_FASTEST = 30
# Pixels of the model's input that an object needs.
_LEAST_OBJECT = 4
# By these factors a checkpoint reads smaller images than it was trained with, or images lose detail or shape.
_SMALLER, _SHRUNK, _SQUEEZED = 1 / 3, 1 / 8, 2.0
# Error rates from which on nothing has been learnt.
_NO_TRANSCRIPT = 0.8
# Fewer validation rows, or rows for each class, tell no two settings apart.
_VALIDATION_ROWS, _VALIDATION_ROWS_OF_A_CLASS = 15, 2
# Rows of each group of a comparison; and standard errors, for 99.9 % on one side.
_COMPARED, _SIGNIFICANT = 20, 3.09
_NAMED = 5


def contradictions(result: RunResult) -> str:
    """Equal content with different labels."""
    found, rows = result.data.contradictions, result.data.rows.get("train", 0)
    if found is None or found.rows < _CONTRADICTORY * rows:
        return ""
    first, second = found.example
    return (
        f"{found.rows} of {rows} training rows have the same content as another with another label, such as rows "
        f"{first} ('{found.labels[0]}') and {second} ('{found.labels[1]}') of split '{found.split}': correct the "
        "labels in data.source, or leave such rows out."
    )


def truncation(result: RunResult) -> str:
    """What is truncated would have helped, by the errors on truncated rows or by a classifier of whole texts."""
    spread = _spread(result, "train", "truncated")
    if spread is None or _share_above(spread, 0.5) < 0.3:
        return ""
    reasons = []
    errors, baseline = result.data.errors.get("truncated"), result.data.token_baseline
    if errors is not None and _more_errors(errors):
        reasons.append(f"such test rows are wrong significantly more often than others ({_rates(errors)})")
    reached = result.scores.get("test", {}).get("tuned", {}).get("accuracy")
    # A model that is better than words alone has found in the rest what it needs.
    if baseline is not None and reached is not None and reached.high < baseline.whole and _is_worth(baseline):
        reasons.append(
            f"a classifier of word counts has an accuracy of {number(baseline.whole)} on whole training texts, "
            f"{number(baseline.truncated)} on what the model reads of them, and the tuned model "
            f"{number(reached.value)} on test"
        )
    if not reasons:
        return ""
    longest = result.recipe["task"].get("max_length")
    limit = f"task.max_length: {longest}" if longest else "The model's window"
    remedy = "raise it, or put first what matters" if longest else "cut the rows to what matters"
    return f"{limit} cuts more than half of many rows, and {'; '.join(reasons)}: {remedy}."


def _is_worth(baseline: TokenBaseline) -> bool:
    return baseline.significant and baseline.whole - baseline.truncated >= _WORTH


def lost_labels(result: RunResult) -> str:
    """Labels that lie beyond what the model reads or can write."""
    shares = {split: _spread(result, split, "label_lost") for split in ("train", "validation", "test")}
    lost = {split: spread.mean for split, spread in shares.items() if spread is not None and spread.mean > _LOST}
    if not lost:
        return ""
    named = ", ".join(f"{100 * share:.3g} % of {split}" for split, share in lost.items())
    if result.auto_model == "AutoModelForCTC":
        return (
            f"The transcripts of many rows have more characters than their recordings have frames ({named}), and CTC "
            "writes one a frame: correct texts or sampling rates in data.source, or take a model.id of more frames a "
            "second."
        )
    keys = ("max_length", "max_target_length", "max_answer_length", "stride")
    limits = [f"task.{key}: {result.recipe['task'][key]}" for key in keys if key in result.recipe["task"]]
    return (
        f"The labels of many rows lie beyond what the model reads or can write ({named}), so that they count as "
        f"errors: raise what limits it ({', '.join(limits)})."
    )


def sampling_rate(result: RunResult) -> str:
    """Training and test recordings of different rates, or rates below the model's with the errors that follow."""
    rates = {split: spread for split in ("train", "test") if (spread := _spread(result, split, "rate")) is not None}
    if len(rates) < 2:
        return ""
    low = {split: _share_below(spread, 1.0) for split, spread in rates.items()}
    remedy = "give all recordings of data.source the sampling rate that they were made with, at best the checkpoint's"
    if abs(low["train"] - low["test"]) > 0.5:
        return (
            f"{100 * low['train']:.0f} % of the training recordings and {100 * low['test']:.0f} % of the test "
            "recordings have a lower sampling rate than the model reads, so that the upper part of their spectrum is "
            f"empty: {remedy}."
        )
    errors = result.data.errors.get("rate")
    if errors is not None and _more_errors(errors):
        return (
            "Recordings of a lower sampling rate than the model reads, the upper part of whose spectrum is empty, are "
            f"wrong significantly more often than others ({_rates(errors)}): {remedy}."
        )
    if low["test"] > 0.5 and _has_failed(result):
        return (
            f"Half of the recordings have at most {100 * rates['test'].deciles[5]:.0f} % of the sampling rate that the "
            "model reads, so that the upper part of their spectrum is empty, and the model has learnt little: "
            f"{remedy}; or a model.id for telephone speech."
        )
    return ""


def pace(result: RunResult) -> str:
    """Transcripts of more characters a second than anybody speaks."""
    spread = _spread(result, "train", "pace")
    if spread is None or spread.deciles[5] <= _FASTEST:
        return ""
    return (
        f"Half of the transcripts have more than {spread.deciles[5]:.0f} characters a second of their recording, "
        "faster than anybody speaks: a wrong sampling rate in the files of data.source, or texts of other recordings "
        "(data.columns.text)."
    )


def resolution(result: RunResult) -> str:
    """Images that lose, at the size of the model's input, what has to be found in them."""
    size, side = _spread(result, "train", "object_side"), _spread(result, "train", "side")
    trained = result.data.checkpoint_side
    if size is not None and size.deciles[5] < _LEAST_OBJECT:
        return (
            f"In half of the training images the objects are at most {number(size.deciles[5])} pixels wide or high "
            "once resized for the model: crops of the images in data.source, or a model.processor of a larger size."
        )
    if side is not None and trained and side.deciles[5] < _SMALLER * trained:
        return (
            f"The model reads images of {side.deciles[5]:.0f} pixels, and its checkpoint was trained with {trained}: "
            f"{_larger_input(result)}, or take the checkpoint's own model.processor."
        )
    scale, squeeze = _spread(result, "train", "scale"), _spread(result, "train", "squeeze")
    if scale is None or squeeze is None or not _has_failed(result):
        return ""
    if scale.deciles[5] < _SHRUNK or scale.deciles[5] > 1 / _SHRUNK:
        return (
            f"Images are resized by a factor of {number(scale.deciles[5])}, and the model has learnt little: "
            f"{_larger_input(result)}, or crop the images in data.source to what matters."
        )
    if squeeze.deciles[5] > _SQUEEZED:
        return (
            f"One side of the images is shrunk or cut {number(squeeze.deciles[5])} times more than the other, and the "
            "model has learnt little: pad or crop the images in data.source to squares."
        )
    return ""


def _larger_input(result: RunResult) -> str:
    return "raise task.image_size" if "image_size" in result.recipe["task"] else "a model.processor of a larger size"


def repeated_rows(result: RunResult) -> str:
    """Training rows that stand several times in the data."""
    repeated, rows = result.data.repeated, result.data.rows.get("train", 0)
    if not rows or repeated <= _REPEATED * rows:
        return ""
    epochs = ", and fewer training.num_train_epochs will do" if result.history.get("tuned") else ""
    return (
        f"{repeated} of {rows} training rows repeat the content of another, which so counts several times: remove the "
        f"copies from data.source{epochs}."
    )


def dominant_class(result: RunResult) -> str:
    """Accuracy as the headline where nearly all rows have one class."""
    counts = result.data.classes.get("test", {})
    rows = sum(counts.values())
    if result.headline != "accuracy" or not rows or max(counts.values()) <= _DOMINANT * rows:
        return ""
    name, weights = max(counts, key=lambda label: counts[label]), "class_weights" in result.recipe["task"]
    return (
        f"{100 * counts[name] / rows:.0f} % of the test rows are '{name}', so that accuracy says little: "
        f"evaluation.metrics: [f1, accuracy]{', and task.class_weights: balanced' if weights else ''}."
    )


def small_validation(result: RunResult) -> str:
    """Too few validation rows."""
    rows, classes = result.data.rows.get("validation", _VALIDATION_ROWS), len(result.confusion)
    if rows >= max(_VALIDATION_ROWS, _VALIDATION_ROWS_OF_A_CLASS * classes):
        return ""
    return f"Validation has {rows} rows, too few to choose settings by: raise data.splits.validation."


def classes_without_validation_rows(result: RunResult) -> str:
    """Classes of the training rows that validation lacks."""
    counts = result.data.classes
    if not result.confusion or not counts.get("validation"):
        return ""
    lacking = sorted(counts.get("train", {}).keys() - counts["validation"].keys())
    if not lacking:
        return ""
    named = ", ".join(f"'{name}'" for name in lacking[:_NAMED])
    return (
        f"{len(lacking)} classes have no validation row ({named}{', ...' if lacking[_NAMED:] else ''}), so that no "
        "setting is chosen with them in view: raise data.splits.validation."
    )


def _spread(result: RunResult, split: str, fact: InputFact) -> Spread | None:
    return result.data.inputs.get(split, {}).get(fact)


def _share_above(spread: Spread, limit: float) -> float:
    """The share of rows above a limit, rounded down to the deciles."""
    return max(0, sum(value > limit for value in spread.deciles) - 1) / 10


def _share_below(spread: Spread, limit: float) -> float:
    return max(0, sum(value < limit for value in spread.deciles) - 1) / 10


def _more_errors(counts: ErrorCounts) -> bool:
    """Whether rows of a property are wrong more often than others, by the test of two proportions."""
    if min(counts.rows, counts.other_rows) < _COMPARED:
        return False
    pooled = (counts.wrong + counts.other_wrong) / (counts.rows + counts.other_rows)
    error = math.sqrt(pooled * (1 - pooled) * (1 / counts.rows + 1 / counts.other_rows))
    return counts.wrong / counts.rows - counts.other_wrong / counts.other_rows > _SIGNIFICANT * error


def _rates(counts: ErrorCounts) -> str:
    return f"{counts.wrong} of {counts.rows} against {counts.other_wrong} of {counts.other_rows}"


def _has_failed(result: RunResult) -> bool:
    """Whether the model is no better than the most frequent answer, or most words of its transcripts are wrong."""
    if "majority" in result.transfer_gain:
        return result.transfer_gain["majority"].value <= 0
    score = result.scores.get("test", {}).get("tuned", {}).get(result.headline)
    return score is not None and result.headline in ("wer", "cer") and score.value >= _NO_TRANSCRIPT
