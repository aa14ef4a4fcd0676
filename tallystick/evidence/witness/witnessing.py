"""Witnessing: what is answered to a checkpoint, by the rules of C2SP tlog-witness and in their order.

Promises: of one log no checkpoint is signed that does not extend the last one that was, whatever is asked at
once; a checkpoint is remembered, durably, before its signature is handed out. The size last signed may be signed
again, with the time of now: that tells a log that stands still from a witness that is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tallystick.core.errors import Refusal
from tallystick.evidence import checkpoints, cosignatures, errors, hashing, notes
from tallystick.evidence.cosignatures import Cosigner
from tallystick.evidence.witness import key_file, request, store
from tallystick.evidence.witness.store import Head, Refused, Store

CLOCK_BACK_SECONDS_MAX = 300
"""So far a clock may be set back. Further, and times that were signed would lie."""

FORK = "another root for the same size"
NO_EXTENSION = "no consistency proof"

_TRIES = 20


@dataclass(frozen=True, slots=True)
class Log:
    """A log that is witnessed: its name, its keys, and what it hashes with."""

    origin: str
    keys: tuple[notes.Key, ...]
    suite: hashing.Suite = hashing.SHA256


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered: a status of HTTP, and a body."""

    status: int
    body: bytes
    type: str = "text/plain; charset=utf-8"


def logs_of(given: Sequence[str], *, suite: hashing.Suite = hashing.SHA256) -> list[Log]:
    """The logs out of `KEY` or `ORIGIN KEY`, one for each origin; several keys of one log count alike.

    Without an origin it is the key's name, as with every log but a few old ones. Raises `errors.KeyMalformed`
    and `errors.KeyTypeUnknown`.
    """
    found: dict[str, Log] = {}
    for each in given:
        origin, _, text = each.strip().rpartition(" ")
        key = cosignatures.verifier(notes.parse_key(text)).key
        if key.algorithm == cosignatures.ED25519:
            raise errors.KeyTypeUnknown(name=key.name, algorithm="0x04")
        before = found.get(origin or key.name)
        keys = (*(before.keys if before else ()), key)
        found[origin or key.name] = Log(origin or key.name, keys, suite)
    return list(found.values())


class Witness:
    """Somebody who signs checkpoints of the logs they were told of. For any number of threads."""

    def __init__(self, store: Store, cosigners: Sequence[Cosigner], logs: Sequence[Log]) -> None:
        self.store = store
        self.cosigners = tuple(cosigners)
        self.logs: Mapping[str, Log] = {each.origin: each for each in logs}
        assert len(self.logs) == len(logs), "a log is named once"
        self._verifiers = {each.origin: [cosignatures.verifier(key) for key in each.keys] for each in logs}

    @property
    def keys(self) -> list[notes.Key]:
        """What whoever relies on this witness has to be told."""
        return [each.key for each in self.cosigners]

    def add_checkpoint(self, body: bytes, *, now_seconds: int) -> Answer:
        """The answer to a body, `now_seconds` as POSIX time. A 200 is of a checkpoint that is remembered."""
        # Refusals in the order of the specification.
        try:
            asked = request.parse(body)
            origin = checkpoints.parse(notes.parse(asked.note)[0]).origin
        except request.Malformed as why:
            return _told(400, f"bad request: {why}")
        except Refusal as why:
            return _told(400, f"bad request: {why}")
        log = self.logs.get(origin)
        if log is None:
            return _told(404, "unknown log")
        try:
            opened = notes.open(asked.note, self._verifiers[origin])
        except Refusal as why:
            return _told(403, f"invalid signature: {why}")
        new = checkpoints.parse(opened.text)
        if asked.old_size > new.size:
            return _told(400, "bad request: the old size is larger than the checkpoint's")
        for _ in range(_TRIES):
            answer = self._judged(log, asked, opened, new, now_seconds)
            if answer is not None:
                return answer
        return _told(503, "too many checkpoints of this log at once: ask again")

    def _judged(
        self,
        log: Log,
        asked: request.Request,
        opened: notes.Note,
        new: checkpoints.Checkpoint,
        now_seconds: int,
    ) -> Answer | None:
        """The answer by what was signed last; nothing where that has changed meanwhile."""
        before = self.store.head(log.origin)
        if refused := self._refusal(log, before, asked, new):
            answer, reason = refused
            if reason:
                note = notes.joined(opened.text, opened.signatures)
                self.store.keep_refused(Refused(log.origin, new.size, new.root, note, reason, now_seconds))
            return answer
        if before is not None and now_seconds < before.at_seconds - CLOCK_BACK_SECONDS_MAX:
            return _told(503, "this witness's clock was set back: it signs nothing until that is mended")
        # From here on it is signed. A time never goes back, or it would contradict what was signed.
        at = max(now_seconds, before.at_seconds if before else 0)
        signed = [each.sign(opened.text, at_seconds=at) for each in self.cosigners]
        note = notes.joined(opened.text, [*opened.signatures, *signed])
        if not self.store.replace(before, Head(log.origin, new.size, new.root, note, at)):
            # Somebody else's checkpoint came first: our signatures are thrown away, and it is judged anew.
            return None
        return Answer(200, "".join(each.line for each in signed).encode())

    @staticmethod
    def _refusal(
        log: Log, before: Head | None, asked: request.Request, new: checkpoints.Checkpoint
    ) -> tuple[Answer, str] | None:
        """Why this does not follow what was signed, and as what it is kept: empty where it proves nothing."""
        size = before.size if before else 0
        root = before.root if before else hashing.empty_root(log.suite)
        if before and new.size == size and new.root != root:
            # Two signed checkpoints of one size: whoever has both needs nothing else.
            return _conflict(before), FORK
        if asked.old_size != size:
            return _conflict(before), ""
        try:
            hashing.verify_extension(size, root, new.size, new.root, asked.proof, log.suite)
        except errors.ProofRefused as why:
            return _told(422, f"bad consistency proof: {why}"), NO_EXTENSION
        return None

    def checkpoint(self, origin_hash: str) -> Answer:
        """The last signed checkpoint of the log whose origin has this SHA-256, for whoever compares witnesses."""
        for head in self.store.heads():
            if hashing.SHA256.new(head.origin.encode()).digest().hex() == origin_hash:
                return Answer(200, head.note)
        return _told(404, "unknown log")


