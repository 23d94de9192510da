"""A whole data set, in any layout: a system fitted and scored per machine id, with the official metrics of its year.

What is written below the output folder::

    <system>_results.csv                        machine,section,metric,value
    <system>/anomaly_score_<machine>_....csv    as the year's challenge names them, see `asd.results`
    <system>/decision_result_<machine>_....csv
    <system>_report.html                        where a report is asked for

Each machine id (from 2021 on: section) has a detector of its own, fitted on its training clips of
both domains. A decision is 1 where a score is above a threshold that comes from cross-fitted scores
of the training clips: see `asd.thresholds`. Features are computed on every run; nothing is cached.

Conventions: as in `asd.dataset`, `asd.metrics` and `asd.results`. The same data give the same bytes,
whatever the number of worker processes; no file but the report's links holds a path.
"""

import argparse
import math
import os
import time
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from asd import layouts, metrics, results, thresholds
from asd.audio import BrokenClipWarning, DataError, DataWarning, Recording, file_of
from asd.console import display, positive, reported
from asd.files import remove_leftovers
from asd.layouts import LAYOUTS
from asd.outputs import ForeignScoresWarning, IncompleteIdWarning, OneClassWarning, Scored, require_writable
from asd.parallel import ClipMap, available_cores
from asd.scoring import score, warnings_about, with_siblings

OUTPUT = "evaluation"
REPORT_CLIPS = 5  # explained in a report, of either label
GAMMA = 0.9  # quantile at which the challenge's baselines set their thresholds


class SupplementalWarning(DataWarning):
    """A machine id comes with clips of the machine or of noise alone."""

    kind = "machine ids with supplemental clips, which are not used"
    examples = 1


class UnlabelledWarning(DataWarning):
    """Some test clips of a machine id have a label, others not."""

    kind = "machine ids without figures, not all of their test clips are labelled"


class DomainWarning(DataWarning):
    """A figure of one domain is not defined, or domains are not known."""

    kind = "sections without some figures, for want of normal or anomalous clips of a domain"


class NoDecisionsWarning(DataWarning):
    """There are no training scores to take a threshold from."""

    kind = "machine ids without decisions, their system gives no training scores"


