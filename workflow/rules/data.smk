"""Download the data sets into the user's cache, verify them, and link them into data/."""

IDX = [f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
MNIST = [f"data/MNIST/raw/{file}" for file in IDX]
FASHION_MNIST = [f"data/FashionMNIST/raw/{file}" for file in IDX]
CIFAR10 = [
    f"data/cifar-10-batches-bin/{batch}.bin"
    for batch in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
]

MNIST_MODULES = modules("tasks/mnist.py")
FASHION_MNIST_MODULES = [*MNIST_MODULES, *modules("tasks/fashion_mnist.py")]
CIFAR10_MODULES = [*MNIST_MODULES, *modules("tasks/cifar10.py")]


rule fetch_mnist:
    input:
        FETCH_MODULES,
    output:
        MNIST,
    log:
        "results/logs/fetch_mnist.log",
    benchmark:
        "results/benchmarks/fetch_mnist.tsv"
    shell:
        "{PYTHON:q} -m pixelflow.tasks.fetch mnist --link data > {log} 2>&1"


rule fetch_fashion_mnist:
    input:
        FETCH_MODULES,
    output:
        FASHION_MNIST,
    log:
        "results/logs/fetch_fashion_mnist.log",
    benchmark:
        "results/benchmarks/fetch_fashion_mnist.tsv"
    shell:
        "{PYTHON:q} -m pixelflow.tasks.fetch fashion_mnist --link data > {log} 2>&1"


rule fetch_cifar10:
    input:
        FETCH_MODULES,
    output:
        CIFAR10,
    log:
        "results/logs/fetch_cifar10.log",
    benchmark:
        "results/benchmarks/fetch_cifar10.tsv"
    message:
        "rule fetch_cifar10: downloads about 170 MB, unless there is a copy; {log} shows the progress"
    shell:
        "{PYTHON:q} -m pixelflow.tasks.fetch cifar10 --link data > {log} 2>&1"
