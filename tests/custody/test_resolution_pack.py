"""The resolution pack: everything in it, its sums those of the ledger, its hashes right, nobody unpermitted."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tracemalloc
import zipfile
from datetime import timedelta

import pytest
from django.db import connections

from tallystick.custody import history, posting
from tallystick.custody.accounts import NewAccount, open_many
from tallystick.custody.numbers import Family
from tallystick.custody.safeguarding import arrangements, funding, pack, pack_tables, proof_file, proofs
from tallystick.custody.safeguarding.comparison import AccountRole
from tallystick.evidence import log
from tallystick.identity.errors import AccessDenied
from tests.custody import cast
from tests.custody.cast import BOOK, DB, ask
from tests.custody.test_safeguarding import AFTER, DAY, SAFE, prove
from tests.plugin_postgres import TestDatabase


@pytest.fixture
def people(ledger_database: TestDatabase) -> cast.Cast:
    """The cast with money, a mandate, a transfer that waits, a contact and a proof."""
    posting.use(posting.InProcess())
    people = cast.opened()
    arrangements.declare(DB, people.bank, SAFE, actor=cast.APPROVER, now=cast.OPENED)
    officer = arrangements.Contact(
        role="safeguarding officer", name="赵敏", organisation="-1+cmd", telephone="+86 10 1"
    )
    arrangements.keep_contact(DB, BOOK, officer, actor=cast.APPROVER, now=cast.OPENED)
    out = cast.authorised(people.wang, people.bank, 900, payee="card 1", code=cast.Code.WITHDRAWAL)
    cast.post(
        [
            ask(1, people.bank, people.wang, 10_000, reference="=IN-1"),
            ask(2, people.bank, people.li, 5_000),
            ask(
                3,
                people.wang,
                people.bank,
                900,
                "withdrawal",
                kind="pending",
                authorisation=out,
                payee="card 1",
            ),
        ]
    )
    return people


def built() -> tuple[pack.Pack, zipfile.ZipFile]:
    out = io.BytesIO()
    made = pack.build(DB, BOOK, out, actor=cast.APPROVER, now=AFTER)
    assert made.size_bytes == len(out.getvalue())
    return made, zipfile.ZipFile(out)


def rows(whole: zipfile.ZipFile, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(whole.read(name).decode("utf-8-sig"))))


def test_a_pack_holds_what_a_stranger_needs(people: cast.Cast) -> None:
    """Who is owed what, where it lies, what was authorised, what waits, whom to call, the last proof."""
    proof = prove()
    made, whole = built()
    assert [(row["client"], row["owed"], row["held"]) for row in rows(whole, "clients.csv")] == [
        ("C-LI", "50.00", "0.00"),
        ("C-WANG", "100.00", "9.00"),
    ]
    named = {row["name"]: row for row in rows(whole, "accounts.csv")}
    assert (named["王芳"]["client"], named["王芳"]["balance_minor"]) == ("C-WANG", "10000")
    (bank,) = rows(whole, "bank_accounts.csv")
    assert (bank["role"], bank["institution"], bank["ledger_balance"]) == (
        "safeguarding",
        "First Bank",
        "150.00",
    )
    (mandate,) = rows(whole, "authorisations.csv")
    assert (mandate["client"], mandate["payee"], mandate["code"]) == ("C-WANG", "card 1", "withdrawal")
    (waiting,) = rows(whole, "pending.csv")
    assert (waiting["amount_minor"], waiting["payee"]) == ("900", "card 1")
    assert rows(whole, "contacts.csv")[0]["name"] == "赵敏"
    assert [row["proof"] for row in rows(whole, "proofs.csv")] == [proof.id]
    assert proof_file.verify(whole.read(f"proof-{DAY}.json")).digest == proof.digest.hex()
    assert (made.clients, made.accounts, made.position) == (2, 5, 3)


def test_every_file_has_the_hash_the_manifest_gives_it(people: cast.Cast) -> None:
    """The manifest lists each file with its length and SHA-256; `sha256sum -c` has them all, itself but one."""
    made, whole = built()
    manifest = json.loads(whole.read("manifest.json"))
    assert hashlib.sha256(whole.read("manifest.json")).digest() == made.manifest_sha256
    for file in manifest["files"]:
        content = whole.read(file["name"])
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    listed = dict(reversed(line.split("  ")) for line in whole.read("SHA256SUMS").decode().splitlines())
    assert set(listed) == set(whole.namelist()) - {"SHA256SUMS"}
    for name, digest in listed.items():
        assert hashlib.sha256(whole.read(name)).hexdigest() == digest


def test_a_pack_that_does_not_agree_with_the_ledger_is_not_made(
    people: cast.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query that loses a client is found out by the sums, and nothing is recorded."""
    monkeypatch.setattr(
        pack_tables,
        "_CLIENTS_SQL",
        pack_tables._CLIENTS_SQL.replace("family = 1 and owner", "family = 1 and owner <> 'C-LI' and owner"),
    )
    with pytest.raises(pack.Disagreement):
        built()
    assert pack.packs(DB, BOOK) == []


