"""Why a clip scored as it did: the maps hold the score, the sentence names the place."""

import numpy as np
import pytest

from asd import modspec, systems
from asd.cache import Features
from asd.explain import COLUMNS, cluster_distance, frame_likelihood

ACOUSTIC = modspec.acoustic_frequencies()
MODULATION = modspec.modulation_frequencies()


@pytest.fixture
def normal(rng):
    return 1e-6 * (1 + rng.random((50, 60, 8)))


def explain(system, normal, clip):
    detector = system.detector().fit(normal)
    features = Features(normal, clip[None], [], [], [], [])
    return system.explain(detector, features, 0), detector.decision_function(clip[None])[0]


def test_the_terms_of_the_third_map_sum_to_the_score(normal, rng):
    explanation, score = explain(systems.ModspecGraph(), normal, 1e-6 * (1 + 2 * rng.random((60, 8))))
    assert np.abs(explanation.panels[2].values).sum() == pytest.approx(score)
    assert explanation.panels[2].signed


def test_maps_run_from_low_to_high_frequency(normal):
    clip = normal[0].copy()
    loudest = np.argmin(np.abs(ACOUSTIC - 2000)), 2
    clip[loudest] = 1.0
    explanation, _ = explain(systems.ModspecGraph(), normal, clip)
    for panel in (explanation.panels[0], explanation.panels[2]):
        assert (np.diff(panel.y) > 0).all()
        row, column = np.unravel_index(np.argmax(panel.values), panel.values.shape)
        assert panel.y[row] == pytest.approx(ACOUSTIC[loudest[0]])
        assert panel.x[column] == pytest.approx(MODULATION[2])


@pytest.mark.parametrize(("factor", "word"), [(50, "more"), (0.02, "less")])
def test_the_sentence_names_what_changed(normal, factor, word):
    """11 Hz modulation between 1 and 2 kHz, raised or lowered, in a clip that is otherwise average."""
    clip = normal.mean(axis=0)
    band = (ACOUSTIC > 1000) & (ACOUSTIC < 2000)
    clip[band, 2] *= factor
    explanation, _ = explain(systems.ModspecGraph(), normal, clip)
    low, high = ACOUSTIC[band].min(), ACOUSTIC[band].max()
    band = f"{low / 1000:.1f} kHz to {high / 1000:.1f} kHz"
    assert explanation.text.startswith(f"Than its cluster it has {word} 11 Hz modulation at {band} (")
    assert explanation.text.count("modulation") == 1


def test_a_clip_equal_to_its_cluster():
    ones = np.ones((60, 8))
    explanation = cluster_distance(ones, ones, ones, ACOUSTIC, MODULATION)
    assert "Equal" in explanation.text
    assert not explanation.panels[2].values.any()


@pytest.mark.parametrize("n_frames", [1, 7, COLUMNS, COLUMNS + 1, 665])
def test_frames_are_averaged_in_time(n_frames):
    ramp = np.arange(n_frames, dtype=float)
    explanation = frame_likelihood(np.tile(ramp[:, None], (1, 40)), -ramp, np.arange(1, 41) * 100.0, 0.015)
    spectrogram, curve = explanation.panels
    assert spectrogram.values.shape == (40, len(curve.x))
    assert len(curve.x) <= COLUMNS
    np.testing.assert_allclose(-curve.y[:-1], curve.x[:-1] / 0.015)  # the last column may be of fewer frames
    assert f"{curve.x[-1]:.1f} s" in explanation.text


def test_without_a_ubm_the_spectrogram_alone_is_shown():
    assert len(frame_likelihood(np.zeros((20, 40)), None, np.arange(40.0), 0.015).panels) == 1


def test_system_2_without_the_recording_has_nothing_to_show(tmp_path):
    system = systems.IVectorGMM()
    features = Features(*[[]] * 6)
    assert system.explain(None, features, 0) is None
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    assert system.explain(None, features, 0, tmp_path / "broken.wav") is None
