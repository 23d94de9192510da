"""System 2's script as its users run it: from clips, from saved i-vectors, from those of the original."""

import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import (
    SYSTEM2,
    files_below,
    goes_on,
    kill_at_first_manifest,
    only_line,
    read_scores,
    run_script,
    stops,
)
from sklearn.mixture import GaussianMixture

from asd import challenge, dataset, results, synth, systems
from asd.detectors import FewClipsWarning, GaussianMixtureDetector, contiguous_folds
from asd.ivector import IVectorExtractor
from asd.metrics import auc, pauc
from asd.mfcc import mfcc

RESULTS = "iVectors_gmm_dev_data_results.csv"
SCORES = "individual_scores/dev/iVectors_gmm"
TRAINING = "individual_scores/dev_training/iVectors_gmm"
SMALL = ("--components", "4", "--iterations", "2", "--dim", "5")  # quick, and enough for what is tested
ORIGINAL = ("--dim", "5")  # nothing that asks for an extractor


@pytest.fixture
def run(run_here):
    """Runs System 2: see `run_here`."""

    def call(mode, data, *args, output=None, small=SMALL):
        return run_here(SYSTEM2, mode, data, *small, *args, output=output)

    return call


@pytest.fixture
def as_the_original(run, fan, tmp_path):
    """Saved i-vectors alone, and what a run from the clips wrote; training scores are not to be had from them."""
    assert run("d", fan)[0] == 0
    for path in tmp_path.glob("saved/fan/*.*"):
        path.unlink()
    return {name: content for name, content in files_below(tmp_path / "out").items() if "dev_training" not in name}


def test_scores_are_the_method_s(run, fan, tmp_path):
    """From WAV to score by the library's parts."""
    assert run("d", fan)[0] == 0
    clips = dataset.scan(fan, "d")[0]
    train, test = ([mfcc(soundfile.read(c.path, dtype="float32")[0]) for c in s] for s in (clips.train, clips.test))
    extractor = IVectorExtractor(4, 5, n_iter=2).fit(train)
    detector = GaussianMixtureDetector(10, scale=1e-3).fit(extractor.transform(train))
    expected = detector.decision_function(extractor.transform(test))
    scores = read_scores(tmp_path / "out" / SCORES / results.scores_name(*clips.key))
    assert list(scores) == [clip.name for clip in clips.test]
    np.testing.assert_allclose(list(scores.values()), expected, rtol=1e-9)


def test_results_and_saved_i_vectors(run, dev_data, tmp_path):
    code, out, err = run("d", dev_data)
    assert (code, err) == (0, "")
    assert "published" in out
    frame = pd.read_csv(tmp_path / "out" / RESULTS, index_col=0, float_precision="round_trip")
    assert frame.Mid.tolist() == ["0", "12", "Average"] * 2
    scores = read_scores(tmp_path / "out" / SCORES / "anomaly_score_fan_id_12.csv")
    labels = [name.startswith("anomaly") for name in scores]
    row = frame[(frame.Machine == "fan") & (frame.Mid == "12")].iloc[0]
    assert (row.AUC, row.pAUC) == (auc(labels, list(scores.values())), pauc(labels, list(scores.values())))
    files = sorted((tmp_path / "saved/fan/train").iterdir())
    assert [p.stem for p in files] == sorted(p.stem for p in (dev_data / "fan/train").iterdir())
    assert np.loadtxt(files[0]).shape == (5,)


def test_an_evaluation_run(run, eval_data, tmp_path):
    assert run("e", eval_data)[0] == 0
    folder = tmp_path / "out/task2/Tiwari_IITKGP_task2_1"
    for clips in dataset.scan(eval_data, "e"):
        assert list(read_scores(folder / results.scores_name(*clips.key))) == [clip.name for clip in clips.test]
    assert (tmp_path / "out/iVectors_gmm_eval_data_results.csv").is_file()
    assert len(list((tmp_path / "saved/valve/test_eval").iterdir())) == 16


