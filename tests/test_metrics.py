"""AUC, pAUC and averages as the challenge defines them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.stats import norm
from sklearn.metrics import roc_curve

from asd.dataset import read_ground_truth
from asd.metrics import (
    MAX_FPR,
    OFFICIAL,
    Figure,
    auc,
    bootstrap,
    harmonic_mean,
    interval,
    mean,
    pauc,
    section_figures,
    total,
)


def test_by_hand():
    labels, scores = [0, 0, 1, 1], [1.0, 3.0, 2.0, 4.0]
    assert auc(labels, scores) == 0.75
    # Up to FPR 0.1 the true positive rate is 0.5: area 0.05 of (0.005, 0.1) -> (1 + 0.045 / 0.095) / 2.
    assert pauc(labels, scores) == pytest.approx((1 + 0.045 / 0.095) / 2)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=2, max_size=40))
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs):
    normal = [s for label, s in pairs if label == 0]
    anomalous = [s for label, s in pairs if label == 1]
    value = auc([label for label, _ in pairs], [s for _, s in pairs])
    if not normal or not anomalous:
        assert np.isnan(value)
    else:
        wins = [(a > n) + 0.5 * (a == n) for a in anomalous for n in normal]
        assert value == pytest.approx(np.mean(wins))


def test_one_class_has_no_figures():
    for labels in ([], [0, 0], [1]):
        assert np.isnan(auc(labels, labels))
        assert np.isnan(pauc(labels, labels))


def test_averages_leave_out_what_is_not_defined():
    assert mean([0.5, np.nan, 1.0]) == 0.75
    assert harmonic_mean([0.5, np.nan, 1.0]) == pytest.approx(2 / 3)
    assert harmonic_mean([0.0, 1.0]) == 0
    assert np.isnan(mean([]))
    assert np.isnan(harmonic_mean([np.nan]))


def test_the_authors_evaluation_scores_give_the_official_figures(reference):
    truth = read_ground_truth(reference / "published/eval_data_list_2020.csv")
    scores = np.load(reference / "published/scores_eval.npz")["fan_01_modspec_graph"]
    labels = [truth[key] for key in sorted(truth) if key[0] == "fan" and key[1].startswith("id_01")]
    assert round(100 * auc(labels, scores), 2) == 71.24
    assert round(100 * pauc(labels, scores), 2) == 50.48


def test_bootstrap_is_auc_and_pauc_of_clips_drawn_again(rng):
    """Against resampling clip by clip, in mean and spread."""
    labels = np.repeat([0, 1], [40, 60])
    scores = np.round(rng.normal(size=100) + labels, 1)  # with ties
    drawn = []
    for _ in range(500):
        i = np.concatenate([rng.choice(np.flatnonzero(labels == label), n) for label, n in ((0, 40), (1, 60))])
        drawn.append((auc(labels[i], scores[i]), pauc(labels[i], scores[i])))
    ours = bootstrap(labels, scores, n_resamples=2000)
    assert ours.shape == (2000, 2)
    np.testing.assert_allclose(ours.mean(axis=0), np.mean(drawn, axis=0), atol=0.008)
    np.testing.assert_allclose(ours.std(axis=0), np.std(drawn, axis=0), rtol=0.15)
    np.testing.assert_array_equal(bootstrap(labels, scores, random_state=3), bootstrap(labels, scores, random_state=3))


def test_the_area_of_a_resample_is_that_of_its_curve(rng):
    from asd.metrics import _area, _mcclish

    for _ in range(50):
        labels, scores = rng.integers(0, 2, 30), rng.integers(0, 9, 30)
        if len(set(labels)) == 2:
            fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
            assert _area(fpr[None], tpr[None], 1.0)[0] == pytest.approx(auc(labels, scores))
            assert _mcclish(_area(fpr[None], tpr[None], 0.1), 0.1)[0] == pytest.approx(pauc(labels, scores))


@pytest.mark.slow
@pytest.mark.parametrize("n_ids", [1, 12])
def test_an_interval_covers_the_truth_about_as_often_as_it_says(n_ids):
    """Of a machine id's figures and of their mean; normal scores, the anomalies one standard deviation above."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 60)
    quantile = norm.isf(np.linspace(0, MAX_FPR, 20001))
    area = trapezoid(norm.sf(quantile - 1), dx=MAX_FPR / 20000)
    truth = np.array([norm.cdf(1 / np.sqrt(2)), (1 + (area - 0.005) / 0.095) / 2])
    hits = np.zeros(2)
    for _ in range(150):
        samples = [rng.normal(size=120) + labels for _ in range(n_ids)]
        figures = np.mean([(auc(labels, s), pauc(labels, s)) for s in samples], axis=0)
        resampled = [bootstrap(labels, s, n_resamples=300, random_state=i) for i, s in enumerate(samples)]
        low, high = interval(np.mean(resampled, axis=0), figures)
        hits += (low <= truth) & (truth <= high)
    # 95 % minus what chance does in 150 trials, and a little: the pAUC of 60 normal clips rests on six of them.
    assert (hits / 150 >= 0.85).all(), hits / 150


def test_one_class_has_no_interval():
    assert np.isnan(interval(bootstrap([1, 1], [1.0, 2.0]), [np.nan, np.nan])).all()


LABELS = [0, 0, 1, 0, 0, 1]
DOMAINS = ["source"] * 3 + ["target"] * 3
SCORES = [1.0, 3.0, 2.0, 2.5, 6.0, 5.0]


