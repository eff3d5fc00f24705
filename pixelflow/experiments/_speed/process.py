"""A child process that answers lines of JSON, so that its crash or hang affects nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import Any


class NotMeasured(Exception):
    """Raised if something can't be timed; the message says why."""


class Process:
    """A running command that answers requests; both are lines of JSON.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    name : str
        The name of the program in errors.
    environment : mapping of str to str, optional
        Environment variables in addition to those of this process.

    Raises
    ------
    NotMeasured
        If the command can't be started.
    """

    def __init__(
        self, command: Sequence[str], name: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._log = tempfile.TemporaryFile("w+")
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                env={**os.environ, **(environment or {})},
            )
        except OSError as error:
            raise NotMeasured(f"{name} is {command[0]}: {error.strerror}") from error

    @property
    def running(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit code, or None while the process runs."""
        return self._process.poll()

    def ask(self, limit_s: float, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer; after `limit_s` seconds the process is killed.

        Raises
        ------
        NotMeasured
            If the answer is an error, or the process ends.
        """
        assert self._process.stdin and self._process.stdout
        late = threading.Timer(limit_s, self._process.kill)
        late.start()
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            in_time = late.is_alive()
            late.cancel()
        if not line:
            ended = self._how_it_ended()
            raise NotMeasured(ended if in_time else f"no answer in {limit_s:g} s")
        answer = json.loads(line)
        if "error" in answer:
            raise NotMeasured(answer["error"])
        return answer

    def close(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(BrokenPipeError):  # it may not have read all of its input
                file.close()  # pyright: ignore[reportOptionalMemberAccess]

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        last = (self._log.read().strip() or "it printed nothing").splitlines()[-1]
        return f"its process ended with code {code}: {last}"
