"""Why custody refuses, in order of precedence: the first that holds is the answer.

`TRANSFER_REFUSALS` is the one ordered list: the judge, the manual and the tests follow it.
"""

from __future__ import annotations

from tallystick.core.errors import Absence, Refusal


class PostingStopped(Exception):
    """Posting has stopped: nothing was posted, nothing is lost. Not a refusal: try again later."""

    def __init__(self, state: str, detail: str) -> None:
        self.state = state
        """`disk_full`, `read_only`, `clock_stepped_back`, `database_unreachable` or `busy`."""
        self.detail = detail
        super().__init__(f"{state}: {detail}")


class OutcomeUnknown(PostingStopped):
    """The connection broke while the commit was on its way. Ask again with the same ids."""


# ── of one transfer, in order ────────────────────────────────────────────────────────────────────────────


class TransferRefusal(Refusal):
    """The transfer was refused."""


class IdUsedWithOtherContent(TransferRefusal):
    """This id was used before for a transfer with other content. Use a new id for a new transfer."""


class AmountOutOfRange(TransferRefusal):
    """The amount must be a whole number of minor units from 1 to 1000000000000000."""


class DebitAccountUnknown(TransferRefusal):
    """There is no such account to debit."""


class CreditAccountUnknown(TransferRefusal):
    """There is no such account to credit."""


class AccountsSame(TransferRefusal):
    """The debited and the credited account must differ."""


class BookDiffers(TransferRefusal):
    """Both accounts must be of the book that is posted to."""


class AssetDiffers(TransferRefusal):
    """Both accounts must hold the same asset; an exchange is a chain over position accounts."""


class PendingUnknown(TransferRefusal):
    """There is no pending transfer with this id in the book."""


class NotPending(TransferRefusal):
    """The transfer named is not a pending one."""


class PendingDiffers(TransferRefusal):
    """The accounts, code or authorisation given are not those of the pending transfer."""


class PendingAlreadyPosted(TransferRefusal):
    """The pending transfer has been posted already."""


class PendingAlreadyVoided(TransferRefusal):
    """The pending transfer has been voided already."""


class PendingExpired(TransferRefusal):
    """The pending transfer has expired."""


class PendingNotExpired(TransferRefusal):
    """The pending transfer has not expired yet."""


class AmountExceedsPending(TransferRefusal):
    """The amount is more than the pending transfer holds."""


class ExpiryPast(TransferRefusal):
    """The pending transfer would have expired already."""


class ReversedUnknown(TransferRefusal):
    """There is no transfer with this id to reverse."""


class NotReversible(TransferRefusal):
    """Only a posted transfer that is not itself a reversal can be reversed."""


class ReversalDiffers(TransferRefusal):
    """A reversal moves the same amount between the same two accounts, the other way."""


class AlreadyReversed(TransferRefusal):
    """The transfer has been reversed already."""


class ReasonMissing(TransferRefusal):
    """A reversal needs a reason."""


class BorderCrossed(TransferRefusal):
    """Client money and own money do not mix: only a fee on an entitlement crosses from client to own."""


class AccountClosed(TransferRefusal):
    """An account of this transfer is closed."""


class DebitsFrozen(TransferRefusal):
    """The debited account is frozen for debits."""


class CreditsFrozen(TransferRefusal):
    """The credited account is frozen for credits."""


class AuthorisationMissing(TransferRefusal):
    """A debit of a client account must name an authorisation by that client."""


class AuthorisationOutOfPlace(TransferRefusal):
    """Only a debit of a client account names an authorisation."""


class AuthorisationUnknown(TransferRefusal):
    """There is no such authorisation."""


class AuthorisationOfAnother(TransferRefusal):
    """The authorisation is not for this account."""


class AuthorisationWithdrawn(TransferRefusal):
    """The authorisation has been withdrawn."""


class AuthorisationNotYetValid(TransferRefusal):
    """The authorisation is not valid yet."""


class AuthorisationExpired(TransferRefusal):
    """The authorisation is no longer valid."""


class AuthorisationPayeeDiffers(TransferRefusal):
    """The authorisation names another payee."""


class AuthorisationCodeDiffers(TransferRefusal):
    """The authorisation is for another kind of transfer."""


class AuthorisationAmountDiffers(TransferRefusal):
    """The authorisation is for another amount."""


class AuthorisationConsumed(TransferRefusal):
    """The authorisation has been used as often, or for as much, as it allows."""


class NothingAvailable(TransferRefusal):
    """There is nothing to move: the balancing side has nothing available."""


class TurnoverTooLarge(TransferRefusal):
    """The account's total would pass 4611686018427387904 minor units."""


