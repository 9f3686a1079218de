"""Sessions that are open when the interpreter ends: they say goodbye."""

from __future__ import annotations

import atexit
from typing import Set

from . import _multipeer

#: Seconds that all of them have for it.
_PATIENCE = 1.0

_open: Set[_multipeer.Session] = set()


def begun(session: _multipeer.Session) -> None:
    """A session has begun."""
    _open.add(session)


def ended(session: _multipeer.Session) -> None:
    """A session is over."""
    _open.discard(session)


def _say_goodbye() -> None:
    for session in list(_open):
        try:
            session.leave().wait(_PATIENCE)
        except Exception:  # The interpreter ends whatever happens here.
            pass
        session.close()


atexit.register(_say_goodbye)
