"""Fetching of data sets from the first source that has them; files are verified at every use.

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

MAX_UNPACKED_BYTES = 2**28  # of a file; the largest of the data sets has 47 MB
logger = logging.getLogger("pixelflow.tasks.fetch")  # also when run as __main__


class FetchError(RuntimeError):
    """The data can't be read or fetched; the message says why, and what to do."""


def data_root() -> Path:
    """Return the folder of all data: ``$PIXELFLOW_DATA``, else ``data`` in the user's cache.

    Raises
    ------
    FetchError
        If ``$PIXELFLOW_DATA`` is not set and the user has no home folder.
    """
    try:
        given = os.environ.get("PIXELFLOW_DATA")
        return _absolute(given or platformdirs.user_cache_path("pixelflow") / "data")
    except RuntimeError as error:
        raise FetchError(
            f"no folder for data ({error}): set $PIXELFLOW_DATA to a folder"
        ) from error


def _absolute(root: str | os.PathLike[str]) -> Path:
    try:
        return Path(root).expanduser().resolve()
    except RuntimeError as error:  # "~" needs a home folder, "~user" a user
        raise FetchError(f"root {os.fspath(root)!r} is not a folder: {error}") from error


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
        The data root, in torchvision's layout; by default `data_root()`.

    Returns
    -------
    dict of str to Path
        File name to absolute path. Every file has just been read and has the right MD5 sum.

    Raises
    ------
    ValueError
        If no data set has this name.
    FetchError
        If no source had the files, or the data root is full or not writable. Files with a wrong
        checksum are deleted then, and no file is left incomplete.

    Examples
    --------
    >>> from pixelflow.tasks.fetch import fetch
    >>> fetch("mnist")["t10k-labels-idx1-ubyte"].stat().st_size
    10008
    """
    dataset = _dataset(name)
    root = data_root() if root is None else _absolute(root)
    folder = root / dataset.folder
    with _explain_os_errors(name, folder):
        damaged = _find_damaged(name, folder, dataset.md5)
        if damaged:
            reasons = _try_sources(name, dataset, root, list(damaged))
            # Checked again, because another process may have fetched the files that are missing.
            missing = _find_damaged(name, folder, dataset.md5)
            for file in missing:
                (folder / file).unlink(missing_ok=True)
            if missing:
                raise FetchError(_offline_message(name, dataset, root, missing, reasons))
    return {file: folder / file for file in dataset.md5}


def link(
    name: str, folder: str | os.PathLike[str], root: str | os.PathLike[str] | None = None
) -> dict[str, Path]:
    """Fetch a data set and put links to its files below `folder`, in the same layout.

    A correct link or copy is not replaced, so that its time stamp stays. Files are copied where
    symbolic links are not possible.

    Parameters
    ----------
    name, root
        As for `fetch`.
    folder : path
        The root of the layout, such as a repository's ``data``.

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
    """Run the command line: fetch a data set, link it with --link, and print the paths."""
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
    from tqdm.contrib.logging import logging_redirect_tqdm  # imported here: it warns in a notebook

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        with logging_redirect_tqdm():
            files = link(options.name, options.link) if options.link else fetch(options.name)
    except (FetchError, OSError) as error:
        sys.exit(str(error))
    print(*files.values(), sep="\n")


def _dataset(name: str) -> Dataset:
    if name not in DATASETS:
        raise ValueError(f"name must be one of {', '.join(DATASETS)}, got {name!r}")
    return DATASETS[name]


def _find_damaged(name: str, folder: Path, md5: Mapping[str, str]) -> dict[str, str]:
    """Return the files that are missing or damaged, each with the reason."""
    damaged = {}
    with ThreadPoolExecutor() as pool:  # hashing releases Python's lock
        sums = pool.map(_md5, [folder / file for file in md5])
        bar = tqdm(sums, f"{name}: verify", len(md5), unit="file", delay=1, leave=False)
        for (file, expected), actual in zip(md5.items(), bar, strict=True):
            if actual is None:
                damaged[file] = f"expected md5 {expected}; there was no such file"
            elif actual != expected:
                damaged[file] = (
                    f"expected md5 {expected}; the file there had {actual} and was deleted"
                )
    return damaged


