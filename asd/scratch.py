"""Work arrays that are kept between calls.

The system hands out large arrays as empty pages and fills each in at its first touch; on a clip of
ten seconds that costs as much as the arithmetic. What is kept here was touched once.
"""

import math
import threading

import numpy as np

LINE = 64  # bytes: arrays begin where a line of the cache does, so that vectors lie in one line
_kept = threading.local()


def empty(name, shape, dtype):
    """An uninitialised array, at every call of a thread in the same memory under the same name.

    Parameters
    ----------
    name : str
        Whose array it is; two arrays in use at the same time need two names.
    shape : tuple of int
    dtype : dtype

    Returns
    -------
    array of that shape and dtype
        Valid until the thread asks for that name and dtype again.
    """
    arrays = _kept.__dict__
    key, size = f"{name} {np.dtype(dtype)}", math.prod(shape)
    if key not in arrays or arrays[key].size < size:
        n_bytes = size * np.dtype(dtype).itemsize
        memory = np.empty(n_bytes + LINE, np.uint8)
        first = -memory.ctypes.data % LINE
        arrays[key] = memory[first : first + n_bytes].view(dtype)
    return arrays[key][:size].reshape(shape)
