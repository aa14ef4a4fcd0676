"""A proof on paper: what its file says, for whoever reads rather than computes.

Promises: every figure is the recorded proof's; the same proof, language and sign-off are the same bytes; a
proof of many accounts lists the largest part in its file and says so here.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal

from django.utils import translation
from django.utils.translation import gettext

from tallystick.core import pdf
from tallystick.custody.safeguarding import wording
from tallystick.custody.safeguarding.comparison import Position
from tallystick.custody.safeguarding.proofs import Proof
from tallystick.evidence import canonical
from tallystick.identity.approvals import Approval, Outcome

ACCOUNTS_MAX = 500
"""How many accounts are printed; the file has them all."""


def document(
    proof: Proof,
    accounts: Iterable[Mapping[str, canonical.Value]],
    *,
    sign_off: Approval | None,
    language: Literal["zh-hans", "en"],
) -> pdf.Document:
    """The proof as a document. `accounts` are its lines; no more are read than are printed."""
    with translation.override(language):
        header = proof.header
        return pdf.Document(
            title=gettext("Segregation proof"),
            subtitle=gettext("{name}, book {book}: at the close of {day}").format(
                name=header["book_name"], book=proof.book, day=proof.day.isoformat()
            ),
            language=language,
            blocks=list(_blocks(proof, accounts, sign_off)),
            produced_at=proof.at.astimezone(zoneinfo.ZoneInfo(header["time_zone"])),
            digest=proof.digest.hex(),
            foot=proof.id,
        )


def _blocks(
    proof: Proof, accounts: Iterable[Mapping[str, canonical.Value]], sign_off: Approval | None
) -> Iterator[pdf.Block]:
    header, positions = proof.header, proof.positions
    scales = {each.asset: each.scale for each in positions}
    yield pdf.KeyValues(
        [
            (gettext("Result"), wording.result(proof.result)),
            (gettext("Closed at"), f"{header['closed_at']} ({header['time_zone']})"),
            (gettext("Ledger position"), f"{proof.position:,}"),
            (gettext("Number in the chain"), str(proof.number)),
            (gettext("Made by"), proof.actor),
        ]
    )
    yield pdf.Heading(gettext("What three rules say"))
    yield pdf.Table(
        columns=[
            pdf.Column(gettext("Rule")),
            pdf.Column(gettext("Result")),
            pdf.Column(gettext("Reasons")),
        ],
        rows=[
            (
                f"{each.rule}\n{wording.rule(each.rule)[0]}",
                wording.result(each.result),
                "\n".join(wording.reason(told, scales.get(told.asset, 0)) for told in each.reasons),
            )
            for each in proof.findings
        ],
    )
    for position in positions:
        yield from _asset(position)
    yield from _proposals(proof, scales)
    yield from _signed(sign_off)
    yield from _accounts(proof, accounts, scales)
    yield pdf.Heading(gettext("How to check this"))
    yield pdf.Paragraph(
        gettext(
            "The file of this proof lists every account. `tallystick safeguarding verify FILE` adds it up"
            " again without the ledger. The digest at the foot is over its header, which names the digest of"
            " the accounts and that of the proof before."
        )
    )
    previous = header["previous"]
    yield pdf.KeyValues(
        [
            (gettext("Digest of the accounts"), proof.accounts_digest.hex()),
            (gettext("Digest of the proof before"), previous["digest"] if previous else "—"),
        ]
    )


def _asset(position: Position) -> Iterator[pdf.Block]:
    def shown(minor: int | None) -> str:
        return wording.amount(minor, position.scale)

    yield pdf.Heading(position.asset)
    yield pdf.Table(
        columns=[pdf.Column(gettext("What is owed")), pdf.Column(position.asset, "right")],
        rows=[
            (
                gettext("To clients ({count} accounts)").format(count=f"{position.accounts_owed:,}"),
                shown(position.owed_minor),
            ),
            (gettext("Unallocated, in suspense"), shown(position.unallocated_minor)),
            (gettext("Own money left in on purpose"), shown(position.prudent_minor)),
        ],
        totals=[(gettext("Requirement"), shown(position.requirement_minor))],
    )
    yield pdf.Table(
        columns=[pdf.Column(gettext("What is there")), pdf.Column(position.asset, "right")],
        rows=[
            (gettext("By the ledger"), shown(position.ledger_resource_minor)),
            (gettext("By the custodians' statements"), shown(position.custodian_resource_minor)),
            (
                gettext("Internal comparison: ledger less requirement"),
                shown(position.internal_difference_minor),
            ),
            (
                gettext("External comparison: custodians less ledger"),
                shown(position.external_difference_minor),
            ),
            (gettext("Certainly there"), shown(position.counted_minor)),
        ],
        totals=[
            (gettext("Shortfall"), shown(position.shortfall_minor)),
            (gettext("Excess"), shown(position.excess_minor)),
        ],
    )
    yield pdf.Table(
        columns=[
            pdf.Column(gettext("External account")),
            pdf.Column(gettext("Known by")),
            pdf.Column(gettext("Ledger"), "right"),
            pdf.Column(gettext("Custodian"), "right"),
            pdf.Column(gettext("Open items"), "right"),
        ],
        rows=[
            (
                "\n".join(
                    filter(
                        None,
                        (each.name, each.account, each.institution, each.number, wording.role(each.role)),
                    )
                ),
                wording.known_by(each.known_by) if each.role == "safeguarding" else "—",
                shown(each.ledger_minor),
                shown(each.custodian_minor),
                str(each.breaks) if each.reconciliation else "—",
            )
            for each in position.external
        ],
        none=gettext("None."),
    )


def _proposals(proof: Proof, scales: Mapping[str, int]) -> Iterator[pdf.Block]:
    if proof.proposals:
        yield pdf.Heading(gettext("What would set it right"))
        yield pdf.Table(
            columns=[
                pdf.Column(gettext("For")),
                pdf.Column(gettext("Debit")),
                pdf.Column(gettext("Credit")),
                pdf.Column(gettext("Amount"), "right"),
            ],
            rows=[
                (
                    wording.purpose(each),
                    each.debit_account,
                    each.credit_account,
                    f"{each.asset} {wording.amount(each.amount_minor, scales[each.asset])}",
                )
                for each in proof.proposals
            ],
        )


def _signed(sign_off: Approval | None) -> Iterator[pdf.Block]:
    yield pdf.Heading(gettext("Signed off"))
    if sign_off is None:
        yield pdf.Paragraph(gettext("Nobody has signed yet."))
        return
    rows = [(gettext("First"), f"{sign_off.made_by}, {sign_off.at:%Y-%m-%d %H:%M:%S %Z}")]
    if sign_off.note:
        rows.append((gettext("Note"), sign_off.note))
    if sign_off.decided_at is None:
        rows.append((gettext("Second"), gettext("not yet")))
    else:
        decided = f"{sign_off.decided_by}, {sign_off.decided_at:%Y-%m-%d %H:%M:%S %Z}"
        given = sign_off.outcome == Outcome.APPROVED
        rows.append((gettext("Second") if given else gettext("Turned down by"), decided))
        if sign_off.reason:
            rows.append((gettext("Reason"), sign_off.reason))
    rows.append((gettext("Approval"), sign_off.reference))
    yield pdf.KeyValues(rows)


def _accounts(
    proof: Proof, accounts: Iterable[Mapping[str, canonical.Value]], scales: Mapping[str, int]
) -> Iterator[pdf.Block]:
    yield pdf.Heading(gettext("Every account that was not at zero"))
    if proof.accounts > ACCOUNTS_MAX:
        yield pdf.Paragraph(
            gettext("{count} accounts: they are in the file of this proof.").format(
                count=f"{proof.accounts:,}"
            )
        )
        return
    rows: Sequence[tuple[str, ...]] = [
        (
            str(each["account"]),
            _family(str(each["family"])),
            str(each["owner"]),
            str(each["asset"]),
            wording.amount(int(str(each["balance_minor"])), scales[str(each["asset"])]),
        )
        for each in islice(accounts, ACCOUNTS_MAX)
    ]
    yield pdf.Table(
        columns=[
            pdf.Column(gettext("Account")),
            pdf.Column(gettext("Family")),
            pdf.Column(gettext("Client")),
            pdf.Column(gettext("Asset")),
            pdf.Column(gettext("Balance"), "right"),
        ],
        rows=rows,
        none=gettext("None."),
    )


def _family(name: str) -> str:
    return {
        "client": gettext("Client"),
        "own": gettext("Own"),
        "external": gettext("External"),
        "suspense": gettext("Suspense"),
    }[name]
