"""The part of a page that a bench writes, between two marks."""

from collections.abc import Sequence
from pathlib import Path

_END = "<!-- to here -->\n"


def write_table(page: Path, bench: str, head: str, lines: Sequence[str]) -> None:
    """Put a table into a page in place of the one that `scripts/bench BENCH` wrote before."""
    begin = f"<!-- scripts/bench {bench} writes what follows -->\n"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(_END)[2]
    page.write_text(before + begin + "\n" + head + "\n".join(lines) + "\n\n" + _END + after, encoding="utf-8")
