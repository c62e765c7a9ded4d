"""Write docs/reference/errors.md: every error that phlo raises, read from its source.

`make docs` runs it before it builds the site; the page is no part of the repository.
An error is a call of a class of `phlo.errors`, or of one that derives from it, with a text. What
changes from case to case is shown as `...`.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "errors.md"
HEAD = """# Errors, by message

Every error of phlo, read from its source, by package and class. A class says what to do next: the
sentence below its name. `...` stands for what changes from case to case. An error also prints what
it got and what it expected. [Troubleshooting](../guide/troubleshooting.md) explains the most
frequent ones.
"""


@dataclass(frozen=True, order=True)
class Message:
    """One text of an error.

    Attributes:
        package: Distribution that raises it.
        error: Name of its class.
        text: The text.
        cure: Its hint, or else what it expected.
    """

    package: str
    error: str
    text: str
    cure: str


def modules(root: Path = ROOT) -> Iterator[tuple[str, ast.Module]]:
    """Yield each module of phlo with the name of its distribution."""
    for file in sorted(root.glob("packages/*/src/**/*.py")):
        package = file.relative_to(root).parts[1]
        if package != "phlo-testing":
            yield package, ast.parse(file.read_text())


def error_classes(parsed: list[tuple[str, ast.Module]]) -> dict[str, str]:
    """Return the classes that derive from `PhloError`, with the first line of their docstrings."""
    nodes = [n for _, module in parsed for n in ast.walk(module) if isinstance(n, ast.ClassDef)]
    errors, size = {"PhloError": "Root of all errors that phlo raises on purpose."}, 0
    while size < len(errors):
        size = len(errors)
        for node in nodes:
            if {base.id for base in node.bases if isinstance(base, ast.Name)} & errors.keys():
                errors[node.name] = (ast.get_docstring(node) or "").partition("\n")[0]
    return errors


def messages(parsed: list[tuple[str, ast.Module]], classes: Collection[str]) -> list[Message]:
    """Return the text of every error of `classes`, sorted; one that is only passed on is none."""
    texts = set()
    for package, module in parsed:
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and name_of(node.func) in classes and node.args:
                text = as_text(node.args[0])
                if text.strip(". "):
                    texts.add(Message(package, name_of(node.func), text, _cure(node)))
    return sorted(texts)


def name_of(function: ast.expr) -> str:
    """Return the name by which something is called, without its module."""
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _cure(call: ast.Call) -> str:
    """Return what an error tells to do, as far as it is known before."""
    keywords = {keyword.arg: as_text(keyword.value) for keyword in call.keywords}
    if keywords.get("hint", "").strip(". "):
        return keywords["hint"]
    expected = keywords.get("expected", "")
    return f"Expected: {expected}." if expected.strip(". ") else "The message names it."


def as_text(node: ast.expr) -> str:
    """Return the text that an expression makes, with `...` for what is not known before."""
    if isinstance(node, ast.Constant):
        return str(node.value) if node.value is not None else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(as_text(part) for part in node.values)
    if isinstance(node, ast.IfExp):
        return " / ".join(filter(None, [as_text(node.body), as_text(node.orelse)]))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return as_text(node.left) + as_text(node.right)
    return "..."


def page(found: list[Message], classes: Mapping[str, str]) -> str:
    """Return the text of the page."""
    lines, last = [HEAD], ("", "")
    for message in found:
        if message.package != last[0]:
            lines += [f"## {message.package}", ""]
        if (message.package, message.error) != last:
            lines += [f"### {message.error} ({message.package})", "", classes[message.error], ""]
            lines += ["| message | what to do |", "| --- | --- |"]
        last = (message.package, message.error)
        lines.append(f"| {_cell(message.text)} | {_cell(message.cure)} |")
    return _with_gaps(lines)


def _cell(text: str) -> str:
    text = " ".join(text.split()).replace("......", "...")
    for sign in "|*_<>[]":
        text = text.replace(sign, f"\\{sign}")
    # Within backticks the signs stand for themselves, but for the one that ends a cell.
    return re.sub(r"`[^`]+`", lambda code: re.sub(r"\\([^|])", r"\1", code[0]), text)


def _with_gaps(lines: list[str]) -> str:
    """Join lines, with an empty one where a table ends."""
    text = "\n".join(lines)
    return text.replace("|\n#", "|\n\n#") + "\n"


if __name__ == "__main__":
    PARSED = list(modules())
    CLASSES = error_classes(PARSED)
    PAGE.write_text(page(messages(PARSED, CLASSES), CLASSES))
