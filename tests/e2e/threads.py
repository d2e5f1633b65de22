"""Stopping one thread of a process, as a debugger does, while the others run on: what a thread that hangs looks like from outside."""
import ctypes
import os

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000  # threads, too
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request, thread):
    if _libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {thread}")


def thread_of(process, name):
    """The id of the thread with that name; the control plane is the one that has the process's id."""
    for thread in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{thread}/comm", encoding="ascii") as comm:
            if comm.read().strip() == name:
                return int(thread)
    raise LookupError(f"process {process} has no thread {name}")


class Stopped:
    """`with Stopped(thread):` it stands still. The kernel lets it go on where this process ends within. To be entered and left on one thread."""

    def __init__(self, thread):
        self.thread = thread

    def __enter__(self):
        _ptrace(PTRACE_SEIZE, self.thread)
        _ptrace(PTRACE_INTERRUPT, self.thread)
        os.waitpid(self.thread, WALL)
        return self

    def __exit__(self, *_):
        _ptrace(PTRACE_DETACH, self.thread)
