"""Fourier transforms of eight columns at once.

A library transforms one row after the other. Here the batch runs along the columns, so that every
operation of a butterfly is one vector operation over them, and whoever makes the rows (a window, zeros
behind a short frame) or takes them (magnitudes, overlap-add) does so in the first or last pass.

A transform is a chain of passes [1]_, each from one pair of arrays into another: rows n / radix apart
become neighbours, turned by roots of unity. The array is flat, of rows of ROW numbers: LANES real
parts, then as many imaginary ones, in float32 one line of the cache. The radices' product is n, and
any order serves: `pass_8` at lengths n, n / 8, ...

References
----------
.. [1] Stockham's self-sorting algorithm: C. Van Loan, "Computational Frameworks for the Fast Fourier
       Transform", SIAM, 1992, section 1.7.
"""

import numpy as np
from numba import njit

from asd.lanes import LANES, load, store

ROW = 2 * LANES


def roots_of_unity(n, dtype):
    """Real and imaginary parts of `exp(-2j pi k / n)`, k = 0 ... n - 1: two `(n,)` arrays."""
    angle = 2 * np.pi * np.arange(n) / n
    return np.cos(angle).astype(dtype), -np.sin(angle).astype(dtype)


@njit(cache=True, nogil=True)
def to_columns(samples, columns):
    """Write samples so that `columns[i, h]` is the one at `n_rows * h + i`, zeros behind them.

    Frames a hop of `n_rows` apart are neighbours then: sample i + n_rows * j of LANES frames is at
    `columns[i, first + j]` and what follows.
    """
    n_rows, n_columns = columns.shape
    for h in range(min(n_columns, samples.size // n_rows)):
        of_column = samples[n_rows * h : n_rows * (h + 1)]
        for i in range(n_rows):
            columns[i, h] = of_column[i]
    for h in range(samples.size // n_rows, n_columns):
        for i in range(n_rows):
            at = n_rows * h + i
            columns[i, h] = samples[at] if at < samples.size else 0


@njit(cache=True, nogil=True)
def pass_8(x, y, root_re, root_im, length):
    """A pass of radix 8 over what is still `length` rows long, from `x` into `y`.

    `root` are :func:`roots_of_unity` of the whole transform; the arrays have as many rows.
    """
    n = root_re.size
    width, step = n * ROW // length, n // length
    apart, half = n * ROW // 8, root_re[n // 8]
    for p in range(length // 8):
        k = p * step
        for q in range(0, width, ROW):
            y0, i0, y1, i1, y2, i2, y3, i3, y4, i4, y5, i5, y6, i6, y7, i7 = _butterfly_8(x, width * p + q, apart, half)
            at = 8 * width * p + q
            store(y, at, y0)
            store(y, at + LANES, i0)
            store_turned(y, at + width, y1, i1, root_re[k], root_im[k])
            store_turned(y, at + 2 * width, y2, i2, root_re[2 * k], root_im[2 * k])
            store_turned(y, at + 3 * width, y3, i3, root_re[3 * k], root_im[3 * k])
            store_turned(y, at + 4 * width, y4, i4, root_re[4 * k], root_im[4 * k])
            store_turned(y, at + 5 * width, y5, i5, root_re[5 * k], root_im[5 * k])
            store_turned(y, at + 6 * width, y6, i6, root_re[6 * k], root_im[6 * k])
            store_turned(y, at + 7 * width, y7, i7, root_re[7 * k], root_im[7 * k])


@njit(cache=True, nogil=True)
def last_pass_8(x, y, start, root_re):
    """The pass of radix 8 over the last 8 rows' length, where nothing turns; `y` begins at `start`."""
    n = root_re.size
    width, half = n * ROW // 8, root_re[n // 8]
    for q in range(0, width, ROW):
        y0, i0, y1, i1, y2, i2, y3, i3, y4, i4, y5, i5, y6, i6, y7, i7 = _butterfly_8(x, q, width, half)
        at = start + q
        store(y, at, y0)
        store(y, at + LANES, i0)
        store(y, at + width, y1)
        store(y, at + width + LANES, i1)
        store(y, at + 2 * width, y2)
        store(y, at + 2 * width + LANES, i2)
        store(y, at + 3 * width, y3)
        store(y, at + 3 * width + LANES, i3)
        store(y, at + 4 * width, y4)
        store(y, at + 4 * width + LANES, i4)
        store(y, at + 5 * width, y5)
        store(y, at + 5 * width + LANES, i5)
        store(y, at + 6 * width, y6)
        store(y, at + 6 * width + LANES, i6)
        store(y, at + 7 * width, y7)
        store(y, at + 7 * width + LANES, i7)


@njit(nogil=True, inline="always")
def store_turned(y, at, re, im, root_re, root_im):
    """Store complex lanes times a root of unity."""
    store(y, at, root_re * re - root_im * im)
    store(y, at + LANES, root_re * im + root_im * re)


@njit(nogil=True, inline="always")
def butterfly_4(a_re, a_im, b_re, b_im, c_re, c_im, d_re, d_im):
    """Fourier transform of four complex lanes, as eight real ones."""
    sum_re, sum_im, other_re, other_im = a_re + c_re, a_im + c_im, b_re + d_re, b_im + d_im
    re, im, turned_re, turned_im = a_re - c_re, a_im - c_im, b_im - d_im, d_re - b_re  # -1j (b - d)
    return (
        sum_re + other_re,
        sum_im + other_im,
        re + turned_re,
        im + turned_im,
        sum_re - other_re,
        sum_im - other_im,
        re - turned_re,
        im - turned_im,
    )


@njit(nogil=True, inline="always")
def _butterfly_8(x, at, apart, half):
    """Fourier transform of eight complex lanes `apart` in an array, as 16 real ones; `half` is sqrt(1/2)."""
    x0, i0, x4, i4 = load(x, at), load(x, at + LANES), load(x, at + 4 * apart), load(x, at + 4 * apart + LANES)
    s0, si0, d0, di0 = x0 + x4, i0 + i4, x0 - x4, i0 - i4
    x2, i2 = load(x, at + 2 * apart), load(x, at + 2 * apart + LANES)
    x6, i6 = load(x, at + 6 * apart), load(x, at + 6 * apart + LANES)
    s2, si2, d2, di2 = x2 + x6, i2 + i6, x2 - x6, i2 - i6
    x1, i1 = load(x, at + apart), load(x, at + apart + LANES)
    x5, i5 = load(x, at + 5 * apart), load(x, at + 5 * apart + LANES)
    s1, si1, d1, di1 = x1 + x5, i1 + i5, x1 - x5, i1 - i5
    x3, i3 = load(x, at + 3 * apart), load(x, at + 3 * apart + LANES)
    x7, i7 = load(x, at + 7 * apart), load(x, at + 7 * apart + LANES)
    s3, si3, d3, di3 = x3 + x7, i3 + i7, x3 - x7, i3 - i7
    # Even rows: the transform of the four sums. Odd ones: that of the differences, turned by
    # 1, (1 - 1j) half, -1j and -(1 + 1j) half.
    e0, ei0, e1, ei1, e2, ei2, e3, ei3 = butterfly_4(s0, si0, s1, si1, s2, si2, s3, si3)
    t1, ti1 = half * (d1 + di1), half * (di1 - d1)
    t3, ti3 = half * (di3 - d3), half * (di3 + d3)  # ti3 with the other sign
    a, ai, b, bi = d0 + di2, di0 - d2, t1 + t3, ti1 - ti3
    c, ci, d, di = d0 - di2, di0 + d2, ti1 + ti3, t3 - t1
    return e0, ei0, a + b, ai + bi, e1, ei1, c + d, ci + di, e2, ei2, a - b, ai - bi, e3, ei3, c - d, ci - di
