"""The command line: one file per domain, loaded only when its command is called."""

from __future__ import annotations

import importlib

import click

from tallystick import __version__

COMMANDS = {
    # name: (module, attribute)
    "postgres": ("tallystick.cli.postgres", "postgres"),
    "migrate": ("tallystick.cli.house", "migrate"),
    "check": ("tallystick.cli.house", "check"),
    "serve": ("tallystick.cli.house", "serve"),
    "test": ("tallystick.cli.house", "test"),
    "identity": ("tallystick.cli.identity", "identity"),
    "posting": ("tallystick.cli.posting", "posting"),
    "ledger": ("tallystick.cli.ledger", "ledger"),
    "statements": ("tallystick.cli.statements", "statements"),
    "reconcile": ("tallystick.cli.statements", "reconcile"),
    "close": ("tallystick.cli.close", "close"),
    "cases": ("tallystick.cli.close", "cases"),
    "book-days": ("tallystick.cli.close", "book_days"),
    "liquidity": ("tallystick.cli.liquidity", "liquidity"),
    "conformance": ("tallystick.cli.conformance", "conformance"),
    "safeguarding": ("tallystick.cli.safeguarding", "safeguarding"),
    "payouts": ("tallystick.cli.payouts", "payouts"),
    "currencies": ("tallystick.cli.currencies", "currencies"),
    "backup": ("tallystick.cli.backup", "backup"),
    "restore": ("tallystick.cli.backup", "restore"),
    "demo": ("tallystick.cli.demo", "demo"),
    "bench": ("tallystick.cli.bench", "bench"),
    "trace": ("tallystick.cli.tracing", "trace"),
    "pooling": ("tallystick.cli.tracing", "pooling"),
    "witness": ("tallystick.cli.witness", "witness"),
    "evidence": ("tallystick.cli.evidence", "evidence"),
    "verify": ("tallystick.cli.verify", "verify"),
}


class LazyGroup(click.Group):
    """Imports a command's module when it is called, so that `--help` needs no Django."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Tallystick: hold customers' money apart, reconcile it to the bank, and prove it."""
