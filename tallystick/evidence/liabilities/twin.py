"""The twin: leaves and inner nodes of many accounts at once, in Python, with `hashlib`.

What the kernel does, byte for byte, wherever the kernel could not be built. Messages are laid out by the
column and hashed one by one, which is all the time it takes.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

import numpy as np
import numpy.typing as npt

from tallystick.evidence.liabilities import order, profile
from tallystick.evidence.liabilities.order import Network, Places

NAME: Final = "python"

SKIP = 2**32 - 1
"""The place of a fragment whose leaf nobody asked for."""

Octets = npt.NDArray[np.uint8]

_RECORD = np.dtype([("account", "u1", 32), ("amount", ">u8")])
_HMAC_BLOCK = 64


def walked(net: Network, wanted: Places, *, back: bool = False) -> Places:
    """Where these slots lie; with `back`, which slots lie there."""
    return order.walked(net, wanted, back=back)


def leaves(tree: bytes, nonce_key: bytes, records: bytes, fragments: int, at: Places, room: int) -> Octets:
    """The leaves of these records, fragment f of record i at `at[fragments * i + f]` of `room` nodes."""
    told = np.frombuffer(records, _RECORD)
    nonces = _nonces(nonce_key, np.ascontiguousarray(told["account"]).tobytes())
    amounts = _fragments(told["amount"].tolist(), fragments, nonces)
    wanted = np.flatnonzero(at != SKIP)
    owner = wanted // fragments
    message = np.zeros((len(wanted), 115), np.uint8)
    message[:, 0] = 0x10
    message[:, 1:33] = np.frombuffer(tree, np.uint8)
    message[:, 34] = wanted % fragments
    message[:, 35:67] = told["account"][owner]
    message[:, 67:99] = np.frombuffer(nonces, np.uint8).reshape(-1, 32)[owner]
    message[:, 107:115] = amounts[wanted].astype(">u8").view(np.uint8).reshape(-1, 8)
    nodes = np.zeros((room, profile.NODE_BYTES), np.uint8)
    nodes[at[wanted], :32] = _hashes(message)
    nodes[at[wanted], 32:] = message[:, 99:115]
    return nodes


def parents(nodes: Octets) -> Octets:
    """One level up: an even number of nodes becomes half as many."""
    pairs = nodes.reshape(-1, 2 * profile.NODE_BYTES)
    message = np.empty((len(pairs), 97), np.uint8)
    message[:, 0] = 0x11
    message[:, 1:] = pairs
    above = np.empty((len(pairs), profile.NODE_BYTES), np.uint8)
    above[:, :32] = _hashes(message)
    sums = np.ascontiguousarray(nodes[:, 32:]).view(">u8").astype(np.uint64)
    high, low = sums[:, 0], sums[:, 1]
    low_sum = low[::2] + low[1::2]
    high_sum = high[::2] + high[1::2] + (low_sum < low[::2])
    if (np.maximum(np.maximum(high[::2], high[1::2]), high_sum) >> np.uint64(36)).any():
        raise OverflowError("a sum of 100 bits: no tree of psum-v1 has one")
    above[:, 32:40] = high_sum.astype(">u8").view(np.uint8).reshape(-1, 8)
    above[:, 40:] = low_sum.astype(">u8").view(np.uint8).reshape(-1, 8)
    return above


def tiles(nodes: Octets) -> Octets:
    """Eight levels up: each 256 nodes become one."""
    for _ in range(8):
        nodes = parents(nodes)
    return nodes


def levels(nodes: Octets) -> list[Octets]:
    """A tile's 256 nodes and every level above them, to the one node they become."""
    found = [nodes]
    for _ in range(8):
        found.append(parents(found[-1]))
    return found


def _nonces(key: bytes, accounts: bytes) -> bytes:
    # HMAC with the key's block hashed once: `hmac.digest` takes three times as long.
    inner = hashlib.sha256(bytes(each ^ 0x36 for each in key.ljust(_HMAC_BLOCK, b"\0")))
    outer = hashlib.sha256(bytes(each ^ 0x5C for each in key.ljust(_HMAC_BLOCK, b"\0")))
    found = []
    for (account,) in struct.iter_unpack("32s", accounts):
        within, around = inner.copy(), outer.copy()
        within.update(account)
        around.update(within.digest())
        found.append(around.digest())
    return b"".join(found)


def _fragments(balances: list[int], count: int, nonces: bytes) -> npt.NDArray[np.uint64]:
    """The fragments' amounts, an account's side by side."""
    if count == 1:
        return np.array(balances, np.uint64)
    sha256, parts = hashlib.sha256, []
    drawn = struct.Struct(f">{count - 1}Q")
    for rest, (nonce,) in zip(balances, struct.iter_unpack("32s", nonces), strict=True):
        for word in drawn.unpack_from(sha256(b"\x14" + nonce).digest()):
            part = word * (rest + 1) >> 64
            parts.append(part)
            rest -= part
        parts.append(rest)
    return np.array(parts, np.uint64)


def _hashes(messages: Octets) -> Octets:
    sha256 = hashlib.sha256
    rows = struct.iter_unpack(f"{messages.shape[1]}s", messages.tobytes())
    found = b"".join([sha256(message).digest() for (message,) in rows])
    return np.frombuffer(found, np.uint8).reshape(-1, 32)
