"""Images and texts in one space: the loss and the ranks by hand, prompts, and what a pipeline makes of a run."""

import json
import re

import numpy as np
import pytest
import tiny
import torch

from hftransfer.core import plugins
from hftransfer.core.errors import DataError, HFTransferError, ModelError, RecipeError
from hftransfer.data.encode import encode_one, side_of, without_side
from hftransfer.metrics import load_metric
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.runner.predict import predictions
from hftransfer.tasks import _clip
from hftransfer.tasks._caption_retrieval import pair_ranks

NAME = "zero-shot-image-classification"
TASK = plugins.load("tasks", NAME)
TEXT = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
VISION = {**TEXT, "image_size": 16, "patch_size": 8}
del VISION["vocab_size"]


class _Output:
    def __init__(self, logits):
        self.logits_per_image = torch.tensor(logits, dtype=torch.float32)


def _loss(sigmoid, logits, labels):
    return float(_clip.contrastive_loss(sigmoid)(_Output(logits), torch.tensor(labels)))


def _config(kind):
    import transformers

    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 3, "max_position_embeddings": 64}
    return getattr(transformers, f"{kind}Config")(text_config=TEXT | ids, vision_config=VISION)


@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
def test_where_all_rows_differ_the_loss_is_that_of_transformers(kind):
    import transformers

    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}Model")(_config(kind)).eval()
    inputs = {"input_ids": torch.tensor([[1, n, 3] for n in (5, 6, 7, 8)]), "pixel_values": torch.randn(4, 3, 16, 16)}
    output = model(**inputs, return_loss=True)
    labels = torch.tensor([[text, text + 10] for text in range(4)])
    loss = _clip.contrastive_loss(_clip.is_sigmoid(model.config))(output, labels)
    assert loss.item() == pytest.approx(output.loss.item(), rel=1e-5)


def test_equal_texts_and_equal_images_are_no_negatives():
    # The first two rows have one text, the last two one image.
    logits, labels = [[3.0, 1.0, 0.0], [2.0, 4.0, 1.0], [0.0, 2.0, 5.0]], [[7, 1], [7, 2], [9, 2]]
    positives = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]])
    table = np.array(logits)
    softmax = [
        -(positives / positives.sum(1, keepdims=True) * (it - np.log(np.exp(it).sum(1, keepdims=True)))).sum(1).mean()
        for it in (table, table.T)
    ]
    assert _loss(False, logits, labels) == pytest.approx(np.mean(softmax), rel=1e-6)
    pairs = np.log1p(np.exp(-np.where(positives, table, -table)))
    assert _loss(True, logits, labels) == pytest.approx(pairs.sum() / 3, rel=1e-6)


def test_a_batch_of_one_class_has_nothing_to_push_apart():
    same = [[3, 1], [3, 2]]
    assert _loss(True, [[9.0, 9.0], [9.0, 9.0]], same) < 1e-3
    assert _loss(False, [[1.0, 1.0], [1.0, 1.0]], same) < _loss(False, [[2.0, 0.0], [0.0, 2.0]], same)


def _unit(*vectors):
    array = np.array(vectors, dtype=float)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def test_ranks_count_equal_texts_once_and_any_caption_of_an_image_is_right():
    # Two captions of one image, then two images with one caption.
    ids = np.array([[10, 1], [11, 1], [12, 2], [12, 3]])
    images = _unit([1, 0], [1, 0], [0, 1], [1, 1])
    texts = _unit([0, 1], [2, 1], [1, 3], [1, 3])
    ranks = pair_ranks(images, texts, ids)
    # Texts for (1, 0): 11, 12, 10. For (0, 1): 10, 12, 11. For (1, 1): 11 and 12 alike at .95 and .89, then 10.
    assert ranks[:, 0].tolist() == [0, 0, 1, 1]
    # Images for (0, 1): 2, 3, 1. For (2, 1): 3, 1, 2. For (1, 3): 2, 3, 1.
    assert ranks[:, 1].tolist() == [2, 1, 0, 0]
    metric = load_metric("image_to_text_recall")
    assert metric(ranks, ids) == {
        "image_to_text_recall": 0.5, "image_to_text_recall.at_5": 1.0, "image_to_text_recall.at_10": 1.0,
    }  # fmt: skip


def test_a_model_that_reads_nothing_finds_one_row_in_all():
    ids = np.arange(20).reshape(10, 2)
    ranks = pair_ranks(np.zeros((10, 1)), np.zeros((10, 1)), ids)
    assert ranks.tolist() == [[row, row] for row in range(10)]
    # The most frequent text, that of rows 1 and 2, is the first one for every image.
    ids[:, 0] = [0, 5, 5, 3, 4, 1, 6, 7, 8, 9]
    assert pair_ranks(np.zeros((10, 1)), np.zeros((10, 1)), ids)[:3, 0].tolist() == [1, 0, 0]


