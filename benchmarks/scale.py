"""How time and memory grow: detectors on synthetic spectra, the feature pipeline on clips read again and again.

    python benchmarks/scale.py [--spectra N ...] [--clips N ...] [--jobs N]

Every line is a process of its own, so that its peak memory is that of the line; of the pipeline it
is that of the largest worker.
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

import numpy as np

from asd import synth
from asd.parallel import ClipMap, available_cores
from asd.systems import ModspecGraph

TEST = 100  # spectra that are scored


def peak(_=None):
    """Peak memory of this process, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "linux" else 1024**3)


def spectra(n):
    rng = np.random.default_rng(0)
    made = rng.lognormal(0, 0.3, (n, 60, 8))
    made *= 1e-5 * rng.lognormal(0, 1, (n, 1, 1))
    return made


def measure_detector(n, jobs):
    from asd import detectors
    from asd.graph import nearest_neighbours

    made = spectra(n + TEST)
    X, test = made[:n], made[n:]
    nearest_neighbours(X[:100].reshape(100, -1))  # compiles
    before, start = peak(), time.perf_counter()
    neighbours = nearest_neighbours(X.reshape(n, -1), n_jobs=jobs)
    graph, start, after_graph = time.perf_counter() - start, time.perf_counter(), peak()
    detectors.nearest_neighbours = lambda X, n_jobs: neighbours
    detector = detectors.GraphClusters().fit(X)
    clusters, start = time.perf_counter() - start, time.perf_counter()
    detector.decision_function(test)
    score = 1e3 * (time.perf_counter() - start) / TEST
    print(
        f"{n:>9} spectra, {before:.2f} GB: graph {graph:.2f} s, {after_graph:.2f} GB; {len(detector.means_)} clusters "
        f"{clusters:.2f} s, {peak():.2f} GB; {score:.2f} ms a score"
    )


def measure_pipeline(folder, n, jobs):
    system = ModspecGraph()
    paths = sorted((Path(folder) / "fan/train").iterdir())
    extract = partial(system.extract, frontend=system.learn_frontend(paths))
    clip_map = ClipMap(jobs)
    clip_map(extract, paths[: 4 * jobs])  # starts the workers
    start = time.perf_counter()
    features = np.array(clip_map(extract, [paths[i % len(paths)] for i in range(n)]))
    seconds = time.perf_counter() - start
    worker = max(clip_map(peak, range(64), batch=1))
    print(
        f"{n:>9} clips: {seconds:8.2f} s, {1e3 * seconds / n:.2f} ms a clip, {worker:.2f} GB the largest worker, "
        f"{peak():.2f} GB this process, {features.nbytes / 1e6:.1f} MB of features"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spectra", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--clips", type=int, nargs="*", default=[100, 1000, 10_000])
    parser.add_argument("--jobs", type=int, default=available_cores())
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        what, n, folder = args.step
        if what == "detector":
            measure_detector(int(n), args.jobs)
        else:
            measure_pipeline(folder, int(n), args.jobs)
        return
    with tempfile.TemporaryDirectory() as folder:
        if args.clips:
            synth.write(folder, machines=("fan",), ids=("10",), n_train=30, n_test=2, seconds=10.0)
        for what, sizes in (("detector", args.spectra), ("pipeline", args.clips)):
            for n in sizes:
                step = [sys.executable, __file__, "--jobs", str(args.jobs), "--step", what, str(n), folder]
                subprocess.run(step, check=True)


if __name__ == "__main__":
    main()
