"""A data set of any year goes in; its official metrics, score files and decisions come out."""

import argparse
import math
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import SYSTEM1, files_below, goes_on, only_line, read_scores, stops, write_wav
from scipy import stats
from sklearn.metrics import roc_auc_score

from asd import synth
from asd.audio import RATE, DataError
from asd.evaluate import add_evaluate, evaluate
from asd.systems import SYSTEMS, ModspecGraph

SYSTEM = "modspec_graph"
N_TRAIN = 12


def run(*args):
    """Exit code of the command, as a parser of several commands calls it."""
    parser = argparse.ArgumentParser()
    add_evaluate(parser.add_subparsers(required=True))
    args = parser.parse_args(["evaluate", *map(str, args)])
    return args.job(args)


@pytest.fixture
def command(tmp_path, capsys):
    """Runs the command into tmp_path/out; returns exit code, stdout and stderr."""

    def call(*args, jobs=1):
        code = run(*args, "--output", tmp_path / "out", "--jobs", jobs, "--quiet")
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def clip(id, number, *, wear=0.0):
    return synth.clip("fan", id, number, wear=wear, seconds=1.0)


def write_section(folder, id, test, *, train="section_{id}_{domain}_train_normal_{number:04d}_vel_{number}.wav"):
    """A section's clips: train/ of both domains, and test names below its folder with whether they are anomalies."""
    unit = f"{folder.name}{id}"
    for number in range(N_TRAIN):
        domain = "source" if number < N_TRAIN - 2 else "target"
        write_wav(folder / "train" / train.format(id=id, domain=domain, number=number), clip(unit, number))
    for number, (name, anomalous) in enumerate(test.items(), N_TRAIN):
        write_wav(folder / name.format(id=id), clip(unit, number, wear=0.6 if anomalous else 0.0))


TEST_OF_2021 = {
    f"{domain}_test/section_{{id}}_{domain}_test_{label}_{number:04d}.wav": label == "anomaly"
    for domain in ("target", "source")
    for label in ("normal", "anomaly")
    for number in range(2)
}
TEST_OF_2023 = {
    "test/section_{id}_target_test_normal_0000_vel_3.5.wav": False,
    "test/section_{id}_source_test_normal_0000_vel_1.wav": False,
    "test/section_{id}_source_test_normal_0001_vel_2.wav": False,
    "test/section_{id}_target_test_anomaly_0000_vel_1_f-n_D.wav": True,
    "test/section_{id}_source_test_anomaly_0000_vel_2.wav": True,
    "test/section_{id}_source_test_anomaly_0001_noAttribute.wav": True,
}


@pytest.fixture(scope="module")
def data_2021(tmp_path_factory):
    """Two sections of one machine type. Not to be written to."""
    root = tmp_path_factory.mktemp("data_2021")
    for id in ("00", "01"):
        write_section(root / "fan", id, TEST_OF_2021)
    return root


@pytest.fixture(scope="module")
def data_2023(tmp_path_factory):
    """A section of either of two machine types, with attributes and supplemental clips. Not to be written to."""
    root = tmp_path_factory.mktemp("data_2023")
    write_section(root / "fan", "00", TEST_OF_2023)
    write_section(root / "drone", "00", TEST_OF_2023)
    write_wav(root / "drone" / "supplemental" / "section_00_noise_0000_.wav", clip("00", "noise"))
    return root


@pytest.fixture(scope="module")
def evaluation_set(tmp_path_factory):
    """The same of one machine type, test names without labels and domains. Not to be written to."""
    root = tmp_path_factory.mktemp("evaluation_set")
    write_section(root / "fan", "00", {f"test/section_00_{i:04d}.wav": i > 2 for i in range(6)})
    return root


@pytest.fixture
def evaluation_copy(evaluation_set, tmp_path):
    """A copy, to be spoiled."""
    for name, content in files_below(evaluation_set).items():
        path = tmp_path / "copy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "copy"


