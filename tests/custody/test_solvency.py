"""Solvency on real PostgreSQL: stated daily, chained, proved to each client, rebuilt by others, told when short."""

from __future__ import annotations

import datetime as dt
import json
import stat
from pathlib import Path

import psycopg
import pytest

from tallystick.core.db import SEQUENCER
from tallystick.core.postgres import Role as DatabaseRole
from tallystick.custody import accounts, books, errors, posting, statement_files
from tallystick.custody.numbers import Family
from tallystick.custody.safeguarding import arrangements
from tallystick.custody.safeguarding.comparison import AccountRole
from tallystick.custody.solvency import balances, statement_file, statements, tree_keys, trees
from tallystick.evidence import errors as evidence_errors
from tallystick.evidence import keys, log, reading, sealing, tlog_proof
from tallystick.evidence import stated as stated_entry
from tallystick.evidence.liabilities import profile, proving, snapshot, verification
from tallystick.identity import errors as identity_errors
from tallystick.identity.access import Actor
from tests.custody import cast
from tests.custody.cast import BOOK, DB, ask
from tests.custody.statement_samples import camt, camt_balance, camt_statement
from tests.plugin_postgres import TestDatabase

DAY = dt.date(2026, 3, 2)
NEXT = DAY + dt.timedelta(days=1)
AFTER = dt.datetime(2026, 3, 3, 1, 0, tzinfo=dt.UTC)
LATER = AFTER + dt.timedelta(days=1)
CLI = Actor.system("cli")
SAFE = arrangements.Terms(
    role=AccountRole.SAFEGUARDING, institution="First Bank", number="BANK-1", country="CN"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "trees"


@pytest.fixture
def people(ledger_database: TestDatabase) -> cast.Cast:
    """The cast; the bank declared, 100.00 paid in by 王芳 and 50.00 by 李强."""
    posting.use(posting.InProcess())
    people = cast.opened()
    arrangements.declare(DB, people.bank, SAFE, actor=cast.APPROVER, now=cast.OPENED)
    cast.post([ask(1, people.bank, people.wang, 10_000), ask(2, people.bank, people.li, 5_000)])
    return people


def bank_says(account: int, closing: str, *, opening: str = "0", day: dt.date = DAY) -> None:
    """Import the bank's statement of one day: its two balances are what is asked of it here."""
    told = day.isoformat()
    content = camt(
        camt_statement(
            balances="\n".join(
                (
                    camt_balance("OPBD", opening, told, currency="CNY"),
                    camt_balance("CLBD", closing, told, currency="CNY"),
                )
            ),
            number=day.day,
            identification=told,
            account="<Othr><Id>BANK-1</Id></Othr>",
        )
    )
    statement_files.import_bytes(
        DB, f"{told}.xml", content, bank_account=account, actor=cast.OPERATIONS, now=cast.NOW
    )


def stated(folder: Path, day: dt.date = DAY, now: dt.datetime = AFTER) -> statements.Statement:
    return statements.state(DB, BOOK, day, folder=folder, actor=CLI, now=now)


def the_tree(found: statements.Statement) -> trees.Kept:
    return trees.kept(DB, found.id, "CNY")


def test_what_is_owed_is_stated_beside_what_the_bank_says(people: cast.Cast, folder: Path) -> None:
    """Covered to the cent; the log tells all of it; files only their owner can read."""
    bank_says(people.bank, "150.00", opening="150.00")
    made = stated(folder)
    assert made.state == "covered"
    (told,) = made.told["assets"]
    assert (told["owed_minor"], told["bank_minor"], told["surplus_minor"]) == ("15000", "15000", "0")
    assert told["liabilities"]["total"] == "15000"
    assert told["liabilities"]["header"]["customers"] == 2
    assert told["liabilities"]["header"]["basis"]["position"] == made.position
    (bank,) = told["bank"]
    assert bank["statement_sha256"] == statement_files.file(DB, bank["statement_file"]).sha256.hex()
    (event,) = log.events(DB, kind="custody.solvency_stated")
    assert event.id == made.event
    assert event.payload is not None
    assert event.payload["statement"] == made.told
    assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}


