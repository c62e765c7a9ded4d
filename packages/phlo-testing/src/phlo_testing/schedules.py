"""Explore the schedules of several actors that share a catalog and files.

Each actor is a thread that runs the real code. One token goes round: an actor stops before it
touches the catalog's database or deletes a file, and a scheduler decides who goes on, so that one
schedule is a list of decisions that can be replayed. A depth-first search tries every decision: all
schedules with up to so many preemptions, and with so many faults among them. A fault strikes
the actor at the touch it stopped at: it dies, or the database's answer to its commit is lost.

Source: Musuvathi and Qadeer, "Iterative context bounding for systematic testing" (CHESS).
"""

from __future__ import annotations

import random
import sqlite3
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NoReturn
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Touch = Literal["begin", "read", "write", "commit", "delete"]
Fault = Literal["", "dies", "lands and dies", "answer lost, landed", "answer lost, not landed"]

_FAULTS: dict[Touch, tuple[Fault, ...]] = {
    "write": ("dies",),
    "commit": ("dies", "lands and dies", "answer lost, landed", "answer lost, not landed"),
    "delete": ("dies",),
}
"""Faults that make a difference at a touch: an actor that dies before it reads leaves what one
leaves that dies before its next write."""

_PATIENCE_SECONDS = 60


class ActorDiedError(BaseException):
    """Ends an actor as a killed process ends: none of its later touches reaches anything."""


class StuckError(Exception):
    """Every actor waits for a lock of the database that nobody holds."""


@dataclass(frozen=True)
class Option:
    """What a scheduler can decide: which actor goes on, and what strikes it.

    Attributes:
        actor: Name of the actor.
        touch: What it does next.
        fault: What strikes it there; the empty text: nothing.
        is_preemption: Whether the actor before it could have gone on.
    """

    actor: str
    touch: Touch
    fault: Fault = ""
    is_preemption: bool = False


@dataclass(frozen=True)
class Decision:
    """One decision of a run: the options it had, and the one that was taken."""

    options: tuple[Option, ...]
    taken: int

    @property
    def option(self) -> Option:
        """The option that was taken."""
        return self.options[self.taken]


@dataclass(frozen=True)
class Schedule:
    """One explored run.

    Attributes:
        decisions: All decisions, in order.
        error: What the trial raised; ``None`` where all was well.
    """

    decisions: tuple[Decision, ...]
    error: BaseException | None = None

    @property
    def prefix(self) -> tuple[int, ...]:
        """Numbers that replay it."""
        numbers = [decision.taken for decision in self.decisions]
        while numbers and not numbers[-1]:
            numbers.pop()
        return tuple(numbers)

    def __str__(self) -> str:
        steps = [decision.option for decision in self.decisions]
        return " | ".join(
            f"{s.actor}: {s.touch}{f' ({s.fault})' if s.fault else ''}" for s in steps
        )


@dataclass(frozen=True)
class Bounds:
    """How much of all schedules is explored.

    Attributes:
        preemptions: How often an actor may be stopped that could have gone on.
        faults: How many faults may strike in one schedule.
        sample: At most so many schedules, chosen at random; ``None``: all of them.
        seed: Chooses the sample.
    """

    preemptions: int = 2
    faults: int = 0
    sample: int | None = None
    seed: int = 0


def explore(trial: Callable[[Scheduler], None], bounds: Bounds) -> Iterator[Schedule]:
    """Run a trial under every schedule within bounds.

    Args:
        trial: Lays out a fresh start, lets the scheduler run actors, and raises where what they
            left is wrong.
        bounds: What is explored.
    """
    chance = random.Random(bounds.seed)
    prefixes: list[tuple[int, ...]] = [()]
    count = 0
    while prefixes and (bounds.sample is None or count < bounds.sample):
        chosen = len(prefixes) - 1 if bounds.sample is None else chance.randrange(len(prefixes))
        prefixes[chosen], prefixes[-1] = prefixes[-1], prefixes[chosen]
        schedule = replay(trial, prefix := prefixes.pop())
        prefixes += _branches(schedule.decisions, len(prefix), bounds)
        count += 1
        yield schedule


def replay(trial: Callable[[Scheduler], None], prefix: Sequence[int]) -> Schedule:
    """Run a trial once, by the decisions of a schedule found before."""
    scheduler = Scheduler(prefix)
    try:
        trial(scheduler)
    except Exception as exc:  # noqa: BLE001 - the caller looks at it
        return Schedule(tuple(scheduler.decisions), exc)
    return Schedule(tuple(scheduler.decisions))


