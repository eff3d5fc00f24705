"""Results as HTML pages: everything that the JSON holds, and nothing that a browser would run."""

import importlib
import json
import sys
from html.parser import HTMLParser
from pathlib import Path

from pixelflow import results

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
pages = importlib.import_module("pages")


class Read(HTMLParser):
    """The texts and the tags of a page."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.tags = [], set()
        self.feed(page)

    def handle_data(self, data):
        self.texts.append(data)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)


RESULT = {
    "experiment": "speed <b>",
    "metrics": {
        "copy_GBps": 12.34567891,
        "rows": [
            {"work": "wave & co", "n": 12000, "transfers": True, "sizes": [1, 2]},
            {"work": "<script>alert(1)</script>", "median_ms": 1e-7},
        ],
        "none": [],
        "deep": {"deeper": {"deepest": None}},
    },
    "config": {"seed": 0},
    "provenance": {"git": {"commit": "abc"}},
}


def test_every_value_is_shown_and_none_is_run():
    read = Read(pages.page(RESULT))
    shown = {"12.3457", "wave & co", "12,000", "yes", "[1, 2]", "1e-07", "[]", "abc"}
    names = {"speed <b>", "copy_GBps", "median_ms", "deepest", "commit", "seed"}
    assert "<script>alert(1)</script>" in read.texts
    assert shown | names <= set(read.texts)
    assert read.tags <= {*"html head meta title style body h1 h2 h3 h4 table tr th td".split()}


def test_rows_are_a_table_with_all_their_keys():
    text = pages.table(RESULT["metrics"]["rows"])
    head, first, second = (line.count("<th>") + line.count("<td") for line in text.split("\n")[1:4])
    assert head == first == second == 5


def test_a_page_for_each_result(tmp_path, monkeypatch):
    result = results.wrap("mnist", {"seed": 0}, {"rows": [{"accuracy": 0.9281}]})
    results.save(tmp_path / "mnist.json", result)
    out = tmp_path / "pages"
    monkeypatch.setattr(sys, "argv", ["pages.py", str(tmp_path / "mnist.json"), "--out", str(out)])
    pages.main()
    texts = Read((out / "mnist.html").read_text()).texts
    assert "0.9281" in texts and result["provenance"]["python"] in texts
    assert json.dumps(result["provenance"]["seeds"]) in texts
