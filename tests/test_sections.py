"""Names, attribute files and official lists of 2021 to 2026 tell what the challenge wrote into them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd.audio import DataError
from asd.sections import Truth, parse_attributes, parse_section, read_attributes, read_truth, stem

NAMES = {  # name -> section, domain, split, label, sound, number, tail
    "section_00_source_train_normal_0000_strength_1_ambient.wav": (
        "00",
        "source",
        "train",
        0,
        None,
        "0000",
        "strength_1_ambient",
    ),
    "section_01_target_test_anomaly_0017.wav": ("01", "target", "test", 1, None, "0017", ""),
    "section_03_source_test_0001.wav": ("03", "source", "test", None, None, "0001", ""),
    "section_04_0123.wav": ("04", None, None, None, None, "0123", ""),
    "section_05_test_0123.wav": ("05", None, "test", None, None, "0123", ""),
    "section_00_target_normal_0091_weight35_BckgE.wav": ("00", "target", None, 0, None, "0091", "weight35_BckgE"),
    "section_00_source_train_normal_0001_.wav": ("00", "source", "train", 0, None, "0001", ""),
    "section_00_source_train_normal_0001_noAttribute.wav": ("00", "source", "train", 0, None, "0001", "noAttribute"),
    "section_00_target_train_normal_0001_volt_-1.5.wav": ("00", "target", "train", 0, None, "0001", "volt_-1.5"),
    "section_00_machine_0001_.wav": ("00", None, None, None, "machine", "0001", ""),
    "section_00_noise_0001_.wav": ("00", None, None, None, "noise", "0001", ""),
    "section_00_source_supplemental_machine_0002.wav": ("00", "source", "supplemental", None, "machine", "0002", ""),
    "section_00_noise_supplemental_normal_0002.wav": ("00", None, "supplemental", 0, "noise", "0002", ""),
    "section_00_source_test_normal_0000_vel_2.WAV": ("00", "source", "test", 0, None, "0000", "vel_2"),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_name_tells(name):
    parsed = parse_section(name)
    parts = parsed.section, parsed.domain, parsed.split, parsed.label, parsed.sound, parsed.number, parsed.tail
    assert parts == NAMES[name]


@pytest.mark.parametrize(
    "name",
    [
        "section_0_0000.wav",
        "section_00_000.wav",
        "section_00_source_train_abnormal_0000.wav",
        "section_00_normal_source_train_0000.wav",
        "section_00_source_train_normal_0000.flac",
        "section_00_source_train_normal_0000.wav.part",
        "normal_id_00_00000000.wav",
        "section_٠٠_0000.wav",
        "attributes_00.csv",
        "",
    ],
)
def test_names_outside_the_grammar(name):
    assert parse_section(name) is None


def joined(*parts):
    return "_".join(part for part in parts if part)


tails = st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e/"), max_size=30
)


@given(
    st.from_regex("[0-9]{2}", fullmatch=True),
    st.sampled_from(["", "source", "target"]),
    st.sampled_from(["", "train", "test"]),
    st.sampled_from(["", "normal", "anomaly"]),
    st.sampled_from(["", "machine", "noise"]),
    st.from_regex("[0-9]{4}", fullmatch=True),
    tails,
)
def test_a_name_made_of_parts_is_read_back(section, domain, split, label, sound, number, tail):
    name = joined("section", section, domain, split, label, sound, number) + f"_{tail}.wav"
    parsed = parse_section(name)
    assert parsed.section == section
    assert parsed.domain == (domain or None)
    assert parsed.split == (split or None)
    assert parsed.label == {"normal": 0, "anomaly": 1, "": None}[label]
    assert parsed.sound == (sound or None)
    assert parsed.number == number
    assert parsed.tail == tail


words = st.text("abcABC019.-+", min_size=1, max_size=6)


@given(st.dictionaries(words, words, max_size=5))
def test_attributes_made_of_pairs_are_read_back(attributes):
    assert parse_attributes("_".join(word for pair in attributes.items() for word in pair)) == attributes


@given(tails)
def test_no_tail_is_lost(tail):
    attributes = parse_attributes(tail)
    if tail not in ("", "noAttribute"):
        assert tail in ("_".join(word for pair in attributes.items() for word in pair), attributes.get("tail"))


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("", {}),
        ("noAttribute", {}),
        ("car_A1_spd_2.8V_mic_1", {"car": "A1", "spd": "2.8V", "mic": "1"}),
        ("ac_-0.3", {"ac": "-0.3"}),
        ("vel_2_f-n_D", {"vel": "2", "f-n": "D"}),
        ("panel_b-c", {"panel": "b-c"}),
        ("strength_1_ambient", {"tail": "strength_1_ambient"}),
        ("mic_a_mic_pos", {"tail": "mic_a_mic_pos"}),
        ("spd5", {"tail": "spd5"}),
        ("_", {"tail": "_"}),
    ],
)
def test_attributes_of_a_tail(tail, expected):
    assert parse_attributes(tail) == expected


def test_attribute_files_of_every_kind(tmp_path):
    path = tmp_path / "attributes_00.csv"
    path.write_bytes(
        b"\xef\xbb\xbffile_name,d1p,d1v,d2p,d2v\r\n"
        b"fan/train/section_00_source_train_normal_0000_m-n_W_ac_0.5.wav,m-n,W,ac,0.5\r\n"
        b"section_00_source_train_normal_0001_spd_2.5,spd,2.5\r\n"
        b"fan/test/section_00_0002.WAV,car,G1,,\r\n"
        b"section_00_0003.wav\r\n"
        b"\r\n"
    )
    assert read_attributes(path) == {
        "section_00_source_train_normal_0000_m-n_W_ac_0.5": {"m-n": "W", "ac": "0.5"},
        "section_00_source_train_normal_0001_spd_2.5": {"spd": "2.5"},
        "section_00_0002": {"car": "G1"},
        "section_00_0003": {},
    }
    assert stem("fan\\train\\a_2.5.wav") == stem("a_2.5") == "a_2.5"


def test_an_attribute_file_that_is_no_text_names_itself(tmp_path):
    path = tmp_path / "attributes_00.csv"
    path.write_bytes(b"\xff\xfe\x00f")
    with pytest.raises(DataError, match="attributes_00"):
        read_attributes(path)


LIST = """pump
section_03_source_test_0000.wav,section_03_source_test_anomaly_0000.wav
section_03_target_test_0000.wav,section_03_target_test_normal_0007.wav

