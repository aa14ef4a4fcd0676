"""Proposals and decisions: append-only, one open for each subject, decided by another, by the database's word."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

GUARDS = """
-- What is kept for display is what the digest binds.
alter table identity_approval add constraint identity_approval_bound check (
    digest = sha256('tallystick.approval/v1'::bytea || '\\x00'::bytea || convert_to(kind, 'UTF8') || '\\x00'::bytea
        || convert_to(subject, 'UTF8') || '\\x00'::bytea || convert_to(coalesce(book::text, ''), 'UTF8')
        || '\\x00'::bytea || convert_to(state, 'UTF8'))
);

-- A decision names its proposal's maker and digest truly, so that its row constraint (decided by another than
-- the maker, on the state proposed) can be believed.
alter table identity_approval_decision add constraint identity_decision_of_proposal
    foreign key (approval_id, made_by, digest) references identity_approval (id, made_by, digest);

-- A second proposal of a kind for a subject comes after the first was decided. Two at one moment have one number,
-- and of those the unique constraint takes one.
create function identity_approval_in_turn() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public as
$$
begin
    if new.number <> 1 and not exists (
        select from identity_approval a join identity_approval_decision d on d.approval_id = a.id
        where a.kind = new.kind and a.subject = new.subject and a.number = new.number - 1
    ) then
        raise exception 'proposal % of % for % does not follow a decided one', new.number, new.kind, new.subject
            using errcode = 'integrity_constraint_violation', constraint = 'identity_approval_in_turn';
    end if;
    return new;
end
$$;
create trigger identity_approval_in_turn before insert on identity_approval
    for each row execute function identity_approval_in_turn();

create function identity_append_only() returns trigger language plpgsql as
$$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end
$$;
create trigger identity_append_only before update or delete or truncate on identity_approval
    for each statement execute function identity_append_only();
create trigger identity_append_only before update or delete or truncate on identity_approval_decision
    for each statement execute function identity_append_only();

grant select, insert on identity_approval, identity_approval_decision to tallystick_app;
grant select on identity_approval, identity_approval_decision to tallystick_auditor;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0003_api_tokens"),
    ]

    operations = [
        migrations.CreateModel(
            name="Approval",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as apr_ and this number", primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.CharField(db_comment="what is proposed: a row of approvals.KINDS", max_length=80),
                ),
                (
                    "subject",
                    models.CharField(db_comment="what it is proposed for, by its id outside", max_length=200),
                ),
                (
                    "book",
                    models.IntegerField(db_comment="the book it is about, where it is about one", null=True),
                ),
                (
                    "number",
                    models.IntegerField(
                        db_comment="the how many-th proposal of this kind for this subject, from 1"
                    ),
                ),
                ("state", models.TextField(db_comment="canonical JSON (RFC 8785) of what is to be approved")),
                (
                    "digest",
                    models.BinaryField(
                        db_comment="SHA-256 over kind, subject, book and state: what an approval binds"
                    ),
                ),
                (
                    "note",
                    models.CharField(
                        blank=True, db_comment="the maker's word to the checker", max_length=500
                    ),
                ),
                ("made_by", models.CharField(db_comment="the maker: usr_… or system:…", max_length=80)),
                ("at", models.DateTimeField(db_comment="when it was proposed, as the action was told")),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_comment="when it was written",
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                    ),
                ),
            ],
            options={
                "db_table": "identity_approval",
                "db_table_comment": "What one person proposes and another decides. Append-only.",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("kind", "subject", "number"), name="identity_approval_in_turn"
                    ),
                    models.UniqueConstraint(
                        fields=("id", "made_by", "digest"), name="identity_approval_named"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__regex", "^[a-z]+\\.[a-z][a-z_]*$")),
                        name="identity_approval_kind_form",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("subject", ""), _negated=True), models.Q(("made_by", ""), _negated=True)
                        ),
                        name="identity_approval_told",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ApprovalDecision",
            fields=[
                (
                    "approval",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="decision",
                        serialize=False,
                        to="identity.approval",
                    ),
                ),
                (
                    "outcome",
                    models.CharField(db_comment="approved, rejected, withdrawn or void", max_length=10),
                ),
                (
                    "made_by",
                    models.CharField(
                        db_comment="the proposal's maker, again: never the checker", max_length=80
                    ),
                ),
                ("digest", models.BinaryField(db_comment="the proposal's digest, again")),
                (
                    "seen_digest",
                    models.BinaryField(
                        db_comment="of the state the decider saw: approved, the same; void, another",
                        null=True,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("decided_by", models.CharField(db_comment="who decided: usr_… or system:…", max_length=80)),
                ("at", models.DateTimeField(db_comment="when it was decided, as the action was told")),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_comment="when it was written",
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                    ),
                ),
            ],
            options={
                "db_table": "identity_approval_decision",
                "db_table_comment": "How each proposal ended, decided by somebody other than its maker. Append-only.",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("outcome", "approved"),
                                ("seen_digest", models.F("digest")),
                                ("seen_digest__isnull", False),
                                models.Q(("decided_by", models.F("made_by")), _negated=True),
                            ),
                            models.Q(
                                ("outcome", "rejected"),
                                models.Q(("reason", ""), _negated=True),
                                models.Q(("decided_by", models.F("made_by")), _negated=True),
                            ),
                            models.Q(("decided_by", models.F("made_by")), ("outcome", "withdrawn")),
                            models.Q(
                                ("outcome", "void"),
                                ("seen_digest__isnull", False),
                                models.Q(("seen_digest", models.F("digest")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="identity_decision_by_another",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("decided_by", ""), _negated=True), name="identity_decision_told"
                    ),
                ],
            },
        ),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
    ]
