"""Trees: each asset's sum tree of a statement, its files, and what is asked of it afterwards.

A tree is two files of the home: the snapshot it is made of and the nodes that are kept. Both can be lost: they
are made again from the ledger at the statement's position with the tree's key, and are the same to the byte or
refused. The snapshot holds every client's balance: both are readable by their owner alone.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.custody import accounts, assets, errors, numbers
from tallystick.custody.numbers import BookId, Family
from tallystick.custody.solvency import balances, statement_file, tree_keys
from tallystick.custody.solvency.balances import Debts
from tallystick.evidence import canonical, keys, log, reading, stated, tlog_proof
from tallystick.evidence import errors as evidence_errors
from tallystick.evidence.liabilities import building, profile, proof_file, proving, snapshot
from tallystick.evidence.liabilities.profile import Keys
from tallystick.evidence.witness import quorum
from tallystick.identity import access
from tallystick.identity.access import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What a tree is of: an asset of a book at a position, and where in the chain of statements it stands."""

    book: BookId
    origin: str
    asset: assets.Asset
    audit: int
    day: dt.date
    cut_off: dt.datetime
    position: int
    fragments: int
    ledger_log: Mapping[str, canonical.Value] | None

    def header(self, customers: int) -> profile.Header:
        """The tree's header."""
        return profile.Header(
            origin=self.origin,
            asset=self.asset.code,
            scale=self.asset.scale,
            audit=self.audit,
            day=self.day,
            cut_off=self.cut_off,
            customers=customers,
            fragments=self.fragments,
            basis={"book": self.book, "position": self.position, "ledger_log": self.ledger_log},
        )


@dataclass(frozen=True, slots=True)
class Made:
    """A tree just made, and its keys."""

    tree: building.Tree
    id: bytes
    keys: Keys
    debts: Debts


@dataclass(frozen=True, slots=True)
class Kept:
    """A tree of a statement, as its row has it."""

    statement: str
    book: BookId
    asset: assets.Asset
    text: str
    event: int
    commitment: Mapping[str, canonical.Value]
    keys: Keys

    @property
    def header(self) -> Mapping[str, canonical.Value]:
        return proof_file.commitment(dict(self.commitment)).header


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def customers(commitment: Mapping[str, canonical.Value]) -> int:
    """How many accounts a tree is of."""
    return proof_file.commitment(dict(commitment)).customers


def files(folder: Path, book: int, audit: int, asset: str) -> tuple[Path, Path]:
    """Where a tree's snapshot and nodes lie."""
    name = f"book-{book}-{audit:06d}-{asset}"
    return folder.joinpath(f"{name}.snapshot"), folder.joinpath(f"{name}.nodes")


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def kept(db: Db, statement: str, asset: str) -> Kept:
    """The tree of an asset in a statement (sol_…). Raises `errors.TreeUnknown` or `TreeKeyUnsealable`."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select s.book_id, s.statement, s.event, t.sealed_key, c.number from custody_solvency_tree t"
            " join custody_solvency_statement s on s.id = t.statement_id"
            " join custody_asset c on c.number = t.asset_id"
            " where s.id = %s and c.code = %s",
            [numbers.row_number(statement, "sol_"), asset],
        )
        row = cursor.fetchone()
    if row is None:
        raise errors.TreeUnknown(statement=statement, asset=asset)
    commitment = statement_file.commitment_of(row[1], asset)
    header = proof_file.commitment(dict(commitment)).header
    return Kept(
        statement=statement,
        book=BookId(row[0]),
        asset=next(each for each in assets.assets(db) if each.number == row[4]),
        text=row[1],
        event=row[2],
        commitment=commitment,
        keys=tree_keys.opened(bytes(row[3]), profile.tree_id(header)),
    )


@contextlib.contextmanager
def prover(db: Db, found: Kept, folder: Path) -> Iterator[proving.Prover]:
    """What makes proofs of a tree. Its files are made again where they are gone.

    Raises `evidence.errors.RebuildDiffers` where the ledger no longer gives this tree.
    """
    with contextlib.ExitStack() as stack:
        try:
            source, tree = _opened(found, folder, stack)
        except (OSError, evidence_errors.SnapshotMalformed):
            # Gone, or cut short by a machine that stopped: the ledger has what they were made of.
            again(db, found, folder)
            source, tree = _opened(found, folder, stack)
        yield proving.Prover(tree, found.keys, source)


def prove(db: Db, found: Kept, account: accounts.Account, folder: Path) -> bytes:
    """The proof's file for an account's owner: to be handed to nobody else.

    With the statement, and its place in the public log as soon as it was sealed there. Raises
    `evidence.errors.AccountNotInTree` where it was opened later, or is of another book or asset.
    """
    if (account.book, account.asset) != (found.book, found.asset.code) or account.family != Family.CLIENT:
        raise evidence_errors.AccountNotInTree
    with prover(db, found, folder) as made:
        proof = made.prove(
            balances.identifiers_of(account), statement=found.text, inclusion=_inclusion(db, found.event)
        )
    return proving.spelled(proof)


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def make(
    db: Db,
    cut: Cut,
    *,
    folder: Path,
    workers: int = 1,
    progress: balances.Progress | None = None,
) -> Made:
    """Make a tree and its files."""
    debts = Debts()
    header = _snapshot(db, cut, folder, debts, progress)
    tree = profile.tree_id(header)
    drawn = tree_keys.drawn(tree)
    return Made(_built(cut, header, drawn, folder, workers=workers), tree, drawn, debts)


def again(db: Db, found: Kept, folder: Path, *, workers: int = 1) -> None:
    """Make a tree's files again from the ledger. Raises `evidence.errors.RebuildDiffers`."""
    header = found.header
    basis = header["basis"]
    assert isinstance(basis, dict)
    cut = Cut(
        book=found.book,
        origin=str(header["origin"]),
        asset=found.asset,
        audit=_audit(found),
        day=dt.date.fromisoformat(str(header["day"])),
        cut_off=dt.datetime.fromisoformat(str(header["cut_off"]).replace("Z", "+00:00")),
        position=int(basis["position"]),
        fragments=int(str(header["fragments"])),
        ledger_log=basis["ledger_log"],
    )
    made = _snapshot(db, cut, folder, Debts(), None)
    tree = _built(cut, made, found.keys, folder, workers=workers)
    for member, expected in found.commitment.items():
        if tree.commitment[member] != expected:
            for path in files(folder, cut.book, cut.audit, cut.asset.code):
                path.unlink(missing_ok=True)
            raise evidence_errors.RebuildDiffers(
                member=member, found=tree.commitment[member], published=expected
            )


