#!/bin/sh
# Shows the systems at work on synthetic machines: installs into .venv, writes a data set of six
# machine types, scores it. Everything else stays in the folder demo/.
set -eu
cd "$(dirname "$0")"
. tools/venv.sh

if ! [ -f demo/dev_data/complete ]; then
    echo "writing recordings of 18 synthetic machines to demo/dev_data (280 MB)"
    .venv/bin/python -c "from asd import synth; synth.write('demo/dev_data', progress=True)"
    : >demo/dev_data/complete
fi

spectra=demo/saved/modspec_graph ivectors=demo/saved/iVectors_gmm
run() {
    echo
    .venv/bin/python "bin/$1" d --report --data demo/dev_data --output demo/results --saved "$2" $3
}
run modspec_graph/graph_anom_detection.py "$spectra" ""
run iVectors_gmm/gmm.py "$ivectors" ""
run ensemble/ens.py "$spectra" ""
run local_reconstruction/local_reconstruction.py "$spectra" "--saved-ivectors $ivectors"

echo
echo "The machines are synthetic; listen to some in demo/dev_data. With the real data:"
echo "  sh download_dev_data.sh && .venv/bin/python bin/modspec_graph/graph_anom_detection.py d"
echo
echo "Open the reports in a browser (the ensemble's leads to those of its two systems):"
for system in modspec_graph iVectors_gmm local_reconstruction ensemble; do
    echo "  $PWD/demo/results/reports/dev/$system/report.html"
done
