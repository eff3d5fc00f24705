"""The paper: data, experiments, macros and the PDF. `make`, or `snakemake --cores 4`."""

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
        "results/figures/mnist_evolution.pdf",
        "results/notebooks/mnist.ipynb",
        "results/eikonal.json",
        "results/figures/eikonal_maps.pdf",
        "results/figures/eikonal_errors.pdf",
        "results/notebooks/eikonal.ipynb",
        "results/speed.json",
        "results/figures/speed_scaling.pdf",
        "results/notebooks/speed.ipynb",
        "paper/generated/macros.tex",
        "paper/generated/table_mnist.tex",
        "paper/pixelflow.pdf",
        rules.pages.output,
