"""Spectral gating: take a machine's steady background out of a recording.

The gate of noisereduce 1.1.0 with its defaults: a threshold per frequency is
learnt from a noise clip, and the cells of the signal's spectrogram that lie
below it are attenuated by a smoothed mask.

Conventions: samples are 1-D float arrays at 16 kHz; spectrograms are
time-major, `(n_frames, n_bins)`, so that a frame is contiguous.

References
----------
.. [1] T. Sainburg, noisereduce 1.1.0, https://pypi.org/project/noisereduce/1.1.0/
"""

from functools import lru_cache

import numpy as np
import scipy.fft
from numba import njit
from numpy.lib.stride_tricks import sliding_window_view

from asd import scratch

FRAME = 2048  # samples
HOP = 512  # samples
STD_FACTOR = 1.5  # threshold = mean + STD_FACTOR * std of the noise's level, dB
DYNAMIC_RANGE = 80.0  # dB below a spectrogram's maximum where its levels are clipped
BLOCK = 64  # frames a call of the FFT: half a megabyte, which stays in cache
SILENCE = 1e-40  # power at which a level is clipped (amplitude 1e-20)

# Integer triangles and their sums; the mask is smoothed twice with their outer product.
FREQUENCY_TRIANGLE = np.array([1, 2, 3, 2, 1])  # bins
TIME_TRIANGLE = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1], np.uint16)  # frames
MASK_SCALE = int(FREQUENCY_TRIANGLE.sum() * TIME_TRIANGLE.sum()) ** 2


def noise_clip(clips):
    """Sample-wise mean of several recordings: what a machine sounds like all the time.

    Parameters
    ----------
    clips : iterable of (n_samples,) arrays
        Recordings; where lengths differ, the samples that all have are used.

    Returns
    -------
    (n_samples,) float64 array

    Raises
    ------
    ValueError
        If there is no clip.
    """
    total, count = None, 0
    for clip in clips:
        if total is None:
            total = np.array(clip, np.float64)
        else:
            n = min(total.size, clip.size)
            total = total[:n] + clip[:n]
        count += 1
    if not count:
        raise ValueError("a noise clip is the mean of at least one recording; none was given")
    return total / count


def noise_threshold(noise, *, std_factor=STD_FACTOR):
    """Threshold power per frequency: mean + `std_factor` standard deviations of the noise's level.

    Parameters
    ----------
    noise : (n_samples,) array
        The noise clip.
    std_factor : float
        Standard deviations (of levels in dB, over frames) above the mean.

    Returns
    -------
    (FRAME // 2 + 1,) float64 array
        Power below which a cell of a spectrogram counts as noise.

    Raises
    ------
    ValueError
        If the clip is too short for reflected edges (about half a frame).
    """
    power = np.abs(_stft(np.asarray(noise, np.float64))) ** 2
    level = 10 * np.log10(np.maximum(power, SILENCE))
    level = np.maximum(level, level.max() - DYNAMIC_RANGE)
    return 10 ** ((level.mean(axis=0) + std_factor * level.std(axis=0)) / 10)


def reduce_noise(samples, threshold):
    """Attenuate what lies below the noise threshold.

    Parameters
    ----------
    samples : (n_samples,) float32 or float64 array
        The computation runs in this precision.
    threshold : (FRAME // 2 + 1,) array
        From :func:`noise_threshold`.

    Returns
    -------
    (n_samples,) array of the same dtype

    Raises
    ------
    ValueError
        If the clip is too short for reflected edges (about half a frame).
    """
    samples = np.asarray(samples)
    spectrum = _stft(samples, n_zeros=HOP)
    mask, smoothed = (scratch.empty(name, spectrum.shape, np.uint16) for name in ("mask", "smoothed"))
    _gate(spectrum, threshold, mask, smoothed)
    return _inverse_stft(spectrum, samples.size)


