"""`SKILL.md`, which a coding agent follows, followed word for word; and the list of pages for language models."""

import json
import re
import shlex
from pathlib import Path

import _llms
import tiny

import hftransfer
from hftransfer.cli import main
from hftransfer.commands import _parser
from hftransfer.core import plugins
from hftransfer.recipe.yaml_reader import read_yaml

SKILL = Path(hftransfer.__file__).with_name("SKILL.md").read_text(encoding="utf-8")
# Enough to see that each step works.
SHORT = ["training.max_steps=2", "evaluation.baselines=[majority]", "evaluation.resamples=10", "export=null"]


def test_the_steps_lead_from_a_table_to_a_prediction(hub, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [f'"good {i}, a {i % 7}",{["praise", "complaint"][i % 2]}' for i in range(80)]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *rows]))
    bert = tiny.checkpoint(plugins.load("tasks", "text-classification")(), tmp_path / "bert")
    hub.add("sentence-transformers/all-MiniLM-L6-v2", {file.name: file.read_bytes() for file in bert.iterdir()})
    records = []
    for block in re.findall(r"```bash\n(.*?)```", SKILL, re.DOTALL):
        words = shlex.split(block)
        short = SHORT if words[1] == "run" else []
        assert main([*words[1:], *short]) == 0, block
        records.append(json.loads(capsys.readouterr().out))
    assert all(records) and len(records) == 5
    assert records[1]["task"] == "text-classification" and records[-1]["answers"][0]["label"] in ("praise", "complaint")


def test_every_command_that_it_names_is_one():
    front, _ = read_yaml(SKILL.split("---\n")[1], "SKILL.md")
    assert front["name"] == "hftransfer" and len(front["description"]) < 1024
    named = re.findall(r"`hftransfer ([^`]+)`", SKILL)
    assert len(named) >= 10
    for line in named:
        _, rest = _parser.parser().parse_known_args(shlex.split(line))
        assert all("=" in word for word in rest), line


def test_the_list_of_pages_is_that_of_the_site():
    assert _llms.PAGE.read_text(encoding="utf-8") == _llms.page(), "scripts/docs writes it"
