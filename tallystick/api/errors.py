"""Why the API turns a request away before any domain is asked, in order of precedence."""

from __future__ import annotations

from typing import ClassVar

from tallystick.core.errors import Refusal


class Turned(Refusal):
    """The request was turned away."""

    status: ClassVar[int] = 400
    """The HTTP status it is told with."""


class NoSuchAddress(Turned):
    """There is nothing at this address."""

    status = 404


class MethodNotAllowed(Turned):
    """This address answers {allowed}, not {method}."""

    status = 405


class TooManyRequests(Turned):
    """Too many requests. Wait {seconds} s and go on."""

    status = 429


class NotSignedIn(Turned):
    """Sign in, or send an API token: Authorization: Bearer tly_…"""

    status = 401


class CsrfFailed(Turned):
    """A request that changes something from a browser's session needs the session's CSRF token ({reason})."""

    status = 403


class NotAcceptable(Turned):
    """This address answers with {offered}, and the request accepts none of that."""

    status = 406


class MediaTypeUnsupported(Turned):
    """The body must be {expected}, in UTF-8 and without a content encoding."""

    status = 415


class LengthRequired(Turned):
    """A body needs its Content-Length."""

    status = 411


class BodyTooLarge(Turned):
    """The body may have at most {most} bytes. Send it in parts."""

    status = 413


class QueryUnknown(Turned):
    """This address knows no query parameter {field}; it knows: {known}."""


class QueryRepeated(Turned):
    """The query parameter {field} may be given once."""


class NotJson(Turned):
    """The body is not JSON: {reason}."""


class RequestMalformed(Turned):
    """{where}: {field} must be {expected}."""


class BodyIncomplete(Turned):
    """The body ended before its Content-Length."""


class DatabaseUnreachable(Turned):
    """The database does not answer. Nothing was changed by this answer; ask again."""

    status = 503


class Fault(Turned):
    """Something broke on our side, and we were told. Ask again with the same ids."""

    status = 500
