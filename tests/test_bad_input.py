"""Values that no recipe should hold: each is refused in a sentence, before anything is read, allocated or trained."""

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic.fields import FieldInfo

from hftransfer import api
from hftransfer.core import plugins
from hftransfer.core.errors import HFTransferError, RecipeError
from hftransfer.core.plugins import Section
from hftransfer.recipe import schema
from hftransfer.recipe.loader import parse_recipe
from hftransfer.recipe.training_arguments import RESERVED, training_fields
from hftransfer.recipe.training_ranges import RANGES, UNUSED

RECIPE = "task: text-classification\nmodel: {id: 'sample:minilm'}\ndata: {source: {name: sample, id: bbc_news}}\n"
ALIASES = "".join(
    f"{name}: &{name} {{a: *{before}, b: *{before}, c: *{before}}}\n"
    for before, name in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)


def refusal(*overrides: str, text: str = "") -> str:
    with pytest.raises(RecipeError) as error:
        parse_recipe(RECIPE + text, overrides=overrides)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("seed: !!int x", "'x' is no int"),
        ("seed: !!float x", "'x' is no float"),
        ("seed: !!bool x", "'x' is no bool"),
        ("seed: !!timestamp x", "tags such as '!timestamp'"),
        ("seed: !!binary aGk=", "tags such as '!binary'"),
        ("seed: !!python/object/apply:os.system [id]", "tags such as '!python/object/apply:os.system'"),
        (f"seed: {'9' * 5000}", "is no int"),
        (f"seed: {'9' * 400}", "too large"),
        ("training: {learning_rate: 1e999}", "too large"),
        ("training: &a {b: *a}", "holds itself"),
        ("training: &a [*a]", "holds itself"),
        (f"x: {'[' * 3000}{']' * 3000}", "nested more than"),
        (f"x: {'[' * 60}{']' * 60}", "nested more than"),
        (f"a: &a {{x: 1}}\n{ALIASES}", "more than 100,000 values"),
        ('x: "\\0"', "character"),
        ('x: "\\ud800"', "character"),
        ("? [x]\n: y", "not YAML"),
        (f"x: {'y' * 1_000_000}", "at most 1,000,000 characters"),
    ],
)
def test_yaml_that_no_recipe_needs_is_refused_with_its_line(text, part):
    message = refusal(text=text)
    assert part in message and message.startswith("recipe:") and len(message) < 300
    if "\n" not in text and len(text) < 10_000:
        assert "override " in refusal(f"x={text.partition(': ')[2] or text}")


def test_whole_numbers_are_read_as_in_yaml_1_2():
    assert parse_recipe(f"{RECIPE}seed: 010").seed == 10
    assert refusal("seed=1:30").endswith("got '1:30'")


@pytest.mark.parametrize(
    "override",
    [
        *("seed=true", "data.shots=true", "data.splits.validation=true", "export.max_drop=true", "data.max_rows=1e12"),
        *("data.splits.train=''", "data.splits.validation=''", "data.columns={text: ''}", "evaluation.metrics=['']"),
        *("task.separator=''", "model.id=''", "evaluation.resamples=1e12", "export.max_drop=1e308"),
        *("task.max_length=1e12", "data.num_proc=100000", "strategy={name: lora, r: 100000}", "task.focal_gamma=nan"),
        *("evaluation.confidence=nan", "export.max_drop=inf", "training.dataloader_num_workers=-1"),
        *("training.dataloader_num_workers=100000", "training.label_smoothing_factor=-1", "training.run_name=''"),
        *("training.label_smoothing_factor=1", "training.weight_decay=-1", "training.weight_decay=nan"),
        *("training.max_grad_norm=-1", "training.max_grad_norm=nan", "training.neftune_noise_alpha=nan"),
        *("training.logging_steps=-1", "training.save_steps=0", "training.eval_steps=-1", "training.max_steps=0"),
        *("training.save_total_limit=-1", "training.save_total_limit=true", "training.ddp_timeout=-1"),
        *(
            "training.accelerator_config=1",
            "training.optim=[1]",
            "training.report_to=[1]",
            "training.accelerator_config=[]",
        ),
        *(
            "training.gradient_checkpointing_kwargs=/dev/zero",
            "training.lr_scheduler_kwargs={num_cycles: nan}",
            "training.accelerator_config=/dev/zero",
        ),
        *(f"training.accelerator_config={'a' * 300}", f"training.accelerator_config={'a/' * 5000}"),
    ],
)
def test_a_value_that_cannot_be_meant_names_its_key(override):
    message = refusal(*(["export={format: onnx}"] if "export" in override else []), override)
    key, _, value = override.partition("=")
    assert message.startswith("command line: ") and (key in message or "strategy.r" in message) and len(message) < 400
    assert "got" in message or "empty" in message or "should be" in message, value


@pytest.mark.parametrize("key", sorted(UNUSED))
def test_a_training_argument_without_effect_names_what_to_use(key):
    assert f"instead: {UNUSED[key]}" in refusal(f"training.{key}=1")


