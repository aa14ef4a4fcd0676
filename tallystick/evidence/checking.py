"""Checking: what is said of files that somebody was given, all of them looked at together.

Bytes in, answers out: what `tallystick verify` and the pages tell. The stand-alone verifiers in `verifier/`
say the same of the same files, with none of this code, and are held to the same vectors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tallystick.core.errors import Refusal
from tallystick.evidence import canonical, errors, hashing, notes, receipt_file, stated, tlog_proof
from tallystick.evidence import policy as policies
from tallystick.evidence.checkpoints import Checkpoint
from tallystick.evidence.liabilities import profile, proof_file, verification

_PAGE = re.compile(rb'<script type="application/json" id="evidence">(.*?)</script>', re.DOTALL)
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)

Fact = canonical.Value


@dataclass(frozen=True, slots=True)
class Asked:
    """What whoever checks brings along: whom they trust, and what they hold themselves."""

    policy: policies.Policy | None = None
    commitments: Sequence[Mapping[str, canonical.Value]] = ()
    """Commitments of liabilities as the bank or the regulator shows them."""

    identifiers: Sequence[str] | None = None
    balance: int | None = None


@dataclass(slots=True)
class Answer:
    """What is said of one file. Verified where there is no refusal."""

    file: str
    kind: str
    refusal: Refusal | None = None
    facts: dict[str, Fact] = field(default_factory=dict)


def kind_of(content: bytes) -> str:
    """What a file is, by how it begins: checkpoint, proof, history, receipt, liability, page; or unknown."""
    if content.startswith(b"c2sp.org/tlog-proof@"):
        return "proof"
    if content.startswith(b"old "):
        return "history"
    if _PAGE.search(content) and content[:15].lower() == b"<!doctype html>":
        return "page"
    try:
        told = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return "checkpoint" if "\n\n— ".encode() in content else "unknown"
    schema = told.get("schema") if isinstance(told, dict) else None
    return {proof_file.SCHEMA: "liability", receipt_file.SCHEMA: "receipt"}.get(str(schema), "unknown")


def answers(given: Mapping[str, bytes], asked: Asked) -> list[Answer]:
    """What is said of each file. A proof's entry lies beside it, under its name without the ending."""
    files = dict(_unpacked(given))
    kinds = {name: kind_of(content) for name, content in files.items()}
    entries = {name.removesuffix(tlog_proof.EXTENSION) for name, kind in kinds.items() if kind == "proof"}
    told: dict[str, Answer] = {}
    heads: list[tuple[Answer, Checkpoint]] = []
    # What grew out of a checkpoint comes after it, to be compared with it.
    for name in sorted(files, key=lambda name: kinds[name] == "history"):
        if name in entries and kinds[name] == "unknown":
            continue
        answer = told[name] = Answer(name, kinds[name])
        try:
            head = _CHECKS[kinds[name]](answer, files, asked, [head for _, head in heads])
        except Refusal as refusal:
            answer.refusal = refusal
        else:
            if head is not None:
                heads.append((answer, head))
    for answer, head in heads:
        for _, other in heads:
            if (head.origin, head.size) == (other.origin, other.size) and head.root != other.root:
                answer.refusal = errors.SplitView(origin=head.origin, size=head.size)
    return [told[name] for name in files if name in told]


