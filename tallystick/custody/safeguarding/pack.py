"""The resolution pack: what a stranger needs to give clients their money back, built on demand.

Promises: one ZIP of plain files, each with its SHA-256 in the manifest; all money as of one position of the
ledger; its sums are compared with the ledger's own while it is written, and a pack that does not agree is not
made; rows stream through it, so that its size does not matter; that it was built is recorded, and by whom.
Asked for by FCA CASS 10A.
"""

from __future__ import annotations

import csv
import hashlib
import html
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Literal, cast

from django.db import connections, transaction
from django.utils import translation
from django.utils.translation import gettext, gettext_noop

from tallystick.core import pdf
from tallystick.core.db import Db
from tallystick.core.files import Sink, cell
from tallystick.custody import books, history
from tallystick.custody.books import Book
from tallystick.custody.numbers import BookId, Family
from tallystick.custody.safeguarding import arrangements, pack_tables, proof_paper, proofs, wording
from tallystick.custody.safeguarding.pack_tables import Table
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

SCHEMA = "tallystick/resolution-pack/1"

Progress = Callable[[int, int], None]
"""Told rows done and rows in all."""

LANGUAGES: tuple[Literal["zh-hans", "en"], ...] = ("zh-hans", "en")

_TITLES: Mapping[str, str] = {
    "clients": gettext_noop("What each client is owed"),
    "accounts": gettext_noop("Every account, its owner and its balance"),
    "bank_accounts": gettext_noop("Where the money lies"),
    "client_bank_accounts": gettext_noop("Clients' own bank accounts, to pay to"),
    "authorisations": gettext_noop("What clients have authorised"),
    "pending": gettext_noop("Transfers that wait"),
    "contacts": gettext_noop("Whom to turn to"),
    "reconciliations": gettext_noop("The last comparison with each bank"),
    "breaks": gettext_noop("What that comparison left open"),
    "proofs": gettext_noop("Daily segregation proofs"),
    "prudent_segregation": gettext_noop("Own money left in on purpose"),
}


class Disagreement(Exception):
    """The pack does not agree with the ledger: a fault, and no pack."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a pack. rows: of a table, without its head."""

    name: str
    size_bytes: int
    sha256: str
    rows: int | None


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack as it was recorded. The pack itself is not kept."""

    id: str
    book: BookId
    position: int
    files: int
    clients: int
    accounts: int
    size_bytes: int
    manifest_sha256: bytes
    at: datetime
    actor: str


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def packs(db: Db, book: int, *, limit: int = 20) -> list[Pack]:
    """The packs that were built of a book, the newest first."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select id, book_id, position, files, clients, accounts, bytes, manifest_sha256, at, actor"
            " from custody_resolution_pack where book_id = %s order by id desc limit %s",
            [book, limit],
        )
        return [
            Pack(
                id=f"rsp_{row[0]}",
                book=BookId(row[1]),
                position=row[2],
                files=row[3],
                clients=row[4],
                accounts=row[5],
                size_bytes=row[6],
                manifest_sha256=bytes(row[7]),
                at=row[8],
                actor=row[9],
            )
            for row in cursor.fetchall()
        ]


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def build(
    db: Db, book: int, out: Sink, *, actor: Actor, now: datetime, progress: Progress | None = None
) -> Pack:
    """Write the resolution pack of a book, as it stands now, and record that it was built.

    Raises `errors.BookUnknown`; `Disagreement` where it does not agree with the ledger: what was written so
    far is then to be thrown away.
    """
    access.require(db, actor, "custody.build_resolution_pack")
    found = books.book(db, book)
    position = books.head(db, book).position
    writing = _Writing(out, now)
    rows = _Rows(progress, _expected(db, book))
    sums = _Sums()
    for table in pack_tables.tables(db, book, position, rows.told):
        writing.table(table, sums)
    checked = _checked(db, book, position, sums)
    _newest_proof(db, book, writing)
    for language in LANGUAGES:
        with writing.file(f"summary-{language}.pdf") as summary:
            pdf.write(_summary(db, found, position, checked, writing.files, language, now), summary)
    manifest = _manifest(found, position, checked, writing.files, actor=actor, now=now)
    with writing.file("manifest.json") as told:
        told.write(manifest)
    with writing.file("index.html") as index:
        index.write(_index(found, position, writing.files, now).encode())
    with writing.file("SHA256SUMS") as listed:
        listed.write("".join(f"{each.sha256}  {each.name}\n" for each in writing.files).encode())
    size = writing.close()
    with transaction.atomic(using=db):
        made = _record(
            db,
            book,
            position,
            (len(writing.files), sums.clients, sums.accounts, size),
            hashlib.sha256(manifest).digest(),
            actor=actor,
            now=now,
        )
        log.append(
            db,
            "custody.resolution_pack_built",
            {
                "pack": made.id,
                "book": book,
                "position": position,
                "files": made.files,
                "clients": made.clients,
                "accounts": made.accounts,
                "bytes": made.size_bytes,
                "manifest_sha256": made.manifest_sha256.hex(),
            },
            actor=actor.id,
            at=now,
        )
    return made


