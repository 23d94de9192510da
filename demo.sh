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

for system in modspec_graph/graph_anom_detection.py iVectors_gmm/gmm.py ensemble/ens.py; do
    echo
    .venv/bin/python "bin/$system" d --report \
        --data demo/dev_data --saved "demo/saved/${system%/*}" --output demo/results
done

echo
echo "The machines are synthetic; listen to some in demo/dev_data. With the real data:"
echo "  sh download_dev_data.sh && .venv/bin/python bin/modspec_graph/graph_anom_detection.py d"
echo
echo "Open the reports in a browser, the ensemble's leads to the other two:"
for system in modspec_graph iVectors_gmm ensemble; do
    echo "  $PWD/demo/results/reports/dev/$system/report.html"
done
