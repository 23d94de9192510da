"""AUC, partial AUC and their averages, as each year of DCASE Task 2 defines them.

Conventions: labels are 0 (normal) and 1 (anomaly), domains are "source" and "target", higher scores
are more anomalous, figures are fractions; where a figure is not defined it is NaN, and averages
leave NaN out.
"""

from typing import NamedTuple

import numpy as np

MAX_FPR = 0.1
DOMAINS = ("source", "target")
OFFICIAL = "official score"


class Figure(NamedTuple):
    """One metric of one section (2020: machine id) of a machine type."""

    machine: str
    section: str
    metric: str
    value: float


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


def interval(resampled, figures, level=0.95):
    """Percentile interval of AUC and pAUC, corrected for bias.

    The pAUC of a sample is too high on average, and that of a resample is so once more. So the
    interval is moved down by twice what the resamples' mean is above the figure.

    Parameters
    ----------
    resampled : (n_resamples, 2) array
        From :func:`bootstrap`, or averages of such.
    figures : (2,) array
        AUC and pAUC themselves.
    level : float

    Returns
    -------
    (2, 2) float64 array
        Lower ends, upper ends; NaN where the figures are.
    """
    ends = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    lowest = 0.0, _mcclish(0.0, MAX_FPR)
    return np.clip(ends - 2 * (np.mean(resampled, axis=0) - figures), lowest, 1.0)


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


def section_figures(labels, scores, domains=None, *, year=2020):
    """The official metrics of one section (2020: machine id).

    In 2020 AUC and pAUC of all clips [1]_; in 2021 both of each domain's clips [2]_; from 2022 on
    the AUC of each domain's normal clips against the anomalous clips of both domains, and the pAUC
    of all clips [3]_ [4]_.

    Parameters
    ----------
    labels : (n_clips,) array of 0 and 1
    scores : (n_clips,) array
    domains : (n_clips,) sequence of "source" and "target"
        Not needed in 2020. From 2022 on that of an anomalous clip does not matter and may be None.
    year : int
        From 2020 on.

    Returns
    -------
    dict of str to float
        "AUC" and "pAUC"; in 2021 "AUC (source)", "pAUC (source)" and so for "target"; from 2022 on
        "AUC (source)", "AUC (target)" and "pAUC". NaN where a class is not there.

    Raises
    ------
    ValueError
        If lengths differ, a label is neither 0 nor 1, a domain is missing, or the year is before 2020.

    References
    ----------
    .. [1] Y. Koizumi et al., "Description and discussion on DCASE2020 Challenge Task 2", 2020.
    .. [2] Y. Kawaguchi et al., "Description and discussion on DCASE 2021 Challenge Task 2", 2021;
           the organisers' `dcase2021_task2_evaluator`.
    .. [3] K. Dohi et al., "Description and discussion on DCASE 2022 Challenge Task 2", 2022;
           the organisers' `dcase2022_task2_baseline_ae`.
    .. [4] K. Dohi et al., "Description and discussion on DCASE 2023 Challenge Task 2", 2023;
           the organisers' `dcase2023_task2_evaluator`.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, float)
    _validate(labels, scores, domains, year)
    if year == 2020:
        return {"AUC": auc(labels, scores), "pAUC": pauc(labels, scores)}
    domains = np.asarray(domains, object)
    figures = {}
    for domain in DOMAINS:
        of_domain = domains == domain
        if year == 2021:
            figures[f"AUC ({domain})"] = auc(labels[of_domain], scores[of_domain])
            figures[f"pAUC ({domain})"] = pauc(labels[of_domain], scores[of_domain])
        else:
            judged = of_domain | (labels == 1)
            figures[f"AUC ({domain})"] = auc(labels[judged], scores[judged])
    if year > 2021:
        figures["pAUC"] = pauc(labels, scores)
    return figures


def total(figures, *, year=2020):
    """The official averages over a data set.

    Parameters
    ----------
    figures : sequence of Figure
        Of every section of every machine type, from :func:`section_figures` of the same year.
    year : int
        From 2020 on.

    Returns
    -------
    dict of str to float
        In 2020 the arithmetic mean of AUC and pAUC over the ids of a machine type, then over the
        types. From 2021 on the harmonic mean of each metric over types and sections, and that of
        all figures together as "official score" (there is none in 2020, which ranked by both).
    """
    values = {}
    for figure in figures:
        values.setdefault(figure.metric, {}).setdefault(figure.machine, []).append(figure.value)
    if year == 2020:
        return {metric: mean([mean(of_type) for of_type in by_type.values()]) for metric, by_type in values.items()}
    every = {metric: [value for of_type in by_type.values() for value in of_type] for metric, by_type in values.items()}
    averages = {metric: harmonic_mean(of_metric) for metric, of_metric in every.items()}
    return averages | {OFFICIAL: harmonic_mean([figure.value for figure in figures])}


def _validate(labels, scores, domains, year):
    if year < 2020:
        raise ValueError(f"the metrics are those of 2020 and later, not of {year}")
    if labels.shape != scores.shape or labels.ndim != 1:
        raise ValueError(f"{labels.shape} labels and {scores.shape} scores; one of each a clip is needed")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels are 0 (normal) or 1 (anomaly); leave out clips whose label is not known")
    if year == 2020:
        return
    if domains is None or len(domains) != len(labels):
        n = "no" if domains is None else len(domains)
        raise ValueError(f"{len(labels)} labels and {n} domains; from 2021 on one of each a clip is needed")
    for index, (label, domain) in enumerate(zip(labels, domains, strict=True)):
        if domain not in DOMAINS and (year == 2021 or label == 0):
            raise ValueError(f"clip {index}: its domain is {domain!r}, not source or target; give the official list")
