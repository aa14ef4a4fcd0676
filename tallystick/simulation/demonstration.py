"""The demonstration: a world is made, played on a real ledger, sent statements about, reconciled and audited.

Promises: everything goes through custody's own actions; at the end the ledger, the bank and an auditor who
shares no code with either agree to the minor unit, with every planted break found and nothing else, or
`Disagreement` says where they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Protocol

from django.db import connections

from tallystick.core.db import AUDITOR, OWNER, Db
from tallystick.custody import history, reconciliation, statement_files
from tallystick.custody.numbers import BookId, Family
from tallystick.simulation import acts, auditor, channel, safeguards, scenarios, stage, statements
from tallystick.simulation.stage import ACTOR, Stage
from tallystick.simulation.statements import BREAK_KINDS, Sent
from tallystick.simulation.world import BANK, FIRM, World

BOOK = BookId(1)


class Disagreement(AssertionError):
    """Two who must agree do not."""


class Told(Protocol):
    """Who is told how far a stage has come."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Summary:
    """What came of it. Money in minor units; breaks by kind, every kind named."""

    seed: int
    first_day: str
    last_day: str
    world: str
    """SHA-256 over everything that happened: the same for the same seed, days and sizes."""
    customers: int
    transfers: int
    repeated: int
    refused: dict[str, int]
    statement_files: int
    statement_lines: int
    matched: int
    breaks: dict[str, int]
    planted_breaks: dict[str, int]
    break_effect_minor: dict[str, int]
    client_total_minor: int
    own_total_minor: int
    suspense_total_minor: int
    control_total_minor: int
    """What the ledger says the bank and the payment firm hold."""
    bank_total_minor: int
    """What they say themselves."""
    unexplained_minor: int
    audited_transfers: int
    audit_findings: int
    seconds: dict[str, float] = field(default_factory=dict)


def make(
    db: Db,
    place: World,
    transfers: int,
    *,
    clock: Callable[[], float],
    told: Told = silent,
    audited_as: Db = AUDITOR,
    owned_as: Db = OWNER,
) -> Summary:
    """Make the demonstration in an empty database. `clock` gives seconds, to say how long each stage took."""
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        began = clock()
        yield
        seconds[name] = round(clock() - began, 2)

    with timed("world"):
        told("world", 0, transfers)
        happened = list(scenarios.generate(place, transfers))
        sent = statements.send(place, happened)
        told("world", transfers, transfers)
    with timed("post"):
        played = play(db, happened, transfers, told)
    with timed("import"):
        lines = import_statements(db, played, sent, told)
    with timed("reconcile"):
        with connections[owned_as].cursor() as cursor:
            # Everything came in within seconds: the planner has seen none of it yet.
            cursor.execute("analyze")
        found = reconcile(db, played, place, told)
    with timed("prove"):
        told("prove", 0, 1)
        safeguards.arrange(db, played, now=happened[0].at)
        safeguards.prove(db, played, place.last_day)
        told("prove", 1, 1)
    with timed("audit"):
        told("audit", 0, 1)
        report = auditor.audit(auditor.read(audited_as, played.book))
        told("audit", 1, 1)
    return _summary(db, place, happened, played, sent, lines, found, report, seconds)


def play(db: Db, happened: list[acts.Act], transfers: int, told: Told) -> Stage:
    """Play what happened on the ledger, from its first moment on."""
    played = stage.set_up(db, BOOK, now=happened[0].at)
    told("post", 0, transfers)
    for act in happened:
        stage.perform(played, act)
        told("post", played.posted, transfers)
    return played


def import_statements(db: Db, played: Stage, sent: Sent, told: Told) -> int:
    """Import every statement file on the evening of its day; how many lines there were."""
    lines = 0
    files: list[statements.File | channel.File] = [*sent.files, *sent.settlements]
    files.sort(key=lambda file: file.day)
    for done, file in enumerate(files):
        told("import", done, len(files))
        imported = statement_files.import_bytes(
            db,
            file.name,
            file.content,
            bank_account=played.accounts[file.account],
            mappings=(channel.MAPPING,),
            actor=ACTOR,
            now=datetime.combine(file.day, time(23, 45), scenarios.ZONE),
        )
        lines += imported.entries
    told("import", len(files), len(files))
    return lines


