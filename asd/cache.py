"""Feature caches: what a system extracted from a machine id's clips, safe to trust on the next run.

System 1's cache is interchangeable with the original's, one folder of arrays::

    <Machine><id>_{X_train,X_test,y_test}_NR-100_d_.npy        development
    <Machine><id>_{X_train,X_test,eval_files}_NR-100_e_.npy    evaluation
    <Machine><id>_manifest_NR-100_{d,e}_.json                  ours: what the arrays were made from

with the id without leading zero. Arrays whose manifest disagrees with the clips, the settings or
the arrays themselves are not used. Arrays without a manifest are the original's and are accepted.

Conventions: every file is written whole or not at all; no pickle is written or opened.
"""

import hashlib
import io
import json
import os
import re
import tempfile
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asd.audio import AudioError, DataError, DataWarning
from asd.dataset import layout_names

FORMAT = 1  # of the manifest
TEMPORARY = ".asd-tmp"


class CacheError(DataError):
    """A cached file is unusable and cannot be made again."""


class StaleCacheWarning(DataWarning):
    """Cached features disagree with the clips or settings and are computed again."""

    kind = "machine ids whose cached features are computed again"


class NoManifestWarning(DataWarning):
    """Cached features come without a manifest and are taken on trust."""

    kind = "machine ids with cached features of unknown origin (no manifest), taken on trust"


def write_atomically(path, content):
    """Write text or bytes to a file so that it is there whole or not at all.

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
    """Remove temporary files that a killed run left in a folder before a time (seconds since 1970)."""
    for path in Path(folder).glob(f".*{TEMPORARY}"):
        with suppress(OSError):
            if path.stat().st_mtime < before:
                path.unlink()


@dataclass
class Features:
    """Features of a machine id's usable clips, and the clips that were not usable.

    `train` is `(n_train, ...)`, `test` is `(n_test, ...)`, `test_names` and `labels` (0, 1, None)
    go with the rows of `test`; `left_out` lists (split, name, reason).
    """

    train: np.ndarray
    test: np.ndarray
    test_names: list[str]
    labels: list
    left_out: list[tuple[str, str, str]]

    @classmethod
    def of(cls, clips, results):
        """Features of a machine id from its clips' features or `AudioError`s, training clips first."""
        items = [("train", clip) for clip in clips.train] + [("test", clip) for clip in clips.test]
        usable, left_out = {"train": [], "test": []}, []
        for (split, clip), result in zip(items, results, strict=True):
            if isinstance(result, AudioError):
                left_out.append((split, clip.name, result.reason))
            else:
                usable[split].append((clip, result))
        return cls(
            train=np.array([feature for _, feature in usable["train"]]),
            test=np.array([feature for _, feature in usable["test"]]),
            test_names=[clip.name for clip, _ in usable["test"]],
            labels=[clip.label for clip, _ in usable["test"]],
            left_out=left_out,
        )