def evaluate(
    root,
    system,
    *,
    layout="auto",
    output=OUTPUT,
    machines=None,
    channel=None,
    false_alarms=None,
    jobs=None,
    progress=False,
    report_clips=None,
):
    """Fit and score every machine id of a data set; write figures, scores and decisions.

    Parameters
    ----------
    root : str or Path
        Folder of the data set.
    system : a system of `asd.systems`
        An :class:`asd.systems.Ensemble` fuses the scores of its members, which are fitted here.
    layout : str
        "auto", or a name of `asd.layouts.LAYOUTS`.
    output : str or Path
        Folder to write to.
    machines : sequence of str, optional
        Only these machine types.
    channel : int, optional
        Of recordings with several, from 0; default: that of the layout.
    false_alarms : float, optional
        Share of normal clips that may be flagged: the threshold is
        :func:`asd.thresholds.empirical_threshold`. Default: the 0.9 quantile of a gamma
        distribution, :func:`asd.thresholds.gamma_threshold`, as in the challenge's baselines.
    jobs : int, optional
        Worker processes; default all cores.
    progress : bool
        Draw progress bars on stderr.
    report_clips : int, optional
        Write an HTML report that explains so many clips of either label a machine id.

    Returns
    -------
    str
        What to tell the user: the table and where the files are. Without labels there is no table.

    Raises
    ------
    DataError
        With the file and the mend: no data set, nothing to score, or an evaluation set without
        labels that is not complete (all else is written).
    OSError
        If something cannot be read or written.
    ValueError
        If `layout` is not one, or `false_alarms` is not between 0 and 1.

    Warns
    -----
    IncompleteIdWarning, BrokenClipWarning
        For machine ids and clips that are left out.
    OneClassWarning, DomainWarning, UnlabelledWarning
        For machine ids that lack figures.
    NoDecisionsWarning, SupplementalWarning
    """
    started = time.time()
    if false_alarms is not None and not 0 < false_alarms < 1:
        raise ValueError(f"{false_alarms} is no share of false alarms: it lies between 0 and 1")
    dataset = layouts.read(root, layout, machines=machines)
    _require_unique(dataset)
    ids = _recordings(dataset, dataset.channel if channel is None else channel)
    outputs = _Outputs(dataset, system, Path(output), report_clips)
    outputs.remove_foreign(machines)
    clip_map = ClipMap(jobs, progress=progress)
    any_labels = any(clip.label is not None for clips in ids for clip in clips.test)

    incomplete = []

    def found(peers):
        """The ids of a machine type and their features, one by one; of an ensemble its members'."""
        for clips in peers:
            description = f"{clips} [{ids.index(clips) + 1}/{len(ids)}]"
            yield clips, None if clips.missing else _features(system, clips, peers, clip_map, description)

    for clips, features, siblings in with_siblings(system, ids, found):
        if clips.supplemental:
            warnings.warn(SupplementalWarning(clips, f"clips: {len(clips.supplemental)}"), stacklevel=2)
        scored, left_out, problem = _scored(system, clips, features, siblings)
        files = {("train", clip.name): clip.path for clip in clips.train}
        files |= {("test", clip.name): clip.path for clip in clips.test}
        for split, name, reason in left_out:
            warnings.warn(BrokenClipWarning(file_of(files.get((split, name), name)), reason), stacklevel=2)
        broken = [f"{name} ({reason})" for split, name, reason in left_out if split == "test"]
        labelled = all(clip.label is not None for clip in clips.test) if clips.test else any_labels
        if not labelled and broken:
            problem = problem or ", ".join(broken)
        if problem:
            outputs.remove(clips)
            if labelled:
                warnings.warn(IncompleteIdWarning(clips, problem), stacklevel=2)
            incomplete.append((clips, problem, labelled))
        else:
            outputs.add(clips, scored, _threshold(clips, scored, false_alarms))
    summary = outputs.finish()
    remove_leftovers(output, started)
    if problems := [f"{clips}: {problem}" for clips, problem, labelled in incomplete if not labelled]:
        raise DataError(
            f"{dataset.root}: a submission needs every machine id and clip, mend these and run again "
            f"(all others are written): {'; '.join(problems)}"
        )
    if not outputs.n_ids:
        problems = "; ".join(f"{clips}: {problem}" for clips, problem, _ in incomplete)
        raise DataError(f"{dataset.root}: no machine id could be scored: {problems}; add these clips and run again")
    return summary


def _require_unique(dataset):
    """Refuse machine ids whose files would overwrite each other's, and test clips that a file could not tell apart."""
    for clips, n in Counter(map(str, dataset.ids)).items():
        if n > 1:
            raise DataError(f"{dataset.root}: {clips} is there {n} times, in different folders; evaluate each alone")
    for clips in dataset.ids:
        for name, n in Counter(clip.name for clip in clips.test).items():
            if n > 1:
                raise DataError(f"{dataset.root}: {clips} has {n} test clips named {name}; rename them")


def _recordings(dataset, channel):
    """Machine ids whose clips are read from a channel."""
    if not channel:
        return list(dataset.ids)

    def read_from(clips):
        return tuple(replace(clip, path=Recording(clip.path, channel)) for clip in clips)

    return [replace(clips, train=read_from(clips.train), test=read_from(clips.test)) for clips in dataset.ids]


def _features(system, clips, peers, clip_map, description):
    """Features of a machine id; of an ensemble a list, its members'."""
    with threadpool_limits(1):
        if system.members:
            return [part().compute(clips, peers, clip_map, f"{description} {part.name}") for part in system.parts]
        return system.compute(clips, peers, clip_map, description)


