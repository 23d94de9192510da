"""The transform of columns is the discrete Fourier transform."""

import numpy as np
import pytest

from asd.fft import fft_columns, roots_of_unity


@pytest.mark.parametrize(("n", "n_used"), [(8, 4), (16, 4), (16, 8), (64, 17), (128, 33), (512, 159), (512, 256)])
@pytest.mark.parametrize("n_columns", [1, 5, 32])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-5)])
def test_columns_padded_with_zeros(rng, n, n_used, n_columns, dtype, tolerance):
    z = rng.standard_normal((n, n_columns)) + 1j * rng.standard_normal((n, n_columns))
    x = [part.astype(dtype).ravel() for part in (z.real, z.imag)]  # rows from n_used on hold rubbish
    work = [np.full(n * n_columns, np.nan, dtype) for _ in range(2)]
    re, im = fft_columns(*x, *work, *roots_of_unity(n, dtype), n_used)
    z[n_used:] = 0
    np.testing.assert_allclose((re + 1j * im).reshape(n, n_columns), np.fft.fft(z, axis=0), atol=tolerance * n)
