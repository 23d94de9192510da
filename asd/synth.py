"""A demo data set: six machine types that behave like those of DCASE 2020 Task 2.

Each clip is a machine behind background noise. A machine id has a speed, a size and a colour of its
own; a clip varies them a little, as load and distance do. Anomalies are of degree, not of kind: a
wear in (0, 1] raises what is faint in every clip, such as the modulation of a bearing or the weight
of a missing valve click.

Conventions: samples at 16 kHz, times in seconds, frequencies in Hz, levels as RMS amplitude. A clip
depends on the seed, its machine id and its number only.
"""

import io
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from asd.audio import RATE
from asd.dataset import GROUND_TRUTH, layout_names
from asd.dataset import MACHINES as MACHINE_TYPES
from asd.files import write_atomically
from asd.parallel import ClipMap

IDS = ("10", "11", "12")  # ids that no published figure belongs to
LEVEL = 0.03  # of a machine


def write(
    root,
    mode="d",
    *,
    machines=MACHINE_TYPES,
    ids=IDS,
    n_train=48,
    n_test=24,
    seconds=5.0,
    seed=0,
    jobs=None,
    progress=False,
):
    """Write a data set in the DCASE 2020 layout.

    Parameters
    ----------
    root : str or Path
        Folder to hold `<machine>/train` and `<machine>/test`.
    mode : {"d", "e"}
        Development (labelled test names) or evaluation (test names in random order, and the ground
        truth as the official list gives it).
    machines, ids : sequences of str
        Machine types of 2020 and two-digit ids.
    n_train, n_test : int
        Training clips an id; normal test clips an id, and as many anomalous ones.
    seconds : float
        Length of a clip.
    seed : int
    jobs, progress
        As in :class:`asd.parallel.ClipMap`.

    Raises
    ------
    ValueError
        If a machine type is not one of 2020.
    OSError
        With the file's name, if one cannot be written.
    """
    if unknown := sorted(set(machines) - set(MACHINE_TYPES)):
        raise ValueError(f"no machine type {unknown[0]!r} to synthesise, there are {', '.join(MACHINE_TYPES)}")
    items, truth = [], []
    for machine in machines:
        truth.append((machine,))
        for id in ids:
            labels = [0] * n_test + [1] * n_test
            names = layout_names(id, labels)
            if mode == "e":
                order = _rng(seed, "order", machine, id).permutation(len(labels))
                labelled = [(names[i], labels[i]) for i in order]
                names = [f"id_{id}_{number:08d}.wav" for number in range(len(labels))]
                labels = [label for _, label in labelled]
                truth += [(name, *pair) for name, pair in zip(names, labelled, strict=True)]
            items += [(machine, id, "train", name, 0) for name in layout_names(id, [0] * n_train)]
            items += [(machine, id, "test", name, label) for name, label in zip(names, labels, strict=True)]
    ClipMap(jobs, progress=progress)(partial(_write_clip, Path(root), seconds, seed), items, "writing")
    if mode == "e":
        text = "".join(",".join(map(str, line)) + "\n" for line in truth)
        write_atomically(Path(root) / GROUND_TRUTH, text)


def clip(machine, id, number, *, wear=0.0, seconds=5.0, seed=0):
    """One recording of a machine.

    Parameters
    ----------
    machine : str
        A machine type of 2020.
    id : str
        Two digits: which machine of the type.
    number : int or str
        Which recording of the machine.
    wear : float
        0 (normal) to 1 (worst).
    seconds : float
    seed : int

    Returns
    -------
    (n_samples,) float64 array
    """
    unit = _rng(seed, "unit", machine, id)
    rng = _rng(seed, "clip", machine, id, number)
    t = np.arange(round(seconds * RATE)) / RATE
    sound = _MACHINES[machine](unit, rng, t, wear)
    sound *= LEVEL * rng.lognormal(0, 0.05) / np.sqrt(np.mean(sound**2))
    return sound + _background(rng, t) * LEVEL * 10 ** (-_SNR[machine] / 20)


def _write_clip(root, seconds, seed, item):
    machine, id, split, name, label = item
    wear = _rng(seed, "wear", machine, id, name).uniform(0.3, 1.0) if label else 0.0
    samples = clip(machine, id, f"{split}/{name}", wear=wear, seconds=seconds, seed=seed)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype="PCM_16")
    write_atomically(root / machine / split / name, buffer.getvalue())


