import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models

# Appended only, like every fact of custody; and what the actions promise, held here too.
GUARDS = """
do $$
declare
    name text;
begin
    foreach name in array array[
        'custody_book_days', 'custody_case', 'custody_case_step', 'custody_case_run', 'custody_manual_match',
        'custody_manual_match_line', 'custody_manual_match_undoing', 'custody_receipt_step',
        'custody_book_day', 'custody_rolled_item'
    ] loop
        execute format('create trigger custody_append_only before update or delete or truncate on %I '
                       'for each statement execute function custody_append_only()', name);
        execute format('grant select on %I to tallystick_app, tallystick_auditor', name);
        execute format('grant insert on %I to tallystick_app', name);
    end loop;
end
$$;

-- A line is in one match by hand that stands. The lock is the book's: two who match at once come in turn.
create function custody_manual_match_line_once() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public as
$$
declare
    of_book smallint;
begin
    select book_id into of_book from custody_manual_match where id = new.match_id;
    perform pg_advisory_xact_lock(1835101299, of_book);
    perform from custody_manual_match_line l join custody_manual_match m on m.id = l.match_id
    where l.id <> new.id and m.book_id = of_book
        and (l.statement_line = new.statement_line or l.position = new.position)
        and not exists (select from custody_manual_match_undoing u where u.match_id = m.id);
    if found then
        raise exception 'a line is in another match already'
            using errcode = 'integrity_constraint_violation', constraint = 'custody_manual_match_line_once';
    end if;
    return null;
end
$$;

create trigger custody_manual_match_line_once after insert on custody_manual_match_line
    for each row execute function custody_manual_match_line_once();

-- Days close one after the other and open from the last back; each begins where the one before it ended.
create function custody_book_day_follows() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public as
$$
declare
    held record;
begin
    perform pg_advisory_xact_lock(1818843999, new.book_id);
    select coalesce(max(number), 0) as number into held from custody_book_day
    where book_id = new.book_id and day = new.day and id <> new.id;
    if new.number <> held.number + 1 or (new.number % 2 = 1) <> (new.act = 'closed') then
        raise exception 'day % of book % is not to be % now', new.day, new.book_id, new.act
            using errcode = 'integrity_constraint_violation', constraint = 'custody_book_day_follows';
    end if;
    perform from (
        select distinct on (day) day, act from custody_book_day
        where book_id = new.book_id and day > new.day order by day, number desc
    ) later where later.act = 'closed';
    if found then
        raise exception 'a day after % of book % is closed already', new.day, new.book_id
            using errcode = 'integrity_constraint_violation', constraint = 'custody_book_day_follows';
    end if;
    if new.act = 'closed' then
        select before.position_to into held from (
            select distinct on (day) day, act, position_to from custody_book_day
            where book_id = new.book_id and day < new.day order by day desc, number desc
        ) before where before.act = 'closed' order by before.day desc limit 1;
        if new.position_from <> coalesce(held.position_to, 0) + 1 then
            raise exception 'day % of book % does not begin where the day before ended', new.day, new.book_id
                using errcode = 'integrity_constraint_violation', constraint = 'custody_book_day_follows';
        end if;
    end if;
    return null;
end
$$;

create trigger custody_book_day_follows after insert on custody_book_day
    for each row execute function custody_book_day_follows();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("custody", "0003_payouts"),
        ("identity", "0004_approvals"),
    ]

    operations = [
        migrations.CreateModel(
            name="CaseRun",
            fields=[
                (
                    "reconciliation",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="custody.reconciliation",
                    ),
                ),
                (
                    "is_newest",
                    models.BooleanField(
                        db_comment="whether no later one had been taken up: an older view of the account changes no case"
                    ),
                ),
                ("opened", models.IntegerField()),
                ("changed", models.IntegerField()),
                ("resolved", models.IntegerField()),
                ("at", models.DateTimeField()),
            ],
            options={
                "db_table": "custody_case_run",
                "db_table_comment": "Which reconciliations the cases have followed. Append-only.",
            },
        ),
        migrations.CreateModel(
            name="ManualMatch",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as mat_ and this number", primary_key=True, serialize=False
                    ),
                ),
                (
                    "write_off_minor",
                    models.BigIntegerField(
                        db_comment="what the bank's lines have over the ledger's: written off by the transfer beside it"
                    ),
                ),
                ("write_off_transfer", models.UUIDField(null=True)),
                (
                    "approval",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="identity.approval"
                    ),
                ),
                ("reason", models.CharField(max_length=500)),
                ("proposed_by", models.CharField(max_length=80)),
                ("approved_by", models.CharField(max_length=80)),
                ("at", models.DateTimeField()),
                (
                    "bank_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.account"
                    ),
                ),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.book"
                    ),
                ),
            ],
            options={
                "db_table": "custody_manual_match",
                "db_table_comment": "Matches by hand, each by two people; the reconciliation honours them. Append-only.",
                "indexes": [models.Index(fields=["bank_account", "-id"], name="custody_manual_match_latest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("proposed_by", models.F("approved_by")), _negated=True),
                        name="custody_manual_match_two_people",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("write_off_minor", 0), ("write_off_transfer", None)),
                            models.Q(
                                models.Q(("write_off_minor", 0), _negated=True),
                                ("write_off_transfer__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="custody_manual_match_write_off",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True), name="custody_manual_match_reason"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="BookDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as day_ and this number", primary_key=True, serialize=False
                    ),
                ),
                ("day", models.DateField(db_comment="a business day of the book's calendar")),
                (
                    "number",
                    models.SmallIntegerField(
                        db_comment="1 when first closed, 2 when reopened, 3 when closed again"
                    ),
                ),
                (
                    "act",
                    models.CharField(choices=[("closed", "Closed"), ("reopened", "Reopened")], max_length=16),
                ),
                ("position_from", models.BigIntegerField(db_comment="the first position of the day")),
                (
                    "position_to",
                    models.BigIntegerField(db_comment="the last; one less than the first where it had none"),
                ),
                (
                    "sha256",
                    models.BinaryField(
                        db_comment="over the day's transfers in order; see the manual of the close"
                    ),
                ),
                ("calendar", models.CharField(max_length=16)),
                (
                    "cut_off_at",
                    models.DateTimeField(
                        db_comment="the moment of the cut-off: what was recorded by then counts"
                    ),
                ),
                (
                    "checklist",
                    models.TextField(db_comment="canonical JSON: what was looked at and what was found"),
                ),
                ("reason", models.CharField(blank=True, db_comment="of a reopening", max_length=500)),
                ("prepared_by", models.CharField(max_length=80)),
                ("signed_by", models.CharField(max_length=80)),
                ("at", models.DateTimeField()),
                (
                    "approval",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="identity.approval"
                    ),
                ),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.book"
                    ),
                ),
            ],
            options={
                "db_table": "custody_book_day",
                "db_table_comment": "Days closed and reopened, each by two people, with what they hold. Append-only.",
                "constraints": [
                    models.UniqueConstraint(fields=("book", "day", "number"), name="custody_book_day_once"),
                    models.CheckConstraint(
                        condition=models.Q(("act__in", ["closed", "reopened"])), name="custody_book_day_act"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("prepared_by", models.F("signed_by")), _negated=True),
                        name="custody_book_day_two_people",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("position_from__gte", 1),
                            (
                                "position_to__gte",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("position_from"), "-", models.Value(1)
                                ),
                            ),
                        ),
                        name="custody_book_day_positions",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("act", "closed"), models.Q(("reason", ""), _negated=True), _connector="OR"
                        ),
                        name="custody_book_day_reason",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="BookDays",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "calendar",
                    models.CharField(db_comment="CN, CN-MARKET, GB, TARGET or WEEKENDS", max_length=16),
                ),
                (
                    "cut_off",
                    models.TimeField(
                        db_comment="in the book's time zone: from then on it is the next business day"
                    ),
                ),
                (
                    "write_off_max_minor",
                    models.BigIntegerField(
                        db_comment="the most that a match by hand may leave over; 0: nothing"
                    ),
                ),
                (
                    "break_age_max",
                    models.SmallIntegerField(
                        db_comment="business days a break may be old without an owner and a note when its day is closed"
                    ),
                ),
                (
                    "receipt_age_max",
                    models.SmallIntegerField(
                        db_comment="business days money may lie in suspense before the alarm"
                    ),
                ),
                ("reason", models.CharField(max_length=500)),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.book"
                    ),
                ),
            ],
            options={
                "db_table": "custody_book_days",
                "db_table_comment": "A book's calendar, cut-off and limits, each change with its reason. Append-only.",
                "indexes": [models.Index(fields=["book", "-id"], name="custody_book_days_latest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("break_age_max__gte", 0),
                            ("receipt_age_max__gte", 0),
                            ("write_off_max_minor__gte", 0),
                        ),
                        name="custody_book_days_limits",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True), name="custody_book_days_reason"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Case",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as brk_ and this number", primary_key=True, serialize=False
                    ),
                ),
                (
                    "anchor",
                    models.CharField(
                        db_comment="the line it stands for in every run: line:…, position:… or opening",
                        max_length=40,
                    ),
                ),
                ("day", models.DateField(db_comment="of that line: its age counts from here")),
                ("opened_at", models.DateTimeField()),
                (
                    "bank_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.account"
                    ),
                ),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.book"
                    ),
                ),
            ],
            options={
                "db_table": "custody_case",
                "db_table_comment": "A case for each difference; what it is and how it stands are its steps. Append-only.",
                "indexes": [models.Index(fields=["book", "-id"], name="custody_case_of_book")],
                "constraints": [
                    models.UniqueConstraint(fields=("bank_account", "anchor"), name="custody_case_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="CaseStep",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "act",
                    models.CharField(
                        choices=[
                            ("opened", "Opened"),
                            ("changed", "Changed"),
                            ("taken", "Taken"),
                            ("noted", "Noted"),
                            ("fix_posted", "Fix Posted"),
                            ("fix_refused", "Fix Refused"),
                            ("matched", "Matched"),
                            ("unmatched", "Unmatched"),
                            ("resolved", "Resolved"),
                            ("reopened", "Reopened"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("open", "Open"), ("in_progress", "In Progress"), ("resolved", "Resolved")],
                        max_length=16,
                    ),
                ),
                (
                    "owner",
                    models.CharField(
                        blank=True, db_comment="who works on it; empty: nobody yet", max_length=80
                    ),
                ),
                ("kind", models.CharField(max_length=20)),
                (
                    "effect_minor",
                    models.BigIntegerField(db_comment="what it adds to the bank's total over the ledger's"),
                ),
                ("break_number", models.IntegerField(db_comment="its number in that run")),
                (
                    "transfer",
                    models.UUIDField(db_comment="the transfer this step posted, or had refused", null=True),
                ),
                ("note", models.CharField(blank=True, max_length=1000)),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="steps", to="custody.case"
                    ),
                ),
                (
                    "reconciliation",
                    models.ForeignKey(
                        db_comment="last to find it",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="custody.reconciliation",
                    ),
                ),
            ],
            options={
                "db_table": "custody_case_step",
                "db_table_comment": "Everything that happened to a case, and how it stood after. Append-only.",
                "indexes": [
                    models.Index(fields=["case", "-id"], name="custody_case_step_latest"),
                    models.Index(
                        condition=models.Q(("transfer__isnull", False)),
                        fields=["transfer"],
                        name="custody_case_step_transfer",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "act__in",
                                [
                                    "opened",
                                    "changed",
                                    "taken",
                                    "noted",
                                    "fix_posted",
                                    "fix_refused",
                                    "matched",
                                    "unmatched",
                                    "resolved",
                                    "reopened",
                                ],
                            )
                        ),
                        name="custody_case_step_act",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["open", "in_progress", "resolved"])),
                        name="custody_case_step_status",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "kind__in",
                                [
                                    "duplicate",
                                    "amount",
                                    "wrong_account",
                                    "timing",
                                    "unidentified",
                                    "missing_in_ledger",
                                    "missing_at_bank",
                                ],
                            )
                        ),
                        name="custody_case_step_kind",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ManualMatchUndoing",
            fields=[
                (
                    "match",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="undoing",
                        serialize=False,
                        to="custody.manualmatch",
                    ),
                ),
                ("reason", models.CharField(max_length=500)),
                ("proposed_by", models.CharField(max_length=80)),
                ("approved_by", models.CharField(max_length=80)),
                ("at", models.DateTimeField()),
                (
                    "approval",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="identity.approval"
                    ),
                ),
            ],
            options={
                "db_table": "custody_manual_match_undoing",
                "db_table_comment": "Matches by hand that were undone, each by two people. Append-only.",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("proposed_by", models.F("approved_by")), _negated=True),
                        name="custody_manual_match_undoing_two",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ManualMatchLine",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "position",
                    models.BigIntegerField(db_comment="of the ledger line, in the match's book", null=True),
                ),
                (
                    "amount_minor",
                    models.BigIntegerField(db_comment="as it stood: positive where money came in"),
                ),
                (
                    "match",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="lines",
                        to="custody.manualmatch",
                    ),
                ),
                (
                    "statement_line",
                    models.ForeignKey(
                        db_column="statement_line",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="custody.statementline",
                    ),
                ),
            ],
            options={
                "db_table": "custody_manual_match_line",
                "db_table_comment": "The lines of matches by hand; none is in two that stand. Append-only.",
                "indexes": [models.Index(fields=["position"], name="custody_match_line_position")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("position__isnull", False), ("statement_line", None)),
                            models.Q(("position", None), ("statement_line__isnull", False)),
                            _connector="OR",
                        ),
                        name="custody_manual_match_line_side",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ReceiptStep",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("position", models.BigIntegerField(db_comment="of the transfer that took it into suspense")),
                (
                    "act",
                    models.CharField(
                        choices=[("noted", "Noted"), ("traced", "Traced"), ("returned", "Returned")],
                        max_length=16,
                    ),
                ),
                (
                    "transfer",
                    models.UUIDField(db_comment="the transfer out of suspense", null=True, unique=True),
                ),
                (
                    "note",
                    models.CharField(db_comment="the reasons: why this owner, why back", max_length=1000),
                ),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "account",
                    models.ForeignKey(
                        db_comment="its owner's",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="custody.account",
                    ),
                ),
                (
                    "approval",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="identity.approval",
                    ),
                ),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.book"
                    ),
                ),
            ],
            options={
                "db_table": "custody_receipt_step",
                "db_table_comment": "Unidentified receipts: what was found out, and where they went. Append-only.",
                "indexes": [
                    models.Index(fields=["book", "position", "-id"], name="custody_receipt_step_latest")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("act__in", ["noted", "traced", "returned"])),
                        name="custody_receipt_step_act",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("act", "noted"), ("transfer", None)),
                            models.Q(models.Q(("act", "noted"), _negated=True), ("transfer__isnull", False)),
                            _connector="OR",
                        ),
                        name="custody_receipt_step_moved",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RolledItem",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=20)),
                ("effect_minor", models.BigIntegerField()),
                (
                    "age_days",
                    models.IntegerField(db_comment="in business days of the book's calendar, on that day"),
                ),
                (
                    "book_day",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rolled",
                        to="custody.bookday",
                    ),
                ),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.case"
                    ),
                ),
            ],
            options={
                "db_table": "custody_rolled_item",
                "db_table_comment": "What each closed day rolled to the next. Append-only.",
                "constraints": [
                    models.UniqueConstraint(fields=("book_day", "case"), name="custody_rolled_item_once")
                ],
            },
        ),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
    ]
