"""The command `asd`: fit a model of a machine's normal sound, score and watch new recordings.

A subcommand is a function `add_<name>(subparsers)` in `COMMANDS` that adds its parser, with
`set_defaults(job=...)`: a function of the parsed arguments that returns the exit code. Methods are
imported when a job runs, so that `--help` and `--version` come at once.
"""

import argparse
import json
import os
import sys
import warnings
from functools import partial
from pathlib import Path

import asd
from asd.console import Outcome, positive, reported
from asd.evaluate import add_evaluate
from asd.judged import JUDGED, csv_text, judged_header, judged_row, plain_name, printable

DESCRIPTION = """\
Anomalous sound detection for one's own machines, on a CPU, without training data of faults:

  asd fit recordings/normal -o pump.asd     learn what normal sounds like
  asd score pump.asd recordings/new         a score and a decision for every clip
  asd watch pump.asd recordings/incoming    the same for every file that arrives
  asd info pump.asd                         what a model is made of
"""
EXIT_CODES = "exit code: 0 success, 1 something to mend (said on stderr), 2 wrong usage"
FOUND = 3  # exit code: an anomaly
REPORT_CLIPS = 10  # explained in a report
SYSTEM_NAMES = ("local-reconstruction", "modspec-graph", "ivector-gmm", "ensemble")


def main(argv=None):
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="asd", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-v", "--version", action=_Version, nargs=0, help="print the version and stop")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(subparsers)
    args = parser.parse_args(argv)
    return args.job(args)


class _Version(argparse.Action):
    def __call__(self, parser, *_):
        print(f"asd {asd.__version__}")
        parser.exit()


# -- fit ----------------------------------------------------------------------------------------------


