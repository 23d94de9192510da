"""What a d/e run writes: scores, results, submission and report; and what it says at the end."""

import math
import os
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from asd import dataset, metrics, results
from asd.audio import DataWarning
from asd.console import display

SPLIT_NAME = {"d": "dev", "e": "eval"}
TITLE = {"d": "development set", "e": "evaluation set"}


class IncompleteIdWarning(DataWarning):
    """A machine id has no usable training or no usable test clips."""

    kind = "machine ids left out for want of clips"


class OneClassWarning(DataWarning):
    """A test set holds one class only."""

    kind = "machine ids without AUC, their test set has one class"


class GroundTruthWarning(DataWarning):
    """Test clips that the ground truth does not name."""

    kind = "machine ids without AUC, clips are missing from the ground truth"


class ForeignScoresWarning(DataWarning):
    """A folder of scores or a submission holds files of other machine ids."""

    kind = "files in the submission folder, or beside these scores, that this run did not write"
    examples = 2


@dataclass(frozen=True)
class Places:
    """Folders that a run reads (`data`), writes (`results`, `scores`, `task2`, `reports`), or both (`saved`)."""

    data: Path
    saved: Path
    results: Path
    scores: Path
    task2: Path
    reports: Path

    def under(self, output):
        """The same places with every result, but not the cache, below the folder `output`."""
        output = Path(output)
        return replace(
            self,
            results=output,
            scores=output / "individual_scores",
            task2=output / "task2",
            reports=output / "reports",
        )

    def results_file(self, system, mode):
        """The CSV of AUC and pAUC per machine id."""
        return self.results / f"{system.name}_{SPLIT_NAME[mode]}_data_results.csv"

    def scores_folder(self, name, mode):
        """Holds a CSV of `file,score` a machine id, of the system so named."""
        return self.scores / SPLIT_NAME[mode] / name

    def training_scores_folder(self, name, mode):
        """The same of training clips, each scored by a detector that did not see it."""
        return self.scores / f"{SPLIT_NAME[mode]}_training" / name

    def submission_folder(self, system):
        """Holds the challenge submission."""
        return self.task2 / system.submission

    def report_file(self, name, mode):
        """The HTML report of the system so named."""
        return self.reports / SPLIT_NAME[mode] / name / "report.html"


@dataclass
class Scored:
    """Scores of a machine id's test clips.

    `names`, `scores` and `labels` (0, 1, None) go together, in the order of the clips; `training`
    maps training clips to their cross-fitted scores, None where these are not known; `columns` are
    more numbers a clip; `explain(index, wav)` is an Explanation or None.
    """

    clips: dataset.MachineId
    names: list[str]
    scores: np.ndarray
    labels: list
    training: dict[str, float] | None = None
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    explain: object = None


