"""What a recipe may hold, and the sentence about everything else."""

import subprocess
import sys

import pytest

from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.errors import ModelError, RecipeError
from hftransfer.core.yaml_writer import dump_yaml
from hftransfer.recipe.loader import load_recipe, parse_recipe
from hftransfer.recipe.schema import Recipe

GOOD = """
task: text-classification
model: {id: "sample:minilm"}
data:
  source: {name: sample, id: bbc_news}
strategy: {name: lora, r: 8}
training: {learning_rate: 3e-3, eval_strategy: no}
"""


def test_numbers_and_words_are_read_as_yaml_1_2():
    recipe = parse_recipe(GOOD)
    assert recipe.training == {"learning_rate": 0.003, "eval_strategy": "no"}
    assert recipe.strategy.r == 8


def test_every_default_survives_being_written_and_read_again():
    import yaml

    recipe = parse_recipe(GOOD)
    assert parse_recipe(yaml.safe_dump(recipe.model_dump())) == recipe


@pytest.mark.parametrize(
    "word", ["2e5", "1e-5", "7e12345", "010", "0o17", "+.5", "1_000", "on", "no", "1:30", "~", "="]
)
def test_a_word_that_looks_like_a_number_is_written_so_that_it_is_read_again(word):
    recipe = parse_recipe(GOOD).model_dump()
    recipe["data"]["names"] = [word]
    assert parse_recipe(dump_yaml(recipe)).data.names == [word]


# A key without which the strategy is refused.
REQUIRED = {"distill": "teacher=somebody", "multi_task": "others.second=a.yaml", "prune": "width=0.5"}


@pytest.mark.parametrize("name", plugins.names("strategies"))
def test_another_strategy_by_override_drops_the_old_fields(name):
    overrides = [f"strategy.name={name}"]
    if name in REQUIRED:
        with pytest.raises(RecipeError):
            parse_recipe(GOOD, overrides=overrides)
        overrides.append(f"strategy.{REQUIRED[name]}")
    assert parse_recipe(GOOD, overrides=overrides).strategy.name == name


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("r: 8", "rank: 8", ["recipe:6", "strategy.rank", "Allowed: ", "lora_alpha"]),
        ("r: 8", "r: zero", ["recipe:6", "strategy.r", "'zero'"]),
        ("name: lora", "name: lore", ["recipe:6", "did you mean 'lora'"]),
        ("id: bbc_news", "id: bbc_new", ["recipe:5", "did you mean 'bbc_news'"]),
        ("task: text-classification", "task: text-clasification", ["recipe:2", "did you mean 'text-classification'"]),
        ("learning_rate", "learning_rat", ["recipe:7", "training.learning_rat", "did you mean 'learning_rate'"]),
        ("model:", "epochs: 3\nmodel:", ["recipe:3", "did you mean"]),
        ("model:", "learning_rate: 1.0e-3\nmodel:", ["recipe:3", "did you mean 'training.learning_rate'"]),
        ("3e-3", "lots", ["recipe:7", "training.learning_rate", "float"]),
        ("eval_strategy: no", "output_dir: x", ["--out"]),
        ("eval_strategy: no", "save_only_model: true", ["recipe:7", "training.save_only_model", "another model"]),
        ("eval_strategy: no", "ignore_data_skip: true", ["training.ignore_data_skip", "another model"]),
        ("eval_strategy: no", "fsdp: full_shard", ["training.fsdp", "DDP"]),
        ("eval_strategy: no", "deepspeed: {stage: 2}", ["training.deepspeed", "DDP"]),
        ("model:", "modl:", ["unknown key 'modl'", "did you mean 'model'"]),
        ('{id: "sample:minilm"}', "{config: {model_type: bert}}", ["random weights"]),
        ("strategy:", "task:", ["recipe:6", "written twice"]),
    ],
)
def test_a_mistake_gets_a_sentence_with_place_and_remedy(old, new, parts):
    with pytest.raises(RecipeError) as error:
        parse_recipe(GOOD.replace(old, new))
    for part in parts:
        assert part in str(error.value)


def test_truth_is_written_as_in_yaml_and_in_python():
    text = GOOD.replace("r: 8", "use_dora: False, use_rslora: TRUE, r: 8")
    strategy = parse_recipe(text, overrides=["model.config={model_type: bert, output_attentions: False, label: No}"])
    assert strategy.strategy.use_dora is False and strategy.strategy.use_rslora is True
    assert strategy.model.config == {"model_type": "bert", "output_attentions": False, "label": "No"}


