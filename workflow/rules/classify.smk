"""Train and test image classifiers: MNIST, Fashion-MNIST, CIFAR-10, and published numbers."""

CATEGORY = "Image classification"
CLASSIFICATION_MODULES = [*EXPERIMENT_MODULES, *LEARNING_MODULES, *modules("experiments/_*.py")]


rule mnist:
    input:
        CLASSIFICATION_MODULES,
        PLOTTING_MODULES,
        modules("experiments/mnist.py"),
        MNIST_MODULES,
        MNIST,
        notebook="notebooks/mnist.ipynb",
        runner=RUNNER,
    output:
        result=in_report("results/mnist.json", "MNIST", "accuracies (JSON)", "mnist", CATEGORY),
        notebook=in_report("results/notebooks/mnist.ipynb", "MNIST", "notebook", "notebook", CATEGORY),
        accuracies="results/figures/mnist_accuracies.pdf",
        evolution="results/figures/mnist_evolution.pdf",
        banks="results/figures/mnist_banks.pdf",
        bank_evolution="results/figures/mnist_bank_evolution.pdf",
        errors="results/figures/mnist_errors.pdf",
        accuracies_drawing=in_report(
            "results/figures/mnist_accuracies.svg", "MNIST", "accuracies", "mnist", CATEGORY
        ),
        evolution_drawing=in_report(
            "results/figures/mnist_evolution.svg", "MNIST", "a digit evolving", "mnist_evolution", CATEGORY
        ),
        banks_drawing=in_report(
            "results/figures/mnist_banks.svg", "MNIST", "banks", "banks", CATEGORY
        ),
        bank_evolution_drawing=in_report(
            "results/figures/mnist_bank_evolution.svg", "MNIST", "a bank evolving", "bank_evolution", CATEGORY
        ),
        errors_drawing=in_report(
            "results/figures/mnist_errors.svg", "MNIST", "errors", "errors", CATEGORY
        ),
    params:
        parameters=parameters("mnist"),
    log:
        "results/logs/mnist.log",
    benchmark:
        "results/benchmarks/mnist.tsv"
    threads: ALL_CORES  # it measures times, so nothing may run beside it
    message:
        "rule mnist: takes minutes at full size; {log} shows the progress"
    shell:
        RUN_NOTEBOOK


rule fashion_mnist:
    input:
        CLASSIFICATION_MODULES,
        PLOTTING_MODULES,
        modules("experiments/fashion_mnist.py"),
        FASHION_MNIST_MODULES,
        FASHION_MNIST,
        notebook="notebooks/fashion_mnist.ipynb",
        runner=RUNNER,
    output:
        result=in_report(
            "results/fashion_mnist.json", "Fashion-MNIST", "accuracies (JSON)", "fashion_mnist", CATEGORY
        ),
        notebook=in_report(
            "results/notebooks/fashion_mnist.ipynb", "Fashion-MNIST", "notebook", "notebook", CATEGORY
        ),
        banks="results/figures/fashion_mnist_banks.pdf",
        bank_evolution="results/figures/fashion_mnist_bank_evolution.pdf",
        errors="results/figures/fashion_mnist_errors.pdf",
        banks_drawing=in_report(
            "results/figures/fashion_mnist_banks.svg", "Fashion-MNIST", "banks", "banks", CATEGORY
        ),
        bank_evolution_drawing=in_report(
            "results/figures/fashion_mnist_bank_evolution.svg", "Fashion-MNIST", "a bank evolving", "bank_evolution", CATEGORY
        ),
        errors_drawing=in_report(
            "results/figures/fashion_mnist_errors.svg", "Fashion-MNIST", "errors", "errors", CATEGORY
        ),
    params:
        parameters=parameters("fashion_mnist"),
    log:
        "results/logs/fashion_mnist.log",
    benchmark:
        "results/benchmarks/fashion_mnist.tsv"
    threads: ALL_CORES  # it measures times, so nothing may run beside it
    message:
        "rule fashion_mnist: takes minutes at full size; {log} shows the progress"
    shell:
        RUN_NOTEBOOK


