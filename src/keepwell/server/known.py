"""Who a credential belongs to, and which ones were good lately in this process."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock

from keepwell import db
from keepwell.core.errors import Unauthenticated
from keepwell.flows.kit import Kit
from keepwell.governance import identity
from keepwell.governance.identity_rules import Principal
from keepwell.server.security import Presented

MOST = 2_000
TOKEN_USER = "token"  # noqa: S105  (a name, not a secret)


class Known:
    """Asks the database who presents a credential, and remembers whom it named.

    What is remembered admits nobody: it only lets the question be asked later, in the thread that does the work. No
    secret is kept, only its digest.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._seen: OrderedDict[bytes, Principal] = OrderedDict()

    def get(self, given: Presented) -> Principal | None:
        """Return whose credential this was when it was last asked for."""
        return self._seen.get(_digest(given))

    def ask(self, kit: Kit, given: Presented) -> Principal:
        """Return whose credential this is now.

        Raises:
            Unauthenticated: it is not a good one, or the name given with it is another person's.
        """
        digest = _digest(given)
        with self._lock:
            self._seen.pop(digest, None)
        with db.read(kit.db) as tx:
            who = identity.who_is(tx, kit.call("anonymous"), given.kind, given.secret)
        if given.user is not None and given.user not in (TOKEN_USER, who.name):
            raise Unauthenticated("The token is good, but the user name is another's: send 'token' as the user name.")
        with self._lock:
            self._seen[digest] = who
            if len(self._seen) > MOST:
                self._seen.popitem(last=False)
        return who


def _digest(given: Presented) -> bytes:
    return hashlib.sha256(f"{given.kind} {given.user} {given.secret}".encode("utf-8", "replace")).digest()
