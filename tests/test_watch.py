"""`asd watch`: every finished good file is scored exactly once, whatever happens to the folder, the files, or us."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest
import soundfile
from conftest import REPO, write_wav

from asd import synth, watch
from asd.audio import RATE
from asd.judged import JUDGED as HEADER
from asd.model import Model
from asd.watch import Watcher, WatchError

EVERY = 0.1  # s


@pytest.fixture(scope="module")
def sounds():
    return [synth.clip("fan", "00", i, seconds=0.5).astype(np.float32) for i in range(20)]


@pytest.fixture(scope="module")
def model_file(sounds, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "fan.asd"
    Model.fit_samples(sounds, RATE, false_alarms=0.1).save(path)
    return path


@pytest.fixture(scope="module")
def model(model_file):
    return Model.load(model_file)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


@pytest.fixture
def noise(rng):
    """Nothing like the fan: an anomaly."""
    return 0.5 * np.sign(rng.standard_normal(RATE // 2))


def rows(path):
    """The CSV's rows, as dicts; the header is checked."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        found = list(reader)
    assert tuple(reader.fieldnames) == HEADER
    return found


def names(path):
    return [row["file"] for row in rows(path)]


class Clock:
    """A time that passes only when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(watch, "time", clock)
    return clock


@pytest.fixture
def looks(model, folder, clock):
    """A watcher that looks at the folder when it is told to; `said` and `warned` are what it said."""

    def start(**options):
        said, warned = [], []
        watcher = Watcher(
            model, folder, every=EVERY, say=lambda line, anomalous: said.append(line), warn=warned.append, **options
        )
        watcher.said, watcher.warned = said, warned
        watcher.__enter__()
        started.append(watcher)

        def look(n=2):
            for _ in range(n):
                watcher.look()
                clock.now += EVERY

        watcher.looks = look
        return watcher

    started = []
    yield start
    for watcher in started:
        watcher.__exit__()


def test_a_file_is_scored_once_it_is_unchanged_for_an_interval_and_as_score_does(looks, folder, sounds, model):
    watcher = looks()
    path = write_wav(folder / "day 1" / "a.wav", sounds[0])
    watcher.looks(1)
    assert names(watcher.csv) == []
    watcher.looks(5)
    (row,) = rows(watcher.csv)
    (expected,) = model.score_file(path)
    assert row["file"] == "day 1/a.wav"
    assert (float(row["score"]), float(row["p_value"])) == (expected.score, expected.p_value)
    assert row["decision"] == "normal"
    assert "day 1/a.wav" in watcher.said[0]
    assert watcher.csv == folder.with_name("incoming.csv")


def test_nothing_half_written_is_scored(looks, folder, sounds):
    watcher = looks()
    whole = write_wav(folder.parent / "whole.wav", sounds[0]).read_bytes()
    with open(folder / "slow.wav", "wb") as file:
        for start in range(0, len(whole), 4000):
            file.write(whole[start : start + 4000])
            file.flush()
            watcher.looks(3)  # the writer pauses for longer than an interval
            if start + 4000 < len(whole):
                assert names(watcher.csv) == []
    watcher.looks(3)
    assert names(watcher.csv) == ["slow.wav"]


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_a_recorder_that_pauses_is_waited_for(looks, folder, sounds, ending):
    watcher = looks()
    with soundfile.SoundFile(folder / f"slow.{ending}", "w", RATE, 1) as file:
        for _ in range(3):
            file.write(np.tile(sounds[0], 10))
            file.flush()
            watcher.looks(5)
            assert names(watcher.csv) == []
    watcher.looks(3)
    assert names(watcher.csv) == [f"slow.{ending}"]


def test_a_wav_from_a_pipe_is_scored_after_a_minute(looks, folder, sounds, clock):
    watcher = looks()
    content = bytearray(write_wav(folder.parent / "a.wav", sounds[0]).read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"  # as ffmpeg writes to a pipe
    (folder / "piped.wav").write_bytes(content)
    watcher.looks(5)
    assert names(watcher.csv) == []
    clock.now += watch.PATIENCE
    watcher.looks(1)
    assert names(watcher.csv) == ["piped.wav"]


def test_temporary_hidden_and_other_files_are_left_alone_until_they_are_renamed(looks, folder, sounds):
    watcher = looks()
    for name in ("a.wav.part", "b.tmp", ".c.wav", "notes.txt"):
        write_wav(folder / name, sounds[0], format="WAV")
    watcher.looks(4)
    assert names(watcher.csv) == []
    os.rename(folder / "a.wav.part", folder / "a.wav")
    watcher.looks(3)
    assert names(watcher.csv) == ["a.wav"]
    assert not watcher.warned


def test_an_overwritten_file_is_scored_again_and_a_deleted_one_forgotten(looks, folder, sounds):
    watcher = looks()
    path = write_wav(folder / "a.wav", sounds[0])
    watcher.looks(4)
    write_wav(path, sounds[1])
    os.utime(path, ns=(1, 1))  # an older time is another time as well
    watcher.looks(4)
    assert names(watcher.csv) == ["a.wav"] * 2
    assert rows(watcher.csv)[0]["score"] != rows(watcher.csv)[1]["score"]
    path.unlink()
    watcher.looks(3)
    assert not watcher._scored
    assert len(names(watcher.csv)) == 2


def test_rubbish_is_reported_once_and_tried_again_when_it_changes(looks, folder, sounds):
    watcher = looks()
    (folder / "a.wav").write_bytes(b"rubbish" * 100)
    write_wav(folder / "b.wav", sounds[0])
    watcher.looks(6)
    assert len(watcher.warned) == 1
    assert "a.wav" in watcher.warned[0]
    assert names(watcher.csv) == ["b.wav"]
    write_wav(folder / "a.wav", sounds[0])
    watcher.looks(4)
    assert names(watcher.csv) == ["b.wav", "a.wav"]


def test_a_file_that_changes_while_it_is_scored_is_scored_when_it_rests(looks, folder, sounds, model, monkeypatch):
    watcher = looks()
    path = write_wav(folder / "a.wav", sounds[0])
    observe, calls = Model.observe, []

    def slowly(self, recording):
        if not calls:
            write_wav(path, np.concatenate(sounds[:2]))
        calls.append(recording)
        return observe(self, recording)

    monkeypatch.setattr(Model, "observe", slowly)
    watcher.looks(5)
    assert names(watcher.csv) == ["a.wav"]
    assert float(rows(watcher.csv)[0]["score"]) == model.score_file(path)[0].score


def test_the_folder_may_go_away_and_come_back(looks, folder, sounds):
    watcher = looks()
    shutil.rmtree(folder)
    watcher.looks(3)
    assert len(watcher.warned) == 1
    write_wav(folder / "a.wav", sounds[0])
    watcher.looks(3)
    assert names(watcher.csv) == ["a.wav"]


def test_long_recordings_are_cut(looks, folder, sounds, noise):
    watcher = looks(clip_seconds=0.5)
    write_wav(folder / "a.wav", np.concatenate([sounds[0], noise, sounds[1][:2000]]))
    watcher.looks(3)
    with open(watcher.csv, newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["start"], row["decision"]) for row in found][:2] == [("0.0", "normal"), ("0.5", "anomaly")]
    assert float(found[2]["start"]) == pytest.approx(0.625)


# -- starting again -----------------------------------------------------------------------------------


def restart(looks, watcher, **options):
    watcher.__exit__()
    return looks(**options)


def test_it_goes_on_where_it_stopped(looks, folder, sounds):
    watcher = looks()
    for i in range(3):
        write_wav(folder / f"{i}.wav", sounds[i])
    watcher.looks(3)
    watcher = restart(looks, watcher)
    write_wav(folder / "3.wav", sounds[3])
    write_wav(folder / "1.wav", sounds[4])  # overwritten while nobody looked
    os.utime(folder / "1.wav", ns=(5, 5))
    watcher.looks(4)
    assert names(watcher.csv) == ["0.wav", "1.wav", "2.wav", "1.wav", "3.wav"]


def test_killed_between_any_two_bytes_every_file_has_its_row_once(looks, folder, sounds):
    watcher = looks()
    for i in range(2):
        write_wav(folder / f"{i}.wav", sounds[i])
    watcher.looks(3)
    state, content = watcher._state.read_bytes(), watcher.csv.read_bytes()
    header = len(",".join(HEADER)) + 1
    row = content.index(b"\n", header) + 1
    line = state.index(b"\n") + 1
    cuts = [(line, n) for n in range(row, len(content), 7)]  # nothing of the second, then
    cuts = [(n, row) for n in range(line, len(state), 23)] + [(len(state), n) for _, n in cuts]
    cuts += [(n, header) for n in range(0, line, 31)]
    for n_state, n_csv in cuts:
        watcher.__exit__()
        watcher._state.write_bytes(state[:n_state])
        watcher.csv.write_bytes(content[:n_csv])
        watcher = looks()
        watcher.looks(3)
        assert names(watcher.csv) == ["0.wav", "1.wav"], (n_state, n_csv)
        assert watcher.csv.read_bytes() == content


def test_without_its_state_what_the_csv_names_is_done_and_a_cut_row_is_not(looks, folder, sounds):
    watcher = looks()
    for i in range(2):
        write_wav(folder / f"{i}.wav", sounds[i])
    watcher.looks(3)
    content = watcher.csv.read_bytes()
    watcher._state.unlink()
    watcher.csv.write_bytes(content[:-9])
    watcher = restart(looks, watcher)
    watcher.looks(3)
    assert watcher.csv.read_bytes() == content


@pytest.mark.parametrize("garbage", [b"\0\xff\n", b"[]\n", b'{"file": 1}\n', b"[" * 100_000])
def test_a_state_that_is_rubbish_does_no_harm(looks, folder, sounds, garbage):
    watcher = looks()
    write_wav(folder / "0.wav", sounds[0])
    watcher.looks(3)
    with open(watcher._state, "ab") as file:
        file.write(garbage)
    watcher = restart(looks, watcher)
    write_wav(folder / "1.wav", sounds[0])
    watcher.looks(3)
    assert names(watcher.csv) == ["0.wav", "1.wav"]


def test_a_csv_that_is_moved_away_begins_again_with_what_is_new(looks, folder, sounds):
    watcher = looks()
    write_wav(folder / "0.wav", sounds[0])
    watcher.looks(3)
    watcher.csv.rename(watcher.csv.with_name("old.csv"))
    for _ in range(2):
        watcher = restart(looks, watcher)
        assert names(watcher.csv) == []
    write_wav(folder / "1.wav", sounds[1])
    watcher.looks(3)
    assert names(watcher.csv) == ["1.wav"]
    watcher.csv.unlink()  # while it watches
    write_wav(folder / "2.wav", sounds[1])
    watcher.looks(3)
    assert names(watcher.csv) == ["2.wav"]


def test_two_watchers_of_one_csv_are_refused(looks, model, folder):
    watcher = looks()
    with pytest.raises(WatchError, match="another asd watch"):
        Watcher(model, folder).__enter__()
    restart(looks, watcher)


def test_another_file_is_not_appended_to(model, folder, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(WatchError, match=r"other\.csv: its first line"):
        Watcher(model, folder, csv=other).__enter__()
    assert other.read_text() == "a,b\n1,2\n"
    with pytest.raises(WatchError, match="no such folder"):
        Watcher(model, tmp_path / "none")


@pytest.mark.slow
def test_memory_and_state_do_not_grow_over_2000_files(looks, folder, sounds, model, monkeypatch):
    write_wav(folder / "one.wav", sounds[0][:8000])
    watcher = looks()
    observed = model.observe(model.recordings(folder / "one.wav")[0])
    monkeypatch.setattr(Model, "observe", lambda *_: observed)  # the scoring itself is measured elsewhere
    monkeypatch.setattr(watch, "COMPACT", 100)
    content = (folder / "one.wav").read_bytes()
    used = []
    tracemalloc.start(4)
    for start in range(0, 2000, 100):
        for i in range(start, start + 100):
            (folder / f"{i}.wav").write_bytes(content)
        watcher.looks(3)
        for i in range(start, start + 100):
            (folder / f"{i}.wav").unlink()
        watcher.looks(1)
        watcher.said.clear()
        if start in (500, 1900):
            ours = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/asd/*", all_frames=True)])
            used.append(sum(trace.size for trace in ours.traces))
    tracemalloc.stop()
    assert len(names(watcher.csv)) == len(set(names(watcher.csv))) == 2001
    assert len(watcher._scored) == 1
    assert not watcher._waiting
    assert used[1] - used[0] < 20_000, used
    assert watcher._state.stat().st_size < 100_000


# -- the command --------------------------------------------------------------------------------------


def test_the_command_is_run_for_anomalies_only_without_a_shell(looks, folder, sounds, noise, tmp_path):
    script, log = tmp_path / "alarm.py", tmp_path / "log"
    script.write_text("import json, sys\nwith open(sys.argv[1], 'a') as f: f.write(json.dumps(sys.argv[2:]) + '\\n')")
    watcher = looks(command=f"{sys.executable} {script} {log} 'two words'")
    write_wav(folder / "normal.wav", sounds[0])
    path = write_wav(folder / "$(touch x); y.wav", noise)
    watcher.looks(4)
    assert len(names(watcher.csv)) == 2
    assert [json.loads(line) for line in log.read_text().splitlines()] == [["two words", str(path)]]
    assert not any("alarm" in line for line in watcher.warned)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("/does/not/exist", "cannot be run"),
        (f"{sys.executable} -c 'raise SystemExit(5)'", "exit code 5"),
        (f"{sys.executable} -c 'import time; time.sleep(60)'", "ended after 0.3 s"),
    ],
)
def test_a_command_that_fails_is_said_and_the_watch_goes_on(looks, folder, sounds, noise, command, said):
    watcher = looks(command=command, command_timeout=0.3)
    write_wav(folder / "a.wav", noise)
    write_wav(folder / "b.wav", sounds[0])
    watcher.looks(3)
    assert [line for line in watcher.warned if said in line]
    assert names(watcher.csv) == ["a.wav", "b.wav"]


# -- the process --------------------------------------------------------------------------------------


def test_a_busy_folder_and_a_signal(model_file, folder, sounds, tmp_path):
    """A writer that writes slowly, renames, overwrites, deletes and drops rubbish; then SIGTERM."""
    command = [sys.executable, "-m", "asd", "watch", str(model_file), str(folder), "--every", "0.2"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(REPO)}
    )
    lines, errors = [], []
    readers = [
        threading.Thread(target=lambda pipe=pipe, into=into: into.extend(pipe))
        for pipe, into in ((process.stdout, lines), (process.stderr, errors))
    ]
    for reader in readers:
        reader.start()
    target = folder.with_name("incoming.csv")
    content = write_wav(tmp_path / "a.wav", sounds[0]).read_bytes()

    def wait_for(n):
        until = time.monotonic() + 60
        while (len(names(target)) if target.exists() else 0) < n:
            assert time.monotonic() < until, "".join(errors)
            assert process.poll() is None, "".join(errors)
            time.sleep(0.02)

    try:
        (folder / "rubbish.wav").write_bytes(b"RIFFrubbish")
        with open(folder / "slow.wav", "wb") as file:
            for start in range(0, len(content), 3000):
                file.write(content[start : start + 3000])
                file.flush()
                time.sleep(0.05)
        (folder / "moved.part").write_bytes(content)
        os.rename(folder / "moved.part", folder / "moved.wav")
        wait_for(2)
        (folder / "gone.wav").write_bytes(content)
        (folder / "gone.wav").unlink()
        (folder / "moved.wav").write_bytes(write_wav(tmp_path / "b.wav", sounds[1]).read_bytes())
        wait_for(3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        for reader, pipe in zip(readers, (process.stdout, process.stderr), strict=True):
            reader.join()
            pipe.close()
    assert sorted(names(target)) == ["moved.wav", "moved.wav", "slow.wav"]
    assert len(lines) == 4  # the first says what is watched
    assert sum("rubbish.wav" in line for line in errors) == 1
    assert not any("Traceback" in line for line in errors)
