"""A model of one machine: fitted on recordings of its normal sound, it judges every new one.

    model = Model.fit(["recordings/normal"])      # files and folders; or Model.fit_samples(arrays, rate)
    model.save("pump.asd")
    judgement = Model.load("pump.asd").score(samples, rate)
    judgement.score, judgement.threshold, judgement.anomalous, judgement.p_value

A model is a system of :mod:`asd.systems` (or several, their scores fused by
:class:`asd.fusion.CalibratedFusion`), the scores of its training clips by detectors that did not see
them, and a threshold from these (:mod:`asd.thresholds`).

Conventions: higher scores are more anomalous; a clip is anomalous if its score is above the threshold;
times in s, rates in Hz, levels as RMS in dB re full scale. A clip's score is the same to the last bit
alone and in a set, from a file and from its samples, before saving and after loading. What is read from
a file is checked before it is used: a hostile one ends in a ModelError.
"""

import hashlib
import math
import os
import sys
import time
import warnings
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
from threadpoolctl import ThreadpoolController

import asd.detectors
import asd.ivector  # both here, not when the first model is loaded
from asd import audio, layouts, modelfile, modspec, thresholds
from asd.audio import (
    AudioError,
    BrokenClipWarning,
    ChannelsWarning,
    DataError,
    DataWarning,
    Recording,
    ResampledWarning,
)
from asd.dataset import Clip, MachineId
from asd.fusion import CalibratedFusion
from asd.judged import plain_name
from asd.modelfile import ModelError
from asd.parallel import ClipMap
from asd.systems import SYSTEMS, LengthsWarning

THRESHOLDS = {"empirical": 0.01, "gamma": 0.1}  # ways to find one, and the share of false alarms each aims at
MAX_CLIPS = 10_000  # of training, and
MAX_BYTES = 160 * 2**20  # of a file: bounds of what a stranger's file can make us do
SHORTEST = modspec.MIN_SAMPLES / modspec.RATE  # s, of a clip
LONGEST = 86_400.0  # s, of a clip
LARGEST = 1e150  # of a score: its square is a number
SILENCE = -200.0  # dB, the level of nothing
LEVEL_MARGIN = 6.0  # dB beyond the levels of the training clips from which on a clip is unlike them
LENGTH_FACTOR = 2.0  # the same for lengths
LEVEL_RANGE = 20.0  # dB between training clips from which on they are said to differ
MAX_NAME = 255  # characters of a file's name that are kept


class DuplicateWarning(DataWarning):
    """A training file is left out because another one has the same content."""

    kind = "training files left out, they are copies of others"
    examples = 3


class UnlikeTrainingWarning(DataWarning):
    """Training clips differ among each other in rate, length or level."""

    kind = "training clips differ, the model is of all of them"


class UnlikeModelWarning(DataWarning):
    """A clip is unlike those that a model was fitted on; its score may mean that and nothing else."""

    kind = "clips unlike the training clips, scored all the same"
    examples = 3


class NamedAnomalyWarning(DataWarning):
    """A training file's name says that it is not normal."""

    kind = "training files whose names say that they are not normal, fit normal sound only"
    examples = 3


@dataclass(frozen=True)
class Judgement:
    """What a model says of a clip.

    Attributes
    ----------
    score, threshold : float
    anomalous : bool
        Whether the score is above the threshold.
    p_value : float
        Share of normal clips that score as high, see :func:`asd.thresholds.p_value`.
    notes : tuple of str
        What about the clip is unlike the training clips: its level, length, sample rate. Its score may
        mean that and nothing else.
    start, seconds : float
        The piece of the recording, s.
    """

    score: float
    threshold: float
    anomalous: bool
    p_value: float
    notes: tuple[str, ...] = ()
    start: float = 0.0
    seconds: float = 0.0

    @property
    def decision(self):
        """ "anomaly" or "normal"."""
        return "anomaly" if self.anomalous else "normal"


@dataclass(frozen=True, eq=False)
class Observation:
    """A clip as a model sees it: one feature array a member, and the level (dB), rate (Hz) and length (s)."""

    features: tuple
    level: float
    rate: int
    seconds: float
    start: float = 0.0


