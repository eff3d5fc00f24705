"""Imported first in a process without HOME, it takes the user's home and entry in passwd away."""

import os
import pwd


def _unknown(uid):
    raise KeyError(uid)


if os.getuid():
    pwd.getpwuid = _unknown
else:
    os.setresuid(54321, -1, -1)  # a user without an entry, who may still read what root may
