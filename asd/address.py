"""Data behind a URL (`s3://bucket/dev_data`, `memory://…`), seen through what this project uses of pathlib.

A local path stays a `pathlib.Path`; whatever has `://` becomes an :class:`Address`, which any file
system serves that fsspec [1]_ and its plug-ins know. Nothing is written there.

References
----------
.. [1] https://filesystem-spec.readthedocs.io
"""

import errno
import os
import zlib
from contextlib import contextmanager
from functools import cached_property, total_ordering
from pathlib import Path
from types import SimpleNamespace

from asd.audio import DataError


def place(text):
    """The `Path` or :class:`Address` that a user names.

    Parameters
    ----------
    text : str or Path or Address
    """
    if isinstance(text, Address):
        return text
    return Address(text) if "://" in str(text) else Path(text)


def absolute(path):
    """The same path from any working directory."""
    return path if isinstance(path, Address) else Path(os.path.abspath(path))


@total_ordering
class Address:
    """A file or folder behind a URL.

    Parameters
    ----------
    url : str

    Raises
    ------
    DataError
        At its first use, if no installed file system serves such URLs.
    OSError
        From every method that looks there, if that fails.
    """

    def __init__(self, url):
        self._url = str(url).rstrip("/")
        if self._url.endswith(":"):
            self._url += "//"  # the root

    def __str__(self):
        return self._url

    def __repr__(self):
        return f"Address({self._url!r})"

    def __eq__(self, other):
        return isinstance(other, Address) and self._url == other._url

    def __lt__(self, other):
        return self._url < other._url

    def __hash__(self):
        return hash(self._url)

    def __reduce__(self):  # not the open file system: a worker opens its own
        return Address, (self._url,)

    def __truediv__(self, name):
        return Address(f"{self._url}{'' if self._url.endswith('/') else '/'}{name}")

    @property
    def name(self):
        return self._url.rpartition("/")[2]

    @property
    def parent(self):
        above = self._url.rpartition("/")[0]
        return self if above.endswith("/") else Address(above)

    def is_dir(self):
        with self._told():
            return self._system.isdir(self._path)

    def is_file(self):
        with self._told():
            return self._system.isfile(self._path)

    def exists(self):
        with self._told():
            return self._system.exists(self._path)

    def iterdir(self):
        with self._told():
            self._system.invalidate_cache(self._path)
            names = {entry.rstrip("/").rpartition("/")[2] for entry in self._system.ls(self._path, detail=False)}
        return iter([self / name for name in sorted(names)])

    def read_bytes(self):
        with self._told():
            return self._system.cat_file(self._path)

    def read_text(self, encoding="utf-8"):
        return self.read_bytes().decode(encoding)

    def stat(self):
        """`st_size`, and as `st_mtime_ns` a number that changes with the file as far as its file system tells."""
        with self._told():
            size, key = self._system.info(self._path)["size"], self._system.ukey(self._path)
        return SimpleNamespace(st_size=size, st_mtime_ns=zlib.crc32(str(key).encode()))

    @cached_property
    def _opened(self):
        try:
            from fsspec.core import url_to_fs

            return url_to_fs(self._url)
        except ImportError as error:
            needs = 'pip install -e ".[dask]"' if error.name == "fsspec" else str(error).rstrip(".")
            raise DataError(f"{self._url}: this address needs a package that is not installed: {needs}") from None
        except ValueError as error:
            raise DataError(f"{self._url}: not an address that can be read ({error})") from None

    @property
    def _system(self):
        return self._opened[0]

    @property
    def _path(self):
        return self._opened[1]

    @contextmanager
    def _told(self):
        """Errors of the file system's own are OSErrors that name the address."""
        try:
            yield
        except DataError:
            raise
        except OSError as error:
            raise type(error)(error.errno or errno.EIO, error.strerror or str(error), self._url) from None
        except Exception as error:  # of the network, of a service: every plug-in has its own
            raise OSError(errno.EIO, f"{type(error).__name__}: {error}", self._url) from None
