"""The roles there are, and which two no one person may hold."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a person or a process of the system can be."""

    ADMINISTRATOR = "administrator"
    PLATFORM_OPERATIONS = "platform_operations"
    PLATFORM_APPROVER = "platform_approver"
    CUSTODIAN_BANK = "custodian_bank"
    AUDITOR = "auditor"
    REGULATOR = "regulator"
    CUSTOMER = "customer"

    # Processes of the system. No person is ever granted one.
    SYSTEM_CLI = "system:cli"
    SYSTEM_POSTING = "system:posting"
    SYSTEM_PULSE = "system:pulse"
    SYSTEM_STATEMENTS = "system:statements"
    SYSTEM_BACKUP = "system:backup"
    SYSTEM_SIMULATION = "system:simulation"


GRANTABLE = frozenset(role for role in Role if not role.startswith("system:"))
"""The roles of people."""

CONFLICTS = frozenset(
    frozenset(pair)
    for pair in (
        # Whoever makes does not check.
        (Role.PLATFORM_OPERATIONS, Role.PLATFORM_APPROVER),
        # Whoever hands out rights to the money does not move it or release it.
        (Role.ADMINISTRATOR, Role.PLATFORM_OPERATIONS),
        (Role.ADMINISTRATOR, Role.PLATFORM_APPROVER),
        # Whoever examines stands outside what is examined.
        *(
            (outside, inside)
            for outside in (Role.CUSTODIAN_BANK, Role.AUDITOR, Role.REGULATOR)
            for inside in (Role.ADMINISTRATOR, Role.PLATFORM_OPERATIONS, Role.PLATFORM_APPROVER)
        ),
    )
)
"""Pairs of roles that no one person holds."""


def conflict(role: Role, held: frozenset[Role]) -> Role | None:
    """The role among those held that may not stand beside this one."""
    return next((other for other in sorted(held) if frozenset((role, other)) in CONFLICTS), None)
