"""System 3: ensemble of Systems 1 and 2.

Reads the scores that the other two scripts wrote and fuses them clip by clip, matched
by name. By the published rule each system's scores of a machine id are brought to 0
to 1 over its test clips, and multiplied. With --fusion calibrated a score is instead
the mean of the two systems' scores in standard deviations above those of normal
training clips: it is the same for a clip alone and in any set; use it for anything but
a comparison with the paper.

Tiwari et al., "Modulation spectral signal representation and i-vectors for
anomalous sound detection", DCASE 2020 Challenge Task 2, technical report.

folders:
  <scores>/{dev,eval}/modspec_graph/anomaly_score_<machine>_id_<II>.csv     of System 1
  <scores>/{dev,eval}/iVectors_gmm/anomaly_score_<machine>_id_<II>.csv      of System 2
  With eval_data_list.csv (the official ground truth) in <data>, e gives AUC too;
  WAVs in <data> can be listened to in the report. Nothing else is needed there.

example:
  python bin/modspec_graph/graph_anom_detection.py d
  python bin/iVectors_gmm/gmm.py d
  python bin/ensemble/ens.py d
"""

import sys
from pathlib import Path

from asd import challenge
from asd.systems import Ensemble

SCRIPT = Path(__file__).resolve()


def add_arguments(parser):
    group = parser.add_argument_group("fusion")
    group.add_argument(
        "--fusion",
        choices=("published", "calibrated"),
        default="published",
        help="published: product of scores normalised over the test clips (default); calibrated: mean of scores "
        "normalised by training clips, which holds for a single clip too",
    )
    group.add_argument(
        "--scores",
        type=Path,
        metavar="DIR",
        help="folder that holds {dev,eval}/<system>/ (default: individual_scores of --output, else beside this script)",
    )


def system(args):
    return Ensemble(fusion=args.fusion)


def main(argv=None):
    return challenge.main(system, __doc__, SCRIPT, SCRIPT.parents[2], argv, add_arguments=add_arguments, features=False)


if __name__ == "__main__":
    sys.exit(main())
