"""The process that measures one model."""

from __future__ import annotations

import subprocess
import sys

WORKER = """
import time
from tailored_llama.profiling.worker import end_with_parent
end_with_parent()
print("started", flush=True)
time.sleep(60)
"""
PARENT = f"""
import os, signal, subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", {WORKER!r}], stdout=subprocess.PIPE, text=True)
worker.stdout.readline()
print(worker.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_ends_when_the_process_that_started_it_is_killed() -> None:
    import psutil

    parent = subprocess.run([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, check=False)
    try:
        worker = psutil.Process(int(parent.stdout))
    except psutil.NoSuchProcess:
        return
    gone, _ = psutil.wait_procs([worker], timeout=20)
    assert gone or worker.status() == psutil.STATUS_ZOMBIE
