"""Killing a process, or failing a call of it, where it touches disk or catalog.

The points are found by instrumenting the calls, not picked by hand: files opened for writing,
renamed and removed (Python's audit hooks), files read, written and deleted through pyiceberg, and
statements and commits of databases (SQLAlchemy's events). A run without a blow counts them; one run
per point then shows what a blow there leaves behind.
"""

from __future__ import annotations

import errno
import inspect
import multiprocessing
import os
import random
import signal
import sys
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any, NoReturn

from phlo_testing.processes import call_in_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext

    from sqlalchemy.pool import PoolProxiedConnection

_CHANGES = {
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.truncate",
    "os.link",
    "shutil.rmtree",
    "shutil.move",
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def kill() -> NoReturn:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nothing runs after SIGKILL")


def fill_disk() -> NoReturn:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def lose_database() -> NoReturn:
    """Fail as a database does whose connection broke."""
    from sqlalchemy.exc import OperationalError

    raise OperationalError("", None, Exception("the connection broke"))


@dataclass(frozen=True)
class _Blow:
    """What happens at a point; a kill while something is read shows nothing new."""

    on_files: Callable[[], NoReturn]
    on_databases: Callable[[], NoReturn]
    strikes_reads: bool


_KILL = _Blow(kill, kill, strikes_reads=False)
_FAULT = _Blow(fill_disk, lose_database, strikes_reads=True)


@dataclass
class _Points:
    """Counts touches, and strikes at one of them."""

    strike_at: int | None
    blow: _Blow
    names: list[str] = field(default_factory=list)
    is_armed: bool = False
    # Threads of one load touch files at the same time. A length read after an append could skip
    # a number then, and nothing would be struck; a counter gives each number to one thread.
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def touch(self, name: str, *, is_database: bool = False) -> None:
        if not self.is_armed:
            return
        number = next(self.numbers)
        self.names.append(name)
        if number == self.strike_at:
            strike = self.blow.on_databases if is_database else self.blow.on_files
            strike()

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CHANGES:
            self.touch(f"{event} {arguments[0]}")
        elif event == "open" and self._is_struck(arguments):
            self.touch(f"open {arguments[0]}")

    def _is_struck(self, arguments: tuple[Any, ...]) -> bool:
        """Return whether a file is opened to be written, or to read metadata of Iceberg."""
        path, _, flags = arguments
        is_metadata = str(path).endswith((".metadata.json", ".avro"))
        is_written = isinstance(flags, int) and bool(flags & _WRITING)
        return is_written or (is_metadata and self.blow.strikes_reads)


def kill_points(
    function: Callable[..., object],
    arguments: Sequence[object],
    *,
    preload: Sequence[str] = (),
    prepare: Callable[[], None],
    is_wanted: Callable[[str, str], bool] = lambda name, before: True,
    sample: int | None = None,
    seed: int | str = 0,
) -> Iterator[str]:
    """Run a function in a child process once per point, killed there by SIGKILL.

    Args:
        function: A function of a module; the child loads its file.
        arguments: Its arguments, picklable.
        preload: Modules that the children find imported.
        prepare: Called before every run, to lay out the same start.
        is_wanted: Whether to kill at a point, by its name and that of the point before.
        sample: Kill at so many of these points only, drawn at random; ``None``: at all of them.
        seed: Decides which points are drawn.

    Yields:
        What the child was about to do when it was killed; the caller then looks at what is left.
        The run that counts the points comes first and is not yielded.
    """

    def choose(names: list[str]) -> list[int]:
        pairs = enumerate(pairwise(["", *names]), start=1)
        numbers = [number for number, (before, name) in pairs if is_wanted(name, before)]
        if sample is None or sample >= len(numbers):
            return numbers
        return sorted(random.Random(seed).sample(numbers, sample))

    for name, outcome in _blows(function, arguments, preload, prepare, _KILL, choose):
        assert outcome is None, f"a killed child answered at {name}"
        yield name


def fault_points(
    function: Callable[..., object],
    arguments: Sequence[object],
    *,
    preload: Sequence[str] = (),
    prepare: Callable[[], None],
) -> Iterator[tuple[str, str]]:
    """Run a function in a child process once per point, where the call fails.

    Files fail as on a full disk, databases as by a broken connection; a commit fails both before
    and after the database has taken it.

    Args:
        function: As in :func:`kill_points`.
        arguments: As in :func:`kill_points`.
        preload: As in :func:`kill_points`.
        prepare: As in :func:`kill_points`.

    Yields:
        What failed, and what the function raised; the empty text where it came to its end all
        the same.
    """
    for name, outcome in _blows(function, arguments, preload, prepare, _FAULT):
        assert outcome is not None, f"the child died at {name}"
        yield name, outcome[1]


def _blows(
    function: Callable[..., object],
    arguments: Sequence[object],
    preload: Sequence[str],
    prepare: Callable[[], None],
    blow: _Blow,
    choose: Callable[[list[str]], Sequence[int]] = lambda names: range(1, len(names) + 1),
) -> Iterator[tuple[str, tuple[list[str], str] | None]]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*preload, __name__])
    prepare()
    counted = _run(context, function, arguments, None, blow)
    names, error = counted or ([], "it was killed")
    assert not error, f"the first run failed: {error}"
    assert names, "the function touches neither disk nor catalog"
    for number in choose(names):
        prepare()
        outcome = _run(context, function, arguments, number, blow)
        yield f"{number}/{len(names)}: {names[number - 1]}", outcome


