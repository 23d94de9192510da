"""Nearest neighbours of many vectors among themselves, in blocks.

Every pair is measured once, in tiles that stay in cache; memory beyond the vectors is two numbers a
vector and thread, however many vectors there are.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from asd.lanes import LANES, absolute, load, spread, total

TILE = 64  # vectors: 480 float64 components each stay in the second cache
ABREAST = 4  # vectors that each of a tile is measured against at once: they stay in the first


def nearest_neighbours(X, *, n_jobs=1):
    """Index of each row's nearest other row in L1, the first one of equals.

    Parameters
    ----------
    X : (n, n_features) float64 array, n >= 2
    n_jobs : int
        Threads; the result is the same for any number.

    Returns
    -------
    (n,) int array
    """
    X = np.ascontiguousarray(X, np.float64)
    n_jobs = max(1, min(n_jobs, len(X) // (8 * TILE)))
    if n_jobs == 1:
        return _nearest_of_tiles(X, 0, 1)[1]
    with ThreadPoolExecutor(n_jobs) as threads:
        found = list(threads.map(lambda first: _nearest_of_tiles(X, first, n_jobs), range(n_jobs)))
    distance, neighbour = found[0]
    for other, index in found[1:]:
        nearer = (other < distance) | ((other == distance) & (index < neighbour))
        distance[nearer], neighbour[nearer] = other[nearer], index[nearer]
    return neighbour


@njit(cache=True, nogil=True)
def _nearest_of_tiles(X, first, step):
    """Distances to and indices of the nearest among the pairs whose lower row is in tile `first`, + `step`, ...

    Both rows of a pair take note of it. Every row meets others in ascending order, so "<" keeps the
    first of equals.
    """
    n, width = X.shape
    whole = width - width % LANES
    distance, neighbour = np.full(n, np.inf), np.zeros(n, np.int64)
    d = np.empty(ABREAST)
    zero = spread(0.0)
    for tile in range(first * TILE, n, step * TILE):
        for j in range(tile - tile % ABREAST, n, ABREAST):
            # Rows beyond the last one are the last one again.
            j1, j2, j3 = min(j + 1, n - 1), min(j + 2, n - 1), min(j + 3, n - 1)
            for i in range(tile, min(tile + TILE, j + ABREAST - 1, n)):
                s0, s1, s2, s3 = zero, zero, zero, zero
                for c in range(0, whole, LANES):
                    x = load(X, i * width + c)
                    s0 = s0 + absolute(x - load(X, j * width + c))
                    s1 = s1 + absolute(x - load(X, j1 * width + c))
                    s2 = s2 + absolute(x - load(X, j2 * width + c))
                    s3 = s3 + absolute(x - load(X, j3 * width + c))
                d[0], d[1], d[2], d[3] = total(s0), total(s1), total(s2), total(s3)
                for c in range(whole, width):
                    d[0] += abs(X[i, c] - X[j, c])
                    d[1] += abs(X[i, c] - X[j1, c])
                    d[2] += abs(X[i, c] - X[j2, c])
                    d[3] += abs(X[i, c] - X[j3, c])
                for q in range(max(0, i + 1 - j), min(ABREAST, n - j)):
                    if d[q] < distance[i]:
                        distance[i], neighbour[i] = d[q], j + q
                    if d[q] < distance[j + q]:
                        distance[j + q], neighbour[j + q] = d[q], i
    return distance, neighbour
