"""Folder layouts -> the machine ids of a data set and their clips: DCASE Task 2 of every year, MIMII, plain folders.

::

    dcase2020   <machine>/{train,test}/                     names of `asd.dataset`
    dcase2021   <machine>/{train,source_test,target_test}/  names of `asd.sections`
    dcase2022   <machine>/{train,test}/                     names of `asd.sections`; so dcase2023 to dcase2026
    mimii       [<snr>/]<machine>/id_II/{normal,abnormal}/NNNNNNNN.wav
    plain       a folder of normal clips, or {train,test}/ with "normal" and "anomaly" in names or folders

In all but plain folders one machine's folder may be given in the place of the one above it. What
the official list of an evaluation set tells is added where it lies in the data folder.

Conventions: as in `asd.dataset`. Names that begin with a dot are passed over; links are followed.
"""

import os
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from asd import dataset
from asd.audio import DataError, DataWarning
from asd.dataset import Clip, MachineId, NameWarning, is_text, machine_order
from asd.sections import parse_attributes, parse_section, read_attributes, read_truth, stem

LAYOUTS = {  # name -> what is looked for
    "dcase2020": "<machine>/train/normal_id_II_NNNNNNNN.wav",
    "dcase2021": "<machine>/source_test/section_II_source_test_...NNNN....wav",
    "dcase2022": "<machine>/train/section_II_source_train_normal_NNNN_....wav",
    "dcase2023": "as dcase2022",
    "dcase2024": "as dcase2022",
    "dcase2025": "as dcase2022",
    "dcase2026": "as dcase2022",
    "mimii": "<machine>/id_II/{normal,abnormal}/NNNNNNNN.wav",
    "plain": "sound files of one normal machine, or of train/ and test/",
}
SPLITS = {"train": "train", "test": "test", "supplemental": "supplemental"}
SPLITS_OF_2021 = {"train": "train", "source_test": "test", "target_test": "test", "supplemental": "supplemental"}
SOUND_FILES = re.compile(  # endings of what libsndfile tells by its content
    r".*\.(wave?|flac|og[ga]|opus|mp3|aif[fc]?|au|snd|caf|w64|rf64)", re.IGNORECASE
)
MIMII_ID = re.compile(r"id_([0-9]{2})")
MIMII_CLIP = re.compile(r"[0-9]{8}\.wav", re.IGNORECASE)
MIMII_DEPTH = 3  # folders from the root to id_II, at most
WORDS = {"normal": 0, "anomaly": 1, "anomalous": 1, "anomalies": 1, "abnormal": 1}
PLAIN_ID = "00"
HOW_TO_FORCE = f"force a layout with --layout ({', '.join(LAYOUTS)})"


class UnlistedWarning(DataWarning):
    """An official list lies beside the data, but does not name every test clip without a label."""

    kind = "machine ids with test clips that the official list does not name"


@dataclass(frozen=True)
class Dataset:
    """The machine ids of a data set, the layout they were found in and the channel to read.

    From 2026 on, channel 0 is the microphone near the machine; in MIMII it is the one that its
    baseline uses.
    """

    root: Path
    layout: str
    ids: tuple[MachineId, ...]
    channel: int = 0

    @property
    def year(self):
        """The year of the challenge whose metrics and file names apply; 2020 where there is none."""
        return int(self.layout[5:]) if self.layout.startswith("dcase") else 2020


def read(root, layout="auto", *, machines=None):
    """Find the machine ids and the clips of a data set.

    Parameters
    ----------
    root : str or Path
        Its folder.
    layout : str
        A name of `LAYOUTS`, or "auto": the one that the names below `root` fit.
    machines : sequence of str, optional
        Only these machine types.

    Returns
    -------
    Dataset
        Ids in the published order of 2020's machine types, then by name; a split may be empty. Test
        clips of an evaluation set without an official list have no label, from 2022 on no domain.

    Raises
    ------
    DataError
        If there is no such folder, machine type or clip of the layout, or more than one layout; if
        an official list or an attribute file is broken, or lists contradict each other.
    OSError
        With its name, if a folder cannot be listed.
    ValueError
        If `layout` is not one.

    Warns
    -----
    NameWarning
        For each file that the layout has no place for.
    UnlistedWarning
        For each machine id with test clips that an official list is there for, but does not name.
    """
    root = Path(root)
    if layout != "auto" and layout not in LAYOUTS:
        raise ValueError(f"layout is auto or one of {', '.join(LAYOUTS)}, not {layout!r}")
    found = detect(root) if layout == "auto" else layout
    reader = {"dcase2020": _read_2020, "mimii": _read_mimii, "plain": _read_plain}.get(found, _read_sections)
    ids = reader(_folder(root), found)
    if not any(clips.train or clips.test for clips in ids):
        raise DataError(f"{root}: no clips in the layout {found} ({_pattern(found)}); {HOW_TO_FORCE}")
    if machines is not None:
        there = dict.fromkeys(clips.machine for clips in ids)
        if missing := [machine for machine in machines if machine not in there]:
            raise DataError(f"{root}: no machine {missing[0]!r}; there: {', '.join(there)}")
        ids = [clips for clips in ids if clips.machine in machines]
    if found.startswith("dcase"):
        ids = _with_truth(ids, _truth(root))
    return Dataset(root, found, tuple(sorted(ids, key=lambda m: (machine_order(m.machine), m.id))))