def open_witness(
    folder: Path, logs: Sequence[Log], *, name: str | None = None, ml_dsa: bool = False
) -> Witness:
    """The witness of a folder; a new one where the folder has none and a name is given.

    A key without its memory never signs again: it might sign another history. Raises `errors.WitnessUnmade`,
    `errors.WitnessNameDiffers`, `errors.WitnessStateMissing`, `errors.WitnessStateDamaged` and what
    `key_file.read` raises.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    cosigners = key_file.read(folder)
    remembers = (folder / store.NAME).exists()
    if cosigners and not remembers:
        raise errors.WitnessStateMissing(folder=folder)
    if cosigners and name not in (None, cosigners[0].name):
        raise errors.WitnessNameDiffers(folder=folder, kept=cosigners[0].name, given=name)
    if not cosigners and name is None:
        raise errors.WitnessUnmade(folder=folder)
    memory = Store(folder)
    try:
        if not cosigners:
            assert name is not None, "refused above"
            if memory.heads():
                # It has signed, and its key is gone: another key would not be this witness.
                raise errors.WitnessStateDamaged(folder=folder, reason=f"{key_file.NAME} is missing")
            cosigners = key_file.make(folder, name, ml_dsa=ml_dsa)
        elif ml_dsa:
            cosigners = key_file.with_ml_dsa(folder, cosigners)
        _check(folder, memory, cosigners)
    except BaseException:
        memory.close()
        raise
    return Witness(memory, cosigners, logs)


def _check(folder: Path, memory: Store, cosigners: Sequence[Cosigner]) -> None:
    """Refuses a memory that is not what these keys have signed."""
    if not memory.is_sound():
        raise errors.WitnessStateDamaged(folder=folder, reason="the file is broken")
    verifiers = [cosignatures.verifier(each.key) for each in cosigners]
    for head in memory.heads():
        try:
            kept = checkpoints.parse(notes.open(head.note, verifiers).text)
        except Refusal as why:
            raise errors.WitnessStateDamaged(folder=folder, reason=f"{head.origin}: {why}") from None
        if (kept.origin, kept.size, kept.root) != (head.origin, head.size, head.root):
            raise errors.WitnessStateDamaged(
                folder=folder, reason=f"{head.origin}: not the checkpoint that was signed"
            )


def _conflict(last: Head | None) -> Answer:
    return Answer(409, b"%d\n" % (last.size if last else 0), request.SIZE_TYPE)


def _told(status: int, text: str) -> Answer:
    return Answer(status, f"{text}\n".encode())
