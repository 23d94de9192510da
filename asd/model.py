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

import os
import sys
import time
import warnings
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial

import numpy as np
from threadpoolctl import ThreadpoolController

import asd.detectors
import asd.ivector  # both here, not when the first model is loaded
from asd import audio, checks, modelfile, modspec, thresholds, training
from asd.audio import (
    ChannelsWarning,
    DataError,
    DataWarning,
    Recording,
    ResampledWarning,
)
from asd.dataset import Clip, MachineId
from asd.fusion import CalibratedFusion
from asd.modelfile import ModelError
from asd.parallel import ClipMap
from asd.systems import SYSTEMS, LengthsWarning

THRESHOLDS = {"empirical": 0.01, "gamma": 0.1}  # ways to find one, and the share of false alarms each aims at
MAX_CLIPS = 10_000  # of training, and
MAX_BYTES = 160 * 2**20  # of a file: bounds of what a stranger's file can make us do
LARGEST = 1e150  # of a score: its square is a number
LEVEL_MARGIN = 6.0  # dB beyond the levels of the training clips from which on a clip is unlike them


class UnlikeModelWarning(DataWarning):
    """A clip is unlike those that a model was fitted on; its score may mean that and nothing else."""

    kind = "clips unlike the training clips, scored all the same"
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
        return model._fitted(model._clips_of(training.of_files, sources, clip_map=clip_map), clip_map)

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
        return model._fitted(model._clips_of(training.of_samples, clips, rate, clip_map=clip_map), clip_map)

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
        return self._with(
            self._clips_of(training.of_files, sources, clip_map=clip_map), clip_map, threshold, false_alarms
        )

    def add_samples(self, clips, rate, *, threshold=None, false_alarms=None, jobs=1, progress=False):
        """The same with samples in memory: see :meth:`add` and :meth:`fit_samples`."""
        clip_map = ClipMap(jobs, progress=progress)
        return self._with(
            self._clips_of(training.of_samples, clips, rate, clip_map=clip_map), clip_map, threshold, false_alarms
        )

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
            training.hush(ResampledWarning, ChannelsWarning)
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
            training.hush(ResampledWarning, ChannelsWarning)
            return [self.judge(self.observe(recording)) for recording in self.recordings(path, clip_seconds)]

    def recordings(self, path, clip_seconds=None):
        """The clips that a file is judged by: list of Recording; see :meth:`score_file`."""
        seconds = self.clip_seconds if clip_seconds is None else training.checked_clip_seconds(clip_seconds)
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
        model.clip_seconds = training.checked_clip_seconds(clip_seconds)
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

    def _clips_of(self, find, *sources, clip_map):
        """Usable training clips that this model does not have yet."""
        known = {file["sha256"] for file in self.files}
        options = {"channel": self.channel, "clip_seconds": self.clip_seconds, "known": known}
        return find(*sources, clip_map=clip_map, **options)

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
            training.hush(LengthsWarning, ResampledWarning, ChannelsWarning)  # said of all clips at once
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
        training.warn_of_differences(self.files, self.levels, self.lengths)

    def _notes(self, seen):
        """What about a clip is unlike the training clips."""
        notes = []
        rates = sorted({file["rate"] for file in self.files})
        if seen.rate not in rates:
            notes.append(f"sample rate {seen.rate} Hz, the training clips' is {' or '.join(map(str, rates))}")
        low, high = self.levels
        if not low - LEVEL_MARGIN <= seen.level <= high + LEVEL_MARGIN:
            level = "silent" if seen.level <= training.SILENCE else f"level {seen.level:.1f} dB"
            notes.append(f"{level}, the training clips have {low:.1f} to {high:.1f}")
        low, high = self.lengths
        if not low / training.LENGTH_FACTOR <= seen.seconds <= high * training.LENGTH_FACTOR:
            notes.append(f"length {seen.seconds:.3g} s, the training clips have {low:.3g} to {high:.3g}")
        return tuple(notes)

    @classmethod
    def _restored(cls, header, arrays):
        """A model from a file's content, all of which is checked."""
        checks.keys(header, "the header", _HEADER)
        if not isinstance(header["system"], str):
            raise ValueError("system is not text")
        if header["system"] not in SYSTEMS:
            there = ", ".join(SYSTEMS)
            raise ModelError(f"of the system {ascii(header['system'])[:80]}, this asd has {there}: update asd")
        checks.keys(header["threshold"], "threshold", ("value", "method", "false_alarms"))
        given = header["threshold"]
        seconds, share = header["clip_seconds"], checks.number(given["false_alarms"], "false_alarms", 0, 1)
        if seconds is not None:
            seconds = checks.number(seconds, "clip_seconds", training.SHORTEST, training.LONGEST)
        if not isinstance(given["method"], str):
            raise ValueError("method is not text")
        model = cls._empty(
            header["system"], checks.whole(header["channel"], "channel", 0, 1023), seconds, given["method"], share
        )
        model.threshold = checks.number(given["value"], "value", -1e300, 1e300)
        model.files = [_checked_file(file) for file in checks.items(header["files"], "files")]
        for name, low, high in (("levels", training.SILENCE, 300), ("lengths", 0, 1e9)):
            pair = [checks.number(value, name, low, high) for value in checks.items(header[name], name)]
            if len(pair) != 2 or pair[0] > pair[1]:
                raise ValueError(f"{name} are not the lowest and the highest")
            setattr(model, name, tuple(pair))
        for name in ("made", "updated"):
            if not (name == "updated" and header[name] is None) and not checks.is_text(header[name], 40):
                raise ValueError(f"{name} is no time")
            setattr(model, name, header[name])
        versions = header["versions"]
        if not isinstance(versions, dict) or not all(checks.is_text(v, 100) for v in versions.values()):
            raise ValueError("versions are not texts")
        model.versions = versions
        names = model._member_names
        members = checks.items(header["members"], "members")
        for member in members:
            checks.keys(member, "a member", ("name", "parameters"))
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


