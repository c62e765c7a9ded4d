"""Every code block of README and docs is run or checked.

A Python or YAML block whose first line names a file (``# workflows/...``) is written there; the
page's project is then loaded as Dagster would. Other Python blocks run one after the other, page by
page, in that project. Shell blocks: every `phlo` line must be a command with these options, every
`make` line a target; `phlo` commands within sentences must exist too. SQL blocks must parse in
Trino's dialect, unless they are dbt's. The tutorial and the how-to pages are run whole, and
compared with what they show, by ``test_walkthroughs.py``.
"""

import re
import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import sqlglot
import yaml

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted(
        p
        for p in (ROOT / "docs").rglob("*.md")
        if "adr" not in p.parts and p.name != "errors.md"  # made by `make docs`, without blocks
    ),
    *sorted((ROOT / "packages").glob("*/README.md")),
]
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"^(?:#|--) (workflows/\S+|tests/\S+)")


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        found = TARGET.match(self.text)
        return found.group(1) if found else None


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            str(page.relative_to(ROOT)),
            text[: m.start()].count("\n") + 1,
            m.group(2),
            textwrap.dedent(m.group(3)),
        )
        for m in FENCE.finditer(text)
    ]


def ids(block: Block) -> str:
    return f"{block.page}:{block.line}"


TEMPLATES = ROOT / "packages/phlo-cli/src/phlo_cli/templates"
MAKEFILES = "".join((f / "Makefile").read_text() for f in (ROOT, TEMPLATES / "stack"))
BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def of_language(*names: str) -> list[Block]:
    return [b for b in BLOCKS if b.language in names]


LOADED_PAGES = [
    p for p in PAGES if blocks_of(p) and p.name != "tutorial.md" and p.parent.name != "how-to"
]


@pytest.mark.parametrize("page", LOADED_PAGES, ids=lambda p: p.name)
def test_python_of_a_page_runs(page, phlo_project, monkeypatch):
    blocks = [b for b in blocks_of(page) if b.language in ("python", "yaml", "sql") and b.file]
    for block in blocks:
        phlo_project.write(block.file, block.text)
    loose = [b for b in blocks_of(page) if b.language == "python" and not b.file]
    monkeypatch.chdir(phlo_project.root)
    if any(b.file.startswith("workflows") for b in blocks):
        phlo_project.definitions()
    assert phlo_project.lake.store.list_tables() == []  # the catalog that the page may open
    namespace: dict = {"__name__": "page"}
    for block in loose:
        code = compile("\n" * block.line + block.text, str(page), "exec")
        exec(code, namespace)


def test_every_block_says_its_language():
    assert [ids(b) for b in BLOCKS if not b.language] == []


@pytest.mark.parametrize("block", of_language("yaml"), ids=ids)
def test_yaml_parses(block):
    assert yaml.safe_load(block.text) is not None


@pytest.mark.parametrize("block", [b for b in of_language("sql") if not b.file], ids=ids)
def test_sql_parses_in_trinos_dialect(block):
    if "{{" not in block.text:
        assert sqlglot.parse_one(block.text, read="trino") is not None


@pytest.mark.parametrize("block", of_language("bash", "sh", "console"), ids=ids)
def test_commands_exist(block):
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words[:1] == ["phlo"]:
            check_phlo(words[1:])
        elif words[:1] == ["make"]:
            assert re.search(rf"^{words[1]}:", MAKEFILES, re.MULTILINE), line


@pytest.mark.parametrize("block", of_language("ini"), ids=ids)
def test_commands_of_systemd_units_exist(block):
    for command in re.findall(r"^ExecStart=\S*/phlo (.+)$", block.text, re.MULTILINE):
        check_phlo(shlex.split(command))


INLINE = re.compile(r"(?<!`)`(phlo [^`]+)`(?!`)")


@pytest.mark.parametrize("page", [*PAGES, *sorted(TEMPLATES.rglob("*.md"))], ids=lambda p: p.name)
def test_commands_within_sentences_exist(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for command in INLINE.findall(text.replace("\n", " ")):
        words = shlex.split(command.replace("|", " ").replace("...", ""))
        if len(words) > 1 and not words[1].isupper():  # `phlo COMMAND --help` is any command
            check_phlo(words[1:])


def check_phlo(words: list[str]) -> None:
    from phlo_cli.main import build_cli

    command: click.Command = build_cli()
    context = click.Context(command, info_name="phlo")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, found, words = command.resolve_command(context, words)
        assert found is not None, name
        command, context = found, click.Context(found, info_name=name, parent=context)
    if command.context_settings.get("ignore_unknown_options"):  # they are another program's
        return
    options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    given = {w.split("=")[0] for w in words if w.startswith("--")}
    assert given <= options, f"{command.name} has no {given - options}"
