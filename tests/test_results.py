"""Result files: written whole or not at all, read strictly, and saying where they came from."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pixelflow.results as results
from pixelflow import experiments

CONFIG = {"subset": None, "seed": 3, "models": {"wave": {"steps": 4}}}
METRICS = {"rows": [{"model": "wave", "accuracy": 0.9, "n_test": 10}]}


def write(path, *arguments, **options):
    result = results.wrap(*arguments, **options)
    results.save(path, result)
    return result


def test_round_trip(tmp_path):
    path = tmp_path / "folder" / "mnist.json"
    written = write(path, "mnist", CONFIG, METRICS, wall_s=1.5, data={"images": "abc"})
    read = results.read(path)
    assert read == written
    assert list(read) == ["schema", "experiment", "config", "metrics", "provenance"]
    assert read["config"] == CONFIG and read["metrics"] == METRICS
    assert read["provenance"]["seeds"] == [3]
    assert read["provenance"]["data"] == {"images": "abc"}
    assert read["provenance"]["wall_s"] == 1.5
    assert os.listdir(path.parent) == ["mnist.json"]


def test_numpy_becomes_plain(tmp_path):
    metrics = {
        "a": np.float32(0.5),
        "b": np.arange(4).reshape(2, 2),
        "c": (np.int64(1), np.True_),
        "d": {"e": np.str_("f")},
    }
    write(tmp_path / "r.json", "mnist", CONFIG, metrics)
    plain = results.read(tmp_path / "r.json")["metrics"]
    assert plain == {"a": 0.5, "b": [[0, 1], [2, 3]], "c": [1, True], "d": {"e": "f"}}


@pytest.mark.parametrize(
    "bad", [float("nan"), float("inf"), np.float32("nan"), np.array([-np.inf])]
)
def test_not_finite_is_refused_by_name(tmp_path, bad):
    with pytest.raises(ValueError, match=r"metrics\.rows\[0\]\.accuracy.* (nan|-?inf)"):
        write(tmp_path / "r.json", "mnist", CONFIG, {"rows": [{"accuracy": bad}]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bad", [{1: 2}, {"a": object()}, {"a": {1, 2}}, {"a": b"c"}, {"a": 1j}])
def test_what_json_has_no_place_for(tmp_path, bad):
    with pytest.raises(TypeError, match="metrics"):
        write(tmp_path / "r.json", "mnist", CONFIG, bad)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    write(path, "mnist", CONFIG, METRICS)
    old = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"r\.json: No space left"):
        write(path, "mnist", CONFIG, {"other": 1})
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["r.json"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file/r\.json"):
        write(tmp_path / "file" / "r.json", "mnist", CONFIG, METRICS)


@pytest.mark.parametrize("part", [0, 1, 10, -3])
def test_truncated(tmp_path, part):
    path = tmp_path / "r.json"
    write(path, "mnist", CONFIG, METRICS)
    path.write_bytes(path.read_bytes()[:part])
    with pytest.raises(ValueError, match=r"r\.json .*JSON.* delete it and run again"):
        results.read(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([1], "list"),
        ({"accuracy": 1}, "lacks schema"),
        ({key: {} for key in results.KEYS} | {"schema": 99}, "schema must be 1, got 99"),
        (dict.fromkeys(results.KEYS, "") | {"schema": 1}, "wrong type of config"),
    ],
)
def test_foreign(tmp_path, content, what):
    path = tmp_path / "r.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"{what}.*delete it and run again"):
        results.read(path)


def test_binary_is_foreign(tmp_path):
    (tmp_path / "r.json").write_bytes(b"\xff\x00\xfe")
    with pytest.raises(ValueError, match="delete it and run again"):
        results.read(tmp_path / "r.json")


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "[" * 10**5, '{"a":' * 10**5])
def test_what_no_result_holds_is_foreign(tmp_path, text):
    """`save` writes finite numbers; JSON's reader takes others, and fails on what is deep."""
    whole = {"schema": 1, "experiment": "x", "config": {}, "metrics": {"a": 1}, "provenance": {}}
    (tmp_path / "r.json").write_text(json.dumps(whole).replace('{"a": 1}', f'{{"a": {text}}}'))
    with pytest.raises(ValueError, match=r"r\.json .*delete it and run again"):
        results.read(tmp_path / "r.json")


def test_what_holds_itself_is_refused(tmp_path):
    config = {"seed": 0}
    config["more"] = [config]
    with pytest.raises(ValueError, match="config is nested too deeply, or contains itself"):
        results.wrap("x", config, {})
    with pytest.raises(ValueError, match="result is nested too deeply, or contains itself"):
        results.save(tmp_path / "r.json", config)
    assert not list(tmp_path.iterdir())


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        results.read(tmp_path / "r.json")


def test_provenance_says_where_from():
    found = results.provenance(CONFIG)
    total = hashlib.sha256()
    package = Path(results.__file__).parent
    paths = [*package.rglob("*.py"), *package.rglob("*.cuh")]
    names = sorted(path.relative_to(package).as_posix() for path in paths)
    for name in names:
        content = (package / name).read_bytes()
        total.update(f"{name} {len(content)}\n".encode())
        total.update(content)
    assert found["sources_sha256"] == total.hexdigest()
    assert found["versions"]["numpy"] == np.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["cpu"]["cores"] >= 1 and found["cpu"]["model"]
    assert any(pool["user_api"] == "blas" for pool in found["blas"])
    json.dumps(found, allow_nan=False)


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


def test_git_state(tmp_path, monkeypatch):
    def state():
        return results.provenance({})["git"]

    monkeypatch.setattr(results, "PACKAGE", tmp_path / "pixelflow")
    nothing = {"commit": None, "dirty": None}
    assert state() == nothing, "no checkout"
    git(tmp_path, "init")
    assert state() == nothing, "no commit yet"
    (tmp_path / "file").write_text("")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    assert len(state()["commit"]) == 40 and state()["dirty"] is False
    (tmp_path / "file").write_text("changed")
    assert state()["dirty"] is True
    monkeypatch.setattr(results, "PACKAGE", tmp_path / "lib" / "pixelflow")
    assert state() == nothing, "installed inside some other checkout"
    monkeypatch.setattr(results, "PACKAGE", tmp_path / "pixelflow")
    monkeypatch.setenv("PATH", "")
    assert state() == nothing, "no git"


def test_unknown_experiment():
    with pytest.raises(ValueError, match=r"name must be one of .*mnist.*, got 'mnsit'"):
        experiments.run("mnsit", CONFIG)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mnsit", "--config", "c.json", "--out", "r.json"], "invalid choice"),
        (["mnist", "--config", "c.json", "--out", "r.json"], "c.json must have the keys mnist"),
        (["mnist", "--config", "absent.json", "--out", "r.json"], "No such file"),
        (["mnist", "--out", "r.json"], "required: --config"),
    ],
)
def test_command_line_errors(tmp_path, arguments, message):
    (tmp_path / "c.json").write_text('{"seed": 0}')
    command = [sys.executable, "-m", "pixelflow.experiments", *arguments]
    env = {**os.environ, "PYTHONPATH": str(Path(results.__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and message in done.stderr