# ── the check ────────────────────────────────────────────────────────────────────────────────────────────


class _Sums:
    """What the rows add up to, as they are written."""

    def __init__(self) -> None:
        self.clients = 0
        self.accounts = 0
        self.owed: dict[str, int] = {}
        self.by_family: dict[tuple[str, str], int] = {}
        self._last_client: object = None

    def add(self, table: str, row: pack_tables.Row) -> None:
        if table == "clients":
            client, asset, owed, overdrawn = row[0], str(row[1]), row[-2], row[-1]
            assert isinstance(owed, int)
            assert isinstance(overdrawn, int)
            self.owed[asset] = self.owed.get(asset, 0) + owed - overdrawn
            self.clients += client != self._last_client
            self._last_client = client
        elif table == "accounts":
            asset, family, balance = str(row[5]), str(row[1]), row[-2]
            assert isinstance(balance, int)
            self.by_family[asset, family] = self.by_family.get((asset, family), 0) + balance
            self.accounts += 1


@dataclass(frozen=True, slots=True)
class _Checked:
    """One sum of the pack beside the ledger's own."""

    what: str
    asset: str
    scale: int
    pack_minor: int
    ledger_minor: int


def _checked(db: Db, book: int, position: int, sums: _Sums) -> list[_Checked]:
    """The pack's sums beside the ledger's, at the same position. Raises `Disagreement`."""
    found = []
    seen = set()
    for total in history.totals(db, book, at_position=position):
        family = total.family.name.lower()
        seen.add((total.asset, family))
        told = sums.by_family.get((total.asset, family), 0)
        found.append(_Checked(family, total.asset, total.scale, told, total.balance_minor))
        if total.family == Family.CLIENT:
            owed = sums.owed.get(total.asset, 0)
            found.append(_Checked("clients", total.asset, total.scale, owed, total.balance_minor))
    found += [
        _Checked(family, asset, 0, told, 0)
        for (asset, family), told in sums.by_family.items()
        if (asset, family) not in seen
    ]
    wrong = [each for each in found if each.pack_minor != each.ledger_minor]
    if wrong:
        raise Disagreement(f"book {book} at position {position}: {wrong}")
    return found


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────


class _Counted:
    """What is written through it, hashed and counted."""

    def __init__(self, out: Sink) -> None:
        self._out = out
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, content: bytes, /) -> int:
        self.sha256.update(content)
        self.size += len(content)
        self._out.write(content)
        return len(content)

    def flush(self) -> None:
        """Nothing is held back here."""


class _Text:
    """Where `csv` writes its lines: UTF-8, handed on by the block."""

    def __init__(self, out: Sink) -> None:
        self._out = out
        # The mark by which spreadsheets recognise UTF-8.
        self._held = ["\ufeff"]

    def write(self, line: str) -> None:
        self._held.append(line)
        if len(self._held) >= 1_000:
            self.flush()

    def flush(self) -> None:
        self._out.write("".join(self._held).encode())
        self._held.clear()