def _branches(
    decisions: Sequence[Decision], begin: int, bounds: Bounds
) -> Iterator[tuple[int, ...]]:
    """Yield prefixes that decide otherwise at one decision of a run, after its own prefix."""
    preemptions = faults = 0
    for number, decision in enumerate(decisions):
        if number >= begin:
            for k, option in enumerate(decision.options[1:], start=1):
                if (
                    preemptions + option.is_preemption <= bounds.preemptions
                    and faults + bool(option.fault) <= bounds.faults
                ):
                    yield (*(d.taken for d in decisions[:number]), k)
        preemptions += decision.option.is_preemption
        faults += bool(decision.option.fault)


@dataclass
class _Actor:
    """An actor's state: where it stopped, or that it has ended."""

    name: str
    touch: Touch | None = None
    last_touch: Touch | None = None
    fault: Fault = ""
    waits_for_lock: bool = False
    is_dead: bool = False
    has_ended: bool = False
    error: BaseException | None = None

    @property
    def is_ready(self) -> bool:
        return self.touch is not None and not self.waits_for_lock and not self.has_ended


@dataclass
class Scheduler:
    """Hands the token on among the actors of one run.

    Attributes:
        prefix: Which options the first decisions take; later ones take the first.
        decisions: What was decided.
    """

    prefix: Sequence[int]
    decisions: list[Decision] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._actors: dict[str, _Actor] = {}
        self._turn: str | None = None
        self._moved = threading.Condition()
        self._last: str | None = None
        self._stuck = False

    def run(self, actors: Mapping[str, Callable[[], None]]) -> set[str]:
        """Run actors to their ends.

        Args:
            actors: Functions by name; in this order they go first.

        Returns:
            Names of those that died.

        Raises:
            Exception: What an actor raised.
            StuckError: They wait for one another.
        """
        self._actors = {name: _Actor(name) for name in actors}
        threads = [
            threading.Thread(target=self._run, args=(name, function), name=name, daemon=True)
            for name, function in actors.items()
        ]
        with _watched(self):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(_PATIENCE_SECONDS)
        if self._stuck or any(thread.is_alive() for thread in threads):
            raise StuckError(str(Schedule(tuple(self.decisions))))
        for actor in self._actors.values():
            if actor.error is not None:
                raise actor.error
        return {actor.name for actor in self._actors.values() if actor.is_dead}

    def _run(self, name: str, function: Callable[[], None]) -> None:
        actor = self._actors[name]
        try:
            self._stop(actor, "begin")
            function()
        except ActorDiedError:
            pass
        except BaseException as exc:  # noqa: BLE001 - raised again where all of them ended
            actor.error = exc
        with self._moved:
            actor.has_ended = True
            self._pass_on()

    @property
    def current(self) -> _Actor | None:
        """The actor whose thread this is."""
        return self._actors.get(threading.current_thread().name)

    def touch(self, touch: Touch) -> Fault:
        """Stop the calling actor before a touch until it is its turn.

        Returns:
            What strikes it. Threads that belong to no actor never stop.

        Raises:
            ActorDiedError: It is dead.
        """
        actor = self.current
        if actor is None:
            return ""
        if touch == "delete" and actor.last_touch == "delete" and not actor.is_dead:
            return ""  # what several deletes leave is seen after the last of them
        return self._stop(actor, touch)

    def die(self) -> NoReturn:
        """End the calling actor.

        Raises:
            ActorDiedError: Always.
        """
        actor = self.current
        assert actor is not None
        actor.is_dead = True
        raise ActorDiedError

    def wait_for_lock(self) -> None:
        """Stop the calling actor until a transaction of another one ended."""
        actor = self.current
        if actor is not None:
            actor.waits_for_lock = True
            self._stop(actor, "write", is_struck=False)

    def release_locks(self) -> None:
        """Let those that wait for a lock try again."""
        with self._moved:
            for actor in self._actors.values():
                actor.waits_for_lock = False

    def _stop(self, actor: _Actor, touch: Touch, *, is_struck: bool = True) -> Fault:
        if actor.is_dead:
            raise ActorDiedError
        with self._moved:
            actor.touch, actor.fault = touch, ""
            self._pass_on(is_struck=is_struck)
            while self._turn != actor.name:
                if self._stuck:
                    raise ActorDiedError
                self._moved.wait(_PATIENCE_SECONDS)
            actor.touch, actor.last_touch = None, touch
        if actor.fault == "dies":
            actor.is_dead = True
            raise ActorDiedError
        return actor.fault

    def _pass_on(self, *, is_struck: bool = True) -> None:
        """Decide who goes on, once every actor has stopped or ended."""
        self._turn = None
        living = [a for a in self._actors.values() if not a.has_ended]
        if living and all(a.touch is not None for a in living):
            ready = [a for a in living if a.is_ready]
            if ready:
                self._decide(ready, is_struck=is_struck)
            else:
                self._stuck = True
        self._moved.notify_all()

    def _decide(self, ready: Sequence[_Actor], *, is_struck: bool) -> None:
        goes_on = [a for a in ready if a.name == self._last]
        others = [a for a in ready if a.name != self._last]
        options = tuple(
            Option(a.name, a.touch, fault, is_preemption=bool(goes_on) and a not in goes_on)
            for a in (*goes_on, *others)
            if a.touch is not None
            for fault in ("", *(_FAULTS.get(a.touch, ()) if is_struck else ()))
        )
        number = len(self.decisions)
        taken = self.prefix[number] if number < len(self.prefix) else 0
        decision = Decision(options, taken)
        self.decisions.append(decision)
        self._turn = self._last = decision.option.actor
        self._actors[self._turn].fault = decision.option.fault


