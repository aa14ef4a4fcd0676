"""A transfer's receipt leads from its own row to the signed checkpoint, and shows nothing of any other."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tallystick.core.db import SEQUENCER
from tallystick.custody import audit, errors, sealed_transfers
from tallystick.evidence import checkpoints, hashing, keys, receipt_file, sealing
from tallystick.evidence.errors import ItemDiffers, NotSealedYet
from tallystick.evidence.keys import LEDGER
from tests.custody.cast import DB, NOW, Cast, an_id, ask, opened, post


@pytest.fixture
def people(ledger_database) -> Cast:
    """王芳 and 李强 paid in together with a crowd, the batch sealed."""
    people = opened()
    crowd = [ask(n, people.bank, people.wang if n % 2 else people.li, 100 + n) for n in range(1, 12)]
    post(crowd)
    post([ask(20, people.bank, people.li, 7, reference="租金", payee="房东")], NOW + timedelta(seconds=1))
    keys.open_logs(SEQUENCER, "receipts.example", actor="system:cli", now=NOW)
    return people


def test_a_receipt_is_checked_with_the_logs_key_alone(people):
    with pytest.raises(NotSealedYet):
        sealed_transfers.receipt(DB, an_id(3))
    sealing.seal(SEQUENCER, now=NOW)
    for n in (1, 3, 11, 20):
        text = sealed_transfers.receipt(DB, an_id(n)).text
        told = receipt_file.parse(text.encode())
        receipt_file.check_content(told)
        checkpoint = checkpoints.open(told.proof.checkpoint, keys.verifiers(DB, LEDGER))
        leaf = hashing.leaf_hash(told.entry.encode())
        hashing.verify_inclusion(told.proof.index, checkpoint.size, leaf, told.proof.hashes, checkpoint.root)
        assert audit.position_of(told.item.thing) == (12 if n == 20 else n)


def test_a_receipt_shows_one_row_and_no_payload(people):
    sealing.seal(SEQUENCER, now=NOW)
    told = json.loads(sealed_transfers.receipt(DB, an_id(3)).text)
    assert (told["salt"], told["payload"]) == (None, None)
    assert (told["item"]["index"], told["item"]["count"], len(told["item"]["path"])) == (2, 11, 4)
    others = [f"{n:012x}" for n in range(1, 12) if n != 3]
    assert not [each for each in others if f"00000000000070008000{each}" in told["item"]["thing"]]


def test_a_receipt_with_another_amount_is_refused(people):
    sealing.seal(SEQUENCER, now=NOW)
    text = sealed_transfers.receipt(DB, an_id(3)).text
    amount = (103).to_bytes(8, "big").hex()
    assert text.count(amount) == 1
    forged = text.replace(amount, (104).to_bytes(8, "big").hex())
    with pytest.raises(ItemDiffers):
        receipt_file.check_content(receipt_file.parse(forged.encode()))


def test_there_is_no_receipt_of_what_never_was(people):
    with pytest.raises(errors.TransferNotFound):
        sealed_transfers.receipt(DB, an_id(99))
