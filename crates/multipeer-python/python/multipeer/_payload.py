"""Messages: bytes as they are, and JSON values with a mark before them.

A message that is bytes goes over the wire as it is, so that programs in other languages read it; one that begins like a
mark by chance gets a mark of its own. Anything else goes as JSON, in UTF-8, after a mark (docs/python.md, "On the wire").
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Union

#: What marks begin with.
_MARK = b"\x00\xff"
_JSON = _MARK + b"json\n"
_DATA = _MARK + b"data\n"
#: Before what a peer with the pythonista-multipeer API says of itself first.
_INITIAL = _MARK + b"init\n"
_LENGTH = len(_JSON)


@dataclass(frozen=True)
class Initial:
    """What a peer with the pythonista-multipeer API says of itself first: its `initial_data`."""

    value: Any


Buffer = Union[bytes, bytearray, memoryview]


def encode(message: Any) -> bytes:
    """A message as bytes.

    Raises :class:`TypeError` or :class:`ValueError` for what is neither bytes nor JSON.
    """
    if isinstance(message, (bytes, bytearray, memoryview)):
        data = message if isinstance(message, bytes) else bytes(message)
        return _DATA + data if data[:2] == _MARK else data
    return encode_json(message)


def encode_json(message: Any) -> bytes:
    """A JSON value as a message."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _JSON + text.encode()


def encode_initial(value: Any) -> bytes:
    """What a peer with the pythonista-multipeer API says of itself first."""
    return _INITIAL + json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def decode(data: bytes) -> Any:
    """What a message was, before it was encoded. What breaks the rules is bytes."""
    if data[:2] != _MARK:
        return data
    mark, rest = data[:_LENGTH], data[_LENGTH:]
    if mark == _DATA:
        return rest
    try:
        if mark == _JSON:
            return json.loads(rest)
        if mark == _INITIAL:
            return Initial(json.loads(rest))
    except ValueError:
        pass
    return data
