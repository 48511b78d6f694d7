"""The HTML page, the tables and the plots, on records built here."""

import io
import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from results_builder import recipe, regression, result, score

from hftransfer.choosing.paired import differences
from hftransfer.core.results import Example
from hftransfer.reporting import report
from hftransfer.reporting.classes import class_scores, class_table
from hftransfer.reporting.model_card import card
from hftransfer.reporting.side_by_side import with_own_names
from hftransfer.reporting.verdict import verdict


class _Page(HTMLParser):
    """The tags that are still open, and the attributes of all."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.tags, self.scripts = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)
        if tag not in {"meta", "link", "img", "br"}:
            self.open.append(tag)

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.scripts += data

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_terminal_shows_every_variant_with_its_interval_and_aligns_the_columns():
    sentence, empty, *lines = report.terminal(result()).splitlines()
    assert sentence.startswith(
        "lora is significantly better than scratch, the strongest baseline (gain in accuracy 0.215"
    )
    assert not empty and lines[0].split("  ")[0] == "variant"
    rows = [line.split()[0] for line in lines[1:7]]
    assert rows == ["majority", "scratch", "pretrained", "tuned", "onnx", "onnx-int8"]
    assert "0.925 [0.905, 0.945]" in lines[4]
    assert len({line.index("[") for line in lines[1:7]}) == 1
    assert lines[5].split()[-3:] == ["90.8", "4.00", "100.00%"]


def test_the_headline_is_the_first_metric():
    assert report.terminal(result()).splitlines()[2].split()[1] == "accuracy"


@pytest.mark.parametrize(
    ("gains", "says"),
    [
        ({}, ""),
        ({"majority": (0.5, 0.1), "probe": (0.03, 0.01)}, "significantly better than probe, the strongest baseline"),
        (
            {"probe": (0.02, 0.04)},
            "not significantly better than probe (gain in accuracy 0.020 [-0.020, 0.060], 95 %, 60 test rows). "
            "About 240 test rows would tell a gain of this size; so may more labels. "
            "Until then the cheaper probe serves as well.",
        ),
        ({"probe": (0.04, 0.04)}, "60 test rows). More test rows, or more labels, may tell a gain of this size."),
        ({"scratch": (-0.01, 0.04)}, "another strategy or checkpoint, may help."),
        ({"full": (0.0001, 0.04)}, "too small to be shown by test rows"),
        ({"probe": (-0.2, 0.04)}, "significantly worse than probe (gain in accuracy -0.200"),
    ],
)
def test_the_verdict_is_about_the_strongest_baseline(gains, says):
    made = result(transfer_gain={name: score(*gain) for name, gain in gains.items()})
    assert says in verdict(made) and bool(verdict(made)) == bool(gains)
    assert verdict(made).split(" (")[0] in report.html([made]) and verdict(made).split(" (")[0] in card(made)


def test_the_terminal_shows_the_warnings_and_the_rejected_variants():
    lines = [line for line in report.terminal(result()).splitlines() if line.startswith("WARNING: ")]
    assert lines[0] == "WARNING: 2 of 60 test rows are shorter than 3 words"
    assert lines[1].startswith("WARNING: onnx-int8 was rejected and removed: accuracy drops by 0.100")
    warned = result(warnings=["onnx-int8: accuracy drops by 0.100, and max_drop is 0.01"])
    assert report.terminal(warned).count("WARNING") == 1


def test_a_metric_that_is_better_low_is_marked():
    assert "mae (lower is better)" in report.terminal(regression())
    assert "120.2 [117.2, 123.2]" in report.terminal(regression())
    assert "accuracy (lower" not in report.terminal(result())


def test_the_page_has_the_facts_and_is_well_formed():
    page = report.html([result()])
    parsed = _Page(page)
    assert parsed.open == []
    for fact in ("0.925 [0.905, 0.945]", "0.940 [0.920, 0.960]", "22,700,000", "301,000", "9f9f9f", "transformers"):
        assert fact in page
    for fact in ("org/small", "seed 3", "onnx-int8 (rejected)", "4 cores, no accelerator", "73.2", "1,900 MB"):
        assert fact in page
    alts = [value for name, value in parsed.attributes if name == "alt"]
    assert parsed.tags.count("img") == len(alts) == 5
    assert all(alts)


def test_the_page_loads_nothing_from_elsewhere():
    parsed = _Page(report.html([result(), regression()]))
    links = [value for name, value in parsed.attributes if name in {"src", "href", "srcset", "action"}]
    ids = [value for name, value in parsed.attributes if name == "id"]
    assert len([link for link in links if link.startswith("data:")]) == 8
    assert all(link.startswith("data:") or link.removeprefix("#") in ids for link in links)
    assert not {"iframe", "object", "form"} & set(parsed.tags) and parsed.tags.count("script") == 1
    assert not re.search(r"fetch|XMLHttp|import\(|https?:", parsed.scripts)


def test_the_page_is_the_same_each_time():
    assert report.html([result()]) == report.html([result()])


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "<script>alert(1)</script>"},
        {"warnings": ["<script>alert(1)</script>"]},
        {"hardware": "<script>alert(1)</script>"},
        {"recipe": recipe(training={"run_name": "<script>alert(1)</script>"})},
        {
            "worst": [
                Example(row=1, reference="a", prediction="b", error=1, rendered={"text": "<script>alert(1)</script>"})
            ]
        },
        {"worst": [Example(row=1, reference="<script>", prediction="b", error=1, rendered={})]},
        {"worst": [Example(row=1, reference="a", prediction="b", error=1, rendered={"image": '"><script>'})]},
    ],
)
def test_what_comes_from_data_or_recipe_is_escaped(changes):
    page = report.html([result(**changes), result()])
    assert page.count("<script") == page.count('<script>\n"use strict";') == 1
    assert "&lt;script&gt;" in page


def test_many_runs_are_compared_by_rows():
    page = report.html([result(name=f"run {number}") for number in range(6)])
    assert '<th scope="row">run 5</th>' in page and '<th scope="col">verdict</th>' in page


def test_the_page_is_in_order_for_those_who_cannot_see_it():
    parsed = _Page(report.html([result(), regression()]))
    levels = [int(tag[1]) for tag in parsed.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1 and all(below <= above + 1 for above, below in itertools.pairwise(levels))
    ids = [value for name, value in parsed.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    labels = [value for name, value in parsed.attributes if name in ("alt", "aria-label")]
    assert all(labels) and parsed.attributes.count(("loading", "lazy")) == parsed.tags.count("img")


def test_the_colours_of_both_schemes_have_enough_contrast():
    """WCAG 2.2, 1.4.3: 4.5 between a text and what is behind it."""

    def luminance(colour):
        digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    schemes = re.findall(r":root \{[^}]+\}", report.html([result()]))
    assert len(schemes) == 3
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#\w+);", scheme))
        pairs = [(text, "paper") for text in ("ink", "soft", "accent", "bad", "good")]
        pairs += [("ink", below) for below in ("panel", "alarm", "removed", "added")]
        for text, below in pairs:
            bright, dark = sorted((luminance(colours[text]), luminance(colours[below])), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, (text, below, scheme)


def test_classes_have_what_scikit_learn_computes_with_intervals_around_it():
    from sklearn.metrics import precision_recall_fscore_support

    matrix = np.array([[18, 2, 0], [1, 30, 4], [5, 0, 0]])
    pairs = [(i, j) for i in range(3) for j in range(3) for _ in range(matrix[i, j])]
    expected = precision_recall_fscore_support(*zip(*pairs, strict=True), zero_division=0)[:3]
    scores = class_scores(matrix, resamples=300, share=0.95)
    assert [[one.value for one in of_metric] for of_metric in scores] == pytest.approx(np.array(expected))
    recall = scores[1][0]
    # Of 20 rows, 18 are right: the standard error is 0.067.
    assert recall.low == pytest.approx(0.9 - 1.96 * 0.067, abs=0.04) and 0.96 < recall.high <= 1
    table = class_table(result(confusion=matrix.tolist()))
    assert table.rows[1][:2] == ("sport", "35") and table.rows[1][-1] == "tech (4)"
    assert "most often predicted instead" in report.html([result(confusion=matrix.tolist())])
    assert not class_table(regression()).rows


def test_the_whole_cost_is_a_sentence():
    page = report.html([result(seconds={"encode": 60.0, "train tuned": 120.0}, energy={"train tuned": 2.0})])
    assert "3.00 minutes and about 2.00 Wh, at most 1,900 MB of memory" in page
    assert '<th scope="row">the whole run</th>' in page


def test_a_regression_has_no_sections_of_classes():
    page = report.html([regression()])
    assert _Page(page).tags.count("img") == 1
    assert "Confusion" not in page
    assert "Worst test errors" not in page
    assert "120.2 [117.2, 123.2]" in page
    assert set(report.figures(regression())) == {"scores"}


def test_two_runs_are_compared_before_each_is_shown():
    other = result(name="news-small-full", recipe=recipe(strategy={"name": "full"}), warnings=[])
    page = report.html([result(), other])
    comparison, first, second = page.split("<section")
    assert '<th scope="col">news-small-lora</th>' in comparison and '<th scope="row">verdict</th>' in comparison
    assert '<a href="#run-2">news-small-full</a>' in comparison and ' id="run-2">' in second
    assert "Comparison of 2 runs" in comparison
    for fact in ("news-small-lora", "news-small-full", "majority 0.350, scratch 0.710", "301,000", "73.2"):
        assert fact in comparison
    assert 'alt="Test scores of the tuned models with bootstrap intervals: news-small-lora 0.925' in comparison
    assert "<h2>news-small-lora</h2>" in first
    assert "<h2>news-small-full</h2>" in second
    assert "The runs do not all use the same rows" not in page


def _folder(place, name, errors):
    (place / name / "predictions").mkdir(parents=True)
    lines = [f"{row},a,b,{error}" for row, error in enumerate(errors)]
    (place / name / "predictions" / "test.csv").write_text("\n".join(["row,reference,tuned,error", *lines]))
    return place / name


def test_runs_on_the_same_rows_have_a_paired_difference(tmp_path):
    full = recipe(strategy={"name": "full"}, training={"learning_rate": 0.001}, seed=3)
    runs = [result(), result(name="full", recipe=full), result(name="other", recipe=recipe(seed=4))]
    runs[1].scores["test"]["tuned"]["accuracy"] = score(0.6)
    other_rows = runs[2].data.model_copy(update={"fingerprint": "00"})
    runs[2] = runs[2].model_copy(update={"data": other_rows})
    errors = ([0] * 60, [0] * 36 + [1] * 24, [0] * 60)
    folders = [_folder(tmp_path, run.name, found) for run, found in zip(runs, errors, strict=True)]
    paired = differences(runs, folders)
    (difference,), (sentence,) = paired
    assert (difference.run, difference.best, difference.outcome) == ("full", "news-small-lora", "worse")
    assert difference.score.value == pytest.approx(0.4) and difference.score.low > 0.2
    assert "news-small-lora, full; other" in sentence
    page = report.html(runs, paired)
    assert _Page(page).open == [] and sentence in page and '<td class="interval">0.400 [' in page
    assert "| full | news-small-lora | 0.400 [" in report.markdown(runs, paired)
    for title in ("What the recipes differ in", "Learning curves of the tuned models", "accuracy against costs"):
        assert title in page
    changed = re.findall(r'<th scope="row">([a-z_]+\.[a-z_]+|seed)</th>', page.split("<section")[0])
    assert changed == ["strategy.name", "strategy.r", "strategy.target_modules", "training.learning_rate", "seed"]
    (folders[1] / "predictions" / "test.csv").unlink()
    assert differences(runs[:2], folders[:2])[1][0].startswith("No paired difference of full to news-small-lora: '")


def test_runs_of_one_name_are_numbered():
    named = with_own_names([result(), result(name="x"), result()])
    assert [run.name for run in named] == ["news-small-lora", "x", "news-small-lora (2)"]


def test_a_comparison_of_runs_on_different_rows_is_marked():
    other = regression()
    differing = other.model_copy(update={"data": other.data.model_copy(update={"fingerprint": "00"})})
    assert "The runs do not all use the same rows" in report.html([result(), differing])


def test_markdown_has_the_scores_of_one_run_and_a_row_for_each_of_several():
    one = report.markdown([result()])
    assert "| tuned | 0.925 [0.905, 0.945] | 0.915 [0.895, 0.935] |" in one
    several = report.markdown([result(name="a|b"), result(name="c")])
    assert "| a\\|b | text-classification | org/small | lora | accuracy | 0.925 [0.905, 0.945] |" in several
    assert "2 of 60 test rows" in several


def test_figures_are_png_files_of_a_legible_size():
    figures = report.figures(result())
    assert set(figures) == {"scores", "learning-curves", "confusion", "size-latency"}
    for png in figures.values():
        with Image.open(io.BytesIO(png)) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 300


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [2, 31])
def test_labels_of_any_script_and_number_are_plotted(count):
    data = result().data.model_copy(update={"labels": ["$x^", "体育", *map(str, range(count - 2))]})
    square = [[int(i == j) for j in range(count)] for i in range(count)]
    assert "confusion" in report.figures(result(data=data, confusion=square))


def test_an_interval_need_not_hold_its_value():
    odd = score(0.9).model_copy(update={"low": 0.95, "high": 0.99})
    assert "scores" in report.figures(result(scores={"test": {"tuned": {"accuracy": odd}}}))
