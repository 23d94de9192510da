"""System 4: modulation spectrogram + local reconstruction and sibling discriminant.

The features are System 1's: a clip's steady background is gated out, the rest becomes
a modulation spectrogram, here on a logarithmic scale. A clip is then put together from
its 64 nearest normal clips (weights as in locally linear embedding). What they cannot
make up, compared with what is left of its neighbours when they are put together from
theirs, is the first part of its score. The second is how far the clip leans towards
the other machine ids of its type (Fisher's discriminant), where it does: their normal
clips are recordings of machines that differ, as a machine differs from itself once it
is broken. System 2's score adds a second view, with half the weight, where its
i-vectors are cached or can be made from WAVs. All parts are in standard deviations of
normal training clips, so a clip's score does not depend on the other test clips.

How this was chosen among the candidates, by which labels, and what the others reach:
docs/accuracy.md.

folders:
  <data>/<machine>/train/normal_id_00_00000000.wav ...
  <data>/<machine>/test/{normal,anomaly}_id_00_00000000.wav ...    d
  <data>/<machine>/test/id_01_00000000.wav ...                     e
  <saved> is System 1's, <saved-ivectors> System 2's; what is cached there needs no WAV.
  Training spectra of further ids in <saved> serve as other machines.
  With eval_data_list.csv (the official ground truth) in <data>, e gives AUC too.

example:
  sh download_dev_data.sh fan
  python bin/local_reconstruction/local_reconstruction.py d --machines fan
"""

import sys
from pathlib import Path

from asd import challenge
from asd.systems import LocalReconstruction

SCRIPT = Path(__file__).resolve()
REPO = SCRIPT.parents[2]


def add_arguments(parser):
    group = parser.add_argument_group("views")
    group.add_argument(
        "--saved-ivectors",
        type=Path,
        metavar="DIR",
        default=REPO / "saved_iVectors" / "ivector_mfcc_100",
        help="cache of System 2's i-vectors (default: saved_iVectors/ivector_mfcc_100 of the repo)",
    )
    group.add_argument(
        "--spectra-only", action="store_true", help="modulation spectra alone, without i-vectors: several times faster"
    )


def system(args):
    return LocalReconstruction(ivectors=None if args.spectra_only else args.saved_ivectors)


def saved(args):
    return REPO / "bin" / "modspec_graph" / "saved"


SAVED_HELP = "System 1's, bin/modspec_graph/saved of the repo"


def main(argv=None):
    return challenge.main(system, __doc__, SCRIPT, REPO, argv, saved=(saved, SAVED_HELP), add_arguments=add_arguments)


if __name__ == "__main__":
    sys.exit(main())
