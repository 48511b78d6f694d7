"""`scripts/torture fuzz`: `hftransfer check` of recipes with every key set to every odd value, and at random."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from _torture_calls import Outcome, main, run_all

ROWS = "text,label\n" + "".join(f"{'good' if row % 2 else 'bad'} text {row},{'xy'[row % 2]}\n" for row in range(48))
BASES = {
    "text": "task: text-classification\nmodel: {id: 'sample:minilm'}\ndata:\n  source: {name: csv, train: rows.csv}\n"
    "strategy: {name: lora, r: 4}\n",
    "image": "task: image-classification\nmodel:\n  config: {model_type: vit, hidden_size: 16, num_hidden_layers: 1,\n"
    "    num_attention_heads: 2, intermediate_size: 16, image_size: 8, patch_size: 4}\n"
    "data: {source: {name: sample, id: digits}, max_rows: 60}\nstrategy: scratch\nexport: {format: onnx}\n",
}
LONG = "a" * 300
VALUES = [
    *("null", "true", "false", "0", "-1", "1", "2", "1.5", "-0.5", "1e12", "-1e12", "1e308", "1e999", "nan"),
    *(
        ".nan",
        "inf",
        "-inf",
        str(2**31),
        str(2**64),
        "9" * 400,
        "9" * 5000,
        "''",
        "' '",
        "x",
        "ä",
        "'a b'",
        LONG,
        f"./{LONG}",
    ),
    *(
        "a/" * 3000,
        "../x",
        "/dev/zero",
        "/dev/null",
        "/dev/z*",
        "/",
        ".",
        "..",
        "~",
        "~nobody/x",
        "hub:a/b",
        "sample:x",
    ),
    *("hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ", "https://me:secret@host/x", "[]", "{}", "[1]", "[x, y]", "['']", "{a: b}"),
    *("{name: x}", "{name: [1]}", "[null]", "{1: 2}", "[[[]]]", "!!int x", "!!timestamp x", "!!binary x", "!!set {a}"),
    *(
        "&a [*a]",
        "*a",
        '"\\0"',
        '"\\ud800"',
        '"\\e[31m"',
        "{{ x }}",
        "%s",
        "$(touch canary)",
        "`x`",
        "on",
        "2020-01-01",
    ),
    *("0x1f", "[" * 100, "[" * 3000, "{a: {a: {a: {a: 1}}}}", "!!python/object/apply:os.system ['touch canary']"),
]


def keys(section: Any, place: str = "") -> Iterator[str]:
    """The dotted keys of a section of recipes, and of the sections in it."""
    from hftransfer.core.plugins import Section

    for name, field in section.model_fields.items():
        dotted = f"{place}.{name}" if place else name
        yield dotted
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from keys(kind, dotted)


def all_keys() -> list[str]:
    """The keys of a recipe, of the plug-ins of the bases and of TrainingArguments."""
    from hftransfer.core import plugins
    from hftransfer.recipe.schema import Recipe
    from hftransfer.recipe.training_arguments import training_fields

    named = list(keys(Recipe))
    places = {"tasks": "task", "strategies": "strategy", "sources": "data.source"}
    named += [
        f"{place}={{name: {name}, {field}: VALUE}}"
        for kind, place in places.items()
        for name in plugins.names(kind)
        for field in plugins.load(kind, name).model_fields
    ]
    named += [f"task.{field}" for field in plugins.load("tasks", "text-classification").model_fields]
    return [*named, *(f"training.{field}" for field in training_fields()), "unknown", "data.unknown", "strategy.name"]


def override(key: str, value: str) -> str:
    """`key=value`, or the value within a whole plug-in."""
    return key.replace("VALUE", value) if "VALUE" in key else f"{key}={value}"


def mutated(text: str, draw: random.Random) -> str:
    """A recipe's text with some characters or lines changed."""
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(text))
        match draw.randrange(5):
            case 0:
                text = text[:place] + text[place + draw.randint(1, 9) :]
            case 1:
                text = text[:place] + draw.choice(VALUES)[:400] + text[place:]
            case 2:
                text = text[:place] + draw.choice("{}[]:,&*!|>'\"%@`#\t\n-? ") + text[place:]
            case 3:
                text = text[:place]
            case _:
                lines = text.split("\n")
                draw.shuffle(lines)
                text = "\n".join(lines)
        text = text or "x"
    return text


def commands(root: Path, calls: int, seed: int) -> list[tuple[str, list[str]]]:
    """So many commands, each with its name: half of them one key with one value, the others at random."""
    draw = random.Random(seed)
    files = {name: str(root / f"{name}.yaml") for name in BASES}
    named = all_keys()
    singles = [[files["text"], override(key, value)] for key, value in itertools.product(named, VALUES)]
    draw.shuffle(singles)
    chosen = [["check", *single] for single in singles[: calls * 3 // 4]]
    for number in range(calls - len(chosen)):
        name = draw.choice(sorted(BASES))
        if number % 2:
            pairs = [override(draw.choice(named), draw.choice(VALUES)) for _ in range(draw.randint(2, 3))]
            chosen.append(["check", files[name], *pairs])
        else:
            file = root / "recipes" / f"{number}.yaml"
            file.write_text(mutated(BASES[name], draw), encoding="utf-8", errors="replace")
            chosen.append(["check", str(file)])
    return [(f"{number}: {' '.join(command)[:300]}", command) for number, command in enumerate(chosen)]


def make(root: Path) -> None:
    """The data and recipes that are fuzzed."""
    (root / "recipes").mkdir()
    (root / "rows.csv").write_text(ROWS)
    for name, text in BASES.items():
        (root / f"{name}.yaml").write_text(text)


def fuzz(root: Path, calls: int, seed: int, *, processes: int, seconds: float) -> tuple[list[Outcome], int]:
    """The outcomes of the campaign in a sandbox, and the number of its commands."""
    from hftransfer import api

    make(root)
    asked = commands(root, calls, seed)
    # The forked processes begin with everything imported that a check imports.
    for name in BASES:
        api.check(root / f"{name}.yaml")
    before = {path.name for path in root.iterdir()}
    outcomes = run_all(asked, root, processes=processes, seconds=seconds)
    new = {path.name for path in root.iterdir()} - before - {f"outcomes-{number}.jsonl" for number in range(processes)}
    if new:
        outcomes.append(Outcome("the working directory", fault=f"written: {', '.join(sorted(new))}"))
    return outcomes, len(asked)


if __name__ == "__main__":
    sys.exit(main("fuzz", __doc__, fuzz, 2000))