@pytest.mark.parametrize("ubm", ["id", "machine"])
def test_the_same_bytes_for_any_number_of_workers_and_from_saved_i_vectors(run, fan, tmp_path, ubm):
    assert run("d", fan, "--ubm", ubm)[0] == 0
    fresh, saved = files_below(tmp_path / "out"), files_below(tmp_path / "saved")
    assert run("d", fan, "--ubm", ubm, output=tmp_path / "from saved")[0] == 0
    assert files_below(tmp_path / "from saved") == fresh
    assert run("d", fan, "--ubm", ubm, "--jobs", "2", "--force", output=tmp_path / "two")[0] == 0
    assert files_below(tmp_path / "two") == fresh
    assert files_below(tmp_path / "saved") == saved


def test_one_ubm_for_the_machine_type_depends_on_all_its_ids(run, fan, tmp_path):
    run("d", fan, "--ubm", "machine")
    extractors = [path.read_bytes() for path in tmp_path.glob("saved/fan/*.npz")]
    assert len(extractors) == 2
    assert extractors[0] == extractors[1]
    shutil.copy(fan / "fan/train/normal_id_00_00000000.wav", fan / "fan/train/normal_id_00_00000099.wav")
    goes_on(run("d", fan, "--ubm", "machine"), "computed again (2)", "fan 00", "fan 12")


@pytest.mark.slow
def test_i_vectors_of_other_settings_or_data_are_not_used(run, fan, tmp_path):
    run("d", fan)
    before = files_below(tmp_path / "out")
    for other in (("--components", "3"), ("--iterations", "1"), ("--seed", "1"), ("--ubm", "machine")):
        goes_on(run("d", fan, *other), "computed again (2)", "settings")
        assert files_below(tmp_path / "out") != before
    goes_on(run("d", fan), "computed again (2)")
    assert files_below(tmp_path / "out") == before
    other = tmp_path / "other"
    synth.write(other, machines=("fan",), ids=("00", "12"), n_train=12, n_test=4, seconds=1.0, seed=1, jobs=1)
    goes_on(run("d", other), "computed again (2)", "other clips")
    assert files_below(tmp_path / "out") != before


def test_the_scale_is_the_detector_s_and_extracts_nothing(run, fan, tmp_path, monkeypatch):
    run("d", fan)
    monkeypatch.setattr(systems, "_statistics", None)
    code, _, err = run("d", fan, "--scale", "1", output=tmp_path / "unscaled")
    assert (code, err) == (0, "")
    assert files_below(tmp_path / "unscaled") != files_below(tmp_path / "out")


@pytest.mark.parametrize("spoil", [None, "1\n2\n3\n", "one\n" * 5, "nan\n" * 5, ""])
def test_an_i_vector_that_is_missing_or_broken_is_extracted_again_alone(run, fan, tmp_path, monkeypatch, spoil):
    run("d", fan)
    before, saved = files_below(tmp_path / "out"), files_below(tmp_path / "saved")
    path = tmp_path / "saved/fan/test/anomaly_id_12_00000001.csv"
    if spoil is None:
        path.unlink()
    else:
        path.write_text(spoil)
    extracted = []
    original = systems._statistics
    monkeypatch.setattr(systems, "_statistics", lambda path, ubm: extracted.append(path) or original(path, ubm))
    goes_on(run("d", fan), "computed again (1)", "anomaly_id_12_00000001.csv")
    assert [p.name for p in extracted] == ["anomaly_id_12_00000001.wav"]
    assert files_below(tmp_path / "out") == before
    assert files_below(tmp_path / "saved") == saved


def test_a_changed_i_vector_is_noticed(run, fan, tmp_path):
    run("d", fan)
    before = files_below(tmp_path / "out")
    path = tmp_path / "saved/fan/test/anomaly_id_12_00000001.csv"
    path.write_text("0.5\n" * 5)
    goes_on(run("d", fan), "computed again (1)", "anomaly_id_12_00000001.csv")
    assert files_below(tmp_path / "out") == before
    assert run("d", fan)[2] == ""
    assert files_below(tmp_path / "out") == before