def _rng(seed, *words):
    return np.random.default_rng([seed, zlib.crc32("/".join(map(str, words)).encode())])


def _noise(rng, n, tilt=0.0, low=0.0, high=RATE / 2):
    """Noise of unit RMS whose amplitude falls as f**-tilt, within a band with soft edges."""
    f = np.fft.rfftfreq(n, 1 / RATE)
    gain = np.maximum(f, 20.0) ** -tilt
    if low > 0:
        gain *= 1 / (1 + (low / np.maximum(f, 1e-9)) ** 8)
    if high < RATE / 2:
        gain *= 1 / (1 + (f / high) ** 8)
    sound = np.fft.irfft(gain * np.fft.rfft(rng.standard_normal(n)), n)
    return sound / np.sqrt(np.mean(sound**2))


def _turns(rng, t, hz, unsteady=0.003):
    """Turns of a shaft since the start, its speed wandering slowly."""
    wander = np.interp(t, np.linspace(0, t[-1], 6), rng.standard_normal(6))
    return np.cumsum(hz * (1 + unsteady * wander)) / RATE + rng.uniform()


def _harmonics(rng, turns, amplitudes):
    """Sum of sines at the multiples 1, 2, ... of a rotation."""
    phases = rng.uniform(0, 2 * np.pi, len(amplitudes))
    return sum(
        a * np.sin(2 * np.pi * (k + 1) * turns + p) for k, (a, p) in enumerate(zip(amplitudes, phases, strict=True))
    )


def _strikes(t, times, weights, hz, decay):
    """Decaying resonances that begin at the given times."""
    sound = np.zeros(t.size)
    length = min(t.size, round(6 * decay * RATE))
    ring = np.exp(-t[:length] / decay) * np.sin(2 * np.pi * hz * t[:length])
    for time, weight in zip(times, weights, strict=True):
        start = round(time * RATE)
        if 0 <= start < t.size:
            end = min(t.size, start + length)
            sound[start:end] += weight * ring[: end - start]
    return sound


def _background(rng, t):
    """A factory hall: rumble, mains hum, a clank now and then."""
    n_clanks = rng.poisson(t[-1] / 4)
    clanks = _strikes(t, rng.uniform(0, t[-1], n_clanks), rng.lognormal(0, 0.5, n_clanks), rng.uniform(800, 3000), 0.05)
    hum = np.sin(2 * np.pi * 50 * t + rng.uniform(0, 6.3))
    return rng.lognormal(0, 0.2) * _noise(rng, t.size, tilt=0.5) + 0.3 * hum + 1.5 * clanks


def _fan(unit, rng, t, wear):
    """Broadband flow noise with blade harmonics; wear: imbalance, once a turn."""
    shaft, n_blades = unit.uniform(14, 24), unit.integers(5, 9)
    tilt = unit.uniform(0.3, 0.6)
    turns = _turns(rng, t, shaft)
    blades = _harmonics(rng, n_blades * turns, [1, 0.6, 0.3, 0.15])
    imbalance = rng.uniform(0.04, 0.12) + 0.13 * wear
    flow = _noise(rng, t.size, tilt) * (1 + imbalance * np.cos(2 * np.pi * turns))
    return flow + 0.3 * blades


def _pump(unit, rng, t, wear):
    """Shaft harmonics and pulsating flow; wear: a worn bearing rattles, a leak hisses."""
    shaft, vanes = unit.uniform(24, 30), unit.integers(3, 6)
    cage, band = unit.uniform(0.38, 0.45), unit.uniform(2000, 4000)  # a bearing's cage turns slower than the shaft
    turns = _turns(rng, t, shaft)
    pulse = 1 + rng.uniform(0.3, 0.5) * np.cos(2 * np.pi * vanes * turns)
    flow = _noise(rng, t.size, 0.6, low=200) * pulse
    bearing = _noise(rng, t.size, low=band, high=1.3 * band) * (1 + np.cos(2 * np.pi * cage * turns)) ** 2
    hiss = _noise(rng, t.size, low=5000)
    return (
        0.7 * _harmonics(rng, turns, [1, 0.8, 0.5, 0.5, 0.3])
        + flow
        + (rng.uniform(0.05, 0.15) + 0.15 * wear) * bearing
        + (rng.uniform(0.05, 0.1) + 0.05 * wear) * hiss
    )