def _scored(system, clips, features, siblings=()):
    """Scored (or None), (split, name, reason) of each clip left out, and why there are no scores (or None)."""
    if features is None:
        return None, [], f"no {clips.missing} clips"
    if system.members:
        return _fused(system, clips, features)
    for split, rows in (("training", features.train), ("test", features.test)):
        if not len(rows):
            return None, features.left_out, f"no usable {split} clips"
    return score(system, clips, features, siblings), features.left_out, None


def _fused(ensemble, clips, features):
    """The same of an ensemble, whose members are fitted here."""
    members, left_out = [], {}
    for part, of_part in zip(ensemble.parts, features, strict=True):
        scored, without, problem = _scored(part(), clips, of_part)
        left_out |= dict.fromkeys(without)
        if problem:
            return None, list(left_out), problem
        members.append(scored)
    names, scores = _side_by_side([dict(zip(m.names, m.scores, strict=True)) for m in members])
    training, fused_training = None, None
    if ensemble.calibrated:
        training = [np.array(list(m.training.values())) for m in members]
        of_clips, side_by_side = _side_by_side([m.training for m in members])
        fused_training = dict(zip(of_clips, ensemble.fuse(side_by_side, training)[0], strict=True))
    fused, normalised = ensemble.fuse(scores, training)
    labels = {clip.name: clip.label for clip in clips.test}
    columns = dict(zip(ensemble.members, normalised.T, strict=True))
    explain = partial(ensemble.explain, normalised)
    scored = Scored(clips, names, fused, [labels[n] for n in names], fused_training, columns, explain)
    return scored, list(left_out), None


def _side_by_side(scores):
    """Names of the clips that all of several dicts of scores hold, and their scores, `(n_clips, n_dicts)`."""
    names = [name for name in scores[0] if all(name in other for other in scores[1:])]
    return names, np.array([[of_system[name] for of_system in scores] for name in names])


def _threshold(clips, scored, false_alarms):
    """Threshold of a machine id's scores, None without training scores."""
    if scored.training is None:
        what = "its features come from clips that it was fitted on"
        warnings.warn(NoDecisionsWarning(clips, what), stacklevel=3)
        return None
    training = list(scored.training.values())
    with warnings_about(clips):
        if false_alarms is None:
            return thresholds.gamma_threshold(training, GAMMA)
        return thresholds.empirical_threshold(training, false_alarms)