class _Writing:
    """The ZIP while it is written: one file after the other, each hashed as it goes."""

    def __init__(self, out: Sink, now: datetime) -> None:
        self._whole = _Counted(out)
        # Written as a stream, from the front to the back: it needs no more of a file than `write`.
        self._zip = zipfile.ZipFile(cast(IO[bytes], self._whole), "w", zipfile.ZIP_DEFLATED)
        self._at = now.timetuple()[:6]
        self.files: list[File] = []

    @contextmanager
    def file(self, name: str, rows: Callable[[], int] | None = None) -> Iterator[_Counted]:
        told = zipfile.ZipInfo(name, self._at)
        told.compress_type = zipfile.ZIP_DEFLATED
        # Whoever unpacks it alone may read it.
        told.external_attr = 0o600 << 16
        with self._zip.open(told, "w", force_zip64=True) as content:
            counted = _Counted(content)
            yield counted
        self.files.append(File(name, counted.size, counted.sha256.hexdigest(), rows() if rows else None))

    def table(self, table: Table, sums: _Sums) -> None:
        count = 0
        with self.file(f"{table.name}.csv", lambda: count) as content:
            text = _Text(content)
            writer = csv.writer(text)
            writer.writerow(table.head)
            for row in table.rows:
                sums.add(table.name, row)
                writer.writerow([cell(each) for each in row])
                count += 1
            text.flush()

    def close(self) -> int:
        self._zip.close()
        return self._whole.size


class _Rows:
    """How far the pack is, for whoever waits."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def told(self, more: int) -> None:
        self._done += more
        if self._progress:
            self._progress(min(self._done, self._total), self._total)


def _expected(db: Db, book: int) -> int:
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select (select count(*) + count(*) filter (where family = 1) from custody_account where book_id = %s)
                + (select count(*) from custody_authorisation where book_id = %s)
            """,
            [book, book],
        )
        return int(cursor.fetchone()[0])


def _newest_proof(db: Db, book: int, writing: _Writing) -> None:
    for proof in proofs.proofs(db, book, limit=1):
        with writing.file(f"proof-{proof.day}.json") as content:
            proofs.write_file(db, proof, content)
        for language in LANGUAGES:
            paper = proof_paper.document(
                proof, proofs.lines(db, proof), sign_off=proofs.sign_off(db, proof), language=language
            )
            with writing.file(f"proof-{proof.day}-{language}.pdf") as content:
                pdf.write(paper, content)


def _manifest(
    book: Book, position: int, checked: list[_Checked], files: list[File], *, actor: Actor, now: datetime
) -> bytes:
    told = {
        "schema": SCHEMA,
        "book": book.id,
        "book_name": book.name,
        "time_zone": book.time_zone,
        "position": position,
        "produced_at": now.isoformat(),
        "produced_by": actor.id,
        "self_check": [
            {
                "what": each.what,
                "asset": each.asset,
                "pack_minor": str(each.pack_minor),
                "ledger_minor": str(each.ledger_minor),
            }
            for each in checked
        ],
        "files": [
            {"name": each.name, "bytes": each.size_bytes, "rows": each.rows, "sha256": each.sha256}
            for each in files
        ],
    }
    return json.dumps(told, ensure_ascii=False, indent=1).encode() + b"\n"


def _index(book: Book, position: int, files: list[File], now: datetime) -> str:
    """A page that says what is what, in both languages, for whoever opens the pack years later."""
    parts = ["<!doctype html><meta charset='utf-8'><title>Resolution pack 处置资料包</title>"]
    parts.append(
        "<style>body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "td,th{text-align:left;padding:.3rem .8rem .3rem 0;vertical-align:top}code{word-break:break-all}</style>"
    )
    for language in LANGUAGES:
        with translation.override(language):
            parts.append(f"<h1 lang='{language}'>{html.escape(gettext('Resolution pack'))}</h1>")
            head = gettext("{name}, book {book}, as of ledger position {position}, {at}").format(
                name=book.name, book=book.id, position=position, at=now.isoformat(timespec="seconds")
            )
            parts.append(f"<p>{html.escape(head)}</p><table>")
            for each in files:
                stem, _, ending = each.name.rpartition(".")
                title = gettext(_TITLES[stem]) if stem in _TITLES and ending == "csv" else ""
                rows = "" if each.rows is None else gettext("{count} rows").format(count=f"{each.rows:,}")
                parts.append(
                    f"<tr><td><a href='{each.name}'>{each.name}</a></td><td>{html.escape(title)}</td>"
                    f"<td>{html.escape(rows)}</td></tr>"
                )
            parts.append("</table>")
    parts.append("<p><code>sha256sum -c SHA256SUMS</code></p>\n")
    return "\n".join(parts)


