"""A model file is read as it was written, and whatever else it may be is refused by one clear error,
without code run, paths touched or memory taken for what a file merely claims."""

import base64
import io
import json
import os
import pickle
import struct
import tracemalloc
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from asd import modelfile
from asd.audio import DataError
from asd.modelfile import ModelError

HEADER = {"system": "modspec_graph", "made": {"files": ["Größe 1.wav"], "level": -26.5, "few": False, "tags": [None]}}
ARRAYS = {"means": np.arange(12.0).reshape(3, 4), "train.scores": np.array([1.5, np.nan]), "n": np.array(7)}

# What version 1 wrote, to be read for ever.
VERSION_1 = (
    "UEsDBBQAAAAAAAAAIQCz6m2zAAEAAAABAAAKAAAAbW9kZWwuanNvbnsKICJhcnJheXMiOiBbCiAgIm1lYW5zIiwKICAibiIsCiAgInRyYWluLn"
    "Njb3JlcyIKIF0sCiAiaGVhZGVyIjogewogICJtYWRlIjogewogICAiZmV3IjogZmFsc2UsCiAgICJmaWxlcyI6IFsKICAgICJHcsO2w59lIDEu"
    "d2F2IgogICBdLAogICAibGV2ZWwiOiAtMjYuNSwKICAgInRhZ3MiOiBbCiAgICBudWxsCiAgIF0KICB9LAogICJzeXN0ZW0iOiAibW9kc3BlY1"
    "9ncmFwaCIKIH0sCiAia2luZCI6ICJhc2QgbW9kZWwiLAogInZlcnNpb24iOiAxCn1QSwMEFAAAAAAAAAAhAFQVqWbgAAAA4AAAAAkAAABtZWFu"
    "cy5ucHmTTlVNUFkBAHYAeydkZXNjcic6ICc8ZjgnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMywgNCksIH0gICAgICAgIC"
    "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgCgAAAAAAAAAAAAAAAAAA8D8AAAAAAAAAQAAAAAAAAAhA"
    "AAAAAAAAEEAAAAAAAAAUQAAAAAAAABhAAAAAAAAAHEAAAAAAAAAgQAAAAAAAACJAAAAAAAAAJEAAAAAAAAAmQFBLAwQUAAAAAAAAACEAI7jwbI"
    "gAAACIAAAABQAAAG4ubnB5k05VTVBZAQB2AHsnZGVzY3InOiAnPGk4JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKCksIH0g"
    "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoHAAAAAAAAAFBLAwQUAAAAAAAAAC"
    "EAGF1+xpAAAACQAAAAEAAAAHRyYWluLnNjb3Jlcy5ucHmTTlVNUFkBAHYAeydkZXNjcic6ICc8ZjgnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNl"
    "LCAnc2hhcGUnOiAoMiwpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgCgAAAA"
    "AAAPg/AAAAAAAA+H9QSwECFAMUAAAAAAAAACEAs+ptswABAAAAAQAACgAAAAAAAAAAAAAApAEAAAAAbW9kZWwuanNvblBLAQIUAxQAAAAAAAAA"
    "IQBUFalm4AAAAOAAAAAJAAAAAAAAAAAAAACkASgBAABtZWFucy5ucHlQSwECFAMUAAAAAAAAACEAI7jwbIgAAACIAAAABQAAAAAAAAAAAAAApA"
    "EvAgAAbi5ucHlQSwECFAMUAAAAAAAAACEAGF1+xpAAAACQAAAAEAAAAAAAAAAAAAAApAHaAgAAdHJhaW4uc2NvcmVzLm5weVBLBQYAAAAABAAE"
    "AOAAAACYAwAAAAA="
)

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pump.asd"


@pytest.fixture
def good(path):
    """The bytes of a good file."""
    modelfile.write(path, HEADER, ARRAYS)
    return path.read_bytes()


def assert_holds(path, header, arrays):
    read_header, read_arrays = modelfile.read(path)
    assert read_header == header
    assert read_arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        read = read_arrays[name]
        assert read.dtype == np.asarray(array).dtype.newbyteorder("<")
        assert read.shape == np.shape(array)
        assert read.dtype.isnative
        assert read.flags.carray  # C-contiguous, aligned, writable
        np.testing.assert_array_equal(read, array)


