"""`tallystick verify`: files that somebody was given, checked offline with a policy of one's own.

Needs no database and no network, and writes nothing. `verifier/tallystick_verify.py` says the same with
nothing of Tallystick.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli import ground

if TYPE_CHECKING:
    from tallystick.evidence.checking import Answer, Asked

FILE_BYTES_MAX = 4_000_000

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("files", nargs=-1, required=True, type=_file)
@click.option("--policy", type=_file, help="Whose signatures count (C2SP tlog-policy).")
@click.option(
    "--commitment",
    "commitments",
    multiple=True,
    type=_file,
    help="A commitment of liabilities, as the bank or the regulator shows it.",
)
@click.option(
    "--identifier", "identifiers", multiple=True, help="What you hold of your account, in its order."
)
@click.option("--balance", type=int, help="What you expect to be owed, in minor units.")
@click.option("--language", type=click.Choice(["en", "zh"]), help="Of the words; else the settings' own.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def verify(
    *,
    files: tuple[Path, ...],
    policy: Path | None,
    commitments: tuple[Path, ...],
    identifiers: tuple[str, ...],
    balance: int | None,
    language: str | None,
    as_json: bool,
) -> None:
    """Check checkpoints, proofs, receipts, proofs of liabilities and saved pages, offline.

    A .tlog-proof's entry lies beside it, under its name without the ending. Two checkpoints of one log and
    one size are compared; a history ("old N ...") is compared with the checkpoint of that size. Exit code 0
    when everything was verified, 1 when something was not.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tallystick.settings")
    import django
    from django.utils import translation

    django.setup()
    from tallystick.evidence import checking

    with translation.override({"zh": "zh-hans"}.get(language or "", language)):
        with ground.refusals(as_json=as_json):
            asked = _asked(policy, commitments, identifiers, balance)
            given = _given(files)
        found = checking.answers(given, asked)
        if as_json:
            click.echo(json.dumps([_spelled(each) for each in found], ensure_ascii=False, indent=1))
        else:
            for each in found:
                click.echo(f"{'✗' if each.refusal else '✓'} {each.file}: {_told(each)}")
    sys.exit(1 if not found or any(each.refusal for each in found) else 0)


def _asked(
    policy: Path | None, commitments: Sequence[Path], identifiers: tuple[str, ...], balance: int | None
) -> Asked:
    from tallystick.evidence import checking, errors
    from tallystick.evidence import policy as policies
    from tallystick.evidence.liabilities import proof_file

    told = []
    for path in commitments:
        try:
            told.append(proof_file.commitment(json.loads(_content(path))).told)
        except ValueError as wrong:
            raise errors.LiabilityProofMalformed(reason=str(wrong)[:100]) from None
    return checking.Asked(
        policies.parse(_content(policy)) if policy else None, told, identifiers or None, balance
    )


def _given(files: Sequence[Path]) -> Mapping[str, bytes]:
    from tallystick.evidence import tlog_proof

    given = {str(path): _content(path) for path in files}
    for path in files:
        beside = path.with_name(path.name.removesuffix(tlog_proof.EXTENSION))
        if path.name.endswith(tlog_proof.EXTENSION) and beside.is_file():
            given.setdefault(str(beside), _content(beside))
    return given


def _content(path: Path) -> bytes:
    if path.stat().st_size > FILE_BYTES_MAX:
        raise click.UsageError(f"{path}: more than {FILE_BYTES_MAX} bytes")
    return path.read_bytes()


def _told(answer: Answer) -> str:
    from tallystick.evidence import advice

    if answer.refusal is not None:
        return f"{answer.refusal.message} {advice.todo(answer.refusal)}"
    return advice.said(answer)


def _spelled(answer: Answer) -> dict[str, Any]:
    return {
        "file": answer.file,
        "kind": answer.kind,
        "verified": answer.refusal is None,
        "code": answer.refusal.code if answer.refusal else "",
        "message": _told(answer),
        "facts": answer.facts,
    }
