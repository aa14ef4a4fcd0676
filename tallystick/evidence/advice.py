"""Advice: what is said of a file that was verified, and what to do about one that was not.

The stand-alone verifiers say the same: `scripts/verifier.py` puts these texts into them.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils.translation import gettext

from tallystick.core.errors import Refusal
from tallystick.evidence import errors
from tallystick.evidence.checking import Answer


def gettext_noop(text: str) -> str:
    """Marks a text for the catalogues. Django's own needs settings, and these texts do not."""
    return text


DO: dict[type[Refusal], str] = {
    errors.KeyMalformed: "policy",
    errors.KeyTypeUnknown: "policy",
    errors.NoteMalformed: "again",
    errors.SignatureWrong: "report",
    errors.SignatureMissing: "policy",
    errors.CheckpointMalformed: "again",
    errors.PolicyMalformed: "policy",
    errors.LogUnknown: "policy",
    errors.QuorumMissing: "later",
    errors.ProofMalformed: "again",
    errors.IndexOutsideTree: "report",
    errors.TreeShrank: "report",
    errors.ProofLengthWrong: "report",
    errors.OldRootDiffers: "report",
    errors.RootDiffers: "report",
    errors.LiabilityProofMalformed: "again",
    errors.ProfileUnknown: "newer",
    errors.TreeShapeWrong: "report",
    errors.AnotherTree: "report",
    errors.AccountDiffers: "own",
    errors.FragmentsIncomplete: "report",
    errors.AmountNegative: "report",
    errors.IndexOutsideLeaves: "report",
    errors.PathLengthWrong: "report",
    errors.SumTooLarge: "report",
    errors.PaddingAltered: "report",
    errors.ChildrenSwapped: "report",
    errors.SumsNotBound: "report",
    errors.LiabilitiesRootDiffers: "report",
    errors.TotalDiffers: "report",
    errors.BalanceDiffers: "own",
    errors.FileUnknown: "again",
    errors.PolicyMissing: "policy",
    errors.EntryMissing: "beside",
    errors.ReceiptMalformed: "again",
    errors.PayloadDiffers: "report",
    errors.ItemDiffers: "report",
    errors.OldCheckpointMissing: "beside",
    errors.SplitView: "report",
    errors.CommitmentMissing: "published",
}
"""Each refusal that `checking` gives, and by which of the texts below it is answered."""

TEXTS: dict[str, str] = {
    "again": gettext_noop(
        "Fetch the file again from where you got it. If it stays so, keep both and ask whoever "
        "gave it to you."
    ),
    "policy": gettext_noop(
        "Take the policy from the regulator's or the bank's site, or from your contract; not from"
        " the platform."
    ),
    "later": gettext_noop(
        "Witnesses sign after the log does: fetch the file again later. If it stays so for a day, report it."
    ),
    "own": gettext_noop(
        "Compare account, identifiers and amount with your contract. If they are as you gave "
        "them, report it to the regulator together with this file."
    ),
    "report": gettext_noop(
        "Keep this file unchanged: it is evidence. Send it to the platform and to the regulator."
    ),
    "newer": gettext_noop("Fetch a newer verifier."),
    "beside": gettext_noop("Put the file beside this one and check both."),
    "published": gettext_noop(
        "Give the commitment as the bank or the regulator shows it, or a proof that holds the "
        "signed statement."
    ),
    "checkpoint": gettext_noop("Verified: a signed head of the log."),
    "proof": gettext_noop("Verified: the entry is in the log, at {index}."),
    "history": gettext_noop(
        "Verified: the log only grew, and begins with the {old_size} entries seen before."
    ),
    "receipt": gettext_noop(
        "Verified: the receipt's entry is in the log, at {index}, and it is what the receipt shows."
    ),
    "liability": gettext_noop(
        "Verified: {owed} {asset} is counted as owed to {identifiers} on {day}, in a total of {whole} {asset}"
        " over {customers} accounts."
    ),
    "log": gettext_noop("Log {origin}, {size} entries; cosigned by: {seen}."),
}
"""What to do, and under the name of a file's kind what is said of it when it was verified."""


def todo(refusal: Refusal) -> str:
    """What whoever meets the refusal does about it, in the language of the moment."""
    return gettext(TEXTS[DO[type(refusal)]]) if type(refusal) in DO else ""


def said(answer: Answer) -> str:
    """What is said of a file that was verified, in the language of the moment."""
    facts = {name: _spelled(value) for name, value in answer.facts.items()}
    if answer.kind == "liability":
        facts |= {
            "owed": _major(facts["balance"], facts["scale"]),
            "whole": _major(facts["total"], facts["scale"]),
        }
    parts = [gettext(TEXTS[answer.kind]).format(**facts)]
    if "origin" in facts:
        parts.append(gettext(TEXTS["log"]).format(**facts, seen=_seen(answer)))
    return " ".join(parts)


def _seen(answer: Answer) -> str:
    witnesses = answer.facts.get("witnesses")
    assert isinstance(witnesses, dict), "a log's facts name the witnesses"
    return ", ".join(f"{name} ({_moment(at)})" for name, at in witnesses.items()) or "–"


def _moment(seconds: object) -> str:
    try:
        return datetime.fromtimestamp(int(str(seconds)), UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return "–"


def _major(minor: str, scale: str) -> str:
    """An amount with its decimals, and no other mark: the same in both languages and in every verifier."""
    whole, digits = minor.rjust(int(scale) + 1, "0"), int(scale)
    return f"{whole[:-digits]}.{whole[-digits:]}" if digits else whole


def _spelled(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