@lru_cache
def _window(dtype):
    """Periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(dtype)


def _stft(samples, n_zeros=0):
    """Spectrogram of centred frames with reflected edges, `(n_frames, FRAME // 2 + 1)`, a work array.

    `n_zeros` zeros are put behind the samples first.
    """
    edge, n = FRAME // 2, samples.size + n_zeros
    if n <= edge:
        raise ValueError(f"{samples.size} samples are too few for frames of {FRAME} samples with reflected edges")
    padded = scratch.empty("padded", (n + 2 * edge,), samples.dtype)
    padded[edge : edge + samples.size] = samples
    padded[edge + samples.size : edge + n] = 0
    padded[:edge] = padded[2 * edge : edge : -1]
    padded[edge + n :] = padded[edge + n - 2 : n - 2 : -1]
    frames = sliding_window_view(padded, FRAME)[::HOP]
    window = _window(samples.dtype)
    spectrum = scratch.empty("spectrum", (len(frames), FRAME // 2 + 1), np.result_type(samples, np.complex64))
    windowed = scratch.empty("windowed", (BLOCK, FRAME), samples.dtype)
    for start in range(0, len(frames), BLOCK):
        block = frames[start : start + BLOCK]
        np.multiply(block, window, out=windowed[: len(block)])
        spectrum[start : start + BLOCK] = scipy.fft.rfft(windowed[: len(block)], axis=1)
    return spectrum


def _inverse_stft(spectrum, n_samples):
    """The first `n_samples` of a signal from its spectrogram: overlap-add over the sum of squared windows."""
    window = _window(spectrum.real.dtype)
    total = scratch.empty("overlapped", (HOP * (len(spectrum) - 1) + FRAME,), window.dtype)
    total[:] = 0
    for start in range(0, len(spectrum), BLOCK):
        frames = scipy.fft.irfft(spectrum[start : start + BLOCK], FRAME, axis=1)
        _overlap_add(frames, window, total[start * HOP :])
    inside = slice(FRAME // 2, FRAME // 2 + n_samples)
    return total[inside] / _overlapped_windows(len(spectrum), window.dtype)[inside]


@lru_cache
def _overlapped_windows(n_frames, dtype):
    """Sum of the squared windows of `n_frames` frames."""
    total = np.zeros(HOP * (n_frames - 1) + FRAME, dtype)
    window = _window(dtype)
    _overlap_add(np.tile(window, (n_frames, 1)), window, total)
    return total


@njit(cache=True, nogil=True)
def _gate(spectrum, threshold, mask, smoothed):
    """Multiply a spectrogram in place by one minus its smoothed noise mask.

    Levels are compared as powers, the clipping 80 dB below the maximum included. The smoothing
    runs on integers, so it is exact in any order: both triangles, twice, each "same" size.
    `mask` and `smoothed` are uint16 work arrays of the spectrogram's shape; MASK_SCALE is 50625.
    """
    n_frames, n_bins = spectrum.shape
    as_real = spectrum.real.dtype.type
    loudest = np.zeros(n_bins, spectrum.real.dtype)  # a maximum per bin first, which the compiler vectorises
    for t in range(n_frames):
        for f in range(n_bins):
            loudest[f] = max(loudest[f], spectrum[t, f].real ** 2 + spectrum[t, f].imag ** 2)
    # A level clipped to the floor lies below no threshold but one above the floor.
    floor = max(SILENCE, loudest.max() * 10 ** (-DYNAMIC_RANGE / 10))
    limit = np.zeros(n_bins, spectrum.real.dtype)
    for f in range(n_bins):
        if threshold[f] > floor:
            limit[f] = threshold[f]

    edge = FREQUENCY_TRIANGLE.size // 2
    row = np.zeros(n_bins + 2 * edge, np.uint16)  # zeros beyond both ends: "same"
    once = np.zeros(n_bins + 2 * edge, np.uint16)
    for t in range(n_frames):
        for f in range(n_bins):
            row[f + edge] = spectrum[t, f].real ** 2 + spectrum[t, f].imag ** 2 < limit[f]
        for f in range(n_bins):
            once[f + edge] = row[f] + 2 * row[f + 1] + 3 * row[f + 2] + 2 * row[f + 3] + row[f + 4]
        for f in range(n_bins):
            mask[t, f] = once[f] + 2 * once[f + 1] + 3 * once[f + 2] + 2 * once[f + 3] + once[f + 4]
    _smooth_time(mask, smoothed)
    _smooth_time(smoothed, mask)

    scale = as_real(1 / MASK_SCALE)
    for t in range(n_frames):
        for f in range(n_bins):
            spectrum[t, f] *= as_real(1) - scale * as_real(mask[t, f])


@njit(cache=True, nogil=True)
def _smooth_time(mask, out):
    """Convolve every column with the time triangle, "same" size."""
    n_frames, n_bins = mask.shape
    half = TIME_TRIANGLE.size // 2
    for t in range(n_frames):
        out[t] = 0
        for u in range(max(0, t - half), min(n_frames, t + half + 1)):
            weight = TIME_TRIANGLE[u - t + half]
            for f in range(n_bins):
                out[t, f] += weight * mask[u, f]


@njit(cache=True, nogil=True)
def _overlap_add(frames, window, total):
    """Add windowed frames to `total`, a hop apart."""
    for t in range(frames.shape[0]):
        for i in range(frames.shape[1]):
            total[t * HOP + i] += window[i] * frames[t, i]
