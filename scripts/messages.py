"""Gathers every text a person reads into the catalogues, and compiles them.

`python scripts/messages.py` with the environment's Python; then fill in what is empty in
`tallystick/locale/zh_Hans/LC_MESSAGES/django.po` and run it once more. Needs no GNU gettext. The texts are
English in the code, so the English catalogue is written whole, and `tests/tidy` fails while a Chinese one
is missing.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import polib
from babel.messages.extract import extract_python

from scripts import docs

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tallystick"
LOCALE = PACKAGE / "locale"

LANGUAGES = {"en": "nplurals=2; plural=(n != 1);", "zh_Hans": "nplurals=1; plural=0;"}
"""Catalogue to its rule of plurals."""

KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}


@dataclass(frozen=True)
class Message:
    """A text as the code has it: its context, its plural, and where it stands."""

    text: str
    plural: str = ""
    context: str | None = None
    place: str = ""

    @property
    def key(self) -> tuple[str | None, str]:
        return self.context, self.text


def messages() -> list[Message]:
    """Every text of the package once, in the order of the files."""
    found: dict[tuple[str | None, str], Message] = {}
    for message in [*_of_python(), *_of_templates(), *_of_refusals()]:
        known = found.setdefault(message.key, message)
        assert not (known.plural and message.plural and known.plural != message.plural), message
        if message.plural and not known.plural:
            found[message.key] = message
    return list(found.values())


def _of_python() -> Iterator[Message]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield from _called(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))


def _of_templates() -> Iterator[Message]:
    from django.utils.translation.template import templatize

    for path in sorted(PACKAGE.rglob("templates/**/*")):
        if path.suffix in {".html", ".txt"}:
            text = templatize(path.read_text(encoding="utf-8"), origin=str(path))
            # Markup becomes X, and its indentation would be bad Python.
            lines = "\n".join(line.lstrip() for line in text.splitlines())
            yield from _called(lines, str(path.relative_to(ROOT)))


def _of_refusals() -> Iterator[Message]:
    for module, listed in docs.refusals():
        for _, template in listed:
            yield Message(template, place=module.replace(".", "/") + ".py")


def _called(text: str, place: str) -> Iterator[Message]:
    """The texts handed to one of the keywords."""
    source = io.BytesIO(text.encode())
    calls: Iterable[Any] = extract_python(source, KEYWORDS, (), {"encoding": "utf-8"})
    for _, function, given, _ in calls:
        # One text or several; None stands for whatever else the call is handed.
        texts = [text for text in ((given,) if isinstance(given, str) else tuple(given or ())) if text]
        if not texts:
            continue
        context = texts.pop(0) if function in {"pgettext", "pgettext_lazy", "npgettext"} else None
        plural = texts[1] if "ngettext" in (function or "") or function == "npgettext" else ""
        yield Message(texts[0], plural, context, place)


def catalogue(language: str) -> polib.POFile:
    """The catalogue of a language with every message in it, translated where it already was."""
    path = LOCALE / language / "LC_MESSAGES" / "django.po"
    before = polib.pofile(str(path)) if path.exists() else polib.POFile()
    known: dict[tuple[str | None, str], polib.POEntry] = {(each.msgctxt, each.msgid): each for each in before}
    after = polib.POFile(wrapwidth=100)
    after.metadata = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Transfer-Encoding": "8bit",
        "Language": language,
        "Plural-Forms": LANGUAGES[language],
    }
    for message in messages():
        old = known.get(message.key)
        entry = polib.POEntry(msgid=message.text, msgctxt=message.context, occurrences=[(message.place, "")])
        if "{" in message.text:
            entry.flags = ["python-brace-format"]
        elif "%(" in message.text:
            entry.flags = ["python-format"]
        if message.plural:
            entry.msgid_plural = message.plural
            forms = {0: message.text, 1: message.plural} if language == "en" else {0: ""}
            entry.msgstr_plural = forms if language == "en" or old is None else old.msgstr_plural or forms
        else:
            entry.msgstr = message.text if language == "en" else old.msgstr if old else ""
        after.append(entry)
    return after


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tallystick.settings")
    import django

    django.setup()
    for language in LANGUAGES:
        made = catalogue(language)
        directory = LOCALE / language / "LC_MESSAGES"
        directory.mkdir(parents=True, exist_ok=True)
        made.save(str(directory / "django.po"))
        made.save_as_mofile(str(directory / "django.mo"))
        missing = [entry for entry in made if not entry.translated()]
        click.echo(f"{language}: {len(made)} texts, {len(missing)} to be translated")


if __name__ == "__main__":
    main()