@dataclass
class _Outputs:
    """Writes what an evaluation leaves behind, machine id by machine id."""

    dataset: layouts.Dataset
    system: object
    output: Path
    report_clips: int | None

    def __post_init__(self):
        self.year = self.dataset.year
        self.folder = self.output / self.system.name
        self.results_file = self.output / f"{self.system.name}_results.csv"
        self.report_file = self.output / f"{self.system.name}_report.html"
        self.figures, self.n_ids, self.n_clips, self.with_decisions = [], 0, 0, False
        # 2020's published figures are of machine ids that other data sets name alike.
        self.reference = results.published(self.system.name) if self.dataset.layout == "dcase2020" else {}
        for folder in (self.output, self.folder):
            require_writable(folder)
        self.report = self._new_report() if self.report_clips is not None else None

    @property
    def title(self):
        name = Path(os.path.abspath(self.dataset.root)).name
        return f"{self.system.title}, {name} (layout {self.dataset.layout})"

    def add(self, clips, scored, threshold):
        """Write a machine id's scores and, with a threshold, decisions; keep its figures."""
        of_name = {clip.name: clip for clip in clips.test}
        domains = [of_name[name].domain for name in scored.names]
        decisions = None if threshold is None else np.asarray(scored.scores) > threshold
        written = results.write_submission(
            self.folder, *clips.key, scored.names, scored.scores, decisions, year=self.year, domains=domains
        )
        self.remove(clips, keep=written)
        self.figures += self._figures(clips, scored, domains)
        self.n_ids += 1
        self.n_clips += len(scored.names)
        self.with_decisions |= decisions is not None
        if self.report:
            self._report(clips, scored, of_name)

    def remove(self, clips, keep=()):
        """Remove a machine id's files of an earlier run."""
        for path in self._names(clips):
            if path not in keep:
                path.unlink(missing_ok=True)

    def remove_foreign(self, machines):
        """Warn of files of machine ids that are not in the data."""
        if machines is not None:
            return
        ours = {path.name for clips in self.dataset.ids for path in self._names(clips)}
        for kind in results.KINDS:
            for path in sorted(self.folder.glob(f"{kind}_*.csv")):
                if path.name not in ours:
                    warnings.warn(ForeignScoresWarning(path, "not of this data set"), stacklevel=3)

    def finish(self):
        """Write results and report; return what to tell the user."""
        if not self.n_ids:
            self.results_file.unlink(missing_ok=True)
            return None
        figures = results.with_averages(self.figures, year=self.year) if self.figures else []
        if figures:
            results.write_figures(self.results_file, figures)
        else:
            self.results_file.unlink(missing_ok=True)
        if self.report:
            if figures and self.year > 2020:
                self.report.official = results.figures_table(figures)
            self.report.write()
        return self._summary(figures)

    def _names(self, clips):
        domains = metrics.DOMAINS if self.year == 2021 else (None,)
        return [
            self.folder / results.official_name(kind, *clips.key, year=self.year, domain=domain)
            for kind in results.KINDS
            for domain in domains
        ]

    def _figures(self, clips, scored, domains):
        """Figures of a machine id, none without labels."""
        labels = scored.labels
        n_unknown = labels.count(None)
        if n_unknown == len(labels):
            return []
        if n_unknown:
            what = f"{n_unknown} of {len(labels)} are not, e.g. {scored.names[labels.index(None)]}"
            warnings.warn(UnlabelledWarning(clips, what), stacklevel=3)
            found = dict.fromkeys(self._metrics(), math.nan)
        elif self.year > 2020 and (
            n_unknown := sum(not label and domain is None for label, domain in zip(labels, domains, strict=True))
        ):
            what = f"the domain of {n_unknown} normal clips is not known; give the official list"
            warnings.warn(DomainWarning(clips, what), stacklevel=3)
            found = dict.fromkeys(self._metrics(), math.nan)
        else:
            found = metrics.section_figures(labels, scored.scores, domains, year=self.year)
            lacking = [metric for metric, value in found.items() if math.isnan(value)]
            if len(set(labels)) == 1:
                what = f"all {len(labels)} {'anomalous' if labels[0] else 'normal'}"
                warnings.warn(OneClassWarning(clips, what), stacklevel=3)
            elif lacking:
                warnings.warn(DomainWarning(clips, f"no {', '.join(lacking)}"), stacklevel=3)
        return [metrics.Figure(*clips.key, metric, value) for metric, value in found.items()]

    def _metrics(self):
        """Names of the year's metrics."""
        return list(metrics.section_figures([], [], [], year=self.year))

    def _new_report(self):
        from asd.report import Report  # here: matplotlib takes half a second to import

        return Report(
            self.report_file,
            self.title,
            self.system.description,
            reference=self.reference,
            with_baseline=self.dataset.layout == "dcase2020",
        )

    def _report(self, clips, scored, of_name):
        from asd.report import ScoredId, to_explain

        recordings = [of_name[name].path for name in scored.names]
        chosen = to_explain(scored.scores, scored.labels, self.report_clips)
        explanations = {i: scored.explain(i, recordings[i]) for i in chosen}
        wavs = [file_of(recording) for recording in recordings]
        self.report.add(
            ScoredId(*clips.key, scored.names, scored.scores, scored.labels, wavs, scored.columns, explanations)
        )

    def _summary(self, figures):
        what = "machine ids" if self.year == 2020 else "sections"
        lines = [f"{self.title}: {self.n_clips} clips of {self.n_ids} {what}", ""]
        if figures and self.year == 2020:
            values = {figure[:3]: figure.value for figure in self.figures}
            ids = dict.fromkeys(figure[:2] for figure in self.figures)
            rows = [results.Row(*key, *(values[(*key, metric)] for metric in ("AUC", "pAUC"))) for key in ids]
            lines += [results.table(rows, self.reference), ""]
        elif figures:
            lines += [results.aligned(results.figures_table(figures)), ""]
            official = 100 * figures[-1].value
            lines += [f"{metrics.OFFICIAL}: {'-' if math.isnan(official) else f'{official:.2f}'}", ""]
        if figures:
            lines += [f"results     {display(self.results_file)}"]
        lines += [f"scores      {display(self.folder)}{' (and decisions)' if self.with_decisions else ''}"]
        if self.report:
            lines += [f"report      {display(self.report_file)}"]
        if not figures:
            lines += ["            (no labels: put the official eval_data_list.csv into the data folder for figures)"]
        return "\n".join(lines)


