"""The report: figures beside the published ones, clips ranked and playable, shown by a real browser."""

import html
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from conftest import SYSTEM1, SYSTEM2, SYSTEM3, load_script, read_scores

from asd import dataset, results
from asd.explain import cluster_distance
from asd.report import Report, ScoredId, ranking, to_explain

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "</td><script>document.title='owned'</script>\"'&é.wav"
PROBE = """<script>
addEventListener("load", async () => {
  document.querySelectorAll("details").forEach(details => details.open = true);
  const settle = audio => new Promise(done => {
    audio.onloadedmetadata = () => done(audio.duration);
    audio.onerror = () => done(null);
    audio.preload = "metadata";
    audio.load();
  });
  const names = [...document.querySelectorAll("audio")].map(audio => audio.getAttribute("aria-label"));
  const images = [...document.querySelectorAll("image, img")];
  const found = {
    title: document.title,
    overflow: document.documentElement.scrollWidth > innerWidth,
    images: (await Promise.allSettled(images.map(image => image.decode()))).map(result => result.status),
    frames: [...document.querySelectorAll("use")].every(
      use => document.querySelector(use.getAttribute("href") ?? use.getAttribute("xlink:href"))),
    seconds: await Promise.all([...document.querySelectorAll("audio")].map(settle)),
    missing: [...document.querySelectorAll(".missing")].map(note => note.textContent),
    names: names,
    columns: [...document.querySelectorAll("#figures th")].map(cell => cell.textContent),
    cells: [...document.querySelectorAll("#figures tbody tr")].map(row => [...row.cells].map(cell => cell.textContent)),
    clips: [...document.querySelectorAll("table.clips")].map(table => [...table.tBodies[0].rows].map(
      row => [row.cells[1].textContent, row.cells[2].dataset.score])),
  };
  const note = document.createElement("pre");
  note.id = "probe";
  note.textContent = JSON.stringify(found);
  document.body.append(note);
});
</script>"""


@pytest.fixture
def browse(tmp_path):
    """Opens a page in headless Chromium; returns what a script in it found. Fails on a console message."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")

    def call(page, *flags):
        probe = page.with_name("probe.html")
        probe.write_text(page.read_text("utf-8").replace("</body>", PROBE + "</body>"), "utf-8")
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        command += ["--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", *flags]
        command += ["--virtual-time-budget=120000", "--dump-dom", probe.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        probe.unlink()
        assert "CONSOLE" not in done.stderr, done.stderr
        return json.loads(html.unescape(re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)[1]))

    return call


def scored_id(rng, machine="fan", id="00", n=20, names=None, labels=None, wavs=None, explained=0):
    labels = [i % 2 for i in range(n)] if labels is None else labels
    scores = rng.normal(size=n) + np.array([label or 0 for label in labels])
    names = names or [f"clip_{i}.wav" for i in range(n)]
    spectra = rng.random((3, 60, 8)) + 0.1
    explanation = cluster_distance(*spectra, np.geomspace(8000, 125, 60), np.geomspace(4, 128, 8))
    explanations = dict.fromkeys(to_explain(scores, labels, explained), explanation)
    return ScoredId(machine, id, names, scores, labels, wavs or [None] * n, {}, explanations)


def page_of(path, *ids, **options):
    report = Report(path, "a title", "a description", **options)
    for scored in ids:
        report.add(scored)
    report.write()
    return path.read_text("utf-8")


class Links(HTMLParser):
    """Addresses that a page refers to."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found += [(tag, value) for name, value in attributes if name in ("src", "href", "xlink:href")]


# What the page says


def test_clips_to_explain_are_the_highest_of_either_label():
    scores, labels = np.array([5.0, 1.0, 9.0, 7.0, 3.0]), [0, 0, 1, 1, 0]
    assert to_explain(scores, labels, 2) == [2, 3, 0, 4]
    assert to_explain(scores, [None] * 5, 2) == [2, 3]
    assert to_explain(scores, labels, 99) == [2, 3, 0, 4, 1]
    assert ranking([1.0, 2.0, 2.0]) == [1, 2, 0]