def test_the_original_s_i_vectors_are_used_with_one_warning(run, fan, tmp_path, as_the_original):
    goes_on(run("d", fan, small=ORIGINAL), "(2)", "trust")
    assert files_below(tmp_path / "out") == as_the_original
    (tmp_path / "empty").mkdir()
    goes_on(run("d", tmp_path / "empty", small=ORIGINAL, output=tmp_path / "alone"), "(2)", "trust")
    assert files_below(tmp_path / "alone") == as_the_original
    assert not list(tmp_path.glob("saved/fan/*.json"))


@pytest.mark.parametrize("flags", [("--ubm", "id"), ("--components", "4"), ("--iterations", "2"), ("--seed", "0")])
def test_settings_cannot_be_asked_of_the_original_s_i_vectors(run, fan, as_the_original, flags):
    stops(run("d", fan, small=(*ORIGINAL, *flags)), flags[0], "--saved")


def test_the_original_s_i_vectors_of_some_clips_say_what_to_delete(run, fan, tmp_path, as_the_original):
    (tmp_path / "saved/fan/test/anomaly_id_12_00000001.csv").unlink()
    stops(run("d", fan, small=ORIGINAL), "7 of the 8 clips of fan 12", "anomaly_id_12_00000001.wav", "delete")


@pytest.mark.parametrize(
    ("content", "word"), [("1\n2\n", "2 numbers"), ("x\n" * 5, "numbers"), ("inf\n" * 5, "finite")]
)
def test_a_broken_i_vector_of_the_original_is_named(run, fan, tmp_path, as_the_original, content, word):
    (tmp_path / "saved/fan/train/normal_id_12_00000001.csv").write_text(content)
    stops(run("d", fan, small=ORIGINAL), "normal_id_12_00000001.csv", word, "delete")


@pytest.mark.parametrize("content", ["[]", "null", "5", "{", "[" * 100_000, '{"format": 1}'])
def test_a_damaged_manifest(run, fan, tmp_path, content):
    run("d", fan)
    before = files_below(tmp_path / "out")
    (tmp_path / "saved/fan/manifest_id_12_d.json").write_text(content)
    (tmp_path / "empty").mkdir()
    stops(run("d", tmp_path / "empty"), "manifest_id_12_d.json", "--data")
    goes_on(run("d", fan), "computed again (1)", "manifest_id_12_d.json")
    assert files_below(tmp_path / "out") == before


@pytest.mark.slow
@pytest.mark.parametrize("ubm", ["id", "machine"])
def test_training_scores_are_of_extractors_that_did_not_see_the_clip(run, fan, tmp_path, ubm):
    """By the parts: a total variability model and a mixture without each fifth of the training clips."""
    assert run("d", fan, "--ubm", ubm)[0] == 0
    ids = dataset.scan(fan, "d")
    train = [[mfcc(soundfile.read(c.path, dtype="float32")[0]) for c in of_id.train] for of_id in ids]
    seen = train[:1] if ubm == "id" else train
    extractor = IVectorExtractor(4, 5, n_iter=2).fit([clip for of_id in seen for clip in of_id])
    expected = np.empty(12)
    for fold in range(5):
        out = contiguous_folds(12, 5) == fold
        kept = [clip for of_id in seen for clip, skip in zip(of_id, out, strict=True) if not skip]
        without = IVectorExtractor(4, 5, n_iter=2, ubm=extractor.ubm_).fit(kept)
        vectors = without.transform(train[0])
        detector = GaussianMixtureDetector((~out).sum(), scale=1e-3).fit(vectors[~out])
        expected[out] = detector.decision_function(vectors[out])
    scores = read_scores(tmp_path / "out" / TRAINING / results.scores_name("fan", "00"))
    assert list(scores) == [clip.name for clip in ids[0].train]
    np.testing.assert_allclose(list(scores.values()), expected, rtol=1e-9)


