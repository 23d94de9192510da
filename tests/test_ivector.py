"""i-vectors equal the formulas written plainly and bob.learn.em's output; training recovers what made the data."""

import numpy as np
import plain
import pytest
from scipy.linalg import subspace_angles
from scipy.stats import multivariate_normal

from asd.audio import DataError
from asd.ivector import UBM, FewFramesWarning, IVectorExtractor, TotalVariability, draw_frames, statistics


@pytest.fixture
def ubm(rng):
    weights = rng.uniform(1, 2, 4)
    return UBM(weights / weights.sum(), 3 * rng.standard_normal((4, 6)), rng.uniform(0.5, 2, (4, 6)))


def draw(rng, ubm, t, n_clips, n_frames):
    """Frames drawn from the model, and the w of each clip."""
    w = rng.standard_normal((n_clips, t.shape[2]))
    clips = []
    for w_clip in w:
        component = rng.choice(len(ubm.weights), n_frames, p=ubm.weights)
        noise = rng.standard_normal((n_frames, ubm.means.shape[1])) * np.sqrt(ubm.variances[component])
        clips.append(ubm.means[component] + (t @ w_clip)[component] + noise)
    return clips, w


def test_statistics_equal_the_definition(ubm, rng):
    frames = rng.standard_normal((50, 6))
    joint = np.array(
        [
            w * multivariate_normal(m, np.diag(v)).pdf(frames)
            for w, m, v in zip(ubm.weights, ubm.means, ubm.variances, strict=True)
        ]
    ).T
    gamma = joint / joint.sum(axis=1, keepdims=True)
    centred = frames[:, None] - ubm.means
    stats = statistics(ubm, [frames])
    np.testing.assert_allclose(stats.n[0], gamma.sum(axis=0), rtol=1e-9)
    np.testing.assert_allclose(stats.f[0], np.einsum("tc,tcd->cd", gamma, centred), atol=1e-9)
    np.testing.assert_allclose(stats.v, np.einsum("tc,tcd->cd", gamma, centred**2), atol=1e-8)
    np.testing.assert_allclose(ubm.log_likelihood(frames), np.log(joint.sum(axis=1)), rtol=1e-9)


def test_posteriors_and_update_equal_the_plain_loops(ubm, rng):
    clips, _ = draw(rng, ubm, 0.3 * rng.standard_normal((4, 6, 3)), 150, 40)  # more clips than a block has
    stats = statistics(ubm, clips)
    model = TotalVariability(0.2 * rng.standard_normal((4, 6, 3)), ubm.variances)
    w, second = plain.ivectors(model.t, model.covariance, stats.n, stats.f)
    ours, covariances, _ = model.posteriors(stats.n, stats.f)
    np.testing.assert_allclose(ours, w, atol=1e-10)
    lower = np.tril_indices(3)
    expected = (second - w[:, :, None] * w[:, None])[:, lower[0], lower[1]]
    np.testing.assert_allclose(covariances[:, lower[0], lower[1]], expected, atol=1e-10)
    updated, _ = model.expectation_maximisation(stats)
    np.testing.assert_allclose(updated.t, plain.em_iteration(model.t, model.covariance, stats.n, stats.f), atol=1e-9)


def test_training_recovers_the_subspace_and_the_vectors(ubm, rng):
    ubm = UBM(ubm.weights, 10 * ubm.means, ubm.variances)  # far apart: frames keep to their component
    t = 0.8 * rng.standard_normal((4, 6, 2))
    clips, w = draw(rng, ubm, t, 300, 200)
    extractor = IVectorExtractor(dim=2, n_iter=30, ubm=ubm, random_state=1).fit(clips)
    angles = subspace_angles(extractor.model_.t.reshape(-1, 2), t.reshape(-1, 2))
    assert np.rad2deg(angles).max() < 3
    # The i-vectors are a rotation of the true ones: every true direction is a linear function of them.
    ivectors = extractor.transform(clips)
    predicted = ivectors @ np.linalg.lstsq(ivectors, w, rcond=None)[0]
    for k in range(2):
        assert np.corrcoef(predicted[:, k], w[:, k])[0, 1] > 0.98
    np.testing.assert_allclose(np.cov(ivectors.T), np.eye(2), atol=0.1)  # minimum divergence


@pytest.mark.parametrize("minimum_divergence", [False, True])
@pytest.mark.parametrize("update_covariance", [False, True])
def test_log_likelihood_does_not_fall(ubm, rng, minimum_divergence, update_covariance):
    clips, _ = draw(rng, ubm, 0.5 * rng.standard_normal((4, 6, 3)), 60, 80)
    options = {"minimum_divergence": minimum_divergence, "update_covariance": update_covariance}
    extractor = IVectorExtractor(dim=3, n_iter=15, ubm=ubm, **options).fit(clips)
    assert extractor.log_likelihoods_.shape == (15,)
    gains = np.diff(extractor.log_likelihoods_)
    assert (gains > -1e-9 * np.abs(extractor.log_likelihoods_[0])).all()
    assert gains[0] > 1


def test_the_log_likelihood_is_that_of_the_marginal_model(rng):
    """One component: a clip's frames are jointly normal with covariance S + T T' shared by all frames."""
    ubm = UBM(np.ones(1), np.zeros((1, 2)), np.array([[1.0, 2.0]]))
    t = rng.standard_normal((1, 2, 2))
    frames = rng.standard_normal((3, 2))
    stats = statistics(ubm, [frames])
    model = TotalVariability(t, ubm.variances)
    log_likelihood = model.log_likelihood(stats, model.posteriors(stats.n, stats.f)[2].sum())
    covariance = np.kron(np.eye(3), np.diag(ubm.variances[0])) + np.kron(np.ones((3, 3)), t[0] @ t[0].T)
    expected = multivariate_normal(np.zeros(6), covariance).logpdf(frames.ravel())
    assert log_likelihood == pytest.approx(expected)


