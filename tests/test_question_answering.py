"""Question answering: windows, answers in the context's own spelling, questions without an answer."""

import numpy as np
import pytest
import tiny
from datasets import Dataset
from transformers import BertTokenizerFast

from hftransfer.core.errors import DataError
from hftransfer.data.encode import EncodedSplits, encode
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.plan import check
from hftransfer.tasks.question_answering import QuestionAnswering


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "vocab.txt").write_text("\n".join([*tiny.SPECIAL, "who", "word", "the", "saint", "denis", "'", "s"]))
    return BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64)


def _rows(context, answer):
    start = context.rindex(answer) if answer else None
    answers = {"text": [answer], "answer_start": [start]} if answer else {"text": [], "answer_start": []}
    return {"question": ["who"], "context": [context], "answers": [answers]}


def _encoded(task, rows, tmp_path) -> EncodedSplits:
    return encode(task, {"test": Dataset.from_dict(rows)}, tmp_path)


def _certain(encoded, row=-1):
    """Outputs of a model that is certain of the positions that the labels of a window name, and of no other one."""
    windows = encoded.splits["test"]
    shape = (len(windows), max(len(ids) for ids in windows["input_ids"]))
    outputs = {name: np.full(shape, -5.0) for name in ("start_logits", "end_logits")}
    for name in ("start", "end"):
        outputs[f"{name}_logits"][row, windows[f"{name}_positions"][row]] = 5.0
    return outputs


def test_an_answer_in_the_last_window_is_found_in_the_spelling_of_the_context(tokenizer, tmp_path):
    task = QuestionAnswering(max_length=16, stride=4).with_processor(tokenizer)
    context = "word " * 60 + "the  Saint-Denis' s"
    encoded = _encoded(task, _rows(context, "Saint-Denis"), tmp_path)
    windows, side = encoded.splits["test"], encoded.side("test")
    assert len(windows) > 5 and set(side["row"]) == {0}
    # Windows without the whole answer point at the token [CLS].
    assert [start for start in windows["start_positions"][:] if start] == windows["start_positions"][-1:]
    assert task.postprocess(_certain(encoded), side).tolist() == ["Saint-Denis"]


def test_windows_overlap_so_that_no_answer_is_cut_in_two(tokenizer, tmp_path):
    task = QuestionAnswering(max_length=16, stride=4).with_processor(tokenizer)
    for place in range(40):
        context = "word " * place + "Saint Denis" + " word" * (40 - place)
        encoded = _encoded(task, _rows(context, "Saint Denis"), tmp_path / str(place))
        assert any(encoded.splits["test"]["start_positions"][:])


def test_the_threshold_for_no_answer_is_fitted_to_validation_rows(tokenizer, tmp_path):
    task = QuestionAnswering(max_length=16, stride=4).with_processor(tokenizer)
    rows = [_rows("word word Denis", "Denis"), _rows("word word Denis", None)]
    rows = {name: [row[name][0] for row in rows] for name in rows[0]}
    encoded = _encoded(task, rows, tmp_path)
    side, references = encoded.side("test"), task.references(Dataset.from_dict(rows))
    assert references.tolist() == [["Denis"], []]
    outputs = {name: np.full((2, 7), -5.0) for name in ("start_logits", "end_logits")}
    for name in ("start", "end"):
        outputs[f"{name}_logits"][:, 5] = 1.0
        outputs[f"{name}_logits"][1, 0] = 2.0
    assert task.postprocess(outputs, side).tolist() == ["Denis", "Denis"]
    fields = task.fit_outputs({"validation": outputs}, {"validation": side}, {"validation": references})
    assert task.model_copy(update=fields).postprocess(outputs, side).tolist() == ["Denis", ""]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"text": ["Denis"], "answer_start": [3]}, "the answer 'Denis' does not stand at character 3"),
        ({"text": ["Denis"], "answer_start": []}, "not lists `text` and `answer_start` of one length"),
        ("Denis", "the answers are 'Denis', not lists"),
    ],
)
def test_answers_that_cannot_be_used_are_refused(answers, message):
    row = {"question": "who", "context": "word Denis", "answers": answers}
    assert message in QuestionAnswering().check_row(row)


def test_a_stride_that_leaves_no_room_is_refused(tmp_path):
    text = tiny.recipe(QuestionAnswering(), tmp_path).replace("stride: 2", "stride: 60")
    with pytest.raises(DataError, match="task.stride: 60 and the longest question"):
        check(parse_recipe(text))


def test_answers_are_compared_without_case_punctuation_and_articles():
    task = QuestionAnswering()
    assert task.error("the saint-denis.", ["Saint-Denis"]) == 0 and task.error("", []) == 0
    assert task.error("Saint", ["Saint Denis"]) == pytest.approx(1 / 3) and task.error("Denis", []) == 1
