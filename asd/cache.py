"""Feature caches: what a system extracted from a machine id's clips, safe to trust on the next run.

System 1's cache is interchangeable with the original's, one folder of arrays::

    <Machine><id>_{X_train,X_test,y_test}_NR-100_d_.npy        development
    <Machine><id>_{X_train,X_test,eval_files}_NR-100_e_.npy    evaluation
    <Machine><id>_manifest_NR-100_{d,e}_.json                  ours: what the arrays were made from

with the id without leading zero. Arrays whose manifest disagrees with the clips, the settings or
the arrays themselves are not used. Arrays without a manifest are the original's and are accepted.

Conventions: no pickle is written or opened.
"""

import hashlib
import io
import json
import re
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asd.audio import AudioError, DataError, DataWarning
from asd.dataset import LABELS, layout_names, parse_name
from asd.files import write_atomically

FORMAT = 1  # of the manifest


class CacheError(DataError):
    """A cached file is unusable and cannot be made again."""


class StaleCacheWarning(DataWarning):
    """Cached features disagree with the clips or settings and are computed again."""

    kind = "machine ids whose cached features are computed again"


class NoManifestWarning(DataWarning):
    """Cached features come without a manifest and are taken on trust."""

    kind = "machine ids with cached features of unknown origin (no manifest), taken on trust"


