"""The tables of README.md and docs/results.md have a line for each row, and are written row by row."""

import _results
import pytest
import results_builder

README, PAGE = (path.read_text(encoding="utf-8") for path in (_results.README, _results.PAGE))


def _lines(page, title):
    """The lines of the first table under a heading, without its head."""
    table = page.partition(f"## {title}\n")[2].partition("\n| ")[2].partition("\n\n")[0]
    return table.splitlines()[2:]


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """Copies of both pages, and a folder without runs."""
    for name, text in (("README", README), ("PAGE", PAGE)):
        monkeypatch.setattr(_results, name, tmp_path / name)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(_results, "RUNS", tmp_path / "runs")


def test_writing_again_what_no_run_has_changed_leaves_the_pages(pages):
    for title, rows in _results.SECTIONS.items():
        _results._write(title, rows)
    assert _results.PAGE.read_text(encoding="utf-8") == PAGE
    assert _results.README.read_text(encoding="utf-8") == README


def test_a_finished_run_replaces_its_line_alone(pages):
    title, rows = next(iter(_results.SECTIONS.items()))
    row = rows[0]
    row.folder.mkdir(parents=True)
    results_builder.result().save(row.folder / "result.json")
    _results._write(title, rows)
    new, old = _lines(_results.PAGE.read_text(encoding="utf-8"), title), _lines(PAGE, title)
    assert new[0] == (
        "| quickstart | 240 articles | accuracy | 0.710 | majority 0.350 | 0.925 [0.905, 0.945] | "
        "0.215 [0.175, 0.255] | 0.825 (rejected) | 1.95 |"
    )
    assert new[1:] == old[1:]
    assert _lines(_results.README.read_text(encoding="utf-8"), "Results")[0] == new[0]


def test_a_row_that_was_never_run_says_so(pages):
    row = _results.Row("text/bbc_news-minilm-prune", "articles")
    assert row.line(PAGE) == "| bbc_news-minilm-prune |  |  |  |  | not run |  |  |  |"


def test_a_line_by_hand_is_that_of_its_own_recipe(pages):
    row = _results.Row("quickstart", "articles")
    page = "| vision-quickstart † | a |\n| quickstart seed=1 † | b |\n| quickstart, whole articles † | c |\n"
    assert row.line(page) == "| quickstart, whole articles † | c |"


def test_a_recipe_that_no_row_has_is_refused(pages):
    with pytest.raises(SystemExit, match="no row of the tables is made by 'quickstrat'"):
        _results.results("quickstrat")
