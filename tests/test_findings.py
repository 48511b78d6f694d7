"""Every finding on a record with the fault planted, and the facts behind it on planted rows."""

import json
import re

import numpy as np
import pytest
import soundfile
import tiny
from datasets import Dataset
from PIL import Image
from results_builder import recipe, regression, result, score

from hftransfer.core import plugins
from hftransfer.core.data_facts import Contradictions, ErrorCounts, Spread, TokenBaseline
from hftransfer.core.results import Example
from hftransfer.evaluation.token_baseline import token_baseline
from hftransfer.recipe.loader import parse_recipe
from hftransfer.reporting import report
from hftransfer.reporting.findings import findings
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check


def _log(losses, validation=()):
    entries = [{"loss": loss, "epoch": i + 1, "step": 50 * (i + 1)} for i, loss in enumerate(losses)]
    return {"tuned": entries + [{"eval_loss": loss, "epoch": i + 1, "step": 1} for i, loss in enumerate(validation)]}


GOOD_LOG = _log([1.0, 0.4, 0.3], [0.9, 0.5, 0.48])
GUESSING = [[8, 6, 6], [6, 7, 7], [7, 6, 7]]
EVEN = {split: dict.fromkeys(("business", "sport", "tech"), 20) for split in ("train", "validation", "test")}
CONTRADICTORY = Contradictions(rows=24, split="train", example=(3, 17), labels=("sport", "tech"))
OFTEN_WRONG = ErrorCounts(rows=30, wrong=21, other_rows=30, other_wrong=3)
WORDS = TokenBaseline(rows=240, whole=0.98, truncated=0.6, significant=True)
NO_GAIN = {"majority": score(0.0, 0.04)}


def _data(**changes):
    return result().data.model_copy(update={"classes": EVEN} | changes)


def _spread(*values):
    """A spread over rows of which so many tenths have each value."""
    return Spread(rows=100, mean=float(np.mean(values)), deciles=np.percentile(values, range(0, 101, 10)).tolist())


def _inputs(**facts):
    return {split: {name: _spread(*values) for name, values in facts.items()} for split in ("train", "test")}


def _rate(value, strategy="lora"):
    return recipe(training={"learning_rate": value}, strategy={"name": strategy})


