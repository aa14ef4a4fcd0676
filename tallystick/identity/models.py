"""Identity's vocabulary: users, changes of their roles, links that sign them in once, API tokens, approvals.

All but users are append-only: the app may insert and read them, and nobody may update or delete (the
migrations say so to PostgreSQL).
"""

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower, Now

from tallystick.identity.roles import GRANTABLE


class User(AbstractBaseUser):
    """A person who can sign in. What they may do is in their role changes, never here."""

    id = models.BigAutoField(primary_key=True)
    username = models.CharField(
        max_length=150,
        unique=True,
        validators=(RegexValidator(r"^[\w.@+-]+\Z"),),
        db_comment="what the person types to sign in",
    )
    name = models.CharField(max_length=200, db_comment="as shown on pages; never in logs or events")
    email = models.EmailField(blank=True, default="")
    customer_number = models.CharField(
        max_length=64,
        null=True,
        blank=True,
        unique=True,
        db_comment="the client this person is: what custody accounts name as their owner",
    )
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_comment="when the account was made, as the action was told")

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    objects = BaseUserManager()

    class Meta:
        db_table = "identity_user"
        db_table_comment = "People who can sign in."
        constraints = (
            models.UniqueConstraint(
                Lower("email"), condition=~models.Q(email=""), name="identity_user_email_one_person"
            ),
            models.CheckConstraint(
                condition=~models.Q(customer_number=""), name="identity_user_customer_number_form"
            ),
        )

    def __str__(self) -> str:
        return self.name or self.username

    @property
    def reference(self) -> str:
        """The user's id as shown outside and in events."""
        return f"usr_{self.pk}"

    def get_full_name(self) -> str:
        return self.name

    def get_short_name(self) -> str:
        return self.name


class RoleChange(models.Model):
    """A role granted or withdrawn. The last change of a user's role says whether they hold it."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="role_changes")
    role = models.CharField(max_length=32)
    held = models.BooleanField(db_comment="true: granted; false: withdrawn")
    reason = models.CharField(max_length=400)
    actor = models.CharField(max_length=80, db_comment="who changed it: usr_… or system:…")
    at = models.DateTimeField(db_comment="when it was changed, as the action was told")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False, db_comment="when it was written")

    class Meta:
        db_table = "identity_role_change"
        db_table_comment = "Who was given or lost which role, when, by whom and why. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=models.Q(role__in=sorted(role.value for role in GRANTABLE)),
                name="identity_role_change_role_known",
            ),
            models.CheckConstraint(condition=~models.Q(reason=""), name="identity_role_change_reason_given"),
        )
        indexes = (models.Index(fields=["user", "role", "-id"], name="identity_role_change_last"),)


class SignInLink(models.Model):
    """A link that signs one person in once. Only its token's hash is kept."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="sign_in_links")
    token_hash = models.BinaryField(
        unique=True, db_comment="SHA-256 of the token: reading this table signs nobody in"
    )
    actor = models.CharField(max_length=80, db_comment="who issued it: usr_… or system:…")
    at = models.DateTimeField(db_comment="when it was issued")
    expires_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now(), editable=False, db_comment="when it was written")

    class Meta:
        db_table = "identity_sign_in_link"
        db_table_comment = "Short-lived links that sign one person in once. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("at")), name="identity_link_ends_later"
            ),
        )


class SignInLinkUse(models.Model):
    """That a link was used. The primary key is the link, so there is no second use."""

    link = models.OneToOneField(SignInLink, primary_key=True, on_delete=models.PROTECT, related_name="use")
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now(), editable=False, db_comment="when it was written")

    class Meta:
        db_table = "identity_sign_in_link_use"
        db_table_comment = "A sign-in link that was used. Append-only."


class ApiToken(models.Model):
    """A token with which a program acts as one person. Only its hash is kept."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="api_tokens")
    name = models.CharField(max_length=80, db_comment="what the token is for, in its issuer's words")
    token_hash = models.BinaryField(
        unique=True, db_comment="SHA-256 of the token: reading this table lets nobody in"
    )
    roles = ArrayField(
        models.CharField(max_length=32),
        null=True,
        db_comment="the user's roles it may use; null: whatever the user holds at the time of a request",
    )
    actor = models.CharField(max_length=80, db_comment="who issued it: usr_… or system:…")
    at = models.DateTimeField(db_comment="when it was issued")
    expires_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now(), editable=False, db_comment="when it was written")

    class Meta:
        db_table = "identity_api_token"
        db_table_comment = "Tokens with which programs act as a person. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("at")), name="identity_api_token_ends_later"
            ),
            models.CheckConstraint(condition=~models.Q(name=""), name="identity_api_token_named"),
        )
        indexes = (models.Index(fields=["user", "-id"], name="identity_api_token_of_user"),)

    @property
    def reference(self) -> str:
        """The token's id as shown outside and in events. It is not the token."""
        return f"tok_{self.pk}"


