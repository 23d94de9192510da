"""Score every file that arrives in a folder, once, as soon as it is finished.

The folder is looked at again and again: this works on every system and on network shares, whatever writes
the files and however. A file is finished when its size and time of change are as they were a whole interval
ago, and it reads whole. One that does not say how long it is (a WAV or FLAC file that was written to
a pipe, an Ogg file without an end, all of which look like one that is still being written) has to be
unchanged for `PATIENCE` too.

Files beside the CSV::

    <name>.csv           the rows, header first; ours to append to, yours to read, move away or delete
    .<name>.csv.state    a line of JSON a file that was scored: its name, size, time of change, and rows
    .<name>.csv.lock     locked by the watcher that is at work

The line of a file is written to the state before its rows go to the CSV, with the place where they go. So a
watcher that was killed in between writes what is missing when it is started again, and no file has its
rows twice. What is kept in memory is a few numbers for each file that is there.

Conventions: times in s; names are those below the folder, with `/`.
"""

import json
import os
import shlex
import subprocess
import time
import warnings
from contextlib import suppress
from pathlib import Path

from asd.audio import AudioError, DataError
from asd.files import write_atomically
from asd.judged import csv_text, judged_header, judged_row, plain_name, printable
from asd.layouts import SOUND_FILES

IGNORED = (".tmp", ".part")  # endings of files that are being written
PATIENCE = 60.0  # s that a file must be unchanged that does not say how long it is
COMPACT = 1000  # lines of state beyond twice the files that are there, from which on it is written anew


class WatchError(DataError):
    """A folder cannot be watched into a CSV."""


