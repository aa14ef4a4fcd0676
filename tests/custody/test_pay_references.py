"""Payment references: each names one account, and a slip of the pen names nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.custody import numbers, pay_references
from tallystick.custody.numbers import Family
from tallystick.custody.pay_references import Found, Unread

WANG = numbers.account_number(1, Family.CLIENT, 156, 2)
LI = numbers.account_number(1, Family.CLIENT, 156, 3)
accounts = st.builds(
    lambda book, asset, serial: numbers.account_number(book, Family.CLIENT, asset, serial),
    st.integers(1, numbers.BOOK_MAX),
    st.integers(0, numbers.ASSET_MAX),
    st.integers(1, numbers.SERIAL_MAX),
)


def test_a_creditor_reference_is_one_by_iso_11649():
    """The standard's own example has these check digits, and so has ours by the same sum."""
    # RF18 5390 0754 7034: the worked example that banks print.
    assert int("539007547034" + "2715" + "18") % 97 == 1
    written = pay_references.rf(WANG)
    assert len(written) == 22
    assert int(written[4:] + "2715" + written[2:4]) % 97 == 1


@given(accounts, st.sampled_from(["EUR", "CNY"]), st.sampled_from(["", " ", "-", "\n"]))
def test_whatever_way_it_is_spaced_a_reference_names_its_account(account, currency, between):
    """Printed in fours, joined, hyphenated or broken over two lines of a statement."""
    written = between.join(pay_references.grouped(pay_references.reference(account, currency)).split())
    assert pay_references.read([f"Topup {written} thank you"]) == Found(account)


@pytest.mark.parametrize("between", ["", " "])
def test_the_digits_of_a_mistyped_creditor_reference_are_not_read_as_another_reference(between):
    """With the first digit of the account wrong, its digits are those of somebody's reference of digits."""
    mistyped = "RF" + between + pay_references.digits(456191_000_000_000_000)
    assert pay_references.read([mistyped]) == Found(None, Unread.MISTYPED)


@given(accounts, st.sampled_from(["EUR", "CNY"]), st.data())
def test_one_wrong_digit_or_two_swapped_ones_name_nobody_else(account, currency, data):
    """MOD 97-10 catches each of them; the text then names nobody at all."""
    written = pay_references.reference(account, currency)
    first = 2 if currency == "EUR" else 0
    i = data.draw(st.integers(first, len(written) - 1))
    wrong = data.draw(st.sampled_from([d for d in "0123456789" if d != written[i]]))
    changed = [written[:i] + wrong + written[i + 1 :]]
    if i + 1 < len(written) and written[i] != written[i + 1]:
        changed.append(written[:i] + written[i + 1] + written[i] + written[i + 2 :])
    for each in changed:
        assert pay_references.read([each]).account is None


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["NOTPROVIDED", "salary march"], Found(None, Unread.NONE)),
        ([""], Found(None, Unread.NONE)),
        ([pay_references.rf(WANG), pay_references.digits(WANG)], Found(WANG)),
        ([pay_references.rf(WANG) + " " + pay_references.rf(LI)], Found(None, Unread.SEVERAL)),
        ([pay_references.rf(WANG), pay_references.digits(LI)], Found(None, Unread.SEVERAL)),
        ([pay_references.rf(WANG).lower()], Found(WANG)),
        (["附言：" + pay_references.digits(WANG) + "，充值"], Found(WANG)),
        (["２０２６ " + pay_references.digits(WANG)], Found(WANG)),
        (["RF00" + pay_references.rf(WANG)[4:]], Found(None, Unread.MISTYPED)),
        # Longer than a reference: some other number.
        (["9" + pay_references.digits(WANG)], Found(None, Unread.NONE)),
        ([pay_references.digits(WANG) + "9"], Found(None, Unread.NONE)),
        # The bank's own account has no owner to pay in for.
        (
            [pay_references.rf(numbers.account_number(1, Family.EXTERNAL, 156, 1))],
            Found(None, Unread.MISTYPED),
        ),
    ],
)
def test_what_texts_name(texts, found):
    """One account or none, and why none."""
    assert pay_references.read(texts) == found


def test_a_long_text_is_read_in_no_time():
    """Ten thousand digits and blanks hold no reference; the reader does not wander."""
    assert pay_references.read(["1 " * 5_000, "RF" * 5_000]).account is None
