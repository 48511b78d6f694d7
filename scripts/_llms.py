"""docs/llms.txt (https://llmstxt.org): the pages of the site with what each is about; made by `scripts/docs`."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "llms.txt"
_HEAD = """# hftransfer

> Transfer learning with Hugging Face models by one YAML recipe, for text, images and speech: check, adapt (fine-tuning,
> LoRA, linear probe, few-shot, distillation), score against strong baselines, compress, export (ONNX, OpenVINO),
> document, push to the Hub.

A wheel has `hftransfer/SKILL.md`, which tells a coding agent how to use the commands. Every command takes `--json`.
"""
# Pages that files outside of docs/ are made of.
_ELSEWHERE = {"contributing.md": "CONTRIBUTING.md", "recipes.md": "recipes/README.md"}


class _Loader(yaml.SafeLoader):
    """With tags of Python, which the settings of mkdocs may have, as nothing."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda _loader, _suffix, _node: None)


def page() -> str:
    """The whole file."""
    settings = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), _Loader)
    sections: dict[str, list[str]] = {"Start": []}
    for entry in settings["nav"]:
        title, value = next(iter(entry.items())) if isinstance(entry, dict) else ("", entry)
        names = value if isinstance(value, list) else [value]
        sections.setdefault(title if isinstance(value, list) else "Start", []).extend(map(_name, names))
    parts = [f"## {title}\n\n" + "\n".join(_line(name) for name in names) for title, names in sections.items()]
    return "\n\n".join([_HEAD.rstrip(), *parts]) + "\n"


def _name(entry: Any) -> str:
    """The file of an entry, with a title of its own or without."""
    return str(next(iter(entry.values())) if isinstance(entry, dict) else entry)


def _line(name: str) -> str:
    text = (ROOT / _ELSEWHERE.get(name, f"docs/{name}")).read_text(encoding="utf-8")
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    assert title is not None, name
    # The first paragraph that is prose, its first sentence.
    paragraphs = (" ".join(it.split()) for it in text.split("\n\n"))
    prose = next(it for it in paragraphs if it and it[0].isalpha())
    sentence = re.split(r"(?<=[.?])\s", re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", prose))[0].rstrip(":")
    return f"- [{title[1]}]({name}): {sentence}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
