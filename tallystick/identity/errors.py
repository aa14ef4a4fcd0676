"""Why identity refuses, in order of precedence."""

from tallystick.core.errors import Absence, Refusal


class AccessDenied(Refusal):
    """You are not allowed to do this ({permission})."""


class UsernameTaken(Refusal):
    """The user name {username} is taken."""


class CustomerNumberTaken(Refusal):
    """The customer number {customer_number} belongs to another user."""


class CustomerNumberMissing(Refusal):
    """A customer needs a customer number: it says which accounts are theirs."""


class OwnRole(Refusal):
    """Nobody changes their own roles; ask another administrator."""


class RoleHeld(Refusal):
    """This user already holds the role {role}."""


class RoleNotHeld(Refusal):
    """This user does not hold the role {role}."""


class RolesConflict(Refusal):
    """Nobody holds both {role} and {held}: one of them checks the other."""


class AdministratorExists(Refusal):
    """There is an administrator already; ask them for a role, or for a link to sign in."""


class LinkUnknown(Refusal):
    """This sign-in link is not one of ours. Ask for a new one."""


class LinkUsed(Refusal):
    """This sign-in link has been used; each works once. Ask for a new one."""


class LinkExpired(Refusal):
    """This sign-in link has expired. Ask for a new one."""


class ApiTokenUnknown(Refusal):
    """This API token is not one of ours."""


class ApiTokenRevoked(Refusal):
    """This API token has been revoked. Ask for a new one."""


class ApiTokenExpired(Refusal):
    """This API token has expired. Ask for a new one."""


class ApiTokenNotFound(Refusal):
    """There is no API token {token}."""


class ApiTokenAlreadyRevoked(Refusal):
    """The API token {token} has been revoked already."""


# ── of proposals and their approval, in order ─────────────────────────────────────────────────────────────


class ProposalMalformed(Refusal):
    """The proposal's {field} must be {expected}."""


class ProposalOpen(Refusal):
    """There is an open proposal for this already: {approval}. It is decided or withdrawn first."""


class ApprovalUnknown(Absence):
    """There is no proposal {approval}."""


class ProposalOfOtherKind(Refusal):
    """The proposal {approval} is about something else."""


class DeciderNotAPerson(Refusal):
    """A proposal is decided by a person, never by a process of the system."""


class OwnProposal(Refusal):
    """Whoever proposes does not decide: {approval} needs another person."""


class ProposalOfAnother(Refusal):
    """Only whoever proposed {approval} withdraws it; others may reject it."""


class ApprovalDecided(Refusal):
    """{approval} has been decided already: {outcome}."""


class ApprovalVoid(Refusal):
    """What {approval} was proposed for has changed since, so it is void: propose it again."""


# ── of the trail, in order ────────────────────────────────────────────────────────────────────────────────


class EntryUnknown(Absence):
    """There is no entry {entry} in the trail."""


class NothingToAcknowledge(Refusal):
    """The act {entry} needs nobody to acknowledge it."""


class OwnAct(Refusal):
    """Whoever did it does not acknowledge it: {entry} needs another person."""


class AlreadyAcknowledged(Refusal):
    """The act {entry} has been acknowledged already."""


class HoldUnknown(Absence):
    """There is no legal hold {hold} in force."""