class Watcher:
    """Scores the files of a folder into a CSV.

    Use it as a context: it holds the lock of the CSV.

    Parameters
    ----------
    model : asd.model.Model
    folder : str or Path
        And the folders in it; links are followed.
    csv : str or Path, optional
        Default: the folder's name with `.csv`, beside it.
    every : float
        From one look to the next, s.
    command : str, optional
        Run for every anomaly, with the file's path as its last argument; without a shell.
    command_timeout : float
        s, after which it is ended.
    clip_seconds : float, optional
        As in :meth:`asd.model.Model.score_file`.
    say : callable, optional
        Gets a line a scored clip, and whether it is anomalous.
    warn : callable, optional
        Gets a line for whatever goes wrong with a file or the command.

    Raises
    ------
    WatchError
        If the folder is not there, another watcher writes to the CSV, or the CSV is something else.
    OSError
        With the file's name, if the CSV cannot be written to.
    """

    def __init__(
        self,
        model,
        folder,
        *,
        csv=None,
        every=5.0,
        command=None,
        command_timeout=60.0,
        clip_seconds=None,
        say=None,
        warn=None,
    ):
        self.model, self.folder, self.every = model, Path(folder), every
        if not self.folder.is_dir():
            raise WatchError(f"{plain_name(folder)}: no such folder; name the one that recordings arrive in")
        whole = Path(os.path.abspath(self.folder))
        self.csv = Path(csv) if csv else whole.with_name(f"{whole.name or 'scores'}.csv")
        self.clip_seconds = clip_seconds
        self.cut = clip_seconds is not None or model.clip_seconds is not None
        self.command, self.command_timeout = _command(command), command_timeout
        self.say, self.warn = say or (lambda line, anomalous: None), warn or (lambda line: None)
        self._state = self.csv.with_name(f".{self.csv.name}.state")
        self._scored = {}  # name -> (size, time of change) of what needs no second look
        self._waiting = {}  # name -> ((size, time of change), since when it is unchanged)
        self._lines = 0  # of the state
        self._lost = False  # the folder
        self._lock = None

    def __enter__(self):
        self.csv.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.csv.with_name(f".{self.csv.name}.lock"), self.csv)
        try:
            self._resume()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._lock.close()  # and with it the lock is gone

    def run(self, stop):
        """Look at the folder every interval.

        Parameters
        ----------
        stop : threading.Event
            Once it is set, the file at hand is finished, and the function returns.
        """
        while not stop.is_set():
            started = time.monotonic()
            self.look(stop)
            stop.wait(max(0.0, self.every - (time.monotonic() - started)))

    def look(self, stop=None):
        """Look once: score what is finished, remember the rest. Returns the number of files scored.

        Raises
        ------
        OSError
            With the file's name, if the CSV cannot be written to.
        """
        try:
            there = dict(_scan(self.folder))
        except OSError as error:
            if not self._lost:
                self.warn(f"{plain_name(self.folder)}: cannot be listed ({error.strerror or error}), waiting for it")
            self._lost = True
            return 0
        self._lost = False
        for known in (self._scored, self._waiting):
            for name in [name for name in known if name not in there]:
                del known[name]
        n_scored, now = 0, time.monotonic()
        for name, signature in there.items():
            if stop is not None and stop.is_set():
                break
            if self._is_finished(name, signature, now):
                n_scored += self._score(name, signature)
        if self._lines > 2 * len(self._scored) + COMPACT:
            self._compact()
        return n_scored

    def _is_finished(self, name, signature, now):
        """Whether a file is new, or has changed, and is now unchanged for an interval."""
        if self._scored.get(name) == signature:
            return False
        was, since = self._waiting.get(name, (None, now))
        if was != signature:
            self._scored.pop(name, None)
            self._waiting[name] = signature, now
            return False
        unchanged = now - since
        if unchanged < 0.99 * self.every:
            return False
        return unchanged >= max(PATIENCE, self.every) or not _is_open_ended(self.folder / name)

    def _score(self, name, signature):
        """Score a file that looks finished; whether it was."""
        path = self.folder / name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                recordings = self.model.recordings(path, self.clip_seconds)
                judgements = [self.model.judge(self.model.observe(recording)) for recording in recordings]
        except (AudioError, ValueError, MemoryError) as error:
            problem = error
        else:
            problem = None
        if _signature(path) != signature:  # it went on meanwhile: what was read is neither the old nor the new
            self._waiting.pop(name, None)
            return False
        del self._waiting[name]
        self._scored[name] = signature
        if problem is not None:
            reason = getattr(problem, "reason", problem)
            self.warn(f"{printable(plain_name(name))}: {reason}; not scored, it is tried again if it changes")
            return False
        shown = printable(plain_name(name))
        rows = [judged_row(shown, judgement, self.cut) for judgement in judgements]
        self._append(name, signature, csv_text(rows))
        for judgement in judgements:
            self._tell(shown, judgement)
        if self.command and any(judgement.anomalous for judgement in judgements):
            self._run_command(path)
        return True

    def _tell(self, shown, judgement):
        place = f"{shown} at {judgement.start:g} s" if self.cut else shown
        for note in judgement.notes:
            self.warn(f"{place}: unlike the training clips: {note}; scored all the same")
        numbers = f"score {judgement.score:.6g}  threshold {judgement.threshold:.6g}  p-value {judgement.p_value:.3g}"
        self.say(f"{judgement.decision:7}  {place}  {numbers}", judgement.anomalous)

    def _run_command(self, path):
        """Run the command with a file; what it lacks is said, and the watch goes on."""
        said = f"--exec {self.command[0]} with {plain_name(path.name)}"
        try:
            words = [*self.command, os.path.abspath(path)]
            done = subprocess.run(words, stdin=subprocess.DEVNULL, timeout=self.command_timeout, check=False)
        except subprocess.TimeoutExpired:
            self.warn(f"{said}: ended after {self.command_timeout:g} s")
        except (OSError, ValueError) as error:
            self.warn(f"{said}: cannot be run ({getattr(error, 'strerror', None) or error})")
        else:
            if done.returncode:
                self.warn(f"{said}: exit code {done.returncode}")

    # -- the CSV and the state ----------------------------------------------------------------------

    @property
    def _header(self):
        return csv_text([judged_header(self.cut)])

    def _append(self, name, signature, rows):
        """Add a file's rows to the CSV, after its line to the state."""
        try:
            at = os.path.getsize(self.csv)
        except FileNotFoundError:
            at = 0
        if not at:
            rows = self._header + rows
        line = {"file": name, "size": signature[0], "mtime_ns": signature[1], "at": at, "rows": rows}
        self._note(line)
        _append(self.csv, rows)

    def _note(self, line):
        _append(self._state, json.dumps(line) + "\n")
        self._lines += 1

    def _resume(self):
        """Take up what an earlier watcher left: finish its last row, remember what it scored."""
        self._check_header()
        lines = _state_lines(self._state)
        self._lines = len(lines)
        if lines:
            for line in lines:
                self._scored[line["file"]] = line["size"], line["mtime_ns"]
            self._finish(lines[-1])
        else:
            self._resume_from_csv()
        if not self.csv.exists() or not os.path.getsize(self.csv):
            if lines:  # moved away: what the last line tells of is not in this one
                self._note({"file": "", "size": 0, "mtime_ns": 0, "at": 0, "rows": ""})
            _append(self.csv, self._header)

    def _finish(self, last):
        """Write what is missing of the rows that the state's last line tells of."""
        rows = last["rows"].encode()
        there = _read_from(self.csv, last["at"], len(rows))
        if there is None:  # somebody moved the CSV away or cut it: it is theirs
            if last["at"] == 0:
                _append(self.csv, last["rows"])
        elif there != rows and rows.startswith(there):
            with open(self.csv, "r+b") as file:
                file.truncate(last["at"])
            _append(self.csv, last["rows"])

    def _resume_from_csv(self):
        """Without a state, what the CSV names is done as it is now; a row without an end is dropped."""
        import csv

        try:
            content = self.csv.read_bytes()
        except FileNotFoundError:
            return
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with open(self.csv, "r+b") as file:
                file.truncate(len(whole))
        named = {row[0] for row in csv.reader(whole.decode("utf-8", "replace").splitlines()[1:]) if row}
        if named:
            for name, signature in _scan(self.folder):
                if printable(plain_name(name)) in named:
                    self._scored[name] = signature

    def _check_header(self):
        """Refuse to append to a file that is no such CSV."""
        try:
            with open(self.csv, "rb") as file:
                first = file.readline(4096)
        except FileNotFoundError:
            return
        header = self._header.encode()
        if first and first.replace(b"\r\n", b"\n") != header and not header.startswith(first):
            raise WatchError(
                f"{plain_name(self.csv)}: its first line is not {self._header.strip()}; name another file with --csv"
            )
        if first and not first.endswith(b"\n"):  # cut in the header
            with open(self.csv, "r+b") as file:
                file.truncate(0)

    def _compact(self):
        """Write the state anew, of the files that are there; the last line, which may be unfinished, stays."""
        lines = _state_lines(self._state)
        kept = {line["file"]: line for line in lines[:-1] if line["file"] in self._scored} if lines else {}
        for line in kept.values():
            line["rows"] = ""
        text = [json.dumps(line) + "\n" for line in [*kept.values(), *lines[-1:]]]
        write_atomically(self._state, "".join(text))
        self._lines = len(text)


