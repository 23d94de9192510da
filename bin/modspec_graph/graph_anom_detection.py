"""System 1: modulation spectrogram + nearest-neighbour graph clusters.

A clip's steady background is gated out against its machine's noise profile, the
mean of the first 100 training clips. What is left becomes a modulation
spectrogram: the energy of 60 gammatone bands (125 Hz - 8 kHz) at 8 modulation
rates (4 - 128 Hz), averaged over the clip. Training clips of a machine id that are
each other's nearest neighbours (L1) form clusters; a test clip's score is its
distance to the nearest cluster, sum of |x - mean| / standard deviation.

Tiwari et al., "Modulation spectral signal representation and i-vectors for
anomalous sound detection", DCASE 2020 Challenge Task 2, technical report.

folders:
  <data>/<machine>/train/normal_id_00_00000000.wav ...
  <data>/<machine>/test/{normal,anomaly}_id_00_00000000.wav ...    d
  <data>/<machine>/test/id_01_00000000.wav ...                     e
  With eval_data_list.csv (the official ground truth) in <data>, e gives AUC too.

example:
  sh download_dev_data.sh fan
  python bin/modspec_graph/graph_anom_detection.py d --machines fan
"""

import sys
from pathlib import Path

from asd import challenge
from asd.systems import ModspecGraph

SCRIPT = Path(__file__).resolve()

SYSTEM = ModspecGraph(
    noise_clips=100,  # whose mean is the noise profile
    std_factor=1.5,  # noise threshold: mean + 1.5 standard deviations, dB
    n_acoustic=60,  # gammatone channels
    low_hz=125.0,
    n_modulation=8,
    modulation_range=(4.0, 128.0),  # Hz
    sigma_floor=1e-6,  # added to the standard deviations of a cluster
)


def main(argv=None):
    return challenge.main(lambda args: SYSTEM, __doc__, SCRIPT, SCRIPT.parents[2], argv)


if __name__ == "__main__":
    sys.exit(main())