def refused(path, *words, most=4 * 2**20):
    """Asserts that a file is refused by one error that holds the words, in little memory; returns its text."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tracemalloc.start()
        try:
            with pytest.raises(ModelError) as caught:
                modelfile.read(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert text.isprintable()
    assert len(text) < 700
    assert ";" in text or "update asd" in text  # the mend
    for word in words:
        assert word in text, text
    assert peak < most, peak
    return text


def npy(array, *replaced):
    """A .npy member; parts of its header may be replaced, as pairs."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=True)
    text, content = buffer.getvalue()[10:].split(b"\n", 1)
    text = text.decode()
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    return npy_member(text + "\n", content)


def npy_member(text, content=b""):
    text = text.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def top(arrays=("means",), **changed):
    whole = {"kind": "asd model", "version": 1, "arrays": arrays, "header": {}} | changed
    return json.dumps({key: value for key, value in whole.items() if value is not ...})


def write_zip(path, members, compression=zipfile.ZIP_STORED):
    """A zip of (name, content) pairs, written by zipfile."""
    with zipfile.ZipFile(path, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of duplicate names
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return path


def write_members(path, *members, header=None):
    return write_zip(path, [("model.json", top() if header is None else header), *members])


def patched(content, signature, offset, form, value, *, last=False):
    """Bytes with a field of a zip record replaced, counted from the record's signature."""
    start = content.rindex(signature) if last else content.index(signature)
    made = bytearray(content)
    struct.pack_into(form, made, start + offset, value)
    return bytes(made)


# What is written is what is read.


def test_what_is_written_is_read(path):
    modelfile.write(path, HEADER, ARRAYS)
    assert_holds(path, HEADER, ARRAYS)


def test_a_model_without_arrays(path):
    modelfile.write(path, {}, {})
    assert_holds(path, {}, {})


SCALARS = st.none() | st.booleans() | st.integers(-(10**19) + 1, 10**19 - 1) | st.text(max_size=9)
SCALARS |= st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
HEADERS = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)
DTYPES = hnp.boolean_dtypes() | hnp.integer_dtypes(endianness="?") | hnp.unsigned_integer_dtypes(endianness="?")
DTYPES = DTYPES | hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64))
SHAPES = hnp.array_shapes(min_dims=0, min_side=0, max_dims=4, max_side=4)
NAMES = st.from_regex(r"[a-z0-9_]{1,6}([.-][a-z0-9_]{1,3})?", fullmatch=True)


@settings(FUZZ, max_examples=60)
@given(header=HEADERS, arrays=st.dictionaries(NAMES, hnp.arrays(DTYPES, SHAPES), max_size=4), fortran=st.booleans())
def test_round_trips(tmp_path, header, arrays, fortran):
    try:
        json.dumps(header, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        with pytest.raises(ValueError, match="UTF-8"):
            modelfile.write(tmp_path / "a.asd", header, arrays)
        return
    arrays = {name: np.asarray(array, order="F" if fortran else "C") for name, array in arrays.items()}
    modelfile.write(tmp_path / "a.asd", header, arrays)
    assert_holds(tmp_path / "a.asd", header, arrays)


def test_views_are_kept_as_what_they_show(path):
    grid = np.arange(24.0).reshape(4, 6)
    arrays = {"back": grid[::-1, ::2], "t": grid.T, "all": np.broadcast_to(np.float32(3), (2, 2))}
    modelfile.write(path, {}, arrays)
    assert_holds(path, {}, arrays)


def test_same_content_same_bytes(path, good):
    """Whatever the order of keys, the time, the memory layout and the byte order."""
    again = {name: np.asarray(ARRAYS[name], order="F") for name in reversed(ARRAYS)}
    again["means"] = again["means"].astype(">f8")
    modelfile.write(path, dict(reversed(HEADER.items())), again)
    assert path.read_bytes() == good


def test_any_unzip_and_numpy_read_it(path, good):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["model.json", "means.npy", "n.npy", "train.scores.npy"]
        assert json.loads(archive.read("model.json"))["header"] == HEADER
    with np.load(path, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["means"], ARRAYS["means"])


def test_writing_is_atomic(path, good, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match=r"No space left.*pump\.asd"):
        modelfile.write(path, {}, {})
    assert path.read_bytes() == good
    assert os.listdir(path.parent) == ["pump.asd"]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ([], "a list, a dict is expected"),
        ({"a": [1, {"b": np.nan}]}, r"header\['a'\]\[1\]\['b'\] is nan"),
        ({"a": -np.inf}, "-inf"),
        ({"a": (1, 2)}, r"header\['a'\] is a tuple"),
        ({"a": np.float32(1)}, "float32"),
        ({"a": np.arange(3)}, "ndarray"),
        ({1: 2}, "keys are str"),
        ({"a": 10**19}, "19 digits"),
        ({"name": "\udcff.wav"}, "UTF-8"),
        ({"\udcff": 1}, "UTF-8"),
        ({"a": "x" * modelfile.MAX_HEADER}, "too large"),
        ({"a": [0] * modelfile.MAX_VALUES}, "too large"),
    ],
)
def test_headers_that_json_cannot_keep_are_refused(path, header, words):
    with pytest.raises(ValueError, match=words):
        modelfile.write(path, header, {})
    assert not path.exists()


