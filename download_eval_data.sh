#!/bin/sh
# Fetches the DCASE 2020 Task 2 evaluation set into eval_data/: its additional training data (Zenodo
# 3727685), the test data (3841772) and the ground truth (3951620).
#   sh download_eval_data.sh              all six machine types
#   sh download_eval_data.sh fan pump     only these
# Run again after a break: it goes on where it stopped. ZENODO names another server.
set -eu
cd "$(dirname "$0")"
. tools/download.sh

machines=$(chosen_machines "$@") || exit
for machine in $machines; do
    fetch_archive 3727685 "eval_data_train_$machine.zip" eval_data
    fetch_archive 3841772 "eval_data_test_$machine.zip" eval_data
done
download 3951620 eval_data_list.csv eval_data
echo "eval_data/ holds: $machines, eval_data_list.csv"
