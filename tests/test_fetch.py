"""Fetching data sets: what is used is whole and verified, whatever sources do and when they die."""

import contextlib
import gzip
import hashlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from pixelflow import files
from pixelflow.tasks import fetch as fetching
from pixelflow.tasks.fetch import Dataset, FetchError, checksums, fetch, link, main
from pixelflow.tasks.sources import DataSource

CONTENT = {"images": bytes(range(256)) * 40, "labels": b"0123456789"}
MD5 = {file: hashlib.md5(content).hexdigest() for file, content in CONTENT.items()}


def bring(files, folder, content=CONTENT):
    for file in files:
        (folder / file).write_bytes(content[file])


def bring_archives(files, folder):
    (folder / "deep").mkdir()
    for file in files:
        (folder / "deep" / f"{file}.gz").write_bytes(gzip.compress(CONTENT[file]))


def bring_damaged(files, folder):
    bring(files, folder, {file: content[:-1] for file, content in CONTENT.items()})


def be_unreachable(files, folder):
    raise OSError("no route to host")


def be_forbidden(files, folder):
    raise AssertionError("a source was asked although every file is there")


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Return a function that gives the data set "toy" these sources; the data root is empty."""
    monkeypatch.setenv("PIXELFLOW_DATA", str(tmp_path / "store"))

    def register(**fills):
        listed = tuple(DataSource(label, fill) for label, fill in fills.items())
        monkeypatch.setattr(fetching, "DATASETS", {"toy": Dataset("Toy/raw", MD5, listed)})
        return tmp_path / "store" / "Toy" / "raw"

    return register


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("fill", [bring, bring_archives])
def test_missing_files_are_fetched_once(toy, fill):
    folder = toy(source=fill)
    assert fetch("toy") == {file: folder / file for file in CONTENT}
    assert contents(folder) == CONTENT
    toy(source=be_forbidden)
    fetch("toy")


def test_root_argument_wins_over_environment(toy, tmp_path):
    toy(source=bring)
    assert fetch("toy", tmp_path / "other")["labels"] == tmp_path / "other/Toy/raw/labels"


def test_data_root_without_environment_is_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("PIXELFLOW_DATA", raising=False)
    monkeypatch.setattr(fetching.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    assert fetching.data_root() == tmp_path / "pixelflow" / "data"


@pytest.mark.parametrize("call", [fetch, partial(link, folder="data")])
@pytest.mark.parametrize("given", [None, "~no-such-user/data"])
def test_without_a_home_the_variable_is_named(given, call, toy, monkeypatch):
    toy(source=be_forbidden)

    def no_home(name):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(fetching.platformdirs, "user_cache_path", no_home)
    monkeypatch.setenv("PIXELFLOW_DATA", given or "")
    with pytest.raises(FetchError, match=r"set \$PIXELFLOW_DATA"):
        call("toy")
    with pytest.raises(FetchError, match="root '~no-such-user/data' is not a folder"):
        call("toy", root="~no-such-user/data")


@pytest.mark.parametrize("damaged", [b"", CONTENT["images"][:-1], b"other"])
def test_damaged_file_is_replaced_and_the_others_are_kept(toy, damaged):
    folder = toy(source=bring)
    fetch("toy")
    kept = (folder / "labels").stat()
    (folder / "images").write_bytes(damaged)
    fetch("toy")
    assert contents(folder) == CONTENT
    assert (folder / "labels").stat() == kept


def test_archive_put_there_by_hand_is_enough(toy):
    folder = toy(source=be_unreachable)
    folder.mkdir(parents=True)
    (folder / "labels").write_bytes(CONTENT["labels"])
    (folder / "images.gz").write_bytes(gzip.compress(CONTENT["images"]))
    assert fetch("toy")["images"].read_bytes() == CONTENT["images"]


def test_archive_that_unpacks_to_too_much_is_refused(toy, monkeypatch):
    monkeypatch.setattr(fetching, "MAX_UNPACKED_BYTES", len(CONTENT["images"]) - 1)
    folder = toy(source=bring_archives)
    with pytest.raises(FetchError, match=r"source: images\.gz unpacks to more than 10239 bytes"):
        fetch("toy")
    assert list(folder.iterdir()) == []


def test_an_alternative_form_of_the_files_is_read_first(toy, monkeypatch):
    def read(path, scratch):
        bring(path.read_text().split(), scratch)

    folder = toy(source=be_unreachable)
    alternatives = {"other/form": read, "another": read}
    dataset = fetching.DATASETS["toy"]._replace(alternatives=alternatives)
    monkeypatch.setattr(fetching, "DATASETS", {"toy": dataset})
    other, another = folder.parents[1] / "other" / "form", folder.parents[1] / "another"
    with pytest.raises(FetchError) as raised:
        fetch("toy")
    for part in (f"{other}: not there", f"or instead of them any of:\n  {other}\n  {another}"):
        assert part in str(raised.value)
    other.parent.mkdir()
    other.write_text("images")
    another.write_text("images labels")
    fetch("toy")
    assert contents(folder) == CONTENT


def test_sources_are_tried_in_order_with_one_line_each(toy, caplog):
    folder = toy(first=be_unreachable, second=bring_damaged, third=bring, fourth=be_forbidden)
    with caplog.at_level(logging.INFO):
        fetch("toy")
    assert contents(folder) == CONTENT
    parts = ("the source has no images", "no route to host", "must have md5", "came from third")
    for message, part in zip(caplog.messages, parts, strict=True):
        assert part in message


def test_what_a_failing_source_brought_right_is_kept(toy):
    def bring_half(files, folder):
        bring(["images"], folder)
        bring_damaged(["labels"], folder)

    asked = []

    def bring_rest(files, folder):
        asked.extend(files)
        bring(files, folder)

    toy(first=bring_half, second=bring_rest)
    fetch("toy")
    assert asked == ["labels"]


def test_when_everything_fails_the_error_says_what_to_do(toy):
    folder = toy(first=be_unreachable, second=bring_damaged)
    folder.mkdir(parents=True)
    (folder / "labels").write_bytes(b"wrong")
    with pytest.raises(FetchError) as raised:
        fetch("toy")
    message = str(raised.value)
    wrong = hashlib.md5(b"wrong").hexdigest()
    damaged = hashlib.md5(CONTENT["images"][:-1]).hexdigest()
    for part in (
        f"labels: expected md5 {MD5['labels']}; the file there had {wrong} and was deleted",
        f"images: expected md5 {MD5['images']}; there was no such file",
        "first: no route to host",
        f"second: images must have md5 {MD5['images']}, got {damaged}",
        str(folder / "images"),
        str(folder / "labels"),
    ):
        assert part in message
    assert list(folder.iterdir()) == []


def test_interrupted_download_leaves_nothing(toy):
    def interrupt(files, folder):
        (folder / "images").write_bytes(CONTENT["images"][:100])
        raise KeyboardInterrupt

    folder = toy(source=interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch("toy")
    assert list(folder.iterdir()) == []


@pytest.fixture
def downloading(toy):
    """Another process in the middle of a download."""
    script = f"""
