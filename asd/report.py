"""One HTML page a run: figures beside the published ones, the clips that stand out, and why.

The page is one file that opens from disk: plots are SVG inside it, recordings are linked by
relative path. `report.html.jinja` is its text; everything that comes from data is escaped there.

Conventions: AUC and pAUC are fractions here and per cent on the page; figures are drawn with
matplotlib in `currentColor`, so that they follow the page's light or dark.
"""

import io
import os
import re
from base64 import b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from math import isnan
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image
from sklearn.metrics import roc_curve

from asd import metrics, results
from asd.explain import Map
from asd.files import write_atomically

N_RESAMPLES = 1000  # of the test set, for the intervals
NORMAL, ANOMALY = "#2b83ba", "#e06c2b"  # told apart by form as well; both stand out from white and from black
INK = "#010203"  # replaced by currentColor
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "asd",
    "font.size": 8,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
}
WIDTH, HEIGHT = 216, 194  # of a map, points
AXES = (0.2, 0.17, 0.77, 0.73)  # its part of the frame: left, bottom, width, height
SCALE = (0.34, 0.94, 0.3, 0.025)  # that of its colour scale
N_COLOURS = 32
HISTOGRAM_RANGE = (
    30  # interquartile ranges of the normal scores above their median; what is higher goes into the last bar
)
LEAST_GAP = 8  # points between two labels of an axis
TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000)


@dataclass(frozen=True)
class ScoredId:
    """A machine id's test clips, as the page shows them.

    Attributes
    ----------
    machine, id : str
    names : list of str
    scores : (n_clips,) array
    labels : list of 0, 1 or None
    wavs : list of Path or None
        The recordings, None where one is not at hand.
    columns : dict of str -> (n_clips,) array
        More numbers to show beside the score.
    explanations : dict of int -> Explanation or None
        By position of the clip; None where there is nothing to explain it from.
    """

    machine: str
    id: str
    names: list
    scores: np.ndarray
    labels: list
    wavs: list
    columns: dict = field(default_factory=dict)
    explanations: dict = field(default_factory=dict)

    @property
    def title(self):
        return f"{self.machine} {self.id}"


def to_explain(scores, labels, n):
    """Positions of the clips worth explaining: the n highest anomalies, then the n highest normals.

    Without labels, the n highest clips.

    Parameters
    ----------
    scores : (n_clips,) array
    labels : list of 0, 1 or None
    n : int

    Returns
    -------
    list of int
    """
    ranked = ranking(scores)
    if None in labels:
        return ranked[:n]
    return [i for label in (1, 0) for i in [i for i in ranked if labels[i] == label][:n]]


def ranking(scores):
    """Positions of the clips, highest score first, equals in the order given."""
    return np.argsort(-np.asarray(scores), kind="stable").tolist()


