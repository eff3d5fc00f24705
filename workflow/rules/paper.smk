"""The paper: its numbers as macros, and the PDF."""

RESULTS = ["results/mnist.json"]


rule macros:
    input:
        RESULTS,
        package("results.py"),
        script="workflow/scripts/macros.py",
    output:
        macros="paper/generated/macros.tex",
        mnist="paper/generated/table_mnist.tex",
    params:
        config=json.dumps(config),
    log:
        "results/logs/macros.log",
    benchmark:
        "results/benchmarks/macros.tsv"
    shell:
        "{PYTHON:q} {input.script} --config {params.config:q} --out paper/generated"
        " {RESULTS} > {log} 2>&1"


rule pages:
    input:
        RESULTS,
        package("results.py", "files.py"),
        script="workflow/scripts/pages.py",
    output:
        report(
            expand("results/pages/{name}.html", name=[Path(path).stem for path in RESULTS]),
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
        "results/figures/mnist_evolution.pdf",
        rules.macros.output,
        "paper/pixelflow.tex",
    output:
        report("paper/pixelflow.pdf", caption="../report/paper.rst", category="Paper"),
    log:
        "results/logs/paper.log",
    benchmark:
        "results/benchmarks/paper.tsv"
    params:
        install="sudo apt-get install latexmk texlive-latex-recommended texlive-fonts-recommended",
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
        mv -f paper/build/dag/pixelflow.pdf {output}
        """
