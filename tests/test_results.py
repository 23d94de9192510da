"""Results, scores and the table are what the original wrote and the challenge asks for."""

import io

import numpy as np
import pandas as pd
import pytest

from asd import results
from asd.results import Row

ROWS = [Row("fan", "00", 0.5, 0.6), Row("fan", "12", 1 / 3, 0.7), Row("valve", "04", float("nan"), float("nan"))]


def test_results_are_the_original_s_columns(tmp_path):
    results.write_results(tmp_path / "r.csv", ROWS)
    assert (tmp_path / "r.csv").read_text() == (
        ",Machine,Mid,AUC,pAUC\n"
        "0,fan,0,0.5,0.6\n"
        "1,fan,12,0.3333333333333333,0.7\n"
        "2,fan,Average,0.41666666666666663,0.6499999999999999\n"
        "3,valve,4,,\n"
        "4,valve,Average,,\n"
    )
    frame = pd.read_csv(tmp_path / "r.csv", index_col=0)
    assert frame.loc[frame.Machine == "valve", "AUC"].isna().all()


def test_scores_in_full_precision(tmp_path, rng):
    scores = rng.random(50) * 1e-7
    names = [f"a,{i}.wav" for i in range(50)]
    results.write_scores(tmp_path / "s.csv", names, scores)
    frame = pd.read_csv(tmp_path / "s.csv", header=None, float_precision="round_trip")
    assert frame[0].tolist() == names
    np.testing.assert_array_equal(frame[1], scores)


def test_published_figures():
    """Averages of the paper's table, per cent: System 1, 2, 3."""
    averages = {
        "modspec_graph": [
            (80.96, 64.24),
            (58.57, 50.63),
            (72.11, 51.74),
            (78.72, 68.36),
            (90.28, 79.36),
            (96.84, 90.81),
        ],
        "iVectors_gmm": [
            (83.16, 66.75),
            (56.13, 52.20),
            (73.23, 58.29),
            (78.26, 63.15),
            (71.93, 52.63),
            (79.65, 53.86),
        ],
        "ensemble": [(87.00, 71.92), (61.78, 51.58), (76.89, 53.84), (82.60, 69.65), (86.00, 69.57), (94.59, 82.21)],
    }
    for system, expected in averages.items():
        figures = results.published(system)
        assert len(figures) == 23
        means = list(results.averages(list(figures.values())).values())
        np.testing.assert_allclose(100 * np.array(means), expected, atol=0.0051)
    assert len(results.published("baseline")) == 6


def table_row(text, *start):
    (row,) = (line.split() for line in text.splitlines() if line.split()[: len(start)] == list(start))
    return row[len(start) :]


def test_the_table_sets_ours_beside_the_published():
    reference = {("fan", "00"): Row("fan", "00", 0.6, 0.5), ("fan", "12"): Row("fan", "12", 0.8, 0.7)}
    text = results.table(ROWS[:2], reference)
    assert table_row(text, "fan", "00") == ["50.00", "60.00", "60.00", "50.00"]
    assert table_row(text, "fan", "mean") == ["41.67", "65.00", "70.00", "60.00"]
    assert table_row(text, "mean", "of", "types") == ["41.67", "65.00", "70.00", "60.00"]
    assert table_row(text, "harmonic", "mean") == ["40.00", "64.62", "68.57", "58.33"]


def test_published_means_stand_only_where_every_id_is_published():
    text = results.table(ROWS, {("fan", "00"): Row("fan", "00", 0.6, 0.5)})
    assert table_row(text, "fan", "00") == ["50.00", "60.00", "60.00", "50.00"]
    assert table_row(text, "fan", "12") == ["33.33", "70.00"]
    assert table_row(text, "fan", "mean") == ["41.67", "65.00"]
    assert table_row(text, "valve", "04") == ["-", "-"]
    assert table_row(text, "mean", "of", "types") == ["41.67", "65.00"]


def test_without_published_figures_there_is_no_column_for_them():
    assert "published" not in results.table(ROWS, {})
    assert table_row(results.table(ROWS, {}), "fan", "00") == ["50.00", "60.00"]