class Report:
    """Collects machine ids and writes the page.

    Parameters
    ----------
    path : str or Path
        Of the page.
    title, description : str
    reference : dict of (machine, id) -> results.Row
        Published figures of the system.
    others : dict of str -> str
        Title and address of other pages to link to.
    with_baseline : bool
        Whether published averages of 2020's challenge baseline may stand beside machine ids of these names.

    Attributes
    ----------
    official : list of list of str
        A table to show first, header and rows, where a year's official metrics are more than AUC
        and pAUC of all test clips.
    """

    def __init__(self, path, title, description, *, reference=None, others=None, with_baseline=True):
        self.path, self.title, self.description = Path(path), title, description
        self.reference, self.others = reference or {}, others or {}
        self.official = []
        self._baseline = results.baseline if with_baseline else lambda rows: {}
        self._sections, self._rows, self._resampled = [], [], []
        self._frames = {}  # SVG -> its name in the page

    def add(self, scored):
        """Draw a machine id's section.

        Parameters
        ----------
        scored : ScoredId
        """
        resampled = roc = None
        labelled = None not in scored.labels and len(set(scored.labels)) == 2
        auc = pauc = np.nan
        if labelled:
            auc, pauc = metrics.auc(scored.labels, scored.scores), metrics.pauc(scored.labels, scored.scores)
            seed = len(self._sections)  # another for each id, so that their errors average out as real ones do
            resampled = metrics.bootstrap(scored.labels, scored.scores, n_resamples=N_RESAMPLES, random_state=seed)
            roc = _roc(scored, auc, pauc)
        self._rows.append(results.Row(scored.machine, scored.id, auc, pauc))
        self._resampled.append(np.full((N_RESAMPLES, 2), np.nan) if resampled is None else resampled)
        ranked = ranking(scored.scores)
        place = {index: rank for rank, index in enumerate(ranked, 1)}
        self._sections.append(
            {
                "title": scored.title,
                "anchor": f"id-{len(self._sections)}",
                "n": len(scored.scores),
                "counts": [scored.labels.count(label) for label in (0, 1)] if None not in scored.labels else None,
                "roc": roc,
                "histogram": _histogram(scored),
                "columns": list(scored.columns),
                "clips": [self._clip(scored, index, place[index]) for index in ranked],
                "explained": [
                    {
                        **self._clip(scored, index, place[index]),
                        "text": explanation.text if explanation else None,
                        "drawings": [self._drawing(drawing) for drawing in draw(explanation)],
                    }
                    for index, explanation in scored.explanations.items()
                ],
            }
        )

    def write(self):
        """Write the page.

        Raises
        ------
        OSError
            With the file's name, if it cannot be written.
        """
        labelled = any(not isnan(row.auc) for row in self._rows)
        page = _template().render(
            title=self.title,
            description=self.description,
            sections=self._sections,
            frames=self._frames,
            axes=[AXES[0] * WIDTH, (1 - AXES[1] - AXES[3]) * HEIGHT, AXES[2] * WIDTH, AXES[3] * HEIGHT],
            scale=[SCALE[0] * WIDTH, (1 - SCALE[1] - SCALE[3] / 2) * HEIGHT, (SCALE[0] + SCALE[2]) * WIDTH],
            size=[WIDTH, HEIGHT],
            others=self.others,
            official=self.official,
            table=self._table() if labelled else None,
            compared=any((row.machine, row.id) in self.reference for row in self._rows),
            with_baseline=bool(self._baseline(self._rows)),
            max_fpr=metrics.MAX_FPR,
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, page)

    def _drawing(self, drawing):
        name = self._frames.setdefault(drawing.frame, f"frame-{len(self._frames)}")
        return {**vars(drawing), "frame": name}

    def _clip(self, scored, index, rank):
        wav = scored.wavs[index]
        return {
            "rank": rank,
            "name": scored.names[index],
            "score": float(scored.scores[index]),
            "label": scored.labels[index],
            "columns": [float(values[index]) for values in scored.columns.values()],
            "audio": None if wav is None else _address(wav, self.path.parent),
        }

    def _table(self):
        """Rows of the table of figures: ids, then their machine type's mean; then the means of all."""
        rows, resampled = self._rows, np.array(self._resampled)
        ours, baseline, lines = results.averages(rows), self._baseline(rows), []
        for machine, average in ours.items():
            of_machine = [i for i, row in enumerate(rows) if row.machine == machine]
            theirs = [self.reference.get((machine, rows[i].id)) for i in of_machine]
            for i, other in zip(of_machine, theirs, strict=True):
                lines.append(_line(machine, rows[i].id, (rows[i].auc, rows[i].pauc), resampled[i], other))
                lines[-1]["anchor"] = self._sections[i]["anchor"]
            other = None
            with_figures = [row for i, row in zip(of_machine, theirs, strict=True) if not isnan(rows[i].auc)]
            if with_figures and None not in with_figures:
                other = results.Row(machine, "mean", *results.averages(with_figures)[machine])
            lines.append(_line(machine, "mean", average, _mean(resampled[of_machine]), other))
            lines[-1]["baseline"] = baseline.get(machine)
        theirs = [self.reference.get((row.machine, row.id)) for row in rows if not isnan(row.auc)]
        machines = [np.flatnonzero([row.machine == machine for row in rows]) for machine in ours]
        of_types = _mean(np.array([_mean(resampled[i]) for i in machines]))
        known = [row for row in theirs if row is not None]
        all_known = known and len(known) == len(theirs)
        for title, mean, of_resampled, groups in (
            (results.MEAN, metrics.mean, of_types, results.averages(known).values()),
            (results.HARMONIC, metrics.harmonic_mean, _harmonic(resampled), [(r.auc, r.pauc) for r in known]),
        ):
            mine = ours.values() if mean is metrics.mean else [(row.auc, row.pauc) for row in rows]
            figures = [mean(column) for column in zip(*mine, strict=True)]
            other = None
            if all_known:
                other = results.Row(title, "", *(mean(column) for column in zip(*groups, strict=True)))
            lines.append(_line(title, "", figures, of_resampled, other))
        baselines = [baseline.get(machine) for machine in ours]
        if None not in baselines:
            columns = zip(*((row.auc, row.pauc) for row in baselines), strict=True)
            lines[-2]["baseline"] = results.Row("", "", *(metrics.mean(column) for column in columns))
        return lines


