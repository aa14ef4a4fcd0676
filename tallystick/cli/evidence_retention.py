"""Retention at the command line: how long what is kept, erase what is due, and look at legal holds.

Acts as `system:cli`; holds are placed and lifted by people, on the page *Retention and holds*.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from tallystick.cli import ground
from tallystick.core.db import APP


@click.command("retention")
@ground.json_option
def retention(*, as_json: bool) -> None:
    """How long each class is kept at least and at most, by which rules, and what is past its time.

    Exit code 3 where payloads are kept past the most that is allowed.
    """
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from django.conf import settings

        from tallystick.identity import retention as acts
        from tallystick.identity.access import Actor

        found = acts.standings(APP, settings.JURISDICTIONS, actor=Actor.system("cli"), now=datetime.now(UTC))
        if as_json:
            rows = [
                {
                    "class": each.schedule.name,
                    "at_least_months": each.schedule.at_least_months,
                    "at_most_months": each.schedule.at_most_months,
                    "kept_always": each.schedule.is_kept_always,
                    "starts": "end" if each.schedule.starts_at_end else "event",
                    "rules": [{"id": rule.id, "verified": rule.is_verified} for rule in each.schedule.rules],
                    "payloads": each.payloads,
                    "past_least": each.past_least,
                    "past_most": each.past_most,
                }
                for each in found
            ]
            click.echo(
                json.dumps(
                    {
                        "schema": "tallystick/evidence-retention/1",
                        "jurisdictions": settings.JURISDICTIONS,
                        "classes": rows,
                    }
                )
            )
        else:
            for each in found:
                least = "always" if each.schedule.is_kept_always else each.schedule.at_least_months or "?"
                most = each.schedule.at_most_months or "-"
                click.echo(
                    f"{each.schedule.name}\t{least}\t{most}\t{each.payloads} payloads,"
                    f" {each.past_least} past the least, {each.past_most} past the most"
                )
        late = any(
            each.past_most and each.schedule.is_erased and not each.schedule.starts_at_end for each in found
        )
    if late:
        raise SystemExit(3)


@click.command("erase")
@click.option(
    "--limit", default=5_000, show_default=True, type=click.IntRange(1, 5_000), help="Of each class."
)
@ground.json_option
def erase(*, limit: int, as_json: bool) -> None:
    """Erase the payloads whose time is over, a certificate in the log for each class. For a daily timer."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from django.conf import settings

        from tallystick.custody import parties
        from tallystick.identity import retention as acts
        from tallystick.identity.access import Actor

        erased = acts.erase_due(
            APP,
            settings.JURISDICTIONS,
            ended=parties.ended,
            actor=Actor.system("cli"),
            now=datetime.now(UTC),
            limit=limit,
        )
        if as_json:
            click.echo(json.dumps({"schema": "tallystick/evidence-erase/1", "erased": erased}))
        else:
            for name, count in erased.items():
                click.echo(f"{name}\t{count}")
            click.echo(f"{sum(erased.values())} payloads erased.", err=True)


@click.command("hold")
@ground.json_option
def hold(*, as_json: bool) -> None:
    """List the legal holds there are and were."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.identity import retention as acts
        from tallystick.identity.access import Actor

        found = acts.all_holds(APP, actor=Actor.system("cli"))
        if as_json:
            rows = [
                {
                    "hold": each.reference,
                    "status": each.status,
                    "matter": each.matter,
                    "terms": list(each.scope.terms),
                    "kinds": list(each.scope.kinds),
                    "placed_by": each.placed_by,
                    "at": each.at.isoformat(),
                }
                for each in found
            ]
            click.echo(
                json.dumps({"schema": "tallystick/evidence-hold/1", "holds": rows}, ensure_ascii=False)
            )
        else:
            for each in found:
                click.echo(f"{each.reference}\t{each.status}\t{each.matter}\t{', '.join(each.scope.terms)}")
