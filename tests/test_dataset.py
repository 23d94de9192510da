"""Names, layouts and the ground truth are read as the challenge wrote them; what is odd is named."""

import pytest
from conftest import touch

from asd.audio import DataError
from asd.dataset import NameWarning, layout_names, machine_order, parse_name, read_ground_truth, scan


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("normal_id_00_00000012.wav", ("normal", "00")),
        ("anomaly_id_12_00000000.wav", ("anomaly", "12")),
        ("id_05_00000001.wav", (None, "05")),
        ("normal_id_0_00000012.wav", None),
        ("normal_id_00_0000012.wav", None),
        ("abnormal_id_00_00000012.wav", None),
        ("normal_id_00_00000012.WAV", None),
        ("normal_id_00_00000012.wav.part", None),
    ],
)
def test_grammar(name, expected):
    assert parse_name(name) == expected


def test_a_development_set_in_its_order(tmp_path):
    touch(
        tmp_path,
        "zeppelin/train/normal_id_02_00000000.wav",
        "valve/train/normal_id_00_00000001.wav",
        "valve/train/normal_id_00_00000000.wav",
        "valve/test/anomaly_id_00_00000000.wav",
        "valve/test/normal_id_00_00000007.wav",
        "ToyCar/test/normal_id_04_00000000.wav",
        "notes/readme.txt",
        ".hidden/train/normal_id_00_00000000.wav",
    )
    found = scan(tmp_path, "d")
    assert [str(m) for m in found] == ["ToyCar 04", "valve 00", "zeppelin 02"]
    car, valve, zeppelin = found
    assert [c.name for c in valve.train] == ["normal_id_00_00000000.wav", "normal_id_00_00000001.wav"]
    assert [(c.name, c.label) for c in valve.test] == [
        ("normal_id_00_00000007.wav", 0),
        ("anomaly_id_00_00000000.wav", 1),
    ]
    assert (car.missing, valve.missing, zeppelin.missing) == ("train", None, "test")
    assert [str(m) for m in scan(tmp_path, "d", ["valve"])] == ["valve 00"]


def test_an_evaluation_set(tmp_path):
    touch(tmp_path, "fan/train/normal_id_01_00000000.wav", "fan/test/id_01_00000003.wav", "fan/test/id_01_00000001.wav")
    (fan,) = scan(tmp_path, "e")
    assert [(c.name, c.label) for c in fan.test] == [("id_01_00000001.wav", None), ("id_01_00000003.wav", None)]


def test_names_outside_the_grammar_of_their_place_are_skipped_and_told(tmp_path):
    odd = [
        "fan/train/anomaly_id_00_00000000.wav",
        "fan/train/readme.txt",
        "fan/test/id_00_00000000.wav",
        "fan/test/normal_id_00_1.wav",
    ]
    touch(tmp_path, *odd, "fan/train/normal_id_00_00000000.wav", "fan/train/.DS_Store")
    with pytest.warns(NameWarning) as caught:
        (fan,) = scan(tmp_path, "d")
    assert len(fan.train) == 1
    assert not fan.test
    assert sorted(w.message.subject for w in caught) == sorted(str(tmp_path / name) for name in odd)


def test_a_missing_folder_and_a_wrong_mode_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        scan(tmp_path / "nowhere", "d")
    with pytest.raises(ValueError, match="'x'"):
        scan(tmp_path, "x")


def test_published_order_of_machine_types():
    machines = ["valve", "zeppelin", "fan", "ToyConveyor", "apple", "slider", "ToyCar", "pump"]
    ordered = sorted(machines, key=machine_order)
    assert ordered == ["ToyCar", "ToyConveyor", "fan", "pump", "slider", "valve", "apple", "zeppelin"]


def test_layout_names_count_each_label_from_zero():
    assert layout_names("06", [0, 0, 1]) == [
        "normal_id_06_00000000.wav",
        "normal_id_06_00000001.wav",
        "anomaly_id_06_00000000.wav",
    ]


def test_ground_truth(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("fan,,\nid_01_00000000.wav,normal_id_01_00000098.wav,0\n\npump\nid_01_00000000.wav,x.wav,1\n")
    assert read_ground_truth(path) == {("fan", "id_01_00000000.wav"): 0, ("pump", "id_01_00000000.wav"): 1}


@pytest.mark.parametrize("line", ["id_01_00000000.wav,normal.wav,2", "id_01_00000000.wav,normal.wav"])
def test_a_broken_ground_truth_names_its_line(tmp_path, line):
    path = tmp_path / "list.csv"
    path.write_text(f"fan\n{line}\n")
    with pytest.raises(DataError, match=r"list\.csv, line 2"):
        read_ground_truth(path)


def test_the_official_ground_truth_is_read(reference):
    truth = read_ground_truth(reference / "published/eval_data_list_2020.csv")
    lines = (reference / "published/eval_data_list_2020.csv").read_text().splitlines()
    assert len(truth) == sum("," in line.strip(",") for line in lines)
    assert {machine for machine, _ in truth} == {"fan", "pump", "slider", "valve", "ToyCar", "ToyConveyor"}