def test_held_out_i_vectors_are_made_again_where_they_are_spoilt(run, fan, tmp_path):
    run("d", fan)
    before = files_below(tmp_path / "out")
    path = tmp_path / "saved/fan/held_out_id_12_d.npy"
    path.write_bytes(b"x")
    goes_on(run("d", fan), "computed again (1)", "held_out_id_12_d.npy")
    assert files_below(tmp_path / "out") == before
    path.unlink()
    (tmp_path / "empty").mkdir()
    assert run("d", tmp_path / "empty")[0] == 0
    missing = TRAINING + "/anomaly_score_fan_id_12.csv"
    assert files_below(tmp_path / "out") == {name: content for name, content in before.items() if name != missing}


def test_a_shared_extractor_is_not_that_of_other_data(dev_data, tmp_path):
    """One system object, two data sets of the same names."""
    other = tmp_path / "other"
    synth.write(other, machines=("fan",), ids=("00", "12"), n_train=12, n_test=4, seconds=1.0, seed=1, jobs=1)
    small = {"n_components": 4, "dim": 5, "n_iter": 2, "ubm": "machine"}
    system = systems.IVectorGMM(**small)
    for name, used in (("first", system), ("reused", system), ("fresh", systems.IVectorGMM(**small))):
        data = dev_data if name == "first" else other
        challenge.run(used, "d", challenge.Places(data, *[tmp_path / name] * 5), machines=["fan"], jobs=1)
    assert files_below(tmp_path / "reused") == files_below(tmp_path / "fresh")


@pytest.mark.parametrize(
    "flags", [("--scale", "nan"), ("--scale", "0"), ("--scale", "-1"), ("--seed", "-1"), ("--dim", "0")]
)
def test_wrong_usage(run, fan, flags):
    with pytest.raises(SystemExit) as end:
        run("d", fan, *flags)
    assert end.value.code == 2


def test_a_scale_at_which_no_mixture_can_be_fitted(run, fan):
    stops(run("d", fan, "--scale", "1e11"), "scale 1e+11")


def test_a_cache_in_part_without_clips(run, fan, tmp_path):
    run("d", fan)
    (tmp_path / "empty").mkdir()
    for path in tmp_path.glob("saved/fan/test/*_id_12_*"):
        path.unlink()
    goes_on(run("d", tmp_path / "empty", output=tmp_path / "again"), "(1)", "fan 12 (no test)")


def test_broken_clips_are_named_and_left_out(run, fan, tmp_path):
    (fan / "fan/train/normal_id_00_00000000.wav").write_bytes(b"")
    (fan / "fan/test/normal_id_00_00000001.wav").write_bytes(b"nothing like a sound" * 50)
    words = "(2)", "normal_id_00_00000000.wav (empty", "normal_id_00_00000001.wav (not a"
    out = goes_on(run("d", fan), *words)
    assert goes_on(run("d", fan), *words) == out
    assert len(read_scores(tmp_path / "out" / SCORES / "anomaly_score_fan_id_00.csv")) == 7


def test_no_training_clip_is_usable(run, fan):
    for path in fan.glob("fan/train/normal_id_12_*"):
        path.write_bytes(b"")
    code, _, err = run("d", fan)
    assert code == 0
    assert "fan 12 (no usable training clips)" in only_line(err, "warning: machine ids left out")


def test_few_clips_and_few_frames(run, fan, tmp_path):
    for path in sorted(fan.glob("fan/train/normal_id_00_*"))[3:]:
        path.unlink()
    code, _, err = run("d", fan, "--components", "500")
    assert code == 0
    assert "fan 00 (3 mixture components instead of 10)" in only_line(err, "warning: detectors")
    assert "fan 00 (195 components instead of 500)" in only_line(err, "warning: UBMs")


def test_digital_silence(run, fan, tmp_path):
    silence = np.zeros(16000)
    for path in fan.glob("fan/*/*_id_12_*"):
        soundfile.write(path, silence, 16000)
    code, _, err = run("d", fan)
    assert code == 0, err
    assert not err
    scores = read_scores(tmp_path / "out" / SCORES / "anomaly_score_fan_id_12.csv")
    assert np.isfinite(list(scores.values())).all()


