"""MFCC frames: cepstra, log energy, and their first and second differences.

Conventions: samples are 1-D float arrays at 16 kHz; frames are time-major, `(n_frames, 42)`, in the
order of 13 cepstra and the log energy, then their deltas, then their double deltas.

References
----------
.. [1] P. Tiwari et al., "Modulation spectral signal representation and i-vectors for anomalous
       sound detection", DCASE 2020 Challenge Task 2, technical report, 2020: level, pre-emphasis,
       frames, 13 coefficients and log energy, deltas.
.. [2] B. McFee et al., librosa, https://librosa.org: mel filters, deltas.
"""

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

RATE = 16000  # Hz
LEVEL = -26.0  # dB relative to full scale: the RMS that every clip is brought to
PRE_EMPHASIS = 0.95
FRAME = 480  # samples: 30 ms
HOP = 240  # samples: 50 % overlap
N_FFT = 512
N_CEPSTRA = 13
N_MELS = 40
DELTA_WIDTH = 9  # frames
N_FEATURES = 3 * (N_CEPSTRA + 1)
MIN_SAMPLES = FRAME + (DELTA_WIDTH - 1) * HOP  # deltas need as many frames as they are wide: 0.15 s
SETTINGS = {
    "level": LEVEL,
    "pre_emphasis": PRE_EMPHASIS,
    "frame": FRAME,
    "hop": HOP,
    "n_fft": N_FFT,
    "n_mels": N_MELS,
    "first_cepstrum": 0,
    "delta_width": DELTA_WIDTH,
}
FLOOR = 1e-10  # power below which a logarithm is not taken


def mfcc(samples, *, n_mels=N_MELS, first_cepstrum=0, delta_width=DELTA_WIDTH):
    """The 42-dimensional frames of a clip.

    Parameters
    ----------
    samples : (n_samples,) float array
        At 16 kHz. Silence stays silence; anything else is brought to -26 dB below full scale.
    n_mels : int
        Mel bands, 0 to 8 kHz.
    first_cepstrum : {0, 1}
        Whether the 13 cepstra begin with c0 or c1; the log energy stands beside them either way.
    delta_width : int
        Frames that a delta looks at, odd.

    Returns
    -------
    (n_frames, 42) float64 array
        `n_frames = 1 + (n_samples - 480) // 240`, only full frames.

    Raises
    ------
    ValueError
        If there are fewer frames than a delta looks at.
    """
    from librosa.feature import delta

    static = cepstra(samples, n_mels=n_mels, first_cepstrum=first_cepstrum)
    if len(static) < delta_width:
        raise ValueError(f"{np.size(samples)} samples give {len(static)} frames, deltas look at {delta_width}")
    orders = [delta(static, width=delta_width, order=order, axis=0) for order in (1, 2)]
    return np.concatenate([static, *orders], axis=1)


def cepstra(samples, *, n_mels=N_MELS, first_cepstrum=0):
    """13 cepstra and the log energy a frame, `(n_frames, 14)`; parameters as for :func:`mfcc`.

    Raises
    ------
    ValueError
        If the clip is shorter than a frame.
    """
    power, energy = _frame_spectra(samples)
    log_mel = np.log(np.maximum(power @ _mel_filters(n_mels), FLOOR))
    cepstrum = scipy.fft.dct(log_mel, norm="ortho", axis=1)[:, first_cepstrum : first_cepstrum + N_CEPSTRA]
    return np.column_stack([cepstrum, np.log(np.maximum(energy, FLOOR))])


def log_mel_spectrogram(samples, *, n_mels=N_MELS):
    """The log mel powers behind the cepstra, natural logarithm, `(n_frames, n_mels)`."""
    return np.log(np.maximum(_frame_spectra(samples)[0] @ _mel_filters(n_mels), FLOOR))


def mel_frequencies(n_mels=N_MELS):
    """Centre frequencies of the mel bands, `(n_mels,)`, Hz."""
    from librosa import mel_frequencies

    return mel_frequencies(n_mels + 2, fmin=0.0, fmax=RATE / 2)[1:-1]


def _frame_spectra(samples):
    """Power spectra, `(n_frames, N_FFT // 2 + 1)`, and energies, `(n_frames,)`, of the windowed frames."""
    samples = np.asarray(samples, np.float64)
    if samples.size < FRAME:
        raise ValueError(f"{samples.size} samples are fewer than one frame of {FRAME}")
    rms = np.sqrt(np.mean(samples**2))
    if rms > 0:
        samples = samples * (10 ** (LEVEL / 20) / rms)
    samples = np.append(samples[0], samples[1:] - PRE_EMPHASIS * samples[:-1])
    frames = sliding_window_view(samples, FRAME)[::HOP] * _window()
    return np.abs(scipy.fft.rfft(frames, N_FFT, axis=1)) ** 2, np.sum(frames**2, axis=1)


@lru_cache
def _window():
    """Periodic Hamming window."""
    return 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)


@lru_cache
def _mel_filters(n_mels):
    """`(N_FFT // 2 + 1, n_mels)`"""
    from librosa.filters import mel

    return np.ascontiguousarray(mel(sr=RATE, n_fft=N_FFT, n_mels=n_mels, norm=None, dtype=np.float64).T)
