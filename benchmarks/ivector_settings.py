"""What chose System 2's defaults: AUC and pAUC over settings of the extractor and scales, by machine type.

    python benchmarks/ivector_settings.py DATA... [--seeds N] [--jobs N]

DATA are folders in the DCASE 2020 development layout, e.g. demo/dev_data after `sh demo.sh`. Prints
CSV: a line a setting, scale and machine type, means and minima over machine ids and seeds.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import csv
import sys
import warnings
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from asd import audio, dataset
from asd.detectors import GaussianMixtureDetector
from asd.ivector import IVectorExtractor
from asd.metrics import auc, pauc
from asd.mfcc import mfcc

SCALES = (1.0, 1e-2, 1e-3, 1e-4)
DEFAULT = {"n_components": 32, "n_iter": 10, "ubm": "id", "n_mels": 40, "first_cepstrum": 0, "delta_width": 9}
CHANGES = [
    {},
    *({"n_components": n} for n in (16, 64, 128)),
    *({"n_iter": n} for n in (5, 20)),
    {"ubm": "machine"},
    {"ubm": "machine", "n_components": 64},
    {"first_cepstrum": 1},
    {"n_mels": 26, "first_cepstrum": 1},
    {"delta_width": 5},
]


def figures(ids, settings, seed):
    """Dict of scale -> list of (AUC, pAUC), one a machine id; ids are of one machine type."""
    warnings.simplefilter("ignore")
    frames_of = partial(mfcc, **{name: settings[name] for name in ("n_mels", "first_cepstrum", "delta_width")})
    frames = {c.path: frames_of(audio.read(c.path)) for clips in ids for c in clips.train + clips.test}

    def learn(clips):
        extractor = IVectorExtractor(settings["n_components"], n_iter=settings["n_iter"], random_state=seed)
        return extractor.fit([frames[c.path] for c in clips])

    shared = learn([c for clips in ids for c in clips.train]) if settings["ubm"] == "machine" else None
    found = defaultdict(list)
    for clips in ids:
        extractor = shared or learn(clips.train)
        train, test = (extractor.transform([frames[c.path] for c in split]) for split in (clips.train, clips.test))
        labels = [c.label for c in clips.test]
        for scale in SCALES:
            scores = GaussianMixtureDetector(scale=scale).fit(train).decision_function(test)
            found[scale].append((auc(labels, scores), pauc(labels, scores)))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path, help="folders in the development layout")
    parser.add_argument("--seeds", type=int, default=1, help="random states 0 to N - 1 (default: 1)")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes (default: 2)")
    args = parser.parse_args()
    types = defaultdict(list)
    for clips in (clips for root in args.data for clips in dataset.scan(root, "d") if not clips.missing):
        types[clips.machine].append(clips)
    jobs = [(change, m, seed) for change in CHANGES for m in types for seed in range(args.seeds)]
    calls = (delayed(figures)(types[machine], DEFAULT | change, seed) for change, machine, seed in jobs)
    results = Parallel(args.jobs, return_as="generator")(calls)
    pooled = defaultdict(list)
    for (change, machine, _), found in zip(tqdm(jobs, unit="fit"), results, strict=True):
        for scale, pairs in found.items():
            pooled[str(change or "defaults"), scale, machine] += pairs
    table = csv.writer(sys.stdout)
    table.writerow(("change", "scale", "machine", "AUC", "pAUC", "min AUC", "min pAUC"))
    for key, pairs in pooled.items():
        table.writerow((*key, *np.mean(pairs, axis=0).round(4), *np.min(pairs, axis=0).round(4)))


if __name__ == "__main__":
    main()
