"""Writes the verifiers' vectors: sound files and attacked ones, and what every verifier has to say of them.

`python scripts/vectors.py` with the environment's Python. The same bytes each time: keys, salts and times are
constants. The attacks are made with this project's own writing code, or beside it where it refuses to.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from tallystick.evidence import (
    batches,
    canonical,
    checkpoints,
    cosignatures,
    hashing,
    notes,
    receipt_file,
    tlog_proof,
)
from tallystick.evidence import stated as of_statements
from tallystick.evidence.liabilities import profile
from tallystick.evidence.liabilities.profile import Node

FOLDER = Path(__file__).resolve().parents[1] / "verifier" / "vectors"

AT = 1_795_305_600  # 2026-11-22 00:00 UTC
ORIGIN = "platform.example/public"

Case = dict[str, Any]


def _secret(name: str) -> notes.Ed25519Secret:
    return notes.Ed25519Secret(hashlib.sha256(f"tallystick vectors: {name}".encode()).digest())


LOG = notes.Signer(ORIGIN, _secret("log"))
OTHER_LOG = notes.Signer("elsewhere.example/log", _secret("another log"))
BANK = cosignatures.Cosigner("witness.bank.example", _secret("bank"))
REGULATOR = cosignatures.Cosigner("witness.regulator.example", _secret("regulator"))
OUTSIDER = cosignatures.Cosigner("witness.outside.example", _secret("outsider"))

QUANTUM = cosignatures.Cosigner(
    "witness.regulator.example/2",
    cosignatures.MlDsa44Secret(hashlib.sha256(b"tallystick vectors: ml-dsa").digest()),
    cosignatures.ML_DSA_44,
)

QUANTUM_POLICY = f"log {LOG.key.text}\nwitness regulator {QUANTUM.key.text}\nquorum regulator\n"

POLICY = (
    "# Whose signatures count: two of three witnesses, the regulator among them.\n"
    f"log {LOG.key.text} https://{ORIGIN}\n"
    f"witness bank {BANK.key.text}\n"
    f"witness outsider {OUTSIDER.key.text}\n"
    f"witness regulator {REGULATOR.key.text}\n"
    "group others any bank outsider\n"
    "group both all others regulator\n"
    "quorum both\n"
)

ENTRIES = [
    canonical.text({"v": 1, "t": "demo.thing_happened", "ref": f"evt_{n}", "c": f"{n:064x}"}).encode()
    for n in range(20)
]


def _case(
    name: str, says: str, files: Mapping[str, str | bytes], expected: Mapping[str, str], **asked: Any
) -> Case:
    texts = {
        each: text
        if isinstance(text, str)
        else {"base64": base64.b64encode(text).decode()}
        if not _is_text(text)
        else text.decode()
        for each, text in files.items()
    }
    return {
        "name": name,
        "says": says,
        "files": texts,
        "asked": {"policy": POLICY, **asked},
        "expected": dict(expected),
    }


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


# ── the log ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Log:
    """A small log, whole in memory."""

    entries: Sequence[bytes]
    levels: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.levels.append(hashing.leaf_hashes(self.entries))
        while len(self.levels[-1]) >= 64:
            self.levels.append(hashing.parents(self.levels[-1][: len(self.levels[-1]) & -64]))

    def read(self, height: int, index: int) -> bytes:
        return self.levels[height][32 * index : 32 * index + 32]

    def head(self, size: int | None = None) -> checkpoints.Checkpoint:
        size = len(self.entries) if size is None else size
        return checkpoints.Checkpoint(ORIGIN, size, hashing.root_of(self.read, size))

    def note(self, size: int | None = None, *witnesses: cosignatures.Cosigner) -> bytes:
        return signed(self.head(size).text, *(witnesses or (BANK, REGULATOR)))

    def proof(self, index: int, size: int | None = None) -> tlog_proof.TlogProof:
        size = len(self.entries) if size is None else size
        hashes = hashing.inclusion_proof(index, size, self.read)
        return tlog_proof.TlogProof(index, tuple(hashes), self.note(size))

    def growth(self, old: int, size: int | None = None) -> bytes:
        size = len(self.entries) if size is None else size
        return grown(old, hashing.consistency_proof(old, size, self.read), self.note(size))


def signed(text: bytes, *witnesses: cosignatures.Cosigner, log: notes.Signer = LOG) -> bytes:
    cosigned = [each.sign(text, at_seconds=AT + at) for at, each in enumerate(witnesses)]
    return notes.joined(text, [log.sign(text), *cosigned])


def grown(old: int, hashes: Sequence[bytes], note: bytes) -> bytes:
    lines = "".join(f"{base64.b64encode(hash_).decode()}\n" for hash_ in hashes)
    return f"old {old}\n{lines}\n".encode() + note


TRUE = Log(ENTRIES)


def quantum_signature() -> notes.Signature:
    """The one that is kept: a signer draws by chance, so that each time it would be another one."""
    kept = FOLDER / "ml-dsa-44.base64"
    if not kept.exists():
        value = QUANTUM.sign(TRUE.head().text, at_seconds=AT).value
        kept.write_text(base64.encodebytes(value).decode(), encoding="ascii")
    return notes.Signature(QUANTUM.name, QUANTUM.key.id, base64.decodebytes(kept.read_bytes()))


def quantum_cases() -> list[Case]:
    """A witness that signs with ML-DSA-44."""
    text, good = TRUE.head().text, quantum_signature()

    def one(name: str, says: str, code: str, value: bytes = good.value, text: bytes = text) -> Case:
        line = notes.Signature(good.name, good.key_id, value)
        note = notes.joined(text, [LOG.sign(text), line])
        return _case(name, says, {"checkpoint": note}, {"checkpoint": code}, policy=QUANTUM_POLICY)

    def flipped(at: int) -> bytes:
        return good.value[:at] + bytes([good.value[at] ^ 1]) + good.value[at + 1 :]

    another = text.replace(b"\n20\n", b"\n21\n")
    return [
        one("ml_dsa_44", "Cosigned with ML-DSA-44.", ""),
        one("ml_dsa_44_ignores_extensions", "It signs origin, size and root, and no further lines.", "", text=text + b"more\n"),
        one("ml_dsa_44_time", "Its time was changed.", "signature_wrong", flipped(7)),
        one("ml_dsa_44_challenge", "One bit of its first part.", "signature_wrong", flipped(8)),
        one("ml_dsa_44_response", "One bit of its second part.", "signature_wrong", flipped(1_000)),
        one("ml_dsa_44_hint", "One bit of its last part.", "signature_wrong", flipped(len(good.value) - 1)),
        one("ml_dsa_44_of_another_size", "The log signed another size, with the same cosignature.", "signature_wrong", text=another),
        one("ml_dsa_44_cut", "A byte is missing.", "signature_wrong", good.value[:-1]),
    ]  # fmt: skip


def checkpoint_cases() -> list[Case]:
    good, text = TRUE.note(), TRUE.head().text
    lines = good.split(b"\n")
    log_line = next(at for at, line in enumerate(lines) if line.startswith("— platform".encode()))
    loose = lines[log_line]
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet.index(loose[-2])
    loose = loose[:-2] + alphabet[last ^ 1 : (last ^ 1) + 1] + loose[-1:]

    def one(name: str, says: str, note: bytes, code: str, **asked: Any) -> Case:
        return _case(name, says, {"checkpoint": note}, {"checkpoint": code}, **asked)

    malformed = [
        ("size_with_leading_zero", text.replace(b"\n20\n", b"\n020\n")),
        ("size_too_large", text.replace(b"\n20\n", b"\n9223372036854775808\n")),
        ("root_too_short", text.replace(text.split(b"\n")[2], base64.b64encode(b"x" * 31))),
        ("empty_line", text + b"\nmore\n"),
    ]
    return [
        one("sound", "Signed by the log, cosigned by the bank and the regulator.", good, ""),
        one("all_three", "All three witnesses.", TRUE.note(20, BANK, OUTSIDER, REGULATOR), ""),
        one("empty_log", "A log that has no entries yet.", Log([]).note(), ""),
        one("extension", "The log adds a line of its own.", signed(text + b"more\n", BANK, REGULATOR), ""),
        one(
            "stranger_signs_too",
            "A signature of a key that nobody named says nothing.",
            good + OTHER_LOG.sign(text).line.encode(),
            "",
        ),
        one(
            "quorum_missing",
            "The regulator has not cosigned.",
            TRUE.note(20, BANK, OUTSIDER),
            "quorum_missing",
        ),
        one(
            "twice_is_not_two",
            "One witness twice is one witness.",
            TRUE.note(20, BANK, BANK),
            "quorum_missing",
        ),
        one("no_policy", "Nobody said whose signatures count.", good, "policy_missing", policy=None),
        one(
            "log_unknown",
            "A log that the policy does not name.",
            signed(text, BANK, REGULATOR, log=OTHER_LOG),
            "log_unknown",
        ),
        one("nobody_known", "Signed by strangers alone.", notes.sign(text, [OTHER_LOG]), "signature_missing"),
        one(
            "speaks_for_another_log",
            "The trusted key signs a checkpoint of another origin.",
            signed(text.replace(ORIGIN.encode(), b"elsewhere.example/log"), BANK, REGULATOR),
            "log_unknown",
        ),
        one(
            "root_changed",
            "The root was changed after it was signed.",
            good.replace(lines[2], base64.b64encode(bytes(32))),
            "signature_wrong",
        ),
        one(
            "size_changed",
            "The size was changed after it was signed.",
            good.replace(b"\n20\n", b"\n21\n"),
            "signature_wrong",
        ),
        one(
            "cosignature_time_changed", "A cosignature's time was changed.", _retimed(good), "signature_wrong"
        ),
        one(
            "loose_bits",
            "The same signature in another spelling of base64.",
            good.replace(lines[log_line], loose),
            "signature_wrong",
        ),
        one("cut_off", "The last line is cut off.", good[:-1], "note_malformed"),
        one("trailing_line", "A line below that is no signature.", good + b"x\n", "note_malformed"),
        one(
            "control_character",
            "A control character in the text.",
            good.replace(b"20", b"2\x010", 1),
            "note_malformed",
        ),
        one("not_utf8", "Bytes that are no UTF-8.", b"\xff" + good, "note_malformed"),
        one(
            "many_signatures",
            "More than a hundred signatures.",
            good + OTHER_LOG.sign(text).line.encode() * 99,
            "note_malformed",
        ),
        # Such a text is signed by the log all the same; cosigners refuse it.
        *(
            one(name, "The log signs what is no checkpoint.", notes.sign(bad, [LOG]), "checkpoint_malformed")
            for name, bad in malformed
        ),
        *quantum_cases(),
        one("nothing_known", "No file that can be checked.", b"hello\n", "file_unknown"),
        _case(
            "split_view",
            "Two people are shown different logs of the same size, both signed and cosigned.",
            {"mine": good, "yours": Log([*ENTRIES[:7], b"another entry", *ENTRIES[8:]]).note()},
            {"mine": "split_view", "yours": "split_view"},
        ),
    ]


def _retimed(note: bytes) -> bytes:
    text, signatures = notes.parse(note)
    *others, last = signatures
    moved = (AT + 999).to_bytes(8, "big") + last.value[8:]
    return notes.joined(text, [*others, notes.Signature(last.name, last.key_id, moved)])


def proof_cases() -> list[Case]:
    proof = TRUE.proof(7)
    first, second, *rest = proof.hashes

    def one(
        name: str,
        says: str,
        proof: tlog_proof.TlogProof | bytes,
        code: str,
        entry: bytes = ENTRIES[7],
        **asked: Any,
    ) -> Case:
        content = proof if isinstance(proof, bytes) else proof.text
        return _case(
            name, says, {"entry": entry, "entry.tlog-proof": content}, {"entry.tlog-proof": code}, **asked
        )

    def with_hashes(*hashes: bytes, index: int = 7) -> tlog_proof.TlogProof:
        return tlog_proof.TlogProof(index, hashes, proof.checkpoint)

    flipped = bytes([first[0] ^ 1]) + first[1:]
    return [
        one("sound", "Entry 7 of 20.", proof, ""),
        one("last_entry", "The last entry, at the tree's edge.", TRUE.proof(19), "", ENTRIES[19]),
        one("alone", "The only entry: there is nothing to prove it with.", TRUE.proof(0, 1), "", ENTRIES[0]),
        one("extra", "Extra data, which nobody signs.", tlog_proof.TlogProof(7, proof.hashes, proof.checkpoint, b"note"), ""),
        one("entry_changed", "One byte of the entry.", proof, "root_differs", ENTRIES[7].replace(b"evt_7", b"evt_9")),
        one("another_entry", "Another entry of the same log.", proof, "root_differs", ENTRIES[8]),
        one("another_place", "Another place.", with_hashes(*proof.hashes, index=6), "root_differs"),
        one("cut_off_tail", "The log was cut off before the entry.", tlog_proof.TlogProof(17, TRUE.proof(17).hashes, TRUE.note(12)), "index_outside_tree", ENTRIES[17]),
        one("hash_flipped", "One bit of a hash.", with_hashes(flipped, second, *rest), "root_differs"),
        one("hash_dropped", "A hash fewer.", with_hashes(second, *rest), "proof_length_wrong"),
        one("hash_inserted", "A hash more.", with_hashes(first, first, second, *rest), "proof_length_wrong"),
        one("hashes_reordered", "Two hashes exchanged.", with_hashes(second, first, *rest), "root_differs"),
        one("uncosigned", "Only the log signed.", tlog_proof.TlogProof(7, proof.hashes, signed(TRUE.head().text)), "quorum_missing"),
        one("no_policy", "Nobody said whose signatures count.", proof, "policy_missing", policy=None),
        _case("entry_missing", "The entry is not beside the proof.", {"x.tlog-proof": proof.text}, {"x.tlog-proof": "entry_missing"}),
        one("index_twice_spelled", "An index with a leading zero.", proof.text.replace(b"index 7", b"index 07"), "proof_malformed"),
        one("short_hash", "A hash of 31 bytes.", proof.text.replace(base64.b64encode(first), base64.b64encode(first[:31])), "proof_malformed"),
        one("no_checkpoint", "The checkpoint is missing.", proof.text.partition(b"\n\n")[0] + b"\n", "proof_malformed"),
    ]  # fmt: skip


def history_cases() -> list[Case]:
    old, new = TRUE.note(12), TRUE.growth(12)
    rewritten = {
        "dropped": ENTRIES[:5] + ENTRIES[6:],
        "inserted": [*ENTRIES[:5], b"smuggled in", *ENTRIES[5:]],
        "reordered": [*ENTRIES[:5], ENTRIES[6], ENTRIES[5], *ENTRIES[7:]],
        "changed": [*ENTRIES[:5], b"rewritten", *ENTRIES[6:]],
    }

    def one(name: str, says: str, new: bytes, code: str, old: bytes = old) -> Case:
        return _case(name, says, {"seen": old, "now": new}, {"seen": "", "now": code})

    true_proof = hashing.consistency_proof(12, 20, TRUE.read)
    return [
        one("sound", "The log grew from 12 entries to 20.", new, ""),
        one("same_size", "Nothing came since.", TRUE.growth(12, 12), ""),
        one("whole_subtree", "From 16, which is one whole subtree.", TRUE.growth(16), "", TRUE.note(16)),
        _case("from_nothing", "Whoever has seen nothing takes the first head.", {"now": grown(0, [], TRUE.note())}, {"now": ""}),
        *(
            one(f"entry_{how}", f"Entry 5 was {how} after it had been seen.", Log(entries).growth(12), "old_root_differs")
            for how, entries in rewritten.items()
        ),
        one("true_proof_of_another_log", "The true log's proof with a rewritten log's head.", grown(12, true_proof, Log(rewritten["changed"]).note()), "root_differs"),
        one("tail_cut_off", "The log is shorter than it was.", grown(12, [], TRUE.note(9)), "tree_shrank"),
        one("proof_cut", "A hash fewer.", grown(12, true_proof[:-1], TRUE.note()), "proof_length_wrong"),
        one("proof_longer", "A hash more.", grown(12, [*true_proof, true_proof[0]], TRUE.note()), "proof_length_wrong"),
        one("proof_for_nothing", "Hashes where there is nothing to prove.", grown(12, true_proof, TRUE.note(12)), "proof_length_wrong"),
        _case("old_missing", "The earlier head is not there.", {"now": new}, {"now": "old_checkpoint_missing"}),
        one("split_at_the_same_size", "Another tree of the size that was seen.", grown(12, [], Log(rewritten["changed"]).note(12)), "old_root_differs"),
        _case("malformed", "No size that can be read.", {"now": new.replace(b"old 12", b"old 0x12")}, {"now": "proof_malformed"}),
    ]  # fmt: skip


# ── receipts ──────────────────────────────────────────────────────────────────────────────────────────────


def _transfer(number: int) -> bytes:
    """A transfer's row as PostgreSQL's binary COPY hands it out: each field after its length."""
    at = (AT - 946_684_800) * 1_000_000 + 250_000
    told = struct.pack(">q", 7 + number), hashlib.sha256(b"%d" % number).digest()[:16]
    accounts = (struct.pack(">q", each) for each in (101_000_000_000_000_017, 101_000_000_000_000_018))
    fixed = (b"\0\1", *told, b"\0\1", b"\0\5", *accounts, struct.pack(">q", 12_500 + number))
    row: list[bytes | None] = [*fixed, struct.pack(">i", 9_822), struct.pack(">q", at), struct.pack(">q", at)]
    row += [None] * 7 + ["合同 7 第一期".encode(), None, None, b"{}"]
    sized = (struct.pack(">i", -1 if each is None else len(each)) + (each or b"") for each in row)
    return struct.pack(">H", len(row)) + b"".join(sized)


def receipt_cases() -> list[Case]:
    salt = hashlib.sha256(b"salt").digest()
    payload = canonical.text({"account": "acc_17", "amount": "12500", "asset": "CNY", "what": "入金"})
    things = [_transfer(n) for n in range(11)]
    leaves = batches.leaves(things, salt, len(things))
    entry = canonical.text(
        {
            "v": 1,
            "t": "custody.transfers_posted",
            "ref": "evt_99",
            "c": canonical.commitment(payload, salt).hex(),
            "r": batches.root(leaves).hex(),
        }
    )
    log = Log([*ENTRIES[:9], entry.encode(), *ENTRIES[10:]])
    item = receipt_file.Item(
        things[4], batches.blind(salt, 4), 4, len(things), tuple(batches.path(leaves, 4))
    )
    whole = receipt_file.Receipt(entry, log.proof(9), salt, payload)
    of_one = receipt_file.Receipt(entry, log.proof(9), item=item)

    def one(name: str, says: str, receipt: receipt_file.Receipt | str, code: str, **asked: Any) -> Case:
        text = receipt if isinstance(receipt, str) else receipt.text
        return _case(name, says, {"receipt.json": text}, {"receipt.json": code}, **asked)

    def changed(receipt: receipt_file.Receipt, **members: Any) -> str:
        return json.dumps({**json.loads(receipt.text), **members}, ensure_ascii=False)

    def item_changed(**members: Any) -> str:
        told = json.loads(of_one.text)
        return changed(of_one, item={**told["item"], **members})

    plain = receipt_file.Receipt(entry, log.proof(9))
    moved = receipt_file.Receipt(entry, log.proof(8), salt, payload)
    return [
        one("sound", "What was paid in, and its entry in the log.", whole, ""),
        one("one_of_many", "One transfer of a batch, and nothing of the others.", of_one, ""),
        one("without_content", "An entry whose content was erased still is in the log.", plain, ""),
        one("payload_changed", "The amount was changed.", changed(whole, payload=payload.replace("12500", "92500")), "payload_differs"),
        one("salt_changed", "Another salt.", changed(whole, salt=(salt[1:] + salt[:1]).hex()), "payload_differs"),
        one("salt_missing", "A payload without its salt.", changed(whole, salt=None), "payload_differs"),
        one("entry_changed", "The entry was changed.", changed(whole, entry=entry.replace("evt_99", "evt_98")), "root_differs"),
        one("another_place", "The proof of another entry.", moved, "root_differs"),
        one("thing_changed", "Another transfer than the one in the batch.", item_changed(thing=things[5].hex()), "item_differs"),
        one("thing_of_another_place", "Another place in the batch.", item_changed(index=5), "item_differs"),
        one("blind_moved", "The border between blind and transfer was moved.", item_changed(blind=of_one.text and item.blind.hex()[2:] + "00"), "item_differs"),
        one("path_cut", "A hash of the path is missing.", item_changed(path=[hash_.hex() for hash_ in item.path[1:]]), "item_differs"),
        one("uncosigned", "Only the log signed.", receipt_file.Receipt(entry, tlog_proof.TlogProof(9, whole.proof.hashes, signed(log.head().text)), salt, payload), "quorum_missing"),
        one("no_policy", "Nobody said whose signatures count.", whole, "policy_missing", policy=None),
        one("member_more", "A member that no receipt has.", changed(whole, more=1), "receipt_malformed"),
        one("member_twice", "A member that comes twice.", whole.text.replace('"payload":', '"payload": null,\n "payload":', 1), "receipt_malformed"),
        one("index_not_whole", "A place that is not a whole number.", whole.text.replace('"item": null', '"item": 1.5'), "receipt_malformed"),
    ]  # fmt: skip


# ── proofs of liabilities ─────────────────────────────────────────────────────────────────────────────────

ACCOUNTS = {
    "fang": (["acc_17", "C-1001", "contract 7"], 100),
    "qiang": (["acc_18", "C-1002", "合同 8"], 60),
    "bo": (["acc_19", "C-1003", "contract 9"], 50),
    "ming": (["acc_20", "C-1004", "contract 10"], 100),
    "yan": (["acc_21", "C-1005", "contract 11"], 0),
}

Parent = Callable[[Node, Node], Node]


def _nonce(name: str) -> bytes:
    return hashlib.sha256(f"nonce of {name}".encode()).digest()


@dataclass
class Tree:
    """A tree of liabilities with every way to cheat in it. Leaves lie in the order of the accounts."""

    names: Sequence[str]
    fragments: int = 2
    parent: Parent = profile.parent
    hidden: int = 0
    """What the first padding of level 0 holds."""

    levels: list[list[Node]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.header: dict[str, canonical.Value] = {
            "profile": profile.PROFILE,
            "origin": ORIGIN,
            "asset": "CNY",
            "scale": 2,
            "audit": 1,
            "day": "2026-11-22",
            "cut_off": "2026-11-22T16:00:00Z",
            "customers": len(self.names),
            "fragments": self.fragments,
            "basis": {"log": ORIGIN, "size": 20},
        }
        self.tree = profile.tree_id(self.header)
        self.leaves = len(self.names) * self.fragments
        self.height = profile.height_of(self.leaves)
        # By place: whose fragment lies there.
        self.places = [(name, number) for number in range(self.fragments) for name in self.names]
        self.levels.append([self._leaf(name, number) for name, number in self.places])
        for level in range(self.height):
            here = self.levels[-1]
            if len(here) % 2:
                pad = profile.padding(self.tree, level, len(here))
                here.append(Node(pad.hash, self.hidden if level == 0 else 0))
            self.levels.append([self.parent(*here[at : at + 2]) for at in range(0, len(here), 2)])

    def _leaf(self, name: str, number: int) -> Node:
        identifiers, _ = ACCOUNTS[name]
        account = profile.account_id(ORIGIN, identifiers)
        return profile.leaf(self.tree, number, account, _nonce(name), self.amounts(name)[number])

    def amounts(self, name: str) -> tuple[int, ...]:
        return profile.fragments(ACCOUNTS[name][1], self.fragments, _nonce(name))

    @property
    def commitment(self) -> dict[str, canonical.Value]:
        return profile.commitment(self.header, self.leaves, self.height, self.levels[-1][0])

    def path(self, index: int) -> list[list[str]]:
        siblings = [self.levels[level][index >> level ^ 1] for level in range(self.height)]
        return [[node.hash.hex(), str(node.sum)] for node in siblings]

    def proof(self, name: str) -> Case:
        identifiers, balance = ACCOUNTS[name]
        indexes = [self.places.index((name, number)) for number in range(self.fragments)]
        return {
            "schema": "tallystick/liability-proof/1",
            "commitment": self.commitment,
            "identifiers": identifiers,
            "nonce": _nonce(name).hex(),
            "balance": str(balance),
            "fragments": [
                {"amount": str(amount), "index": index, "path": self.path(index)}
                for amount, index in zip(self.amounts(name), indexes, strict=True)
            ],
            "statement": None,
            "inclusion": None,
        }


def broken_trees() -> list[tuple[Case, Case]]:
    """Maxwell and Todd's tree: 310 is owed and 100 is published, and each of four customers is satisfied.

    A node is told as the larger of its sides, and each side is told the rest as its sibling's sum.
    """

    def hashed(left: Node, right: Node, total: int) -> bytes:
        return hashlib.sha256(b"\x11" + total.to_bytes(16, "big") + left.hash + right.hash).digest()

    def larger(left: Node, right: Node) -> Node:
        total = max(left.sum, right.sum)
        return Node(hashed(left, right, total), total)

    names = list(ACCOUNTS)[:4]
    tree = Tree(names, fragments=1, parent=larger)
    assert (sum(ACCOUNTS[name][1] for name in names), tree.levels[-1][0].sum) == (310, 100)
    found = []
    for name in names:
        proof = tree.proof(name)
        (fragment,) = proof["fragments"]
        for level, step in enumerate(fragment["path"]):
            above = tree.levels[level + 1][fragment["index"] >> level + 1].sum
            step[1] = str(above - tree.levels[level][fragment["index"] >> level].sum)
        found.append((proof, tree.commitment))
    return found


def liability_cases() -> list[Case]:
    tree = Tree(list(ACCOUNTS))
    published, sound = tree.commitment, tree.proof("fang")

    def one(name: str, says: str, proof: Case | str, code: str, told: Any = published, **asked: Any) -> Case:
        text = proof if isinstance(proof, str) else json.dumps(proof, ensure_ascii=False)
        asked = {"commitments": [] if told is None else [told], **asked}
        return _case(name, says, {"proof.json": text}, {"proof.json": code}, **asked)

    def changed(change: Callable[[Case], object], of: Case = sound) -> Case:
        copy: Case = json.loads(json.dumps(of))
        change(copy)
        return copy

    def step(proof: Case, level: int, hash_: str | None = None, sum_: str | None = None) -> None:
        told = proof["fragments"][0]["path"][level]
        told[0], told[1] = hash_ or told[0], sum_ or told[1]

    def moved(proof: Case, bit: int) -> None:
        proof["fragments"][0]["index"] ^= bit

    def path(proof: Case) -> list[list[str]]:
        found: list[list[str]] = proof["fragments"][0]["path"]
        return found

    def lowered(total: int) -> Case:
        return {**published, "total": str(total)}

    def statement_of(*commitments: Any) -> str:
        assets: list[canonical.Value] = [{"asset": "CNY", "liabilities": each} for each in commitments]
        return canonical.text(
            {"schema": "tallystick/solvency-statement/1", "day": "2026-11-22", "assets": assets}
        )

    statement, other_statement = statement_of(published), statement_of(lowered(250))

    def stated(text: str, *, bare: bool = False) -> Case:
        """The proof with a statement and its place in the log: in an entry's payload, or as an entry itself."""
        payload: dict[str, canonical.Value] = {"book": 1, "digest": "0" * 64, "statement": json.loads(text)}
        whole: dict[str, canonical.Value] = {
            "v": 1,
            "t": "custody.solvency_stated",
            "ref": "evt_4",
            "p": payload,
            "s": "1" * 64,
        }
        entry = text.encode() if bare else canonical.text(whole).encode()
        found = Log([*ENTRIES[:4], entry, *ENTRIES[5:]]).proof(4)
        extra = None if bare else of_statements.rest(entry)
        inclusion = tlog_proof.TlogProof(4, found.hashes, found.checkpoint, extra).text.decode()
        return {**sound, "statement": text, "inclusion": inclusion}

    def unnamed_payload() -> Case:
        proof = tlog_proof.parse(stated(statement)["inclusion"].encode())
        bad = tlog_proof.TlogProof(4, proof.hashes, proof.checkpoint, b"[]").text.decode()
        return {**stated(statement), "inclusion": bad}

    own = ACCOUNTS["fang"][0]
    hollow = Tree(list(ACCOUNTS)[:3], fragments=1, hidden=40)
    small = Tree(list(ACCOUNTS)[:1], fragments=1)
    return [
        one("sound", "Both fragments of one balance.", sound, ""),
        one("sound_with_own", "Compared with what the owner holds.", sound, "", identifiers=own, balance=100),
        one("sound_in_chinese", "Identifiers in Chinese.", tree.proof("qiang"), ""),
        one("nothing_owed", "A balance of nothing is counted too.", tree.proof("yan"), ""),
        one("alone", "One account, one leaf, no path.", small.proof("fang"), "", small.commitment),
        one("with_padding", "A sibling that is padding.", Tree(list(ACCOUNTS)[:3], fragments=1).proof("bo"), "", Tree(list(ACCOUNTS)[:3], fragments=1).commitment),
        one("stated", "The signed statement in the log names the tree.", stated(statement), "", None),
        one("stated_bare", "The same, the statement being an entry itself.", stated(statement, bare=True), "", None),
        one("stated_of_two_assets", "One of the statement's assets is this tree's.", stated(statement_of(lowered(1), published)), "", None),
        one("statement_without_its_entry", "The extra is not what an entry says besides.", unnamed_payload(), "payload_differs", None),
        one("stated_of_another_tree", "The signed statement names another tree.", stated(other_statement), "another_tree", None),
        one("statement_changed", "The statement was changed after it was logged.", changed(lambda proof: proof.update(statement=statement.replace("22", "23")), stated(statement)), "root_differs", None),
        one("statement_without_policy", "Nobody said whose signatures count.", stated(statement), "policy_missing", None, policy=None),
        one("commitment_missing", "A proof that fits itself, and nothing published.", sound, "commitment_missing", None),
        *(
            one(f"maxwell_todd_{number}", "The sums are not bound: 310 is owed and 100 published, and no customer sees it.", proof, "sums_not_bound", told)
            for number, (proof, told) in enumerate(broken_trees())
        ),
        one("negative_sibling", "Below a sibling somebody owes the platform.", changed(lambda proof: step(proof, 0, sum_="-50")), "amount_negative"),
        one("negative_leaf", "A negative amount of one's own.", changed(lambda proof: proof["fragments"][0].update(amount="-1")), "amount_negative"),
        one("overflow_2_127", "A sum of 2^127, so that twice as much runs over to nothing.", changed(lambda proof: step(proof, 1, sum_=str(2**127))), "sum_too_large"),
        one("overflow_2_128", "A sum of 2^128, which does not even fit.", changed(lambda proof: step(proof, 1, sum_=str(2**128))), "sum_too_large"),
        one("overflow_leaf", "An amount of 2^64.", changed(lambda proof: proof["fragments"][0].update(amount=str(2**64))), "sum_too_large"),
        one("swapped_children", "Left and right exchanged at one level.", changed(lambda proof: moved(proof, 2)), "children_swapped"),
        one("path_too_short", "A level fewer.", changed(lambda proof: path(proof).pop()), "path_length_wrong"),
        one("path_too_long", "A level more.", changed(lambda proof: path(proof).append(path(proof)[0])), "path_length_wrong"),
        one("clash_own_identifiers", "Another customer is shown this leaf, and knows their own account.", sound, "account_differs", identifiers=ACCOUNTS["qiang"][0]),
        one("clash_rewritten", "Another customer is shown this leaf under their own identifiers.", changed(lambda proof: proof.update(identifiers=ACCOUNTS["ming"][0])), "liabilities_root_differs"),
        one("nonce_changed", "Another nonce.", changed(lambda proof: proof.update(nonce="0" * 64)), "liabilities_root_differs"),
        one("amount_moved", "A unit more here, a unit less beside.", changed(lambda proof: (proof["fragments"][0].update(amount=str(int(proof["fragments"][0]["amount"]) + 1)), proof["fragments"][1].update(amount=str(int(proof["fragments"][1]["amount"]) - 1)))), "liabilities_root_differs"),
        one("sibling_lowered", "A sibling's sum is lower than it was hashed with.", changed(lambda proof: step(proof, 2, sum_=str(int(path(proof)[2][1]) - 1))), "liabilities_root_differs"),
        one("hidden_padding", "What fills up holds 40.", hollow.proof("bo"), "padding_altered", hollow.commitment),
        one("total_lowered", "The published total is lower than the tree's.", changed(lambda proof: proof.update(commitment=lowered(250))), "total_differs", lowered(250)),
        one("tree_of_ones_own", "A tree made for this customer alone.", Tree(["fang", "bo"]).proof("fang"), "another_tree"),
        one("customers_lowered", "Fewer accounts than leaves.", changed(lambda proof: proof["commitment"]["header"].update(customers=4)), "tree_shape_wrong"),
        one("height_raised", "A higher tree than there are leaves for.", changed(lambda proof: proof["commitment"].update(height=5)), "tree_shape_wrong"),
        one("fragment_left_out", "Half of the balance.", changed(lambda proof: proof["fragments"].pop()), "fragments_incomplete"),
        one("fragment_twice", "The same leaf for both fragments.", changed(lambda proof: proof.update(fragments=[proof["fragments"][0]] * 2)), "fragments_incomplete"),
        one("index_outside", "A place beyond the leaves.", changed(lambda proof: proof["fragments"][0].update(index=10)), "index_outside_leaves"),
        one("balance_lowered", "Less is counted than the proof says.", changed(lambda proof: proof.update(balance="90")), "balance_differs"),
        one("own_balance_differs", "Less is counted than the owner holds.", sound, "balance_differs", balance=150),
        one("profile_unknown", "Rules of another name.", changed(lambda proof: proof["commitment"]["header"].update(profile="psum-v9")), "profile_unknown"),
        one("float", "An index that is not whole.", json.dumps(sound).replace('"index": 0', '"index": 0.0'), "liability_proof_malformed"),
        one("member_more", "A member that no proof has.", {**sound, "more": 1}, "liability_proof_malformed"),
        one("member_twice", "A member that comes twice.", json.dumps(sound).replace('"balance":', '"balance": "7", "balance":', 1), "liability_proof_malformed"),
        one("upper_case", "Hexadecimal in capitals.", changed(lambda proof: proof.update(nonce="A" * 64)), "liability_proof_malformed"),
        one("leading_zero", "An amount in another spelling.", changed(lambda proof: proof.update(balance="0100")), "liability_proof_malformed"),
        one("no_such_day", "A day that no calendar has.", changed(lambda proof: proof["commitment"]["header"].update(day="2026-02-30")), "liability_proof_malformed"),
        one("half_a_character", "Half of a surrogate pair.", json.dumps(sound).replace("contract 7", "\\ud800"), "liability_proof_malformed"),
    ]  # fmt: skip


