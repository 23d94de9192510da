"""The scripts as their users run them: what they write, what they say, how they end."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import (
    SYSTEM1,
    files_below,
    goes_on,
    kill_at_first_manifest,
    only_line,
    read_scores,
    run_script,
    stops,
    write_wav,
)
from plain import modulation_spectrogram, noise_gate

from asd import dataset, results
from asd.metrics import auc, pauc
from asd.systems import ModspecGraph

RESULTS = "modspec_graph_dev_data_results.csv"
SCORES = "individual_scores/dev/modspec_graph"
SUBMISSION = "task2/Tiwari_IITKGP_task2_2"


@pytest.fixture
def run(run_here):
    """Runs System 1: see `run_here`."""
    return partial(run_here, SYSTEM1)


# What a run writes


def test_scores_are_the_method_s(run, dev_data, tmp_path):
    """From WAV to score by the plain parts: gate, spectrogram, graph clusters."""
    from test_detectors import plain_scores

    code, _, _ = run("d", dev_data)
    assert code == 0
    for clips in dataset.scan(dev_data, "d"):
        train = [soundfile.read(clip.path)[0] for clip in clips.train]
        test = [soundfile.read(clip.path)[0] for clip in clips.test]
        noise = np.mean(train, axis=0)
        X_train, X_test = (
            np.array([modulation_spectrogram(noise_gate(c, noise)) for c in split]) for split in (train, test)
        )
        scores = read_scores(tmp_path / "out" / SCORES / results.scores_name(*clips.key))
        assert list(scores) == [clip.name for clip in clips.test]
        np.testing.assert_allclose(list(scores.values()), plain_scores(X_train, X_test), rtol=1e-3)


def test_results_are_auc_and_pauc_of_the_scores(run, dev_data, tmp_path):
    _, out, err = run("d", dev_data)
    frame = pd.read_csv(tmp_path / "out" / RESULTS, index_col=0, float_precision="round_trip")
    assert frame.Machine.tolist() == ["fan"] * 3 + ["valve"] * 3
    assert frame.Mid.tolist() == ["0", "12", "Average"] * 2
    for _, row in frame[frame.Mid != "Average"].iterrows():
        scores = read_scores(tmp_path / "out" / SCORES / f"anomaly_score_{row.Machine}_id_{int(row.Mid):02d}.csv")
        labels = [name.startswith("anomaly") for name in scores]
        assert auc(labels, list(scores.values())) == row.AUC
        assert row.pAUC == pauc(labels, list(scores.values()))
    assert "published" in out
    assert "harmonic mean" in out
    assert not err


def test_an_evaluation_run_writes_the_submission(run, eval_data, tmp_path):
    code, out, _ = run("e", eval_data)
    assert code == 0
    truth = dataset.read_ground_truth(eval_data / dataset.GROUND_TRUTH)
    found = dataset.scan(eval_data, "e")
    folder = tmp_path / "out" / SUBMISSION
    assert sorted(p.name for p in folder.glob("*.csv")) == sorted(results.scores_name(*m.key) for m in found)
    figures = pd.read_csv(tmp_path / "out/modspec_graph_eval_data_results.csv").set_index(["Machine", "Mid"])
    for clips in found:
        content = (folder / results.scores_name(*clips.key)).read_bytes()
        assert (
            content
            == (tmp_path / "out/individual_scores/eval/modspec_graph" / results.scores_name(*clips.key)).read_bytes()
        )
        scores = read_scores(folder / results.scores_name(*clips.key))
        assert list(scores) == sorted(clip.name for clip in clips.test)
        assert np.isfinite(list(scores.values())).all()
        labels = [truth[clips.machine, name] for name in scores]
        assert figures.loc[(clips.machine, str(int(clips.id))), "AUC"] == pytest.approx(
            auc(labels, list(scores.values()))
        )
    assert "AUC" in out


def test_an_evaluation_run_without_ground_truth(run, fan_eval, tmp_path):
    code, out, err = run("e", fan_eval)
    assert code == 0
    assert not err
    assert "eval_data_list.csv" in out
    assert len(list((tmp_path / "out" / SUBMISSION).glob("*.csv"))) == 2
    assert not list((tmp_path / "out").glob("*.csv"))


def test_the_original_s_eval_files_in_any_order_are_sorted_in_the_submission(run, fan_eval, tmp_path):
    run("e", fan_eval)
    expected = files_below(tmp_path / "out" / SUBMISSION)
    for manifest in (tmp_path / "saved").glob("*.json"):
        manifest.unlink()
    for part in ("X_test", "eval_files"):
        path = tmp_path / "saved" / f"fan1_{part}_NR-100_e_.npy"
        np.save(path, np.load(path)[::-1])
    (tmp_path / "empty").mkdir()
    code, _, _ = run("e", tmp_path / "empty", output=tmp_path / "again")
    assert code == 0
    assert files_below(tmp_path / "again" / SUBMISSION) == expected


def test_the_same_bytes_for_any_number_of_workers_and_from_the_cache(run, dev_data, tmp_path):
    assert run("d", dev_data)[0] == 0
    fresh, features = files_below(tmp_path / "out"), files_below(tmp_path / "saved")
    assert len(fresh) == 9  # results, scores of four ids, and of their training clips
    run("d", dev_data, output=tmp_path / "cached")
    assert files_below(tmp_path / "cached") == fresh
    run("d", dev_data, "--force", "--jobs", "2", output=tmp_path / "two")
    assert files_below(tmp_path / "two") == fresh
    assert files_below(tmp_path / "saved") == features


def test_cached_features_are_not_computed_again_unless_forced(run, fan, tmp_path, monkeypatch):
    run("d", fan)
    calls = []
    compute = ModspecGraph.compute
    monkeypatch.setattr(ModspecGraph, "compute", lambda *args: calls.append(1) or compute(*args))
    run("d", fan)
    assert not calls
    run("d", fan, "--force")
    assert len(calls) == 2


def test_a_change_of_one_clip_is_noticed(run, fan, tmp_path):
    run("d", fan)
    before = read_scores(tmp_path / "out" / SCORES / "anomaly_score_fan_id_00.csv")
    shutil.copy(fan / "fan/test/anomaly_id_00_00000001.wav", fan / "fan/test/anomaly_id_00_00000000.wav")
    code, _, err = run("d", fan)
    assert code == 0
    assert "computed again (1): fan 00" in only_line(err, "warning")
    after = read_scores(tmp_path / "out" / SCORES / "anomaly_score_fan_id_00.csv")
    assert after["anomaly_id_00_00000000.wav"] == before["anomaly_id_00_00000001.wav"]


def test_only_some_machines(run, dev_data, tmp_path):
    _, out, _ = run("d", dev_data, "--machines", "valve")
    assert "fan" not in out.replace(str(tmp_path), "")
    assert {p.name for p in (tmp_path / "out" / SCORES).iterdir()} == {
        "anomaly_score_valve_id_00.csv",
        "anomaly_score_valve_id_12.csv",
    }


@pytest.mark.slow
def test_default_places_are_the_original_s(dev_data, tmp_path):
    """A copy of the script in a tree of its own, run from its own folder without flags."""
    repo = tmp_path / "repo"
    (repo / "bin/modspec_graph").mkdir(parents=True)
    script = shutil.copy(SYSTEM1, repo / "bin/modspec_graph")
    shutil.copytree(dev_data, repo / "dev_data")
    process = run_script(SYSTEM1.__class__(script), "d")
    assert process.returncode == 0, process.stderr
    assert "fan 00 [1/4]" in process.stderr
    assert (repo / "bin/modspec_graph" / RESULTS).is_file()
    assert len(list((repo / "bin/ensemble" / SCORES).iterdir())) == 4
    assert len(list((repo / "bin/modspec_graph/saved").iterdir())) == 16


def test_help_explains_method_folders_and_an_example():
    process = run_script(SYSTEM1, "--help")
    assert process.returncode == 0
    for word in ("gammatone", "nearest", "<machine>/train", "example", "--saved", "--force", "--output"):
        assert word in process.stdout


@pytest.mark.parametrize("args", [[], ["x"], ["d", "--jobs", "0"], ["d", "--jobs", "many"], ["d", "--nonsense"]])
def test_wrong_usage(args):
    process = run_script(SYSTEM1, *args)
    assert process.returncode == 2
    assert "Traceback" not in process.stderr


# Interruption


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.3, 0.8, 1.5, 2.5])
def test_killed_at_any_moment_and_run_again(dev_data, tmp_path, delay):
    """At its first finished id, or `delay` seconds on, the run is killed; the next ends as if it had not been."""
    args = ["d", "--data", dev_data, "--jobs", "2"]
    command = [sys.executable, str(SYSTEM1), *map(str, args), "--saved", str(tmp_path / "saved")]
    command += ["--output", str(tmp_path / "out")]
    if delay:
        process = subprocess.Popen(
            command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    else:
        kill_at_first_manifest(command, tmp_path / "saved")
    finished = {p: p.stat().st_mtime_ns for p in tmp_path.glob("saved/*_manifest_*")}

    again = run_script(SYSTEM1, *args, "--saved", tmp_path / "saved", "--output", tmp_path / "out", "--quiet")
    assert again.returncode == 0
    assert not again.stderr
    assert {p: p.stat().st_mtime_ns for p in finished} == finished
    clean = run_script(SYSTEM1, *args, "--saved", tmp_path / "saved2", "--output", tmp_path / "out2", "--quiet")
    assert clean.returncode == 0
    assert files_below(tmp_path / "out") == files_below(tmp_path / "out2")
    ours, theirs = files_below(tmp_path / "saved"), files_below(tmp_path / "saved2")
    assert {name: content for name, content in ours.items() if not name.endswith(".asd-tmp")} == theirs


def test_an_interrupt_ends_in_one_line(dev_data, tmp_path):
    command = [sys.executable, str(SYSTEM1), "d", "--data", str(dev_data), "--jobs", "1", "--quiet"]
    command += ["--saved", str(tmp_path / "saved"), "--output", str(tmp_path / "out")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while process.poll() is None and not list(tmp_path.glob("saved/*_manifest_*")):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    if process.returncode != 0:  # it may have been through
        assert process.returncode == 130
        assert err.strip() == "interrupted: finished machine ids are kept, run again to go on"


def test_an_interrupt_from_the_terminal_reaches_the_workers_too(dev_data, tmp_path):
    command = [sys.executable, str(SYSTEM1), "d", "--data", str(dev_data), "--jobs", "2", "--quiet"]
    command += ["--saved", str(tmp_path / "saved"), "--output", str(tmp_path / "out")]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    while process.poll() is None and not list(tmp_path.glob("saved/*_manifest_*")):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)  # ends with the last worker, which holds stderr
    if process.returncode != 0:
        assert process.returncode == 130
        assert err.strip() == "interrupted: finished machine ids are kept, run again to go on"


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_standard_output_that_cannot_be_written(dev_data, tmp_path):
    args = ["d", "--data", dev_data, "--saved", tmp_path / "saved", "--output", tmp_path / "out", "--jobs", 1]
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, SYSTEM1, *map(str, args), "--quiet"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert process.returncode == 1
    assert process.stderr.startswith("error: standard output: No space left")
    assert len(process.stderr.splitlines()) == 1


@pytest.mark.slow
def test_two_runs_at_once(dev_data, tmp_path):
    command = [sys.executable, str(SYSTEM1), "d", "--data", str(dev_data), "--jobs", "1", "--quiet"]
    command += ["--saved", str(tmp_path / "saved"), "--output", str(tmp_path / "out")]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    clean = run_script(SYSTEM1, *command[2:], "--saved", tmp_path / "saved2", "--output", tmp_path / "out2")
    assert clean.returncode == 0
    assert files_below(tmp_path / "out") == files_below(tmp_path / "out2")
    assert files_below(tmp_path / "saved") == files_below(tmp_path / "saved2")


# Bad input that stops a run: exit 1, one line on stderr


def test_a_missing_data_folder(run, tmp_path):
    err = stops(run("d", tmp_path / "nowhere"), tmp_path / "nowhere", "--data", "download_dev_data.sh")
    assert len(err.splitlines()) == 1


def test_nothing_found_in_data_or_cache(run, tmp_path):
    (tmp_path / "empty").mkdir()
    stops(run("d", tmp_path / "empty"), tmp_path / "empty", tmp_path / "saved", "no machine found")


def test_the_folder_of_one_machine_given_as_the_data(run, fan):
    stops(run("d", fan / "fan"), f"--data {fan}")


def test_a_machine_that_is_not_there(run, fan):
    stops(run("d", fan, "--machines", "fan", "Pump"), "'Pump'", "in the data: fan")


def test_an_output_folder_that_is_a_file(run, fan, tmp_path):
    (tmp_path / "out").write_text("")
    stops(run("d", fan), tmp_path / "out", "--output")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_output_folder(run, fan, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    stops(run("d", fan), tmp_path / "out", "--output")


def limit_file_size():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))


def test_a_full_disk(fan, tmp_path):
    """A limit on file size stands for it: writing fails half-way through a file."""
    args = ["d", "--data", fan, "--saved", tmp_path / "saved", "--output", tmp_path / "out", "--jobs", 1, "--quiet"]
    process = run_script(SYSTEM1, *args, preexec_fn=limit_file_size)
    assert process.returncode == 1
    assert len(process.stderr.splitlines()) == 1
    assert str(tmp_path / "saved" / "fan0_X_train") in process.stderr
    assert "free some space" in process.stderr
    assert not list((tmp_path / "saved").iterdir())


def test_an_unusable_cache_without_its_clips(run, fan, tmp_path):
    run("d", fan)
    (tmp_path / "empty").mkdir()
    path = tmp_path / "saved/fan12_X_train_NR-100_d_.npy"
    np.save(path, np.zeros((12, 23, 8)))
    err = stops(run("d", tmp_path / "empty"), path, "23, 8", "delete")
    assert len(err.splitlines()) == 1
    assert [p.name for p in (tmp_path / "out" / SCORES).iterdir()] == ["anomaly_score_fan_id_00.csv"]
    assert (tmp_path / "out" / RESULTS).is_file()


def test_an_evaluation_set_with_a_broken_clip_and_ids_without_train_or_test(run, eval_data, tmp_path):
    """All of them are listed, after the good ids are written."""
    data = shutil.copytree(eval_data, tmp_path / "data")
    (data / "fan/test/id_01_00000002.wav").write_bytes(b"")
    for path in data.glob("valve/train/normal_id_01_*"):
        path.unlink()
    for path in data.glob("valve/test/id_12_*"):
        path.unlink()
    stops(run("e", data), "fan 01", "id_01_00000002.wav (empty file)", "valve 01: no train", "valve 12: no test")
    assert [p.name for p in (tmp_path / "out" / SUBMISSION).glob("*.csv")] == ["anomaly_score_fan_id_12.csv"]


def test_a_broken_evaluation_clip_is_told_again_until_it_is_mended(run, fan_eval, tmp_path):
    path = fan_eval / "fan/test/id_01_00000002.wav"
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    for _ in range(2):
        stops(run("e", fan_eval), "id_01_00000002.wav (truncated")
    path.write_bytes(whole)
    assert run("e", fan_eval)[0] == 0
    assert (tmp_path / "out" / SUBMISSION / "anomaly_score_fan_id_01.csv").is_file()
    path.write_bytes(b"X" * len(whole))
    stops(run("e", fan_eval), "id_01_00000002.wav (not a readable")
    assert not (tmp_path / "out" / SUBMISSION / "anomaly_score_fan_id_01.csv").exists()
    path.write_bytes(whole)
    assert run("e", fan_eval)[0] == 0


def test_submission_files_of_other_ids_are_told(run, fan_eval, tmp_path):
    run("e", fan_eval)
    for path in fan_eval.glob("fan/*/*id_12_*"):
        path.unlink()
    assert run("e", fan_eval, "--machines", "fan")[2] == ""
    for path in (tmp_path / "saved").glob("fan12_*"):
        path.unlink()
    goes_on(run("e", fan_eval), "anomaly_score_fan_id_12.csv")


def test_a_broken_ground_truth(run, fan_eval):
    (fan_eval / "eval_data_list.csv").write_text("fan\nid_01_00000000.wav,0\n")
    stops(run("e", fan_eval), "eval_data_list.csv, line 2")


def test_no_id_can_be_scored(run, fan):
    shutil.rmtree(fan / "fan/test")
    stops(run("d", fan), "fan 00: no test clips")


def test_the_other_mode_s_clips(run, dev_data, eval_data):
    code, _, err = run("d", eval_data)
    assert code == 1
    assert "run with e instead of d" in only_line(err, "error")
    code, _, err = run("e", dev_data)
    assert code == 1
    assert "run with d instead of e" in only_line(err, "error")


# Bad input that does not: exit 0, one warning a kind


def test_names_outside_the_grammar(run, fan):
    for name in ("notes.txt", "copy of normal_id_00_00000000.wav", "anomaly_id_00_00000000.wav"):
        (fan / "fan/train" / name).touch()
    goes_on(run("d", fan), "names", "(3)", fan / "fan/train/anomaly_id_00_00000000.wav")


def test_another_rate_and_several_channels(run, fan, tmp_path):
    samples, rate = soundfile.read(fan / "fan/train/normal_id_00_00000003.wav")
    run("d", fan)
    before = files_below(tmp_path / "out")
    write_wav(fan / "fan/train/normal_id_00_00000003.wav", np.stack([samples, 0 * samples], axis=1), rate)
    code, _, err = run("d", fan, "--force")
    assert code == 0
    assert "channels" in only_line(err, "warning")
    assert files_below(tmp_path / "out") == before
    write_wav(fan / "fan/train/normal_id_00_00000003.wav", np.repeat(samples, 2), 2 * rate)
    goes_on(run("d", fan, "--force"), "resampled", "32000 Hz", "normal_id_00_00000003.wav")


def test_broken_clips_are_named_and_left_out(run, fan, tmp_path):
    (fan / "fan/train/normal_id_00_00000000.wav").write_bytes(b"")
    (fan / "fan/test/normal_id_00_00000001.wav").write_bytes(b"nothing like a sound" * 50)
    silence = np.zeros(16000)
    write_wav(fan / "fan/test/anomaly_id_12_00000000.wav", silence[:4591])
    write_wav(fan / "fan/test/anomaly_id_12_00000001.wav", np.full(16000, np.nan), subtype="FLOAT")
    names = ["normal_id_00_00000000.wav (empty", "normal_id_00_00000001.wav (not a", "_00000000.wav (too short", "NaN"]
    out = goes_on(run("d", fan), "(4)", *names)
    assert goes_on(run("d", fan), "(4)", *names) == out  # from the cache
    scores = read_scores(tmp_path / "out" / SCORES / "anomaly_score_fan_id_12.csv")
    assert len(scores) == 6
    assert "anomaly_id_12_00000000.wav" not in scores


def test_the_noise_clip_is_that_of_the_usable_clips(run, fan, tmp_path):
    broken = fan / "fan/train/normal_id_00_00000000.wav"
    broken.write_bytes(b"")
    run("d", fan)
    with_broken = read_scores(tmp_path / "out" / SCORES / "anomaly_score_fan_id_00.csv")
    broken.unlink()
    run("d", fan)
    assert read_scores(tmp_path / "out" / SCORES / "anomaly_score_fan_id_00.csv") == with_broken


def test_an_id_without_train_or_test(run, fan):
    for path in fan.glob("fan/train/normal_id_12_*"):
        path.unlink()
    out = goes_on(run("d", fan), "fan 12 (no train clips)")
    assert "12" not in out.split("mean")[0].split("published")[-1]


def test_no_training_clip_is_usable(run, fan):
    for path in fan.glob("fan/train/normal_id_12_*"):
        path.write_bytes(b"")
    code, _, err = run("d", fan)
    assert code == 0
    assert "(12)" in only_line(err, "warning: clips left out")
    assert "fan 12 (no usable training clips)" in only_line(err, "warning: machine ids left out")


def test_unequal_lengths(run, fan, tmp_path):
    path = fan / "fan/train/normal_id_00_00000002.wav"
    samples, rate = soundfile.read(path)
    write_wav(path, samples[:12000], rate)
    goes_on(run("d", fan), "unequal length", "fan 00 (training clips of 12000 to 16000 samples")
    train = np.load(tmp_path / "saved/fan0_X_train_NR-100_d_.npy")
    clips = [soundfile.read(p)[0] for p in sorted(fan.glob("fan/train/normal_id_00_*"))]
    noise = np.mean([clip[:12000] for clip in clips], axis=0)
    expected = modulation_spectrogram(noise_gate(clips[0], noise))
    np.testing.assert_allclose(train[0], expected, rtol=1e-3)


def test_one_training_clip(run, fan, tmp_path):
    for path in sorted(fan.glob("fan/train/normal_id_00_*"))[1:]:
        path.unlink()
    goes_on(run("d", fan), "fan 00 (one training clip")
    scores = read_scores(tmp_path / "out" / SCORES / "anomaly_score_fan_id_00.csv")
    assert np.isfinite(list(scores.values())).all()


def test_a_test_set_of_one_class(run, fan, tmp_path):
    for path in fan.glob("fan/test/normal_id_00_*"):
        path.unlink()
    goes_on(run("d", fan), "one class", "fan 00 (all 4 anomalous)")
    frame = pd.read_csv(tmp_path / "out" / RESULTS)
    assert frame[frame.Mid == "0"][["AUC", "pAUC"]].isna().all(axis=None)
    assert len(read_scores(tmp_path / "out" / SCORES / "anomaly_score_fan_id_00.csv")) == 4


def test_clips_missing_from_the_ground_truth(run, fan_eval, eval_data, tmp_path):
    lines = (eval_data / "eval_data_list.csv").read_text().splitlines()
    kept = [line for line in lines if not line.startswith("id_12_00000003.wav")]
    (fan_eval / "eval_data_list.csv").write_text("\n".join(kept))
    goes_on(run("e", fan_eval), "ground truth", "fan 12 (1 of 8, e.g. id_12_00000003.wav)")
    assert len(read_scores(tmp_path / "out" / SUBMISSION / "anomaly_score_fan_id_12.csv")) == 8


def test_a_cache_of_the_wrong_shape_with_its_clips(run, fan, tmp_path):
    run("d", fan)
    before = files_below(tmp_path / "out")
    np.save(tmp_path / "saved/fan12_X_train_NR-100_d_.npy", np.zeros((12, 23, 8)))
    goes_on(run("d", fan), "computed again (1)", "fan12_X_train_NR-100_d_.npy")
    assert files_below(tmp_path / "out") == before


def test_a_cache_in_part_without_clips(run, dev_data, tmp_path):
    run("d", dev_data)
    (tmp_path / "empty").mkdir()
    for name in ("fan12_X_test", "valve0_y_test"):
        (tmp_path / "saved" / f"{name}_NR-100_d_.npy").unlink()
    result = run("d", tmp_path / "empty", output=tmp_path / "again")
    goes_on(result, "(2)", "fan 12 (no X_test)", "valve 00 (no y_test)")


def test_a_cache_serves_an_id_whose_clips_are_not_all_there(run, fan, tmp_path):
    run("d", fan)
    before = files_below(tmp_path / "out")
    shutil.rmtree(fan / "fan/test")
    assert run("d", fan)[0] == 0
    assert files_below(tmp_path / "out") == before


def test_digital_silence(run, fan, tmp_path):
    for path in fan.glob("fan/*/*_id_12_*"):
        write_wav(path, np.zeros(16000))
    write_wav(fan / "fan/test/normal_id_00_00000000.wav", np.zeros(16000))
    code, _, err = run("d", fan)
    assert code == 0
    assert not err
    for id in ("00", "12"):
        scores = read_scores(tmp_path / "out" / SCORES / f"anomaly_score_fan_id_{id}.csv")
        assert np.isfinite(list(scores.values())).all()


def test_an_empty_data_folder_with_a_cache(run, fan, tmp_path):
    run("d", fan)
    before = files_below(tmp_path / "out")
    (tmp_path / "empty").mkdir()
    code, _, err = run("d", tmp_path / "empty", output=tmp_path / "again")
    assert (code, err) == (0, "")
    assert files_below(tmp_path / "again") == before


# The real data


def test_the_original_s_cache_alone_gives_the_rerun_s_table(reference, tmp_path):
    (tmp_path / "empty").mkdir()
    args = ["d", "--data", tmp_path / "empty", "--saved", reference / "modspec_saved", "--output", tmp_path / "out"]
    process = run_script(SYSTEM1, *args)
    assert process.returncode == 0
    left_out = only_line(process.stderr, "warning: machine ids left out")
    assert "(13)" in left_out
    assert "ToyConveyor 01 (no X_test)" in left_out
    ours = pd.read_csv(tmp_path / "out" / RESULTS)
    theirs = pd.read_csv(reference / "published/modspec_graph_dev_rerun.csv")
    both = ours[ours.Mid != "Average"].merge(theirs, on=["Machine", "Mid"], suffixes=("", "_theirs"))
    assert len(both) == 10
    np.testing.assert_allclose(both[["AUC", "pAUC"]], both[["AUC_theirs", "pAUC_theirs"]], atol=1e-6)


@pytest.mark.parametrize(
    ("data", "machine", "id", "figures"),
    [("uav_minus6dB", "uav", "02", (0.753308, 0.570277)), ("dcase2020", "slider", "00", (1.0, 1.0))],
)
def test_from_wavs_to_the_peers_spectra_and_auc(reference, run, tmp_path, data, machine, id, figures):
    code, _, _ = run("d", reference / data / "dev_data", "--machines", machine)
    assert code == 0
    peers = np.load(reference / "peers" / f"system1_{machine}_{id}.npz")
    loaded = ModspecGraph().cache(tmp_path / "saved", "d").load(dataset.MachineId(machine, id))
    for ours, theirs in ((loaded.train, peers["X_train"]), (loaded.test, peers["X_test"])):
        assert np.quantile(np.abs(ours / theirs - 1), 0.99) < 1e-4
    assert loaded.test_names == peers["test"].tolist()
    frame = pd.read_csv(tmp_path / "out" / RESULTS)
    row = frame[frame.Mid == str(int(id))].iloc[0]
    assert (row.AUC, row.pAUC) == pytest.approx(figures, abs=0.002)
