"""Why evidence refuses, in order of precedence.

The first is a fault of the caller, never of a user. The rest say why something that claims to be
evidence is not believed: they are told to whoever checks it.
"""

from tallystick.core.errors import Absence, Refusal


class NotCanonical(ValueError):
    """A payload holds what has no single spelling: a float, a large number, a date, a key not ASCII."""


# ── of keys and signed notes ──────────────────────────────────────────────────────────────────────────────


class KeyMalformed(Refusal):
    """This is not a key: {reason}."""


class KeyTypeUnknown(Refusal):
    """The key {name} signs in a way that is not known here (type {algorithm})."""


class NoteMalformed(Refusal):
    """This is not a signed note: {reason}."""


class SignatureWrong(Refusal):
    """The signature of {name} does not fit the text: it was changed after it was signed, or forged."""


class SignatureMissing(Refusal):
    """Nobody who was expected to sign this did: {names}."""


# ── of the logs of this installation ──────────────────────────────────────────────────────────────────────


class LogUnopened(Absence):
    """The logs of this installation are not open yet: `tallystick evidence seal` opens them."""


class KeyUnsealable(Refusal):
    """A key of {origin} cannot be opened: it was sealed under another secret (TALLYSTICK_SECRET_KEY)."""


class LogDamaged(Refusal):
    """What is stored of {origin} does not lead to its checkpoint of {size} entries: `tallystick evidence fsck` says why."""


class LogBehind(Refusal):
    """{origin} has published {published} entries and the tables hold {size}: an older state, not sealed on."""


class CheckpointUnknown(Absence):
    """There is no checkpoint of {size} entries."""


class EntryUnknown(Absence):
    """There is no entry {index} in a log of {size} entries."""


class NotSealedYet(Absence):
    """This is not sealed yet: it will be within seconds. Ask again."""


# ── of checkpoints and policies ───────────────────────────────────────────────────────────────────────────


class CheckpointMalformed(Refusal):
    """This is not a checkpoint: {reason}."""


class OriginDiffers(Refusal):
    """This is a checkpoint of the log {given}, not of {expected}."""


class PolicyMalformed(Refusal):
    """Line {line} of the policy cannot be used: {reason}."""


class LogUnknown(Refusal):
    """The log {origin} is none that the policy trusts, or its signature is missing."""


class QuorumMissing(Refusal):
    """Too few witnesses have cosigned: {quorum} is asked for, and there is only: {seen}."""


# ── of witnesses ──────────────────────────────────────────────────────────────────────────────────────────


class WitnessUnmade(Refusal):
    """There is no witness in {folder} yet: a new one needs a name."""


class WitnessNameDiffers(Refusal):
    """The witness in {folder} is called {kept}, not {given}: a key keeps its name for ever."""


class WitnessKeyExposed(Refusal):
    """Others than its owner may read the key {path}: whoever has it signs as this witness.
    Allow nobody else (chmod 600)."""


class WitnessStateMissing(Refusal):
    """The key in {folder} has no memory of what it signed, and must not sign again: it could sign a second history.
    Replace this witness by a new one in an empty folder."""


class WitnessStateDamaged(Refusal):
    """What the witness in {folder} remembers is not what it signed: {reason}.
    Replace this witness by a new one in an empty folder."""


# ── of tiles and proofs ───────────────────────────────────────────────────────────────────────────────────


class TileMalformed(Refusal):
    """{path} is not a piece of this log: {reason}."""


class EntryTooLong(Refusal):
    """An entry has at most {most} bytes; this one has {length}."""


class ProofMalformed(Refusal):
    """This is not a proof of inclusion: {reason}."""


class ProofRefused(Refusal):
    """The proof does not hold."""


class IndexOutsideTree(ProofRefused):
    """Entry {index} is not in a log of {size} entries."""


class TreeShrank(ProofRefused):
    """A log of {new_size} entries cannot have grown out of one of {old_size}."""


class NothingProved(ProofRefused):
    """Every log begins as an empty one does: that proves nothing."""


class ProofLengthWrong(ProofRefused):
    """The proof has {given} hashes and needs {needed}: some were taken away or added."""


class HashLengthWrong(ProofRefused):
    """A hash of the proof does not have {bytes} bytes."""


class OldRootDiffers(ProofRefused):
    """The log of {old_size} entries that was seen earlier is not how this one begins: history was changed."""


