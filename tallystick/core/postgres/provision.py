"""The five roles and the database: created when absent, checked when present, never more than needed.

Table rights come by migrations. Here every role may connect and look into the schema; only the owner
may create in it.
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

from tallystick.core.postgres import errors, place
from tallystick.core.postgres.place import Role

OLDEST_MAJOR = 17
USERS = (Role.APP, Role.WRITER, Role.SEQUENCER, Role.AUDITOR)

EXCESS = """
    select rolname, concat_ws(', ',
        case when rolsuper then 'a superuser' end,
        case when rolcreaterole then 'allowed to create roles' end,
        case when rolcreatedb then 'allowed to create databases' end,
        case when rolreplication then 'allowed to replicate' end,
        case when rolbypassrls then 'exempt from row security' end)
    from pg_roles where rolname = any(%s)
"""


def check_version(connection: psycopg.Connection, setting: str) -> str:
    """The server's version, or a refusal of one too old."""
    number = connection.info.server_version
    if number // 10000 < OLDEST_MAJOR:
        raise errors.TooOld(setting=setting, found=_version(number), least=OLDEST_MAJOR)
    return _version(number)


def roles(connection: psycopg.Connection, environ: Mapping[str, str], setting: str) -> None:
    """The five roles exist, may log in, and may nothing else."""
    found: dict[str, str] = dict(connection.execute(EXCESS, ([str(role) for role in Role],)).fetchall())
    for role in Role:
        if role not in found:
            try:
                connection.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
            except psycopg.errors.InsufficientPrivilege:
                raise errors.RolesMissing(missing=f"role {role}", user=connection.info.user) from None
        elif found[role]:
            raise errors.RoleTooStrong(role=role, excess=found[role])
    # The auditor's sessions begin read-only; its rights are what keeps it so.
    _try(connection, "alter role {} set default_transaction_read_only = on", sql.Identifier(Role.AUDITOR))
    if place.is_external(environ):
        _passwords(connection, environ)


def database(connection: psycopg.Connection, name: str) -> None:
    """The database exists, in UTF-8 and with one sort order on every machine, and belongs to the owner."""
    row = connection.execute(
        "select pg_encoding_to_char(encoding), pg_get_userbyid(datdba) from pg_database where datname = %s",
        (name,),
    ).fetchone()
    user = connection.info.user
    try:
        if row is None:
            _join_owner(connection)
            # A template database may set its own locale, so all of it is said here.
            connection.execute(
                sql.SQL(
                    "create database {} owner {} template template0 encoding 'UTF8'"
                    " locale_provider builtin builtin_locale 'C.UTF-8' locale 'C.UTF-8'"
                ).format(sql.Identifier(name), sql.Identifier(Role.OWNER))
            )
        elif row[0] != "UTF8":
            raise errors.WrongEncoding(database=name, found=row[0])
        elif row[1] != Role.OWNER:
            _join_owner(connection)
            connection.execute(
                sql.SQL("alter database {} owner to {}").format(
                    sql.Identifier(name), sql.Identifier(Role.OWNER)
                )
            )
    except psycopg.errors.InsufficientPrivilege:
        raise errors.RolesMissing(missing=f"database {name} owned by {Role.OWNER}", user=user) from None
    admit(connection, name)


def admit(connection: psycopg.Connection, name: str) -> None:
    """Who may connect to a database: its owner and the four users, nobody else."""
    database_name = sql.Identifier(name)
    _try(connection, "revoke all on database {} from public", database_name)
    for role in USERS:
        _try(connection, "grant connect on database {} to {}", database_name, sql.Identifier(role))


def schema(connection: psycopg.Connection) -> None:
    """In the database itself: the schema belongs to the owner; the others look in. Call connected to it."""
    _try(connection, "alter schema public owner to {}", sql.Identifier(Role.OWNER))
    _try(connection, "revoke all on schema public from public")
    for role in USERS:
        _try(connection, "grant usage on schema public to {}", sql.Identifier(role))
    row = connection.execute(
        "select has_schema_privilege(%s, 'public', 'create'),"
        " bool_or(has_schema_privilege(users, 'public', 'create')),"
        " bool_and(has_schema_privilege(users, 'public', 'usage'))"
        " from unnest(%s::text[]) users",
        (str(Role.OWNER), [str(role) for role in USERS]),
    ).fetchone()
    assert row is not None
    if row != (True, False, True):
        raise errors.RolesMissing(missing="rights on schema public", user=connection.info.user)


def _passwords(connection: psycopg.Connection, environ: Mapping[str, str]) -> None:
    """Give each role the password this installation derives, where it cannot log in with it yet."""
    for role in Role:
        parameters = place.target(environ, role).parameters
        if place.URL_SETTINGS[role] in environ or "password" not in parameters:
            continue
        try:
            dsn = place.Target({**parameters, "dbname": connection.info.dbname}).dsn
            psycopg.connect(dsn, connect_timeout=10).close()
        except psycopg.OperationalError:
            # The verifier is computed here: the password itself never travels, nor enters a server log.
            verifier = connection.pgconn.encrypt_password(
                parameters["password"].encode(), role.encode(), b"scram-sha-256"
            )
            try:
                connection.execute(
                    sql.SQL("alter role {} password {}").format(sql.Identifier(role), verifier.decode())
                )
            except psycopg.errors.InsufficientPrivilege:
                raise errors.RolesMissing(missing=f"password of {role}", user=connection.info.user) from None


def _join_owner(connection: psycopg.Connection) -> None:
    """One may give a database only to a role one can become."""
    _try(connection, "grant {} to current_user with set true", sql.Identifier(Role.OWNER))


def _try(connection: psycopg.Connection, statement: str, *parts: sql.Identifier) -> None:
    """Run what an administrator may have done already; `schema` and the first session tell."""
    try:
        connection.execute(sql.SQL(statement).format(*parts))
    except psycopg.errors.InsufficientPrivilege:
        return


def _version(number: int) -> str:
    return f"{number // 10000}.{number % 10000}"
