"""Who uses this machine."""

from __future__ import annotations

import getpass


def local_user() -> str:
    """Return the name of the machine's user; `local-user` where they have none."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = ""
    return name if name and not name.isdigit() else "local-user"
