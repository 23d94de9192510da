"""Modulation spectrogram: how strongly each acoustic band is modulated at each rate.

A clip passes a gammatone filterbank, the band envelopes (400 Hz) pass a bank of
modulation filters, and the energy of each output is averaged over frames. The
result is SRMRpy's `srmr` energy with its defaults and `fast=True`, without
normalisation, averaged over frames.

Conventions: samples are 1-D float arrays at 16 kHz; frequencies are in Hz;
acoustic channels run from high to low, modulation channels from low to high.

References
----------
.. [1] T. H. Falk, C. Zheng and W.-Y. Chan, "A non-intrusive quality and
       intelligibility measure of reverberant and dereverberated speech",
       IEEE Trans. Audio, Speech, Lang. Process. 18(7), 2010.
.. [2] J. F. Santos, M. Senoussaoui and T. H. Falk, SRMRpy,
       https://github.com/jfsantos/SRMRpy
.. [3] D. P. W. Ellis, "Gammatone-like spectrograms", 2009, and J. Heeris,
       gammatone, https://github.com/detly/gammatone
"""

from functools import lru_cache

import numpy as np
from numba import njit

from asd import scratch
from asd.fft import fft_columns, roots_of_unity

RATE = 16000  # Hz
FRAME = 512  # samples a gammatonegram frame
WINDOW = 160  # samples: the 10 ms Hann window in the middle of the frame
HOP = 40  # samples: 2.5 ms
BLOCKS = 8  # transforms between two matrix products
COLUMNS = 32  # of a transform, two frames each: its work arrays, a quarter megabyte, stay in cache
ENVELOPE_RATE = RATE // HOP  # 400 Hz
ENERGY_FRAME = 103  # envelope samples: 256 ms and a bit, as SRMRpy rounds it
ENERGY_HOP = 26  # envelope samples
Q = 2.0  # quality of a modulation filter
MIN_SAMPLES = FRAME + (ENERGY_FRAME - 1) * HOP  # one full energy frame: 4592 samples, 0.287 s

N_ACOUSTIC = 60
LOW_HZ = 125.0
N_MODULATION = 8
MODULATION_RANGE = (4.0, 128.0)  # Hz, first and last centre frequency


def acoustic_frequencies(n_channels=N_ACOUSTIC, low_hz=LOW_HZ):
    """Centre frequencies of the gammatone channels, equally spaced on the ERB scale.

    Returns
    -------
    (n_channels,) float64 array
        Hz, from high to low.
    """
    from gammatone.filters import erb_space  # here: importing gammatone takes half a second

    return erb_space(low_hz, RATE / 2, n_channels)


def modulation_frequencies(n_channels=N_MODULATION, frequency_range=MODULATION_RANGE):
    """Centre frequencies of the modulation filters, spaced logarithmically.

    Returns
    -------
    (n_channels,) float64 array
        Hz, from low to high.
    """
    return np.geomspace(*frequency_range, n_channels)