def figures(out, system=SYSTEM):
    """(machine, section, metric) -> value, as pandas reads the results."""
    frame = pd.read_csv(out / f"{system}_results.csv", float_precision="round_trip")
    assert list(frame.columns) == ["machine", "section", "metric", "value"]
    return dict(zip(zip(frame.machine, frame.section, frame.metric, strict=True), frame.value, strict=True))


def read_decisions(path):
    frame = pd.read_csv(path, header=None, names=["file", "decision"])
    return dict(zip(frame.file, frame.decision, strict=True))


def scores_by(scores, *words):
    """Scores of the clips whose names hold all the words."""
    return [score for name, score in scores.items() if all(f"_{word}" in name for word in words)]


def area(normal, anomalous, **options):
    return roc_auc_score([0] * len(normal) + [1] * len(anomalous), normal + anomalous, **options)


def pair_share(normal, anomalous):
    """AUC, counted by hand: the share of pairs in order."""
    return np.mean([(a > n) + (a == n) / 2 for n in normal for a in anomalous])


def harmonic(values):
    return stats.hmean([*values]) if all(values) else 0.0


# What is written, year by year


def test_2020(command, dev_data, tmp_path):
    code, out, err = command(dev_data)
    assert (code, err) == (0, "")
    folder = tmp_path / "out" / SYSTEM
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        f"{kind}_{machine}_id_{id}.csv"
        for kind in ("anomaly_score", "decision_result")
        for machine in ("fan", "valve")
        for id in ("00", "12")
    )
    found = figures(tmp_path / "out")
    for machine in ("fan", "valve"):
        for id in ("00", "12"):
            scores = read_scores(folder / f"anomaly_score_{machine}_id_{id}.csv")
            assert list(scores) == sorted(scores)
            normal = [s for name, s in scores.items() if name.startswith("normal")]
            anomalous = [s for name, s in scores.items() if name.startswith("anomaly")]
            assert found[machine, id, "AUC"] == pytest.approx(pair_share(normal, anomalous), abs=1e-12)
            assert found[machine, id, "pAUC"] == area(normal, anomalous, max_fpr=0.1)
        for metric in ("AUC", "pAUC"):
            mean = np.mean([found[machine, id, metric] for id in ("00", "12")])
            assert found[machine, "all", metric] == pytest.approx(mean, abs=1e-12)
    mean = np.mean([found[machine, "all", "AUC"] for machine in ("fan", "valve")])
    assert found["all", "all", "AUC"] == pytest.approx(mean, abs=1e-12)
    assert f"{100 * mean:.2f}" in only_line(out, "mean of types")
    assert "official score" not in out


def test_2020_is_what_the_script_prints_and_writes(command, run_here, dev_data, tmp_path):
    _, ours, _ = command(dev_data)
    _, theirs, _ = run_here(SYSTEM1, "d", dev_data, output=tmp_path / "script")
    assert ours.split("\n\n")[1:-1] == theirs.split("\n\n")[1:-1]
    for path in (tmp_path / "script/individual_scores/dev/modspec_graph").iterdir():
        assert read_scores(path) == read_scores(tmp_path / "out" / SYSTEM / path.name)


def test_an_evaluation_set_of_2020_has_figures_by_its_list(command, eval_data, tmp_path):
    assert command(eval_data, "--machines", "fan")[0] == 0
    lines = (eval_data / "eval_data_list.csv").read_text().splitlines()
    labels = dict(line.split(",")[::2] for line in lines[: lines.index("valve")] if "," in line)
    scores = read_scores(tmp_path / "out" / SYSTEM / "anomaly_score_fan_id_01.csv")
    assert all(name.startswith("id_01_") for name in scores)
    by_label = [[s for name, s in scores.items() if labels[name] == label] for label in "01"]
    assert figures(tmp_path / "out")["fan", "01", "AUC"] == pytest.approx(pair_share(*by_label), abs=1e-12)


