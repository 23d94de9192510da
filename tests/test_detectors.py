"""The graph detector equals the method's definition, and its parts keep the estimator's contract."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist
from sklearn.base import clone

from asd.detectors import (
    FewClipsWarning,
    GraphClusters,
    contiguous_folds,
    cross_fitted_scores,
    nearest_neighbours,
)
from asd.metrics import auc, pauc


def plain_scores(train, test, floor=1e-6):
    """The method's definition with a whole distance matrix."""
    train, test = train.reshape(len(train), -1), test.reshape(len(test), -1)
    distance = cdist(train, train, "cityblock")
    np.fill_diagonal(distance, np.inf)
    links = np.zeros(distance.shape)
    links[np.arange(len(train)), distance.argmin(axis=1)] = 1
    labels = connected_components(links, directed=False)[1]
    clusters = [train[labels == c] for c in set(labels)]
    return np.min([(np.abs(test - c.mean(0)) / (c.std(0) + floor)).sum(1) for c in clusters], axis=0)


@pytest.fixture
def spectra(rng):
    return 1e-5 * rng.lognormal(0, 0.5, (150, 60, 8)), 1e-5 * rng.lognormal(0.1, 0.6, (40, 60, 8))


def test_scores_equal_the_definition(spectra):
    train, test = spectra
    scores = GraphClusters().fit(train).decision_function(test)
    np.testing.assert_allclose(scores, plain_scores(train, test), rtol=1e-9)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(2, 90), width=st.integers(1, 40), levels=st.integers(1, 4), seed=st.integers(0, 2**16))
def test_neighbours_equal_a_whole_matrix_the_first_of_equals(n, width, levels, seed):
    """Few levels: many equal distances and equal rows."""
    X = np.random.default_rng(seed).integers(0, levels, (n, width)).astype(float)
    distance = cdist(X, X, "cityblock")
    np.fill_diagonal(distance, np.inf)
    np.testing.assert_array_equal(nearest_neighbours(X), distance.argmin(axis=1))


@pytest.mark.parametrize("levels", [2, 1000])
def test_neighbours_are_the_same_for_any_number_of_threads(rng, levels):
    X = rng.integers(0, levels, (2101, 13)).astype(float)
    alone = nearest_neighbours(X)
    for n_jobs in (2, 3, 7):
        np.testing.assert_array_equal(nearest_neighbours(X, n_jobs=n_jobs), alone)
    distance = cdist(X, X, "cityblock")
    np.fill_diagonal(distance, np.inf)
    np.testing.assert_array_equal(alone, distance.argmin(axis=1))


def test_distances_larger_than_any_constant():
    """The original marked the diagonal with 999."""
    X = np.array([[0.0], [5000], [20000], [26000]])
    np.testing.assert_array_equal(nearest_neighbours(X), [1, 0, 3, 2])
    assert len(GraphClusters().fit(X).means_) == 2


def test_a_clip_scores_the_same_alone_and_in_a_set(spectra):
    train, test = spectra
    detector = GraphClusters().fit(train)
    alone = [detector.decision_function(test[i : i + 1])[0] for i in range(len(test))]
    np.testing.assert_array_equal(detector.decision_function(test), alone)
    np.testing.assert_array_equal(detector.decision_function(test[::-1]), alone[::-1])


def test_what_lies_further_out_scores_higher(spectra):
    detector = GraphClusters().fit(spectra[0])
    centre = detector.means_[:1]
    scores = detector.decision_function(np.concatenate([centre, 1.1 * centre, 2 * centre, 10 * centre]))
    assert scores[0] == 0
    assert (np.diff(scores) > 0).all()


def test_the_nearest_cluster_is_told(spectra):
    detector = GraphClusters().fit(spectra[0])
    np.testing.assert_array_equal(detector.nearest_cluster(detector.means_)[0], np.arange(len(detector.means_)))


def test_it_is_a_scikit_learn_estimator():
    detector = GraphClusters(sigma_floor=0.5)
    assert clone(detector).get_params() == {"sigma_floor": 0.5, "n_jobs": 1}


def test_one_training_clip_is_a_cluster_of_one():
    with pytest.warns(FewClipsWarning):
        detector = GraphClusters().fit(np.ones((1, 60, 8)))
    np.testing.assert_allclose(detector.decision_function(np.full((1, 60, 8), 1 + 1e-6)), 480, rtol=1e-6)


def test_unusable_features_are_refused(spectra):
    train, test = spectra
    with pytest.raises(ValueError, match="at least one clip"):
        GraphClusters().fit(train[:0])
    with pytest.raises(ValueError, match="clip 3"):
        GraphClusters().fit(np.where(np.arange(150)[:, None, None] == 3, np.nan, train))
    with pytest.raises(ValueError, match="100 components"):
        GraphClusters().fit(train).decision_function(test.reshape(40, -1)[:, :100])


def test_real_spectra_give_the_rerun_s_figures(reference):
    """AUC and pAUC of the ten ids whose test features are there, to 1e-6."""
    with open(reference / "published/modspec_graph_dev_rerun.csv", newline="") as file:
        expected = {(row["Machine"], row["Mid"]): row for row in csv.DictReader(file)}
    tests = sorted((reference / "modspec_saved").glob("*_X_test_NR-100_d_.npy"))
    assert len(tests) == 10
    for path in tests:
        name = path.name.split("_")[0]
        train, test, labels = (np.load(str(path).replace("X_test", part)) for part in ("X_train", "X_test", "y_test"))
        scores = GraphClusters().fit(train).decision_function(test)
        row = expected[name[:-1], name[-1]]
        assert auc(labels, scores) == pytest.approx(float(row["AUC"]), abs=1e-6)
        assert pauc(labels, scores) == pytest.approx(float(row["pAUC"]), abs=1e-6)


def test_cross_fitted_scores_are_of_detectors_that_did_not_see_the_clip(spectra):
    spectra, _ = spectra
    folds = contiguous_folds(len(spectra), 4)
    scores = cross_fitted_scores(GraphClusters(), np.broadcast_to(spectra, (4, *spectra.shape)), folds)
    for fold in range(4):
        out = folds == fold
        np.testing.assert_array_equal(scores[out], GraphClusters().fit(spectra[~out]).decision_function(spectra[out]))


@given(st.integers(1, 50), st.integers(1, 12))
def test_folds_are_runs_of_about_equal_size(n, n_folds):
    folds = contiguous_folds(n, n_folds)
    sizes = np.bincount(folds)
    assert len(folds) == n
    assert len(sizes) == min(n, n_folds)
    assert (np.diff(folds) >= 0).all()
    assert sizes.max() - sizes.min() <= 1


def test_a_single_clip_is_scored_by_itself(spectra):
    scores = cross_fitted_scores(GraphClusters(), spectra[0][None, :1], contiguous_folds(1, 10))
    np.testing.assert_array_equal(scores, [0])
