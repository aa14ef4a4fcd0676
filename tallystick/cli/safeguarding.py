"""Safeguarding at the command line: declare accounts, prove a day, verify a proof, build the resolution pack.

All but `verify` act as `system:cli`; `verify` needs no database, so that anybody can check a file they were
given. Signing off is for two people, on the pages.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from tallystick.cli import ground
from tallystick.core.db import APP

if TYPE_CHECKING:
    from tallystick.custody.safeguarding import proof_file, proofs

_pdf = click.option("--pdf", type=click.Path(dir_okay=False, path_type=Path), help="Also write it as a PDF.")
_language = click.option(
    "--language",
    type=click.Choice(["zh-hans", "en"]),
    default="zh-hans",
    show_default=True,
    help="Of the PDF.",
)
_OUT = click.Path(dir_okay=False, path_type=Path)


@click.group()
def safeguarding() -> None:
    """Prove that what clients are owed is there; build the resolution pack."""


@safeguarding.command()
@click.argument("account")
@click.option(
    "--role",
    type=click.Choice(["safeguarding", "channel", "own_funds", "exchange", "other"]),
    required=True,
    help="Only safeguarding accounts hold what clients are owed.",
)
@click.option("--institution", default="", help="Who holds it.")
@click.option("--country", default="", help="Of the institution: two letters of ISO 3166.")
@click.option("--number", default="", help="IBAN, or the institution's own number.")
@click.option("--agreement", default="", help="The custody contract or acknowledgement letter, and its date.")
def declare(*, account: str, role: str, institution: str, country: str, number: str, agreement: str) -> None:
    """Say what an external ACCOUNT (acc_…) is for."""
    with ground.refusals():
        ground.stand()
        from tallystick.custody import numbers
        from tallystick.custody.safeguarding import arrangements
        from tallystick.custody.safeguarding.comparison import AccountRole
        from tallystick.identity.access import Actor

        try:
            found = numbers.parse_account(account)
        except ValueError as wrong:
            raise click.BadParameter(str(wrong), param_hint="ACCOUNT") from None
        terms = arrangements.Terms(
            role=AccountRole(role),
            institution=institution,
            country=country,
            number=number,
            agreement=agreement,
        )
        arrangements.declare(APP, found, terms, actor=Actor.system("cli"), now=_now())


@safeguarding.command()
@ground.book_option
@click.option("--role", required=True, help="In what matter: safeguarding officer, custodian, auditor …")
@click.option("--name", required=True)
@click.option("--organisation", default="")
@click.option("--telephone", default="")
@click.option("--email", default="")
@click.option("--address", default="")
@click.option("--end", is_flag=True, help="Keep this contact no longer.")
def contact(
    *,
    book: int | None,
    role: str,
    name: str,
    organisation: str,
    telephone: str,
    email: str,
    address: str,
    end: bool,
) -> None:
    """Keep a contact of a book, for the resolution pack."""
    with ground.refusals():
        ground.stand()
        from tallystick.custody.safeguarding import arrangements
        from tallystick.identity.access import Actor

        found, actor = ground.book_of(book), Actor.system("cli")
        if end:
            arrangements.end_contact(APP, found, role, name, actor=actor, now=_now())
            return
        told = arrangements.Contact(
            role=role,
            name=name,
            organisation=organisation,
            telephone=telephone,
            email=email,
            address=address,
        )
        arrangements.keep_contact(APP, found, told, actor=actor, now=_now())


@safeguarding.command()
@ground.book_option
@click.option("--asset", required=True, help="Such as CNY.")
@click.option("--amount-minor", type=click.IntRange(0), required=True, help="In minor units; 0 ends it.")
@click.option("--reason", required=True, help="The risk it is for, and the policy it rests on.")
def prudent(*, book: int | None, asset: str, amount_minor: int, reason: str) -> None:
    """Leave own money with clients' on purpose: it becomes part of the requirement."""
    with ground.refusals():
        ground.stand()
        from tallystick.custody.safeguarding import arrangements
        from tallystick.identity.access import Actor

        arrangements.segregate_prudently(
            APP,
            ground.book_of(book),
            asset,
            amount_minor,
            reason=reason,
            actor=Actor.system("cli"),
            now=_now(),
        )


