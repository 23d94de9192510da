"""Judgements as CSV: `file,score,threshold,decision,p_value`, with a column `start` (s) where recordings are cut.

Conventions: numbers in full precision, a line feed at the end of every row, UTF-8.
"""

import csv
import io
import os

JUDGED = ("file", "score", "threshold", "decision", "p_value")


def judged_header(cut):
    """The header row; `cut` says whether recordings are cut into clips."""
    return (JUDGED[0], "start", *JUDGED[1:]) if cut else JUDGED


def judged_row(name, judgement, cut):
    """A clip's row, given the name of its file and its :class:`asd.model.Judgement`."""
    numbers = (repr(value) for value in (judgement.score, judgement.threshold))
    start = [repr(judgement.start)] if cut else []
    return [name, *start, *numbers, judgement.decision, repr(judgement.p_value)]


def csv_text(rows):
    """Rows as the text of a CSV file."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def plain_name(path):
    """A file's name as text that any file can hold; what is no Unicode is replaced."""
    return os.fsencode(str(path)).decode("utf-8", "replace")


def printable(text):
    """Text that may come from a stranger's file, without what a terminal obeys, on one line."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
