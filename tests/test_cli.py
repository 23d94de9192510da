"""The command `asd`, as a person or a shell script meets it: what it prints, writes and exits with."""

import csv
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import REPO, only_line, write_wav

from asd import cli, synth
from asd.model import Model


@pytest.fixture(scope="session")
def fan(tmp_path_factory):
    """A folder with `normal` (30 clips), `new` (2) and `knock.wav`, and a model `fan.asd` of the first."""
    folder = tmp_path_factory.mktemp("fan")
    for i in range(32):
        place = folder / ("normal" if i < 30 else "new") / f"{i:02d}.wav"
        write_wav(place, synth.clip("fan", "00", i, seconds=0.5))
    write_wav(folder / "knock.wav", synth.clip("valve", "00", 1, seconds=0.5, wear=1.0))
    assert cli.main(["fit", str(folder / "normal"), "-o", str(folder / "fan.asd"), "--jobs", "1", "--quiet"]) == 0
    return folder


@pytest.fixture
def asd(fan, capsys, monkeypatch):
    """Runs `asd` in the folder `fan`; returns exit code, stdout and stderr."""
    monkeypatch.chdir(fan)

    def call(command, *args):
        options = ["--jobs", "1", "--quiet"] if command in ("fit", "score") else []
        capsys.readouterr()
        code = cli.main([command, *map(str, args), *options])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return call


