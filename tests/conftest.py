"""What the tests share: the reference data where it is there, small data sets, the scripts."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from asd import synth
from asd.audio import RATE

REPO = Path(__file__).resolve().parents[1]
REFERENCE = REPO.parent / "shared" / "reference"
SYSTEM1 = REPO / "bin" / "modspec_graph" / "graph_anom_detection.py"
SYSTEM3 = REPO / "bin" / "ensemble" / "ens.py"
SYSTEM4 = REPO / "bin" / "local_reconstruction" / "local_reconstruction.py"
SYSTEM2 = REPO / "bin" / "iVectors_gmm" / "gmm.py"


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


def touch(root, *names):
    """Make empty files below a folder."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


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


@cache
def load_script(script):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run_here(tmp_path, capsys):
    """Runs a script in this process below tmp_path; returns its exit code, stdout and stderr."""

    def call(script, mode, data, *args, output=None):
        options = ["--data", data, "--saved", tmp_path / "saved", "--output", output or tmp_path / "out", "--jobs", 1]
        code = load_script(script).main([mode, *map(str, options), "--quiet", *map(str, args)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def read_scores(path):
    """Clip name -> score of a score file."""
    frame = pd.read_csv(path, header=None, names=["file", "score"], float_precision="round_trip")
    return dict(zip(frame.file, frame.score, strict=True))


def only_line(text, start):
    """The one line of a text that starts so."""
    (line,) = (line for line in text.splitlines() if line.startswith(start))
    return line


def stops(result, *words):
    """Asserts that a run ended with exit code 1 and one error line that holds the words; returns stderr."""
    code, out, err = result
    assert code == 1
    assert not out
    error = only_line(err, "error")
    for word in words:
        assert str(word) in error, error
    return err


def goes_on(result, *words):
    """Asserts that a run succeeded with one warning, which holds the words; returns stdout."""
    code, out, err = result
    assert code == 0, err
    assert "Traceback" not in err
    line = only_line(err, "warning")
    for word in words:
        assert str(word) in line, line
    return out


@pytest.fixture
def fan(dev_data, tmp_path):
    """A copy of one machine type's development clips, to be spoiled: fan 00 and fan 12."""
    shutil.copytree(dev_data / "fan", tmp_path / "data" / "fan")
    return tmp_path / "data"


@pytest.fixture
def fan_eval(eval_data, tmp_path):
    """The same of the evaluation clips: fan 01 and fan 12."""
    shutil.copytree(eval_data / "fan", tmp_path / "data" / "fan")
    return tmp_path / "data"


def kill_at_first_manifest(command, folder):
    """Start a run in a session of its own and kill all of it when it has finished its first machine id."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not list(folder.rglob("*manifest_*.json")):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def files_below(folder):
    """Relative path -> content of every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}
