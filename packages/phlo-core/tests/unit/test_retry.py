"""A publish whose table moved is run again, and no other error is."""

import pytest
import tenacity
from phlo.errors import AuditError, MovedHeadError, UnknownCommitError
from phlo.retry import retry_on_moved_head


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda _: None)


class Publish:
    """Raises one error after the other, then succeeds."""

    def __init__(self, *errors):
        self.errors, self.calls = list(errors), 0

    def __call__(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


def test_it_is_run_until_the_head_stands_still():
    publish = Publish(MovedHeadError("one"), MovedHeadError("two"))

    retry_on_moved_head(publish, 3)

    assert publish.calls == 3


def test_the_last_moved_head_is_raised_as_it_is():
    publish = Publish(*[MovedHeadError(name) for name in ("one", "two", "three")])

    with pytest.raises(MovedHeadError, match="two"):
        retry_on_moved_head(publish, 2)

    assert publish.calls == 2


@pytest.mark.parametrize(
    "error", [AuditError("bad rows"), UnknownCommitError("lost"), OSError("disk"), KeyError("id")]
)
def test_any_other_error_ends_it_at_once(error):
    publish = Publish(error)

    with pytest.raises(type(error)) as caught:
        retry_on_moved_head(publish, 5)

    assert (caught.value, publish.calls) == (error, 1)


def test_what_may_not_be_repeated_is_not():
    answers = [True, False]
    publish = Publish(MovedHeadError("one"), MovedHeadError("two"), MovedHeadError("three"))

    with pytest.raises(MovedHeadError, match="two"):
        retry_on_moved_head(publish, 5, can_retry=lambda: answers.pop(0))

    assert (publish.calls, answers) == (2, [])


def test_it_is_not_asked_whether_to_repeat_what_succeeded():
    retry_on_moved_head(Publish(), 5, can_retry=lambda: pytest.fail("was asked"))