def test_a_client_checks_that_their_balance_is_counted(people: cast.Cast, folder: Path) -> None:
    """With what they hold themselves: account number, customer number, balance, and the published statement."""
    made = stated(folder)
    published = statement_file.commitment_of(made.text, "CNY")
    for number, owner, balance in ((people.wang, "C-WANG", 10_000), (people.li, "C-LI", 5_000)):
        account = accounts.account(DB, number)
        content = trees.prove(DB, the_tree(made), account, folder)
        proof = verification.read_and_verify(
            content, published, identifiers=(account.text, owner), balance=balance
        )
        assert proof.statement == made.text
        assert proof.inclusion is None, "nothing is sealed in this test"
    with pytest.raises(evidence_errors.AccountNotInTree):
        trees.prove(DB, the_tree(made), accounts.account(DB, people.suspense), folder)


def test_a_proof_carries_the_statements_place_in_the_public_log(people: cast.Cast, folder: Path) -> None:
    """Once it is sealed: the entry holds the statement for everybody, and its proof leads to a signed checkpoint."""
    keys.open_logs(SEQUENCER, "first.example", actor="system:cli", now=cast.NOW)
    made = stated(folder)
    assert made.told["ledger_log"]["origin"] == "first.example/ledger"
    assert made.told["origin"] == "first.example/public"
    sealing.seal(SEQUENCER, now=AFTER)
    content = trees.prove(DB, the_tree(made), accounts.account(DB, people.wang), folder)
    proof = verification.read_and_verify(content, statement_file.commitment_of(made.text, "CNY"))
    assert proof.statement is not None
    assert proof.inclusion is not None
    place = tlog_proof.parse(proof.inclusion.encode())
    entry = stated_entry.entry(proof.statement, place.extra)
    assert json.loads(entry)["p"]["statement"] == made.told
    assert reading.entry(DB, keys.PUBLIC, place.index) == entry


def test_a_clients_debt_is_told_and_set_against_nobody_elses_claim(
    people: cast.Cast, folder: Path, ledger_database: TestDatabase
) -> None:
    """The ledger lets no client owe. Where one does all the same, the others are owed as much as before."""
    with psycopg.connect(ledger_database.conninfo(DatabaseRole.OWNER), autocommit=True) as owner:
        owner.execute("alter table custody_entry disable trigger user")
        owner.execute("alter table custody_entry drop constraint custody_entry_sound")
        owner.execute(
            "update custody_entry set debits_posted = credits_posted + 300 where account = %s", [people.li]
        )
    (told,) = stated(folder).told["assets"]
    assert told["client_debts"] == {"accounts": 1, "amount_minor": "300"}
    assert told["owed_minor"] == "10000"


def test_a_silent_bank_is_unknown_and_too_little_is_stated_too(people: cast.Cast, folder: Path) -> None:
    """What is not known is never told as covered, nor is a cent too little; the newest of a day counts."""
    first = stated(folder)
    assert (first.state, first.told["assets"][0]["bank_minor"]) == ("unknown", None)
    bank_says(people.bank, "149.99", opening="149.99")
    second = stated(folder)
    assert (second.state, second.number, second.previous_digest) == ("short", 2, first.digest)
    assert second.told["assets"][0]["surplus_minor"] == "-1"
    (event, _) = log.events(DB, kind="custody.solvency_stated")
    assert event.payload is not None
    assert event.payload["state"] == "short"
    assert statements.of_day(DB, BOOK, DAY) == second
    texts = [each.text for each in reversed(statements.statements(DB, BOOK))]
    assert statement_file.chain_differences(texts) == []
    assert len(statement_file.chain_differences([texts[1], texts[0]])) == 1
    # The first one's proofs still hold: nothing of a later day replaces them.
    proof = trees.prove(DB, the_tree(first), accounts.account(DB, people.wang), folder)
    verification.read_and_verify(proof, statement_file.commitment_of(first.text, "CNY"), balance=10_000)


def test_money_in_suspense_is_owed_and_a_clients_debt_is_not_set_against_it(
    people: cast.Cast, folder: Path
) -> None:
    cast.post([ask(3, people.bank, people.suspense, 700)])
    made = stated(folder)
    (told,) = made.told["assets"]
    assert (told["liabilities"]["total"], told["unallocated_minor"], told["owed_minor"]) == (
        "15000",
        "700",
        "15700",
    )