def test_every_number_of_training_arguments_has_a_range():
    fields = training_fields()
    numbers = {
        key for key, annotation in fields.items() if "int" in annotation.split() or "float" in annotation.split()
    }
    assert numbers - set(RESERVED) - set(UNUSED) <= set(RANGES)


def _types(annotation: Any) -> set[Any]:
    return {annotation}.union(*map(_types, get_args(annotation)))


SECTIONS = [cls for cls in vars(schema).values() if isinstance(cls, type) and issubclass(cls, Section)]
PLUGINS = [plugins.load(kind, name) for kind in ("tasks", "strategies", "sources") for name in plugins.names(kind)]
# Inferred from the rows, or checked by a validator that knows more.
WITHOUT_BOUNDS = {
    "mean",
    "std",
    "pixel_range",
    "positive",
    "score_range",
    "threshold",
    "thresholds",
    "validation",
    "test",
}


@pytest.mark.parametrize("cls", [*SECTIONS, *PLUGINS])
def test_every_number_of_a_recipe_has_bounds(cls):
    for name, field in cls.model_fields.items():
        if {int, float} & _types(field.annotation) and name not in WITHOUT_BOUNDS:
            nested = [kind for kind in _types(field.annotation) if isinstance(kind, FieldInfo)]
            bounds = {type(entry).__name__ for info in (field, *nested) for entry in info.metadata}
            assert bounds & {"Ge", "Gt"} and bounds & {"Le", "Lt"}, f"{cls.__name__}.{name}"


def test_tokens_and_passwords_are_not_repeated():
    for override in ("training.learning_rate=hf_aBcDeFgHiJkLmNoPqRsT", "seed=https://me:secret@host/x"):
        message = refusal(override)
        assert "***" in message and "secret" not in message and "aBcD" not in message


LONG = "a" * 300
CHECKED = {
    **{f"model.id={name}": "there is no" for name in (f"./{LONG}", LONG, f"{LONG}/x")},
    f"model.processor=./{LONG}": "there is no",
    f"strategy={{name: distill, teacher: ./{LONG}}}": "there is no",
    f"data.source={{name: csv, train: {LONG}}}": "there is no file",
    f"data.source={{name: imagefolder, path: {LONG}}}": "there is no folder",
    "data.source={name: csv, train: /dev/zero}": "there is no file",
    "data.source={name: csv, train: []}": "data.source.train: it names no file",
    "data.source={name: imagefolder, path: /}": "'/' is the whole file system",
    "data.source={name: json, train: '/dev/zer*'}": "there is no file",
    "model.config={num_hidden_layers: 100000000}": "num_hidden_layers: at most 1,000",
    "model.config={hidden_size: -5}": "negative dimension",
    "training.dataloader_persistent_workers=true": "num_workers > 0",
    "training={gradient_checkpointing: true, gradient_checkpointing_kwargs: {x: 1}}": "gradient_checkpointing_kwargs",
    "training={optim: galore_adamw, optim_target_modules: [query]}": "galore_torch",
    "training.accelerator_config={split_batches: x, y: 1}": "training: ",
    "training={dataloader_drop_last: true, per_device_train_batch_size: 40}": "leaves out the only batch, of 33",
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    file = tmp_path_factory.mktemp("rows") / "rows.csv"
    file.write_text("text,label\n" + "".join(f"text {row},{'xy'[row % 2]}\n" for row in range(48)))
    return file


@pytest.mark.parametrize("override", CHECKED, ids=lambda override: override[:40])
def test_check_has_a_sentence_for(override, rows):
    with pytest.raises(HFTransferError) as error:
        api.check(parse_recipe(RECIPE, overrides=[f"data.source={{name: csv, train: {rows}}}", override]))
    assert CHECKED[override] in str(error.value)


@pytest.mark.parametrize("text", ["[]", "\ufeff[]", "{}", "[{}]"])
def test_a_json_file_without_rows_is_a_sentence(text, tmp_path):
    from hftransfer.sources.json import Json

    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(HFTransferError, match="there are no rows"):
        Json(train=str(tmp_path / "rows.json")).load()


def test_an_adapter_of_any_rank_is_counted_without_memory_for_it(rows):
    recipe = parse_recipe(RECIPE, overrides=[f"data.source={{name: csv, train: {rows}}}", "strategy=lora"])
    # 100 GB, if it were made.
    huge = recipe.model_copy(update={"strategy": recipe.strategy.model_copy(update={"r": 10**6})})
    assert api.check(huge).parameters["trainable"] > 2 * 10**10


def test_a_run_cannot_be_put_under_a_name_that_is_too_long():
    from accelerate import PartialState

    from hftransfer.core.run_folder import RunFolder

    with pytest.raises(RecipeError, match="is too long"):
        RunFolder(Path(LONG) / "x", PartialState(cpu=True)).check({}, resume=False, overwrite=False)
    with pytest.raises(RecipeError, match="is not a finished run"):
        api.finished_run(Path(LONG))
