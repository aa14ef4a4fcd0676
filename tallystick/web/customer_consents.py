"""Where all holders of an account must agree: what waits for one's yes, in words, and one's yes or no."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.custody import errors, holders
from tallystick.custody.codes import BY_TEXT
from tallystick.web import customer_own, words
from tallystick.web.customer_own import Own
from tallystick.web.session import actor


@dataclass(frozen=True, slots=True)
class Waiting:
    """Terms that some holders have agreed to and others have not."""

    id: int
    what: str
    payee: str
    amount_minor: int
    uses: int
    agreed: tuple[str, ...]
    missing: tuple[str, ...]
    by_me: bool
    since: datetime
    until: datetime


def waiting(own: Own) -> Sequence[Waiting]:
    """What waits for a holder's word on this account, the oldest first."""
    now = timezone.now()
    found: dict[str, list[holders.Consent]] = {}
    for each in holders.consents(APP, own.account.number, now=now):
        found.setdefault(each.terms, []).append(each)
    return [_told(own, terms, agreed) for terms, agreed in found.items()]


def answer(request: HttpRequest, number: str, consent: int) -> HttpResponse:
    """Say yes to what another holder has agreed to, or no."""
    own = customer_own.one(request, number)
    if request.method == "POST":
        now = timezone.now()
        try:
            found = {each.id: each for each in holders.consents(APP, own.account.number, now=now)}
            if consent not in found:
                raise errors.ConsentUnknown(consent=consent)
            if request.POST.get("answer") == "yes":
                missing = holders.consent(
                    APP, own.account.number, found[consent].terms, actor=actor(request), now=now
                )
                messages.success(
                    request,
                    _("Your yes is recorded; others have still to agree.")
                    if missing
                    else _("All have agreed. Whoever began it can now carry it out."),
                )
            else:
                holders.take_back(APP, consent, actor=actor(request), now=now)
                messages.success(request, _("Declined. Nothing was moved."))
        except Refusal as refusal:
            messages.error(request, refusal.message)
    return redirect("my-account", number=number)


def _told(own: Own, terms: str, agreed: Sequence[holders.Consent]) -> Waiting:
    told = json.loads(terms)
    names = tuple(each.customer_number for each in agreed)
    return Waiting(
        id=agreed[0].id,
        what=str(words.CODES[BY_TEXT[told["code"]]]),
        payee=told["payee"],
        amount_minor=int(told["amount_minor"]),
        uses=int(told["uses_max"]),
        agreed=names,
        missing=tuple(sorted(holders.signers(own.standing) - set(names))),
        by_me=own.me in names,
        since=agreed[0].at,
        until=min(each.expires_at for each in agreed),
    )
