"""The decimals of every currency a statement may be in: ISO 4217's, those of yesterday too.

CLDR's digits will not do: they say how people write prices (0 for the Iraqi dinar), ISO 4217 says
what a bank books (3). A code that is not here has no known scale, and an amount in it cannot be
turned into minor units. Source of what `core.money` does not list: ISO 4217 table A.3.
"""

from __future__ import annotations

from tallystick.core import money

# Withdrawn, still met in archives and in banks' test files; the last two are newer than the others.
_BESIDE = {
    0: "BEF BYR ESP GRD ITL LUF MGF PTE TPE TRL",
    2: (
        "ATS AZM BGL BYB CSD CSK CYP DDM DEM ECS EEK FIM FRF GHC GWP IEP LTL LVL MRO MTL MXP MZM NLG PLZ ROL "
        "RUR SDD SIT SKK SRG STD SUR TMM UAK VEB VEF XEU YUM YUN ZMK ZRN ZWD ZWR XCG ZWG"
    ),
}

SCALES: dict[str, int] = {
    **{code: scale for scale, codes in _BESIDE.items() for code in codes.split()},
    **{currency.code: currency.scale for currency in money.CURRENCIES.values()},
}
"""Decimals by alphabetic code."""
