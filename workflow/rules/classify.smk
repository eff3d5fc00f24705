"""Image classification."""

CLASSES = "Image classification"
CLASSIFICATION = ["experiments/_classification.py", "experiments/_companions.py"]


rule mnist:
    input:
        SHARED,
        package("experiments/mnist.py", *CLASSIFICATION),
        MNIST_SOURCES,
        MNIST,
        notebook="notebooks/mnist.ipynb",
        runner=RUNNER,
    output:
        result=shown("results/mnist.json", "MNIST", "accuracies (JSON)", "mnist", CLASSES),
        notebook=shown("results/notebooks/mnist.ipynb", "MNIST", "notebook", "notebook", CLASSES),
        accuracies="results/figures/mnist_accuracies.pdf",
        evolution="results/figures/mnist_evolution.pdf",
        accuracies_drawing=shown(
            "results/figures/mnist_accuracies.svg", "MNIST", "accuracies", "mnist", CLASSES
        ),
        evolution_drawing=shown(
            "results/figures/mnist_evolution.svg", "MNIST", "a digit evolving", "mnist_evolution", CLASSES
        ),
    params:
        parameters=parameters("mnist"),
    log:
        "results/logs/mnist.log",
    benchmark:
        "results/benchmarks/mnist.tsv"
    threads: 1024  # all there are: it measures times, so nothing runs beside it
    message:
        "rule mnist: takes minutes at full size; {log} tells how far it is"
    shell:
        RUN_NOTEBOOK


rule cifar10:
    input:
        SHARED,
        package("experiments/cifar10.py", *CLASSIFICATION),
        CIFAR10_SOURCES,
        CIFAR10,
        notebook="notebooks/cifar10.ipynb",
        runner=RUNNER,
    output:
        result=shown("results/cifar10.json", "CIFAR-10", "accuracies (JSON)", "cifar10", CLASSES),
        notebook=shown("results/notebooks/cifar10.ipynb", "CIFAR-10", "notebook", "notebook", CLASSES),
        accuracies="results/figures/cifar10_accuracies.pdf",
        evolution="results/figures/cifar10_evolution.pdf",
        accuracies_drawing=shown(
            "results/figures/cifar10_accuracies.svg", "CIFAR-10", "accuracies", "cifar10", CLASSES
        ),
        evolution_drawing=shown(
            "results/figures/cifar10_evolution.svg", "CIFAR-10", "a photograph evolving", "cifar10_evolution", CLASSES
        ),
    params:
        parameters=parameters("cifar10"),
    log:
        "results/logs/cifar10.log",
    benchmark:
        "results/benchmarks/cifar10.tsv"
    threads: 1024  # all there are: it measures times, so nothing runs beside it
    message:
        "rule cifar10: takes minutes at full size; {log} tells how far it is"
    shell:
        RUN_NOTEBOOK


rule published:
    input:
        SHARED,
        package("experiments/published.py", *CLASSIFICATION),
        MNIST_SOURCES,
        CIFAR10_SOURCES,
        MNIST,
        CIFAR10,
        notebook="notebooks/published.ipynb",
        runner=RUNNER,
    output:
        result=shown(
            "results/published.json", "Published", "accuracies (JSON)", "published", "Published numbers"
        ),
        notebook=shown(
            "results/notebooks/published.ipynb", "Published", "notebook", "notebook", "Published numbers"
        ),
    params:
        parameters=parameters("published", figures=False),
    log:
        "results/logs/published.log",
    benchmark:
        "results/benchmarks/published.tsv"
    threads: 1024  # all there are: it measures times, so nothing runs beside it
    message:
        "rule published: takes minutes at full size; {log} tells how far it is"
    shell:
        RUN_NOTEBOOK
