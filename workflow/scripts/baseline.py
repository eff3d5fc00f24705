"""The field's package in an environment of its own, for the timings; kept in the user's cache.

It writes three lines: the interpreter, empty where the package can't be had; what is installed, or
why nothing is; and the date. PIXELFLOW_RC_PYTHON names an interpreter to take instead.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import platformdirs

from pixelflow.files import written_whole

# The libraries in the versions that are here, so that both packages run on the same ones.
PINS = ["pixelflow-rc==0.3.0", *(f"{n}=={version(n)}" for n in ("numpy", "scipy", "scikit-learn"))]
INSTALL = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--prefer-binary"]
INSTALL += ["--retries", "1", "--timeout", "15"]  # where there is no network, it soon says so
LIMIT_S = 600
SHOW = """
from importlib.metadata import version
names = ("pixelflow-rc", "numpy", "scipy", "scikit-learn")
print(", ".join(f"{name} {version(name)}" for name in names))
"""


class NoBaselineError(Exception):
    """The field's package can't be had; the message says why."""


def ask(*command: str, lock: int | None = None) -> str:
    """What a command prints; it holds the lock too, which if we are killed lasts until it ends."""
    fds = () if lock is None else (lock,)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, check=True, pass_fds=fds
        )
    except subprocess.CalledProcessError as error:
        print(error.stdout, error.stderr, file=sys.stderr)
        lines = (error.stderr or error.stdout).strip().splitlines()
        errors = [line for line in lines if line.startswith("ERROR")]
        raise NoBaselineError((errors or lines or ["no message"])[-1]) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoBaselineError(str(error)) from error
    return done.stdout.strip()


def environment(folder: Path, python: str = sys.executable) -> Path:
    """The interpreter of the environment in `folder`, which is made if it isn't there.

    It is made beside its place and renamed when it is complete, so that one that was cut short is
    never taken for whole; a lock keeps two runs from making it at once.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f"{folder.name}.part")
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        lock = file.fileno()
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "bin" / "python").exists():  # also when what it links to is gone
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(part, ignore_errors=True)
            ask(python, "-m", "venv", str(part), lock=lock)
            ask(str(part / "bin" / "python"), *INSTALL, *PINS, lock=lock)
            part.rename(folder)
    return folder / "bin" / "python"


def default_folder() -> Path:
    """One for each interpreter and set of versions."""
    key = hashlib.sha256("\n".join([sys.version, sys.base_prefix, *PINS]).encode()).hexdigest()
    return Path(platformdirs.user_cache_dir("pixelflow")) / "baseline" / key[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description="The environment of the field's package.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--date", required=True, help="written into the file")
    arguments = parser.parse_args()
    given = os.environ.get("PIXELFLOW_RC_PYTHON")
    try:
        python = given or str(environment(default_folder()))
        found = ask(python, "-I", "-c", SHOW)
    except (NoBaselineError, OSError) as error:
        python, found = "", f"not measured: {error}".replace("\n", " ")
        print(f"The field's package can't be had, and its rows will say so: {error}")
    with written_whole(arguments.out) as temporary:
        temporary.write_text(f"{python}\n{found}\n{arguments.date}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
