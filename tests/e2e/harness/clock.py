"""Time, where time itself is what a test is about. Whatever can be waited for is waited for with process.wait_until."""

import time


def let_pass(seconds, what):
    """Nothing can be waited for: the test is about this time. `what` says what happens in it, or must not."""
    assert what
    time.sleep(max(0, seconds))


def at_any_moment(dice, most):
    """A fault comes at a moment that nothing announces: up to `most` seconds from now."""
    time.sleep(dice.uniform(0, most))


def pace(seconds):
    """Between two pieces of what a slow or regular sender sends."""
    time.sleep(max(0, seconds))


def looks(seconds, interval=0.02):
    """Yields for so many seconds, at least once: for what is looked at, or tried, again and again."""
    end = time.monotonic() + seconds
    while True:
        yield
        if time.monotonic() >= end:
            return
        time.sleep(interval)


def holds_for(seconds, condition, what):
    """What must not happen did not: `condition()` was true at each look."""
    for _ in looks(seconds):
        assert condition(), f"no longer: {what}"
