"""Writes the verifiers' words: what each refusal is called in both languages, and what to do then.

`python scripts/verifier.py` with the environment's Python. The stand-alone verifiers say what the house
says: its refusals' texts and their translations are put into `verifier/tallystick_verify.py` and
`verifier/verify.js`, between the lines that mark them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import polib

from tallystick.evidence import advice

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "verifier"
CATALOGUE = ROOT / "tallystick" / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"

_BLOCK = re.compile(
    r"(?<=WORDS \(written by scripts/verifier\.py\)\n).*?(?=(?:#|//) END OF WORDS)", re.DOTALL
)


def words() -> dict[str, dict[str, str]]:
    """Each code with its texts and what to do. Raises where one is not translated."""
    translated = _translated()
    return {
        refusal.code: {"en": refusal.template(), "zh": translated[refusal.template()], "do": todo}
        for refusal, todo in advice.DO.items()
    }


def texts() -> dict[str, dict[str, str]]:
    """What to do, and what is said of what was verified."""
    translated = _translated()
    return {name: {"en": text, "zh": translated[text]} for name, text in advice.TEXTS.items()}


def _translated() -> dict[str, str]:
    return {each.msgid: each.msgstr for each in polib.pofile(str(CATALOGUE)) if each.msgstr}


def written(text: str, *, python: bool) -> str:
    """A verifier's source with the words of the day."""
    start, end = ("", "") if python else ("const ", ";")
    block = "".join(
        f"{start}{name}{': dict[str, dict[str, str]]' if python else ''} = {_literal(value)}{end}\n"
        for name, value in (("WORDS", words()), ("ADVICE", texts()))
    )
    return _BLOCK.sub(lambda _: block, text, count=1)


def _literal(told: dict[str, dict[str, str]]) -> str:
    lines = [
        f"    {json.dumps(key)}: {{\n"
        + "".join(
            f"        {json.dumps(name)}: {json.dumps(text, ensure_ascii=False)},\n"
            for name, text in inner.items()
        )
        + "    },\n"
        for key, inner in told.items()
    ]
    return "{\n" + "".join(lines) + "}"


def main() -> None:
    for path, python in ((FOLDER / "tallystick_verify.py", True), (FOLDER / "verify.js", False)):
        path.write_text(written(path.read_text(encoding="utf-8"), python=python), encoding="utf-8")
        click.echo(str(path.relative_to(ROOT)))


if __name__ == "__main__":
    main()
