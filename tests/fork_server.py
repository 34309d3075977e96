"""Runs Python programs in processes forked from this one, which has imported what they need.

    python fork_server.py CODE

CODE is run once, to import. Each line of the input is a job as `tests.forks` writes it, or the id
of a process to wait for; the answer is a line with the new process's id, or the exit code.
"""

import atexit
import json
import os
import runpy
import signal
import sys
import traceback

SIGNALS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
"""As a program finds them that is started from a terminal, whatever this one was started from."""


def start(job):
    """The id of a process that runs the job's program."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        for number, handler in SIGNALS.items():
            signal.signal(number, handler)
        for descriptor, file in ((0, os.devnull), (1, job["stdout"]), (2, job["stderr"])):
            opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOCTTY)
            os.dup2(opened, descriptor)
            os.close(opened)
        os.environ.clear()
        os.environ.update(job["environment"])
        os.chdir(job["directory"])
        sys.argv = job["argv"]
        code = run(job["code"])
        atexit._run_exitfuncs()
    finally:
        os._exit(code)


def run(code):
    """The exit code of a program, which is a module's name or its text."""
    try:
        if code.isidentifier():
            runpy.run_module(code, run_name="__main__", alter_sys=True)
        else:
            exec(compile(code, "<test>", "exec"), {"__name__": "__main__"})
        return 0
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    exec(sys.argv[1])
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, dict):
            answer = start(asked)
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1])
        print(answer, flush=True)
