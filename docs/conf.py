"""The documentation as a site, built by `make docs`.

The same Markdown pages, at the same places, with the same links. The navigation is the list of
links in docs/index.md (and in docs/adr/index.md); a page that no list leads to fails the build.
"""

import posixpath
import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

project = "Framegate"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "version"
]
copyright = "the Framegate authors, Apache-2.0"

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/*.md",
    "docs/**/*.md",
    "firmware_profiles/*.md",
    "tests/vectors/README.md",
]
exclude_patterns = ["build", ".*", "**/__pycache__"]
myst_heading_anchors = 4
highlight_language = "none"
smartquotes = False

html_theme = "furo"
html_title = f"Framegate {version}"
html_extra_path = ["site"]
html_copy_source = html_show_sourcelink = html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}

LISTS = {"docs/index", "docs/adr/index"}
"""Pages whose links are the navigation."""
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)\.md\)")


def setup(app: Any) -> None:
    """Sphinx calls it."""
    app.connect("source-read", _navigation)


def _navigation(_app: Any, page: str, source: list[str]) -> None:
    """Add what Sphinx wants to know of the lists that people read."""
    if page not in LISTS:
        return
    folder, seen = posixpath.dirname(page), {page}
    for section in re.split(r"^(?=## )", source[0], flags=re.M):
        title = re.match(r"## (.+)", section)
        entries = []
        for words, target in _LINK.findall(section):
            name = posixpath.normpath(posixpath.join(folder, target))
            if name not in seen and not (page != "docs/index" and not name.startswith(folder)):
                seen.add(name)
                entries.append(
                    f"{words.strip('`')} </{name}>" if page == "docs/index" else f"/{name}"
                )
        if entries:
            caption = f":caption: {title[1]}\n" if title else ""
            source[0] += (
                "\n\n```{toctree}\n:hidden:\n" + caption + "\n" + "\n".join(entries) + "\n```\n"
            )