@safeguarding.command()
@ground.book_option
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="The day; else the last that is over.")
@click.option("--out", type=_OUT, help="Also write its file, for `safeguarding verify`.")
@_pdf
@_language
@click.option("--strict", is_flag=True, help="Exit code 3 where it is not compliant.")
@ground.json_option
def prove(
    *,
    book: int | None,
    day: dt.datetime | None,
    out: Path | None,
    pdf: Path | None,
    language: Literal["zh-hans", "en"],
    strict: bool,
    as_json: bool,
) -> None:
    """Prove a day's segregation and record it; with --json the whole proof, every account in it."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody.safeguarding import proofs
        from tallystick.identity.access import Actor

        found = ground.book_of(book)
        wanted = day.date() if day else _last_day(found)
        with _bar(shown=not as_json) as advance:
            made = proofs.prove(APP, found, wanted, actor=Actor.system("cli"), now=_now(), progress=advance)
        _hand_over(made, out, pdf, language, as_json=as_json)
    if strict and made.result != "compliant":
        sys.exit(3)


@safeguarding.command()
@click.argument("proof")
@click.option("--out", type=_OUT, help="Write its file.")
@_pdf
@_language
@ground.json_option
def show(
    *, proof: str, out: Path | None, pdf: Path | None, language: Literal["zh-hans", "en"], as_json: bool
) -> None:
    """Show a PROOF (sgp_…) that was made before, as it was made."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody.safeguarding import proofs

        _hand_over(proofs.proof(APP, proof), out, pdf, language, as_json=as_json)


@safeguarding.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@ground.json_option
def verify(*, files: tuple[Path, ...], as_json: bool) -> None:
    """Add proofs' FILES up again, with nothing but the files; several also as a chain.

    Exit code 1 where something in them does not follow from the rest.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tallystick.settings")
    import django

    django.setup()
    answers = [_verified(path) for path in files]
    chain = _chain(answers)
    sound = all(each["status"] == "sound" for each in answers) and not chain
    if as_json:
        told = {
            "schema": "tallystick/safeguarding-verify/1",
            "sound": sound,
            "files": [{name: value for name, value in each.items() if name != "_"} for each in answers],
            "chain": chain,
        }
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
    else:
        _print_verified(answers, chain)
    sys.exit(0 if sound else 1)


@safeguarding.command("resolution-pack")
@ground.book_option
@click.option(
    "--out", type=_OUT, required=True, help="The ZIP to write. It holds everybody's data: keep it so."
)
@ground.json_option
def resolution_pack(*, book: int | None, out: Path, as_json: bool) -> None:
    """Build the resolution pack: what a stranger needs to give clients their money back."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody.safeguarding import pack
        from tallystick.identity.access import Actor

        began = _now()
        # Beside where it will lie, and readable by its owner alone; a pack that failed leaves nothing.
        handle, unfinished = tempfile.mkstemp(dir=out.resolve().parent, prefix=f".{out.name}.")
        try:
            with os.fdopen(handle, "wb") as content, _bar(shown=not as_json) as advance:
                made = pack.build(
                    APP,
                    ground.book_of(book),
                    content,
                    actor=Actor.system("cli"),
                    now=began,
                    progress=advance,
                )
            os.replace(unfinished, out)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
        seconds = (_now() - began).total_seconds()
    told = {
        "schema": "tallystick/safeguarding-resolution-pack/1",
        "pack": made.id,
        "book": made.book,
        "position": made.position,
        "path": str(out),
        "bytes": made.size_bytes,
        "files": made.files,
        "clients": made.clients,
        "accounts": made.accounts,
        "manifest_sha256": made.manifest_sha256.hex(),
        "seconds": round(seconds, 3),
    }
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
    else:
        click.echo(
            _(
                "{path}: {clients} clients, {accounts} accounts, {files} files, {bytes} bytes,"
                " in {seconds} s; its sums agree with the ledger at position {position}."
            ).format(**told)
        )


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────


