"""The site: its menu and its llms.txt lead to every page. `make docs` checks the links."""

import re
import runpy
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


LLMS = runpy.run_path(str(ROOT / "scripts" / "llms_txt.py"))


def pages_of_the_site():
    """Return the pages of the repository, and those that `make docs` makes."""
    docs = ROOT / "docs"
    return sorted(
        {str(page.relative_to(docs)) for page in docs.rglob("*.md")} | LLMS["MADE"].keys()
    )


def pages(entry):
    """Yield the pages of a menu, or of an entry of it."""
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from pages(inner)


def test_the_menu_leads_to_every_page_once():
    menu = sorted(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert menu == pages_of_the_site()


def test_llms_txt_leads_to_every_page_with_a_line_about_it():
    text = LLMS["llms_txt"]()
    lines = re.findall(r"^- \[(.+)\]\((\S+)\.html\): (.+)$", text, re.MULTILINE)
    assert sorted(f"{page}.md" for _, page, _ in lines) == pages_of_the_site()
    assert [title for title, _, line in lines if len(line) < 20] == []


def test_readme_links_to_files_that_are_there():
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / "README.md").read_text())
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_tests_that_concepts_name_are_there():
    named = re.findall(r"`((?:packages|tests)/[^`]+\.py)`", (ROOT / "docs/concepts.md").read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert len(named) > 9
