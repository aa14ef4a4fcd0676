"""Flow: an owner's money as a graph, from its sources over the accounts and the right to each use, to its end.

Promises: every edge cites the positions that make it; each node's opening and inflow are its outflow and
closing; what came and left is the statement of account to the minor unit, with what was undone told apart
and what is pending told beside it. For its owner a flow holds no other client's name, number or account:
these are not read out, so that no door can show them; a counterpart has a number that it keeps for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tallystick.core.db import Db
from tallystick.custody import accounts, history, holders
from tallystick.custody.accounts import Account
from tallystick.custody.codes import Code
from tallystick.custody.errors import AccountUnknown
from tallystick.custody.numbers import BookId, Family
from tallystick.custody.tracing import errors, parcels, reading, shares
from tallystick.custody.tracing.parcels import UNCOVERED, Movement
from tallystick.custody.tracing.parties import Node, Parties, Party, PartyKind, Stage, Viewer
from tallystick.custody.tracing.reading import ACCOUNTS_MAX, MINE_MAX, Met
from tallystick.custody.tracing.shares import Share

_APART = frozenset({"opening", "closing", "uncovered", "covered"})
"""Kinds of nodes that are no receipt and no use, and are never told as one with others."""

NODES = 12
NODES_MAX = 100
"""How many nodes of a stage are told one by one; the smaller rest is told as one."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Money from one node to the next, and the positions of the transfers it is made of."""

    source: str
    target: str
    amount_minor: int
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Path:
    """One part of one receipt, all its way. Positions; 0 where there is none at that place.

    order_position: the pending transfer by which the use was ordered and held.
    """

    source_position: int
    order_position: int
    use_position: int
    end_position: int
    amount_minor: int
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Loan:
    """What an owner has lent on one loan: opening and lent are principal back and closing."""

    party: Party
    first_position: int
    opening_minor: int
    lent_minor: int
    back_minor: int
    interest_minor: int
    closing_minor: int


@dataclass(frozen=True, slots=True)
class Pending:
    """A transfer that is held and not decided. Nothing of it is in the flow."""

    position: int
    code: Code
    party: Party
    amount_minor: int
    leaves: bool
    recorded_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Flow:
    """The money of some accounts between two positions. See the module for what holds of it."""

    viewer: Viewer
    book: BookId
    asset: str
    scale: int
    accounts: Sequence[Account]
    after_position: int
    to_position: int
    opening_minor: int
    came_minor: int
    left_minor: int
    closing_minor: int
    undone: Sequence[parcels.Undone]
    nodes: Sequence[Node]
    edges: Sequence[Edge]
    paths: Sequence[Path]
    loans: Sequence[Loan]
    pending: Sequence[Pending]
    moments: Mapping[int, Movement] = field(repr=False)
    """The transfers that are cited, by position: those of the accounts themselves."""

    @property
    def undone_minor(self) -> int:
        return sum(each.amount_minor for each in self.undone)

    @property
    def difference_minor(self) -> int:
        """By how much the graph departs from the statement of account, in or out: by nothing."""

        def total(stage: Stage) -> int:
            return sum(
                each.inflow_minor for each in self.nodes if each.stage == stage and each.kind not in _APART
            )

        lost_in = self.came_minor - self.undone_minor - total(Stage.SOURCE)
        lost_out = self.left_minor - self.undone_minor - total(Stage.USE)
        return abs(lost_in) + abs(lost_out)

    def node(self, key: str) -> Node | None:
        return next((each for each in self.nodes if each.key == key), None)


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def of_account(
    db: Db,
    number: int,
    *,
    viewer: Viewer,
    customer: str | None = None,
    after_position: int = 0,
    to_position: int | None = None,
    nodes_max: int = NODES,
) -> Flow:
    """The flow of one account, after one position and up to another. Asks nobody: the door has.

    customer: who looks at what they hold, of several holders; else the account's owner. Raises
    `errors.AccountUnknown`, `PositionUnknown`, `PeriodReversed` or `FlowTooLong`.
    """
    found = accounts.account(db, number)
    mine = _mine(db, found.book, customer or found.owner, viewer)
    return _flow(db, [found], mine, viewer, after_position, to_position, nodes_max)


