"""Every layout is found by itself, its clips get what is known of them, and nothing is taken for what it is not."""

import os
import re
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import touch, write_wav
from hypothesis import given, settings
from hypothesis import strategies as st

from asd import dataset, synth
from asd.audio import DataError
from asd.dataset import NameWarning
from asd.layouts import LAYOUTS, UnlistedWarning, detect, read, sound_files


def told(clips):
    return [(clip.name, clip.label, clip.domain) for clip in clips]


# DCASE


def test_2020_is_read_as_the_challenge_reads_it(dev_data):
    found = read(dev_data)
    assert (found.layout, found.year, found.channel) == ("dcase2020", 2020, 0)
    assert list(found.ids) == dataset.scan(dev_data, "d")


def test_an_evaluation_set_of_2020_gets_its_labels(eval_data):
    found = read(eval_data)
    truth = dataset.read_ground_truth(eval_data / dataset.GROUND_TRUTH)
    assert [(m.key, c.name) for m in found.ids for c in m.test] == [
        (m.key, c.name) for m in dataset.scan(eval_data, "e") for c in m.test
    ]
    assert all(clip.label == truth[m.machine, clip.name] for m in found.ids for clip in m.test)


SET_OF_2021 = [
    "fan/train/section_00_source_train_normal_0000_strength_1_ambient.wav",
    "fan/train/section_00_target_train_normal_0000_strength_2.wav",
    "fan/source_test/section_00_source_test_normal_0000.wav",
    "fan/source_test/section_00_source_test_anomaly_0000.wav",
    "fan/target_test/section_00_target_test_anomaly_0001.wav",
    "fan/target_test/section_00_target_test_normal_0000.wav",
    "ToyCar/train/section_02_source_train_normal_0000_A1.wav",
]


def test_a_development_set_of_2021(tmp_path):
    touch(tmp_path, *SET_OF_2021)
    found = read(tmp_path)
    assert (found.layout, found.year) == ("dcase2021", 2021)
    assert [str(m) for m in found.ids] == ["ToyCar 02", "fan 00"]
    car, fan = found.ids
    assert car.missing == "test"
    assert told(fan.train) == [
        ("section_00_source_train_normal_0000_strength_1_ambient.wav", 0, "source"),
        ("section_00_target_train_normal_0000_strength_2.wav", 0, "target"),
    ]
    assert [clip.attributes for clip in fan.train] == [{"tail": "strength_1_ambient"}, {"strength": "2"}]
    assert told(fan.test) == [
        ("section_00_source_test_normal_0000.wav", 0, "source"),
        ("section_00_target_test_normal_0000.wav", 0, "target"),
        ("section_00_source_test_anomaly_0000.wav", 1, "source"),
        ("section_00_target_test_anomaly_0001.wav", 1, "target"),
    ]
    assert [clip.path.parent.name for clip in fan.test] == ["source_test", "target_test", "source_test", "target_test"]


def test_an_evaluation_set_of_2021(tmp_path):
    touch(
        tmp_path,
        "pump/train/section_03_source_train_normal_0000.wav",
        "pump/source_test/section_03_source_test_0000.wav",
        "pump/source_test/section_03_0001.wav",
        "pump/target_test/section_03_target_test_0000.wav",
    )
    (pump,) = read(tmp_path).ids
    names = ["section_03_0001.wav", "section_03_source_test_0000.wav", "section_03_target_test_0000.wav"]
    assert told(pump.test) == list(zip(names, [None] * 3, ["source", "source", "target"], strict=True))
    (tmp_path / "eval_data_list_2021.csv").write_text(
        "pump\n"
        "section_03_source_test_0000.wav,section_03_source_test_anomaly_0000.wav\n"
        "section_03_target_test_0000.wav,section_03_target_test_normal_0004.wav\n"
    )
    with pytest.warns(UnlistedWarning, match=r"pump 03: 1 of 3, e\.g\. section_03_0001\.wav; is it the list"):
        (pump,) = read(tmp_path).ids
    assert told(pump.test) == list(zip(names, [None, 1, 0], ["source", "source", "target"], strict=True))