def test_figures_of_each_year_by_hand():
    assert section_figures(LABELS, SCORES) == {"AUC": 4 / 8, "pAUC": pauc(LABELS, SCORES)}
    # Source: 2 of {1, 3} is above one; target: 5 of {2.5, 6} is above one. No anomaly leads: pAUC at its floor.
    least = (1 - 0.005 / 0.095) / 2
    assert section_figures(LABELS, SCORES, DOMAINS, year=2021) == pytest.approx(
        {"AUC (source)": 0.5, "pAUC (source)": least, "AUC (target)": 0.5, "pAUC (target)": least}
    )
    # Anomalies 2 and 5 of both domains against source {1, 3}: 3 pairs of 4; against target {2.5, 6}: 1 of 4.
    figures = {"AUC (source)": 0.75, "AUC (target)": 0.25, "pAUC": least}
    for year in (2022, 2026):
        assert section_figures(LABELS, SCORES, DOMAINS, year=year) == pytest.approx(figures)


CLIP = st.tuples(st.integers(0, 1), st.sampled_from(["source", "target"]), st.integers(0, 9))


@given(st.lists(CLIP, max_size=40))
def test_a_domain_s_normals_are_judged_against_every_anomaly_from_2022_on(clips):
    labels, domains, scores = zip(*clips, strict=True) if clips else ((), (), ())
    figures = section_figures(labels, scores, domains, year=2022)
    anomalous = [score for label, _, score in clips if label == 1]
    for domain in ("source", "target"):
        normal = [score for label, of, score in clips if label == 0 and of == domain]
        wins = [(a > n) + 0.5 * (a == n) for a in anomalous for n in normal]
        expected = np.mean(wins) if wins else np.nan
        assert figures[f"AUC ({domain})"] == pytest.approx(expected, nan_ok=True)
    unknown = [None if label else domain for label, domain, _ in clips]
    assert section_figures(labels, scores, unknown, year=2024) == pytest.approx(figures, nan_ok=True)


@given(st.lists(CLIP, max_size=40))
def test_in_2021_a_domain_stands_alone(clips):
    labels, domains, scores = zip(*clips, strict=True) if clips else ((), (), ())
    figures = section_figures(labels, scores, domains, year=2021)
    for domain in ("source", "target"):
        alone = [(label, score) for label, of, score in clips if of == domain]
        expected = section_figures([label for label, _ in alone], [score for _, score in alone])
        assert {"AUC": figures[f"AUC ({domain})"], "pAUC": figures[f"pAUC ({domain})"]} == pytest.approx(
            expected, nan_ok=True
        )


def test_totals_by_hand():
    rows = [Figure("fan", "00", "AUC", 0.5), Figure("fan", "02", "AUC", 1.0), Figure("pump", "00", "AUC", 0.25)]
    assert total(rows) == {"AUC": 0.5}
    rows += [Figure("fan", "00", "pAUC", 0.5), Figure("pump", "00", "pAUC", np.nan)]
    averages = total(rows, year=2021)
    assert averages == pytest.approx({"AUC": 3 / 7, "pAUC": 0.5, OFFICIAL: 4 / 9})
    assert list(averages) == ["AUC", "pAUC", OFFICIAL]
    assert np.isnan(total([], year=2022)[OFFICIAL])
    assert total([]) == {}


def test_the_total_of_2023_s_baseline():
    """Figures from the README of the organisers' dcase2023_task2_evaluator, baseline_MSE."""
    machines = ["bandsaw", "grinder", "shaker", "ToyDrone", "ToyNscale", "ToyTank", "Vacuum"]
    source = [0.6667348190554078, 0.706837186424004, 0.69428983714698, 0.7968, 0.77, 0.7212, 0.8816]
    target = [0.48287671232876717, 0.5516569200779727, 0.5604118104118104, 0.561, 0.4716, 0.6468, 0.4532]
    both = [0.5091087658743451, 0.5846166760294185, 0.5491654428600755, 0.5368421052631579]
    both += [0.5178947368421053, 0.5826315789473684, 0.5947368421052631]
    metrics = {"AUC (source)": source, "AUC (target)": target, "pAUC": both}
    rows = [Figure(m, "00", k, v) for k, values in metrics.items() for m, v in zip(machines, values, strict=True)]
    expected = [0.7423494890244248, 0.5253826834789426, 0.5517419647782388, 0.5925469043549957]
    assert list(total(rows, year=2023).values()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "year", "text"),
    [
        (([0, 1], [1.0], None), 2020, "2,. labels and .1,. scores"),
        (([0, 2], [1.0, 2.0], None), 2020, "0 .normal. or 1"),
        (([0, 1], [1.0, 2.0], None), 2021, "2 labels and no domains"),
        (([0, 1], [1.0, 2.0], ["source"]), 2022, "2 labels and 1 domains"),
        (([0, 1], [1.0, 2.0], ["source", None]), 2021, "clip 1: its domain is None"),
        (([0, 1], [1.0, 2.0], ["near", "source"]), 2022, "clip 0: its domain is 'near'"),
        (([0, 1], [1.0, 2.0], None), 2019, "not of 2019"),
    ],
)
def test_what_figures_need(arguments, year, text):
    with pytest.raises(ValueError, match=text):
        section_figures(*arguments, year=year)
