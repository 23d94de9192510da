"""What it costs to watch a machine: scoring on one core, a model of 1000 clips, loading it.

    python benchmarks/monitoring.py [--clips N] [--seconds S] [--systems NAME ...]

Synthetic clips of one machine, 10 s each as in the challenge. The model of 1000 clips is fitted on shorter
ones, which changes neither its size nor its loading. Scores are of files, from opening to judgement,
after a first one.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import soundfile

from asd import synth
from asd.audio import RATE
from asd.model import Model
from asd.systems import SYSTEMS

N_LARGE = 1000


def write(folder, n, seconds):
    folder.mkdir()
    for i in range(n):
        soundfile.write(folder / f"{i:04d}.wav", synth.clip("pump", "00", i, seconds=seconds), RATE, subtype="PCM_16")
    return sorted(folder.iterdir())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=60, help="clips that are scored (default: 60)")
    parser.add_argument("--seconds", type=float, default=10.0, help="their length (default: 10)")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS, help="default: all")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        clips = write(folder / "clips", args.clips, args.seconds)
        many = write(folder / "many", N_LARGE, 0.5)
        print(f"{'system':15} {'clips/s':>8} {'slowest':>9} {'fit of 1000':>12} {'size':>8} {'load':>8}")
        for system in args.systems:
            model = Model.fit(clips[:20], system, jobs=1)
            model.score_file(clips[0])
            times = []
            for path in clips:
                started = time.perf_counter()
                model.score_file(path)
                times.append(time.perf_counter() - started)
            started = time.perf_counter()
            large = Model.fit(many, system, jobs=1)
            fitted = time.perf_counter() - started
            large.save(folder / "large.asd")
            loads = []
            for _ in range(5):
                started = time.perf_counter()
                Model.load(folder / "large.asd")
                loads.append(time.perf_counter() - started)
            size = (folder / "large.asd").stat().st_size / 1e6
            print(
                f"{system:15} {1 / np.median(times):8.1f} {1000 * max(times):6.1f} ms {fitted:10.1f} s "
                f"{size:5.1f} MB {np.median(loads):6.3f} s"
            )


if __name__ == "__main__":
    main()
