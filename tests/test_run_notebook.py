"""The strict notebook runner: known parameters, whole copies, own kernels, no orphans."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest
from waiting import wait_for

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
run_notebook = importlib.import_module("run_notebook")


@pytest.fixture
def notebook(tmp_path):
    """A function that writes a notebook of code cells, the first tagged `parameters`."""

    def write(*sources, tags=("parameters",), name="in.ipynb"):
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        cells[0].metadata.tags = list(tags)
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / name)
        return tmp_path / name

    return write


def runner(notebook, out, parameters, **env):
    command = [sys.executable, ROOT / "workflow/scripts/run_notebook.py", notebook, out]
    command += ["--parameters", json.dumps(parameters)]
    return subprocess.Popen(
        command, env={**os.environ, **env}, stderr=subprocess.PIPE, text=True, cwd=notebook.parent
    )


def test_parameters_reach_the_cells(notebook):
    path = notebook("x = {}\ny: int = 1\nz, w = 2, 3", "x")
    nb = run_notebook.parameterise(path, {"x": {"a": [1, None, 0.5, "é"]}, "w": True})
    scope = {}
    for cell in nb.cells:
        exec(cell.source, scope)
    assert (scope["x"], scope["y"], scope["w"]) == ({"a": [1, None, 0.5, "é"]}, 1, True)


@pytest.mark.parametrize(
    ("source", "tags", "message"),
    [
        ("x = 1\nprint(y)", ["parameters"], "no parameter y: .* assigns x"),
        ("def y(): y = 1", ["parameters"], "no parameter y: .* assigns nothing"),
        ("y = 1", ["parameter"], "no cell tagged 'parameters'"),
        ("y = = 1", ["parameters"], "invalid syntax"),
    ],
)
def test_what_the_parameters_cell_lacks_is_an_error(notebook, tmp_path, source, tags, message):
    out = tmp_path / "out.ipynb"
    with pytest.raises(run_notebook.NotebookError, match=message):
        run_notebook.run(notebook(source, tags=tags), out, {"y": 2})
    assert not out.exists()


def test_what_to_type_without_ipykernel(notebook, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel.kernelspec", None)
    monkeypatch.setenv("IPYTHONDIR", "")
    with pytest.raises(
        run_notebook.NotebookError, match=r"type: .*python.* -m pip install ipykernel"
    ):
        run_notebook.run(notebook("x = 1"), tmp_path / "out.ipynb", {})


def test_a_failing_cell_leaves_no_output(notebook, tmp_path):
    out = tmp_path / "out.ipynb"
    out.write_text("old")
    run = runner(notebook("x = 1", "print('before')", "1 / x", "print('after')"), out, {"x": 0})
    _, message = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "cell 4 of 5 failed" in message and "ZeroDivisionError" in message
    assert str(tmp_path / "out.failed.ipynb") in message
    assert not out.exists()
    failed = (tmp_path / "out.failed.ipynb").read_text()
    assert "before" in failed and "division by zero" in failed


def test_parallel_kernels_of_this_environment(notebook, tmp_path):
    """Each has its own sockets, this Python, and the project as its folder."""
    spec = tmp_path / "share" / "kernels" / "python3"
    spec.mkdir(parents=True)
    foreign = {
        "argv": ["/bin/false", "{connection_file}"],
        "display_name": "",
        "language": "python",
    }
    (spec / "kernel.json").write_text(json.dumps(foreign))
    path = notebook(
        "mark = 0",
        "import json, os, sys, time\nfrom ipykernel import get_connection_info\ntime.sleep(1)",
        "ip = get_connection_info(unpack=True)['ip']",
        "print(json.dumps([mark, sys.executable, os.getcwd(), ip]))",
    )
    outs = [tmp_path / f"{i}.ipynb" for i in range(3)]
    runs = [
        runner(path, out, {"mark": i}, JUPYTER_PATH=str(tmp_path / "share"))
        for i, out in enumerate(outs)
    ]
    for run in runs:
        _, message = run.communicate(timeout=60)
        assert run.returncode == 0, message
    printed = [json.loads(nbformat.read(out, 4).cells[-1].outputs[0].text) for out in outs]
    assert [p[0] for p in printed] == [0, 1, 2]
    assert {tuple(p[1:3]) for p in printed} == {(sys.executable, str(ROOT))}
    assert len({p[3] for p in printed}) == 3
    assert not any(Path(p[3]).parent.exists() for p in printed), "the sockets' folders are left"


def test_the_kernel_ends_with_its_run(notebook, tmp_path):
    """Also when it is the run's Snakemake that was killed, not the runner."""
    owner = subprocess.Popen(["sleep", "100"])
    path = notebook("x = 1", "print('begun', flush=True)\nimport time\ntime.sleep(100)")
    run = runner(path, tmp_path / "out.ipynb", {}, PIXELFLOW_RUN=f"{owner.pid}:{tmp_path}")
    kernels = wait_for(lambda: psutil.Process(run.pid).children())
    owner.kill()
    owner.wait()
    assert run.wait(timeout=20) == 1
    assert not psutil.wait_procs(kernels, timeout=5)[1]
    assert not (tmp_path / "out.ipynb").exists()
