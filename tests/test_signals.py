"""Tests do not depend on signal handling inherited from the process that started them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
INHERITED = """import signal
ignored = [one for one in (1, 2, 3, 15) if signal.getsignal(one) is signal.SIG_IGN]
print(ignored, signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""
# As `nohup make test &` does, and worse: SIGINT is blocked as well.
HOSTILE = """import os, signal, sys
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_a_child_starts_with_default_signal_handling() -> None:
    child = subprocess.run([sys.executable, "-c", INHERITED], capture_output=True, text=True, check=True)

    assert child.stdout == "[] set()\n"


def test_also_where_the_tests_were_started_with_signals_ignored() -> None:
    test_id = f"{__file__}::{test_a_child_starts_with_default_signal_handling.__name__}"
    command = [sys.executable, "-c", HOSTILE, "-m", "pytest", test_id]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert result.returncode == 0 and "1 passed" in result.stdout, result.stdout
