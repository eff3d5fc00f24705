"""Times of the backends and the field's package."""

import datetime

BASELINE = "results/baseline.txt"


def day_of_baseline():
    """The day on which the baseline was found, or today: where it couldn't be had it is tried again.

    Once a day, so that offline a finished run has nothing to do; deleting the file tries at once.
    """
    try:
        python, _, day = Path(BASELINE).read_text().splitlines()
    except (OSError, ValueError):
        python = ""
    return day if python and Path(python).exists() else str(datetime.date.today())


rule baseline:
    input:
        FILES,
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
        "rule baseline: installs the field's package into an environment of its own"
    shell:
        "{PYTHON:q} {input.script} {output} --date {params.day} > {log} 2>&1"


rule speed:
    input:
        SPEED,
        PLOTTING,
        MNIST,
        baseline=BASELINE,
        notebook="notebooks/speed.ipynb",
        runner=RUNNER,
    output:
        result=shown("results/speed.json", "Speed", "times (JSON)", "speed", "Speed"),
        notebook=shown("results/notebooks/speed.ipynb", "Speed", "notebook", "notebook", "Speed"),
        figure="results/figures/speed_scaling.pdf",
        drawing=shown("results/figures/speed_scaling.svg", "Speed", "scaling", "speed", "Speed"),
        roofline="results/figures/speed_roofline.pdf",
        roofline_drawing=shown(
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
        "rule speed: takes minutes at full size; {log} tells how far it is"
    shell:
        'PIXELFLOW_RC_PYTHON="$(head -n 1 {input.baseline})" ' + RUN_NOTEBOOK


rule recorded_figures:
    input:
        SPEED,
        PLOTTING,
        result="results/recorded/{device}/speed.json",
        script="workflow/scripts/recorded_figures.py",
    output:
        "results/figures/speed_scaling_{device}.pdf",
        "results/figures/speed_roofline_{device}.pdf",
        shown(
            "results/figures/speed_scaling_{device}.svg",
            *("Speed", "scaling, recorded on {device}", "recorded_speed", "Speed"),
        ),
        shown(
            "results/figures/speed_roofline_{device}.svg",
            *("Speed", "roofline, recorded on {device}", "recorded_speed", "Speed"),
        ),
    log:
        "results/logs/recorded_figures_{device}.log",
    benchmark:
        "results/benchmarks/recorded_figures_{device}.tsv"
    shell:
        "{PYTHON:q} {input.script} {input.result} --out results/figures > {log} 2>&1"