def test_deep_headers_are_refused(path):
    deep = {}
    for _ in range(modelfile.MAX_DEPTH - 1):
        deep = {"a": deep}
    modelfile.write(path, deep, {})
    assert_holds(path, deep, {})
    with pytest.raises(ValueError, match="too deep"):
        modelfile.write(path, {"a": deep}, {})
    circular = {}
    circular["a"] = circular
    with pytest.raises(ValueError, match="too deep"):
        modelfile.write(path, circular, {})


@pytest.mark.parametrize(
    "array",
    [
        np.array([{}]),
        np.array(["text"]),
        np.array([b"bytes"]),
        np.array([1j]),
        np.zeros(2, "f8,i4"),
        np.zeros(2, np.longdouble),
        np.zeros(2, "M8[s]"),
    ],
)
def test_arrays_of_other_than_plain_numbers_are_refused(path, array):
    with pytest.raises(ValueError, match="array spoilt is of"):
        modelfile.write(path, {}, {"spoilt": array})


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\\b", ".a", "a..b", "a b", "ä", "a\n", "C:x", "a" * 101, 3])
def test_array_names_that_could_be_paths_are_refused(path, name):
    with pytest.raises(ValueError, match="no name for an array"):
        modelfile.write(path, {}, {name: np.zeros(2)})


def test_models_that_could_not_be_read_are_not_written(path):
    with pytest.raises(ValueError, match="more than the 10000"):
        modelfile.write(path, {}, {"a": np.zeros(10_000)}, max_bytes=10_000)
    with pytest.raises(ValueError, match="at most 1000"):
        modelfile.write(path, {}, {f"a{i}": np.zeros(1) for i in range(1001)})
    many = {f"{i:0100d}": np.zeros(1) for i in range(1000)}
    modelfile.write(path, {}, many)
    assert_holds(path, {}, many)


# Versions.


def test_files_of_version_1_load_and_are_still_written_so(path):
    content = base64.b64decode(VERSION_1)
    path.write_bytes(content)
    assert_holds(path, HEADER, ARRAYS)
    modelfile.write(path, HEADER, ARRAYS)
    assert path.read_bytes() == content


def test_a_newer_version_says_so(path):
    """Whatever else it may hold, and however it is compressed."""
    write_zip(path, [("model.json", top(version=2, arrays=..., members={}))])
    assert refused(path).endswith("made by a newer version of asd (model format 2, this one reads up to 1): update asd")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", top(version=999))
        archive.writestr("extra/weights.bin", b"0" * 1000, zipfile.ZIP_DEFLATED)
    refused(path, "made by a newer version of asd", "999")


def test_an_older_version_is_carried_over_step_by_step(path, good, monkeypatch):
    """As it will be when there is a version 3: a step renames an array, the next one moves a setting."""
    steps = {
        1: lambda header, arrays: (header, {{"means": "centres"}.get(name, name): a for name, a in arrays.items()}),
        2: lambda header, arrays: (header | {"level": header["made"]["level"]}, arrays),
    }
    monkeypatch.setattr(modelfile, "VERSION", 3)
    monkeypatch.setattr(modelfile, "MIGRATIONS", steps)
    header, arrays = modelfile.read(path)
    assert header == HEADER | {"level": -26.5}
    assert sorted(arrays) == ["centres", "n", "train.scores"]
    modelfile.write(path, {}, {})
    assert_holds(path, {}, {})
    write_zip(path, [("model.json", top(version=2, arrays=[]))])
    refused(path, "damaged", "made")  # a step finds no such setting


