"""The safeguarding pages: who may do what, what they show, and that a file taken from them adds up."""

from __future__ import annotations

import io
import json
import re
import zipfile

import pypdf
import pytest

from tallystick.core.db import APP
from tallystick.custody import numbers
from tallystick.custody.safeguarding import pack, proof_file, proofs
from tallystick.identity import users
from tallystick.identity.roles import Role

from . import seed
from .conftest import CLI, NOW, page, signed_in
from .test_pages import STAFF

HOME = "/books/1/safeguarding/"


@pytest.fixture(scope="module")
def cast(ledger_database_module):
    found = seed.platform()
    seed.reconciled(found)
    for role in (*STAFF, Role.CUSTOMER):
        number = "C-1" if role == Role.CUSTOMER else None
        user = users.create(APP, role.value, name=role.value, customer_number=number, actor=CLI, now=NOW)
        users.grant(APP, user.pk, role, reason="A test.", actor=CLI, now=NOW)
    return found


def taken(answer):
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    return b"".join(answer.streaming_content)


def test_from_nothing_to_a_proof_that_two_people_signed(cast):
    """Declared by the approver, proved and signed by operations, signed by the approver; files add up."""
    operations, approver = signed_in(Role.PLATFORM_OPERATIONS), signed_in(Role.PLATFORM_APPROVER)
    assert "Nothing is proved yet" in page(operations, HOME)
    declared = {
        "what": "declare",
        "account": numbers.account_text(cast.bank),
        "role": "safeguarding",
        "institution": "First Bank",
        "number": "CN-BANK-0001",
    }
    approver.post(f"{HOME}arrangements/record", declared)
    contact = {"what": "contact", "role": "officer", "name": "赵敏", "telephone": "1"}
    approver.post(f"{HOME}arrangements/record", contact)
    kept = page(approver, f"{HOME}arrangements/")
    assert "First Bank" in kept
    assert "赵敏" in kept

    made = operations.post(f"{HOME}prove", {"day": "2026-02-20"})
    (proof,) = proofs.proofs(APP, 1)
    assert made["Location"] == f"{HOME}{proof.id}/"
    shown = page(operations, made["Location"])
    assert proof.digest.hex() in shown
    assert "UK-CASS15-REC" in shown
    operations.post(f"{HOME}{proof.id}/sign", {"as": "first", "note": "seen"})
    assert "Sign as the second" not in page(operations, made["Location"])
    assert "Sign as the second" in page(approver, made["Location"])
    waiting = page(approver, "/approvals/")
    assert "Signature under a segregation proof" in waiting
    assert f'href="{made["Location"]}"' in waiting
    approver.post(f"{HOME}{proof.id}/sign", {"as": "second"})
    told = json.loads(taken(operations.get(f"{HOME}{proof.id}/proof.json")))
    assert proof_file.verify(json.dumps(told).encode()).is_sound
    assert told["sign_off"]["note"] == "seen"
    paper = pypdf.PdfReader(io.BytesIO(taken(operations.get(f"{HOME}{proof.id}/proof.pdf"))))
    assert proof.digest.hex() in paper.pages[0].extract_text()
    assert proof.id in page(operations, HOME)


def test_the_chart_and_its_table_tell_the_proofs_own_figures(cast):
    """What is drawn is what was recorded."""
    operations = signed_in(Role.PLATFORM_OPERATIONS)
    operations.post(f"{HOME}prove", {"day": "2026-02-21"})
    last = proofs.days(APP, 1)[-1]
    text = page(operations, HOME)
    found = re.search(r'<script id="safeguarding-cny-data" type="application/json">(.*?)</script>', text)
    assert found
    assert json.loads(found[1])["series"][0]["values"][-1] == last.requirement_minor


def test_a_pack_is_taken_by_who_may_and_nobody_else(cast):
    """The approver gets a ZIP whose sums agree; operations, the bank and a customer get nothing."""
    approver = signed_in(Role.PLATFORM_APPROVER)
    whole = zipfile.ZipFile(io.BytesIO(taken(approver.post(f"{HOME}pack"))))
    assert "clients.csv" in whole.namelist()
    before = len(pack.packs(APP, 1))
    for role in (Role.PLATFORM_OPERATIONS, Role.CUSTODIAN_BANK, Role.AUDITOR, Role.CUSTOMER):
        assert signed_in(role).post(f"{HOME}pack").status_code == 403
        assert "Build and download" not in signed_in(role).get(HOME).content.decode()
    assert len(pack.packs(APP, 1)) == before


def test_what_a_customer_may_not_see_is_not_shown(cast):
    """No page of these is a customer's; a proof of another book or none is not found."""
    customer, auditor = signed_in(Role.CUSTOMER), signed_in(Role.AUDITOR)
    for path in (HOME, f"{HOME}arrangements/", f"{HOME}sgp_1/", f"{HOME}sgp_1/proof.json"):
        assert customer.get(path).status_code == 403
    assert auditor.get(f"{HOME}sgp_999/").status_code == 404
    assert auditor.get("/books/2/safeguarding/sgp_1/").status_code == 404


def test_what_is_refused_is_told_and_changes_nothing(cast):
    """A day to come, no day, an unknown account: each is told on the page one comes from."""
    operations, approver = signed_in(Role.PLATFORM_OPERATIONS), signed_in(Role.PLATFORM_APPROVER)
    before = len(proofs.proofs(APP, 1))
    for day in ("2999-01-01", "", "2026-02-31", "1999-01-01"):
        told = operations.post(f"{HOME}prove", {"day": day}, follow=True).content.decode()
        assert 'class="notice bad"' in told
    assert len(proofs.proofs(APP, 1)) == before
    told = approver.post(
        f"{HOME}arrangements/record", {"what": "declare", "account": "acc_1", "role": "channel"}, follow=True
    )
    assert 'class="notice bad"' in told.content.decode()
    assert operations.post(f"{HOME}arrangements/record", {"what": "contact"}).status_code == 403
