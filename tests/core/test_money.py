"""An amount is read exactly or not at all."""

import pytest

from tallystick.core import money


@pytest.mark.parametrize(
    ("text", "scale", "minor"),
    [
        ("1234.50", 2, 123450),
        ("-0.01", 2, -1),
        ("7", 0, 7),
        ("0.100", 1, 1),
        ("1e3", 2, 100000),
        (".000000000000000001", 18, 1),
        (str(2**62), 2, 2**62 * 100),
        ("0." + "0" * 60, 2, 0),
    ],
)
def test_an_amount_is_whole_minor_units(text, scale, minor):
    """What has no more decimals than the asset is read to the last digit."""
    assert money.minor(text, scale) == minor
    assert money.minor(money.major(minor, scale), scale) == minor


@pytest.mark.parametrize(
    "text",
    ["", "x", "nan", "inf", "1e999999", "1e99999", "1e-999999", "9" * 60, "0.001", "1." + "0" * 50 + "1"],
)
def test_what_is_no_amount_is_a_value_error(text):
    """Neither a fault of arithmetic, nor a number of a million digits, nor one rounded on the way."""
    with pytest.raises(ValueError, match=r"is not an amount|more than 2 decimals"):
        money.minor(text, 2)