def _try_sources(name: str, dataset: Dataset, root: Path, missing: list[str]) -> list[str]:
    """Try the sources until no file is missing; return the errors of those that failed."""
    folder = root / dataset.folder
    folder.mkdir(parents=True, exist_ok=True)
    alternatives = [
        sources.local_copy(root / path, read) for path, read in dataset.alternatives.items()
    ]
    reasons = []
    with tqdm(total=len(missing), desc=f"{name}: fetch", unit="file") as bar:
        for label, fill in (sources.local_archives(folder), *alternatives, *dataset.sources):
            bar.set_postfix_str(label)
            with scratch_folder(folder) as scratch:
                try:
                    fill(list(missing), scratch)
                    for file in list(missing):
                        _install(scratch, folder / file, dataset.md5[file])
                        missing.remove(file)
                        bar.update()
                except UNAVAILABLE as error:
                    if isinstance(error, OSError) and error.errno in DISK_FULL:
                        raise  # the next source would need the space, too
                    reasons.append(f"{label}: {' '.join(str(error).split())[:300]}")
                    logger.info("%s: not from %s", name, reasons[-1])
            if not missing:
                logger.info("%s: the missing files came from %s", name, label)
                break
    return reasons


def _install(scratch: Path, target: Path, md5: str) -> None:
    """Find a file below scratch, unpack it if it is a gzip file, verify it, and move it."""
    found = next(scratch.rglob(target.name), None)
    if found is None:
        packed = next(scratch.rglob(f"{target.name}.gz"), None)
        if packed is None:
            raise FileNotFoundError(f"the source has no {target.name}")
        found = scratch / target.name
        _unpack(packed, found)
    check(found, md5)
    os.replace(found, target)


def _unpack(packed: Path, target: Path) -> None:
    left = MAX_UNPACKED_BYTES
    with gzip.open(packed) as content, target.open("wb") as unpacked:
        while block := content.read(2**20):
            left -= len(block)
            if left < 0:
                raise ValueError(f"{packed.name} unpacks to more than {MAX_UNPACKED_BYTES} bytes")
            unpacked.write(block)


@contextlib.contextmanager
def _explain_os_errors(name: str, folder: Path) -> Iterator[None]:
    """Turn errors of the file system into a FetchError that says what to do."""
    try:
        yield
    except OSError as error:
        trouble = "this folder can't be read or written"
        remedy = "set $PIXELFLOW_DATA to a folder of yours"
        if error.errno in DISK_FULL:
            trouble = "the disk is full"
            remedy = "free some space, or set $PIXELFLOW_DATA to a folder on another disk"
        message = f"{name}: {trouble}: {folder} ({error}). No incomplete file was left."
        raise FetchError(f"{message} To continue, {remedy}.") from error


def _md5(path: Path) -> str | None:
    """MD5 sum of a file; None if there is no such file."""
    return checksum(path) if path.is_file() else None


def _offline_message(
    name: str, dataset: Dataset, root: Path, missing: Mapping[str, str], reasons: list[str]
) -> str:
    folder = root / dataset.folder
    lines = [f"{name}: no source had the files that are missing in {folder}"]
    lines += [f"  {file}: {what}" for file, what in missing.items()]
    lines += ["Tried:", *(f"  {reason}" for reason in reasons)]
    lines += ["To continue without a network, provide these files (or the official FILE.gz):"]
    lines += [f"  {folder / file}" for file in missing]
    if dataset.alternatives:
        lines += ["or instead of them any of:"]
        lines += [f"  {root / path}" for path in dataset.alternatives]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
