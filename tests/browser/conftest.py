"""A real browser on a real server: granian, the embedded PostgreSQL, Debian's Chromium.

Skips, with the reason, where there is no Chromium. With TALLYSTICK_SCREENSHOTS the pages that were
walked are kept there as pictures, to be looked at.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from tallystick.core.db import APP
from tallystick.custody import posting
from tallystick.identity import sign_in, users
from tallystick.identity.access import Actor
from tallystick.identity.roles import Role
from tests.web import seed

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
CLI = Actor.system("cli")
PEOPLE = {
    Role.ADMINISTRATOR: "管理员 陈晨",
    Role.PLATFORM_OPERATIONS: "平台运营 王敏",
    Role.PLATFORM_APPROVER: "平台复核 赵磊",
    Role.CUSTODIAN_BANK: "存管银行 周洁",
    Role.AUDITOR: "审计 孙涛",
    Role.REGULATOR: "监管 吴静",
    Role.CUSTOMER: "王芳 Wang Fang",
}

sync_playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed"
).sync_playwright


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in Path(str(item.fspath)).parents:
            item.add_marker(pytest.mark.browser)
            if not CHROMIUM:
                item.add_marker(
                    pytest.mark.skip(reason="no Chromium: apt-get install chromium fonts-wqy-microhei")
                )


@dataclass
class Site:
    """A served house with its cast."""

    address: str
    cast: Any
    log: Path

    def link(self, role: Role) -> str:
        """A fresh link that signs this role in."""
        # Inside Playwright's loop Django has a connection of its own, perhaps to the last module's database.
        connections[APP].close()
        user = users.find(APP, role.value)
        assert user is not None
        token = sign_in.issue(APP, user.pk, actor=CLI, now=datetime.now(UTC))
        return f"{self.address}/sign-in/link/{token}"


@pytest.fixture(scope="module")
def site(ledger_database_module, tmp_path_factory) -> Iterator[Site]:
    """The house served on http://localhost, as the demonstration serves it."""
    start = (datetime.now(UTC) - timedelta(days=seed.DAYS + 2)).replace(hour=0, minute=0)
    cast = seed.platform(start=start)
    seed.reconciled(cast, start=start)
    with served(ledger_database_module, cast, tmp_path_factory.mktemp("site") / "granian.log") as found:
        yield found


@contextlib.contextmanager
def served(database, cast: object, log: Path) -> Iterator[Site]:
    """This database served on a port of its own, with somebody of every role."""
    now = datetime.now(UTC)
    for role, name in PEOPLE.items():
        number = "C-1" if role == Role.CUSTOMER else None
        user = users.create(APP, role.value, name=name, customer_number=number, actor=CLI, now=now)
        users.grant(APP, user.pk, role, reason="演示 Demonstration.", actor=CLI, now=now)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {**database.environ, "TALLYSTICK_INSECURE_HTTP": "1", "TALLYSTICK_DEMO": "1"}
    command = [
        sys.executable,
        "-m",
        "granian",
        "--interface",
        "wsgi",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with log.open("w") as out:
        server = subprocess.Popen(
            [*command, "tallystick.wsgi:application"], env=environ, stdout=out, stderr=out
        )
    try:
        _wait(f"http://localhost:{port}/readyz", server, log)
        yield Site(f"http://localhost:{port}", cast, log)
    finally:
        server.terminate()
        server.wait(20)
        gateway = posting.gateway()
        if isinstance(gateway, posting.InProcess):
            gateway.close()


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.1)


@dataclass
class Visit:
    """A page of the browser, and everything it complained of."""

    page: object
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    # In a thread of its own: Playwright's loop in this one would make Django refuse to touch the database.
    if not CHROMIUM:
        pytest.skip("no Chromium")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def visit(chromium, site) -> Iterator[Callable[..., Visit]]:
    """Opens a browser of its own for a role; complaints of the console are kept."""
    contexts = []

    def opened(
        role: Role | None = None, *, language: str = "zh-CN", width: int = 1280, **other: object
    ) -> Visit:
        context = chromium.new_context(
            locale=language,
            timezone_id="Asia/Shanghai",
            viewport={"width": width, "height": 900},
            reduced_motion="reduce",
            **other,
        )
        contexts.append(context)
        page = context.new_page()
        visit = Visit(page)
        page.on(
            "console",
            lambda message: (
                visit.complaints.append(message.text) if message.type in {"error", "warning"} else None
            ),
        )
        page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        # Violations are told on the console too; this names the directive.
        page.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective, e.blockedURI))"
        )
        if role is not None:
            page.goto(site.link(role))
            page.click("main button.main")
            page.wait_for_url(lambda url: "/sign-in/" not in url)
        return visit

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def picture() -> Callable[[object, str], None]:
    """Keeps a picture of the page where TALLYSTICK_SCREENSHOTS says so."""
    folder = os.environ.get("TALLYSTICK_SCREENSHOTS")

    def taken(page, name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)

    return taken
