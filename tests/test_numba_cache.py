"""Compiled code that is kept between processes: whatever lies in its folder, numbers are right."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from pixelflow import Reservoir, ReservoirConfig
from pixelflow.backends import jit
from pixelflow.backends.numba import modules
from pixelflow.files import REMEDIES
from pixelflow.models import affine

ROOT = Path(__file__).parents[1]
X = np.random.default_rng(0).random((3, 6), dtype=np.float32)
CONFIG = ReservoirConfig(5, 4, 3, 2, "wave")
EXPECTED = Reservoir(CONFIG, backend="cpu").transform(X)


def twice(x):
    return 2 * x


def fresh(source="twice"):
    """The function as another process has it: nothing of it is compiled yet."""
    return jit.kept(numba.njit(twice), source)


def misses(function):
    return sum(function.stats.cache_misses.values())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(jit.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "pixelflow" / "numba"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A cache with the backend's code in it."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jit.config, "CACHE_DIR", "")
        patch.setenv("XDG_CACHE_HOME", str(cache))
        modules.imported.cache_clear()
        Reservoir(CONFIG, backend="numba").transform(X)
    return cache / "pixelflow" / "numba"


@pytest.fixture
def filled(folder, compiled):
    """A copy of that cache, and a process that has not read it yet."""
    shutil.copytree(compiled, folder)
    modules.imported.cache_clear()
    yield folder
    modules.imported.cache_clear()


def flipped(content):
    """One bit of the machine code is another one."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = {
    "cut short": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "garbage": lambda content: b"\xff\x00 garbage" * 100,
    "one bit": flipped,
    "more behind": lambda content: content + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_code_is_compiled_again_and_replaced(damage, folder, caplog):
    first = fresh()
    assert first(3) == 6 and misses(first) == 1
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    again = fresh()
    assert again(3) == 6 and misses(again) == 1
    (message,) = caplog.messages
    assert str(file) in message and "compiled again" in message
    last = fresh()
    assert last(3) == 6 and misses(last) == 0 and list(folder.iterdir()) == [file]


def test_code_of_another_source_or_signature_is_not_taken(folder):
    assert fresh()(3) == 6 and fresh()(1.5) == 3.0
    other = fresh("another source")
    assert other(3) == 6 and misses(other) == 1
    whole, real, another = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    shutil.copy(real, whole)  # what works on floats, under the name of what works on integers
    again = fresh()
    assert again(3) == 6 and misses(again) == 1
    assert another.exists()


def test_a_folder_in_a_files_place_costs_compiling_alone(folder, caplog):
    fresh()(3)
    (file,) = folder.iterdir()
    file.unlink()
    file.mkdir()
    assert fresh()(3) == 6
    assert len(caplog.messages) == 2 and all(str(folder) in line for line in caplog.messages)


def test_a_full_disk_costs_compiling_alone(folder, caplog, monkeypatch):
    def full(path, content, encoding=None):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(Path, "write_text", full)
    assert fresh()(3) == 6 and modules.imported("six = 6").six == 6
    assert len(caplog.messages) == 2
    assert all(str(folder) in line and REMEDIES[28] in line for line in caplog.messages)


def test_where_numba_is_switched_off_a_function_stays_as_it_is():
    assert jit.kept(twice) is twice


@pytest.mark.parametrize("change", [*DAMAGES, "edited"])
def test_an_emitted_module_that_was_changed_is_written_anew(change, filled, caplog):
    """Its time is as it was, and where it was edited its size: numbers come from neither."""
    (file,) = filled.glob("rule_*.py")
    text, stamp = file.read_bytes(), file.stat()
    damaged = DAMAGES[change](text) if change in DAMAGES else text.replace(b" * ", b" + ")
    assert damaged != text
    file.write_bytes(damaged)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert np.array_equal(Reservoir(CONFIG, backend="numba").transform(X), EXPECTED)
    assert file.read_bytes() == text and str(file) in caplog.text


def test_the_backends_damaged_code_is_compiled_again(filled, caplog):
    files = [*filled.glob("*.nbc")]
    assert len(files) > 3
    for file in files:
        file.write_bytes(flipped(file.read_bytes()))
    assert np.array_equal(Reservoir(CONFIG, backend="numba").transform(X), EXPECTED)
    assert str(filled) in caplog.text


def test_functions_of_the_package_are_kept_so_too(folder):
    options = {"nogil": True, "error_model": "numpy"}
    for expected in (1, 0):
        resample = jit.kept(numba.njit(**options)(affine._resample.py_func))
        images, out = np.ones((1, 4, 4, 1), np.float32), np.zeros((1, 4, 4, 1), np.float32)
        resample(images, affine._inverse_maps(np.zeros((1, 5)), 4, 4), 0.0, out, 0, 1)
        assert np.array_equal(out, images) and misses(resample) == expected
    assert [file.name.split("-")[0] for file in folder.iterdir()] == ["affine._resample"]


RUN = """
import numpy as np
from pixelflow import Reservoir, ReservoirConfig
from pixelflow.backends.numba import modules, source
from pixelflow.core.plan import compile_states
config = ReservoirConfig(5, 4, 3, 2, "wave")
X = np.random.default_rng(0).random((3, 6), dtype=np.float32)
print(Reservoir(config, backend="numba").transform(X).tobytes().hex())
module = modules.compiled(source.source(compile_states(config).program, 3, True))
print(sum(module.run.stats.cache_misses.values()))
"""


def start(environment, script=RUN):
    environment = {**environment, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, "-c", script]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_processes_that_begin_at_once_share_a_folder(tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    together = [start(environment) for _ in range(2)]
    outputs = [process.communicate()[0].split() for process in together]
    outputs.append(start(environment).communicate()[0].split())
    assert {features for features, _ in outputs} == {EXPECTED.tobytes().hex()}
    assert outputs[-1][1] == "0"
    assert not list((tmp_path / "pixelflow" / "numba").glob(".*")), "nothing half-written is left"


KEPT_WHERE = """
from pixelflow.backends import jit
print(jit.cache_folder())
"""


def test_without_a_home_code_is_kept_in_a_temporary_folder(tmp_path):
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
    done = start(environment, "import without_home" + RUN + KEPT_WHERE)
    features, _, folder = done.communicate()[0].split()
    assert done.returncode == 0 and features == EXPECTED.tobytes().hex()
    assert Path(folder).parent == tmp_path
    assert not list(tmp_path.iterdir()), "it is gone with its process"


def test_a_home_that_is_not_known_leads_to_a_temporary_folder(monkeypatch, tmp_path):
    """An older platformdirs gives the name back as it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jit.config, "CACHE_DIR", "")
    monkeypatch.setattr(jit.platformdirs, "user_cache_dir", lambda name: f"~no-such-user/{name}")
    assert jit.cache_folder().is_absolute() and not list(tmp_path.iterdir())


def test_numbas_own_variable_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(jit.config, "CACHE_DIR", str(tmp_path))
    assert jit.cache_folder().parent == tmp_path
