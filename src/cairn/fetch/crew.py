"""Jobs done side by side by threads: one that fails leaves the others to end; some end them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from cairn.errors import CairnError
from cairn.fetch.disk import DiskFullError
from cairn.fetch.retry import Halt, Stopped, UnreachableError

_GLANCE_S = 0.5
_ENDS_ALL = (DiskFullError, UnreachableError)


def run_all(jobs: Sequence[Callable[[], None]], *, parallel: int, halt: Halt) -> list[CairnError]:
    """Do every job, ``parallel`` at a time, and return the faults of those that failed.

    A full disk or a server that stays away would meet every job alike: the first such fault stops
    the others, and is raised. So does Ctrl-C, after which threads end at their next chunk of bytes.

    Args:
        jobs: Each may raise CairnError, and should look at ``halt``.
        parallel: How many run at once.
        halt: Set when all should end.

    Raises:
        CairnError: A fault that ends all.
    """
    faults: list[CairnError] = []
    ending: BaseException | None = None
    pool = ThreadPoolExecutor(max(parallel, 1), thread_name_prefix="fetch")
    try:
        waiting: set[Future[None]] = {pool.submit(job) for job in jobs}
        while waiting:
            # With an end to each wait: a Ctrl-C that comes just before one would not break it off.
            done, waiting = wait(waiting, timeout=_GLANCE_S, return_when=FIRST_COMPLETED)
            for future in done:
                fault = None if future.cancelled() else future.exception()
                if fault is None or isinstance(fault, Stopped):
                    continue
                if isinstance(fault, CairnError) and not isinstance(fault, _ENDS_ALL):
                    faults.append(fault)
                elif ending is None:
                    ending = fault
                    halt.set()
                    for other in waiting:
                        other.cancel()
    except BaseException:  # Ctrl-C
        halt.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if ending is not None:
        raise ending
    return faults
