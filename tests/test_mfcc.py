"""MFCC frames are the paper's: 13 cepstra, log energy, deltas and double deltas."""

import librosa
import numpy as np
import plain
import pytest

from asd.mfcc import MIN_SAMPLES, log_mel_spectrogram, mfcc


@pytest.fixture
def clip(rng):
    return 0.02 * rng.standard_normal(16000) + 0.01 * np.sin(2 * np.pi * 500 * np.arange(16000) / 16000)


def test_cepstra_and_energy_equal_the_plain_ones(clip):
    frames = mfcc(clip)
    assert frames.shape == (1 + (16000 - 480) // 240, 42)
    np.testing.assert_allclose(frames[:, :14], plain.mfcc(clip), atol=1e-9)


def test_deltas_are_librosa_s(clip):
    frames = mfcc(clip)
    for order, columns in ((1, slice(14, 28)), (2, slice(28, 42))):
        expected = librosa.feature.delta(frames[:, :14].T, order=order).T
        np.testing.assert_allclose(frames[:, columns], expected, atol=1e-12)


def test_the_level_of_a_clip_does_not_matter(clip):
    np.testing.assert_allclose(mfcc(100 * clip), mfcc(clip), atol=1e-8)


def test_cepstra_may_begin_with_c1(clip):
    np.testing.assert_array_equal(mfcc(clip, first_cepstrum=1)[:, :12], mfcc(clip)[:, 1:13])


def test_a_tone_shows_in_its_mel_band(clip):
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    band = np.argmax(log_mel_spectrogram(tone).mean(axis=0))
    centres = librosa.mel_frequencies(42, fmax=8000)[1:-1]
    assert band == np.argmin(np.abs(centres - 1000))


def test_silence_is_finite():
    assert np.isfinite(mfcc(np.zeros(8000))).all()


def test_too_short_a_clip_is_refused():
    assert mfcc(np.ones(MIN_SAMPLES)).shape == (9, 42)
    with pytest.raises(ValueError, match="8 frames"):
        mfcc(np.ones(MIN_SAMPLES - 1))
    with pytest.raises(ValueError, match="480"):
        mfcc(np.ones(479))
