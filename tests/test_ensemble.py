"""System 3's script as its users run it: from the score files of the other two."""

import re

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import SYSTEM1, SYSTEM2, SYSTEM3, files_below, goes_on, load_script, read_scores, stops

from asd import dataset, metrics, results

MEMBERS = ("modspec_graph", "iVectors_gmm")
RESULTS = "ensemble_dev_data_results.csv"
NAMES = [*(f"normal_id_00_{i:08d}.wav" for i in range(3)), *(f"anomaly_id_00_{i:08d}.wav" for i in range(3))]
SCORES = {"modspec_graph": [1.0, 5.0, 2.0, 3.0, 4.0, 5.0], "iVectors_gmm": [-9.0, -8.0, -7.0, -5.0, -6.0, -1.0]}


def write_scores(root, mode="dev", machine="fan", id="00", names=NAMES, scores=SCORES, training=False):
    for system in MEMBERS:
        folder = root / (f"{mode}_training" if training else mode) / system
        folder.mkdir(parents=True, exist_ok=True)
        results.write_scores(folder / results.scores_name(machine, id), names, scores[system])


@pytest.fixture
def scores(tmp_path):
    """Score files of fan 00 of both systems."""
    write_scores(tmp_path / "out/individual_scores")
    return tmp_path / "out/individual_scores"


@pytest.fixture
def run(run_here, tmp_path):
    """Runs System 3, without data unless it is given."""
    (tmp_path / "no_data").mkdir()

    def call(mode, *args, data=tmp_path / "no_data", output=None):
        return run_here(SYSTEM3, mode, data, *args, output=output)

    return call


def fused(tmp_path, mode="dev", machine="fan", id="00", output="out"):
    return read_scores(tmp_path / output / "individual_scores" / mode / "ensemble" / results.scores_name(machine, id))


def file_of(scores, system=MEMBERS[0], mode="dev"):
    return scores / mode / system / results.scores_name("fan", "00")


# Fusion


def test_a_score_is_the_product_of_the_normalised_ones(run, scores, tmp_path):
    code, out, err = run("d")
    assert (code, err) == (0, "")
    expected = np.array([0, 1, 0.25, 0.5, 0.75, 1]) * np.array([0, 1, 2, 4, 3, 8]) / 8
    assert list(fused(tmp_path)) == NAMES
    np.testing.assert_allclose(list(fused(tmp_path).values()), expected)
    row = pd.read_csv(tmp_path / "out" / RESULTS).iloc[0]
    assert (row.Machine, row.Mid) == ("fan", "0")
    assert (row.AUC, row.pAUC) == (
        metrics.auc([0, 0, 0, 1, 1, 1], expected),
        metrics.pauc([0, 0, 0, 1, 1, 1], expected),
    )
    assert re.search(rf"{100 * row.AUC:.2f}", out)


def test_clips_are_matched_by_name(run, scores, tmp_path):
    run("d")
    before = fused(tmp_path)
    lines = file_of(scores).read_text().splitlines()
    file_of(scores).write_text("\n".join(lines[::-1]) + "\n")
    run("d")
    assert fused(tmp_path) == before
    assert list(fused(tmp_path)) == NAMES


def test_a_calibrated_score_is_that_of_the_clip_alone(run, tmp_path, rng):
    training = {system: rng.normal(size=20) for system in MEMBERS}
    for name, kept in (("all", slice(None)), ("one", slice(4, 5))):
        root = tmp_path / name / "individual_scores"
        write_scores(root, names=NAMES[kept], scores={s: values[kept] for s, values in SCORES.items()})
        write_scores(root, names=[f"normal_id_00_{i:08d}.wav" for i in range(20)], scores=training, training=True)
        assert run("d", "--fusion", "calibrated", output=tmp_path / name)[0] == 0
    every, alone = fused(tmp_path, output="all"), fused(tmp_path, output="one")
    assert alone == {NAMES[4]: every[NAMES[4]]}
    z = [(SCORES[s][4] - training[s].mean()) / training[s].std() for s in MEMBERS]
    assert every[NAMES[4]] == pytest.approx(np.mean(z))


def test_calibrated_fusion_needs_training_scores(run, scores):
    stops(run("d", "--fusion", "calibrated"), "dev_training", "modspec_graph", "graph_anom_detection.py", "published")