def gammatonegram(samples, *, n_channels=N_ACOUSTIC, low_hz=LOW_HZ):
    """Band envelopes: FFT magnitudes weighted by gammatone responses [3]_.

    Parameters
    ----------
    samples : (n_samples,) float32 or float64 array
        At 16 kHz; the computation runs in this precision.

    Returns
    -------
    (n_frames, n_channels) array of the same dtype
        `n_frames = 1 + (n_samples - 512) // 40`. As in [3]_ the last frame is zero where it would
        end exactly with the clip.

    Raises
    ------
    ValueError
        If the clip is shorter than one frame of 512 samples.
    """
    samples = np.asarray(samples)
    if samples.size < FRAME:
        raise ValueError(f"{samples.size} samples are fewer than one frame of {FRAME}")
    dtype = samples.dtype
    window, first = _window(dtype)
    weights = _gammatone_weights(n_channels, low_hz, dtype)
    n_frames = 1 + (samples.size - FRAME) // HOP
    blocks = np.empty((-(-n_frames // (2 * COLUMNS)), 2 * COLUMNS, n_channels), dtype)
    work = [scratch.empty(name, (FRAME * COLUMNS,), dtype) for name in ("x_re", "x_im", "y_re", "y_im")]
    magnitude = scratch.empty("magnitude", (BLOCKS, FRAME // 2 + 1, 2 * COLUMNS), dtype)
    for first_block in range(0, len(blocks), BLOCKS):
        group = blocks[first_block : first_block + BLOCKS]
        start = 2 * COLUMNS * first_block
        of_group = magnitude[: len(group)]
        _magnitudes(samples[first + HOP * start :], n_frames - start, window, *work, *_roots(dtype), of_group)
        np.matmul(of_group.transpose(0, 2, 1), weights, out=group)
    envelopes = blocks.reshape(-1, n_channels)[:n_frames]
    if (samples.size - FRAME) % HOP == 0:
        envelopes[-1] = 0
    return envelopes


def modulation_spectrogram(
    samples, *, n_acoustic=N_ACOUSTIC, low_hz=LOW_HZ, n_modulation=N_MODULATION, modulation_range=MODULATION_RANGE
):
    """Mean modulation energy per acoustic and modulation channel.

    Windowing, squaring, summing and averaging over energy frames is one fixed weight per envelope
    sample, so `energy[j, k] = sum_t weight[t] * y_jk[t]**2` with y_jk the band envelope j after
    modulation filter k.

    Parameters
    ----------
    samples : (n_samples,) float32 or float64 array
        At 16 kHz; FFTs run in this precision, filters and energies in float64.
    n_acoustic, low_hz : int, float
        Number of gammatone channels and the lowest centre frequency, Hz.
    n_modulation, modulation_range : int, (float, float)
        Number of modulation filters, their first and last centre frequency, Hz.

    Returns
    -------
    (n_acoustic, n_modulation) float64 array

    Raises
    ------
    ValueError
        If the clip is shorter than one energy frame (4592 samples, 0.287 s).
    """
    samples = np.asarray(samples)
    if samples.size < MIN_SAMPLES:
        raise ValueError(f"{samples.size} samples are fewer than one modulation frame of {MIN_SAMPLES}")
    envelopes = gammatonegram(samples, n_channels=n_acoustic, low_hz=low_hz)
    b, a1, a2 = modulation_filters(n_modulation, modulation_range)
    return _filtered_energy(envelopes, b, a1, a2, _energy_weights(len(envelopes)))


@lru_cache
def modulation_filters(n_channels=N_MODULATION, frequency_range=MODULATION_RANGE):
    """Second-order band-pass filters, `H(z) = b (1 - z^-2) / (1 + a1 z^-1 + a2 z^-2)` [2]_.

    Returns
    -------
    b, a1, a2 : (n_channels,) float64 arrays
    """
    w = np.tan(np.pi * modulation_frequencies(n_channels, frequency_range) / ENVELOPE_RATE)
    bandwidth = w / Q
    a0 = 1 + bandwidth + w**2
    return bandwidth / a0, (2 * w**2 - 2) / a0, (1 - bandwidth + w**2) / a0


@lru_cache
def _window(dtype):
    """The non-zero part of the analysis window and where it begins in the frame."""
    from gammatone.fftweight import specgram_window

    window = specgram_window(FRAME, WINDOW)
    inside = np.flatnonzero(window)
    return window[inside[0] : inside[-1] + 1].astype(dtype), inside[0]


@lru_cache
def _gammatone_weights(n_channels, low_hz, dtype):
    """`(FRAME // 2 + 1, n_channels)`: twice the spectrum's magnitude to the channels' envelopes."""
    from gammatone.fftweight import fft_weights

    weights, _ = fft_weights(FRAME, RATE, n_channels, 1, low_hz, RATE / 2, FRAME // 2 + 1)
    return np.ascontiguousarray(weights.T / (2 * FRAME), dtype)


@lru_cache
def _roots(dtype):
    return roots_of_unity(FRAME, dtype)


@lru_cache
def _energy_weights(n_frames):
    """`(n_frames,)`: how much the square of each envelope sample adds to the mean frame energy."""
    squared = (0.54 - 0.46 * np.cos(2 * np.pi * np.arange(ENERGY_FRAME) / ENERGY_FRAME)) ** 2
    starts = range(0, n_frames - ENERGY_FRAME + 1, ENERGY_HOP)
    weights = np.zeros(n_frames)
    for start in starts:
        weights[start : start + ENERGY_FRAME] += squared
    return weights / len(starts)


@njit(cache=True, nogil=True)
def _magnitudes(samples, n_frames, window, x_re, x_im, y_re, y_im, root_re, root_im, out):
    """Magnitudes, times 2, of the spectra of windowed frames: the columns of `out`, (n_blocks, n_bins, n_columns).

    The frames are transformed with zeros behind the window instead of around it, which changes the
    phase only, and two at a time as a + ib: twice a's spectrum is Z[k] + conj(Z[-k]), twice b's, up
    to its phase, Z[k] - conj(Z[-k]).
    """
    n = root_re.size
    n_columns = x_re.size // n
    for block in range(len(out)):
        first = 2 * n_columns * block
        for column in range(2 * n_columns):
            x = x_re[column:] if column < n_columns else x_im[column - n_columns :]
            if first + column < n_frames:
                frame = samples[HOP * (first + column) :]
                for i in range(window.size):
                    x[i * n_columns] = window[i] * frame[i]
            else:
                for i in range(window.size):
                    x[i * n_columns] = 0
        z_re, z_im = fft_columns(x_re, x_im, y_re, y_im, root_re, root_im, window.size)
        for k in range(n // 2 + 1):
            at, mirrored = k * n_columns, (n - k) % n * n_columns
            p_re, p_im = z_re[at : at + n_columns], z_im[at : at + n_columns]
            m_re, m_im = z_re[mirrored : mirrored + n_columns], z_im[mirrored : mirrored + n_columns]
            a, b = out[block, k, :n_columns], out[block, k, n_columns:]
            for q in range(n_columns):
                re, im = p_re[q] + m_re[q], p_im[q] - m_im[q]
                a[q] = np.sqrt(re * re + im * im)
            for q in range(n_columns):
                re, im = p_re[q] - m_re[q], p_im[q] + m_im[q]
                b[q] = np.sqrt(re * re + im * im)


@njit(cache=True, nogil=True)
def _filtered_energy(envelopes, b, a1, a2, weights):
    """All modulation filters over all envelopes in one pass, `(n_acoustic, n_modulation)`."""
    n_frames, n_acoustic = envelopes.shape
    n_modulation = b.size
    last, before = np.zeros((n_modulation, n_acoustic)), np.zeros((n_modulation, n_acoustic))  # outputs
    energy = np.zeros((n_modulation, n_acoustic))
    difference = np.empty(n_acoustic)
    for t in range(n_frames):
        for j in range(n_acoustic):
            difference[j] = envelopes[t, j]
        if t >= 2:
            for j in range(n_acoustic):
                difference[j] -= envelopes[t - 2, j]
        weight = weights[t]
        for k in range(n_modulation):
            for j in range(n_acoustic):
                y = b[k] * difference[j] - a1[k] * last[k, j] - a2[k] * before[k, j]
                before[k, j] = last[k, j]
                last[k, j] = y
                energy[k, j] += weight * y * y
    return energy.T.copy()
