"""The visit around every request, of a page or of the API: opened here, and ended before the answer goes out.

Promises: nobody is let in outside of it (`session.of` and the API's door ask for it); an answer that shows a
customer's data to somebody else is given only once its entry in the trail is committed. What an address
shows counts as somebody's data unless it stands below as nobody's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from tallystick.core.db import APP
from tallystick.custody import parties
from tallystick.evidence import visits
from tallystick.evidence.visits import Visit
from tallystick.identity import trail

PURPOSE_HEADER = "X-Purpose"
"""Why a program asks, in its own words; other letters than ASCII percent-encoded as UTF-8."""
SESSION_PURPOSE = "purpose"

_API = "api/v1/"
_ROUTE_PART = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")

IMPERSONAL: Mapping[str, str] = {
    # pages
    "web GET /books/{book}/pooling/": "a book's figures",
    "web GET /books/{book}/currencies/": "rates and open exchanges by number",
    "web GET /books/{book}/payouts/terms/": "how payouts are made",
    "web GET /books/{book}/safeguarding/": "a book's figures",
    "web GET /books/{book}/safeguarding/{proof_id}/": "a book's figures",
    "web GET /books/{book}/safeguarding/{proof_id}/proof.json": "a book's figures",
    "web GET /books/{book}/safeguarding/{proof_id}/proof.pdf": "a book's figures",
    "web GET /books/{book}/close/": "days of a book",
    # the API
    "api GET /books": "the books there are",
    "api GET /books/{book}": "a book",
    "api GET /assets": "the assets there are",
    "api GET /rates": "exchange rates",
    "api GET /books/{book}/corridors": "corridors",
    "api GET /books/{book}/liquidity": "a book's figures",
    "api POST /books/{book}/liquidity": "a book's figures",
    "api GET /books/{book}/refusals/counts": "how many refusals of each kind",
    "api GET /books/{book}/safeguarding-proofs": "a book's figures",
    "api GET /safeguarding-proofs/{proof}": "a book's figures",
    "api GET /books/{book}/days/{day}": "a day of a book",
    "api GET /books/{book}/payout-notice": "the notice clients read",
}
"""What shows nobody's data: door, method and pattern to what it shows instead. All else is somebody's."""

_NUMBERED = {"payout_id": "pay_", "bank_account_id": "bnk_", "user": "usr_"}


class VisitMiddleware:
    """Around everything that knows who asks."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        visit = Visit(
            door="web",
            operation=f"{request.method} ?"[:8],
            purpose=lambda: _purpose(request),
            whose=parties.behind,
            privileged=trail.is_privileged,
        )
        request.visit = visit  # type: ignore[attr-defined]
        with visits.during(visit):
            response = self.get_response(request)
            trail.leave(
                APP,
                visit,
                changes=request.method not in ("GET", "HEAD", "OPTIONS"),
                status=response.status_code,
                is_impersonal=f"{visit.door} {visit.operation}" in IMPERSONAL,
                now=timezone.now(),
            )
        return response

    @staticmethod
    def process_view(
        request: HttpRequest, _: Callable[..., object], __: object, arguments: dict[str, object]
    ) -> None:
        """The address is known: say what is asked for, and of whose."""
        visit: Visit = request.visit  # type: ignore[attr-defined]
        match = request.resolver_match
        assert match is not None, "a view was found"
        visit.door, visit.operation = _told(request.method or "", match.route)
        visit.references = references(arguments, request.GET)


def _told(method: str, route: str) -> tuple[str, str]:
    door = "api" if route.startswith(_API) else "web"
    # What HEAD asks for is what GET shows.
    method = "GET" if method == "HEAD" else method
    return door, f"{method} /" + _ROUTE_PART.sub(r"{\1}", route.removeprefix(_API if door == "api" else ""))


def references(arguments: Mapping[str, object], query: Mapping[str, str]) -> list[str]:
    """The ids that a request names, in its address and its query, as they are shown outside."""
    found = []
    for name, value in arguments.items():
        text = str(value)
        if name == "position" and "book" in arguments:
            text = f"book:{arguments['book']}/{text}"
        found.append(_NUMBERED.get(name, "") + text)
    found.extend(value[:80] for value in query.values())
    return [text for text in found if "_" in text or ":" in text]


def _purpose(request: HttpRequest) -> str:
    """Why: what the request says, or what the person said when they began to work."""
    given = unquote(request.headers.get(PURPOSE_HEADER, ""))
    if not given and (session := getattr(request, "session", None)) is not None:
        given = session.get(SESSION_PURPOSE, "")
    return "".join(letter for letter in given.strip() if letter.isprintable())