def test_an_account_at_zero_is_in_the_tree_and_a_later_one_is_not(people: cast.Cast, folder: Path) -> None:
    """Whoever counts the accounts of the ledger finds as many in the tree."""
    early, late = (
        accounts.open_account(
            DB,
            BOOK,
            Family.CLIENT,
            "CNY",
            owner=owner,
            name="n",
            reference=owner,
            actor=cast.SIMULATION,
            now=now,
        )
        for owner, now in (("C-EARLY", cast.NOW), ("C-LATE", AFTER))
    )
    made = stated(folder)
    assert made.told["assets"][0]["liabilities"]["header"]["customers"] == 3
    proof = trees.prove(DB, the_tree(made), accounts.account(DB, early), folder)
    verification.read_and_verify(proof, statement_file.commitment_of(made.text, "CNY"), balance=0)
    with pytest.raises(evidence_errors.AccountNotInTree):
        trees.prove(DB, the_tree(made), accounts.account(DB, late), folder)


def test_the_bank_and_the_regulator_build_the_whole_tree_again(people: cast.Cast, folder: Path) -> None:
    """From the file they were handed and the key, without the database; and from a ledger of their own."""
    made = stated(folder)
    handed = folder / "handed"
    key = trees.hand_over(DB, the_tree(made), folder, handed, recipient="First Bank", actor=CLI, now=AFTER)
    published = statement_file.commitment_of(made.text, "CNY")
    with snapshot.Snapshot(handed) as source:
        assert proving.rebuild(published, key, source).commitment == published
    origin = published["header"]["origin"]  # type: ignore[index, call-overload]
    own = [
        (profile.account_id(origin, balances.identifiers(number, owner)), amount)
        for number, owner, amount in ((people.wang, "C-WANG", 10_000), (people.li, "C-LI", 5_000))
    ]
    assert proving.rebuild(published, key, snapshot.held(own)).commitment == published
    own[1] = (own[1][0], 5_001)
    with pytest.raises(evidence_errors.RebuildDiffers):
        proving.rebuild(published, key, snapshot.held(own))
    (event,) = log.events(DB, kind="custody.liabilities_handed_over")
    assert event.payload == {"statement": made.id, "asset": "CNY", "recipient": "First Bank"}


def test_files_that_are_gone_are_made_again_from_the_ledger(people: cast.Cast, folder: Path) -> None:
    """Later transfers change nothing of a day that is past; the same bytes come again."""
    made = stated(folder)
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    cast.post([ask(3, people.bank, people.wang, 99)], now=AFTER)
    for each in folder.iterdir():
        each.unlink()
    for harm in (lambda path: None, lambda path: path.write_bytes(path.read_bytes()[:-7])):
        for each in folder.iterdir():
            harm(each)
        proof = trees.prove(DB, the_tree(made), accounts.account(DB, people.wang), folder)
        verification.read_and_verify(proof, statement_file.commitment_of(made.text, "CNY"), balance=10_000)
        assert {each.name: each.read_bytes() for each in folder.iterdir()} == before


def test_a_ledger_that_was_changed_since_no_longer_gives_the_tree(
    people: cast.Cast, folder: Path, ledger_database: TestDatabase
) -> None:
    """The database's owner lowers a past balance: the tree that was published is not found again."""
    made = stated(folder)
    for each in folder.iterdir():
        each.unlink()
    with psycopg.connect(ledger_database.conninfo(DatabaseRole.OWNER), autocommit=True) as owner:
        owner.execute("alter table custody_entry disable trigger user")
        owner.execute(
            "update custody_entry set credits_posted = credits_posted - 1 where account = %s", [people.wang]
        )
    with pytest.raises(evidence_errors.RebuildDiffers) as caught:
        trees.prove(DB, the_tree(made), accounts.account(DB, people.wang), folder)
    assert caught.value.fields["member"] in {"root", "total"}


def test_two_days_show_nothing_that_links_them(people: cast.Cast, folder: Path) -> None:
    """The same balances: other nonces, other keys, other leaves."""
    first, second = stated(folder), stated(folder, NEXT, LATER)
    proofs = [
        json.loads(trees.prove(DB, the_tree(each), accounts.account(DB, people.wang), folder))
        for each in (first, second)
    ]
    assert proofs[0]["balance"] == proofs[1]["balance"]
    assert proofs[0]["nonce"] != proofs[1]["nonce"]
    hashes = [{step[0] for part in each["fragments"] for step in part["path"]} for each in proofs]
    assert not hashes[0] & hashes[1]


# ── what does not follow ─────────────────────────────────────────────────────────────────────────────────