class ApiTokenRevocation(models.Model):
    """The end of a token before its time. The primary key is the token, so there is no second end."""

    token = models.OneToOneField(
        ApiToken, primary_key=True, on_delete=models.PROTECT, related_name="revocation"
    )
    reason = models.CharField(max_length=400)
    actor = models.CharField(max_length=80, db_comment="who revoked it: usr_… or system:…")
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now(), editable=False, db_comment="when it was written")

    class Meta:
        db_table = "identity_api_token_revocation"
        db_table_comment = "Tokens that were revoked, with the reason. Append-only."


class Approval(models.Model):
    """A proposal that another person is to decide on, bound to the state it was made for."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as apr_ and this number")
    kind = models.CharField(max_length=80, db_comment="what is proposed: a row of approvals.KINDS")
    subject = models.CharField(max_length=200, db_comment="what it is proposed for, by its id outside")
    book = models.IntegerField(null=True, db_comment="the book it is about, where it is about one")
    number = models.IntegerField(db_comment="the how many-th proposal of this kind for this subject, from 1")
    state = models.TextField(db_comment="canonical JSON (RFC 8785) of what is to be approved")
    digest = models.BinaryField(
        db_comment="SHA-256 over kind, subject, book and state: what an approval binds"
    )
    note = models.CharField(max_length=500, blank=True, db_comment="the maker's word to the checker")
    made_by = models.CharField(max_length=80, db_comment="the maker: usr_… or system:…")
    at = models.DateTimeField(db_comment="when it was proposed, as the action was told")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False, db_comment="when it was written")

    class Meta:
        db_table = "identity_approval"
        db_table_comment = "What one person proposes and another decides. Append-only."
        constraints = (
            # Two proposals at once would have one number; and a second comes only after the first was
            # decided (the trigger of migration 0004). So there is one open proposal at most.
            models.UniqueConstraint(fields=["kind", "subject", "number"], name="identity_approval_in_turn"),
            # What a decision names again, so that its row constraints can compare both.
            models.UniqueConstraint(fields=["id", "made_by", "digest"], name="identity_approval_named"),
            models.CheckConstraint(
                condition=models.Q(kind__regex=r"^[a-z]+\.[a-z][a-z_]*$"), name="identity_approval_kind_form"
            ),
            models.CheckConstraint(
                condition=~models.Q(subject="") & ~models.Q(made_by=""), name="identity_approval_told"
            ),
        )


class ApprovalDecision(models.Model):
    """How a proposal ended. The primary key is the proposal, so there is no second end."""

    approval = models.OneToOneField(
        Approval, primary_key=True, on_delete=models.PROTECT, related_name="decision"
    )
    outcome = models.CharField(max_length=10, db_comment="approved, rejected, withdrawn or void")
    made_by = models.CharField(max_length=80, db_comment="the proposal's maker, again: never the checker")
    digest = models.BinaryField(db_comment="the proposal's digest, again")
    seen_digest = models.BinaryField(
        null=True, db_comment="of the state the decider saw: approved, the same; void, another"
    )
    reason = models.CharField(max_length=500, blank=True)
    decided_by = models.CharField(max_length=80, db_comment="who decided: usr_… or system:…")
    at = models.DateTimeField(db_comment="when it was decided, as the action was told")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False, db_comment="when it was written")

    class Meta:
        db_table = "identity_approval_decision"
        db_table_comment = "How each proposal ended, decided by somebody other than its maker. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=(
                    models.Q(outcome="approved", seen_digest__isnull=False, seen_digest=models.F("digest"))
                    & ~models.Q(decided_by=models.F("made_by"))
                )
                | (
                    models.Q(outcome="rejected")
                    & ~models.Q(reason="")
                    & ~models.Q(decided_by=models.F("made_by"))
                )
                | models.Q(outcome="withdrawn", decided_by=models.F("made_by"))
                | (
                    models.Q(outcome="void", seen_digest__isnull=False)
                    & ~models.Q(seen_digest=models.F("digest"))
                ),
                name="identity_decision_by_another",
            ),
            models.CheckConstraint(condition=~models.Q(decided_by=""), name="identity_decision_told"),
        )
