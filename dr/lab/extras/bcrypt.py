"""Password hashes as a registry's ``htpasswd`` file has them (bcrypt), made by the C library that every Linux signs its users in with.

Python's ``crypt`` module did this until 3.12; the registry understands nothing but bcrypt, and no library for that is needed elsewhere.
"""

from __future__ import annotations

import ctypes
import secrets
import string
from functools import cache
from threading import Lock

from dr.errors import LabError

_LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2")
_ALPHABET = "./" + string.ascii_uppercase + string.ascii_lowercase + string.digits
_LAST = ".Oeu"
"""A salt of 16 bytes is 21 characters and two bits."""
_COST = 4
"""The lowest: the registry computes it at each request (about 1 ms), and the lab's passwords are long, random and gone tomorrow."""
_lock = Lock()


def hashed(password: str) -> str:
    """A bcrypt hash of a password with a new salt. Raises LabError where this machine's C library cannot make one."""
    salt = "".join(secrets.choice(_ALPHABET) for _ in range(21)) + secrets.choice(_LAST)
    with _lock:  # the library has one buffer for all
        made: bytes | None = _library().crypt(password.encode(), f"$2b${_COST:02d}${salt}".encode())
        text = made.decode() if made is not None else ""
    if not text.startswith("$2b$"):
        raise LabError("this machine's libcrypt cannot make bcrypt hashes", hint="install libxcrypt (Debian, Ubuntu: libcrypt1)")
    return text


@cache
def _library() -> ctypes.CDLL:
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.crypt.restype = ctypes.c_char_p
        library.crypt.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
        return library
    raise LabError(f"none of {', '.join(_LIBRARIES)} is on this machine", hint="install libxcrypt (Debian, Ubuntu: libcrypt1)")