def read_csv(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


# -- fit -----------------------------------------------------------------------------------------------


def test_fit_says_what_it_learnt_and_what_to_expect(asd, tmp_path):
    code, out, err = asd("fit", "normal", "-o", tmp_path / "a.asd", "--false-alarms", "0.1")
    assert code == 0
    assert not err
    assert re.search(r"fitted on +30 clips, 15\.0 s in all", out)
    assert re.search(r"threshold +[\d.]+ \(empirical, 10 % false alarms asked for\)", out)
    assert re.search(r"9\.7 % of normal clips are to be expected \(95 % interval: .* %\)", out)


def test_fit_warns_of_too_few_clips(asd, tmp_path):
    code, _, err = asd("fit", "normal", "-o", tmp_path / "a.asd")
    assert code == 0
    assert "30 scores, 99 are needed" in only_line(err, "warning")


def test_fit_adds_clips_to_a_model(asd, fan, tmp_path):
    path = tmp_path / "a.asd"
    path.write_bytes((fan / "fan.asd").read_bytes())
    code, out, err = asd("fit", "new", "normal", "-o", path, "--add", "--false-alarms", "0.1")
    assert code == 0, err
    assert "32 clips, 16.0 s in all, 2 of them new" in out
    assert "copies of others (30)" in err
    assert Model.load(path).false_alarms == 0.1
    assert asd("fit", "new", "-o", path, "--add", "--channel", 1)[0] == 1
    assert asd("fit", "new", "-o", tmp_path / "none.asd", "--add")[0] == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere", "-o", "x.asd"], "nowhere: no such file"),
        (["fan.asd", "-o", "x.asd"], "no usable clip"),
        (["normal", "-o", "fan.asd/x.asd"], "choose another place"),
        (["normal", "-o", "x.asd", "--clip-seconds", "100"], "too short"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(asd, fan, args, said):
    code, out, err = asd("fit", *args)
    assert code == 1
    assert not out
    assert said in only_line(err, "error")
    assert not (fan / "x.asd").exists()


@pytest.mark.parametrize(
    "flags", [["--false-alarms", "2"], ["--clip-seconds", "x"], ["--channel", "-1"], ["--system", "y"]]
)
def test_wrong_usage_is_2(fan, flags):
    with pytest.raises(SystemExit) as stop:
        cli.main(["fit", str(fan / "normal"), "-o", str(fan / "x.asd"), *flags])
    assert stop.value.code == 2


# -- score ---------------------------------------------------------------------------------------------


def test_normal_clips_are_0_and_a_table(asd):
    code, out, err = asd("score", "fan.asd", "new")
    assert code == 0
    assert not err
    lines = out.splitlines()
    assert lines[0].split() == ["file", "score", "threshold", "decision", "p-value"]
    assert [line.split()[0] for line in lines[1:3]] == ["new/30.wav", "new/31.wav"]
    assert len({len(line) for line in lines[:3]}) == 1
    assert lines[-1] == "0 of 2 clips are anomalies"


def test_an_anomaly_is_3_and_the_csv_is_exact(asd, tmp_path):
    code, out, _ = asd("score", "fan.asd", "new", "knock.wav", "--csv", tmp_path / "out" / "a.csv")
    assert code == 3
    assert "1 of 3 clips is an anomaly" in out
    rows = read_csv(tmp_path / "out" / "a.csv")
    assert rows[0] == ["file", "score", "threshold", "decision", "p_value"]
    assert [(row[0], row[3]) for row in rows[1:]] == [
        ("new/30.wav", "normal"),
        ("new/31.wav", "normal"),
        ("knock.wav", "anomaly"),
    ]
    model = Model.load("fan.asd")
    for row in rows[1:]:
        (judgement,) = model.score_file(row[0])
        assert (float(row[1]), float(row[2])) == (judgement.score, judgement.threshold)
        assert float(row[4]) == judgement.p_value
    alone = tmp_path / "alone.csv"
    asd("score", "fan.asd", "knock.wav", "--csv", alone)
    assert read_csv(alone)[1] == rows[3]


def test_what_cannot_be_read_is_1_after_all_others_are_scored(asd, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"rubbish")
    (tmp_path / "empty").mkdir()
    args = ["nowhere.wav", tmp_path / "broken.wav", "knock.wav", tmp_path / "empty"]
    code, out, err = asd("score", "fan.asd", *args, "--csv", tmp_path / "a.csv")
    assert code == 1
    assert "knock.wav" in out
    assert len(read_csv(tmp_path / "a.csv")) == 2
    for name in ("nowhere.wav", "broken.wav", "empty"):
        assert len([line for line in err.splitlines() if line.startswith("error") and name in line]) == 1


def test_raw_samples_are_refused(asd, tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(100_000))
    code, _, err = asd("score", "fan.asd", tmp_path / "a.raw")
    assert code == 1
    assert "a.raw" in only_line(err, "error")


def test_json_says_the_same(asd):
    code, out, _ = asd("score", "fan.asd", "new", "knock.wav", "nowhere.wav", "--json")
    assert code == 1
    said = json.loads(out)
    assert [clip["decision"] for clip in said["clips"]] == ["normal", "normal", "anomaly"]
    assert set(said["clips"][0]) == {"file", "score", "threshold", "decision", "p_value", "notes"}
    assert said["unreadable"][0]["file"] == "nowhere.wav"


def test_a_clip_unlike_the_training_clips_is_scored_and_flagged(asd, tmp_path):
    path = write_wav(tmp_path / "faint.wav", 0.001 * synth.clip("fan", "00", 50, seconds=0.5), 8000)
    code, out, err = asd("score", "fan.asd", path, "--json")
    assert code in (0, 3)
    notes = " ".join(json.loads(out)["clips"][0]["notes"])
    assert "level" in notes
    assert "8000 Hz" in notes
    warning = only_line(err, "warning")
    assert "clips unlike the training clips" in warning
    assert "8000 Hz" in warning


def test_long_recordings_get_a_row_a_clip_with_its_time(asd, tmp_path):
    samples = [synth.clip("fan", "00", i, seconds=0.5) for i in (60, 61)]
    knock, _ = soundfile.read("knock.wav")
    path = write_wav(tmp_path / "long.wav", np.concatenate([*samples, knock, knock[:4000]]))
    code, out, _ = asd("score", "fan.asd", path, "--clip-seconds", "0.5", "--csv", tmp_path / "a.csv")
    assert code == 3
    rows = read_csv(tmp_path / "a.csv")
    assert rows[0] == ["file", "start", "score", "threshold", "decision", "p_value"]
    assert [(row[1], row[4]) for row in rows[1:4]] == [("0.0", "normal"), ("0.5", "normal"), ("1.0", "anomaly")]
    assert rows[4][1] == "1.25"
    assert "0.5 s" in out


def test_the_report_ranks_and_explains(asd, tmp_path):
    code, _, _ = asd("score", "fan.asd", "new", "knock.wav", "--report", tmp_path / "report")
    assert code == 3
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert "1 of 3 clips above the threshold" in page
    assert page.index("knock.wav") < page.index("new/30.wav")
    assert "Than similar normal clips it has" in page
    assert "modulation at" in page


def test_a_file_that_is_no_model_is_one_line(asd, tmp_path):
    for name in ("knock.wav", "nowhere.asd", tmp_path):
        code, out, err = asd("score", name, "new")
        assert code == 1
        assert not out
        assert os.path.basename(name) in only_line(err, "error")


@pytest.mark.skipif(sys.platform != "linux", reason="file names of bytes that are no UTF-8")
def test_names_that_are_no_unicode_are_scored(asd, fan, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b[31m.wav")
    with open(path, "wb") as file:
        file.write((fan / "new" / "30.wav").read_bytes())
    code, out, _ = asd("score", "fan.asd", path, "--csv", tmp_path / "a.csv")
    assert code == 0
    assert "\x1b" not in out
    assert len(read_csv(tmp_path / "a.csv")) == 2


# -- watch (more in test_watch.py) ---------------------------------------------------------------------


def test_watch_refuses_what_it_cannot_watch_in_one_line(asd, fan, tmp_path):
    (fan / "other.csv").write_text("a,b\n")
    for args, said in (
        (["fan.asd", "nowhere"], "no such folder"),
        (["fan.asd", "new", "--csv", "other.csv"], "other.csv: its first line"),
        (["nowhere.asd", "new"], "nowhere.asd"),
        (["fan.asd", "new", "--csv", tmp_path / "a.csv", "--exec", "'"], "--exec"),
    ):
        code, out, err = asd("watch", *args)
        assert code == 1
        assert not out
        assert said in only_line(err, "error")


# -- info and the rest ---------------------------------------------------------------------------------


def test_info_says_what_the_model_is(asd):
    code, out, _ = asd("info", "fan.asd")
    assert code == 0
    for words in (
        "local-reconstruction",
        "30 clips",
        "16000 Hz",
        "00.wav, 01.wav, ... 29.wav",
        "numpy",
        "std_factor 1.5",
    ):
        assert words in out
    said = json.loads(asd("info", "fan.asd", "--json")[1])
    assert len(said["files"]) == 30
    assert said["expected_false_alarms"]["share"] == pytest.approx(1 / 31)


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_the_version(flag, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([flag])
    assert stop.value.code == 0
    assert re.fullmatch(r"asd \S+\n", capsys.readouterr().out)


@pytest.mark.parametrize("command", ["fit", "score", "watch", "info"])
def test_help_is_there(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert "exit code" in capsys.readouterr().out


def test_python_m_asd_is_the_command(fan):
    command = [sys.executable, "-m", "asd", "score", "fan.asd", "knock.wav", "--jobs", "1"]
    done = subprocess.run(
        command, cwd=fan, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(REPO)}, timeout=120
    )
    assert done.returncode == 3, done.stderr
    assert "anomaly" in done.stdout
    assert "scoring" in done.stderr  # the progress bar


def test_the_systems_that_can_be_named_are_those_that_are(fan):
    from asd.systems import SYSTEMS

    assert tuple(SYSTEMS) == cli.SYSTEM_NAMES
