"""The site: its menu leads to every page. `make docs` checks the links."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def pages(entry):
    """Yield the pages of a menu, or of an entry of it."""
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from pages(inner)


def test_the_menu_leads_to_every_page_once():
    menu = sorted(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    docs = ROOT / "docs"
    assert menu == sorted(str(page.relative_to(docs)) for page in docs.rglob("*.md"))
