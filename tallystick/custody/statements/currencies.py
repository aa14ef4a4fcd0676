"""The decimals of every ISO 4217 currency, those in use and those withdrawn.

CLDR's digits will not do: they say how people write prices (0 for the Iraqi dinar), ISO 4217 says
what a bank books (3). Source: ISO 4217 tables A.1 and A.3. A code that is not here has no known
scale, and an amount in it cannot be turned into minor units.
"""

from __future__ import annotations

_IN_USE = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF "
        "CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ "
        "GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD "
        "MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON "
        "RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS "
        "UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

# Still met in archives and in banks' test files.
_WITHDRAWN = {
    0: "BEF BYR ESP GRD ITL LUF MGF PTE TPE TRL",
    2: (
        "ANG ATS AZM BGL BYB CSD CSK CUC CYP DDM DEM ECS EEK FIM FRF GHC GWP HRK IEP LTL LVL MRO MTL MXP MZM "
        "NLG PLZ ROL RUR SDD SIT SKK SLL SRG STD SUR TMM UAK VEB VEF XEU YUM YUN ZMK ZRN ZWD ZWL ZWR"
    ),
}

SCALES: dict[str, int] = {
    code: scale for table in (_WITHDRAWN, _IN_USE) for scale, codes in table.items() for code in codes.split()
}
"""Decimals by alphabetic code."""