def test_a_component_without_frames_is_left_as_it_is(rng):
    ubm = UBM(np.array([0.5, 0.5]), np.array([[0.0, 0], [1e4, 1e4]]), np.ones((2, 2)))
    extractor = IVectorExtractor(dim=2, n_iter=3, ubm=ubm, update_covariance=True, minimum_divergence=False)
    extractor.fit([rng.standard_normal((50, 2)) for _ in range(10)])
    assert np.isfinite(extractor.model_.t).all()
    np.testing.assert_array_equal(extractor.model_.covariance[1], 1)


def test_a_clip_is_the_same_alone_and_with_others(rng):
    """At the default size: BLAS rounds differently from row to row of a product that large."""
    clips = [rng.standard_normal((60, 42)) for _ in range(45)]
    extractor = IVectorExtractor(n_iter=1).fit(clips)
    together = extractor.transform(clips)
    np.testing.assert_array_equal(together, np.concatenate([extractor.transform([clip]) for clip in clips]))
    np.testing.assert_array_equal(extractor.transform(clips[::-1]), together[::-1])


def test_the_same_seed_gives_the_same_extractor_and_a_file_keeps_it(rng, tmp_path):
    clips = [rng.standard_normal((80, 5)) for _ in range(12)]
    first, second = (IVectorExtractor(4, 3, n_iter=2, random_state=7).fit(clips) for _ in range(2))
    np.testing.assert_array_equal(first.transform(clips), second.transform(clips))
    first.save(tmp_path / "extractor.npz")
    loaded = IVectorExtractor.load(tmp_path / "extractor.npz")
    np.testing.assert_array_equal(loaded.transform(clips), first.transform(clips))
    assert loaded.get_params() == first.get_params()
    second.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "extractor.npz").read_bytes()


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04rubbish"])
def test_a_file_that_is_no_extractor_is_refused(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.npz.*delete"):
        IVectorExtractor.load(tmp_path / "x.npz")


def test_a_pickle_in_the_file_is_not_opened(tmp_path):
    np.savez(tmp_path / "x.npz", parameters=np.array([{}], object))
    with pytest.raises(DataError, match=r"x\.npz"):
        IVectorExtractor.load(tmp_path / "x.npz")


def test_fewer_frames_than_components(rng):
    with pytest.warns(FewFramesWarning, match="6 components instead of 32"):
        extractor = IVectorExtractor(32, 2, n_iter=1).fit([rng.standard_normal((3, 4)) for _ in range(2)])
    assert extractor.transform([rng.standard_normal((3, 4))]).shape == (1, 2)


def test_frames_are_drawn_in_order_without_repeats(rng):
    frames = np.arange(100)[:, None]
    drawn = draw_frames(frames, 30, 0, 5)[:, 0]
    assert (np.diff(drawn) > 0).all()
    assert drawn.size == 30
    np.testing.assert_array_equal(drawn, draw_frames(frames, 30, 0, 5)[:, 0])
    assert draw_frames(frames, 200, 0, 5) is frames


def test_unusable_input_is_refused(ubm, rng):
    with pytest.raises(ValueError, match="at least one clip"):
        IVectorExtractor().fit([])
    with pytest.raises(ValueError, match=r"\(5, 3\)"):
        statistics(ubm, [np.zeros((5, 3))])
    with pytest.raises(ValueError, match="not finite"):
        statistics(ubm, [np.full((5, 6), np.nan)])
    with pytest.raises(ValueError, match="do not make a mixture"):
        UBM(np.ones(2), np.zeros((3, 2)), np.ones((3, 2)))


def test_equals_bob_learn_em(reference):
    """Statistics, five iterations of T and residual covariance, i-vectors before and after, to 1e-8."""
    peer = np.load(reference / "peers/ivectors_bob.npz")
    ubm = UBM(peer["weights"], peer["means"], peer["variances"])
    clips = [peer[f"frames_{i}"] for i in range(6)]
    stats = statistics(ubm, clips)
    np.testing.assert_allclose(stats.n, peer["n"], atol=1e-8)
    np.testing.assert_allclose(stats.f + ubm.means * stats.n[:, :, None], peer["f"], atol=1e-8)
    second = peer["s"] - 2 * ubm.means * peer["f"] + ubm.means**2 * peer["n"][:, :, None]
    np.testing.assert_allclose(stats.v, second.sum(axis=0), atol=1e-8)
    likelihoods = [ubm.log_likelihood(frames).sum() for frames in clips]
    np.testing.assert_allclose(likelihoods, peer["log_likelihood"], atol=1e-8)
    model = TotalVariability(peer["T0"], peer["sigma0"])
    np.testing.assert_allclose(model.posteriors(stats.n, stats.f)[0], peer["ivectors0"], atol=1e-8)
    for i in range(1, 6):
        model, _ = model.expectation_maximisation(stats, update_covariance=True)
        np.testing.assert_allclose(model.t, peer[f"T{i}"], atol=1e-8)
        np.testing.assert_allclose(model.covariance, peer[f"sigma{i}"], atol=1e-8)
    np.testing.assert_allclose(model.posteriors(stats.n, stats.f)[0], peer["ivectors5"], atol=1e-8)