valve,
section_00_0001.wav,section_00_target_test_anomaly_0001_volt_3.2.wav
section_00_0002.wav , section_00_source_normal_0035_weight15_BckgF.wav
section_00_0003.wav,section_00_source_test_normal_0003_noAttribute.wav
fan,,
id_01_00000000.wav,anomaly_id_01_00000098.wav,1
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_of_every_year(tmp_path, end):
    path = tmp_path / "eval_data_list.csv"
    path.write_bytes(LIST.replace("\n", end).encode())
    assert read_truth(path) == {
        ("pump", "section_03_source_test_0000.wav"): Truth(1, "source"),
        ("pump", "section_03_target_test_0000.wav"): Truth(0, "target"),
        ("valve", "section_00_0001.wav"): Truth(1, "target", {"volt": "3.2"}),
        ("valve", "section_00_0002.wav"): Truth(0, "source", {"weight15": "BckgF"}),
        ("valve", "section_00_0003.wav"): Truth(0, "source"),
        ("fan", "id_01_00000000.wav"): Truth(1),
    }


@pytest.mark.parametrize(
    "line",
    [
        "section_00_0001.wav,section_01_source_test_normal_0001.wav",
        "section_00_source_test_0001.wav,section_00_target_test_normal_0001.wav",
        "section_00_0001.wav,section_00_source_test_0001.wav",
        "section_00_0001.wav,section_00_test_normal_0001.wav",
        "section_00_0001.wav,1",
        "id_01_00000000.wav,normal_id_01_00000000.wav,2",
        "a,b,c,d",
    ],
)
def test_a_broken_list_names_its_line(tmp_path, line):
    path = tmp_path / "list.csv"
    path.write_text(f"fan\n{line}\n")
    with pytest.raises(DataError, match=r"list\.csv, line 2"):
        read_truth(path)


def test_a_list_without_a_machine_or_with_two_truths_names_its_line(tmp_path):
    path = tmp_path / "list.csv"
    line = "section_00_0001.wav,section_00_source_test_{}_0001.wav\n"
    path.write_text(line.format("normal"))
    with pytest.raises(DataError, match="line 1"):
        read_truth(path)
    path.write_text("fan\n" + line.format("normal") * 2)
    assert len(read_truth(path)) == 1
    path.write_text("fan\n" + line.format("normal") + line.format("anomaly"))
    with pytest.raises(DataError, match=r"line 3.*twice"):
        read_truth(path)


CLIPS = {2021: 8635, 2022: 4200, 2023: 1400, 2024: 1800, 2025: 1600}


@pytest.mark.parametrize("year", CLIPS)
def test_every_clip_of_the_official_lists_is_read(reference, year):
    """Both names of each, against what the text says without our grammar."""
    path = reference / "file_lists" / f"eval_data_list_{year}.csv"
    truth = read_truth(path)
    assert len(truth) == CLIPS[year]
    machine, machines = None, 0
    for line in path.read_text().splitlines():
        names = line.split(",")
        if len(names) == 1:
            machine, machines = names[0], machines + 1
            continue
        test, labelled = map(parse_section, names)
        known = truth[machine, names[0]]
        tokens = re.split("[_.]", names[1])
        assert test.section == labelled.section == tokens[1]
        assert known.domain == labelled.domain == ("source" if "source" in tokens else "target")
        assert known.label == labelled.label == int("anomaly" in tokens)
        assert test.domain == (labelled.domain if year == 2021 else None)
        assert (test.label, test.sound, labelled.sound, test.tail) == (None, None, None, "")
        assert labelled.split == (None if machine == "RoboticArm" else "test")
        assert names[1].endswith(f"{labelled.number}{'_' if labelled.tail else ''}{labelled.tail}.wav")
    assert machines == {2024: 9, 2025: 8}.get(year, 7)