SET_OF_2022 = [
    "valve/train/section_00_source_train_normal_0000_v1pat_00.wav",
    "valve/train/section_01_target_train_normal_0000_volt_-1.5.wav",
    "valve/test/section_00_target_test_normal_0000_noAttribute.wav",
    "valve/test/section_00_source_test_anomaly_0003_.WAV",
    "valve/test/section_01_source_normal_0007_weight15_BckgF.wav",
]


def test_a_development_set_from_2022_on(tmp_path):
    touch(tmp_path, *SET_OF_2022)
    found = read(tmp_path)
    assert (found.layout, found.year) == ("dcase2022", 2022)
    first, second = found.ids
    assert (first.key, second.key) == (("valve", "00"), ("valve", "01"))
    assert told(first.test) == [
        ("section_00_target_test_normal_0000_noAttribute.wav", 0, "target"),
        ("section_00_source_test_anomaly_0003_.WAV", 1, "source"),
    ]
    assert told(second.test) == [("section_01_source_normal_0007_weight15_BckgF.wav", 0, "source")]
    assert [clip.attributes for clip in (*first.train, *second.train)] == [{"v1pat": "00"}, {"volt": "-1.5"}]
    assert read(tmp_path, "dcase2025").year == 2025


def test_an_evaluation_set_from_2022_on(tmp_path):
    touch(
        tmp_path,
        "ToyPet/train/section_00_source_train_normal_0000_noAttribute.wav",
        "ToyPet/test/section_00_0000.wav",
        "ToyPet/test/section_00_0001.wav",
        "ToyPet/test/section_00_0002.wav",
        "ToyPet/supplemental/section_00_machine_0001_.wav",
        "ToyPet/supplemental/section_00_noise_0001_.wav",
        "ToyPet/supplemental/section_00_source_supplemental_machine_0002.wav",
        "ToyPet/supplemental/section_00_noise_supplemental_normal_0002.wav",
    )
    (pet,) = read(tmp_path).ids
    assert told(pet.test) == [(f"section_00_000{i}.wav", None, None) for i in range(3)]
    assert {(c.name, c.label, c.attributes["sound"]) for c in pet.supplemental} == {
        ("section_00_machine_0001_.wav", 0, "machine"),
        ("section_00_source_supplemental_machine_0002.wav", 0, "machine"),
        ("section_00_noise_0001_.wav", None, "noise"),
        ("section_00_noise_supplemental_normal_0002.wav", None, "noise"),
    }
    (tmp_path / "eval_data_list.csv").write_text(
        "ToyPet\n"
        "section_00_0000.wav,section_00_target_test_anomaly_0000_id_A1_spd_2.wav\n"
        "section_00_0001.wav,section_00_source_normal_0001_noAttribute.wav\n"
    )
    with pytest.warns(UnlistedWarning, match="ToyPet 00: 1 of 3"):
        (pet,) = read(tmp_path).ids
    assert told(pet.test) == [
        ("section_00_0000.wav", 1, "target"),
        ("section_00_0001.wav", 0, "source"),
        ("section_00_0002.wav", None, None),
    ]
    assert [clip.attributes for clip in pet.test] == [{"id": "A1", "spd": "2"}, {}, {}]


def test_attribute_files_tell_more_than_names(tmp_path):
    touch(
        tmp_path,
        "fan/train/section_00_source_train_normal_0000_mic_a_mic_pos.wav",
        "fan/train/section_00_source_train_normal_0001_m-n_W.wav",
        "fan/test/section_00_0000.wav",
    )
    (tmp_path / "fan" / "attributes_00.csv").write_text(
        "file_name,d1p,d1v,d2p,d2v\n"
        "fan/train/section_00_source_train_normal_0000_mic_a_mic_pos.wav,mic,a,mic_pos,0.5\n"
        "fan/train/section_00_source_train_normal_0001_m-n_W.wav\n"
        "fan/test/section_00_0000.wav,mic,b\n"
    )
    (fan,) = read(tmp_path).ids
    assert [c.attributes for c in fan.train] == [{"mic": "a", "mic_pos": "0.5"}, {"m-n": "W"}]
    assert fan.test[0].attributes == {"mic": "b"}


