"""Killing a process where it touches disk or catalog.

The points are found by instrumenting the calls, not picked by hand: files opened for writing,
renamed and removed (Python's audit hooks), files written through pyiceberg, and statements and
commits of databases (SQLAlchemy's events). A run without a kill counts them; one run per point then
proves what a kill there leaves behind.
"""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from phlo_testing.processes import call_in_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext

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


@dataclass
class _Points:
    """Counts touches, and kills this process at one of them."""

    kill_at: int | None
    names: list[str] = field(default_factory=list)
    is_armed: bool = False

    def touch(self, name: str) -> None:
        if not self.is_armed:
            return
        self.names.append(name)
        if len(self.names) == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CHANGES:
            self.touch(f"{event} {arguments[0]}")
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            self.touch(f"open {arguments[0]}")


def kill_points(
    function: Callable[..., object],
    arguments: Sequence[object],
    *,
    preload: Sequence[str] = (),
    prepare: Callable[[], None],
) -> Iterator[str]:
    """Run a function in a child process once per point, killed there by SIGKILL.

    Args:
        function: A function of a module; the child loads its file.
        arguments: Its arguments, picklable.
        preload: Modules that the children find imported.
        prepare: Called before every run, to lay out the same start.

    Yields:
        What the child was about to do when it was killed; the caller then looks at what is left.
        The run that counts the points comes first and is not yielded.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*preload, __name__])
    prepare()
    names = _run(context, function, arguments, None)
    assert names, "the function touches neither disk nor catalog"  # noqa: S101 - a test's own
    for number, name in enumerate(names, start=1):
        prepare()
        left = _run(context, function, arguments, number)
        assert left is None, f"point {number} was not reached: {name}"  # noqa: S101
        yield f"{number}/{len(names)}: {name}"


def _run(
    context: ForkServerContext,
    function: Callable[..., object],
    arguments: Sequence[object],
    kill_at: int | None,
) -> list[str] | None:
    receiver, sender = context.Pipe(duplex=False)
    target = (inspect.getfile(function), function.__name__, tuple(arguments))
    process = context.Process(target=_child, args=(sender, kill_at, *target))
    process.start()
    sender.close()
    try:
        names = receiver.recv()
    except EOFError:
        names = None
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise AssertionError(f"the child failed with exit code {process.exitcode}")
    return names


def _child(
    sender: Connection,
    kill_at: int | None,
    file: str,
    name: str,
    arguments: tuple[object, ...],
) -> None:
    points = _Points(kill_at)
    sys.addaudithook(points.audit)
    _watch_pyiceberg(points)
    _watch_databases(points)
    points.is_armed = True
    call_in_file(file, name, arguments)
    points.is_armed = False
    sender.send(points.names)


def _watch_pyiceberg(points: _Points) -> None:
    try:
        from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
    except ImportError:
        return

    def before(owner: type, method: str) -> None:
        original = getattr(owner, method)

        def watched(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            name = args[0] if args and isinstance(args[0], str) else getattr(self, "location", "")
            points.touch(f"{method} {name}")
            result = original(self, *args, **kwargs)
            points.touch(f"after {method} {name}")
            return result

        setattr(owner, method, watched)

    before(PyArrowFile, "create")
    before(PyArrowFileIO, "delete")


def _watch_databases(points: _Points) -> None:
    try:
        from sqlalchemy import event
        from sqlalchemy.engine import Engine
    except ImportError:
        return
    event.listen(
        Engine,
        "before_cursor_execute",
        lambda conn, cursor, statement, *rest: points.touch(f"sql {statement[:60]}"),
    )
    event.listen(Engine, "commit", lambda conn: points.touch("commit"))