def test_every_older_version_has_its_step():
    assert sorted(modelfile.MIGRATIONS) == list(range(1, modelfile.VERSION))


@pytest.mark.parametrize("version", [..., None, "1", 1.0, True, 0, -1, [1], 10**18 * 1.0])
def test_versions_that_are_none(path, version):
    refused(write_members(path, header=top([], version=version)), "says no version")


# What is no model.


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"RIFF" + bytes(5000), "not a model of asd"),
        (b"PK", "not a model of asd"),
        (pickle.dumps({"a": 1}), "not a model of asd"),
        (b"PK\x05\x06" + bytes(18), "not a model of asd"),
        (b"PK\x03\x04" + bytes(100), "its end is not that of a model"),
    ],
)
def test_no_zip(path, content, words):
    path.write_bytes(content)
    refused(path, words)


def test_other_zips(path):
    refused(write_zip(path, [("a.txt", "hello")]), "a zip without model.json", "asd fit")
    refused(write_members(path, header='{"kind": "npz"}'), "does not say", "asd model")
    np.savez(path.with_suffix(".npz"), a=np.zeros(3))
    refused(path.with_suffix(".npz"), "not a model of asd")


def test_errors_are_data_errors_and_do_not_drag_their_causes_along(path):
    assert issubclass(ModelError, DataError)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError) as caught:
        modelfile.read(path)
    assert caught.value.__suppress_context__


def test_files_that_cannot_be_opened_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.asd"):
        modelfile.read(tmp_path / "none.asd")
    with pytest.raises((IsADirectoryError, PermissionError), match=tmp_path.name):
        modelfile.read(tmp_path)
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match=r"b\.asd"):
        modelfile.read(tmp_path / "a" / "b.asd")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_named(path, good):
    path.chmod(0)
    with pytest.raises(PermissionError, match=r"pump\.asd"):
        modelfile.read(path)


def test_errors_while_reading_name_the_file(path, good, monkeypatch):
    def fail(*args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(modelfile, "_read_file", fail)
    with pytest.raises(OSError, match=r"Input/output error.*pump\.asd"):
        modelfile.read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes of that kind here")
def test_a_pipe_is_not_waited_for(path):
    os.mkfifo(path)
    refused(path, "not a file")


# Damage.


def test_every_truncation_is_told(path, good):
    for n in range(len(good)):
        path.write_bytes(good[:n])
        with pytest.raises(ModelError):
            modelfile.read(path)
    path.write_bytes(good[: len(good) // 2])
    refused(path, "its end is not that of a model", "copy it again")


def test_every_flipped_bit_is_told_or_harmless(path, good):
    """Harmless: in the zip's dates and the like; no array and no header ever changes."""
    harmless = 0
    for i in range(len(good)):
        spoilt = bytearray(good)
        spoilt[i] ^= 1 << i % 8
        path.write_bytes(spoilt)
        try:
            header, arrays = modelfile.read(path)
        except ModelError:
            continue
        harmless += 1
        assert header == HEADER
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(arrays[name], array)
    assert harmless < len(good) / 5


def test_a_flipped_bit_in_an_array_is_told(path, good):
    at = good.index(ARRAYS["means"].tobytes()) + 20
    path.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
    refused(path, "damaged", "CRC", "means.npy", "copy it again")


def test_something_before_or_after(path, good):
    for content in (b"#!/bin/sh\n" + good, good + b"\0", good + good, b"PK\x03\x04" + good):
        path.write_bytes(content)
        refused(path)


@FUZZ
@given(data=st.data())
def test_fuzzed_bytes(path, good, data):
    """Flips, overwritten stretches, cuts in the middle, repetitions: an error, or the right answer."""
    spoilt = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, max(0, len(spoilt) - 1)))
        stop = data.draw(st.integers(start, min(len(spoilt), start + 40)))
        spoilt[start:stop] = data.draw(st.binary(max_size=40) | st.just(bytes(spoilt[start:stop]) * 2))
    path.write_bytes(spoilt)
    try:
        header, arrays = modelfile.read(path)
    except ModelError:
        return
    assert header == HEADER
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)


