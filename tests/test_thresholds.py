"""Thresholds let through the share of normal clips that was asked for, p-values agree with them, and
the false alarms that are announced are those that come."""

import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from asd.detectors import GraphClusters, contiguous_folds, cross_fitted_scores
from asd.thresholds import (
    FewScoresWarning,
    GammaFitWarning,
    empirical_threshold,
    expected_false_alarms,
    gamma_threshold,
    p_value,
)

SEEDS, FRESH = 400, 2000
DRAWS = {
    "gamma": lambda rng, n: rng.gamma(3, 2, n),
    "normal": lambda rng, n: rng.normal(-576, 20, n),  # as of negative log-likelihoods
    "heavy tail": lambda rng, n: rng.standard_t(1.5, n),
    "ties": lambda rng, n: rng.poisson(3, n).astype(float),
}


def realised(draw, n, threshold):
    """Shares of fresh draws above the threshold from n others, over seeds."""
    shares = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        limit = threshold(draw(rng, n))
        shares.append(np.mean(draw(rng, FRESH) > limit))
    return np.array(shares)


# The empirical threshold.


@pytest.mark.parametrize("distribution", DRAWS)
@pytest.mark.parametrize(("n", "asked"), [(99, 0.01), (150, 0.05), (40, 0.1), (1000, 0.01)])
def test_the_realised_false_alarms_are_those_asked_for(distribution, n, asked):
    shares = realised(DRAWS[distribution], n, lambda scores: empirical_threshold(scores, asked))
    error = 4 * shares.std() / np.sqrt(SEEDS)
    assert shares.mean() < asked + error
    if distribution != "ties":
        assert shares.mean() > np.floor(asked * (n + 1)) / (n + 1) - error


def test_it_is_the_conformal_order_statistic(rng):
    scores = rng.permutation(np.arange(1.0, 100))  # 1 to 99
    assert empirical_threshold(scores, 0.01) == 99
    assert empirical_threshold(scores, 0.05) == 95
    assert empirical_threshold(scores, 0.055) == 95
    assert empirical_threshold(scores, 0.5) == 50
    assert empirical_threshold(scores[:1], 0.5) == scores[0]


@pytest.mark.parametrize(("asked", "needed"), [(0.01, 99), (0.05, 19), (0.1, 9), (0.07, 14), (0.3, 3)])
def test_too_few_scores_give_the_highest_and_say_what_to_expect(asked, needed):
    scores = np.arange(float(needed))
    assert empirical_threshold(scores, asked) == needed - 1
    with pytest.warns(FewScoresWarning, match=rf"{needed - 1} scores, {needed} are needed.*{1 / needed:.3g} are"):
        assert empirical_threshold(scores[1:], asked) == needed - 1


@pytest.mark.filterwarnings("ignore::asd.thresholds.FewScoresWarning")
@pytest.mark.parametrize("n", [5, 30])
def test_the_share_to_expect_of_too_few_scores_is_the_realised_one(n):
    shares = realised(DRAWS["gamma"], n, lambda scores: empirical_threshold(scores, 0.01))
    assert shares.mean() == pytest.approx(1 / (n + 1), abs=4 * shares.std() / np.sqrt(SEEDS))


SCORES = st.lists(st.integers(-20, 20).map(float) | st.floats(-1e9, 1e9), min_size=1, max_size=60)
SHARES = st.floats(0.005, 0.995) | st.integers(1, 99).map(lambda k: k / 100)


@given(scores=SCORES, asked=SHARES, x=st.floats(-1e9, 1e9) | st.integers(-20, 20))
def test_p_values_agree_with_the_threshold(scores, asked, x):
    """The smallest false alarm rate at which a clip is flagged is its p-value."""
    assume(1 / (len(scores) + 1) <= asked)
    threshold = empirical_threshold(scores, asked)
    assert threshold in scores
    for score in (x, threshold, np.nextafter(threshold, np.inf), *scores):
        assert (p_value(scores, score) <= asked) == (score > threshold)


@given(n=st.integers(1, 3000), j=st.integers(1, 3000))
def test_rounding_costs_no_rank(n, j):
    """A share asked for as j / (n + 1) is had to the clip."""
    assume(j <= n)
    assert empirical_threshold(np.arange(n), j / (n + 1)) == n - j