def of_owner(
    db: Db,
    book: int,
    owner: str,
    asset: str,
    *,
    viewer: Viewer,
    after_position: int = 0,
    to_position: int | None = None,
    nodes_max: int = NODES,
) -> Flow:
    """The flow of all accounts that a client has in a book in one asset, followed as one.

    For staff those opened for this client; for the client themselves those they hold now, with others or
    alone, whoever opened them. Raises `errors.OwnerUnknown` where there are none, else as `of_account`.
    """
    mine = _mine(db, book, owner, viewer)
    found = [each for each in mine if each.asset == asset]
    if not found:
        raise errors.OwnerUnknown(owner=owner, asset=asset)
    if len(found) > ACCOUNTS_MAX:
        raise errors.FlowTooLong(most=ACCOUNTS_MAX)
    return _flow(db, found, mine, viewer, after_position, to_position, nodes_max)


def _mine(db: Db, book: int, owner: str, viewer: Viewer) -> Sequence[Account]:
    """A client's accounts in a book, of whatever asset."""
    if not owner:
        return []
    if viewer == Viewer.STAFF:
        return accounts.accounts(db, book, family=Family.CLIENT, owner=owner, limit=MINE_MAX)
    return [each for each in holders.accounts_of(db, owner, limit=MINE_MAX) if each.book == book]


def _flow(
    db: Db,
    followed: Sequence[Account],
    mine: Sequence[Account],
    viewer: Viewer,
    after_position: int,
    to_position: int | None,
    nodes_max: int,
) -> Flow:
    first = followed[0]
    if viewer == Viewer.OWNER and not first.owner:
        raise AccountUnknown(account=first.text)
    to = history.as_of(db, first.book, at_position=to_position)
    if after_position > to:
        raise errors.PeriodReversed(after=after_position, to=to)
    wanted = [each.number for each in followed]
    opening = history.balances(db, wanted, at_position=after_position)
    closing = history.balances(db, wanted, at_position=to)
    lines = reading.movements(db, wanted, after=after_position, to=to)
    attributed = parcels.attribute(
        {number: balance.balance_minor for number, balance in opening.items()}, lines
    )
    assert sum(each.balance_minor for each in closing.values()) == attributed.closing_minor, (
        "the parcels make the balance"
    )
    met = reading.met(db, followed, mine, to=to, after=after_position)
    parties = Parties(db, viewer, followed, mine, lines, met)
    lent = {
        line.taker for line in lines if line.code == Code.LEND and parties.kind(line.taker) == PartyKind.LOAN
    }
    onward = _Onward(db, sorted(lent), attributed.undone, to=to)
    paths = list(_paths(attributed, {line.position: line for line in lines}, parties, onward))
    nodes, edges, paths = _graph(paths, parties.nodes, nodes_max)
    is_held = any(each.debits_pending or each.credits_pending for each in closing.values())
    return Flow(
        viewer=viewer,
        book=first.book,
        asset=first.asset,
        scale=first.scale,
        accounts=followed,
        after_position=after_position,
        to_position=to,
        opening_minor=attributed.opening_minor,
        came_minor=attributed.came_minor,
        left_minor=attributed.left_minor,
        closing_minor=attributed.closing_minor,
        undone=attributed.undone,
        nodes=nodes,
        edges=edges,
        paths=paths,
        loans=_loans(met, parties),
        pending=_pending(reading.held(db, wanted, to=to), parties) if is_held else [],
        moments={line.position: line for line in lines},
    )


# ── paths ────────────────────────────────────────────────────────────────────────────────────────────────


