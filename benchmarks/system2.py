"""System 2's cost: EM iteration, extraction and MFCC against plain loops; a machine id from WAV to scores.

    python benchmarks/system2.py [--clips N] [--repeats N]

Each repeat times ours and the plain way (tests/plain.py: a loop over clips and components of the
same formulas) one right after the other, on one thread; a ratio is the median over these pairs. The
plain EM iteration runs on 50 of the 1000 clips and is multiplied up, being linear in them.
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
from pathlib import Path

import numpy as np
from tqdm import tqdm

from asd import audio, synth
from asd.ivector import UBM, IVectorExtractor, Statistics, TotalVariability
from asd.mfcc import mfcc

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "tests"))

import plain

N_COMPONENTS, N_FEATURES, DIM, N_TRAIN, N_TEST = 64, 42, 100, 1000, 600
PART = 50  # the plain loops see so many clips


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare(name, unit, ours, theirs, repeats, factor=1, scale=1e3):
    ours(), theirs()
    pairs = np.array([(timed(ours), factor * timed(theirs)) for _ in tqdm(range(repeats), desc=name)])
    ratio = np.median(pairs[:, 1] / pairs[:, 0])
    ours, theirs = scale * np.median(pairs, axis=0)
    print(f"{name:<46}{ours:>9.2f}{theirs:>10.2f} {unit}{ratio:>8.1f}")


def compare_parts(clip, repeats):
    rng = np.random.default_rng(0)
    n = rng.gamma(1, 10, (N_TRAIN, N_COMPONENTS))
    f = rng.standard_normal((N_TRAIN, N_COMPONENTS, N_FEATURES)) * np.sqrt(n)[:, :, None]
    variances = np.ones((N_COMPONENTS, N_FEATURES))
    model = TotalVariability(0.1 * rng.standard_normal((N_COMPONENTS, N_FEATURES, DIM)), variances)
    stats = Statistics(n, f, np.ones_like(variances) * n.sum(axis=0)[:, None])
    ubm = UBM(np.full(N_COMPONENTS, 1 / N_COMPONENTS), np.zeros_like(variances), variances)
    extractor = IVectorExtractor(N_COMPONENTS, DIM, ubm=ubm)
    extractor.ubm_, extractor.model_ = ubm, model
    few = Statistics(n[:PART], f[:PART], stats.v)
    print(f"{'one core':<46}{'ours':>9}{'plain':>10}{'plain / ours':>15}")
    compare(
        f"EM iteration, {N_COMPONENTS} x {N_FEATURES}, rank {DIM}, {N_TRAIN} clips",
        "s ",
        lambda: model.expectation_maximisation(stats),
        lambda: plain.em_iteration(model.t, variances, n[:: N_TRAIN // PART], f[:: N_TRAIN // PART]),
        repeats,
        factor=N_TRAIN / PART,
        scale=1,
    )
    compare(
        f"i-vectors of {PART} clips from statistics",
        "ms",
        lambda: extractor.transform_statistics(few),
        lambda: plain.ivectors(model.t, variances, few.n, few.f),
        repeats,
    )
    samples = audio.read(clip)
    compare(
        "MFCC of a 10 s clip (plain: without deltas)", "ms", lambda: mfcc(samples), lambda: plain.mfcc(samples), repeats
    )


def measure_an_id(folder, n_clips):
    """The script on one machine id: 1000 training and 600 test clips of 10 s, links to a few different ones."""
    synth.write(folder / "few", machines=("fan",), ids=("10",), n_train=n_clips, n_test=n_clips // 2, seconds=10.0)
    for split, total, prefix in (
        ("train", N_TRAIN, "normal"),
        ("test", N_TEST // 2, "normal"),
        ("test", N_TEST // 2, "anomaly"),
    ):
        source = sorted((folder / "few/fan" / split).glob(f"{prefix}_*"))
        target = folder / "data/fan" / split
        target.mkdir(parents=True, exist_ok=True)
        for i in range(total):
            os.link(source[i % len(source)], target / f"{prefix}_id_10_{i:08d}.wav")
    places = ["--data", folder / "data", "--saved", folder / "saved", "--output", folder / "out"]
    options = ["--components", N_COMPONENTS, "--jobs", 2]
    command = [str(word) for word in (sys.executable, REPO / "bin/iVectors_gmm/gmm.py", "d", *places, *options)]
    seconds = timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
    print(f"{N_TRAIN} training and {N_TEST} test clips of 10 s from WAV to scores, {N_COMPONENTS} components,")
    print(f"2 workers: {seconds:.1f} s, peak memory of the largest process {peak:.2f} GB\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=60, help="different 10 s clips to go through (default: 60)")
    parser.add_argument("--repeats", type=int, default=7, help="pairs of measurements (default: 7)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        measure_an_id(folder, args.clips)
        compare_parts(next((folder / "few/fan/train").iterdir()), args.repeats)


if __name__ == "__main__":
    main()