def add_fit(subparsers):
    """`asd fit`."""
    parser = _command(
        subparsers,
        "fit",
        "learn what is normal from recordings of normal sound",
        "Learn what a machine's normal sound is and write a model file. A hundred clips of the length that will be\n"
        "scored, from all the conditions it works in, are a good start.\n\n"
        "Some share of normal clips will be flagged, too: --false-alarms says how many are acceptable. The\n"
        "threshold comes from scores of the training clips by detectors that did not see them.",
    )
    parser.add_argument(
        "sources", nargs="+", metavar="NORMAL", help="sound files, or folders of them (links are followed)"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL", help="the model file to write")
    parser.add_argument("--system", choices=SYSTEM_NAMES, help=f"the method (default: {SYSTEM_NAMES[0]})")
    parser.add_argument(
        "--add",
        action="store_true",
        help="add clips to the model that is there. What it hears with stays as it was first fitted (the noise "
        "profile of the spectra, the UBM of ivector-gmm); all else is fitted again on old and new clips. Files that "
        "it was fitted on are left out. After a change of microphone or mounting, fit anew instead",
    )
    parser.add_argument(
        "--threshold",
        choices=("empirical", "gamma"),
        help="empirical: a rank among the training scores, which holds whatever their distribution (default); gamma: a "
        "quantile of a gamma distribution, as the challenge's baselines do",
    )
    parser.add_argument(
        "--false-alarms",
        type=_share,
        metavar="SHARE",
        help="share of normal clips that may be flagged (default: 0.01; with --threshold gamma 0.1)",
    )
    parser.add_argument("--channel", type=_channel, metavar="N", help="channel to listen to, from 0 (default: 0)")
    parser.add_argument(
        "--clip-seconds",
        type=_seconds,
        metavar="S",
        help="cut recordings into clips of that length, for training and for scoring (what is left over at the end of "
        "a training file is not used)",
    )
    _add_jobs(parser)
    parser.set_defaults(job=lambda args: _reported(_fit, args))


def _fit(args):
    from asd.model import Model
    from asd.outputs import require_writable

    options = {"jobs": args.jobs, "progress": not args.quiet, "false_alarms": args.false_alarms}
    require_writable(args.output.parent)
    if args.add:
        model = Model.load(args.output)
        for flag in ("system", "channel", "clip_seconds"):
            asked, has = getattr(args, flag), getattr(model, flag)
            if asked is not None and asked != has:
                from asd.audio import DataError

                name = flag.replace("_", "-")
                raise DataError(
                    f"{args.output}: fitted with {name} {has}, --add keeps that; fit anew, or leave --{name} out"
                )
        n_before = len(model.scores)
        model = model.add(args.sources, threshold=args.threshold, **options)
        added = f", {len(model.scores) - n_before} of them new"
    else:
        added = ""
        model = Model.fit(
            args.sources,
            args.system or SYSTEM_NAMES[0],
            channel=args.channel or 0,
            clip_seconds=args.clip_seconds,
            threshold=args.threshold or "empirical",
            **options,
        )
    model.save(args.output)
    lines = {
        "model": f"{_shown(args.output)} ({_size(args.output)})",
        "system": model.system,
        "fitted on": _clips(model) + added,
        **_threshold_lines(model),
    }
    return _aligned(lines)


def _clips(model):
    n, files = len(model.scores), len(model.files)
    seconds = model.duration
    length = (
        f"{seconds:.1f} s"
        if seconds < 120
        else f"{seconds / 60:.1f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
    return f"{n} clips, {length} in all" + (f", from {files} file{'s' * (files > 1)}" if files != n else "")


def _threshold_lines(model):
    expected = model.expected_false_alarms
    aim = f"{100 * model.false_alarms:.4g} % false alarms"
    how = f"empirical, {aim} asked for" if model.method == "empirical" else f"gamma distribution, {aim} asked for"
    return {
        "threshold": f"{model.threshold:.6g} ({how})",
        "false alarms": f"{100 * expected.share:.2g} % of normal clips are to be expected "
        f"(95 % interval: {100 * expected.low:.2g} to {100 * expected.high:.2g} %)",
    }


# -- score --------------------------------------------------------------------------------------------


def add_score(subparsers):
    """`asd score`."""
    parser = _command(
        subparsers,
        "score",
        "score recordings with a model",
        "Score recordings: the higher, the more anomalous. A clip is an anomaly if its score is above the\n"
        "threshold; its p-value is the share of normal clips that score as high.",
        f"exit code: 0 all normal, {FOUND} an anomaly, 1 something could not be read (all else is scored) or is to be\n"
        "mended, 2 wrong usage",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file of `asd fit`")
    parser.add_argument("sources", nargs="+", metavar="FILE_OR_FOLDER", help="sound files, or folders of them")
    parser.add_argument("--csv", type=Path, metavar="FILE", help=f"write {','.join(JUDGED)} there, a row a clip")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write DIR/report.html: clips ranked, and why they scored high"
    )
    parser.add_argument(
        "--clip-seconds",
        type=_seconds,
        metavar="S",
        help="cut recordings into clips of that length, the last of which ends with the recording; the CSV gets a "
        "column start (s) after file (default: as the model was fitted)",
    )
    _add_jobs(parser)
    parser.set_defaults(job=lambda args: _reported(_score, args))


def _score(args):
    from asd import model as models
    from asd import training
    from asd.audio import AudioError, ChannelsWarning, ResampledWarning
    from asd.files import write_atomically
    from asd.outputs import require_writable
    from asd.parallel import ClipMap

    model = models.Model.load(args.model)
    for folder in (args.csv and args.csv.parent, args.report):
        if folder is not None:
            require_writable(folder)
    cut = args.clip_seconds is not None or model.clip_seconds is not None
    recordings, unreadable = [], []
    paths = []
    for source in args.sources:
        found = training.sound_paths([source])
        if not found:
            unreadable.append((_shown(source), "no sound files in this folder"))
        paths += found
    for path in paths:
        try:
            recordings += model.recordings(path, args.clip_seconds)
        except AudioError as error:
            unreadable.append((_shown(path), error.reason))
    with warnings.catch_warnings():
        for kind in (ResampledWarning, ChannelsWarning):  # the model knows its clips' rates and channel
            warnings.simplefilter("ignore", kind)
        seen = ClipMap(args.jobs, progress=not args.quiet)(model.observer, recordings, "scoring")
    rows = []
    for recording, observation in zip(recordings, seen, strict=True):
        if isinstance(observation, AudioError):
            unreadable.append((_shown(recording), observation.reason))
        else:
            judgement = model.judge(observation)
            rows.append((recording, observation, judgement))
            if judgement.notes:
                warnings.warn(models.UnlikeModelWarning(_shown(recording), "; ".join(judgement.notes)), stacklevel=2)
    if args.csv:
        judged = [judged_row(_shown(recording.path), judgement, cut) for recording, _, judgement in rows]
        write_atomically(args.csv, csv_text([judged_header(cut), *judged]))
    if args.report:
        _report(args, model, rows)
    n_found = sum(judgement.anomalous for *_, judgement in rows)
    text = _json(args, model, rows, unreadable, cut) if args.json else _table(rows, n_found, cut)
    errors = tuple(f"{name}: {reason}; not scored" for name, reason in unreadable)
    return Outcome(text, errors, 1 if unreadable else FOUND if n_found else 0)


def _json(args, model, rows, unreadable, cut):
    clips = []
    for recording, _, judgement in rows:
        clip = {"file": _shown(recording.path)}
        clip |= {"start": judgement.start, "seconds": judgement.seconds} if cut else {}
        clip |= {name: getattr(judgement, name) for name in JUDGED[1:]}
        clips.append(clip | {"notes": list(judgement.notes)})
    broken = [{"file": name, "reason": reason} for name, reason in unreadable]
    content = {"model": _shown(args.model), "threshold": model.threshold, "clips": clips, "unreadable": broken}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def _table(rows, n_found, cut):
    if not rows:
        return None
    table = [("file", *(["start"] if cut else []), "score", "threshold", "decision", "p-value")]
    for recording, _, judgement in rows:
        start = [f"{judgement.start:g} s"] if cut else []
        numbers = f"{judgement.score:.6g}", f"{judgement.threshold:.6g}"
        table.append((_shown(recording.path), *start, *numbers, judgement.decision, f"{judgement.p_value:.3g}"))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(n) for cell, n in zip(row[1:], widths[1:], strict=True))])
        for row in table
    ]
    summary = f"{n_found} of {len(rows)} clips {'is an anomaly' if n_found == 1 else 'are anomalies'}"
    return "\n".join([*lines, "", summary])


