"""A hook of mkdocs: pages from files outside of docs/, and links that work in the repository and on the site."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
# File in the repository -> page of the site.
_PAGES = {"CONTRIBUTING.md": "contributing.md", "recipes/README.md": "recipes.md", "README.md": "index.md"}
_GENERATED = ("CONTRIBUTING.md", "recipes/README.md")
_LINK = re.compile(r"(?<!!)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are files of the repository."""
    for source in _GENERATED:
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, _PAGES[source], content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_kwargs: Any) -> str:
    """The page with links to pages of the site, and to the repository for all other files."""
    uri = page.file.src_uri
    source = next((source for source in _GENERATED if _PAGES[source] == uri), f"docs/{uri}")

    def link(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path not in _PAGES and not path.startswith("docs/"):
            kind = "tree" if (ROOT / path).is_dir() else "blob"
            return f"]({config.repo_url}/{kind}/main/{path}{anchor})"
        # The front page has no sections of the README.
        anchor = "" if path == "README.md" else anchor
        site = _PAGES.get(path) or path.removeprefix("docs/")
        return f"]({posixpath.relpath(site, posixpath.dirname(uri) or '.')}{anchor})"

    return _LINK.sub(link, markdown)
