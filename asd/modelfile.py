"""The model file: arrays and a header in one `.asd` file that is safe to open, whoever made it.

A zip of uncompressed members, so that nothing unpacks to more than the file itself::

    model.json       {"arrays": ["means", ...], "header": {...}, "kind": "asd model", "version": 1}
    means.npy        one member an array that is listed: .npy 1.0, C order, little-endian numbers
    ...

`model.json` keeps its place, its compression (none), `kind` and `version` in all versions to come,
so that an older asd can say that a file is newer. Which header and arrays a system keeps, and what
they must fulfil (shapes, finite numbers), is decided where they are used: NaN is let through here.

Conventions: no pickle is written or opened, no text is evaluated, no name becomes a path. Nothing
is allocated for a size that a file declares before that size is compared with the file's own.
Same content, same bytes.
"""

import io
import json
import math
import os
import re
import stat
import struct
import zipfile
import zlib

import numpy as np

from asd.audio import DataError
from asd.files import write_atomically

KIND, VERSION = "asd model", 1
HEADER = "model.json"
MAX_BYTES = 256 * 2**20  # of a file; a model of 1000 clips has 5 MB at most
MAX_HEADER = 8 * 2**20  # bytes of model.json: some 60,000 training files with digests
MAX_VALUES = 300_000  # in model.json, a bound on the memory that these bytes become
MAX_DEPTH = 32  # of lists and dicts in model.json
MAX_ARRAYS = 1000
MAX_DIRECTORY = 256 * 2**10  # bytes of the zip's directory
CHUNK = 2**20

# From a version to the next: functions (header, arrays) -> (header, arrays). Version 1 is the first.
MIGRATIONS = {}

_NAME = re.compile(r"[A-Za-z0-9_]+(?:[.-][A-Za-z0-9_]+)*")
_DTYPES = ("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8")
_NPY_MAGIC = b"\x93NUMPY\x01\x00"
_NPY_HEADER = re.compile(
    rb"\{'descr': '([^'\\]{1,40})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,12}, ?){0,31}(?:\d{1,12})?)\), \} *\n"
)
_END = struct.Struct("<4s4H2LH")  # the zip's last record

AGAIN = "copy it again from where it was made, or fit it again"
_GIVE = "give a file that `asd fit` wrote"


class ModelError(DataError):
    """A file is not a model that can be used; the text names the file, what is wrong and the mend."""


class _Refused(ValueError):
    """What is wrong with a file, and the mend."""