def _scan(folder):
    """Names and signatures of the sound files below a folder, sorted by name."""
    found, left, entered = [], [""], set()
    while left:
        below = left.pop()
        here = os.path.join(folder, below)
        try:
            status = os.stat(here)
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            entries = list(os.scandir(here))
        except OSError:
            if not below:
                raise
            continue  # a folder that went away meanwhile, or is not ours to read
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.name.startswith(".") or entry.name.lower().endswith(IGNORED):
                continue
            with suppress(OSError):
                if entry.is_dir():
                    left.append(name)
                elif entry.is_file() and SOUND_FILES.fullmatch(entry.name):
                    status = entry.stat()
                    found.append((name, (status.st_size, status.st_mtime_ns)))
    return sorted(found)


def _signature(path):
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _is_open_ended(path):
    """Whether a file looks like one that is still being written: it does not say how long it is."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
            if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
                return _is_open_ended_wav(file, "big" if head[:4] == b"RIFX" else "little", head[:4] == b"RF64")
            if head[:4] == b"fLaC" and len(head) >= 26:
                return not int.from_bytes(head[21:26], "big") & (2**36 - 1)
            if head[:4] == b"OggS":
                file.seek(max(0, os.fstat(file.fileno()).st_size - 2**17))
                tail = file.read()
                last = tail.rfind(b"OggS")
                return last < 0 or len(tail) < last + 6 or not tail[last + 5] & 4
    except OSError:
        return True
    return False


def _is_open_ended_wav(file, order, is_long):
    at = 12
    size = file.seek(0, 2)
    while at + 8 <= size:
        file.seek(at)
        chunk = file.read(8)
        length = int.from_bytes(chunk[4:], order)
        if chunk[:4] == b"data":
            return at + 8 < size and (length == 0 or (length == 2**32 - 1 and not is_long))
        at += 8 + length + length % 2
    return False  # reading it says what is missing


def _state_lines(path):
    """Whole lines of a state file; what is no such line ends it."""
    lines = []
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return lines
    end = 0
    for raw in content.splitlines(keepends=True):
        try:
            line = json.loads(raw)
            fits = raw.endswith(b"\n") and all(
                type(line[key]) is kind
                for key, kind in (("file", str), ("size", int), ("mtime_ns", int), ("at", int), ("rows", str))
            )
        except (ValueError, LookupError, TypeError, RecursionError):
            fits = False
        if not fits:
            break
        lines.append(line)
        end += len(raw)
    if end < len(content):
        with open(path, "r+b") as file:
            file.truncate(end)
    return lines


def _read_from(path, at, n):
    """n bytes of a file from a place on, fewer at its end; None if it ends before."""
    try:
        with open(path, "rb") as file:
            if file.seek(0, 2) < at:
                return None
            file.seek(at)
            return file.read(n)
    except FileNotFoundError:
        return None


def _append(path, text):
    """Add text to a file with one write."""
    try:
        with open(path, "ab", buffering=0) as file:
            data = text.encode()
            while data:  # a write may be short where a disk is nearly full
                data = data[file.write(data) :]
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _command(text):
    """The words of a command."""
    if text is None:
        return None
    try:
        words = shlex.split(text, posix=os.name == "posix")
    except ValueError as error:
        raise WatchError(f"--exec {text!r}: {error}") from None
    if not words:
        raise WatchError("--exec: no command")
    return words


def _lock(path, csv):
    """An open file that nobody else has locked; the lock ends with the process, however that ends."""
    file = open(path, "ab+")  # noqa: SIM115 (it is held for as long as the watcher lives)
    try:
        try:
            import fcntl
        except ImportError:  # Windows
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        what = "another asd watch writes to it; stop that one, or name another --csv"
        raise WatchError(f"{plain_name(csv)}: {what}") from None
    return file
