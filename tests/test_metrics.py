"""AUC, pAUC and averages as the challenge defines them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from asd.dataset import read_ground_truth
from asd.metrics import auc, bootstrap, harmonic_mean, interval, mean, pauc


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


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    """Normal scores one standard deviation apart: the AUC is Phi(1 / sqrt 2)."""
    rng, truth = np.random.default_rng(0), 0.7602499389
    hits = 0
    for seed in range(200):
        scores = rng.normal(size=160) + np.repeat([0, 1], 80)
        low, high = interval(bootstrap(np.repeat([0, 1], 80), scores, n_resamples=400, random_state=seed))[:, 0]
        hits += low <= truth <= high
    assert 0.90 <= hits / 200 <= 0.98


def test_one_class_has_no_interval():
    assert np.isnan(interval(bootstrap([1, 1], [1.0, 2.0]))).all()
