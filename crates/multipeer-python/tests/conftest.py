"""What the tests share. Nothing here may leave the loopback interface."""

from __future__ import annotations

import asyncio
import itertools
import os
from contextlib import asynccontextmanager
from typing import Any, AsyncIterator, Awaitable, Callable, Tuple, Type, TypeVar

import pytest

# Before anything begins: for this process, and for those that it starts.
os.environ["MULTIPEER_INTERFACES"] = "lo"

import multipeer  # noqa: E402
from multipeer import Session  # noqa: E402

#: Seconds that anything may take before a test fails.
PATIENCE = 20.0

Anything = TypeVar("Anything")
_numbers = itertools.count()


def new_service() -> str:
    """A service type of its own for each test, so that tests do not meet."""
    return f"py-{os.getpid() % 100000}-{next(_numbers)}"


@pytest.fixture
def service() -> str:
    return new_service()


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Runs a test on an event loop, for so long at most."""

    async def limited() -> None:
        await asyncio.wait_for(test(), 3 * PATIENCE)

    asyncio.run(limited())


async def until(session: Session, kind: Type[Anything], **fields: Any) -> Anything:
    """The next event of this kind with these fields; others before it are forgotten."""

    async def find() -> Anything:
        async for event in session:
            if isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items()):
                return event
        raise AssertionError("the session is over")

    return await asyncio.wait_for(find(), PATIENCE)


@asynccontextmanager
async def pair(service: str, **settings: Any) -> AsyncIterator[Tuple[Session, Session]]:
    """Two sessions that are connected."""
    async with Session(service, "Alice", **settings) as alice, Session(service, "Bob", **settings) as bob:
        await asyncio.gather(until(alice, multipeer.PeerConnected), until(bob, multipeer.PeerConnected))
        yield alice, bob