def reconcile(db: Db, played: Stage, place: World, told: Told) -> dict[str, reconciliation.Reconciled]:
    """Reconcile the bank's and the payment firm's accounts after the last day."""
    found = {}
    now = datetime.combine(place.last_day, time(23, 50), scenarios.ZONE)
    for done, account in enumerate((BANK, FIRM)):
        told("reconcile", done, 2)
        found[account] = reconciliation.reconcile(
            db, played.book, played.accounts[account], actor=ACTOR, now=now
        )
    told("reconcile", 2, 2)
    return found


def _summary(
    db: Db,
    place: World,
    happened: list[acts.Act],
    played: Stage,
    sent: Sent,
    lines: int,
    found: dict[str, reconciliation.Reconciled],
    report: auditor.Report,
    seconds: dict[str, float],
) -> Summary:
    _agree(played, sent, found, report)
    totals = {total.family: total for total in history.totals(db, played.book)}
    client = totals[Family.CLIENT].credits_posted - totals[Family.CLIENT].debits_posted
    if client != report.of_family(auditor.CLIENT):
        raise Disagreement(
            f"clients have {client} by the ledger, {report.of_family(auditor.CLIENT)} by the auditor"
        )
    effects: dict[str, int] = {
        kind: sum(each.effect_by_kind[kind] for each in found.values()) for kind in BREAK_KINDS
    }
    bank = sum(sent.closing_minor.values())
    control = report.of_family(auditor.EXTERNAL)
    return Summary(
        seed=place.seed,
        first_day=place.first_day.isoformat(),
        last_day=place.last_day.isoformat(),
        world=acts.digest(happened),
        customers=len(place.customers),
        transfers=played.posted,
        repeated=played.repeated,
        refused=dict(sorted(played.refused.items())),
        statement_files=len(sent.files) + len(sent.settlements),
        statement_lines=lines,
        matched=sum(each.summary.matched for each in found.values()),
        breaks={kind: sum(each.breaks_by_kind[kind] for each in found.values()) for kind in BREAK_KINDS},
        planted_breaks=sent.planted_by_kind,
        break_effect_minor=effects,
        client_total_minor=client,
        own_total_minor=report.of_family(auditor.OWN),
        suspense_total_minor=report.of_family(auditor.SUSPENSE),
        control_total_minor=control,
        bank_total_minor=bank,
        unexplained_minor=bank - control - sum(effects.values()),
        audited_transfers=report.transfers,
        audit_findings=len(report.findings),
        seconds=seconds,
    )


def _agree(
    played: Stage, sent: Sent, found: dict[str, reconciliation.Reconciled], report: auditor.Report
) -> None:
    """The ledger, the bank and the auditor, each pair of them. Raises `Disagreement`."""
    if report.findings:
        raise Disagreement(f"the auditor found:\n{auditor.told(report.findings)}")
    if report.transfers != played.posted:
        raise Disagreement(f"{played.posted} transfers were posted, the auditor counts {report.transfers}")
    owed = sum(report.of_family(family) for family in (auditor.CLIENT, auditor.OWN, auditor.SUSPENSE))
    if owed != report.of_family(auditor.EXTERNAL):
        raise Disagreement(f"owed {owed}, held {report.of_family(auditor.EXTERNAL)}")
    for account, reconciled in found.items():
        if reconciled.summary.bank_balance_minor != sent.closing_minor[account]:
            raise Disagreement(f"the last statement of {account} is not the one that was reconciled")
        told = sorted((str(each.kind), each.day, each.effect_minor) for each in reconciled.breaks)
        planted = sorted(
            (each.kind, each.day, each.effect_minor) for each in sent.planted if each.account == account
        )
        if told != planted:
            missed = [each for each in planted if each not in told]
            invented = [each for each in told if each not in planted]
            raise Disagreement(
                f"breaks of {account}: planted and not found {missed}, found and not planted {invented}"
            )