def _hand_over(
    made: proofs.Proof,
    out: Path | None,
    pdf_path: Path | None,
    language: Literal["zh-hans", "en"],
    *,
    as_json: bool,
) -> None:
    from tallystick.core import pdf
    from tallystick.custody.safeguarding import proof_paper, proofs

    if out is not None:
        with out.open("wb") as content:
            proofs.write_file(APP, made, content)
    if pdf_path is not None:
        paper = proof_paper.document(
            made, proofs.lines(APP, made), sign_off=proofs.sign_off(APP, made), language=language
        )
        with pdf_path.open("wb") as content:
            pdf.write(paper, content)
    if as_json:
        whole = io.BytesIO()
        proofs.write_file(APP, made, whole)
        click.echo(whole.getvalue().decode(), nl=False)
    else:
        _print_proof(made)


def _verified(path: Path) -> dict[str, Any]:
    from tallystick.custody.safeguarding import proof_file

    if path.stat().st_size > proof_file.FILE_BYTES_MAX:
        return {"path": str(path), "status": "unreadable", "detail": "too large", "differences": []}
    try:
        found = proof_file.verify(path.read_bytes())
    except proof_file.Unreadable as wrong:
        return {"path": str(path), "status": "unreadable", "detail": str(wrong)[:300], "differences": []}
    return {
        "path": str(path),
        "status": "sound" if found.is_sound else "unsound",
        "book": found.book,
        "day": found.day,
        "number": found.number,
        "result": found.result,
        "accounts": found.accounts,
        "digest": found.digest,
        "previous_digest": found.previous_digest,
        "differences": [_difference(each) for each in found.differences],
        "_": found,
    }


def _chain(answers: list[dict[str, Any]]) -> list[dict[str, str]]:
    from tallystick.custody.safeguarding import proof_file

    whole = [each["_"] for each in answers if "_" in each]
    return [_difference(each) for each in proof_file.chain_differences(whole)]


def _difference(found: proof_file.Difference) -> dict[str, str]:
    return {"where": found.where, "expected": found.expected, "found": found.found}


# ── for a person ─────────────────────────────────────────────────────────────────────────────────────────


def _print_proof(made: proofs.Proof) -> None:
    from tallystick.custody.safeguarding import wording

    scales = {each.asset: each.scale for each in made.positions}
    click.echo(f"{made.id}  {made.day}  {wording.result(made.result)}  {made.digest.hex()}")
    for position in made.positions:
        shown = [
            wording.amount(minor, position.scale)
            for minor in (
                position.requirement_minor,
                position.ledger_resource_minor,
                position.custodian_resource_minor,
            )
        ]
        click.echo(
            "  "
            + _("{asset}: required {required}, in the ledger {ledger}, at the custodians {custodian}").format(
                asset=position.asset, required=shown[0], ledger=shown[1], custodian=shown[2]
            )
        )
    for finding in made.findings:
        click.echo(f"  {finding.rule}  {wording.result(finding.result)}")
        for reason in finding.reasons:
            click.echo(f"    {wording.reason(reason, scales.get(reason.asset, 0))}")
    for proposal in made.proposals:
        click.echo(
            f"  → {wording.purpose(proposal)}: {proposal.asset} "
            f"{wording.amount(proposal.amount_minor, scales[proposal.asset])}  "
            f"{proposal.debit_account} → {proposal.credit_account}"
        )


def _print_verified(answers: list[dict[str, Any]], chain: list[dict[str, str]]) -> None:
    words = {"sound": _("sound"), "unsound": _("does not add up"), "unreadable": _("no proof")}
    for each in answers:
        detail = each.get("digest") or each.get("detail", "")
        click.echo(f"{each['path']}  {words[each['status']]}  {detail}")
        for difference in each["differences"][:20]:
            click.echo("  " + _("{where}: should be {expected}, is {found}").format(**difference))
    for difference in chain:
        click.echo(_("{where}: should be {expected}, is {found}").format(**difference))


@contextlib.contextmanager
def _bar(*, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, where a person looks."""
    if not shown or not sys.stderr.isatty():
        yield lambda _done, _whole: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)


# ── what was meant ───────────────────────────────────────────────────────────────────────────────────────


def _(text: str) -> str:
    """In the language of the moment. Imported late, so that `--help` needs no Django."""
    from django.utils.translation import gettext

    return gettext(text)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _last_day(book: int) -> dt.date:
    """The last day of the book that is over."""
    from tallystick.custody import books

    return books.book(APP, book).today(_now()) - dt.timedelta(days=1)
