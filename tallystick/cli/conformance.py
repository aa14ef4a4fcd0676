"""`tallystick conformance`: test the other side of the interface with golden and malformed files.

`run` hands each file to a command or an address and holds the answer against what the case says; `files`
writes the files and the list of what must be said of them, for whoever tests by hand. Needs no database.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from tallystick.conformance import cases, kit

_formats = click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(cases.FORMATS),
    help="Only these, as often as needed. [default: camt.053, camt.054, mt940]",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


@click.group()
def conformance() -> None:
    """The interface between platform, custodian and payment firm: test the other side."""


@conformance.command()
@click.option("--against", metavar="COMMAND", help="A command; {file} in it is the file's path.")
@click.option("--url", help="Or an address that takes the file as the body of a POST.")
@_formats
@click.option("--timeout", default=30.0, show_default=True, help="Seconds to wait for each answer.")
@_json
def run(
    *, against: str | None, url: str | None, formats: tuple[str, ...], timeout: float, as_json: bool
) -> None:
    """Hand every case to the other side, and judge its answers.

    Exit code 0 when it conforms, 1 when a case failed, 2 when nothing could be tried.
    """
    if (against is None) == (url is None):
        raise click.UsageError("Name a command (--against) or an address (--url), one of the two.")
    try:
        ask = (
            kit.command(against, timeout_seconds=timeout)
            if against is not None
            else kit.address(url or "", timeout_seconds=timeout)
        )
    except ValueError as wrong:
        raise click.UsageError(str(wrong)) from None
    wanted = cases.every(formats or cases.PLATFORM)
    results = []
    for result in kit.run(wanted, ask):
        results.append(result)
        if not as_json:
            _print(result)
    told = kit.report(results, against=against or url or "")
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
    else:
        click.echo(f"{told['passed']} of {told['cases']} cases passed.")
    sys.exit(0 if told["conforms"] else 1)


@conformance.command("files")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@_formats
@_json
def files_(*, directory: Path, formats: tuple[str, ...], as_json: bool) -> None:
    """Write the files to DIRECTORY, with `cases.json`: what must be said of each."""
    directory.mkdir(parents=True, exist_ok=True)
    wanted = cases.every(formats or cases.FORMATS)
    for case in wanted:
        (directory / case.file_name).write_bytes(case.content)
    told = {
        "schema": "tallystick/conformance-files/1",
        "cases": [
            {
                "case": case.name,
                "file": case.file_name,
                "format": case.format,
                "title": case.title,
                "expected": case.expected,
            }
            for case in wanted
        ],
    }
    text = json.dumps(told, ensure_ascii=False, indent=1)
    (directory / "cases.json").write_text(text + "\n", encoding="utf-8")
    click.echo(text if as_json else f"{len(wanted)} files and cases.json are in {directory}.")


def _print(result: kit.Result) -> None:
    mark = click.style("ok", fg="green") if result.passed else click.style("FAILED", fg="red")
    click.echo(f"{mark:>6}  {result.case.name}: {result.case.title}")
    for fault in result.faults:
        click.echo(f"        {fault}")