def test_rows_of_new_classes_are_scored_apart():
    metric = load_metric("open_set_accuracy", {"seen": 2})
    values = metric(np.array([0, 1, 1, 2, 0]), np.array([0, 1, 0, 2, 3]))
    expected = {"open_set_accuracy": 0.6, "open_set_accuracy.seen": 2 / 3, "open_set_accuracy.unseen": 0.5}
    assert values == pytest.approx(expected)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run on rows with classes and no captions, its folder, and a file of a test image."""
    folder = tmp_path_factory.mktemp("zero-shot")
    text = _recipe(folder, "label", more="", prompts='["a photo of a {label}"]')
    return run(parse_recipe(text), folder / "run"), folder / "run", str(folder / "rows" / "1.png")


def _recipe(folder, *columns, more="", prompts='["a {label}"]', model=None, held_out=""):
    rows = folder / "rows"
    rows.mkdir(parents=True, exist_ok=True)
    names = ["image", *columns]

    def written(numbers, classes, file):
        cells = [
            {
                "image": tiny._image_file(n, rows),
                "label": classes[n % len(classes)],
                "text": f"{classes[n % 2]} {n % 6}",
            }
            for n in numbers
        ]
        file.write_text("\n".join(json.dumps({name: row[name] for name in names}) for row in cells))

    written(range(48), ["good", "bad"], folder / "train.json")
    source = f"{{name: json, train: {folder / 'train.json'}}}"
    splits = "{validation: 8, test: 12}"
    if held_out:
        written(range(100, 124), ["good", "bad", held_out], folder / "test.json")
        source, splits = source.replace("}", f", test: {folder / 'test.json'}}}"), "{validation: 8}"
    return f"""