def _paths(
    attributed: parcels.Attribution, lines: Mapping[int, Movement], parties: Parties, onward: _Onward
) -> Iterable[Path]:
    """Every part of every receipt, with the nodes it passes."""
    trunk = parties.place("accounts", Stage.ACCOUNTS, "accounts")
    followed: dict[int, list[list[int]]] = {}
    for piece in attributed.pieces:
        source = parties.source(piece.source, lines)
        if piece.use == UNCOVERED:
            covered = parties.place("covered", Stage.USE, "covered")
            yield Path(max(piece.source, 0), 0, 0, 0, piece.amount_minor, (source, trunk, covered))
            continue
        line = lines[piece.use]
        nodes = (source, trunk, parties.right(line.authorisation), parties.use(line))
        if (share := onward.share(line)) is None:
            yield Path(max(piece.source, 0), line.order_position, piece.use, 0, piece.amount_minor, nodes)
            continue
        # The receipts that made up this part go on in the order in which the part was spent.
        ends = followed.setdefault(piece.use, [list(each) for each in onward.ends(share)])
        left = piece.amount_minor
        while left:
            position, there = ends[0]
            part = min(there, left)
            end = parties.end(line.taker, onward.line(line.taker, position), line.giver)
            yield Path(max(piece.source, 0), line.order_position, piece.use, position, part, (*nodes, end))
            left -= part
            ends[0][1] -= part
            if not ends[0][1]:
                ends.pop(0)
    for kept in attributed.kept:
        closing = parties.place("closing", Stage.USE, "closing")
        source = parties.source(kept.source, lines)
        yield Path(max(kept.source, 0), 0, 0, 0, kept.amount_minor, (source, trunk, closing))


def _graph(
    paths: Sequence[Path], places: Mapping[str, Node], nodes_max: int
) -> tuple[list[Node], list[Edge], list[Path]]:
    """Paths added up to nodes and edges; the smaller nodes of a stage as one, and paths by their new names."""
    sums: dict[str, int] = {}
    for path in paths:
        for key in path.nodes:
            sums[key] = sums.get(key, 0) + path.amount_minor
    told = _told(sums, places, nodes_max)
    renamed = [
        path
        if all(told[key].key == key for key in path.nodes)
        else Path(
            path.source_position,
            path.order_position,
            path.use_position,
            path.end_position,
            path.amount_minor,
            tuple(told[key].key for key in path.nodes),
        )
        for path in paths
    ]
    amounts: dict[tuple[str, str], int] = {}
    cited: dict[tuple[str, str], set[int]] = {}
    through: dict[str, int] = {}
    for path in renamed:
        for key in path.nodes:
            through[key] = through.get(key, 0) + path.amount_minor
        for i, pair in enumerate(zip(path.nodes, path.nodes[1:], strict=False)):
            amounts[pair] = amounts.get(pair, 0) + path.amount_minor
            cited.setdefault(pair, set()).update(_cited(path, i))
    order = {stage: place for place, stage in enumerate(Stage)}
    unique = {node.key: node for node in told.values()}
    nodes = [_balanced(node, through[key]) for key, node in unique.items()]
    nodes.sort(key=lambda node: (order[node.stage], node.others > 0, -node.amount_minor, node.key))
    edges = [Edge(*pair, amount, tuple(sorted(cited[pair]))) for pair, amount in amounts.items()]
    place = {node.key: i for i, node in enumerate(nodes)}
    edges.sort(key=lambda edge: (place[edge.source], place[edge.target]))
    return nodes, edges, renamed


def _cited(path: Path, step: int) -> list[int]:
    """The positions behind the step of a path: the receipt's; then the order's and the use's; then the end's."""
    steps = (
        (path.source_position,),
        (path.order_position, path.use_position) if path.use_position else (path.source_position,),
        (path.order_position, path.use_position),
        (path.end_position or path.use_position,),
    )
    return [position for position in steps[step] if position]


_OPENS = frozenset({"opening"})
_STAYS = frozenset({"closing", "still"})


def _balanced(node: Node, amount: int) -> Node:
    opens, stays = node.kind in _OPENS, node.kind in _STAYS
    return Node(
        node.key,
        node.stage,
        node.kind,
        node.party,
        node.payee,
        node.others,
        opening_minor=amount if opens else 0,
        inflow_minor=0 if opens else amount,
        outflow_minor=0 if stays else amount,
        closing_minor=amount if stays else 0,
    )


