"""A sound file -> mono float samples at the rate of the methods, or a reason why not.

Conventions: samples are 1-D float32 arrays in [-1, 1], rates are in Hz.
"""

import io
import os
import struct
import warnings
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr

RATE = 16000  # Hz
RATES = (1000, 768_000)  # Hz: what a recording may have
MOST = 2**33  # samples a channel: a week
LOUDEST = 1e6  # of a float file, full scale being 1


class DataError(ValueError):
    """Something that the user can mend; the text names the file or value and the mend."""


class DataWarning(UserWarning):
    """Something in the data was mended or left out: `subject` (a file, an id) and `what` about it.

    One class a kind, so that a run can say a kind once: `kind` is its headline, `examples` how many
    subjects are worth naming (None: all).
    """

    kind = ""
    examples = None

    def __init__(self, subject, what):
        super().__init__(subject, what)
        self.subject, self.what = str(subject), what

    def __str__(self):
        return f"{self.subject}: {self.what}"


class ResampledWarning(DataWarning):
    """A clip has another sample rate."""

    kind = "clips resampled"
    examples = 1


class ChannelsWarning(DataWarning):
    """A clip has several channels."""

    kind = "clips with several channels, one is used"
    examples = 1


class BrokenClipWarning(DataWarning):
    """A clip is left out because it cannot be used."""

    kind = "clips left out as broken"


class AudioError(DataError):
    """A clip that cannot be used: `path` and `reason`."""

    def __init__(self, path, reason):
        super().__init__(path, reason)
        self.path, self.reason = str(path), reason

    def __str__(self):
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Recording:
    """Where a clip's samples come from: a file, a piece of one, or memory.

    Parameters
    ----------
    path : str or Path
        The file, or what to call samples in memory.
    channel : int
        From 0.
    start, seconds : float, float or None
        The piece, s; to the end of the file where `seconds` is None. Only that is read from disk.
    samples : (n_samples,) or (n_samples, n_channels) array, optional
        Samples in memory, which are used instead of the file: floats, full scale being 1, or int16
        or int32, full scale being the largest.
    source_rate : int, optional
        Sample rate of these, Hz.
    """

    path: object
    channel: int = 0
    start: float = 0.0
    seconds: float | None = None
    samples: np.ndarray | None = None
    source_rate: int = RATE

    def __str__(self):
        return str(self.path) if self.seconds is None else f"{self.path} at {self.start:g} s"

    def read(self, *, rate=RATE, min_samples=1):
        """Samples of the clip: see :func:`read`."""
        if self.samples is None:
            options = {"channel": self.channel, "start": self.start, "seconds": self.seconds}
            return read(self.path, rate=rate, min_samples=min_samples, **options)
        samples = _as_float(self, self.samples)
        first, n = _span(self, samples.shape[0], self.source_rate, self.start, self.seconds)
        samples = samples[first : first + n]
        if samples.ndim == 2:
            samples = _channel(self, samples, self.channel)
        return _at_rate(self, samples, self.source_rate, rate, min_samples)


@dataclass(frozen=True)
class Properties:
    """Of a sound file: `rate` in Hz, number of `channels`, `frames` (samples a channel)."""

    rate: int
    channels: int
    frames: int

    @property
    def seconds(self):
        return self.frames / self.rate


def properties(path):
    """What the header of a sound file says.

    Returns
    -------
    Properties

    Raises
    ------
    AudioError
        If the file cannot be opened, is empty, cut short as its header has it, or not audio.
    """
    with _opened(path) as sound:
        found = Properties(sound.samplerate, sound.channels, sound.frames)
    if not RATES[0] <= found.rate <= RATES[1]:
        raise AudioError(path, f"a sample rate of {found.rate} Hz")
    return found