@FUZZ
@given(content=st.binary(max_size=300), start=st.sampled_from([b"", b"PK\x03\x04"]))
def test_random_bytes(path, content, start):
    path.write_bytes(start + content)
    refused(path)


# Zips made by hand.


def test_members_twice_unknown_or_lacking(path):
    a = npy(np.zeros(3))
    refused(write_members(path, ("means.npy", a), ("means.npy", a)), "two members 'means.npy'")
    refused(write_members(path, ("means.npy", a), ("model.json", top([]))), "two members 'model.json'")
    refused(write_members(path, ("means.npy", a), ("run.py", "print(1)")), "an unknown member 'run.py'")
    refused(write_members(path, ("means.npy", a), ("means.npy/", "")), "an unknown member 'means.npy/'")
    refused(write_members(path), "lacks the member 'means.npy'")


@pytest.mark.parametrize(
    "name",
    ["../evil", "/tmp/evil", "..\\evil", "C:\\evil", "a/../evil", "evil\0", "e\x1b[31mvil", "\u202eevil", "~", "."],
)
def test_names_that_lead_elsewhere(path, name):
    write_members(path, ("means.npy", npy(np.zeros(3))), (f"{name}.npy", npy(np.zeros(3))))
    refused(path)
    write_members(path, (f"{name}.npy", npy(np.zeros(3))), header=top([name]))
    refused(path, "plain names")
    assert os.listdir(path.parent) == ["pump.asd"]


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members(path, compression):
    """Bombs among them: nothing is unpacked."""
    bomb = [("model.json", top()), ("means.npy", npy(np.zeros(10**6)))]
    refused(write_zip(path, bomb, compression), "model.json", "compressed")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", top())
        archive.writestr("means.npy", npy(np.zeros(10**6)), compression)
    refused(path, "means.npy", "compressed")


def test_unknown_compression_and_encryption(path, good):
    central = b"PK\x01\x02"
    path.write_bytes(patched(good, central, 10, "<H", 97))
    refused(path, "compressed")
    path.write_bytes(patched(good, central, 8, "<H", 1))
    refused(path, "'model.json' is encrypted")
    path.write_bytes(patched(good, central, 8, "<H", 1, last=True))
    refused(path, "'train.scores.npy' is encrypted")
    path.write_bytes(patched(good, central, 8, "<H", 0x20))  # patched data, which zipfile does not implement
    refused(path, "unusual")
    path.write_bytes(patched(good, central, 6, "<H", 99))  # a version of zip that it does not implement
    refused(path, "damaged", "NotImplementedError")


@pytest.mark.parametrize("size", [2**20, 2**31 - 1, 2**32 - 2, 2**32 - 1])
def test_declared_sizes_larger_than_the_file(path, good, size):
    for last in (False, True):
        spoilt = patched(good, b"PK\x01\x02", 24, "<L", size, last=last)
        path.write_bytes(spoilt)
        refused(path)
        path.write_bytes(patched(spoilt, b"PK\x01\x02", 20, "<L", size, last=last))
        refused(path)
        path.write_bytes(patched(good, b"PK\x01\x02", 42, "<L", size, last=last))
        refused(path)


def test_members_that_share_their_bytes(path):
    """A directory that lists the same stretch many times: a bomb without compression."""
    content = npy(np.zeros(50_000))
    names = [f"a{i:03}" for i in range(900)]
    write_members(path, ("a000.npy", content), header=top(names))
    whole = path.read_bytes()
    start = whole.rindex(b"PK\x01\x02")
    entry = whole[start:-22]
    entries = b"".join(entry.replace(b"a000", name.encode()) for name in names)
    directory = whole[whole.index(b"PK\x01\x02") : start] + entries
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 901, 901, len(directory), whole.index(b"PK\x01\x02"), 0)
    path.write_bytes(whole[: whole.index(b"PK\x01\x02")] + directory + end)
    refused(path)


