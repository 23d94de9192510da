"""From normal clips' scores to decisions: thresholds, p-values, and the false alarms to expect.

All of it holds for scores that are to the detector what a fresh normal clip's score is: scores of
clips that it was not fitted on (:func:`asd.detectors.cross_fitted_scores`), in no order that
matters. A training clip's own score is too low.

Conventions: scores are finite, higher = more anomalous, and may be negative; a clip is flagged if
its score is above the threshold (not if it is equal); shares are fractions; n is the number of
training scores.

References
----------
.. [1] R. Laxhammar and G. Falkman, "Inductive conformal anomaly detection for sequential detection
       of anomalous sub-trajectories", Ann. Math. Artif. Intell. 74, 2015.
.. [2] V. Vovk, A. Gammerman and G. Shafer, "Algorithmic learning in a random world", Springer, 2005.
.. [3] Y. Kawaguchi et al., "Description and discussion on DCASE 2021 Challenge Task 2", DCASE
       Workshop 2021, and its baseline; that of 2022 does the same.
.. [4] C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the
       case of the binomial", Biometrika 26, 1934.
"""

import math
import warnings
from typing import NamedTuple

import numpy as np
from scipy import special

from asd.audio import DataWarning

FEWEST_FOR_GAMMA = 10  # scores, for three parameters
CONTRADICTED = 1e-3  # a fit is not used if the scores above its threshold are as unlikely as that under it


class FewScoresWarning(DataWarning):
    """There are too few training scores for the share of false alarms asked for."""

    kind = "thresholds from too few clips for the false alarms asked for"


class GammaFitWarning(DataWarning):
    """The scores are not as a gamma distribution has them, and the threshold is an empirical one."""

    kind = "thresholds that are empirical since no gamma distribution describes the scores"


class FalseAlarms(NamedTuple):
    """Share of normal clips above a threshold, and a confidence interval of it."""

    share: float
    low: float
    high: float


def empirical_threshold(scores, false_alarms=0.01):
    """Threshold that a fresh normal clip exceeds with at most the probability asked for [1]_, [2]_.

    The k-th smallest training score with `k = ceil((n + 1) (1 - false_alarms))`: the rank of a
    fresh normal score among n others is equally likely to be any of n + 1, so that it lies above
    the k-th with probability `(n + 1 - k) / (n + 1)`, or less where scores are equal. This holds on
    average over training sets, whatever the distribution; :func:`expected_false_alarms` says how
    far one training set may be off. A score is above the threshold exactly if its
    :func:`p_value` is at most `false_alarms`.

    With `n < 1 / false_alarms - 1` there is no such score. The highest one is returned then, which
    a fresh normal clip exceeds with probability `1 / (n + 1)`, and a warning says so.

    Parameters
    ----------
    scores : (n,) array
        Of training clips.
    false_alarms : float
        Between 0 and 1.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is no score, or one is not finite, or `false_alarms` is not between 0 and 1.

    Warns
    -----
    FewScoresWarning
    """
    ordered = _sorted_scores(scores)
    if not 0 < false_alarms < 1:
        raise ValueError(f"{false_alarms} is no share of false alarms: it lies between 0 and 1")
    n = len(ordered)
    n_above = math.floor(false_alarms * (n + 1)) + 1  # the fresh one counted; too many, at times, by rounding
    while n_above / (n + 1) > false_alarms:  # the comparison that a p-value is put to
        n_above -= 1
    if not n_above:
        what = (
            f"{n} scores, {math.ceil(1 / false_alarms) - 1} are needed for {false_alarms:.4g} false alarms: "
            f"the threshold is the highest, and {1 / (n + 1):.3g} are to be expected"
        )
        warnings.warn(FewScoresWarning("empirical threshold", what), stacklevel=2)
        return float(ordered[-1])
    return float(ordered[n - n_above])


