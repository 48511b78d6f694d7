"""hftransfer doctor."""

import argparse
import sys
from typing import TYPE_CHECKING

from hftransfer.core.console import is_quiet, styled

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands
    from hftransfer.core.installation import Installation


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    return commands.add_parser("doctor", help="show what is installed and found here, and the command for what is not")


def run(args: argparse.Namespace) -> int:
    """Print versions, extras, caches, token and accelerators; 2 where a required package is missing."""
    from hftransfer.core.errors import MissingExtraError
    from hftransfer.core.installation import installation
    from hftransfer.exporters import _optimum

    if not is_quiet():
        print("looking for accelerators by importing torch ...", file=sys.stderr, flush=True)
    try:
        optimum = _optimum.python()
    except MissingExtraError:
        optimum = None
    found = installation(optimum)
    args.record = found
    if not args.json:
        print(_text(found))
    return 2 if any(extra.name == "required" and extra.lacks for extra in found.extras) else 0


def _text(found: "Installation") -> str:
    missing = "none: exports of models that generate need it: hftransfer setup-optimum"
    lines = [_heading("Versions"), *_table({**found.versions, "lane": found.lane})]
    lines += [_heading("Extras"), *_table({extra.name: _state(extra.lacks, extra.command) for extra in found.extras})]
    lines += [_heading("Optimum"), f"  {found.optimum or missing}"]
    lines += [_heading("Hub"), *_table({"token": _token(found), "network": _network(found)})]
    caches = {cache.name: f"{_gigabytes(cache.bytes)} in {cache.path}" for cache in found.caches}
    lines += [_heading("Disk"), *_table({**caches, "free here": _gigabytes(found.free_bytes)})]
    accelerators = "; ".join(found.accelerators) or "none: trained on the processor"
    memory = {"processor": found.processor, "memory": _gigabytes(found.memory_bytes), "accelerators": accelerators}
    return "\n".join([*lines, _heading("Hardware"), *_table(memory)])


def _heading(text: str) -> str:
    return styled(f"{text}:", "bold")


def _table(entries: dict[str, str]) -> list[str]:
    width = max(map(len, entries))
    return [f"  {name:<{width}}  {value}" for name, value in entries.items()]


def _state(lacks: list[str], command: str | None) -> str:
    return f"lacks {', '.join(lacks)}: {command}" if lacks else "installed"


def _token(found: "Installation") -> str:
    return (
        f"from {found.token}" if found.token else "none: hf auth login (needed to push, and for private repositories)"
    )


def _network(found: "Installation") -> str:
    return "HF_HUB_OFFLINE: only what is in the cache" if found.offline else "used where the cache lacks something"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
