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
        result="results/mnist.json",
        figure="results/figures/mnist_evolution.pdf",
        notebook="results/notebooks/mnist.ipynb",
    params:
        parameters=parameters("mnist"),
    log:
        "results/logs/mnist.log",
    benchmark:
        "results/benchmarks/mnist.tsv"
    threads: workflow.cores  # it measures times: nothing runs beside it
    shell:
        "{PYTHON:q} {input.runner} {input.notebook} {output.notebook}"
        " --parameters {params.parameters:q} > {log} 2>&1"
