"""`hftransfer update`: recipes of earlier versions, byte by byte, and what it leaves to `check`."""

import json
import stat

import pytest

from hftransfer import load_recipe, update
from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.recipe import catalog, changes
from hftransfer.recipe.schema import Data, Evaluation, Export
from hftransfer.recipe.sections import allowed_keys, section_name
from hftransfer.recipe.training_arguments import training_keys
from hftransfer.recipe.yaml_reader import read_yaml

HEAD = "task: text-classification\nmodel: {id: 'sample:minilm'}\ndata: {source: {name: sample, id: bbc_news}}\n"
# A recipe with all that a layout can be: indents, quotes, flow and block, comments on every kind of line.
OLD = """\
# Recognizes speech.   (two spaces)
task: {name: automatic-speech-recognition, vocabulary: "own"}  # of the checkpoint
model: {"model_name_or_path": x/y}
data:
    source: {name: csv, train: rows.csv}

    check_rows: all   # every row
strategy:
  name: few_shot
  head_epochs: 30   # enough
  'head_learning_rate': 0.1
  # how sharp
  temperature: 0.2
compress:
  - {name: prune, heads: 0.3}
  - name: prune
    heads: 0.5

training: {epochs: 3, lr: 2e-5}   # short
evaluation:
  "shifts": [noise]
  ? source
  : source: {name: csv, train: a.csv}
    check_rows: all
export: {
  operators: fitting, # not all
}"""
NEW = """\
# Recognizes speech.   (two spaces)
task: {name: automatic-speech-recognition, vocabulary: "checkpoint"}  # of the checkpoint
model: {"id": x/y}
data:
    source: {name: csv, train: rows.csv}

    check_rows: 0   # every row
strategy:
  name: few_shot
  # how sharp
  temperature: 0.2
compress:
  - {name: prune, attention_heads: 0.3}
  - name: prune
    attention_heads: 0.5

training: {num_train_epochs: 3, learning_rate: 2e-5}   # short
evaluation:
  "corruptions": [noise]
  ? source_task
  : source: {name: csv, train: a.csv}
    check_rows: 0
export: {
  operators: supported, # not all
}"""
# Two that earlier versions of the package had.
PRUNE = """\
# A tuned MiniLM without 30 % of its attention heads and of its feed-forward, smaller and faster after a short recovery.
#   scripts/run recipes/text/bbc_news-minilm-prune.yaml     (first bbc_news-minilm-full)
task: {name: text-classification, max_length: 128}
model: {id: runs/bbc_news-minilm-full}
data: {source: {name: sample, id: bbc_news}}
strategy: {name: prune, heads: 0.3, width: 0.3}
evaluation: {baselines: [majority]}
export: {format: onnx}
"""
DIGITS = """\
# Digits by other writers, 5 labels a class, a probe first and then everything; also under noise, blur and the like.
task: image-classification
model: {id: runs/mnist_sample-vit_tiny-scratch}
data:
  source: {name: sample, id: digits}
  splits: {validation: 200, test: 500}
strategy: lp_ft
evaluation:
  baselines: [majority, scratch, linear_probe, full]
  shifts: [noise, blur, contrast, jpeg]
export: {format: onnx}
"""


def _file(folder, text, name="recipe.yaml"):
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_all_but_the_changes_stays_byte_by_byte(ends, mark, tmp_path):
    file = _file(tmp_path, mark + OLD.replace("\n", ends))
    found = update(file, write=True)
    assert file.read_bytes() == (mark + NEW.replace("\n", ends)).encode()
    assert found.written and found.problem is None and "\r" not in found.diff
    assert [change.line for change in found.changes] == [2, 3, 7, 10, 11, 15, 17, 19, 19, 21, 22, 24, 26]
    assert load_recipe(file).evaluation.source_task.check_rows == 0
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [(PRUNE, "heads: 0.3", "attention_heads: 0.3"), (DIGITS, "shifts", "corruptions")],
    ids=["prune", "digits"],
)
def test_a_recipe_of_an_earlier_version_is_shown_and_then_written(text, old, new, tmp_path, capsys):
    file = _file(tmp_path, text)
    assert main(["check", str(file)]) == 2 and f"did you mean '{new.partition(':')[0]}'?" in capsys.readouterr().err
    assert main(["update", str(file)]) == 0
    printed = capsys.readouterr().out
    line = text[: text.index(old)].count("\n") + 1
    assert (
        printed.startswith(f"{file}:{line}: ") and "since 0.1.0\n" in printed and "--write replaces the file" in printed
    )
    changed = [it for it in printed.splitlines() if it.startswith(("+", "-")) and it[:3] not in ("+++", "---")]
    assert [it[0] for it in changed] == ["-", "+"] and changed[0].replace(old, new)[1:] == changed[1][1:]
    assert file.read_text() == text
    assert main(["update", str(file), "--write"]) == 0
    assert f"{file} is written" in capsys.readouterr().out and file.read_text() == text.replace(old, new)
    load_recipe(file)
    assert main(["update", str(file), "--write"]) == 0 and capsys.readouterr().out == f"{file} is up to date\n"


