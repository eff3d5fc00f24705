"""Run the workflow, taking up a run that was killed at any moment; this is what `make` calls.

A run's processes carry PIXELFLOW_RUN="PID[,PID]:FOLDER" in their environment: the processes whose
end is the end of the run (Snakemake, and the `make` that called it) and the project's folder.
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
PAPER, PAPER_SUM = ROOT / "paper" / "pixelflow.pdf", ROOT / "paper/build/pixelflow.sha256"
FOLDERS = [ROOT / name for name in (".snakemake", "data", "paper", "results")]
OUTPUTS = (
    "data/**/*",
    "paper/pixelflow.pdf",
    "results/*.json",
    "results/figures/*",
    "results/notebooks/*.ipynb",
    "results/pages/*.html",
)
ENDS = {".pdf": b"%%EOF", ".svg": b"</svg>", ".html": b"</html>"}  # what a whole file ends with
COMPRESSED = re.compile(
    rb"/FlateDecode(?:(?!endobj|stream).)*>>\s*stream\r?\n(.*?)endstream", re.DOTALL
)
SNAKEMAKE = [sys.executable, "-m", "snakemake"]


def is_alive(pid: int, before: float) -> bool:
    """Whether the process that had this number before that time is still there."""
    try:
        process = psutil.Process(pid)
        return process.create_time() <= before and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_orphan(process: psutil.Process) -> bool:
    """Whether a process belongs to a run of this project that was killed."""
    pids, _, folder = process.environ().get("PIXELFLOW_RUN", "").partition(":")
    if folder != str(ROOT):
        return False
    before = process.create_time()
    return not all(is_alive(int(pid), before) for pid in pids.split(","))


def is_snakemake(process: psutil.Process) -> bool:
    """Whether a process is a Snakemake at work in this project."""
    command = process.cmdline()
    if not command or not Path(command[0]).name.startswith("python"):
        return False
    named = any(Path(word).name == "snakemake" for word in command[1:4])
    return named and process.cwd() == str(ROOT) and process.pid != os.getpid()


def find(test: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """The processes of this user that pass the test."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and test(process):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def end_orphans() -> None:
    """Kill what a killed run left behind, until nothing of it is left."""
    orphans = find(is_orphan)
    for _ in range(6):
        if not orphans:
            return
        for process in orphans:
            print(f"ending process {process.pid}, left by a killed run", file=sys.stderr)
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()
        psutil.wait_procs(orphans, timeout=5)
        orphans = find(is_orphan)
    sys.exit(f"Can't end process {orphans[0].pid}, left by a killed run of this project: end it.")


def check_folders() -> None:
    """Stop where the run can't write what it will write: Snakemake would end in a traceback."""
    for folder in FOLDERS:
        try:
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(4096))
        except OSError as error:
            sys.exit(
                f"Can't write in {folder}: {error.strerror}. See that it is a folder, that you "
                "may write in it, and that its disk has space left; then run again."
            )


def is_damaged(path: Path) -> bool:
    """Whether an output isn't whole, or a link leads nowhere; Snakemake sees only that it is."""
    if not path.exists():
        return path.is_symlink()
    if path.suffix in (".json", ".ipynb"):
        try:
            json.loads(path.read_bytes())
        except ValueError:
            return True
    content = path.read_bytes() if path.suffix in ENDS else b""
    if not content.rstrip().endswith(ENDS.get(path.suffix, b"")):
        return True
    if path == PAPER and PAPER_SUM.exists():
        return hashlib.sha256(content).hexdigest() != PAPER_SUM.read_text(errors="replace").strip()
    return path.suffix == ".pdf" and is_broken_pdf(content)


def is_broken_pdf(content: bytes) -> bool:
    """Whether parts of a PDF don't close, or compressed ones, which have sums, are not whole."""
    pairs = ((rb"\d obj\b", rb"\bendobj\b"), (rb">>\s*stream\r?\n", rb"endstream\b"))
    if any(
        len(re.findall(begin, content)) != len(re.findall(end, content)) for begin, end in pairs
    ):
        return True
    for part in COMPRESSED.findall(content):
        unpacked = zlib.decompressobj()
        try:
            unpacked.decompress(part)
        except zlib.error:
            return True
        if not unpacked.eof:
            return True
    return False


def drop_damaged() -> None:
    """Delete damaged outputs, so that this run makes them anew."""
    for pattern in OUTPUTS:
        for path in filter(is_damaged, ROOT.glob(pattern)):
            print(f"{path.relative_to(ROOT)} is damaged and is made anew", file=sys.stderr)
            path.unlink()


def refuse(runs: list[psutil.Process]) -> NoReturn:
    """Say which run is in the way, and stop."""
    which = f"process {runs[0].pid}" if runs else "it has just begun"
    sys.exit(
        f"Another run of this project is at work ({which}); this one changed nothing. "
        "Wait for it to end, or end it."
    )


def mark() -> str:
    """PIXELFLOW_RUN for this run: exec keeps our process number for Snakemake."""
    parents = psutil.Process().parents()
    makes = [parent.pid for parent in parents if parent.name() in ("make", "gmake")]
    return f"{','.join(map(str, [*makes[:1], os.getpid()]))}:{ROOT}"


def main(arguments: list[str]) -> None:
    os.chdir(ROOT)
    end_orphans()
    check_folders()
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        refuse(find(is_snakemake))
    locked = any(LOCK.parent.glob("locks/*.lock"))  # seen before we look who is alive
    if runs := find(is_snakemake):
        refuse(runs)
    if locked:
        print("clearing the lock of a killed run", file=sys.stderr)
        if code := subprocess.call([*SNAKEMAKE, *arguments, "--unlock"]):
            sys.exit(code)
    drop_damaged()
    os.set_inheritable(lock, True)  # Snakemake holds it from here, and passes it to no job
    os.environ["PIXELFLOW_RUN"] = mark()
    os.execv(sys.executable, [*SNAKEMAKE, *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
