"""The d/e run that every script shares: machine ids in order, features from cache or clips, scores."""

import argparse
import os
import time
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from asd import dataset, results
from asd.address import absolute, place
from asd.audio import BrokenClipWarning, DataError, DataWarning
from asd.cache import CacheError
from asd.console import display, positive, reported
from asd.files import remove_leftovers
from asd.fusion import is_constant
from asd.outputs import SPLIT_NAME, TITLE, IncompleteIdWarning, Outputs, Places, Scored, require_writable
from asd.parallel import ClipMap, available_cores
from asd.scoring import score, with_siblings, with_view

REPORT_CLIPS = 5  # explained in a report, of either label


class IncompleteCacheWarning(DataWarning):
    """A machine id is cached in part, and its WAVs are not there."""

    kind = "machine ids left out, cached in part and without WAVs"


class OneSystemWarning(DataWarning):
    """A machine id was scored by one of the systems only."""

    kind = "machine ids left out, not scored by every system"


class ConstantScoresWarning(DataWarning):
    """A system gave every clip the same score."""

    kind = "machine ids whose clips all score the same with a system, which adds nothing"


def main(system, description, script, repo, argv=None, *, saved=None, add_arguments=None, features=True):
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
    saved : (callable, str), optional
        Makes the default cache folder from the parsed arguments, and how to say which it is; else
        `saved/` beside the script.
    add_arguments : callable, optional
        Adds the system's own arguments to the parser.
    features : bool
        Whether the system computes features; else the flags for these are taken and do nothing.
    """
    script, repo = Path(script), Path(repo)
    default_saved, saved_help = saved or (lambda args: script.parent / "saved", "saved/ beside the script")
    parser = _parser(description, script, repo, saved_help, features)
    if add_arguments is not None:
        add_arguments(parser)
    args = parser.parse_args(argv)
    places = Places(
        data=args.data or repo / f"{SPLIT_NAME[args.mode]}_data",
        saved=args.saved or default_saved(args),
        results=script.parent,
        scores=repo / "bin" / "ensemble" / "individual_scores",
        task2=repo / "task2",
        reports=repo / "reports",
    )
    if args.output:
        places = places.under(args.output)
    made = system(args)
    if args.scheduler:
        places = replace(places, data=absolute(places.data))  # a worker has another working directory
    options = {"machines": args.machines, "progress": not args.quiet}
    options["report_clips"] = args.report_clips if args.report else None
    if made.members:
        options |= {"members_scores": args.scores, "require_data": args.data is not None}
        return reported(partial(fuse, made, args.mode, places, **options))
    job = partial(run, made, args.mode, places, jobs=args.jobs, scheduler=args.scheduler, force=args.force, **options)
    return reported(job)


def run(
    system,
    mode,
    places,
    *,
    machines=None,
    jobs=None,
    scheduler=None,
    force=False,
    progress=False,
    report_clips=None,
):
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
    scheduler : str, optional
        Address of a Dask scheduler whose workers are used instead, or "local": see :class:`ClipMap`.
    force : bool
        Compute features again where the clips are there.
    progress : bool
        Draw progress bars on stderr.
    report_clips : int, optional
        Write an HTML report that explains so many clips of either label a machine id.

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
    clip_map = ClipMap(jobs, progress=progress, scheduler=scheduler)
    system.n_jobs = clip_map.jobs
    outputs = Outputs(system, mode, places, report_clips=report_clips)

    incomplete, unusable = [], []
    views = [(view, view.cache(folder, mode), folder, weight) for view, folder, weight in system.views]

    def found(system, cache, folder, peers):
        """The ids of a machine type and their features by a system, one by one."""
        for clips in peers:
            description = f"{clips} [{ids.index(clips) + 1}/{len(ids)}]"
            try:
                features = None if force and not clips.missing else cache.load(clips, peers)
            except CacheError as error:
                unusable.append(str(error))
                continue
            if features is None and not clips.missing:
                require_writable(folder)
                known = None if force else cache.partial(clips, peers)
                with threadpool_limits(1):
                    features = system.compute(clips, peers, clip_map, description, known)
                if len(features.train) and len(features.test):
                    cache.save(clips, features, peers, partial(clip_map, description=f"{description} manifest"))
            yield clips, features

    spectra = partial(found, system, cache, places.saved)
    with clip_map:
        for clips, features, siblings in with_siblings(system, ids, spectra, lambda machine: cache.training(machine)):
            if problem := _problem(mode, places, clips, features):
                incomplete.append((clips, problem))
                continue
            scored = score(system, clips, features, siblings)
            for view, view_cache, folder, weight in views:
                for _, of_view in found(view, view_cache, folder, [clips]):
                    scored = with_view(scored, of_view and score(view, clips, of_view), weight, view.name)
            outputs.add(scored)
    folders = (*outputs.folders, places.saved, *(folder for _, _, folder, _ in views))
    return _conclude(outputs, incomplete, unusable, machines, ids, folders, started)


def fuse(
    ensemble, mode, places, *, members_scores=None, require_data=False, machines=None, progress=False, report_clips=None
):
    """Fuse the score files of several systems; write what :func:`run` writes.

    Parameters
    ----------
    ensemble : Ensemble
    members_scores : Path, optional
        Holds `{dev,eval}/<system>/`; default: where this run writes its own, `places.scores`.
    require_data : bool
        Whether it is an error if the folder `places.data` is not there.
    mode, places, machines, progress, report_clips
        See :func:`run`. The WAVs below `places.data` need not be there: the report plays them.

    Returns
    -------
    str

    Raises
    ------
    DataError
        With the file and the mend: no score files, files that are none, systems that scored other
        clips than each other, an incomplete evaluation set.
    OSError
        If something cannot be read or written.
    """
    started = time.time()
    if require_data and not places.data.is_dir():
        raise DataError(f"{places.data}: no such data folder; name the one that holds <machine>/test, or none")
    read = replace(places, scores=members_scores or places.scores)
    folders = [read.scores_folder(name, mode) for name in ensemble.members]
    wavs = {}
    if places.data.is_dir():
        wavs = {clips.key: clips for clips in dataset.scan(places.data, mode, machines)}
    ids = _scored_ids(ensemble, mode, folders, wavs if mode == "e" else {}, machines)
    outputs = Outputs(ensemble, mode, places, report_clips=report_clips)

    incomplete, unusable = [], []
    for clips in ClipMap(1, progress=progress).bar("ensemble", ids, unit="id"):
        lacking = [folder for folder in folders if not (folder / results.scores_name(*clips.key)).is_file()]
        if lacking:
            scripts = {folder.name: ensemble.members[folder.name] for folder in lacking}
            what = "; ".join(f"no scores in {display(folder)}, run {scripts[folder.name]} {mode}" for folder in lacking)
            incomplete.append((clips, what))
            continue
        try:
            outputs.add(_fused(ensemble, mode, wavs.get(clips.key, clips), read))
        except DataError as error:
            unusable.append(str(error))
    folders, source = outputs.folders, read.scores
    return _conclude(
        outputs, incomplete, unusable, machines, ids, folders, started, kind=OneSystemWarning, source=source
    )


def _conclude(outputs, incomplete, unusable, machines, ids, folders, started, *, kind=IncompleteIdWarning, source=None):
    """Write what is left to write once all ids are scored; say what was not."""
    mode, data = outputs.mode, source or outputs.places.data
    if mode == "d" and outputs.rows:
        for clips, problem in incomplete:
            warnings.warn(kind(clips, problem), stacklevel=3)
    outputs.remove_stale(ids, machines)
    summary = outputs.finish() if outputs.rows else None
    for folder in folders:
        remove_leftovers(folder, started)
    problems = "; ".join(f"{clips}: {problem}" for clips, problem in incomplete)
    if mode == "e" and incomplete:
        unusable.append(
            f"{data}: a submission needs every machine id and clip, mend these and run again "
            f"(all others are written): {problems}{_other_mode_hint(data, mode)}"
        )
    if unusable:
        raise DataError("; ".join(unusable))
    if summary is None:
        raise DataError(f"{data}: no machine id could be scored: {problems}{_other_mode_hint(data, mode)}")
    return summary


def _scored_ids(ensemble, mode, folders, expected, machines):
    """Machine ids that any member scored, and those expected, in the published order."""
    found = {clips.key: clips for clips in expected.values()}
    names = [path.name for folder in folders for path in folder.glob(results.scores_name("*", "*"))]
    matches = [results.SCORES_NAME.fullmatch(name) for name in names if dataset.is_text(name)]
    named = [match.groups() for match in matches if match]
    if not named:
        hint = f"run {' and '.join(f'{script} {mode}' for script in ensemble.members.values())} first, or name the "
        hint += f"folder that holds {SPLIT_NAME[mode]}/{folders[0].name} with --scores"
        other = "e" if mode == "d" else "d"
        if any((f.parents[1] / SPLIT_NAME[other] / f.name).is_dir() for f in folders):
            hint += f"; there are scores of the {TITLE[other]}: for these, run with {other} instead of {mode}"
        raise DataError(f"{' and '.join(map(str, folders))}: no score files; {hint}")
    for machine, id in named:
        found.setdefault((machine, id), dataset.MachineId(machine, id))
    there = {machine for machine, _ in found}
    for machine in machines or ():
        if machine not in there:
            listed = ", ".join(sorted(there))
            raise DataError(f"no scores of a machine {machine!r} in {folders[0].parent}; there are: {listed}")
    ids = [clips for clips in found.values() if machines is None or clips.machine in machines]
    return sorted(ids, key=lambda clips: (dataset.machine_order(clips.machine), clips.id))


def _fused(ensemble, mode, clips, places):
    """Fused scores of a machine id, from its members' score files."""
    file = results.scores_name(*clips.key)
    paths = [places.scores_folder(member, mode) / file for member in ensemble.members]
    members = [results.read_scores(path) for path in paths]
    _require_same_clips(paths, members)
    names = sorted(members[0])
    parsed = [dataset.parse_name(name) for name in names]
    wanted = ("normal", "anomaly") if mode == "d" else (None,)
    for name, found in zip(names, parsed, strict=True):
        if not found or found[0] not in wanted or found[1] != clips.id:
            of = "normal_id_{0}_… or anomaly_id_{0}_…" if mode == "d" else "id_{0}_…"
            raise DataError(
                f"{paths[0]}: {name} is no clip of id {clips.id} of the {TITLE[mode]}, {of.format(clips.id)}; "
                f"scores of the {TITLE['e' if mode == 'd' else 'd']} do not belong below {SPLIT_NAME[mode]}"
            )
    labels = [dataset.LABELS[label] for label, _ in parsed]
    order = sorted(range(len(names)), key=lambda i: labels[i] or 0)  # stable: normals first, then by name
    names, labels = [names[i] for i in order], [labels[i] for i in order]
    there = {clip.name for clip in clips.test}
    differ = (there ^ set(names)) if mode == "e" else (set(names) - there)  # in "d" broken clips have no score
    if there and differ:
        name = min(differ)
        what = "not scored" if name in there else "scored, but not there"
        raise DataError(f"{paths[0]}: {name} is {what}; score the clips as they are now with both systems")
    scores = np.array([[member[name] for member in members] for name in names])
    training = None
    constant = [path.parent.name for path, column in zip(paths, scores.T, strict=True) if np.ptp(column) == 0]
    if ensemble.calibrated:
        paths = [places.training_scores_folder(member, mode) / file for member in ensemble.members]
        of_training = [_training_scores(path, ensemble) for path in paths]
        _require_same_clips(paths, of_training)
        training = [np.array(list(of_member.values())) for of_member in of_training]
        constant += [f"{p.parent.name} in training" for p, t in zip(paths, training, strict=True) if is_constant(t)]
    if constant:
        what = "" if ensemble.calibrated else ": every fused score is 0"
        warnings.warn(ConstantScoresWarning(clips, " and ".join(constant) + what), stacklevel=3)
    fused, normalised = ensemble.fuse(scores, training)
    if not np.isfinite(fused).all():
        raise DataError(f"{paths[0]}: scores too far apart to be fused; score the clips again with both systems")
    columns = dict(zip(ensemble.members, normalised.T, strict=True))
    explain = partial(ensemble.explain, normalised)
    return Scored(clips, names, fused, labels, columns=columns, explain=explain)


