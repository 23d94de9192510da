"""The run that every system's script shares: machine ids in order, features from cache or clips,
scores, results, submission.

Results go to stdout; warnings, errors and progress to stderr. Exit codes: 0 success, 1 an error
the user can mend (one line on stderr), 2 wrong usage, 130 interrupted.
"""

import argparse
import errno
import math
import multiprocessing
import os
import signal
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

from threadpoolctl import threadpool_limits

from asd import dataset, metrics, results
from asd.audio import BrokenClipWarning, DataError, DataWarning
from asd.cache import CacheError
from asd.files import remove_leftovers
from asd.parallel import ClipMap, available_cores

SPLIT_NAME = {"d": "dev", "e": "eval"}
TITLE = {"d": "development set", "e": "evaluation set"}


class IncompleteIdWarning(DataWarning):
    """A machine id has no training or no test clips."""

    kind = "machine ids left out for want of clips"


class IncompleteCacheWarning(DataWarning):
    """A machine id is cached in part, and its WAVs are not there."""

    kind = "machine ids left out, cached in part and without WAVs"


class OneClassWarning(DataWarning):
    """A test set holds one class only."""

    kind = "machine ids without AUC, their test set has one class"


class GroundTruthWarning(DataWarning):
    """Test clips that the ground truth does not name."""

    kind = "machine ids without AUC, clips are missing from the ground truth"


class ForeignSubmissionWarning(DataWarning):
    """A submission folder holds files of other machine ids."""

    kind = "files in the submission folder that this run did not write"


@dataclass(frozen=True)
class Places:
    """Folders that a run reads (`data`), writes (`results`, `scores`, `task2`), or both (`saved`)."""

    data: Path
    saved: Path
    results: Path
    scores: Path
    task2: Path

    def under(self, output):
        """The same places with every result, but not the cache, below the folder `output`."""
        output = Path(output)
        return replace(self, results=output, scores=output / "individual_scores", task2=output / "task2")

    def results_file(self, system, mode):
        """The CSV of AUC and pAUC per machine id."""
        return self.results / f"{system.name}_{SPLIT_NAME[mode]}_data_results.csv"

    def scores_folder(self, system, mode):
        """Holds a CSV of `file,score` a machine id."""
        return self.scores / SPLIT_NAME[mode] / system.name

    def submission_folder(self, system):
        """Holds the challenge submission."""
        return self.task2 / system.submission


def main(system, description, script, repo, argv=None, *, saved=None, add_arguments=None):
    """Run a system's script and return its exit code.

    Parameters
    ----------
    system : callable
        Makes a system of `asd.systems` from the parsed arguments.
    description : str
        What `--help` says of the method.
    script, repo : str or Path
        The script, and the folder of the repo, which the default places derive from.
    argv : list of str, optional
    saved : callable, optional
        Makes the default cache folder from the parsed arguments; else it is `saved/` beside the script.
    add_arguments : callable, optional
        Adds the system's own arguments to the parser.
    """
    script, repo = Path(script), Path(repo)
    parser = _parser(description, script, repo, "saved/ beside the script" if saved is None else None)
    if add_arguments is not None:
        add_arguments(parser)
    args = parser.parse_args(argv)
    places = Places(
        data=args.data or repo / f"{SPLIT_NAME[args.mode]}_data",
        saved=args.saved or (saved(args) if saved else script.parent / "saved"),
        results=script.parent,
        scores=repo / "bin" / "ensemble" / "individual_scores",
        task2=repo / "task2",
    )
    if args.output:
        places = places.under(args.output)
    return _reported(
        partial(
            run,
            system(args),
            args.mode,
            places,
            machines=args.machines,
            jobs=args.jobs,
            force=args.force,
            progress=not args.quiet,
        )
    )