@dataclass
class Member:
    """A fitted system: `system`, the `features` of the training clips, a fitted `detector`."""

    system: object
    features: object
    detector: object

    @classmethod
    def fit(cls, system, clips, clip_map, name):
        """A system fitted on clips, and its cross-fitted training scores, `(n_clips,)`."""
        features = system.compute(clips, [clips], clip_map, name)
        return cls._fitted(system, features, clips)

    def extended(self, clips, clip_map, name):
        """The same with more training clips."""
        return self._fitted(self.system, self.system.extend(self.features, clips, clip_map, name), clips)

    @classmethod
    def _fitted(cls, system, features, clips):
        for _, _, reason in features.left_out:  # they were readable a moment ago
            raise DataError(f"{clips.machine}: a training clip changed while it was used ({reason}); run again")
        with _one_thread():
            detector = system.detector().fit(features.train)
            training = system.training_scores(features, detector)
        return cls(system, features, detector), training

    def score(self, features):
        """Score of a clip's features."""
        return float(self.detector.decision_function(features[None])[0])


class Model:
    """A model of one machine; make one with :meth:`fit`, :meth:`fit_samples` or :meth:`load`.

    Attributes
    ----------
    system : str
        A name of `asd.systems.SYSTEMS`.
    channel : int
        That is listened to.
    clip_seconds : float or None
        Length of the clips that recordings are cut into.
    threshold : float
    method, false_alarms : str, float
        How the threshold was found, and the share of false alarms it aims at.
    training : (n_clips,) float64 array
        Scores of the training clips by detectors that did not see them.
    files : list of dict
        Of each training file `name`, `sha256`, `rate`, `channels`, `seconds` and number of `clips`.
    levels, lengths : (float, float)
        The lowest and highest of the training clips, dB and s.
    made, updated : str or None
        When it was fitted, and when clips were added last, UTC.
    versions : dict of str
        Of the libraries that it was fitted with.
    """

    # -- fitting ------------------------------------------------------------------------------------

    @classmethod
    def fit(
        cls,
        sources,
        system="modspec-graph",
        *,
        channel=0,
        clip_seconds=None,
        threshold="empirical",
        false_alarms=None,
        jobs=None,
        progress=False,
    ):
        """A model from files of normal sound.

        Parameters
        ----------
        sources : path or sequence of paths
            Sound files and folders of such, in which links are followed. A file's copies are left out.
        system : str
            One of `asd.systems.SYSTEMS`.
        channel : int
            From 0.
        clip_seconds : float, optional
            Cut recordings into clips of that length; what is left over at an end is not used.
        threshold : {"empirical", "gamma"}
            See :func:`asd.thresholds.empirical_threshold` and :func:`asd.thresholds.gamma_threshold`.
        false_alarms : float, optional
            Share of normal clips above the threshold, by default `THRESHOLDS[threshold]`.
        jobs, progress
            As in :class:`asd.parallel.ClipMap`.

        Returns
        -------
        Model

        Raises
        ------
        DataError
            If there is no usable clip, or a parameter is not one.
        OSError
            With its name, if a folder cannot be listed.

        Warns
        -----
        BrokenClipWarning, DuplicateWarning, UnlikeTrainingWarning, NamedAnomalyWarning,
        thresholds.FewScoresWarning
        """
        model = cls._empty(system, channel, clip_seconds, threshold, false_alarms)
        clip_map = ClipMap(jobs, progress=progress)
        return model._fitted(model._from_files(sources, clip_map, set()), clip_map)

    @classmethod
    def fit_samples(cls, clips, rate, system="modspec-graph", *, jobs=1, progress=False, **options):
        """A model from samples in memory.

        Parameters
        ----------
        clips : sequence of (n_samples,) or (n_samples, n_channels) arrays
            Floats, full scale being 1, or int16 or int32.
        rate : int
            Their sample rate, Hz.
        system, jobs, progress, options
            As in :meth:`fit`.
        """
        clip_map = ClipMap(jobs, progress=progress)
        model = cls._empty(system, **({"channel": 0, "clip_seconds": None, "threshold": "empirical"} | options))
        return model._fitted(model._from_samples(clips, rate, clip_map, set()), clip_map)

    def add(self, sources, *, threshold=None, false_alarms=None, jobs=None, progress=False):
        """This model with more clips of normal sound; this one stays as it is.

        What the first fit learnt to hear with is kept (the noise profile of modspec-graph, the UBM of
        ivector-gmm), everything after it is fitted again on old and new clips. Files that the model was
        fitted on already are left out.

        Parameters
        ----------
        sources : path or sequence of paths
        threshold, false_alarms : optional
            As in :meth:`fit`; by default as before.
        jobs, progress
            As in :class:`asd.parallel.ClipMap`.

        Returns
        -------
        Model
        """
        clip_map = ClipMap(jobs, progress=progress)
        known = {file["sha256"] for file in self.files}
        return self._with(self._from_files(sources, clip_map, known), clip_map, threshold, false_alarms)

    def add_samples(self, clips, rate, *, threshold=None, false_alarms=None, jobs=1, progress=False):
        """The same with samples in memory: see :meth:`add` and :meth:`fit_samples`."""
        clip_map = ClipMap(jobs, progress=progress)
        known = {file["sha256"] for file in self.files}
        return self._with(self._from_samples(clips, rate, clip_map, known), clip_map, threshold, false_alarms)

    # -- scoring ------------------------------------------------------------------------------------

    def score(self, samples, rate):
        """Judge a clip in memory.

        Parameters
        ----------
        samples : (n_samples,) or (n_samples, n_channels) array
            Floats, full scale being 1, or int16 or int32.
        rate : int
            Hz.

        Returns
        -------
        Judgement

        Raises
        ------
        AudioError
            If the samples cannot be used: too short, not finite, no such channel.
        """
        with warnings.catch_warnings(), _one_thread():
            _hush(ResampledWarning, ChannelsWarning)
            return self.judge(self.observe(Recording("the samples", self.channel, samples=samples, source_rate=rate)))

    def score_file(self, path, *, clip_seconds=None):
        """Judge a sound file.

        Parameters
        ----------
        path : str or Path
        clip_seconds : float, optional
            Cut it into clips of that length, the last of which ends with the file; by default what the
            model was fitted with.

        Returns
        -------
        list of Judgement
            One, or one a clip.

        Raises
        ------
        AudioError
            If the file cannot be used.
        """
        with warnings.catch_warnings(), _one_thread():
            _hush(ResampledWarning, ChannelsWarning)
            return [self.judge(self.observe(recording)) for recording in self.recordings(path, clip_seconds)]

    def recordings(self, path, clip_seconds=None):
        """The clips that a file is judged by: list of Recording; see :meth:`score_file`."""
        seconds = self.clip_seconds if clip_seconds is None else _checked_clip_seconds(clip_seconds)
        if seconds is None:
            return [Recording(path, self.channel)]
        return audio.pieces(path, seconds, channel=self.channel, whole=True)

    def observe(self, recording):
        """What this model needs to know of a clip; the expensive part of scoring.

        Parameters
        ----------
        recording : Recording

        Returns
        -------
        Observation
        """
        return self.observer(recording)

    @property
    def observer(self):
        """`observe` as a function that workers can be sent, without the training clips."""
        return partial(_observe, members=tuple((m.system, m.features.extractor) for m in self.members))

    def judge(self, observation):
        """Judge a clip by what was observed.

        Parameters
        ----------
        observation : Observation

        Returns
        -------
        Judgement
        """
        scores = self._member_scores(observation)
        score = float(self.fusion.decision_function(scores)[0]) if self.fusion else float(scores[0, 0])
        p = thresholds.p_value(self._sorted, score)
        notes = self._notes(observation)
        return Judgement(
            score, self.threshold, score > self.threshold, p, notes, observation.start, observation.seconds
        )

    def explain(self, observation, source=None):
        """Why a clip scored as it did: Explanation, or None.

        Parameters
        ----------
        observation : Observation
        source : path or Recording, optional
        """
        if self.fusion:
            normalised = self.fusion.normalised(self._member_scores(observation))
            return SYSTEMS[self.system](fusion="calibrated").explain(normalised, 0)
        (member,) = self.members
        features = replace(member.features, test=observation.features[0][None])
        return member.system.explain(member.detector, features, 0, source)

    def _member_scores(self, observation):
        """Scores by each member, `(1, n_members)`."""
        with _one_thread(), np.errstate(all="ignore"):
            try:
                scores = np.array([[m.score(f) for m, f in zip(self.members, observation.features, strict=True)]])
            except ValueError as error:
                raise DataError(f"a clip cannot be scored ({error}): the model is damaged, fit it again") from None
        if not np.abs(scores).max() < LARGEST:
            raise DataError(f"a clip's score is {scores.max():g}: the model is damaged, fit it again")
        return scores

    # -- thresholds ---------------------------------------------------------------------------------

    @property
    def expected_false_alarms(self):
        """Share of normal clips expected above the threshold: :class:`asd.thresholds.FalseAlarms`."""
        return thresholds.expected_false_alarms(self.training, self.threshold)

    @property
    def duration(self):
        """Of all training files, s."""
        return sum(file["seconds"] for file in self.files)

    @cached_property
    def training(self):
        if not self.fusion:
            return self.scores[:, 0].copy()
        return self.fusion.decision_function(self.scores)

    @cached_property
    def fusion(self):
        """Makes one score of those of several members; None of a single one."""
        return CalibratedFusion().fit(np.ascontiguousarray(self.scores.T)) if len(self.members) > 1 else None

    @cached_property
    def _sorted(self):
        return np.sort(self.training)

    # -- files --------------------------------------------------------------------------------------

    def save(self, path):
        """Write the model to a file, whole or not at all.

        Raises
        ------
        DataError
            If it is too large for a file.
        OSError
            With the file's name, if it cannot be written.
        """
        arrays = {"scores": self.scores}
        for key, member in zip(self._member_names, self.members, strict=True):
            arrays |= {f"{key}.{name}": a for name, a in member.system.arrays(member.features, member.detector).items()}
        try:
            modelfile.write(path, self.header, arrays, max_bytes=MAX_BYTES)
        except ValueError as error:
            raise DataError(f"{path}: {error}; fit on fewer clips") from None

    @property
    def header(self):
        """What the file says beside its arrays, as JSON values."""
        return {
            "system": self.system,
            "members": [{"name": name, "parameters": m.system.parameters} for name, m in self._named_members()],
            "channel": self.channel,
            "clip_seconds": self.clip_seconds,
            "threshold": {"value": self.threshold, "method": self.method, "false_alarms": self.false_alarms},
            "files": self.files,
            "levels": list(self.levels),
            "lengths": list(self.lengths),
            "made": self.made,
            "updated": self.updated,
            "versions": self.versions,
        }

    @classmethod
    def load(cls, path):
        """Read what :meth:`save` wrote. The file may come from anyone: no code in it runs.

        Raises
        ------
        ModelError
            If the file is not a whole model that this version can use.
        OSError
            With the file's name, if it cannot be read.
        """
        header, arrays = modelfile.read(path, max_bytes=MAX_BYTES)
        try:
            with _one_thread():
                return cls._restored(header, arrays)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None
        except (ValueError, KeyError, TypeError, IndexError, OverflowError, ArithmeticError) as error:
            what = ascii(str(error))[1:-1][:200]
            raise ModelError(
                f"{path}: damaged ({what}); copy it again from where it was made, or fit it again"
            ) from None

    # -- inside -------------------------------------------------------------------------------------

    @classmethod
    def _empty(cls, system, channel=0, clip_seconds=None, threshold="empirical", false_alarms=None):
        """A model with its settings."""
        if system not in SYSTEMS:
            raise DataError(f"no system {system!r}; there are {', '.join(SYSTEMS)}")
        if not isinstance(channel, int) or not 0 <= channel < 1024:
            raise DataError(f"no channel {channel!r}: give a whole number from 0")
        model = cls()
        model.system, model.channel = system, channel
        model.clip_seconds = _checked_clip_seconds(clip_seconds)
        model._set_threshold(threshold, false_alarms)
        model.files, model.members, model.scores = [], [], None
        model.levels = model.lengths = None
        model.made = model.updated = None
        return model

    def _set_threshold(self, method, false_alarms):
        if method not in THRESHOLDS:
            raise DataError(f"no threshold {method!r}; there are {', '.join(THRESHOLDS)}")
        false_alarms = THRESHOLDS[method] if false_alarms is None else float(false_alarms)
        if not 0 < false_alarms < 1:
            raise DataError(f"{false_alarms} is no share of false alarms: give one between 0 and 1, such as 0.01")
        self.method, self.false_alarms = method, false_alarms

    @property
    def _member_names(self):
        """Names of the systems whose scores make the model's."""
        parts = SYSTEMS[self.system].parts
        return [next(name for name, s in SYSTEMS.items() if s is part) for part in parts] or [self.system]

    def _named_members(self):
        return zip(self._member_names, self.members, strict=True)

    def _from_files(self, sources, clip_map, known):
        """Usable clips of files and folders: list of (file's entry, Recording, level)."""
        for source in _as_list(sources):
            if not os.path.lexists(source):
                raise DataError(f"{plain_name(source)}: no such file or folder; name files of normal sound, or folders")
        paths = sound_paths(sources)
        if not paths:
            raise DataError(f"{_listed(sources)}: no sound files; name files of normal sound, or folders of them")
        for path in paths:
            if any(word in path.name.lower() for word in ("anomal", "abnormal")):
                warnings.warn(NamedAnomalyWarning(path, "is it normal?"), stacklevel=3)
        inspect = partial(_inspect, channel=self.channel, clip_seconds=self.clip_seconds)
        with warnings.catch_warnings():
            _hush(ResampledWarning)
            found = clip_map(inspect, paths, "reading")
        return self._usable(found, paths, known, _listed(sources))

    def _from_samples(self, clips, rate, clip_map, known):
        recordings = [
            Recording(f"clip {index}", self.channel, samples=np.asarray(samples), source_rate=rate)
            for index, samples in enumerate(clips)
        ]
        if self.clip_seconds is not None:
            raise DataError("clip_seconds cuts files; cut samples as you want them")
        if not recordings:
            raise DataError("no clips; give at least one array of samples")
        with warnings.catch_warnings():
            _hush(ResampledWarning, ChannelsWarning)
            return self._usable(clip_map(_inspect_samples, recordings, "reading"), recordings, known, "the samples")

    def _usable(self, found, sources, known, named):
        """Of what :func:`_inspect` found, what is neither broken nor a copy."""
        usable, first = [], dict.fromkeys(known, "a clip that the model has")
        for source, result in zip(sources, found, strict=True):
            if isinstance(result, AudioError):
                warnings.warn(BrokenClipWarning(result.path, result.reason), stacklevel=4)
                continue
            entry, clips, problems = result
            if entry["sha256"] in first:
                warnings.warn(DuplicateWarning(source, f"a copy of {first[entry['sha256']]}"), stacklevel=4)
                continue
            first[entry["sha256"]] = str(source)
            for problem in problems:
                warnings.warn(BrokenClipWarning(problem.path, problem.reason), stacklevel=4)
            usable += [(entry, recording, level, seconds) for recording, level, seconds in clips]
        if not usable and any(not isinstance(result, AudioError) for result in found) and known:
            raise DataError(f"{named}: nothing to add, the model has all of these clips")
        if not usable:
            reasons = [result.reason for result in found if isinstance(result, AudioError)]
            raise DataError(f"{named}: no usable clip of normal sound ({reasons[0] if reasons else 'all broken'})")
        return usable

    def _fitted(self, usable, clip_map):
        """Fit an empty model."""
        self._describe(usable)
        self.made = _now()
        return self._learn(usable, clip_map, lambda system, clips, name: Member.fit(system, clips, clip_map, name))

    def _with(self, usable, clip_map, threshold, false_alarms):
        model = Model._empty(
            self.system,
            self.channel,
            self.clip_seconds,
            threshold or self.method,
            false_alarms if threshold or false_alarms is not None else self.false_alarms,
        )
        model.files = list(self.files)
        model.levels, model.lengths = self.levels, self.lengths
        model._describe(usable)
        model.made, model.updated = self.made, _now()
        old = iter(self.members)
        return model._learn(usable, clip_map, lambda _, clips, name: next(old).extended(clips, clip_map, name))

    def _learn(self, usable, clip_map, fit):
        clips = MachineId("training clips", "", tuple(Clip(r, str(r), 0) for _, r, _, _ in usable))
        systems = [SYSTEMS[name]() for name in self._member_names]
        with warnings.catch_warnings(), _one_thread():
            _hush(LengthsWarning, ResampledWarning, ChannelsWarning)  # said of all clips at once
            fitted = [fit(system, clips, name) for name, system in zip(self._member_names, systems, strict=True)]
        self.members = [member for member, _ in fitted]
        self.scores = np.stack([training for _, training in fitted], axis=1)
        if not np.abs(self.scores).max() < LARGEST:
            raise DataError("the training clips' scores are not finite: look for clips that are silent or clipped")
        if self.method == "empirical":
            self.threshold = thresholds.empirical_threshold(self.training, self.false_alarms)
        else:
            self.threshold = thresholds.gamma_threshold(self.training, 1 - self.false_alarms)
        import numba
        import scipy
        import sklearn

        libraries = {"numpy": np, "scipy": scipy, "scikit-learn": sklearn, "numba": numba, "asd": asd}
        self.versions = {name: str(module.__version__) for name, module in libraries.items()}
        self.versions["python"] = ".".join(map(str, sys.version_info[:3]))
        return self

    def _describe(self, usable):
        """Keep what clips there are, and warn where they differ."""
        entries = {entry["sha256"]: entry for entry, *_ in usable}
        self.files = self.files + list(entries.values())
        n_clips = sum(file["clips"] for file in self.files)
        if n_clips > MAX_CLIPS:
            raise DataError(f"{n_clips} training clips, a model takes {MAX_CLIPS}: give fewer, or longer ones")
        levels, lengths = ([u[i] for u in usable] for i in (2, 3))
        self.levels = _range([*levels, *(self.levels or ())])
        self.lengths = _range([*lengths, *(self.lengths or ())])
        counts = {}
        for file in self.files:
            counts[file["rate"]] = counts.get(file["rate"], 0) + 1
        if len(counts) > 1:
            what = ", ".join(f"{rate} Hz in {n} files" for rate, n in sorted(counts.items()))
            warnings.warn(UnlikeTrainingWarning("sample rate", what), stacklevel=4)
        if self.lengths[1] > LENGTH_FACTOR * self.lengths[0]:
            what = f"{self.lengths[0]:.3g} to {self.lengths[1]:.3g} s; --clip-seconds cuts them to equal length"
            warnings.warn(UnlikeTrainingWarning("length", what), stacklevel=4)
        if self.levels[1] - self.levels[0] > LEVEL_RANGE:
            what = f"{self.levels[0]:.0f} to {self.levels[1]:.0f} dB re full scale"
            warnings.warn(UnlikeTrainingWarning("level", what), stacklevel=4)

    def _notes(self, seen):
        """What about a clip is unlike the training clips."""
        notes = []
        rates = sorted({file["rate"] for file in self.files})
        if seen.rate not in rates:
            notes.append(f"sample rate {seen.rate} Hz, the training clips' is {' or '.join(map(str, rates))}")
        low, high = self.levels
        if not low - LEVEL_MARGIN <= seen.level <= high + LEVEL_MARGIN:
            level = "silent" if seen.level <= SILENCE else f"level {seen.level:.1f} dB"
            notes.append(f"{level}, the training clips have {low:.1f} to {high:.1f}")
        low, high = self.lengths
        if not low / LENGTH_FACTOR <= seen.seconds <= high * LENGTH_FACTOR:
            notes.append(f"length {seen.seconds:.3g} s, the training clips have {low:.3g} to {high:.3g}")
        return tuple(notes)

    @classmethod
    def _restored(cls, header, arrays):
        """A model from a file's content, all of which is checked."""
        _keys(header, "the header", _HEADER)
        if not isinstance(header["system"], str):
            raise ValueError("system is not text")
        if header["system"] not in SYSTEMS:
            there = ", ".join(SYSTEMS)
            raise ModelError(f"of the system {ascii(header['system'])[:80]}, this asd has {there}: update asd")
        _keys(header["threshold"], "threshold", ("value", "method", "false_alarms"))
        given = header["threshold"]
        seconds, share = header["clip_seconds"], _number(given["false_alarms"], "false_alarms", 0, 1)
        if seconds is not None:
            seconds = _number(seconds, "clip_seconds", SHORTEST, LONGEST)
        if not isinstance(given["method"], str):
            raise ValueError("method is not text")
        model = cls._empty(
            header["system"], _whole(header["channel"], "channel", 0, 1023), seconds, given["method"], share
        )
        model.threshold = _number(given["value"], "value", -1e300, 1e300)
        model.files = [_checked_file(file) for file in _list(header["files"], "files")]
        for name, low, high in (("levels", SILENCE, 300), ("lengths", 0, 1e9)):
            pair = [_number(value, name, low, high) for value in _list(header[name], name)]
            if len(pair) != 2 or pair[0] > pair[1]:
                raise ValueError(f"{name} are not the lowest and the highest")
            setattr(model, name, tuple(pair))
        for name in ("made", "updated"):
            if not (name == "updated" and header[name] is None) and not _is_text(header[name], 40):
                raise ValueError(f"{name} is no time")
            setattr(model, name, header[name])
        versions = header["versions"]
        if not isinstance(versions, dict) or not all(_is_text(v, 100) for v in versions.values()):
            raise ValueError("versions are not texts")
        model.versions = versions
        names = model._member_names
        members = _list(header["members"], "members")
        for member in members:
            _keys(member, "a member", ("name", "parameters"))
        if [member["name"] for member in members] != names:
            raise ValueError("members are not those of the system")
        model.scores = arrays.pop("scores")
        n_clips = sum(file["clips"] for file in model.files)
        if model.scores.shape != (n_clips, len(names)) or model.scores.dtype != float or not 0 < n_clips <= MAX_CLIPS:
            raise ValueError(f"scores {model.scores.dtype} {model.scores.shape} of {n_clips} clips")
        if not np.isfinite(model.scores).all() or np.abs(model.scores).max() > LARGEST:
            raise ValueError("scores are not finite")
        for member in members:
            system = _system(SYSTEMS[member["name"]], member["parameters"])
            of_member = {name: arrays.pop(f"{member['name']}.{name}") for name in _names_below(arrays, member["name"])}
            with np.errstate(all="ignore"):
                features, detector = system.restore(of_member)
            if len(features.train) != n_clips:
                raise ValueError(f"{len(features.train)} training clips of {member['name']}, {n_clips} in files")
            model.members.append(Member(system, features, detector))
        if arrays:
            raise ValueError(f"an array {sorted(arrays)[0]}")
        return model


