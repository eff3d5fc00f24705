"""Data sets: fetched from the first source that has them, verified before every use, linked.

``python -m pixelflow.tasks.fetch NAME [--link DIR]`` fills ``$PIXELFLOW_DATA`` (else the user's
cache folder). A data set is one entry of `DATASETS`.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import platformdirs
from tqdm import tqdm

from pixelflow.files import scratch_folder
from pixelflow.tasks import sources
from pixelflow.tasks.catalogue import DATASETS, Dataset
from pixelflow.tasks.formats import check, checksum
from pixelflow.tasks.sources import DISK_FULL, UNAVAILABLE

LARGEST = 2**28  # bytes that a file may unpack to; those that there are have 47 MB at most
logger = logging.getLogger("pixelflow.tasks.fetch")  # also when run as __main__


class FetchError(RuntimeError):
    """The data could not be had; the message says why, and what to do."""


def data_root() -> Path:
    """Return the folder of all data: ``$PIXELFLOW_DATA``, else ``data`` in the user's cache.

    Raises
    ------
    FetchError
        If there is neither, because the user has no home.
    """
    try:
        given = os.environ.get("PIXELFLOW_DATA")
        return _absolute(given or platformdirs.user_cache_path("pixelflow") / "data")
    except RuntimeError as error:
        raise FetchError(f"no folder for data ({error}): set $PIXELFLOW_DATA to one") from error


def _absolute(root: str | os.PathLike[str]) -> Path:
    try:
        return Path(root).expanduser().resolve()
    except RuntimeError as error:  # of "~" where there is no home, or no such user
        raise FetchError(f"root {os.fspath(root)!r} has no folder: {error}") from error


def checksums(name: str) -> dict[str, str]:
    """Return the MD5 sum of every file of a data set, for provenance.

    Raises
    ------
    ValueError
        If no data set has this name.

    Examples
    --------
    >>> from pixelflow.tasks.fetch import checksums
    >>> checksums("mnist")["t10k-labels-idx1-ubyte"]
    '27ae3e4e09519cfbb04c329615203637'
    """
    return dict(_dataset(name).md5)


def fetch(name: str, root: str | os.PathLike[str] | None = None) -> dict[str, Path]:
    """Return the verified files of a data set, fetching what is missing or damaged.

    Parameters
    ----------
    name : str
        A key of `DATASETS`, such as ``"mnist"``.
    root : path, optional
        The data root, in torchvision's layout; `data_root` by default.

    Returns
    -------
    dict of str to Path
        File name to absolute path. Every file has just been read and has the right MD5 sum.

    Raises
    ------
    ValueError
        If no data set has this name.
    FetchError
        If no source had the files, or the data root is full or may not be written in. A file
        with a wrong checksum has then been deleted; none is left half-written.

    Examples
    --------
    >>> from pixelflow.tasks.fetch import fetch
    >>> fetch("mnist")["t10k-labels-idx1-ubyte"].stat().st_size
    10008
    """
    dataset = _dataset(name)
    root = data_root() if root is None else _absolute(root)
    folder = root / dataset.folder
    with _explained(name, folder):
        damaged = _damaged(name, folder, dataset.md5)
        if damaged:
            reasons = _download(name, dataset, root, list(damaged))
            # Read again rather than trust the download: another process may have brought the rest.
            missing = _damaged(name, folder, dataset.md5)
            for file in missing:
                (folder / file).unlink(missing_ok=True)
            if missing:
                raise FetchError(_offline_message(name, dataset, root, missing, reasons))
    return {file: folder / file for file in dataset.md5}


def link(
    name: str, folder: str | os.PathLike[str], root: str | os.PathLike[str] | None = None
) -> dict[str, Path]:
    """Fetch a data set and put links to its files below `folder`, in the same layout.

    A link or copy that is right already is left alone, so that its time stamp stays. Where
    symbolic links are not possible the files are copied.

    Parameters
    ----------
    name, root
        As for `fetch`.
    folder : path
        Where the layout begins, such as a repository's ``data``.

    Returns
    -------
    dict of str to Path
        File name to the path of its link.

    Raises
    ------
    ValueError, FetchError
        As `fetch`.

    Examples
    --------
    >>> from pixelflow.tasks.fetch import link
    >>> link("mnist", "data")["t10k-labels-idx1-ubyte"].as_posix()
    'data/MNIST/raw/t10k-labels-idx1-ubyte'
    """
    dataset = _dataset(name)
    links = {}
    for file, source in fetch(name, root).items():
        links[file] = target = Path(folder) / dataset.folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        right_copy = not target.is_symlink() and _md5(target) == dataset.md5[file]
        if right_copy or (target.exists() and target.samefile(source)):
            continue
        with scratch_folder(target.parent) as scratch:
            try:
                (scratch / file).symlink_to(source)
            except OSError:
                shutil.copyfile(source, scratch / file)
            os.replace(scratch / file, target)
    return links


def main(arguments: list[str] | None = None) -> None:
    """Run the command line: fetch a data set, link it where asked, print the files."""
    parser = argparse.ArgumentParser(
        prog="python -m pixelflow.tasks.fetch",
        description="Fetch a data set into $PIXELFLOW_DATA or the user's cache, and verify it.",
    )
    parser.add_argument("name", help=f"one of: {', '.join(DATASETS)}")
    parser.add_argument("--link", metavar="DIR", help="also link the files below DIR")
    options = parser.parse_args(arguments)
    try:
        _dataset(options.name)
    except ValueError as error:
        parser.error(str(error))
    from tqdm.contrib.logging import logging_redirect_tqdm  # in a notebook its import warns

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        with logging_redirect_tqdm():
            files = link(options.name, options.link) if options.link else fetch(options.name)
    except (FetchError, OSError) as error:
        sys.exit(str(error))
    print(*files.values(), sep="\n")


def _dataset(name: str) -> Dataset:
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(DATASETS)}")
    return DATASETS[name]


def _damaged(name: str, folder: Path, md5: Mapping[str, str]) -> dict[str, str]:
    """Return the files that cannot be used, each with what is wrong with it."""
    damaged = {}
    with ThreadPoolExecutor() as pool:  # sums are made without Python's lock
        sums = pool.map(_md5, [folder / file for file in md5])
        told = tqdm(sums, f"{name}: verify", len(md5), unit="file", delay=1, leave=False)
        for (file, expected), came in zip(md5.items(), told, strict=True):
            if came is None:
                damaged[file] = f"expected md5 {expected}; there was no such file"
            elif came != expected:
                damaged[file] = (
                    f"expected md5 {expected}; the file there had {came} and was deleted"
                )
    return damaged


def _download(name: str, dataset: Dataset, root: Path, missing: list[str]) -> list[str]:
    """Try the sources until nothing is missing; return why those that failed did."""
    folder = root / dataset.folder
    folder.mkdir(parents=True, exist_ok=True)
    beside = [sources.lying_at(root / path, read) for path, read in dataset.beside.items()]
    reasons = []
    with tqdm(total=len(missing), desc=f"{name}: fetch", unit="file") as bar:
        for label, fill in (sources.archives_in(folder), *beside, *dataset.sources):
            bar.set_postfix_str(label)
            with scratch_folder(folder) as scratch:
                try:
                    fill(list(missing), scratch)
                    for file in list(missing):
                        _place(scratch, folder / file, dataset.md5[file])
                        missing.remove(file)
                        bar.update()
                except UNAVAILABLE as error:
                    if isinstance(error, OSError) and error.errno in DISK_FULL:
                        raise  # it would be as full for the next source
                    reasons.append(f"{label}: {' '.join(str(error).split())[:300]}")
                    logger.info("%s: not from %s", name, reasons[-1])
            if not missing:
                logger.info("%s: the missing files came from %s", name, label)
                break
    return reasons


def _place(scratch: Path, target: Path, md5: str) -> None:
    """Move a file found below scratch, unpacked if need be, to its place if its sum is right."""
    found = next(scratch.rglob(target.name), None)
    if found is None:
        packed = next(scratch.rglob(f"{target.name}.gz"), None)
        if packed is None:
            raise FileNotFoundError(f"brought no {target.name}")
        found = scratch / target.name
        _unpack(packed, found)
    check(found, md5)
    os.replace(found, target)


def _unpack(packed: Path, target: Path) -> None:
    left = LARGEST
    with gzip.open(packed) as content, target.open("wb") as unpacked:
        while block := content.read(2**20):
            left -= len(block)
            if left < 0:
                raise ValueError(f"{packed.name} unpacks to more than {LARGEST} bytes")
            unpacked.write(block)


@contextlib.contextmanager
def _explained(name: str, folder: Path) -> Iterator[None]:
    """Say what to do when the file system refuses."""
    try:
        yield
    except OSError as error:
        trouble = "this may not be read or written"
        remedy = "set $PIXELFLOW_DATA to a folder of yours"
        if error.errno in DISK_FULL:
            trouble = "the disk is full"
            remedy = "free some space, or set $PIXELFLOW_DATA to a folder on another disk"
        message = f"{name}: {trouble}: {folder} ({error}). Nothing half-written was left."
        raise FetchError(f"{message} To go on, {remedy}.") from error


def _md5(path: Path) -> str | None:
    """The file's sum; None if there is none."""
    return checksum(path) if path.is_file() else None


def _offline_message(
    name: str, dataset: Dataset, root: Path, missing: Mapping[str, str], reasons: list[str]
) -> str:
    folder = root / dataset.folder
    lines = [f"{name}: no source had what is missing in {folder}"]
    lines += [f"  {file}: {what}" for file, what in missing.items()]
    lines += ["Tried:", *(f"  {reason}" for reason in reasons)]
    lines += ["To go on without a network, put there by hand (FILE, or the official FILE.gz):"]
    lines += [f"  {folder / file}" for file in missing]
    if dataset.beside:
        lines += ["or instead of them any of:", *(f"  {root / path}" for path in dataset.beside)]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
