"""For the operator's machines: is the process alive, can it work, and what has it measured."""

from __future__ import annotations

import hmac
import ipaddress
import os
from functools import cache

from django.conf import settings
from django.db import Error, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, multiprocess

from tallystick.core.db import APP, WRITER, Db
from tallystick.web import errors, witnesses


@require_safe
@never_cache
def alive(request: HttpRequest) -> HttpResponse:
    """`/healthz`: the process answers. Asks nothing of the database, so that its trouble restarts nobody."""
    return JsonResponse({"alive": True})


@require_safe
@never_cache
def ready(request: HttpRequest) -> HttpResponse:
    """`/readyz`: the database answers, every migration is applied, and money can be posted; else 503."""
    states = {"database": _reachable(APP)}
    states["migrations"] = states["database"] and _migrated(APP)
    states["posting"] = states["database"] and _writable(WRITER)
    told: dict[str, object] = {"ready": all(states.values()), **states}
    if states["migrations"] and (worst := witnesses.worst(APP)):
        # A line for whoever looks: a platform works on while a witness is silent.
        told["witnesses"] = worst
    return JsonResponse(told, status=200 if all(states.values()) else 503)


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """`/metrics`: Prometheus' text format, for the holder of the token or for this machine alone."""
    if not _may_measure(request):
        return errors.plain(request, 403, "metrics: the token is missing or wrong")
    registry: CollectorRegistry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    measured = generate_latest(registry) + witnesses.measured(APP)
    return HttpResponse(measured, content_type=CONTENT_TYPE_LATEST)


def _may_measure(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    # Behind a proxy every request comes from the loopback address; such a one names its client.
    if any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP")):
        return False
    address: str = request.META.get("REMOTE_ADDR", "")
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        # No address at all: a local socket.
        return address == ""


def _reachable(db: Db) -> bool:
    try:
        with connections[db].cursor() as cursor:
            cursor.execute("select 1")
    except Error:
        return False
    return True


def _migrated(db: Db) -> bool:
    try:
        return _nothing_to_migrate(db)
    except (Error, _Unmigrated):
        return False


class _Unmigrated(Exception):
    """Raised, not returned, so that only the good answer is remembered."""


@cache
def _nothing_to_migrate(db: Db) -> bool:
    # Remembered once true: the code of a running process does not gain migrations.
    executor = MigrationExecutor(connections[db])
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise _Unmigrated
    return True


def _writable(db: Db) -> bool:
    """Whether the ledger's writer could commit: not a standby, not read-only."""
    try:
        with connections[db].cursor() as cursor:
            cursor.execute(
                "select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off'"
            )
            return bool(cursor.fetchone()[0])
    except Error:
        return False
