"""The records of a data set, and DCASE 2020 Task 2: its file names and folders -> machine ids and their clips.

Other years, MIMII and plain folders are read by `asd.layouts` into the same records. The layout of 2020::

    <root>/<machine>/train/normal_id_<II>_<NNNNNNNN>.wav
    <root>/<machine>/test/{normal,anomaly}_id_<II>_<NNNNNNNN>.wav    development ("d")
    <root>/<machine>/test/id_<II>_<NNNNNNNN>.wav                     evaluation ("e")

Conventions: `mode` is "d" (labelled test clips) or "e" (unlabelled); a label is 0 (normal),
1 (anomaly) or None; a domain is "source", "target" or None; clips are ordered by name, in
development test sets all normals first.
"""

import csv
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from asd.address import place
from asd.audio import DataError, DataWarning

MACHINES = ("ToyCar", "ToyConveyor", "fan", "pump", "slider", "valve")  # of 2020, in the published order
GRAMMAR = re.compile(r"(?:(normal|anomaly)_)?id_(\d{2})_(\d{8})\.wav")
LABELS = {"normal": 0, "anomaly": 1, None: None}
GROUND_TRUTH = "eval_data_list.csv"


class NameWarning(DataWarning):
    """A file name is outside the grammar."""

    kind = "files skipped, their names are outside the layout's grammar"
    examples = 1


@dataclass(frozen=True)
class Clip:
    """One recording: its file, its name within the data set, its label (0, 1 or None), its domain
    ("source", "target" or None) and what is known of its conditions (name -> value)."""

    path: Path
    name: str
    label: int | None
    domain: str | None = None
    attributes: dict = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class MachineId:
    """One machine: its type, its two-digit id (from 2021 on: section), and its training and test clips.

    `supplemental` are clips that some years add: of the machine alone, or of noise alone.
    """

    machine: str
    id: str
    train: tuple[Clip, ...] = ()
    test: tuple[Clip, ...] = ()
    supplemental: tuple[Clip, ...] = ()

    def __str__(self):
        return f"{self.machine} {self.id}"

    @property
    def key(self):
        return self.machine, self.id

    @property
    def missing(self):
        """Name of the first empty split, or None."""
        return next((split for split in ("train", "test") if not getattr(self, split)), None)


def machine_order(machine):
    """Sort key: the six machine types of 2020 as published, then any other by name."""
    return (MACHINES.index(machine), "") if machine in MACHINES else (len(MACHINES), machine)


def parse_name(name):
    """Label ("normal", "anomaly" or None) and id of a clip's file name; None outside the grammar."""
    match = GRAMMAR.fullmatch(name)
    return match and match.group(1, 2)


def layout_names(id, labels):
    """Clip names by the layout's rule: normals, then anomalies, each counted from 0."""
    counts, names = {0: 0, 1: 0}, []
    for label in labels:
        names.append(f"{('normal', 'anomaly')[label]}_id_{id}_{counts[label]:08d}.wav")
        counts[label] += 1
    return names


def scan(root, mode, machines=None):
    """Find the machine ids below a folder in the DCASE 2020 layout.

    Parameters
    ----------
    root : str or Path or Address
        Folder that holds `<machine>/train` and `<machine>/test`.
    mode : {"d", "e"}
        Which test names belong: labelled or unlabelled ones.
    machines : sequence of str, optional
        Only these machine types.

    Returns
    -------
    list of MachineId
        In the published order of machine types, ids ascending; a split may be empty.

    Raises
    ------
    OSError
        If the folder or one below it cannot be listed.
    ValueError
        If `mode` is neither "d" nor "e".

    Warns
    -----
    NameWarning
        For each file whose name is outside the grammar of its place.
    """
    if mode not in ("d", "e"):
        raise ValueError(f"mode is 'd' (development) or 'e' (evaluation), not {mode!r}")
    root = place(root)
    found = []
    for folder in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")):
        if not is_text(folder.name):
            warnings.warn(NameWarning(folder, "name is not Unicode"), stacklevel=2)
        elif machines is None or folder.name in machines:
            train = _split(folder / "train", ("normal",))
            test = _split(folder / "test", ("normal", "anomaly") if mode == "d" else (None,))
            for id in sorted(train.keys() | test.keys()):
                found.append(MachineId(folder.name, id, tuple(train.get(id, ())), tuple(test.get(id, ()))))
    return sorted(found, key=lambda m: (machine_order(m.machine), m.id))


def _split(folder, labels):
    """Clips of a folder by id, normals first, then by name."""
    clips = {}
    if folder.is_dir():
        for path in sorted(folder.iterdir(), key=lambda p: p.name):
            if path.name.startswith("."):
                continue
            parsed = parse_name(path.name)
            if parsed and parsed[0] in labels:
                clips.setdefault(parsed[1], []).append(Clip(path, path.name, LABELS[parsed[0]]))
            else:
                warnings.warn(NameWarning(path, "name does not fit its folder"), stacklevel=3)
    return {id: sorted(of_id, key=lambda clip: clip.label or 0) for id, of_id in clips.items()}


def is_text(name):
    """False for the stand-ins that Python uses for bytes that are no UTF-8."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def read_ground_truth(path):
    """The official list of the labels of 2020's evaluation set.

    Parameters
    ----------
    path : str or Path
        `eval_data_list.csv`: a line with one field names the machine type; the lines after it hold
        test name, labelled name, label.

    Returns
    -------
    dict of (machine, test name) -> 0 or 1

    Raises
    ------
    DataError
        If a line is neither, with its number, or the file is not UTF-8 text.
    """
    labels = {}
    for number, machine, fields in list_lines(path):
        if len(fields) != 3 or fields[2] not in ("0", "1") or not machine:
            raise DataError(f"{path}, line {number}: expected a machine type, or test name, name and label 0 or 1")
        labels[machine, fields[0]] = int(fields[2])
    return labels


def list_lines(path):
    """Lines of an official list of an evaluation set that name a clip.

    Returns
    -------
    list of (line number, machine type or None, fields)
        Fields are stripped, empty ones left out.

    Raises
    ------
    DataError
        If the file is not CSV in UTF-8.
    """
    lines, machine = [], None
    for number, row in csv_rows(path):
        fields = [field.strip() for field in row if field.strip()]
        if len(fields) == 1:
            machine = fields[0]
        elif fields:
            lines.append((number, machine, fields))
    return lines


def csv_rows(path):
    """Rows of a small CSV file with their numbers, from 1; DataError if it is not CSV in UTF-8."""
    try:
        return list(enumerate(csv.reader(place(path).read_text("utf-8-sig").splitlines()), 1))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}); fetch it again") from None