def hand_over(
    db: Db, found: Kept, folder: Path, to: Path, *, recipient: str, actor: Actor, now: dt.datetime
) -> bytes:
    """Copy a tree's snapshot for whoever builds it again, and say its key: the bank, the regulator.

    It holds every client's balance. Raises `errors.RecipientUnnamed`.
    """
    access.require(db, actor, "custody.hand_over_liabilities")
    if not recipient.strip() or len(recipient) > 120:
        raise errors.RecipientUnnamed
    with prover(db, found, folder):
        records, _ = files(folder, found.book, _audit(found), found.asset.code)
    with transaction.atomic(using=db):
        # First: there is no copy that the log does not know of.
        log.append(
            db,
            "custody.liabilities_handed_over",
            {"statement": found.statement, "asset": found.asset.code, "recipient": recipient},
            actor=actor.id,
            at=now,
        )
    with records.open("rb") as source, _private(to) as out:
        while piece := source.read(1 << 20):
            out.write(piece)
    return found.keys.tree_key


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _snapshot(
    db: Db, cut: Cut, folder: Path, debts: Debts, progress: balances.Progress | None
) -> Mapping[str, canonical.Value]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    pairs = balances.owed(
        db,
        cut.book,
        cut.asset.number,
        origin=cut.origin,
        position=cut.position,
        before=cut.cut_off,
        debts=debts,
        progress=progress,
    )
    records, _ = files(folder, cut.book, cut.audit, cut.asset.code)
    return snapshot.write(records, pairs, cut.header).spelled()


def _built(
    cut: Cut, header: Mapping[str, canonical.Value], of_tree: Keys, folder: Path, *, workers: int
) -> building.Tree:
    records, nodes = files(folder, cut.book, cut.audit, cut.asset.code)
    with snapshot.Snapshot(records) as source:
        tree = building.build(header, of_tree, source, workers=workers)
    unfinished = nodes.with_suffix(".unfinished")
    with _private(unfinished) as out:
        for piece in tree.nodes():
            out.write(piece)
    unfinished.replace(nodes)
    return tree


def _opened(
    found: Kept, folder: Path, stack: contextlib.ExitStack
) -> tuple[snapshot.Snapshot, building.Tree]:
    records, nodes = files(folder, found.book, _audit(found), found.asset.code)
    source = stack.enter_context(snapshot.Snapshot(records))
    if source.header != found.header:
        raise evidence_errors.SnapshotMalformed(reason="it is of another tree")
    return source, proving.kept(found.commitment, nodes)


def _private(path: Path) -> BinaryIO:
    """A file about to be written, readable by its owner alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _audit(found: Kept) -> int:
    audit = found.header["audit"]
    assert isinstance(audit, int)
    return audit


def _inclusion(db: Db, event: int) -> str | None:
    """The proof that the public log holds the statement; nothing before it was sealed, and witnesses have seen it."""
    if reading.head(db, keys.PUBLIC) is None:
        return None
    index = reading.index_of(db, keys.PUBLIC, event)
    if index is None:
        return None
    try:
        sealed = quorum.required_inclusion(db, keys.PUBLIC, index)
    except evidence_errors.QuorumMissing:
        # A day's statement rests on what others have seen, by the policy of this installation.
        return None
    # What the entry says besides the statement goes along, so that the entry can be hashed again.
    return tlog_proof.TlogProof(
        sealed.index, sealed.path, sealed.note, stated.rest(sealed.body)
    ).text.decode()