def gamma_threshold(scores, quantile=0.9):
    """Quantile of a gamma distribution fitted to the scores, as the challenge's baselines have it [3]_.

    Shape, location and scale are fitted by maximum likelihood (`scipy.stats.gamma.fit`); the
    location is free, so that scores may be negative. The search for that maximum is lost at times, by
    the scores' unit alone; and for heavy tails and scores skewed to the left the likelihood has none
    that is of use, and the baselines' threshold flags everything or nothing. So a fit is held to the
    scores: it is not used if their number above the threshold is as improbable as `CONTRADICTED` for
    a share of `1 - quantile` (binomial, two sides). Then the fit is tried again on scores of mean 0
    and standard deviation 1. If that is no better, or there are fewer than `FEWEST_FOR_GAMMA`, or
    all are equal, the threshold is :func:`empirical_threshold` with `1 - quantile`, and a warning
    says so.

    Parameters
    ----------
    scores : (n,) array
        Of training clips.
    quantile : float
        Between 0 and 1.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is no score, or one is not finite, or `quantile` is not between 0 and 1.

    Warns
    -----
    GammaFitWarning, FewScoresWarning
    """
    ordered = _sorted_scores(scores)
    if not 0 < quantile < 1:
        raise ValueError(f"{quantile} is no quantile: it lies between 0 and 1")
    n = len(ordered)
    if n < FEWEST_FOR_GAMMA:
        reason = f"{n} scores, {FEWEST_FOR_GAMMA} are needed"
    elif ordered[0] == ordered[-1]:
        reason = "all scores are equal"
    else:
        for standardised in (False, True):
            threshold = _fitted_gamma_quantile(ordered, quantile, standardised)
            n_above = np.count_nonzero(ordered > threshold)
            if np.isfinite(threshold) and _probability_of_count(n_above, n, 1 - quantile) > CONTRADICTED:
                return float(threshold)
        reason = f"the fitted one has {n_above} of {n} scores above its {quantile:g} quantile"
    warnings.warn(GammaFitWarning("gamma threshold", reason), stacklevel=2)
    return empirical_threshold(ordered, round(1 - quantile, 12))


def _probability_of_count(m, n, share):
    """Of a number as far from `n * share` as m, on either side; m of n is binomial."""
    at_most, at_least = special.bdtr(m, n, share), special.bdtrc(m - 1, n, share) if m else 1
    return 2 * min(at_most, at_least)


def _fitted_gamma_quantile(scores, quantile, standardised):
    """Not finite if there is no fit."""
    from scipy.stats import FitError, gamma  # here: it takes half a second to import

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        mean, deviation = (scores.mean(), scores.std()) if standardised else (0.0, 1.0)
        try:
            parameters = gamma.fit((scores - mean) / deviation)
        except (FitError, ValueError, ArithmeticError):
            return np.nan
        return mean + deviation * gamma.ppf(quantile, *parameters)


def p_value(scores, x):
    """Probability that a normal clip scores as high, by rank: `(1 + #{training >= x}) / (n + 1)` [1]_.

    For a fresh normal clip it is at most any p with at most that probability, on average over
    training sets. The smallest is `1 / (n + 1)`.

    Parameters
    ----------
    scores : (n,) array
        Of training clips.
    x : float or array
        Scores to be judged.

    Returns
    -------
    float or array of the shape of x
        In (0, 1].

    Raises
    ------
    ValueError
        If there is no training score, or one is not finite, or an x is NaN.
    """
    ordered, x = _sorted_scores(scores), _not_nan(x, "a score")
    p = (1 + len(ordered) - np.searchsorted(ordered, x, side="left")) / (len(ordered) + 1)
    return p if x.ndim else float(p)


def expected_false_alarms(scores, threshold, *, confidence=0.95):
    """Share of normal clips to be expected above a threshold, with an interval.

    With m training scores above the threshold the share is `(m + 1) / (n + 1)`: what is to be
    expected above the (n - m)-th smallest score, and a little more than m / n above a threshold from
    elsewhere. The interval is that of Clopper and Pearson [4]_ for m of n: with B(q; a, b) the
    quantile q of a beta distribution and e = (1 - confidence) / 2, it is
    `[B(e; m, n - m + 1), B(1 - e; m + 1, n - m)]`, 0 and 1 at its ends.

    Parameters
    ----------
    scores : (n,) array
        Of training clips.
    threshold : float or array
    confidence : float
        Between 0 and 1.

    Returns
    -------
    FalseAlarms
        share, low, high: floats, or arrays of the shape of `threshold`.

    Raises
    ------
    ValueError
        If there is no score, or one is not finite, or a threshold is NaN.
    """
    ordered, threshold = _sorted_scores(scores), _not_nan(threshold, "a threshold")
    n = len(ordered)
    m = n - np.searchsorted(ordered, threshold, side="right")
    tail = (1 - confidence) / 2
    low = np.where(m > 0, special.betaincinv(np.maximum(m, 1), n - m + 1, tail), 0.0)
    high = np.where(m < n, special.betaincinv(m + 1, np.maximum(n - m, 1), 1 - tail), 1.0)
    found = (m + 1) / (n + 1), low, high
    return FalseAlarms(*(found if threshold.ndim else map(float, found)))


def _sorted_scores(scores):
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or not scores.size:
        raise ValueError(f"expected scores of at least one training clip, (n,), got shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"training score {np.argmin(np.isfinite(scores))} is not finite")
    return np.sort(scores)


def _not_nan(values, what):
    values = np.asarray(values, np.float64)
    if np.isnan(values).any():
        raise ValueError(f"{what} is not a number")
    return values