task: {{name: {NAME}, prompts: {prompts}}}
model: {model or f"{{id: {tiny.checkpoint(TASK(), folder / 'checkpoint')}}}"}
data: {{source: {source}, splits: {splits}}}
strategy: full
training: {{num_train_epochs: 1, per_device_train_batch_size: 8, use_cpu: true}}
evaluation: {{resamples: 20}}
{more}
"""


def test_the_untouched_checkpoint_and_the_majority_are_baselines(finished):
    result, _, _ = finished
    assert {"majority", "probe", "pretrained", "tuned"} <= set(result.scores["test"])
    assert result.headline == "accuracy" and result.confusion and "image_to_text_recall" not in str(result.scores)


def test_the_snippet_of_the_card_gives_the_scores_of_the_run(finished, tmp_path, capsys):
    result, out, image = finished
    card = (tiny.pushed(out, result, tmp_path / "repo") / "README.md").read_text().replace("image.png", image)
    first, *_ = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    names = {}
    exec(first, names)
    (answer,) = predictions(out, result, [image])
    assert {it["label"]: it["score"] for it in names["answer"]} == pytest.approx(answer["scores"], abs=1e-6)
    assert names["answer"][0]["label"] == answer["label"]
    # Any texts can be asked for.
    (other,) = predictions(out, result, [f"{image}\ta good one\ta bad one\tx"])
    found = names["pipe"](image, candidate_labels=["a good one", "a bad one", "x"], hypothesis_template="{}")
    assert {it["label"]: it["score"] for it in found} == pytest.approx(other["scores"], abs=1e-6)


def test_of_a_siglip_texts_are_padded_and_scored_as_a_pipeline_does_it(tmp_path):
    import transformers
    from PIL import Image

    torch.manual_seed(0)
    model = transformers.SiglipModel(_config("Siglip")).eval()
    images = transformers.SiglipImageProcessor(size={"height": 16, "width": 16})
    transformers.SiglipProcessor(images, tiny.clip_tokenizer()).save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    processor = transformers.AutoProcessor.from_pretrained(tmp_path)
    task = TASK(prompts=("a {label}",)).with_labels(("good", "bad")).with_processor(processor, model.config)
    picture = Image.open(tiny._image_file(3, tmp_path))
    examples = encode_one(task, {"image": picture})
    side = side_of(examples)
    with torch.inference_mode():
        outputs = task.outputs(model, task.collate(without_side(examples)), side)
    pipe = transformers.pipeline(NAME, model=str(tmp_path))
    answer = pipe(picture, candidate_labels=["good", "bad"], hypothesis_template="a {}")
    assert {it["label"]: it["score"] for it in answer} == pytest.approx(task.respond(outputs, side)["scores"], abs=1e-6)
    batch = task.collate(without_side(encode_one(task, {"image": picture, "label": 1})))
    assert batch["input_ids"].shape == (1, 64) and "attention_mask" not in batch


def test_several_prompts_are_an_ensemble_and_the_card_writes_it_out(finished, tmp_path):
    _, out, image = finished
    prompts = ("a {label}", "good {label}")
    text = _recipe(tmp_path, "label", prompts=json.dumps(prompts), model=f"{{id: {out}}}")
    result = run(parse_recipe(text), tmp_path / "run")
    card = (tiny.pushed(tmp_path / "run", result, tmp_path / "repo") / "README.md").read_text()
    (snippet, *_) = re.findall(r"```python\n(.*?)```", card.replace("image.png", image), re.DOTALL)
    names = {}
    exec(snippet, names)
    (answer,) = predictions(tmp_path / "run", result, [image])
    probabilities = names["logits"].softmax(0).tolist()
    assert dict(zip(names["names"], probabilities, strict=True)) == pytest.approx(answer["scores"], abs=1e-6)


def test_captions_are_scored_both_ways_and_classes_beside_them(tmp_path):
    result = run(parse_recipe(_recipe(tmp_path, "label", "text")), tmp_path / "run")
    assert {"accuracy", "image_to_text_recall", "text_to_image_recall.at_5"} <= set(result.scores["test"]["tuned"])
    recall = result.scores["test"]["majority"]["text_to_image_recall"].value
    assert recall <= 0.5 and result.scores["test"]["majority"]["accuracy"].value == pytest.approx(0.5, abs=0.2)


def test_a_new_model_gets_a_tokenizer_of_the_training_texts(tmp_path):
    """Its config names the end of a text as the tokenizer does, at which CLIP reads it."""
    import transformers

    text = {key: value for key, value in TEXT.items() if key != "vocab_size"} | {"max_position_embeddings": 16}
    config = {"model_type": "clip", "text_config": text | {"vocab_size": 40}, "vision_config": VISION}
    recipe = _recipe(tmp_path, "text", model=json.dumps({"config": config})).replace(
        "strategy: full", "strategy: scratch"
    )
    result = run(parse_recipe(recipe), tmp_path / "run")
    assert set(result.scores["test"]) == {"majority", "tuned"} and result.headline == "image_to_text_recall"
    model = transformers.AutoModelForZeroShotImageClassification.from_pretrained(tmp_path / "run" / "model")
    processor = transformers.AutoProcessor.from_pretrained(tmp_path / "run" / "model")
    assert processor.tokenizer.eos_token_id == model.config.text_config.eos_token_id == 3
    assert processor.tokenizer("good 1 unheard").input_ids[-1] == 3 and len(processor.tokenizer) <= 40
    pixels = torch.zeros(1, 3, 16, 16)
    embeddings = [
        model(**processor(text=[words], return_tensors="pt"), pixel_values=pixels).text_embeds
        for words in ("good 1", "bad 4")
    ]
    assert not torch.allclose(*embeddings)


def test_an_image_with_captions_in_two_splits_is_reported(tmp_path):
    text = _recipe(tmp_path, "text")
    file = tmp_path / "train.json"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("\n".join(json.dumps(row | {"text": f"a {n}"}) for n in (1, 2) for row in rows))
    assert any("test images are training images too" in warning for warning in check(parse_recipe(text)).warnings)


def test_test_rows_may_have_classes_without_a_training_row(tmp_path):
    result = run(parse_recipe(_recipe(tmp_path, "label", held_out="neither")), tmp_path / "run")
    assert result.data.labels == ["bad", "good", "neither"]
    scores = result.scores["test"]["tuned"]
    assert {"accuracy", "open_set_accuracy.seen", "open_set_accuracy.unseen"} <= set(scores)
    assert "probe" not in result.scores["test"]


@pytest.mark.parametrize(
    ("columns", "change", "error", "sentence"),
    [
        ([], ("", ""), DataError, "neither captions nor classes: data.columns.text or data.columns.label"),
        (["label"], ("a {label}", "a photo"), RecipeError, "a prompt has {label} once"),
        (["label"], ("a {label}", "{label} {x}"), RecipeError, "no other braces"),
        (["label"], (NAME, f"{NAME}, image_size: 32"), ModelError, "takes images of 16 pixels alone"),
        (["label"], ("strategy: full", "strategy: linear_probe"), HFTransferError, "no head of classes"),
        (["label"], ("resamples: 20", "metrics: [image_to_text_recall]"), RecipeError, "ranks of counterparts"),
        (["text"], ("resamples: 20", "metrics: [accuracy], baselines: [probe]"), RecipeError, "classes or a number"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(columns, change, error, sentence, tmp_path):
    text = _recipe(tmp_path, *columns).replace(*change) if change[0] else _recipe(tmp_path, *columns)
    with pytest.raises(error, match=re.escape(sentence)) as caught:
        check(parse_recipe(text))
    assert "\n" not in str(caught.value).strip()


def test_a_field_within_a_part_of_a_new_config_is_checked(tmp_path):
    config = {"model_type": "clip", "text_config": {"hiden_size": 16}, "vision_config": VISION}
    text = _recipe(tmp_path, "text", model=json.dumps({"config": config})).replace(
        "strategy: full", "strategy: scratch"
    )
    with pytest.raises(ModelError, match="text_config: 'clip_text_model' has no field 'hiden_size'.*hidden_size"):
        check(parse_recipe(text))


def test_without_classes_the_texts_to_choose_from_come_with_the_image(tmp_path):
    with pytest.raises(DataError, match="after the image give texts"):
        TASK().parse(tiny._image_file(1, tmp_path))


def test_a_checkpoint_without_texts_is_refused(tmp_path):
    from transformers import CLIPImageProcessor

    with pytest.raises(ModelError, match="no processor for both texts and images"):
        _clip.checked_processor(CLIPImageProcessor(), _config("CLIP"))
