"""Files that are there whole or not at all."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

TEMPORARY = ".asd-tmp"


def write_atomically(path, content, *, sync=True):
    """Write text or bytes to a file so that it is there whole or not at all.

    Without `sync` that holds if the process dies, but not if the machine does.

    Raises
    ------
    OSError
        With the file's name, if it cannot be written; nothing is left behind.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=TEMPORARY, dir=path.parent)
        try:
            with open(handle, "wb") as file:
                file.write(data)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def remove_leftovers(folder, before):
    """Remove temporary files that a killed run left below a folder before a time (seconds since 1970)."""
    for path in Path(folder).rglob(f".*{TEMPORARY}"):
        with suppress(OSError):
            if path.stat().st_mtime < before:
                path.unlink()
