"""Payouts: appended only; a payout goes from status to status as the order of its life says, by the database's word."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

GUARDS = """
do $$
declare
    name text;
begin
    foreach name in array array[
        'custody_payout_terms', 'custody_bank_account', 'custody_bank_account_change', 'custody_payout_notice',
        'custody_payout_acknowledgement', 'custody_payout', 'custody_payout_step', 'custody_payout_posting',
        'custody_payout_batch', 'custody_payout_batch_line', 'custody_payout_report', 'custody_payout_report_line'
    ] loop
        execute format('create trigger custody_append_only before update or delete or truncate on %I '
                       'for each statement execute function custody_append_only()', name);
        execute format('grant select, insert on %I to tallystick_app', name);
        if name <> 'custody_bank_account_change' then
            execute format('grant select on %I to tallystick_auditor', name);
        end if;
    end loop;
end
$$;

-- A batch's own number is in its file, so it is drawn before the row is written.
grant usage on sequence custody_payout_batch_id_seq to tallystick_app;

-- The auditor sees which account it is, and not its number, not even sealed.
grant select (id, bank_account_id, number, status, holder_name, bank_name, bic, cnaps, last4, fingerprint,
    details_at, reason, at, actor) on custody_bank_account_change to tallystick_auditor;

-- A payout goes its way one step after the other, and no other way. Two who take a step at once have one number.
create function custody_payout_step_follows() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public as
$$
declare
    before record;
begin
    select number, status into before from custody_payout_step
    where payout_id = new.payout_id order by number desc limit 1;
    if new.number <> coalesce(before.number, 0) + 1 or not (coalesce(before.status, '') || '>' || new.status) = any (array[
        '>asked', 'asked>pending', 'asked>refused', 'pending>released', 'pending>cancelled', 'pending>declined',
        'released>batched', 'released>cancelled', 'batched>sent', 'sent>accepted', 'sent>settled', 'sent>rejected',
        'accepted>settled', 'accepted>rejected', 'settled>returned'
    ]) then
        raise exception 'payout % does not go from % to %', new.payout_id, before.status, new.status
            using errcode = 'integrity_constraint_violation', constraint = 'custody_payout_step_follows';
    end if;
    if new.status = 'batched' and not exists (
        select from custody_payout_batch_line where payout_id = new.payout_id
    ) then
        raise exception 'payout % is in no batch', new.payout_id
            using errcode = 'integrity_constraint_violation', constraint = 'custody_payout_step_batched';
    end if;
    if new.status = 'released' and new.by_rule and (select needs_release from custody_payout where id = new.payout_id) then
        raise exception 'payout % is released by a second person', new.payout_id
            using errcode = 'integrity_constraint_violation', constraint = 'custody_payout_step_released';
    end if;
    return new;
end
$$;
create trigger custody_payout_step_follows before insert on custody_payout_step
    for each row execute function custody_payout_step_follows();

-- What is said of the ledger is so.
create function custody_payout_posting_stands() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public as
$$
begin
    if new.position is not null and not exists (
        select from custody_transfer t join custody_payout p on p.book_id = t.book_id
        where p.id = new.payout_id and t.id = new.transfer_id and t.position = new.position
    ) then
        raise exception 'no transfer % stands at position %', new.transfer_id, new.position
            using errcode = 'integrity_constraint_violation', constraint = 'custody_payout_posting_stands';
    end if;
    return new;
end
$$;
create trigger custody_payout_posting_stands before insert on custody_payout_posting
    for each row execute function custody_payout_posting_stands();

-- A batch is as many payouts, and as much, as it says: once its lines are there, and for ever.
create function custody_payout_batch_adds_up() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public as
$$
declare
    held record;
begin
    select count(*) as payouts, coalesce(sum(p.amount_minor), 0) as sum_minor into held
    from custody_payout_batch_line l join custody_payout p on p.id = l.payout_id where l.batch_id = new.id;
    if held.payouts <> new.payouts or held.sum_minor <> new.sum_minor then
        raise exception 'batch % has % payouts of %', new.id, held.payouts, held.sum_minor
            using errcode = 'integrity_constraint_violation', constraint = 'custody_payout_batch_adds_up';
    end if;
    return null;
