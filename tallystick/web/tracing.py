"""Money followed: the owner's page and the staff's, drawn and as a table, down to each transfer.

One page for both; what an owner may not know is not in the flow that is made for them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from tallystick.core import money
from tallystick.core.db import APP
from tallystick.custody import accounts, books, errors
from tallystick.custody.accounts import Account
from tallystick.custody.tracing import flow, reading
from tallystick.custody.tracing.flow import Edge, Flow, Path
from tallystick.custody.tracing.parties import Node, Stage, Viewer
from tallystick.identity import access
from tallystick.identity.errors import AccessDenied
from tallystick.web import asking, csv_file, customer_own, flow_words
from tallystick.web.session import actor

PAGE = 50

COLUMNS = (
    "amount",
    "asset",
    "source_position",
    "order_position",
    "use_position",
    "end_position",
    "source",
    "accounts",
    "right",
    "use",
    "end",
)

_SIZES = {str(n): n for n in (6, 12, 30, 100)}


@dataclass(frozen=True, slots=True)
class Row:
    """A step of the flow as the table tells it."""

    edge: Edge
    source: str
    target: str
    mark: str
    """How the address names it."""
    is_open: bool


def my_flow(request: HttpRequest) -> HttpResponse:
    """A customer follows their own money: all accounts as one, or one of them."""
    mine = _mine(request)
    if not mine:
        return render(request, "tracing/none.html")
    found, chosen = _own_flow(request, mine)
    context = _context(request, found)
    context["choices"] = _choices(mine, chosen)
    context["csv"] = reverse("my-flow-csv") + asking.query(request, step=None, page=None)
    context["trail"] = [(_("My money"), reverse("my-money")), (_("Follow my money"), "")]
    return render(request, "tracing/flow.html", context)


def my_flow_csv(request: HttpRequest) -> HttpResponseBase:
    """Every part of every receipt of one's own, as a file."""
    mine = _mine(request)
    if not mine:
        raise AccessDenied(permission="custody.read_own")
    return _csv(_own_flow(request, mine)[0])


def account_flow(request: HttpRequest, book: int, number: str) -> HttpResponse:
    """Staff follow the money of an account, or of all its owner's."""
    access.require(APP, actor(request), "custody.read_ledger")
    account = accounts.of_text(APP, number, book=book)
    found = _staff_flow(request, account)
    context = _context(request, found)
    context["book"] = books.book(APP, book)
    context["account"] = account
    context["is_whole"] = request.GET.get("whole") == "1"
    context["csv"] = reverse("account-flow-csv", args=[book, number]) + asking.query(
        request, step=None, page=None
    )
    context["trail"] = [
        (context["book"].name, reverse("overview", args=[book])),
        (_("Accounts"), reverse("accounts", args=[book])),
        (account.name, reverse("account", args=[book, number])),
        (_("Where the money went"), ""),
    ]
    return render(request, "tracing/flow.html", context)


def account_flow_csv(request: HttpRequest, book: int, number: str) -> HttpResponseBase:
    """Every part of every receipt of an account, as a file."""
    access.require(APP, actor(request), "custody.export")
    return _csv(_staff_flow(request, accounts.of_text(APP, number, book=book)))


# ── what a page shows ────────────────────────────────────────────────────────────────────────────────────


def _context(request: HttpRequest, found: Flow) -> dict[str, Any]:
    nodes = {node.key: node for node in found.nodes}
    step = asking.text(request, "step", length_max=12)
    rows = _rows(found, nodes, step)
    opened = next((row for row in rows if row.is_open), None)
    page = asking.whole(request, "page") or 0
    parts = _through(found, opened.edge) if opened else []
    names = {node.key: flow_words.place(node) for node in found.nodes}
    return {
        "flow": found,
        "is_staff": found.viewer == Viewer.STAFF,
        "drawing": _drawing(found, names),
        "drawing_id": "flow-data",
        "stages": [
            (flow_words.STAGES[stage], [row for row in rows if nodes[row.edge.source].stage == stage])
            for stage in Stage
            if any(nodes[row.edge.source].stage == stage for row in rows)
        ],
        "opened": opened,
        "parts": [_part(found, path) for path in parts[page * PAGE : (page + 1) * PAGE]],
        "parts_total": len(parts),
        "first": asking.query(request, page=None) if page else "",
        "next": asking.query(request, page=page + 1) if len(parts) > (page + 1) * PAGE else "",
        "loans": [(flow_words.party(loan.party), loan) for loan in found.loans],
        "pending": [(flow_words.party(each.party), each) for each in found.pending],
        "asked": {name: request.GET.get(name, "") for name in ("from", "to")},
        "sizes": [(name, request.GET.get("nodes") or str(flow.NODES)) for name in _SIZES],
        # For links that keep what was asked for and change one part of it.
        "query": asking.query(request, step=None, page=None).removeprefix("?") + "&",
        "json": reverse("api-v1:show_flow", args=[found.accounts[0].text]) + _api_query(found),
    }


