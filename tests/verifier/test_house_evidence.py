"""What the house hands out of a real ledger and log is verified by all three, and no longer when it is edited."""

from __future__ import annotations

import base64
import datetime as dt
import json
import struct

import pytest

from tallystick.core.db import SEQUENCER
from tallystick.custody import accounts, posting, sealed_transfers
from tallystick.custody.solvency import statements, trees
from tallystick.evidence import keys, reading, sealing
from tallystick.evidence.keys import LEDGER, PUBLIC
from tallystick.identity.access import Actor
from tests.custody.cast import BOOK, DB, NOW, an_id, ask, opened, post
from tests.verifier import implementations
from tests.verifier.implementations import NODE

DAY = dt.date(2026, 3, 2)
AFTER = dt.datetime(2026, 3, 3, 1, 0, tzinfo=dt.UTC)


@pytest.fixture
def people(ledger_database):
    """王芳 was paid in 100.00, 李强 50.00, among others; the logs are open."""
    posting.use(posting.InProcess())
    people = opened()
    post(
        [
            ask(1, people.bank, people.wang, 10_000, reference="工资 3 月"),
            ask(2, people.bank, people.li, 5_000),
        ]
    )
    keys.open_logs(SEQUENCER, "house.example", actor="system:cli", now=NOW)
    return people


def policy(log_id: int) -> str:
    return "".join(f"log {each.key.text}\n" for each in keys.verifiers(DB, log_id)) + "quorum none\n"


def codes(files: dict[str, str], log_id: int, **asked) -> dict[str, str]:
    """What all three say of the files: one answer."""
    case = {"files": files, "asked": {"policy": policy(log_id), **asked}}
    said = [each(case)["codes"] for each in (implementations.house, implementations.single_file)]
    if NODE:
        said.append(implementations.node([case])[0]["codes"])
    assert said.count(said[0]) == len(said), said
    return said[0]


def test_a_transfers_receipt(people):
    sealing.seal(SEQUENCER, now=NOW)
    receipt = sealed_transfers.receipt(DB, an_id(1)).text
    assert codes({"receipt.json": receipt}, LEDGER) == {"receipt.json": ""}
    shown = implementations.single_file(
        {"files": {"receipt.json": receipt}, "asked": {"policy": policy(LEDGER)}}
    )["facts"]["receipt.json"]["transfer"]
    assert shown["id"] == f"trf_{an_id(1)}".replace("trf_trf_", "trf_")
    assert (shown["amount_minor"], shown["reference"]) == ("10000", "工资 3 月")
    assert shown["credit_account"] == accounts.account(DB, people.wang).text
    ten, more = (struct.pack(">q", each).hex() for each in (10_000, 90_000))
    assert codes({"receipt.json": receipt.replace(ten, more)}, LEDGER) == {"receipt.json": "item_differs"}
    # Another log's key, though it is the same house's, does not speak for this one.
    assert codes({"receipt.json": receipt}, PUBLIC) == {"receipt.json": "signature_missing"}


def test_growth_of_the_log(people):
    sealing.seal(SEQUENCER, now=NOW)
    seen = reading.head(DB, LEDGER)
    post([ask(3, people.bank, people.li, 7)])
    sealing.seal(SEQUENCER, now=AFTER)
    head = reading.head(DB, LEDGER)
    assert head.size > seen.size
    hashes = reading.consistency(DB, LEDGER, seen.size)
    lines = "".join(f"{base64.b64encode(each).decode()}\n" for each in hashes)
    note = reading.note(DB, LEDGER, head.size).decode()
    files = {
        "seen": reading.note(DB, LEDGER, seen.size).decode(),
        "now": f"old {seen.size}\n{lines}\n{note}",
    }
    assert codes(files, LEDGER) == {"seen": "", "now": ""}
    shorter = {"seen": note, "now": f"old {head.size}\n\n{files['seen']}"}
    assert codes(shorter, LEDGER) == {"seen": "", "now": "tree_shrank"}


def test_a_clients_proof_with_the_statement_in_the_public_log(people, tmp_path):
    made = statements.state(DB, BOOK, DAY, folder=tmp_path, actor=Actor.system("cli"), now=AFTER)
    sealing.seal(SEQUENCER, now=AFTER)
    account = accounts.account(DB, people.wang)
    proof = trees.prove(DB, trees.kept(DB, made.id, "CNY"), account, tmp_path).decode()
    told = json.loads(proof)
    own = {"identifiers": told["identifiers"], "balance": 10_000}
    assert codes({"proof.json": proof}, PUBLIC, **own) == {"proof.json": ""}
    assert codes({"proof.json": proof}, PUBLIC, **{**own, "balance": 20_000}) == {
        "proof.json": "balance_differs"
    }
    # The statement's own figures are what the log holds.
    forged = json.dumps({**told, "statement": told["statement"].replace('"state":"', '"state":"x')})
    assert codes({"proof.json": forged}, PUBLIC) == {"proof.json": "root_differs"}
    assert codes({"proof.json": proof}, PUBLIC, policy=None) == {"proof.json": "policy_missing"}