def test_the_paper_s_figures_equal_the_reference_tables(reference):
    for system, name in (("modspec_graph",) * 2, ("iVectors_gmm", "ivectors_gmm"), ("ensemble",) * 2):
        text = (reference / "published" / f"{name}_dev.csv").read_text()
        frame = pd.read_csv(io.StringIO(text), float_precision="round_trip")
        frame = frame[frame.Mid != "Average"]
        assert [(r.machine, int(r.id), r.auc, r.pauc) for r in results.published(system).values()] == [
            (r.Machine, int(r.Mid), r.AUC, r.pAUC) for r in frame.itertuples()
        ]


def test_a_results_file_equals_the_published_one(reference, tmp_path):
    """Written from the published per-id figures, averages included, to the last digits."""
    results.write_results(tmp_path / "r.csv", list(results.published("modspec_graph").values()))
    ours, theirs = (pd.read_csv(p) for p in (tmp_path / "r.csv", reference / "published/modspec_graph_dev.csv"))
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-14)


@pytest.mark.parametrize("id", ["00", "12"])
def test_score_file_names_have_two_digits(id):
    assert results.scores_name("fan", id) == f"anomaly_score_fan_id_{id}.csv"


@pytest.mark.parametrize(
    ("year", "domain", "expected"),
    [
        (2020, None, "{}_fan_id_03.csv"),
        (2021, "source", "{}_fan_section_03_source_test.csv"),
        (2021, "target", "{}_fan_section_03_target_test.csv"),
        (2022, None, "{}_fan_section_03_test.csv"),
        (2026, "source", "{}_fan_section_03_test.csv"),
    ],
)
@pytest.mark.parametrize("kind", results.KINDS)
def test_official_file_names(kind, year, domain, expected):
    assert results.official_name(kind, "fan", "03", year=year, domain=domain) == expected.format(kind)


def test_official_file_names_need_a_kind_and_in_2021_a_domain():
    with pytest.raises(ValueError, match="'scores'"):
        results.official_name("scores", "fan", "03")
    with pytest.raises(ValueError, match="source or target, not None"):
        results.official_name("anomaly_score", "fan", "03", year=2021)


@pytest.mark.parametrize("year", [2020, 2021, 2022, 2025])
def test_a_submission_of_each_year(tmp_path, year):
    names, scores, decisions = ["c.wav", "a.wav", "b.wav"], np.array([3.0, 1 / 3, 2.0]), np.array([True, False, True])
    domains = ["target", "source", "source"]
    written = results.write_submission(
        tmp_path / "new", "fan", "03", names, scores, decisions, year=year, domains=domains if year == 2021 else None
    )
    found = {path.name: path.read_bytes() for path in written}
    assert sorted(tmp_path.glob("new/*")) == sorted(written)
    start = b"a.wav,0.3333333333333333\nb.wav,2.0\n", b"a.wav,0\nb.wav,1\n"
    if year == 2021:
        assert found == {
            "anomaly_score_fan_section_03_source_test.csv": start[0],
            "decision_result_fan_section_03_source_test.csv": start[1],
            "anomaly_score_fan_section_03_target_test.csv": b"c.wav,3.0\n",
            "decision_result_fan_section_03_target_test.csv": b"c.wav,1\n",
        }
    else:
        end = "id_03" if year == 2020 else "section_03_test"
        assert found == {
            f"anomaly_score_fan_{end}.csv": start[0] + b"c.wav,3.0\n",
            f"decision_result_fan_{end}.csv": start[1] + b"c.wav,1\n",
        }


def test_a_submission_that_cannot_be_named_or_paired_writes_nothing(tmp_path):
    for scores, domains in (([1.0], None), ([1.0], ["near"]), ([1.0, 2.0], ["source"])):
        with pytest.raises(ValueError, match=r"source or target|longer"):
            results.write_submission(tmp_path, "fan", "03", ["a.wav"], scores, [True], year=2021, domains=domains)
    assert not list(tmp_path.iterdir())
