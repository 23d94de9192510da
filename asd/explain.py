"""Why a clip scored as it did: maps of its features beside what is normal, and a sentence.

Conventions: a map's rows run from low to high frequency; frequencies are in Hz, times in s, levels
in dB. What is drawn here is data; `report.py` draws it.
"""

from dataclasses import dataclass

import numpy as np

FLOOR = 1e-20  # power below which no level is taken
N_REGIONS = 3  # regions that the sentence names, at most
MIN_SHARE = 0.02  # of the score, for a region after the first to be named
DYNAMIC_RANGE = 60  # dB, of a spectrogram as it is drawn
COLUMNS = 160  # a spectrogram has at most this many: more than a page shows


@dataclass(frozen=True)
class Map:
    """Values over two axes.

    `values` is `(len(y), len(x))`, `x` and `y` are the centres of columns and rows, `limits` the
    ends of the colour scale; `signed` says that 0 is the middle of the scale, `over_time` that the
    columns follow each other in time.
    """

    title: str
    values: np.ndarray
    x: np.ndarray
    y: np.ndarray
    x_label: str
    y_label: str
    unit: str
    limits: tuple[float, float]
    signed: bool = False
    over_time: bool = False


@dataclass(frozen=True)
class Curve:
    """`y`, `(n,)`, over `x`, `(n,)`."""

    title: str
    x: np.ndarray
    y: np.ndarray
    x_label: str
    y_label: str


@dataclass(frozen=True)
class Explanation:
    """A sentence or two, and what to look at."""

    text: str
    panels: tuple


def cluster_distance(spectrum, mean, scale, acoustic, modulation):
    """Explanation of a clip's distance to its nearest cluster, `sum |x - mean| / scale`.

    Parameters
    ----------
    spectrum, mean, scale : (n_acoustic, n_modulation) arrays
        The clip's modulation spectrogram, the cluster's mean and its scale.
    acoustic, modulation : (n_acoustic,) and (n_modulation,) arrays
        Centre frequencies of the channels, Hz.

    Returns
    -------
    Explanation
        Maps of the clip and the mean, dB, and of the terms of the sum, with the sign of x - mean.
    """
    order = np.argsort(acoustic)
    acoustic = acoustic[order]
    spectrum, mean, scale = (np.reshape(part, (len(order), -1))[order] for part in (spectrum, mean, scale))
    terms = (spectrum - mean) / scale
    levels = [10 * np.log10(np.maximum(part, FLOOR)) for part in (spectrum, mean)]
    low, high = (float(pick(levels)) for pick in (np.min, np.max))
    axes = _axes(acoustic, modulation)
    extreme = float(np.abs(terms).max()) or 1.0
    return Explanation(
        _regions_in_words("Than its cluster it has", terms, acoustic, modulation),
        (
            Map("this clip", levels[0], unit="dB", limits=(low, high), **axes),
            Map("nearest cluster, mean μ", levels[1], unit="dB", limits=(low, high), **axes),
            Map("|x − μ| / σ, its sum is the score", terms, unit="", limits=(-extreme, extreme), signed=True, **axes),
        ),
    )


def reconstruction(spectrum, residual, scale, parts, acoustic, modulation):
    """Explanation of a clip by what similar normal clips cannot make up of it.

    Parameters
    ----------
    spectrum : (n_acoustic, n_modulation) array
        The clip's modulation spectrogram.
    residual : (n_acoustic, n_modulation) array
        What is left of its levels, in standard deviations; its squares sum to the squared error.
    scale : (n_acoustic, n_modulation) array
        Those standard deviations, nepers of energy.
    parts : (float, float)
        What reconstruction and discriminant add to the score.
    acoustic, modulation : (n_acoustic,) and (n_modulation,) arrays
        Centre frequencies of the channels, Hz.

    Returns
    -------
    Explanation
        Maps of the clip and of what similar clips make of it, dB, and of the residual.
    """
    order = np.argsort(acoustic)
    spectrum, residual, scale = spectrum[order], residual[order], scale[order]
    clip = 10 * np.log10(np.maximum(spectrum, FLOOR))
    rebuilt = clip - 10 / np.log(10) * residual * scale
    limits = float(min(clip.min(), rebuilt.min())), float(max(clip.max(), rebuilt.max()))
    axes_of = acoustic[order], modulation
    axes = _axes(*axes_of)
    extreme = float(np.abs(residual).max()) or 1.0
    shares = np.sign(residual) * residual**2
    text = _regions_in_words("Than similar normal clips it has", shares, *axes_of, whole="what they cannot make up")
    added = f"Reconstruction adds {parts[0]:.1f} to the score, leaning towards other machines {parts[1]:.1f}."
    left = {"unit": "", "limits": (-extreme, extreme), "signed": True, **axes}
    return Explanation(
        f"{text} {added}",
        (
            Map("this clip", clip, unit="dB", limits=limits, **axes),
            Map("the same, made of similar normal clips", rebuilt, unit="dB", limits=limits, **axes),
            Map("what they cannot make up, standard deviations", residual, **left),
        ),
    )