def _rows(found: Flow, nodes: dict[str, Node], step: str) -> list[Row]:
    return [
        Row(
            edge,
            flow_words.place(nodes[edge.source]),
            flow_words.place(nodes[edge.target]),
            str(i),
            str(i) == step,
        )
        for i, edge in enumerate(found.edges, 1)
    ]


def _drawing(found: Flow, names: dict[str, str]) -> dict[str, Any]:
    """What the page's script draws. Node names of the library must differ, so they are the keys."""
    stages = list(Stage)
    return {
        "nodes": [
            {"name": node.key, "label": names[node.key], "stage": stages.index(node.stage), "kind": node.kind}
            for node in found.nodes
        ],
        "links": [
            {"source": edge.source, "target": edge.target, "value": edge.amount_minor} for edge in found.edges
        ],
        "scale": found.scale,
        "unit": found.asset,
    }


def _through(found: Flow, edge: Edge) -> list[Path]:
    """The parts of receipts that went by this step."""
    step = (edge.source, edge.target)
    return [path for path in found.paths if step in zip(path.nodes, path.nodes[1:], strict=False)]


def _part(found: Flow, path: Path) -> dict[str, Any]:
    return {
        "amount_minor": path.amount_minor,
        "places": [
            {"position": position, "word": word, "moment": found.moments.get(position)}
            for position, word in (
                (path.source_position, _("received")),
                (path.order_position, _("ordered")),
                (path.use_position, _("used")),
                (path.end_position, _("went on")),
            )
            if position
        ],
    }


def _csv(found: Flow) -> HttpResponseBase:
    names = {node.key: flow_words.place(node) for node in found.nodes}

    def rows() -> Iterator[tuple[object, ...]]:
        for path in found.paths:
            places = [names[key] for key in path.nodes]
            if len(places) == 3:
                # What stays, or covers, has no right and goes no further.
                places.insert(2, "")
            yield (
                money.major(path.amount_minor, found.scale),
                found.asset,
                path.source_position or "",
                path.order_position or "",
                path.use_position or "",
                path.end_position or "",
                *places,
                *[""] * (5 - len(places)),
            )

    name = f"flow-{found.accounts[0].text}-{found.after_position}-{found.to_position}.csv"
    return csv_file.response(name, COLUMNS, rows())


def _api_query(found: Flow) -> str:
    scope = "owner" if len(found.accounts) > 1 else "account"
    return f"?scope={scope}&after={found.after_position}&to_position={found.to_position}"


# ── what was asked for ───────────────────────────────────────────────────────────────────────────────────


def _period(request: HttpRequest, book: int) -> tuple[int, int | None]:
    first, last = asking.moment(request, "from"), asking.moment(request, "to")
    return reading.period(APP, book, _day(first), _day(last))


def _day(moment: dt.datetime | None) -> dt.date | None:
    return None if moment is None else moment.date()


def _own_flow(request: HttpRequest, mine: Sequence[Account]) -> tuple[Flow, str]:
    """The flow of what was chosen among one's own accounts, and how the address names that."""
    chosen = asking.text(request, "account", length_max=40) or _all_of(mine[0])
    for each in mine:
        if chosen in (each.text, _all_of(each)):
            after, to = _period(request, each.book)
            me = customer_own.number(request)
            options: dict[str, Any] = {
                "viewer": Viewer.OWNER,
                "after_position": after,
                "to_position": to,
                "nodes_max": asking.choice(request, "nodes", _SIZES) or flow.NODES,
            }
            if chosen == each.text:
                return flow.of_account(APP, each.number, customer=me, **options), chosen
            return flow.of_owner(APP, each.book, me, each.asset, **options), chosen
    # Not "denied": whether there is such an account is none of their business.
    raise errors.AccountUnknown(account=chosen)


def _staff_flow(request: HttpRequest, account: Account) -> Flow:
    after, to = _period(request, account.book)
    options: dict[str, Any] = {
        "viewer": Viewer.STAFF,
        "after_position": after,
        "to_position": to,
        "nodes_max": asking.choice(request, "nodes", _SIZES) or flow.NODES,
    }
    if request.GET.get("whole") == "1" and account.owner:
        return flow.of_owner(APP, account.book, account.owner, account.asset, **options)
    return flow.of_account(APP, account.number, **options)


def _all_of(account: Account) -> str:
    return f"all-{account.book}-{account.asset}"


def _choices(mine: Sequence[Account], chosen: str) -> list[tuple[str, str, bool]]:
    told = {_all_of(each): _("All my accounts in %(asset)s") % {"asset": each.asset} for each in mine}
    told |= {each.text: f"{each.name} {each.text}" for each in mine}
    return [(value, label, value == chosen) for value, label in told.items()]


def _mine(request: HttpRequest) -> list[Account]:
    """The accounts this customer stands behind, whoever opened them."""
    return [own.account for own in customer_own.all_of(request)]
