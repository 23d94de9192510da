"""What the tests share: the reference data where it is there, small data sets, the scripts."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd import synth
from asd.audio import RATE

REPO = Path(__file__).resolve().parents[1]
REFERENCE = REPO.parent / "shared" / "reference"
SYSTEM1 = REPO / "bin" / "modspec_graph" / "graph_anom_detection.py"


@pytest.fixture(scope="session")
def reference():
    """Folder of the reference data."""
    if not REFERENCE.is_dir():
        pytest.skip("the reference data (real clips, outputs of peer packages) is not on this machine")
    return REFERENCE


@pytest.fixture(scope="session")
def dev_data(tmp_path_factory):
    """A development set of two machine types, two ids each, clips of one second. Not to be written to."""
    root = tmp_path_factory.mktemp("dev_data")
    synth.write(root, machines=("fan", "valve"), ids=("00", "12"), n_train=12, n_test=4, seconds=1.0, jobs=1)
    return root


@pytest.fixture(scope="session")
def eval_data(tmp_path_factory):
    """The same as an evaluation set."""
    root = tmp_path_factory.mktemp("eval_data")
    synth.write(root, "e", machines=("fan", "valve"), ids=("01", "12"), n_train=12, n_test=4, seconds=1.0, jobs=1)
    return root


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def write_wav(path, samples, rate=RATE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


def run_script(script, *args, **options):
    """Run a script as a user does, from its own folder; returns the finished process."""
    return subprocess.run(
        [sys.executable, script.name, *map(str, args)],
        cwd=script.parent,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "default"},
        timeout=300,
        **options,
    )


def files_below(folder):
    """Relative path -> content of every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}