def detect(root):
    """Name of the layout that the files below a folder are in.

    Asked in turn: do clips of the folders `train`, `test`, ... of a machine bear names of DCASE? Are
    there folders `id_II` with `normal` or `abnormal` in them? Is there any sound file?

    Returns
    -------
    str
        Of 2022 to 2026, which do not differ, "dcase2022".

    Raises
    ------
    DataError
        If there is no such folder, or none or several fit; the text says what was looked for.
    OSError
        With its name, if a folder cannot be listed.
    """
    root = _folder(root)
    found = {}
    for _, folder in _machines(root, SPLITS | SPLITS_OF_2021):
        if layout := _layout_of(folder):
            found.setdefault(layout, folder)
    if {"dcase2021", "dcase2022"} <= found.keys():  # 2021's additional training clips have no test folders
        del found["dcase2022"]
    if len(found) > 1:
        examples = ", ".join(f"{layout} ({folder.name})" for layout, folder in sorted(found.items()))
        raise DataError(f"{root}: holds clips of several layouts: {examples}; give each a folder, or {HOW_TO_FORCE}")
    if found:
        return next(iter(found))
    if _mimii_folders(root):
        return "mimii"
    if _has_sound(root):
        return "plain"
    looked_for = "; ".join(f"{name}: {what}" for name, what in LAYOUTS.items() if not what.startswith("as "))
    raise DataError(
        f"{root}: no data set found; looked for {looked_for}; name the folder above the machines, or {HOW_TO_FORCE}"
    )


def sound_files(folder):
    """Sound files below a folder, by their endings.

    Links are followed, each folder is entered once, so a link to a folder above ends.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    list of Path
        Sorted by their names below `folder`.

    Raises
    ------
    OSError
        With its name, if a folder cannot be listed.

    Warns
    -----
    NameWarning
        For each file that is no sound file or whose name is not Unicode.
    """
    folder = Path(folder)
    found, left, entered = [], [folder], set()
    while left:
        here = left.pop()
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in entered:
            continue
        entered.add((status.st_dev, status.st_ino))
        for path in reversed(_entries(here)):
            if path.is_dir():
                left.append(path)
            elif not SOUND_FILES.fullmatch(path.name) or _is_special(path):
                warnings.warn(NameWarning(path, "not a sound file"), stacklevel=2)
            else:
                found.append(path)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _folder(root):
    root = Path(root)
    if not root.is_dir():
        what = "a file, not a folder" if root.is_file() else "no such folder"
        raise DataError(f"{root}: {what}; name the folder that holds the data set")
    return root


def _entries(folder):
    """Paths in a folder, sorted by name, without hidden ones; warns of names that cannot be written to a CSV."""
    paths = []
    for name in sorted(os.listdir(folder)):
        if name.startswith("."):
            continue
        if is_text(name):
            paths.append(Path(folder, name))
        else:
            warnings.warn(NameWarning(Path(folder, name), "name is not Unicode"), stacklevel=3)
    return paths


def _is_special(path):
    """True of pipes, sockets and devices, which could be read for ever; a link to nothing is not one."""
    return path.exists() and not path.is_file()


def _name(root):
    """Name of a folder, also where it is given as "." or ".."."""
    return Path(os.path.abspath(root)).name or "machine"


def _machines(root, splits):
    """(machine type, folder) of `root` if it holds a split, else of each folder in it that does."""
    if _holds(root, splits):
        return [(_name(root), root)]
    return [(folder.name, folder) for folder in _entries(root) if _holds(folder, splits)]