class InsufficientFunds(TransferRefusal):
    """The balance available, without what is held for pending transfers, is less than the amount."""


class CeilingExceeded(TransferRefusal):
    """The balance would pass the account's ceiling."""


class LinkedTransferRefused(TransferRefusal):
    """Another transfer of the same chain was refused, so none of the chain was posted."""


TRANSFER_REFUSALS: tuple[type[TransferRefusal], ...] = tuple(
    refusal
    for refusal in list(globals().values())
    if isinstance(refusal, type) and issubclass(refusal, TransferRefusal) and refusal is not TransferRefusal
)
"""In the order they are written above, which is the order in which they are looked for."""


# ── of everything else ───────────────────────────────────────────────────────────────────────────────────


class Malformed(Refusal):
    """{where}: {field} must be {expected}."""


class BatchEmpty(Refusal):
    """There is no transfer in this batch."""


class BatchTooLarge(Refusal):
    """A batch holds 1 to {most} transfers; this one has {given}. Send it in parts."""


class BookUnknown(Absence):
    """There is no book {book}."""


class BookExists(Refusal):
    """There is a book {book} already, or one with this name."""


class AssetUnknown(Refusal):
    """There is no asset {asset}. Define it first."""


class AssetExists(Refusal):
    """There is an asset {asset} already."""


class AccountUnknown(Absence):
    """There is no account {account}."""


class AccountReferenceTaken(Refusal):
    """The reference {reference} names another account of this book."""


class OwnerMissing(Refusal):
    """A client account needs an owner: the client's customer number."""


class StateUnchanged(Refusal):
    """The account is in this state already, with these limits."""


class StateFinal(Refusal):
    """A closed account stays closed."""


class BalanceNotZero(Refusal):
    """An account is closed when nothing is on it and nothing is held: {balance} minor units are left."""


class AuthorisationNotFound(Absence):
    """There is no authorisation {authorisation}."""


class AuthorisationAlreadyWithdrawn(Refusal):
    """The authorisation {authorisation} has been withdrawn already."""


class NotAClientAccount(Refusal):
    """{account} is not a client account: only clients authorise debits."""


class EntitlementOnly(Refusal):
    """Only an entitlement to a fee can name an own account as the payee."""


class SignatureMissing(Refusal):
    """An authorisation recorded for a client needs the client's signature; only a legal order does without."""


class SignatureWrong(Refusal):
    """The signature is not one of the client's registered keys over this statement."""


class SigningKeyTaken(Refusal):
    """This public key is registered already."""


class TransferNotFound(Absence):
    """There is no transfer {transfer}."""


class PositionUnknown(Absence):
    """Book {book} has no position {position}; its last is {last}."""


class TimeBeforeBook(Absence):
    """Book {book} was opened at {opened_at}; it has no state before."""


class OpeningDiffers(Refusal):
    """The opening balances do not agree with the trial balance: {differences}."""


class OpeningNotFirst(Refusal):
    """Opening balances come first: account {account} has transfers already."""


# ── of a bank's statements, in order ─────────────────────────────────────────────────────────────────────


class StatementFileUnknown(Absence):
    """There is no statement file {file}."""


class NotAControlAccount(Refusal):
    """{account} is not an external account: only a bank's control account has statements."""


class StatementFileMixed(Refusal):
    """This file holds statements of several accounts ({accounts}): ask the bank for a file an account."""


class ControlAccountUnknown(Refusal):
    """No external account of book {book} has the reference {account}: open one, or name the account."""


class CurrencyNotOfAccount(Refusal):
    """Line {line}: the statement is in {currency}, but {account} holds {asset}."""


class AccountNotOfStatement(Refusal):
    """The statement is of {found}, but {account} belongs to {expected}."""


class BalancesMissing(Refusal):
    """Line {line}: the statement gives no opening and closing balance, so nothing proves it whole."""


class StatementUndated(Refusal):
    """Line {line}: the statement names no day, and has no entry that does."""


class StatementConflict(Refusal):
    """Line {line}: statement {statement} was imported from {file} before, and says other things there."""


class NothingToReconcile(Refusal):
    """No statement of {account} is held that ends by {to}: import one first."""


class StatementsDoNotJoin(Refusal):
    """A statement is missing between {before} and {after}: they differ by {difference_minor} minor units."""


class ReconciliationUnknown(Absence):
    """There is no reconciliation {reconciliation}."""


# ── of liquidity ─────────────────────────────────────────────────────────────────────────────────────────


class HistoryTooShort(Refusal):
    """A forecast needs {least} days of flows; there are {days}."""


class NoLiquidity(Refusal):
    """Nothing is held in {asset} in book {book}: there is nothing to assess."""


class AssessmentUnknown(Absence):
    """There is no liquidity assessment {assessment}."""


