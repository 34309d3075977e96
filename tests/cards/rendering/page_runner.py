"""Runs programs of pages, each in a process of its own; without hubexport.

    python page_runner.py NUMBER

Each line of the input is a list of jobs, [[program's file, environment, file for what it says]];
up to NUMBER of them run at once. The answer is a line with the exit codes.

The processes are forked from this one, which has imported what each page imports and has not used
it: that takes longer than most programs. tensorflow_text, which pages may forget, is left to them.
"""

import gc
import json
import os
import runpy
import signal
import sys
import traceback
import warnings
from pathlib import Path

import tensorflow_hub  # noqa: F401  and with it TensorFlow and tf_keras

SECONDS = 240  # after which a program is given up
WARNINGS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, SyntaxWarning)


def start(program: str, environment: dict[str, str], said: str) -> int:
    """The id of a process that runs a program as `python program` does."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        signal.alarm(SECONDS)
        output = os.open(said, os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.update(environment)
        os.chdir(Path(program).parent)
        for category in WARNINGS:  # of the program itself, not of the packages that it imports
            warnings.filterwarnings("error", category=category, module="__main__")
        runpy.run_path(program, run_name="__main__")
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run(jobs: list[tuple[str, dict[str, str], str]], number: int) -> list[int]:
    """The exit codes, in order."""
    waiting = list(enumerate(jobs))
    running: dict[int, int] = {}
    codes = [1] * len(jobs)
    while waiting or running:
        while waiting and len(running) < number:
            place, job = waiting.pop(0)
            running[start(*job)] = place
        child, status = os.wait()
        codes[running.pop(child)] = os.waitstatus_to_exitcode(status)
    return codes


if __name__ == "__main__":
    gc.freeze()  # what was imported stays
    gc.set_threshold(100_000, 50, 50)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line), int(sys.argv[1]))), flush=True)
