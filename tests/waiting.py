"""Waiting for what another process does."""

import time


def wait_for(condition, seconds=60):
    """What the condition returns once it is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    return value