# ── of currencies and corridors, in order ────────────────────────────────────────────────────────────────


class RateUnknown(Refusal):
    """No rate of {base} in {quoted} has been recorded as of {at}. Record one with its source."""


class RateStale(Refusal):
    """The last rate of {base} in {quoted} is of {as_of}, older than {minutes} minutes: record a newer one."""


class RateAhead(Refusal):
    """The rate is of {as_of}, which is still to come."""


class CorridorUnknown(Refusal):
    """No rule opens the corridor from {from_country} in {sold} to {to_country} in {bought}."""


class CorridorBlocked(Refusal):
    """The corridor from {from_country} in {sold} to {to_country} in {bought} is blocked: {reason}."""


class CorridorTransferLimit(Refusal):
    """The corridor takes at most {limit} {sold} at a time: {reason}."""


class CorridorPeriodLimit(Refusal):
    """The corridor takes at most {limit} {sold} of a client in {days} days; {used} are used: {reason}."""


class PositionAccountMissing(Refusal):
    """Book {book} has no position account {reference}: open an external account with this reference."""


class QuoteUnknown(Absence):
    """There is no quote {quote}."""


class QuoteExpired(Refusal):
    """The quote {quote} was valid until {valid_until}. Ask for a new one."""


class QuoteTaken(Refusal):
    """The quote {quote} has been agreed to already."""


class QuoteNotPosted(Refusal):
    """The exchange {quote} has not been posted: there is nothing to settle."""


class QuoteClosed(Refusal):
    """The exchange {quote} has been settled, or has failed, already."""


# ── of deposits and of who holds an account ──────────────────────────────────────────────────────────────


class AnnouncementsTooMany(Refusal):
    """{most} announced deposits have not arrived yet: wait for one of them, or for its last day to pass."""


class AccountDormant(Refusal):
    """This account sleeps: nothing has been done on it for long. Its holder wakes it, then money can leave."""


class AccountOfDeceased(Refusal):
    """A holder of this account has died: until the estate is settled, no money leaves it."""


class EstateOnly(Refusal):
    """From the account of an estate, money leaves only by a withdrawal that its representative orders."""


class ConditionHolds(Refusal):
    """This account is {condition}: end that first, then its freeze ends with it."""


class ConditionNotFrom(Refusal):
    """The account is {condition}; it cannot become {wanted} from there."""


class HoldersMissing(Refusal):
    """This account needs the word of all its holders: {missing} of them have not agreed to exactly this yet."""


class MayNotSign(Refusal):
    """You hold this account, but others sign for it: ask {who}."""


class ConsentUnknown(Refusal):
    """There is no consent {consent}."""


class StatementTooLong(Refusal):
    """This time has more than {most} lines: choose a shorter one for PDF, or take the CSV file."""


class PeriodUnreadable(Refusal):
    """The first day must not lie after the last one, and both must be days of the book."""


# ── of the workbench, in order ───────────────────────────────────────────────────────────────────────────


class CaseUnknown(Absence):
    """There is no case {case}."""


class CaseResolved(Refusal):
    """The case {case} is resolved: the last reconciliation no longer finds it."""


class NothingToPost(Refusal):
    """No transfer is proposed for the case {case}: its kind settles itself, or its fix is posted."""


class FixChanged(Refusal):
    """What is proposed for the case {case} is no longer what was shown: look again."""


class MatchLineUnknown(Refusal):
    """{named} is no open line of {account}: it is matched already, or was never there."""


class MatchOneSided(Refusal):
    """A match needs lines of both sides."""


class MatchTooLarge(Refusal):
    """A match by hand has at most {most} lines."""


class MatchDoesNotAgree(Refusal):
    """The sides differ by {difference_minor} minor units; this book writes off at most {most_minor}."""


class MatchLineProposed(Refusal):
    """{line} is in a match that waits for approval ({approval})."""


class ManualMatchUnknown(Absence):
    """There is no match by hand {match}."""


class ManualMatchUndone(Refusal):
    """The match by hand {match} was undone already."""


class WriteOffAccountMissing(Refusal):
    """Book {book} has no account to write off {asset} to: open an own account, and one for suspense."""


class ReceiptUnknown(Absence):
    """There is no unidentified receipt {receipt}."""


class ReceiptSettled(Refusal):
    """The receipt {receipt} has left suspense already."""


class NotAnOwner(Refusal):
    """{account} is no client account of {asset} in this book that takes credits."""


class DayNotBusiness(Refusal):
    """{day} is no business day of the calendar {calendar}."""


class DayNotOver(Refusal):
    """The day {day} ends at {cut_off}: close it after that."""


class DayClosed(Refusal):
    """The day {day} of book {book} is closed already."""