def _holds(folder, splits):
    return any((folder / split).is_dir() for split in splits)


def _layout_of(machine):
    """DCASE layout that a machine's folder is in, by the names in it, or None."""
    for split in SPLITS | SPLITS_OF_2021:
        folder = machine / split
        for path in _entries(folder) if folder.is_dir() else ():
            if dataset.parse_name(path.name):
                return "dcase2020"
            if parse_section(path.name):
                return "dcase2021" if _holds(machine, ("source_test", "target_test")) else "dcase2022"
    return None


def _pattern(layout):
    return LAYOUTS[layout] if not LAYOUTS[layout].startswith("as ") else LAYOUTS["dcase2022"]


def _read_2020(root, _):
    """A development set if a test clip's name bears a label, else an evaluation set."""
    found = _machines(root, ("train", "test"))
    names = (path.name for _, folder in found if (folder / "test").is_dir() for path in _entries(folder / "test"))
    mode = "d" if any((dataset.parse_name(name) or (None,))[0] for name in names) else "e"
    if found and found[0][1] == root:
        root = Path(os.path.abspath(root)).parent
    return dataset.scan(root, mode, [name for name, _ in found])


def _read_sections(root, layout):
    splits = SPLITS_OF_2021 if layout == "dcase2021" else SPLITS
    ids = []
    for machine, folder in _machines(root, splits):
        attributes = {}
        for path in sorted(folder.glob("attributes_*.csv")):
            attributes |= read_attributes(path)
        sections = {}
        for place, split in splits.items():
            for path in _entries(folder / place) if (folder / place).is_dir() else ():
                parsed = parse_section(path.name)
                domain = place.removesuffix("_test") if place != split else None
                if parsed is None or _misplaced(parsed, split, domain):
                    warnings.warn(NameWarning(path, "name does not fit its folder"), stacklevel=3)
                    continue
                clips = sections.setdefault(parsed.section, {}).setdefault(split, [])
                clips.append(_section_clip(path, parsed, split, domain, attributes.get(stem(path.name), {})))
        for section, clips in sorted(sections.items()):
            ids.append(MachineId(machine, section, **{split: _normals_first(of) for split, of in clips.items()}))
    return ids


def _misplaced(parsed, split, domain):
    """True if a clip's name contradicts its folder."""
    return (
        parsed.split not in (None, split)
        or (split == "train" and parsed.label == 1)
        or (split != "supplemental" and parsed.sound is not None)
        or (domain is not None and parsed.domain not in (None, domain))
    )


def _section_clip(path, parsed, split, domain, attributes):
    label = 0 if split == "train" else parsed.label
    known = dict(attributes) or parse_attributes(parsed.tail)
    if split == "supplemental":
        label = 0 if parsed.sound == "machine" else None
        known |= {"sound": parsed.sound} if parsed.sound else {}
    return Clip(path, path.name, label, parsed.domain or domain, known)


def _normals_first(clips):
    return tuple(sorted(clips, key=lambda clip: (clip.label or 0, clip.name)))


def _truth(root):
    """What the official lists beside the machines tell: (machine, test name) -> Truth."""
    folders = [root, Path(os.path.abspath(root)).parent] if _holds(root, SPLITS | SPLITS_OF_2021) else [root]
    found, source = {}, {}
    for path in (path for folder in folders for path in sorted(folder.glob("eval_data_list*.csv"))):
        for key, truth in read_truth(path).items():
            if found.setdefault(key, truth) != truth:
                raise DataError(
                    f"{path}: contradicts {source[key]} on {' '.join(key)}; keep the one of this year's data"
                )
            source.setdefault(key, path.name)
    return found


def _with_truth(ids, truth):
    """The same machine ids with what is known of their test clips beyond their names."""

    def told(machine, clip):
        known = truth.get((machine, clip.name))
        if known is None or clip.label is not None:
            return clip
        return replace(
            clip,
            label=known.label,
            domain=clip.domain or known.domain,
            attributes=clip.attributes or dict(known.attributes),
        )

    found = [replace(clips, test=tuple(told(clips.machine, clip) for clip in clips.test)) for clips in ids]
    for clips in found if truth else ():
        if unlisted := [clip.name for clip in clips.test if clip.label is None]:
            what = f"{len(unlisted)} of {len(clips.test)}, e.g. {unlisted[0]}; is it the list of this year?"
            warnings.warn(UnlistedWarning(clips, what), stacklevel=3)
    return found


