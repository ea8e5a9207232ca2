"""Turns among the processes of one host, as to write to a SQLite file: the kernel gives them to whoever waits longest.

SQLite's own writers sleep and try again, so that whoever has just written is often the next one, too. Here each file
has a semaphore (System V's) that is 0 while nobody has the turn:

- First come, first served: a turn that ends goes straight to the first in line. Nobody who comes later can be quicker.
- Nobody polls, and nobody whose time is up stays in the line.
- A process gives back what it holds when it dies, however it dies.
- It is a queue in front of SQLite's locks, which remain the truth, and of passwords that are to be checked. Where it
  cannot be had (another system, a container that forbids it, another owner's semaphore, none left) everybody goes on
  without it. So anybody may remove it at any time, too: the next one makes it again.
"""

import ctypes
import errno
import hashlib
import os
import sys
import time
from pathlib import Path

TAG, TAG_BITS = 0x54 << 24, 0xFF << 24  # what the key of every semaphore begins with, as `ipcs -s` shows it
NONE = -1  # what the kernel says, too, instead of an id

# From Linux's sys/ipc.h and sys/sem.h.
_IPC_CREAT, _IPC_RMID, _IPC_SET, _IPC_STAT, _IPC_NOWAIT, _SEM_UNDO = 0o1000, 0, 1, 2, 0o4000, 0x1000
_UID, _GID, _CREATOR, _MODE = slice(4, 8), slice(8, 12), slice(12, 16), slice(20, 22)  # in the answer to IPC_STAT
_REMOVED = (errno.EIDRM, errno.EINVAL)

# Of a file or folder: its device and inode, whatever its name, and a number if there are several turns for it.
Identity = tuple[int, ...]
_semaphores: dict[Identity, int] = {}  # the kernel's ids of those that this process uses; NONE: cannot be had


class _Operation(ctypes.Structure):
    _fields_ = (("number", ctypes.c_ushort), ("change", ctypes.c_short), ("flags", ctypes.c_short))


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def _operations(*operations: tuple[int, int, int]) -> ctypes.Array[_Operation]:
    return (_Operation * len(operations))(*[_Operation(*operation) for operation in operations])


# Both parts of taking happen at once: wait until it is 0, and make it 1.
_TAKE = _operations((0, 0, 0), (0, 1, _SEM_UNDO))
_TAKE_IF_FREE = _operations((0, 0, _IPC_NOWAIT), (0, 1, _SEM_UNDO))
_GIVE_BACK = _operations((0, -1, _SEM_UNDO | _IPC_NOWAIT))

# What waits lets other threads run; what does not keeps the interpreter, which would not be had back at once.
_waiting, _quick = ctypes.CDLL(None, use_errno=True), ctypes.PyDLL(None, use_errno=True)
_IS_POSSIBLE = sys.platform == "linux" and ctypes.sizeof(ctypes.c_long) == 8


def take(file: str | Path, identity: Identity, wait_s: float) -> int:
    """Wait for the turn at a file, and return what gives it back; NONE if turns cannot be had here.

    `identity` tells the file from another one of its name. Raises TimeoutError if `wait_s` seconds were not enough.
    """
    until = time.monotonic() + wait_s
    while (semaphore := _semaphore(file, identity)) != NONE:
        if _quick.semop(semaphore, _TAKE_IF_FREE, len(_TAKE_IF_FREE)) == 0:
            return semaphore
        problem = ctypes.get_errno()
        if problem == errno.EAGAIN:
            left_ns = max(0, int((until - time.monotonic()) * 1e9))
            at_most = _Time(*divmod(left_ns, 10**9))
            if _waiting.semtimedop(semaphore, _TAKE, len(_TAKE), ctypes.byref(at_most)) == 0:
                return semaphore
            problem = ctypes.get_errno()
        if problem == errno.EAGAIN:
            raise TimeoutError(errno.ETIMEDOUT, "no turn to write", str(file))
        if problem in _REMOVED:
            _semaphores.pop(identity, None)
        elif problem != errno.EINTR:
            _semaphores[identity] = NONE
    return NONE


def give_back(semaphore: int) -> None:
    """End the turn that `take` returned."""
    if semaphore != NONE:
        _quick.semop(semaphore, _GIVE_BACK, len(_GIVE_BACK))  # fails if it was removed meanwhile: nobody waits for it


def remove(identity: Identity) -> None:
    """Remove a file's semaphore. Whoever waits for it, or needs it later, makes it again."""
    _semaphores.pop(identity, None)
    if _IS_POSSIBLE:
        remove_semaphore(_quick.semget(_key(identity), 1, 0))


def remove_semaphore(semaphore: int) -> None:
    """Remove a semaphore of whatever file by its id."""
    _quick.semctl(semaphore, 0, _IPC_RMID)


def _semaphore(file: str | Path, identity: Identity) -> int:
    """Return the id of the semaphore of a file, which is made if need be, or NONE if it cannot be had."""
    if identity not in _semaphores:
        _semaphores[identity] = _made(file, identity)
    return _semaphores[identity]


def _made(file: str | Path, identity: Identity) -> int:
    """Whoever may write to the file may use its semaphore, as is SQLite's own rule for the files beside it."""
    if not _IS_POSSIBLE:
        return NONE
    semaphore: int = _quick.semget(_key(identity), 1, _IPC_CREAT | 0o600)
    state = bytearray(256)
    answer = (ctypes.c_char * len(state)).from_buffer(state)
    if semaphore < 0 or _quick.semctl(semaphore, 0, _IPC_STAT, answer) < 0:
        return NONE
    try:
        status = Path(file).stat()
    except OSError:  # it is gone again
        return NONE
    known = bytes(state)
    us, creator = os.geteuid(), int.from_bytes(state[_CREATOR], sys.byteorder)
    if creator not in (us, status.st_uid, 0):
        return NONE  # a stranger made it, to keep us waiting
    if creator == us:
        state[_UID] = status.st_uid.to_bytes(4, sys.byteorder)
        state[_GID] = status.st_gid.to_bytes(4, sys.byteorder)
        state[_MODE] = (status.st_mode & 0o660).to_bytes(2, sys.byteorder)
        if state != known:
            _quick.semctl(semaphore, 0, _IPC_SET, answer)  # fails if we gave it to the file's owner already
    return semaphore


def _key(identity: Identity) -> int:
    return TAG | int.from_bytes(hashlib.sha256(repr(identity).encode("ascii")).digest()[:3], "big")
