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
