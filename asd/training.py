"""Training clips: what sound files, folders and arrays hold, what of it is used, and what is odd about it.

Conventions: levels as RMS in dB re full scale, times in s, rates in Hz.
"""

import hashlib
import math
import os
import warnings
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asd import audio, layouts, modspec
from asd.audio import (
    AudioError,
    BrokenClipWarning,
    ChannelsWarning,
    DataError,
    DataWarning,
    Recording,
    ResampledWarning,
)
from asd.judged import plain_name

SHORTEST = modspec.MIN_SAMPLES / modspec.RATE  # s, of a clip
LONGEST = 86_400.0  # s, of a clip
SILENCE = -200.0  # dB, the level of nothing
LEVEL_RANGE = 20.0  # dB between training clips from which on they are said to differ
LENGTH_FACTOR = 2.0  # between lengths from which on clips are unlike each other
MAX_NAME = 255  # characters of a file's name that are kept


class DuplicateWarning(DataWarning):
    """A training file is left out because another one has the same content."""

    kind = "training files left out, they are copies of others"
    examples = 3


class UnlikeTrainingWarning(DataWarning):
    """Training clips differ among each other in rate, length or level."""

    kind = "training clips differ, the model is of all of them"


class NamedAnomalyWarning(DataWarning):
    """A training file's name says that it is not normal."""

    kind = "training files whose names say that they are not normal, fit normal sound only"
    examples = 3


class TrainingClip(NamedTuple):
    """A usable clip: the entry of its `file` in a model's header, its `level` and length."""

    file: dict
    recording: Recording
    level: float
    seconds: float


def of_files(sources, clip_map, *, channel, clip_seconds, known=()):
    """Usable clips of files and folders.

    Parameters
    ----------
    sources : path or sequence of paths
    clip_map : ClipMap
    channel : int
    clip_seconds : float or None
    known : set of str
        Digests of files that are not wanted again.

    Returns
    -------
    list of TrainingClip

    Raises
    ------
    DataError
        If there is none.

    Warns
    -----
    BrokenClipWarning, DuplicateWarning, NamedAnomalyWarning
    """
    for source in _as_list(sources):
        if not os.path.lexists(source):
            raise DataError(f"{plain_name(source)}: no such file or folder; name files of normal sound, or folders")
    paths = sound_paths(sources)
    if not paths:
        raise DataError(f"{_listed(sources)}: no sound files; name files of normal sound, or folders of them")
    for path in paths:
        if any(word in path.name.lower() for word in ("anomal", "abnormal")):
            warnings.warn(NamedAnomalyWarning(path, "is it normal?"), stacklevel=3)
    inspect = partial(_inspect, channel=channel, clip_seconds=clip_seconds)
    with warnings.catch_warnings():
        hush(ResampledWarning)
        found = clip_map(inspect, paths, "reading")
    return _usable(found, paths, known, _listed(sources))


def of_samples(clips, rate, clip_map, *, channel, clip_seconds, known=()):
    """The same of samples in memory: see :func:`of_files` and :class:`asd.audio.Recording`."""
    recordings = [
        Recording(f"clip {index}", channel, samples=np.asarray(samples), source_rate=rate)
        for index, samples in enumerate(clips)
    ]
    if clip_seconds is not None:
        raise DataError("clip_seconds cuts files; cut samples as you want them")
    if not recordings:
        raise DataError("no clips; give at least one array of samples")
    with warnings.catch_warnings():
        hush(ResampledWarning, ChannelsWarning)
        return _usable(clip_map(_inspect_samples, recordings, "reading"), recordings, known, "the samples")


def _usable(found, sources, known, named):
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
        usable += [TrainingClip(entry, recording, level, seconds) for recording, level, seconds in clips]
    if not usable and any(not isinstance(result, AudioError) for result in found) and known:
        raise DataError(f"{named}: nothing to add, the model has all of these clips")
    if not usable:
        reasons = [result.reason for result in found if isinstance(result, AudioError)]
        raise DataError(f"{named}: no usable clip of normal sound ({reasons[0] if reasons else 'all broken'})")
    return usable


def warn_of_differences(files, levels, lengths):
    """Warn where training clips differ, given the files' entries, and the lowest and highest level and length."""
    counts = {}
    for file in files:
        counts[file["rate"]] = counts.get(file["rate"], 0) + 1
    if len(counts) > 1:
        what = ", ".join(f"{rate} Hz in {n} files" for rate, n in sorted(counts.items()))
        warnings.warn(UnlikeTrainingWarning("sample rate", what), stacklevel=4)
    if lengths[1] > LENGTH_FACTOR * lengths[0]:
        what = f"{lengths[0]:.3g} to {lengths[1]:.3g} s; --clip-seconds cuts them to equal length"
        warnings.warn(UnlikeTrainingWarning("length", what), stacklevel=4)
    if levels[1] - levels[0] > LEVEL_RANGE:
        what = f"{levels[0]:.0f} to {levels[1]:.0f} dB re full scale"
        warnings.warn(UnlikeTrainingWarning("level", what), stacklevel=4)


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
            clips.append((recording, level_of(samples), samples.size / modspec.RATE))
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


def checked_clip_seconds(seconds):
    if seconds is None:
        return None
    if not isinstance(seconds, (int, float)) or not SHORTEST <= seconds <= LONGEST:
        raise DataError(f"clips of {seconds} s: give a length from {SHORTEST:.3g} to {LONGEST:g} s")
    return float(seconds)


def level_of(samples):
    """RMS, dB re full scale."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(10 * math.log10(power), SILENCE) if power > 0 else SILENCE


def hush(*kinds):
    """Ignore warnings of these kinds from now on; within `warnings.catch_warnings()`."""
    for kind in kinds:
        warnings.simplefilter("ignore", kind)
