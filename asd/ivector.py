"""i-vectors: a clip's frames as one vector of fixed length, by total variability modelling.

A universal background model (UBM), a Gaussian mixture with diagonal covariances, divides frames
among its components. A clip's deviation from the UBM's means is modelled as `M = m + T w` with
`w ~ N(0, I)`; the i-vector is the posterior mean of w.

Notation, as in the literature: C components, D features a frame, R the dimension of i-vectors, U
clips; m_c and S_c (diagonal) are mean and covariance of component c, gamma the posterior of a
component given a frame.

    statistics      N_c = sum gamma,  F_c = sum gamma (x - m_c),  V_c = sum gamma (x - m_c)^2
    posterior of w  L = I + sum_c N_c T_c' S_c^-1 T_c,  w = L^-1 sum_c T_c' S_c^-1 F_c
    update of T     T_c = (sum_u F_c w') (sum_u N_c E[w w'])^-1
    update of S     S_c = (sum_u V_c - diag(sum_u F_c w' T_c')) / sum_u N_c

T_c' S_c^-1 T_c and T_c' S_c^-1 are computed once a model, not once a clip, and sums over components
and clips are matrix products.

References
----------
.. [1] N. Dehak, P. Kenny, R. Dehak, P. Dumouchel and P. Ouellet, "Front-end factor analysis for
       speaker verification", IEEE Trans. Audio, Speech, Lang. Process. 19(4), 2011.
.. [2] P. Kenny, G. Boulianne and P. Dumouchel, "Eigenvoice modeling with sparse training data",
       IEEE Trans. Speech Audio Process. 13(3), 2005.
.. [3] N. Bruemmer, "The EM algorithm and minimum divergence", Agnitio Labs technical report, 2009.
.. [4] bob.learn.em 3.3.1, whose statistics, updates and i-vectors these equal to 1e-8.
"""

import io
import json
import warnings
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from asd.audio import DataError, DataWarning
from asd.files import write_atomically

COVARIANCE_FLOOR = 1e-10
BLOCK = 64  # clips whose posteriors are in memory at once
NO_FRAMES = 1e-8  # a component that fewer frames than that belong to is left as it is


class FewFramesWarning(DataWarning):
    """There are fewer training frames than a UBM of that size needs."""

    kind = "UBMs made smaller for want of frames"


