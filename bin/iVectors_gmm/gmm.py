"""System 2: MFCC i-vectors + Gaussian mixture.

A clip becomes frames of 13 MFCC and the log energy with deltas and double deltas. A
universal background model (UBM) and a total variability matrix, trained on the
normal clips of a machine id, turn a clip's frames into one i-vector of 100 numbers.
A Gaussian mixture with ten full components is fitted to the training i-vectors; a
test clip's score is its negative log-likelihood.

Tiwari et al., "Modulation spectral signal representation and i-vectors for
anomalous sound detection", DCASE 2020 Challenge Task 2, technical report. UBM size,
iterations and scale were not published; docs/ivector_settings.md says how the
defaults were chosen.

folders:
  <data>/<machine>/train/normal_id_00_00000000.wav ...
  <data>/<machine>/test/{normal,anomaly}_id_00_00000000.wav ...    d
  <data>/<machine>/test/id_01_00000000.wav ...                     e
  <saved>/<machine>/{train,test}/<clip>.csv          i-vectors, d: used if there, else made
  <saved>/<machine>/{train_eval,test_eval}/<clip>.csv            , e
  With eval_data_list.csv (the official ground truth) in <data>, e gives AUC too.

example:
  sh download_dev_data.sh fan
  python bin/iVectors_gmm/gmm.py d --machines fan
"""

import argparse
import sys
from pathlib import Path

from asd import challenge, console
from asd.systems import IVectorGMM

SCRIPT = Path(__file__).resolve()
REPO = SCRIPT.parents[2]

COMPONENTS, DIM, ITERATIONS, SCALE = 32, 100, 10, 1e-3


def add_arguments(parser):
    group = parser.add_argument_group("i-vectors")
    group.add_argument(
        "--ubm",
        choices=("id", "machine"),
        help="train a UBM and matrix on a machine id, or on all ids of its machine type (default: id)",
    )
    positive = console.positive
    group.add_argument(
        "--components", type=positive, metavar="N", help=f"components of the UBM (default: {COMPONENTS})"
    )
    group.add_argument(
        "--dim", type=positive, metavar="N", default=DIM, help=f"dimension of the i-vectors (default: {DIM})"
    )
    group.add_argument(
        "--iterations", type=positive, metavar="N", help=f"EM iterations of the matrix (default: {ITERATIONS})"
    )
    group.add_argument("--seed", type=seed, metavar="N", help="of UBM and matrix (default: 0)")
    group.add_argument(
        "--scale",
        type=factor,
        metavar="X",
        default=SCALE,
        help=f"multiplies the i-vectors before the mixture: 1 fits full covariances, {SCALE:g} (default) lets the "
        "mixture behave like the distance to the nearest centroid",
    )


def seed(text):
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2**32 - 1")
    return int(text)


def factor(text):
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1e-12 < value < 1e12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 1e-12 and 1e12")
    return value


def system(args):
    return IVectorGMM(
        n_components=args.components or COMPONENTS,
        dim=args.dim,
        n_iter=args.iterations or ITERATIONS,
        ubm=args.ubm or "id",
        scale=args.scale,
        n_mixtures=10,
        random_state=args.seed or 0,
        asked=[f"--{flag}" for flag in ("ubm", "components", "iterations", "seed") if getattr(args, flag) is not None],
    )


def saved(args):
    return REPO / "saved_iVectors" / f"ivector_mfcc_{args.dim}"


SAVED_HELP = "saved_iVectors/ivector_mfcc_<dim> of the repo"


def main(argv=None):
    return challenge.main(system, __doc__, SCRIPT, REPO, argv, saved=(saved, SAVED_HELP), add_arguments=add_arguments)


if __name__ == "__main__":
    sys.exit(main())