end
$$;
create constraint trigger custody_payout_batch_adds_up after insert on custody_payout_batch
    deferrable initially deferred for each row execute function custody_payout_batch_adds_up();

create function custody_payout_batch_bounded() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public as
$$
begin
    perform from custody_payout_batch b
    where b.id in (select distinct batch_id from written)
        and b.payouts < (select count(*) from custody_payout_batch_line l where l.batch_id = b.id);
    if found then
        raise exception 'a batch has its payouts already'
            using errcode = 'integrity_constraint_violation', constraint = 'custody_payout_batch_bounded';
    end if;
    return null;
end
$$;
create trigger custody_payout_batch_bounded after insert on custody_payout_batch_line
    referencing new table as written for each statement execute function custody_payout_batch_bounded();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("custody", "0002_statements"),
        ("identity", "0004_approvals"),
    ]

    operations = [
        migrations.CreateModel(
            name="Payout",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as pay_ and this number", primary_key=True, serialize=False
                    ),
                ),
                ("owner", models.CharField(max_length=64)),
                (
                    "request_key",
                    models.CharField(
                        db_comment="the asker's own name for the order: asked twice, it is one payout",
                        max_length=64,
                    ),
                ),
                ("amount_minor", models.BigIntegerField()),
                (
                    "needs_release",
                    models.BooleanField(db_comment="by a second person; else it is released by rule"),
                ),
                (
                    "note",
                    models.CharField(blank=True, db_comment="for the payee's statement", max_length=140),
                ),
                ("asked_at", models.DateTimeField()),
                ("asked_by", models.CharField(max_length=80)),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                (
                    "authorisation",
                    models.OneToOneField(
                        db_column="authorisation",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="custody.authorisation",
                    ),
                ),
            ],
            options={
                "db_table": "custody_payout",
                "db_table_comment": "Orders to pay clients' money out to their own bank accounts. Append-only.",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("amount_minor__gt", 0)), name="custody_payout_some"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="BankAccount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as bnk_ and this number", primary_key=True, serialize=False
                    ),
                ),
                ("owner", models.CharField(db_comment="the client's customer number", max_length=64)),
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
                "db_table": "custody_bank_account",
                "db_table_comment": "Clients' bank accounts to which payouts may go. Append-only.",
                "indexes": [models.Index(fields=["book", "owner"], name="custody_bank_account_owner")],
            },
        ),
        migrations.CreateModel(
            name="BankAccountChange",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.IntegerField(db_comment="from 1: added; each later one is a change")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("unverified", "Unverified"),
                            ("verified", "Verified"),
                            ("closed", "Closed"),
                        ],
                        max_length=12,
                    ),
                ),
                ("holder_name", models.CharField(max_length=70)),
                ("bank_name", models.CharField(max_length=70)),
                ("bic", models.CharField(blank=True, max_length=11)),
                (
                    "cnaps",
                    models.CharField(
                        blank=True, db_comment="China's clearing number of the branch", max_length=12
                    ),
                ),
                (
                    "sealed_number",
                    models.BinaryField(db_comment="AES-256-GCM under the installation's key; never in clear"),
                ),
                ("last4", models.CharField(max_length=4)),
                (
                    "fingerprint",
                    models.BinaryField(
                        db_comment="HMAC-SHA256 of the number: the same account bound twice is seen, and nothing else"
                    ),
                ),
                (
                    "details_at",
                    models.DateTimeField(
                        db_comment="since when these details hold: the cool-off runs from here"
                    ),
                ),
                (
                    "reason",
                    models.CharField(db_comment="how it was verified, or why it was changed", max_length=200),
                ),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "bank_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="changes",
                        to="custody.bankaccount",
                    ),
                ),
            ],
            options={
                "db_table": "custody_bank_account_change",
                "db_table_comment": "Every change of a client's bank account, its number sealed. Append-only.",
                "indexes": [
                    models.Index(fields=["fingerprint"], name="custody_bank_change_print"),
                    models.Index(
                        condition=models.Q(
                            ("status", "closed"),
                            models.Q(("number__gt", 1), ("status", "unverified")),
                            _connector="OR",
                        ),
                        fields=["bank_account", "number"],
                        name="custody_bank_change_ends",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("bank_account", "number"), name="custody_bank_change_in_turn"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["unverified", "verified", "closed"])),
                        name="custody_bank_change_status",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("bic", ""), ("cnaps", ""), _negated=True),
                        name="custody_bank_change_agent",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PayoutBatchLine",
            fields=[
                (
                    "payout",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="line",
                        serialize=False,
                        to="custody.payout",
                    ),
                ),
                ("number", models.IntegerField(db_comment="from 1")),
            ],
            options={
                "db_table": "custody_payout_batch_line",
                "db_table_comment": "Payouts of a batch. The key is the payout: no payout is in two. Append-only.",
            },
        ),
        migrations.AddField(
            model_name="payout",
            name="bank_details",
            field=models.ForeignKey(
                db_comment="where to, as it held then",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="custody.bankaccountchange",
            ),
        ),
        migrations.AddField(
            model_name="payout",
            name="book",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.book"
            ),
        ),
        migrations.AddField(
            model_name="payout",
            name="credit_account",
            field=models.ForeignKey(
                db_column="credit_account",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="custody.account",
            ),
        ),
        migrations.AddField(
            model_name="payout",
            name="debit_account",
            field=models.ForeignKey(
                db_column="debit_account",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="custody.account",
            ),
        ),
        migrations.CreateModel(
            name="PayoutAcknowledgement",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("owner", models.CharField(max_length=64)),
                ("version", models.IntegerField()),
                ("digest", models.BinaryField(db_comment="SHA-256 of both texts: what was read")),
                ("language", models.CharField(db_comment="in which it was shown", max_length=16)),
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
                "db_table": "custody_payout_acknowledgement",
                "db_table_comment": "Which client has read which version of the payout notice. Append-only.",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("book", "owner", "version", "digest"), name="custody_payout_acknowledged_once"
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="payout",
            name="acknowledgement",
            field=models.ForeignKey(
                db_comment="of the notice of then",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="custody.payoutacknowledgement",
            ),
        ),
        migrations.CreateModel(
            name="PayoutBatch",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as pbt_ and this number", primary_key=True, serialize=False
                    ),
                ),
                ("message_id", models.CharField(db_comment="GrpHdr/MsgId", max_length=35, unique=True)),
                (
                    "execution_date",
                    models.DateField(db_comment="the business day asked for, by calendar and cut-off"),
                ),
                ("payouts", models.IntegerField()),
                ("sum_minor", models.BigIntegerField()),
                (
                    "sha256",
                    models.BinaryField(
                        db_comment="of the file, which is made again from these rows, byte for byte"
                    ),
                ),
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
                "db_table": "custody_payout_batch",
                "db_table_comment": "Batches of payouts, each a pain.001 file. Append-only.",
                "indexes": [models.Index(fields=["book", "-id"], name="custody_payout_batch_of_book")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("payouts__gt", 0), ("sum_minor__gt", 0)),
                        name="custody_batch_some",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PayoutNotice",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "version",
                    models.IntegerField(db_comment="from 1, by book; the house's own text is version 0"),
                ),
                ("en", models.TextField()),
                ("zh", models.TextField()),
                ("proposed_by", models.CharField(max_length=80)),
                ("actor", models.CharField(db_comment="who approved: never who proposed", max_length=80)),
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
                "db_table": "custody_payout_notice",
                "db_table_comment": "Notices shown before a payout is ordered, published by two people. Append-only.",
                "constraints": [
                    models.UniqueConstraint(fields=("book", "version"), name="custody_payout_notice_version"),
                    models.CheckConstraint(
                        condition=models.Q(("actor", models.F("proposed_by")), _negated=True),
                        name="custody_payout_notice_by_two",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PayoutPosting",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "step",
                    models.CharField(
                        choices=[
                            ("hold", "Hold"),
                            ("settle", "Settle"),
                            ("void", "Void"),
                            ("return", "Return"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "transfer_id",
                    models.UUIDField(db_comment="made of the payout's id and the step", unique=True),
                ),
                (
                    "position",
                    models.BigIntegerField(db_comment="in the book; nothing where it was refused", null=True),
                ),
                (
                    "refusal",
                    models.CharField(
                        blank=True, db_comment="the ledger's reason, where it refused", max_length=64
                    ),
                ),
                ("at", models.DateTimeField()),
                (
                    "payout",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="postings",
                        to="custody.payout",
                    ),
                ),
            ],
            options={
                "db_table": "custody_payout_posting",
                "db_table_comment": "Ledger transfers of payouts, one a step. Append-only.",
                "constraints": [
                    models.UniqueConstraint(fields=("payout", "step"), name="custody_payout_posting_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("position", None), models.Q(("refusal", ""), _negated=True)),
                            models.Q(("position__isnull", False), ("refusal", "")),
                            _connector="OR",
                        ),
                        name="custody_payout_posting_answer",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PayoutReport",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as rpt_ and this number", primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=255)),
                ("format", models.CharField(max_length=32)),
                ("message_id", models.CharField(blank=True, max_length=35)),
                ("sha256", models.BinaryField(db_comment="of the file: the same file is taken once")),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "batch",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reports",
                        to="custody.payoutbatch",
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
                "db_table": "custody_payout_report",
                "db_table_comment": "The bank's answers to payouts. Append-only.",
                "constraints": [
                    models.UniqueConstraint(fields=("book", "sha256"), name="custody_payout_report_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="PayoutReportLine",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("line", models.IntegerField(db_comment="of the file")),
                ("code", models.CharField(db_comment="ACSC, RJCT …; RTRN for a return", max_length=8)),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("amount_minor", models.BigIntegerField(db_comment="of a return: what came back", null=True)),
                (
                    "outcome",
                    models.CharField(
                        db_comment="applied, unchanged, contradicts, duplicate or suspense", max_length=12
                    ),
                ),
                (
                    "payout",
                    models.ForeignKey(
                        db_comment="nothing where a return names no payout of ours",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reports",
                        to="custody.payout",
                    ),
                ),
                (
                    "report",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="lines",
                        to="custody.payoutreport",
                    ),
                ),
            ],
            options={
                "db_table": "custody_payout_report_line",
                "db_table_comment": "What the bank said of each payout. Append-only.",
                "indexes": [models.Index(fields=["payout"], name="custody_payout_report_of")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("code", "RTRN"), ("outcome", "applied")),
                        fields=("payout",),
                        name="custody_payout_returned_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PayoutStep",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.IntegerField(db_comment="from 1, asked")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("asked", "Asked"),
                            ("pending", "Pending"),
                            ("released", "Released"),
                            ("batched", "Batched"),
                            ("sent", "Sent"),
                            ("accepted", "Accepted"),
                            ("settled", "Settled"),
                            ("refused", "Refused"),
                            ("cancelled", "Cancelled"),
                            ("declined", "Declined"),
                            ("rejected", "Rejected"),
                            ("returned", "Returned"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "by_rule",
                    models.BooleanField(
                        db_comment="released without a second person, as the terms say", default=False
                    ),
                ),
                (
                    "reason",
                    models.CharField(blank=True, db_comment="in words, or the bank's code", max_length=200),
                ),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                (
                    "approval",
                    models.OneToOneField(
                        db_comment="used once",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="identity.approval",
                    ),
                ),
                (
                    "payout",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="steps", to="custody.payout"
                    ),
                ),
            ],
            options={
                "db_table": "custody_payout_step",
                "db_table_comment": "Every status a payout has had, with who and why: queue and history. Append-only.",
                "indexes": [
                    models.Index(fields=["status", "payout"], name="custody_payout_step_status"),
                    models.Index(
                        condition=models.Q(
                            (
                                "status__in",
                                ["asked", "settled", "cancelled", "declined", "rejected", "returned"],
                            )
                        ),
                        fields=["payout", "status", "id"],
                        name="custody_payout_step_owes",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("payout", "number"), name="custody_payout_step_in_turn"),
                    models.UniqueConstraint(fields=("payout", "status"), name="custody_payout_step_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "status__in",
                                [
                                    "asked",
                                    "pending",
                                    "released",
                                    "batched",
                                    "sent",
                                    "accepted",
                                    "settled",
                                    "refused",
                                    "cancelled",
                                    "declined",
                                    "rejected",
                                    "returned",
                                ],
                            )
                        ),
                        name="custody_payout_step_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "released"), _negated=True),
                            models.Q(("approval", None), ("by_rule", True)),
                            models.Q(("approval__isnull", False), ("by_rule", False)),
                            _connector="OR",
                        ),
                        name="custody_payout_step_released",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PayoutTerms",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "release_above_minor",
                    models.BigIntegerField(
                        db_comment="a payout of more is released by a second person; of 0, every one is"
                    ),
                ),
                (
                    "daily_above_minor",
                    models.BigIntegerField(
                        db_comment="so is each that takes a client's payouts of the day over this"
                    ),
                ),
                (
                    "cool_off_hours",
                    models.IntegerField(db_comment="after a change of bank details, before a payout there"),
                ),
                (
                    "cut_off",
                    models.TimeField(
                        db_comment="in the book's time zone: later batches are for the next day"
                    ),
                ),
                ("calendar", models.CharField(db_comment="a name of core.calendars", max_length=16)),
                (
                    "debtor_name",
                    models.CharField(db_comment="who the payee's bank sees as the payer", max_length=70),
                ),
                (
                    "debtor_account",
                    models.CharField(db_comment="IBAN or number of the paying account", max_length=34),
                ),
                ("debtor_bic", models.CharField(max_length=11)),
                ("proposed_by", models.CharField(max_length=80)),
                ("actor", models.CharField(db_comment="who approved: never who proposed", max_length=80)),
                ("at", models.DateTimeField()),
                (
                    "approval",
                    models.OneToOneField(
                        db_comment="used once",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="identity.approval",
                    ),
                ),
                (
                    "bank_account",
                    models.ForeignKey(
                        db_comment="the control account of the bank that pays; its asset is the payouts' asset",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="custody.account",
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
                "db_table": "custody_payout_terms",
                "db_table_comment": "Limits, cool-off and cut-off of payouts, changed by two people. Append-only.",
                "indexes": [models.Index(fields=["bank_account", "-id"], name="custody_payout_terms_newest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("actor", models.F("proposed_by")), _negated=True),
                        name="custody_payout_terms_by_two",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("cool_off_hours__gte", 0),
                            ("daily_above_minor__gte", 0),
                            ("release_above_minor__gte", 0),
                        ),
                        name="custody_payout_terms_range",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="payoutbatch",
            name="terms",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.payoutterms"
            ),
        ),
        migrations.AddField(
            model_name="payoutbatchline",
            name="batch",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="lines", to="custody.payoutbatch"
            ),
        ),
        migrations.AddIndex(
            model_name="payout",
            index=models.Index(fields=["book", "-id"], name="custody_payout_of_book"),
        ),
        migrations.AddIndex(
            model_name="payout",
            index=models.Index(fields=["book", "owner", "-id"], name="custody_payout_of_owner"),
        ),
        migrations.AddConstraint(
            model_name="payout",
            constraint=models.UniqueConstraint(
                fields=("book", "owner", "request_key"), name="custody_payout_asked_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="payoutbatchline",
            constraint=models.UniqueConstraint(
                fields=("batch", "number"), name="custody_payout_batch_line_in_turn"
            ),
        ),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
    ]