def test_lists_that_contradict_each_other_are_an_error(tmp_path):
    touch(tmp_path, "fan/train/section_00_source_train_normal_0000.wav", "fan/test/section_00_0000.wav")
    for year, label in ((2023, "normal"), (2026, "anomaly")):
        text = f"fan\nsection_00_0000.wav,section_00_source_test_{label}_0000.wav\n"
        (tmp_path / f"eval_data_list_{year}.csv").write_text(text)
    with pytest.raises(DataError, match=r"eval_data_list_2026\.csv: contradicts eval_data_list_2023\.csv"):
        read(tmp_path)


@pytest.mark.parametrize(
    "odd",
    [
        "fan/train/section_00_source_train_anomaly_0001.wav",
        "fan/train/section_00_source_test_normal_0001.wav",
        "fan/train/readme.txt",
        "fan/test/section_00_source_train_normal_0001.wav",
        "fan/test/section_00_machine_0001.wav",
        "fan/test/normal_id_00_00000001.wav",
        "fan/test/more/section_00_0001.wav",
    ],
)
def test_clips_in_a_wrong_folder_are_skipped_and_told(tmp_path, odd):
    touch(tmp_path, "fan/test/._section_00_0001.wav", "fan/train/section_00_source_train_normal_0000.wav", odd)
    with pytest.warns(NameWarning) as caught:
        (fan,) = read(tmp_path, "dcase2022").ids
    assert len(fan.train + fan.test) == 1
    (warning,) = caught
    assert warning.message.subject.startswith(str(tmp_path / "fan"))


def test_a_domain_that_contradicts_its_folder_is_told(tmp_path):
    touch(tmp_path, *SET_OF_2021, "fan/source_test/section_00_target_test_normal_0009.wav")
    with pytest.warns(NameWarning, match="0009"):
        assert len(read(tmp_path).ids[1].test) == 4


# MIMII


def mimii(root, n_normal, n_abnormal):
    for label, count in (("normal", n_normal), ("abnormal", n_abnormal)):
        touch(root, *(f"{label}/{number:08d}.wav" for number in range(count)))


def test_mimii_is_split_as_its_baseline_splits_it(tmp_path):
    mimii(tmp_path / "fan" / "id_00", 5, 2)
    mimii(tmp_path / "fan" / "id_02", 1, 2)
    mimii(tmp_path / "valve" / "id_04", 2, 0)
    found = read(tmp_path)
    assert (found.layout, found.year, found.channel) == ("mimii", 2020, 0)
    assert [(str(m), len(m.train), len(m.test)) for m in found.ids] == [
        ("fan 00", 3, 4),
        ("fan 02", 0, 3),
        ("valve 04", 2, 0),
    ]
    fan = found.ids[0]
    assert told(fan.train) == [(f"normal/{number:08d}.wav", 0, None) for number in (2, 3, 4)]
    assert told(fan.test) == [
        ("normal/00000000.wav", 0, None),
        ("normal/00000001.wav", 0, None),
        ("abnormal/00000000.wav", 1, None),
        ("abnormal/00000001.wav", 1, None),
    ]
    assert all(clip.path.is_file() for clip in fan.train + fan.test)


def test_mimii_from_any_of_its_folders(tmp_path):
    mimii(tmp_path / "-6_dB" / "fan" / "id_00", 3, 1)
    mimii(tmp_path / "0_dB" / "fan" / "id_00", 3, 1)
    root = tmp_path
    expected = {"": ["-6_dB_fan 00", "0_dB_fan 00"], "0_dB": ["fan 00"], "fan": ["fan 00"], "id_00": ["fan 00"]}
    for part, names in expected.items():
        root = root / part
        assert [str(m) for m in read(root).ids] == names
        assert detect(root) == "mimii"


def test_other_files_among_mimii_s_are_told(tmp_path):
    mimii(tmp_path / "id_00", 2, 1)
    touch(tmp_path, "id_00/normal/1.wav", "id_00/normal/00000009.WAV", "id_00/abnormal/.DS_Store")
    with pytest.warns(NameWarning) as caught:
        (only,) = read(tmp_path).ids
    assert [w.message.subject for w in caught] == [str(tmp_path / "id_00" / "normal" / "1.wav")]
    assert len(only.train + only.test) == 4


# Plain folders


