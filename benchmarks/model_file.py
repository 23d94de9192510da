"""What a model file costs: loading a realistic one, and the slowest of hostile ones.

    python benchmarks/model_file.py [--repeats N]

Hostile files are as large as `asd.modelfile.read` takes, so that nothing can be slower than these: the
whole of the file is read before its last checksum is seen to be wrong, the header is made of what
takes the parser longest, the directory lists as much as it may.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import io
import json
import struct
import tempfile
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np

from asd import modelfile


def realistic(path):
    """A graph of 300 clusters with 1000 training scores, file names and digests."""
    rng = np.random.default_rng(0)
    arrays = {"means": rng.random((300, 480)), "scales": rng.random((300, 480)), "scores": rng.random(1000)}
    files = [{"name": f"normal_id_00_{i:08d}.wav", "sha256": rng.bytes(32).hex()} for i in range(1000)]
    modelfile.write(path, {"system": "modspec_graph", "files": files}, arrays)


def npy(array):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=(1, 0))
    return buffer.getvalue()


def header(**changed):
    return json.dumps({"kind": modelfile.KIND, "version": 1, "arrays": [], "header": {}} | changed)


def archive(path, members):
    with zipfile.ZipFile(path, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of duplicate names
        for name, content in members:
            file.writestr(zipfile.ZipInfo(name), content)


def with_header(text):
    return lambda path: archive(path, [("model.json", text[: modelfile.MAX_HEADER])])


def largest_with_a_wrong_checksum(path):
    """An array as large as a file may be, with the last byte flipped."""
    modelfile.write(path, {}, {"a": np.zeros(modelfile.MAX_BYTES // 8 - 1000)})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") - 1] ^= 1
    path.write_bytes(content)


def noise_with_a_zip_s_ends(path):
    content = bytearray(np.random.default_rng(0).bytes(modelfile.MAX_BYTES))
    content[:4] = b"PK\x03\x04"
    content[-22:] = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1000, 1000, 2**18, len(content) - 22 - 2**18, 0)
    path.write_bytes(content)


def crowded_directory(path):
    """As many entries as fit in the directory, of one byte of a name each."""
    archive(path, [("model.json", header())])
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    entry = bytearray(content[start : start + 46] + b"a")
    entry[28:30] = (1).to_bytes(2, "little")
    entries = b"".join(bytes(entry[:-1]) + bytes([i % 256]) for i in range(modelfile.MAX_DIRECTORY // len(entry)))
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entries), start, 0)
    path.write_bytes(content[:start] + entries + end)


def shared_bytes(path):
    """A thousand members that are all the same stretch of the file."""
    names = [f"{i:04}" for i in range(1000)]
    archive(
        path, [("model.json", header(arrays=names)), ("0000.npy", npy(np.zeros(modelfile.MAX_BYTES // 8 - 20_000)))]
    )
    content = path.read_bytes()
    first, last = content.index(b"PK\x01\x02"), content.rindex(b"PK\x01\x02")
    entry = content[last:-22]
    entries = content[first:last] + b"".join(entry.replace(b"0000", name.encode()) for name in names)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1001, 1001, len(entries), first, 0)
    path.write_bytes(content[:first] + entries + end)


def many_dimensions(path):
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"999999999999, " * 4600 + b"), }\n"
    member = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    names = [f"a{i}" for i in range(1000)]
    archive(path, [("model.json", header(arrays=names)), *((f"{name}.npy", member) for name in names)])


def pickle_inside(path):
    """An array that says its numbers are a pickle; what follows stands for one."""
    text = b"{'descr': '|O', 'fortran_order': False, 'shape': (1000,), }\n"
    member = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\x80\x04]" + b"}" * 1000 + b"e."
    archive(path, [("model.json", header(arrays=["a"])), ("a.npy", member)])


def cut(path):
    realistic(path)
    os.truncate(path, path.stat().st_size // 2)


def compression_bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("model.json", header(arrays=["a"]))
        file.writestr("a.npy", bytes(10**8))


def sparse_terabyte(path):
    realistic(path)
    os.truncate(path, 2**40)


FULL = modelfile.MAX_VALUES - 100
HOSTILE = {
    "largest array, wrong checksum": largest_with_a_wrong_checksum,
    "largest file of noise": noise_with_a_zip_s_ends,
    "a thousand members share their bytes": shared_bytes,
    "directory full of entries": crowded_directory,
    "shapes of thousands of dimensions": many_dimensions,
    "pickle inside": pickle_inside,
    "compression bomb": compression_bomb,
    "cut in half": cut,
    "a terabyte of nothing": sparse_terabyte,
    "header of empty lists": with_header(header(header={"a": [[]] * (FULL // 2)})),
    "header of empty dicts": with_header(header(header={"a": [{}] * (FULL // 2)})),
    "header of different keys": with_header(header(header={f"{i}": 0 for i in range(FULL)})),
    "header of numbers": with_header(header(header={"a": [1.2345678901234567e-300] * FULL})),
    "header of text": with_header(header(header={"a": ["\U0001f600" * 2] * (modelfile.MAX_HEADER // 30)})),
    "header of one long text": with_header(header(header={"a": "\u20ac" * (modelfile.MAX_HEADER // 6 - 100)})),
    "header of escapes": with_header('{"a": "' + "\\u0041" * (modelfile.MAX_HEADER // 6 - 2) + '"}'),
    "header of one number": with_header('{"a": ' + "9" * (modelfile.MAX_HEADER - 10) + "}"),
    "header of blanks": with_header("{" + " " * (modelfile.MAX_HEADER - 2) + "}"),
    "header of brackets": with_header("[" * FULL),
}


def seconds(path):
    start = time.perf_counter()
    try:
        modelfile.read(path)
        outcome = "read"
    except modelfile.ModelError:
        outcome = "refused"
    return time.perf_counter() - start, outcome


def peak(path):
    """Most memory that Python and numpy allocated, bytes."""
    tracemalloc.start()
    seconds(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="times each file is read (default: 5)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.asd"
        realistic(path)
        load = np.median([seconds(path)[0] for _ in range(max(20, args.repeats))])
        print(
            f"300 clusters x 480 x 2, 1000 scores and files: {path.stat().st_size / 1e6:.2f} MB, read in {load:.4f} s\n"
        )
        print(f"{'hostile file':<38}{'MB':>12}{'outcome':>10}{'slowest, s':>12}{'memory, MB':>12}")
        slowest = {}
        for name, make in HOSTILE.items():
            make(path)
            runs = [seconds(path) for _ in range(args.repeats)]
            slowest[name] = max(runs)[0]
            size = path.stat().st_size / 1e6
            print(f"{name:<38}{size:>12.1f}{runs[0][1]:>10}{slowest[name]:>12.4f}{peak(path) / 1e6:>12.1f}", flush=True)
            path.unlink()
        name = max(slowest, key=slowest.get)
        print(f"\nslowest: {name}, {slowest[name]:.3f} s (target: under 2 s)")


if __name__ == "__main__":
    main()
