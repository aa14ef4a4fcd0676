"""`tallystick safeguarding`: what a person and a program get to read, and what is written for others."""

from __future__ import annotations

import datetime as dt
import io
import json
import zipfile
from pathlib import Path

import pypdf
import pytest

from tallystick.custody import posting
from tallystick.custody.numbers import account_text
from tests.cli.test_statements import answer, ran
from tests.custody import cast
from tests.custody.cast import ask
from tests.plugin_postgres import TestDatabase

LONG_AGO = "2026-03-02"


@pytest.fixture
def people(ledger_database: TestDatabase) -> cast.Cast:
    """The cast with money at the bank."""
    posting.use(posting.InProcess())
    people = cast.opened()
    cast.post([ask(1, people.bank, people.wang, 10_000), ask(2, people.bank, people.li, 5_000)])
    return people


def test_a_day_is_declared_proved_and_verified(people: cast.Cast, tmp_path: Path) -> None:
    """From nothing to a file that adds up by itself, a PDF of it, and a chain of two."""
    bank = account_text(people.bank)
    ran(
        *("safeguarding", "declare", bank, "--role", "safeguarding"),
        *("--institution", "First Bank", "--number", "BANK-1"),
    )
    told = answer("safeguarding-prove", "safeguarding", "prove", "--date", LONG_AGO, "--book", 1)
    assert told["header"]["result"] == "undetermined"
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    first.write_text(json.dumps(told, ensure_ascii=False))
    paper = tmp_path / "2.pdf"
    shown = ran(
        *("safeguarding", "prove", "--date", LONG_AGO),
        *("--out", second, "--pdf", paper, "--language", "en"),
    )
    assert "undetermined" in shown
    assert "150.00" in pypdf.PdfReader(io.BytesIO(paper.read_bytes())).pages[0].extract_text()
    whole = answer("safeguarding-verify", "safeguarding", "verify", first, second)
    assert [each["status"] for each in whole["files"]] == ["sound", "sound"]
    assert whole["sound"] is True


def test_a_file_that_does_not_add_up_is_told_with_exit_code_1(people: cast.Cast, tmp_path: Path) -> None:
    """What was changed is named; what is no proof is told so."""
    told = answer("safeguarding-prove", "safeguarding", "prove", "--date", LONG_AGO)
    told["accounts"][0]["balance_minor"] = "1"
    bad, other = tmp_path / "bad.json", tmp_path / "other.json"
    bad.write_text(json.dumps(told))
    other.write_text("{}")
    whole = answer("safeguarding-verify", "safeguarding", "verify", bad, other, code=1)
    assert [each["status"] for each in whole["files"]] == ["unsound", "unreadable"]
    assert any("accounts_digest" in each["where"] for each in whole["files"][0]["differences"])


def test_a_day_that_is_not_over_is_refused(people: cast.Cast) -> None:
    """With exit code 2 and the reason's code; strict tells what is not compliant by its exit code."""
    tomorrow = (dt.datetime.now(dt.UTC) + dt.timedelta(days=2)).date()
    told = answer("refusal", "safeguarding", "prove", "--date", tomorrow, code=2)
    assert told["refused"] == "day_not_over"
    ran("safeguarding", "prove", "--date", LONG_AGO, "--strict", code=3)


def test_the_resolution_pack_is_written_whole_or_not_at_all(people: cast.Cast, tmp_path: Path) -> None:
    """A ZIP that only its owner may read; a refused one leaves no file, not even an unfinished one."""
    ran("safeguarding", "contact", "--role", "officer", "--name", "赵敏")
    out = tmp_path / "pack.zip"
    told = answer("safeguarding-resolution-pack", "safeguarding", "resolution-pack", "--out", out)
    assert (told["clients"], told["accounts"], told["bytes"]) == (2, 5, out.stat().st_size)
    assert out.stat().st_mode & 0o077 == 0
    assert "赵敏" in zipfile.ZipFile(out).read("contacts.csv").decode()
    answer("refusal", *("safeguarding", "resolution-pack", "--book", 7, "--out", tmp_path / "x.zip"), code=2)
    assert [each.name for each in tmp_path.iterdir()] == ["pack.zip"]
