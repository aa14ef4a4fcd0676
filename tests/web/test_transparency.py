"""The public page, the log's files and one's own proof: shown to whom they are for, and checked by others' code."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from django.utils import timezone

from tallystick.core.db import APP
from tallystick.custody import history, numbers
from tallystick.evidence import checking, keys, log, notes, standing, tiles
from tallystick.evidence import policy as policies
from tallystick.evidence.cosignatures import Cosigner
from tallystick.identity import users
from tallystick.identity.roles import Role
from tests.verifier import implementations

from . import proven, seed
from .conftest import CLI, SecureClient, page, signed_in

START = datetime(2026, 2, 1, tzinfo=UTC)
PEOPLE = {
    "operations": (Role.PLATFORM_OPERATIONS, None),
    "bank": (Role.CUSTODIAN_BANK, None),
    "auditor": (Role.AUDITOR, None),
    "regulator": (Role.REGULATOR, None),
    "wang": (Role.CUSTOMER, "C-1"),
    "li": (Role.CUSTOMER, "C-2"),
}


@pytest.fixture(scope="module")
def told(ledger_database_module, tmp_path_factory):
    """The platform, stated and sealed; its files in folders of this module."""
    from django.test import override_settings

    folder = tmp_path_factory.mktemp("proven")
    with override_settings(LIABILITIES_FOLDER=folder / "trees", LOG_FOLDER=folder / "logs"):
        found = proven.platform(start=START, folder=folder)
        for name, (role, number) in PEOPLE.items():
            user = users.create(APP, name, name=name, customer_number=number, actor=CLI, now=START)
            users.grant(APP, user.pk, role, reason="A test.", actor=CLI, now=START)
        yield found


def stranger(language: str = "en") -> SecureClient:
    return SecureClient(SERVER_NAME="localhost", headers={"Accept-Language": language})


def checked(content: bytes, name: str) -> checking.Answer:
    """What the library says of a file, by the policy that the platform proposes."""
    policy = policies.parse(standing.proposed_policy(APP).encode())
    (answer,) = checking.answers({name: content}, checking.Asked(policy=policy))
    return answer


def test_a_stranger_sees_the_short_day_as_short(told):
    """Without signing in: the newest day is short and says so, the day before is covered; nobody is named."""
    seen = page(stranger(), "/transparency/")
    assert "held less than clients are owed" in seen
    assert "−5.00" in seen
    assert "verdict bad" in seen
    assert ">Covered<" in seen
    assert "C-1" not in seen
    assert "王芳" not in seen
    for log_id in keys.LOGS.values():
        found = standing.standing(APP, log_id)
        assert found.head.root.hex() in seen
        assert found.keys[0] in seen.replace("&#x2B;", "+").replace("&#43;", "+")


def test_a_day_that_nobody_stated_is_told(told):
    """The last stated day is long over on this machine's clock: the page says since when there is silence."""
    _, stated = told
    seen = page(stranger("zh-Hans"), "/transparency/")
    assert "没有报告" in seen
    summary = stranger().get("/transparency/summary.json").json()
    assert summary["books"][0]["missing_since"] > stated[-1].day.isoformat()
    assert [each["statement"]["state"] for each in summary["books"][0]["statements"]] == ["short", "covered"]


def test_a_statement_is_handed_out_as_its_digest_is_over_it(told):
    _, stated = told
    answer = stranger().get(f"/transparency/statements/{stated[-1].id}.json")
    assert answer.content.decode() == stated[-1].text
    assert stranger().get("/transparency/statements/sol_999.json").status_code == 404


def test_the_verifier_and_the_policy_are_the_published_ones(told):
    """What is downloaded is, byte for byte, the file that the vectors hold; the policy reads, and names both logs."""
    answer = stranger().get("/transparency/tallystick_verify.py")
    assert answer.content == (implementations.FOLDER / "tallystick_verify.py").read_bytes()
    policy = policies.parse(stranger().get("/transparency/policy.txt").content)
    assert {each.key.name for each in policy.logs} == {"platform.example/ledger", "platform.example/public"}


def test_a_witness_that_is_silent_is_told_as_silent(told, settings, tmp_path):
    """The operator's policy names one that never signed: the page says so, and the proposed policy asks for it."""
    witness = Cosigner("witness.bank.example", notes.Ed25519Secret(b"w" * 32)).key.text
    settings.WITNESS_POLICY = tmp_path / "policy"
    settings.WITNESS_POLICY.write_text(f"witness bank {witness}\nquorum bank\n")
    seen = page(stranger(), "/transparency/")
    assert seen.count(">silent<") == 2
    assert "It has not signed yet." in seen
    assert policies.parse(standing.proposed_policy(APP).encode()).quorum == "bank"


