"""Locks for one process at a time: a lock file next to the output, which names its holder.

The lock is the operating system's (flock), which ends with its process. If the file system does not support
it, filelock's soft lease is used: a file with host and process id that its holder touches periodically, and
that others take over when it is no longer touched.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLease, Timeout

from tailored_llama.checkpoint import host, make_directory, remove, writing
from tailored_llama.errors import OutputError

NO_FLOCK = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
LEASE = 60.0
"""Seconds without a heartbeat after which a soft lease may be taken over; must be equal in all processes."""
POLL = 0.2
LOCK = re.compile(r"\.(.+\.)?lock(\.lease)?")
log = logging.getLogger(__name__)


def is_lock(path: Path) -> bool:
    """Whether `path` has the name of a lock file."""
    return LOCK.fullmatch(path.name) is not None


def lock_path(out: Path) -> Path:
    """The lock file of the stage directory `out`."""
    return out.with_name(f".{out.name}.lock")


def clear_locks(directory: Path) -> None:
    """Remove the lock files of stages in `directory` that no process holds."""
    for path in sorted(directory.glob(".?*.lock")):
        with locked(path, path, wait=False):
            pass


@contextmanager
def locked(path: Path, subject: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file `path` while the block runs. It is removed afterwards.

    If another process holds it, log one line and wait; without `wait`, run the block at once with False.
    Raises OutputError if the lock file cannot be created.
    """
    lock = _acquire(path, subject, wait=wait)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            if not isinstance(lock, SoftFileLease):  # a soft lease removes its own file
                # Removed while it is held: a waiting process notices that its file is gone and creates a new
                # one.
                remove(Path(lock.lock_file))
            with suppress(OSError):
                lock.release()


def _acquire(path: Path, subject: Path, *, wait: bool) -> BaseFileLock | None:
    while True:
        make_directory(path.parent)
        try:
            with writing(subject):
                return _native_or_soft(path, subject, wait=wait)
        except Timeout:
            return None
        except FileNotFoundError:
            continue  # the previous process failed and removed its new directory
        except OSError as error:
            raise OutputError(
                f"{subject} cannot be locked ({error.strerror}); name another directory"
            ) from None


def _native_or_soft(path: Path, subject: Path, *, wait: bool) -> BaseFileLock:
    try:
        return _attempt(_native(path), path, subject, wait=wait)
    except OSError as error:
        if isinstance(error, Timeout) or error.errno not in NO_FLOCK:
            raise
    path = path.with_name(f"{path.name}.lease")
    return _attempt(SoftFileLease(path, lease_duration=LEASE, poll_interval=POLL), path, subject, wait=wait)


def _native(path: Path) -> BaseFileLock:
    def sign(descriptor: int) -> None:
        text = f"pid={os.getpid()}\nhost={host()}\n".encode()
        with suppress(OSError):  # on a full disk the holder stays anonymous
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, text, 0)

    return FileLock(path, fallback_to_soft=False, on_acquired=sign, poll_interval=POLL)


def _attempt(lock: BaseFileLock, path: Path, subject: Path, *, wait: bool) -> BaseFileLock:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise
        log.info("%s is in use by %s; waiting until it is done", subject, _holder(path))
        lock.acquire()
    return lock


def _holder(path: Path) -> str:
    """A description of the holder of the lock file `path`, if known."""
    try:
        holder = dict(re.findall(r"^(pid|host)=(\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE))
        return f"process {holder['pid']} on host {holder['host']}"
    except (OSError, UnicodeDecodeError, KeyError):
        return "another process"
