"""Run a page as a reader would: write its files, run its commands, compare what they print.

A block whose first line names a file (``# workflows/...``), or whose fence does
(``title="data/2025-01-15.csv"``), is written there when its turn comes. Shell blocks are run line
by line; a ``text`` block right below one is what its commands print, in the order of the page.
Steps that a reader need not see stand in a comment, ``<!-- run: COMMAND -->``.

``WRITE_DOCS=1`` writes what is printed into the page instead of comparing it.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

STEP = re.compile(
    r"^<!-- run: (?P<hidden>.*?) -->$"
    r'|^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?[^\n]*\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
FILE = re.compile(r"^(?:#|--) ((?:workflows|tests|data)/\S+|\.env|\S+\.(?:service|timer))$", re.M)
NOT_RUN = (
    "make build",
    "mkdir ~",
    "pip ",
    "python -m venv",
    "source ",
    "phlo dev",
    "phlo report --open",
    "sudo ",
)
PRELOAD = ["phlo_cli.location", "phlo_cli.run", "phlo_dlt.step", "phlo_iceberg.store"]
RUN_ID = re.compile(r"\b[0-9a-f]{8}\b(?!-)")
CHANGING = [  # what differs from run to run
    (re.compile(r"\b\d+(\.\d+)? (s|kB|MB)\b"), r"N \2"),
    (
        re.compile(r"\b20(2[6-9]|[3-9]\d)-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|\+\d\d:\d\d)?"),
        "NOW",
    ),
    (re.compile(r"\b\d{8}T\d{12}\b"), "BACKFILL"),
    (re.compile(r"(?<![.\d])\d{16,19}\b"), "SNAPSHOT"),
    (re.compile(r"─+"), "─"),
    (re.compile(r" {2,}"), "  "),
]


@dataclass
class Walk:
    """A reader's shell: the folder where it stands, and what it printed last."""

    home: Path
    folder: Path
    printed: str = ""
    run_ids: dict[str, str] = field(default_factory=dict)
    """The run ids of the page, and those of this run."""

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def run(self, line: str) -> None:
        """Run one line of a shell block; its end must be what its comment says."""
        command, _, comment = line.partition("  # ")
        for shown, real in self.run_ids.items():
            command = command.replace(shown, real)
        if command.startswith("cd "):
            self.folder = (self.folder / command[3:].strip()).resolve()
        elif command.strip() and not command.startswith(NOT_RUN):
            code = re.search(r"exit code (\d+)", comment)
            self.execute(command, int(code[1]) if code else 0)

    def execute(self, command: str, wanted: int = 0) -> None:
        """Run a command, which must end with this exit code."""
        ended, output = self._execute(command)
        self.printed += output.replace(str(self.home), "/home/ann")
        assert ended == wanted, f"{command} ended with {ended}:\n{output}"

    def _execute(self, command: str) -> tuple[int, str]:
        words = shlex.split(command)
        if words[0] == "phlo" and not set(words) & {">", "|", "&&"} and words[1] != "test":
            return execute_phlo(self.folder, words[1:])
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=clean_environment() | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def compare(self, shown: str) -> None:
        """Check that what was printed is what the page shows."""
        self.learn_run_ids(shown)
        wanted, printed = self._lines(shown), self._lines(self.printed)
        pattern = "\n".join(r"(?:.*\n)*?.*" if w == "..." else _line(w) for w in wanted)
        if not re.fullmatch(pattern, "\n".join(printed)):
            assert printed == wanted  # shows where they differ

    def learn_run_ids(self, shown: str) -> None:
        """Note which run of this walk each new run id of the page stands for."""
        ids = [list(dict.fromkeys(RUN_ID.findall(t))) for t in (shown, self.printed)]
        new = [i for i in ids[0] if i not in self.run_ids]
        known = set(self.run_ids.values())
        self.run_ids |= dict(zip(new, [i for i in ids[1] if i not in known], strict=False))

    def _lines(self, text: str) -> list[str]:
        for pattern, sign in [(RUN_ID, "RUN"), *CHANGING]:
            text = pattern.sub(sign, text)
        return [line.strip() for line in text.strip().splitlines()]


def _line(wanted: str) -> str:
    return ".*".join(re.escape(part) for part in wanted.split("..."))


def walk(page: Path, home: Path, folder: Path) -> None:
    """Do what a page says, from top to bottom.

    Raises:
        AssertionError: A command ends otherwise, or prints other words, than the page says.
    """
    reader, text, new, copied = Walk(home, folder), page.read_text(), "", 0
    try:
        for step in STEP.finditer(text):
            is_below_block = text[: step.start()].endswith("```\n\n")
            printed = take_step(reader, step, is_below_block=is_below_block)
            if printed is not None:
                new += text[copied : step.start("text")] + printed
                copied = step.end("text")
    finally:
        if (reader.folder / ".phlo" / "postgres").exists():
            execute_phlo(reader.folder, ["postgres", "stop"])  # its process ends without atexit
        if os.environ.get("WRITE_DOCS"):
            page.write_text(new + text[copied:])


def take_step(reader: Walk, step: re.Match[str], *, is_below_block: bool) -> str | None:
    """Do one step of a page; returns the output to show, where the step shows one."""
    shown = step["text"] or ""
    if step["hidden"]:
        reader.run(step["hidden"])
    elif name := step["title"] or (FILE.match(shown) or ["", ""])[1]:
        reader.write(name, shown)
    elif step["language"] == "bash":
        reader.printed = ""
        for line in shown.replace("\\\n", " ").splitlines():
            reader.run(line)
    elif step["language"] == "python":
        reader.printed = ""
        reader.execute(f"python -c {shlex.quote(shown)}")
    elif step["language"] == "text" and is_below_block:
        return _compare_or_replace(reader, shown)
    return None


def _compare_or_replace(reader: Walk, shown: str) -> str:
    try:
        reader.compare(shown)
    except AssertionError:
        if not os.environ.get("WRITE_DOCS"):
            raise
        printed = "\n".join(line.rstrip() for line in reader.printed.strip().splitlines()) + "\n"
        for page_id, run_id in reader.run_ids.items():
            printed = printed.replace(run_id, page_id)
        reader.learn_run_ids(printed)
        return printed
    return shown


def clean_environment() -> dict[str, str]:
    """Return this process's environment without settings of another project."""
    others = ("PHLO_", "DAGSTER_", "DBT_", "DLT_")
    return {k: v for k, v in os.environ.items() if not k.startswith(others)} | {"COLUMNS": "100"}


def execute_phlo(folder: Path, words: list[str]) -> tuple[int, str]:
    """Run `phlo` in a process of its own that finds its libraries imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *PRELOAD])
    output = folder.parent / "output.txt"
    arguments = (str(folder), words, str(output), clean_environment())
    process = context.Process(target=_phlo, args=arguments)
    process.start()
    process.join()
    return process.exitcode or 0, output.read_text()


def _phlo(folder: str, words: list[str], output: str, environment: dict[str, str]) -> None:
    """Be the command `phlo`, in a new process."""
    with open(output, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["phlo", *words]
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    from phlo_cli.main import main

    main()