def sound_paths(sources):
    """Sound files of files and folders, folders in the order of the names in them.

    Raises
    ------
    OSError
        With its name, if something is not there or cannot be listed.
    """
    paths = []
    for source in _as_list(sources):
        paths += layouts.sound_files(source) if os.path.isdir(source) else [Path(source)]
    return paths


def _as_list(sources):
    return [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)


def _listed(sources):
    shown = [plain_name(source) for source in _as_list(sources)]
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "") or "nothing"


def _inspect(path, channel, clip_seconds):
    """A training file's entry, and its clips: (Recording, level, seconds) and `AudioError`s."""
    found = audio.properties(path)
    recordings = [Recording(path, channel)]
    if clip_seconds is not None:
        recordings = audio.pieces(path, clip_seconds, channel=channel)
    clips, problems = _heard(recordings)
    if not clips:
        raise problems[0]
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(2**20):
                digest.update(chunk)
    except OSError as error:
        raise AudioError(path, f"cannot be read ({error.strerror or error})") from None
    entry = _entry(plain_name(Path(path).name)[:MAX_NAME], digest, found.rate, found.channels, found.seconds, clips)
    return entry, clips, problems


def _inspect_samples(recording):
    clips, _ = _heard([recording], strict=True)
    samples = np.ascontiguousarray(recording.samples)
    digest = hashlib.sha256(
        f"{samples.dtype.str} {samples.shape} {recording.source_rate} ".encode() + samples.tobytes()
    )
    n_channels = samples.shape[1] if samples.ndim == 2 else 1
    rate = int(recording.source_rate)
    return _entry(str(recording.path), digest, rate, n_channels, len(samples) / rate, clips), clips, []