def pieces(path, seconds, *, channel=0, whole=False):
    """A long file as clips of equal length.

    Parameters
    ----------
    path : str or Path
    seconds : float
        Length of a clip.
    channel : int
    whole : bool
        Cover the file to its end: the last clip ends with it and may overlap the one before, and a file
        shorter than `seconds` is a clip. Else what is left over at the end is left out.

    Returns
    -------
    list of Recording

    Raises
    ------
    AudioError
        If the file cannot be opened; without `whole` also if it is shorter than `seconds`.
    """
    found = properties(path)
    n = round(seconds * found.rate)
    if found.frames < n:
        if whole:
            return [Recording(path, channel, 0.0, found.seconds)]
        raise AudioError(path, f"too short: {found.seconds:.3g} s, clips of {seconds:g} s are cut from it")
    firsts = list(range(0, found.frames - n + 1, n))
    if whole and firsts[-1] + n < found.frames:
        firsts.append(found.frames - n)
    return [Recording(path, channel, first / found.rate, seconds) for first in firsts]


def read(path, *, rate=RATE, channel=0, min_samples=1, start=0.0, seconds=None):
    """Read one channel of a sound file, or of a piece of it, resampled where its rate differs.

    Parameters
    ----------
    path : str or Path or Address
        Any format that libsndfile reads.
    rate : int
        Wanted sample rate, Hz.
    channel : int
        Channel to read, from 0.
    min_samples : int
        Fewer samples than that (at `rate`) are an error.
    start, seconds : float, float or None
        The piece to be read, s; to the end of the file where `seconds` is None.

    Returns
    -------
    (n_samples,) float32 array

    Raises
    ------
    AudioError
        If the file cannot be opened, is empty, truncated, not audio, too short, lacks the channel,
        or holds samples that are not finite.

    Warns
    -----
    ResampledWarning, ChannelsWarning
    """
    with _readable(path) as file:
        plain = _check_whole(path, file)
        if plain is not None:
            frames, source_rate, n_channels, at = plain
            first, promised = _span(path, frames, source_rate, start, seconds)
            file.seek(at + 2 * n_channels * first)
            samples = np.frombuffer(file.read(2 * n_channels * promised), "<i2") * np.float32(2**-15)
            samples = samples.reshape(-1, n_channels) if n_channels > 1 else samples
        else:
            with _sound(path, file) as sound:
                source_rate = sound.samplerate
                first, promised = _span(path, sound.frames, source_rate, start, seconds)
                sound.seek(first)
                samples = sound.read(-1 if seconds is None else promised, dtype="float32")
                _check_range(path, samples)
    if len(samples) < promised:
        raise AudioError(path, f"truncated: {len(samples)} of {promised} samples")
    if samples.ndim == 2:
        samples = _channel(path, samples, channel)
    elif channel:
        raise AudioError(path, f"has 1 channel, no channel {channel} (the first is 0)")
    return _at_rate(path, samples, source_rate, rate, min_samples)


@contextmanager
def _readable(path):
    """An open binary file, of an address all of it at once; whatever goes wrong with it is an `AudioError`."""
    try:
        with open(path, "rb") if isinstance(path, str | os.PathLike) else io.BytesIO(path.read_bytes()) as file:
            yield file
    except soundfile.SoundFileError as error:
        raise AudioError(path, f"not a readable sound file ({str(error).rstrip('.').split(': ')[-1]})") from None
    except TypeError:
        raise AudioError(path, "raw samples without a header; convert them to WAV") from None
    except OSError as error:
        raise AudioError(path, f"cannot be read ({error.strerror or error})") from None


@contextmanager
def _sound(path, file):
    """A `soundfile.SoundFile` of an open file."""
    source = file
    if isinstance(path, str | os.PathLike):
        source = os.fsencode(path) if os.name == "posix" else os.fspath(path)  # soundfile wants UTF-8 of a str
    with soundfile.SoundFile(source) as sound:
        if not 0 <= sound.frames <= MOST:  # a FLAC file that was written to a pipe, or is being written
            raise AudioError(path, "does not say how long it is: not finished, or to be converted once more")
        yield sound


@contextmanager
def _opened(path):
    """The same of a path, if the file is whole."""
    with _readable(path) as file:
        _check_whole(path, file)
        with _sound(path, file) as sound:
            yield sound


def _span(path, frames, rate, start, seconds):
    """First sample and number of samples of a piece."""
    first = round(start * rate)
    n = frames - first if seconds is None else round(seconds * rate)
    if first < 0 or n < 0 or first + n > frames:
        raise AudioError(path, f"has {frames / rate:g} s, no piece from {start:g} s on")
    return first, n


