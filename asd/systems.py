"""Systems: features and a detector, fitted on the clips of a machine id.

A system says how a machine id's clips become features (`compute`), where these are kept (`cache`)
and which estimator scores them (`detector`). The run of the challenge, the cache, the parallel map and the results are
the same for all; a new system is one class here and one script.

What a model of one's own machine (:mod:`asd.model`) needs beside `compute`, `detector`,
`training_scores` and `explain`, and what makes a class one of `SYSTEMS`:

- `parameters`, its keyword arguments as JSON values, and `LIMITS`, what a file may say of each:
  (type, lowest, highest);
- `feature(samples, extractor)`: what `compute` makes of a clip, to the last bit, given
  `Features.extractor`;
- `extend(features, clips, clip_map, description)`: Features with more training clips;
- `arrays(features, detector)`, a dict of arrays that a file keeps, and `restore(arrays)`, which gives
  (features, detector) back and refuses what cannot be such arrays with a ValueError.

A system whose scores are those of others names their classes in `parts` and needs none of these.
"""

import warnings
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import numpy as np

from asd import audio, explain, fusion, mfcc, modspec, noisegate
from asd.audio import AudioError, BrokenClipWarning, DataWarning, Recording
from asd.cache import Features, IVectorCache, SpectraCache

AUTHORS = (  # of the report that Systems 1 to 3 are from
    ("Parth", "Tiwari"),
    ("Yash", "Jain"),
    ("Anderson", "Avila"),
    ("João", "Monteiro"),
    ("Shruti", "Kshirsagar"),
    ("Amr", "Gaballah"),
    ("Tiago H.", "Falk"),
)

FOLDS = 10  # of training clips, to score each by a detector that did not see it
EXTRACTOR_FOLDS = 5  # the same where an i-vector extractor is trained for each
MAX_PRECISIONS = 1.1e7  # numbers of T' S^-1 T over the components that a file may ask for: 0.1 GB
LEAST_VARIANCE = 1e-12  # of a UBM that a file may hold; it is fitted with 1e-4 at least
BLOCK = 64  # clips whose i-vectors are computed between two looks at the progress bar


class LengthsWarning(DataWarning):
    """Training clips of one machine id differ in length."""

    kind = "machine ids with clips of unequal length"


class System:
    """What a system has unless it says otherwise.

    Attributes
    ----------
    authors : tuple of (given name, last name)
        Of its challenge submission; none are known.
    members : mapping of str -> str
        Names of the systems whose scores it fuses, and their scripts.
    parts : tuple of classes
        Those systems.
    views : tuple of (system, folder, weight)
        Systems whose z-scores are added to its own, where their features lie, and how much they count.
    uses_siblings : bool
        Whether its detector is fitted with the training features of the other ids of the machine type.
    n_jobs : int
        Threads of its detector, where that takes any; a run sets it.
    """

    authors = ()
    members = MappingProxyType({})
    parts = ()
    views = ()
    uses_siblings = False
    n_jobs = 1