def _axes(acoustic, modulation):
    labels = {"x_label": "modulation frequency, Hz", "y_label": "acoustic frequency, Hz"}
    return {"x": modulation, "y": acoustic, **labels}


def _regions_in_words(start, terms, acoustic, modulation, whole="the score"):
    """The largest contributions to a whole: runs of acoustic channels in one modulation channel."""
    left, total = np.abs(terms), np.abs(terms).sum()
    if not total > 0:
        return "Equal to what is normal."
    phrases = []
    for _ in range(N_REGIONS):
        peak, column = np.unravel_index(np.argmax(left), left.shape)
        sign = np.sign(terms[peak, column])
        part = (np.sign(terms[:, column]) == sign) & (left[:, column] >= left[peak, column] / 2)
        first, last = peak, peak
        while first > 0 and part[first - 1]:
            first -= 1
        while last < len(part) - 1 and part[last + 1]:
            last += 1
        share = left[first : last + 1, column].sum() / total
        if phrases and share < MIN_SHARE:
            break
        band = _hertz(acoustic[first]) if first == last else f"{_hertz(acoustic[first])} to {_hertz(acoustic[last])}"
        kind = "more" if sign > 0 else "less"
        what = f"{kind} {_hertz(modulation[column])} modulation at {band} ({100 * share:.0f} % of {whole})"
        phrases.append((share, what))
        left[first : last + 1, column] = 0
    ordered = sorted(phrases, key=lambda phrase: -phrase[0])
    return f"{start} {', '.join(what for _, what in ordered)}."


def _hertz(frequency):
    return f"{frequency / 1000:.1f} kHz" if frequency >= 1000 else f"{frequency:.0f} Hz"


def frame_likelihood(log_mel, log_likelihood, mel, hop):
    """Explanation of a clip by its frames: the log-mel spectrogram and how likely each frame is.

    Parameters
    ----------
    log_mel : (n_frames, n_mels) array
        Natural logarithms of power.
    log_likelihood : (n_frames,) array or None
        Of each frame under the UBM; None where there is no UBM.
    mel : (n_mels,) array
        Centre frequencies, Hz.
    hop : float
        Time from frame to frame, s.

    Returns
    -------
    Explanation
        A map, dB, and, where there is a UBM, a curve; averaged to at most `COLUMNS` columns.
    """
    step = -(-len(log_mel) // COLUMNS)
    starts = np.arange(0, len(log_mel), step)
    times = (starts + (step - 1) / 2) * hop

    counts = np.diff(np.append(starts, len(log_mel)))
    levels = 10 / np.log(10) * np.add.reduceat(log_mel, starts).T / counts
    high = float(levels.max())
    limits = max(float(levels.min()), high - DYNAMIC_RANGE), high
    spectrogram = Map(
        "log-mel spectrogram", levels, times, mel, "time, s", "frequency, Hz", "dB", limits, over_time=True
    )
    if log_likelihood is None:
        return Explanation("The UBM that made its i-vector is not known.", (spectrogram,))
    curve = np.add.reduceat(log_likelihood, starts) / counts
    text = (
        f"The UBM of normal sound finds its frames least likely at {times[np.argmin(curve)]:.1f} s. "
        "The score itself is that of the clip's i-vector, which sums up all frames."
    )
    title = "log-likelihood of its frames under the UBM"
    return Explanation(text, (spectrogram, Curve(title, times, curve, "time, s", "log-likelihood")))