def test_a_full_disk_leaves_nothing_to_trust(run, fan, tmp_path, monkeypatch):
    from asd import cache

    written = []
    write = cache.write_atomically

    def break_off(path, content, **options):
        if len(written) == 5:
            raise OSError(28, "No space left on device", str(path))
        written.append(path)
        write(path, content, **options)

    monkeypatch.setattr(cache, "write_atomically", break_off)
    stops(run("d", fan), "No space left", "free some space")
    monkeypatch.undo()
    code, _, err = run("d", fan)
    assert (code, err) == (0, "")


@pytest.mark.slow
def test_progress_bars_name_the_stages(dev_data, tmp_path):
    args = ["d", "--data", dev_data, "--saved", tmp_path / "saved", "--output", tmp_path / "out", "--jobs", 1]
    process = run_script(SYSTEM2, *args, "--dim", 5, *SMALL, "--machines", "fan")
    assert process.returncode == 0, process.stderr
    for stage in ("frames", "UBM", "statistics", "T matrix", "i-vectors"):
        assert f"fan 00 [1/2] {stage}: 100%" in process.stderr
    assert "2/2" in process.stderr


def test_help_explains_the_method():
    process = run_script(SYSTEM2, "--help")
    assert process.returncode == 0
    for word in ("total variability", "--ubm", "--components", "--dim", "--iterations", "--scale", "example"):
        assert word in process.stdout


@pytest.mark.slow
def test_killed_and_run_again(dev_data, tmp_path):
    args = ["d", "--data", dev_data, "--dim", "5", *SMALL, "--jobs", "1"]
    command = [sys.executable, str(SYSTEM2), *map(str, args), "--saved", str(tmp_path / "saved")]
    kill_at_first_manifest([*command, "--output", str(tmp_path / "out")], tmp_path / "saved")
    again = run_script(SYSTEM2, *args, "--saved", tmp_path / "saved", "--output", tmp_path / "out", "--quiet")
    assert again.returncode == 0
    assert not again.stderr
    clean = run_script(SYSTEM2, *args, "--saved", tmp_path / "saved2", "--output", tmp_path / "out2", "--quiet")
    assert clean.returncode == 0
    assert files_below(tmp_path / "out") == files_below(tmp_path / "out2")
    assert files_below(tmp_path / "saved") == files_below(tmp_path / "saved2")


# The detector


def test_the_mixture_s_scores_are_scikit_learn_s(rng):
    train, test = rng.standard_normal((80, 6)), rng.standard_normal((20, 6))
    detector = GaussianMixtureDetector(3, scale=0.5).fit(train)
    mixture = GaussianMixture(3, covariance_type="full", random_state=42).fit(0.5 * train)
    scores = detector.decision_function(test)
    np.testing.assert_allclose(scores, -mixture.score_samples(0.5 * test), rtol=1e-9)
    np.testing.assert_array_equal(scores, [detector.decision_function(x[None])[0] for x in test])


def test_fewer_clips_than_mixture_components(rng):
    for n in (1, 2):
        with pytest.warns(FewClipsWarning, match=f"{n} mixture components instead of 10"):
            detector = GaussianMixtureDetector().fit(rng.standard_normal((n, 4)))
        assert np.isfinite(detector.decision_function(rng.standard_normal((3, 4)))).all()


# The real data


@pytest.mark.slow
def test_five_seeds_on_uav(reference, tmp_path):
    """AUC and pAUC of the defaults, from WAVs: mean and worst of random_state 0 to 4."""
    figures = []
    for seed in range(5):
        places = challenge.Places(reference / "uav_minus6dB/dev_data", *[tmp_path / str(seed)] * 5)
        challenge.run(systems.IVectorGMM(random_state=seed), "d", places)
        frame = pd.read_csv(tmp_path / str(seed) / RESULTS)
        figures.append(frame.loc[frame.Mid == "2", ["AUC", "pAUC"]].to_numpy()[0])
    mean, worst = np.mean(figures, axis=0), np.min(figures, axis=0)
    assert (mean >= (0.91, 0.81)).all(), figures
    assert (worst >= (0.87, 0.76)).all(), figures