def _require_same_clips(paths, scores):
    """Refuse score files that are not of the same clips."""
    for path, of_member in zip(paths[1:], scores[1:], strict=True):
        for lacks, has, absent in (
            (path, paths[0], scores[0].keys() - of_member.keys()),
            (paths[0], path, of_member.keys() - scores[0].keys()),
        ):
            if absent:
                more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
                raise DataError(
                    f"{lacks}: lacks {min(absent)}{more}, which {has} has; score the same clips with both systems"
                )


def _training_scores(path, ensemble):
    if not path.is_file():
        script = ensemble.members[path.parent.name]
        raise DataError(
            f"{path}: no training scores, which calibrated fusion needs; write them with {script}, from WAVs "
            "(i-vectors of unknown origin have none), or use --fusion published"
        )
    return results.read_scores(path)


def _other_mode_hint(data, mode):
    """What to add to an error where the clips are named as those of the other mode."""
    other = "e" if mode == "d" else "d"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if data.is_dir() and any(not clips.missing for clips in dataset.scan(data, other)):
            return f"; there are test clips named as in the {TITLE[other]}: run with {other} instead of {mode}"
    return ""


def _parser(description, script, repo, saved, features):
    unused = None if features else "taken as by the other scripts; without effect, no features are computed here"
    parser = argparse.ArgumentParser(
        prog=script.name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def default(*parts):
        path = repo.joinpath(*parts)
        return os.path.relpath(path) if path.exists() else str(path)

    parser.add_argument("mode", choices=("d", "e"), help="d: development set, results; e: evaluation set, submission")
    parser.add_argument(
        "--data",
        type=place,
        metavar="DIR",
        help="folder that holds <machine>/train and <machine>/test, or its URL "
        f"(default: {default('dev_data')} or {default('eval_data')})",
    )
    parser.add_argument(
        "--saved",
        type=Path,
        metavar="DIR",
        help=unused or f"feature cache, read and written (default: {saved})",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="put results, score files, submission and report below DIR (default: results beside the script, scores in "
        f"{default('bin', 'ensemble')}/individual_scores, submission in {default('task2')})",
    )
    parser.add_argument("--machines", nargs="+", metavar="NAME", help="only these machine types (default: all found)")
    parser.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help=unused or f"worker processes (default: all cores, here {available_cores()})",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help=unused
        or "analyse clips on a Dask cluster instead: address of its scheduler, e.g. tcp://host:8786, or local to "
        "start one here with --jobs workers (docs/scaling.md)",
    )
    parser.add_argument(
        "--force", action="store_true", help=unused or "compute features again where the WAVs are there"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument(
        "--report",
        action="store_true",
        help="write an HTML page: figures with intervals, ROC curves, clips to listen to and why they scored high "
        f"(below {default('reports')})",
    )
    parser.add_argument(
        "--report-clips",
        type=positive,
        metavar="N",
        default=REPORT_CLIPS,
        help=f"normal and anomalous clips a machine id that the page explains (default: {REPORT_CLIPS} each)",
    )
    return parser


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
