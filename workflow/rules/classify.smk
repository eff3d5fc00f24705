"""Image classification."""


rule mnist:
    input:
        SHARED,
        package("experiments/mnist.py"),
        MNIST_SOURCES,
        MNIST,
        notebook="notebooks/mnist.ipynb",
        runner=RUNNER,
    output:
        result=report(
            "results/mnist.json",
            caption="../report/mnist.rst",
            category="Image classification",
            labels={"Experiment": "MNIST", "What": "accuracies (JSON)"},
        ),
        figure="results/figures/mnist_evolution.pdf",
        drawing=report(
            "results/figures/mnist_evolution.svg",
            caption="../report/evolution.rst",
            category="Image classification",
            labels={"Experiment": "MNIST", "What": "a digit evolving"},
        ),
        notebook=report(
            "results/notebooks/mnist.ipynb",
            caption="../report/notebook.rst",
            category="Image classification",
            labels={"Experiment": "MNIST", "What": "notebook"},
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
        "{PYTHON:q} {input.runner} {input.notebook} {output.notebook}"
        " --parameters {params.parameters:q} > {log} 2>&1"