def test_constant_scores_become_zeros_and_are_told_once(run, scores, tmp_path):
    for id in ("00", "02"):
        names = [name.replace("id_00", f"id_{id}") for name in NAMES]
        write_scores(scores, id=id, names=names, scores=SCORES | {"modspec_graph": [7.0] * 6})
    out = goes_on(run("d"), "(2)", "fan 00 (modspec_graph", "0")
    assert set(fused(tmp_path).values()) == {0.0}
    assert "50.00" in out


def test_the_three_systems_in_a_row(run_here, dev_data, tmp_path):
    """From WAVs to the ensemble, in the same output folder, by both rules."""
    assert run_here(SYSTEM1, "d", dev_data)[0] == 0
    small = ("--components", "4", "--iterations", "2", "--dim", "5")
    assert run_here(SYSTEM2, "d", dev_data, *small, "--saved", tmp_path / "saved_2")[0] == 0
    assert run_here(SYSTEM3, "d", dev_data)[0] == 0
    expected = fused(tmp_path, "dev", "valve", "12")
    assert set(expected) == {
        clip.name for m in dataset.scan(dev_data, "d") if m.key == ("valve", "12") for clip in m.test
    }
    scores = tmp_path / "out/individual_scores"
    assert (
        run_here(SYSTEM3, "d", dev_data, "--fusion", "calibrated", "--scores", scores, output=tmp_path / "two")[0] == 0
    )
    assert list(fused(tmp_path, "dev", "valve", "12", "two")) == list(expected)
    assert not list((tmp_path / "two").rglob("modspec_graph"))


# The evaluation set


@pytest.fixture
def eval_scores(tmp_path, fan_eval):
    """Score files of the clips of fan 01 and fan 12."""
    for clips in dataset.scan(fan_eval, "e"):
        names = [clip.name for clip in clips.test]
        values = {system: np.arange(len(names)) * (1.0 + i) for i, system in enumerate(MEMBERS)}
        write_scores(tmp_path / "out/individual_scores", "eval", "fan", clips.id, names, values)
    return fan_eval


def test_an_evaluation_run_writes_the_submission(run, eval_scores, tmp_path):
    code, out, err = run("e", data=eval_scores)
    assert (code, err) == (0, "")
    folder = tmp_path / "out/task2/Tiwari_IITKGP_task2_3"
    written = sorted(path.name for path in folder.iterdir())
    label = "Tiwari_IITKGP_task2_3"
    assert written == [f"{label}.meta.yaml", "anomaly_score_fan_id_01.csv", "anomaly_score_fan_id_12.csv"]
    assert (folder / written[1]).read_text().startswith("id_01_00000000.wav,0.0\n")
    assert "eval_data_list.csv" in out
    meta = yaml.safe_load((folder / written[0]).read_text())
    assert meta["submission"]["label"] == label
    assert meta["submission"]["authors"][0]["lastname"] == "Tiwari"
    assert meta["system"]["description"]["ensemble_method_subsystem_count"] == 2
    assert meta["results"]["development_dataset"] is None


def test_the_description_holds_the_development_results(run, eval_scores, scores, tmp_path):
    run("d")
    run("e", data=eval_scores)
    folder = tmp_path / "out/task2/Tiwari_IITKGP_task2_3"
    meta = yaml.safe_load((folder / "Tiwari_IITKGP_task2_3.meta.yaml").read_text())
    average = pd.read_csv(tmp_path / "out" / RESULTS).query("Mid == 'Average'").iloc[0]
    figures = meta["results"]["development_dataset"]["fan"]
    assert figures == {"averaged_auc": round(100 * average.AUC, 2), "averaged_pauc": round(100 * average.pAUC, 2)}


def test_an_evaluation_run_wants_every_clip_and_id(run, eval_scores, tmp_path):
    file = tmp_path / "out/individual_scores/eval/iVectors_gmm/anomaly_score_fan_id_12.csv"
    file.unlink()
    stops(run("e", data=eval_scores), "fan 12", "iVectors_gmm", "all others are written")
    folder = tmp_path / "out/task2/Tiwari_IITKGP_task2_3"
    assert [path.name for path in folder.glob("*.csv")] == ["anomaly_score_fan_id_01.csv"]
    (eval_scores / "fan/test/id_01_00000003.wav").unlink()
    stops(run("e", data=eval_scores), "id_01_00000003.wav", "scored, but not there")


# Bad input


def test_no_score_files(run, scores, tmp_path):
    (tmp_path / "none").mkdir()
    stops(run("d", "--scores", tmp_path / "none"), tmp_path / "none/dev/modspec_graph", "--scores", "gmm.py d")
    stops(run("e"), "no score files", "run with d instead of e")


