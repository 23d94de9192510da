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
from asd.fft import ROW, last_pass_8, pass_8, roots_of_unity, store_turned, to_columns
from asd.lanes import LANES, doubled, load, spread, square_root, store

RATE = 16000  # Hz
FRAME = 512  # samples a gammatonegram frame
WINDOW = 160  # samples: the 10 ms Hann window in the middle of the frame
HOP = 40  # samples: 2.5 ms
WINDOW_ROWS = 3 * FRAME // 8  # the window and zeros, in three of the eight rows that a first pass reads
GROUP = 512  # frames between two matrix products: half a megabyte of magnitudes, which stays in cache
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
    return np.ascontiguousarray(_gammatonegram(np.asarray(samples), n_channels, low_hz)[:, :n_channels])


def _gammatonegram(samples, n_channels, low_hz):
    """The same with channels of zeros behind, up to a multiple of LANES; a work array."""
    if samples.size < FRAME:
        raise ValueError(f"{samples.size} samples are fewer than one frame of {FRAME}")
    dtype = samples.dtype
    window, first = _window(dtype)
    weights = _gammatone_weights(n_channels, low_hz, dtype)
    n_frames = 1 + (samples.size - FRAME) // HOP
    n_groups = -(-n_frames // GROUP)
    columns = scratch.empty("columns", (HOP, n_groups * GROUP + len(window) // HOP), dtype)
    to_columns(samples[first:], columns)
    work = [scratch.empty(name, (FRAME * ROW,), dtype) for name in ("x", "y")]
    magnitude = scratch.empty("magnitude", (FRAME // 2 + 1, GROUP + ROW), dtype)
    envelopes = scratch.empty("envelopes", (n_groups * GROUP, weights.shape[1]), dtype)
    for start in range(0, len(envelopes), GROUP):
        _magnitudes(columns, start, window, *work, *_roots(dtype), magnitude)
        np.matmul(magnitude[:, :GROUP].T, weights, out=envelopes[start : start + GROUP])
    if (samples.size - FRAME) % HOP == 0:
        envelopes[n_frames - 1] = 0
    return envelopes[:n_frames]


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
    envelopes = _gammatonegram(samples, n_acoustic, low_hz)
    b, a1, a2 = modulation_filters(n_modulation, modulation_range)
    energy = np.empty((n_modulation, envelopes.shape[1]))
    _filtered_energy(envelopes, a1, a2, _energy_weights(len(envelopes)), energy)
    return (b[:, None] ** 2 * energy[:, :n_acoustic]).T.copy()


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
    """The non-zero part of the analysis window, zeros behind up to WINDOW_ROWS, and where it begins in the frame."""
    from gammatone.fftweight import specgram_window

    window = specgram_window(FRAME, WINDOW)
    inside = np.flatnonzero(window)
    window = window[inside[0] : inside[-1] + 1]
    return np.pad(window, (0, WINDOW_ROWS - len(window))).astype(dtype), inside[0]


@lru_cache
def _gammatone_weights(n_channels, low_hz, dtype):
    """Twice the spectrum's magnitude to the channels' envelopes, `(FRAME // 2 + 1, n_channels)`, and zero columns."""
    from gammatone.fftweight import fft_weights

    weights, _ = fft_weights(FRAME, RATE, n_channels, 1, low_hz, RATE / 2, FRAME // 2 + 1)
    return np.pad(weights.T / (2 * FRAME), ((0, 0), (0, -n_channels % LANES))).astype(dtype, order="C")


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
def _magnitudes(columns, start, window, x, y, root_re, root_im, out):
    """Magnitudes, times 2, of the spectra of windowed frames from `start` on: the columns of `out`.

    The frames are transformed with zeros behind the window instead of around it, which changes the
    phase only, and two at a time as a + ib: twice a's spectrum is Z[k] + conj(Z[-k]), twice b's, up
    to its phase, Z[k] - conj(Z[-k]). `out` is (n_bins, GROUP or more); its rows should not be a power
    of 2 apart, or a cache finds place for few of them.
    """
    n, n_columns = root_re.size, out.shape[1]
    for first in range(0, GROUP, 2 * LANES):
        _first_pass(columns, start + first, window, x, root_re, root_im)
        pass_8(x, y, root_re, root_im, n // 8)
        last_pass_8(y, x, 0, root_re)
        for k in range(n // 2 + 1):
            at, mirrored = k * ROW, (n - k) % n * ROW
            p_re, p_im, m_re, m_im = load(x, at), load(x, at + LANES), load(x, mirrored), load(x, mirrored + LANES)
            re, im = p_re + m_re, p_im - m_im
            store(out, k * n_columns + first, square_root(re * re + im * im))
            re, im = p_re - m_re, p_im + m_im
            store(out, k * n_columns + first + LANES, square_root(re * re + im * im))


@njit(cache=True, nogil=True)
def _first_pass(columns, start, window, y, root_re, root_im):
    """Window frames from `start` on, LANES as real and as many as imaginary parts, and the pass of radix 8 over them.

    Of the eight rows p, p + n/8, ... of a butterfly, those from the fourth on are zero.
    """
    n, n_hops = root_re.size, columns.shape[1]
    eighth, half = n // 8, root_re[n // 8]
    for p in range(eighth):
        at = p % HOP * n_hops + p // HOP + start
        x0, i0 = window[p] * load(columns, at), window[p] * load(columns, at + LANES)
        i = p + eighth
        at = i % HOP * n_hops + i // HOP + start
        x1, i1 = window[i] * load(columns, at), window[i] * load(columns, at + LANES)
        i = p + 2 * eighth
        at = i % HOP * n_hops + i // HOP + start
        x2, i2 = window[i] * load(columns, at), window[i] * load(columns, at + LANES)
        t, ti = half * (x1 + i1), half * (i1 - x1)  # row 1 turned by an eighth; by three, -ti and t change places
        sum_re, sum_im, even_re, even_im = x0 + x2, i0 + i2, x0 - x2, i0 - i2
        less_re, less_im, more_re, more_im = x0 + i2, i0 - x2, x0 - i2, i0 + x2  # row 0 -+ 1j row 2
        at = 8 * ROW * p
        store(y, at, sum_re + x1)
        store(y, at + LANES, sum_im + i1)
        store_turned(y, at + ROW, less_re + t, less_im + ti, root_re[p], root_im[p])
        store_turned(y, at + 2 * ROW, even_re + i1, even_im - x1, root_re[2 * p], root_im[2 * p])
        store_turned(y, at + 3 * ROW, more_re + ti, more_im - t, root_re[3 * p], root_im[3 * p])
        store_turned(y, at + 4 * ROW, sum_re - x1, sum_im - i1, root_re[4 * p], root_im[4 * p])
        store_turned(y, at + 5 * ROW, less_re - t, less_im - ti, root_re[5 * p], root_im[5 * p])
        store_turned(y, at + 6 * ROW, even_re - i1, even_im + x1, root_re[6 * p], root_im[6 * p])
        store_turned(y, at + 7 * ROW, more_re - ti, more_im + t, root_re[7 * p], root_im[7 * p])


@njit(cache=True, nogil=True)
def _filtered_energy(envelopes, a1, a2, weights, energy):
    """Weighted energy of `y[t] = x[t] - x[t-2] - a1 y[t-1] - a2 y[t-2]` per filter and channel, into `energy`.

    Four filters run side by side, each on LANES channels: what they remember stays in registers.
    """
    n_frames, n_channels = envelopes.shape
    zero = spread(0.0)
    for j in range(0, n_channels, LANES):
        for k in range(0, len(a1), 4):
            # Filters beyond the last one are the last one again.
            k0, k1, k2, k3 = k, min(k + 1, len(a1) - 1), min(k + 2, len(a1) - 1), min(k + 3, len(a1) - 1)
            x1, x2 = zero, zero
            y1_0, y2_0, sum_0 = zero, zero, zero
            y1_1, y2_1, sum_1 = zero, zero, zero
            y1_2, y2_2, sum_2 = zero, zero, zero
            y1_3, y2_3, sum_3 = zero, zero, zero
            for t in range(n_frames):
                x = doubled(load(envelopes, t * n_channels + j))
                difference = x - x2
                x2, x1 = x1, x
                y = difference - a2[k0] * y2_0 - a1[k0] * y1_0
                y2_0, y1_0, sum_0 = y1_0, y, sum_0 + weights[t] * (y * y)
                y = difference - a2[k1] * y2_1 - a1[k1] * y1_1
                y2_1, y1_1, sum_1 = y1_1, y, sum_1 + weights[t] * (y * y)
                y = difference - a2[k2] * y2_2 - a1[k2] * y1_2
                y2_2, y1_2, sum_2 = y1_2, y, sum_2 + weights[t] * (y * y)
                y = difference - a2[k3] * y2_3 - a1[k3] * y1_3
                y2_3, y1_3, sum_3 = y1_3, y, sum_3 + weights[t] * (y * y)
            store(energy, k0 * n_channels + j, sum_0)
            store(energy, k1 * n_channels + j, sum_1)
            store(energy, k2 * n_channels + j, sum_2)
            store(energy, k3 * n_channels + j, sum_3)
