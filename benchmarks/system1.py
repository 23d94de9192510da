"""System 1's cost: milliseconds a clip by stage, against the same written plainly; workers; detector; start.

    python benchmarks/system1.py [--clips N] [--repeats N]

Each repeat times ours and the plain way on the same clip, one right after the other, on one thread;
a ratio is the median over these pairs, so that a slow spell of the machine falls on both. The plain
way is tests/plain.py: gammatone's fft_gtgram, scipy's lfilter channel by channel, framed energies,
and a noise gate on librosa that computes its noise statistics a clip, as noisereduce 1.1.0 does.

The floor is the time of the Fourier transforms alone that no way round leaves out: of the gate's
frames, there and back, and of the gammatonegram's frames. It is measured twice, as scipy does them in
blocks that stay in cache, and as asd.fft does.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import librosa
import numpy as np
import scipy.fft
from numba import njit
from tqdm import tqdm

from asd import audio, fft, modspec, noisegate, synth
from asd.detectors import GraphClusters
from asd.parallel import ClipMap
from asd.systems import ModspecGraph

REPO = Path(__file__).resolve().parents[1]
SCRIPTS = REPO / "bin" / "modspec_graph"
sys.path.insert(0, str(REPO / "tests"))

import plain

STAGES = ("reading", "gate", "gammatonegram", "modulation filters", "whole")


def timed(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def stages_of_ours(path, threshold):
    whole, _ = timed(
        lambda: modspec.modulation_spectrogram(
            noisegate.reduce_noise(audio.read(path, min_samples=modspec.MIN_SAMPLES), threshold)
        )
    )
    reading, samples = timed(lambda: audio.read(path))
    gate, gated = timed(lambda: noisegate.reduce_noise(samples, threshold))
    bands, _ = timed(lambda: modspec.gammatonegram(gated))
    both, _ = timed(lambda: modspec.modulation_spectrogram(gated))
    return reading, gate, bands, both - bands, whole


def stages_of_the_plain_way(path, noise):
    reading, samples = timed(lambda: librosa.load(path, sr=None, dtype=np.float64)[0])
    gate, gated = timed(lambda: plain.noise_gate(samples, noise))
    bands, envelopes = timed(lambda: plain.gammatonegram(gated))
    filters, _ = timed(lambda: plain.modulation_energy(envelopes))
    return reading, gate, bands, filters, reading + gate + bands + filters


def library_floor(n_samples):
    """scipy's transforms of a clip's frames, float32."""
    gate_frames, frames = 1 + (n_samples + noisegate.HOP) // noisegate.HOP, 1 + (n_samples - modspec.FRAME) // 40
    of_gate, of_bands = np.ones((64, noisegate.FRAME), np.float32), np.ones((128, modspec.FRAME), np.float32)
    for _ in range(gate_frames // len(of_gate)):
        scipy.fft.irfft(scipy.fft.rfft(of_gate, axis=1), noisegate.FRAME, axis=1)
    for _ in range(frames // len(of_bands)):
        scipy.fft.rfft(of_bands, axis=1)


@njit
def transforms(x, y, root_re, root_im, lengths, n_blocks):
    """Passes of asd.fft at these lengths; the one of radix 4 that 2048 takes besides is left out."""
    for _ in range(n_blocks):
        for length in lengths:
            fft.pass_8(x, y, root_re, root_im, length)
        fft.last_pass_8(y, x, 0, root_re)


def our_floor(n_samples):
    """The passes of asd.fft over a clip's frames, two a lane, float32."""
    for n, hop, lengths, times in ((noisegate.FRAME, 512, (512, 64), 2), (modspec.FRAME, 40, (512, 64), 1)):
        x, y = np.zeros((2, n * fft.ROW), np.float32)
        n_blocks = times * (n_samples // hop // fft.ROW)
        transforms(x, y, *fft.roots_of_unity(n, np.float32), np.array(lengths), n_blocks)


def compare_stages(paths, repeats):
    noise = noisegate.noise_clip(audio.read(path) for path in paths)
    threshold = noisegate.noise_threshold(noise)
    stages_of_ours(paths[0], threshold)
    stages_of_the_plain_way(paths[0], noise)
    n_samples = audio.read(paths[0]).size
    library_floor(n_samples)
    our_floor(n_samples)
    pairs, floors = [], []
    for i in tqdm(range(repeats), desc="stages", unit="clip"):
        path = paths[i % len(paths)]
        pairs.append((stages_of_ours(path, threshold), stages_of_the_plain_way(path, noise)))
        floors.append([timed(lambda f=f: f(n_samples))[0] for f in (library_floor, our_floor)])
    ours, theirs = 1e3 * np.array(pairs).transpose(1, 0, 2)
    print(f"{'ms a 10 s clip, one core':<26}{'ours':>8}{'plain':>9}{'plain / ours':>15}")
    for name, a, b in zip(STAGES, ours.T, theirs.T, strict=True):
        print(f"{name:<26}{np.median(a):>8.2f}{np.median(b):>9.2f}{np.median(b / a):>15.1f}")
    for name, floor in zip(("scipy", "asd.fft"), 1e3 * np.array(floors).T, strict=True):
        print(
            f"Fourier transforms alone, {name}: {np.median(floor):.2f} ms; ours {np.median(ours[:, -1] / floor):.2f} x"
        )


def compare_workers(paths, repeats):
    system = ModspecGraph()
    extract = partial(system.extract, frontend=system.learn_frontend(paths))
    items = list(paths) * 20
    maps = ClipMap(1), ClipMap(2)
    for clip_map in maps:
        clip_map(extract, items[:20])
    pairs = [
        [timed(lambda m=clip_map: m(extract, items))[0] for clip_map in maps]
        for _ in tqdm(range(repeats), desc="workers", unit="pair")
    ]
    one, two = 1e3 * np.array(pairs).T / len(items)
    print(
        f"\none worker {np.median(one):.2f} ms a clip, two {np.median(two):.2f}: {np.median(one / two):.2f} times one"
    )


def measure_detector(repeats):
    rng = np.random.default_rng(0)

    def spectra(n):
        return 1e-5 * rng.lognormal(0, 1, (n, 1, 1)) * rng.lognormal(0, 0.3, (n, 60, 8))

    train, test = spectra(1000), spectra(600)
    GraphClusters().fit(train).decision_function(test)
    seconds = [timed(lambda: GraphClusters().fit(train).decision_function(test))[0] for _ in range(repeats)]
    print(f"\ngraph and scores, 1000 training and 600 test clips: {np.median(seconds):.3f} s")
    many = spectra(20000)
    seconds, _ = timed(lambda: GraphClusters().fit(many))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"graph of 20,000 training clips: {seconds:.1f} s, peak memory of this process {peak:.2f} GB")


