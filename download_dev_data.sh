#!/bin/sh
# Fetches the DCASE 2020 Task 2 development set (Zenodo 3678171) into dev_data/.
#   sh download_dev_data.sh              all six machine types, about 9 GB
#   sh download_dev_data.sh fan pump     only these
# Run again after a break: it goes on where it stopped. ZENODO names another server.
set -eu
cd "$(dirname "$0")"
. tools/download.sh

machines=$(chosen_machines "$@") || exit
for machine in $machines; do
    fetch_archive 3678171 "dev_data_$machine.zip" dev_data
done
echo "dev_data/ holds: $machines"
