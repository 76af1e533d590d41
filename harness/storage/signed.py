"""Python objects that pass from one process of a run to another through files, and nobody else's.

An object is pickled, and what was pickled can execute.  So each message carries a signature made with a
secret that only the processes of one run have: what anybody else wrote, or what was torn or altered, is
refused unread.
"""

from __future__ import annotations

import hashlib
import hmac
import pickle
import secrets
from typing import Any

from ..errors import StoreError

_LENGTH = hashlib.sha256().digest_size


def new_secret() -> bytes:
    """A secret for one run."""
    return secrets.token_bytes(32)


def signed(value: Any, secret: bytes) -> bytes:
    """`value` as bytes for :func:`verified`."""
    body = pickle.dumps(value)
    return hmac.digest(secret, body, "sha256") + body


def verified(message: bytes, secret: bytes, *, origin: str) -> Any:
    """What :func:`signed` was given with the same secret.

    origin : what is said to hold the message.

    Raises
    ------
    StoreError
        It was signed with another secret, or altered; nothing of it was read.
    """
    signature, body = message[:_LENGTH], message[_LENGTH:]
    if not hmac.compare_digest(signature, hmac.digest(secret, body, "sha256")):
        raise StoreError(f"{origin} was not written by this run, or was altered; it was not read")
    return pickle.loads(body)
