"""Detectors: scikit-learn estimators that learn normal feature vectors and score others.

Conventions: `fit(X)` takes features of normal clips, `(n_clips, ...)`, flattened to one vector a
clip; `decision_function(X)` returns one score a clip, higher = more anomalous (as in PyOD). A
clip's score does not depend on the clips scored with it.
"""

import warnings

import numpy as np
from numba import njit
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from asd.audio import DataError, DataWarning


class FewClipsWarning(DataWarning):
    """There are so few training clips that a detector falls back to something simpler."""

    kind = "detectors with too few training clips"


class GraphClusters(BaseEstimator):
    """Clusters of a nearest-neighbour graph; score = distance to the nearest cluster [1]_.

    Every training vector is linked to its nearest other in L1. The connected components of that
    graph are clusters, each with a mean mu and a population standard deviation per component;
    `score(x) = min over clusters of sum(|x - mu| / (sigma + sigma_floor))`.

    Parameters
    ----------
    sigma_floor : float
        Added to every standard deviation. Bins of modulation spectra are of order 1e-6, so the
        published 1e-6 is a real regulariser.

    Attributes
    ----------
    labels_ : (n_train,) int array
        Cluster of each training vector, numbered by first occurrence.
    means_, scales_ : (n_clusters, n_features) float64 arrays
        mu and sigma + sigma_floor of each cluster.

    References
    ----------
    .. [1] P. Tiwari et al., "Modulation spectral signal representation and i-vectors for
           anomalous sound detection", DCASE 2020 Challenge Task 2, technical report, 2020.
    """

    def __init__(self, *, sigma_floor=1e-6):
        self.sigma_floor = sigma_floor

    def fit(self, X, y=None):
        """Build the graph and the clusters.

        Parameters
        ----------
        X : (n_train, ...) array
            Features of normal clips; one is enough, though a poor description of normal.

        Raises
        ------
        ValueError
            If there is no vector, or one is not finite.
        """
        X = _as_vectors(X)
        if len(X) == 1:
            warnings.warn(FewClipsWarning("GraphClusters", "one training clip is a cluster of one"), stacklevel=2)
            self.labels_ = np.zeros(1, int)
        else:
            neighbour = nearest_neighbours(X)
            links = coo_array((np.ones(len(X)), (np.arange(len(X)), neighbour)), shape=(len(X), len(X)))
            self.labels_ = connected_components(links, directed=False)[1]
        members = [X[self.labels_ == c] for c in range(self.labels_.max() + 1)]
        self.means_ = np.array([m.mean(axis=0) for m in members])
        self.scales_ = np.array([m.std(axis=0) for m in members]) + self.sigma_floor
        return self

    def decision_function(self, X):
        """Anomaly scores.

        Parameters
        ----------
        X : (n_clips, ...) array

        Returns
        -------
        (n_clips,) float64 array

        Raises
        ------
        ValueError
            If the vectors' length differs from the training vectors', or one is not finite.
        """
        check_is_fitted(self)
        return self.nearest_cluster(X)[1]

    def nearest_cluster(self, X):
        """Index of each vector's nearest cluster, `(n_clips,)` int, and the distance to it."""
        X = _as_vectors(X, self.means_.shape[1])
        return _nearest_cluster(X, self.means_, self.scales_)


class GaussianMixtureDetector(BaseEstimator):
    """Gaussian mixture with full covariances; score = negative log-likelihood [1]_.

    Parameters
    ----------
    n_components : int
        Fewer are used where there are fewer training vectors.
    scale : float
        Vectors are multiplied by it first. i-vectors have unit variance; at 1e-3 the covariances
        lie at `reg_covar`, and the mixture behaves like the distance to the nearest centroid,
        which is how the published scores look.
    reg_covar : float
        Added to the diagonal of every covariance.
    random_state : int

    Attributes
    ----------
    weights_, means_, precisions_cholesky_ : arrays
        As in scikit-learn's `GaussianMixture`.

    References
    ----------
    .. [1] P. Tiwari et al., "Modulation spectral signal representation and i-vectors for
           anomalous sound detection", DCASE 2020 Challenge Task 2, technical report, 2020.
    """

    def __init__(self, n_components=10, *, scale=1.0, reg_covar=1e-6, random_state=42):
        self.n_components = n_components
        self.scale = scale
        self.reg_covar = reg_covar
        self.random_state = random_state

    def fit(self, X, y=None):
        """Fit the mixture on `(n_train, ...)` features of normal clips.

        Raises
        ------
        ValueError
            If there is no vector, or one is not finite.
        """
        from sklearn.mixture import GaussianMixture

        X = _as_vectors(_as_vectors(X) * self.scale)
        n_components = min(self.n_components, len(X))
        if n_components < self.n_components:
            what = f"{n_components} mixture components instead of {self.n_components}"
            warnings.warn(FewClipsWarning("GaussianMixtureDetector", what), stacklevel=2)
        if len(X) == 1:
            X = np.repeat(X, 2, axis=0)  # scikit-learn wants two
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="sklearn")  # fewer distinct vectors than components
            mixture = GaussianMixture(
                n_components, covariance_type="full", reg_covar=self.reg_covar, random_state=self.random_state
            )
            try:
                mixture.fit(X)
            except ValueError as error:
                raise DataError(
                    f"no mixture can be fitted at scale {self.scale:g}, choose a smaller one ({error})"
                ) from None
        self.weights_, self.means_ = mixture.weights_, mixture.means_
        self.precisions_cholesky_ = mixture.precisions_cholesky_
        return self

    def decision_function(self, X):
        """Negative log-likelihoods, `(n_clips,)`, of `(n_clips, ...)` features.

        Raises
        ------
        ValueError
            If the vectors' length differs from the training vectors', or one is not finite.
        """
        check_is_fitted(self)
        X = _as_vectors(X, self.means_.shape[1]) * self.scale
        diagonals = np.diagonal(self.precisions_cholesky_, axis1=1, axis2=2)
        constant = np.log(self.weights_) + np.sum(np.log(diagonals), axis=1) - 0.5 * X.shape[1] * np.log(2 * np.pi)
        scores = np.empty(len(X))
        for i, x in enumerate(X):  # one by one: the same alone and in a set
            z = np.matmul((x - self.means_)[:, None], self.precisions_cholesky_)[:, 0]
            scores[i] = -np.logaddexp.reduce(constant - 0.5 * np.sum(z**2, axis=1))
        return scores


