"""Systems: features and a detector, fitted on the clips of a machine id.

A system says how a machine id's clips become features (`compute`), where these are kept (`cache`)
and which estimator scores them (`detector`). The run of the challenge, the cache, the parallel map and the results are
the same for all; a new system is one class here and one script.
"""

import warnings
from functools import partial
from itertools import islice
from pathlib import Path

from asd import audio, modspec, noisegate
from asd.audio import AudioError, BrokenClipWarning, DataWarning
from asd.cache import Features, SpectraCache


class LengthsWarning(DataWarning):
    """Training clips of one machine id differ in length."""

    kind = "machine ids with clips of unequal length"


class ModspecGraph:
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
    submission = "Tiwari_IITKGP_task2_2"

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

    def cache(self, folder, mode):
        """The cache of this system's features in a folder."""
        parameters = {"noise_clips": self.noise_clips, "std_factor": self.std_factor}
        parameters |= self.filters | {"modulation_range": list(self.filters["modulation_range"])}
        shape = self.filters["n_acoustic"], self.filters["n_modulation"]
        return SpectraCache(folder, mode, shape=shape, parameters=parameters)

    def compute(self, clips, clip_map, description):
        """Features of a machine id's usable clips, of training or test clips possibly none.

        Parameters
        ----------
        clips : MachineId
        clip_map : ClipMap
        description : str
            Stands before the progress bar.

        Returns
        -------
        Features
        """
        try:
            frontend = self.learn_frontend([clip.path for clip in clips.train], name=clips)
        except AudioError as error:
            return Features([], [], [], [], [("train", Path(error.path).name, error.reason)])
        paths = [clip.path for clip in clips.train + clips.test]
        return Features.of(clips, clip_map(partial(self.extract, frontend=frontend), paths, description))

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
        samples = noisegate.reduce_noise(_read(path), frontend["threshold"])
        return modspec.modulation_spectrogram(samples, **self.filters)

    def detector(self):
        """An unfitted estimator for `(n_clips, n_acoustic, n_modulation)` features."""
        from asd.detectors import GraphClusters  # here: workers extract features without scikit-learn

        return GraphClusters(sigma_floor=self.sigma_floor)


def _read(path):
    return audio.read(path, rate=modspec.RATE, min_samples=modspec.MIN_SAMPLES)


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
