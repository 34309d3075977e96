"""Runs Python programs in processes forked from ones that have imported what they need.

    python fork_server.py SOCKET

Each connection to SOCKET is a job as `tests.forks` writes it, one line of JSON. Where it names what
is to be imported, the answer is the socket of a server that has; otherwise it is a line with the
new process's id and, once that has ended, one with its exit code. All servers end with the input.
"""

import atexit
import contextlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path

SIGNALS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGCHLD: signal.SIG_DFL,
}
"""As a program finds them that is started from a terminal, whatever this one was started from."""


class Server:
    """Waits for jobs, for children that end, and for the end of the input."""

    def __init__(self, path, code=""):
        self.listener = socket.socket(socket.AF_UNIX)
        unheard = f"{path}.new"  # where nobody connects before it listens
        self.listener.bind(unheard)
        self.listener.listen(64)  # from now on jobs wait until the imports are done
        os.rename(unheard, path)
        exec(code, {"__name__": "preload"})
        self.path = path
        self.servers = {}  # what is imported -> socket
        self.waiting = {}  # process -> connection
        self.ended, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, for everything in it

    def serve(self):
        """Returns in every new process what that is to do; in this one None when all is over."""
        with selectors.DefaultSelector() as selector:
            for each in (self.listener, self.ended, sys.stdin):
                selector.register(each, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if sys.stdin in ready:
                    break
                if self.ended in ready:
                    os.read(self.ended, 1024)
                    self.tell()
                if self.listener in ready and (new := self.answer()) is not None:
                    return new
        self.listener.close()
        for pid in self.waiting:
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()
        return None

    def answer(self):
        """Takes a job; gives what there is to do in the new process."""
        connection, _ = self.listener.accept()
        job = json.loads(connection.makefile().readline() or "{}")
        if "preload" in job:
            code = job["preload"]
            path = self.servers.setdefault(code, f"{self.path}{len(self.servers)}")
            if not Path(path).exists() and os.fork() == 0:
                self.leave()
                return lambda: main(path, code)
            while not Path(path).exists():
                time.sleep(0.001)
            connection.sendall(path.encode())
            connection.close()
        elif job:
            child = os.fork()
            if not child:
                connection.close()
                self.leave()
                return lambda: start(job)
            connection.sendall(b"%d\n" % child)
            self.waiting[child] = connection
        return None

    def leave(self):
        """Lets go of what only this process has a use for, in a new one."""
        signal.set_wakeup_fd(-1)
        for each in (self.listener, *self.waiting.values()):
            each.close()
        os.close(self.ended)

    def tell(self):
        """Hands on the exit codes of processes that have ended."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                connection = self.waiting.pop(ended[0], None)
                if connection is not None:
                    with contextlib.suppress(OSError):  # nobody waits for it any more
                        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(ended[1]))
                    connection.close()


def start(job):
    """Runs the job's program, and ends this process."""
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
        tempfile.tempdir = None  # of what the environment was before
        sys.argv = job["argv"]
        code = run(job["code"])
        atexit._run_exitfuncs()
    finally:
        os._exit(code)


def run(code):
    """The exit code of a program, which is a module's name, a file's path or its text."""
    try:
        if code.replace(".", "").isidentifier():
            runpy.run_module(code, run_name="__main__", alter_sys=True)
        elif code.startswith("/"):
            runpy.run_path(code, run_name="__main__")
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


def main(path, code=""):
    """Serves; in each new process does what that is for."""
    new = Server(path, code).serve()
    if new is not None:
        new()


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)
