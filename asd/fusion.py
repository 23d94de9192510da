"""Scores of several systems -> one score a clip.

Conventions: scores are `(n_clips, n_systems)`, one column a system, higher = more anomalous.

References
----------
.. [1] P. Tiwari et al., "Modulation spectral signal representation and i-vectors for anomalous
       sound detection", DCASE 2020 Challenge Task 2, technical report, 2020: System 3.
"""

import numpy as np


def min_max(scores):
    """Each system's scores from 0 (lowest) to 1 (highest clip of the set); constant scores become zeros.

    Parameters
    ----------
    scores : (n_clips, n_systems) array

    Returns
    -------
    (n_clips, n_systems) float64 array

    Raises
    ------
    ValueError
        If there is no clip, or a score is not finite.
    """
    scores = _validated(scores)
    # Halved, so that the range of the largest floats is a float too.
    low, high = scores.min(axis=0) / 2, scores.max(axis=0) / 2
    return (scores / 2 - low) / np.where(high > low, high - low, 1)


def product(scores):
    """The published rule [1]_: product of the systems' min-max normalised scores.

    A clip's score depends on the clips scored with it, and is 0 where one system finds it the most
    normal of all: a rule for a finished test set, not for a machine that is watched.

    Parameters
    ----------
    scores : (n_clips, n_systems) array

    Returns
    -------
    (n_clips,) float64 array
    """
    return min_max(scores).prod(axis=1)


class CalibratedFusion:
    """Mean of the systems' z-scores, on the scale of what each gives to normal clips.

    `score(x) = mean over systems of (s(x) - mean) / standard deviation`, both taken from training
    scores, so that a clip's score is the same alone and in any set: 0 is an ordinary normal clip, 3
    is three standard deviations above it.

    Attributes
    ----------
    means_, scales_ : (n_systems,) float64 arrays
        A standard deviation of 0, as of a single clip, counts as 1.
    """

    def fit(self, training):
        """Learn the scales.

        Parameters
        ----------
        training : sequence of (n_train,) arrays
            A system's scores of normal clips that it was not fitted on, an array a system, from
            :func:`asd.detectors.cross_fitted_scores`.

        Raises
        ------
        ValueError
            If a system has no scores, or one is not finite.
        """
        columns = [_validated(np.reshape(scores, (-1, 1))) for scores in training]
        self.means_ = np.array([column.mean() for column in columns])
        self.scales_ = np.array([1.0 if is_constant(column) else column.std() for column in columns])
        return self

    def normalised(self, scores):
        """z-scores, `(n_clips, n_systems)`, of `(n_clips, n_systems)` scores."""
        return (_validated(scores, len(self.means_)) - self.means_) / self.scales_

    def decision_function(self, scores):
        """Fused scores, `(n_clips,)`, of `(n_clips, n_systems)` scores.

        Raises
        ------
        ValueError
            If there are scores of another number of systems, or one is not finite.
        """
        return self.normalised(scores).mean(axis=1)


def is_constant(scores):
    """Whether scores differ by no more than rounding."""
    return bool(np.ptp(scores) <= 1e-12 * np.abs(scores).max())


def _validated(scores, n_systems=None):
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"expected scores of at least one clip and system, (n_clips, n_systems), got {scores.shape}")
    if n_systems is not None and scores.shape[1] != n_systems:
        raise ValueError(f"scores of {scores.shape[1]} systems, the fusion was fitted on {n_systems}")
    if not np.isfinite(scores).all():
        raise ValueError(f"scores of clip {np.argmin(np.isfinite(scores).all(axis=1))} are not finite")
    return scores