@pytest.mark.filterwarnings("ignore::asd.thresholds.FewScoresWarning")
@given(scores=SCORES, shares=st.tuples(SHARES, SHARES))
def test_fewer_false_alarms_take_a_higher_threshold(scores, shares):
    low, high = sorted(shares)
    assert empirical_threshold(scores, low) >= empirical_threshold(scores, high)


@pytest.mark.filterwarnings("ignore::asd.thresholds.FewScoresWarning")
@pytest.mark.parametrize("transform", [np.exp, np.arctan, lambda s: 3 * s - 7, np.cbrt])
@given(scores=st.lists(st.integers(-30, 30), min_size=1, max_size=40), asked=SHARES)
def test_only_ranks_count(transform, scores, asked):
    scores = np.array(scores, float)
    assert empirical_threshold(transform(scores), asked) == transform(np.array([empirical_threshold(scores, asked)]))[0]
    np.testing.assert_array_equal(p_value(transform(scores), transform(scores)), p_value(scores, scores))


# p-values.


def test_p_values_are_ranks(rng):
    scores = rng.permutation([1.0, 2, 2, 3])
    expected = {-np.inf: 1, 0.5: 1, 1: 1, 1.5: 0.8, 2: 0.8, 2.5: 0.4, 3: 0.4, 3.5: 0.2, np.inf: 0.2}
    np.testing.assert_allclose(p_value(scores, list(expected)), list(expected.values()))
    assert isinstance(p_value(scores, 2.0), float)
    assert p_value(scores, np.zeros((2, 3))).shape == (2, 3)


@given(scores=SCORES, x=st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
def test_p_values_lie_in_0_to_1_and_fall_with_the_score(scores, x):
    p = p_value(scores, np.sort(x))
    assert ((p > 0) & (p <= 1)).all()
    assert (np.diff(p) <= 0).all()


def test_p_values_of_normal_clips_are_uniform():
    p = []
    for seed in range(2000):
        scores = np.random.default_rng(seed).gamma(3, 2, 51)
        p.append(p_value(scores[:50], scores[50]))
    assert scipy.stats.kstest(np.array(p) - 0.5 / 51, "uniform").pvalue > 0.01


# The gamma threshold.


def test_it_is_the_baselines_threshold(rng):
    scores = rng.permutation(8 + rng.gamma(3, 2, 500))
    expected = scipy.stats.gamma.ppf(0.9, *scipy.stats.gamma.fit(scores))
    assert gamma_threshold(scores) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e5])
@pytest.mark.parametrize("location", [0, 40, -300])
def test_the_unit_of_the_scores_does_not_matter(rng, scale, location):
    """The baselines' fit of 40e5 + gamma(3, 2e5) has one score in 500 above its 0.9 quantile."""
    threshold = gamma_threshold(scale * (location + rng.gamma(3, 2, 500)))
    assert threshold / scale - location == pytest.approx(scipy.stats.gamma.ppf(0.9, 3, 0, 2), rel=0.1)


@pytest.mark.parametrize("distribution", ["gamma", "normal"])
def test_its_realised_false_alarms(distribution, monkeypatch):
    """Of distributions that it describes; from 500 scores, within a point on average."""
    monkeypatch.setitem(globals(), "SEEDS", 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GammaFitWarning)  # now and then a fit fails
        shares = realised(DRAWS[distribution], 500, gamma_threshold)
    assert shares.mean() == pytest.approx(0.1, abs=0.01)
    assert (np.abs(shares - 0.1) < 0.06).all()


@pytest.mark.parametrize(
    "scores",
    [
        np.random.default_rng(1).standard_t(2, 500),  # the baselines would flag 99 % of these
        np.random.default_rng(1).lognormal(0, 1.5, 500),
        -np.random.default_rng(1).exponential(1, 500),
        np.append(np.random.default_rng(1).gamma(4, 2, 499), 1e4),
        np.arange(9.0),
        np.full(100, -3.5),
        np.array([1e300, -1e300] * 20),
        np.arange(200) % 2 * 1.0,
        np.array([0.0] * 99 + [1e-300]),
    ],
)
def test_a_fit_that_the_scores_contradict_is_not_used(scores):
    with pytest.warns(GammaFitWarning):
        threshold = gamma_threshold(scores)
    assert threshold == empirical_threshold(scores, 0.1)


