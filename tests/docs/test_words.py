"""Words that somebody who has nothing but this repository can look up."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = {".py", ".md", ".toml", ".yml", ".yaml", ".sql", ".sh", ""}
# An id of a requirement, such as the letter R with a number: no file here explains one.
IDENTIFIER = re.compile(r"\bR[0-9]{1,3}\b")


def texts() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [f for f in files if f.suffix in TEXTS and f.is_file()]


def test_no_file_cites_an_id_of_a_document_outside_the_repository():
    cited = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in texts()
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1)
        if IDENTIFIER.search(line)
    ]
    assert cited == []


def test_every_changelog_fragment_names_its_package_in_at_most_two_sentences():
    fragments = sorted((ROOT / "changelog.d").glob("*.md"))
    name = r"phlo-(all|core|iceberg|dlt|quality|dbt|publishing|superset|trino|cli|testing)"
    package = re.compile(rf"{name}(, {name})*: ")
    wrong = [
        f.name
        for f in fragments
        if not package.match(f.read_text()) or len(re.findall(r"[.!?](\s|$)", f.read_text())) > 2
    ]
    assert wrong == []
