"""Safeguarding in tables: what each bank account is for, own money left in on purpose, contacts, proofs, packs.

Part of custody's vocabulary, on a page of its own. Everything here is appended and never changed; where
something is declared, the newest row holds.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q


class SafeguardingAccount(models.Model):
    """What an external account is for, and at which institution it is held."""

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    role = models.CharField(
        max_length=16, db_comment="safeguarding, channel, own_funds, exchange or other: custody.safeguarding"
    )
    institution = models.CharField(max_length=140, blank=True, db_comment="who holds it")
    country = models.CharField(max_length=2, blank=True, db_comment="of the institution, ISO 3166")
    number = models.CharField(max_length=64, blank=True, db_comment="IBAN or the institution's own")
    agreement = models.CharField(
        max_length=200, blank=True, db_comment="custody contract or acknowledgement letter, and its date"
    )
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_safeguarding_account"
        db_table_comment = "What external accounts are for; the newest row of an account holds. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=Q(role__in=("safeguarding", "channel", "own_funds", "exchange", "other")),
                name="custody_safeguarding_role",
            ),
            models.CheckConstraint(
                condition=~Q(role="safeguarding") | ~Q(institution="") & ~Q(number=""),
                name="custody_safeguarding_held_somewhere",
            ),
        )
        indexes = (models.Index(fields=["account", "-id"], name="custody_safeguarding_newest"),)


class PrudentSegregation(models.Model):
    """Own money that is left with clients' money on purpose: from then on it is part of the requirement."""

    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    asset = models.ForeignKey("custody.Asset", on_delete=models.PROTECT, related_name="+")
    amount_minor = models.BigIntegerField(db_comment="0 ends it")
    reason = models.CharField(max_length=500, db_comment="the risk it is for, and the policy it rests on")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_prudent_segregation"
        db_table_comment = "Own money segregated prudently; the newest row of an asset holds. Append-only."
        constraints = (
            models.CheckConstraint(condition=Q(amount_minor__gte=0), name="custody_prudent_some"),
            models.CheckConstraint(condition=~Q(reason=""), name="custody_prudent_reason"),
        )
        indexes = (models.Index(fields=["book", "asset", "-id"], name="custody_prudent_newest"),)


class BookContact(models.Model):
    """Whom to turn to about a book: kept ready for the day when nobody is there to ask."""

    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=64, db_comment="such as safeguarding officer, custodian, auditor")
    name = models.CharField(max_length=140)
    organisation = models.CharField(max_length=140, blank=True)
    telephone = models.CharField(max_length=40, blank=True)
    email = models.CharField(max_length=254, blank=True)
    address = models.CharField(max_length=300, blank=True)
    is_current = models.BooleanField(db_comment="false: this row ends the one before it")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_book_contact"
        db_table_comment = "Contacts of a book; the newest row of a role and name holds. Append-only."
        constraints = (
            models.CheckConstraint(condition=~Q(role="") & ~Q(name=""), name="custody_contact_named"),
        )
        indexes = (models.Index(fields=["book", "role", "name", "-id"], name="custody_contact_newest"),)


class SafeguardingProof(models.Model):
    """The segregation proof of one day: one link of the book's chain."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as sgp_ and this number")
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    number = models.IntegerField(db_comment="from 1, without a gap: its place in the book's chain")
    day = models.DateField(db_comment="the day of the book at whose close it stands")
    position = models.BigIntegerField(db_comment="the book's last position at that close")
    result = models.CharField(max_length=12, db_comment="the worst of its findings")
    header = models.TextField(db_comment="canonical JSON of everything but the accounts: the bytes of digest")
    accounts = models.IntegerField(db_comment="accounts that were not at zero: read again from the ledger")
    accounts_digest = models.BinaryField(db_comment="SHA-256 over their lines, also in the header")
    previous_digest = models.BinaryField(
        null=True, db_comment="of the proof before it; nothing for the first"
    )
    digest = models.BinaryField(unique=True, db_comment="SHA-256 over the header")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_safeguarding_proof"
        db_table_comment = "Daily segregation proofs, each chained to the one before. Append-only."
        constraints = (
            models.UniqueConstraint(fields=["book", "number"], name="custody_proof_in_turn"),
            models.CheckConstraint(
                condition=Q(number=1, previous_digest=None) | Q(number__gt=1, previous_digest__isnull=False),
                name="custody_proof_chained",
            ),
            models.CheckConstraint(
                condition=Q(result__in=("compliant", "breach", "undetermined")), name="custody_proof_result"
            ),
        )
        indexes = (models.Index(fields=["book", "day", "-number"], name="custody_proof_of_day"),)


class SafeguardingPosition(models.Model):
    """One asset of a proof: the figures that a chart over many days is drawn from."""

    pk = models.CompositePrimaryKey("proof_id", "asset_id")
    proof = models.ForeignKey(SafeguardingProof, on_delete=models.PROTECT, related_name="positions")
    asset = models.ForeignKey("custody.Asset", on_delete=models.PROTECT, related_name="+")
    owed_minor = models.BigIntegerField(db_comment="to clients, each at least 0")
    unallocated_minor = models.BigIntegerField(db_comment="in suspense: somebody's, or between two")
    prudent_minor = models.BigIntegerField()
    requirement_minor = models.BigIntegerField()
    ledger_resource_minor = models.BigIntegerField(
        db_comment="in safeguarding accounts, as the ledger has it"
    )
    custodian_resource_minor = models.BigIntegerField(
        null=True, db_comment="as the custodians' statements close; null: not known for every account"
    )
    shortfall_minor = models.BigIntegerField()
    excess_minor = models.BigIntegerField()

    class Meta:
        db_table = "custody_safeguarding_position"
        db_table_comment = "What a proof says of each asset, in minor units. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=Q(
                    requirement_minor=F("owed_minor") + F("unallocated_minor") + F("prudent_minor"),
                    owed_minor__gte=0,
                    unallocated_minor__gte=0,
                    prudent_minor__gte=0,
                ),
                name="custody_position_required",
            ),
            models.CheckConstraint(
                condition=Q(shortfall_minor__gte=0, excess_minor=0)
                | Q(shortfall_minor=0, excess_minor__gte=0),
                name="custody_position_one_side",
            ),
        )


class ResolutionPack(models.Model):
    """That a resolution pack was built: of which state, by whom, and what its manifest hashes to."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as rsp_ and this number")
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    position = models.BigIntegerField()
    files = models.IntegerField()
    clients = models.IntegerField()
    accounts = models.IntegerField()
    bytes = models.BigIntegerField(db_comment="of the ZIP")
    manifest_sha256 = models.BinaryField(db_comment="of manifest.json, which has every other file's")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_resolution_pack"
        db_table_comment = "Resolution packs that were built; the packs themselves are not kept. Append-only."
        indexes = (models.Index(fields=["book", "-id"], name="custody_pack_of_book"),)