def test_2021(command, data_2021, tmp_path):
    code, out, err = command(data_2021)
    assert (code, err) == (0, "")
    folder = tmp_path / "out" / SYSTEM
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        f"{kind}_fan_section_{id}_{domain}_test.csv"
        for kind in ("anomaly_score", "decision_result")
        for id in ("00", "01")
        for domain in ("source", "target")
    )
    found, values = figures(tmp_path / "out"), []
    for id in ("00", "01"):
        for domain in ("source", "target"):
            scores = read_scores(folder / f"anomaly_score_fan_section_{id}_{domain}_test.csv")
            assert list(scores) == sorted(name.split("/")[1].format(id=id) for name in TEST_OF_2021 if domain in name)
            normal, anomalous = scores_by(scores, "normal"), scores_by(scores, "anomaly")
            assert found["fan", id, f"AUC ({domain})"] == pytest.approx(pair_share(normal, anomalous), abs=1e-12)
            assert found["fan", id, f"pAUC ({domain})"] == area(normal, anomalous, max_fpr=0.1)
            values += [found["fan", id, f"{metric} ({domain})"] for metric in ("AUC", "pAUC")]
    assert found["all", "all", "official score"] == pytest.approx(harmonic(values), abs=1e-12)
    assert f"official score: {100 * harmonic(values):.2f}" in out


def test_from_2022_on(command, data_2023, tmp_path):
    code, out, err = command(data_2023)
    assert code == 0
    assert "supplemental clips, which are not used (1): drone 00 (clips: 1)" in only_line(err, "warning: machine")
    folder = tmp_path / "out" / SYSTEM
    assert sorted(p.name for p in folder.iterdir()) == [
        f"{kind}_{machine}_section_00_test.csv"
        for kind in ("anomaly_score", "decision_result")
        for machine in ("drone", "fan")
    ]
    found, values = figures(tmp_path / "out"), []
    for machine in ("drone", "fan"):
        scores = read_scores(folder / f"anomaly_score_{machine}_section_00_test.csv")
        assert list(scores) == sorted(name.split("/")[1].format(id="00") for name in TEST_OF_2023)
        anomalous = scores_by(scores, "anomaly")
        assert len(anomalous) == 3  # of both domains, against the normals of each
        for domain, n in (("source", 2), ("target", 1)):
            normal = scores_by(scores, domain, "normal")
            assert len(normal) == n
            assert found[machine, "00", f"AUC ({domain})"] == pytest.approx(pair_share(normal, anomalous), abs=1e-12)
        assert found[machine, "00", "pAUC"] == area(scores_by(scores, "normal"), anomalous, max_fpr=0.1)
        values += [found[machine, "00", metric] for metric in ("AUC (source)", "AUC (target)", "pAUC")]
    assert len(values) == 6
    assert found["all", "all", "official score"] == pytest.approx(harmonic(values), abs=1e-12)
    assert f"official score: {100 * harmonic(values):.2f}" in out
    assert "12 clips of 2 sections" in out


def test_mimii_is_read_from_its_channel(command, tmp_path):
    """Channel 0 of eight; the same numbers in two folders and of two labels stay apart."""
    data = tmp_path / "mimii"
    for snr in ("0_dB", "6_dB"):
        for id in ("00", "02"):
            folder = data / snr / "fan" / f"id_{id}"
            for label, n in (("normal", 14), ("abnormal", 2)):
                for number in range(n):
                    mono = clip(id, f"{snr}{label}{number}", wear=0.6 if label == "abnormal" else 0.0)
                    others = np.broadcast_to(clip("98", number)[:, None], (mono.size, 7))
                    write_wav(folder / label / f"{number:08d}.wav", np.column_stack([mono, others]))
    out = goes_on(command(data), "channel 0 is used")
    assert "0_dB_fan" in out
    names = [f"{label}/{number:08d}.wav" for label in ("abnormal", "normal") for number in range(2)]
    written = {}
    for machine in ("0_dB_fan", "6_dB_fan"):
        for id in ("00", "02"):
            scores = read_scores(tmp_path / "out" / SYSTEM / f"anomaly_score_{machine}_id_{id}.csv")
            assert list(scores) == names
            by_label = list(scores.values())[2:], list(scores.values())[:2]
            assert figures(tmp_path / "out")[machine, id, "AUC"] == pytest.approx(pair_share(*by_label), abs=1e-12)
            written[machine, id] = tuple(scores.values())
    assert len(set(written.values())) == 4

    shutil.rmtree(tmp_path / "out")
    goes_on(command(data / "6_dB", "--channel", 5), "channel 5 is used")
    assert "fan" in {key[0] for key in figures(tmp_path / "out")}
    other = read_scores(tmp_path / "out" / SYSTEM / "anomaly_score_fan_id_00.csv")
    assert list(other) == names
    assert tuple(other.values()) != written["6_dB_fan", "00"]