def _told(sums: Mapping[str, int], places: Mapping[str, Node], nodes_max: int) -> dict[str, Node]:
    """Each node as it is told: itself, or with the smaller ones of its stage as one."""
    told: dict[str, Node] = {}
    for stage in (Stage.SOURCE, Stage.USE):
        mine = [key for key in sums if places[key].stage == stage]
        # What stood there and what is left is never among the rest.
        fixed = [key for key in mine if places[key].kind in _APART]
        ranked = sorted(set(mine) - set(fixed), key=lambda key: (-sums[key], key))
        keep = ranked if len(ranked) <= nodes_max else ranked[: nodes_max - 1]
        rest = ranked[len(keep) :]
        told |= {key: places[key] for key in (*fixed, *keep)}
        # The rest by kinds, so that it still says what it is.
        kinds = {key: places[key].kind for key in rest}
        for kind in sorted(set(kinds.values())):
            of_kind = [key for key in rest if kinds[key] == kind]
            if len(of_kind) == 1:
                told[of_kind[0]] = places[of_kind[0]]
                continue
            told |= dict.fromkeys(of_kind, Node(f"{stage}:others:{kind}", stage, kind, others=len(of_kind)))
    for key in sums:
        if places[key].stage in (Stage.ACCOUNTS, Stage.RIGHT):
            told[key] = places[key]
    for key in [key for key in sums if places[key].stage == Stage.END]:
        place = places[key]
        use = f"use:{Code.LEND.text}:{key.split(':')[1]}"
        of_rest = use in told and told[use].others
        told[key] = (
            Node(f"end:others:{place.kind}", Stage.END, place.kind, others=told[use].others)
            if of_rest
            else place
        )
    return told


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


class _Onward:
    """What loans' accounts did with what was lent on them, read once for each."""

    def __init__(self, db: Db, loans: Sequence[int], undone: Sequence[parcels.Undone], *, to: int) -> None:
        self._undone = {each.by for each in undone}
        lines: dict[int, list[Movement]] = {loan: [] for loan in loans}
        for line in reading.movements(db, loans, after=0, to=to) if loans else ():
            for loan in (line.giver, line.taker):
                if loan in lines:
                    lines[loan].append(line)
        self._lines = {loan: {line.position: line for line in lines[loan]} for loan in loans}
        self._shares = {loan: shares.shares(loan, lines[loan]) for loan in loans}

    def share(self, line: Movement) -> Share | None:
        """What became of what this line lent; nothing where it lent nothing, or was undone."""
        if line.code != Code.LEND:
            return None
        found = self._shares.get(line.taker, {}).get(line.position)
        return None if found is None or found.is_undone else found

    def ends(self, share: Share) -> list[tuple[int, int]]:
        """Each payment and how much of the part it was, then what is left; without what came back undone."""
        went = [each for each in share.went if each[0] not in self._undone]
        return [each for each in (*went, (0, share.left_minor)) if each[1]]

    def line(self, loan: int, position: int) -> Movement | None:
        return self._lines[loan].get(position)


def _loans(met: Mapping[int, Met], parties: Parties) -> list[Loan]:
    """The loans that anything was lent on, in the order they were first lent on."""
    return [
        Loan(
            party=parties.party(number),
            first_position=each.first_position,
            opening_minor=each.opening_minor,
            lent_minor=each.lent_minor,
            back_minor=each.back_minor,
            interest_minor=each.interest_minor,
            closing_minor=each.opening_minor + each.lent_minor - each.back_minor,
        )
        for number, each in sorted(met.items(), key=lambda pair: (pair[1].first_position, pair[0]))
        if each.has_lent and (each.opening_minor or each.lent_minor or each.back_minor or each.interest_minor)
    ]


def _pending(held: Sequence[reading.Held], parties: Parties) -> list[Pending]:
    told = []
    for each in held:
        is_debited = each.debit_account in parties.followed
        mine, other = each.debit_account, each.credit_account
        if not is_debited:
            mine, other = other, mine
        told.append(
            Pending(
                position=each.position,
                code=each.code,
                party=parties.party(other),
                amount_minor=each.amount_minor,
                leaves=is_debited != reading.is_mirrored(mine),
                recorded_at=each.recorded_at,
                expires_at=each.expires_at,
            )
        )
    return told