class RootDiffers(ProofRefused):
    """The proof leads to another root than the signed one: entry, place or proof was changed."""


# ── of proofs of liabilities, in the order in which they are checked ──────────────────────────────────────


class LiabilityProofRefused(Refusal):
    """The proof of liabilities does not hold."""


class LiabilityProofMalformed(LiabilityProofRefused):
    """This is not a proof of liabilities: {reason}."""


class ProfileUnknown(LiabilityProofRefused):
    """The proof is made by rules that are not known here: {profile}."""


class TreeShapeWrong(LiabilityProofRefused):
    """{customers} accounts in {fragments} parts make {leaves} leaves and {height} levels; the proof says otherwise."""


class AnotherTree(LiabilityProofRefused):
    """The proof is of another tree than the published one: of another day, or of a tree made for you alone."""


class AccountDiffers(LiabilityProofRefused):
    """The proof is of another account than yours: the same leaf may have been shown to somebody else too."""


class FragmentsIncomplete(LiabilityProofRefused):
    """A balance has {needed} parts, each at a place of its own; the proof shows {given}."""


class AmountNegative(LiabilityProofRefused):
    """The proof holds a negative amount ({amount}): that would hide what others are owed."""


class IndexOutsideLeaves(LiabilityProofRefused):
    """There is no leaf {index} in a tree of {leaves}."""


class PathLengthWrong(LiabilityProofRefused):
    """The path has {given} levels and needs {needed}: some were taken away or added."""


class SumTooLarge(LiabilityProofRefused):
    """A sum at level {level} is larger than any can be: it was made to run over."""


class PaddingAltered(LiabilityProofRefused):
    """What fills the tree up at level {level} is not empty, as it must be."""


class ChildrenSwapped(LiabilityProofRefused):
    """Left and right were exchanged at level {level}: the leaf is not where the proof says."""


class SumsNotBound(LiabilityProofRefused):
    """The tree hashes the sum of two children and not each one's own: a part of it can count for less than it holds."""


class LiabilitiesRootDiffers(LiabilityProofRefused):
    """The proof leads to another root than the published one: account, amount, place or path was changed."""


class TotalDiffers(LiabilityProofRefused):
    """The published total is {total}, and the tree comes to {sum}."""


class BalanceDiffers(LiabilityProofRefused):
    """The proof counts {counted} as owed to you, not {balance}."""


# ── of snapshots and the trees made of them ───────────────────────────────────────────────────────────────


class SnapshotMalformed(Refusal):
    """This is not a snapshot of balances: {reason}."""


class AmountOutsideTree(Refusal):
    """An account cannot be owed {amount}: a balance in the tree is a whole number from 0 to 2^64 - 1."""


class AccountTwice(Refusal):
    """The account {account} is in the snapshot twice: two customers would be shown one leaf."""


class AccountNotInTree(Refusal):
    """The account is not in the tree: what its customer is owed was not counted."""


class RebuildDiffers(Refusal):
    """The tree made of this snapshot is not the published one: {member} is {found}, and {published} was published."""


# ── of files that somebody was given, in the order in which they are checked ──────────────────────────────


class FileUnknown(Refusal):
    """This is none of the files that can be checked: no checkpoint, proof, receipt or saved page."""


class PolicyMissing(Refusal):
    """Nobody has said whose signatures count: checking needs a policy."""


class EntryMissing(Refusal):
    """The entry that the proof is of is not here: it lies beside the proof, under its name without the ending."""


class ReceiptMalformed(Refusal):
    """This is not a receipt: {reason}."""


class PayloadDiffers(Refusal):
    """What the receipt shows is not what was entered in the log: one of them was changed."""


class ItemDiffers(Refusal):
    """What the receipt shows is not among the things that were entered in the log together."""


class OldCheckpointMissing(Refusal):
    """The checkpoint of {size} entries that this one is said to have grown out of is not among the files."""


class SplitView(Refusal):
    """There are two roots for {size} entries of {origin}: its log shows different people different histories."""


class CommitmentMissing(Refusal):
    """The proof fits itself, but nothing here says that everybody was shown the same tree."""


# ── of time stamps ────────────────────────────────────────────────────────────────────────────────────────


class AuthorityUnset(Refusal):
    """No time-stamp authority is set, or its certificates cannot be read."""


class AuthoritySilent(Refusal):
    """The time-stamp authority did not answer: {reason}"""


class TimestampWrong(Refusal):
    """The time stamp does not hold: {reason}"""
