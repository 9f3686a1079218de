"""A drop for files: `python drop.py receive FOLDER`, and `python drop.py send FILE` for everyone who receives."""

import sys

from multipeer import PeerConnected
from multipeer.blocking import ResourceOffered, Session, Transfer


def bar(transfer: Transfer) -> None:
    """A progress bar, until the transfer has ended."""
    for progress in transfer:
        done = int(40 * (progress.fraction or 0))
        print(f"\r[{'#' * done:40}] {progress.rate / 1e6:6.1f} MB/s", end="", flush=True)
    print(f"\r[{'#' * 40}] {transfer.name}: {transfer.finished().bytes} bytes")


def receive(folder: str) -> None:
    with Session("drop-example", "receiver") as session:
        print("waiting", flush=True)
        for event in session:
            if isinstance(event, ResourceOffered):
                bar(event.offer.accept(folder))
                return


def send(path: str) -> None:
    with Session("drop-example", "sender") as session:
        for event in session:
            if isinstance(event, PeerConnected):
                bar(session.send_resource(event.peer, path))
                return


{"receive": receive, "send": send}[sys.argv[1]](sys.argv[2])
