"""What can go wrong: one tree, and each exception with the words of the library.

::

    MultipeerError
    +-- StartError            a setting breaks a rule, a port is taken, an interface is not there
    +-- UnknownPeerError      what should be the id of a peer is none
    +-- SendError             the peer is not connected, or the message is too large
    +-- InviteError           an invitation came to nothing, or was answered already
    +-- StreamError           a stream was reset or stopped, or its link was lost
    +-- TransferError         a resource cannot be sent, was refused, or did not arrive
    +-- NudgeError            the peer is not there to be nudged
    +-- RemoveError           the peer cannot be removed
    +-- PingError             no answer came in time
    +-- SessionOverError      the session is over

Waiting with a time limit raises :class:`TimeoutError` (:class:`asyncio.TimeoutError` with ``asyncio.wait_for``).
"""

from __future__ import annotations


class MultipeerError(Exception):
    """Something of this package failed. Every other exception of it is one."""


class StartError(MultipeerError):
    """A session could not start: a setting breaks a rule, a port is taken, or an interface is not there."""


class UnknownPeerError(MultipeerError, ValueError):
    """What should be the id of a peer is none."""


class SendError(MultipeerError):
    """A message was not sent: the peer is not connected, or takes no message of that size."""


class InviteError(MultipeerError):
    """An invitation came to nothing: nobody is there, the answer was no, or there was none in time."""


class StreamError(MultipeerError):
    """A stream came to an end before its end: the other side reset or stopped it, or the link was lost."""


class TransferError(MultipeerError):
    """A resource cannot be sent, was not wanted, or did not arrive."""


class NudgeError(MultipeerError):
    """A peer could not be nudged."""


class RemoveError(MultipeerError):
    """A peer could not be removed: it is not in the session, or the host alone removes."""


class PingError(MultipeerError):
    """No answer to a ping came in time, or it was too large."""


class SessionOverError(MultipeerError):
    """The session is over: it was closed, or never entered."""
