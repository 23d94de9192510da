"""AUC, pAUC and averages as the challenge defines them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd.dataset import read_ground_truth
from asd.metrics import auc, harmonic_mean, mean, pauc


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
