"""The invented bank's files are real files: the strict reader takes each, and they say what was planted."""

from __future__ import annotations

import io
from collections import Counter
from datetime import date

import pytest

from tallystick.custody.statements import file
from tallystick.simulation import channel, scenarios, statements, world
from tallystick.simulation.world import BANK, FIRM


@pytest.fixture(scope="module")
def place() -> world.World:
    return world.make(seed=11, customers=60, first_day=date(2026, 7, 21), last_day=date(2026, 10, 20))


@pytest.fixture(scope="module")
def sent(place: world.World) -> statements.Sent:
    return statements.send(place, scenarios.generate(place, 3_000))


def test_every_file_is_read_without_a_note_and_adds_up(sent: statements.Sent) -> None:
    for each in sent.files:
        judged = file.judge(io.BytesIO(each.content))
        assert (judged.status, judged.reason, judged.sum_check, judged.notes) == ("ok", "", "ok", ()), (
            each.name
        )
        assert judged.statements[0].closing_minor == each.closing_minor
        assert judged.statements[0].account == statements.NUMBERS[each.account]


def test_each_statement_opens_with_what_the_one_before_closed_with(sent: statements.Sent) -> None:
    for account in (BANK, FIRM):
        balance, number = 0, 0
        for each in sent.files:
            if each.account == account:
                told = file.judge(io.BytesIO(each.content)).statements[0]
                assert (told.opening_minor, told.number) == (balance, number + 1)
                balance, number = each.closing_minor, number + 1


def test_both_formats_and_two_versions_of_one_are_sent_in_turn(sent: statements.Sent) -> None:
    formats = Counter(file.judge(io.BytesIO(each.content)).format_name for each in sent.files)
    assert set(formats) == {"camt.053.001.02", "camt.053.001.08", "mt940"}
    assert formats["mt940"] >= len(sent.files) // 2 - 1


def test_the_bank_sends_on_business_days_and_the_firm_every_day(
    place: world.World, sent: statements.Sent
) -> None:
    days = {account: [each.day for each in sent.files if each.account == account] for account in (BANK, FIRM)}
    assert days[FIRM] == place.days
    assert days[BANK] == [day for day in place.days if world.is_business_day(day)]


def test_a_break_of_every_kind_is_planted_and_its_effect_is_the_difference(
    place: world.World, sent: statements.Sent
) -> None:
    assert all(sent.planted_by_kind[kind] >= 1 for kind in statements.BREAK_KINDS)
    truth = statements.booked(
        place, scenarios.generate(place, 3_000), statements.Random(f"{place.seed}/bank")
    )
    for account in (BANK, FIRM):
        ledger = sum(line.amount_minor for line in truth if line.account == account)
        effects = sum(each.effect_minor for each in sent.planted if each.account == account)
        assert sent.closing_minor[account] - ledger == effects


def test_the_same_world_is_sent_the_same_bytes(place: world.World, sent: statements.Sent) -> None:
    again = statements.send(place, scenarios.generate(place, 3_000))
    assert again == sent


def test_a_narrative_is_wrapped_to_what_mt940_allows_and_loses_no_character() -> None:
    text = "/EREF/T260721000001/ORDP//NAME/WANG FANG/REMI/" + "WORDS IN A ROW - AND : MARKS " * 6
    rows = statements._wrapped(text.strip())
    assert "".join(rows) == text.strip()
    assert all(len(row) <= 65 and row[0] not in " :-" and row[-1] != " " for row in rows)


def test_the_channels_files_make_its_payouts(sent: statements.Sent) -> None:
    """Each file is read by its declared columns, and the bank names its payout, with the sum or planted less."""
    short = {each.reference: -each.effect_minor for each in sent.planted if each.kind == "amount"}
    bank = b"".join(each.content for each in sent.files if each.account == BANK).decode()
    assert len(sent.settlements) > 5
    for each in sent.settlements:
        judged = file.judge(io.BytesIO(each.content), mappings=[channel.MAPPING])
        assert (judged.status, judged.reason, judged.notes) == ("ok", "", ()), each.name
        rows = [row.split(",") for row in each.content.decode().split("\r\n")[1:-1]]
        payout = rows[0][5]
        arrived = sum(round(float(row[4]) * 100) for row in rows) - short.get(payout, 0)
        assert payout in bank
        assert (
            f"{arrived // 100}.{arrived % 100:02d}" in bank or f"{arrived // 100},{arrived % 100:02d}" in bank
        )
    assert short.keys() & {
        row.split(",")[5] for each in sent.settlements for row in each.content.decode().split()[1:]
    }