@dataclass
class Features:
    """Features of a machine id's usable clips, and the clips that were not usable.

    `train` is `(n_train, ...)`, `test` is `(n_test, ...)`, `train_names` go with the rows of
    `train`, `test_names` and `labels` (0, 1, None) with those of `test`; `left_out` lists (split,
    name, reason). `extractor` is what they were made with beside the clips, as far as the training clips
    decide it; where it was trained on all of them, `held_out`, `(n_folds, n_train, ...)`, are their
    features by extractors trained without each fold, and `statistics` what it was trained on. None
    where they are not known.
    """

    train: np.ndarray
    test: np.ndarray
    train_names: list[str]
    test_names: list[str]
    labels: list
    left_out: list[tuple[str, str, str]]
    extractor: object = None
    held_out: np.ndarray | None = None
    statistics: object = None

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
            train_names=[clip.name for clip, _ in usable["train"]],
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

    def load(self, clips, peers=()):
        """Features of a machine id, or None where they have to be computed.

        Parameters
        ----------
        clips : MachineId
            The id and its clips; cached features are compared with these if both splits are there.
        peers : sequence of MachineId
            The ids of its machine type, which these features do not depend on.

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

    def partial(self, clips, peers=()):
        """None: a machine id's spectra are there all together or not at all."""

    def training(self, machine):
        """Training spectra of a machine type's ids, of which more need not be there: dict of id -> array.

        Spectra that are unusable are left out.
        """
        found = {}
        for path in sorted(self.folder.glob(f"*_X_train_{self.suffix}.npy")):
            name = path.name[: -len(f"_X_train_{self.suffix}.npy")]
            match = re.fullmatch(r"(.*\D)(\d+)", name)
            key = self._key(*match.groups()) if match else (None, None)
            if key[0] == machine:
                with suppress(CacheError, OSError):
                    found[key[1]] = self._read(path, "X_train")
        return found

    def save(self, clips, features, peers=(), clip_map=map):
        """Write features and manifest; whatever was there is no longer trusted from the first byte on.

        `clip_map` applies a function to a list of clips, as `map` does.

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
            "clips": _fingerprints(clips, clip_map),
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
        array = _read_npy(path)
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
        except (ValueError, RecursionError):
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
            train_names, names = _recorded_names(manifest).values()
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, CacheError):
                raise
            raise CacheError(f"{path}: not a whole manifest ({type(error).__name__}: {error})") from None
        for split, rows, of_split in (("training", train, train_names), ("test", test, names)):
            if len(of_split) != len(rows):
                raise CacheError(
                    f"{path}: describes {len(of_split)} {split} clips, but there are features of {len(rows)}"
                )
        labels = last.astype(int).tolist() if self.mode == "d" else [None] * len(names)
        return Features(train, test, train_names, names, labels, left_out)

    def _without_manifest(self, clips, train, test, last, has_wavs):
        labels = last.astype(int).tolist() if self.mode == "d" else [None] * len(last)
        names = layout_names(clips.id, labels) if self.mode == "d" else last.tolist()
        train_names = layout_names(clips.id, [0] * len(train))
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
            train_names = [clip.name for clip in clips.train]
        warnings.warn(NoManifestWarning(clips, f"{len(train)} training, {len(test)} test clips"), stacklevel=4)
        return Features(train, test, train_names, names, labels, [])


class IVectorCache:
    """System 2's cache folder, laid out as the original's.

    A text file a clip, `<machine>/{train,test}/<clip>.csv` (development) or
    `<machine>/{train_eval,test_eval}/<clip>.csv` (evaluation), a number a line. Ours lie beside
    `<machine>/extractor_id_<II>_{d,e}.npz`, which made them, `<machine>/held_out_id_<II>_{d,e}.npy`
    and `<machine>/manifest_id_<II>_{d,e}.json`.

    Parameters
    ----------
    folder : str or Path
    mode : {"d", "e"}
    dim : int
        Numbers a file.
    parameters : dict
        Settings that the i-vectors depend on, as JSON values; kept in the manifest.
    asked : sequence of str
        Flags by which the user asked for settings of the extractor: i-vectors of unknown origin
        cannot be known to have them.
    whole_type : bool
        Whether the i-vectors of an id depend on the training clips of all ids of its machine type.
    """

    def __init__(self, folder, mode, *, dim, parameters, asked=(), whole_type=False):
        self.folder, self.mode, self.dim = Path(folder), mode, dim
        self.parameters, self.asked, self.whole_type = parameters, asked, whole_type
        self.folders = {split: split if mode == "d" else f"{split}_eval" for split in ("train", "test")}

    def ids(self):
        """What the folder holds: dict of (machine, id) -> tuple of the splits it lacks."""
        found = {}
        for machine in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            for split in ("train", "test"):
                for name in self._names(machine.name, split):
                    found.setdefault((machine.name, parse_name(name)[1]), set()).add(split)
        return {key: tuple(s for s in ("train", "test") if s not in splits) for key, splits in found.items()}

    def load(self, clips, peers=()):
        """i-vectors of a machine id, or None where some have to be extracted.

        Parameters
        ----------
        clips : MachineId
            The id and its clips; compared with what made the i-vectors if both splits are there.
        peers : sequence of MachineId
            The ids of its machine type, itself among them.

        Raises
        ------
        CacheError
            If what is there is unusable and cannot be made again, or was not made by us and does
            not serve, with what to delete.

        Warns
        -----
        StaleCacheWarning, NoManifestWarning
        """
        path = self._manifest_path(clips)
        if not path.is_file():
            return self._load_without_manifest(clips)
        try:
            manifest = self._manifest(clips, peers)
            names = _recorded_names(manifest)
            vectors = {split: [self._read(clips, split, name) for name in names[split]] for split in names}
            for split, of_split in names.items():
                for name, vector in zip(of_split, vectors[split], strict=True):
                    if _vector_digest(vector) != manifest["vectors"][split].get(name):
                        raise CacheError(f"{self._vector_path(clips, split, name)}: not as it was written")
            held_out = None
            try:
                held_out = self._read_held_out(clips, manifest)
            except CacheError:
                if clips.missing is None:
                    raise
        except CacheError as error:
            if clips.missing is not None:
                raise CacheError(
                    f"{error}; its WAVs are not there to make it again: give them with --data, the settings that "
                    "made it, or another folder with --saved"
                ) from None
            if not self._is_begun(path):
                warnings.warn(StaleCacheWarning(clips, str(error)), stacklevel=2)
            return None
        features = self._features(names, vectors, [tuple(entry) for entry in manifest["left_out"]])
        features.held_out, features.extractor = held_out, self.extractor(clips)
        return features

    def partial(self, clips, peers=()):
        """What made a machine id's i-vectors and those that are there, or None.

        Returns
        -------
        (IVectorExtractor, held-out i-vectors, dict of (split, name) -> (dim,) array) or None
            None where the extractor or the held-out i-vectors are not there or are of other clips or
            settings.
        """
        try:
            manifest = self._manifest(clips, peers)
            held_out = self._read_held_out(clips, manifest)
        except DataError:
            return None
        extractor = self.extractor(clips)
        if extractor is None:
            return None
        vectors = {}
        for split, of_split in _recorded_names(manifest).items():
            for name in of_split:
                with suppress(CacheError):
                    vector = self._read(clips, split, name)
                    if _vector_digest(vector) == manifest["vectors"][split].get(name):
                        vectors[split, name] = vector
        return extractor, held_out, vectors

    def extractor(self, clips):
        """The extractor that made a machine id's i-vectors, or None where it is not there whole."""
        from asd.ivector import IVectorExtractor

        path = self._extractor_path(clips)
        with suppress(DataError, OSError, ValueError, KeyError, TypeError, RecursionError):
            if _file_digest(path) == json.loads(self._manifest_path(clips).read_text("utf-8"))["extractor"]:
                return IVectorExtractor.load(path)
        return None

    def save(self, clips, features, peers=(), clip_map=map):
        """Write i-vectors, extractor and manifest; whatever was there is no longer trusted from the first byte on.

        `clip_map` applies a function to a list of clips, as `map` does.

        Raises
        ------
        OSError
            With the file's name, if one cannot be written.
        """
        path = self._manifest_path(clips)
        write_atomically(path, json.dumps({"format": FORMAT, "begun": True}) + "\n")
        broken = {(split, name) for split, name, _ in features.left_out}
        digests = {"train": {}, "test": {}}
        for split, rows in (("train", features.train), ("test", features.test)):
            names = [clip.name for clip in getattr(clips, split) if (split, clip.name) not in broken]
            for name, vector in zip(names, rows, strict=True):
                digests[split][name] = _vector_digest(vector)
                text = "".join(f"{value!r}\n" for value in vector.tolist())
                write_atomically(self._vector_path(clips, split, name), text, sync=False)
        features.extractor.save(self._extractor_path(clips))
        held_out = _npy_bytes(features.held_out)
        write_atomically(self._held_out_path(clips), held_out)
        manifest = {
            "format": FORMAT,
            "machine": clips.machine,
            "id": clips.id,
            "parameters": self.parameters,
            "clips": _fingerprints(clips, clip_map),
            "peers": self._peer_fingerprints(peers, clip_map),
            "left_out": [list(entry) for entry in features.left_out],
            "extractor": _file_digest(self._extractor_path(clips)),
            "held_out": hashlib.sha256(held_out).hexdigest(),
            "vectors": digests,
        }
        write_atomically(path, json.dumps(manifest, ensure_ascii=False) + "\n")

    def _manifest_path(self, clips):
        return self.folder / clips.machine / f"manifest_id_{clips.id}_{self.mode}.json"

    def _extractor_path(self, clips):
        return self.folder / clips.machine / f"extractor_id_{clips.id}_{self.mode}.npz"

    def _held_out_path(self, clips):
        return self.folder / clips.machine / f"held_out_id_{clips.id}_{self.mode}.npy"

    def _vector_path(self, clips, split, name):
        return self.folder / clips.machine / self.folders[split] / f"{Path(name).stem}.csv"

    def _names(self, machine, split, id=None):
        """Clip names of the files of a machine type (and an id), in the order of clips."""
        labels = (0,) if split == "train" else (0, 1) if self.mode == "d" else (None,)
        found = []
        for path in sorted((self.folder / machine / self.folders[split]).glob("*.csv")):
            parsed = parse_name(f"{path.stem}.wav")
            if parsed and LABELS[parsed[0]] in labels and id in (None, parsed[1]):
                found.append((LABELS[parsed[0]] or 0, f"{path.stem}.wav"))
        return [name for _, name in sorted(found)]

    def _is_begun(self, path):
        """Whether a manifest says that its i-vectors were still being written."""
        with suppress(OSError, ValueError, AttributeError, RecursionError):
            return json.loads(path.read_text("utf-8")).get("begun", False)
        return False

    def _manifest(self, clips, peers):
        """The manifest of a machine id; CacheError where it disagrees with clips or settings."""
        path = self._manifest_path(clips)
        try:
            manifest = json.loads(path.read_text("utf-8"))
            expected = {"format": FORMAT, "machine": clips.machine, "id": clips.id, "parameters": self.parameters}
            for field, value in expected.items():
                if manifest[field] != value:
                    raise CacheError(f"{path}: describes other settings ({_difference(manifest[field], value)})")
            if clips.missing is None:
                if not all(_same(manifest["clips"][s], getattr(clips, s)) for s in ("train", "test")):
                    raise CacheError(f"{path}: describes other clips")
                if self.whole_type:
                    others = {peer.id: peer for peer in peers if peer.train}
                    if set(others) != set(manifest["peers"]) or not all(
                        _same(manifest["peers"][id], peer.train) for id, peer in others.items()
                    ):
                        raise CacheError(f"{path}: describes other clips of the machine type")
            names = _recorded_names(manifest)
            if not all(isinstance(manifest["vectors"][split], dict) for split in names):
                raise TypeError("vectors")
            for name in ("extractor", "held_out"):
                if not isinstance(manifest[name], str):
                    raise TypeError(name)
        except CacheError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CacheError(f"{path}: not a whole manifest ({type(error).__name__})") from None
        return manifest

    def _load_without_manifest(self, clips):
        names = {split: self._names(clips.machine, split, clips.id) for split in ("train", "test")}
        if not names["train"] and not names["test"]:
            return None
        folder = self.folder / clips.machine
        if self.asked:
            raise CacheError(
                f"{folder}: holds i-vectors of {clips} of unknown origin (no manifest), so {', '.join(self.asked)} "
                "cannot be granted; leave the flags out, or name another folder with --saved"
            )
        if clips.missing is None:
            for split in names:
                there, wanted = set(names[split]), {clip.name for clip in getattr(clips, split)}
                if there != wanted:
                    example = sorted(there ^ wanted)[0]
                    raise CacheError(
                        f"{folder / self.folders[split]}: holds i-vectors of unknown origin (no manifest) of "
                        f"{len(there & wanted)} of the {len(wanted)} clips of {clips} and {len(there - wanted)} "
                        f"others, see {example}; delete those of id {clips.id} there to extract all again"
                    )
        vectors = {split: [self._read(clips, split, name) for name in names[split]] for split in names}
        warnings.warn(
            NoManifestWarning(clips, f"{len(names['train'])} training, {len(names['test'])} test clips"), stacklevel=3
        )
        return self._features(names, vectors, [])

    def _features(self, names, vectors, left_out):
        labels = [LABELS[parse_name(name)[0]] for name in names["test"]]
        train, test = np.array(vectors["train"]), np.array(vectors["test"])
        return Features(train, test, list(names["train"]), list(names["test"]), labels, left_out)

    def _read_held_out(self, clips, manifest):
        path = self._held_out_path(clips)
        try:
            if _file_digest(path) != manifest["held_out"]:
                raise CacheError(f"{path}: not as it was written")
            held_out = _read_npy(path)
        except OSError:
            raise CacheError(f"{path}: missing") from None
        n_train = len(_recorded_names(manifest)["train"])
        if held_out.shape[1:] != (n_train, self.dim) or held_out.dtype != float or not np.isfinite(held_out).all():
            raise CacheError(f"{path}: {held_out.dtype} {held_out.shape}, expected (n, {n_train}, {self.dim}) floats")
        return held_out

    def _read(self, clips, split, name):
        path = self._vector_path(clips, split, name)
        try:
            vector = np.array(path.read_text("utf-8").split(), np.float64)
        except FileNotFoundError:
            raise CacheError(f"{path}: missing") from None
        except ValueError:
            raise CacheError(f"{path}: holds something else than numbers; delete it and run again") from None
        if vector.shape != (self.dim,) or not np.isfinite(vector).all():
            raise CacheError(
                f"{path}: holds {vector.size} numbers, {np.isfinite(vector).sum()} of them finite, "
                f"{self.dim} are expected; delete it and run again"
            )
        return vector

    def _peer_fingerprints(self, peers, clip_map):
        return {p.id: _fingerprints(p, clip_map)["train"] for p in peers if p.train} if self.whole_type else {}