# What zipfile, json and numpy raise for files that somebody cut, flipped or made up.
_DAMAGED = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    AttributeError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def write(path, header, arrays, *, max_bytes=MAX_BYTES):
    """Write a model file, whole or not at all; the same bytes for the same content.

    Parameters
    ----------
    path : str or Path
    header : dict
        Of JSON values: str (no lone surrogates), int below 1e19, finite float, bool, None, lists and
        dicts with str keys of these, at most `MAX_DEPTH` deep.
    arrays : dict of str to array
        Of bool, int or float numbers; kept little-endian and in C order. A name has letters, digits
        and underscores, with single dots and hyphens between them.
    max_bytes : int
        The file's largest size.

    Raises
    ------
    ValueError
        If the header or an array is not of that kind, or they are more than :func:`read` takes.
    OSError
        With the file's name, if it cannot be written.
    """
    if not isinstance(header, dict):
        raise ValueError(f"the header is a {type(header).__name__}, a dict is expected")
    _check_json(header, "header")
    if len(arrays) > MAX_ARRAYS:
        raise ValueError(f"{len(arrays)} arrays: a model file holds at most {MAX_ARRAYS}")
    contents = {f"{name}.npy": _npy_bytes(name, arrays[name]) for name in sorted(arrays, key=str)}
    top = {"kind": KIND, "version": VERSION, "arrays": sorted(arrays), "header": header}
    text = json.dumps(top, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1).encode()
    if len(text) > MAX_HEADER or _count_values(text) > MAX_VALUES:
        raise ValueError(
            f"the header is too large: {len(text)} bytes of JSON, about {_count_values(text)} values; "
            f"a model file holds {MAX_HEADER} bytes and {MAX_VALUES} values"
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {HEADER: text, **contents}.items():
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o644 << 16  # the same on every platform
            archive.writestr(member, content)
    if buffer.tell() > max_bytes:
        raise ValueError(f"the model has {buffer.tell()} bytes, more than the {max_bytes} a model file may have")
    write_atomically(path, buffer.getvalue())


def read(path, *, max_bytes=MAX_BYTES):
    """Read a model file, which may come from anyone.

    Memory stays within the file's own size and a few MB (for the largest header, under 100).

    Parameters
    ----------
    path : str or Path
    max_bytes : int
        Larger files are refused.

    Returns
    -------
    header : dict
        JSON values: finite numbers, no lone surrogates; otherwise whatever the file's maker wrote.
    arrays : dict of str to array
        Of bool, int or float numbers, which may be NaN; C-contiguous, aligned, writable.

    Raises
    ------
    ModelError
        If the file is not a whole model of this version or an older one.
    OSError
        With the file's name, if it cannot be read.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise _Refused(f"not a file; {_GIVE}")  # opening a pipe waits for ever
        with open(path, "rb") as file:
            version, header, arrays = _read_file(file, os.fstat(file.fileno()).st_size, max_bytes)
        for older in range(version, VERSION):
            header, arrays = MIGRATIONS[older](header, arrays)
    except _Refused as refusal:
        raise ModelError(f"{path}: {refusal}") from None
    except MemoryError:
        raise ModelError(f"{path}: more than this machine's memory holds; {_GIVE}") from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    except _DAMAGED as error:
        raise ModelError(f"{path}: damaged ({type(error).__name__}: {_plain(error)}); {AGAIN}") from None
    return header, arrays


def _read_file(file, size, max_bytes):
    """Version, header and arrays."""
    _check_end(file, size, max_bytes)
    with zipfile.ZipFile(file) as archive:
        members = {}
        for member in archive.infolist():
            if member.orig_filename in members:
                raise _Refused(f"damaged: two members {_shown(member.orig_filename)}; {AGAIN}")
            members[member.orig_filename] = member
        if HEADER not in members:
            raise _Refused(f"not a model of asd: a zip without {HEADER}; {_GIVE}")
        version, header, names = _read_header(archive, members.pop(HEADER), size)
        expected = {f"{name}.npy": name for name in names}
        if odd := sorted(expected.keys() ^ members.keys()):
            what = "lacks the member" if odd[0] in expected else "has an unknown member"
            raise _Refused(f"damaged: it {what} {_shown(odd[0])}; {AGAIN}")
        for member in members.values():
            _check_member(member, size)
        if sum(member.file_size for member in members.values()) > size:
            raise _Refused(f"damaged: its arrays are said to be larger than the file; {AGAIN}")
        return version, header, {name: _read_array(archive, members[member]) for member, name in expected.items()}


def _check_end(file, size, max_bytes):
    """Refuse what is too large, no zip, or a zip whose directory is not a small one at its end.

    zipfile makes objects of all that a directory lists, and so is not given a large one.
    """
    if size > max_bytes:
        raise _Refused(f"{size} bytes, more than the {max_bytes} that are read; {_GIVE}")
    start = file.read(4)
    file.seek(max(0, size - _END.size - 20))
    tail = file.read(_END.size + 20)  # before the last record may stand one of zip64
    if not size or start != b"PK\x03\x04":
        raise _Refused(f"{'not a model of asd' if size else 'an empty file'}; {_GIVE}")
    if len(tail) < _END.size or tail[-_END.size :][:4] != b"PK\x05\x06":
        raise _Refused(f"damaged: its end is not that of a model; {AGAIN}")
    _, disk, first_disk, here, n_members, n_bytes, offset, comment = _END.unpack(tail[-_END.size :])
    if n_members > MAX_ARRAYS + 1 or n_bytes > MAX_DIRECTORY:
        raise _Refused(f"not a model of asd: a zip of too many members ({n_members}); {_GIVE}")
    if disk or first_disk or comment or here != n_members or offset + n_bytes + _END.size != size:
        raise _Refused(f"damaged: its directory is not where it says; {AGAIN}")
    if tail[:4] == b"PK\x06\x07":
        raise _Refused(f"not a model of asd: a zip64; {_GIVE}")
    file.seek(0)


def _check_member(member, size):
    """Refuse what is not a plain, uncompressed member that fits into the file."""
    name = _shown(member.orig_filename)
    if member.flag_bits & 1:
        raise _Refused(f"not a model of asd: {name} is encrypted; {_GIVE}")
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
        raise _Refused(f"not a model of asd as it was written: {name} is compressed; {_GIVE}")
    if member.flag_bits or member.extra or member.comment:
        raise _Refused(f"not a model of asd as it was written: {name} has unusual fields; {_GIVE}")
    if member.header_offset + member.file_size > size:
        raise _Refused(f"damaged: {name} is said to be larger than the file; {AGAIN}")


def _read_bytes(stream, n):
    """The last n bytes of a member, `(n,)` uint8; zipfile compares the checksum when they are read."""
    content = np.empty(n, np.uint8)
    done = 0
    while chunk := stream.read(min(CHUNK, n - done) or 1):
        content[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
    if done != n:
        raise EOFError(f"{done} of {n} bytes")
    return content


def _read_header(archive, member, size):
    """Version, the caller's header and the arrays' names, of `model.json`."""
    _check_member(member, size)
    if member.file_size > MAX_HEADER:
        raise _Refused(f"{HEADER} is too large: {member.file_size} bytes, {MAX_HEADER} at most; {_GIVE}")
    with archive.open(member) as stream:
        text = _read_bytes(stream, member.file_size).tobytes()
    return _parse_header(text)


def _parse_header(text):
    """Version, the caller's header and the arrays' names, of `model.json`."""
    if _count_values(text) > MAX_VALUES:
        raise _Refused(f"{HEADER} is too large: more than {MAX_VALUES} values; {_GIVE}")
    try:
        top = json.loads(
            text.decode(),
            parse_int=_short(int),
            parse_float=_short(float),
            parse_constant=_no_constant,
            object_pairs_hook=_without_duplicates,
        )
        _check_json(top, HEADER, MAX_DEPTH + 1)
    except RecursionError:
        raise _Refused(f"damaged: {HEADER} is more than {MAX_DEPTH} levels deep; {AGAIN}") from None
    except ValueError as error:
        raise _Refused(f"damaged: {HEADER} is not what it should be ({_plain(error)}); {AGAIN}") from None
    if not isinstance(top, dict) or top.get("kind") != KIND:
        raise _Refused(f'not a model of asd: {HEADER} does not say "kind": "{KIND}"; {_GIVE}')
    version = top.get("version")
    if type(version) is not int or version < 1:
        raise _Refused(f"damaged: {HEADER} says no version (a whole number from 1); {AGAIN}")
    if version > VERSION:
        raise _Refused(
            f"made by a newer version of asd (model format {version}, this one reads up to {VERSION}): update asd"
        )
    header, names = top.get("header"), top.get("arrays")
    if top.keys() != {"kind", "version", "header", "arrays"} or not isinstance(header, dict):
        raise _Refused(f"damaged: {HEADER} does not hold kind, version, header and arrays; {AGAIN}")
    if not isinstance(names, list) or not all(_is_name(name) for name in names) or len(set(names)) < len(names):
        raise _Refused(f"damaged: {HEADER} does not list arrays by distinct plain names; {AGAIN}")
    return version, header, names


def _count_values(text):
    """How many values a JSON text has at most, roughly (what stands in strings counts too)."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def _short(kind):
    """A JSON number, unless it is longer than any that is written (long ones take time)."""

    def parse(text):
        if len(text) > 30:
            raise ValueError(f"a number of {len(text)} digits")
        return kind(text)

    return parse


def _no_constant(text):
    raise ValueError(f"the value {text}")


def _without_duplicates(pairs):
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key given twice")
    return made


def _check_json(value, where, depth=MAX_DEPTH):
    """Raise ValueError unless JSON can keep a value as it is, and anyone can handle it."""
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{where} is not text that UTF-8 can hold: {value[:80]!r}") from None
    elif isinstance(value, int):
        if abs(value) >= 10**19:
            raise ValueError(f"{where} is an integer of more than 19 digits")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}, which JSON cannot hold")
    elif isinstance(value, (list, dict)):
        if not depth:
            raise ValueError(f"{where[:80]} is too deep: {MAX_DEPTH} levels at most")
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict):
                if not isinstance(key, str):
                    raise ValueError(f"{where} has the key {key!r}: keys are str")
                _check_json(key, f"a key of {where}")
            _check_json(item, f"{where}[{key!r}]" if len(where) < 200 else where, depth - 1)
    else:
        raise ValueError(f"{where} is a {type(value).__name__}: give str, int, float, bool, None, list or dict")


