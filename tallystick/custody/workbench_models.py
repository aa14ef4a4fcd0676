"""The workbench in tables: a book's business days, cases of breaks, matches by hand, receipts, closed days.

Part of custody's vocabulary, on a page of its own. Everything here is appended and never changed: what
holds is the newest row, and the rows before it are the history.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from tallystick.custody.breaks import BreakKind

_KINDS = [str(kind) for kind in BreakKind]


class CaseStatus(models.TextChoices):
    """Where a case stands."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    RESOLVED = "resolved"


class CaseAct(models.TextChoices):
    """What happened to a case."""

    OPENED = "opened"
    CHANGED = "changed"
    TAKEN = "taken"
    NOTED = "noted"
    FIX_POSTED = "fix_posted"
    FIX_REFUSED = "fix_refused"
    MATCHED = "matched"
    UNMATCHED = "unmatched"
    RESOLVED = "resolved"
    REOPENED = "reopened"


class DayAct(models.TextChoices):
    """What happened to a day of a book."""

    CLOSED = "closed"
    REOPENED = "reopened"


class ReceiptAct(models.TextChoices):
    """What happened to money received that nobody was named for."""

    NOTED = "noted"
    TRACED = "traced"
    RETURNED = "returned"


class BookDays(models.Model):
    """How a book counts its days, and what may be settled without more ado. The newest row of a book holds."""

    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    calendar = models.CharField(max_length=16, db_comment="CN, CN-MARKET, GB, TARGET or WEEKENDS")
    cut_off = models.TimeField(db_comment="in the book's time zone: from then on it is the next business day")
    write_off_max_minor = models.BigIntegerField(
        db_comment="the most that a match by hand may leave over; 0: nothing"
    )
    break_age_max = models.SmallIntegerField(
        db_comment="business days a break may be old without an owner and a note when its day is closed"
    )
    receipt_age_max = models.SmallIntegerField(
        db_comment="business days money may lie in suspense before the alarm"
    )
    reason = models.CharField(max_length=500)
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_book_days"
        db_table_comment = "A book's calendar, cut-off and limits, each change with its reason. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=Q(write_off_max_minor__gte=0, break_age_max__gte=0, receipt_age_max__gte=0),
                name="custody_book_days_limits",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="custody_book_days_reason"),
        )
        indexes = (models.Index(fields=["book", "-id"], name="custody_book_days_latest"),)


