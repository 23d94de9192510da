"""The modulation spectrogram equals SRMRpy's, written plainly in tests/plain.py and as the package's output."""

import numpy as np
import plain
import pytest
import soundfile
from gammatone.fftweight import fft_gtgram
from hypothesis import given, settings
from hypothesis import strategies as st

from asd import modspec
from asd.modspec import modulation_spectrogram


@pytest.fixture
def clip(rng):
    t = np.arange(40000) / 16000
    return (1 + 0.5 * np.cos(2 * np.pi * 10 * t)) * 0.1 * rng.standard_normal(40000)


@pytest.mark.parametrize("n", [4592, 4600, 16000, 16031, 16032, 16033, 40000])
def test_equals_the_plain_spectrogram(clip, n):
    np.testing.assert_allclose(modulation_spectrogram(clip[:n]), plain.modulation_spectrogram(clip[:n]), rtol=1e-9)


def test_equals_the_plain_spectrogram_in_single_precision(clip):
    spectrum = modulation_spectrogram(clip.astype(np.float32))
    np.testing.assert_allclose(spectrum, plain.modulation_spectrogram(clip), rtol=1e-4)


@pytest.mark.parametrize("n", [512, 552, 16000, 16032])
def test_the_gammatonegram_equals_the_package_with_its_zero_column(clip, n):
    ours = modspec.gammatonegram(clip[:n])
    np.testing.assert_allclose(ours.T, fft_gtgram(clip[:n], 16000, 0.010, 0.0025, 60, 125), rtol=1e-10, atol=1e-18)
    assert (not ours[-1].any()) == ((n - 512) % 40 == 0)


def test_a_modulated_tone_stands_out_where_it_belongs():
    t = np.arange(48000) / 16000
    tone = (1 + 0.8 * np.cos(2 * np.pi * 17.7 * t)) * np.sin(2 * np.pi * 1000 * t)
    plain_tone = np.sin(2 * np.pi * 1000 * t)
    excess = modulation_spectrogram(tone) / modulation_spectrogram(plain_tone)
    acoustic = np.argmin(np.abs(modspec.acoustic_frequencies() - 1000))
    modulation = np.argmin(np.abs(modspec.modulation_frequencies() - 17.7))
    assert np.argmax(excess[acoustic]) == modulation


def test_axes_are_in_hertz():
    acoustic, modulation = modspec.acoustic_frequencies(), modspec.modulation_frequencies()
    assert acoustic.shape == (60,)
    assert acoustic[-1] == pytest.approx(125)
    assert (np.diff(acoustic) < 0).all()
    np.testing.assert_allclose(modulation[[0, 7]], [4, 128])


def test_other_filterbanks_have_their_shape(clip):
    assert modulation_spectrogram(clip, n_acoustic=23, n_modulation=5, modulation_range=(2, 64)).shape == (23, 5)


def test_silence_is_zero():
    assert not modulation_spectrogram(np.zeros(16000, np.float32)).any()


def test_too_short_a_clip_is_refused():
    with pytest.raises(ValueError, match="4592"):
        modulation_spectrogram(np.zeros(4591))
    with pytest.raises(ValueError, match="512"):
        modspec.gammatonegram(np.zeros(511))


@settings(max_examples=20, deadline=None)
@given(n=st.integers(modspec.MIN_SAMPLES, 9000), gain=st.floats(1e-3, 1e3), seed=st.integers(0, 2**16))
def test_energy_goes_with_the_square_of_the_level(n, gain, seed):
    clip = np.random.default_rng(seed).standard_normal(n)
    np.testing.assert_allclose(modulation_spectrogram(gain * clip), gain**2 * modulation_spectrogram(clip), rtol=1e-9)


def test_the_same_after_clips_of_other_lengths(clip):
    """Work arrays are kept between calls; nothing of one clip is in the next."""
    first = modulation_spectrogram(clip[:8000])
    modulation_spectrogram(clip)
    np.testing.assert_array_equal(modulation_spectrogram(clip[:8000]), first)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-4)])
def test_equals_srmrpy_output(reference, dtype, rtol):
    peers = np.load(reference / "peers" / "modspec_per_machine.npz")
    for i, name in enumerate(peers["clips"]):
        clip = soundfile.read(reference / str(name), dtype=dtype)[0]
        np.testing.assert_allclose(modulation_spectrogram(clip), peers[f"modspec_raw_{i}"], rtol=rtol)
    clip = soundfile.read(reference / str(peers["clips"][2]), dtype=dtype)[0]
    for n in (16000, 16001, 16039, 24000):
        np.testing.assert_allclose(modulation_spectrogram(clip[:n]), peers[f"modspec_first_{n}_of_2"], rtol=rtol)


def test_equals_srmrpy(clip):
    srmrpy = pytest.importorskip("srmrpy", reason="SRMRpy is not installed", exc_type=ImportError)
    _, energy = srmrpy.srmr(clip, 16000, n_cochlear_filters=60, min_cf=4, max_cf=128, fast=True, norm=False)
    np.testing.assert_allclose(modulation_spectrogram(clip), energy.mean(axis=2), rtol=1e-9)
