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
from asd.fft import ROW, butterfly_4, last_pass_8, pass_8, roots_of_unity, store_turned, to_columns
from asd.lanes import LANES, larger, load, shift_1, shift_2, shift_3, spread, store, store_less

FRAME = 2048  # samples
HOP = 512  # samples
STD_FACTOR = 1.5  # threshold = mean + STD_FACTOR * std of the noise's level, dB
DYNAMIC_RANGE = 80.0  # dB below a spectrogram's maximum where its levels are clipped
N_BINS = FRAME // 2 + 1
BLOCK = 2 * LANES  # frames a transform, two a lane
SILENCE = 1e-40  # power at which a level is clipped (amplitude 1e-20)

# Integer triangles and their sums; the mask is smoothed twice with their outer product.
FREQUENCY_TRIANGLE = np.array([1, 2, 3, 2, 1])  # bins
TIME_TRIANGLE = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1])  # frames
EDGE = FREQUENCY_TRIANGLE.size // 2
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
    _require(noise.size)
    padded = np.pad(np.asarray(noise, np.float64), FRAME // 2, mode="reflect")
    frames = sliding_window_view(padded, FRAME)[::HOP]
    power = np.abs(scipy.fft.rfft(frames * _window(frames.dtype), axis=1)) ** 2
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
    dtype, n_samples = samples.dtype, samples.size
    _require(n_samples + HOP)
    n_frames = 1 + (n_samples + HOP) // HOP
    n_blocks = -(-n_frames // BLOCK)
    columns = scratch.empty("columns", (HOP, n_blocks * BLOCK + ROW), dtype)
    _padded_columns(samples, n_samples + HOP, columns)
    spectrum = scratch.empty("spectrum", (n_blocks * FRAME * ROW,), dtype)
    mask, once = (scratch.empty(name, (N_BINS + 2 * EDGE, n_blocks * BLOCK), np.uint16) for name in ("mask", "once"))
    gain = scratch.empty("gain", (N_BINS, n_blocks * BLOCK), dtype)
    work = [scratch.empty(name, (FRAME * ROW,), dtype) for name in ("x", "y")]
    loudest = _spectrum(columns, n_frames, _window(dtype), threshold, *work, *_roots(dtype), spectrum, mask)
    # A level clipped to the floor lies below no threshold but one above the floor.
    floor = max(SILENCE, loudest * 10 ** (-DYNAMIC_RANGE / 10))
    _smooth(mask, once, threshold > floor, n_frames, gain)
    columns[:, :LANES] = 0
    _signal(spectrum, gain, _window(dtype) / FRAME, *work, *_roots(dtype), columns)
    gated = np.empty(n_samples, dtype)
    _from_columns(columns, _overlapped_windows(n_frames, dtype), gated)
    return gated


@lru_cache
def _window(dtype):
    """Periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(dtype)


@lru_cache
def _roots(dtype):
    return roots_of_unity(FRAME, dtype)


def _require(n):
    if n <= FRAME // 2:
        raise ValueError(f"{n} samples are too few for frames of {FRAME} samples with reflected edges")


@lru_cache
def _overlapped_windows(n_frames, dtype):
    """The inverse of the sum of the squared windows of `n_frames` frames, over the samples between the edges."""
    total = np.zeros(HOP * (n_frames - 1) + FRAME)
    for t in range(n_frames):
        total[t * HOP : t * HOP + FRAME] += _window(np.dtype(float)) ** 2
    return (1 / total[FRAME // 2 : -FRAME // 2]).astype(dtype)


@njit(cache=True, nogil=True)
def _padded_columns(samples, n, columns):
    """Columns (see :func:`asd.fft.to_columns`) of samples, zeros behind them up to n, and reflected edges."""
    edge = FRAME // 2
    to_columns(samples, columns[:, edge // HOP :])
    for h in range(columns.shape[1]):
        if h * HOP < edge or (h + 1) * HOP > edge + n:
            for i in range(HOP):
                at = abs(HOP * h + i - edge)
                if at >= n:
                    at = 2 * (n - 1) - at
                columns[i, h] = samples[at] if 0 <= at < samples.size else 0


@njit(cache=True, nogil=True)
def _spectrum(columns, n_frames, window, threshold, x, y, root_re, root_im, out, mask):
    """Spectra of the frames in `columns`, two frames a transform; which bins lie below the threshold.

    Block b of `out`, `(FRAME, ROW)`, holds the transform Z of a + ib, a being frames 2 LANES b and
    the following, b those LANES further on: twice a's spectrum is Z[k] + conj(Z[-k]), twice b's, up to
    its phase, Z[k] - conj(Z[-k]). `mask`, a row a bin behind EDGE others,
    becomes 0 or 1.

    Returns
    -------
    float
        The largest power of any bin and frame.
    """
    n, n_bins, n_columns = FRAME, threshold.size, mask.shape[1]
    as_float = columns.dtype.type
    zero = spread(as_float(0))
    loudest, loudest_of_last = zero, np.zeros(2 * LANES, columns.dtype)
    for block in range(n_columns // BLOCK):
        first, start = block * BLOCK, block * n * ROW
        _first_pass(columns, first, window, x, root_re, root_im)
        pass_8(x, y, root_re, root_im, n // 4)
        pass_8(y, x, root_re, root_im, n // 32)
        last_pass_8(x, out, start, root_re)
        loudest_a, loudest_b = zero, zero
        for k in range(n_bins):
            at, mirrored = start + k * ROW, start + (n - k) % n * ROW
            p_re, p_im = load(out, at), load(out, at + LANES)
            m_re, m_im = load(out, mirrored), load(out, mirrored + LANES)
            limit = spread(as_float(4 * threshold[k]))
            re, im = p_re + m_re, p_im - m_im
            power = re * re + im * im
            loudest_a = larger(power, loudest_a)
            store_less(mask, (k + EDGE) * n_columns + first, power, limit)
            re, im = p_re - m_re, p_im + m_im
            power = re * re + im * im
            loudest_b = larger(power, loudest_b)
            store_less(mask, (k + EDGE) * n_columns + first + LANES, power, limit)
        if first + BLOCK <= n_frames:
            loudest = larger(loudest, larger(loudest_a, loudest_b))
        else:  # not all of its frames are there
            store(loudest_of_last, 0, loudest_a)
            store(loudest_of_last, LANES, loudest_b)
            loudest_of_last[n_frames - first :] = 0
    of_all = np.zeros(LANES, columns.dtype)
    store(of_all, 0, loudest)
    return max(of_all.max(), loudest_of_last.max()) / 4


@njit(cache=True, nogil=True)
def _first_pass(columns, start, window, y, root_re, root_im):
    """Window frames from `start` on, LANES as real and as many as imaginary parts, and the pass of radix 4 over them.

    Rows p, p + HOP, ... of a butterfly are neighbours in `columns`.
    """
    n_columns = columns.shape[1]
    for p in range(HOP):
        w0, w1, w2, w3 = window[p], window[p + HOP], window[p + 2 * HOP], window[p + 3 * HOP]
        at = p * n_columns + start
        y0, i0, y1, i1, y2, i2, y3, i3 = butterfly_4(
            w0 * load(columns, at),
            w0 * load(columns, at + LANES),
            w1 * load(columns, at + 1),
            w1 * load(columns, at + LANES + 1),
            w2 * load(columns, at + 2),
            w2 * load(columns, at + LANES + 2),
            w3 * load(columns, at + 3),
            w3 * load(columns, at + LANES + 3),
        )
        at = 4 * ROW * p
        store(y, at, y0)
        store(y, at + LANES, i0)
        store_turned(y, at + ROW, y1, i1, root_re[p], root_im[p])
        store_turned(y, at + 2 * ROW, y2, i2, root_re[2 * p], root_im[2 * p])
        store_turned(y, at + 3 * ROW, y3, i3, root_re[3 * p], root_im[3 * p])


@njit(cache=True, nogil=True)
def _smooth(mask, once, counts, n_frames, gain):
    """One minus the noise mask, smoothed twice with both triangles, into `gain`; zero for frames that are not there.

    Bins where `counts` is false have no noise. Each smoothing is of "same" size: `mask` and `once` have
    EDGE rows of zeros on either side. It runs on integers, so it is exact in any order; along the
    frames a triangle is a box of 5 twice. MASK_SCALE is 50625.
    """
    n_bins, n_columns = gain.shape
    for k in range(EDGE):
        for rows in (mask, once):
            rows[k] = 0
            rows[n_bins + EDGE + k] = 0
    for k in range(n_bins):
        if not counts[k]:
            mask[k + EDGE] = 0
    for k in range(n_bins):
        _triangle(mask, k, once[k + EDGE])
    margin = 8  # two boxes of 5 reach 4 to either side, twice
    line = np.zeros(n_columns + 2 * margin, np.uint16)
    sums = np.zeros(n_columns + 2 * margin, np.uint16)
    one = gain.dtype.type(1)
    scale = gain.dtype.type(1 / MASK_SCALE)
    for k in range(n_bins):
        _triangle(once, k, line[margin : margin + n_columns])
        for _ in range(2):
            line[margin + n_frames :] = 0
            _box(line, sums[: line.size - 4])
            _box(sums, line[4 : line.size - 4])
            line[:margin] = 0
        row, smoothed = gain[k], line[margin : margin + n_columns]
        for t in range(n_columns):
            row[t] = one - scale * gain.dtype.type(smoothed[t])
        row[n_frames:] = 0


@njit(cache=True, nogil=True)
def _triangle(rows, k, out):
    """The five rows from k on, weighted with FREQUENCY_TRIANGLE."""
    a, b, c, d, e = rows[k], rows[k + 1], rows[k + 2], rows[k + 3], rows[k + 4]
    for t in range(out.size):
        out[t] = a[t] + 2 * b[t] + 3 * c[t] + 2 * d[t] + e[t]


@njit(cache=True, nogil=True)
def _box(x, out):
    """Sums of five neighbours."""
    n = out.size
    a, b, c, d, e = x[:n], x[1 : n + 1], x[2 : n + 2], x[3 : n + 3], x[4 : n + 4]
    for t in range(n):
        out[t] = a[t] + b[t] + c[t] + d[t] + e[t]


@njit(cache=True, nogil=True)
def _signal(z, gain, window, x, y, root_re, root_im, columns):
    """Add the windowed frames of a spectrum from :func:`_spectrum`, times a gain, to `columns`.

    With p = (gain of a + gain of b) / 2 and m = (gain of a - gain of b) / 2, a + ib has the spectrum
    p Z[k] + m conj(Z[-k]). The inverse transform is the transform with real and imaginary parts exchanged.
    """
    n, n_bins, n_columns = FRAME, gain.shape[0], gain.shape[1]
    half = gain.dtype.type(0.5)
    for block in range(n_columns // BLOCK):
        first, start = block * BLOCK, block * n * ROW
        for k in range(n_bins):
            of_a, of_b = load(gain, k * n_columns + first), load(gain, k * n_columns + first + LANES)
            p, m = half * (of_a + of_b), half * (of_a - of_b)
            at, mirrored = k * ROW, (n - k) % n * ROW
            re, im = load(z, start + at), load(z, start + at + LANES)
            other_re, other_im = load(z, start + mirrored), load(z, start + mirrored + LANES)
            store(x, mirrored, p * other_im - m * im)
            store(x, mirrored + LANES, p * other_re + m * re)
            store(x, at, p * im - m * other_im)
            store(x, at + LANES, p * re + m * other_re)
        pass_8(x, y, root_re, root_im, n)
        pass_8(y, x, root_re, root_im, n // 8)
        pass_8(x, y, root_re, root_im, n // 64)
        _last_pass(y, window, columns, first)


@njit(cache=True, nogil=True)
def _last_pass(x, window, columns, start):
    """The pass of radix 4 over the last 4 rows' length, windowed and added to the columns from `start` on.

    Real and imaginary parts are exchanged. Rows p, p + HOP, ... of the result are neighbours in `columns`, where
    the first LANES hold what the block before left.
    """
    n_columns, apart = columns.shape[1], HOP * ROW
    zero = spread(window.dtype.type(0))
    for p in range(HOP):
        at = p * ROW
        b0, a0, b1, a1, b2, a2, b3, a3 = butterfly_4(
            load(x, at),
            load(x, at + LANES),
            load(x, at + apart),
            load(x, at + apart + LANES),
            load(x, at + 2 * apart),
            load(x, at + 2 * apart + LANES),
            load(x, at + 3 * apart),
            load(x, at + 3 * apart + LANES),
        )
        w0, w1, w2, w3 = window[p], window[p + HOP], window[p + 2 * HOP], window[p + 3 * HOP]
        a0, a1, a2, a3 = w0 * a0, w1 * a1, w2 * a2, w3 * a3
        b0, b1, b2, b3 = w0 * b0, w1 * b1, w2 * b2, w3 * b3
        of_a = a0 + shift_1(zero, a1) + shift_2(zero, a2) + shift_3(zero, a3)
        of_b = b0 + shift_1(a1, b1) + shift_2(a2, b2) + shift_3(a3, b3)
        behind = shift_1(b1, zero) + shift_2(b2, zero) + shift_3(b3, zero)
        at = p * n_columns + start
        store(columns, at, load(columns, at) + of_a)
        store(columns, at + LANES, of_b)
        store(columns, at + 2 * LANES, behind)


@njit(cache=True, nogil=True)
def _from_columns(columns, factor, out):
    """The samples behind the first edge of what :func:`asd.fft.to_columns` writes, times a factor."""
    first = FRAME // 2 // HOP
    for tile in range(0, out.size, HOP * LANES):
        if tile + HOP * LANES <= out.size:
            for i in range(HOP):
                for h in range(LANES):
                    at = tile + HOP * h + i
                    out[at] = columns[i, first + tile // HOP + h] * factor[at]
        else:
            for at in range(tile, out.size):
                out[at] = columns[at % HOP, first + at // HOP] * factor[at]
