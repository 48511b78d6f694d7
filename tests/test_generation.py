"""What the tasks that generate text or predict hidden parts of rows call wrong, and how a prompt is continued."""

import numpy as np
import pytest
import tiny
import torch
from transformers import AutoConfig, AutoTokenizer, GPT2LMHeadModel

from hftransfer.core import plugins
from hftransfer.tasks._generation import word_changes


@pytest.mark.parametrize(
    ("prediction", "reference", "error"),
    [
        ("a b", " a b ", 0),
        ("", "", 0),
        ("a  b", "a b", 0.01),
        ("a b c d", "a b", 1 / 3),
        ("c", "a b", 1),
        ("", "a b", 1),
        ("a b", "", 1),
    ],
)
def test_the_error_of_a_text_is_the_share_of_words_without_a_match(prediction, reference, error):
    assert plugins.load("tasks", "translation")().error(prediction, reference) == pytest.approx(error)


def test_changes_lead_from_the_reference_to_the_prediction():
    assert word_changes("a b c", "a d c e") == [("=", "a"), ("-", "b"), ("+", "d"), ("=", "c"), ("+", "e")]


def test_the_error_of_hidden_places_is_their_mean_loss_or_how_many_more_are_right():
    task = plugins.load("tasks", "fill-mask")()
    outputs = {"losses": np.array([[1.0, 3.0], [0.5, np.nan]]), "right": np.array([[1, 0], [0, -1]])}
    predictions, references = task.postprocess(outputs, {}), task.references([None, None])
    assert [task.error(*pair) for pair in zip(predictions, references, strict=True)] == [2.0, 0.5]
    better = np.array([1.5, 2.0, 2.0])
    assert task.error(better, predictions[0]) == 0.5 and task.error(better, better) == 0


def test_a_prompt_is_continued_from_its_end_and_a_text_from_its_middle(tmp_path):
    task = plugins.load("tasks", "text-generation")(max_length=8, max_new_tokens=3)
    folder = tiny.checkpoint(task, tmp_path / "gpt2")
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = AutoConfig.from_pretrained(folder)
    task = task.with_processor(task.open_processor(lambda _: tokenizer, config, None), config)
    row = task.parse("good a b c d")
    prompt = task.encode({role: [cell] for role, cell in row.items()})
    text = task.encode({"text": [row["text"]]})
    assert prompt.side == {"prompt": [5]} and not text.side and prompt.inputs == text.inputs
    (ids,) = text.inputs["input_ids"]
    batch = task.collate([{"input_ids": ids}])
    assert len(ids) == 6 and ids[-1] == tokenizer.eos_token_id and "prompt" not in batch
    for encoded, length in ((prompt, 5), (text, 3)):
        with torch.inference_mode():
            outputs = task.outputs(model, batch, encoded.side)
            generated = model.generate(torch.tensor([ids[:length]]), max_new_tokens=3, do_sample=False)
        assert outputs["ids"].tolist() == generated[:, length:].tolist()