def test_directories_of_many_members(path):
    """zipfile would make an object of each."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, *[0] * 14)
    entries = entry * 50_000
    for n, size in ((50_000, len(entries)), (1, len(entries)), (50_000, 46), (0, len(entries))):
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, n, n, size, 4, 0)
        path.write_bytes(b"PK\x03\x04" + entries + end)
        refused(path, most=2**20)


def test_zip64(path, good):
    """A zip64 record may overrule the last one with sizes of 64 bits."""
    for size in (0, 2**40, 2**63, 2**64 - 1):
        record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 4, 4, size, size)
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(good) - 22, 1)
        path.write_bytes(good[:-22] + record + locator + good[-22:])
        refused(path)
        path.write_bytes(good[:-42] + locator + good[-22:])
        refused(path, "zip64")


def test_files_larger_than_asked(path, good):
    with pytest.raises(ModelError, match="more than the 1000 that are read"):
        modelfile.read(path, max_bytes=1000)
    os.truncate(path, 2**40)  # a terabyte of nothing
    refused(path, "1099511627776 bytes", most=2**18)


FIELDS = st.sampled_from([4, 6, 8, 10, 12, 16, 20, 24, 28, 30, 32, 34, 36, 38, 42])


@FUZZ
@given(data=st.data())
def test_fuzzed_fields_of_the_zip(path, good, data):
    spoilt = good
    for _ in range(data.draw(st.integers(1, 3))):
        signature = data.draw(st.sampled_from([b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"]))
        offset = data.draw(FIELDS if signature == b"PK\x01\x02" else st.sampled_from([4, 6, 8, 10, 12, 16]))
        form = data.draw(st.sampled_from(["<B", "<H", "<L"]))
        value = data.draw(st.integers(0, 256 ** struct.calcsize(form) - 1))
        spoilt = patched(spoilt, signature, offset, form, value, last=data.draw(st.booleans()))
        if signature not in spoilt:
            break
    path.write_bytes(spoilt)
    try:
        header, arrays = modelfile.read(path)
    except ModelError:
        return
    assert header == HEADER
    np.testing.assert_array_equal(arrays["means"], ARRAYS["means"])


NPY = npy(np.zeros(3))
CONTENTS = st.binary(max_size=60) | st.just(NPY) | st.binary(max_size=80).map(lambda end: NPY[:88] + end)
MEMBERS = st.tuples(st.sampled_from(["means.npy", "model.json", "a/b"]) | st.text(min_size=1, max_size=8), CONTENTS)


@FUZZ
@given(members=st.lists(MEMBERS, max_size=4), names=st.lists(st.sampled_from(["means", "..", "a/b"]), max_size=2))
def test_fuzzed_members(path, members, names):
    try:
        write_members(path, *members, header=top(names))
    except UnicodeEncodeError:
        return
    try:
        header, arrays = modelfile.read(path)
    except ModelError:
        return
    assert header == {}
    assert [f"{name}.npy" for name in arrays] == [name for name, _ in members]


# Arrays made by hand.


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("(3,)", "(4,)", "shape (4,), but has 24 bytes"),
        ("(3,)", "(2,)", "shape (2,), but has 24 bytes"),
        ("(3,)", "()", "shape (), but has 24 bytes"),
        ("(3,)", "(999999999999,)", "shape (999999999999,)"),
        ("(3,)", "(4294967296, 4294967296)", "shape (4294967296, 4294967296)"),
        ("(3,)", f"({2**61 + 3},)", "header"),  # times 8 is 24, in 64 bits
        ("(3,)", "(" + "9" * 50_000 + ",)", "header"),
        ("(3,)", "(-3,)", "header"),
        ("(3,)", "(-1, -3)", "header"),
        ("(3,)", "(3.,)", "header"),
        ("(3,)", "(True, 3)", "header"),
        ("(3,)", "[3]", "header"),
        ("(3,)", "(,)", "header"),
        ("(3,)", "(3,), 'shape': (3,)", "header"),
        ("(3,)", "(3L,)", "header"),
        ("(3,)", "(\N{ARABIC-INDIC DIGIT THREE},)", "header"),
        ("False", "True", "Fortran order"),
        ("False", "0", "header"),
        ("'<f8'", "'>f8'", "not little-endian"),
        ("'<f8'", "'=f8'", "not little-endian"),
        ("'<f8'", "'|O'", "not little-endian"),
        ("'<f8'", "'|V8'", "not little-endian"),
        ("'<f8'", "'<M8[s]'", "not little-endian"),
        ("'<f8'", "'<c8'", "not little-endian"),
        ("'<f8'", "'<f16'", "not little-endian"),
        ("'<f8'", "'<U2'", "not little-endian"),
        ("'<f8'", "'\N{SNOWMAN}'", "not little-endian"),
        ("'<f8'", "[('a', '<f8')]", "header"),
        ("'<f8'", "'<f8', 'more': 1", "header"),
        ("'descr': ", "", "header"),
        ("{", "exit({", "header"),
    ],
)
def test_arrays_that_are_not_what_is_written(path, old, new, words):
    refused(write_members(path, ("means.npy", npy(np.zeros(3), (old, new)))), "means.npy", words)


def test_more_arrays_that_are_not_what_is_written(path):
    for array, words in (
        (np.zeros(3, "f8,i4"), "header"),
        (np.array([{}]), "'|O'"),
        (np.zeros((3, 2)).T, "Fortran order"),
        (np.array([0, 1, 2], np.uint8).view(bool), "truth values"),
    ):
        refused(write_members(path, ("means.npy", npy(array))), "means.npy", words)
    whole = npy(np.zeros(3))
    refused(write_members(path, ("means.npy", whole.replace(b"NUMPY\x01", b"NUMPY\x02"))), "format 1.0")
    refused(write_members(path, ("means.npy", npy(np.zeros(0), ("(0,)", "(0, 999999999999, 999999999999)")))))
    for length in (0, 1, 117, 119, 142, 143, 65535):
        spoilt = whole[:8] + length.to_bytes(2, "little") + whole[10:]
        refused(write_members(path, ("means.npy", spoilt)), "header")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("pickled",)


def test_pickles_are_not_opened(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    refused(write_members(path, ("means.npy", npy(np.array([Bomb()], object)))), "means.npy", "'|O'")
    refused(write_members(path, ("means.npy", pickle.dumps(Bomb()))), "not a .npy array")
    assert os.listdir() == ["pump.asd"]


def test_headers_of_arrays_are_not_evaluated(path):
    """Deep ones make Python's parser fail in ways of their own."""
    for text in ("(" * 60_000, "-" * 60_000 + "1", "{'descr': __import__('os').mkdir('x')}", "1, " * 20_000):
        refused(write_members(path, ("means.npy", npy_member(text))), "header")
    refused(write_members(path, ("means.npy", npy(np.zeros(1), ("(1,", "(" + "1, " * 33)))), "header")