def test_the_public_log_is_served_to_anybody_and_kept_for_ever(told):
    """Checkpoint, tiles, entries: the bytes of the files, cached by what they are; nothing else of the folder."""
    checkpoint = stranger().get("/transparency/public/checkpoint")
    assert checked(checkpoint.content, "checkpoint").refusal is None
    assert "max-age=1," in checkpoint["Cache-Control"]
    assert checkpoint["Access-Control-Allow-Origin"] == "*"
    again = stranger().get("/transparency/public/checkpoint", headers={"If-None-Match": checkpoint["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    size = standing.standing(APP, keys.PUBLIC).head.size
    for path in (tiles.tile_path(0, 0, size), tiles.bundle_path(0, size)):
        answer = stranger().get(f"/transparency/public/{path}")
        assert answer.status_code == 200, path
        assert "immutable" in answer["Cache-Control"]
        assert "Vary" not in answer
        assert "Set-Cookie" not in answer
    assert len(tiles.decode_bundle(answer.content, size)) == size
    for path in (
        "../ledger/checkpoint",
        "tile/0/../../checkpoint",
        ".draft",
        "tile/0/999",
        "%2e%2e/x",
        "tile/0/x",
    ):
        assert stranger().get(f"/transparency/public/{path}").status_code == 404, path


def test_the_ledgers_log_is_for_who_stands_outside(told):
    """Bank, regulator and auditor read its files; staff do not, and a stranger is asked to sign in."""
    for name in ("bank", "regulator", "auditor"):
        answer = signed_in(name).get("/evidence/ledger/checkpoint")
        assert (answer.status_code, answer["Cache-Control"]) == (200, "private, no-cache")
    for name in ("operations", "wang"):
        assert signed_in(name).get("/evidence/ledger/checkpoint").status_code == 403
    assert stranger().get("/evidence/ledger/checkpoint").status_code == 302


def test_a_customer_sees_that_they_are_counted(told):
    """The figure is the account's own at that close, and the words say so; the page is checked, not asserted."""
    cast, stated = told
    seen = page(signed_in("wang"), f"/my/proof/{numbers.account_text(cast.wang)}/")
    balance = history.balance(APP, cast.wang, at_position=stated[-1].position).balance_minor
    assert f"{balance // 100:,}.{balance % 100:02d} CNY is counted as owed to you" in seen
    assert ">Verified<" in seen
    assert "It is what your account showed at that close." in seen
    assert ">Short<" in seen
    earlier = page(
        signed_in("wang"), f"/my/proof/{numbers.account_text(cast.wang)}/?day={stated[0].day.isoformat()}"
    )
    assert ">Covered<" in earlier
    overview = page(signed_in("wang"), "/my/proof/")
    assert overview.count(">Verified<") == 2


def test_a_tree_that_was_cheated_on_is_not_told_as_verified(told, settings, tmp_path):
    """Somebody takes a balance out of the snapshot: the customer's page says that it is not counted."""
    cast, _ = told
    folder = tmp_path / "trees"
    folder.mkdir()
    for path in Path(settings.LIABILITIES_FOLDER).iterdir():
        content = bytearray(path.read_bytes())
        if path.suffix == ".snapshot":
            content[-1] ^= 1
        (folder / path.name).write_bytes(content)
    settings.LIABILITIES_FOLDER = folder
    seen = [
        page(signed_in(name), f"/my/proof/{numbers.account_text(account)}/")
        for name, account in (("wang", cast.wang), ("wang", cast.wang_second), ("li", cast.li))
    ]
    # One has less, and whoever is beside them or above sees it too.
    assert all("Not verified" in each for each in seen)
    assert not any(">Verified<" in each for each in seen)


@pytest.mark.parametrize("form", ["json", "html"])
def test_the_proof_is_taken_away_and_verified_by_code_that_is_not_ours(told, form, tmp_path):
    """JSON or page: the library and the verifier that stands alone say the same of the downloaded file."""
    cast, _ = told
    answer = signed_in("wang").get(f"/my/proof/{numbers.account_text(cast.wang)}/proof.{form}")
    assert answer.status_code == 200
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["Cache-Control"] == "no-store"
    found = checked(answer.content, f"proof.{form}")
    assert found.refusal is None, found
    assert found.facts["origin"] == "platform.example/public"
    (tmp_path / f"proof.{form}").write_bytes(answer.content)
    (tmp_path / "policy").write_text(standing.proposed_policy(APP))
    alone = [sys.executable, "-I", str(implementations.FOLDER / "tallystick_verify.py"), f"proof.{form}"]
    said = subprocess.run([*alone, "--policy", "policy"], cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("form", ["json", "html"])
def test_a_receipt_is_of_ones_own_movement_alone(told, form):
    """Every movement of one's own has a receipt that verifies; somebody else's answers as if it were not there."""
    cast, _ = told
    own = numbers.account_text(cast.wang)
    path = f"/my/proof/{own}/receipts/{seed.transfer_id('fee-5')}.{form}"
    answer = signed_in("wang").get(path)
    assert answer.status_code == 200, answer.content[:300]
    found = checked(answer.content, f"receipt.{form}")
    assert found.refusal is None, found
    assert found.facts["origin"] == "platform.example/ledger"
    nobody_knows = seed.transfer_id(f"top-up-3-{cast.li}")
    assert signed_in("wang").get(f"/my/proof/{own}/receipts/{nobody_knows}.{form}").status_code == 404
    for name in ("li", "operations", "auditor", "regulator"):
        assert signed_in(name).get(path).status_code in (403, 404), name
        assert signed_in(name).get(f"/my/proof/{own}/proof.{form}").status_code in (403, 404), name
    assert stranger().get(path).status_code == 302


@pytest.mark.parametrize(
    "path",
    [
        "/transparency/",
        "/my/proof/",
        "/my/proof/{wang}/",
        "/evidence/",
        "/evidence/{event}/",
        "/evidence/logs/ledger/",
        "/evidence/logs/ledger/1/",
        "/books/1/solvency/",
        "/books/1/solvency/{statement}/",
        "/books/1/solvency/{statement}/CNY/",
        "/books/1/solvency/rebuilt/",
    ],
)
def test_pages_speak_chinese(told, path):
    """No English heading is left on a Chinese page."""
    cast, stated = told
    visitor = signed_in("wang" if path.startswith("/my") else "regulator", "zh-Hans")
    names = {"wang": numbers.account_text(cast.wang), "statement": stated[0].id, "event": stated[0].event}
    seen = re.sub(r"\s+", " ", page(visitor, path.format(**names)))
    for heading in re.findall(r"<(?:h[1234]|dt|th)[^>]*>(.*?)</(?:h[1234]|dt|th)>", seen):
        words = re.sub(r"<[^>]+>", "", heading)
        assert re.search(r"[一-鿿]", words) or not re.search(
            r"[A-Za-z]{4}", re.sub(r"First Bank|[a-z]+\.[a-z_]+", "", words)
        ), words


# ── the explorer ─────────────────────────────────────────────────────────────────────────────────────────


def links(seen: str, pattern: str) -> list[str]:
    """The addresses on a page that look like this."""
    return [each for each in re.findall(r'href="([^"]+)"', seen) if re.search(pattern, each)]


def test_from_a_figure_down_to_a_leaf_and_up_to_a_checkpoint(told):
    """The regulator clicks: statement, total, account, line, transfer, event, entry; each page is there and agrees."""
    cast, stated = told
    visitor = signed_in("regulator")
    statement = page(visitor, "/books/1/solvency/")
    assert "−5.00" in statement
    (first,) = set(links(statement, rf"/solvency/{stated[-1].id}/$"))
    figures = page(visitor, first)
    (total,) = links(figures, r"/CNY/$")
    counted = page(visitor, total)
    rows = [
        int(each.replace(",", "").replace(".", "")) for each in re.findall(r'"Counted">([\d,.]+)<', counted)
    ]
    assert sum(rows) == int(stated[-1].told["assets"][0]["liabilities"]["total"])
    (account,) = links(counted, rf"{numbers.account_text(cast.li)}/\?position=")
    transfer = links(page(visitor, account), r"/transfers/trf_")[0]
    event = links(page(visitor, transfer), r"^/evidence/\d+/$")[0]
    sealed = page(visitor, event)
    assert transfer in links(sealed, "/transfers/")
    entry = page(visitor, links(sealed, r"/evidence/logs/ledger/\d+/")[0])
    assert standing.standing(APP, keys.LEDGER).note.split("\n")[2] in entry.replace("&#x2B;", "+")
    receipt = visitor.get(f"{transfer}receipt.json")
    assert checked(receipt.content, "receipt.json").refusal is None


def test_events_are_found_by_kind_time_and_number(told):
    """Each search narrows; a number leads to what it names; what is none says what was expected."""
    visitor, (cast, stated) = signed_in("auditor"), told
    seen = page(visitor, "/evidence/?kind=custody.solvency_stated")
    assert seen.count('data-label="Kind"') == 2
    assert 'value="custody.transfers_posted"' in seen
    assert "None of this time" in page(visitor, "/evidence/?from=2031-01-01")
    posted = log.events(APP, kind="custody.transfers_posted", limit=100)
    days = [timezone.localtime(each.at).date().isoformat() for each in posted]
    day = page(visitor, f"/evidence/?kind=custody.transfers_posted&from={days[5]}&to={days[5]}")
    assert day.count('data-label="Kind"') == days.count(days[5])
    for number, place in (
        (f"evt_{stated[0].event}", f"/evidence/{stated[0].event}/"),
        (seed.transfer_id("fee-5"), f"/books/1/transfers/{seed.transfer_id('fee-5')}/"),
        (numbers.account_text(cast.wang), f"/books/1/accounts/{numbers.account_text(cast.wang)}/"),
        (stated[0].id, f"/books/1/solvency/{stated[0].id}/"),
        ("3", "/evidence/logs/ledger/3/"),
    ):
        assert visitor.get("/evidence/find/", {"id": number})["Location"] == place
    assert visitor.get("/evidence/find/", {"id": "what?"}).status_code == 400
    assert visitor.get("/evidence/find/", {"id": "trf_0"}).status_code == 404


def test_an_erased_payload_is_told_as_erased_and_its_entry_still_verifies(told, ledger_database_module):
    """The payload goes; the entry, its proof and its receipt stay."""
    (event,) = log.events(APP, kind="custody.book_opened", limit=1)
    with psycopg.connect(ledger_database_module.superuser, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("delete from evidence_payload where event_id = %s", [event.id])
    visitor = signed_in("auditor")
    seen = page(visitor, f"/evidence/{event.id}/")
    assert "Erased" in seen
    receipt = visitor.get(f"/evidence/{event.id}/receipt.json")
    assert checked(receipt.content, "receipt.json").refusal is None


def test_balances_are_rebuilt_at_any_moment_and_an_edited_one_is_named(told, ledger_database_module):
    """From the transfers alone, now and then; a balance that somebody edited in the ledger is named."""
    cast, stated = told
    visitor = signed_in("auditor")
    assert "They agree" in page(visitor, "/books/1/solvency/rebuilt/")
    then = page(visitor, f"/books/1/solvency/rebuilt/?position={stated[0].position}")
    assert "They agree" in then
    assert f"{stated[0].position:,} transfers" in then
    assert "They agree" in page(visitor, "/books/1/solvency/rebuilt/?at=2026-02-10")
    change = (
        "update custody_entry set credits_posted = credits_posted + %s where account = %s"
        " and position = (select max(position) from custody_entry where account = %s)"
    )
    with psycopg.connect(ledger_database_module.superuser, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(change, [1, cast.li, cast.li])
        differing = page(visitor, "/books/1/solvency/rebuilt/")
        connection.execute(change, [-1, cast.li, cast.li])
    assert "They differ" in differing
    assert numbers.account_text(cast.li) in differing


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/evidence/", "operations bank auditor regulator"),
        ("/evidence/find/?id=1", "operations bank auditor regulator"),
        ("/evidence/1/receipt.json", "operations bank auditor regulator"),
        ("/evidence/logs/ledger/", "operations bank auditor regulator"),
        ("/evidence/logs/public/0/", "operations bank auditor regulator"),
        ("/books/1/solvency/", "operations bank auditor regulator"),
        ("/books/1/solvency/rebuilt/", "operations bank auditor regulator"),
        ("/books/1/solvency/{statement}/", "operations bank auditor regulator"),
        ("/books/1/solvency/{statement}/CNY/", "operations bank auditor regulator"),
        ("/books/1/transfers/{transfer}/receipt.html", "operations bank auditor regulator"),
        ("/my/proof/", "wang li"),
        ("/my/proof/{wang}/", "wang"),
        ("/transparency/", " ".join(PEOPLE)),
    ],
)
def test_a_page_is_for_whom_it_is(told, path, who):
    """Whoever is not named is refused, or told that nothing is there; a stranger is asked to sign in."""
    cast, stated = told
    place = path.format(
        statement=stated[0].id, transfer=seed.transfer_id("fee-5"), wang=numbers.account_text(cast.wang)
    )
    for name in PEOPLE:
        allowed = signed_in(name).get(place).status_code in (200, 302)
        assert allowed == (name in who.split()), (place, name)
    status = stranger().get(place).status_code
    assert status == (200 if path.startswith("/transparency") else 302)


@pytest.mark.parametrize(
    "path",
    [
        "/evidence/logs/nothing/",
        "/evidence/logs/ledger/99999999/",
        "/evidence/999999/receipt.json",
        "/books/1/solvency/sol_999/",
        "/books/1/solvency/what/",
        "/books/1/solvency/{statement}/USD/",
        "/books/2/solvency/{statement}/",
        "/books/1/transfers/trf_0/receipt.json",
    ],
)
def test_what_is_not_there_says_so_with_a_way_on(told, path):
    _, stated = told
    seen = page(signed_in("auditor"), path.format(statement=stated[0].id), 404)
    assert 'href="/home/"' in seen
