"""Policy: which logs and witnesses are trusted, and how many must have cosigned (C2SP tlog-policy).

Whoever checks brings their own policy, from the regulator's site or the contract, never from the log.
The text is octets: names are compared byte by byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tallystick.core.errors import Refusal
from tallystick.evidence import checkpoints, cosignatures, errors, notes

POLICY_BYTES_MAX = 500_000
MEMBERS_MAX = 100
"""Logs, witnesses and groups, of each; the specification asks for 32."""

NONE = "none"

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_COUNT = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Party:
    """A log or a witness: its key, and where it answers."""

    key: notes.Key
    url: str


@dataclass(frozen=True, slots=True)
class Group:
    """Counts as having cosigned when at least `needed` of its members have."""

    needed: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom to trust. Groups name only what stands above them, so that there is no circle."""

    logs: tuple[Party, ...]
    witnesses: Mapping[str, Party]
    groups: Mapping[str, Group]
    quorum: str

    def reached(self, name: str, seen: Mapping[str, int]) -> bool:
        """Whether the witness, or enough of the group, is among those seen."""
        if name in self.groups:
            group = self.groups[name]
            return sum(self.reached(member, seen) for member in group.members) >= group.needed
        return name == NONE or name in seen


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says of a checkpoint, and why."""

    checkpoint: checkpoints.Checkpoint | None
    seen: Mapping[str, int]
    """The witnesses that cosigned, by the policy's names, each with its last time as POSIX seconds."""

    refusal: Refusal | None
    """Why it is not accepted; nothing where it is."""

    @property
    def accepted(self) -> bool:
        return self.refusal is None


def parse(text: bytes) -> Policy:
    """A policy out of its file."""
    return _Reading().whole(text)


def judge(note: bytes, policy: Policy, *, logs: Sequence[notes.Key] = ()) -> Verdict:
    """What the policy says of a signed checkpoint. `logs` are trusted beside those it lists."""
    try:
        opened, head = _opened(note, policy, [*(log.key for log in policy.logs), *logs])
    except Refusal as refusal:
        return Verdict(None, {}, refusal)
    names = {(each.key.name, each.key.id): name for name, each in policy.witnesses.items()}
    seen: dict[str, int] = {}
    for signature in opened.signatures:
        name = names.get((signature.name, signature.key_id))
        if name is not None:
            seen[name] = max(cosignatures.seconds(signature), seen.get(name, 0))
    if not policy.reached(policy.quorum, seen):
        there = ", ".join(sorted(seen)) or "–"
        return Verdict(head, seen, errors.QuorumMissing(quorum=policy.quorum, seen=there))
    return Verdict(head, seen, None)


def require(note: bytes, policy: Policy, *, logs: Sequence[notes.Key] = ()) -> Verdict:
    """The verdict, if the checkpoint is accepted; else its refusal."""
    verdict = judge(note, policy, logs=logs)
    if verdict.refusal is not None:
        raise verdict.refusal
    return verdict


def _opened(
    note: bytes, policy: Policy, logs: Sequence[notes.Key]
) -> tuple[notes.Note, checkpoints.Checkpoint]:
    known = [*logs, *(witness.key for witness in policy.witnesses.values())]
    opened = notes.open(note, map(cosignatures.verifier, known))
    head = checkpoints.parse(opened.text)
    signed = {(each.name, each.key_id) for each in opened.signatures}
    # A log's key is named after its origin, so that no log speaks for another one.
    if not any((log.name, log.id) in signed and log.name == head.origin for log in logs):
        raise errors.LogUnknown(origin=head.origin)
    return opened, head


