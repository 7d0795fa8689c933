"""Networks of their own for processes on this machine, each with a cable that can be pulled.

Linux only. The caller must be root of its network, and in one that nobody else uses.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

_CLONE_NEWNET = 0x40000000
_BRIDGE = "hosts"
_LIBC = ctypes.CDLL(None, use_errno=True)


class Networks:
    """A switch, and a network for each label. Used on one thread, which has the parent's network.

    address: the caller's own.
    """

    def __init__(self) -> None:
        self.address = "10.77.0.1"
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._made: dict[str, tuple[int, str]] = {}
        _ip("link", "set", "lo", "up")
        _ip("link", "add", _BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{self.address}/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")

    @contextmanager
    def of(self, label: str) -> Iterator[str]:
        """Processes that are started within the block have this network; its address."""
        if label not in self._made:
            self._made[label] = self._make(label)

        network, address = self._made[label]
        _checked(_LIBC.setns(network, _CLONE_NEWNET))
        try:
            yield address
        finally:
            _checked(_LIBC.setns(self._home, _CLONE_NEWNET))

    def set(self, label: str, state: str) -> None:
        """Plug the cable in, or pull it out: "up" or "down"."""
        _ip("link", "set", "dev", label, state)

    def _make(self, label: str) -> tuple[int, str]:
        address = f"10.77.0.{len(self._made) + 2}"
        _checked(_LIBC.unshare(_CLONE_NEWNET))
        try:
            network = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            _ip("link", "set", "lo", "up")
            # The other end is in the network of the parent, which is ours too.
            parent = str(os.getppid())
            _ip("link", "add", "cable", "type", "veth", "peer", "name", label, "netns", parent)
            _ip("addr", "add", f"{address}/24", "dev", "cable")
            _ip("link", "set", "cable", "up")
        finally:
            _checked(_LIBC.setns(self._home, _CLONE_NEWNET))

        _ip("link", "set", "dev", label, "master", _BRIDGE, "up")

        return network, address


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