def test_members_too_short_for_an_array(path):
    whole = npy(np.zeros(3))
    for n in (0, 1, 8, 9, 10, 11, 100, 128, len(whole) - 1):
        refused(write_members(path, ("means.npy", whole[:n])), "means.npy")
    refused(write_members(path, ("means.npy", whole + b"\0")), "but has 25 bytes")


NPY_HEADERS = st.builds(
    "{{'descr': '{}', 'fortran_order': {}, 'shape': ({}), }}\n".format,
    st.sampled_from(["<f8", "|b1", ">f8", "|O", "<U4", "<f4", "|u1"]) | st.text("<>|fiub0123456789OVU", max_size=5),
    st.sampled_from(["False", "True", "None"]),
    st.lists(st.integers(-3, 4) | st.integers(-(2**70), 2**70), max_size=4).map(lambda s: "".join(f"{n}, " for n in s)),
)


@FUZZ
@given(header=NPY_HEADERS, content=st.binary(max_size=70))
def test_fuzzed_array_headers(path, header, content):
    try:
        array = modelfile.read(write_members(path, ("means.npy", npy_member(header, content))))[1]["means"]
    except ModelError:
        return
    assert array.nbytes == len(content)
    assert array.tobytes() == content
    assert array.flags.aligned


# Headers made by hand.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not what it should be"),
        ("{", "not what it should be"),
        (b"\xff\xfe{\0}\0", "not what it should be"),
        (b"\xef\xbb\xbf{}", "BOM"),
        ("[1]", "does not say"),
        ('"asd model"', "does not say"),
        ("null", "does not say"),
        ("{}", "does not say"),
        ('{"kind": ["asd model"]}', "does not say"),
        ('{"a": NaN}', "the value NaN"),
        ('{"a": -Infinity}', "the value -Infinity"),
        ('{"a": 1e999}', "inf"),
        ('{"a": ' + "9" * 5000 + "}", "5000 digits"),
        ('{"a": 0.' + "9" * 5000 + "}", "digits"),
        ('{"a": 99999999999999999999}', "19 digits"),
        ('{"a": "\\ud800"}', "UTF-8"),
        ('{"\\udc80": 1}', "UTF-8"),
        ('{"kind": "x", "kind": "asd model"}', "given twice"),
        ('{"kind": "asd model", "version": 1, "header": {"a": [{"b": 1, "b": 1}]}}', "given twice"),
        ("[" * 100_000, "levels deep"),
        ('{"a":' * 100_000, "levels deep"),
        ("[" * 100 + "]" * 100, "too deep"),
        ("\x00", "not what it should be"),
        ('{"a": "\n"}', "not what it should be"),
        (top() + "{}", "Extra data"),
        (top(header=...), "does not hold"),
        (top(header=[]), "does not hold"),
        (top(more=1), "does not hold"),
        (top(arrays=...), "does not hold"),
        (top(version=1) + " " * modelfile.MAX_HEADER, "too large"),
        ("[" * 200_000 + "{" * 200_000, "too large"),
        (json.dumps([0] * 400_000), "too large"),
    ],
)
def test_headers_that_are_not_what_is_written(path, text, words):
    refused(write_members(path, ("means.npy", npy(np.zeros(3))), header=text), "model.json", words, most=2**26)