def test_better_and_worse_are_marked_by_more_than_colour(rng, tmp_path):
    ours = scored_id(rng, n=100)
    row = {key: results.Row("fan", "00", *figures) for key, figures in (("better", (0.1, 0.1)), ("worse", (1, 1)))}
    better = page_of(tmp_path / "b.html", ours, reference={("fan", "00"): row["better"]})
    worse = page_of(tmp_path / "w.html", ours, reference={("fan", "00"): row["worse"]})
    assert re.search(r'class="better outside">▲ \+', better)
    assert re.search(r'class="worse outside">▼ -', worse)
    assert "published" not in page_of(tmp_path / "n.html", ours)


def test_the_baseline_stands_beside_all_ids_of_a_machine_type_only(rng, tmp_path):
    ids = [scored_id(rng, "fan", id) for id in ("00", "02", "04", "06")]
    assert "65.83 / 52.45" in page_of(tmp_path / "all.html", *ids)
    assert "Baseline" not in page_of(tmp_path / "some.html", *ids[:3])
    assert "Baseline" not in page_of(tmp_path / "more.html", *ids, scored_id(rng, "fan", "10"))


def test_clips_without_labels_have_no_roc_curve(rng, tmp_path):
    text = page_of(tmp_path / "r.html", scored_id(rng, labels=[None] * 20, explained=3))
    assert "ROC" not in text
    assert "AUC" not in text
    assert "not labelled" in text
    assert text.count('<details class="explained"') == 3


def test_one_class_and_a_single_clip(rng, tmp_path):
    text = page_of(tmp_path / "r.html", scored_id(rng, labels=[1] * 20), scored_id(rng, "pump", n=1))
    assert "ROC" not in text
    assert "Figures" not in text


def test_a_test_set_told_apart_without_error(tmp_path):
    perfect = ScoredId("fan", "00", list("ab"), np.array([0.0, 1.0]), [0, 1], [None, None])
    assert "100.0–100.0" in page_of(tmp_path / "r.html", perfect)


def test_names_are_shown_and_never_executed(rng, tmp_path):
    names = [EVIL, *(f"clip_{i}.wav" for i in range(3))]
    wavs = [tmp_path / "data" / name.replace("/", "_") for name in names]
    text = page_of(tmp_path / "r.html", scored_id(rng, EVIL, "00", 4, names, wavs=wavs, explained=2))
    assert "<script>document" not in text
    assert text.count("<script") == 1
    sources = [value for tag, value in Links(text).found if tag == "audio"]
    assert {unquote(source) for source in sources} == {f"data/{wav.name}" for wav in wavs}


def test_nothing_is_fetched_from_elsewhere(rng, tmp_path):
    text = page_of(tmp_path / "r.html", scored_id(rng, wavs=[tmp_path / "a.wav"] * 20, explained=5))
    for _, address in Links(text).found:
        assert address.startswith(("#", "data:", "a.wav")), address
    assert not re.search(r"https?:|url\((?!#)", text)


def test_the_same_bytes_each_time(tmp_path):
    pages = [page_of(tmp_path / f"{i}.html", scored_id(np.random.default_rng(0), explained=5)) for i in range(2)]
    assert pages[0] == pages[1]


@pytest.mark.slow
def test_a_page_of_the_whole_development_set_is_under_6_mb(tmp_path):
    """23 ids of 473 clips, each with a player and a long address, ten of them explained."""
    rng = np.random.default_rng(0)
    wavs = [tmp_path / "some/data/folder/somewhere/else" / f"anomaly_id_00_{i:08d}.wav" for i in range(473)]
    ids = (
        scored_id(rng, "ToyConveyor", f"{i:02d}", 473, [wav.name for wav in wavs], wavs=wavs, explained=5)
        for i in range(23)
    )
    page_of(tmp_path / "out/reports/dev/modspec_graph/report.html", *ids)
    assert (tmp_path / "out/reports/dev/modspec_graph/report.html").stat().st_size < 6e6


# In a browser


