"""The field's package in an environment of its own, for the timings; kept in the user's cache.

It writes three lines: the interpreter, empty where the package can't be had; what is installed, or
why nothing is; and the date. PIXELFLOW_RC_PYTHON names an interpreter to take instead.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import requires, version
from pathlib import Path

import platformdirs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pixelflow.files import written_whole

# What is installed: the field's package, and all that it imports in the versions that are here, so
# that both packages run on the same libraries.
FIELD = (
    "pixelflow-rc==0.3.0"
    " --hash=sha256:a030465932541b30fa31a0ddd0360b865c17c34e2fdf06d7674751378dd6f664"
)
IMPORTED = ("numpy", "scipy", "scikit-learn", "tqdm")
LOCK = Path(__file__).resolve().parents[2] / "requirements.lock"
INSTALL = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
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


def libraries() -> dict[str, str]:
    """The version here of each package that the field's imports, and of what those import."""
    found: dict[str, str] = {}
    waiting = list(IMPORTED)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found[name] = version(name)
            needed = map(Requirement, requires(name) or [])
            here = {"extra": ""}
            waiting += [r.name for r in needed if r.marker is None or r.marker.evaluate(here)]
    return found


def requirements() -> tuple[str, list[str]]:
    """What to install by its hashes, and the libraries whose version here the lock doesn't know."""
    lock, hashed, unknown = LOCK.read_text(encoding="utf-8"), [FIELD], []
    for name, number in sorted(libraries().items()):
        pin = f"{name}=={number}"
        entry = re.search(rf"^{re.escape(pin)} .*\\\n(?:    .*\n)+", lock, re.MULTILINE)
        if entry:
            hashed.append(entry[0].rstrip())
        else:
            unknown.append(pin)
    return "\n".join(hashed) + "\n", unknown


def install(python: Path, lock: int) -> None:
    """Install them: the field's package is never run unless its hash is right."""
    hashed, unknown = requirements()
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(hashed)
        file.flush()
        ask(str(python), *INSTALL, "--require-hashes", "-r", file.name, lock=lock)
    if unknown:
        ask(str(python), *INSTALL, "--prefer-binary", *unknown, lock=lock)


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
            install(part / "bin" / "python", lock)
            part.rename(folder)
    return folder / "bin" / "python"


def default_folder() -> Path:
    """One for each interpreter and set of versions."""
    hashed, unknown = requirements()
    key = hashlib.sha256(repr((sys.version, sys.base_prefix, hashed, unknown)).encode()).hexdigest()
    try:
        cache = Path(platformdirs.user_cache_dir("pixelflow")).expanduser()
    except RuntimeError as error:  # the user has no home
        raise NoBaselineError(str(error)) from error
    return cache / "baseline" / key[:16]


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
