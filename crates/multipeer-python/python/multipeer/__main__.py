"""``python -m multipeer``: a chat, line by line, with everyone near who runs it."""

from __future__ import annotations

import platform

from ._pythonista import MultipeerConnectivity


def main() -> None:
    """Asks for a name, and then for messages, until the input ends."""
    name = input("Name: ")
    connectivity = MultipeerConnectivity(display_name=name, service_type="chat", initial_data=platform.platform())
    try:
        while True:
            connectivity.send(input("Message: "))
    except (EOFError, KeyboardInterrupt):
        print()
    finally:
        connectivity.end_all()


if __name__ == "__main__":
    main()