def test_building_a_pack_is_recorded_without_a_name(people: cast.Cast) -> None:
    """Who built it, of which state, with which manifest: in a row and in the log; nobody's data in either."""
    made, _ = built()
    assert [each.id for each in pack.packs(DB, BOOK)] == [made.id]
    (event,) = log.events(DB, kind="custody.resolution_pack_built")
    assert event.actor == cast.APPROVER.id
    assert event.payload_text is not None
    assert "王芳" not in event.payload_text
    assert "C-WANG" not in event.payload_text


@pytest.mark.parametrize("who", [cast.WANG_FANG, cast.OPERATIONS, cast.AUDITOR])
def test_who_may_not_gets_none(people: cast.Cast, who: cast.Actor) -> None:
    """A pack is everybody's data at once: only the approver and the regulator get one, and the operator."""
    out = io.BytesIO()
    with pytest.raises(AccessDenied):
        pack.build(DB, BOOK, out, actor=who, now=AFTER)
    assert out.getvalue() == b""


def test_no_cell_is_a_formula_and_pages_do_not_show(
    people: cast.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a client wrote is never computed by a spreadsheet; page by page or at once is the same pack."""
    _, whole = built()
    monkeypatch.setattr(pack_tables, "PAGE", 1)
    _, paged = built()
    for name in ("clients.csv", "accounts.csv", "authorisations.csv", "pending.csv"):
        assert paged.read(name) == whole.read(name)
    (officer,) = rows(whole, "contacts.csv")
    assert (officer["organisation"], officer["telephone"]) == ("'-1+cmd", "'+86 10 1")
    (waiting,) = rows(whole, "pending.csv")
    assert waiting["amount_minor"] == "900"


def test_a_proposal_is_posted_once_exactly_as_it_stands(people: cast.Cast) -> None:
    """Asked twice, the same transfer is found; who may not post does not."""
    funds = arrangements.Terms(role=AccountRole.OWN_FUNDS)
    own = open_many(
        DB,
        BOOK,
        [NewAccount(family=Family.EXTERNAL, asset_code="CNY", name="Own bank", reference="OWN-1")],
        actor=cast.SIMULATION,
        now=cast.OPENED,
    )[0]
    arrangements.declare(DB, own, funds, actor=cast.APPROVER, now=cast.OPENED)
    arrangements.segregate_prudently(
        DB, BOOK, "CNY", 1_000, reason="Policy 7", actor=cast.APPROVER, now=cast.NOW
    )
    proof = prove()
    with pytest.raises(AccessDenied):
        funding.post(DB, proof.id, 1, actor=cast.APPROVER, now=AFTER)
    first = funding.post(DB, proof.id, 1, actor=cast.OPERATIONS, now=AFTER)
    again = funding.post(DB, proof.id, 1, actor=cast.OPERATIONS, now=AFTER + timedelta(hours=1))
    assert (first.amount_minor, first.position) == (1_000, again.position)
    assert history.balance(DB, people.bank).balance_minor == 16_000
    assert funding.posted(DB, proof).keys() == {1}
    with pytest.raises(funding.errors.ProposalUnknown):
        funding.post(DB, proof.id, 2, actor=cast.OPERATIONS, now=AFTER)


@pytest.mark.slow
def test_a_hundred_thousand_clients_in_little_memory(ledger_database: TestDatabase) -> None:
    """100,000 clients with money: a pack whose sums agree, and Python holds no more than a page of it."""
    posting.use(posting.InProcess())
    people = cast.opened()
    for start in range(0, 100_000, 10_000):
        opened = open_many(
            DB,
            BOOK,
            [
                NewAccount(
                    family=Family.CLIENT,
                    asset_code="CNY",
                    owner=f"K-{i:06d}",
                    name=f"客户{i}",
                    reference=f"K-{i}",
                )
                for i in range(start, start + 10_000)
            ],
            actor=cast.SIMULATION,
            now=cast.OPENED,
        )
        for part in range(0, len(opened), 5_000):
            cast.post(
                [
                    ask(start + i, people.bank, account, 1 + i)
                    for i, account in enumerate(opened[part : part + 5_000], start=part)
                ]
            )
    with connections[DB].cursor() as cursor:
        cursor.execute("analyze custody_account")
    tracemalloc.start()
    out = io.BytesIO()
    made = pack.build(DB, BOOK, out, actor=cast.APPROVER, now=AFTER)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert made.clients == 100_002
    assert peak - made.size_bytes < 60 << 20
    proofs.prove(DB, BOOK, DAY, actor=cast.OPERATIONS, now=AFTER)