class _Reading:
    # A policy while its lines are read.

    def __init__(self) -> None:
        self.logs: list[Party] = []
        self.witnesses: dict[str, Party] = {}
        self.groups: dict[str, Group] = {}
        self.grouped: set[str] = set()
        self.quorum: str | None = None

    def whole(self, text: bytes) -> Policy:
        if len(text) > POLICY_BYTES_MAX:
            raise errors.PolicyMalformed(line=1, reason=f"it is longer than {POLICY_BYTES_MAX} bytes")
        # Names are octets; what is not UTF-8 stays apart from everything else.
        lines = text.decode("utf-8", "surrogateescape").split("\n")
        if lines.pop() != "":
            raise errors.PolicyMalformed(line=len(lines) + 1, reason="it is cut off")
        for number, line in enumerate(lines, start=1):
            if reason := self._line(line):
                raise errors.PolicyMalformed(line=number, reason=reason)
        if self.quorum is None:
            raise errors.PolicyMalformed(line=len(lines), reason="no quorum is named")
        return Policy(tuple(self.logs), self.witnesses, self.groups, self.quorum)

    def _line(self, line: str) -> str | None:
        if _CONTROL.search(line):
            return "it has control characters"
        words = [word for word in re.split(r"[ \t]+", line) if word]
        if not words or words[0].startswith("#"):
            return None
        match words:
            case ["log", key, *url] if len(url) <= 1:
                return self._log(key, *url)
            case ["witness", name, key, *url] if len(url) <= 1:
                return self._witness(name, key, *url)
            case ["group", name, count, first, *others]:
                return self._group(name, count, [first, *others])
            case ["quorum", name]:
                return self._quorum(name)
        return "it is no log, witness, group or quorum"

    def _log(self, text: str, url: str = "") -> str | None:
        key, reason = _key(text, {notes.ED25519, cosignatures.ML_DSA_44})
        if key is None:
            return reason
        if any(key.public == log.key.public for log in self.logs):
            return "a log has this key already"
        self.logs.append(Party(key, url))
        return None if len(self.logs) <= MEMBERS_MAX else "it names too many logs"

    def _witness(self, name: str, text: str, url: str = "") -> str | None:
        key, reason = _key(text, {cosignatures.ED25519, cosignatures.ML_DSA_44})
        if key is None:
            return reason
        if any(key.public == witness.key.public for witness in self.witnesses.values()):
            return "a witness has this key already"
        if taken := self._taken(name):
            return taken
        self.witnesses[name] = Party(key, url)
        return None if len(self.witnesses) <= MEMBERS_MAX else "it names too many witnesses"

    def _group(self, name: str, count: str, members: list[str]) -> str | None:
        if taken := self._taken(name):
            return taken
        for member in members:
            if member not in self.witnesses and member not in self.groups:
                return "it names a member that no line above it defines"
            # Each counts in one way only, or one witness could make up a quorum alone.
            if member in self.grouped:
                return "it names a member that is in a group already"
            self.grouped.add(member)
        most = len(members)
        needed = {"any": 1, "all": most}.get(count) or (int(count) if _COUNT.fullmatch(count) else 0)
        if not 1 <= needed <= most:
            return f"a group needs all, any, or from 1 to {most} of its members"
        self.groups[name] = Group(needed, tuple(members))
        return None if len(self.groups) <= MEMBERS_MAX else "it names too many groups"

    def _quorum(self, name: str) -> str | None:
        if self.quorum is not None:
            return "there is a quorum already"
        if name != NONE and name not in self.witnesses and name not in self.groups:
            return "it names a quorum that no line above it defines"
        self.quorum = name
        return None

    def _taken(self, name: str) -> str | None:
        taken = name == NONE or name in self.witnesses or name in self.groups
        return "this name is taken" if taken else None


def _key(text: str, algorithms: set[int]) -> tuple[notes.Key | None, str]:
    try:
        key = cosignatures.verifier(notes.parse_key(text)).key
    except Refusal as refusal:
        return None, refusal.template().format(**refusal.fields).rstrip(".")
    if key.algorithm not in algorithms:
        return None, f"a key of type 0x{key.algorithm:02x} does not sign this"
    return key, ""
