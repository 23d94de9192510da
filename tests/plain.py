"""System 1's features written plainly, from parts that PyPI has: the oracle of the tests, and what
benchmarks/system1.py measures against."""

import librosa
import numpy as np
from gammatone.fftweight import fft_gtgram
from scipy.signal import fftconvolve, get_window, lfilter

RATE = 16000


def noise_gate(samples, noise):
    """noisereduce 1.1.0 with its defaults; the statistics of the noise clip are part of the call."""

    def stft(y):
        return librosa.stft(y, n_fft=2048, hop_length=512, pad_mode="reflect")

    def level(spectrum):
        return librosa.amplitude_to_db(np.abs(spectrum), ref=1.0, amin=1e-20, top_db=80.0)

    noise_level = level(stft(noise))
    threshold = noise_level.mean(axis=1) + 1.5 * noise_level.std(axis=1)
    spectrum = stft(np.concatenate([samples, np.zeros(512, samples.dtype)]))
    mask = (level(spectrum) < threshold[:, None]).astype(float)
    smoothing = np.outer([1, 2, 3, 2, 1], [1, 2, 3, 4, 5, 4, 3, 2, 1])
    for _ in range(2):
        mask = fftconvolve(mask, smoothing / smoothing.sum(), mode="same")
    return librosa.istft(spectrum * (1 - mask), hop_length=512)[: samples.size]


def gammatonegram(samples):
    """`(60, n_frames)`"""
    return fft_gtgram(samples, RATE, 0.010, 0.0025, 60, 125)


def modulation_energy(envelopes):
    """`(60, 8)` from `(60, n_frames)`: filter by filter, frame by frame."""
    window = get_window("hamming", 103)
    energy = np.zeros((60, 8))
    for k, frequency in enumerate(4 * 32 ** (np.arange(8) / 7)):
        w = 2 * np.pi * frequency / 400
        big_w = np.tan(w / 2)
        bandwidth = big_w / 2
        b = [bandwidth, 0, -bandwidth]
        a = [1 + bandwidth + big_w**2, 2 * big_w**2 - 2, 1 - bandwidth + big_w**2]
        for j, envelope in enumerate(envelopes):
            y = lfilter(b, a, envelope)
            frames = librosa.util.frame(y, frame_length=103, hop_length=26, axis=0)
            energy[j, k] = np.mean(np.sum((frames * window) ** 2, axis=1))
    return energy


def modulation_spectrogram(samples):
    return modulation_energy(gammatonegram(samples))
