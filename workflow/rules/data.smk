"""Data: verified files of the user's cache, linked into data/."""

MNIST = [
    f"data/MNIST/raw/{part}-{what}-ubyte"
    for part in ("train", "t10k")
    for what in ("images-idx3", "labels-idx1")
]
MNIST_SOURCES = package("tasks/__init__.py", "tasks/fetch.py", "tasks/sources.py", "tasks/mnist.py")


rule fetch_mnist:
    input:
        package("tasks/fetch.py", "tasks/sources.py"),
    output:
        MNIST,
    log:
        "results/logs/fetch_mnist.log",
    benchmark:
        "results/benchmarks/fetch_mnist.tsv"
    shell:
        "{PYTHON:q} -m pixelflow.tasks.fetch mnist --link data > {log} 2>&1"
