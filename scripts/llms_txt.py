"""Write site/llms.txt, the list of the documentation's pages for assistants (llmstxt.org).

Sections and titles are those of the menu in mkdocs.yml; the line of a page is its first sentence.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
MADE = {"reference/errors.md": "Every message of phlo's errors, with what to do about it."}
"""Pages that `make docs` makes, and what they are about."""
SHORTEST = 16
"""Letters of a sentence that is too short to say what a page is about."""


def llms_txt(root: Path = ROOT) -> str:
    """Return the text for the documentation of the repository in ``root``."""
    config = yaml.safe_load((root / "mkdocs.yml").read_text())
    lines = [f"# {config['site_name']}", "", f"> {config['site_description']}"]
    for section, entries in sections(config["nav"]):
        lines += ["", f"## {section}", ""]
        lines += [_line(title, page, root / "docs" / page) for title, page in entries]
    return "\n".join(lines) + "\n"


def sections(nav: list[dict[str, Any]]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each section of a menu with the title and file of its pages."""
    for entry in nav:
        for title, inside in entry.items():
            yield title, list(_pages(title, inside))


def _pages(title: str, inside: str | list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    if isinstance(inside, str):
        yield title, inside
        return
    for entry in inside:
        for name, deeper in entry.items():
            yield from _pages(name, deeper)


def _line(title: str, page: str, file: Path) -> str:
    about = MADE.get(page) or first_sentence(file.read_text())
    return f"- [{title}]({page.removesuffix('.md')}.html): {about}"


def first_sentence(text: str) -> str:
    """Return the first sentence of a page's prose that says something, without its marks."""
    text = re.sub(r"^```.*?^```|^<!--.*?-->|^!\[[^\]]*\]\([^)]*\)", "", text, flags=re.M | re.S)
    paragraphs = [" ".join(p.split()) for p in re.split(r"\n\s*\n", text)]
    prose = " ".join(p for p in paragraphs if p and p[0] not in "#|*-" and p[:6] != "Status")
    prose = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", prose)
    sentences = re.split(r"(?<=[.?!]) (?=[A-Z`])", prose)
    return next(sentence for sentence in sentences if len(sentence) > SHORTEST)


if __name__ == "__main__":
    (ROOT / "site" / "llms.txt").write_text(llms_txt())
