"""The samples that are made by rule: that their columns fit together, and that they are the same every time."""

import numpy as np
import pytest

from hftransfer.core import plugins
from hftransfer.samples.digit_scenes import MASK_CLASSES


@pytest.mark.parametrize("name", plugins.names("samples"))
def test_a_sample_says_where_it_comes_from(name):
    facts = plugins.load("samples", name)().facts()
    assert facts.license not in ("", "unknown") and facts.license == facts.license.lower()
    assert facts.provenance and all(flaw.endswith(".") for flaw in facts.flaws)


@pytest.fixture(scope="module")
def questions():
    return plugins.load("samples", "bbc_questions")().rows()


def test_answers_stand_where_they_are_said_to(questions):
    assert {split: len(rows) for split, rows in questions.items()} == {"train": 1233, "validation": 191, "test": 365}
    for rows in questions.values():
        for question, context, answers in zip(*(rows[name][:] for name in rows.column_names), strict=True):
            assert answers["text"] and len(answers["text"]) == len(answers["answer_start"])
            for text, start in zip(answers["text"], answers["answer_start"], strict=True):
                assert context[start : start + len(text)] == text
            assert "what" in question and not question.startswith(answers["text"][0])


def test_no_article_is_asked_about_in_two_splits(questions):
    contexts = [set(rows["context"][:]) for rows in questions.values()]
    assert not contexts[0] & contexts[1] and not (contexts[0] | contexts[1]) & contexts[2]


def test_some_contexts_are_longer_than_a_model_reads(questions):
    words = [len(context.split()) for context in questions["test"]["context"][:]]
    assert np.mean(np.array(words) > 512) > 0.2


def test_questions_without_an_answer_are_those_of_absent_names(questions):
    rows = plugins.load("samples", "bbc_questions")(unanswerable=True).rows()["test"]
    empty = [not answers["text"] for answers in rows["answers"][:]]
    assert len(rows) - sum(empty) == len(questions["test"]) and 0.4 < np.mean(empty) < 0.6


def test_masks_are_the_boxes_pixel_by_pixel():
    rows = plugins.load("samples", "digit_scenes")().rows()["validation"]
    assert (
        MASK_CLASSES[0] == "background" and list(MASK_CLASSES[1:]) == rows.features["objects"]["category"].feature.names
    )
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    for row in rows:
        named = [words.index(word) for word in row["caption"].split() if word in words]
        assert sorted(named) == sorted(row["objects"]["category"]), row["caption"]
        mask = np.asarray(row["mask"])
        assert row["mask"].mode == "L" and mask.shape == (48, 48)
        inside = np.zeros_like(mask, dtype=bool)
        for (x, y, width, height), category in zip(row["objects"]["bbox"], row["objects"]["category"], strict=True):
            place = (slice(int(y), int(y + height)), slice(int(x), int(x + width)))
            inside[place] = True
            assert (mask[place] == category + 1).mean() > 0.1
        assert not mask[~inside].any()
        assert set(np.unique(mask)) - {0} <= {category + 1 for category in row["objects"]["category"]}
