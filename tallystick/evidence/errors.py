"""Why evidence refuses, in order of precedence.

The first is a fault of the caller, never of a user. The rest say why something that claims to be
evidence is not believed: they are told to whoever checks it.
"""

from tallystick.core.errors import Refusal


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
