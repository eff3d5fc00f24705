"""Arrival times."""


rule eikonal:
    input:
        SHARED,
        package("experiments/eikonal.py", "tasks/__init__.py", "tasks/eikonal.py"),
        notebook="notebooks/eikonal.ipynb",
        runner=RUNNER,
    output:
        result="results/eikonal.json",
        maps="results/figures/eikonal_maps.pdf",
        errors="results/figures/eikonal_errors.pdf",
        notebook="results/notebooks/eikonal.ipynb",
    params:
        parameters=parameters("eikonal"),
    log:
        "results/logs/eikonal.log",
    benchmark:
        "results/benchmarks/eikonal.tsv"
    shell:
        "{PYTHON:q} {input.runner} {input.notebook} {output.notebook}"
        " --parameters {params.parameters:q} > {log} 2>&1"