class Outputs:
    """Writes a run's outputs, machine id by machine id.

    Parameters
    ----------
    system : a system of `asd.systems`
    mode : {"d", "e"}
    places : Places
    report_clips : int, optional
        Write a report that explains so many normal and anomalous clips a machine id.

    Raises
    ------
    OSError
        If a folder cannot be written to.
    """

    def __init__(self, system, mode, places, *, report_clips=None):
        self.system, self.mode, self.places = system, mode, places
        self.report_clips = report_clips
        self.rows, self.n_clips = [], 0
        for folder in self.folders:
            require_writable(folder)
        path = places.data / dataset.GROUND_TRUTH
        self.truth = dataset.read_ground_truth(path) if mode == "e" and path.is_file() else None
        self.report = self._new_report() if report_clips is not None else None

    @property
    def folders(self):
        """Every folder that is written to."""
        reports = [self.places.report_file(self.system.name, self.mode).parent]
        return [self.places.results, *self._folders_of_clips, *(reports if self.report_clips is not None else [])]

    @property
    def _folders_of_clips(self):
        """Those with a file a machine id."""
        places, system = self.places, self.system
        folders = [places.scores_folder(system.name, self.mode)]
        folders += [] if system.members else [places.training_scores_folder(system.name, self.mode)]
        return folders + ([places.submission_folder(system)] if self.mode == "e" else [])

    @property
    def with_figures(self):
        """Whether AUC and pAUC are reported."""
        return self.mode == "d" or self.truth is not None

    def add(self, scored):
        """Write a machine id's scores, in "e" its submission too, and draw its section of the report."""
        clips = scored.clips
        name = results.scores_name(*clips.key)
        training = self.places.training_scores_folder(self.system.name, self.mode) / name
        training.unlink(missing_ok=True)  # first, so that an interrupted run leaves no pair of two runs
        if self.mode == "e":
            scored = _sorted(scored)
            results.write_scores(self.places.submission_folder(self.system) / name, scored.names, scored.scores)
            truth = self.truth or {}
            scored.labels = [truth.get((clips.machine, file)) for file in scored.names]
        scores_folder = self.places.scores_folder(self.system.name, self.mode)
        results.write_scores(scores_folder / name, scored.names, scored.scores)
        if scored.training is not None:
            results.write_scores(training, scored.training.keys(), scored.training.values())
        self.rows.append(self._row(scored))
        self.n_clips += len(scored.names)
        if self.report:
            self._report(scored)

    def finish(self):
        """Write results, report and the submission's description; return what to tell the user."""
        path = self.places.results_file(self.system, self.mode)
        if self.with_figures:
            results.write_results(path, self.rows)
        else:
            path.unlink(missing_ok=True)  # figures of other scores
        if self.report:
            self.report.write()
        if self.mode == "e":
            developed = self.places.results_file(self.system, "d")
            meta = results.submission_meta(self.system, results.read_averages(developed) if developed.is_file() else {})
            results.write_meta(self.places.submission_folder(self.system) / f"{self.system.submission}.meta.yaml", meta)
        return self._summary()

    def remove_stale(self, ids, machines):
        """Remove what an earlier run wrote of ids that were not scored now; warn of ids that are not in the data.

        Parameters
        ----------
        ids : sequence of MachineId
            All of the run's.
        machines : sequence of str or None
            The machine types that the run was confined to; then other ids are no surprise.
        """
        scored = {results.scores_name(row.machine, row.id) for row in self.rows}
        ours = {results.scores_name(*clips.key) for clips in ids}
        for folder in self._folders_of_clips:
            for name in ours - scored:
                (folder / name).unlink(missing_ok=True)
            for path in sorted(folder.glob(results.scores_name("*", "*"))) if machines is None else ():
                if path.name not in ours:
                    warnings.warn(ForeignScoresWarning(path, "not of this data set"), stacklevel=3)

    def _row(self, scored):
        labels = scored.labels
        if None in labels:
            if self.truth is not None:
                what = f"{labels.count(None)} of {len(labels)}, e.g. {scored.names[labels.index(None)]}"
                warnings.warn(GroundTruthWarning(scored.clips, what), stacklevel=3)
            return results.Row(*scored.clips.key, math.nan, math.nan)
        if len(set(labels)) == 1:
            what = f"all {len(labels)} {'anomalous' if labels[0] else 'normal'}"
            warnings.warn(OneClassWarning(scored.clips, what), stacklevel=3)
        return results.Row(*scored.clips.key, metrics.auc(labels, scored.scores), metrics.pauc(labels, scored.scores))

    def _new_report(self):
        from asd.report import Report  # here: matplotlib takes half a second to import

        system = self.system
        path = self.places.report_file(system.name, self.mode)
        others = {
            name: f"../{name}/report.html"
            for name in system.members
            if self.places.report_file(name, self.mode).is_file()
        }
        return Report(
            path,
            f"{system.title}, {TITLE[self.mode]}",
            system.description,
            reference=results.published(system.name),
            others=others,
        )

    def _report(self, scored):
        from asd.report import ScoredId, to_explain

        wavs = {clip.name: clip.path for clip in scored.clips.test}
        wavs = [wavs.get(name) for name in scored.names]
        chosen = to_explain(scored.scores, scored.labels, self.report_clips)
        explanations = {i: scored.explain(i, wavs[i]) for i in chosen} if scored.explain else {}
        self.report.add(
            ScoredId(*scored.clips.key, scored.names, scored.scores, scored.labels, wavs, scored.columns, explanations)
        )

    def _summary(self):
        system, mode, places = self.system, self.mode, self.places
        lines = [f"{system.title}, {TITLE[mode]}: {self.n_clips} clips of {len(self.rows)} machine ids", ""]
        if self.with_figures:
            lines += [results.table(self.rows, results.published(system.name)), ""]
            lines += [f"results     {display(places.results_file(system, mode))}"]
        lines += [f"scores      {display(places.scores_folder(system.name, mode))}"]
        if mode == "e":
            lines += [f"submission  {display(places.submission_folder(system))}"]
            if not self.with_figures:
                lines += [f"            (put {dataset.GROUND_TRUTH} into {display(places.data)} for AUC and pAUC)"]
        if self.report:
            lines += [f"report      {display(self.report.path)}"]
        return "\n".join(lines)


def _sorted(scored):
    """The same with clips in the order of their names."""
    order = sorted(range(len(scored.names)), key=scored.names.__getitem__)
    explain = scored.explain
    return replace(
        scored,
        names=[scored.names[i] for i in order],
        scores=np.asarray(scored.scores)[order],
        labels=[scored.labels[i] for i in order],
        columns={title: np.asarray(values)[order] for title, values in scored.columns.items()},
        explain=explain and (lambda index, wav: explain(order[index], wav)),
    )


def require_writable(folder):
    """Make a folder where it is missing, and try to write into it.

    Raises
    ------
    OSError
        With the folder's name.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(folder)) from None
