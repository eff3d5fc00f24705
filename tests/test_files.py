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
import numpy as np
import pytest

from pixelflow import ReservoirClassifier, ReservoirConfig, RidgeReadout, plotting, results
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
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match=f"can't write .*; {REMEDIES[errno.EEXIST]}"):
        with written_whole(tmp_path / "file" / "f"):
            pass


def write_model(path):
    X = np.eye(4, dtype=np.float32)
    config = ReservoirConfig(2, 2, 2, 1, rule="wave")
    ReservoirClassifier(config, RidgeReadout(), backend="cpu").fit(X, [0, 0, 1, 1]).save(path)


WRITERS = [(write_result, "r.json"), (write_figure, "f.svg"), (write_model, "m.npz")]


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_what_a_symbolic_link_leads_to_is_replaced(write, name, tmp_path):
    """Also by way of another link, in another folder, under a name without the suffix."""
    store, link = tmp_path / "store" / "0a1b", tmp_path / "results" / name
    store.parent.mkdir()
    link.parent.mkdir()
    (tmp_path / "other").symlink_to("store/0a1b")
    link.symlink_to("../other")
    for before in (None, b"older"):
        if before:
            store.write_bytes(before)
        write(link)
        assert link.is_symlink() and os.readlink(link) == "../other"
        assert store.read_bytes() == link.read_bytes() != before
        assert os.listdir(store.parent) == ["0a1b"] and os.listdir(link.parent) == [name]
    whole = store.read_bytes()
    with disk_of(10), pytest.raises(OSError, match=f"can't write .*{name}: "):
        write(link)
    assert store.read_bytes() == whole and os.listdir(store.parent) == ["0a1b"]


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_only_a_regular_file_is_replaced(write, name, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for target in (folder, tmp_path / "pipe", tmp_path / "loop"):
        link = tmp_path / name
        link.symlink_to(target)
        with pytest.raises(OSError, match=f"can't write .*{name}: "):
            write(link)
        link.unlink()
    assert folder.is_dir() and (tmp_path / "pipe").is_fifo()
    assert sorted(os.listdir(tmp_path)) == ["folder", "loop", "pipe"] and not os.listdir(folder)


@pytest.mark.parametrize("write", [write for write, _ in WRITERS])
@pytest.mark.parametrize(
    ("path", "error"), [(1, TypeError), (b"f.svg", TypeError), ("a\0.svg", ValueError)]
)
def test_what_is_no_path_is_refused(write, path, error, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        write(path)
    assert not os.listdir() and os.fstat(1)


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_the_home_folder_is_written_to(write, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write(Path("~") / "new" / name)
    assert (tmp_path / "home" / "new" / name).is_file() and os.listdir() == ["home"]


def test_without_a_home_no_folder_of_that_name_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # what it does without one
    with pytest.raises(ValueError, match="path needs a home folder, and none is known"):
        write_result("~/r.json")
    assert not os.listdir()


def test_a_file_without_an_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "link", "/dev/zero"):
        with pytest.raises(OSError, match="Not a regular file"):
            results.read(path)
    with pytest.raises(IsADirectoryError):
        results.read(tmp_path)
    for path, error in ((0, TypeError), (b"r.json", TypeError), ("\0", ValueError)):
        with pytest.raises(error, match="path"):
            results.read(path)
