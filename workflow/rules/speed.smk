"""Time the backends, the field's package and other libraries."""

import datetime

BASELINE = "results/baseline.txt"


def day_of_baseline():
    """The date that rule `baseline` depends on: of the last success, or else today.

    So a failed installation is tried again, but only once a day: a finished run without a network
    has nothing to do. Delete the file to try again at once.
    """
    try:
        python, _, day = Path(BASELINE).read_text().splitlines()
    except (OSError, ValueError):
        python = ""
    return day if python and Path(python).exists() else str(datetime.date.today())


rule baseline:
    input:
        FILE_MODULES,
        "requirements.lock",
        script="workflow/scripts/baseline.py",
    output:
        BASELINE,
    params:
        day=day_of_baseline(),
        given=os.environ.get("PIXELFLOW_RC_PYTHON", ""),
    log:
        "results/logs/baseline.log",
    benchmark:
        "results/benchmarks/baseline.tsv"
    message:
        "rule baseline: installs the field's package (pixelflow-rc) into an environment of its own"
    shell:
        "{PYTHON:q} {input.script} {output} --date {params.day} > {log} 2>&1"


rule speed:
    input:
        SPEED_MODULES,
        PLOTTING_MODULES,
        MNIST,
        baseline=BASELINE,
        notebook="notebooks/speed.ipynb",
        runner=RUNNER,
    output:
        result=in_report("results/speed.json", "Speed", "times (JSON)", "speed", "Speed"),
        notebook=in_report("results/notebooks/speed.ipynb", "Speed", "notebook", "notebook", "Speed"),
        figure="results/figures/speed_scaling.pdf",
        drawing=in_report("results/figures/speed_scaling.svg", "Speed", "scaling", "speed", "Speed"),
        roofline="results/figures/speed_roofline.pdf",
        roofline_drawing=in_report(
            "results/figures/speed_roofline.svg", "Speed", "roofline", "roofline", "Speed"
        ),
    params:
        parameters=parameters("speed"),
    log:
        "results/logs/speed.log",
    benchmark:
        "results/benchmarks/speed.tsv"
    threads: ALL_CORES  # it measures times, so nothing may run beside it
    message:
        "rule speed: takes minutes at full size; {log} shows the progress"
    shell:
        'PIXELFLOW_RC_PYTHON="$(head -n 1 {input.baseline})" ' + RUN_NOTEBOOK


rule recorded_figures:
    input:
        SPEED_MODULES,
        PLOTTING_MODULES,
        result="results/recorded/{device}/speed.json",
        script="workflow/scripts/recorded_figures.py",
    output:
        "results/figures/speed_scaling_{device}.pdf",
        "results/figures/speed_roofline_{device}.pdf",
        in_report(
            "results/figures/speed_scaling_{device}.svg",
            *("Speed", "scaling, recorded on {device}", "recorded_speed", "Speed"),
        ),
        in_report(
            "results/figures/speed_roofline_{device}.svg",
            *("Speed", "roofline, recorded on {device}", "recorded_speed", "Speed"),
        ),
    log:
        "results/logs/recorded_figures_{device}.log",
    benchmark:
        "results/benchmarks/recorded_figures_{device}.tsv"
    shell:
        "{PYTHON:q} {input.script} {input.result} --out results/figures > {log} 2>&1"
