"""The DAG, small, on a copy of the project: built, left alone, rebuilt, killed and taken up."""

import base64
import contextlib
import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser

import numpy as np
import psutil
import pytest
import yaml
from checkout import ROOT, checkout
from matplotlib.figure import Figure
from waiting import wait_for

from pixelflow import results

SMOKE = ["--configfile", "config/smoke.yaml"]
N_DATA_FILES = {
    "mnist": 4,
    "fashion_mnist": 4,
    "cifar10": 6,
    "published": 10,
    "eikonal": 0,
    "speed": 4,
}
EXPERIMENTS = {*N_DATA_FILES}
CLASSIFIED = {"mnist", "fashion_mnist", "cifar10", "published"}


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A copy of the project, built with the small config."""
    folder = tmp_path_factory.mktemp("project")
    checkout(folder)
    done = subprocess.run(build(folder), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def build(folder):
    script = str(folder / "workflow" / "scripts" / "build.py")
    return [sys.executable, script, "--cores", "2", *SMOKE]


def dry_run(folder, *arguments):
    command = [sys.executable, "-m", "snakemake", "-n", *(arguments or SMOKE)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def begun(log):
    """The experiments that a run, or a dry one, says it runs."""
    return {name for name in EXPERIMENTS if f"rule {name}:" in log}


def metrics(folder):
    """What must be the same in every run: all but times, and of speed what isn't timed."""

    def timeless(value):
        if isinstance(value, dict):
            return {k: timeless(v) for k, v in value.items() if not k.endswith("_s")}
        return [timeless(item) for item in value] if isinstance(value, list) else value

    found = {
        name: timeless(results.read(folder / "results" / f"{name}.json")["metrics"])
        for name in EXPERIMENTS
    }
    return {**found, "speed": found["speed"]["agreement"]}


@pytest.fixture
def edit(project):
    """A function that appends to a file of the project; afterwards all files are as they were."""
    old = {}

    def append(name, text="\n# edited\n"):
        path = project / name
        old[path] = path.read_bytes() if path.exists() else None
        path.write_bytes((old[path] or b"") + text.encode())

    yield append
    for path, content in old.items():
        path.unlink() if content is None else path.write_bytes(content)


def test_the_pdf_is_built(project):
    log = next((project / "paper" / "build").rglob("pixelflow.log")).read_text(errors="replace")
    pages = re.search(r"Output written on .*\((\d+) pages", log)
    assert pages and int(pages[1]) > 1
    pdf = (project / "paper" / "pixelflow.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    made = (project / "paper" / "build" / "pixelflow.sha256").read_text()
    assert made == hashlib.sha256(pdf).hexdigest() + "\n"
    assert not list((project / "results").rglob("*.failed.ipynb"))


def test_every_result_is_of_its_config_and_data(project):
    smoke = yaml.safe_load((project / "config" / "smoke.yaml").read_text())
    for name, n_files in N_DATA_FILES.items():
        result = results.read(project / "results" / f"{name}.json")
        assert result["config"] == {**smoke[name], "seed": smoke["seed"]}
        assert len(result["provenance"]["data"]) == n_files, name


def test_the_numbers_are_verified(project):
    """All that are expected of the small config, and there are some."""
    verified = (project / "results" / "verified.txt").read_text()
    n_expected = len(json.loads((project / "paper" / "expected.json").read_text())[SMOKE[1]])
    assert verified.endswith(f"\n{n_expected} of {n_expected} numbers as expected\n")


def test_nothing_is_done_twice(project):
    assert "Nothing to be done" in dry_run(project)[1]


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("pixelflow/core/rules.py", EXPERIMENTS),
        ("pixelflow/models/stream.py", EXPERIMENTS - {"eikonal"}),
        ("pixelflow/readouts/ridge.py", EXPERIMENTS - {"eikonal"}),
        ("pixelflow/plotting/style.py", EXPERIMENTS - {"published"}),  # its notebook draws nothing
        ("pixelflow/experiments/_kept.py", CLASSIFIED),
        ("pixelflow/experiments/_gpus.py", CLASSIFIED),
        ("pixelflow/experiments/_classification.py", CLASSIFIED),
        ("pixelflow/experiments/_banks.py", CLASSIFIED),
        ("pixelflow/experiments/_features.py", CLASSIFIED),
        ("pixelflow/experiments/mnist.py", {"mnist"}),
        ("pixelflow/experiments/published.py", {"published"}),
        ("pixelflow/tasks/eikonal.py", {"eikonal"}),
        ("pixelflow/experiments/_speed/field_timing.py", {"speed"}),
    ],
)
def test_an_edit_runs_the_experiments_that_use_it_again(project, edit, name, again):
    edit(name)
    assert begun(dry_run(project)[1]) == again


