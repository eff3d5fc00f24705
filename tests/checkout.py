"""A copy of the project as it is checked out, for tests that build in it."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILT = {".venv", ".snakemake", ".git", "results", "build", "generated", "__pycache__"}
BUILT |= {".pytest_cache", ".ruff_cache", ".hypothesis", "dist", "PKG-INFO", "pixelflow.pdf"}


def checkout(folder):
    """Copy what git tracks or would add into a folder; return the files' names."""
    command = ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        names = [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    except (OSError, subprocess.CalledProcessError):  # an unpacked sdist
        paths = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
        paths = [path for path in paths if path.parts[0] != "data" or len(path.parts) == 2]
        names = [path.as_posix() for path in paths if not BUILT & set(path.parts)]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return names
