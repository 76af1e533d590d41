"""On PYTHONPATH: whoever opens a socket or asks for an address is noted in $SOCKETS_OPENED and refused."""

import os
import sys

WATCHED = ("socket.__new__", "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname")


def refuse(event: str, given: tuple) -> None:
    if event in WATCHED:
        with open(os.environ["SOCKETS_OPENED"], "a") as notes:
            notes.write(f"{event} {given[1:]}\n")
        raise PermissionError(f"{event}: no socket may be opened here")


sys.addaudithook(refuse)