def run(system, mode, places, *, machines=None, jobs=None, force=False, progress=False):
    """Score every machine id of a data set and write results, scores and, in "e", the submission.

    Parameters
    ----------
    system : a system of `asd.systems`
    mode : {"d", "e"}
    places : Places
    machines : sequence of str, optional
        Only these machine types.
    jobs : int, optional
        Worker processes; default all cores.
    force : bool
        Compute features again where the clips are there.
    progress : bool
        Draw progress bars on stderr.

    Returns
    -------
    str
        What to tell the user: the table and where the files are.

    Raises
    ------
    DataError
        With the file and the mend: nothing to score, an unusable cache without its clips, an
        incomplete evaluation set.
    OSError
        If something cannot be read or written.
    """
    started = time.time()
    cache = system.cache(places.saved, mode)
    ids = _find_ids(places, cache, mode, machines)
    outputs = [places.results, places.scores_folder(system, mode)]
    outputs += [places.submission_folder(system)] if mode == "e" else []
    for folder in outputs:
        _require_writable(folder)
    labels = _ground_truth(places.data) if mode == "e" else None
    clip_map = ClipMap(jobs, progress=progress)

    rows, incomplete, unusable, n_clips = [], [], [], 0
    for number, clips in enumerate(ids, 1):
        peers = [other for other in ids if other.machine == clips.machine]
        try:
            features = None if force and not clips.missing else cache.load(clips, peers)
        except CacheError as error:
            unusable.append(str(error))
            continue
        if features is None and not clips.missing:
            _require_writable(places.saved)
            known = None if force else cache.partial(clips, peers)
            with threadpool_limits(1):
                features = system.compute(clips, peers, clip_map, f"{clips} [{number}/{len(ids)}]", known)
            if len(features.train) and len(features.test):
                cache.save(clips, features, peers)
        if problem := _problem(mode, places, clips, features):
            incomplete.append((clips, problem))
            continue
        scores = _scores(system.detector(), clips, features)
        rows.append(_write(system, mode, places, clips, features, scores, labels))
        n_clips += len(scores)

    if mode == "d":
        for clips, problem in incomplete:
            warnings.warn(IncompleteIdWarning(clips, problem), stacklevel=2)
    else:
        _remove_stale_submissions(places.submission_folder(system), [c for c, _ in incomplete], machines, ids)
    with_figures = mode == "d" or labels is not None
    if rows and with_figures:
        results.write_results(places.results_file(system, mode), rows)
    for folder in (*outputs, places.saved):
        remove_leftovers(folder, started)
    problems = "; ".join(f"{clips}: {problem}" for clips, problem in incomplete)
    if mode == "e" and incomplete:
        unusable.append(
            f"{places.data}: a submission needs every machine id and clip, mend these and run again "
            f"(all others are written): {problems}{_other_mode_hint(places.data, mode)}"
        )
    if unusable:
        raise DataError("; ".join(unusable))
    if not rows:
        raise DataError(
            f"{places.data}: no machine id could be scored: {problems}{_other_mode_hint(places.data, mode)}"
        )
    return _summary(system, mode, places, rows if with_figures else None, len(rows), n_clips)


def _scores(detector, clips, features):
    """Scores of the test clips; warnings of the detector name the machine id."""
    with warnings.catch_warnings(record=True) as caught, threadpool_limits(1):
        warnings.simplefilter("always", DataWarning)
        scores = detector.fit(features.train).decision_function(features.test)
    for warning in caught:
        if isinstance(warning.message, DataWarning):
            warnings.warn(type(warning.message)(clips, warning.message.what), stacklevel=3)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return scores


def _remove_stale_submissions(folder, incomplete, machines, ids):
    """Remove what an earlier run wrote of ids that cannot be scored now; warn of ids that are not in the data."""
    for clips in incomplete:
        (folder / results.scores_name(*clips.key)).unlink(missing_ok=True)
    if machines is None:
        ours = {results.scores_name(*clips.key) for clips in ids}
        for path in sorted(folder.glob(results.scores_name("*", "*"))):
            if path.name not in ours:
                warnings.warn(ForeignSubmissionWarning(path, "not of this data set"), stacklevel=3)


def _other_mode_hint(data, mode):
    """What to add to an error where the clips are named as those of the other mode."""
    other = "e" if mode == "d" else "d"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if any(not clips.missing for clips in dataset.scan(data, other)):
            return f"; there are test clips named as in the {TITLE[other]}: run with {other} instead of {mode}"
    return ""


