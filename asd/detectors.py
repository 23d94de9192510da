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
from asd.graph import nearest_neighbours


class FewClipsWarning(DataWarning):
    """There are so few training clips that a detector falls back to something simpler."""

    kind = "detectors with too few training clips"
    examples = 2


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
    n_jobs : int
        Threads that build the graph; the result is the same for any number.

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

    def __init__(self, *, sigma_floor=1e-6, n_jobs=1):
        self.sigma_floor = sigma_floor
        self.n_jobs = n_jobs

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
            neighbour = nearest_neighbours(X, n_jobs=self.n_jobs)
            links = coo_array((np.ones(len(X)), (np.arange(len(X)), neighbour)), shape=(len(X), len(X)))
            self.labels_ = connected_components(links, directed=False)[1]
        return self._describe(X)

    @classmethod
    def restored(cls, X, labels, **parameters):
        """The detector that was fitted on X and found these clusters, to the last bit, without the search.

        Parameters
        ----------
        X : (n_train, ...) array
        labels : (n_train,) int array
            Its `labels_`.

        Raises
        ------
        ValueError
            If the labels are not those of a nearest-neighbour graph of so many vectors.
        """
        detector, X = cls(**parameters), _as_vectors(X)
        labels = np.asarray(labels, int)
        first = np.unique(labels, return_index=True)
        if labels.shape != (len(X),) or first[0][0] != 0 or first[0][-1] != len(first[0]) - 1:
            raise ValueError("labels are 0, 1, ... one for each training vector")
        if (np.diff(first[1]) < 0).any() or (len(X) > 1 and np.bincount(labels).min() < 2):
            raise ValueError("clusters of a graph have two vectors at least, and are numbered as they occur")
        detector.labels_ = labels
        return detector._describe(X)

    def _describe(self, X):
        """Mean and scale of each cluster."""
        clusters = np.split(np.argsort(self.labels_, kind="stable"), np.cumsum(np.bincount(self.labels_))[:-1])
        self.means_, self.scales_ = np.empty((2, len(clusters), X.shape[1]))
        for cluster, members in enumerate(clusters):
            self.means_[cluster], self.scales_[cluster] = X[members].mean(axis=0), X[members].std(axis=0)
        self.scales_ += self.sigma_floor
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

    @classmethod
    def restored(cls, weights, means, precisions_cholesky, **parameters):
        """The detector that had these attributes.

        Parameters
        ----------
        weights, means, precisions_cholesky : (k,), (k, dim) and (k, dim, dim) arrays

        Raises
        ------
        ValueError
            If they are not those of a mixture.
        """
        detector = cls(**parameters)
        weights, means, cholesky = (np.asarray(a, np.float64) for a in (weights, means, precisions_cholesky))
        shape = means.shape
        if len(shape) != 2 or weights.shape != shape[:1] or cholesky.shape != (*shape, shape[1]) or not means.size:
            raise ValueError(f"weights {weights.shape}, means {shape} and factors {cholesky.shape} make no mixture")
        diagonals = np.diagonal(cholesky, axis1=1, axis2=2)
        if not (np.isfinite(means).all() and np.isfinite(cholesky).all() and (diagonals > 0).all()):
            raise ValueError("means and factors of a mixture are finite, diagonals positive")
        if not ((weights > 0).all() and abs(weights.sum() - 1) < 1e-6):
            raise ValueError("weights of a mixture are positive, of sum 1")
        detector.weights_, detector.means_, detector.precisions_cholesky_ = weights, means, cholesky
        return detector

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