def _slider(unit, rng, t, wear):
    """Strokes there and back; wear: chatter of a dry rail during a stroke."""
    strokes, chatter = unit.uniform(0.9, 1.5), unit.uniform(25, 45)
    band = unit.uniform(700, 1500)
    phase = _turns(rng, t, strokes, unsteady=0.01) % 1
    moving = np.clip(8 * np.sin(2 * np.pi * phase) ** 2 - 1, 0, 1)
    there = np.where(phase < 0.5, 1.0, unit.uniform(0.5, 0.8))
    depth = rng.uniform(0.1, 0.25) + 0.3 * wear
    rail = _noise(rng, t.size, 0.3, low=band, high=3 * band) * (1 + depth * np.cos(2 * np.pi * chatter * t))
    motor = _harmonics(rng, _turns(rng, t, unit.uniform(90, 130)), [1, 0.4, 0.4])
    return moving * there * (rail + 0.4 * motor) + 0.1 * _noise(rng, t.size)


def _valve(unit, rng, t, wear):
    """Sparse clicks on a pattern; wear: the closing click comes late and weak."""
    period, gap = unit.uniform(0.8, 1.3), unit.uniform(0.15, 0.3)
    opening = np.arange(rng.uniform(0, period), t[-1] + period, period)
    closing = opening + gap * (1 + 0.3 * wear) + rng.normal(0, 0.004, opening.size)
    weights = rng.lognormal(0, 0.08, opening.size)
    weak = weights * np.where(rng.uniform(size=opening.size) < 0.8 * wear, 0.2, 0.7)
    clicks = _strikes(t, opening, weights, unit.uniform(1800, 3200), unit.uniform(0.008, 0.02))
    clicks += _strikes(t, closing, weak, unit.uniform(1000, 1800), unit.uniform(0.008, 0.02))
    return clicks + 0.004 * _noise(rng, t.size, 0.2)


def _toy_car(unit, rng, t, wear):
    """Motor whine with load changes; wear: a bent shaft, the whine swells with the wheels."""
    whine, wheels = unit.uniform(240, 380), unit.uniform(6, 10)
    load = 1 + 0.06 * np.interp(t, np.linspace(0, t[-1], 8), rng.standard_normal(8))
    motor = _turns(rng, t, whine * load)
    swell = 1 + (rng.uniform(0.03, 0.1) + 0.14 * wear) * np.cos(2 * np.pi * wheels * t + rng.uniform(0, 6.3))
    gears = _noise(rng, t.size, 0.4, low=1500) * (1 + 0.3 * np.cos(2 * np.pi * motor))
    return swell * (_harmonics(rng, motor, [1, 0.7, 0.5, 0.4, 0.3, 0.2]) + gears)


def _toy_conveyor(unit, rng, t, wear):
    """Belt motor whine and the belt's joint; wear: a slack belt flutters a little more."""
    whine, joint = unit.uniform(150, 220), unit.uniform(1.2, 2.0)
    load = 1 + 0.03 * np.interp(t, np.linspace(0, t[-1], 10), rng.standard_normal(10))
    flutter = rng.uniform(0.05, 0.25) + 0.35 * wear
    belt = _noise(rng, t.size, 0.5) * (1 + flutter * np.cos(2 * np.pi * 9 * joint * t + rng.uniform(0, 6.3)))
    times = np.arange(rng.uniform(0, 1 / joint), t[-1], 1 / joint)
    thumps = _strikes(t, times, rng.lognormal(0, 0.2, times.size), unit.uniform(300, 600), 0.03)
    return _harmonics(rng, _turns(rng, t, whine * load), [1, 0.8, 0.4, 0.4, 0.2]) + belt + 2 * thumps


_MACHINES = dict(zip(MACHINE_TYPES, (_toy_car, _toy_conveyor, _fan, _pump, _slider, _valve), strict=True))
_SNR = dict(zip(MACHINE_TYPES, (8, 2, 2, 4, 6, 8), strict=True))  # machine to background, dB
