"""A cache is used when it is what the clips and settings give, computed again when it is not, and
interchangeable with the original's."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from asd import cache as cache_module
from asd.cache import CacheError, Features, NoManifestWarning, SpectraCache, StaleCacheWarning
from asd.dataset import Clip, MachineId, layout_names
from asd.files import write_atomically

PARAMETERS = {"noise_clips": 100}


@pytest.fixture
def clips(tmp_path):
    """A machine id with three training and four test clips; any bytes do."""
    made = {"train": layout_names("12", [0] * 3), "test": layout_names("12", [0, 0, 1, 1])}
    splits = {}
    for split, names in made.items():
        for name in names:
            path = tmp_path / "data" / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode() * 1000)
        splits[split] = tuple(
            Clip(tmp_path / "data" / split / name, name, int(name.startswith("anomaly"))) for name in names
        )
    return MachineId("fan", "12", splits["train"], splits["test"])


@pytest.fixture
def without_wavs():
    return MachineId("fan", "12")


@pytest.fixture
def features(rng, clips):
    names, labels = [c.name for c in clips.test], [c.label for c in clips.test]
    train_names = [c.name for c in clips.train]
    return Features(rng.random((3, 6, 2)), rng.random((4, 6, 2)), train_names, names, labels, [])


@pytest.fixture
def cache(tmp_path):
    return SpectraCache(tmp_path / "saved", "d", shape=(6, 2), parameters=PARAMETERS)


def assert_same(loaded, features):
    np.testing.assert_array_equal(loaded.train, features.train)
    np.testing.assert_array_equal(loaded.test, features.test)
    for name in ("train_names", "test_names", "labels", "left_out"):
        assert getattr(loaded, name) == getattr(features, name)


def test_what_was_saved_is_loaded_with_and_without_the_clips(cache, clips, without_wavs, features):
    assert cache.load(clips) is None
    cache.save(clips, features)
    assert_same(cache.load(clips), features)
    assert_same(cache.load(without_wavs), features)
    assert cache.ids() == {("fan", "12"): ()}


def test_clips_left_out_are_remembered(cache, clips, features):
    kept = replace(
        features,
        test=features.test[1:],
        test_names=features.test_names[1:],
        labels=features.labels[1:],
        left_out=[("test", features.test_names[0], "empty file")],
    )
    cache.save(clips, kept)
    assert_same(cache.load(clips), kept)


def test_files_are_the_original_s(cache, clips, features):
    cache.save(clips, features)
    names = sorted(p.name for p in cache.folder.iterdir())
    assert names == [f"fan12_{part}_NR-100_d_.npy" for part in ("X_test", "X_train")] + [
        "fan12_manifest_NR-100_d_.json",
        "fan12_y_test_NR-100_d_.npy",
    ]
    assert np.load(cache.folder / names[0]).dtype == np.float64


def save_as_the_original(cache, features, dtype=np.float32):
    cache.folder.mkdir(exist_ok=True)
    for part, array in (
        ("X_train", features.train.astype(dtype)),
        ("X_test", features.test.astype(dtype)),
        ("y_test", np.array(features.labels, float)),
    ):
        np.save(cache.folder / f"fan12_{part}_NR-100_d_.npy", array)


def test_the_original_s_arrays_are_taken_on_trust(cache, clips, without_wavs, features):
    save_as_the_original(cache, features)
    for machine_id in (clips, without_wavs):
        with pytest.warns(NoManifestWarning):
            loaded = cache.load(machine_id)
        assert loaded.test_names == features.test_names
        assert loaded.labels == features.labels
    assert not list(cache.folder.glob("*.json"))


def test_eval_files_in_any_order_are_the_original_s(tmp_path, features):
    names = ["id_12_00000002.wav", "id_12_00000000.wav", "id_12_00000003.wav", "id_12_00000001.wav"]
    folder = tmp_path / "saved"
    folder.mkdir()
    for part, array in (("X_train", features.train), ("X_test", features.test), ("eval_files", names)):
        np.save(folder / f"fan12_{part}_NR-100_e_.npy", array)
    cache = SpectraCache(folder, "e", shape=(6, 2), parameters=PARAMETERS)
    with pytest.warns(NoManifestWarning):
        loaded = cache.load(MachineId("fan", "12"))
    assert loaded.test_names == names
    assert loaded.labels == [None] * 4


def change_a_clip(cache, clips):
    content = clips.train[0].path.read_bytes()
    clips.train[0].path.write_bytes(bytes(reversed(content)))  # same name, same size


def change_one_byte(cache, clips):
    content = clips.train[0].path.read_bytes()
    clips.train[0].path.write_bytes(content[:-1] + b"x")


def change_a_size(cache, clips):
    clips.test[-1].path.write_bytes(b"longer" * 10000)


def change_an_array(cache, clips):
    path = cache.folder / "fan12_X_train_NR-100_d_.npy"
    np.save(path, np.load(path) + 1)


def change_the_shape(cache, clips):
    np.save(cache.folder / "fan12_X_train_NR-100_d_.npy", np.zeros((3, 5, 2)))


def truncate_an_array(cache, clips):
    os.truncate(cache.folder / "fan12_X_test_NR-100_d_.npy", 150)


def put_an_archive(cache, clips):
    np.savez(cache.folder / "x.npz", np.zeros((3, 6, 2)))
    (cache.folder / "x.npz").rename(cache.folder / "fan12_X_train_NR-100_d_.npy")


def claim_a_huge_array(cache, clips):
    path = cache.folder / "fan12_X_train_NR-100_d_.npy"
    path.write_bytes(path.read_bytes().replace(b"(3, 6, 2), }" + b" " * 10, b"(3000000000, 6, 2), }" + b" "))


def lose_a_key_of_the_manifest(cache, clips):
    path = cache.folder / "fan12_manifest_NR-100_d_.json"
    path.write_text(path.read_text().replace('"left_out"', '"left_in"'))


def lose_a_clip_of_the_manifest(cache, clips):
    path = cache.folder / "fan12_manifest_NR-100_d_.json"
    manifest = json.loads(path.read_text())
    manifest["clips"]["test"].popitem()
    path.write_text(json.dumps(manifest))


def put_a_pickle(cache, clips):
    np.save(cache.folder / "fan12_y_test_NR-100_d_.npy", np.array([{}, 0, 1, 1], object), allow_pickle=True)


def put_nan(cache, clips):
    np.save(cache.folder / "fan12_X_test_NR-100_d_.npy", np.full((4, 6, 2), np.nan))


def put_labels(cache, clips):
    np.save(cache.folder / "fan12_y_test_NR-100_d_.npy", np.array([0, 0, 1, 2]))


def break_the_manifest(cache, clips):
    (cache.folder / "fan12_manifest_NR-100_d_.json").write_text("{")


def empty_the_manifest(cache, clips):
    (cache.folder / "fan12_manifest_NR-100_d_.json").write_text("[]")


def change_a_setting(cache, clips):
    cache.parameters = {"noise_clips": 50}


@pytest.mark.parametrize("change", [change_a_clip, change_one_byte, change_a_size])
def test_other_clips_are_not_mistaken_for_these(cache, clips, features, change):
    cache.save(clips, features)
    change(cache, clips)
    with pytest.warns(StaleCacheWarning, match="other clips"):
        assert cache.load(clips) is None


def test_copied_clips_are_still_the_same(cache, clips, features):
    cache.save(clips, features)
    for clip in clips.train:
        os.utime(clip.path, (1, 1))
    assert_same(cache.load(clips), features)


def test_one_clip_more_is_noticed(cache, clips, features):
    cache.save(clips, features)
    more = MachineId("fan", "12", (*clips.train, clips.test[2]), clips.test)
    with pytest.warns(StaleCacheWarning, match="other clips"):
        assert cache.load(more) is None


@pytest.mark.parametrize(
    "change",
    [
        change_an_array,
        change_the_shape,
        truncate_an_array,
        put_a_pickle,
        put_an_archive,
        claim_a_huge_array,
        lose_a_key_of_the_manifest,
        lose_a_clip_of_the_manifest,
        put_nan,
        put_labels,
        break_the_manifest,
        empty_the_manifest,
        change_a_setting,
    ],
)
def test_an_unusable_cache_is_computed_again_or_an_error_without_the_clips(
    cache, clips, without_wavs, features, change
):
    cache.save(clips, features)
    change(cache, clips)
    with pytest.warns(StaleCacheWarning, match=r"fan12_\w+_NR-100_d_"):
        assert cache.load(clips) is None
    with pytest.raises(CacheError, match=r"fan12_\w+_NR-100_d_.*--data"):
        cache.load(without_wavs)


def test_the_original_s_arrays_of_other_clips_are_computed_again(cache, clips, features):
    fewer = replace(features, train=features.train[:2], train_names=features.train_names[:2])
    save_as_the_original(cache, fewer)
    with pytest.warns(StaleCacheWarning, match="2 training and 4 test rows, but 3 and 4 clips"):
        assert cache.load(clips) is None


def test_ids_of_a_folder_with_what_they_lack(cache, clips, features):
    cache.save(clips, features)
    (cache.folder / "fan12_manifest_NR-100_d_.json").unlink()
    (cache.folder / "fan12_X_test_NR-100_d_.npy").rename(cache.folder / "ToyCar1_X_test_NR-100_d_.npy")
    for name in ("x.npy", "7_X_test_NR-100_d_.npy", "fan3_X_test_NR-100_e_.npy"):
        (cache.folder / name).touch()
    assert cache.ids() == {("ToyCar", "01"): ("X_train", "y_test"), ("fan", "12"): ("X_test",)}


def test_a_machine_type_that_ends_in_a_digit(tmp_path, clips, features):
    cache = SpectraCache(tmp_path / "saved", "d", shape=(6, 2), parameters=PARAMETERS)
    cache.save(MachineId("line2", "03", clips.train, clips.test), features)
    assert cache.ids() == {("line2", "03"): ()}


def test_a_save_that_breaks_off_leaves_nothing_to_trust(cache, clips, features, monkeypatch):
    """Old arrays without a manifest lie there; half of the new ones must not be taken with half of them."""
    save_as_the_original(cache, features)
    written = []

    def break_off(path, content):
        if written:
            raise OSError(28, "No space left on device", str(path))
        written.append(path)
        write_atomically(path, content)

    monkeypatch.setattr(cache_module, "write_atomically", break_off)
    with pytest.raises(OSError, match="X_test"):
        cache.save(clips, features)
    assert cache.load(clips) is None


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_atomically(path, "old")

    def no_space(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match=r"No space left.*file\.txt"):
        write_atomically(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
    assert path.read_text() == "old"
