"""One map over clips: this machine's cores, or a Dask cluster; the progress bar.

Conventions: results come in the order of the items, the same whatever the number of workers; BLAS
and OpenMP run one thread a worker.
"""

import os
import signal
import sys
import warnings
from contextlib import contextmanager
from threading import current_thread, main_thread

from asd.audio import AudioError, DataError

BATCH = 8  # clips sent to a worker at once: few, so that no worker is left waiting at the end


class WorkerError(DataError):
    """A worker process died."""


class ClipMap:
    """Applies functions to clips, in worker processes where more than one is asked for.

    Parameters
    ----------
    jobs : int, optional
        Worker processes; default all cores this process may use. One means this process.
    progress : bool
        Whether to draw a progress bar on stderr.
    scheduler : str, optional
        Address of a Dask scheduler whose workers take the place of processes here, or "local" for
        one started here with `jobs` workers. It is connected to at the first call; `with`, or
        `close`, ends that.
    """

    def __init__(self, jobs=None, *, progress=False, scheduler=None):
        self.jobs = jobs or available_cores()
        self.progress = progress
        self.scheduler = scheduler
        self._cluster = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Leave the cluster, if there is one."""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None

    def __call__(self, function, items, description="", *, unit="clip", batch=BATCH):
        """`[function(item) for item in items]`, with what a clip lacks in its place.

        Parameters
        ----------
        function : callable
            Importable by name, or a `functools.partial` of such, so that workers can be sent it.
        items : sequence
        description : str
            Stands before the progress bar.
        unit : str
            What the progress bar calls an item.
        batch : int
            Items sent to a worker at once.

        Returns
        -------
        list
            Results in the order of the items; an `AudioError` that a call raised stands for its result.

        Raises
        ------
        WorkerError
            If a worker process died.
        ClusterError
            If there is no such cluster, or it is gone; a worker that it loses is made up for.

        Warns
        -----
        Whatever the calls warn of, again in this process.
        """
        results = []
        with self.bar(description, total=len(items), unit=unit) as bar:
            for result, caught in self._run(function, items, batch):
                for warning in caught:
                    warnings.warn(warning, stacklevel=2)
                results.append(result)
                bar.update()
        return results

    def bar(self, description, steps=None, **options):
        """A tqdm progress bar, drawn if this map draws them."""
        from tqdm import tqdm

        interval = 0.2 if sys.stderr.isatty() else 5
        return tqdm(
            steps, desc=description, disable=not self.progress, mininterval=interval, dynamic_ncols=True, **options
        )

    def _run(self, function, items, batch):
        if self.scheduler and len(items):
            yield from self._connected().map(_call, function, items, batch)
            return
        if self.jobs == 1 or len(items) < 2:
            from threadpoolctl import threadpool_limits

            with threadpool_limits(1):
                for item in items:
                    yield _call(function, item)
            return
        from joblib import Parallel, delayed, parallel_config
        from joblib.externals.loky.process_executor import BrokenProcessPool

        try:
            with parallel_config("loky", inner_max_num_threads=1):
                workers = Parallel(
                    self.jobs, return_as="generator", batch_size=batch, pre_dispatch=4 * batch * self.jobs
                )
                with _children_left_alone():
                    results = workers(delayed(_call)(function, item) for item in items)
                yield from results
        except BrokenProcessPool:
            raise WorkerError(
                "a worker process was killed, perhaps for want of memory; run again with fewer --jobs"
            ) from None

    def _connected(self):
        if self._cluster is None:
            from asd.cluster import Cluster

            with _children_left_alone():
                self._cluster = Cluster(self.scheduler, self.jobs)
        return self._cluster


@contextmanager
def _children_left_alone():
    """Processes started here neither see Ctrl-C, which a terminal sends to all, nor report what a killed run left.

    The first is a signal disposition, the second a variable of the environment; children inherit both.
    """
    if current_thread() is not main_thread():  # the only one that may set a disposition
        yield
        return
    handler, filters = signal.signal(signal.SIGINT, signal.SIG_IGN), os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        del os.environ["PYTHONWARNINGS"]
        if filters is not None:
            os.environ["PYTHONWARNINGS"] = filters


def available_cores():
    """Number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _call(function, item):
    """Result, or the clip's error, and the warnings of one call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = function(item)
        except AudioError as error:
            result = error
    return result, [warning.message for warning in caught]