class DayNotClosed(Refusal):
    """The day {day} of book {book} is not closed."""


class DayOutOfOrder(Refusal):
    """Days close in order: next is {next}, not {day}."""


class DayNotLast(Refusal):
    """Only the last closed day, {last}, can be opened again."""


class DayNotReady(Refusal):
    """The day {day} cannot be closed: {failing}."""


# ── of safeguarding ──────────────────────────────────────────────────────────────────────────────────────


class ExternalOnly(Refusal):
    """{account} is not an external account: only those lie at an institution."""


class ContactUnknown(Refusal):
    """No contact {role}, {name} is kept."""


class ProofUnknown(Absence):
    """There is no safeguarding proof {proof}."""


class ProofSuperseded(Refusal):
    """Proof {proof} has been superseded by {newest}, which is of the same day: look at that one."""


class SignOffMissing(Refusal):
    """Nobody has signed {proof} as the first of two yet."""


# ── of solvency ──────────────────────────────────────────────────────────────────────────────────────────


class SolvencyStatementUnknown(Absence):
    """There is no statement of solvency {statement}."""


class TreeUnknown(Absence):
    """The statement {statement} has no tree of {asset}."""


class SolvencyStatementMalformed(Refusal):
    """This is no statement of solvency in its one spelling."""


class TreeKeyUnsealable(Refusal):
    """The tree's key was sealed under a secret that this installation no longer has."""


class TooManyAssets(Refusal):
    """Clients hold {assets} assets in this book; a statement has {most} at most."""


class TooManyToRebuild(Refusal):
    """{transfers} transfers are too many to rebuild while you wait ({most}): `tallystick ledger audit` does it."""


class PayerNotShown(Refusal):
    """The receipt of this payment would name whoever paid: the regulator can see it, and check it for you."""


class RecipientUnnamed(Refusal):
    """Say in 1 to 120 characters to whom this is handed over: it holds every client's balance."""


class ProposalUnknown(Refusal):
    """Proof {proof} proposes no transfer {number}."""


# ── of payouts, in order ─────────────────────────────────────────────────────────────────────────────────


class BankAccountUnknown(Absence):
    """There is no bank account {bank_account}."""


class BankAccountClosed(Refusal):
    """The bank account {bank_account} is no longer in use."""


class BankAccountBound(Refusal):
    """This account is one of the client's already: {bank_account}."""


class BankAccountChanged(Refusal):
    """The bank account {bank_account} has been changed meanwhile: look at it again."""


class BankAccountOwnEntry(Refusal):
    """Whoever entered the details of {bank_account}, or owns it, does not verify it."""


class PayoutTermsMissing(Refusal):
    """Book {book} has no payout terms for this asset: one person proposes them, another approves."""


class NoticeNotCurrent(Refusal):
    """The notice has changed: version {version} is the one to read."""


class NoticeNotAcknowledged(Refusal):
    """Before a payout is ordered, the client reads the notice: version {version}."""


class PayoutRequestDiffers(Refusal):
    """The request {request_key} was used before for another payout. Use a new one for a new payout."""


class BankAccountOfAnother(Refusal):
    """The bank account {bank_account} is not of the owner of {account}."""


class BankAccountUnverified(Refusal):
    """The bank account {bank_account} has not been verified yet."""


class CoolingOff(Refusal):
    """Payouts to {bank_account} wait until {until}: its details are new."""


class AuthorisationUnfit(Refusal):
    """The authorisation {authorisation} is not for this payout."""


class PayoutUnknown(Absence):
    """There is no payout {payout}."""


class PayoutNotPending(Refusal):
    """The payout {payout} does not wait for release: it is {status}."""


class BankDetailsChanged(Refusal):
    """The bank details that {payout} was ordered for have been changed since: it is not released."""


class DayLimitReached(Refusal):
    """{left} {asset} are left of what book {book} may pay out today: {payout} is more, and waits for another day."""


class OwnMoney(Refusal):
    """Nobody releases their own money: {payout} needs another person."""


class NothingToBatch(Refusal):
    """No released payout waits for a batch."""


class PayoutBatchUnknown(Absence):
    """There is no payout batch {batch}."""


class NotAPayoutReport(Refusal):
    """This file is no answer to a payout batch (pain.002): it is {format}."""


class PayoutReportOfAnother(Refusal):
    """Line {line}: the file answers {message_id}, which is no batch of book {book}."""


class PayoutReportPayoutUnknown(Refusal):
    """Line {line}: {end_to_end_id} is no payout of {batch}."""


class PayoutReportAmountDiffers(Refusal):
    """Line {line}: the file says {found_minor} minor units for {payout}, which is of {expected_minor}."""
