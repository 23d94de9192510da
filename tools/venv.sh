# Makes .venv where missing and brings it to requirements.txt. Sourced from the repo's folder.
# PYTHON names another interpreter.

for python in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.10 none; do
    if [ "$python" = none ]; then
        echo "error: no Python 3.10 to 3.13 found (tried python3 and python3.10 to python3.13); install one, or name it: PYTHON=/path/to/python sh $0" >&2
        exit 1
    fi
    "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null && break
done

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    rm -rf .venv
    if ! "$python" -m venv .venv; then
        rm -rf .venv
        echo "error: $python has no working venv module (on Debian and Ubuntu: apt install python3-venv), install it and run again" >&2
        exit 1
    fi
fi

if ! cat requirements.txt pyproject.toml | cmp -s - .venv/installed; then
    echo "installing requirements.txt into .venv (a minute or two the first time)"
    if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt; then
        echo "error: the installation failed, see above; check the network and run again" >&2
        exit 1
    fi
    cat requirements.txt pyproject.toml >.venv/installed
fi
