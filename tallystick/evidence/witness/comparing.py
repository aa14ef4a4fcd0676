"""Comparing: whether witnesses were shown one history, by what each of them says that it signed last.

For anybody, with a policy and no database. Two checkpoints of one log and one size with two roots, each signed by
the log and by a witness, are proof of a split view that needs nothing else. Of two sizes, the log's published
tiles say whether both belong to one history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from tallystick.core.errors import Refusal
from tallystick.evidence import checkpoints, cosignatures, hashing, notes, tiles
from tallystick.evidence.policy import Policy
from tallystick.evidence.witness import asking

Fetch = Callable[[str, str], bytes | asking.Declined | asking.Unreachable]
"""(address, origin) to the checkpoint that a witness signed last."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a witness shows of a log: a checkpoint that both have signed, or why there is none."""

    witness: str
    origin: str
    note: bytes = b""
    checkpoint: checkpoints.Checkpoint | None = None
    seconds: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Split:
    """Two histories of one log, each with who was shown it. The notes are the proof."""

    first: Shown
    second: Shown


def shown(trusted: Policy, fetch: Fetch) -> list[Shown]:
    """What each witness of a policy shows of each log of it, checked."""
    origins = dict.fromkeys(log.key.name for log in trusted.logs)
    return [
        _checked(name, party.key, origin, log_keys(trusted, origin), fetch(party.url, origin))
        for origin in origins
        for name, party in trusted.witnesses.items()
        if party.url
    ]


def log_keys(trusted: Policy, origin: str) -> list[notes.Key]:
    """The keys of a log."""
    return [each.key for each in trusted.logs if each.key.name == origin]


def splits(found: Sequence[Shown]) -> list[Split]:
    """The pairs that contradict one another by themselves: one size, two roots."""
    return [
        Split(a, b)
        for a, b in combinations(found, 2)
        if a.checkpoint
        and b.checkpoint
        and (a.origin, a.checkpoint.size) == (b.origin, b.checkpoint.size)
        and a.checkpoint.root != b.checkpoint.root
    ]


def strangers(
    found: Iterable[Shown], folder: Path, keys: Sequence[notes.Key], suite: hashing.Suite = hashing.SHA256
) -> list[Shown]:
    """Those who were shown what is no part of the log as it is published in a folder, or more than that.

    Raises what `checkpoints.open` does, `errors.TileMalformed` where the folder lacks a tile, and
    `errors.ProofRefused` where its tiles do not lead to its checkpoint.
    """
    note = (folder / "checkpoint").read_bytes()
    published = checkpoints.open(note, map(cosignatures.verifier, keys))

    def read(level: int, index: int, width: int) -> bytes:
        path = folder / tiles.tile_path(level, index, width)
        return path.read_bytes() if path.exists() else b""

    hashes = tiles.TileHashes(read, suite).at(published.size)

    def is_part(head: checkpoints.Checkpoint) -> bool:
        if head.size > published.size:
            return False
        root = hashing.root_of(hashes, head.size, suite)
        # Files that were spoiled must accuse nobody: what they say has to lead to the signed root.
        proof = hashing.consistency_proof(head.size, published.size, hashes, suite)
        hashing.verify_extension(head.size, root, published.size, published.root, proof, suite)
        return root == head.root

    return [
        each
        for each in found
        if each.checkpoint and each.origin == published.origin and not is_part(each.checkpoint)
    ]


def _checked(
    witness: str,
    key: notes.Key,
    origin: str,
    keys: Sequence[notes.Key],
    found: bytes | asking.Declined | asking.Unreachable,
) -> Shown:
    if isinstance(found, asking.Declined):
        return Shown(witness, origin, trouble=f"{found.status} {found.told}")
    if isinstance(found, asking.Unreachable):
        return Shown(witness, origin, trouble=found.reason)
    try:
        checkpoint = checkpoints.open(found, map(cosignatures.verifier, keys), origin=origin)
        opened = notes.open(found, [cosignatures.verifier(key)])
    except Refusal as why:
        return Shown(witness, origin, note=found, trouble=str(why))
    return Shown(witness, origin, found, checkpoint, cosignatures.seconds(opened.signatures[0]))