def test_a_folder_of_normal_clips(tmp_path):
    root = tmp_path / "pump 3"
    touch(root, "b.wav", "a.WAV", "day 2/Übung.flac", "day 2/x.ogg", "._a.wav", ".cache/a.wav")
    found = read(root)
    assert (found.layout, found.year, found.channel) == ("plain", 2020, 0)
    (pump,) = found.ids
    assert pump.key == ("pump 3", "00")
    assert [clip.name for clip in pump.train] == ["a.WAV", "b.wav", "day 2/x.ogg", "day 2/Übung.flac"]
    assert {clip.label for clip in pump.train} == {0}
    assert not pump.test


@pytest.mark.parametrize("words", [("normal", "anomaly"), ("Normal", "ABNORMAL"), ("normal", "anomalous")])
@pytest.mark.parametrize("form", ["{}/1.wav", "{}_1.wav", "2026-11-22 {}.wav", "{0}/{0}-1.wav", "x/{}/y/1.flac"])
def test_train_and_test_with_labels_in_names_or_folders(tmp_path, words, form):
    touch(tmp_path, "train/1.wav", "train/normal/2.wav", *(f"test/{form.format(word)}" for word in words))
    (only,) = read(tmp_path).ids
    assert [clip.name for clip in only.train] == ["1.wav", "normal/2.wav"]
    assert told(only.test) == [(form.format(word), label, None) for label, word in enumerate(words)]


def test_test_clips_without_a_label_and_folders_in_capitals(tmp_path):
    touch(tmp_path, "Train/1.wav", "TEST/abnormality.wav", "TEST/pump7.wav", "TEST/anomaly.wav")
    (only,) = read(tmp_path).ids
    assert len(only.train) == 1
    assert {(clip.name, clip.label) for clip in only.test} == {
        ("abnormality.wav", None),
        ("anomaly.wav", 1),
        ("pump7.wav", None),
    }


def test_several_machines_of_one_s_own(tmp_path):
    touch(tmp_path, "b/train/1.wav", "b/test/normal.wav", "a/train/1.wav", "notes.txt", "scripts/x.py")
    assert [(m.key, len(m.train), len(m.test)) for m in read(tmp_path).ids] == [
        (("a", "00"), 1, 0),
        (("b", "00"), 1, 1),
    ]


def test_an_anomaly_never_gets_into_training(tmp_path):
    touch(tmp_path, "train/1.wav", "train/anomaly/2.wav")
    with pytest.warns(NameWarning, match=r"anomaly/2\.wav: an anomaly by its name"):
        assert [clip.name for clip in read(tmp_path).ids[0].train] == ["1.wav"]
    flat = tmp_path / "flat"
    touch(flat, "abnormal/1.wav", "normal/1.wav")
    with pytest.raises(DataError, match=r"abnormal/1\.wav: is named as an anomaly.*train"):
        read(flat)


@pytest.mark.parametrize("split", ["test", "Train", "source_test"])
def test_a_folder_too_far_above_the_clips_is_an_error(tmp_path, split):
    touch(tmp_path, f"data/raw/fan/{split}/section_00_0000.wav")
    with pytest.raises(DataError, match=f"in a folder {split}, too far below"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["normal_or_anomaly.wav", "abnormal/normal load.wav"])
def test_a_name_that_says_both_is_an_error(tmp_path, name):
    touch(tmp_path, "train/1.wav", f"test/{name}")
    with pytest.raises(DataError, match=f"{name} says both"):
        read(tmp_path)


def test_links_are_followed_and_loops_end(tmp_path):
    touch(tmp_path, "pool/1.wav", "pool/deep/2.wav", "pump/3.wav")
    pump = tmp_path / "pump"
    (pump / "pool").symlink_to(tmp_path / "pool")
    (pump / "pool again").symlink_to(tmp_path / "pool")
    (pump / "4.wav").symlink_to(tmp_path / "pool" / "1.wav")
    (tmp_path / "pool" / "deep" / "up").symlink_to(tmp_path)
    (pump / "self").symlink_to(pump / "self")
    (pump / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "link").symlink_to(pump)
    expected = ["3.wav", "4.wav", "gone.wav", "pool/1.wav", "pool/deep/2.wav"]
    for root in (pump, tmp_path / "link"):
        with pytest.warns(NameWarning, match="self"):
            assert [path.relative_to(root).as_posix() for path in sound_files(root)] == expected
        with pytest.warns(NameWarning, match="self"):
            assert read(root).ids[0].machine == root.name


