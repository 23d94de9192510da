"""What a run leaves behind: results and score CSVs, submission files, and the table on the terminal.

Conventions: AUC and pAUC are fractions in files and per cent in the table; files are UTF-8 with
"\\n", figures in full precision, and the same bytes for the same input.
"""

import csv
import io
from dataclasses import dataclass
from importlib.resources import files
from math import isnan

from asd import metrics
from asd.files import write_atomically

MEAN, HARMONIC = "mean of types", "harmonic mean"


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


def scores_name(machine, id):
    """File name of a machine id's scores, in score folders and in submissions."""
    return f"anomaly_score_{machine}_id_{id}.csv"


def write_scores(path, names, scores):
    """Write `file,score` without a header.

    Raises
    ------
    OSError
        With the file's name, if it cannot be written.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows((n, repr(float(s))) for n, s in zip(names, scores, strict=True))
    write_atomically(path, text.getvalue())


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
    theirs = [reference[r.machine, r.id] for r in rows if (r.machine, r.id) in reference]
    lines = []
    ours_by, theirs_by = averages(rows), averages(theirs)
    for machine in ours_by:
        of_machine = [r for r in rows if r.machine == machine]
        for row in of_machine:
            other = reference.get((row.machine, row.id))
            lines.append((machine, row.id, (row.auc, row.pauc), other and (other.auc, other.pauc)))
        if sum(r.machine == machine for r in theirs) < len(of_machine):
            theirs_by.pop(machine, None)
        lines.append((machine, "mean", ours_by[machine], theirs_by.get(machine)))
        lines.append(None)
    complete = len(theirs) == len(rows)
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
