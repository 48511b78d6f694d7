"""YAML that reads back as what was written, by readers of YAML 1.1 (PyYAML) and of YAML 1.2 (recipes)."""

from __future__ import annotations

import re

import yaml

from hftransfer.core.results import JsonObject


class _Dumper(yaml.SafeDumper):
    """Quotes what either version would read as a number: the label 2e5, the commit 7e12345, the name 0o17."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^(?:[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|0o[0-7]+)$"),
    list("-+.0123456789"),
)


def dump_yaml(tree: JsonObject) -> str:
    """A recipe, or a part of one, as the text of its file."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def dump_flow(value: object) -> str:
    """A value of a recipe on one line: `{name: csv, train: reviews.csv}`."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6, default_flow_style=True
    )
    return text.removesuffix("\n").removesuffix("\n...")
