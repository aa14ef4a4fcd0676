"""Why identity refuses, in order of precedence."""

from tallystick.core.errors import Refusal


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