def _line(machine, id, figures, resampled, other):
    """A row of the table: per figure ours, its interval, the published one and how ours stands to it."""
    cells = []
    for figure, ends, theirs in zip(
        figures, metrics.interval(resampled, figures).T, (other.auc, other.pauc) if other else (None, None), strict=True
    ):
        cell = {"ours": figure, "ends": ends, "theirs": theirs, "difference": None, "outside": False}
        if theirs is not None and not isnan(figure):
            # Judged as printed, two decimals of a per cent: nobody is better by what the table does not show.
            cell["difference"] = round(100 * figure, 2) - round(100 * theirs, 2)
            cell["outside"] = not ends[0] <= theirs <= ends[1]
        cells.append(cell)
    return {"machine": machine, "id": id, "cells": cells, "anchor": None, "baseline": None}


def _mean(resampled):
    """Mean over ids of `(n_ids, n_resamples, 2)` that leaves out ids without figures."""
    known = resampled[~np.isnan(resampled[:, 0, 0])]
    return known.mean(axis=0) if len(known) else np.full(resampled.shape[1:], np.nan)


def _harmonic(resampled):
    known = resampled[~np.isnan(resampled[:, 0, 0])]
    return len(known) / np.sum(1 / np.maximum(known, np.finfo(float).tiny), axis=0)


def _address(path, folder):
    """Relative address of a file, as a link in a page of that folder; None of what is no local file."""
    if not isinstance(path, str | os.PathLike):
        return None
    try:
        # As browsers join addresses: without a look at where links lead.
        relative = os.path.relpath(os.path.abspath(path), os.path.abspath(folder))
    except ValueError:  # another drive
        return Path(path).resolve().as_uri()
    return quote(relative.replace(os.sep, "/"), safe="/", errors="surrogateescape")