@pytest.fixture
def plain_folder(tmp_path):
    """A machine of one's own at 8 kHz, FLAC."""
    root = tmp_path / "my pump"
    for number in range(N_TRAIN + 6):
        label = "" if number < N_TRAIN else ("anomaly/", "normal/")[number % 2]
        samples = clip("07", number, wear=0.6 if label == "anomaly/" else 0.0)
        split = "train" if number < N_TRAIN else "test"
        write_wav(root / split / f"{label}{number}.flac", samples[::2], RATE // 2)
    return root


def test_a_channel_that_recordings_do_not_have(command, data_2023, tmp_path):
    args = data_2023, "--machines", "fan", "--system", "ivector-gmm", "--report"
    assert command(*args, "--channel", 0)[0] == 0
    assert "data:image/png" in (tmp_path / "out/iVectors_gmm_report.html").read_text("utf-8")
    code, _, err = command(*args, "--channel", 1)
    assert code == 1
    assert "no channel 1" in only_line(err, "warning: clips left out as broken")


def test_a_plain_folder_at_another_rate(command, plain_folder, tmp_path):
    out = goes_on(command(plain_folder), "resampled")
    scores = read_scores(tmp_path / "out" / SYSTEM / "anomaly_score_my pump_id_00.csv")
    assert list(scores) == [f"anomaly/{n}.flac" for n in (12, 14, 16)] + [f"normal/{n}.flac" for n in (13, 15, 17)]
    values = list(scores.values())
    assert figures(tmp_path / "out")["my pump", "00", "AUC"] == pytest.approx(pair_share(values[3:], values[:3]))
    assert "my pump" in out


# Decisions


def training_scores(root, output):
    """Of section 00 of the fan, as the system gives them, and the test scores by name."""
    from asd import layouts
    from asd.parallel import ClipMap

    (clips,) = (m for m in layouts.read(root).ids if m.key == ("fan", "00"))
    system = ModspecGraph()
    training = system.training_scores(system.compute(clips, [clips], ClipMap(1), ""))
    return training, read_scores(output / SYSTEM / "anomaly_score_fan_section_00_test.csv")


@pytest.mark.parametrize("false_alarms", [None, 0.2])
def test_decisions_are_scores_above_the_threshold(command, data_2023, tmp_path, false_alarms):
    assert command(data_2023, *(["--false-alarms", false_alarms] if false_alarms else []))[0] == 0
    training, scores = training_scores(data_2023, tmp_path / "out")
    threshold = (
        np.sort(training)[math.ceil(13 * 0.8) - 1] if false_alarms else stats.gamma.ppf(0.9, *stats.gamma.fit(training))
    )
    decisions = read_decisions(tmp_path / "out" / SYSTEM / "decision_result_fan_section_00_test.csv")
    assert decisions == {name: int(score > threshold) for name, score in scores.items()}
    assert set(decisions.values()) == {0, 1}


def test_too_few_clips_for_the_false_alarms_asked_for(command, data_2023):
    code, _, err = command(data_2023, "--false-alarms", 0.01)
    assert code == 0
    assert "drone 00" in only_line(err, "warning: thresholds from too few clips")


@pytest.mark.filterwarnings("ignore::asd.evaluate.SupplementalWarning")
def test_a_system_without_training_scores_gives_no_decisions(data_2023, tmp_path):
    class Untold(ModspecGraph):
        def training_scores(self, features, detector=None):
            return None

    old = tmp_path / SYSTEM / "decision_result_fan_section_00_test.csv"
    old.parent.mkdir()
    old.touch()
    with pytest.warns(match="fitted on"):
        summary = evaluate(data_2023, Untold(), output=tmp_path, jobs=1)
    assert "decisions" not in summary
    assert not list((tmp_path / SYSTEM).glob("decision*"))
    assert len(list((tmp_path / SYSTEM).iterdir())) == 2


# The same bytes


def test_jobs_do_not_matter_and_features_are_not_kept(command, data_2021, tmp_path):
    command(data_2021, jobs=1)
    first = files_below(tmp_path / "out")
    command(data_2021, jobs=2)
    assert files_below(tmp_path / "out") == first
    assert not [name for name in first if not name.endswith(".csv")]


# Systems


@pytest.mark.slow
def test_the_ensemble_is_calibrated_by_the_training_scores(command, data_2023, tmp_path):
    for name in SYSTEMS:
        code, _, err = command(data_2023, "--machines", "fan", "--system", name)
        assert code == 0, err
    file = "anomaly_score_fan_section_00_test.csv"
    folders = SYSTEM, "iVectors_gmm", "ensemble"
    first, second, fused = (np.array(list(read_scores(tmp_path / "out" / f / file).values())) for f in folders)
    # A mean of z-scores is a sum of the members' scores with fixed positive weights and an offset.
    columns = np.column_stack([first, second, np.ones(len(first))])
    weights, *_ = np.linalg.lstsq(columns, fused, rcond=None)
    assert (weights[:2] > 0).all()
    np.testing.assert_allclose(columns @ weights, fused, atol=1e-6)
    training, _ = training_scores(data_2023, tmp_path / "out")
    assert weights[0] == pytest.approx(0.5 / training.std(), rel=1e-6)
    assert (tmp_path / "out" / "ensemble" / "decision_result_fan_section_00_test.csv").is_file()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ["--system", "magic"],
            "no system 'magic'; there are local-reconstruction, modspec-graph, ivector-gmm, ensemble",
        ),
        (["--layout", "dcase2019"], "invalid choice"),
        (["--false-alarms", "2"], "'2' is no share"),
        (["--channel", "-1"], "'-1' is no channel"),
    ],
)
def test_wrong_usage(command, dev_data, capsys, args, words):
    with pytest.raises(SystemExit, match="2"):
        command(dev_data, *args)
    assert words in capsys.readouterr().err