rule cifar10:
    input:
        CLASSIFICATION_MODULES,
        PLOTTING_MODULES,
        modules("experiments/cifar10.py"),
        CIFAR10_MODULES,
        CIFAR10,
        notebook="notebooks/cifar10.ipynb",
        runner=RUNNER,
    output:
        result=in_report("results/cifar10.json", "CIFAR-10", "accuracies (JSON)", "cifar10", CATEGORY),
        notebook=in_report("results/notebooks/cifar10.ipynb", "CIFAR-10", "notebook", "notebook", CATEGORY),
        accuracies="results/figures/cifar10_accuracies.pdf",
        evolution="results/figures/cifar10_evolution.pdf",
        banks="results/figures/cifar10_banks.pdf",
        bank_evolution="results/figures/cifar10_bank_evolution.pdf",
        errors="results/figures/cifar10_errors.pdf",
        accuracies_drawing=in_report(
            "results/figures/cifar10_accuracies.svg", "CIFAR-10", "accuracies", "cifar10", CATEGORY
        ),
        evolution_drawing=in_report(
            "results/figures/cifar10_evolution.svg", "CIFAR-10", "a photograph evolving", "cifar10_evolution", CATEGORY
        ),
        banks_drawing=in_report(
            "results/figures/cifar10_banks.svg", "CIFAR-10", "banks", "banks", CATEGORY
        ),
        bank_evolution_drawing=in_report(
            "results/figures/cifar10_bank_evolution.svg", "CIFAR-10", "a bank evolving", "bank_evolution", CATEGORY
        ),
        errors_drawing=in_report(
            "results/figures/cifar10_errors.svg", "CIFAR-10", "errors", "errors", CATEGORY
        ),
    params:
        parameters=parameters("cifar10"),
    log:
        "results/logs/cifar10.log",
    benchmark:
        "results/benchmarks/cifar10.tsv"
    threads: ALL_CORES  # it measures times, so nothing may run beside it
    message:
        "rule cifar10: takes minutes at full size; {log} shows the progress"
    shell:
        RUN_NOTEBOOK


rule published:
    input:
        CLASSIFICATION_MODULES,
        modules("experiments/published.py"),
        MNIST_MODULES,
        CIFAR10_MODULES,
        MNIST,
        CIFAR10,
        notebook="notebooks/published.ipynb",
        runner=RUNNER,
    output:
        result=in_report(
            "results/published.json", "Published", "accuracies (JSON)", "published", "Published numbers"
        ),
        notebook=in_report(
            "results/notebooks/published.ipynb", "Published", "notebook", "notebook", "Published numbers"
        ),
    params:
        parameters=parameters("published", figures=False),
    log:
        "results/logs/published.log",
    benchmark:
        "results/benchmarks/published.tsv"
    threads: ALL_CORES  # it measures times, so nothing may run beside it
    message:
        "rule published: takes minutes at full size; {log} shows the progress"
    shell:
        RUN_NOTEBOOK


rule recorded_banks:
    input:
        SPEED_MODULES,
        PLOTTING_MODULES,
        result="results/recorded/{device}/{name}.json",
        script="workflow/scripts/recorded_figures.py",
    output:
        "results/figures/{name}_banks_{device}.pdf",
        in_report(
            "results/figures/{name}_banks_{device}.svg",
            *("{name}", "banks, recorded on {device}", "recorded_banks", CATEGORY),
        ),
    wildcard_constraints:
        name="mnist|fashion_mnist|cifar10",
    log:
        "results/logs/recorded_banks_{name}_{device}.log",
    benchmark:
        "results/benchmarks/recorded_banks_{name}_{device}.tsv"
    shell:
        "{PYTHON:q} {input.script} {input.result} --out results/figures > {log} 2>&1"