@lru_cache
def _template():
    environment = Environment(
        loader=PackageLoader("asd", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: "–" if isnan(value) else f"{100 * value:.2f}"
    environment.filters["tenth"] = lambda value: f"{100 * value:.1f}"
    environment.filters["number"] = lambda value: f"{value:.6g}"
    return environment.get_template("report.html.jinja")


@dataclass(frozen=True)
class Drawing:
    """A panel: a frame that many share, and what is its own. Coordinates are points of the frame."""

    title: str
    frame: str
    ends: tuple[str, str]
    image: str | None = None
    line: str | None = None


def draw(explanation):
    """An explanation's panels as `Drawing`s, none of None."""
    panels = explanation.panels if explanation else ()
    return [_map(panel) if isinstance(panel, Map) else _curve(panel) for panel in panels]


def _map(panel):
    """A map: its frame, and a small image with a pixel a value."""
    n_rows, n_columns = panel.values.shape
    if panel.over_time:
        x_ticks = _time_ticks(panel.x)
    else:
        x_ticks = tuple((i + 0.5) / n_columns for i in range(n_columns)), tuple(f"{x:.0f}" for x in panel.x)
    shown = []
    for hertz in reversed([f for f in TICKS_HZ if panel.y[0] <= f * 1.05 and f / 1.05 <= panel.y[-1]]):
        place = (np.interp(hertz, panel.y, np.arange(n_rows)) + 0.5) / n_rows
        if not shown or (shown[-1][0] - place) * AXES[3] * HEIGHT >= LEAST_GAP:
            shown.append((place, f"{hertz // 1000}k" if hertz >= 1000 else f"{hertz}"))
    y_ticks = tuple(zip(*shown, strict=True)) or ((), ())
    colours = "RdBu_r" if panel.signed else "viridis"
    low, high = panel.limits
    ends = (f"less {-low:.3g} σ", f"{high:.3g} σ more") if panel.signed else (f"{low:.0f}", f"{high:.0f} {panel.unit}")
    position = (panel.values - low) / (high - low) if high > low else np.zeros(panel.values.shape)
    frame = _frame(x_ticks, y_ticks, panel.x_label, panel.y_label, colours)
    return Drawing(panel.title, frame, ends, image=_pixels(position[::-1], colours))


def _curve(panel):
    """A curve between its lowest and highest value, which the frame's ends name."""
    low, high = float(panel.y.min()), float(panel.y.max())
    left, bottom, width, height = AXES
    x = (panel.x - panel.x[0]) / max(panel.x[-1] - panel.x[0], 1e-9)
    y = (panel.y - low) / max(high - low, 1e-9)
    points = np.column_stack([WIDTH * (left + width * x), HEIGHT * (1 - bottom - height * y)])
    frame = _frame(_time_ticks(panel.x), ((), ()), panel.x_label, panel.y_label, None)
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Drawing(panel.title, frame, (f"lowest {low:.3g}", f"highest {high:.3g}"), line=line)


def _time_ticks(x):
    """Places, 0 to 1, and labels of some round values of evenly spaced columns."""
    step = (x[-1] - x[0]) / max(len(x) - 1, 1) or 1.0
    start, length = x[0] - step / 2, len(x) * step
    ticks = [tick for tick in MaxNLocator(5).tick_values(start, start + length) if start <= tick <= start + length]
    return tuple((tick - start) / length for tick in ticks), tuple(f"{tick:.6g}" for tick in ticks)


@lru_cache
@rc_context(STYLE)
def _frame(x_ticks, y_ticks, x_label, y_label, colours):
    """Axes without content, `(x or y)_ticks` being places and labels, and a colour scale above them: SVG."""
    fig = Figure((WIDTH / 72, HEIGHT / 72))
    ax = fig.add_axes(AXES)
    ax.set(xlabel=x_label, ylabel=y_label, xlim=(0, 1), ylim=(0, 1))
    ax.set_xticks(*x_ticks)
    ax.set_yticks(*y_ticks)
    ax.patch.set_visible(False)
    if colours:
        scale = fig.add_axes(SCALE)
        scale.imshow(np.linspace(0, 1, N_COLOURS)[None], aspect="auto", interpolation="none", cmap=colours)
        scale.set_axis_off()
    return _svg(fig)


def _pixels(values, colours):
    """An image of numbers 0 to 1 as a `data:` address, one pixel each: PNG with a palette."""
    indices = (np.clip(values, 0, 1) * (N_COLOURS - 1)).round().astype(np.uint8)
    image = Image.fromarray(indices, mode="P")
    image.putpalette((255 * colormaps[colours](np.linspace(0, 1, N_COLOURS))[:, :3]).round().astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + b64encode(buffer.getvalue()).decode()


@rc_context(STYLE)
def _roc(scored, auc, pauc):
    fpr, tpr, _ = roc_curve(scored.labels, scored.scores)
    fig, ax = _axes()
    inside = fpr <= metrics.MAX_FPR
    edge = np.interp(metrics.MAX_FPR, fpr, tpr)
    x, y = np.append(fpr[inside], metrics.MAX_FPR), np.append(tpr[inside], edge)
    ax.fill_between(x, y, color=ANOMALY, alpha=0.35, linewidth=0)
    ax.plot(fpr, tpr, color=NORMAL, linewidth=1.5)
    ax.plot((0, 1), (0, 1), color=INK, linewidth=0.6, linestyle=":")
    ax.axvline(metrics.MAX_FPR, color=INK, linewidth=0.6, linestyle="--")
    ax.text(0.97, 0.16, f"AUC {100 * auc:.2f}", ha="right")
    ax.text(0.97, 0.06, f"pAUC {100 * pauc:.2f} (shaded)", ha="right")
    ax.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    return _svg(fig, f"ROC curve of {scored.title}: AUC {100 * auc:.2f}, pAUC {100 * pauc:.2f}")


@rc_context(STYLE)
def _histogram(scored):
    fig, ax = _axes()
    scores = np.asarray(scored.scores, float)
    labels = np.array([0 if label is None else label for label in scored.labels])
    lower, middle, upper = np.percentile(scores[labels == 0] if (labels == 0).any() else scores, (25, 50, 75))
    low, high = scores.min(), min(scores.max(), middle + HISTOGRAM_RANGE * (upper - lower))
    high = high if high > low else low + 1
    bins = np.linspace(low, high, 31)
    clipped, n_cut = np.minimum(scores, high), int(np.sum(scores > high))
    if None in scored.labels:
        ax.hist(clipped, bins, color=NORMAL, label=f"{len(scores)} clips")
    else:
        n_normal, n_anomalous = np.sum(labels == 0), np.sum(labels == 1)
        ax.hist(clipped[labels == 0], bins, color=NORMAL, alpha=0.8, label=f"{n_normal} normal")
        ax.hist(
            clipped[labels == 1],
            bins,
            histtype="step",
            edgecolor=ANOMALY,
            linewidth=1.4,
            label=f"{n_anomalous} anomalous",
        )
    ax.legend(frameon=False, labelcolor=INK, loc="lower left", bbox_to_anchor=(0, 0.98), ncols=2, borderaxespad=0)
    cut = f", {n_cut} higher in the last bar" if n_cut else ""
    ax.set(xlabel=f"anomaly score{cut}", ylabel="clips")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.xaxis.set_major_formatter("{x:.6g}")
    ax.set_position((0.17, 0.15, 0.8, 0.76))
    return _svg(fig, f"Histogram of the scores of {scored.title}")


def _axes():
    fig = Figure((3.4, 3.2))
    ax = fig.add_axes((0.17, 0.15, 0.8, 0.82))
    ax.patch.set_visible(False)
    return fig, ax


def _svg(fig, title=None):
    """A figure as an SVG element for a page: no header, no style of its own; `title` for who cannot see it."""
    fig.patch.set_visible(False)
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r' id="[\w.]+_\d+"| version="1.1"| xmlns(:xlink)?="[^"]*"| transform="rotate\(-0 [^"]*"', "", text)
    text = re.sub(r" font-family: [^;]*;", "", text).replace(INK, "currentColor")
    text = re.sub(r"\s*\n\s*", " ", text).replace("> <", "><").replace("<g></g>", "")
    start = text.index(">") + 1
    head = f'<svg role="img" viewBox="0 0 {fig.get_figwidth() * 72:g} {fig.get_figheight() * 72:g}">'
    return head + (f"<title>{escape(title)}</title>" if title else "") + text[start:]
