"""Run the workflow, also after a run that was killed; `make` calls this script.

Every process of a run has the variable PIXELFLOW_RUN="PID[,PID]:FOLDER" in its environment. The run
is over when one of these processes ends: Snakemake, or the `make` that called it. FOLDER is the
project's folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import psutil

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / ".snakemake" / "build.lock"
PAPER, PAPER_SHA256 = ROOT / "paper" / "pixelflow.pdf", ROOT / "paper/build/pixelflow.sha256"
FOLDERS = [ROOT / name for name in (".snakemake", "data", "paper", "results")]
OUTPUTS = (
    "data/**/*",
    "paper/pixelflow.pdf",
    "results/*.json",
    "results/figures/*",
    "results/notebooks/*.ipynb",
    "results/pages/*.html",
)
LAST_BYTES = {".pdf": b"%%EOF", ".svg": b"</svg>", ".html": b"</html>"}  # of a complete file
COMPRESSED_STREAM = re.compile(
    rb"/FlateDecode(?:(?!endobj|stream).)*>>\s*stream\r?\n(.*?)endstream", re.DOTALL
)
SNAKEMAKE = [sys.executable, "-m", "snakemake"]


def is_alive(pid: int, started_by: float) -> bool:
    """Whether the process that had this id at that time still runs (ids are used again)."""
    try:
        process = psutil.Process(pid)
        return process.create_time() <= started_by and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_orphan(process: psutil.Process) -> bool:
    """Whether a process belongs to a killed run of this project."""
    pids, _, folder = process.environ().get("PIXELFLOW_RUN", "").partition(":")
    if folder != str(ROOT):
        return False
    started = process.create_time()
    return not all(is_alive(int(pid), started) for pid in pids.split(","))


def is_snakemake(process: psutil.Process) -> bool:
    """Whether a process is Snakemake, running in this project."""
    command = process.cmdline()
    if not command or not Path(command[0]).name.startswith("python"):
        return False
    named = any(Path(word).name == "snakemake" for word in command[1:4])
    return named and process.cwd() == str(ROOT) and process.pid != os.getpid()


def find_processes(test: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """The processes of this user that pass the test."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and test(process):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def kill_orphans() -> None:
    """Kill the processes that a killed run left behind, until none is left."""
    orphans = find_processes(is_orphan)
    for _ in range(6):
        if not orphans:
            return
        for process in orphans:
            print(f"killing process {process.pid}, which a killed run left behind", file=sys.stderr)
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()
        psutil.wait_procs(orphans, timeout=5)
        orphans = find_processes(is_orphan)
    sys.exit(
        f"Can't kill process {orphans[0].pid}, which a killed run of this project left behind. "
        "Kill it, then run again."
    )


def check_folders() -> None:
    """Stop when a folder can't be written to, because Snakemake would show only a traceback."""
    for folder in FOLDERS:
        try:
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(4096))
        except OSError as error:
            sys.exit(
                f"Can't write in {folder}: {error.strerror}. Check that it is a folder, that you "
                "may write in it, and that its disk is not full; then run again."
            )


def is_damaged(path: Path) -> bool:
    """Whether an output is incomplete or a broken link; Snakemake only looks whether it exists."""
    if not path.exists():
        return path.is_symlink()
    if path.suffix in (".json", ".ipynb"):
        try:
            json.loads(path.read_bytes())
        except ValueError:
            return True
    content = path.read_bytes() if path.suffix in LAST_BYTES else b""
    if not content.rstrip().endswith(LAST_BYTES.get(path.suffix, b"")):
        return True
    if path == PAPER and PAPER_SHA256.exists():
        return (
            hashlib.sha256(content).hexdigest() != PAPER_SHA256.read_text(errors="replace").strip()
        )
    return path.suffix == ".pdf" and is_broken_pdf(content)


def is_broken_pdf(content: bytes) -> bool:
    """Whether an object of a PDF is not closed, or a compressed stream fails its checksum."""
    pairs = ((rb"\d obj\b", rb"\bendobj\b"), (rb">>\s*stream\r?\n", rb"endstream\b"))
    if any(
        len(re.findall(begin, content)) != len(re.findall(end, content)) for begin, end in pairs
    ):
        return True
    for stream in COMPRESSED_STREAM.findall(content):
        unpacked = zlib.decompressobj()
        try:
            unpacked.decompress(stream)
        except zlib.error:
            return True
        if not unpacked.eof:
            return True
    return False


def delete_damaged() -> None:
    """Delete damaged outputs, so that this run builds them again."""
    for pattern in OUTPUTS:
        for path in filter(is_damaged, ROOT.glob(pattern)):
            print(f"{path.relative_to(ROOT)} is damaged; it is built again", file=sys.stderr)
            path.unlink()


def refuse(runs: list[psutil.Process]) -> NoReturn:
    """Stop, and say which other run is active."""
    which = f"process {runs[0].pid}" if runs else "it has just started"
    sys.exit(
        f"Another run of this project is active ({which}). This run changed nothing. "
        "Wait until the other one ends, or stop it."
    )


def run_marker() -> str:
    """The value of PIXELFLOW_RUN; Snakemake keeps our process id, because exec starts it."""
    parents = psutil.Process().parents()
    makes = [parent.pid for parent in parents if parent.name() in ("make", "gmake")]
    return f"{','.join(map(str, [*makes[:1], os.getpid()]))}:{ROOT}"


def main(arguments: list[str]) -> None:
    os.chdir(ROOT)
    kill_orphans()
    check_folders()
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        refuse(find_processes(is_snakemake))
    locked = any(LOCK.parent.glob("locks/*.lock"))  # read before we look for live runs
    if runs := find_processes(is_snakemake):
        refuse(runs)
    if locked:
        print("clearing the lock of a killed run", file=sys.stderr)
        if code := subprocess.call([*SNAKEMAKE, *arguments, "--unlock"]):
            sys.exit(code)
    delete_damaged()
    os.set_inheritable(lock, True)  # Snakemake keeps it locked; its jobs don't inherit it
    os.environ["PIXELFLOW_RUN"] = run_marker()
    os.execv(sys.executable, [*SNAKEMAKE, *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