def test_scores_of_another_mode_in_the_folder(run, scores):
    for system in MEMBERS:
        path = file_of(scores, system)
        path.write_text(path.read_text().replace("normal_", "").replace("anomaly_id_00_0000", "id_00_0001"))
    stops(run("d"), file_of(scores), "id_00_00000000.wav", "evaluation set")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("anomaly_id_00_00000000.wav,nan", ("line 4", "nan", "not a finite number")),
        ("anomaly_id_00_00000000.wav,inf", ("line 4", "inf")),
        ("anomaly_id_00_00000000.wav,high", ("line 4", "high", "expected file,score")),
        ("anomaly_id_00_00000000.wav", ("line 4", "expected file,score")),
        ("normal_id_00_00000000.wav,3.0", ("line 4", "normal_id_00_00000000.wav is there twice")),
        ("anomaly_id_00_00000009.wav,3.0", ("lacks anomaly_id_00_00000000.wav, which",)),
    ],
)
def test_a_line_that_is_no_score_is_named(run, scores, line, words):
    path = file_of(scores, MEMBERS[1])
    lines = path.read_text().splitlines()
    lines[3] = line
    path.write_text("\n".join(lines) + "\n")
    stops(run("d"), path, *words)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe,1\n", b"\x00\n"])
def test_a_file_that_holds_no_scores(run, scores, content):
    file_of(scores).write_bytes(content)
    stops(run("d"), file_of(scores))


def test_a_missing_and_an_extra_clip_are_named(run, scores):
    path = file_of(scores, MEMBERS[1])
    path.write_text(path.read_text().replace(f"{NAMES[-1]},-1.0\n", ""))
    stops(run("d"), path, NAMES[-1], "lacks")


def test_an_id_of_one_system_only_is_left_out_with_a_warning(run, scores, tmp_path):
    results.write_scores(scores / "dev" / MEMBERS[0] / results.scores_name("valve", "02"), NAMES, range(6))
    goes_on(run("d"), "valve 02", MEMBERS[1])
    assert [p.name for p in (scores / "dev/ensemble").iterdir()] == [results.scores_name("fan", "00")]


def test_a_bad_file_stops_its_machine_id_only(run, scores, tmp_path):
    names = [name.replace("id_00", "id_02") for name in NAMES]
    write_scores(scores, id="02", names=names)
    run("d")
    file_of(scores).write_text("x\n")
    stops(run("d"), file_of(scores))
    assert [p.name for p in (scores / "dev/ensemble").iterdir()] == [results.scores_name("fan", "02")]


def test_scores_of_another_id_under_its_name(run, scores):
    names = [name.replace("id_00", "id_12") for name in NAMES]
    write_scores(scores, names=names)
    stops(run("d"), file_of(scores), "anomaly_id_12_00000000.wav", "no clip of id 00")


def test_development_scores_where_those_of_the_evaluation_set_belong(run, tmp_path):
    write_scores(tmp_path / "out/individual_scores", "eval")
    stops(run("e"), "anomaly_id_00_00000000.wav", "no clip of id 00 of the evaluation set")


def test_scores_of_clips_that_are_gone(run_here, run, fan, tmp_path):
    for clips in dataset.scan(fan, "d"):
        names = [clip.name for clip in clips.test]
        values = {system: np.arange(len(names)) * (1.0 + i) for i, system in enumerate(MEMBERS)}
        write_scores(tmp_path / "out/individual_scores", "dev", "fan", clips.id, names, values)
    assert run("d", data=fan)[0] == 0
    (fan / "fan/test/anomaly_id_12_00000001.wav").unlink()
    stops(run("d", data=fan), "anomaly_id_12_00000001.wav is scored, but not there")


def test_training_scores_of_other_clips(run, scores, tmp_path, rng):
    names = [f"normal_id_00_{i:08d}.wav" for i in range(20)]
    write_scores(scores, names=names, scores={system: rng.normal(size=20) for system in MEMBERS}, training=True)
    path = scores / "dev_training" / MEMBERS[1] / results.scores_name("fan", "00")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:7]))
    stops(run("d", "--fusion", "calibrated"), path, "lacks normal_id_00_00000007.wav and 12 more")


def test_constant_training_scores_are_no_scale(run, scores, tmp_path, rng):
    names = [f"normal_id_00_{i:08d}.wav" for i in range(20)]
    training = {MEMBERS[0]: np.full(20, 0.1), MEMBERS[1]: rng.normal(size=20)}
    write_scores(scores, names=names, scores=training, training=True)
    goes_on(run("d", "--fusion", "calibrated"), "fan 00", "modspec_graph in training")
    assert max(fused(tmp_path).values()) < 100