def test_linked_machines_are_read(tmp_path):
    touch(tmp_path / "elsewhere", *SET_OF_2022)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "pump").symlink_to(tmp_path / "elsewhere" / "valve")
    assert [str(m) for m in read(tmp_path / "data").ids] == ["pump 00", "pump 01"]


@pytest.mark.parametrize("place", ["", "fan", "fan/test", "fan/train/deep"])
@pytest.mark.parametrize("layout", ["auto", "plain"])
def test_a_folder_that_cannot_be_listed_is_an_error_that_names_it(tmp_path, monkeypatch, place, layout):
    touch(tmp_path, "fan/train/deep/1.wav", "fan/test/normal.wav")
    closed, listdir = tmp_path / place, os.listdir

    def guarded(folder):
        if os.path.samefile(folder, closed):
            raise PermissionError(13, "Permission denied", str(folder))
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", guarded)
    with pytest.raises(PermissionError) as error:
        read(tmp_path, layout)
    assert error.value.filename == str(closed)


def test_what_is_no_sound_file_is_told(tmp_path):
    touch(tmp_path, "1.wav", "1.m4a", "notes.txt")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / os.fsdecode(b"caf\xe9.wav")).touch()
    with pytest.warns(NameWarning) as caught:
        (only,) = read(tmp_path, "plain").ids
    assert [clip.name for clip in only.train] == ["1.wav"]
    assert {(os.path.basename(w.message.subject), w.message.what) for w in caught} == {
        ("1.m4a", "not a sound file"),
        ("notes.txt", "not a sound file"),
        ("pipe.wav", "not a sound file"),
        (os.fsdecode(b"caf\xe9.wav"), "name is not Unicode"),
    }


def test_every_ending_of_a_sound_file_is_one_that_is_read(tmp_path):
    """FLAC and OGG among them; what is found can be read."""
    from asd import audio

    samples = np.sin(np.arange(16000) / 9).astype(np.float32) / 2
    for name in ("a.wav", "b.flac", "c.ogg", "d.aiff", "e.w64", "f.caf", "g.au"):
        write_wav(tmp_path / name, samples, 16000)
    clips = read(tmp_path).ids[0].train
    assert len(clips) == 7
    for clip in clips:
        np.testing.assert_allclose(audio.read(clip.path), samples, atol=0.05)


# Detection


def test_one_machine_s_folder_is_a_data_set(tmp_path, dev_data, monkeypatch):
    touch(tmp_path, *SET_OF_2021, *(f"new/{name}" for name in SET_OF_2022))
    (tmp_path / "new" / "eval_data_list.csv").write_text("valve\n")
    assert [str(m) for m in read(tmp_path / "fan").ids] == ["fan 00"]
    assert [str(m) for m in read(tmp_path / "new" / "valve").ids] == ["valve 00", "valve 01"]
    expected = [clips for clips in dataset.scan(dev_data, "d") if clips.machine == "fan"]
    assert list(read(dev_data / "fan").ids) == expected
    monkeypatch.chdir(dev_data / "fan" / "train")
    assert list(read("..").ids) == expected
    monkeypatch.chdir(dev_data / "fan")
    assert list(read(".").ids) == expected


def test_the_list_above_one_machine_s_folder_is_used(eval_data):
    (labels,) = {frozenset(clip.label for m in read(eval_data / "fan").ids for clip in m.test)}
    assert labels == {0, 1}


def test_a_layout_can_be_forced(dev_data):
    assert [m.key for m in read(dev_data, "plain").ids] == [("fan", "00"), ("valve", "00")]
    with pytest.raises(DataError, match=r"no clips in the layout mimii.*--layout"):
        read(dev_data, "mimii")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NameWarning)
        with pytest.raises(DataError, match=r"no clips in the layout dcase2024 .*section_II.*--layout"):
            read(dev_data, "dcase2024")
    with pytest.raises(ValueError, match=r"auto or one of dcase2020.*not 'dcase2019'"):
        read(dev_data, "dcase2019")


