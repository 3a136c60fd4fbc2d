"""After a fork: connections, threads and locks belong to the process that made them.

In a child the threads are gone, a lock that one of them held stays locked for ever, and two processes on one socket
garble each other's messages. What owns such things says here how to start without them; it then makes its own when it
next needs them.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forgetful(Protocol):
    """What can start afresh in a child."""

    def _forget(self) -> object:
        """Drop connections, threads and locks without closing or waiting; returns what was dropped."""


_owners: WeakSet[Forgetful] = WeakSet()
_dropped: list[object] = []
"""kept, since a destructor might say goodbye on a socket, or change an event loop's epoll, that is the parent's too"""


def forget_after_fork(owner: Forgetful) -> None:
    """Call `owner._forget()` in every child that is forked while the owner lives."""
    _owners.add(owner)


def _in_child() -> None:
    _dropped.extend(owner._forget() for owner in list(_owners))


os.register_at_fork(after_in_child=_in_child)