def _report(args, model, rows):
    import numpy as np

    from asd.report import Report, ScoredId, to_explain

    names = [_shown(recording) for recording, *_ in rows]
    judgements = [judgement for *_, judgement in rows]
    scores = np.array([judgement.score for judgement in judgements])
    labels = [None] * len(rows)
    explained = to_explain(scores, labels, REPORT_CLIPS)
    found = sum(judgement.anomalous for judgement in judgements)
    report = Report(
        args.report / "report.html",
        f"{_shown(args.model.stem)}: {found} of {len(rows)} clips above the threshold",
        f"Model {_shown(args.model.name)}, {model.system}, fitted on {_clips(model)}. "
        f"Threshold {model.threshold:.6g}; a clip above it is an anomaly. The p-value is the share of normal clips "
        "that score as high.",
    )
    if rows:
        columns = {
            "above threshold by": scores - model.threshold,
            "p-value": np.array([judgement.p_value for judgement in judgements]),
        }
        explanations = {i: model.explain(rows[i][1], rows[i][0]) for i in explained}
        paths = [Path(recording.path) for recording, *_ in rows]
        report.add(ScoredId(_shown(args.model.stem), "", names, scores, labels, paths, columns, explanations))
    report.write()


# -- watch --------------------------------------------------------------------------------------------


def add_watch(subparsers):
    """`asd watch`."""
    parser = _command(
        subparsers,
        "watch",
        "score every file that arrives in a folder",
        "Score each sound file in a folder and below it, those that are there and those to come, once it is\n"
        "finished: its size and time of change have not changed for a whole interval, and it reads whole. Hidden\n"
        "files and names ending in .tmp or .part are left alone. A file that is overwritten is scored again. What\n"
        "cannot be read is reported once, and tried again if it changes.\n\n"
        "Each score becomes a row of a CSV. Started again, it goes on where it stopped. It stops on SIGTERM and\n"
        "Ctrl-C, after the file at hand.",
        "exit code: 0 stopped by a signal, 1 something to mend, 2 wrong usage",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file of `asd fit`")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--every", type=_interval, default=5.0, metavar="S", help="look every S seconds (default: 5)")
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="append there, with names below FOLDER (default: FOLDER.csv beside the folder)",
    )
    parser.add_argument(
        "--exec",
        dest="command",
        metavar="CMD",
        help="run CMD with the path of the file as its last argument, for anomalies only; without a shell",
    )
    parser.add_argument(
        "--exec-timeout", type=_interval, default=60.0, metavar="S", help="end CMD after S seconds (default: 60)"
    )
    parser.add_argument(
        "--clip-seconds",
        type=_seconds,
        metavar="S",
        help="cut recordings into clips of that length (default: as the model was fitted)",
    )
    parser.add_argument("--quiet", action="store_true", help="no line for a normal clip")
    parser.set_defaults(job=lambda args: _reported(_watch, args))