LONG = _inputs(truncated=[0.0] * 5 + [0.8] * 5)
MIXED_RATES = _inputs(rate=[0.5] * 4 + [1.0] * 6)
PLANTED = {
    "one class": ({"confusion": [[20, 0, 0], [20, 0, 0], [20, 0, 0]]}, "predicts 'business' for every test row"),
    "a class never predicted": (
        {"confusion": [[20, 0, 0], [0, 20, 0], [9, 11, 0]]}, "never predicts 'tech' (20 test rows)"
    ),
    "guessing": ({"history": _log([1.12, 1.1, 1.09]), "confusion": GUESSING}, "guessing among 3 classes gives 1.099"),
    "guessing by frequencies": (
        {
            "history": _log([0.6, 0.56, 0.55]),
            "confusion": [[26, 4, 4], [8, 2, 2], [10, 2, 2]],
            "data": _data(classes={"train": {"business": 85, "sport": 10, "tech": 5}}),
        },
        "guessing among 3 classes gives 0.518",
    ),
    "learning rate too low": (
        {"history": _log([1.1, 1.1, 1.1]), "confusion": GUESSING, "recipe": _rate(1e-7)},
        "training.learning_rate: 1e-07 is far too low; raise it by a factor of 10 to 100",
    ),
    "learning rate too high": (
        {"history": _log([2.0, 1.2, 1.1]), "confusion": GUESSING, "recipe": _rate(0.05)},
        "training.learning_rate: 0.05 is far too high; lower it",
    ),
    "learning rate too high, spoilt": (
        {"history": _log([1.0, 0.4, 0.9])}, "The training loss was 0.400 and ends at 0.900"
    ),
    "overfitting": (
        {"history": _log([1.0, 0.4, 0.1], [0.9, 0.5, 0.8])}, "lowest at evaluation 2 of 3 (0.500) and ends at 0.800"
    ),
    "too few epochs": (
        {"history": _log([1.0, 0.8, 0.6], [0.9, 0.7, 0.5]), "transfer_gain": {}},
        "still falls at the end (0.700 to 0.500",
    ),
    "blanks": (
        {"worst": [Example(row=i, reference="a", prediction=" ", error=1.0, rendered={}) for i in range(6)]},
        "writes nothing for its 6 worst test rows",
    ),
    "below the probe": (
        {"transfer_gain": {"probe": score(-0.1, 0.04), "majority": score(0.3, 0.1)}},
        "The cheap baseline probe is significantly better than the tuned model",
    ),
    "frozen new weights": (
        {"new_weights": ["bert.pooler.dense.weight"], "transfer_gain": {"probe": score(0.01, 0.04)}},
        "no weights for bert.pooler.dense.weight, which began at random, and strategy lora may have frozen them",
    ),
    "contradictory labels": (
        {"data": _data(contradictions=CONTRADICTORY)},
        "24 of 240 training rows have the same content as another with another label, such as rows 3 ('sport') and "
        "17 ('tech') of split 'train'",
    ),
    "harmful truncation, by errors": (
        {"data": _data(inputs=LONG, errors={"truncated": OFTEN_WRONG})},
        "task.max_length: 256 cuts more than half of many rows, and such test rows are wrong significantly more often "
        "than others (21 of 30 against 3 of 30)",
    ),
    "harmful truncation, by words": (
        {"data": _data(inputs=LONG, token_baseline=WORDS)}, "0.980 on whole training texts, 0.600 on what the model"
    ),
    "labels out of reach": (
        {"data": _data(inputs=_inputs(label_lost=[0] * 7 + [1] * 3))},
        "(30 % of train, 30 % of test), so that they count as errors: raise what limits it (task.max_length: 256)",
    ),
    "transcripts longer than their frames": (
        {"data": _data(inputs=_inputs(label_lost=[0] * 7 + [1] * 3)), "auto_model": "AutoModelForCTC"},
        "more characters than their recordings have frames (30 % of train, 30 % of test)",
    ),
    "other sampling rates": (
        {"data": _data(inputs=_inputs(rate=[1.0]) | {"test": {"rate": _spread(0.5)}})},
        "0 % of the training recordings and 100 % of the test recordings have a lower sampling rate",
    ),
    "errors at a low sampling rate": (
        {"data": _data(inputs=MIXED_RATES, errors={"rate": OFTEN_WRONG})},
        "wrong significantly more often than others (21 of 30 against 3 of 30)",
    ),
    "a low sampling rate and nothing learnt": (
        {"data": _data(inputs=_inputs(rate=[0.5])), "transfer_gain": NO_GAIN}, "at most 50 % of the sampling rate"
    ),
    "texts faster than speech": (
        {"data": _data(inputs=_inputs(pace=[38, 42]))}, "more than 40 characters a second of their recording"
    ),
    "objects of a few pixels": (
        {"data": _data(inputs=_inputs(object_side=[2.5]))}, "the objects are at most 2.500 pixels wide or high"
    ),
    "images smaller than the checkpoint's": (
        {
            "data": _data(inputs=_inputs(side=[32]), checkpoint_side=224),
            "recipe": recipe(task={"name": "image-classification", "image_size": 32}),
        },
        "reads images of 32 pixels, and its checkpoint was trained with 224: raise task.image_size",
    ),
    "images shrunk and nothing learnt": (
        {"data": _data(inputs=_inputs(scale=[0.05], squeeze=[1.0])), "transfer_gain": NO_GAIN},
        "Images are resized by a factor of 0.050",
    ),
    "images squeezed and nothing learnt": (
        {"data": _data(inputs=_inputs(scale=[0.5], squeeze=[3.0])), "transfer_gain": NO_GAIN},
        "shrunk or cut 3.000 times more than the other",
    ),
    "copies": ({"data": _data(repeated=100)}, "100 of 240 training rows repeat the content of another"),
    "one class nearly always": (
        {"data": _data(classes={"test": {"business": 57, "sport": 3}})}, "95 % of the test rows are 'business'"
    ),
    "too few validation rows": (
        {"data": _data(rows={"train": 9, "validation": 8, "test": 60})}, "Validation has 8 rows, too few"
    ),
    "classes without validation rows": (
        {"data": _data(classes=EVEN | {"validation": {"business": 30}})},
        "2 classes have no validation row ('sport', 'tech')",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("planted", "sentence"), PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_is_found_and_nothing_else(planted, sentence):
    made = result(**{"history": GOOD_LOG, "data": _data()} | planted)
    (finding,) = findings(made)
    assert sentence in finding
    # The key of the recipe, or where it lies outside of it, that helps.
    assert any(key in finding for key in ("task.", "training.", "data.", "strategy", "evaluation.", "model."))
    assert f"FINDING: {finding}" in report.terminal(made)


def test_a_loss_that_does_not_move_is_found_without_classes():
    still = regression(history=_log([3.01, 3.0, 3.0]), recipe=_rate(1e-8), transfer_gain={"scratch": score(-0.1, 0.2)})
    assert "training.learning_rate: 1e-08 is far too low" in findings(still)[0]
    assert findings(still.model_copy(update={"recipe": _rate(1e-4)})) == []


SETTINGS = re.compile(r"(?:training|task)\.\w+")


@pytest.mark.parametrize(
    "planted",
    [
        PLANTED[it][0]
        for it in ("one class", "a class never predicted", "below the probe", "copies", "one class nearly always")
    ],
)
def test_findings_name_no_key_of_a_training_where_nothing_is_trained_nor_one_that_the_task_lacks(planted):
    frozen = recipe(task={"name": "anomaly-detection", "false_alarms": 0.05, "threshold": None})
    made = result(**{"data": _data()} | planted | {"history": {}, "recipe": frozen})
    (finding,) = findings(made)
    assert set(SETTINGS.findall(finding)) <= {"task.false_alarms", "task.threshold"} and "lp_ft" not in finding
    trained = result(**{"history": GOOD_LOG, "data": _data()} | planted)
    assert not any(key.startswith("task.") for line in findings(trained) for key in SETTINGS.findall(line))
    weighted = {"recipe": recipe(task={"name": "text-classification", "class_weights": None})}
    if "confusion" in planted:
        assert "task.class_weights: balanced" in findings(trained.model_copy(update=weighted))[0]


HARMLESS = {
    "a good run": {},
    "long texts that the model does not need": {"data": _data(inputs=LONG, errors={})},
    "long texts, and a model better than their words": {
        "data": _data(inputs=LONG, token_baseline=WORDS.model_copy(update={"whole": 0.93}))
    },
    "a few long texts": {"data": _data(inputs=_inputs(truncated=[0.0] * 8 + [0.9] * 2), token_baseline=WORDS)},
    "telephone recordings that are understood": {"data": _data(inputs=_inputs(rate=[0.5], pace=[15]))},
    "tiny images": {"data": _data(inputs=_inputs(scale=[8.0], squeeze=[1.0], side=[64]), checkpoint_side=None)},
    "DINOv2, trained with 518 pixels": {"data": _data(inputs=_inputs(side=[224]), checkpoint_side=518)},
    "a few contradictions": {"data": _data(contradictions=CONTRADICTORY.model_copy(update={"rows": 4}))},
    "a few copies": {"data": _data(repeated=18)},
    "a validation loss that rises a little": {"history": _log([1.0, 0.4, 0.1], [0.5, 0.22, 0.3])},
    "a validation loss that falls, and a gain": {"history": _log([1.0, 0.8, 0.6], [0.9, 0.7, 0.5])},
    "a loss of its own that is not the classes'": {"history": _log([4.0, 2.9, 2.5])},
    "new weights that are trained": {"new_weights": ["pooler"], "parameters": {"all": 10, "trainable": 10}},
}


@pytest.mark.parametrize("planted", HARMLESS.values(), ids=HARMLESS)
def test_what_does_no_harm_is_no_finding(planted):
    assert findings(result(**{"history": GOOD_LOG, "data": _data()} | planted)) == []


def test_findings_stand_on_the_page():
    made = result(**{"history": GOOD_LOG} | PLANTED["overfitting"][0])
    assert "<strong>Findings</strong>" in report.html([made])


def _plan(name, folder, rows, **fields):
    """The plan of a tiny model of a task for rows; the sizes of the splits are theirs."""
    task = plugins.load("tasks", name)()
    file = folder / "rows.json"
    file.write_text("\n".join(map(json.dumps, rows)))
    options = "".join(f", {key}: {value}" for key, value in fields.items())
    return parse_recipe(
        f"task: {{name: {name}{options}}}\nmodel: {{id: {tiny.checkpoint(task, folder / 'tiny')}}}\n"
        f"data: {{source: {{name: json, train: {file}}}, splits: {{validation: 20, test: 20}}}}\n"
        "training: {num_train_epochs: 1, per_device_train_batch_size: 16, use_cpu: true}\n"
        "evaluation: {resamples: 20}\n"
    )


def test_labels_at_the_end_of_texts_are_missed_and_copies_counted(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        {"text": " ".join(rng.choice(list("abcdefgh"), 24)) + f" {('good', 'bad')[i % 2]}", "label": "xy"[i % 2]}
        for i in range(160)
    ]
    # Equal but for case and punctuation, and once more as they are.
    opposed = [{"text": row["text"].upper() + "!", "label": "yx"[i % 2]} for i, row in enumerate(rows[:60])]
    found = run(_plan("text-classification", tmp_path, rows + opposed + rows[:60], max_length=8), tmp_path / "run")
    assert 10 < found.data.repeated < 60
    assert 40 < found.data.contradictions.rows <= 180 and found.data.contradictions.labels in (("x", "y"), ("y", "x"))
    first, second = found.data.contradictions.example
    texts = [row["text"].casefold().strip("!") for row in rows + opposed + rows[:60]]
    assert texts[first] == texts[second] and first != second
    # [CLS] and [SEP] are of the 8.
    assert found.data.inputs["test"]["truncated"].deciles[5] == pytest.approx(1 - 8 / 27, abs=0.01)
    assert found.data.errors["truncated"].rows == 20 and found.data.errors["truncated"].other_rows == 0
    sentences = findings(found)
    assert any("training rows have the same content" in line for line in sentences)


def test_a_classifier_of_words_finds_what_truncation_costs():
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    at_end = [[*rng.integers(5, 40, 20).tolist(), label] for label in labels]
    found = token_baseline(at_end, 10, labels, seed=0)
    assert found.whole == 1 and found.truncated < 0.75 and found.significant and found.rows == 120
    at_start = [[label, *rng.integers(5, 40, 20).tolist()] for label in labels]
    assert not token_baseline(at_start, 10, labels, seed=0).significant
    assert token_baseline(at_end[:6], 10, labels[:6], seed=0) is None


def test_tags_beyond_the_tokens_that_are_read_are_lost(tmp_path):
    rows = [
        {
            "tokens": [*"abcdefgh", str(i % 10), "z"[: i % 2] or "y", str(i)],
            "tags": ["O"] * 10 + ["B-X" if i % 2 else "O"],
        }
        for i in range(60)
    ]
    plan = check(_plan("token-classification", tmp_path, rows, max_length=9))
    train = plan.rows.splits["train"]
    facts = plan.task.input_facts(train)
    assert facts["label_lost"].tolist() == [len(set(tags)) > 1 for tags in train["tags"][:]]
    assert (facts["truncated"] > 0.2).all()


def test_answers_that_no_window_holds_are_lost(tmp_path):
    words = " ".join("abcdefghij")
    rows = [
        {"question": f"q {i}", "context": f"{words} {i}", "answers": {"text": [text], "answer_start": [0]}}
        for i, text in enumerate(["a", words] * 30)
    ]
    plan = check(_plan("question-answering", tmp_path, rows, max_answer_length=5, max_length=32, stride=2))
    train = plan.rows.splits["train"]
    lost = plan.task.input_facts(train)["label_lost"]
    assert lost.tolist() == [answer["text"][0] == words for answer in train["answers"][:]]


def test_rates_and_pace_of_recordings_are_those_of_the_files(tmp_path):
    rows = []
    for i in range(60):
        path, rate = tmp_path / f"{i}.wav", (8000, 16000)[i % 2]
        soundfile.write(path, 0.3 * np.sin(np.arange(rate) * (0.1 + 0.001 * i)), rate)
        rows.append({"audio": str(path), "text": "yes please" if i % 2 else "no thanks please"})
    plan = check(_plan("automatic-speech-recognition", tmp_path, rows))
    train = plan.rows.splits["train"]
    facts = plan.task.input_facts(train)
    assert set(facts["rate"].tolist()) == {0.5, 1.0}
    assert facts["pace"].tolist() == [len(text) for text in train["text"][:]]
    assert not facts["label_lost"].any()
    # The tiny model has 50 frames a second.
    longer = Dataset.from_dict({"audio": train["audio"][:2], "text": ["yes please", "yes " * 20]})
    assert plan.task.input_facts(longer)["label_lost"].tolist() == [False, True]


def test_sizes_of_images_and_objects_are_those_that_the_model_reads(tmp_path):
    rows = []
    for i in range(60):
        path = tmp_path / f"{i}.png"
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (64, 128, 3)).astype("uint8")).save(path)
        rows.append({"image": str(path), "objects": {"bbox": [[8, 8, 16, 40]], "category": ["xy"[i % 2]]}})
    plan = check(_plan("object-detection", tmp_path, rows))
    facts = plan.task.input_facts(plan.rows.splits["train"].select(range(10)))
    # 128 x 64 pixels become 16 x 16.
    assert set(facts["scale"]) == {0.125} and set(facts["squeeze"]) == {2.0} and set(facts["side"]) == {16}
    assert set(facts["object_side"]) == {2.0}
