"""A Dask cluster that maps functions over clips: one that runs already, or one started here.

Workers read the clips themselves; functions and addresses go out, features come back. The engine
is dask.distributed [1]_, an extra: it runs what a lost worker had again on another.

References
----------
.. [1] M. Rocklin, "Dask: parallel computation with blocked algorithms and task scheduling",
       Proc. 14th Python in Science Conf., 2015; https://distributed.dask.org
"""

import asyncio
import ctypes
import threading
import warnings
from collections import deque
from contextlib import suppress
from functools import cache

from asd.audio import DataError, DataWarning

LOCAL = "local"  # in the place of an address
BATCH = 16  # clips a task, at most: a tenth of a second, against about a millisecond that Dask takes for it
AHEAD = 4  # tasks a worker that are sent before their turn
PATIENCE = 60  # seconds without any worker until that is an error

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's names of its settings
KEPT = 2**25  # bytes

_one_call = threading.Lock()
_TIMEOUTS = TimeoutError, asyncio.TimeoutError  # one class from Python 3.11 on


class ClusterError(DataError):
    """There is no such cluster, or it has gone."""


class ThreadsWarning(DataWarning):
    """Workers have several threads, but a process analyses one clip at a time."""

    kind = "clusters with workers of several threads, of which one is used"


class Cluster:
    """A connection to a Dask scheduler.

    Parameters
    ----------
    scheduler : str
        Its address, `tcp://host:8786`; "local" starts one on this machine.
    jobs : int
        Worker processes of one that is started here.
    patience : float
        Seconds to wait for a worker where there is none.

    Raises
    ------
    ClusterError
        With the mend: Dask is not installed, there is no scheduler at that address, or it has no workers.
    """

    def __init__(self, scheduler, jobs, *, patience=PATIENCE):
        try:
            from distributed import Client, LocalCluster
        except ImportError:
            raise ClusterError('--scheduler needs Dask, which is not installed: pip install -e ".[dask]"') from None
        self.scheduler, self.patience = scheduler, patience
        self._own = None
        try:
            if scheduler == LOCAL:
                self._own = LocalCluster(
                    n_workers=jobs, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs="CRITICAL"
                )
            self._client = Client(self._own or scheduler, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"no Dask scheduler answers at {scheduler} ({str(error) or type(error).__name__}); "
                "start one with `dask scheduler`, give the address it prints, or use --scheduler local"
            ) from None
        try:
            self._client.wait_for_workers(1, timeout=patience)
        except _TIMEOUTS:
            self.close()
            raise self._no_worker() from None
        if max(self._client.nthreads().values()) > 1:
            warnings.warn(
                ThreadsWarning(scheduler, "start workers with --nworkers N --nthreads 1 for speed"), stacklevel=3
            )

    def close(self):
        """Leave the cluster; end it if it was started here."""
        self._client.close()
        if self._own is not None:
            self._own.close()

    def map(self, call, function, items, batch):
        """Yield `call(function, item)` for each item, in their order.

        Parameters
        ----------
        call, function : callable
            Importable by name on the workers, or a `functools.partial` of such.
        items : sequence
        batch : int
            1 if a task is one item; else tasks are as large as is good for a cluster.

        Raises
        ------
        ClusterError
            If scheduler or workers are gone and stay so, or a task killed several workers.
        """
        from distributed import CancelledError, KilledWorker
        from distributed.comm import CommClosedError

        waiting, sent = deque(), None
        try:
            ahead = AHEAD * max(1, len(self._client.nthreads()))
            if batch > 1:
                batch = max(1, min(BATCH, len(items) // ahead))
            starts = iter(range(0, len(items), batch))
            # One task holds the function, so that it travels once a worker, and is made again if lost.
            sent = self._submit(_identity, (call, function))
            while True:
                for start in starts:
                    waiting.append(self._submit(_run, sent, items[start : start + batch]))
                    if len(waiting) >= ahead:
                        break
                if not waiting:
                    return
                yield from self._result(waiting.popleft())
        except KilledWorker as error:
            raise ClusterError(
                f"{error.allowed_failures + 1} workers of {self.scheduler} died with the same clips, "
                "perhaps for want of memory; give workers more"
            ) from None
        except (CancelledError, CommClosedError):
            raise ClusterError(f"the scheduler {self.scheduler} is gone; start it and run again") from None
        finally:
            self._client.cancel([*waiting, sent] if sent is not None else [])

    def _submit(self, function, *args):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")  # once a worker, as it must
            return self._client.submit(function, *args, pure=False)

    def _result(self, future):
        waited = 0
        while True:
            try:
                return future.result(timeout=min(5, self.patience))
            except _TIMEOUTS:
                if future.done():  # just now; or the call itself timed out, which is raised here again
                    return future.result()
                waited = 0 if self._client.nthreads() else waited + min(5, self.patience)
                if waited >= self.patience:
                    raise self._no_worker() from None

    def _no_worker(self):
        return ClusterError(
            f"no worker at the scheduler {self.scheduler} for {self.patience:g} s; start some with "
            "`dask worker ADDRESS --nworkers N --nthreads 1`, where this project is installed and the data can be read"
        )


def _identity(value):
    return value


def _run(sent, items):
    """A task: a few calls, one after the other, on one thread, whatever threads the worker has."""
    from threadpoolctl import threadpool_limits

    call, function = sent
    _keep_memory()
    with _one_call, threadpool_limits(1):
        return [call(function, item) for item in items]


@cache
def _keep_memory():
    """Let this process keep freed memory of a clip's size for the next clip.

    Dask's nannies start workers with MALLOC_TRIM_THRESHOLD_ low, so that every clip's arrays are new
    pages, which the system fills in one by one: half as long again a clip.
    """
    with suppress(OSError, AttributeError, TypeError):  # no glibc
        c = ctypes.CDLL(None)
        c.mallopt(MMAP_THRESHOLD, KEPT)
        c.mallopt(TRIM_THRESHOLD, KEPT)