import time
from pixelflow.tasks import fetch as fetching
from pixelflow.tasks.sources import DataSource
def begin(files, folder):
    (folder / "images").write_bytes({CONTENT["images"]!r})
    (folder / "labels").write_bytes(b"012")
    print("begun", flush=True)
    time.sleep(60)
fetching.DATASETS = {{"toy": fetching.Dataset("Toy/raw", {MD5!r}, (DataSource("", begin),))}}
fetching.fetch("toy")
"""
    package_parent = str(Path(fetching.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": package_parent},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"begun\n"
        yield process
        process.kill()


def age(folder, seconds):
    at = time.time() - seconds
    os.utime(folder, (at, at))


def test_killed_download_leaves_no_file_and_is_swept(toy, downloading):
    folder = toy(source=bring)
    (begun,) = folder.iterdir()
    assert begun.name.startswith(files.SCRATCH_PREFIX)
    age(begun, 2 * files.MIN_AGE_S)
    fetch("toy")
    assert {path.name for path in folder.iterdir()} == {begun.name, *CONTENT}  # it is at work
    downloading.kill()
    assert downloading.wait() == -signal.SIGKILL
    (folder / "labels").unlink()
    fetch("toy")
    assert contents(folder) == CONTENT


def test_where_locks_are_impossible_a_left_folder_is_swept_after_a_day(toy, monkeypatch):
    monkeypatch.setattr(files.sys, "platform", "win32")
    folder = toy(source=bring)
    for name, seconds in (("young", 2 * files.MIN_AGE_S), ("old", 2 * files.MAX_AGE_S)):
        left = folder / f"{files.SCRATCH_PREFIX}{name}"
        left.mkdir(parents=True)
        age(left, seconds)
    fetch("toy")
    assert {path.name for path in folder.iterdir()} == {f"{files.SCRATCH_PREFIX}young", *CONTENT}


def test_full_disk_is_told_and_ends_the_search(toy):
    def fill_the_disk(files, folder):
        (folder / "images").write_bytes(CONTENT["images"][:100])
        Path("/dev/full").write_bytes(b"x")  # the system's own "no space left on device"

    folder = toy(first=be_unreachable, second=fill_the_disk, third=be_forbidden)
    remedy = r"free some space, or set \$PIXELFLOW_DATA to a folder on another disk"
    with pytest.raises(FetchError, match=f"toy: the disk is full: {folder} .*{remedy}"):
        fetch("toy")
    assert list(folder.iterdir()) == []
    toy(source=bring)
    fetch("toy")
    assert contents(folder) == CONTENT


@pytest.fixture
def anyone():
    """The rights of an ordinary user in a folder that all may read: root may write everywhere."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@contextlib.contextmanager