class SpectraCache:
    """System 1's cache folder.

    Parameters
    ----------
    folder : str or Path
    mode : {"d", "e"}
    shape : tuple of int
        Shape of one clip's features.
    parameters : dict
        Settings that the features depend on, as JSON values; kept in the manifest.
    tag : str
        Part of the file names.
    """

    def __init__(self, folder, mode, *, shape, parameters, tag="NR-100"):
        self.folder = Path(folder)
        self.shape, self.parameters = tuple(shape), parameters
        self.parts = ("X_train", "X_test", "y_test" if mode == "d" else "eval_files")
        self.mode, self.suffix = mode, f"{tag}_{mode}_"

    def ids(self):
        """What the folder holds: dict of (machine, id) -> tuple of the parts it lacks."""
        pattern = re.compile(rf"(.*\D)(\d+)_({'|'.join(self.parts)})_{re.escape(self.suffix)}\.npy")
        found = {}
        for path in sorted(self.folder.glob(f"*_{self.suffix}.npy")):
            if match := pattern.fullmatch(path.name):
                found.setdefault(match.group(1, 2), set()).add(match[3])
        return {self._key(*key): tuple(p for p in self.parts if p not in parts) for key, parts in found.items()}

    def load(self, clips):
        """Features of a machine id, or None where they have to be computed.

        Parameters
        ----------
        clips : MachineId
            The id and its clips; cached features are compared with these if both splits are there.

        Raises
        ------
        CacheError
            If what is cached is unusable and the clips to make it again are not there.

        Warns
        -----
        StaleCacheWarning, NoManifestWarning
        """
        paths = [self._path(clips, part) for part in self.parts]
        if not all(path.is_file() for path in paths):
            return None
        has_wavs = clips.missing is None
        try:
            arrays = [self._read(path, part) for path, part in zip(paths, self.parts, strict=True)]
            if len(arrays[1]) != len(arrays[2]):
                raise CacheError(f"{paths[1]}: {len(arrays[1])} rows, but {len(arrays[2])} in {paths[2].name}")
            return self._with_manifest(clips, arrays, has_wavs)
        except CacheError as error:
            if not has_wavs:
                raise CacheError(
                    f"{error}; its WAVs are not there to make it again: give them with --data, or delete it"
                ) from None
            warnings.warn(StaleCacheWarning(clips, str(error)), stacklevel=2)
            return None

    def save(self, clips, features):
        """Write features and manifest; whatever was there is no longer trusted from the first byte on.

        Raises
        ------
        OSError
            With the file's name, if one cannot be written.
        """
        last = features.labels if self.mode == "d" else features.test_names
        arrays = [features.train, features.test, np.array(last, np.int64 if self.mode == "d" else str)]
        contents = [_npy_bytes(array) for array in arrays]
        manifest = {
            "format": FORMAT,
            "machine": clips.machine,
            "id": clips.id,
            "parameters": self.parameters,
            "clips": _fingerprints(clips),
            "left_out": [list(entry) for entry in features.left_out],
            "arrays": [hashlib.sha256(content).hexdigest() for content in contents],
        }
        for path in (self._path(clips, "manifest"), self._path(clips, self.parts[-1])):
            path.unlink(missing_ok=True)
        for part, content in zip(self.parts, contents, strict=True):
            write_atomically(self._path(clips, part), content)
        write_atomically(self._path(clips, "manifest"), json.dumps(manifest, ensure_ascii=False) + "\n")

    def _path(self, clips, part):
        end = "json" if part == "manifest" else "npy"
        return self.folder / f"{clips.machine}{int(clips.id)}_{part}_{self.suffix}.{end}"

    def _key(self, machine, id):
        """(machine, id) of a cache name, as its manifest has it, else by its trailing digits."""
        path = self.folder / f"{machine}{id}_manifest_{self.suffix}.json"
        with suppress(OSError, ValueError, KeyError, TypeError):
            manifest = json.loads(path.read_text("utf-8"))
            if f"{manifest['machine']}{int(manifest['id'])}" == machine + id:
                return manifest["machine"], manifest["id"]
        return machine, f"{int(id):02d}"

    def _read(self, path, part):
        try:
            with open(path, "rb") as file:
                np.lib.format.read_magic(file)  # np.load opens archives and pickles too
            array = np.array(np.load(path, mmap_mode="r", allow_pickle=False))  # mapped: no memory for a false shape
        except (ValueError, TypeError, EOFError, OverflowError, MemoryError) as error:
            raise CacheError(f"{path}: not a plain .npy array ({error})") from None
        if part == "eval_files":
            good = array.ndim == 1 and array.dtype.kind == "U" and len(set(array)) == len(array)
            expected = "(n,) distinct names"
        elif part == "y_test":
            good = array.ndim == 1 and array.dtype.kind in "biuf" and np.isin(array, (0, 1)).all()
            expected = "(n,) labels 0 and 1"
        else:
            good = array.ndim > 1 and array.shape[1:] == self.shape and array.dtype.kind == "f"
            good = good and len(array) and np.isfinite(array).all()
            expected = f"(n, {', '.join(map(str, self.shape))}) finite floats"
        if not good:
            raise CacheError(f"{path}: {array.dtype} {array.shape}, expected {expected}")
        return array

    def _with_manifest(self, clips, arrays, has_wavs):
        train, test, last = arrays
        path = self._path(clips, "manifest")
        try:
            manifest = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return self._without_manifest(clips, train, test, last, has_wavs)
        except ValueError:
            raise CacheError(f"{path}: not JSON") from None
        if not isinstance(manifest, dict):
            raise CacheError(f"{path}: not a manifest")
        expected = {"format": FORMAT, "machine": clips.machine, "id": clips.id, "parameters": self.parameters}
        expected["arrays"] = [hashlib.sha256(self._path(clips, part).read_bytes()).hexdigest() for part in self.parts]
        reasons = {"arrays": "other arrays", "parameters": "other settings"}
        for field, value in expected.items():
            if manifest.get(field) != value:
                raise CacheError(f"{path}: describes {reasons.get(field, f'another {field}')}")
        try:
            if has_wavs and not all(_same(manifest["clips"][s], getattr(clips, s)) for s in ("train", "test")):
                raise CacheError(f"{path}: describes other clips")
            left_out = [(split, name, reason) for split, name, reason in manifest["left_out"]]
            broken = {name for split, name, _ in left_out if split == "test"}
            names = [name for name in manifest["clips"]["test"] if name not in broken]
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, CacheError):
                raise
            raise CacheError(f"{path}: not a whole manifest ({type(error).__name__}: {error})") from None
        if len(names) != len(test):
            raise CacheError(f"{path}: describes {len(names)} test clips, but there are features of {len(test)}")
        labels = last.astype(int).tolist() if self.mode == "d" else [None] * len(names)
        return Features(train, test, names, labels, left_out)

    def _without_manifest(self, clips, train, test, last, has_wavs):
        labels = last.astype(int).tolist() if self.mode == "d" else [None] * len(last)
        names = layout_names(clips.id, labels) if self.mode == "d" else last.tolist()
        if has_wavs:
            if len(train) != len(clips.train) or len(test) != len(clips.test):
                raise CacheError(
                    f"{self._path(clips, 'X_test')}: {len(train)} training and {len(test)} test rows, "
                    f"but {len(clips.train)} and {len(clips.test)} clips"
                )
            if self.mode == "d" and labels != [clip.label for clip in clips.test]:
                raise CacheError(f"{self._path(clips, 'y_test')}: labels of other clips")
            if self.mode == "e" and set(names) != {clip.name for clip in clips.test}:
                raise CacheError(f"{self._path(clips, 'eval_files')}: names of other clips")
            if self.mode == "d":
                names = [clip.name for clip in clips.test]
        warnings.warn(NoManifestWarning(clips, f"{len(train)} training, {len(test)} test clips"), stacklevel=4)
        return Features(train, test, names, labels, [])


def _npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _fingerprints(clips):
    """Per split: name -> [size in bytes, time of change in ns, CRC-32], in the order of the clips."""
    return {split: {c.name: _fingerprint(c.path) for c in getattr(clips, split)} for split in ("train", "test")}


def _fingerprint(path):
    try:
        status = path.stat()
        return [status.st_size, status.st_mtime_ns, zlib.crc32(path.read_bytes())]
    except OSError:
        return None


def _same(recorded, clips):
    """Whether clips are those a manifest describes: a clip with another time of change is read and compared."""
    if list(recorded) != [clip.name for clip in clips]:
        return False
    for clip, fingerprint in zip(clips, recorded.values(), strict=True):
        try:
            status = clip.path.stat()
        except OSError:
            status = None
        if status is None or fingerprint is None:
            if _fingerprint(clip.path) != fingerprint:
                return False
        elif [status.st_size, status.st_mtime_ns] != fingerprint[:2]:
            now = _fingerprint(clip.path)
            if now is None or [now[0], now[2]] != [fingerprint[0], fingerprint[2]]:
                return False
    return True