def test_what_ships_is_up_to_date():
    for name in catalog.packaged_recipes():
        found = update(name)
        assert not found.changes and found.problem is None, name


def _allowed(section):
    if section == "training":
        return training_keys()
    classes = {section_name(cls): cls for cls in (Data, Evaluation, Export)}
    return allowed_keys(classes[section] if section in classes else plugins.load(*section.split("/")))


@pytest.mark.parametrize("change", changes.CHANGES, ids=lambda change: f"{change.section}.{change.key}")
def test_every_change_leads_to_what_there_is(change):
    allowed = _allowed(change.section)
    of_transformers_4 = change.section == "training" and change.key in allowed
    if change.new_key is None or of_transformers_4:
        assert (change.key in allowed) == of_transformers_4
    else:
        assert change.new_key in allowed and (change.key == change.new_key or change.key not in allowed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("group_by_length: true", "train_sampling_strategy: group_by_length"),
        ("group_by_length: False", "train_sampling_strategy: random"),
        ("no_cuda: true", "use_cpu: true"),
        ("warmup_ratio: 0.1", "warmup_steps: 0.1"),
        # A single step, in the new key.
        ("warmup_ratio: 1", None),
        ("group_by_length: sometimes", None),
        ("{warmup_ratio: 0.1, warmup_steps: 5}", None),
        ("{num_epochs: 1, epochs: 2}", "{num_train_epochs: 1, epochs: 2}"),
    ],
)
def test_training_arguments_of_another_transformers(old, new, tmp_path):
    file = _file(tmp_path, f"{HEAD}training:\n  {old}\n")
    is_older = old.lstrip("{").partition(":")[0] in training_keys()
    update(file, write=True)
    assert file.read_text() == f"{HEAD}training:\n  {old if is_older or new is None else new}\n"


def test_what_cannot_be_mended_has_the_sentence_of_check(tmp_path, capsys):
    text = HEAD + "strategy: {name: lora, rank: 4, lr: 1}\nevaluation: {shifts: [typos], sead: 1}\nepochs: 3\n"
    file = _file(tmp_path, text)
    assert main(["update", str(file)]) == 2
    shown = capsys.readouterr()
    assert file.read_text() == text and "'strategy.rank' becomes 'strategy.r': another word for it" in shown.out
    assert main(["update", str(file), "--write"]) == 2
    capsys.readouterr()
    assert file.read_text() == text.replace("rank", "r").replace("shifts", "corruptions")
    assert main(["check", str(file)]) == 2
    said = capsys.readouterr().err
    assert shown.err == said and said.count("\n") == 3 and "did you mean 'training.num_train_epochs'?" in said
    # Nothing more to change, so nothing more is shown than the sentence.
    assert main(["update", str(file)]) == 2
    again = capsys.readouterr()
    assert again.err == said and again.out == ""
    assert main(["update", str(file), "--json"]) == 2
    record = json.loads(capsys.readouterr().out)
    assert record["changes"] == [] and not record["written"] and f"hftransfer: {record['problem']}\n" == said


LEFT = {
    "the only key of a section, which null would take away": "extends: few.yaml\nstrategy:\n  head_epochs: 3\n",
    "a key that shares its line": "strategy: {name: few_shot, # few\n  head_epochs: 3}\n",
    "a value over two lines": "export:\n  operators: \"fit\\\n    ting\"\n",
    "a value in a block": "export:\n  operators: |-\n    fitting\n",
    "a key next to its new name": "evaluation: {shifts: [typos], corruptions: [casing]}\n",
    "a value that another key shares": (
        "data:\n  source: {name: sample, id: bbc_news}\n  check_rows: &all all\n  drop: *all\n"
    ),
    "a key that an alias repeats where it means something else": (
        "evaluation: &all {shifts: [typos]}\nmodel: {id: 'sample:minilm', config: *all}\n"
    ),
    "what an alias names": "strategy:\n  name: few_shot\n  head_epochs: &three 3\n  temperature: *three\n",
    "keys that are not the package's": "model: {id: x/y, config: {shifts: 1, heads: 2, lr: 3}}\n",
    "a section of a plug-in that there is not": "strategy: {name: nothing, heads: 0.5}\n",
}  # fmt: skip


