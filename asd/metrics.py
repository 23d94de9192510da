"""AUC, partial AUC and their averages, as the DCASE 2020 Task 2 challenge defines them.

Conventions: labels are 0 (normal) and 1 (anomaly), higher scores are more anomalous, figures are
fractions; where a figure is not defined it is NaN, and averages leave NaN out.
"""

import numpy as np

MAX_FPR = 0.1


def auc(labels, scores):
    """Area under the ROC curve.

    Parameters
    ----------
    labels : (n_clips,) array of 0 and 1
    scores : (n_clips,) array

    Returns
    -------
    float
        NaN if only one class is there.
    """
    return _roc_auc(labels, scores, None)


def pauc(labels, scores, *, max_fpr=MAX_FPR):
    """Area up to the false positive rate `max_fpr`, McClish-standardised [1]_: chance is 0.5.

    Parameters
    ----------
    labels : (n_clips,) array of 0 and 1
    scores : (n_clips,) array
    max_fpr : float

    Returns
    -------
    float
        NaN if only one class is there.

    References
    ----------
    .. [1] D. K. McClish, "Analyzing a portion of the ROC curve", Med. Decis. Making 9, 1989;
           `sklearn.metrics.roc_auc_score(max_fpr=...)`.
    """
    return _roc_auc(labels, scores, max_fpr)


def _roc_auc(labels, scores, max_fpr):
    from sklearn.metrics import roc_auc_score

    if len(np.unique(labels)) < 2:
        return np.nan
    return float(roc_auc_score(labels, scores, max_fpr=max_fpr))


def bootstrap(labels, scores, *, n_resamples=1000, random_state=0, max_fpr=MAX_FPR):
    """AUC and pAUC of resampled test sets: what they might have been with other clips [2]_.

    Normal and anomalous clips are each drawn with replacement, as many as there are. The spread of
    the figures is that of the test set alone, not of training.

    Parameters
    ----------
    labels : (n_clips,) array of 0 and 1
    scores : (n_clips,) array
    n_resamples : int
    random_state : int
    max_fpr : float

    Returns
    -------
    (n_resamples, 2) float64 array
        AUC and pAUC; NaN if only one class is there.

    References
    ----------
    .. [2] B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, float)
    if len(np.unique(labels)) < 2:
        return np.full((n_resamples, 2), np.nan)
    rng = np.random.default_rng(random_state)
    thresholds = np.unique(-scores)  # of the negative scores: the highest score first
    rates = []
    for label in (0, 1):
        of_class = scores[labels == label]
        place = np.searchsorted(thresholds, -of_class)
        share = np.bincount(place, minlength=len(thresholds)) / len(of_class)
        drawn = rng.multinomial(len(of_class), share, size=n_resamples)
        rates.append(np.pad(np.cumsum(drawn, axis=1) / len(of_class), ((0, 0), (1, 0))))
    fpr, tpr = rates
    return np.column_stack([_area(fpr, tpr, 1.0), _mcclish(_area(fpr, tpr, max_fpr), max_fpr)])


def _area(fpr, tpr, max_fpr):
    """Areas under piecewise linear curves, `(k, n_points)` each, up to a false positive rate."""
    left, right = fpr[:, :-1], fpr[:, 1:]
    width = np.clip(np.minimum(right, max_fpr) - left, 0, None)
    with np.errstate(invalid="ignore"):
        rise = np.where(width > 0, np.diff(tpr, axis=1) * width / (right - left), 0)
    return np.sum(width * (tpr[:, :-1] + rise / 2), axis=1)


def _mcclish(area, max_fpr):
    chance = max_fpr**2 / 2
    return (1 + (area - chance) / (max_fpr - chance)) / 2


def interval(resampled, level=0.95):
    """Percentile interval, `(2, ...)`: lower and upper end, of resampled figures, `(n_resamples, ...)`."""
    return np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2], axis=0)


def mean(values):
    """Arithmetic mean of what is not NaN; NaN if nothing is."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else np.nan


def harmonic_mean(values):
    """Harmonic mean of what is not NaN; NaN if nothing is, 0 if a value is 0."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if not values.size:
        return np.nan
    return float(values.size / np.sum(1 / values)) if values.all() else 0.0
