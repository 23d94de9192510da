"""The passes, chained, are the discrete Fourier transform of the columns."""

import numpy as np
import pytest
from numba import njit

from asd.fft import butterfly_4, last_pass_8, pass_8, roots_of_unity, to_columns
from asd.lanes import LANES, doubled, larger, load, shift_1, shift_2, shift_3, spread, square_root, store, store_less


@pytest.mark.parametrize("n", [8, 64, 512, 4096])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-5)])
def test_radix_8(rng, n, dtype, tolerance):
    z = rng.standard_normal((n, LANES)) + 1j * rng.standard_normal((n, LANES))
    x = np.concatenate([z.real, z.imag], axis=1, dtype=dtype).ravel()
    y = np.full_like(x, np.nan)
    roots, length = roots_of_unity(n, dtype), n
    while length > 8:
        pass_8(x, y, *roots, length)
        x, y, length = y, x, length // 8
    out = np.full(5 + x.size, np.nan, dtype)
    last_pass_8(x, out, 5, roots[0])
    made = out[5:].reshape(n, 2, LANES)
    np.testing.assert_allclose(made[:, 0] + 1j * made[:, 1], np.fft.fft(z, axis=0), atol=tolerance * n)


def test_radix_4(rng):
    @njit
    def transformed(x, y):
        a, b, c, d = load(x, 0), load(x, 2 * LANES), load(x, 4 * LANES), load(x, 6 * LANES)
        ai, bi, ci, di = load(x, LANES), load(x, 3 * LANES), load(x, 5 * LANES), load(x, 7 * LANES)
        made = butterfly_4(a, ai, b, bi, c, ci, d, di)
        for i in range(8):
            store(y, i * LANES, made[i])

    x = rng.standard_normal((4, 2, LANES))
    y = np.empty_like(x)
    transformed(x, y)
    np.testing.assert_allclose(y[:, 0] + 1j * y[:, 1], np.fft.fft(x[:, 0] + 1j * x[:, 1], axis=0), atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lanes_are_numbers_side_by_side(rng, dtype):
    @njit
    def compute(a, b, factor, out, wide, mask, shifted):
        x, y = load(a, 1), load(b, 2)
        store(out, 0, factor * (x + y) - x * y)
        store(out, LANES, larger(x, y))
        store(out, 2 * LANES, square_root(x * x))
        store(out, 3 * LANES, spread(factor))
        store(wide, 0, doubled(x))
        store_less(mask, 3, x, y)
        store(shifted, 0, shift_1(x, y))
        store(shifted, LANES, shift_2(x, y))
        store(shifted, 2 * LANES, shift_3(x, y))

    a, b = rng.standard_normal((2, 20)).astype(dtype)
    out, wide, mask = np.empty((4, LANES), dtype), np.empty(LANES), np.full(14, 9, np.uint16)
    shifted = np.empty((3, LANES), dtype)
    compute(a, b, a.dtype.type(0.3), out, wide, mask, shifted)
    x, y = a[1:9], b[2:10]
    np.testing.assert_array_equal(out[0], a.dtype.type(0.3) * (x + y) - x * y)
    np.testing.assert_array_equal(out[1:3], [np.maximum(x, y), np.abs(x)])
    assert (out[3] == a.dtype.type(0.3)).all()
    np.testing.assert_array_equal(wide, x)
    for n in (1, 2, 3):
        np.testing.assert_array_equal(shifted[n - 1], [*x[-n:], *y[:-n]])
    assert mask.tolist() == [9] * 3 + (x < y).tolist() + [9] * 3


@pytest.mark.parametrize("n", [0, 1, 39, 40, 41, 400, 401])
def test_samples_are_dealt_into_columns(n):
    samples, columns = np.arange(1.0, n + 1), np.full((40, 11), np.nan)
    to_columns(samples, columns)
    np.testing.assert_array_equal(columns.T.ravel(), np.pad(samples, (0, 440 - n)))