class Case(models.Model):
    """The work on one difference, from the run that first found it to the one that no longer does."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as brk_ and this number")
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    bank_account = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    anchor = models.CharField(
        max_length=40, db_comment="the line it stands for in every run: line:…, position:… or opening"
    )
    day = models.DateField(db_comment="of that line: its age counts from here")
    opened_at = models.DateTimeField()

    class Meta:
        db_table = "custody_case"
        db_table_comment = (
            "A case for each difference; what it is and how it stands are its steps. Append-only."
        )
        constraints = (models.UniqueConstraint(fields=["bank_account", "anchor"], name="custody_case_once"),)
        indexes = (models.Index(fields=["book", "-id"], name="custody_case_of_book"),)


class CaseStep(models.Model):
    """A step of a case. Each row carries the whole state, so that the newest one is how the case stands."""

    id = models.BigAutoField(primary_key=True)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="steps")
    act = models.CharField(max_length=16, choices=CaseAct.choices)
    status = models.CharField(max_length=16, choices=CaseStatus.choices)
    owner = models.CharField(max_length=80, blank=True, db_comment="who works on it; empty: nobody yet")
    kind = models.CharField(max_length=20)
    effect_minor = models.BigIntegerField(db_comment="what it adds to the bank's total over the ledger's")
    reconciliation = models.ForeignKey(
        "custody.Reconciliation", on_delete=models.PROTECT, related_name="+", db_comment="last to find it"
    )
    break_number = models.IntegerField(db_comment="its number in that run")
    transfer = models.UUIDField(null=True, db_comment="the transfer this step posted, or had refused")
    note = models.CharField(max_length=1000, blank=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_case_step"
        db_table_comment = "Everything that happened to a case, and how it stood after. Append-only."
        constraints = (
            models.CheckConstraint(condition=Q(act__in=CaseAct.values), name="custody_case_step_act"),
            models.CheckConstraint(
                condition=Q(status__in=CaseStatus.values), name="custody_case_step_status"
            ),
            models.CheckConstraint(condition=Q(kind__in=_KINDS), name="custody_case_step_kind"),
        )
        indexes = (
            models.Index(fields=["case", "-id"], name="custody_case_step_latest"),
            models.Index(
                fields=["transfer"], name="custody_case_step_transfer", condition=Q(transfer__isnull=False)
            ),
        )


class CaseRun(models.Model):
    """A reconciliation whose breaks have been taken up. The primary key is the run: each is taken up once."""

    reconciliation = models.OneToOneField(
        "custody.Reconciliation", primary_key=True, on_delete=models.PROTECT, related_name="+"
    )
    is_newest = models.BooleanField(
        db_comment="whether no later one had been taken up: an older view of the account changes no case"
    )
    opened = models.IntegerField()
    changed = models.IntegerField()
    resolved = models.IntegerField()
    at = models.DateTimeField()

    class Meta:
        db_table = "custody_case_run"
        db_table_comment = "Which reconciliations the cases have followed. Append-only."


class ManualMatch(models.Model):
    """Lines of both sides that two people say are the same payment."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as mat_ and this number")
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    bank_account = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    write_off_minor = models.BigIntegerField(
        db_comment="what the bank's lines have over the ledger's: written off by the transfer beside it"
    )
    write_off_transfer = models.UUIDField(null=True)
    approval = models.OneToOneField("identity.Approval", on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500)
    proposed_by = models.CharField(max_length=80)
    approved_by = models.CharField(max_length=80)
    at = models.DateTimeField()

    class Meta:
        db_table = "custody_manual_match"
        db_table_comment = (
            "Matches by hand, each by two people; the reconciliation honours them. Append-only."
        )
        constraints = (
            models.CheckConstraint(
                condition=~Q(proposed_by=F("approved_by")), name="custody_manual_match_two_people"
            ),
            models.CheckConstraint(
                condition=Q(write_off_minor=0, write_off_transfer=None)
                | ~Q(write_off_minor=0) & Q(write_off_transfer__isnull=False),
                name="custody_manual_match_write_off",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="custody_manual_match_reason"),
        )
        indexes = (models.Index(fields=["bank_account", "-id"], name="custody_manual_match_latest"),)


class ManualMatchLine(models.Model):
    """A line of either side in a match by hand."""

    id = models.BigAutoField(primary_key=True)
    match = models.ForeignKey(ManualMatch, on_delete=models.PROTECT, related_name="lines")
    statement_line = models.ForeignKey(
        "custody.StatementLine",
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_column="statement_line",
    )
    position = models.BigIntegerField(null=True, db_comment="of the ledger line, in the match's book")
    amount_minor = models.BigIntegerField(db_comment="as it stood: positive where money came in")

    class Meta:
        db_table = "custody_manual_match_line"
        db_table_comment = "The lines of matches by hand; none is in two that stand. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=Q(statement_line=None, position__isnull=False)
                | Q(statement_line__isnull=False, position=None),
                name="custody_manual_match_line_side",
            ),
        )
        indexes = (models.Index(fields=["position"], name="custody_match_line_position"),)


class ManualMatchUndoing(models.Model):
    """The end of a match by hand. The primary key is the match, so there is no second end."""

    match = models.OneToOneField(
        ManualMatch, primary_key=True, on_delete=models.PROTECT, related_name="undoing"
    )
    approval = models.OneToOneField("identity.Approval", on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500)
    proposed_by = models.CharField(max_length=80)
    approved_by = models.CharField(max_length=80)
    at = models.DateTimeField()

    class Meta:
        db_table = "custody_manual_match_undoing"
        db_table_comment = "Matches by hand that were undone, each by two people. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=~Q(proposed_by=F("approved_by")), name="custody_manual_match_undoing_two"
            ),
        )