def _watch(args):
    import signal
    import threading

    stop = threading.Event()
    before = {sign: signal.signal(sign, lambda *_: stop.set()) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        from asd.model import Model  # here: a signal that comes meanwhile is heard, too
        from asd.watch import Watcher

        model = Model.load(args.model)
        watcher = Watcher(
            model,
            args.folder,
            csv=args.csv,
            every=args.every,
            command=args.command,
            command_timeout=args.exec_timeout,
            clip_seconds=args.clip_seconds,
            say=_say if not args.quiet else lambda line, anomalous: _say(line, anomalous) if anomalous else None,
            warn=lambda line: print(f"warning: {line}", file=sys.stderr, flush=True),
        )
        with watcher:
            if not args.quiet:
                print(
                    f"watching {_shown(args.folder)} every {args.every:g} s, rows go to {_shown(watcher.csv)}",
                    flush=True,
                )
            watcher.run(stop)
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
    return Outcome(None)


def _say(line, anomalous):
    print(line, flush=True)


# -- info ---------------------------------------------------------------------------------------------


def add_info(subparsers):
    """`asd info`."""
    parser = _command(subparsers, "info", "what a model is, from what and when", "What a model is, from what and when.")
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file of `asd fit`")
    parser.add_argument(
        "--json", action="store_true", help="print JSON, with the name and digest of every training file"
    )
    parser.set_defaults(job=lambda args: _reported(_info, args))


def _info(args):
    from asd.model import Model

    model = Model.load(args.model)
    if args.json:
        expected = model.expected_false_alarms._asdict()
        return json.dumps(model.header | {"expected_false_alarms": expected}, indent=1, ensure_ascii=False)
    rates = sorted({file["rate"] for file in model.files})
    lines = {
        "model": f"{_shown(args.model)} ({_size(args.model)})",
        "system": model.system,
        "fitted on": _clips(model),
        "made": model.made + (f", clips added {model.updated}" if model.updated else ""),
        **_threshold_lines(model),
        "sample rate": ", ".join(f"{rate} Hz" for rate in rates),
        "channel": str(model.channel),
        "clip length": _span(*model.lengths, "s") + (", cut" if model.clip_seconds else ""),
        "level": _span(*model.levels, "dB re full scale"),
        "files": _file_names(model.files),
        "with": ", ".join(f"{name} {version}" for name, version in model.versions.items()),
    }
    for member in model.header["members"]:
        values = ", ".join(f"{name} {value}" for name, value in member["parameters"].items())
        lines[member["name"]] = values
    return _aligned({name: printable(text) for name, text in lines.items()})


def _span(low, high, unit):
    low, high = f"{low:.4g}", f"{high:.4g}"
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def _file_names(files):
    names = [file["name"] for file in files]
    return ", ".join(names) if len(names) < 4 else f"{names[0]}, {names[1]}, ... {names[-1]} (all with --json)"


# -- shared -------------------------------------------------------------------------------------------

COMMANDS = (add_fit, add_score, add_watch, add_evaluate, add_info)


def _command(subparsers, name, summary, description, exit_codes=EXIT_CODES):
    return subparsers.add_parser(
        name,
        help=summary,
        description=description,
        epilog=exit_codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _reported(job, args):
    return reported(partial(job, args), kept="nothing is written", elsewhere="choose another place")


def _add_jobs(parser):
    parser.add_argument("--jobs", type=positive, metavar="N", help="worker processes (default: all cores)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _aligned(lines):
    width = max(map(len, lines))
    return "\n".join(f"{name.ljust(width)}  {text}" for name, text in lines.items())


def _shown(path):
    """A name as any terminal and file can hold it, on one line."""
    return printable(plain_name(path))


def _size(path):
    n = os.path.getsize(path)
    return f"{n / 1e6:.1f} MB" if n > 1e5 else f"{n / 1e3:.1f} kB"


def _number(text, low, high, what):
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is no {what}: give a number from {low:g} to {high:g}")
    return value


def _share(text):
    return _number(text, 1e-6, 0.999999, "share")


def _seconds(text):
    return _number(text, 0.287, 86_400, "length of a clip in seconds")


def _interval(text):
    return _number(text, 0.05, 86_400, "time in seconds")


def _channel(text):
    if not text.isdecimal() or int(text) > 1023:
        raise argparse.ArgumentTypeError(f"{text!r} is no channel: give a whole number from 0 to 1023")
    return int(text)