def test_where_there_is_nothing_the_error_says_what_was_looked_for(tmp_path):
    touch(tmp_path, "readme.txt", "fan/train/notes.txt")
    with pytest.raises(DataError) as error:
        read(tmp_path)
    text = str(error.value)
    for word in (str(tmp_path), "--layout", *LAYOUTS, "section_II", "normal_id_II", "id_II/"):
        assert word in text
    with pytest.raises(DataError, match="nowhere: no such folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"readme\.txt: a file, not a folder"):
        read(tmp_path / "readme.txt", "plain")


def test_several_layouts_in_one_folder_are_an_error(tmp_path):
    touch(tmp_path, *SET_OF_2022, "fan/train/normal_id_00_00000000.wav")
    with pytest.raises(DataError, match=r"several layouts: dcase2020 \(fan\), dcase2022 \(valve\).*--layout"):
        read(tmp_path)


FOLDERS = ["fan", "train", "test", "source_test", "supplemental", "id_00", "normal", "abnormal", "Train", "6_dB"]
FILES = [
    "section_00_source_train_normal_0000.wav",
    "section_00_target_test_anomaly_0001_vel_2.wav",
    "section_00_0002.wav",
    "normal_id_00_00000000.wav",
    "anomaly_id_00_00000000.wav",
    "id_00_00000000.wav",
    "00000000.wav",
    "abnormal.flac",
    "notes.txt",
    "attributes_00.csv",
    "eval_data_list.csv",
]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda *parts: "/".join((*parts[0], parts[1])),
            st.lists(st.sampled_from(FOLDERS), max_size=4),
            st.sampled_from(FILES),
        ),
        max_size=8,
        unique=True,
    ),
    st.sampled_from(["auto", "auto", *LAYOUTS]),
)
def test_any_folder_is_read_or_refused_and_no_anomaly_gets_into_training(names, layout):
    with tempfile.TemporaryDirectory() as root, warnings.catch_warnings():
        warnings.simplefilter("ignore", NameWarning)
        touch(Path(root), *names)
        try:
            found = read(root, layout)
        except DataError:
            return
        clips = [(split, clip) for m in found.ids for split in ("train", "test") for clip in getattr(m, split)]
        assert clips
        assert len({clip.path for _, clip in clips}) == len(clips)
        for split, clip in clips:
            assert clip.path.is_file()
            if split == "train":
                assert clip.label == 0
                assert not {"anomaly", "abnormal"} & set(re.split("[_./]", f"{clip.path.parent.name}/{clip.path.name}"))


def test_only_some_machines(tmp_path):
    touch(tmp_path, *SET_OF_2021)
    assert [str(m) for m in read(tmp_path, machines=["fan"]).ids] == ["fan 00"]
    with pytest.raises(DataError, match="no machine 'van'; there: "):
        read(tmp_path, machines=["fan", "van"])


def test_the_demo_set_is_found(tmp_path):
    synth.write(tmp_path, machines=("fan",), ids=("10",), n_train=1, n_test=1, seconds=0.5, jobs=1)
    assert detect(tmp_path) == "dcase2020"


@pytest.mark.slow
def test_every_evaluation_set_of_the_official_lists(reference, tmp_path):
    """Folders made after the lists: sections, labels and domains of all clips come out as listed."""
    from asd.sections import read_truth

    for year in (2021, 2022, 2023, 2024, 2025):
        name = f"eval_data_list_{year}.csv"
        root = tmp_path / str(year)
        truth = read_truth(reference / "file_lists" / name)
        for machine, clip in truth:
            test = f"{'source' if 'source' in clip else 'target'}_test" if year == 2021 else "test"
            touch(root, f"{machine}/{test}/{clip}")
        (root / name).write_bytes((reference / "file_lists" / name).read_bytes())
        found = read(root)
        assert found.layout == ("dcase2021" if year == 2021 else "dcase2022")
        clips = {(m.machine, clip.name): (m.id, clip.label, clip.domain) for m in found.ids for clip in m.test}
        assert clips == {key: (key[1][8:10], known.label, known.domain) for key, known in truth.items()}