class LocalReconstruction(BaseEstimator):
    """How badly a vector is a mixture of its neighbours, against how badly they are [1]_ [2]_.

    A vector x is rebuilt from its k nearest training vectors (L1) with the weights of locally linear
    embedding: w minimises `|x - sum_j w_j x_j|^2 + ridge * trace(G) / k * |w|^2` with `sum_j w_j = 1`,
    where `G_ij = (x_i - x) . (x_j - x)`. What cannot be rebuilt is the error

        e(x) = |x - sum_j w_j x_j|.

    So a clip may lie anywhere between clips it resembles: loudness, speed and background may vary as
    they did in training. Where training clips lie far apart, errors are large for every clip, so the
    error counts relative to its surroundings, as in the local outlier factor [3]_:

        r(x) = log e(x) - mean of log e over the `n_scale` nearest training vectors,

    a training vector's e being that of its reconstruction without itself. The score is r in standard
    deviations from the mean of the training vectors' own r.

    Parameters
    ----------
    n_neighbors : int
        k at most: it is a twelfth of the training vectors, but 4 where there are so many. Of more, a
        few clips would span whatever varies.
    ridge : float
        Keeps the weights small; > 0, for there may be more neighbours than dimensions they span.
    n_scale : int
        Neighbours whose errors are the measure.

    Attributes
    ----------
    k_ : int
    vectors_ : (n_train, n_features) float64 array
    log_errors_ : (n_train,) float64 array
        log e of each training vector.
    center_, scale_ : float
        Mean and standard deviation of the training vectors' r.
    training_scores_ : (n_train,) float64 array
        Scores of the training vectors, each without itself.

    References
    ----------
    .. [1] S. T. Roweis, L. K. Saul, "Nonlinear dimensionality reduction by locally linear embedding",
           Science 290, 2000.
    .. [2] P. Kang, S. Cho, "Locally linear reconstruction for instance-based learning", Pattern
           Recognition 41, 2008.
    .. [3] M. M. Breunig et al., "LOF: identifying density-based local outliers", SIGMOD 2000; for
           anomalous sounds K. Wilkinghoff et al., "Local density-based anomaly score normalization
           for domain generalization", arXiv:2509.10951, 2025.
    """

    def __init__(self, n_neighbors=64, *, ridge=0.1, n_scale=8):
        self.n_neighbors = n_neighbors
        self.ridge = ridge
        self.n_scale = n_scale

    def fit(self, X, y=None):
        """Rebuild every training vector from the others.

        Parameters
        ----------
        X : (n_train, ...) array
            Features of normal clips, each component about as wide as the others. One clip is
            enough: the score is then the log of the distance to it.

        Raises
        ------
        ValueError
            If there is no vector, or one is not finite.
        """
        self.vectors_ = _as_vectors(X)
        n = len(self.vectors_)
        if n <= self.n_scale:
            what = f"errors are compared with those of {n - 1} neighbours instead of {self.n_scale}"
            warnings.warn(FewClipsWarning("LocalReconstruction", what), stacklevel=2)
        self.k_ = self._n_neighbors(n)
        neighbours = np.empty((n, min(max(self.k_, self.n_scale), n - 1)), int)
        self.log_errors_ = np.zeros(n)
        if n > 1:
            for i, x in enumerate(self.vectors_):
                distances = _l1_to_all(x, self.vectors_)
                distances[i] = np.inf
                neighbours[i] = np.argsort(distances, kind="stable")[: neighbours.shape[1]]
                self.log_errors_[i] = self._log_error(x, neighbours[i])
        relative = np.array([self._relative(e, i) for e, i in zip(self.log_errors_, neighbours, strict=True)])
        self.center_, self.scale_ = _center_and_scale(relative)
        self.training_scores_ = (relative - self.center_) / self.scale_
        return self

    @classmethod
    def restored(cls, X, log_errors, center, scale, **parameters):
        """The detector that was fitted on X and had these attributes, without rebuilding every vector.

        Raises
        ------
        ValueError
            If they are not those of so many vectors.
        """
        detector = cls(**parameters)
        detector.vectors_ = _as_vectors(X)
        if log_errors.shape != (len(X),) or not np.isfinite(log_errors).all():
            raise ValueError(f"log errors {log_errors.shape} of {len(X)} vectors, or not finite")
        if not (np.isfinite(center) and 0 < scale < np.inf):
            raise ValueError(f"scores with mean {center} and standard deviation {scale}")
        detector.k_ = detector._n_neighbors(len(X))
        detector.log_errors_, detector.center_, detector.scale_ = log_errors, float(center), float(scale)
        return detector

    def _n_neighbors(self, n):
        return min(self.n_neighbors, max(LEAST_NEIGHBOURS, n // CLIPS_A_NEIGHBOUR))

    def decision_function(self, X):
        """Anomaly scores, `(n_clips,)`, of `(n_clips, ...)` features.

        Raises
        ------
        ValueError
            If the vectors' length differs from the training vectors', or one is not finite.
        """
        check_is_fitted(self, ["vectors_", "scale_"])
        X = _as_vectors(X, self.vectors_.shape[1])
        scores = np.empty(len(X))
        for i, x in enumerate(X):  # one by one: the same alone and in a set
            neighbours = np.argsort(_l1_to_all(x, self.vectors_), kind="stable")
            scores[i] = self._relative(self._log_error(x, neighbours), neighbours)
        return (scores - self.center_) / self.scale_

    def residual(self, x):
        """What of a vector, `(n_features,)`, cannot be rebuilt: `x - sum_j w_j x_j`, of the same shape."""
        check_is_fitted(self)
        return self._residual(x, np.argsort(_l1_to_all(x, self.vectors_), kind="stable"))

    def _residual(self, x, neighbours):
        differences = x - self.vectors_[neighbours[: self.k_]]  # (k, n_features)
        k = len(differences)
        gram = differences @ differences.T
        trace = np.trace(gram)
        if trace == 0:  # equal to all of them
            return np.zeros(len(x))
        weights = np.linalg.solve(gram / trace + self.ridge / k * np.eye(k), np.ones(k))
        return weights / weights.sum() @ differences

    def _log_error(self, x, neighbours):
        return np.log(max(np.linalg.norm(self._residual(x, neighbours)), _SMALLEST_ERROR))

    def _relative(self, log_error, neighbours):
        nearest = neighbours[: self.n_scale]
        return log_error - self.log_errors_[nearest].mean() if len(nearest) else log_error


class SiblingDiscriminant(BaseEstimator):
    """Fisher's linear discriminant of a machine id against the other ids of its type [1]_ [2]_.

    The direction in which the clips of other ids differ most from this id's, measured by how clips
    vary within ids, is a direction in which machines of this type can differ; a defect often moves
    a clip along it. With W the pooled covariance within ids, shrunk towards a multiple of the
    identity as in regularised discriminant analysis [3]_,

        f(x) = (x - own mean) . V^-1 (others' mean - own mean),
        V = (1 - shrinkage) W + shrinkage * trace(W) / n_features * I,

    and the score is f in standard deviations from its mean, both estimated on training clips that
    the direction was not learnt from (cross-fitting on blocks of neighbouring clips).

    Parameters
    ----------
    shrinkage : float
    n_folds : int
        Blocks of the cross-fitting.

    Attributes
    ----------
    mean_, direction_ : (n_features,) float64 arrays
    center_, scale_ : float
        Mean and standard deviation of the cross-fitted f of the training clips.
    training_scores_ : (n_train,) float64 array
        Their cross-fitted scores.

    References
    ----------
    .. [1] R. A. Fisher, "The use of multiple measurements in taxonomic problems", Annals of
           Eugenics 7, 1936.
    .. [2] R. Giri et al., "Self-supervised classification for detecting anomalous sounds", DCASE
           Workshop 2020: the clips of other machine ids as the outside of this one.
    .. [3] J. H. Friedman, "Regularized discriminant analysis", JASA 84, 1989.
    """

    def __init__(self, *, shrinkage=0.003, n_folds=5):
        self.shrinkage = shrinkage
        self.n_folds = n_folds

    def fit(self, X, y=None, *, auxiliary):
        """Find the direction.

        Parameters
        ----------
        X : (n_train, ...) array
            Features of normal clips, at least `n_folds`.
        auxiliary : sequence of (n_i, ...) arrays, at least one
            Features of normal clips of other ids, an array an id.

        Raises
        ------
        ValueError
            If there are too few vectors or they are not finite or differ in length.
        """
        X = _as_vectors(X)
        others = [_as_vectors(x, X.shape[1]) for x in auxiliary]
        if len(X) < self.n_folds or not others:
            wanted = f"{self.n_folds} clips and another id"
            raise ValueError(f"a discriminant needs {wanted}, got {len(X)} and {len(others)}")
        n_others = sum(map(len, others))
        scatter = sum(_scatter(x) for x in others)
        others_mean = np.concatenate(others).mean(axis=0)

        def direction(own):
            within = (scatter + _scatter(own)) / (n_others + len(own))
            ridge = self.shrinkage * np.trace(within) / len(within)
            if not within.any():  # every id always sounds the same
                return others_mean - own.mean(axis=0)
            within = (1 - self.shrinkage) * within + ridge * np.eye(len(within))
            return np.linalg.solve(within, others_mean - own.mean(axis=0))

        held_out = np.empty(len(X))
        folds = contiguous_folds(len(X), self.n_folds)
        for fold in range(self.n_folds):
            own = X[folds != fold]
            held_out[folds == fold] = (X[folds == fold] - own.mean(axis=0)) @ direction(own)
        self.center_, self.scale_ = _center_and_scale(held_out)
        self.mean_, self.direction_ = X.mean(axis=0), direction(X)
        self.training_scores_ = (held_out - self.center_) / self.scale_
        return self

    def decision_function(self, X):
        """Scores, `(n_clips,)`, of `(n_clips, ...)` features; positive towards the other ids.

        Raises
        ------
        ValueError
            If the vectors' length differs from the training vectors', or one is not finite.
        """
        check_is_fitted(self)
        X = _as_vectors(X, len(self.mean_))
        projected = np.array([(x - self.mean_) @ self.direction_ for x in X])  # the same alone and in a set
        return (projected - self.center_) / self.scale_


class ReconstructionDiscriminant(BaseEstimator):
    """Local reconstruction and sibling discriminant on log spectra: System 4's detector.

    Spectra become levels, `log(x + log_floor)`, less their mean over the training clips, over their
    standard deviation plus `std_floor`, bin by bin. On these the score is

        s(x) = r(x) + max(0, f(x)),

    r from `LocalReconstruction` and f from `SiblingDiscriminant`, each in standard deviations of
    the training clips. Only positive f counts: a clip that lies even farther from the other ids
    than this id's clips do is not more normal for that. Without other ids s(x) = r(x).

    Parameters
    ----------
    n_neighbors, ridge, n_scale
        As in `LocalReconstruction`.
    shrinkage, n_folds
        As in `SiblingDiscriminant`.
    log_floor : float
        Far below the modulation spectra's energies, which are of order 1e-6.
    std_floor : float
        Nepers of energy, 0.1 being 0.4 dB; matters for few clips and for bins that hardly vary.

    Attributes
    ----------
    mean_, std_ : (n_features,) float64 arrays
        Of the training clips' levels; std_ holds the floor.
    reconstruction_ : LocalReconstruction
    discriminant_ : SiblingDiscriminant or None
    training_scores_ : (n_train,) float64 array
        Scores of the training clips as if they had not been in training: what a threshold may be
        read from.
    """

    def __init__(
        self, n_neighbors=64, *, ridge=0.1, n_scale=8, shrinkage=0.003, n_folds=5, log_floor=1e-10, std_floor=0.1
    ):
        self.n_neighbors = n_neighbors
        self.ridge = ridge
        self.n_scale = n_scale
        self.shrinkage = shrinkage
        self.n_folds = n_folds
        self.log_floor = log_floor
        self.std_floor = std_floor

    def fit(self, X, y=None, *, auxiliary=None):
        """Learn one machine id.

        Parameters
        ----------
        X : (n_train, ...) array
            Modulation spectra of normal clips; one is enough, though a poor description of normal.
        auxiliary : sequence of (n_i, ...) arrays, optional
            Spectra of normal clips of the other ids of the machine type, an array an id. Not used
            beside fewer than `n_folds` own clips, nor where all of them are fewer than the features
            are: how these vary together is not known then.

        Raises
        ------
        ValueError
            If there is no spectrum, one is not finite or negative, or lengths differ.
        """
        own = self._fit_levels(X)
        self.reconstruction_ = LocalReconstruction(**self._of_reconstruction).fit(own)
        self.discriminant_ = None
        others = [self._standardised(x) for x in (() if auxiliary is None else auxiliary)]
        n = len(own) + sum(map(len, others))
        if others and (len(own) < self.n_folds or n <= own.shape[1]):
            what = f"{len(own)} training clips, {n} with other ids, are too few to tell them from those"
            warnings.warn(FewClipsWarning("ReconstructionDiscriminant", what), stacklevel=2)
        elif others:
            discriminant = SiblingDiscriminant(shrinkage=self.shrinkage, n_folds=self.n_folds)
            self.discriminant_ = discriminant.fit(own, auxiliary=others)
        self.training_scores_ = self.reconstruction_.training_scores_.copy()
        if self.discriminant_ is not None:
            self.training_scores_ += np.maximum(self.discriminant_.training_scores_, 0)
        return self

    @classmethod
    def restored(cls, X, log_errors, center, scale, **parameters):
        """The detector that was fitted on X alone, with these attributes of its reconstruction.

        Raises
        ------
        ValueError
            If they are not those of so many spectra.
        """
        detector = cls(**parameters)
        own = detector._fit_levels(X)
        of_reconstruction = detector._of_reconstruction
        detector.reconstruction_ = LocalReconstruction.restored(own, log_errors, center, scale, **of_reconstruction)
        detector.discriminant_ = None
        return detector

    @property
    def _of_reconstruction(self):
        return {"n_neighbors": self.n_neighbors, "ridge": self.ridge, "n_scale": self.n_scale}

    def _fit_levels(self, X):
        """Standardised levels of the training spectra."""
        levels = self._levels(X)
        self.mean_ = levels.mean(axis=0)
        self.std_ = levels.std(axis=0) + self.std_floor
        return (levels - self.mean_) / self.std_

    def decision_function(self, X):
        """Anomaly scores, `(n_clips,)`, of `(n_clips, ...)` spectra.

        Raises
        ------
        ValueError
            If the spectra's size differs from the training spectra's, or one is not finite or
            negative.
        """
        r, f = self.parts(X)
        return r + f

    def parts(self, X):
        """r(x) and max(0, f(x)), two `(n_clips,)` arrays: what a score is made of."""
        check_is_fitted(self, "reconstruction_")
        X = self._standardised(X)
        r = self.reconstruction_.decision_function(X)
        if self.discriminant_ is None:
            return r, np.zeros(len(X))
        return r, np.maximum(self.discriminant_.decision_function(X), 0)

    def residual(self, x):
        """What of a spectrum, any shape, its neighbours do not explain, in standard deviations; the same shape."""
        check_is_fitted(self)
        x = np.asarray(x)
        return self.reconstruction_.residual(self._standardised(x[None])[0]).reshape(x.shape)

    def _levels(self, X, n_features=None):
        X = _as_vectors(X, n_features)
        if X.min() < 0:
            raise ValueError(f"spectrum of clip {np.argmax(X.min(axis=1) < 0)} is negative, energies are not")
        return np.array([np.log(x + self.log_floor) for x in X])  # the same alone and in a set

    def _standardised(self, X):
        return (self._levels(X, len(self.mean_)) - self.mean_) / self.std_


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


LEAST_NEIGHBOURS, CLIPS_A_NEIGHBOUR = 4, 12  # of a reconstruction
_SMALLEST_ERROR = 1e-9  # of a reconstruction; below it lies rounding


def _center_and_scale(scores):
    """Mean and standard deviation of training scores; 0 and 1 of a single one, scale 1 of equal ones."""
    if len(scores) == 1:
        return 0.0, 1.0
    scale = float(scores.std())
    return float(scores.mean()), scale if scale > 1e-9 else 1.0


def _scatter(X):
    """Sum of the outer products of the rows' deviations from their mean."""
    X = X - X.mean(axis=0)
    return X.T @ X


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
def _l1_to_all(x, X):
    distances = np.empty(len(X))
    for i in range(len(X)):
        distances[i] = _l1(x, X[i])
    return distances


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
