"""Install the field's package, pixelflow-rc, into an environment of its own in the user's cache.

The experiment `speed` times it there. The output file has three lines: the path of the interpreter,
empty if the package can't be installed; the installed versions, or why there are none; and the
date. If PIXELFLOW_RC_PYTHON names an interpreter, that one is used and nothing is installed.
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

FIELD_PACKAGE = (
    "pixelflow-rc==0.3.0"
    " --hash=sha256:a030465932541b30fa31a0ddd0360b865c17c34e2fdf06d7674751378dd6f664"
)
# What it imports, in the versions of this environment, so that both packages run on the same ones.
IMPORTED = ("numpy", "scipy", "scikit-learn", "tqdm")
LOCK = Path(__file__).resolve().parents[2] / "requirements.lock"
INSTALL = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
INSTALL += ["--retries", "1", "--timeout", "15"]  # so that it fails soon without a network
LIMIT_S = 600
PRINT_VERSIONS = """
from importlib.metadata import version
names = ("pixelflow-rc", "numpy", "scipy", "scikit-learn")
print(", ".join(f"{name} {version(name)}" for name in names))
"""


class NoBaselineError(Exception):
    """The field's package can't be installed or run; the message says why."""


def output_of(*command: str, lock: int | None = None) -> str:
    """What a command prints. It inherits the lock and so keeps it if this process is killed."""
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


def library_versions() -> dict[str, str]:
    """The version here of each library that the field's package needs, directly or not."""
    found: dict[str, str] = {}
    waiting = list(IMPORTED)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found[name] = version(name)
            needed = map(Requirement, requires(name) or [])
            no_extra = {"extra": ""}
            waiting += [r.name for r in needed if r.marker is None or r.marker.evaluate(no_extra)]
    return found


def requirements() -> tuple[str, list[str]]:
    """Lines to install with hashes, and libraries that requirements.lock has no hash of."""
    locked, hashed, unlocked = LOCK.read_text(encoding="utf-8"), [FIELD_PACKAGE], []
    for name, number in sorted(library_versions().items()):
        pin = f"{name}=={number}"
        entry = re.search(rf"^{re.escape(pin)} .*\\\n(?:    .*\n)+", locked, re.MULTILINE)
        if entry:
            hashed.append(entry[0].rstrip())
        else:
            unlocked.append(pin)
    return "\n".join(hashed) + "\n", unlocked


def install(python: Path, lock: int) -> None:
    """Install the field's package, whose hash is checked, and its libraries."""
    hashed, unlocked = requirements()
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(hashed)
        file.flush()
        output_of(str(python), *INSTALL, "--require-hashes", "-r", file.name, lock=lock)
    if unlocked:
        output_of(str(python), *INSTALL, "--prefer-binary", *unlocked, lock=lock)


def environment(folder: Path, python: str = sys.executable) -> Path:
    """The interpreter of the environment in `folder`, which is created if needed.

    It is created as FOLDER.part and renamed when it is complete, so an incomplete one is never
    used. A lock keeps two runs from creating it at the same time.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f"{folder.name}.part")
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        lock = file.fileno()
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "bin" / "python").exists():  # false, too, if its link is broken
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(part, ignore_errors=True)
            output_of(python, "-m", "venv", str(part), lock=lock)
            install(part / "bin" / "python", lock)
            part.rename(folder)
    return folder / "bin" / "python"


def default_folder() -> Path:
    """The environment's folder; another one for each interpreter and set of versions."""
    hashed, unlocked = requirements()
    key = hashlib.sha256(
        repr((sys.version, sys.base_prefix, hashed, unlocked)).encode()
    ).hexdigest()
    try:
        cache = Path(platformdirs.user_cache_dir("pixelflow")).expanduser()
    except RuntimeError as error:  # the user has no home
        raise NoBaselineError(str(error)) from error
    return cache / "baseline" / key[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the file to write")
    parser.add_argument("--date", required=True, help="the third line of the file")
    arguments = parser.parse_args()
    given = os.environ.get("PIXELFLOW_RC_PYTHON")
    try:
        python = given or str(environment(default_folder()))
        found = output_of(python, "-I", "-c", PRINT_VERSIONS)
    except (NoBaselineError, OSError) as error:
        python, found = "", f"not measured: {error}".replace("\n", " ")
        print(
            f"The field's package can't be installed, so `speed` marks it as not measured: {error}"
        )
    with written_whole(arguments.out) as temporary:
        temporary.write_text(f"{python}\n{found}\n{arguments.date}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
