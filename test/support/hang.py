"""Stop one thread of a child process, as a hang does: SIGSTOP would stop them all."""

import ctypes
import os

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WAIT_ALL = 0x40000000  # __WALL: of threads, too

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def find_thread(pid, name):
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii") as comm:
            if comm.read().strip() == name:
                return int(thread)
    raise AssertionError(f"no thread {name} in {pid}")


class Hang:
    """with Hang(pid, "worker-1"): the thread does nothing at all."""

    def __init__(self, pid, name):
        self.thread = find_thread(pid, name)

    def __enter__(self):
        self._trace(PTRACE_SEIZE)
        self._trace(PTRACE_INTERRUPT)
        os.waitpid(self.thread, WAIT_ALL)
        return self

    def __exit__(self, *unused):
        self._trace(PTRACE_DETACH)

    def _trace(self, request):
        if libc.ptrace(request, self.thread, None, None) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")