def without_rights(folder):
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)


def test_root_without_the_right_to_write_is_told(toy, anyone, monkeypatch):
    toy(source=bring)
    monkeypatch.setenv("PIXELFLOW_DATA", str(anyone / "store"))
    told = rf"toy: this folder .*{anyone}/store/Toy/raw .*Permission denied.*\$PIXELFLOW_DATA"
    with without_rights(anyone), pytest.raises(FetchError, match=told):
        fetch("toy")
    fetch("toy")
    toy(source=be_forbidden)
    monkeypatch.setenv("PIXELFLOW_DATA", str(anyone / "store"))
    with without_rights(anyone):  # whole files need no such right
        assert fetch("toy")["images"].read_bytes() == CONTENT["images"]


def test_root_that_is_a_file_is_told(toy, tmp_path):
    toy(source=bring)
    (tmp_path / "store").write_text("")
    with pytest.raises(FetchError, match=rf"{tmp_path}/store/Toy/raw .*set \$PIXELFLOW_DATA"):
        fetch("toy")


def test_two_at_once_both_succeed(toy):
    together = threading.Barrier(2, timeout=10)

    def bring_together(files, folder):
        together.wait()
        bring(files, folder)
        together.wait()

    folder = toy(source=bring_together)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(fetch, ["toy", "toy"])
    assert first == second
    assert contents(folder) == CONTENT


def test_links_are_made_once_and_mended(toy, tmp_path):
    folder = toy(source=bring)
    links = link("toy", tmp_path / "data")
    assert links == {file: tmp_path / "data/Toy/raw" / file for file in CONTENT}
    assert all(path.readlink() == folder / file for file, path in links.items())
    before = {file: path.lstat() for file, path in links.items()}
    assert link("toy", tmp_path / "data") == links
    assert {file: path.lstat() for file, path in links.items()} == before

    links["images"].unlink()
    links["images"].symlink_to(tmp_path / "nowhere")
    links["labels"].unlink()
    links["labels"].write_bytes(b"wrong")
    link("toy", tmp_path / "data")
    assert contents(tmp_path / "data/Toy/raw") == CONTENT
    assert all(path.is_symlink() for path in links.values())


def test_link_into_the_data_root_leaves_the_files(toy, tmp_path):
    folder = toy(source=bring)
    link("toy", tmp_path / "store")
    assert contents(folder) == CONTENT
    assert not any(path.is_symlink() for path in folder.iterdir())


def test_where_links_are_impossible_files_are_copied_once(toy, tmp_path, monkeypatch):
    def refuse(self, target, target_is_directory=False):
        raise OSError("symbolic links need a privilege")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    toy(source=bring)
    links = link("toy", tmp_path / "data")
    before = {file: path.lstat() for file, path in links.items()}
    assert contents(tmp_path / "data/Toy/raw") == CONTENT
    link("toy", tmp_path / "data")
    assert {file: path.lstat().st_ino for file, path in links.items()} == {
        file: status.st_ino for file, status in before.items()
    }


@pytest.mark.parametrize("call", [fetch, checksums, partial(link, folder="data")])
def test_unknown_name_lists_the_known(call):
    with pytest.raises(ValueError, match=r"name must be one of mnist, .*, got 'mnits'"):
        call("mnits")


def test_command_line(toy, tmp_path, capsys):
    folder = toy(source=bring)
    main(["toy"])
    assert capsys.readouterr().out.split() == [str(folder / file) for file in CONTENT]
    main(["toy", "--link", str(tmp_path / "data")])
    assert (tmp_path / "data/Toy/raw/labels").read_bytes() == CONTENT["labels"]
    with pytest.raises(SystemExit) as left:
        main(["mnits"])
    assert left.value.code == 2
    assert "name must be one of toy, got 'mnits'" in capsys.readouterr().err
    toy(source=be_unreachable)
    (folder / "labels").unlink()
    with pytest.raises(SystemExit, match="no route to host"):
        main(["toy"])


def test_tracked_table_equals_the_packages():
    lines = ["name\tfile\tfolder\tmd5"]
    for name, dataset in fetching.DATASETS.items():
        lines += [f"{name}\t{file}\t{dataset.folder}\t{md5}" for file, md5 in dataset.md5.items()]
    table = Path(__file__).parents[1] / "data" / "checksums.tsv"
    assert table.read_text().splitlines() == lines