FIRST_CLIP = """
import multiprocessing, os, sys, time
sys.path.insert(0, sys.argv.pop(1))
from graph_anom_detection import SCRIPT, SYSTEM
from asd import challenge, parallel

def first_result(self, function, items, *rest, run=parallel.ClipMap._run):
    for result in run(self, function, items, *rest):
        if len(items) > 1:  # clips, not the noise clip
            print(time.time(), flush=True)
            for worker in multiprocessing.active_children():
                worker.terminate()
            os._exit(0)
        yield result

parallel.ClipMap._run = first_result
challenge.main(lambda args: SYSTEM, "", SCRIPT, SCRIPT.parents[2])
"""


def measure_start(folder, repeats):
    """Seconds from the call of the script to the end of its first clip, in this process and in workers."""
    for jobs in (1, 2):
        seconds = []
        for i in range(repeats + 1):  # the first one warms numba's cache on disk
            places = ["--data", folder, "--saved", folder / f"saved{jobs}{i}", "--output", folder / "out"]
            command = [sys.executable, "-c", FIRST_CLIP, SCRIPTS, "d", *places, "--jobs", jobs, "--quiet"]
            start = time.time()
            out = subprocess.run([str(word) for word in command], capture_output=True, text=True).stdout
            seconds.append(float(out.split()[0]) - start)
        print(f"start to first clip, --jobs {jobs}: {np.median(seconds[1:]):.2f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=30, help="10 s clips to go through (default: 30)")
    parser.add_argument("--repeats", type=int, default=60, help="pairs of measurements (default: 60)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        synth.write(folder, machines=("fan",), ids=("10",), n_train=args.clips, n_test=2, seconds=10.0)
        paths = sorted((folder / "fan/train").iterdir())
        compare_stages(paths, args.repeats)
        compare_workers(paths, max(5, args.repeats // 8))
        measure_detector(max(5, args.repeats // 8))
        measure_start(folder, 5)


if __name__ == "__main__":
    main()
