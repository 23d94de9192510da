"""The methods written plainly, from parts that PyPI has: the oracle of the tests, and what the
benchmarks measure against."""

import librosa
import numpy as np
from gammatone.fftweight import fft_gtgram
from scipy.fft import dct
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


def mfcc(samples):
    """`(n_frames, 14)`: 13 cepstra from c0 and the log energy, frame by frame."""
    samples = samples * 10 ** (-26 / 20) / np.sqrt(np.mean(samples**2))
    samples = np.concatenate([samples[:1], samples[1:] - 0.95 * samples[:-1]])
    filters = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=40, norm=None, dtype=float)
    rows = []
    for start in range(0, samples.size - 480 + 1, 240):
        frame = samples[start : start + 480] * get_window("hamming", 480)
        log_mel = np.log(np.maximum(filters @ np.abs(np.fft.rfft(frame, 512)) ** 2, 1e-10))
        rows.append([*dct(log_mel, norm="ortho")[:13], np.log(max(np.sum(frame**2), 1e-10))])
    return np.array(rows)


def ivectors(t, covariance, n, f):
    """`(U, R)` i-vectors and `(U, R, R)` second moments E[w w'], clip by clip, component by component."""
    w, second = [], []
    for n_clip, f_clip in zip(n, f, strict=True):
        precision, projected = np.eye(t.shape[2]), np.zeros(t.shape[2])
        for n_c, f_c, t_c, s_c in zip(n_clip, f_clip, t, covariance, strict=True):
            precision += n_c * (t_c.T / s_c) @ t_c
            projected += (t_c.T / s_c) @ f_c
        inverse = np.linalg.inv(precision)
        w.append(inverse @ projected)
        second.append(inverse + np.outer(w[-1], w[-1]))
    return np.array(w), np.array(second)


def em_iteration(t, covariance, n, f):
    """The next T, `(C, D, R)`, by sums over clips."""
    w, second = ivectors(t, covariance, n, f)
    new = np.empty_like(t)
    for c in range(len(t)):
        moments, projected = np.zeros((t.shape[2],) * 2), np.zeros(t.shape[1:])
        for u in range(len(n)):
            moments += n[u, c] * second[u]
            projected += np.outer(f[u, c], w[u])
        new[c] = projected @ np.linalg.inv(moments)
    return new
