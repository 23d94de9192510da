"""What a person at a terminal gets: results on stdout, warnings by kind and errors in one line on stderr, an exit code.

Exit codes: 0 success, 1 an error the user can mend, 2 wrong usage, 130 interrupted.
"""

import argparse
import errno
import multiprocessing
import os
import signal
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from asd.audio import DataError, DataWarning


@dataclass(frozen=True)
class Outcome:
    """What a job that did not fail says: `text` for stdout (None: nothing), lines of `errors`, an exit code."""

    text: str | None
    errors: tuple[str, ...] = ()
    code: int = 0


def positive(text):
    """Type of an argument: a whole number, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def display(path):
    """A path as short as it can be said from here; an address as it is."""
    if "://" in str(path):
        return str(path)
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.path.join("..", "..")) else relative


def reported(
    job,
    *,
    kept="finished machine ids are kept, run again to go on",
    elsewhere="choose another folder with --data, --saved or --output",
):
    """Do a job for a person: print what it returns, its warnings by kind, its error in one line; the exit code.

    Parameters
    ----------
    job : callable
        Returns a str or an :class:`Outcome`.
    kept : str
        What is said of the work done so far if the person interrupts it.
    elsewhere : str
        How to choose another place for what cannot be read or written where it is.
    """
    output = error = None
    before = signal.signal(signal.SIGINT, partial(_end_at_once, kept))
    try:
        with _collected_warnings() as notes:
            try:
                output = job()
            except (DataError, OSError) as problem:
                error = problem
            except MemoryError as problem:
                error = DataError(f"not enough memory ({problem}); choose fewer --jobs or smaller settings")
    finally:
        signal.signal(signal.SIGINT, before)
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
    code = 0
    if isinstance(output, Outcome):
        for line in output.errors:
            print(f"error: {line}", file=sys.stderr)
        output, code = output.text, output.code
    if error is None and output is not None:
        try:
            print(output, flush=True)
        except OSError as problem:  # the reader went away, or its disk is full
            error = OSError(problem.errno, problem.strerror, "standard output")
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error is not None:
        print(f"error: {_mend(error, elsewhere)}", file=sys.stderr)
    return 1 if error is not None else code


def _end_at_once(kept, *_):
    """Ctrl-C: as safe as a kill, since nothing is ever half-written."""
    for worker in multiprocessing.active_children():
        worker.terminate()
    sys.stderr.write(f"\ninterrupted: {kept}\n")
    sys.stderr.flush()
    os._exit(130)


@contextmanager
def _collected_warnings():
    """A list that is filled, at the end, with one line a kind of warning."""
    caught, lines = {}, []

    def collect(message, category, filename, lineno, file=None, line=None):
        if isinstance(message, DataWarning):
            caught.setdefault(category, {}).setdefault(message.subject, message.what)
        else:
            caught.setdefault((category, str(message)), {})

    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=DataWarning)
        warnings.showwarning = collect
        try:
            yield lines
        finally:
            for kind, subjects in caught.items():
                lines.append(_warning_line(kind, subjects))


def _warning_line(kind, subjects):
    if not subjects:
        category, text = kind
        return f"{category.__name__}: {text}"
    shown = [f"{display(subject) if os.sep in subject else subject} ({what})" for subject, what in subjects.items()]
    if kind.examples and len(shown) > kind.examples:
        shown = ["e.g. " + shown[0], *shown[1 : kind.examples]]
    return f"{kind.kind} ({len(subjects)}): {', '.join(shown)}"


def _mend(error, elsewhere):
    """What an error says, with a mend where it is the system's own."""
    if not isinstance(error, OSError):
        return error
    mend = "check that it is there and may be read, and run again"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        mend = "free some space or choose another folder, and run again; what is finished is kept"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT):
        mend = f"{elsewhere}, or change its permissions, and run again"
    return f"{error.filename or 'system'}: {error.strerror or error}; {mend}"
