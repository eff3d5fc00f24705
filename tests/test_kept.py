"""What was finished is kept, for the same job, data and code alone."""

import os
import subprocess
import sys

import numpy as np
import pytest

from pixelflow.core import ReservoirConfig
from pixelflow.experiments import __main__ as command
from pixelflow.experiments import _banks as banks
from pixelflow.experiments import _baselines as baselines
from pixelflow.experiments import _kept

N_TRAIN, N_TEST = 200, 50  # of `digits`
CONFIG = ReservoirConfig(8, 8, rule="wave", members=2, medium={})
DATA = np.arange(12.0)


@pytest.fixture
def times(tmp_path, monkeypatch):
    """What was worked on, with a folder that keeps it."""
    monkeypatch.setenv(_kept.FOLDER_VARIABLE, str(tmp_path))
    return []


def test_a_job_is_done_once(times):
    def work(*job):
        times.append(job)
        return len(times), np.arange(3)

    jobs = [({"tier": "random", "reservoirs": [1, 2]}, "a", seed, [CONFIG]) for seed in (0, 1)]
    first = [_kept.run_cached(work, job, _kept.digest("mnist", DATA)) for job in jobs]
    again = [_kept.run_cached(work, job, _kept.digest("mnist", DATA.copy())) for job in jobs]
    assert [n for n, _ in first] == [n for n, _ in again] == [1, 2]
    assert np.array_equal(again[0][1], np.arange(3)) and times == jobs


def test_the_home_folder_keeps_and_what_is_damaged_is_done_again(times, tmp_path, monkeypatch):
    def work(*job):
        times.append(job)
        return 7

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(_kept.FOLDER_VARIABLE, "~/kept")
    assert [_kept.run_cached(work, ("a",), "seen") for _ in range(2)] == [7, 7] and len(times) == 1
    assert os.listdir() == ["home"]
    (output,) = (tmp_path / "home" / "kept").rglob("output.pkl")
    for part in (b"", b"garbage", output.read_bytes()[:-3]):
        output.write_bytes(part)
        assert _kept.run_cached(work, ("a",), "seen") == 7
    assert len(times) == 4


def test_other_data_jobs_or_code_are_done_again(times, monkeypatch):
    def work(*job):
        times.append(job)

    other = CONFIG.with_params(steps=3)
    for config, data in ((CONFIG, DATA), (other, DATA), (CONFIG, DATA + 1)):
        _kept.run_cached(work, ("a", 0, [config]), _kept.digest("mnist", data))
    here = _kept._environment()
    for change in ({"sources_sha256": "edited"}, {"gpu": [{"name": "another"}]}):
        monkeypatch.setattr(_kept, "_environment", lambda new=change: {**here, **new})
        _kept.run_cached(work, ("a", 0, [CONFIG]), _kept.digest("mnist", DATA))
    assert len(times) == 5


@pytest.mark.usefixtures("one_thread")
def test_a_run_that_was_cut_short_goes_on(times, digits, monkeypatch):
    """Banks that were finished, and baselines, are not trained again."""
    section = {"tier": "random", "augment": None, "images": "grey", "n_train": None}
    section |= {"zero_steps": True, "against": [], "shown": []}
    reservoir = {"width": 8, "height": 8, "steps": 1, "rule": "wave", "input_encoding": "random"}
    made = {"small": {**section, "reservoirs": [reservoir], "seeds": [0, 1]}}
    fourier = {"features": "fourier", "options": {"D": 20, "gammas": [0.1]}, "seeds": [0]}
    fourier |= {"augment": None, "images": "grey", "n_train": None}

    def run():
        found, _, errors = banks.run(made, "digits", lambda *_: digits)
        others, _ = baselines.run({"fourier_20": fourier}, "digits", lambda *_: digits)
        return [one.row for several in (found | others).values() for one in several], errors

    trained = banks.fit_and_score

    def cut(model, split, fields):
        if len(times) == 3:
            raise KeyboardInterrupt
        times.append(fields["model"])
        return trained(model, split, fields)

    monkeypatch.setattr(banks, "fit_and_score", cut)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert times == ["small", "small", "small_zero_steps"]
    monkeypatch.setattr(banks, "fit_and_score", lambda *job: times.append(job) or trained(*job))
    rows, errors = run()
    assert len(times) == 5 and len(rows) == 5
    assert run() == (rows, errors) and len(times) == 5
    made["small"] |= {"shown": ["table"], "against": ["fourier_20"]}
    assert run() == (rows, errors) and len(times) == 5  # what is said of a bank doesn't train it
    made["small"]["augment"] = {"flip": True}
    assert run()[0] != rows and len(times) == 9


def test_the_command_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.delenv(_kept.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "argv", ["x", "eikonal", "--config", "none.json", "--out", "x.json"])
    sys.argv += ["--keep", str(tmp_path)]
    with pytest.raises(SystemExit):
        command.main()
    assert os.environ.pop(_kept.FOLDER_VARIABLE) == str(tmp_path)


def test_without_a_folder_nothing_is_kept(times, monkeypatch):
    monkeypatch.delenv(_kept.FOLDER_VARIABLE)
    for _ in range(2):
        _kept.run_cached(times.append, ("a",), _kept.digest(DATA))
    assert times == ["a", "a"]


def test_hashes_are_the_same_in_every_process(times):
    said = "print(t._kept.digest('mnist', t.DATA, t.CONFIG, {'b': 1, 'a': 2}))"
    code = f"import sys; sys.path[:0] = {sys.path!r}; import test_kept as t; {said}"
    found = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert {one.stdout.strip() for one in found} == {
        _kept.digest("mnist", DATA, CONFIG, {"a": 2, "b": 1})
    }
