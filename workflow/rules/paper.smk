"""Turn the results into macros, tables, pages and the PDF, and verify them."""

CLASSIFIED = ["mnist", "fashion_mnist", "cifar10"]
NAMES = [*CLASSIFIED, "published", "eikonal", "speed"]
RESULTS = [f"results/{name}.json" for name in NAMES]
RECORDED = sorted(map(str, Path("results/recorded").glob("*/*.json")))
FIGURES = [
    f"results/figures/{name}.pdf"
    for name in (
        *("mnist_evolution", "mnist_accuracies", "cifar10_evolution", "cifar10_accuracies"),
        *("eikonal_maps", "eikonal_errors", "speed_scaling", "speed_roofline"),
        *("speed_scaling_h100", "speed_roofline_h100"),
        *(f"{name}_{what}" for name in CLASSIFIED for what in ("banks", "bank_evolution", "errors")),
        *(f"{p.stem}_banks_{p.parent.name}" for p in map(Path, RECORDED) if p.stem in CLASSIFIED),
    )
]
TABLES = [
    f"paper/generated/table_{name}.tex"
    for name in (
        *("mnist", "mnist_comparisons", "cifar10", "cifar10_comparisons"),
        *("published", "published_comparisons", "eikonal", "times"),
        *("speed_device", "speed_host", "first_call"),
        *(f"{name}_banks" for name in CLASSIFIED),
        "bank_comparisons",
    )
]


rule macros:
    input:
        RESULTS,
        RECORDED,
        RESULT_MODULES,
        script="workflow/scripts/macros.py",
    output:
        "paper/generated/macros.tex",
    params:
        config=json.dumps(config),
    log:
        "results/logs/macros.log",
    benchmark:
        "results/benchmarks/macros.tsv"
    shell:
        "{PYTHON:q} {input.script} {RESULTS} {RECORDED} --config {params.config:q}"
        " --out {output} > {log} 2>&1"


rule tables:
    input:
        RESULTS,
        RECORDED,
        expand("workflow/scripts/{name}.py", name=["macros", "tabular", "speed_tables", "bank_tables"]),
        RESULT_MODULES,
        script="workflow/scripts/tables.py",
    output:
        TABLES,
    params:
        config=json.dumps(config),
    log:
        "results/logs/tables.log",
    benchmark:
        "results/benchmarks/tables.tsv"
    shell:
        "{PYTHON:q} {input.script} {RESULTS} {RECORDED} --config {params.config:q}"
        " --out paper/generated > {log} 2>&1"


rule verify:
    input:
        RESULTS,
        RECORDED,
        "config/paper.yaml",
        "config/smoke.yaml",
        "paper/expected.json",
        "workflow/scripts/macros.py",
        RESULT_MODULES,
        modules("stats.py"),
        script="workflow/scripts/verify.py",
    output:
        report("results/verified.txt", caption="../report/verified.rst", category="Numbers"),
    params:
        config=json.dumps(config),
    log:
        "results/logs/verify.log",
    benchmark:
        "results/benchmarks/verify.tsv"
    shell:
        "{PYTHON:q} {input.script} {RESULTS} --recorded {RECORDED} --config {params.config:q}"
        " --out {output} > {log} 2>&1"


rule pages:
    input:
        RESULTS,
        RESULT_MODULES,
        script="workflow/scripts/pages.py",
    output:
        report(
            expand("results/pages/{name}.html", name=NAMES),
            caption="../report/page.rst",
            category="Numbers",
        ),
    log:
        "results/logs/pages.log",
    benchmark:
        "results/benchmarks/pages.tsv"
    shell:
        "{PYTHON:q} {input.script} {RESULTS} --out results/pages > {log} 2>&1"


rule paper:
    input:
        "paper/.latexmkrc",
        "paper/refs.bib",
        FIGURES,
        TABLES,
        rules.macros.output,
        "paper/pixelflow.tex",
    output:
        report("paper/pixelflow.pdf", caption="../report/paper.rst", category="Paper"),
        sum="paper/build/pixelflow.sha256",  # build.py compares it with the PDF
    log:
        "results/logs/paper.log",
    benchmark:
        "results/benchmarks/paper.tsv"
    params:
        install="sudo apt-get install latexmk texlive-latex-recommended texlive-fonts-recommended",
        sum="import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())",
    shell:
        """
        if command -v latexmk > {log}; then
            latex="latexmk -outdir=build/dag -auxdir=build/dag"
        elif command -v tectonic > {log}; then  # conda's
            latex="tectonic --outdir build/dag"
        else
            echo "latexmk is missing; type: {params.install}" | tee {log} >&2
            exit 1
        fi
        rm -rf paper/build/dag
        mkdir -p paper/build/dag
        if ! (cd paper && $latex pixelflow.tex) > {log} 2>&1; then
            if grep -qE "File .*[.](sty|cls|fd). not found|[(]TFM[)] file not found" {log}; then
                echo "A LaTeX package is missing; type: {params.install}" | tee -a {log} >&2
            fi
            exit 1
        fi
        mv -f paper/build/dag/pixelflow.pdf {output[0]}
        {PYTHON:q} -c {params.sum:q} {output[0]} > {output.sum}
        """
