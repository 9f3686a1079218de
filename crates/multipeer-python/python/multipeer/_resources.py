"""Resources for asyncio: files, folders and data on their way."""

from __future__ import annotations

import os
from typing import AsyncIterator, Union

from . import _multipeer
from ._base import BaseOffer, BaseTransfer
from ._bridge import Bridge
from ._types import Progress, Report


class Transfer(BaseTransfer):
    """A resource on its way, in either direction; an async iterator of its progress.

    Whoever does not look at it changes nothing: it goes on, and :class:`TransferEnded` tells how it went.
    """

    def __init__(self, transfer: _multipeer.Transfer, bridge: Bridge) -> None:
        super().__init__(transfer)
        self._bridge = bridge

    def __aiter__(self) -> AsyncIterator[Progress]:
        return self

    async def __anext__(self) -> Progress:
        numbers = await self._bridge.run(self._transfer.progress())
        if numbers is None:
            raise StopAsyncIteration
        return Progress(*numbers)

    async def finished(self) -> Report:
        """Waits for its end. Raises :class:`TransferError` if it came to nothing. Cancelling this changes nothing."""
        path, size, transmitted = await self._bridge.run(self._transfer.finished())
        return Report(None if path is None else os.fspath(path), size, transmitted)


class Offer(BaseOffer):
    """What a peer wants to send. Forgotten without an answer, it is declined."""

    def __init__(self, offer: _multipeer.Offer, bridge: Bridge) -> None:
        super().__init__(offer)
        self._bridge = bridge

    async def accept(self, folder: Union[str, "os.PathLike[str]"] = ".") -> Transfer:
        """Takes it into a folder, which is made if it is not there; nothing there is written over.

        Raises :class:`TransferError` if it was withdrawn, or there is no room for it.
        """
        pending = self._offer.accept(os.fspath(folder))
        return Transfer(await self._bridge.run(pending), self._bridge)

    async def accept_as(self, path: Union[str, "os.PathLike[str]"], *, overwrite: bool = False) -> Transfer:
        """Takes it as this very file or folder. Raises as :meth:`accept`."""
        pending = self._offer.accept(".", os.fspath(path), overwrite)
        return Transfer(await self._bridge.run(pending), self._bridge)