def _summary(
    db: Db,
    book: Book,
    position: int,
    checked: list[_Checked],
    files: list[File],
    language: Literal["zh-hans", "en"],
    now: datetime,
) -> pdf.Document:
    digest = hashlib.sha256("".join(each.sha256 for each in files).encode()).hexdigest()
    with translation.override(language):
        blocks: list[pdf.Block] = [
            pdf.Paragraph(
                gettext(
                    "What a stranger needs to give clients their money back. Every sum below was compared with"
                    " the ledger while the pack was written."
                )
            ),
            pdf.Heading(gettext("Sums, and the ledger's own")),
            pdf.Table(
                columns=[
                    pdf.Column(gettext("What")),
                    pdf.Column(gettext("Asset")),
                    pdf.Column(gettext("Pack"), "right"),
                    pdf.Column(gettext("Ledger"), "right"),
                ],
                rows=[
                    (
                        gettext(_CHECKS[each.what]),
                        each.asset,
                        wording.amount(each.pack_minor, each.scale),
                        wording.amount(each.ledger_minor, each.scale),
                    )
                    for each in checked
                ],
            ),
            pdf.Heading(gettext("Whom to turn to")),
            _contacts(db, book.id),
            pdf.Heading(gettext("Files")),
            pdf.Table(
                columns=[
                    pdf.Column(gettext("File")),
                    pdf.Column(gettext("What it is")),
                    pdf.Column(gettext("Rows"), "right"),
                ],
                rows=[
                    (
                        each.name,
                        gettext(_TITLES[each.name[:-4]]) if each.name[:-4] in _TITLES else "",
                        "" if each.rows is None else f"{each.rows:,}",
                    )
                    for each in files
                ],
            ),
        ]
        return pdf.Document(
            title=gettext("Resolution pack"),
            subtitle=gettext("{name}, book {book}, as of ledger position {position}").format(
                name=book.name, book=book.id, position=f"{position:,}"
            ),
            language=language,
            blocks=blocks,
            produced_at=now,
            digest=digest,
        )


def _contacts(db: Db, book: int) -> pdf.Table:
    return pdf.Table(
        columns=[
            pdf.Column(gettext("Role")),
            pdf.Column(gettext("Name")),
            pdf.Column(gettext("How to reach")),
        ],
        rows=[
            (
                each.role,
                "\n".join(filter(None, (each.name, each.organisation))),
                "\n".join(filter(None, (each.telephone, each.email, each.address))),
            )
            for each in arrangements.contacts(db, book)
        ],
        none=gettext("No contact is kept. That is to be put right before it is needed."),
    )


_CHECKS: Mapping[str, str] = {
    "clients": gettext_noop("Clients, client by client"),
    "client": gettext_noop("Clients, account by account"),
    "own": gettext_noop("The platform's own"),
    "external": gettext_noop("At institutions"),
    "suspense": gettext_noop("In suspense"),
}


def _record(
    db: Db,
    book: int,
    position: int,
    counted: tuple[int, int, int, int],
    manifest_sha256: bytes,
    *,
    actor: Actor,
    now: datetime,
) -> Pack:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_resolution_pack (book_id, position, files, clients, accounts, bytes,"
            " manifest_sha256, at, actor) values (%s, %s, %s, %s, %s, %s, %s, %s, %s) returning id",
            [book, position, *counted, manifest_sha256, now, actor.id],
        )
        identity = cursor.fetchone()[0]
    return Pack(f"rsp_{identity}", BookId(book), position, *counted, manifest_sha256, now, actor.id)