def test_an_edit_elsewhere_does_not(project, edit):
    edit("pixelflow/experiments/other.py")
    edit("README.md")
    edit("pixelflow/tasks/synthetic.py")
    edit("pixelflow/__main__.py")
    assert "Nothing to be done" in dry_run(project)[1]


def test_the_other_config_runs_the_experiments_that_differ_again(project):
    """And its models are its own, not the union with the small config's."""
    smoke, paper = (
        yaml.safe_load((project / "config" / f"{name}.yaml").read_text())
        for name in ("smoke", "paper")
    )
    differ = {name for name in EXPERIMENTS if smoke[name] != paper[name]}
    _, log = dry_run(project, "--configfile", "config/paper.yaml")
    assert begun(log) == differ >= {"mnist"} and "Params have changed" in log


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("subset:", "subste:", "mnist: .*'subste' was unexpected"),
        ("  alphas:", "  alpha:", "mnist: .*'alpha' was unexpected"),
        ("tier:", "teir:", r"mnist\.banks\.\w+: .*'teir' was unexpected"),
        ("members:", "member:", r"mnist\.banks\.\w+\.reservoirs\.0: .*'member' was unexpected"),
        ("pool:", "pol:", r"mnist\.banks\.\w+\.reservoirs\.0\.probe: .*'pol' was unexpected"),
        ("options:", "option:", r"mnist\.baselines\.\w+: .*'option' was unexpected"),
        ("{D:", "{d:", r"mnist\.baselines\.\w+\.options: .*'d' was unexpected"),
        ("clip:", "klip:", r"published\.rows\.mnist_raw: .*'klip' was unexpected"),
        ("  threshold:", "  treshold:", "eikonal: .*'treshold' was unexpected"),
        ("  copy_mib:", "  copy_mb:", "speed: .*'copy_mb' was unexpected"),
        ("rule:", "rul:", r"mnist\.models\.\w+: .*'rul' was unexpected"),
        ("seed:", "sede:", "top level: .*'sede' was unexpected"),
    ],
)
def test_a_misspelt_key_is_named(project, tmp_path, old, new, message):
    config = (project / "config" / "smoke.yaml").read_text()
    (tmp_path / "config.yaml").write_text(config.replace(old, new, 1))
    code, log = dry_run(project, "--configfile", str(tmp_path / "config.yaml"))
    assert code == 1 and re.search(message, log), log


class Loads(HTMLParser):
    """The addresses that a page loads scripts, styles, images and frames from."""

    def __init__(self, page):
        super().__init__()
        self.addresses = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag not in ("a", "html", "svg"):
            self.addresses += [value for key, value in attrs if key in ("src", "href", "data")]


