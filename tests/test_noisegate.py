"""The gate equals noisereduce 1.1.0's, written plainly in tests/plain.py and as the package's output."""

import numpy as np
import plain
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asd import noisegate
from asd.modspec import modulation_spectrogram


def gated(samples, noise):
    return noisegate.reduce_noise(samples, noisegate.noise_threshold(noise))


@pytest.fixture
def clip(rng):
    """Noise and louder bursts at 16 kHz."""
    samples = 0.01 * rng.standard_normal(24000)
    samples[5000:9000] += 0.1 * np.sin(2 * np.pi * 1000 * np.arange(4000) / 16000)
    return samples


@pytest.mark.parametrize("n", [4592, 12800, 16031, 16032, 24000])
def test_equals_the_plain_gate(clip, rng, n):
    noise = 0.01 * rng.standard_normal(16000)
    np.testing.assert_allclose(gated(clip[:n], noise), plain.noise_gate(clip[:n], noise), atol=1e-12)


def test_float32_is_near_float64(clip, rng):
    noise = 0.01 * rng.standard_normal(16000)
    single = gated(clip.astype(np.float32), noise)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, gated(clip, noise), atol=1e-6)


def test_the_80_db_floor_takes_part(rng):
    """Cells further than 80 dB below the loudest are lifted to that floor before they are compared."""
    noise = 1e-7 * rng.standard_normal(16000)
    loud = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    np.testing.assert_allclose(gated(loud, noise), plain.noise_gate(loud, noise), atol=1e-12)
    np.testing.assert_allclose(gated(loud, noise)[2048:-2048], loud[2048:-2048], atol=1e-3)


@pytest.mark.parametrize("n", [16000, 40000, 40500])
@pytest.mark.parametrize("at", [0, 3000, -500])
def test_the_loudest_moment_counts_wherever_it_is(rng, n, at):
    noise = 1e-6 * rng.standard_normal(16000)
    clip = 1e-6 * rng.standard_normal(n)
    clip[at:][:400] += np.sin(np.arange(400))
    np.testing.assert_allclose(gated(clip, noise), plain.noise_gate(clip, noise), atol=1e-12)


def test_the_same_after_clips_of_other_lengths(clip, rng):
    """Work arrays are kept between calls; nothing of one clip is in the next."""
    noise = 0.01 * rng.standard_normal(16000)
    first = gated(clip[:9000], noise)
    gated(rng.standard_normal(50000), noise)
    np.testing.assert_array_equal(gated(clip[:9000], noise), first)


def test_silence_stays_silence_without_a_warning():
    silence = np.zeros(16000, np.float32)
    np.testing.assert_array_equal(gated(silence, silence), silence)


def test_a_clip_is_left_as_it_is_by_no_noise(clip):
    np.testing.assert_allclose(gated(clip, np.zeros(16000)), clip, atol=1e-12)


def test_the_noise_clip_is_the_mean_over_the_samples_all_have():
    clips = [np.array([1.0, 2, 3]), np.array([3.0, 4]), np.array([5.0, 6, 7, 8])]
    np.testing.assert_array_equal(noisegate.noise_clip(clips), [3, 4])
    with pytest.raises(ValueError, match="at least one"):
        noisegate.noise_clip([])


def test_too_short_a_clip_is_refused():
    with pytest.raises(ValueError, match="too few"):
        noisegate.noise_threshold(np.zeros(1024))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(513, 6000), scale=st.floats(1e-6, 1), seed=st.integers(0, 2**16))
def test_the_gate_only_attenuates(n, scale, seed):
    rng = np.random.default_rng(seed)
    clip, noise = scale * rng.standard_normal(n), rng.standard_normal(4000)
    out = gated(clip, noise)
    assert out.shape == clip.shape
    assert np.linalg.norm(out) <= 1.001 * np.linalg.norm(clip) + 1e-12


def test_equals_noisereduce(reference):
    peers = np.load(reference / "peers" / "noise_gate_and_modspec_slider_00.npz")
    train = sorted((reference / "dcase2020/dev_data/slider/train").glob("normal_id_00_*.wav"))
    noise = noisegate.noise_clip(soundfile.read(path, dtype="float32")[0] for path in train)
    for i, name in enumerate(peers["clips"]):
        out = gated(soundfile.read(reference / str(name), dtype="float32")[0], noise)
        np.testing.assert_allclose(out, peers[f"gated_{i}"], atol=1e-7)
        spectrum = modulation_spectrogram(out)
        error = np.abs(spectrum / peers[f"modspec_gated_{i}"] - 1)
        assert np.quantile(error, 0.99) < 1e-4
