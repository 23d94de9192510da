"""Scores of a machine id's test clips from its features, for the run of the challenge and for `asd evaluate`."""

import warnings
from contextlib import contextmanager
from functools import partial

from threadpoolctl import threadpool_limits

from asd.audio import DataWarning
from asd.outputs import Scored


def score(system, clips, features):
    """Fit a system's detector on a machine id and score its test clips.

    Parameters
    ----------
    system : a system of `asd.systems`
    clips : MachineId
    features : Features
        Of at least one training and one test clip.

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
        scores = detector.fit(features.train).decision_function(features.test)
        training = system.training_scores(features)
    if training is not None:
        training = dict(zip(features.train_names, training, strict=True))
    explain = partial(system.explain, detector, features)
    return Scored(clips, features.test_names, scores, features.labels, training, explain=explain)


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
