"""Me: whom a token or a session speaks for."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel

from tallystick.api import door

router = Router(tags=["Me"])


class Me(BaseModel):
    """Who asks, and what they may be."""

    id: str
    name: str
    roles: list[str]
    customer_number: str | None


@router.get("/me", response=Me, summary="Who asks")
def show_me(request: HttpRequest) -> object:
    actor = door.actor(request)
    return {
        "id": actor.id,
        "name": actor.name,
        "roles": sorted(str(role) for role in actor.roles),
        "customer_number": actor.customer_number,
    }
