"""A sound file -> mono float samples at the rate of the methods, or a reason why not.

Conventions: samples are 1-D float32 arrays in [-1, 1], rates are in Hz.
"""

import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 16000  # Hz
RATES = (1000, 768_000)  # Hz: what a recording may have
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


def read(path, *, rate=RATE, channel=0, min_samples=1):
    """Read one channel of a sound file, resampled where its rate differs.

    Parameters
    ----------
    path : str or Path
        Any format that libsndfile reads.
    rate : int
        Wanted sample rate, Hz.
    channel : int
        Channel to read, from 0.
    min_samples : int
        Fewer samples than that (at `rate`) are an error.

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
    try:
        with open(path, "rb") as file:
            _check_whole(path, file)
        with soundfile.SoundFile(path) as sound:
            promised, source_rate, n_channels = sound.frames, sound.samplerate, sound.channels
            if sound.subtype == "PCM_16":  # the same values as libsndfile's own conversion, in a third of the time
                samples = sound.read(dtype="int16") * np.float32(2**-15)
            else:
                samples = sound.read(dtype="float32")
                if not np.abs(samples).max(initial=0) < LOUDEST:
                    raise AudioError(
                        path, f"holds samples that are NaN, infinite or beyond {LOUDEST:g} times full scale"
                    )
    except soundfile.SoundFileError as error:
        raise AudioError(path, f"not a readable sound file ({str(error).rstrip('.').split(': ')[-1]})") from None
    except OSError as error:
        raise AudioError(path, f"cannot be read ({error.strerror or error})") from None
    if len(samples) < promised:
        raise AudioError(path, f"truncated: {len(samples)} of {promised} samples")
    if n_channels > 1:
        if not 0 <= channel < n_channels:
            raise AudioError(path, f"has {n_channels} channels, no channel {channel}")
        warnings.warn(ChannelsWarning(path, f"has {n_channels} channels, channel {channel} is used"), stacklevel=2)
        samples = samples[:, channel]
    if not samples.size:
        raise AudioError(path, "no samples")
    if not RATES[0] <= source_rate <= RATES[1]:
        raise AudioError(path, f"a sample rate of {source_rate} Hz")
    if source_rate != rate:
        warnings.warn(ResampledWarning(path, f"has {source_rate} Hz, resampled to {rate} Hz"), stacklevel=2)
        samples = soxr.resample(samples, source_rate, rate)
    if samples.size < min_samples:
        raise AudioError(path, f"too short: {samples.size} samples at {rate} Hz, {min_samples} are needed")
    return np.ascontiguousarray(samples)


@dataclass(frozen=True, eq=False)
class Recording:
    """One channel of a sound file; systems take it in the place of a path."""

    path: Path
    channel: int = 0

    def read(self, rate=RATE, min_samples=1):
        """Samples, as :func:`read` gives them."""
        return read(self.path, rate=rate, channel=self.channel, min_samples=min_samples)


def file_of(recording):
    """The file of a :class:`Recording`, or of a path."""
    return getattr(recording, "path", recording)


def _check_whole(path, file):
    """Refuse an empty file, and a WAV (RIFF, RIFX or RF64) that promises more bytes than the file holds.

    libsndfile reads what is left of a truncated WAV without a word.
    """
    size = file.seek(0, 2)
    file.seek(0)
    if not size:
        raise AudioError(path, "empty file")
    header = file.read(12)
    if header[:4] in (b"RIFF", b"RIFX", b"RF64") and header[8:12] == b"WAVE":
        order = ">" if header[:4] == b"RIFX" else "<"
        at, long_length = 12, 0
        while at + 8 <= size:
            file.seek(at)
            name, length = struct.unpack(order + "4sI", file.read(8))
            if name == b"ds64" and at + 24 <= size:  # RF64: sizes of 64 bits, of the file and of the samples
                long_length = struct.unpack("<8xQ", file.read(16))[0]
            if name == b"data":
                if length == 2**32 - 1:
                    length = long_length
                # 0 (or 2**32 - 1 without more): written to a pipe, the length was not known.
                if length and at + 8 + length > size:
                    raise AudioError(path, f"truncated: {size - at - 8} of {length} bytes of samples")
                break
            at += 8 + length + length % 2
        else:
            raise AudioError(path, "truncated: a WAV header without samples")
    file.seek(0)