@pytest.mark.parametrize(
    "names", [None, "means", {"means": 1}, ["means", "means"], [1], [["means"]], ["a/b"], [""], ["a" * 101]]
)
def test_lists_of_arrays_that_are_not_what_is_written(path, names):
    header = top(arrays=[]).replace("[]", json.dumps(names))
    refused(write_members(path, ("means.npy", npy(np.zeros(3))), header=header), "plain names")


@FUZZ
@given(
    key=st.sampled_from(["kind", "version", "arrays", "header", "more"]),
    value=VALUES | st.lists(st.sampled_from(["means", "n", ""]), max_size=3) | st.integers(-2, 4),
)
def test_fuzzed_header_values(path, key, value):
    try:
        content = json.dumps({"kind": "asd model", "version": 1, "arrays": ["means"], "header": {}} | {key: value})
        header, arrays = modelfile.read(write_members(path, ("means.npy", npy(np.zeros(3))), header=content))
    except ModelError:
        return
    assert header == (value if key == "header" else {})
    assert arrays.keys() == {"means"}


# Memory.


def test_memory_is_that_of_the_file(path):
    """Twice the array would show; so would a declared size."""
    arrays = {"a": np.ones(2_000_000), "b": np.ones((1000, 500))}
    modelfile.write(path, {}, arrays)
    tracemalloc.start()
    try:
        modelfile.read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size + 4 * 2**20


def test_a_header_of_the_largest_size_is_read_in_little_memory(path, monkeypatch):
    """Of what takes most: many small values. A tenth of the true limits, since tracing takes time."""
    monkeypatch.setattr(modelfile, "MAX_VALUES", modelfile.MAX_VALUES // 10)
    monkeypatch.setattr(modelfile, "MAX_HEADER", modelfile.MAX_HEADER // 10)
    n = modelfile.MAX_VALUES - 100
    lists, texts = {"a": [[]] * (n // 2)}, {"a": [["ab"]] * (n // 2)}
    for header in (lists, texts, {str(i): 1.5 for i in range(n)}):
        text = top([], header=header)
        write_members(path, header=text + " " * (modelfile.MAX_HEADER - len(text)))
        tracemalloc.start()
        try:
            assert modelfile.read(path)[0] == header
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 10 * 2**20


def test_checksums_are_of_the_content(path, good):
    """An attacker can make them right, and then the content itself is judged."""
    at = good.index(b'"asd model"')
    spoilt = good[:at] + b'"bad model"' + good[at + 11 :]
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        size = archive.getinfo("model.json").file_size
    start = good.index(b"model.json") + len("model.json")
    crc = zlib.crc32(spoilt[start : start + size])
    path.write_bytes(patched(patched(spoilt, b"PK\x03\x04", 14, "<L", crc), b"PK\x01\x02", 16, "<L", crc))
    refused(path, "does not say")