def _observe(recording, members):
    """An Observation, given pairs of system and extractor."""
    samples = recording.read(rate=modspec.RATE, min_samples=modspec.MIN_SAMPLES)
    rate = recording.source_rate if recording.samples is not None else audio.properties(recording.path).rate
    features = tuple(system.feature(samples, extractor) for system, extractor in members)
    return Observation(features, training.level_of(samples), rate, samples.size / modspec.RATE, recording.start)


def _range(values):
    return float(min(values)), float(max(values))


@lru_cache
def _controller():
    return ThreadpoolController()


def _one_thread():
    """BLAS and OpenMP with one thread: the last bits depend on their number."""
    return _controller().limit(limits=1)


def _now():
    """The time, UTC; that of SOURCE_DATE_EPOCH where it is set, so that a model can be made again byte by byte."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))


# What a file's header must hold.

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


def _checked_file(file):
    checks.keys(file, "a training file", ("name", "sha256", "rate", "channels", "seconds", "clips"))
    if not checks.is_text(file["name"], training.MAX_NAME):
        raise ValueError("a training file's name is no short text")
    digest = file["sha256"]
    if not isinstance(digest, str) or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise ValueError("sha256 is no digest")
    checks.whole(file["rate"], "rate", *audio.RATES)
    checks.whole(file["channels"], "channels", 1, 2**16)
    checks.number(file["seconds"], "seconds", 0, 1e9)
    checks.whole(file["clips"], "clips", 1, MAX_CLIPS)
    return file


def _system(kind, parameters):
    """A system with the parameters that a file says, within its limits."""
    checks.keys(parameters, "parameters", kind.LIMITS)
    checked = {}
    for name, (wanted, low, high) in kind.LIMITS.items():
        value = parameters[name]
        if isinstance(wanted, tuple):
            checked[name] = [checks.number(item, name, low, high) for item in checks.items(value, name)]
            if len(checked[name]) != len(wanted) or sorted(checked[name]) != checked[name]:
                raise ValueError(f"{name} are not {len(wanted)} ascending numbers")
        else:
            checked[name] = (checks.whole if wanted is int else checks.number)(value, name, low, high)
    return kind(**checked)


def _names_below(arrays, prefix):
    return [name[len(prefix) + 1 :] for name in list(arrays) if name.startswith(f"{prefix}.")]
