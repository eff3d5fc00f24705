"""A disk that fills while a file is written: the old file stays, the error says what to do."""

import contextlib
import errno
import importlib
import os
import resource
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest

from pixelflow import plotting, results
from pixelflow.files import REMEDIES, written_whole

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
run_notebook = importlib.import_module("run_notebook")


@contextlib.contextmanager
def disk_of(n_bytes):
    """Writing fails, as on a full disk, after that many bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_result(path):
    results.save(path, results.wrap("mnist", {"seed": 0}, {"rows": list(range(10_000))}))


def write_figure(path):
    figure, axes = plt.subplots()
    axes.plot(range(1000))
    plotting.save(figure, path)
    plt.close(figure)


def write_notebook(path):
    cell = nbformat.v4.new_code_cell("x = 1\n" * 10_000)
    cell.metadata.tags = ["parameters"]
    source = path.parent.with_name("in.ipynb")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), source)
    with disk_of(4096):
        run_notebook.run(source, path, {})


def test_a_pdf_has_its_svg_and_the_same_figure_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        write_figure(tmp_path / folder / "f.pdf")
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
        for folder in ("a", "b")
    )
    assert first == second and set(first) == {"f.pdf", "f.svg"}


@pytest.mark.parametrize(
    ("write", "name"),
    [(write_result, "r.json"), (write_figure, "f.pdf"), (write_figure, "f.svg")],
)
def test_a_full_disk_leaves_the_old_file(write, name, tmp_path):
    write(tmp_path / name)
    whole = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with disk_of(4096), pytest.raises(OSError, match=f"can't write .*{name}: .*; .*run again"):
        write(tmp_path / name)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == whole


def test_a_full_disk_leaves_no_notebook(tmp_path, monkeypatch):
    """Whether its cells ran; the message of a cell that failed comes through, too."""
    out = tmp_path / "out" / "out.ipynb"
    out.parent.mkdir()
    monkeypatch.setattr(run_notebook, "execute", lambda nb, cwd: None)
    with pytest.raises(OSError, match=r"can't write .*out\.ipynb: .*; .*run again"):
        write_notebook(out)

    def fail(nb, cwd):
        raise run_notebook.NotebookError("cell 2 of 2 failed")

    monkeypatch.setattr(run_notebook, "execute", fail)
    with pytest.raises(run_notebook.NotebookError, match=r"cell 2.*\n.*out\.failed\.ipynb: .*;"):
        write_notebook(out)
    assert not os.listdir(out.parent)


@pytest.mark.parametrize("number", sorted(REMEDIES))
def test_the_error_keeps_its_kind_and_says_what_to_do(number, tmp_path):
    error = OSError(number, os.strerror(number))
    with pytest.raises(type(error)) as raised, written_whole(tmp_path / "f") as temporary:
        temporary.write_text("part")
        raise error
    assert raised.value.errno == number
    assert str(tmp_path / "f") in str(raised.value) and REMEDIES[number] in str(raised.value)
    assert not os.listdir(tmp_path)


def test_other_errors_pass(tmp_path):
    with pytest.raises(KeyError, match="x"), written_whole(tmp_path / "f") as temporary:
        temporary.write_text("part")
        raise KeyError("x")
    assert not os.listdir(tmp_path)
    with pytest.raises(FileExistsError, match=f"can't write .*; {REMEDIES[errno.EEXIST]}"):
        (tmp_path / "file").write_text("")
        with written_whole(tmp_path / "file" / "f"):
            pass