def test_a_statement_that_was_changed_does_not_add_up(people: cast.Cast, folder: Path) -> None:
    """Every figure that follows from others is recomputed from the text alone."""
    bank_says(people.bank, "149.00", opening="149.00")
    made = stated(folder)
    assert statement_file.differences(made.text) == []

    def changed(change: object) -> list[str]:
        told = json.loads(made.text)
        change(told)  # type: ignore[operator]
        text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return [each.where for each in statement_file.differences(text)]

    assert "CNY.surplus_minor" in changed(lambda told: told["assets"][0].update(surplus_minor="5"))
    assert "CNY.bank_minor" in changed(lambda told: told["assets"][0].update(bank_minor="15000"))
    assert "CNY.owed_minor" in changed(lambda told: told["assets"][0]["liabilities"].update(total="14900"))
    assert "CNY.state" in changed(lambda told: told["assets"][0].update(state="covered"))
    assert changed(lambda told: told.update(state="covered")) == ["state"]
    assert changed(lambda told: told.update(day="2026-03-01")) == ["CNY.liabilities.day"]
    for text in ("", "{}", made.text + " ", made.text.replace('"assets":[', '"assets":[7,'), "[" * 50_000):
        with pytest.raises(errors.SolvencyStatementMalformed):
            statement_file.differences(text)


def test_a_day_is_stated_when_it_is_over_and_missed_when_nobody_did(people: cast.Cast, folder: Path) -> None:
    book = books.book(DB, BOOK)
    assert statements.missing_since(DB, book, now=LATER) is None, "nothing was ever promised"
    made = stated(folder)
    with pytest.raises(errors.DayNotOver):
        stated(folder, NEXT, AFTER)
    assert statements.missing_since(DB, book, now=AFTER) is None
    assert statements.missing_since(DB, book, now=LATER) == NEXT
    for wrong in ("sol_999", "sgp_1", "sol_x"):
        with pytest.raises(errors.SolvencyStatementUnknown):
            statements.statement(DB, wrong)
    assert statements.statement(DB, made.id) == made
    with pytest.raises(errors.TreeUnknown):
        trees.kept(DB, made.id, "EUR")


def test_who_may_not_state_or_hand_over_is_refused(people: cast.Cast, folder: Path) -> None:
    with pytest.raises(identity_errors.AccessDenied):
        statements.state(DB, BOOK, DAY, folder=folder, actor=Actor.system("posting"), now=AFTER)
    made = stated(folder)
    with pytest.raises(identity_errors.AccessDenied):
        trees.hand_over(
            DB, the_tree(made), folder, folder / "x", recipient="me", actor=cast.OPERATIONS, now=AFTER
        )
    with pytest.raises(errors.RecipientUnnamed):
        trees.hand_over(DB, the_tree(made), folder, folder / "x", recipient=" ", actor=CLI, now=AFTER)
    assert not (folder / "x").exists()


def test_the_tables_keep_what_was_stated(
    people: cast.Cast, folder: Path, ledger_database: TestDatabase
) -> None:
    """Neither app nor owner changes a statement, and none is put between two others."""
    made = stated(folder)
    with psycopg.connect(ledger_database.conninfo(DatabaseRole.APP), autocommit=True) as app:
        for sql in (
            "update custody_solvency_statement set state = 'covered'",
            "delete from custody_solvency_tree",
        ):
            with pytest.raises(psycopg.Error):
                app.execute(sql)
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
            app.execute(
                "insert into custody_solvency_statement (book_id, number, day, position, state, statement,"
                " previous_digest, digest, event, at, actor) select book_id, 2, day, position, state, statement,"
                " 'other'::bytea, 'x'::bytea, 99, at, actor from custody_solvency_statement"
            )
    with (
        psycopg.connect(ledger_database.conninfo(DatabaseRole.OWNER), autocommit=True) as owner,
        pytest.raises(psycopg.Error),
    ):
        owner.execute("update custody_solvency_statement set state = 'covered'")
    assert statements.statement(DB, made.id) == made


def test_a_trees_key_opens_with_the_installations_secret_alone(
    people: cast.Cast, folder: Path, settings: object
) -> None:
    made = stated(folder)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new" * 20, [settings.SECRET_KEY]  # type: ignore[attr-defined]
    assert the_tree(made).keys
    settings.SECRET_KEY_FALLBACKS = []  # type: ignore[attr-defined]
    with pytest.raises(errors.TreeKeyUnsealable):
        the_tree(made)
    assert tree_keys.drawn(b"t" * 32) != tree_keys.drawn(b"t" * 32)
