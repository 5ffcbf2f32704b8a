"""Work in the background, one job after the other: the doctor, and folders of photographs.

Jobs are known as long as the server runs; what they commit is in the gallery's log.
"""

from __future__ import annotations

import datetime as dt
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Literal

from cairn.errors import CairnError
from cairn.progress import listening, say
from cairn.serve.problems import Problem, without_paths
from cairn.serve.schemas import JobOut, ProblemOut

KEPT = 20
"""Jobs that are known, the latest."""

_MAX_WAITING = 4

Kind = Literal["doctor", "import"]
Progress = Callable[[str, int, int | None], None]


class Cancelled(Exception):  # noqa: N818
    """A job was called off."""


class Job:
    """One piece of work.

    Args:
        kind: What it is.
        version: The gallery's version that it looks at.
    """

    def __init__(self, kind: Kind, version: int) -> None:
        self.job_id = secrets.token_hex(8)
        self.kind, self.version = kind, version
        self.status: Literal["waiting", "running", "done", "failed", "cancelled"] = "waiting"
        self.result: dict[str, Any] | None = None
        self.problem: Problem | None = None
        self._step, self._done = "", 0
        self._total: int | None = None
        self._started = self._ended = 0.0
        self._time = ""
        self._is_wanted = True

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ("done", "failed", "cancelled")

    def cancel(self) -> None:
        """Call it off: it ends where it is told of progress next."""
        self._is_wanted = False
        if self.status == "waiting":
            self.status = "cancelled"

    def tell(self, step: str, done: int, total: int | None) -> None:
        """Take in how far it is.

        Raises:
            Cancelled: It was called off.
        """
        if not self._is_wanted:
            raise Cancelled
        self._step, self._done, self._total = step, done, total

    def run(self, work: Callable[[Progress], dict[str, Any]]) -> None:
        """Do the work, and keep what comes of it."""
        if self.status != "waiting":
            return
        self.status, self._started = "running", time.monotonic()
        self._time = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        try:
            with listening(self.tell):
                self.result = work(self.tell)
            self.status = "done"
        except Cancelled:
            self.status = "cancelled"
        except Problem as problem:
            self.status, self.problem = "failed", problem
        except CairnError as error:
            self.status, self.problem = "failed", Problem.of(error)
        except Exception as error:
            say(f"job {self.job_id} met a fault: {type(error).__name__}: {error}")
            self.status, self.problem = "failed", Problem(500, "a fault of the server")
        finally:
            self._ended = time.monotonic()

    def out(self, *, with_result: bool = True) -> JobOut:
        """Return the job as clients get it."""
        until = self._ended or time.monotonic()
        error = None if self.problem is None else ProblemOut(**self.problem.to_json())
        return JobOut(
            job_id=self.job_id,
            kind=self.kind,
            status=self.status,
            step=without_paths(self._step),
            done=self._done,
            total=self._total,
            started=self._time,
            seconds=round(until - self._started, 3) if self._started else 0.0,
            version=self.version,
            result=self.result if with_result else None,
            error=error,
        )


class Jobs:
    """The jobs of a server."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="job")

    def begin(self, job: Job, work: Callable[[Progress], dict[str, Any]]) -> Job:
        """Let a job have its turn, and return it.

        Raises:
            Problem: Too many wait, or one of its kind is under way.
        """
        with self._lock:
            waiting = [one for one in self._jobs.values() if not one.is_over]
            if len(waiting) >= _MAX_WAITING:
                raise Problem(429, "as many jobs wait as may", headers={"Retry-After": "10"})
            self._jobs[job.job_id] = job
            while len(self._jobs) > KEPT:
                over = [key for key, one in self._jobs.items() if one.is_over]
                if not over:
                    break
                del self._jobs[over[0]]
            self._pool.submit(copy_context().run, job.run, work)
        return job

    def latest(self) -> list[Job]:
        """Return the jobs that are known, the newest first."""
        with self._lock:
            return list(self._jobs.values())[::-1]

    def find(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            Problem: There is none of that id.
        """
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            raise Problem(
                404,
                "no such job",
                where="path.job_id",
                todo="GET /v1/jobs lists the latest; none outlives the server",
            )
        return job

    def close(self) -> None:
        """Call off what is not done."""
        for job in self.latest():
            job.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)