def add_evaluate(subparsers):
    """Add the command `evaluate`; its `func` takes the parsed arguments and returns the exit code.

    Parameters
    ----------
    subparsers : what `argparse.ArgumentParser.add_subparsers` returns
    """
    parser = subparsers.add_parser(
        "evaluate",
        help="fit and score a whole data set, with the official metrics of its year",
        description="Fit a system to each machine of a data set, score its test clips, and write the official metrics "
        "of its year, scores and decisions: DCASE Task 2 of 2020 to 2026, MIMII, or plain folders. Features are "
        "computed on every run; nothing is cached.",
    )
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="folder that holds the machines' folders")
    parser.add_argument(
        "--system",
        type=_system,
        metavar="NAME",
        default="modspec-graph",
        help="modspec-graph, ivector-gmm or ensemble (default: modspec-graph)",
    )
    parser.add_argument("--layout", choices=("auto", *LAYOUTS), default="auto", help="default: as the names tell")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", default=Path(OUTPUT), help=f"write below DIR (default: ./{OUTPUT})"
    )
    parser.add_argument("--machines", nargs="+", metavar="NAME", help="only these machine types (default: all found)")
    parser.add_argument(
        "--channel",
        type=_channel,
        metavar="N",
        help="channel to read of recordings with several, from 0 (default: 0)",
    )
    parser.add_argument(
        "--false-alarms",
        type=_share,
        metavar="SHARE",
        help="decide by the empirical threshold that so many normal clips exceed, e.g. 0.01 (default: the 0.9 "
        "quantile of a gamma distribution, as the challenge's baselines)",
    )
    parser.add_argument(
        "--jobs", type=positive, metavar="N", help=f"worker processes (default: all cores, here {available_cores()})"
    )
    parser.add_argument("--report", action="store_true", help="write an HTML page: figures, clips to listen to and why")
    parser.add_argument(
        "--report-clips",
        type=positive,
        metavar="N",
        default=REPORT_CLIPS,
        help=f"normal and anomalous clips a machine id that the page explains (default: {REPORT_CLIPS} each)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(job=_run)


def _run(args):
    return reported(
        partial(
            evaluate,
            args.dataset,
            args.system(),
            layout=args.layout,
            output=args.output,
            machines=args.machines,
            channel=args.channel,
            false_alarms=args.false_alarms,
            jobs=args.jobs,
            progress=not args.quiet,
            report_clips=args.report_clips if args.report else None,
        )
    )


def _system(name):
    """Type of an argument: a system, made by calling it."""
    from asd.systems import SYSTEMS  # here: it takes a second to import, and other commands share the parser

    if name not in SYSTEMS:
        raise argparse.ArgumentTypeError(f"no system {name!r}; there are {', '.join(SYSTEMS)}")
    return partial(SYSTEMS[name], fusion="calibrated") if SYSTEMS[name].members else SYSTEMS[name]


def _share(text):
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share, a number between 0 and 1")
    return share


def _channel(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no channel, a whole number from 0")
    return int(text)
