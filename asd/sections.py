"""DCASE Task 2 of 2021 to 2026: clip names, attribute files, and the official lists of evaluation sets.

A clip belongs to a section of a machine type; its name tells, as far as the challenge wants it told,
domain, split, label and the conditions of the recording::

    section_00_source_train_normal_0000_strength_1_ambient.wav
    section_03_target_test_0017.wav                                evaluation set of 2021
    section_00_0017.wav                                            evaluation sets from 2022 on
    section_00_target_test_anomaly_0017_vel_2_f-n_D.wav            the same clip in the official list
    section_00_machine_0001_.wav                                   supplemental clip

Conventions: a label is 0 (normal), 1 (anomaly) or None; a domain is "source", "target" or None.
"""

import re
from dataclasses import dataclass, field

from asd.audio import DataError
from asd.dataset import LABELS, csv_rows, list_lines

GRAMMAR = re.compile(
    r"""section_(?P<section>[0-9]{2})
        (?:_(?P<domain>source|target))?
        (?:_(?P<noise>noise))?
        (?:_(?P<split>train|test|supplemental))?
        (?:_(?P<label>normal|anomaly))?
        (?:_(?P<sound>machine|noise))?
        _(?P<number>[0-9]{4})
        _?(?P<tail>.*)
        \.[wW][aA][vV]""",
    re.VERBOSE,
)
NO_ATTRIBUTE = "noAttribute"
WHOLE = "tail"  # attribute that holds a tail which is no list of names and values


@dataclass(frozen=True)
class SectionName:
    """What a clip's name tells; None is what it does not.

    `split` is "train", "test" or "supplemental", `sound` is "machine" or "noise" (alone, in
    supplemental clips), `tail` what follows the number.
    """

    section: str
    domain: str | None
    split: str | None
    label: int | None
    sound: str | None
    number: str
    tail: str


@dataclass(frozen=True)
class Truth:
    """What an official list tells of a test clip."""

    label: int
    domain: str | None = None
    attributes: dict = field(default_factory=dict, hash=False)


def parse_section(name):
    """What a file name tells of its clip; None outside the grammar.

    Parameters
    ----------
    name : str
        Without folders.

    Returns
    -------
    SectionName or None
    """
    match = GRAMMAR.fullmatch(name)
    if not match:
        return None
    part = match.groupdict()
    return SectionName(
        section=part["section"],
        domain=part["domain"],
        split=part["split"],
        label=LABELS[part["label"]],
        sound=part["sound"] or part["noise"],
        number=part["number"],
        tail=part["tail"],
    )


def parse_attributes(tail):
    """Conditions of a recording from the tail of its name.

    Parameters
    ----------
    tail : str
        Names and values in turn, joined by "_": `car_A1_spd_2.8V`; or empty, or `noAttribute`.

    Returns
    -------
    dict of str to str
        Where the tail does not pair up (an odd count, as in `strength_1_ambient`, or a name twice,
        as in `mic_imp23_mic_pos_A_grind_2`), the whole of it under `tail`: nothing is guessed and
        nothing is lost.
    """
    if tail in ("", NO_ATTRIBUTE):
        return {}
    tokens = tail.split("_")
    names = tokens[::2]
    if len(tokens) % 2 or len(set(names)) < len(names) or not all(names):
        return {WHOLE: tail}
    return dict(zip(names, tokens[1::2], strict=True))


def read_attributes(path):
    """Conditions of recordings from an attribute file.

    Parameters
    ----------
    path : str or Path
        `attributes_XX.csv`: `file_name,d1p,d1v,d2p,d2v,...` in the first row, then a row a clip, its
        file with or without folders and ending, names and values in turn. A year that conceals
        the conditions of a machine has file names only.

    Returns
    -------
    dict of str to dict
        File name without folders and ending -> condition -> value.

    Raises
    ------
    DataError
        If the file is not CSV in UTF-8.
    OSError
        If it cannot be read.
    """
    found = {}
    for _, row in csv_rows(path):
        cells = [cell.strip() for cell in row]
        if cells and cells[0] not in ("", "file_name"):
            pairs = zip(cells[1::2], cells[2::2], strict=False)
            found[stem(cells[0])] = {name: value for name, value in pairs if name}
    return found


def stem(file):
    """A clip's name without folders and ending; a dot in an attribute's value is no ending."""
    return re.sub(r"\.[wW][aA][vV]$", "", file.replace("\\", "/").rsplit("/", 1)[-1])


def read_truth(path):
    """The official list of an evaluation set, of any year.

    Parameters
    ----------
    path : str or Path
        `eval_data_list.csv`: a line with one field names the machine type; the lines after it hold
        test name and labelled name, in 2020 a label as well.

    Returns
    -------
    dict of (machine, test name) -> Truth

    Raises
    ------
    DataError
        With the line's number, if it is neither, its two names are not of one section and domain,
        or it contradicts an earlier one; or if the file is not CSV in UTF-8.
    OSError
        If it cannot be read.
    """
    found = {}
    for number, machine, fields in list_lines(path):
        truth = _truth_of_2020(fields) if len(fields) == 3 else _truth(fields)
        if truth is None or not machine:
            raise DataError(
                f"{path}, line {number}: expected a machine type, or test name and labelled name (in 2020 and a "
                f"label 0 or 1) of one section; found {','.join(fields)}; fetch the list again"
            )
        if found.setdefault((machine, fields[0]), truth) != truth:
            raise DataError(
                f"{path}, line {number}: {machine} {fields[0]} is listed twice, differently; fetch it again"
            )
    return found


def _truth_of_2020(fields):
    return Truth(int(fields[2])) if fields[2] in ("0", "1") else None


def _truth(fields):
    test, labelled = map(parse_section, fields) if len(fields) == 2 else (None, None)
    if not test or not labelled or labelled.label is None or labelled.domain is None:
        return None
    if test.section != labelled.section or test.domain not in (None, labelled.domain):
        return None
    return Truth(labelled.label, labelled.domain, parse_attributes(labelled.tail))