# Evaluation sets


def test_an_evaluation_set_without_labels(command, evaluation_set, tmp_path):
    code, out, err = command(evaluation_set)
    assert (code, err) == (0, "")
    assert "no labels: put the official eval_data_list.csv" in out
    assert sorted(files_below(tmp_path / "out")) == [
        f"{SYSTEM}/anomaly_score_fan_section_00_test.csv",
        f"{SYSTEM}/decision_result_fan_section_00_test.csv",
    ]
    scores = read_scores(tmp_path / "out" / SYSTEM / "anomaly_score_fan_section_00_test.csv")
    assert list(scores) == [f"section_00_{i:04d}.wav" for i in range(6)]


def test_the_official_list_beside_it_gives_figures(command, evaluation_copy, tmp_path):
    lines = ["fan"]
    for i in range(6):
        domain, label = ("source", "target")[i % 2], ("normal", "anomaly")[i > 2]
        lines.append(f"section_00_{i:04d}.wav,section_00_{domain}_test_{label}_{i:04d}_vel_1.wav")
    (evaluation_copy / "eval_data_list.csv").write_text("\n".join(lines))
    code, out, err = command(evaluation_copy)
    assert (code, err) == (0, "")
    scores = list(read_scores(tmp_path / "out" / SYSTEM / "anomaly_score_fan_section_00_test.csv").values())
    found = figures(tmp_path / "out")
    assert found["fan", "00", "AUC (source)"] == pytest.approx(pair_share([scores[0], scores[2]], scores[3:]))
    assert found["fan", "00", "AUC (target)"] == pytest.approx(pair_share([scores[1]], scores[3:]))
    assert "official score" in out