def _recorded_names(manifest):
    """Per split: names of the usable clips that a manifest describes."""
    broken = {(split, name) for split, name, _ in manifest["left_out"]}
    return {
        split: [name for name in manifest["clips"][split] if (split, name) not in broken] for split in ("train", "test")
    }


def _file_digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _vector_digest(vector):
    return hashlib.sha256(np.ascontiguousarray(vector, np.float64).tobytes()).hexdigest()[:16]


def _difference(recorded, wanted):
    """How two settings differ, in words."""
    if not isinstance(recorded, dict) or not isinstance(wanted, dict):
        return f"{recorded}, not {wanted}"
    differ = [name for name in {**recorded, **wanted} if recorded.get(name) != wanted.get(name)]
    return ", ".join(f"{name} {recorded.get(name)}, not {wanted.get(name)}" for name in differ)


def _read_npy(path):
    try:
        with open(path, "rb") as file:
            np.lib.format.read_magic(file)  # np.load opens archives and pickles too
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False))  # mapped: no memory for a false shape
    except (ValueError, TypeError, EOFError, OverflowError, MemoryError) as error:
        raise CacheError(f"{path}: not a plain .npy array ({error})") from None


def _npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _fingerprints(clips, clip_map):
    """Per split: name -> [size in bytes, time of change in ns, CRC-32], in the order of the clips."""
    names = {split: [clip.name for clip in getattr(clips, split)] for split in ("train", "test")}
    made = iter(clip_map(_fingerprint, [clip.path for clip in clips.train + clips.test]))
    return {split: dict(zip(of_split, made, strict=False)) for split, of_split in names.items()}


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