def test_a_data_folder_that_is_not_there(run, scores, tmp_path):
    stops(run("d", data=tmp_path / "nowhere"), tmp_path / "nowhere", "no such data folder")


def test_a_machine_that_was_not_scored(run, scores):
    stops(run("d", "--machines", "pump"), "pump", "fan")


def test_the_same_bytes_each_time_and_no_place_in_them(run, scores, tmp_path):
    run("d", "--report")
    before = files_below(tmp_path / "out")
    run("d", "--report")
    assert files_below(tmp_path / "out") == before
    assert not [name for name, content in before.items() if str(tmp_path).encode() in content]


# The real data


def test_published_development_scores_give_the_published_figures(reference, run, tmp_path):
    published = pd.read_csv(reference / "published/ensemble_dev.csv").set_index(["Machine", "Mid"])
    arrays = np.load(reference / "published/scores_dev.npz")
    keys = [re.fullmatch(r"(.*)_(\d+)_modspec_graph", key) for key in arrays]
    ids = [match.groups() for match in keys if match]
    assert len(ids) == 12
    for machine, id in ids:
        labels = np.load(reference / f"modspec_saved/{machine}{int(id)}_y_test_NR-100_d_.npy")
        values = {"modspec_graph": arrays[f"{machine}_{id}_modspec_graph"]}
        values["iVectors_gmm"] = arrays[f"{machine}_{id}_ivectors_gmm"]
        names = dataset.layout_names(id, labels.astype(int))
        write_scores(tmp_path / "out/individual_scores", "dev", machine, id, names, values)
    code, _, err = run("d")
    assert (code, err) == (0, "")
    ours = pd.read_csv(tmp_path / "out" / RESULTS).set_index(["Machine", "Mid"])
    for machine, id in ids:
        figures = ours.loc[(machine, str(int(id))), ["AUC", "pAUC"]].astype(float)
        expected = published.loc[(machine, str(int(id))), ["AUC", "pAUC"]].astype(float)
        np.testing.assert_allclose(figures, expected, atol=1e-6)


def test_published_evaluation_scores_give_the_published_figures(reference, run, tmp_path):
    """fan 01 79.36/61.27 and ToyCar 05 71.55/59.63 per cent, with the official ground truth."""
    data = tmp_path / "data"
    data.mkdir()
    (data / dataset.GROUND_TRUTH).write_bytes((reference / "published/eval_data_list_2020.csv").read_bytes())
    truth = dataset.read_ground_truth(data / dataset.GROUND_TRUTH)
    arrays = np.load(reference / "published/scores_eval.npz")
    for machine, id in (("fan", "01"), ("ToyCar", "05")):
        names = sorted(name for of, name in truth if of == machine and name.startswith(f"id_{id}_"))
        values = {"modspec_graph": arrays[f"{machine}_{id}_modspec_graph"]}
        values["iVectors_gmm"] = arrays[f"{machine}_{id}_ivectors_gmm"]
        write_scores(tmp_path / "out/individual_scores", "eval", machine, id, names, values)
    code, out, _ = run("e", data=data)
    assert code == 0
    assert re.search(r"fan +01 +79.36 +61.27", out)
    assert re.search(r"ToyCar +05 +71.55 +59.63", out)


def mean_auc(tmp_path, output):
    frame = pd.read_csv(tmp_path / output / RESULTS)
    return frame[frame.Mid != "Average"].AUC.mean()


@pytest.mark.slow
@pytest.mark.parametrize("data", ["demo", "uav"])
def test_calibrated_fusion_is_as_good_as_the_published(data, request, run_here, tmp_path):
    """Mean AUC within 0.01 of the published rule or better."""
    if data == "uav":
        data = request.getfixturevalue("reference") / "uav_minus6dB/dev_data"
    else:
        from asd import synth

        data = tmp_path / "demo"
        synth.write(data, seed=0)
    for script in (SYSTEM1, SYSTEM2, SYSTEM3):
        options = ["--data", data, "--output", tmp_path / "out", "--saved", tmp_path / script.stem]
        assert load_script(script).main(["d", *map(str, options), "--quiet"]) == 0
    scores = tmp_path / "out/individual_scores"
    assert run_here(SYSTEM3, "d", data, "--fusion", "calibrated", "--scores", scores, output=tmp_path / "two")[0] == 0
    assert mean_auc(tmp_path, "two") >= mean_auc(tmp_path, "out") - 0.01