class ReceiptStep(models.Model):
    """What was done about a receipt in suspense. The newest row with a transfer says where the money went."""

    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    position = models.BigIntegerField(db_comment="of the transfer that took it into suspense")
    act = models.CharField(max_length=16, choices=ReceiptAct.choices)
    account = models.ForeignKey(
        "custody.Account", null=True, on_delete=models.PROTECT, related_name="+", db_comment="its owner's"
    )
    transfer = models.UUIDField(null=True, unique=True, db_comment="the transfer out of suspense")
    note = models.CharField(max_length=1000, db_comment="the reasons: why this owner, why back")
    approval = models.OneToOneField(
        "identity.Approval", null=True, on_delete=models.PROTECT, related_name="+"
    )
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_receipt_step"
        db_table_comment = "Unidentified receipts: what was found out, and where they went. Append-only."
        constraints = (
            models.CheckConstraint(condition=Q(act__in=ReceiptAct.values), name="custody_receipt_step_act"),
            models.CheckConstraint(
                condition=Q(act="noted", transfer=None) | ~Q(act="noted") & Q(transfer__isnull=False),
                name="custody_receipt_step_moved",
            ),
        )
        indexes = (models.Index(fields=["book", "position", "-id"], name="custody_receipt_step_latest"),)


class BookDay(models.Model):
    """A day of a book closed, or opened again. The newest row of a day says whether it is closed."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as day_ and this number")
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    day = models.DateField(db_comment="a business day of the book's calendar")
    number = models.SmallIntegerField(db_comment="1 when first closed, 2 when reopened, 3 when closed again")
    act = models.CharField(max_length=16, choices=DayAct.choices)
    position_from = models.BigIntegerField(db_comment="the first position of the day")
    position_to = models.BigIntegerField(db_comment="the last; one less than the first where it had none")
    sha256 = models.BinaryField(db_comment="over the day's transfers in order; see the manual of the close")
    calendar = models.CharField(max_length=16)
    cut_off_at = models.DateTimeField(
        db_comment="the moment of the cut-off: what was recorded by then counts"
    )
    checklist = models.TextField(db_comment="canonical JSON: what was looked at and what was found")
    approval = models.OneToOneField("identity.Approval", on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500, blank=True, db_comment="of a reopening")
    prepared_by = models.CharField(max_length=80)
    signed_by = models.CharField(max_length=80)
    at = models.DateTimeField()

    class Meta:
        db_table = "custody_book_day"
        db_table_comment = "Days closed and reopened, each by two people, with what they hold. Append-only."
        constraints = (
            models.UniqueConstraint(fields=["book", "day", "number"], name="custody_book_day_once"),
            models.CheckConstraint(condition=Q(act__in=DayAct.values), name="custody_book_day_act"),
            models.CheckConstraint(
                condition=~Q(prepared_by=F("signed_by")), name="custody_book_day_two_people"
            ),
            models.CheckConstraint(
                condition=Q(position_from__gte=1, position_to__gte=F("position_from") - 1),
                name="custody_book_day_positions",
            ),
            models.CheckConstraint(condition=Q(act="closed") | ~Q(reason=""), name="custody_book_day_reason"),
        )


class RolledItem(models.Model):
    """A break that was open when a day closed, and went on to the next."""

    id = models.BigAutoField(primary_key=True)
    book_day = models.ForeignKey(BookDay, on_delete=models.PROTECT, related_name="rolled")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=20)
    effect_minor = models.BigIntegerField()
    age_days = models.IntegerField(db_comment="in business days of the book's calendar, on that day")

    class Meta:
        db_table = "custody_rolled_item"
        db_table_comment = "What each closed day rolled to the next. Append-only."
        constraints = (models.UniqueConstraint(fields=["book_day", "case"], name="custody_rolled_item_once"),)
