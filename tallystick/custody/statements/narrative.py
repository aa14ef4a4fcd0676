"""`:86:` and `:NS:`, in which banks wrote what MT940 has no fields for: each in its own dialect.

Nothing here touches money. What cannot be taken apart stays as text, so that no word is lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Narrative:
    """What a narrative says, as far as its dialect is known."""

    remittance: str = ""
    end_to_end_id: str = ""
    customer_reference: str = ""
    mandate_id: str = ""
    counterparty_name: str = ""
    counterparty_account: str = ""
    booking_text: str = ""


# A three-digit transaction code, then subfields of a mark and two digits: `166?00…?20…`. The mark is
# a question mark with the German banks, another sign with others.
_SUBFIELDS = re.compile(r"\s*[0-9A-Z]{3}\s*([^\sA-Za-z0-9/:,.'+()-])[0-9]{2}")
# SEPA words in the purpose lines: `EREF+…`, `SVWZ+…`.
_SEPA = re.compile(r"(EREF|KREF|MREF|CRED|DEBT|COAM|OAMT|SVWZ|ABWA|ABWE|IBAN|BIC|PURP|RREF)\+")
# SWIFT words: `/EREF/…/BENM//NAME/…/REMI/…`.
_WORDS = re.compile(
    r"/(EREF|KREF|PREF|MARF|IREF|BENM|ORDP|NAME|IBAN|REMI|RTRN|CSID|ISDT|TRCD|OCMT|CHGS|USTD|STRD|UDTR|UCRD|ID|BIC|PURP|"
    r"ADDR|CNTP|TRTP|EXCH)/"
)

# `/REMI/USTD//text` and `/REMI/STRD/CUR/reference` are the same word with a kind.
_KIND = re.compile(r"\A(?:USTD|STRD)/(?:[A-Z]{3}/|/)?")


def read(lines: list[str], *, nonswift: bool = False) -> Narrative:
    """Take a narrative apart by its dialect; lines were wrapped by the bank and join without a blank."""
    if nonswift:
        return _nonswift(lines)
    joined = "".join(lines)
    found = _SUBFIELDS.match(joined)
    if found:
        return _subfields(joined, found.group(1))
    if len(_WORDS.findall(joined)) >= 1 and joined.lstrip().startswith("/"):
        return _words(joined)
    return Narrative(remittance=" ".join(" ".join(lines).split()))


def _subfields(text: str, mark: str) -> Narrative:
    parts = re.split(re.escape(mark) + r"([0-9]{2})", text)
    given: dict[int, str] = {}
    for code, value in zip(parts[1::2], parts[2::2], strict=False):
        given[int(code)] = given.get(int(code), "") + value
    purpose = "".join(value for code, value in sorted(given.items()) if 20 <= code <= 29 or 60 <= code <= 63)
    words = _sepa(purpose)
    return Narrative(
        remittance=_folded(words.get("SVWZ", words.get("", "") if len(words) > 1 else purpose)),
        end_to_end_id=_folded(words.get("EREF", "")),
        customer_reference=_folded(words.get("KREF", "")),
        mandate_id=_folded(words.get("MREF", "")),
        counterparty_name=_folded(given.get(32, "") + given.get(33, "")),
        counterparty_account=given.get(31, given.get(38, "")).replace(" ", ""),
        booking_text=_folded(given.get(0, "")),
    )


def _sepa(purpose: str) -> dict[str, str]:
    """`EREF+a SVWZ+b` as words and values; what stands before the first word is under the empty one."""
    parts = _SEPA.split(purpose)
    words = {"": parts[0]}
    for word, value in zip(parts[1::2], parts[2::2], strict=True):
        words.setdefault(word, value)
    return words


def _words(text: str) -> Narrative:
    parts = _WORDS.split(text)
    words: dict[str, str] = {}
    for word, value in zip(parts[1::2], parts[2::2], strict=True):
        words.setdefault(word, value)
    remittance = _KIND.sub("", words.get("REMI", ""))
    # `/CNTP/account/BIC/name/city/`: the Dutch banks' other party in one word.
    account, _bic, name, *_rest = (*words.get("CNTP", "").split("/"), "", "", "")
    return Narrative(
        remittance=_folded(remittance.strip("/") or words.get("USTD", "") or words.get("STRD", "")).strip("/")
        or _folded(text),
        end_to_end_id=_folded(words.get("EREF", "")).strip("/"),
        customer_reference=_folded(words.get("KREF", words.get("PREF", ""))).strip("/"),
        mandate_id=_folded(words.get("MARF", "")).strip("/"),
        counterparty_name=_folded(words.get("NAME", "")).strip("/") or _folded(name),
        counterparty_account=words.get("IBAN", account).replace(" ", "").strip("/"),
        booking_text=_folded(words.get("TRTP", "")).strip("/"),
    )


def _nonswift(lines: list[str]) -> Narrative:
    """`:NS:` of the German and Hungarian banks: each line begins with a two-digit code."""
    given: dict[int, list[str]] = {}
    for line in lines:
        if re.match(r"[0-9]{2}", line):
            given.setdefault(int(line[:2]), []).append(line[2:])
    purpose = " ".join(" ".join(given[code]) for code in sorted(given) if 1 <= code <= 14)
    return Narrative(
        remittance=_folded(purpose),
        counterparty_name=_folded("".join(given.get(15, []) + given.get(16, []))),
        counterparty_account="".join(given.get(34, [])).replace(" ", ""),
        booking_text=_folded("".join(given.get(17, []))),
    )


def _folded(text: str) -> str:
    return " ".join(text.split())