def _mimii_folders(root):
    """(folders from root to the machine, machine's folder, id, folder of the id) of each `id_II` with clips."""
    found, left = [], [((), root)]
    while left:
        parts, folder = left.pop()
        match = MIMII_ID.fullmatch(_name(folder))
        if match and any((folder / label).is_dir() for label in ("normal", "abnormal")):
            found.append((parts[:-1], match[1], folder))
        elif len(parts) < MIMII_DEPTH:
            left += [((*parts, path.name), path) for path in _entries(folder) if path.is_dir()]
    return sorted(found)


def _read_mimii(root, _):
    """Test clips are all abnormal ones and the first as many normal ones, as MIMII's baseline splits them [1]_.

    Where several signal-to-noise ratios lie side by side, a machine type is `<snr>_<machine>`, as
    the distributed archives are named.

    References
    ----------
    .. [1] H. Purohit et al., "MIMII Dataset: sound dataset for malfunctioning industrial machine
           investigation and inspection", DCASE Workshop, 2019; its repository, `baseline.py`.
    """
    ids = []
    for parts, id, folder in _mimii_folders(root):
        above = root if folder != root else Path(os.path.abspath(root)).parent
        machine = "_".join(parts) or _name(above)
        normal, abnormal = (_mimii_clips(folder, label) for label in ("normal", "abnormal"))
        ids.append(MachineId(machine, id, tuple(normal[len(abnormal) :]), tuple(normal[: len(abnormal)] + abnormal)))
    return ids


def _mimii_clips(folder, label):
    """Clips of one label; named with their folder, since a normal and an abnormal one may share a number."""
    clips = []
    for path in _entries(folder / label) if (folder / label).is_dir() else ():
        if MIMII_CLIP.fullmatch(path.name):
            clips.append(Clip(path, f"{label}/{path.name}", WORDS[label]))
        else:
            warnings.warn(NameWarning(path, "name does not fit its folder"), stacklevel=4)
    return clips


def _has_sound(root):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NameWarning)
        return bool(sound_files(root))


def _read_plain(root, _):
    """A machine is `root`, or each folder in it that holds `train` or `test`; its only id is 00."""
    found = [root] if _plain_splits(root) else [path for path in _entries(root) if _plain_splits(path)]
    if not found:
        return [MachineId(_name(root), PLAIN_ID, _plain_normals(root))]
    ids = []
    for folder in found:
        clips = {split: _plain_clips(path, split) for split, path in _plain_splits(folder).items()}
        ids.append(MachineId(_name(folder), PLAIN_ID, **clips))
    return ids


def _plain_splits(folder):
    """Split -> folder, whatever case its name is in."""
    paths = _entries(folder) if folder.is_dir() else ()
    return {path.name.lower(): path for path in paths if path.name.lower() in ("train", "test") and path.is_dir()}


def _plain_normals(root):
    """Clips of a folder without splits; an error where it seems to hold more than normal clips."""
    clips = []
    for path in sound_files(root):
        name = path.relative_to(root).as_posix()
        if split := next((part for part in name.split("/")[:-1] if part.lower() in SPLITS | SPLITS_OF_2021), None):
            raise DataError(
                f"{path}: lies in a folder {split}, too far below {root}; name the folder that holds {split}, or the "
                "one above that"
            )
        if _plain_label(path, name) == 1:
            raise DataError(
                f"{path}: is named as an anomaly, and a folder without train and test is one of normal clips; put "
                f"normal clips into {root / 'train'} and all others into {root / 'test'}"
            )
        clips.append(Clip(path, name, 0))
    return tuple(clips)


def _plain_clips(folder, split):
    clips = []
    for path in sound_files(folder):
        name = path.relative_to(folder).as_posix()
        label = _plain_label(path, name)
        if split == "test":
            clips.append(Clip(path, name, label))
        elif label == 1:
            warnings.warn(NameWarning(path, "an anomaly by its name, in a folder of training clips"), stacklevel=4)
        else:
            clips.append(Clip(path, name, 0))
    return _normals_first(clips)


def _plain_label(path, name):
    """Label that the words in a clip's name and its folders tell: 0, 1 or None; both is an error."""
    labels = {WORDS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in WORDS}
    if len(labels) > 1:
        raise DataError(f"{path}: {name} says both normal and anomalous; rename the file or its folder")
    return labels.pop() if labels else None