def _parser(description, script, repo, saved):
    parser = argparse.ArgumentParser(
        prog=script.name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def place(*parts):
        path = repo.joinpath(*parts)
        return os.path.relpath(path) if path.exists() else str(path)

    parser.add_argument("mode", choices=("d", "e"), help="d: development set, results; e: evaluation set, submission")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder that holds <machine>/train and <machine>/test "
        f"(default: {place('dev_data')} or {place('eval_data')})",
    )
    parser.add_argument(
        "--saved",
        type=Path,
        metavar="DIR",
        help=f"feature cache, read and written (default: {saved or place('saved_iVectors') + '/ivector_mfcc_<dim>'})",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="put results, score files and submission below DIR (default: results beside the script, scores in "
        f"{place('bin', 'ensemble')}/individual_scores, submission in {place('task2')})",
    )
    parser.add_argument("--machines", nargs="+", metavar="NAME", help="only these machine types (default: all found)")
    parser.add_argument(
        "--jobs", type=positive, metavar="N", help=f"worker processes (default: all cores, here {available_cores()})"
    )
    parser.add_argument("--force", action="store_true", help="compute features again where the WAVs are there")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def positive(text):
    """Type of an argument: a whole number, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def _find_ids(places, cache, mode, machines):
    """Machine ids below the data folder and those complete in the cache, in the published order."""
    if not places.data.is_dir():
        raise DataError(
            f"{places.data}: no such data folder; name the one that holds <machine>/train and <machine>/test with "
            f"--data, or fetch the data with download_{SPLIT_NAME[mode]}_data.sh"
        )
    found = {clips.key: clips for clips in dataset.scan(places.data, mode, machines)}
    for key, lacks in cache.ids().items():
        if key not in found and (machines is None or key[0] in machines):
            clips = dataset.MachineId(*key)
            if lacks:
                warnings.warn(IncompleteCacheWarning(clips, f"no {', '.join(lacks)}"), stacklevel=2)
            else:
                found[key] = clips
    for machine in machines or ():
        if machine not in {key[0] for key in found}:
            there = ", ".join(dict.fromkeys(c.machine for c in dataset.scan(places.data, mode))) or "none"
            raise DataError(
                f"no machine {machine!r} in {places.data} nor complete in the cache {places.saved}; "
                f"in the data: {there}"
            )
    if not found:
        hint = f"put <machine>/train and <machine>/test there, or run download_{SPLIT_NAME[mode]}_data.sh"
        if (places.data / "train").is_dir() or (places.data / "test").is_dir():
            hint = f"this looks like the folder of one machine, name the one above it: --data {places.data.parent}"
        raise DataError(f"{places.data}: no machine found, nor one complete in the cache {places.saved}; {hint}")
    return sorted(found.values(), key=lambda clips: (dataset.machine_order(clips.machine), clips.id))


def _require_writable(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None


def _ground_truth(data):
    path = data / dataset.GROUND_TRUTH
    return dataset.read_ground_truth(path) if path.is_file() else None


def _problem(mode, places, clips, features):
    """Warn of the clips left out; say why the machine id cannot be scored, or None."""
    if features is None:
        return f"no {clips.missing} clips"
    for split, name, reason in features.left_out:
        warnings.warn(BrokenClipWarning(places.data / clips.machine / split / name, reason), stacklevel=3)
    for split, rows in (("training", features.train), ("test", features.test)):
        if not len(rows):
            return f"no usable {split} clips"
    broken = [f"{name} ({reason})" for split, name, reason in features.left_out if split == "test"]
    if mode == "e" and broken:
        return ", ".join(broken)
    return None


def _write(system, mode, places, clips, features, scores, truth):
    """Write a machine id's scores, in "e" its submission too; return its row of the results."""
    name = results.scores_name(*clips.key)
    scored = list(zip(features.test_names, scores, features.labels, strict=True))
    if mode == "e":
        scored.sort()
        results.write_scores(places.submission_folder(system) / name, *zip(*[s[:2] for s in scored], strict=True))
        scored = [(file, score, (truth or {}).get((clips.machine, file))) for file, score, _ in scored]
    results.write_scores(places.scores_folder(system, mode) / name, *zip(*[s[:2] for s in scored], strict=True))
    labels = [label for *_, label in scored]
    if None in labels:
        if truth is not None:
            what = f"{labels.count(None)} of {len(labels)}, e.g. {scored[labels.index(None)][0]}"
            warnings.warn(GroundTruthWarning(clips, what), stacklevel=3)
        return results.Row(*clips.key, math.nan, math.nan)
    if len(set(labels)) == 1:
        what = f"all {len(labels)} {'anomalous' if labels[0] else 'normal'}"
        warnings.warn(OneClassWarning(clips, what), stacklevel=3)
    values = [score for _, score, _ in scored]
    return results.Row(*clips.key, metrics.auc(labels, values), metrics.pauc(labels, values))


def _summary(system, mode, places, rows, n_ids, n_clips):
    lines = [f"{system.title}, {TITLE[mode]}: {n_clips} clips of {n_ids} machine ids", ""]
    if rows:
        lines += [results.table(rows, results.published(system.name)), ""]
        lines += [f"results     {_display(places.results_file(system, mode))}"]
    lines += [f"scores      {_display(places.scores_folder(system, mode))}"]
    if mode == "e":
        lines += [f"submission  {_display(places.submission_folder(system))}"]
        if not rows:
            lines += [f"            (put {dataset.GROUND_TRUTH} into {_display(places.data)} for AUC and pAUC)"]
    return "\n".join(lines)


def _display(path):
    """A path as short as it can be said from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.path.join("..", "..")) else relative


def _reported(job):
    """Do a job for a person: print what it returns, its warnings by kind, its error in one line; the exit code."""
    output = error = None
    before = signal.signal(signal.SIGINT, _end_at_once)
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
    if error is None:
        try:
            print(output, flush=True)
        except OSError as problem:  # the reader went away, or its disk is full
            error = OSError(problem.errno, problem.strerror, "standard output")
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error is not None:
        print(f"error: {_mend(error)}", file=sys.stderr)
    return int(error is not None)


def _end_at_once(*_):
    """Ctrl-C: as safe as a kill, since nothing is ever half-written."""
    for worker in multiprocessing.active_children():
        worker.terminate()
    sys.stderr.write("\ninterrupted: finished machine ids are kept, run again to go on\n")
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
    shown = [f"{_display(subject) if os.sep in subject else subject} ({what})" for subject, what in subjects.items()]
    if kind.examples and len(shown) > kind.examples:
        shown = ["e.g. " + shown[0], *shown[1 : kind.examples]]
    return f"{kind.kind} ({len(subjects)}): {', '.join(shown)}"


def _mend(error):
    """What an error says, with a mend where it is the system's own."""
    if not isinstance(error, OSError):
        return error
    mend = "check that it is there and may be read, and run again"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        mend = "free some space or choose another folder, and run again; finished machine ids are kept"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT):
        mend = "choose another folder with --data, --saved or --output, or change its permissions, and run again"
    return f"{error.filename or 'system'}: {error.strerror or error}; {mend}"
