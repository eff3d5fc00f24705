"""Build the paper: data, experiments, tables, figures and the PDF.

Type `make`, or `snakemake --cores 4` in the environment that `make setup` creates.
"""

include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/classify.smk"
include: "workflow/rules/eikonal.smk"
include: "workflow/rules/speed.smk"
include: "workflow/rules/paper.smk"

report: "workflow/report/workflow.rst"


rule all:
    default_target: True
    input:
        "results/mnist.json",
        "results/fashion_mnist.json",
        "results/cifar10.json",
        "results/published.json",
        "results/eikonal.json",
        "results/speed.json",
        "results/notebooks/mnist.ipynb",
        "results/notebooks/fashion_mnist.ipynb",
        "results/notebooks/cifar10.ipynb",
        "results/notebooks/published.ipynb",
        "results/notebooks/eikonal.ipynb",
        "results/notebooks/speed.ipynb",
        FIGURES,
        TABLES,
        rules.pages.output,
        "paper/generated/macros.tex",
        "paper/pixelflow.pdf",
        "results/verified.txt",