def _run(
    context: ForkServerContext,
    function: Callable[..., object],
    arguments: Sequence[object],
    strike_at: int | None,
    blow: _Blow,
) -> tuple[list[str], str] | None:
    """Run a child; return the points it passed and its error, ``None`` if it was killed."""
    receiver, sender = context.Pipe(duplex=False)
    target = (inspect.getfile(function), function.__name__, tuple(arguments))
    process = context.Process(target=_child, args=(sender, strike_at, blow, *target))
    process.start()
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        answer = None
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise AssertionError(f"the child failed with exit code {process.exitcode}")
    return answer


def _child(
    sender: Connection,
    strike_at: int | None,
    blow: _Blow,
    file: str,
    name: str,
    arguments: tuple[object, ...],
) -> None:
    points = _Points(strike_at, blow)
    # The first run would write the bytecode of what it imports, and later runs would not: their
    # points would have other numbers than those that were counted.
    sys.dont_write_bytecode = True
    sys.addaudithook(points.audit)
    _watch_pyiceberg(points)
    _watch_databases(points)
    points.is_armed = True
    error = ""
    try:
        call_in_file(file, name, arguments)
    except Exception as exc:  # noqa: BLE001 - the caller looks at it
        error = f"{type(exc).__name__}: {exc}"
    points.is_armed = False
    sender.send((points.names, error))


def _watch_pyiceberg(points: _Points) -> None:
    try:
        from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
    except ImportError:
        return

    def watch(owner: type, method: str) -> None:
        original = getattr(owner, method)

        def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
            name = args[0] if args and isinstance(args[0], str) else getattr(self, "location", "")
            points.touch(f"{method} {name}")
            result = original(self, *args, **kwargs)
            points.touch(f"after {method} {name}")
            return result

        setattr(owner, method, watched)

    watch(PyArrowFile, "create")
    if points.blow.strikes_reads:
        watch(PyArrowFile, "open")
    watch(PyArrowFileIO, "delete")


def _watch_databases(points: _Points) -> None:
    try:
        from sqlalchemy import event
        from sqlalchemy.engine import Engine
        from sqlalchemy.engine.default import DefaultDialect
    except ImportError:
        return
    event.listen(
        Engine,
        "before_cursor_execute",
        lambda conn, cursor, statement, *rest: points.touch(
            f"sql {statement[:60]}", is_database=True
        ),
    )
    commit = DefaultDialect.do_commit

    def watched(self: DefaultDialect, dbapi_connection: PoolProxiedConnection) -> None:
        points.touch("commit", is_database=True)
        commit(self, dbapi_connection)
        points.touch("after commit", is_database=True)

    DefaultDialect.do_commit = watched
