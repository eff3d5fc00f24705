"""Run a notebook with parameters; an unknown parameter or a failed cell is an error."""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from papermill.utils import find_first_tagged_cell_index

from pixelflow.files import written_whole

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.5


class NotebookError(Exception):
    """The notebook can't be run with these parameters, or one of its cells failed."""


def parameterise(notebook: Path, parameters: dict[str, Any]) -> nbformat.NotebookNode:
    """The notebook with a new cell after the one tagged `parameters`; it sets the parameters."""
    nb = load_notebook_node(str(notebook))
    index = find_first_tagged_cell_index(nb, "parameters")
    if index < 0:
        raise NotebookError(f"{notebook} has no cell tagged 'parameters'")
    known = _assigned(nb.cells[index].source, notebook)
    unknown = sorted(set(parameters) - known)
    if unknown:
        raise NotebookError(
            f"{notebook} has no parameter {', '.join(unknown)}: its cell tagged 'parameters' "
            f"assigns {', '.join(sorted(known)) or 'nothing'}"
        )
    return parameterize_notebook(nb, parameters, kernel_name="python3", language="python")


def _assigned(code: str, notebook: Path) -> set[str]:
    """The names that a cell assigns (papermill itself does not see lines with two `=`)."""
    try:
        statements = ast.parse(code).body
    except SyntaxError as error:
        raise NotebookError(f"{notebook}, the cell tagged 'parameters': {error}") from None
    assigned = [s for s in statements if isinstance(s, ast.Assign | ast.AnnAssign)]
    nodes = [node for statement in assigned for node in ast.walk(statement)]
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


class LoggedClient(NotebookClient):
    """A client that also prints what the cells print, so that the log shows the progress."""

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] == "stream":
            print(msg["content"]["text"], end="", file=sys.stderr, flush=True)
        return super().process_message(msg, cell, cell_index)


def execute(nb: nbformat.NotebookNode, cwd: Path) -> None:
    """Run all cells, in a new kernel of this Python environment, and keep their outputs in `nb`.

    The kernel has a socket folder of its own, because parallel kernels would compete for ports.
    """
    os.environ.setdefault(
        "PYDEVD_DISABLE_FILE_VALIDATION", "1"
    )  # without it, each start prints a warning
    with tempfile.TemporaryDirectory(prefix="pixelflow-", dir=_short_folder()) as folder:
        _stop_with_run(folder)
        os.environ["IPYTHONDIR"] = folder  # ignore the user's start-up files and history
        manager = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=KernelSpecManager(
                kernel_dirs=[]
            ),  # only the kernel of sys.executable
            transport="ipc",
            connection_file=f"{folder}/kernel.json",
        )
        client = LoggedClient(
            nb,
            km=manager,
            timeout=None,
            resources={"metadata": {"path": str(cwd)}},
            on_cell_start=lambda cell, cell_index: _print_progress(nb, cell_index),
        )
        try:
            client.execute(cleanup_kc=True)
        except NoSuchKernel:
            raise NotebookError(
                f"ipykernel is not installed; type: {sys.executable} -m pip install ipykernel"
            ) from None
        except CellExecutionError as error:
            message = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # without colours
            raise NotebookError(f"{_last_cell(nb)}\n{message}") from None
        except DeadKernelError as error:
            raise NotebookError(f"{_last_cell(nb)}: the kernel died (out of memory?)") from error


def _short_folder() -> str | None:
    """A folder with a short path, because the path of a socket may have at most 104 bytes."""
    return "/tmp" if os.access("/tmp", os.W_OK) else None


def _print_progress(nb: nbformat.NotebookNode, index: int) -> None:
    print(f"{time.strftime('%H:%M:%S')} cell {index + 1} of {len(nb.cells)}", file=sys.stderr)


def _last_cell(nb: nbformat.NotebookNode) -> str:
    """Which cell was the last that started, for an error message."""
    started = [i for i, cell in enumerate(nb.cells) if "execution" in cell.metadata]
    return f"cell {started[-1] + 1} of {len(nb.cells)} failed" if started else "no cell ran"


def run(notebook: Path, out: Path, parameters: dict[str, Any], cwd: Path = ROOT) -> None:
    """Run a notebook and write the executed copy; if a cell fails, write *.failed.ipynb instead."""
    failed = out.with_suffix(".failed.ipynb")
    out.unlink(missing_ok=True)
    failed.unlink(missing_ok=True)
    nb = parameterise(notebook, parameters)
    try:
        execute(nb, cwd)
    except NotebookError as error:
        note = f"The cells that ran are in {failed}"
        try:
            with written_whole(failed) as temporary:
                nbformat.write(nb, temporary)
        except OSError as write_error:  # such as a full disk, which may also have stopped the cell
            note = str(write_error.strerror)
        raise NotebookError(f"{notebook}, {error}\n{note}") from None
    with written_whole(out) as temporary:
        nbformat.write(nb, temporary)


def _stop_with_run(folder: str) -> None:
    """Stop this process and its kernel when a process named in PIXELFLOW_RUN (see build.py) ends.

    Otherwise they would go on after Snakemake is killed, because the shell between stays alive.
    """
    pids = os.environ.get("PIXELFLOW_RUN", "").partition(":")[0]
    try:
        owners = [psutil.Process(int(pid)) for pid in pids.split(",") if pid]
    except psutil.NoSuchProcess:
        raise NotebookError("the run that this notebook belongs to has ended") from None

    def watch() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while all(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in owners):
                time.sleep(POLL_S)
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    if owners:
        threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path, help="the notebook to run")
    parser.add_argument("out", type=Path, help="the executed copy")
    parser.add_argument("--parameters", default="{}", help="JSON, or the name of a JSON file")
    arguments = parser.parse_args()
    text = arguments.parameters
    try:
        parameters = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text())
        run(arguments.notebook, arguments.out, parameters)
    except (NotebookError, OSError, ValueError) as error:
        sys.exit(f"run_notebook.py: {error}")


if __name__ == "__main__":
    main()