def test_an_evaluation_set_must_be_complete(command, evaluation_copy, tmp_path):
    command(evaluation_copy)
    (evaluation_copy / "fan/test/section_00_0002.wav").write_bytes(b"rubbish")
    (evaluation_copy / "fan/test/section_00_0004.wav").write_bytes(b"")
    for name in ("train/section_01_source_train_normal_0000.wav", "test/section_01_0000.wav"):
        content = (evaluation_copy / "fan/test/section_00_0000.wav").read_bytes()
        (evaluation_copy / "fan" / name).write_bytes(content)
    (evaluation_copy / "fan/train/section_02_source_train_normal_0000.wav").write_bytes(content)
    err = stops(command(evaluation_copy), "section_00_0002.wav", "section_00_0004.wav (empty file)", "fan 02: no test")
    assert "fan 01" not in only_line(err, "error")
    assert sorted(p.name for p in (tmp_path / "out" / SYSTEM).glob("anomaly*")) == [
        "anomaly_score_fan_section_01_test.csv"
    ]


# What is broken or missing


def test_broken_clips_are_named_and_left_out_where_there_are_labels(command, fan, tmp_path):
    (fan / "fan/train/normal_id_00_00000003.wav").write_bytes(b"rubbish")
    (fan / "fan/test/anomaly_id_00_00000001.wav").write_bytes(b"")
    goes_on(
        command(fan), "clips left out as broken (2)", fan / "fan/train/normal_id_00_00000003.wav", "test/anomaly_id_00"
    )
    scores = read_scores(tmp_path / "out" / SYSTEM / "anomaly_score_fan_id_00.csv")
    assert len(scores) == 7
    assert "anomaly_id_00_00000001.wav" not in scores