class ModspecGraph(System):
    """System 1: modulation spectrogram behind a noise gate, nearest-neighbour graph clusters.

    Parameters
    ----------
    noise_clips : int
        Training clips, first by name, whose mean is the machine's noise clip.
    std_factor : float
        The gate's threshold: standard deviations above the mean level of the noise clip, dB.
    n_acoustic, low_hz : int, float
        Gammatone channels and the lowest centre frequency, Hz.
    n_modulation, modulation_range : int, (float, float)
        Modulation channels, first and last centre frequency, Hz.
    sigma_floor : float
        Added to every standard deviation of a cluster.
    """

    name = "modspec_graph"
    title = "System 1: modulation spectrogram + nearest-neighbour graph clusters"
    description = (
        "A clip's score is the distance of its modulation spectrogram to the nearest cluster of the normal ones."
    )
    submission = "Tiwari_IITKGP_task2_2"
    abbreviation = "modspec"
    authors = AUTHORS
    acoustic_features = "modulation spectrogram"
    aggregation = "average"
    method = "nearest-neighbour graph clusters"
    LIMITS = MappingProxyType(
        {
            "noise_clips": (int, 1, 10**6),
            "std_factor": (float, -100, 100),
            "n_acoustic": (int, 1, 512),
            "low_hz": (float, 1, 7000),
            "n_modulation": (int, 1, 64),
            "modulation_range": ((float, float), 0.01, 199),
            "sigma_floor": (float, 1e-300, 1e6),
        }
    )

    def __init__(
        self,
        *,
        noise_clips=100,
        std_factor=noisegate.STD_FACTOR,
        n_acoustic=modspec.N_ACOUSTIC,
        low_hz=modspec.LOW_HZ,
        n_modulation=modspec.N_MODULATION,
        modulation_range=modspec.MODULATION_RANGE,
        sigma_floor=1e-6,
    ):
        self.noise_clips, self.std_factor = noise_clips, std_factor
        self.filters = {
            "n_acoustic": n_acoustic,
            "low_hz": low_hz,
            "n_modulation": n_modulation,
            "modulation_range": tuple(modulation_range),
        }
        self.sigma_floor = sigma_floor

    @property
    def parameters(self):
        """Keyword arguments that make an equal system, as JSON values."""
        filters = self.filters | {"modulation_range": list(self.filters["modulation_range"])}
        return {"noise_clips": self.noise_clips, "std_factor": self.std_factor, **filters} | {
            "sigma_floor": self.sigma_floor
        }

    def cache(self, folder, mode):
        """The cache of this system's features in a folder."""
        parameters = {name: value for name, value in self.parameters.items() if name != "sigma_floor"}
        shape = self.filters["n_acoustic"], self.filters["n_modulation"]
        return SpectraCache(folder, mode, shape=shape, parameters=parameters)

    def compute(self, clips, peers, clip_map, description, known=None):
        """Features of a machine id's usable clips, of training or test clips possibly none.

        Parameters
        ----------
        clips : MachineId
        peers : sequence of MachineId
            The ids of its machine type; not needed here.
        clip_map : ClipMap
        description : str
            Stands before the progress bar.
        known
            What `cache.partial` gave: nothing here.

        Returns
        -------
        Features
        """
        learn = partial(self.learn_frontend, name=str(clips))
        (frontend,) = clip_map(learn, [[clip.path for clip in clips.train]], f"{description} noise", unit="noise clip")
        if isinstance(frontend, AudioError):
            return Features([], [], [], [], [], [("train", Path(frontend.path).name, frontend.reason)])
        paths = [clip.path for clip in clips.train + clips.test]
        features = Features.of(clips, clip_map(partial(self.extract, frontend=frontend), paths, description))
        features.extractor = frontend
        return features

    def extend(self, features, clips, clip_map, description):
        """Features with more training clips, by the same noise gate.

        Parameters
        ----------
        features : Features
            As `compute` made them.
        clips : MachineId
            The clips to be added are its training clips.

        Returns
        -------
        Features
        """
        paths = [clip.path for clip in clips.train]
        added = Features.of(clips, clip_map(partial(self.extract, frontend=features.extractor), paths, description))
        return _joined(features, added)

    def learn_frontend(self, paths, name="the training set"):
        """What a machine's features depend on beside the clip, from its training clips.

        Parameters
        ----------
        paths : list of str or Path
            In the order of their names.
        name : str
            What a warning calls them.

        Returns
        -------
        dict of arrays
            `threshold`: the noise gate's, `(n_bins,)`, power.

        Raises
        ------
        AudioError
            The last clip's, if none is usable.

        Warns
        -----
        BrokenClipWarning, LengthsWarning
        """
        clips = list(islice(_usable(paths), self.noise_clips))
        lengths = sorted({clip.size for clip in clips})
        if len(lengths) > 1:
            what = f"training clips of {lengths[0]} to {lengths[-1]} samples, the noise clip has the first {lengths[0]}"
            warnings.warn(LengthsWarning(name, what), stacklevel=2)
        noise = noisegate.noise_clip(clips)
        return {"threshold": noisegate.noise_threshold(noise, std_factor=self.std_factor)}

    def extract(self, path, frontend):
        """Features of one clip, `(n_acoustic, n_modulation)` float64.

        Raises
        ------
        AudioError
            If the clip is unusable.
        """
        return self.feature(_read(path), frontend)

    def feature(self, samples, extractor):
        """Features of a clip's samples, `(n_acoustic, n_modulation)` float64.

        Parameters
        ----------
        samples : (n_samples,) float32 array
            At `modspec.RATE`.
        extractor : dict
            From `learn_frontend`.
        """
        return modspec.modulation_spectrogram(noisegate.reduce_noise(samples, extractor["threshold"]), **self.filters)

    def arrays(self, features, detector):
        """What a file keeps of features and fitted detector: dict of arrays."""
        return {
            "threshold": features.extractor["threshold"],
            "train": features.train,
            "labels": detector.labels_.astype(np.int32),
        }

    def restore(self, arrays):
        """Features and fitted detector, from arrays that anyone may have made.

        Raises
        ------
        ValueError
            If they are not those of such a system.
        """
        from asd.detectors import GraphClusters

        features = self._restored_features(arrays)
        labels = _array(arrays, "labels", "i", features.train.shape[:1])
        return features, GraphClusters.restored(features.train, labels, sigma_floor=self.sigma_floor)

    def _restored_features(self, arrays):
        threshold = _array(arrays, "threshold", "f", (noisegate.FRAME // 2 + 1,))
        train = _array(arrays, "train", "f", (None, self.filters["n_acoustic"], self.filters["n_modulation"]))
        if (threshold < 0).any() or (train < 0).any():
            raise ValueError("threshold or train has negative powers")
        return Features(train, train[:0], [], [], [], [], extractor={"threshold": threshold})

    def detector(self):
        """An unfitted estimator for `(n_clips, n_acoustic, n_modulation)` features."""
        from asd.detectors import GraphClusters  # here: workers extract features without scikit-learn

        return GraphClusters(sigma_floor=self.sigma_floor, n_jobs=self.n_jobs)

    def training_scores(self, features, detector=None):
        """Scores of the training clips by detectors that did not see them, `(n_train,)`."""
        from asd.detectors import contiguous_folds, cross_fitted_scores

        folds = contiguous_folds(len(features.train), FOLDS)
        views = np.broadcast_to(features.train, (FOLDS, *features.train.shape))
        return cross_fitted_scores(self.detector(), views, folds)

    def explain(self, detector, features, index, wav=None):
        """Why a test clip scored as it did.

        Parameters
        ----------
        detector : GraphClusters
            Fitted.
        features : Features
        index : int
            Row of `features.test`.
        wav : Path, optional
            The recording, not needed here.

        Returns
        -------
        Explanation
        """
        spectrum = features.test[index]
        cluster = detector.nearest_cluster(spectrum[None])[0][0]
        return explain.cluster_distance(
            spectrum, detector.means_[cluster], detector.scales_[cluster], *self.frequencies
        )

    @property
    def frequencies(self):
        """Centre frequencies of the acoustic and the modulation channels, Hz."""
        return (
            modspec.acoustic_frequencies(self.filters["n_acoustic"], self.filters["low_hz"]),
            modspec.modulation_frequencies(self.filters["n_modulation"], self.filters["modulation_range"]),
        )


class LocalReconstruction(ModspecGraph):
    """System 4: System 1's modulation spectrograms, local reconstruction and sibling discriminant.

    The detector and the weight of the other view were chosen by measurement: docs/accuracy.md.

    Parameters
    ----------
    ivectors : Path, optional
        Cache folder of System 2's i-vectors: these are a second view then, whose z-scores count
        `IVECTOR_WEIGHT`.
    **parameters
        Those of `ModspecGraph`.
    """

    IVECTOR_WEIGHT = 0.5

    def __init__(self, *, ivectors=None, **parameters):
        super().__init__(**parameters)
        self.views = () if ivectors is None else ((IVectorGMM(), ivectors, self.IVECTOR_WEIGHT),)

    name = "local_reconstruction"
    title = "System 4: modulation spectrogram + local reconstruction"
    description = (
        "A clip's score is what its nearest normal clips cannot make up of its modulation spectrogram, plus how "
        "far it leans towards other machines of its type, plus half of System 2's score where there is one."
    )
    submission = "asd_task2_4"
    abbreviation = "reconstr"
    authors = ()
    method = "local linear reconstruction, linear discriminant analysis"
    uses_siblings = True

    def detector(self):
        """An unfitted estimator for `(n_clips, n_acoustic, n_modulation)` features."""
        from asd.detectors import ReconstructionDiscriminant

        return ReconstructionDiscriminant()

    def training_scores(self, features, detector):
        """Scores of the training clips, each as if it had not been in training, `(n_train,)`."""
        return detector.training_scores_

    def arrays(self, features, detector):
        """What a file keeps of features and fitted detector, of a machine without siblings: dict of arrays."""
        reconstruction = detector.reconstruction_
        return {
            "threshold": features.extractor["threshold"],
            "train": features.train,
            "log_errors": reconstruction.log_errors_,
            "relative": np.array([reconstruction.center_, reconstruction.scale_]),
        }

    def restore(self, arrays):
        """Features and fitted detector: see :meth:`ModspecGraph.restore`."""
        from asd.detectors import ReconstructionDiscriminant

        features = self._restored_features(arrays)
        log_errors = _array(arrays, "log_errors", "f", features.train.shape[:1])
        center, scale = _array(arrays, "relative", "f", (2,))
        return features, ReconstructionDiscriminant.restored(features.train, log_errors, center, scale)

    def explain(self, detector, features, index, wav=None):
        """Why a test clip scored as it did: see :meth:`ModspecGraph.explain`."""
        spectrum = features.test[index]
        residual = detector.residual(spectrum)
        reconstruction, discriminant = (float(part[0]) for part in detector.parts(spectrum[None]))
        return explain.reconstruction(
            spectrum,
            residual,
            detector.std_.reshape(spectrum.shape),
            (reconstruction, discriminant),
            *self.frequencies,
        )


class IVectorGMM(System):
    """System 2: MFCC i-vectors and a Gaussian mixture.

    The defaults of the extractor and of `scale` were chosen by measurement: docs/ivector_settings.md.

    Parameters
    ----------
    n_components : int
        Components of the UBM.
    dim : int
        Dimension of the i-vectors.
    n_iter : int
        EM iterations of the total variability matrix.
    ubm : {"id", "machine"}
        What a UBM and a matrix are trained on: a machine id, or all ids of the machine type.
    max_frames : int
        Frames that a UBM is fitted on, at most.
    scale : float
        i-vectors are multiplied by it before the mixture.
    n_mixtures : int
        Components of the mixture.
    random_state : int
        Of the extractor; the mixture keeps the published 42.
    asked : sequence of str
        Flags that asked for settings of the extractor: see :class:`asd.cache.IVectorCache`.
    """

    name = "iVectors_gmm"
    title = "System 2: MFCC i-vectors + Gaussian mixture"
    description = (
        "A clip's score is the negative log-likelihood of its i-vector under a mixture fitted on the normal ones."
    )
    submission = "Tiwari_IITKGP_task2_1"
    abbreviation = "iVec-GMM"
    authors = AUTHORS
    acoustic_features = "MFCC"
    aggregation = "i-vector"
    method = "GMM"
    LIMITS = MappingProxyType(
        {
            "n_components": (int, 1, 4096),
            "dim": (int, 1, 1000),
            "n_iter": (int, 1, 10_000),
            "max_frames": (int, 1, 10**9),
            "random_state": (int, 0, 2**32 - 1),
            "scale": (float, 1e-12, 1e12),
            "n_mixtures": (int, 1, 10_000),
        }
    )

    def __init__(
        self,
        *,
        n_components=32,
        dim=100,
        n_iter=10,
        ubm="id",
        max_frames=50_000,
        scale=1e-3,
        n_mixtures=10,
        random_state=0,
        asked=(),
    ):
        self.settings = {"n_components": n_components, "dim": dim, "n_iter": n_iter, "max_frames": max_frames}
        self.settings["random_state"] = random_state
        self.ubm, self.scale, self.n_mixtures, self.asked = ubm, scale, n_mixtures, asked
        self._shared = None, None  # what was trained last, on what: ids of a machine type may have it in common

    @property
    def parameters(self):
        """Keyword arguments that make an equal system for a single machine, as JSON values."""
        return self.settings | {"scale": self.scale, "n_mixtures": self.n_mixtures}

    def cache(self, folder, mode):
        """The cache of this system's i-vectors in a folder."""
        return IVectorCache(
            folder,
            mode,
            dim=self.settings["dim"],
            parameters=self.settings | {"ubm": self.ubm, "mfcc": mfcc.SETTINGS, "folds": EXTRACTOR_FOLDS},
            asked=self.asked,
            whole_type=self.ubm == "machine",
        )

    def compute(self, clips, peers, clip_map, description, known=None):
        """i-vectors of a machine id's usable clips, of training or test clips possibly none.

        Parameters
        ----------
        clips : MachineId
        peers : sequence of MachineId
            The ids of its machine type, itself among them.
        clip_map : ClipMap
        description : str
            Stands before the progress bars, which name the stage.
        known : (IVectorExtractor, array, dict), optional
            What `cache.partial` gave: an extractor, the held-out i-vectors, and the i-vectors that
            need not be extracted.

        Returns
        -------
        Features
        """
        statistics_of, vectors, held_out = {}, {}, None
        if known is not None:
            extractor, held_out, vectors = known
        else:
            trained_on = [clips] if self.ubm == "id" else peers
            shared = [state for i in trained_on for c in i.train if (state := _state(c.path)) is not None]
            if shared != self._shared[0]:
                try:
                    *learnt, statistics_of = self._learn(trained_on, clip_map, description, clips)
                except AudioError as error:
                    return Features([], [], [], [], [], [("train", Path(error.path).name, error.reason)])
                self._shared = shared, learnt
            extractor, fold_models = self._shared[1]
        items = [("train", clip) for clip in clips.train] + [("test", clip) for clip in clips.test]
        missing = [c.path for s, c in items if (s, c.name) not in vectors and c.path not in statistics_of]
        made = clip_map(partial(_statistics, ubm=extractor.ubm_), missing, f"{description} statistics")
        statistics_of |= dict(zip(missing, made, strict=True))
        results = [vectors.get((s, c.name)) for s, c in items]
        todo = [i for i, (_, c) in enumerate(items) if results[i] is None and isinstance(statistics_of[c.path], tuple)]
        with clip_map.bar(f"{description} i-vectors", total=len(todo), unit="clip") as bar:
            for start in range(0, len(todo), BLOCK):
                block = todo[start : start + BLOCK]
                n, f, _ = zip(*(statistics_of[items[i][1].path] for i in block), strict=True)
                for i, vector in zip(block, extractor.model_.ivectors(np.array(n), np.array(f)), strict=True):
                    results[i] = vector
                bar.update(len(block))
        results = [statistics_of[c.path] if r is None else r for r, (_, c) in zip(results, items, strict=True)]
        features = Features.of(clips, results)
        features.extractor = extractor
        if held_out is None and len(features.train):
            made = [of for c in clips.train if isinstance(of := statistics_of[c.path], tuple)]
            n, f, _ = (np.array(part) for part in zip(*made, strict=True))
            held_out = np.array([model.ivectors(n, f) for model in fold_models])
            features.statistics = n, f.astype(np.float32)  # wanted for training again only
        features.held_out = held_out
        return features

    def extend(self, features, clips, clip_map, description):
        """Features with more training clips: the same UBM, the total variability matrix trained on all.

        Parameters
        ----------
        features : Features
            With their statistics.
        clips : MachineId
            The clips to be added are its training clips.

        Returns
        -------
        Features
        """
        from asd.detectors import contiguous_folds

        paths = [clip.path for clip in clips.train]
        extractor = features.extractor
        made = clip_map(partial(_statistics, ubm=extractor.ubm_), paths, f"{description} statistics")
        usable = [result for result in made if not isinstance(result, AudioError)]
        if not usable:
            return _joined(features, Features.of(clips, made))
        n, f = (
            np.concatenate([old, np.array([statistics[i] for statistics in usable], old.dtype)])
            for i, old in enumerate(features.statistics)
        )
        statistics, f = (n, f), f.astype(np.float64)
        folds = contiguous_folds(len(n), EXTRACTOR_FOLDS)
        second_order = np.broadcast_to(0.0, f.shape)  # decides the log-likelihood alone, which is not wanted
        extractor, fold_models = self._train(extractor, (n, f, second_order), folds, clip_map, description)
        vectors = extractor.model_.ivectors(n, f)
        n_old = len(features.train)
        features = replace(features, train=vectors[:n_old], extractor=extractor, statistics=statistics)
        features.held_out = np.array([model.ivectors(n, f) for model in fold_models])
        rest = iter(vectors[n_old:])
        return _joined(features, Features.of(clips, [r if isinstance(r, AudioError) else next(rest) for r in made]))

    def feature(self, samples, extractor):
        """i-vector of a clip's samples, `(dim,)`.

        Parameters
        ----------
        samples : (n_samples,) float32 array
            At `mfcc.RATE`.
        extractor : IVectorExtractor
        """
        from asd.ivector import clip_statistics

        n, f, _ = clip_statistics(extractor.ubm_, mfcc.mfcc(samples))
        return extractor.model_.ivectors(n[None], f[None])[0]

    def arrays(self, features, detector):
        """What a file keeps of features and fitted detector: dict of arrays."""
        ubm, model = features.extractor.ubm_, features.extractor.model_
        n, f = features.statistics
        return {
            "ubm_weights": ubm.weights,
            "ubm_means": ubm.means,
            "ubm_variances": ubm.variances,
            "t": model.t,
            "covariance": model.covariance,
            "statistics_n": n,
            "statistics_f": f,
            "train": features.train,
            "weights": detector.weights_,
            "means": detector.means_,
            "precisions_cholesky": detector.precisions_cholesky_,
        }

    def restore(self, arrays):
        """Features and fitted detector, from arrays that anyone may have made.

        Raises
        ------
        ValueError
            If they are not those of such a system.
        """
        from asd.detectors import GaussianMixtureDetector
        from asd.ivector import UBM, IVectorExtractor, TotalVariability

        dim = self.settings["dim"]
        weights = _array(arrays, "ubm_weights", "f", (None,))
        if len(weights) > self.settings["n_components"] or len(weights) * dim**2 > MAX_PRECISIONS:
            raise ValueError(f"{len(weights)} components of a UBM with i-vectors of dimension {dim}")
        shape = len(weights), mfcc.N_FEATURES
        means, variances = (_array(arrays, f"ubm_{name}", "f", shape) for name in ("means", "variances"))
        if not ((weights >= 0).all() and abs(weights.sum() - 1) < 1e-6 and (variances >= LEAST_VARIANCE).all()):
            raise ValueError("ubm_weights or ubm_variances are not those of a mixture")
        t, covariance = _array(arrays, "t", "f", (*shape, dim)), _array(arrays, "covariance", "f", shape)
        if not (covariance >= LEAST_VARIANCE).all() or np.abs(t).max() > 1e6 or np.abs(means).max() > 1e6:
            raise ValueError("t, covariance or ubm_means are not those of a total variability model")
        extractor = IVectorExtractor(**self.settings)
        extractor.ubm_, extractor.model_ = UBM(weights, means, variances), TotalVariability(t, covariance)
        n = _array(arrays, "statistics_n", "f", (None, len(weights)))
        f = _array(arrays, "statistics_f", "f", (len(n), *shape), np.float32)
        if (n < 0).any():
            raise ValueError("statistics_n is negative")
        train = _array(arrays, "train", "f", (len(n), dim))
        k = _array(arrays, "weights", "f", (None,)).size
        mixture = [_array(arrays, "weights", "f", (k,)), _array(arrays, "means", "f", (k, dim))]
        mixture.append(_array(arrays, "precisions_cholesky", "f", (k, dim, dim)))
        detector = GaussianMixtureDetector.restored(*mixture, n_components=self.n_mixtures, scale=self.scale)
        return Features(train, train[:0], [], [], [], [], extractor=extractor, statistics=(n, f)), detector

    def detector(self):
        """An unfitted estimator for `(n_clips, dim)` i-vectors."""
        from asd.detectors import GaussianMixtureDetector

        return GaussianMixtureDetector(self.n_mixtures, scale=self.scale)

    def training_scores(self, features, detector=None):
        """Scores of the training clips by detectors and extractors that did not see them, `(n_train,)`, or None.

        None where the i-vectors come from an extractor that is not known: it has seen these clips.
        """
        if features.held_out is None:
            return None
        from asd.detectors import contiguous_folds, cross_fitted_scores

        folds = contiguous_folds(len(features.train), EXTRACTOR_FOLDS)
        return cross_fitted_scores(self.detector(), features.held_out, folds)

    def explain(self, detector, features, index, wav=None):
        """Which frames of a test clip its UBM did not expect; None without the recording.

        Parameters
        ----------
        detector : GaussianMixtureDetector
        features : Features
        index : int
        wav : Path, optional

        Returns
        -------
        Explanation or None
        """
        try:
            samples = _read(wav) if wav is not None else None
        except AudioError:
            samples = None
        if samples is None:
            return None
        log_mel = mfcc.log_mel_spectrogram(samples)
        likelihood = None
        if features.extractor is not None:
            likelihood = features.extractor.ubm_.log_likelihood(mfcc.mfcc(samples))
        return explain.frame_likelihood(log_mel, likelihood, mfcc.mel_frequencies(), mfcc.HOP / mfcc.RATE)

    def _learn(self, trained_on, clip_map, description, clips):
        """Extractor trained on ids, models trained without each fold of theirs, statistics (or errors) by path."""
        from asd.detectors import contiguous_folds
        from asd.ivector import IVectorExtractor

        paths = [clip.path for of_id in trained_on for clip in of_id.train]
        extractor = IVectorExtractor(**self.settings)
        draw = partial(_draw, n=extractor.frames_per_clip(len(paths)), random_state=self.settings["random_state"])
        drawn = clip_map(draw, list(enumerate(paths)), f"{description} frames")
        usable = [frames for frames in drawn if not isinstance(frames, AudioError)]
        for error in drawn:
            if isinstance(error, AudioError):
                warnings.warn(BrokenClipWarning(error.path, error.reason), stacklevel=3)
        if not usable:
            raise drawn[-1]
        with (
            clip_map.bar(f"{description} UBM", total=1, unit="UBM") as bar,
            warnings.catch_warnings(record=True) as few,
        ):
            warnings.simplefilter("always")
            extractor.fit_ubm(np.concatenate(usable))
            bar.update()
        for warning in few:
            if isinstance(warning.message, DataWarning):
                warnings.warn(type(warning.message)(clips, warning.message.what), stacklevel=3)
        of_clips = clip_map(partial(_statistics, ubm=extractor.ubm_), paths, f"{description} statistics")
        made = dict(zip(paths, of_clips, strict=True))
        of_ids = [[r for c in of_id.train if not isinstance(r := made[c.path], AudioError)] for of_id in trained_on]
        folds = np.concatenate([contiguous_folds(len(of_id), EXTRACTOR_FOLDS) for of_id in of_ids])
        statistics = tuple(np.array(p) for p in zip(*(result for of_id in of_ids for result in of_id), strict=True))
        return *self._train(extractor, statistics, folds, clip_map, description), made

    def _train(self, extractor, statistics, folds, clip_map, description):
        """Extractor with the same UBM trained on the statistics of clips, and models without each fold of them."""
        from asd.ivector import IVectorExtractor, Statistics

        n, f, v = statistics
        trained = IVectorExtractor(**self.settings)
        trained.ubm_ = extractor.ubm_
        trained.fit_statistics(
            Statistics(n, f, v.sum(axis=0)),
            progress=partial(clip_map.bar, f"{description} T matrix", unit="iteration"),
        )
        without = partial(_model_without, extractor=trained, statistics=statistics, folds=folds)
        fold_models = clip_map(without, range(folds.max() + 1), f"{description} held-out", unit="fold", batch=1)
        return trained, fold_models


class Ensemble(System):
    """System 3: fusion of the scores of Systems 1 and 2.

    Parameters
    ----------
    fusion : {"published", "calibrated"}
        Product of min-max normalised scores, or mean of z-scores by the training scores: see
        :mod:`asd.fusion`.
    """

    name = "ensemble"
    submission = "Tiwari_IITKGP_task2_3"
    abbreviation = "ensemble"
    authors = AUTHORS
    acoustic_features = "modulation spectrogram, MFCC"
    aggregation = "average, i-vector"
    members = MappingProxyType(
        {
            ModspecGraph.name: "bin/modspec_graph/graph_anom_detection.py",
            IVectorGMM.name: "bin/iVectors_gmm/gmm.py",
        }
    )

    parts = (ModspecGraph, IVectorGMM)

    def __init__(self, *, fusion="published"):
        self.calibrated = fusion == "calibrated"

    @property
    def title(self):
        return f"System 3: ensemble of Systems 1 and 2, {'calibrated' if self.calibrated else 'published'} fusion"

    @property
    def method(self):
        rule = "mean of z-scores by training clips" if self.calibrated else "product of min-max normalised scores"
        return f"nearest-neighbour graph clusters, GMM; {rule}"

    @property
    def description(self):
        if self.calibrated:
            return "A clip's score is the mean of its two scores in standard deviations above those of normal clips."
        return "A clip's score is the product of its two scores, each brought to 0 to 1 over the test clips."

    def fuse(self, scores, training=None):
        """Fused scores, `(n_clips,)`, and the members' normalised ones, `(n_clips, n_members)`.

        Parameters
        ----------
        scores : (n_clips, n_members) array
        training : list of (n_train,) arrays, optional
            The members' cross-fitted training scores, for calibrated fusion.
        """
        if self.calibrated:
            calibrated = fusion.CalibratedFusion().fit(training)
            return calibrated.decision_function(scores), calibrated.normalised(scores)
        return fusion.product(scores), fusion.min_max(scores)

    def explain(self, normalised, index, wav=None):
        """What each member makes of a clip, given `(n_clips, n_members)` normalised scores."""
        ranks = 1 + np.sum(normalised > normalised[index], axis=0)
        parts = [
            f"{name} puts it at {value:.2f}, rank {rank}"
            for name, value, rank in zip(self.members, normalised[index], ranks, strict=True)
        ]
        scale = "standard deviations above normal clips" if self.calibrated else "0 to 1 over the test clips"
        return explain.Explanation(f"{'; '.join(parts)} ({scale}).", ())


SYSTEMS = MappingProxyType(  # as the command line names them
    {
        "local-reconstruction": LocalReconstruction,
        "modspec-graph": ModspecGraph,
        "ivector-gmm": IVectorGMM,
        "ensemble": Ensemble,
    }
)


def _joined(features, added):
    """Features with the training clips of others behind their own."""
    return replace(
        features,
        train=np.concatenate([features.train, added.train]) if len(added.train) else features.train,
        train_names=features.train_names + added.train_names,
        left_out=features.left_out + added.left_out,
    )


def _array(arrays, name, kind, shape, dtype=None):
    """An array of a file, as float64 or int64 (or `dtype`).

    Parameters
    ----------
    kind : {"f", "i"}
    shape : tuple of int or None
        None: any length from 1.

    Raises
    ------
    ValueError
        If it is not there, or of another kind or shape, or not finite.
    """
    if name not in arrays:
        raise ValueError(f"no array {name}")
    array = arrays[name]
    fits = array.ndim == len(shape) and all(n == m if n else m for n, m in zip(shape, array.shape, strict=True))
    if array.dtype.kind != kind or not fits:
        raise ValueError(f"array {name} is {array.dtype} {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"array {name} holds numbers that are not finite")
    return np.ascontiguousarray(array, dtype or {"f": np.float64, "i": np.int64}[kind])


def _state(source):
    """What tells whether a clip is still the same: of a file its path and time of change, None if it is not there."""
    if isinstance(source, Recording) and source.samples is not None:
        return source
    file = Path(audio.file_of(source))
    return (str(source), getattr(source, "channel", 0), file.stat().st_mtime_ns) if file.is_file() else None


def _draw(item, n, random_state):
    """MFCC frames of one clip for a UBM, `(n, 42)` at most."""
    from asd.ivector import draw_frames

    index, path = item
    return draw_frames(mfcc.mfcc(_read(path)), n, random_state, index)


def _statistics(path, ubm):
    """Baum-Welch statistics of one clip."""
    from asd.ivector import clip_statistics

    return clip_statistics(ubm, mfcc.mfcc(_read(path)))


def _model_without(fold, extractor, statistics, folds):
    """Total variability model trained without the clips of a fold, or with all if it is the only one."""
    from sklearn.base import clone

    from asd.ivector import Statistics

    n, f, v = (part[folds != fold] if folds.any() else part for part in statistics)
    without = clone(extractor)
    without.ubm_ = extractor.ubm_
    return without.fit_statistics(Statistics(n, f, v.sum(axis=0))).model_


def _read(source):
    """Samples of a clip, given the path of its file or a Recording."""
    if isinstance(source, Recording):
        return source.read(rate=modspec.RATE, min_samples=modspec.MIN_SAMPLES)
    return audio.read(source, rate=modspec.RATE, min_samples=modspec.MIN_SAMPLES)


def _usable(paths):
    """Samples of the usable clips among `paths`."""
    error = None
    found = False
    for path in paths:
        try:
            samples = _read(path)
        except AudioError as problem:
            error = problem
            warnings.warn(BrokenClipWarning(error.path, error.reason), stacklevel=2)
        else:
            found = True
            yield samples
    if error and not found:
        raise error