def _heard(recordings, strict=False):
    clips, problems = [], []
    for recording in recordings:
        try:
            samples = recording.read(rate=modspec.RATE, min_samples=modspec.MIN_SAMPLES)
        except AudioError as error:
            if strict:
                raise
            problems.append(error)
        else:
            clips.append((recording, _level(samples), samples.size / modspec.RATE))
    return clips, problems


def _entry(name, digest, rate, channels, seconds, clips):
    return {
        "name": name,
        "sha256": digest.hexdigest(),
        "rate": rate,
        "channels": channels,
        "seconds": round(seconds, 6),
        "clips": len(clips),
    }


def _observe(recording, members):
    """An Observation, given pairs of system and extractor."""
    samples = recording.read(rate=modspec.RATE, min_samples=modspec.MIN_SAMPLES)
    rate = recording.source_rate if recording.samples is not None else audio.properties(recording.path).rate
    features = tuple(system.feature(samples, extractor) for system, extractor in members)
    return Observation(features, _level(samples), rate, samples.size / modspec.RATE, recording.start)


def _level(samples):
    """RMS, dB re full scale."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(10 * math.log10(power), SILENCE) if power > 0 else SILENCE


def _range(values):
    return float(min(values)), float(max(values))


@lru_cache
def _controller():
    return ThreadpoolController()


def _one_thread():
    """BLAS and OpenMP with one thread: the last bits depend on their number."""
    return _controller().limit(limits=1)


def _hush(*kinds):
    for kind in kinds:
        warnings.simplefilter("ignore", kind)


def _now():
    """The time, UTC; that of SOURCE_DATE_EPOCH where it is set, so that a model can be made again byte by byte."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))