def _is_name(name):
    return isinstance(name, str) and len(name) <= 100 and _NAME.fullmatch(name) is not None


def _npy_bytes(name, array):
    if not _is_name(name):
        raise ValueError(f"{name!r} is no name for an array: letters, digits, underscores; dots and hyphens between")
    array = np.asarray(array, order="C")
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype.str not in _DTYPES:
        raise ValueError(f"array {name} is of {array.dtype}: bool, int and float of up to 64 bits are kept")
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _read_array(archive, member):
    """The array of a member whose size is known to be in the file.

    The .npy header is matched, not evaluated: it stands in the one form in which numpy writes it.
    """
    name = member.filename
    with archive.open(member) as stream:
        start = stream.read(len(_NPY_MAGIC) + 2)
        if start[:-2] != _NPY_MAGIC or len(start) < len(_NPY_MAGIC) + 2:
            raise _Refused(f"damaged: {name} is not a .npy array of format 1.0; {AGAIN}")
        text = stream.read(int.from_bytes(start[-2:], "little"))
        match = _NPY_HEADER.fullmatch(text)
        if not match:
            raise _Refused(f"damaged: {name} has the .npy header {_shown(text[:120])}; {AGAIN}")
        descr = match[1].decode("ascii", "replace")
        if descr not in _DTYPES:
            raise _Refused(f"{name} has type {_shown(descr)}: not little-endian bool, int or float; {_GIVE}")
        if match[2] != b"False":
            raise _Refused(f"{name} is in Fortran order; {_GIVE}")
        shape = tuple(int(n) for n in match[3].split(b",") if n.strip())
        dtype = np.dtype(descr)
        n = member.file_size - len(start) - len(text)
        if math.prod(shape) * dtype.itemsize != n:
            raise _Refused(f"damaged: {name} is said to have shape {_shown(shape)}, but has {n} bytes; {AGAIN}")
        array = _read_bytes(stream, n).view(dtype).reshape(shape)
    if dtype.kind == "b" and (array.view(np.uint8) > 1).any():
        raise _Refused(f"damaged: {name} has truth values that are neither; {AGAIN}")
    return array


def _shown(value):
    """A value from the file, short and in plain characters, for a message."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _plain(error):
    """An error's text, which may quote the file, likewise."""
    return ascii(str(error))[1:-1][:200]
