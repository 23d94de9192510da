"""Work arrays that are kept between calls.

The system hands out large arrays as empty pages and fills each in at its first touch; on a clip of
ten seconds that costs as much as the arithmetic. What is kept here was touched once.
"""

import math
import threading

import numpy as np

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
        arrays[key] = np.empty(size, dtype)
    return arrays[key][:size].reshape(shape)
