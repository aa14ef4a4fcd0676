"""`tallystick trace` and `tallystick pooling`: follow an account's money; find money that is pooled.

Reads as `system:cli`, and writes nothing. With `--json` standard output holds one JSON document, the same
as the API gives. With `--as-owner` it is what the owner themselves may see, and no more.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli import ground
from tallystick.core import money
from tallystick.core.db import APP

if TYPE_CHECKING:
    from tallystick.custody.pooling.indicators import Check
    from tallystick.custody.tracing.flow import Flow

_day = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--account", "account_text", required=True, help="The account, acc_…")
@click.option("--whole", is_flag=True, help="All accounts of its owner in its asset, followed as one.")
@click.option("--from", "first", type=_day, help="From this day of the book on.")
@click.option("--to", "last", type=_day, help="Up to and with this day of the book.")
@click.option(
    "--nodes", type=click.IntRange(2, 100), default=12, help="How many sources and uses are told one by one."
)
@click.option("--as-owner", is_flag=True, help="What the owner may see: no other client's name or number.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def trace(
    *,
    account_text: str,
    whole: bool,
    first: dt.datetime | None,
    last: dt.datetime | None,
    nodes: int,
    as_owner: bool,
    as_json: bool,
) -> None:
    """Follow an account's money: receipts, the right to each use, uses, what became of them, to the cent."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.api import tracing
        from tallystick.custody import accounts
        from tallystick.custody.tracing import flow, reading
        from tallystick.custody.tracing.parties import Viewer
        from tallystick.identity import access
        from tallystick.identity.access import Actor

        access.require(APP, Actor.system("cli"), "custody.read_ledger")
        account = accounts.of_text(APP, account_text)
        after, to = reading.period(
            APP, account.book, first.date() if first else None, last.date() if last else None
        )
        options: dict[str, Any] = {
            "viewer": Viewer.OWNER if as_owner else Viewer.STAFF,
            "after_position": after,
            "to_position": to,
            "nodes_max": nodes,
        }
        if whole and account.owner:
            found = flow.of_owner(APP, account.book, account.owner, account.asset, **options)
        else:
            found = flow.of_account(APP, account.number, **options)
    if as_json:
        click.echo(json.dumps(tracing.told(found), ensure_ascii=False, indent=1, default=_written))
        return
    _print(found)


def _written(value: object) -> str:
    assert isinstance(value, dt.datetime)
    return value.isoformat()


def _print(found: Flow) -> None:
    from django.utils.translation import gettext as _
    from rich.console import Console
    from rich.table import Table

    from tallystick.web import flow_words

    def shown(minor: int) -> str:
        return money.major(minor, found.scale)

    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    names = ", ".join(f"{each.name} {each.text}" for each in found.accounts)
    console.print(f"[bold]{names}[/bold]  {found.asset}  #{found.after_position + 1} – #{found.to_position}")
    sums = Table(box=None, show_header=False, pad_edge=False)
    sums.add_column()
    sums.add_column(justify="right")
    for word, minor in (
        (_("There at the beginning"), found.opening_minor),
        (_("Came in"), found.came_minor),
        (_("Left"), -found.left_minor),
        (_("There at the end"), found.closing_minor),
        (_("Undone, in both"), found.undone_minor),
    ):
        sums.add_row(word, shown(minor))
    console.print(sums)
    table = Table(_("From"), _("To"), box=None, pad_edge=False)
    table.add_column(_("Amount"), justify="right")
    table.add_column(_("Transfers"), justify="right")
    nodes = {node.key: node for node in found.nodes}
    for edge in found.edges:
        table.add_row(
            flow_words.place(nodes[edge.source]),
            flow_words.place(nodes[edge.target]),
            shown(edge.amount_minor),
            str(len(edge.positions)),
        )
    console.print(table)
    for held in found.pending:
        click.echo(
            _("Pending #{position}: {amount} {party}").format(
                position=held.position,
                amount=shown(held.amount_minor),
                party=flow_words.party(held.party),
            )
        )


@click.group()
def pooling() -> None:
    """Signs that lenders' money is pooled instead of lent."""


@pooling.command()
@click.option("--book", type=click.IntRange(1, 899), help="The book; may be left out where there is one.")
@click.option("--asset", help="The asset; may be left out where clients hold one.")
@click.option("--after", type=click.IntRange(0), default=0, help="Judge what is posted after this position.")
@click.option("--to-position", type=click.IntRange(0), help="Up to this position. [default: up to now]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def check(*, book: int | None, asset: str | None, after: int, to_position: int | None, as_json: bool) -> None:
    """Judge a book by five indicators, each with the transfers that show it. Nothing is written.

    Exit code 0 where the check was made, whatever it found.
    """
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.api import pooling as api
        from tallystick.custody import assets, books
        from tallystick.custody.pooling import indicators
        from tallystick.identity import access
        from tallystick.identity.access import Actor

        access.require(APP, Actor.system("cli"), "custody.read_ledger")
        there = books.books(APP)
        if book is None and len(there) != 1:
            raise click.UsageError(f"There are {len(there)} books: name one with --book.")
        found = books.book(APP, there[0].id if book is None else book)
        held = indicators.assets_of(APP, found.id)
        if asset is None and len(held) != 1:
            raise click.UsageError(f"Clients hold {len(held)} assets: name one with --asset.")
        code = held[0].code if asset is None else asset
        checked = indicators.check(APP, found.id, code, after_position=after, to_position=to_position)
    if as_json:
        click.echo(json.dumps(api.told(checked, found.id, code), ensure_ascii=False, indent=1))
        return
    _print_check(checked, code, assets.asset(APP, code).scale)


def _print_check(checked: Check, asset: str, scale: int) -> None:
    from django.utils.translation import gettext as _
    from rich.console import Console
    from rich.table import Table

    from tallystick.web import pooling as page

    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    table = Table(_("Sign"), _("State"), box=None, pad_edge=False)
    for heading in (_("Share"), _("Found from"), _("Findings")):
        table.add_column(heading, justify="right")
    for each in checked.indicators:
        told = page.told(each)
        table.add_row(told.name, told.state, told.value, told.threshold, str(len(each.findings)))
    console.print(table)
    for indicator in checked.indicators:
        for finding in indicator.findings[:5]:
            cited = " ".join(f"#{position}" for position in finding.evidence[:8])
            console.print(f"  {page.sentence(finding, scale, asset)}  {cited}")
