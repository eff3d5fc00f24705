"""Fashion-MNIST, 70,000 images of clothing, in MNIST's format."""

from __future__ import annotations

from pixelflow.tasks.mnist import Split, load_idx

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def load(subset: int | None = None, seed: int = 0) -> Split:
    """Load Fashion-MNIST, fetching and verifying it first.

    Parameters
    ----------
    subset : int, optional
        Train on a stratified draw of exactly this many of the 60,000 training images, at least
        one per class, in their original order. The test set stays whole.
    seed : int
        Seed of the draw.

    Returns
    -------
    X_train : float32 array (60000 or subset, 784), in [0, 1], rows of 28 x 28 pixels
    y_train : int64 array (60000 or subset,), 0 to 9, which `CLASSES` names
    X_test : float32 array (10000, 784), in [0, 1]
    y_test : int64 array (10000,)

    Raises
    ------
    TypeError
        If `subset` or `seed` is not an integer.
    ValueError
        If `subset` is below 10 or above 60,000, or `seed` is negative.
    FetchError
        If files are missing and no source has them.

    References
    ----------
    H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking
    machine learning algorithms", arXiv:1708.07747 (2017).

    Examples
    --------
    >>> from pixelflow.tasks import fashion_mnist
    >>> X_train, y_train, X_test, y_test = fashion_mnist.load(subset=1000)
    >>> fashion_mnist.CLASSES[y_test[0]]
    'Ankle boot'
    """
    return load_idx("fashion_mnist", subset, seed)
