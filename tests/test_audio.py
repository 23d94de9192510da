"""A clip is read as it is, mended with a warning, or refused with its name and the reason."""

import os

import numpy as np
import pytest
import soundfile
from conftest import write_wav

from asd.audio import RATE, AudioError, ChannelsWarning, ResampledWarning, read


@pytest.fixture
def tone():
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)


def test_samples_of_a_16_bit_wav_are_exact(tmp_path, rng):
    values = rng.integers(-(2**15), 2**15, 5000, dtype=np.int16)
    samples = read(write_wav(tmp_path / "a.wav", values))
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples * 2**15, values)


@pytest.mark.parametrize(
    "options", [{"format": "FLAC"}, {"subtype": "FLOAT"}, {"subtype": "PCM_24"}, {"format": "RF64"}]
)
def test_other_formats_are_read(tmp_path, tone, options):
    np.testing.assert_allclose(read(write_wav(tmp_path / "a.wav", tone, **options)), tone, atol=1e-4)


def test_another_rate_is_resampled(tmp_path):
    t = np.arange(44100) / 44100
    path = write_wav(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * t), 44100)
    with pytest.warns(ResampledWarning, match="44100 Hz"):
        samples = read(path)
    assert samples.size == RATE
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    np.testing.assert_allclose(samples[500:-500], expected[500:-500], atol=1e-3)


def test_one_of_several_channels_is_read(tmp_path, tone):
    path = write_wav(tmp_path / "a.wav", np.stack([tone, -tone], axis=1))
    with pytest.warns(ChannelsWarning, match="2 channels"):
        np.testing.assert_allclose(read(path), tone, atol=1e-4)
    with pytest.warns(ChannelsWarning):
        np.testing.assert_allclose(read(path, channel=1), -tone, atol=1e-4)
    with pytest.raises(AudioError, match="no channel 2"):
        read(path, channel=2)


def truncated(path, tone):
    write_wav(path, tone)
    os.truncate(path, path.stat().st_size // 2)


def truncated_in_the_header(path, tone):
    write_wav(path, tone)
    os.truncate(path, 30)


def truncated_rifx(path, tone):
    write_wav(path, tone, endian="BIG")
    os.truncate(path, path.stat().st_size // 2)


def truncated_rf64(path, tone):
    write_wav(path, tone, format="RF64")
    os.truncate(path, path.stat().st_size // 2)


def truncated_flac(path, tone):
    write_wav(path, np.random.default_rng(0).uniform(-0.5, 0.5, 40000), format="FLAC")
    os.truncate(path, path.stat().st_size // 2)


BROKEN = {
    "empty file": lambda path, tone: path.write_bytes(b""),
    "not a readable sound file": lambda path, tone: path.write_bytes(b"this is no sound" * 100),
    "truncated: .* bytes": truncated,
    "truncated": truncated_in_the_header,
    "truncated|not a readable": truncated_flac,
    "truncated: .* bytes.*": truncated_rifx,
    "truncated: .* bytes.* ": truncated_rf64,
    "a sample rate of 1 Hz": lambda path, tone: write_wav(path, tone, 1),
    "beyond": lambda path, tone: write_wav(path, 1e25 * tone, subtype="FLOAT"),
    "no samples": lambda path, tone: write_wav(path, tone[:0]),
    "NaN, infinite": lambda path, tone: write_wav(path, np.where(tone > 0.4, np.nan, tone), subtype="FLOAT"),
    "NaN, infinite.*": lambda path, tone: write_wav(path, np.where(tone > 0.4, np.inf, tone), subtype="FLOAT"),
    "too short: 800 samples": lambda path, tone: write_wav(path, tone[:800]),
    "cannot be read.*No such file": lambda path, tone: None,
    "cannot be read.*directory": lambda path, tone: path.mkdir(),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_clip_is_refused_by_name_and_reason(tmp_path, tone, reason):
    path = tmp_path / "broken.wav"
    BROKEN[reason](path, tone)
    with pytest.raises(AudioError, match=rf"broken\.wav: .*({reason})"):
        read(path, min_samples=1600)


def test_a_wav_written_to_a_pipe_is_read(tmp_path, tone):
    path = write_wav(tmp_path / "a.wav", tone)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = content[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    np.testing.assert_allclose(read(path), tone, atol=1e-4)


def test_a_chunk_after_the_samples_is_no_truncation(tmp_path, tone):
    path = write_wav(tmp_path / "a.wav", tone)
    with soundfile.SoundFile(path, "r+") as sound:
        sound.comment = "recorded at the pump"
    path.write_bytes(path.read_bytes() + b"LIST\x04\x00\x00\x00INFO")
    assert read(path).size == tone.size
