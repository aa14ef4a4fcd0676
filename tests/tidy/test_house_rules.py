"""The house rules hold, and each scanner finds what it is there to find.

An exception names a place and its reason, and must still be needed: one that excuses nothing fails.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping

import pytest

from tests.tidy import rules
from tests.tidy.source import DOMAINS, Module, modules

CLOCK_EXCEPTIONS = {
    "tallystick/core/chance.py": "the one place where secret chance is drawn",
    "tallystick/core/postgres/": "runs a server process: waits for it, and makes keys",
    "tallystick/custody/book_writer.py": "paces its questions to the database; no judgement depends on it",
    "tallystick/identity/secret_key.py": "makes the installation's own secret, once",
}

SIGNATURE_EXCEPTIONS = {
    "tallystick/identity/access.py:require": "asks whether an actor may; it is no action itself",
}

TABLE_EXCEPTIONS = {
    "tallystick/settings.py": "Django's cache is told the table that identity makes for it",
}

MONEY_EXCEPTIONS = {
    "tallystick/custody/liquidity/forecast.py": "estimates, rounded at the border; nothing is posted by them",
    "tallystick/custody/liquidity/backtest.py": "judges estimates; the days they are judged by are whole",
    "tallystick/custody/book_writer.py:BookWriter.__init__": "a moment of the process's own clock",
}

LONG_FUNCTIONS = {
    "tallystick/core/postgres/configuration.py:settings": 90,  # a table of settings with their reasons
    # The one operation: every refusal in order, then the point of no return. Long and straight.
    "tallystick/custody/judgement.py:_InOrder._one": 200,
    "tallystick/custody/judgement.py:at_once": 150,
    "tallystick/custody/audit.py:_Verifier._go_through": 80,
    "tallystick/custody/reconciliation.py:reconcile": 85,
    "tallystick/custody/statement_files.py:import_file": 95,
    # One line a field: a long list, and no branch in it.
    "tallystick/custody/transfers.py:row": 90,
}
"""Function to its length on the day it was let in. It may shrink; it may not grow."""


def found(
    rule: Callable[..., Iterator[str]],
    where: Iterable[Module],
    *more: object,
    exceptions: Mapping[str, str] | None = None,
) -> str:
    """The violations but for the excepted ones, and the exceptions that nothing needs, a line each."""
    violations = [each for module in where for each in dict.fromkeys(rule(module, *more))]
    needed = set()
    left = []
    for each in violations:
        excuse = next((name for name in exceptions or {} if _excuses(name, each)), None)
        if excuse is None:
            left.append(each)
        else:
            needed.add(excuse)
    left += [f"the exception {name} is no longer needed" for name in set(exceptions or {}) - needed]
    return "\n".join(left)


def _excuses(name: str, violation: str) -> bool:
    path, _, function = name.partition(":")
    place, _, what = violation.partition(" ")
    return place.startswith(path) and (not function or what.startswith(function))


def snippet(text: str, path: str = "tallystick/custody/planted.py") -> Module:
    return Module(path, text)


def test_every_module_says_what_it_is() -> None:
    assert found(rules.no_docstring, modules()) == ""


def test_every_domain_says_what_it_promises() -> None:
    promises = [module for module in modules(*DOMAINS) if module.path.count("/") == 2]
    starts = [module for module in promises if module.path.endswith("/__init__.py")]
    assert {module.floor for module in starts} == {module.floor for module in promises}
    for module in starts:
        assert "Promises: " in (ast.get_docstring(module.tree) or ""), f"{module.path} promises nothing"


def test_public_functions_of_a_domain_say_what_they_do() -> None:
    assert found(rules.undocumented, modules("core", *DOMAINS)) == ""
    assert list(rules.undocumented(snippet("def post(db):\n    a = 1\n    return a\n")))


def test_no_file_is_named_after_a_kind_of_code() -> None:
    assert found(rules.kind_named, modules()) == ""
    assert list(rules.kind_named(snippet("", "tallystick/custody/services.py")))
    assert list(rules.kind_named(snippet("", "tallystick/custody/utils/money.py")))


def test_no_domain_looks_at_the_clock_or_draws_at_random() -> None:
    assert found(rules.clock_or_chance, modules("core", *DOMAINS), exceptions=CLOCK_EXCEPTIONS) == ""


@pytest.mark.parametrize(
    "planted",
    [
        "import datetime\nx = datetime.datetime.now(datetime.UTC)",
        "from datetime import datetime\nx = datetime.now()",
        "from datetime import date as d\nx = d.today()",
        "from django.utils import timezone\nx = dict(default=timezone.now)",
        "import time\nx = time.time()",
        "from time import monotonic\nx = monotonic()",
        "import random\nx = random.random()",
        "import uuid\nx = uuid.uuid4()",
        "from uuid import uuid4 as new\nx = new()",
        "import numpy as np\nx = np.random.default_rng()",
        "import os\nx = os.urandom(8)",
    ],
)
def test_the_clock_scanner_finds(planted: str) -> None:
    assert list(rules.clock_or_chance(snippet(planted)))


def test_the_clock_scanner_lets_times_be_handed_in() -> None:
    fine = (
        "from datetime import datetime\ndef due(now: datetime) -> datetime:\n    return now.replace(hour=0)\n"
    )
    assert list(rules.clock_or_chance(snippet(fine))) == []


def test_the_signature_tells_the_kind() -> None:
    assert found(rules.signature, modules(*DOMAINS), exceptions=SIGNATURE_EXCEPTIONS) == ""


@pytest.mark.parametrize(
    "planted",
    [
        "def post(transfer, db: Db): ...",
        "def post(db, transfer): ...",
        "def post(db: str, transfer): ...",
        "def post(db: Db, transfer, actor): ...",
        "def post(db: Db, transfer, now): ...",
        "def post(*, db: Db): ...",
        "class Book:\n    def post(self, transfer, db: Db): ...",
    ],
)
def test_the_signature_scanner_finds(planted: str) -> None:
    assert list(rules.signature(snippet(planted)))


@pytest.mark.parametrize(
    "fine",
    [
        "def post(db: Db, transfer, *, actor, now): ...",
        "def post(db: core.Db, transfer): ...",
        "def due(now): ...",
        "class Book:\n    def post(self, db: Db): ...",
    ],
)
def test_the_signature_scanner_lets_pass(fine: str) -> None:
    assert list(rules.signature(snippet(fine))) == []


def test_only_what_takes_db_reaches_a_database() -> None:
    assert found(rules.hidden_database, modules(*DOMAINS)) == ""
    assert list(rules.hidden_database(snippet("def total():\n    return Entry.objects.count()\n")))
    assert list(rules.hidden_database(snippet("def total():\n    return connections['default']\n")))
    assert not list(
        rules.hidden_database(snippet("def total(db: Db):\n    return Entry.objects.using(db)\n"))
    )


def test_money_is_exact() -> None:
    where = [module for module in modules("custody") if not module.is_migration]
    where += [module for module in modules("core") if module.path == "tallystick/core/money.py"]
    assert found(rules.inexact, where, exceptions=MONEY_EXCEPTIONS) == ""


@pytest.mark.parametrize(
    "planted",
    [
        "fee = amount * 0.003",
        "fee = amount / 3",
        "amount /= 2",
        "amount = float(text)",
        "def fee(amount: float): ...",
        "amount = models.FloatField()",
        "amounts = np.zeros(3, np.float64)",
    ],
)
def test_the_money_scanner_finds(planted: str) -> None:
    assert list(rules.inexact(snippet(planted)))


def test_the_money_scanner_lets_whole_numbers_pass() -> None:
    assert list(rules.inexact(snippet("fee = amount * 3 // 1000\n"))) == []
    assert list(rules.inexact(snippet("WAIT_SECONDS_MAX = 0.5\n"))) == []
    assert list(rules.inexact(snippet("commit(wait_seconds=0.5, amount=1)\n"))) == []


def test_a_table_is_named_only_in_its_own_domain() -> None:
    tables: dict[str, str] = {}
    for module in modules(*DOMAINS):
        tables |= rules.tables_of(module)
    assert {"custody_transfer", "identity_user", "evidence_outbox"} <= set(tables)
    assert found(rules.foreign_tables, modules(), tables, exceptions=TABLE_EXCEPTIONS) == ""


def test_the_table_scanner_finds_what_import_contracts_cannot_see() -> None:
    tables = {"custody_entry": "custody", "evidence_outbox": "evidence"}
    planted = snippet('SQL = f"select 1 from evidence_outbox where {where}"')
    assert list(rules.foreign_tables(planted, tables))
    assert list(rules.foreign_tables(snippet('"""About evidence_outbox."""'), tables)) == []
    assert list(rules.foreign_tables(snippet('SQL = "table custody_entry"'), tables)) == []
    made = snippet(
        'SQL = "create table custody_hold (id int)"', "tallystick/custody/migrations/0009_holds.py"
    )
    assert rules.tables_of(made) == {"custody_hold": "custody"}
    model = snippet('class Hold:\n    class Meta:\n        db_table = "custody_hold"\n')
    assert rules.tables_of(model) == {"custody_hold": "custody"}


def test_functions_fit_on_a_screen_and_the_exceptions_do_not_grow() -> None:
    assert found(rules.long_functions, modules(), LONG_FUNCTIONS) == ""
    long = {
        each.split(" has ")[0].partition(":")[0] + ":" + each.split(" has ")[0].partition(" ")[2]
        for module in modules()
        for each in rules.long_functions(module, {})
    }
    assert set(LONG_FUNCTIONS) - long == set(), "these are short now: take them off the list"
    grown = snippet("def post():\n" + "    pass\n" * rules.FUNCTION_LINES_MAX)
    assert list(rules.long_functions(grown, {}))
    assert not list(rules.long_functions(grown, {f"{grown.path}:post": rules.FUNCTION_LINES_MAX + 1}))


def test_the_house_does_without_signals_and_generic_views() -> None:
    assert found(rules.not_here, modules()) == ""
    assert list(rules.not_here(snippet("from django.db.models.signals import post_save")))
    assert list(rules.not_here(snippet("from django.db.models import signals")))
    assert list(rules.not_here(snippet("from django.views import generic")))
    assert list(rules.not_here(snippet("import django.dispatch")))