def test_a_wrong_recipe_costs_no_import_of_torch():
    code = (
        "import sys\nfrom hftransfer.core.errors import RecipeError\n"
        "from hftransfer.recipe.loader import parse_recipe\n"
        f"try: parse_recipe({GOOD.replace('r: 8', 'rank: 8')!r})\nexcept RecipeError: pass\n"
        "else: raise SystemExit('accepted')\nassert 'torch' not in sys.modules and 'datasets' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_schema_names_every_plugin():
    text = str(Recipe.json_schema())
    for kind in ("tasks", "strategies", "sources"):
        for name in plugins.names(kind):
            assert f"'const': '{name}'" in text


def test_bbc_news_and_minilm_are_the_real_ones():
    rows = plugins.load("samples", "bbc_news")().rows()["train"]
    assert len(rows) == 2225
    assert rows.features["label"].names == ["business", "entertainment", "politics", "sports", "tech"]
    assert (plugins.load("samples", "minilm")().checkpoint() / "config.json").is_file()
    with pytest.raises(ModelError):
        plugins.load("samples", "bbc_news")().checkpoint()


def test_lora_on_real_weights_trains_little_saves_the_head_and_merges_equal():
    import torch
    from transformers import AutoModelForSequenceClassification

    from hftransfer.models.layers import parameters

    folder = plugins.load("samples", "minilm")().checkpoint()
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=5).eval()
    strategy = plugins.load("strategies", "lora")(r=4)
    adapted = strategy.prepare(model).eval()
    everything, training = parameters(adapted)
    assert 0 < training < everything * 0.1
    assert any("classifier" in name for name, p in adapted.named_parameters() if p.requires_grad)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    batch = {"input_ids": torch.randint(1000, 2000, (2, 12)), "attention_mask": torch.ones(2, 12, dtype=torch.long)}
    with torch.no_grad():
        before = adapted(**batch).logits
        after = strategy.merge(adapted)(**batch).logits
    assert (before - after).abs().max() < 1e-4


def test_the_seed_stands_in_texts():
    text = GOOD.replace("{name: lora, r: 8}", "{name: distill, teacher: 'runs/teacher-{seed}'}")
    assert text != GOOD
    assert parse_recipe(text, overrides=["seed=4"]).strategy.teacher == "runs/teacher-4"
    assert parse_recipe(text).strategy.teacher == "runs/teacher-0"


def test_a_recipe_extends_another_one(tmp_path, capsys):
    (tmp_path / "base.yaml").write_text(GOOD)
    file = tmp_path / "changed.yaml"
    file.write_text("extends: base.yaml\nstrategy: {r: 4}\ntraining: {learning_rate: 1e-3}\nseed: 3\n")
    recipe = load_recipe(file, ["data.shots=8"])
    expected = parse_recipe(GOOD, overrides=["strategy.r=4", "training.learning_rate=1e-3", "seed=3", "data.shots=8"])
    assert recipe == expected
    assert main(["render", str(file), "data.shots=8"]) == 0
    printed = capsys.readouterr().out
    assert parse_recipe(printed) == expected and "calibrate" not in printed and "lora_alpha" not in printed
    file.write_text("extends: quickstart\nstrategy: full\nexport: null\n")
    recipe = load_recipe(file)
    assert recipe.strategy.name == "full" and recipe.export is None and recipe.model.id == "sample:minilm"
    # A mistake is named where it is written.
    for text, parts in {
        "extends: base.yaml\nstrategy: {rr: 4}\n": ["changed.yaml:2", "unknown key 'strategy.rr'", "'r'"],
        "extends: bas.yaml\n": ["changed.yaml:1", "there is no recipe", "bas.yaml"],
        "extends: [base.yaml]\n": ["changed.yaml:1", "the name of one recipe"],
        "extends: changed.yaml\n": ["one level is allowed"],
    }.items():
        file.write_text(text)
        with pytest.raises(RecipeError) as caught:
            load_recipe(file)
        assert all(part in str(caught.value) for part in parts), caught.value
    (tmp_path / "base.yaml").write_text(GOOD + "sead: 1\n")
    file.write_text("extends: base.yaml\n")
    with pytest.raises(RecipeError, match="base.yaml:8.*'sead'"):
        load_recipe(file)
    with pytest.raises(RecipeError, match="there is no recipe 'base.yaml'"):
        parse_recipe("extends: base.yaml\n")
