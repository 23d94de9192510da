"""The map gives the same for any number of workers, and passes on what happened in them."""

import os
import signal
import warnings

import numpy as np
import pytest

from asd.audio import AudioError, DataWarning
from asd.parallel import ClipMap, WorkerError, available_cores


def product(n):
    return np.ones((n, 50)) @ np.ones((50, 3))


def odd_one_out(n):
    if n == 3:
        raise AudioError("3.wav", "broken")
    if n == 5:
        warnings.warn(DataWarning("5.wav", "mended"), stacklevel=2)
    return n


def bug(n):
    raise ZeroDivisionError


def die(n):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order_with_errors_in_their_place(jobs):
    with pytest.warns(DataWarning, match=r"5\.wav: mended"):
        results = ClipMap(jobs)(odd_one_out, range(8))
    assert [r for r in results if not isinstance(r, AudioError)] == [0, 1, 2, 4, 5, 6, 7]
    assert str(results[3]) == "3.wav: broken"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bug_is_not_hidden(jobs):
    with pytest.raises(ZeroDivisionError):
        ClipMap(jobs)(bug, range(3))


def test_a_killed_worker_is_told():
    with pytest.raises(WorkerError, match="--jobs"):
        ClipMap(2)(die, range(4))


def test_nothing_to_do():
    assert ClipMap(2)(product, []) == []


def test_the_progress_bar_names_the_machine(capsys):
    ClipMap(1, progress=True)(product, [1, 2], "fan 00")
    assert "fan 00: 100%" in capsys.readouterr().err
    ClipMap(1)(product, [1, 2], "fan 00")
    assert not capsys.readouterr().err


def test_all_cores_are_the_default():
    assert ClipMap().jobs == available_cores() >= 1