def contiguous_folds(n, n_folds):
    """Fold of each of n training clips, `(n,)` int: runs of neighbours, which resemble each other most.

    There are at most as many folds as clips.
    """
    return np.arange(n) * min(n_folds, n) // max(n, 1)


def cross_fitted_scores(detector, views, folds):
    """Scores of training clips by detectors that did not see them: what new normal clips would score.

    Each fold is scored by a clone of the detector fitted on the others.

    Parameters
    ----------
    detector : estimator
    views : (n_folds, n_train, ...) array
        Features as made without each fold; where making them needs no training, one array for all:
        `np.broadcast_to(X, (n_folds, *X.shape))`.
    folds : (n_train,) int array
        From :func:`contiguous_folds`.

    Returns
    -------
    (n_train,) float64 array
        A single clip is scored by a detector fitted on itself.
    """
    scores = np.empty(len(folds))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewClipsWarning)  # the detector fitted on all clips says it once
        for fold in range(folds.max() + 1):
            out = folds == fold
            fitted = clone(detector).fit(views[fold][out if out.all() else ~out])
            scores[out] = fitted.decision_function(views[fold][out])
    return scores


def nearest_neighbours(X):
    """Index of each row's nearest other row in L1, the first one of equals.

    Every pair is measured once, in tiles that stay in cache; memory beyond `X` is two numbers a
    row, however many rows there are.

    Parameters
    ----------
    X : (n, n_features) float64 array, n >= 2

    Returns
    -------
    (n,) int array
    """
    return _nearest_neighbours(np.ascontiguousarray(X))


def _as_vectors(X, n_features=None):
    """`(n, n_features)` contiguous float64, finite."""
    X = np.asarray(X, np.float64)
    if X.ndim < 2 or not X.size:
        raise ValueError(f"expected features of at least one clip, (n_clips, ...), got shape {X.shape}")
    X = np.ascontiguousarray(X.reshape(len(X), -1))
    if n_features is not None and X.shape[1] != n_features:
        raise ValueError(f"features have {X.shape[1]} components, the detector was fitted on {n_features}")
    if not np.isfinite(X).all():
        raise ValueError(f"features of clip {np.argmin(np.isfinite(X).all(axis=1))} are not finite")
    return X


_TILE = 32  # rows: two tiles of 480 float64 components fit in L2


# Eight sums side by side fill a vector register. They stand here one by one, and not as one sum that
# the compiler may split as it likes, so that the order of summation, and with it every bit of the
# result, is the same whenever and wherever this is compiled.


@njit(cache=True, nogil=True)
def _l1(x, y):
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    whole = x.size - x.size % 8
    for j in range(0, whole, 8):
        a, b = x[j : j + 8], y[j : j + 8]
        s0 += abs(a[0] - b[0])
        s1 += abs(a[1] - b[1])
        s2 += abs(a[2] - b[2])
        s3 += abs(a[3] - b[3])
        s4 += abs(a[4] - b[4])
        s5 += abs(a[5] - b[5])
        s6 += abs(a[6] - b[6])
        s7 += abs(a[7] - b[7])
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for j in range(whole, x.size):
        total += abs(x[j] - y[j])
    return total


@njit(cache=True, nogil=True)
def _nearest_neighbours(X):
    n = len(X)
    distance = np.full(n, np.inf)
    neighbour = np.zeros(n, np.int64)
    for i_tile in range(0, n, _TILE):
        for j_tile in range(i_tile, n, _TILE):
            for i in range(i_tile, min(i_tile + _TILE, n)):
                for j in range(max(i + 1, j_tile), min(j_tile + _TILE, n)):
                    d = _l1(X[i], X[j])
                    # A row meets the others in ascending order, so "<" keeps the first of equals.
                    if d < distance[i]:
                        distance[i], neighbour[i] = d, j
                    if d < distance[j]:
                        distance[j], neighbour[j] = d, i
    return neighbour


@njit(cache=True, nogil=True)
def _nearest_cluster(X, means, scales):
    nearest = np.zeros(len(X), np.int64)
    distance = np.full(len(X), np.inf)
    scaled = np.empty(X.shape[1])
    zeros = np.zeros(X.shape[1])
    for i in range(len(X)):
        for c in range(len(means)):
            for j in range(scaled.size):
                scaled[j] = (X[i, j] - means[c, j]) / scales[c, j]
            d = _l1(scaled, zeros)
            if d < distance[i]:
                distance[i], nearest[i] = d, c
    return nearest, distance
