"""Both languages are whole: every text of the code is in both catalogues, translated and compiled."""

from __future__ import annotations

import re

import polib
import pytest

from scripts import messages

WAY = "run scripts/messages.py, translate what is empty, and run it again"


def keys(entries) -> set[tuple[str | None, str]]:
    return {(entry.msgctxt, entry.msgid) for entry in entries}


def fields(text: str) -> set[str]:
    """What is filled in when the text is told."""
    return set(re.findall(r"\{\w*\}|%\(\w+\)[sd]|%[sd]", text))


@pytest.fixture(scope="module")
def wanted() -> set[tuple[str | None, str]]:
    return {message.key for message in messages.messages()}


@pytest.mark.parametrize("language", messages.LANGUAGES)
def test_a_catalogue_holds_every_text_and_no_other(language, wanted):
    there = keys(polib.pofile(str(messages.LOCALE / language / "LC_MESSAGES" / "django.po")))
    assert {"missing": wanted - there, "idle": there - wanted} == {"missing": set(), "idle": set()}, WAY


@pytest.mark.parametrize("language", messages.LANGUAGES)
def test_every_text_is_translated_with_the_same_fields(language):
    catalogue = polib.pofile(str(messages.LOCALE / language / "LC_MESSAGES" / "django.po"))
    wrong = []
    for entry in catalogue:
        told = list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]
        allowed = fields(entry.msgid) | fields(entry.msgid_plural)
        # A plural may leave the number out ("one day"); anything else tells every field.
        needed = set() if entry.msgid_plural else fields(entry.msgid)
        if not all(told) or entry.fuzzy or not all(needed <= fields(text) <= allowed for text in told):
            wrong.append(entry.msgid)
    assert wrong == [], WAY


@pytest.mark.parametrize("language", messages.LANGUAGES)
def test_what_is_compiled_is_what_is_written(language):
    directory = messages.LOCALE / language / "LC_MESSAGES"
    written = {
        (e.msgctxt, e.msgid): e.msgstr
        for e in polib.pofile(str(directory / "django.po")).translated_entries()
    }
    compiled = {(e.msgctxt, e.msgid): e.msgstr for e in polib.mofile(str(directory / "django.mo"))}
    assert compiled == written, WAY


def test_the_gatherer_reads_code_and_templates():
    code = (
        'a = gettext_lazy("Open")\nb = ngettext("%(n)s day", "%(n)s days", n)\nc = pgettext("verb", "Open")\n'
    )
    found = {(each.context, each.text, each.plural) for each in messages._called(code, "a.py")}
    assert found == {(None, "Open", ""), (None, "%(n)s day", "%(n)s days"), ("verb", "Open", "")}
    assert any(each.place.endswith(".html") for each in messages.messages()), "templates are read too"
