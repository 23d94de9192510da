"""Scores of a machine id's test clips from its features, for the run of the challenge and for `asd evaluate`."""

import warnings
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from asd import fusion
from asd.audio import DataWarning
from asd.outputs import Scored


class MissingViewWarning(DataWarning):
    """A machine id is scored on fewer views than its system has."""

    kind = "machine ids scored without a view of their system"
    examples = 2


def score(system, clips, features, siblings=()):
    """Fit a system's detector on a machine id and score its test clips.

    Parameters
    ----------
    system : a system of `asd.systems`
    clips : MachineId
    features : Features
        Of at least one training and one test clip.
    siblings : sequence of (n_i, ...) arrays
        Training features of other ids of the machine type, for a system that uses them.

    Returns
    -------
    Scored
        In the order of `features.test`.

    Warns
    -----
    What the detector warns of, about the machine id.
    """
    detector = system.detector()
    with warnings_about(clips), threadpool_limits(1):
        if system.uses_siblings:
            detector.fit(features.train, auxiliary=siblings)
        else:
            detector.fit(features.train)
        scores = detector.decision_function(features.test)
        training = system.training_scores(features, detector)
    if training is not None:
        training = dict(zip(features.train_names, training, strict=True))
    explain = partial(system.explain, detector, features)
    return Scored(clips, features.test_names, scores, features.labels, training, explain=explain)


def with_siblings(system, ids, found, cached=None):
    """Features of machine ids, each with the training features of the others of its type, where the system uses them.

    Parameters
    ----------
    system : a system of `asd.systems`
    ids : sequence of MachineId
    found : callable
        Given the ids of a machine type, an iterator of (id, Features or None).
    cached : callable, optional
        Given a machine type, dict of id -> training features of ids that need not be among `ids`.

    Yields
    ------
    MachineId, Features or None, list of arrays
        For a system that does not use siblings one id after the other, so that one is in memory at a time.
    """
    for machine in dict.fromkeys(clips.machine for clips in ids):
        of_type = found([clips for clips in ids if clips.machine == machine])
        training = {}
        if system.uses_siblings:
            of_type = list(of_type)
            training = cached(machine) if cached else {}
            training |= {clips.id: f.train for clips, f in of_type if f is not None and len(f.train)}
        for clips, features in of_type:
            yield clips, features, [training[id] for id in sorted(training) if id != clips.id]


def with_view(scored, view, weight, title):
    """Scores with those of another view of the same clips added, as weighted z-scores by its training scores.

    Parameters
    ----------
    scored : Scored
    view : Scored or None
        None, or one without training scores or of other clips, adds nothing.
    weight : float
    title : str
        Heads the column of what the view adds.

    Returns
    -------
    Scored

    Warns
    -----
    MissingViewWarning
        If nothing was added.
    """
    reason = None
    if view is None:
        reason = "it is not cached, and there are no WAVs to make it from"
    elif view.training is None:
        reason = "of unknown origin, without training scores"
    elif set(view.names) != set(scored.names) or view.training.keys() != scored.training.keys():
        reason = "of other clips"
    if reason:
        warnings.warn(MissingViewWarning(scored.clips, reason), stacklevel=2)
        return scored
    calibrated = fusion.CalibratedFusion().fit([list(view.training.values())])

    def added(names, scores, of_view):
        by_name = np.array([of_view[name] for name in names])[:, None]
        return scores + weight * calibrated.decision_function(by_name)

    of_test = dict(zip(view.names, view.scores, strict=True))
    scores = added(scored.names, scored.scores, of_test)
    training = added(scored.training, np.array(list(scored.training.values())), view.training)
    return replace(
        scored,
        scores=scores,
        columns=scored.columns | {"own": scored.scores, title: scores - scored.scores},
        training=dict(zip(scored.training, training.tolist(), strict=True)),
    )


@contextmanager
def warnings_about(subject):
    """Warnings of estimators, which know no machine id, become warnings about `subject`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        yield
    for warning in caught:
        if isinstance(warning.message, DataWarning):
            warnings.warn(type(warning.message)(subject, warning.message.what), stacklevel=4)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