def test_ids_that_cannot_be_scored_are_left_out(command, fan, tmp_path):
    command(fan)
    for path in (fan / "fan/train").glob("*id_00*"):
        path.write_bytes(b"rubbish")
    code, _, err = command(fan)
    assert code == 0
    assert "(1): fan 00 (no usable training clips)" in only_line(err, "warning: machine ids left out")
    assert ("fan", "00", "AUC") not in figures(tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*fan_id_00*"))
    for path in (fan / "fan/train").glob("*.wav"):
        path.unlink()
    stops(command(fan), "no machine id could be scored: fan 00: no train clips; fan 12: no train clips")
    assert not (tmp_path / "out" / f"{SYSTEM}_results.csv").exists()


def test_one_class_or_domain_has_no_figure_and_is_said_once(command, tmp_path):
    data = tmp_path / "data"
    write_section(data / "fan", "00", {name: label for name, label in TEST_OF_2023.items() if "target" not in name})
    write_section(data / "fan", "01", {name: label for name, label in TEST_OF_2023.items() if not label})
    code, out, err = command(data)
    assert code == 0
    assert "fan 00 (no AUC (target))" in only_line(err, "warning: sections without some figures")
    assert "(1): fan 01 (all 3 normal)" in only_line(err, "warning: machine ids without AUC")
    found = figures(tmp_path / "out")
    assert math.isnan(found["fan", "00", "AUC (target)"])
    assert not math.isnan(found["fan", "00", "AUC (source)"])
    assert all(math.isnan(found["fan", "01", metric]) for metric in ("AUC (source)", "AUC (target)", "pAUC"))
    known = [found["fan", "00", metric] for metric in ("AUC (source)", "pAUC")]
    assert found["all", "all", "official score"] == pytest.approx(harmonic(known))
    assert only_line(out, "fan      01").split()[2:] == ["-", "-", "-"]


def test_labels_without_domains_give_no_figures_from_2022_on(command, tmp_path):
    data = tmp_path / "data"
    write_section(data / "fan", "00", {f"test/section_00_test_normal_{i:04d}.wav": False for i in range(2)})
    out = goes_on(command(data), "fan 00 (the domain of 2 normal clips is not known; give the official list)")
    assert "official score: -" in out


def test_two_folders_with_one_name_are_refused(command, tmp_path):
    sound = clip("00", 0)
    for folder in ("a_b/fan", "a/b_fan"):
        for label in ("normal", "abnormal"):
            write_wav(tmp_path / "data" / folder / "id_00" / label / "00000000.wav", sound)
    stops(command(tmp_path / "data"), "a_b_fan 00 is there 2 times")
    for folder in ("source_test", "target_test"):
        write_wav(tmp_path / "2021/fan" / folder / "section_00_0000.wav", sound)
    stops(command(tmp_path / "2021"), "fan 00 has 2 test clips named section_00_0000.wav")


def test_labels_of_some_clips_only(command, plain_folder, tmp_path):
    (plain_folder / "test/normal/13.flac").rename(plain_folder / "test/13.flac")
    code, _, err = command(plain_folder)
    assert code == 0
    assert "my pump 00 (1 of 6 are not, e.g. 13.flac)" in only_line(err, "warning: machine ids without figures")
    assert math.isnan(figures(tmp_path / "out")["my pump", "00", "AUC"])


def test_files_of_other_data_are_named(command, fan, tmp_path):
    command(fan)
    for path in fan.rglob("*id_12*"):
        path.unlink()
    goes_on(command(fan), "did not write (2)", "anomaly_score_fan_id_12.csv", "decision_result_fan_id_12.csv")


@pytest.mark.parametrize("layout", ["mimii", "dcase2021"])
def test_a_forced_layout_that_does_not_fit(command, dev_data, layout):
    stops(command(dev_data, "--layout", layout), "no clips in the layout", "--layout")


def test_wrong_arguments_of_the_function(dev_data, tmp_path):
    with pytest.raises(ValueError, match="no share of false alarms"):
        evaluate(dev_data, ModspecGraph(), output=tmp_path, false_alarms=0)
    with pytest.raises(DataError, match="no machine 'pump'"):
        evaluate(dev_data, ModspecGraph(), output=tmp_path, machines=["pump"])


# The report


def test_a_report_shows_the_official_metrics(command, data_2023, tmp_path):
    code, out, _ = command(data_2023, "--report", "--report-clips", 1, "--machines", "fan")
    assert code == 0
    page = (tmp_path / "out" / f"{SYSTEM}_report.html").read_text()
    assert 'id="official"' in page
    found = figures(tmp_path / "out")
    for metric in ("AUC (source)", "AUC (target)"):
        assert f">{metric}</th>" in page
        assert f"<td>{100 * found['fan', '00', metric]:.2f}</td>" in page
    assert "AUC and pAUC over all test clips of a section" in page
    assert "section_00_target_test_anomaly_0000_vel_1_f-n_D.wav" in page
    assert str(tmp_path) not in page
    assert f"{SYSTEM}_report.html" in only_line(out, "report")


# Real data


def test_real_clips_score_as_the_script_scores_them(command, run_here, reference, tmp_path):
    data = reference / "uav_minus6dB" / "dev_data"
    assert command(data)[0] == 0
    assert run_here(SYSTEM1, "d", data, output=tmp_path / "script")[0] == 0
    file = "anomaly_score_uav_id_02.csv"
    scores = read_scores(tmp_path / "out" / SYSTEM / file)
    assert len(scores) == 104
    assert scores == read_scores(tmp_path / "script/individual_scores/dev/modspec_graph" / file)
    assert figures(tmp_path / "out")["uav", "02", "AUC"] == pytest.approx(0.753308, abs=1e-3)