@contextmanager
def _watched(scheduler: Scheduler) -> Iterator[None]:
    """Let every touch of a database or of pyiceberg's files stop at the scheduler."""
    from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
    from sqlalchemy.engine.default import DefaultDialect

    with ExitStack() as patches:
        for owner, method, watch in (
            (DefaultDialect, "do_execute", _execute),
            (DefaultDialect, "do_commit", _commit),
            (DefaultDialect, "do_rollback", _roll_back),
            (PyArrowFileIO, "delete", _delete),
            (PyArrowFile, "create", _create),
        ):
            original = getattr(owner, method)
            patches.enter_context(patch.object(owner, method, watch(scheduler, original)))
        yield


def _execute(scheduler: Scheduler, original: Callable[..., Any]) -> Callable[..., Any]:
    def execute(self: Any, cursor: Any, statement: str, *rest: Any, **named: Any) -> Any:
        is_read = statement.lstrip().upper().startswith(("SELECT", "PRAGMA"))
        scheduler.touch("read" if is_read else "write")
        return _unlocked(scheduler, lambda: original(self, cursor, statement, *rest, **named))

    return execute


def _commit(scheduler: Scheduler, original: Callable[..., Any]) -> Callable[..., Any]:
    def commit(self: Any, connection: Any) -> None:
        if not connection.in_transaction:  # SQLite: nothing was written
            original(self, connection)
            return
        fault = scheduler.touch("commit")
        if fault != "answer lost, not landed":
            _unlocked(scheduler, lambda: original(self, connection))
            scheduler.release_locks()
        if fault == "lands and dies":
            scheduler.die()
        if fault:
            raise sqlite3.OperationalError("the connection broke")

    return commit


def _roll_back(scheduler: Scheduler, original: Callable[..., Any]) -> Callable[..., Any]:
    def roll_back(self: Any, connection: Any) -> None:
        original(self, connection)
        scheduler.release_locks()

    return roll_back


def _delete(scheduler: Scheduler, original: Callable[..., Any]) -> Callable[..., Any]:
    def delete(self: Any, location: Any) -> None:
        scheduler.touch("delete")
        original(self, location)

    return delete


def _create(scheduler: Scheduler, original: Callable[..., Any]) -> Callable[..., Any]:
    def create(self: Any, *args: Any, **named: Any) -> Any:
        # A new file has a name of its own: nobody else can see it, so nobody need be stopped.
        if scheduler.current is not None and scheduler.current.is_dead:
            raise ActorDiedError
        return original(self, *args, **named)

    return create


def _unlocked(scheduler: Scheduler, call: Callable[[], Any]) -> Any:
    """Call again where another actor's transaction holds SQLite's lock, when that has ended."""
    while True:
        try:
            return call()
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or scheduler.current is None:
                raise
        scheduler.wait_for_lock()