def _unpacked(given: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for name, content in given.items():
        if kind_of(content) != "page":
            yield name, content
            continue
        # A saved page. The policy in it is the platform's word: whoever checks brings their own.
        try:
            found = _PAGE.search(content)
            inside = json.loads(found[1].decode("utf-8"))["files"] if found else {}
            texts = {f"{name}:{inner}": text.encode() for inner, text in inside.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            texts = {}
        # A page without files is answered too: nothing passes by being silent.
        yield from texts.items() or {name: b""}.items()


def _judged(note: bytes, asked: Asked) -> policies.Verdict:
    if asked.policy is None:
        raise errors.PolicyMissing
    return policies.require(note, asked.policy)


def _noted(answer: Answer, verdict: policies.Verdict) -> Checkpoint:
    head = verdict.checkpoint
    assert head is not None, "an accepted checkpoint is there"
    answer.facts |= {"origin": head.origin, "size": head.size, "witnesses": dict(verdict.seen)}
    return head


def _logged(proof: tlog_proof.TlogProof, entry: bytes, asked: Asked) -> policies.Verdict:
    if asked.policy is None:
        raise errors.PolicyMissing
    return tlog_proof.verify(proof, entry, asked.policy)


Files = Mapping[str, bytes]
Heads = Sequence[Checkpoint]


def _checkpoint(answer: Answer, files: Files, asked: Asked, heads: Heads) -> Checkpoint:
    return _noted(answer, _judged(files[answer.file], asked))


def _proof(answer: Answer, files: Files, asked: Asked, heads: Heads) -> Checkpoint:
    proof = tlog_proof.parse(files[answer.file])
    entry = files.get(answer.file.removesuffix(tlog_proof.EXTENSION))
    if entry is None or not answer.file.endswith(tlog_proof.EXTENSION):
        raise errors.EntryMissing
    answer.facts["index"] = proof.index
    return _noted(answer, _logged(proof, entry, asked))


def _history(answer: Answer, files: Files, asked: Asked, heads: Heads) -> Checkpoint:
    # The body of a request to a witness: `old N`, the proof, a blank line, the checkpoint.
    above, _, note = files[answer.file].partition(b"\n\n")
    first, *lines = above.decode("ascii", "replace").split("\n")
    found = _OLD.fullmatch(first)
    hashes = [notes.base64_bytes(line) for line in lines]
    if not found or int(found[1]) > hashing.SIZE_MAX or len(lines) > hashing.PROOF_HASHES_MAX:
        raise errors.ProofMalformed(reason="its first line does not say the old size")
    if not all(hash_ is not None and len(hash_) == hashing.HASH_BYTES for hash_ in hashes):
        raise errors.ProofMalformed(reason="one of its lines is not a hash")
    verdict = _judged(note, asked)
    head, old_size = _noted(answer, verdict), int(found[1])
    roots = [each.root for each in heads if (each.origin, each.size) == (head.origin, old_size)]
    if old_size == 0:
        roots = [hashing.EMPTY_ROOT]
    if not roots:
        raise errors.OldCheckpointMissing(size=old_size)
    for root in roots:
        hashing.verify_extension(old_size, root, head.size, head.root, [*filter(None, hashes)])
    answer.facts["old_size"] = old_size
    return head


def _receipt(answer: Answer, files: Files, asked: Asked, heads: Heads) -> Checkpoint:
    receipt = receipt_file.parse(files[answer.file])
    answer.facts["index"] = receipt.proof.index
    return _noted(answer, _receipted(receipt, asked))


def _receipted(receipt: receipt_file.Receipt, asked: Asked) -> policies.Verdict:
    verdict = _logged(receipt.proof, receipt.entry.encode(), asked)
    receipt_file.check_content(receipt)
    return verdict


def _liability(answer: Answer, files: Files, asked: Asked, heads: Heads) -> Checkpoint | None:
    proof = proof_file.read(files[answer.file])
    told, head = proof.commitment.told, None
    digest = profile.commitment_digest(told)
    published: Mapping[str, canonical.Value] = {}
    if asked.commitments:
        published = next(
            (each for each in asked.commitments if profile.commitment_digest(each) == digest), {}
        )
    elif proof.statement is not None and proof.inclusion is not None:
        head = _noted(answer, _stated(proof.statement, proof.inclusion, asked))
        published = told if stated.names(proof.statement, told) else {}
    else:
        published = told
    verification.verify(proof, published, identifiers=asked.identifiers, balance=asked.balance)
    if not asked.commitments and head is None:
        # The proof fits itself, and nobody has said that others were shown the same tree.
        raise errors.CommitmentMissing
    header = proof.commitment.header
    answer.facts |= {name: header[name] for name in ("asset", "scale", "day", "customers")}
    answer.facts |= {"identifiers": list(proof.identifiers), "balance": str(proof.balance)}
    answer.facts["total"] = str(proof.commitment.total)
    return head


def _stated(statement: str, inclusion: str, asked: Asked) -> policies.Verdict:
    proof = tlog_proof.parse(inclusion.encode())
    return _logged(proof, stated.entry(statement, proof.extra), asked)


def _unknown(answer: Answer, files: Files, asked: Asked, heads: Heads) -> None:
    raise errors.FileUnknown


_CHECKS: dict[str, Callable[[Answer, Files, Asked, Heads], Checkpoint | None]] = {
    "checkpoint": _checkpoint,
    "proof": _proof,
    "history": _history,
    "receipt": _receipt,
    "liability": _liability,
    "unknown": _unknown,
    "page": _unknown,
}
