"""What a run leaves behind: results and score CSVs, submission files, and the table on the terminal.

Conventions: AUC and pAUC are fractions in files and per cent in the table; files are UTF-8 with
"\\n", figures in full precision, and the same bytes for the same input.
"""

import csv
import io
import re
from dataclasses import dataclass
from importlib.resources import files
from math import isfinite, isnan
from pathlib import Path

import yaml

from asd import metrics
from asd.audio import DataError
from asd.files import write_atomically

MEAN, HARMONIC = "mean of types", "harmonic mean"
ALL = "all"  # stands for the machine types or sections that a figure is an average of
SCORES_NAME = re.compile(r"anomaly_score_(.+)_id_(\d{2})\.csv")  # see `scores_name`
META_FIGURES = "averaged_auc", "averaged_pauc"
KINDS = ("anomaly_score", "decision_result")


@dataclass(frozen=True)
class Row:
    """AUC and pAUC of one machine id (fractions, NaN where they are not defined)."""

    machine: str
    id: str
    auc: float
    pauc: float


def averages(rows):
    """Arithmetic mean over the ids of each machine type: dict of machine -> (AUC, pAUC)."""
    machines = dict.fromkeys(row.machine for row in rows)
    return {
        machine: tuple(metrics.mean([getattr(r, m) for r in rows if r.machine == machine]) for m in ("auc", "pauc"))
        for machine in machines
    }