def test_the_report_stands_alone_and_has_captions(project, tmp_path):
    report = tmp_path / "report.html"
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *SMOKE, "--report", report],
        cwd=project,
        env={**os.environ, "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    page = report.read_text()
    assert Loads('<img src="http://a/b">').addresses and not Loads(page).addresses
    style = "".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
    assert style and not re.search(r"@import|url\(\s*['\"]?http", style)
    shown = json.loads(re.search(r"var results = (\{.*\});", page)[1])
    patterns = ("results/*.json", "results/figures/*.svg", "results/pages/*.html")
    built = [path for pattern in patterns for path in project.glob(pattern)]
    assert {path.relative_to(project).as_posix() for path in built} <= set(shown)
    assert "paper/pixelflow.pdf" in shown
    for name, entry in shown.items():
        content = base64.b64decode(entry["data_uri"].rpartition("base64,")[2])
        assert content == (project / name).read_bytes()
        assert entry["caption"] and "{{" not in entry["caption"]
    smoke = yaml.safe_load((project / "config" / "smoke.yaml").read_text())
    assert f"training on\n{smoke['mnist']['subset']}" in shown["results/mnist.json"]["caption"]
    assert f"seed {smoke['seed']}" in re.search(r"var workflow_desc = .*", page)[0]


def kernel_of(run):
    """The kernel at work below a run."""
    for process in psutil.Process(run.pid).children(recursive=True):
        try:
            if "ipykernel_launcher" in process.cmdline():
                return process
        except psutil.NoSuchProcess:
            continue
    return None


def test_a_killed_run_is_taken_up(project, tmp_path):
    """SIGKILL, of all processes and then of Snakemake alone; a live run is left in peace.

    What is taken up was damaged besides, as by a power cut: two results and the PDF are cut short.
    """
    expected = metrics(project)
    damaged = ("results/mnist.json", "results/eikonal.json", "paper/pixelflow.pdf")
    for name in damaged:
        (project / name).write_bytes((project / name).read_bytes()[:1000])
    log = (tmp_path / "log").open("w+")
    locks = project / ".snakemake" / "locks"

    run = subprocess.Popen(build(project), stdout=log, stderr=log)
    wait_for(lambda: kernel_of(run))
    second = subprocess.run(build(project), capture_output=True, text=True)
    assert second.returncode != 0 and f"process {run.pid}" in second.stderr
    assert run.poll() is None and any(locks.iterdir())
    time.sleep(random.uniform(0, 1.5))
    tree = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    run.wait()
    assert any(locks.iterdir())

    run = subprocess.Popen(build(project), stdout=log, stderr=log)
    kernel = wait_for(lambda: kernel_of(run))
    run.kill()
    run.wait()

    last = subprocess.run(build(project), capture_output=True, text=True)
    assert last.returncode == 0, last.stdout + last.stderr
    assert "clearing the lock" in last.stderr
    assert not kernel.is_running() and not any(locks.glob("*.lock"))
    for name in damaged:
        assert f"{name} is damaged; it is built again" in (tmp_path / "log").read_text()
    assert (project / "paper" / "pixelflow.pdf").read_bytes().rstrip().endswith(b"%%EOF")
    assert metrics(project) == expected
    assert "Nothing to be done" in dry_run(project)[1]


def test_of_two_runs_begun_at_once_one_goes_on(project):
    runs = [
        subprocess.Popen(
            build(project), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(2)
    ]
    logs = [run.communicate(timeout=60)[0] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 1], logs
    assert sum("Another run" in log for log in logs) == 1


@pytest.fixture
def bare(tmp_path):
    """A folder with nothing of the project but the script that begins a run."""
    (tmp_path / "workflow" / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "workflow" / "scripts" / "build.py", tmp_path / "workflow" / "scripts")
    for name in ("data", "paper", "results"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ["results", "paper", "data", ".snakemake"])
def test_a_folder_that_cannot_be_written_is_named(bare, name):
    """A file in the folder's place, because permissions don't bind root."""
    shutil.rmtree(bare / name, ignore_errors=True)
    (bare / name).write_text("")
    done = subprocess.run(build(bare), capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Can't write in {bare / name}: ") and line.endswith("then run again.")


def drawn():
    """A PDF as Matplotlib writes it, and the place of its longest compressed part."""
    figure = Figure()
    figure.add_subplot().plot(np.random.default_rng(0).random(500))
    figure.savefig(file := io.BytesIO(), format="pdf")
    content = file.getvalue()
    longest = max(
        re.finditer(rb"stream\n(.*?)endstream", content, re.DOTALL), key=lambda m: len(m[1])
    )
    return content, longest.start(1), longest.end(1)


PDF, START, END = drawn()
MIDDLE = (START + END) // 2


@pytest.mark.parametrize(
    ("name", "whole", "part"),
    [
        ("paper/pixelflow.pdf", PDF, PDF[:MIDDLE] + bytes([PDF[MIDDLE] ^ 1]) + PDF[MIDDLE + 1 :]),
        ("paper/pixelflow.pdf", PDF, PDF[:MIDDLE] + bytes(100) + PDF[MIDDLE + 100 :]),
        ("results/figures/a.pdf", PDF, PDF[:MIDDLE] + PDF[MIDDLE + 1 :]),
        ("results/figures/a.pdf", PDF, PDF[: END - 40] + bytes(80) + PDF[END + 40 :]),
        ("results/figures/a.pdf", PDF, PDF[: START - 40] + bytes(80) + PDF[START + 40 :]),
        ("results/mnist.json", b'{"a": 1}\n', b'{"a":'),
        ("results/notebooks/mnist.ipynb", b'{"cells": []}', b""),
        ("results/figures/a.pdf", b"%PDF-1.4 ... %%EOF\n", b"%PDF-1.4"),
        ("results/figures/a.svg", b"<svg></svg>\n", b"<svg>"),
        ("results/pages/mnist.html", b"<html></html>\n", b"<html>"),
        ("paper/pixelflow.pdf", b"%PDF-1.5 ... %%EOF", b""),
    ],
)
def test_a_file_that_is_not_whole_is_made_anew(bare, name, whole, part):
    """The run itself fails, as there is no Snakefile here; what counts is what it meets."""
    recorded = bare / "results" / "recorded" / "device" / "mnist.json"
    (bare / name).parent.mkdir(parents=True, exist_ok=True)
    recorded.parent.mkdir(parents=True)
    recorded.write_bytes(part)
    for content, damaged in ((whole, False), (part, True)):
        (bare / name).write_bytes(content)
        log = subprocess.run(build(bare), capture_output=True, text=True).stderr
        assert (bare / name).exists() != damaged
        assert (f"{name} is damaged; it is built again" in log) == damaged
    assert recorded.exists(), "committed, not made here"


def test_a_paper_that_is_not_as_it_was_made_is_made_anew(bare):
    """Whatever changed in it: its parts that aren't compressed have no sums of their own."""
    paper, made = bare / "paper" / "pixelflow.pdf", bare / "paper/build/pixelflow.sha256"
    made.parent.mkdir()
    made.write_text(hashlib.sha256(PDF).hexdigest() + "\n")
    at = PDF.index(b"/MediaBox") + 12
    for content, damaged in ((PDF, False), (PDF[:at] + b"9" + PDF[at + 1 :], True)):
        paper.write_bytes(content)
        log = subprocess.run(build(bare), capture_output=True, text=True).stderr
        assert paper.exists() != damaged
        assert ("paper/pixelflow.pdf is damaged; it is built again" in log) == damaged


@pytest.mark.parametrize("arguments", [[], ["eikonal"]])
def test_from_elsewhere_it_says_how_to_run(tmp_path, arguments):
    from_here = ["-s", str(ROOT / "Snakefile"), "--cores", "1", *arguments]
    code, log = dry_run(tmp_path, *from_here)
    assert code == 1 and f"type: snakemake -d {ROOT} " in log
    assert not (tmp_path / "results").exists()


def test_from_elsewhere_it_runs_with_its_folder_named(tmp_path):
    copy, elsewhere = tmp_path / "copy", tmp_path / "elsewhere"
    elsewhere.mkdir()
    checkout(copy)
    code, log = dry_run(elsewhere, "-s", str(copy / "Snakefile"), "-d", str(copy), "eikonal")
    assert code == 0 and "rule eikonal:" in log, log


def test_a_link_that_leads_nowhere_is_made_anew(bare):
    link, whole = bare / "data" / "raw" / "images", bare / "data" / "raw" / "labels"
    link.parent.mkdir()
    link.symlink_to(bare / "gone")
    whole.symlink_to(ROOT / "README.md")
    log = subprocess.run(build(bare), capture_output=True, text=True).stderr
    assert not link.is_symlink() and "data/raw/images is damaged" in log
    assert whole.is_symlink()


NEEDED = "bash cat env grep mkdir mv rm sh tee"
FAKE_TECTONIC = """#!/bin/sh
test "$*" = "--outdir build/dag pixelflow.tex" || exit 1
printf '%%PDF fake %%%%EOF' > build/dag/pixelflow.pdf
"""


@pytest.mark.parametrize("latex", ["none", "tectonic", "a package missing"])
def test_without_latex_the_message_says_what_to_type(project, tmp_path, latex):
    copy, commands = tmp_path / "copy", tmp_path / "bin"
    shutil.copytree(project, copy, symlinks=True)
    commands.mkdir()
    for name in NEEDED.split():
        (commands / name).symlink_to(shutil.which(name))
    path = str(commands)
    text = (copy / "paper" / "pixelflow.tex").read_text()
    if latex == "tectonic":
        (commands / "tectonic").write_text(FAKE_TECTONIC)
        (commands / "tectonic").chmod(0o755)
    elif latex == "a package missing":
        path = os.environ["PATH"]
        text = text.replace(r"\usepackage{booktabs}", r"\usepackage{absent-package}")
    (copy / "paper" / "pixelflow.tex").write_text(text + "% edited\n")
    pdf = copy / "paper" / "pixelflow.pdf"
    env = {**os.environ, "PATH": path}
    done = subprocess.run(build(copy), env=env, capture_output=True, text=True)
    log = done.stdout + done.stderr
    if latex == "tectonic":
        assert done.returncode == 0 and pdf.read_bytes() == b"%PDF fake %%EOF", log
    else:
        what = "latexmk" if latex == "none" else "A LaTeX package"
        assert done.returncode == 1 and not pdf.exists()
        assert f"{what} is missing; type: sudo apt-get install latexmk texlive-latex-" in log