def _checked_clip_seconds(seconds):
    if seconds is None:
        return None
    if not isinstance(seconds, (int, float)) or not SHORTEST <= seconds <= LONGEST:
        raise DataError(f"clips of {seconds} s: give a length from {SHORTEST:.3g} to {LONGEST:g} s")
    return float(seconds)


# What a file's header must hold, and the checks of it. All raise ValueError.

_HEADER = (
    "system",
    "members",
    "channel",
    "clip_seconds",
    "threshold",
    "files",
    "levels",
    "lengths",
    "made",
    "updated",
    "versions",
)


def _keys(value, what, keys):
    if not isinstance(value, dict) or value.keys() != set(keys):
        raise ValueError(f"{what} does not hold {', '.join(keys)}")


def _is_text(value, longest):
    return isinstance(value, str) and len(value) <= longest


def _list(value, what):
    if not isinstance(value, list):
        raise ValueError(f"{what} is no list")
    return value


def _number(value, what, low, high):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{what} is no number from {low:g} to {high:g}")
    return float(value)


def _whole(value, what, low, high):
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{what} is no whole number from {low} to {high}")
    return value


def _checked_file(file):
    _keys(file, "a training file", ("name", "sha256", "rate", "channels", "seconds", "clips"))
    if not _is_text(file["name"], MAX_NAME):
        raise ValueError("a training file's name is no short text")
    digest = file["sha256"]
    if not isinstance(digest, str) or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise ValueError("sha256 is no digest")
    _whole(file["rate"], "rate", *audio.RATES)
    _whole(file["channels"], "channels", 1, 2**16)
    _number(file["seconds"], "seconds", 0, 1e9)
    _whole(file["clips"], "clips", 1, MAX_CLIPS)
    return file


def _system(kind, parameters):
    """A system with the parameters that a file says, within its limits."""
    _keys(parameters, "parameters", kind.LIMITS)
    checked = {}
    for name, (wanted, low, high) in kind.LIMITS.items():
        value = parameters[name]
        if isinstance(wanted, tuple):
            checked[name] = [_number(item, name, low, high) for item in _list(value, name)]
            if len(checked[name]) != len(wanted) or sorted(checked[name]) != checked[name]:
                raise ValueError(f"{name} are not {len(wanted)} ascending numbers")
        else:
            checked[name] = (_whole if wanted is int else _number)(value, name, low, high)
    return kind(**checked)


def _names_below(arrays, prefix):
    return [name[len(prefix) + 1 :] for name in list(arrays) if name.startswith(f"{prefix}.")]
