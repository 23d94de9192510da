#!/bin/sh
# Runs the test suite in .venv, which is made where missing, on all cores. Arguments go to pytest:
#   sh test.sh -m "not slow"
set -eu
cd "$(dirname "$0")"
. tools/venv.sh
exec .venv/bin/python -m pytest -n auto "$@"
