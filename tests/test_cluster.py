"""The same work on a Dask cluster: the same files, whatever happens to a worker."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest
from conftest import SYSTEM1, SYSTEM2, files_below, only_line, run_script
from test_parallel import bug, die, odd_one_out

from asd import synth
from asd.audio import AudioError, DataWarning
from asd.cluster import Cluster, ClusterError
from asd.parallel import ClipMap


def product(n):
    return (np.ones((n, 50)) @ np.ones((50, 3))).sum(), os.getpid()


def slowly(n, folder):
    (folder / f"{n}-{os.getpid()}").touch()
    time.sleep(0.3)
    return n


def threads(n):
    from threadpoolctl import threadpool_info

    return {pool["num_threads"] for pool in threadpool_info()}


def test_without_dask_the_extra_is_named(run_here, dev_data, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, out, err = run_here(SYSTEM1, "d", dev_data, "--scheduler", "local")
    assert code == 1
    assert not out
    assert 'pip install -e ".[dask]"' in only_line(err, "error")


@pytest.fixture(scope="module")
def cluster():
    """Starts a scheduler and two workers on loopback, as a user does; gives its address and the workers' processes."""
    pytest.importorskip("distributed", reason="Dask is not installed")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path[1:]])}
    processes = []

    def start(*command):
        command = [sys.executable, "-m", "distributed.cli." + command[0], *command[1:], "--no-dashboard"]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    scheduler = start("dask_scheduler", "--host", "127.0.0.1", "--port", "0")
    for line in scheduler.stderr:
        if "Scheduler at:" in line:
            address = line.split()[-1]
            break
    else:
        pytest.fail("the scheduler did not start")
    drain(scheduler)

    def worker(*options):
        process = start("dask_worker", address, "--nthreads", "1", "--host", "127.0.0.1", "--no-nanny", *options)
        drain(process)
        return process

    workers = [worker(), worker()]
    yield address, workers, worker
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


def drain(process):
    threading.Thread(target=lambda: [None for _ in process.stderr], daemon=True).start()


@pytest.mark.slow
def test_a_run_on_a_cluster_survives_a_killed_worker_and_writes_the_same_files(cluster, tmp_path):
    address, workers, new_worker = cluster
    data = tmp_path / "data"
    synth.write(data, machines=("fan", "valve"), ids=("00",), n_train=60, n_test=40, seconds=4.0, jobs=1)
    (data / "fan/train/normal_id_00_00000007.wav").write_bytes(b"no sound")
    places = {name: ["--saved", tmp_path / f"saved_{name}", "--output", tmp_path / name] for name in ("one", "cluster")}
    alone = run_script(SYSTEM1, "d", "--data", data, "--jobs", 1, "--quiet", *places["one"])
    assert alone.returncode == 0, alone.stderr

    command = [sys.executable, SYSTEM1, "d", "--data", os.path.relpath(data), "--scheduler", address]
    process = subprocess.Popen(
        [str(word) for word in [*command, *places["cluster"]]],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list(tmp_path.glob("saved_cluster/*_manifest_*")):
        time.sleep(0.01)
    workers[0].send_signal(signal.SIGKILL)  # fan is done, valve under way
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert workers[1].poll() is None
    new_worker()
    assert files_below(tmp_path / "cluster") == files_below(tmp_path / "one")
    assert files_below(tmp_path / "saved_cluster") == files_below(tmp_path / "saved_one")
    assert "fan 00 [1/2]: 100%" in err
    assert [line for line in err.splitlines() if line.startswith("warning")] == alone.stderr.splitlines()
    assert out.replace(str(tmp_path / "cluster"), "") == alone.stdout.replace(str(tmp_path / "one"), "")


@pytest.mark.slow
@pytest.mark.parametrize("script", [SYSTEM1, SYSTEM2])
def test_a_cluster_started_here_writes_the_same_files(dev_data, tmp_path, script):
    pytest.importorskip("distributed", reason="Dask is not installed")
    for name, options in (("one", ["--jobs", 1]), ("local", ["--scheduler", "local", "--jobs", 2])):
        places = ["--saved", tmp_path / f"saved_{name}", "--output", tmp_path / name]
        ended = run_script(script, "d", "--data", dev_data, "--machines", "fan", "--quiet", *options, *places)
        assert ended.returncode == 0, ended.stderr
        assert not ended.stderr
    assert files_below(tmp_path / "local") == files_below(tmp_path / "one")
    assert files_below(tmp_path / "saved_local") == files_below(tmp_path / "saved_one")


@pytest.mark.slow
def test_what_happened_on_workers_is_told_here(cluster, capsys):
    address = cluster[0]
    with ClipMap(scheduler=address, progress=True) as clip_map:
        with pytest.warns(DataWarning, match=r"5\.wav: mended"):
            results = clip_map(odd_one_out, range(50), "fan 00")
        assert [r for r in results if not isinstance(r, AudioError)] == [n for n in range(50) if n != 3]
        assert str(results[3]) == "3.wav: broken"
        assert "fan 00: 100%" in capsys.readouterr().err
        assert clip_map(odd_one_out, []) == []
        assert clip_map(threads, [1]) == [{1}]
        values, processes = zip(*clip_map(product, range(1, 200)), strict=True)
        assert values == tuple(150 * n for n in range(1, 200))
        assert os.getpid() not in processes
        with pytest.raises(ZeroDivisionError):
            clip_map(bug, range(9))


@pytest.mark.slow
def test_what_a_killed_worker_was_at_runs_on_another(cluster, tmp_path):
    address, _, new_worker = cluster
    new_worker()

    def kill():
        while len(begun := list(tmp_path.iterdir())) < 5:
            time.sleep(0.01)
        os.kill(int(begun[-1].name.split("-")[1]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with ClipMap(scheduler=address) as clip_map:
        assert clip_map(partial(slowly, folder=tmp_path), range(16)) == list(range(16))
    killer.join()
    assert len(list(tmp_path.iterdir())) > 16  # some were begun twice


def test_no_scheduler_at_that_address(monkeypatch):
    dask = pytest.importorskip("dask", reason="Dask is not installed")
    pytest.importorskip("distributed", reason="Dask is not installed")
    with dask.config.set({"distributed.comm.timeouts.connect": "200ms"}):
        for address in ("tcp://127.0.0.1:9", "nonsense://here"):
            with pytest.raises(ClusterError, match="dask scheduler"):
                Cluster(address, 1)


@pytest.mark.slow
def test_a_clip_that_kills_every_worker_and_a_cluster_without_workers(cluster):
    """Last, for it leaves no worker."""
    address = cluster[0]
    with ClipMap(scheduler=address) as clip_map:
        clip_map(product, [1])
        clip_map._cluster.patience = 1
        with pytest.raises(ClusterError, match=r"no worker.*dask worker"):
            clip_map(die, [1])
    with pytest.raises(ClusterError, match="no worker"):
        Cluster(address, 1, patience=1)
