"""Scores of several systems made one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asd.fusion import CalibratedFusion, min_max, product

SCORES = arrays(
    float, st.tuples(st.integers(1, 20), st.just(2)), elements=st.floats(-1e308, 1e308, allow_subnormal=False)
)


def test_the_product_is_of_scores_from_0_to_1():
    scores = np.array([[1.0, -30.0], [2.0, -20.0], [5.0, -10.0]])
    np.testing.assert_allclose(min_max(scores), [[0, 0], [0.25, 0.5], [1, 1]])
    np.testing.assert_allclose(product(scores), [0, 0.125, 1])


def test_constant_scores_become_zeros():
    np.testing.assert_array_equal(product(np.array([[3.0, 1.0], [3.0, 2.0]])), [0, 0])
    np.testing.assert_array_equal(product(np.array([[3.0, 1.0]])), [0])


@given(SCORES)
def test_min_max_stays_within_0_and_1_and_keeps_the_order(scores):
    normalised = min_max(scores)
    assert ((normalised >= 0) & (normalised <= 1)).all()
    for before, after in zip(scores.T, normalised.T, strict=True):
        assert (np.diff(after[np.argsort(before, kind="stable")]) >= 0).all()


def test_calibrated_scores_are_mean_z_scores(rng):
    training = [rng.normal(5, 2, 300), rng.normal(-600, 0.1, 200)]
    fusion = CalibratedFusion().fit(training)
    scores = np.array([[s.mean() + 3 * s.std() for s in training], [s.mean() for s in training]])
    np.testing.assert_allclose(fusion.decision_function(scores), [3, 0], atol=1e-9)
    np.testing.assert_allclose(fusion.normalised(scores[:1]), [[3, 3]])


def test_a_calibrated_score_is_the_same_alone_and_in_any_set(rng):
    fusion = CalibratedFusion().fit([rng.normal(size=50), rng.normal(size=60)])
    scores = rng.normal(size=(40, 2))
    together = fusion.decision_function(scores)
    alone = [fusion.decision_function(row[None])[0] for row in scores]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(fusion.decision_function(scores[::-1]), together[::-1])


def test_one_training_clip_or_equal_ones_are_a_scale_of_one():
    fusion = CalibratedFusion().fit([[2.0], [0.1] * 12])
    np.testing.assert_allclose(fusion.decision_function([[3.0, 1.1]]), [1])


@pytest.mark.parametrize("scores", [np.empty((0, 2)), [[np.nan, 1.0]], [[np.inf, 1.0]], [1.0, 2.0], [[1.0, 2.0, 3.0]]])
def test_what_are_no_scores_of_these_systems_is_refused(scores):
    with pytest.raises(ValueError, match="score"):
        CalibratedFusion().fit([[0.0, 1.0], [0.0, 1.0]]).decision_function(scores)