@pytest.fixture(scope="module")
def reported(dev_data, eval_data, tmp_path_factory):
    """Runs of all three systems with reports, d and e, on data whose machine has an unusual name."""
    root = tmp_path_factory.mktemp("reported")
    machine = "fän & <b>\"pumps'</b> %41#?".replace("/", "⁄")
    for mode, data in (("dev", dev_data), ("eval", eval_data)):
        shutil.copytree(data / "fan", root / f"{mode}_data" / machine)
        shutil.copytree(data / "valve", root / f"{mode}_data" / "valve")
        for path in data.glob("*.csv"):
            shutil.copy(path, root / f"{mode}_data")
        for script in (SYSTEM1, SYSTEM2, SYSTEM3):
            options = ["--data", root / f"{mode}_data", "--output", root / "out"]
            options += ["--saved", root / f"saved_{script.stem}"]
            argv = [mode[0], *map(str, options), "--quiet", "--report", "--report-clips", "2", "--jobs", "1"]
            small = ["--components", "4", "--iterations", "2", "--dim", "5"] if script == SYSTEM2 else []
            assert load_script(script).main(argv + small) == 0
    return root, machine


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("modspec_graph", "1280,900"),
        ("modspec_graph", "360,740"),
        ("iVectors_gmm", "768,1024"),
        ("ensemble", "1280,900"),
    ],
)
def test_the_page_equals_the_files(reported, browse, name, window):
    root, machine = reported
    page = browse(root / "out/reports/dev" / name / "report.html", f"--window-size={window}")
    assert "System" in page["title"]
    assert not page["overflow"]
    assert page["frames"]
    assert set(page["images"]) <= {"fulfilled"}
    assert bool(page["images"]) == (name != "ensemble")
    assert page["seconds"] == [1.0] * len(page["seconds"])
    assert len(page["seconds"]) == 4 * (8 + 4)
    table = pd.read_csv(root / "out" / f"{name}_dev_data_results.csv", index_col=0)
    rows = [cells for cells in page["cells"] if cells[0] in (machine, "valve")]
    auc, pauc = (page["columns"].index(figure) for figure in ("AUC", "pAUC"))
    assert [(cells[0], cells[auc], cells[pauc]) for cells in rows] == [
        (row.Machine, f"{100 * row.AUC:.2f}", f"{100 * row.pAUC:.2f}") for row in table.itertuples()
    ]
    ids = [clips for clips in dataset.scan(root / "dev_data", "d")]
    for clips, shown in zip(ids, page["clips"], strict=True):
        scores = read_scores(root / "out/individual_scores/dev" / name / results.scores_name(*clips.key))
        ranked = sorted(scores.items(), key=lambda item: -item[1])
        assert [(file, float(score)) for file, score in shown] == ranked


def test_an_evaluation_page(reported, browse):
    """With the ground truth for the machine type of the usual name, without it for the other."""
    root, _ = reported
    page = browse(root / "out/reports/eval/modspec_graph/report.html")
    assert [cells[1] for cells in page["cells"] if cells[0] == "valve"] == ["01", "12", "mean"]
    assert page["seconds"] == [1.0] * len(page["seconds"])


def test_recordings_that_are_gone_are_said_to_be_missing(rng, browse, tmp_path):
    names = [EVIL, "gone.wav"]
    wavs = [tmp_path / "data" / name.replace("/", "_") for name in names]
    page_of(tmp_path / "r.html", scored_id(rng, "fan", "00", 2, names, wavs=wavs))
    page = browse(tmp_path / "r.html")
    assert page["title"] == "a title"
    assert page["seconds"] == [None, None]
    assert sorted(page["missing"]) == sorted(f"the recording is missing: {name}" for name in names)
    assert {name for name, _ in page["clips"][0]} == set(names)


def test_the_ensemble_s_page_leads_to_the_others(reported):
    root, _ = reported
    page = root / "out/reports/dev/ensemble/report.html"
    links = [address for tag, address in Links(page.read_text("utf-8")).found if tag == "a" and ".html" in address]
    assert len(links) == 2
    assert all((page.parent / link).is_file() for link in links)


def test_a_report_imports_nothing_heavy_where_none_is_asked_for():
    code = "import sys; import asd.challenge; sys.exit('matplotlib' in sys.modules or 'jinja2' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


@pytest.mark.parametrize("with_baseline", [True, False])
def test_the_baseline_of_2020_stands_beside_the_data_of_2020_only(tmp_path, with_baseline):
    """MIMII names its machines and ids alike."""
    report = Report(tmp_path / "page.html", "", "", with_baseline=with_baseline)
    for id in ("00", "02", "04", "06"):
        report.add(ScoredId("fan", id, ["a.wav", "b.wav"], np.array([0.0, 1.0]), [0, 1], [None, None]))
    report.write()
    assert ("65.83 / 52.45" in (tmp_path / "page.html").read_text()) is with_baseline