@pytest.mark.parametrize("case", LEFT)
def test_what_an_edit_would_damage_is_left(case, tmp_path):
    _file(tmp_path, "strategy: {name: few_shot, temperature: 0.2}\n", "few.yaml")
    part = LEFT[case]
    text = part + "".join(line for line in HEAD.splitlines(keepends=True) if line.partition(":")[0] + ":" not in part)
    file = _file(tmp_path, text)
    found = update(file, write=True)
    assert file.read_text() == text and not found.changes and not found.written
    assert (found.problem is None) == case.startswith("keys that are not")


def test_an_alias_is_changed_where_it_is_right_everywhere(tmp_path):
    text = f"{HEAD}compress:\n  - &less {{name: prune, heads: 0.5}}\n  - *less\n  - {{<<: *less, heads: 0.2}}\n"
    file = _file(tmp_path, text)
    assert len(update(file, write=True).changes) == 2
    assert file.read_text() == text.replace("heads", "attention_heads")
    assert [step.attention_heads for step in load_recipe(file).compress] == [0.5, 0.5, 0.2]


def test_the_plug_in_of_a_recipe_that_is_extended_names_the_keys(tmp_path):
    _file(tmp_path, HEAD + "strategy: {name: prune, attention_heads: 0.2}\n", "base.yaml")
    file = _file(tmp_path, "extends: base.yaml\nstrategy: {heads: 0.5}\n")
    assert update(file, write=True).problem is None
    assert file.read_text() == "extends: base.yaml\nstrategy: {attention_heads: 0.5}\n"
    base = _file(tmp_path, HEAD + "evaluation: {shifts: [typos]}\n", "base.yaml")
    # The other file is left, and named.
    assert f"{base}:4: unknown key 'evaluation.shifts'" in update(_file(tmp_path, "extends: base.yaml\n")).problem


def test_the_record_of_an_old_run_is_updated_in_its_directory(tmp_path):
    recipe = load_recipe("quickstart", ["strategy=few_shot", "export={}"]).model_dump()
    recipe["strategy"] |= {"head_epochs": 100.0, "head_learning_rate": 0.01}
    recipe["export"]["operators"] = "fitting"
    recipe["evaluation"]["shifts"] = recipe["evaluation"].pop("corruptions")
    from hftransfer.core.yaml_writer import dump_yaml

    file = _file(tmp_path, dump_yaml(recipe))
    assert len(update(tmp_path, write=True).changes) == 4
    expected = load_recipe("quickstart", ["strategy=few_shot", "export={}"]).model_dump()
    assert load_recipe(file).model_dump() == expected
    assert set(read_yaml(file.read_text(), "record")[0]["strategy"]) == {"name", "temperature"}


def test_a_link_stays_one_and_rights_stay(tmp_path):
    file = _file(tmp_path, HEAD + "evaluation: {shifts: [typos]}\n", "there.yaml")
    file.chmod(0o640)
    link = tmp_path / "here.yaml"
    link.symlink_to(file)
    update(link, write=True)
    assert link.is_symlink() and "corruptions" in file.read_text() and stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"task: [", "this is not YAML"),
        (b"- a\n", "a recipe is a mapping"),
        (b"", "a recipe is a mapping"),
        (b"task: \xff\n", "cannot be read as UTF-8 text"),
        (b"extends: none.yaml\n", "there is no recipe"),
        (b"evaluation: {shifts: [a]}\nevaluation: 1\n", "written twice"),
    ],
)
def test_what_is_no_recipe_gets_a_sentence_and_stays(content, said, tmp_path, capsys):
    file = _file(tmp_path, content)
    assert main(["update", str(file), "--write"]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and file.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hub:user/name", "is no file of this machine"),
        ("https://example.org/a.yaml", "is no file of this machine"),
        ("nowhere.yaml", "there is no recipe file 'nowhere.yaml'"),
        ("/dev/zero", "there is no recipe '/dev/zero'"),
        (".", "is a directory; a recipe is a file"),
    ],
)
def test_what_is_no_file_gets_a_sentence(name, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=said):
        update(name)


def test_a_token_in_a_recipe_is_not_shown(tmp_path, capsys):
    text = f"# hf_abcdefghijklmnopqrst\n{HEAD}hub: {{repo: a/b}}\nevaluation: {{shifts: [typos]}}\n"
    assert main(["update", str(_file(tmp_path, text))]) == 0
    assert "hf_abc" not in (printed := capsys.readouterr().out) and "# hf_***" not in printed or "***" in printed
