"""A directory whose files the file system puts somewhere new.

ext4 does not use the inode of a file that was removed in the last minutes, and looks at all of them for every file that it makes: a second
``up`` soon after a ``down`` spent 4 s in the kernel for 6,000 files, instead of 0.2 s. Directories below one with the flag "top of a
hierarchy" are spread over the disk by their name (``find_group_orlov`` and ``recently_deleted`` in fs/ext4/ialloc.c). So a few are
made under new names, and the one that came first in its group of inodes is kept: nothing was removed there of late.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import struct
from pathlib import Path

_LONG = struct.calcsize("l")
_GET_FLAGS = 2 << 30 | _LONG << 16 | ord("f") << 8 | 1  # FS_IOC_GETFLAGS, linux/fs.h
_SET_FLAGS = 1 << 30 | _LONG << 16 | ord("f") << 8 | 2
_TOP_OF_HIERARCHY = 0x00020000  # FS_TOPDIR_FL
_CANDIDATES = 16
_INODES_PER_GROUP = 8192  # what mkfs.ext4 makes; with another number the choice is a random one


def make_apart(parent: Path, name: str) -> Path:
    """Makes ``parent/name`` as a new, empty directory away from what was removed before; an ordinary one on other file systems."""
    with contextlib.suppress(OSError):  # no ext4, or not our directory: only the head start is lost
        _flag(parent)
    candidates = [parent / f"{name}-{secrets.token_hex(4)}" for _ in range(_CANDIDATES)]
    for candidate in candidates:
        candidate.mkdir(mode=0o700)
    best, *others = sorted(candidates, key=_place_in_group)
    best.rename(parent / name)  # it stays where its first name put it
    for other in others:
        other.rmdir()
    return parent / name


def _place_in_group(folder: Path) -> int:
    return (folder.stat().st_ino - 1) % _INODES_PER_GROUP


def _flag(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        (flags,) = struct.unpack("I", fcntl.ioctl(handle, _GET_FLAGS, bytes(4)))
        fcntl.ioctl(handle, _SET_FLAGS, struct.pack("I", flags | _TOP_OF_HIERARCHY))
    finally:
        os.close(handle)