# ── policies ──────────────────────────────────────────────────────────────────────────────────────────────


def policy_cases() -> list[Case]:
    lines = POLICY.splitlines()
    bank, outsider = lines[2], lines[3]
    bad = {
        "cut_off": POLICY[:-1],
        "no_quorum": f"{bank}\n",
        "two_quorums": f"{bank}\nquorum bank\nquorum bank\n",
        "quorum_before_it_is_defined": f"quorum bank\n{bank}\n",
        "same_key_twice": f"{bank}\n{bank.replace('witness bank', 'witness shadow')}\nquorum bank\n",
        "name_taken": f"{bank}\n{outsider.replace('witness outsider', 'witness bank')}\nquorum bank\n",
        "member_twice": f"{bank}\n{outsider}\ngroup one any bank\ngroup two all one bank\nquorum two\n",
        "none_as_member": f"{bank}\ngroup one any none\nquorum one\n",
        "more_than_there_are": f"{bank}\ngroup one 2 bank\nquorum one\n",
        "log_key_as_witness": f"witness log {LOG.key.text}\nquorum log\n",
        "witness_key_as_log": f"log {BANK.key.text}\nquorum none\n",
        "control_character": "quorum none\x07\n",
        "unknown_line": "trust everybody\nquorum none\n",
        "key_id_wrong": f"log {LOG.key.text.replace(LOG.key.id.hex(), '00000000')}\nquorum none\n",
    }
    good = {
        "whole": POLICY,
        "nobody": "quorum none\n",
        "spaces_and_comments": f"\n  # 注释\n\t{bank}  \nquorum\tbank\n",
        "by_number": f"{bank}\n{outsider}\ngroup two 2 bank outsider\nquorum two\n",
    }
    return [
        {"name": name, "policy": text, "expected": code}
        for texts, code in ((good, ""), (bad, "policy_malformed"))
        for name, text in texts.items()
    ]


FILES: dict[str, tuple[str, Callable[[], list[Case]]]] = {
    "checkpoints": ("Signed heads of a log, and who has to have signed them.", checkpoint_cases),
    "proofs": ("That an entry is in a log.", proof_cases),
    "histories": ("That a log only grew.", history_cases),
    "receipts": ("What was entered, and that it is in the log.", receipt_cases),
    "liabilities": ("That a balance is counted (psum-v1).", liability_cases),
    "policies": ("Policies: read, or refused.", policy_cases),
}


def written() -> dict[str, str]:
    """Each file's name and content."""
    return {
        f"{name}.json": json.dumps({"about": about, "cases": cases()}, ensure_ascii=False, indent=1) + "\n"
        for name, (about, cases) in FILES.items()
    }


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in written().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
        click.echo(name)


if __name__ == "__main__":
    main()
