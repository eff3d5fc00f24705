"""Compute arrival times of the Eikonal equation."""


rule eikonal:
    input:
        EXPERIMENT_MODULES,
        PLOTTING_MODULES,
        modules("experiments/eikonal.py", "tasks/eikonal.py"),
        notebook="notebooks/eikonal.ipynb",
        runner=RUNNER,
    output:
        result=in_report("results/eikonal.json", "Eikonal", "errors (JSON)", "eikonal", "Eikonal"),
        notebook=in_report(
            "results/notebooks/eikonal.ipynb", "Eikonal", "notebook", "notebook", "Eikonal"
        ),
        maps="results/figures/eikonal_maps.pdf",
        errors="results/figures/eikonal_errors.pdf",
        maps_drawing=in_report(
            "results/figures/eikonal_maps.svg", "Eikonal", "arrival times", "eikonal", "Eikonal"
        ),
        errors_drawing=in_report(
            "results/figures/eikonal_errors.svg", "Eikonal", "errors", "eikonal", "Eikonal"
        ),
    params:
        parameters=parameters("eikonal"),
    log:
        "results/logs/eikonal.log",
    benchmark:
        "results/benchmarks/eikonal.tsv"
    shell:
        RUN_NOTEBOOK