def write_results(path, rows):
    """Write `index, Machine, Mid, AUC, pAUC`: a row an id, then `Average` after each machine type's last.

    Raises
    ------
    OSError
        With the file's name, if it cannot be written.
    """
    lines = []
    means = averages(rows)
    for machine in means:
        lines += [(machine, int(r.id), r.auc, r.pauc) for r in rows if r.machine == machine]
        lines.append((machine, "Average", *means[machine]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("", "Machine", "Mid", "AUC", "pAUC"))
    for index, (machine, id, *figures) in enumerate(lines):
        writer.writerow((index, machine, id, *("" if isnan(f) else repr(f) for f in figures)))
    write_atomically(path, text.getvalue())


def with_averages(figures, *, year=2020):
    """Figures of a data set, after a machine type's last section its averages, and those of all types at the end.

    Parameters
    ----------
    figures : sequence of metrics.Figure
        Of every section, the sections of a machine type side by side.
    year : int
        As in :func:`asd.metrics.total`, whose averages these are.

    Returns
    -------
    list of metrics.Figure
        Averages have the section "all", those of all machine types the machine "all" as well.
    """
    lines = []
    for machine in dict.fromkeys(figure.machine for figure in figures):
        of_machine = [figure for figure in figures if figure.machine == machine]
        lines += of_machine
        lines += [metrics.Figure(machine, ALL, *average) for average in metrics.total(of_machine, year=year).items()]
    return lines + [metrics.Figure(ALL, ALL, *average) for average in metrics.total(figures, year=year).items()]


def write_figures(path, figures):
    """Write `machine,section,metric,value`: a row a figure, the value in full precision, blank where it is NaN.

    Raises
    ------
    OSError
        With the file's name, if it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(metrics.Figure._fields)
    writer.writerows((*figure[:3], "" if isnan(figure.value) else repr(float(figure.value))) for figure in figures)
    write_atomically(path, text.getvalue())


def figures_table(figures):
    """Figures as a table: a row a section, a column a metric, per cent.

    Parameters
    ----------
    figures : sequence of metrics.Figure
        From :func:`with_averages`.

    Returns
    -------
    list of list of str
        The first row is the header: "machine", "section" and the metrics.
    """
    columns = list(dict.fromkeys(figure.metric for figure in figures))
    rows = {}
    for machine, section, metric, value in figures:
        rows.setdefault((machine, section), {})[metric] = value
    cells = [[*key, *(_percent(row[m]) if m in row else "" for m in columns)] for key, row in rows.items()]
    return [["machine", "section", *columns], *cells]


def aligned(rows):
    """Rows of :func:`figures_table` as text for the terminal, machine types apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines, last = [], None
    for index, row in enumerate(rows):
        if index > 1 and row[0] != last:
            lines.append("")
        last = row[0]
        cells = [cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
        if not index:
            lines.append("-" * len("  ".join(cells)))
    return "\n".join(lines)


def scores_name(machine, id):
    """File name of a machine id's scores, in score folders and in submissions of 2020."""
    return official_name("anomaly_score", machine, id)


def official_name(kind, machine, id, *, year=2020, domain=None):
    """File name of a section's (2020: machine id's) scores or decisions in a submission.

    Parameters
    ----------
    kind : {"anomaly_score", "decision_result"}
    machine, id : str
        Machine type, two-digit section or machine id.
    year : int
        Of the challenge, from 2020 on. 2020 asked for no decisions; they are named as its scores.
    domain : {"source", "target"}
        In 2021 only, which has a file a domain.

    Raises
    ------
    ValueError
        If the kind is not one, or the domain is missing in 2021.

    References
    ----------
    .. [1] Submission pages of DCASE Task 2; `README.md` and scripts of the organisers' baselines.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}, not {kind!r}")
    if year == 2020:
        return f"{kind}_{machine}_id_{id}.csv"
    if year > 2021:
        return f"{kind}_{machine}_section_{id}_test.csv"
    if domain not in metrics.DOMAINS:
        raise ValueError(f"a file of 2021 is of the domain source or target, not {domain!r}")
    return f"{kind}_{machine}_section_{id}_{domain}_test.csv"


def write_scores(path, names, scores):
    """Write `file,score` without a header.

    Raises
    ------
    OSError
        With the file's name, if it cannot be written.
    """
    _write_pairs(path, names, (repr(float(s)) for s in scores))


def write_decisions(path, names, decisions):
    """Write `file,decision` without a header: 0 (normal) or 1 (anomaly).

    Raises
    ------
    OSError
        With the file's name, if it cannot be written.
    """
    _write_pairs(path, names, (int(bool(d)) for d in decisions))


def _write_pairs(path, names, values):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(zip(names, values, strict=True))
    write_atomically(path, text.getvalue())


def read_scores(path):
    """Read what :func:`write_scores` wrote.

    Returns
    -------
    dict of str -> float
        Clip name -> score, in the order of the file.

    Raises
    ------
    DataError
        If a line is no name and finite number, a clip is there twice, or none is; with the line.
    OSError
        With the file's name, if it cannot be read.
    """
    mend = "; write it again with the system's script"
    scores = {}
    try:
        lines = list(csv.reader(io.StringIO(Path(path).read_text("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}){mend}") from None
    for number, fields in enumerate(lines, 1):
        if not fields:
            continue
        try:
            name, text = fields
            score = float(text)
        except ValueError:
            raise DataError(f"{path}, line {number}: expected file,score, got {','.join(fields)!r}{mend}") from None
        if not isfinite(score):
            raise DataError(f"{path}, line {number}: the score of {name} is {text}, not a finite number{mend}")
        if name in scores:
            raise DataError(f"{path}, line {number}: {name} is there twice{mend}")
        scores[name] = score
    if not scores:
        raise DataError(f"{path}: no scores{mend}")
    return scores


def read_averages(path):
    """Averages per machine type in what :func:`write_results` wrote: dict of machine -> (AUC, pAUC), fractions.

    Raises
    ------
    DataError
        If it is not such a file.
    """
    try:
        lines = list(csv.DictReader(io.StringIO(Path(path).read_text("utf-8-sig"))))
        return {
            line["Machine"]: (float(line["AUC"] or "nan"), float(line["pAUC"] or "nan"))
            for line in lines
            if line["Mid"] == "Average"
        }
    except (UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError):
        raise DataError(f"{path}: not a results CSV; delete it, or write it again with the system's script") from None


def submission_meta(system, averages):
    """The challenge's description of a submission, filled in as far as it is known; the rest is null.

    Parameters
    ----------
    system : a system of `asd.systems`
    averages : dict of machine -> (AUC, pAUC)
        On the development set, fractions.

    Returns
    -------
    dict
    """
    affiliation = dict.fromkeys(("abbreviation", "institute", "department", "location"))
    first = {"abbreviation": "IITKGP", "institute": "Indian Institute of Technology Kharagpur"}
    authors = [
        {
            "lastname": last,
            "firstname": given,
            "email": None,
            "corresponding": number == 0,
            "affiliation": affiliation | (first if number == 0 else {}),
        }
        for number, (given, last) in enumerate(system.authors)
    ]
    figures = {
        machine: {name: None if isnan(f) else round(100 * f, 2) for name, f in zip(META_FIGURES, pair, strict=True)}
        for machine, pair in averages.items()
    }
    return {
        "submission": {
            "label": system.submission,
            "name": system.title,
            "abbreviation": system.abbreviation,
            "authors": authors or None,
        },
        "system": {
            "description": {
                "input_sampling_rate": "16kHz",
                "acoustic_features": system.acoustic_features,
                "data_augmentation": None,
                "machine_learning_method": system.method,
                "aggregation_method": system.aggregation,
                "ensemble_method_subsystem_count": len(system.members) or None,
                "decision_making": None,
                "external_data_usage": None,
            },
            "complexity": {"total_parameters": None},
            "external_datasets": None,
            "source_code": None,
        },
        "results": {"development_dataset": figures or None},
    }


def write_meta(path, meta):
    """Write a submission's description as YAML.

    Raises
    ------
    OSError
        With the file's name, if it cannot be written.
    """
    write_atomically(path, yaml.safe_dump(meta, sort_keys=False, allow_unicode=True))


def write_submission(folder, machine, id, names, scores, decisions, *, year=2020, domains=None):
    """Write a section's (2020: machine id's) score and decision files as a year's challenge asks for them.

    Parameters
    ----------
    folder : str or Path
    machine, id : str
        Machine type, two-digit section or machine id.
    names : (n_clips,) sequence of str
        Test clips; a file holds them sorted.
    scores : (n_clips,) sequence of float
    decisions : (n_clips,) sequence of bool, or None
        Without them there are no decision files.
    year : int
        As in :func:`official_name`.
    domains : (n_clips,) sequence of {"source", "target"}
        In 2021 only.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ValueError
        If lengths differ, or in 2021 a domain is missing.
    OSError
        With the file's name, if one cannot be written.
    """
    if year != 2021 or domains is None:
        domains = [None] * len(names)
    kinds = KINDS[:1] if decisions is None else KINDS
    decisions = [None] * len(names) if decisions is None else decisions
    clips = sorted(zip(names, scores, decisions, domains, strict=True), key=lambda clip: clip[0])
    files = {}
    for domain in dict.fromkeys(clip[3] for clip in clips):
        columns = tuple(zip(*(clip[:3] for clip in clips if clip[3] == domain), strict=True))
        for kind in kinds:
            files[Path(folder) / official_name(kind, machine, id, year=year, domain=domain)] = kind, columns
    for path, (kind, (names, scores, decisions)) in files.items():
        if kind == "anomaly_score":
            write_scores(path, names, scores)
        else:
            write_decisions(path, names, decisions)
    return list(files)


def published(system):
    """Published figures of a system on the development set.

    Parameters
    ----------
    system : str
        As in `published.csv`: "modspec_graph", "iVectors_gmm", "ensemble" [1]_; "baseline", the
        challenge's, with the id "Average" only.

    Returns
    -------
    dict of (machine, two-digit id) -> Row

    References
    ----------
    .. [1] P. Tiwari et al., "Modulation spectral signal representation and i-vectors for
           anomalous sound detection", DCASE 2020 Challenge Task 2, technical report, 2020.
    """
    text = files("asd").joinpath("published.csv").read_text("utf-8")
    found = {}
    for line in csv.DictReader(io.StringIO(text)):
        if line["system"] == system:
            id = line["id"].zfill(2)
            found[line["machine"], id] = Row(line["machine"], id, float(line["AUC"]), float(line["pAUC"]))
    return found


def baseline(rows):
    """Published averages of the challenge's baseline, where `rows` hold all development ids of a machine type.

    Parameters
    ----------
    rows : list of Row

    Returns
    -------
    dict of machine -> Row
    """
    averages, ids = published("baseline"), set(published("modspec_graph"))
    ours = {(row.machine, row.id) for row in rows if not isnan(row.auc)}
    machines = dict.fromkeys(row.machine for row in rows)
    same = [m for m in machines if {k for k in ours if k[0] == m} == {k for k in ids if k[0] == m}]
    return {machine: averages[machine, "Average"] for machine in same if (machine, "Average") in averages}


def table(rows, reference):
    """A table for the terminal, per cent: our figures, beside the reference's where it has the id.

    Means of the reference run over the ids that both have, and stand only where it has all of ours.

    Parameters
    ----------
    rows : list of Row
    reference : dict of (machine, id) -> Row

    Returns
    -------
    str
    """
    theirs = [reference[r.machine, r.id] for r in rows if (r.machine, r.id) in reference and not isnan(r.auc)]
    lines = []
    ours_by, theirs_by = averages(rows), averages(theirs)
    for machine in ours_by:
        of_machine = [r for r in rows if r.machine == machine]
        for row in of_machine:
            other = reference.get((row.machine, row.id))
            lines.append((machine, row.id, (row.auc, row.pauc), other and (other.auc, other.pauc)))
        if sum(r.machine == machine for r in theirs) < sum(not isnan(r.auc) for r in of_machine):
            theirs_by.pop(machine, None)
        lines.append((machine, "mean", ours_by[machine], theirs_by.get(machine)))
        lines.append(None)
    complete = len(theirs) == sum(not isnan(row.auc) for row in rows)
    for title, mine, other in (
        (MEAN, _columns(metrics.mean, ours_by.values()), _columns(metrics.mean, theirs_by.values())),
        (
            HARMONIC,
            _columns(metrics.harmonic_mean, [(r.auc, r.pauc) for r in rows]),
            _columns(metrics.harmonic_mean, [(r.auc, r.pauc) for r in theirs]),
        ),
    ):
        lines.append((title, "", mine, other if complete else None))
    return _format(lines, bool(theirs))


def _columns(average, pairs):
    return tuple(average(column) for column in zip(*pairs, strict=True)) or (float("nan"),) * 2


def _format(lines, with_reference):
    width = max(len(MEAN), *(len(line[0]) for line in lines if line)) + 2
    header = f"{'machine':<{width}}{'id':<6}{'AUC':>7}{'pAUC':>8}"
    rule_at = len(header)
    if with_reference:
        header = f"{'':<{width + 6}}{'ours':>15}{'published':>19}\n" + header + f"{'AUC':>11}{'pAUC':>8}"
        rule_at += 19
    text = [header, "-" * rule_at]
    for line in lines:
        if line is None:
            text.append("")
            continue
        title, id, mine, other = line
        row = f"{title:<{width}}{id:<6}{_percent(mine[0]):>7}{_percent(mine[1]):>8}"
        if with_reference and other:
            row += f"{_percent(other[0]):>11}{_percent(other[1]):>8}"
        text.append(row)
    return "\n".join(text)


def _percent(fraction):
    return "-" if isnan(fraction) else f"{100 * fraction:.2f}"