def _as_float(path, samples):
    """Samples from memory as float32."""
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2):
        raise AudioError(path, f"samples of shape {samples.shape}; give (n_samples,) or (n_samples, n_channels)")
    if samples.dtype in (np.int16, np.int32):
        return np.multiply(
            samples, np.float32(1 / (np.iinfo(samples.dtype).max + 1)), dtype=np.float32, casting="unsafe"
        )
    if samples.dtype.kind != "f":
        raise AudioError(path, f"samples of type {samples.dtype}; give floats (full scale is 1), int16 or int32")
    with np.errstate(over="ignore"):
        samples = samples.astype(np.float32)
    _check_range(path, samples)
    return samples


def _check_range(path, samples):
    if not np.abs(samples).max(initial=0) < LOUDEST:
        raise AudioError(path, f"holds samples that are NaN, infinite or beyond {LOUDEST:g} times full scale")


def _channel(path, samples, channel):
    n_channels = samples.shape[1]
    if not 0 <= channel < n_channels:
        raise AudioError(path, f"has {n_channels} channels, no channel {channel}")
    if n_channels > 1:
        warnings.warn(ChannelsWarning(path, f"has {n_channels} channels, channel {channel} is used"), stacklevel=3)
    return samples[:, channel]


def _at_rate(path, samples, source_rate, rate, min_samples):
    if not samples.size:
        raise AudioError(path, "no samples")
    if not RATES[0] <= source_rate <= RATES[1]:
        raise AudioError(path, f"a sample rate of {source_rate} Hz")
    if source_rate != rate:
        warnings.warn(ResampledWarning(path, f"has {source_rate} Hz, resampled to {rate} Hz"), stacklevel=3)
        samples = soxr.resample(samples, source_rate, rate)
    if samples.size < min_samples:
        raise AudioError(path, f"too short: {samples.size} samples at {rate} Hz, {min_samples} are needed")
    return np.ascontiguousarray(samples)


def file_of(recording):
    """The file of a :class:`Recording`, or of a path."""
    return getattr(recording, "path", recording)


def _check_whole(path, file):
    """Refuse an empty file, and a WAV (RIFF, RIFX or RF64) that promises more bytes than the file holds.

    libsndfile reads what is left of a truncated WAV without a word.

    Returns
    -------
    (n_frames, rate, n_channels, offset) or None
        Of a plain WAV of 16 bit, whose samples stand at that offset: reading them takes a quarter of
        the time that libsndfile takes. None of any other file.
    """
    plain = None
    size = file.seek(0, 2)
    file.seek(0)
    if not size:
        raise AudioError(path, "empty file")
    header = file.read(12)
    if header[:4] in (b"RIFF", b"RIFX", b"RF64") and header[8:12] == b"WAVE":
        order = ">" if header[:4] == b"RIFX" else "<"
        at, long_length, form = 12, 0, None
        while at + 8 <= size:
            file.seek(at)
            name, length = struct.unpack(order + "4sI", file.read(8))
            if name == b"fmt " and length >= 16 and at + 24 <= size:
                form = struct.unpack(order + "HHIIHH", file.read(16))
            if name == b"ds64" and at + 24 <= size:  # RF64: sizes of 64 bits, of the file and of the samples
                long_length = struct.unpack("<8xQ", file.read(16))[0]
            if name == b"data":
                if length == 2**32 - 1:
                    length = long_length
                # 0 (or 2**32 - 1 without more): written to a pipe, the length was not known.
                if length and at + 8 + length > size:
                    raise AudioError(path, f"truncated: {size - at - 8} of {length} bytes of samples")
                if header[:4] == b"RIFF" and length and form:
                    plain = _pcm_16(file, *form, length)
                break
            at += 8 + length + length % 2
        else:
            raise AudioError(path, "truncated: a WAV header without samples")
    file.seek(0)
    return plain


def _pcm_16(file, encoding, n_channels, rate, _, frame_bytes, bits, length):
    """What :func:`_check_whole` returns, `file` standing at `length` bytes of samples."""
    if encoding != 1 or bits != 16 or not n_channels or frame_bytes != 2 * n_channels or length < frame_bytes:
        return None
    return length // frame_bytes, rate, n_channels, file.tell()