@settings(deadline=None, max_examples=15)
@given(
    scores=st.lists(st.integers(-20, 20).map(float) | st.floats(-1e6, 1e6), min_size=1, max_size=40),
    quantile=st.floats(0.5, 0.99),
)
def test_a_threshold_of_any_scores_is_finite_and_no_absurd_one(scores, quantile):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GammaFitWarning)
        warnings.simplefilter("ignore", FewScoresWarning)
        threshold = gamma_threshold(scores, quantile)
    assert np.isfinite(threshold)
    assert scipy.stats.binomtest(int(np.sum(np.array(scores) > threshold)), len(scores), 1 - quantile).pvalue > 1e-4


def test_one_score():
    with pytest.warns((GammaFitWarning, FewScoresWarning)) as caught:
        assert gamma_threshold([-3.0]) == -3
    assert {warning.category for warning in caught} == {GammaFitWarning, FewScoresWarning}


# The false alarms to expect.


def test_the_interval_is_clopper_and_pearson_s():
    scores = np.arange(30.0)
    for m in range(31):
        found = expected_false_alarms(scores, 29.5 - m)
        interval = scipy.stats.binomtest(m, 30).proportion_ci(method="exact")
        np.testing.assert_allclose(found, [(m + 1) / 31, interval.low, interval.high], atol=1e-12)
        assert found.low <= found.share <= found.high
    np.testing.assert_array_equal(
        expected_false_alarms(scores, [3.5, 29.0]).share, [expected_false_alarms(scores, t).share for t in (3.5, 29.0)]
    )
    assert expected_false_alarms(scores, 29.0).share == 1 / 31  # not 0
    narrow, wide = (expected_false_alarms(scores, 20, confidence=c) for c in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("chosen", ["from the scores", "beforehand"])
def test_the_interval_holds_the_true_share(chosen):
    covered, announced, true = [], [], []
    for seed in range(1000):
        scores = np.random.default_rng(seed).gamma(3, 2, 200)
        threshold = (
            empirical_threshold(scores, 0.05) if chosen == "from the scores" else scipy.stats.gamma.isf(0.05, 3, 0, 2)
        )
        found = expected_false_alarms(scores, threshold)
        true.append(scipy.stats.gamma.sf(threshold, 3, 0, 2))
        covered.append(found.low <= true[-1] <= found.high)
        announced.append(found.share)
    assert np.mean(covered) > 0.94
    assert np.mean(announced) == pytest.approx(np.mean(true), abs=0.006)


def test_real_normal_clips_are_flagged_as_often_as_asked(reference):
    """Over two machine ids; from its own scores of its training clips a detector flags twice as many."""
    flagged, own, n = 0, 0, 0
    for path in sorted((reference / "modspec_saved").glob("[ps]*2_X_test_NR-100_d_.npy")):
        train, test, labels = (np.load(str(path).replace("X_test", part)) for part in ("X_train", "X_test", "y_test"))
        detector = GraphClusters().fit(train)
        normal = detector.decision_function(test[labels == 0])
        folds = contiguous_folds(len(train), 10)
        training = cross_fitted_scores(detector, np.broadcast_to(train, (10, *train.shape)), folds)
        flagged += np.sum(normal > empirical_threshold(training, 0.1))
        own += np.sum(normal > empirical_threshold(detector.decision_function(train), 0.1))
        n += len(normal)
    assert n == 200
    assert abs(flagged / n - 0.1) < 0.07  # three standard errors
    assert own / n > 0.17


@pytest.mark.parametrize("function", [empirical_threshold, gamma_threshold, lambda s: p_value(s, 0)])
def test_unusable_scores_are_refused(function):
    for scores in ([], 3.0, [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="at least one training clip"):
            function(scores)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="training score 2 is not finite"):
            function([1.0, 2.0, bad])


def test_unusable_arguments_are_refused():
    for share in (0, 1, -0.1, 5, np.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            empirical_threshold([1.0], share)
        with pytest.raises(ValueError, match="between 0 and 1"):
            gamma_threshold([1.0], share)
    with pytest.raises(ValueError, match="a score is not a number"):
        p_value([1.0], np.nan)
    with pytest.raises(ValueError, match="a threshold is not a number"):
        expected_false_alarms([1.0], [0.0, np.nan])