@dataclass(frozen=True)
class UBM:
    """A Gaussian mixture with diagonal covariances.

    Parameters
    ----------
    weights : (C,) array
        Positive, of sum 1.
    means, variances : (C, D) arrays
    """

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    def __post_init__(self):
        for name in ("weights", "means", "variances"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        shape = np.shape(self.means)
        if len(shape) != 2 or np.shape(self.variances) != shape or np.shape(self.weights) != shape[:1]:
            raise ValueError(
                f"weights {np.shape(self.weights)}, means {shape} and variances {np.shape(self.variances)} "
                "do not make a mixture: (C,), (C, D), (C, D)"
            )
        if not (np.min(self.variances) > 0 and np.min(self.weights) >= 0):
            raise ValueError("variances are positive and weights not negative in a mixture")

    def log_densities(self, frames):
        """Weighted log density of every frame under every component, `(n_frames, C)`."""
        frames = np.asarray(frames, np.float64)
        precision = 1 / self.variances
        constant = np.log(np.maximum(self.weights, np.finfo(float).tiny)) - 0.5 * (
            np.sum(np.log(2 * np.pi * self.variances) + self.means**2 * precision, axis=1)
        )
        return constant + frames @ (self.means * precision).T - 0.5 * (frames**2 @ precision.T)

    def log_likelihood(self, frames):
        """Log-likelihood of every frame, `(n_frames,)`."""
        densities = self.log_densities(frames)
        top = densities.max(axis=1)
        return top + np.log(np.sum(np.exp(densities - top[:, None]), axis=1))


@dataclass(frozen=True)
class Statistics:
    """Baum-Welch statistics of U clips, centred on the UBM's means.

    `n` is `(U, C)`, `f` is `(U, C, D)`; `v`, summed over the clips, is `(C, D)`.
    """

    n: np.ndarray
    f: np.ndarray
    v: np.ndarray


def clip_statistics(ubm, frames):
    """Statistics of one clip.

    Parameters
    ----------
    ubm : UBM
    frames : (n_frames, D) array

    Returns
    -------
    n, f, v : (C,), (C, D), (C, D) arrays
        Zero and centred first and second order.

    Raises
    ------
    ValueError
        If frames are not of the UBM's dimension, or not finite.
    """
    frames = np.asarray(frames, np.float64)
    if frames.ndim != 2 or frames.shape[1] != ubm.means.shape[1]:
        raise ValueError(f"frames have shape {frames.shape}, the UBM expects (n_frames, {ubm.means.shape[1]})")
    if not np.isfinite(frames).all():
        raise ValueError("frames hold values that are not finite")
    densities = ubm.log_densities(frames)
    posteriors = np.exp(densities - densities.max(axis=1, keepdims=True))
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    n = posteriors.sum(axis=0)
    f = posteriors.T @ frames
    v = posteriors.T @ frames**2 - 2 * ubm.means * f + ubm.means**2 * n[:, None]
    return n, f - ubm.means * n[:, None], v


def statistics(ubm, clips):
    """Statistics of several clips.

    Parameters
    ----------
    ubm : UBM
    clips : iterable of (n_frames, D) arrays

    Returns
    -------
    Statistics
    """
    n, f, v = zip(*(clip_statistics(ubm, frames) for frames in clips), strict=True)
    return Statistics(np.array(n), np.array(f), sum(v))


@dataclass
class TotalVariability:
    """The model `M = m + T w`.

    `t` is `(C, D, R)`, `covariance` the residual covariance S, `(C, D)`.
    """

    t: np.ndarray
    covariance: np.ndarray

    def __post_init__(self):
        dim = self.t.shape[2]
        self._lower = np.tril_indices(dim)
        whitened = self.t / np.sqrt(self.covariance)[:, :, None]
        self._precisions = np.matmul(whitened.transpose(0, 2, 1), whitened)[:, self._lower[0], self._lower[1]]
        self._projection = (self.t / self.covariance[:, :, None]).reshape(-1, dim)

    def posteriors(self, n, f):
        """Posteriors of w given the statistics of u clips.

        Parameters
        ----------
        n, f : (u, C) and (u, C, D) arrays

        Returns
        -------
        w : (u, R) array
            Posterior means: the i-vectors.
        covariances : (u, R, R) array
            Posterior covariances L^-1, lower triangles.
        log_evidence : (u,) array
            What w adds to the clips' log-likelihood: (b' L^-1 b - log|L|) / 2 with b = L w.
        """
        b, matrices = self._normal_equations(n, f)
        w = np.empty_like(b)
        log_evidence = np.empty(len(b))
        for i, matrix in enumerate(matrices):
            # LAPACK reads columns: what is the lower triangle here is the upper one there.
            factor, _ = lapack.dpotrf(matrix.T, lower=0, overwrite_a=1)
            w[i], _ = lapack.dpotrs(factor, b[i], lower=0)
            log_evidence[i] = 0.5 * (b[i] @ w[i]) - np.sum(np.log(np.diagonal(factor)))
            matrices[i] = lapack.dpotri(factor, lower=0, overwrite_c=1)[0].T
        return w, matrices, log_evidence

    def ivectors(self, n, f):
        """Posterior means alone, `(u, R)`, the same to the last bit for any u; see :meth:`posteriors`.

        Clip by clip, since BLAS rounds by the shape of a product and a row's place in it.
        """
        w = np.empty((len(n), self.t.shape[2]))
        for i in range(len(n)):
            b, matrices = self._normal_equations(n[i : i + 1], f[i : i + 1])
            w[i] = lapack.dposv(matrices[0].T, b[0], lower=0, overwrite_a=1)[1]
        return w

    def _normal_equations(self, n, f):
        """b, `(u, R)`, and the lower triangles of L, `(u, R, R)`, of `L w = b`."""
        dim = self.t.shape[2]
        b = f.reshape(len(f), -1) @ self._projection
        matrices = np.zeros((len(b), dim, dim))
        matrices[:, self._lower[0], self._lower[1]] = n @ self._precisions
        matrices[:, np.arange(dim), np.arange(dim)] += 1
        return b, matrices

    def log_likelihood(self, stats, log_evidence):
        """Log-likelihood of the frames given their alignment to the components.

        Parameters
        ----------
        stats : Statistics
        log_evidence : float
            Sum over the clips of what :meth:`posteriors` yields.
        """
        constant = stats.n.sum(axis=0) @ np.sum(np.log(2 * np.pi * self.covariance), axis=1)
        return log_evidence - 0.5 * (constant + np.sum(stats.v / self.covariance))

    def expectation_maximisation(self, stats, *, update_covariance=False, minimum_divergence=False):
        """One iteration.

        Parameters
        ----------
        stats : Statistics
        update_covariance : bool
            Estimate the residual covariance too.
        minimum_divergence : bool
            Absorb the i-vectors' second moment into T, so that it becomes the identity [3]_.

        Returns
        -------
        TotalVariability
            The next model; components that no frame belongs to stay as they are.
        float
            Log-likelihood of the model as it was.
        """
        n_components, n_features, dim = self.t.shape
        lower = self._lower
        moments = np.zeros((n_components, len(lower[0])))  # sum_u N_c E[w w'], lower triangles
        projected = np.zeros((n_components * n_features, dim))  # sum_u F_c w'
        second_moment = np.zeros(len(lower[0]))
        log_evidence = 0.0
        for start in range(0, len(stats.n), BLOCK):
            clips = slice(start, start + BLOCK)
            w, covariances, evidence = self.posteriors(stats.n[clips], stats.f[clips])
            of_block = covariances[:, lower[0], lower[1]] + w[:, lower[0]] * w[:, lower[1]]
            moments += stats.n[clips].T @ of_block
            projected += stats.f[clips].reshape(len(w), -1).T @ w
            second_moment += of_block.sum(axis=0)
            log_evidence += evidence.sum()
        projected = projected.reshape(self.t.shape)
        n = stats.n.sum(axis=0)
        seen = n > NO_FRAMES
        t = self.t.copy()
        t[seen] = np.linalg.solve(_symmetric(moments[seen], dim), projected[seen].transpose(0, 2, 1)).transpose(0, 2, 1)
        covariance = self.covariance
        if update_covariance:
            covariance = covariance.copy()
            explained = np.sum(projected[seen] * t[seen], axis=2)
            covariance[seen] = np.maximum((stats.v[seen] - explained) / n[seen, None], COVARIANCE_FLOOR)
        if minimum_divergence:
            t = t @ np.linalg.cholesky(_symmetric(second_moment[None], dim)[0] / len(stats.n))
        return TotalVariability(t, covariance), self.log_likelihood(stats, log_evidence)


def _symmetric(triangles, dim):
    """`(k, dim, dim)` symmetric matrices from `(k, dim (dim + 1) / 2)` lower triangles."""
    lower = np.tril_indices(dim)
    matrices = np.empty((len(triangles), dim, dim))
    matrices[:, lower[0], lower[1]] = triangles
    matrices[:, lower[1], lower[0]] = triangles
    return matrices


class IVectorExtractor(TransformerMixin, BaseEstimator):
    """Learns a UBM and a total variability matrix, and turns clips into i-vectors.

    Parameters
    ----------
    n_components : int
        Components of the UBM; fewer are used where there are fewer frames.
    dim : int
        Dimension of the i-vectors.
    n_iter : int
        EM iterations of the total variability matrix.
    ubm : UBM, optional
        Use this one instead of fitting one.
    ubm_iter : int
        EM iterations of the UBM, at most.
    max_frames : int
        Frames that the UBM is fitted on, at most, drawn evenly from the clips.
    start : float
        The matrix starts with independent normal entries of this size, per standard deviation of the UBM.
    update_covariance, minimum_divergence : bool
        See :meth:`TotalVariability.expectation_maximisation`.
    random_state : int
        Of frames drawn, UBM and start.

    Attributes
    ----------
    ubm_ : UBM
    model_ : TotalVariability
    log_likelihoods_ : (n_iter,) array
        Before each iteration; it does not fall.
    """

    def __init__(
        self,
        n_components=32,
        dim=100,
        *,
        n_iter=10,
        ubm=None,
        ubm_iter=30,
        max_frames=50_000,
        start=0.01,
        update_covariance=False,
        minimum_divergence=True,
        random_state=0,
    ):
        self.n_components = n_components
        self.dim = dim
        self.n_iter = n_iter
        self.ubm = ubm
        self.ubm_iter = ubm_iter
        self.max_frames = max_frames
        self.start = start
        self.update_covariance = update_covariance
        self.minimum_divergence = minimum_divergence
        self.random_state = random_state

    def fit(self, clips, y=None):
        """Learn from the frames of clips.

        Parameters
        ----------
        clips : list of (n_frames, D) arrays

        Raises
        ------
        ValueError
            If there is no clip, or frames are not finite or of different dimensions.
        """
        if not len(clips):
            raise ValueError("i-vectors are learnt from at least one clip; none was given")
        n = self.frames_per_clip(len(clips))
        drawn = [draw_frames(frames, n, self.random_state, i) for i, frames in enumerate(clips)]
        self.fit_ubm(np.concatenate(drawn))
        return self.fit_statistics(statistics(self.ubm_, clips))

    def frames_per_clip(self, n_clips):
        """How many frames of each of `n_clips` clips the UBM is fitted on, at most."""
        return max(1, self.max_frames // n_clips)

    def fit_ubm(self, frames):
        """Fit the UBM on `(n_frames, D)` frames (scikit-learn's `GaussianMixture`), or take the one given."""
        from sklearn.mixture import GaussianMixture

        if self.ubm is not None:
            self.ubm_ = self.ubm
            return self
        n_components = min(self.n_components, len(frames))
        if n_components < self.n_components:
            what = f"{n_components} components instead of {self.n_components}"
            warnings.warn(FewFramesWarning("UBM", what), stacklevel=2)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="sklearn")  # not converged: a UBM need not be
            mixture = GaussianMixture(
                n_components,
                covariance_type="diag",
                max_iter=self.ubm_iter,
                reg_covar=1e-4,
                random_state=self.random_state,
            ).fit(frames)
        self.ubm_ = UBM(mixture.weights_, mixture.means_, mixture.covariances_)
        return self

    def fit_statistics(self, stats, *, progress=None):
        """Learn the total variability matrix from the statistics of clips under the UBM.

        Parameters
        ----------
        stats : Statistics
        progress : callable, optional
            Wraps the iterations, e.g. `tqdm.tqdm`.
        """
        rng = np.random.default_rng(self.random_state)
        shape = (*self.ubm_.means.shape, self.dim)
        t = self.start * rng.standard_normal(shape) * np.sqrt(self.ubm_.variances)[:, :, None]
        model = TotalVariability(t, self.ubm_.variances)
        log_likelihoods = []
        for _ in (progress or iter)(range(self.n_iter)):
            model, log_likelihood = model.expectation_maximisation(
                stats, update_covariance=self.update_covariance, minimum_divergence=self.minimum_divergence
            )
            log_likelihoods.append(log_likelihood)
        self.model_, self.log_likelihoods_ = model, np.array(log_likelihoods)
        return self

    def transform(self, clips):
        """i-vectors of clips.

        Parameters
        ----------
        clips : list of (n_frames, D) arrays

        Returns
        -------
        (n_clips, dim) float64 array
        """
        check_is_fitted(self, ["ubm_", "model_"])
        return self.transform_statistics(statistics(self.ubm_, clips)) if len(clips) else np.empty((0, self.dim))

    def transform_statistics(self, stats):
        """i-vectors of clips by their statistics, `(U, dim)`; the same whether a clip comes alone or with others."""
        return self.model_.ivectors(stats.n, stats.f)

    def save(self, path):
        """Write the fitted extractor to one `.npz` file without pickled objects.

        Raises
        ------
        OSError
            With the file's name, if it cannot be written.
        """
        check_is_fitted(self, ["ubm_", "model_"])
        parameters = {name: value for name, value in self.get_params().items() if name != "ubm"}
        buffer = io.BytesIO()
        np.savez(
            buffer,
            parameters=np.array(json.dumps(parameters)),
            weights=self.ubm_.weights,
            means=self.ubm_.means,
            variances=self.ubm_.variances,
            t=self.model_.t,
            covariance=self.model_.covariance,
            log_likelihoods=self.log_likelihoods_,
        )
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path):
        """Read what :meth:`save` wrote.

        Raises
        ------
        DataError
            If the file is not such a file.
        OSError
            If it cannot be read.
        """
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                extractor = cls(**json.loads(str(arrays["parameters"])))
                extractor.ubm_ = UBM(arrays["weights"], arrays["means"], arrays["variances"])
                extractor.model_ = TotalVariability(arrays["t"], arrays["covariance"])
                extractor.log_likelihoods_ = arrays["log_likelihoods"]
                model, ubm = extractor.model_, extractor.ubm_
                if model.t.shape != (*ubm.means.shape, extractor.dim) or model.covariance.shape != ubm.means.shape:
                    raise ValueError(f"T {model.t.shape}, covariance {model.covariance.shape}, UBM {ubm.means.shape}")
                if not (np.isfinite(model.t).all() and np.isfinite(ubm.means).all() and (model.covariance > 0).all()):
                    raise ValueError("numbers that are not finite, or no covariances")
        except _DAMAGED as error:
            raise DataError(f"{path}: not a saved i-vector extractor ({error}); delete it and run again") from None
        return extractor


# What numpy, zipfile and json raise for files that somebody cut, flipped or made up.
_DAMAGED = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    AttributeError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def draw_frames(frames, n, random_state, index):
    """At most n frames of clip number `index`, drawn without replacement, in order of time."""
    if len(frames) <= n:
        return frames
    rng = np.random.default_rng([random_state, index])
    return frames[np.sort(rng.choice(len(frames), n, replace=False))]
