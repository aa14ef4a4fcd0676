"""What the embedded server is told: its settings and who is admitted, written at each start.

Durability is never traded for speed outside the test profile. What an operator adds belongs in
`<home>/postgresql.conf`, which is read last.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tallystick.core.postgres import errors, place

INCLUDE = "include_if_exists = 'tallystick.conf'"
MB = 1024 * 1024


def is_test(environ: Mapping[str, str]) -> bool:
    """Whether this is a throw-away server whose data may be lost."""
    profile = environ.get("TALLYSTICK_POSTGRES_PROFILE", "")
    if profile not in ("", "test"):
        raise errors.BadSetting(setting="TALLYSTICK_POSTGRES_PROFILE", reason="it must be `test` or absent")
    return profile == "test"


def settings(
    environ: Mapping[str, str],
    *,
    memory: int,
    codecs: frozenset[str],
    archive: Path | None,
) -> dict[str, str]:
    """Every setting that differs from PostgreSQL's own, as text.

    memory: bytes of the machine. codecs: compressions this build knows. archive: where finished WAL
    segments go, where there is a backup.
    """
    home = place.home(environ)
    buffers = min(memory // 8, 4096 * MB)
    chosen = {
        # Only through the socket, and only users whom the kernel vouches for (pg_hba.conf).
        "listen_addresses": "",
        "port": str(place.PORT),
        "unix_socket_directories": str(home / "run"),
        "max_connections": "100",
        "superuser_reserved_connections": "5",
        "password_encryption": "scram-sha-256",
        # An acknowledged commit is on the disk.
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "wal_level": "replica",
        "max_wal_size": "4GB",
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        "shared_buffers": f"{max(buffers // MB, 16)}MB",
        "effective_cache_size": f"{max(memory // 2 // MB, 64)}MB",
        "maintenance_work_mem": f"{min(max(memory // 32 // MB, 64), 1024)}MB",
        "random_page_cost": "1.1",
        # Compilation costs more than our short statements take.
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "shared_preload_libraries": "pg_stat_statements",
        "track_io_timing": "on",
        # The log names no customer: no statement text, no parameters, no DETAIL line ("Key (name)=(…)").
        "logging_collector": "on",
        "log_directory": str(home / "log"),
        "log_filename": "postgresql-%a.log",
        "log_truncate_on_rotation": "on",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_destination": "stderr",  # jsonlog writes DETAIL at any verbosity
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
        "log_lock_waits": "on",
        "log_checkpoints": "on",
        # A forgotten transaction would hold back vacuum and, in a writer, its whole book.
        "idle_in_transaction_session_timeout": "5min",
    }
    for codec in ("lz4", "zstd"):
        if codec in codecs:
            chosen["wal_compression"] = codec
            break
    if is_test(environ):
        chosen |= {
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "shared_buffers": "64MB",
            "effective_cache_size": "256MB",
            "maintenance_work_mem": "64MB",
            "max_wal_size": "1GB",
            "idle_in_transaction_session_timeout": "0",
        }
        if archive is None:
            return chosen | {"wal_level": "minimal", "max_wal_senders": "0"}
    # Switching archive_mode needs a restart, so it is always on; without a backup segments go nowhere.
    chosen |= {"archive_mode": "on", "archive_timeout": "60s"}
    if archive is None:
        chosen["archive_command"] = "/bin/true"
    else:
        # PostgreSQL's own module: durable, atomic, idempotent, and without a shell.
        chosen |= {
            "archive_command": "",
            "archive_library": "basic_archive",
            "basic_archive.archive_directory": str(archive),
            "summarize_wal": "on",
            "wal_summary_keep_time": "30d",
        }
    return chosen


def rendered(chosen: Mapping[str, str], home: Path) -> str:
    """`tallystick.conf`."""
    lines = [
        "# Written by Tallystick at each start. Your own settings belong into postgresql.conf in the home."
    ]
    lines += [f"{name} = {quoted(value)}" for name, value in chosen.items()]
    own = home / "postgresql.conf"
    if own.exists():
        lines.append(f"include = {quoted(str(own))}")
    return "\n".join([*lines, ""])


def quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def hba() -> str:
    """`pg_hba.conf`: peer authentication over the socket, nothing else."""
    return "\n".join(
        (
            "# Written by Tallystick at each start.",
            "local all         all peer map=tallystick",
            "local replication all peer map=tallystick",
            "",
        )
    )


def ident(environ: Mapping[str, str], *, trusted: tuple[str, ...]) -> str:
    """`pg_ident.conf`: which operating-system user may be which role.

    trusted: the user who runs Tallystick and the user the server runs as; they may be every role and
    the superuser. TALLYSTICK_POSTGRES_PEERS="www=tallystick_app,…" admits further users to one role each,
    so that a web process under its own user cannot write the ledger.
    """
    lines = ["# Written by Tallystick at each start.", "# map  system user  role"]
    for user in dict.fromkeys(trusted):
        lines += [f"tallystick {ident_name(user)} {role}" for role in (place.SUPERUSER, *place.Role)]
    for pair in filter(None, environ.get("TALLYSTICK_POSTGRES_PEERS", "").replace(" ", "").split(",")):
        user, _, role = pair.partition("=")
        if not user or role not in list(place.Role):
            raise errors.BadSetting(
                setting="TALLYSTICK_POSTGRES_PEERS",
                reason=f"`{pair}` is not user=role, with a role out of {', '.join(place.Role)}",
            )
        lines.append(f"tallystick {ident_name(user)} {role}")
    return "\n".join([*lines, ""])


def ident_name(user: str) -> str:
    # Quoted, so that no name is taken for a keyword or a pattern.
    return '"' + user.replace('"', '""') + '"'


def memory_of_machine() -> int:
    """Bytes of memory this process may use: the machine's, or the control group's limit where lower."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(limit).read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            total = min(total, int(text))
    return total
