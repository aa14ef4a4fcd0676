#!/usr/bin/env python3
"""Checks what a Tallystick platform gave you, without trusting it: one file, Python 3.11, nothing else.

    python3 tallystick_verify.py FILE... --policy POLICY

FILE is a signed checkpoint, a .tlog-proof (its entry lies beside it, without the ending), a receipt, a
proof of liabilities, an add-checkpoint body ("old N …"), or a saved page that holds such files. POLICY says
whose signatures count: take it from the regulator, the bank or your contract, never from the platform.

Exit code 0: everything was verified. 1: something was not. 2: the question could not be understood.

It shares no code with Tallystick. Both are held to the vectors that lie beside this file, and so is
verify.js. The formats: C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof and tlog-policy,
RFC 6962, RFC 8032, and docs/reference/psum-v1.md.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import os
import re
import struct
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

FILE_BYTES_MAX = 4_000_000


class Refused(Exception):
    """Why something is not believed: a code that is the same in every implementation."""

    def __init__(self, code: str, **fields: object) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields


# ── Ed25519 (RFC 8032), verification only ─────────────────────────────────────────────────────────────────

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_I = pow(2, (_P - 1) // 4, _P)

_Point = tuple[int, int, int, int]  # extended: X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z


def _added(one: _Point, other: _Point) -> _Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _doubled(one: _Point) -> _Point:
    a, b, c = one[0] * one[0] % _P, one[1] * one[1] % _P, 2 * one[2] * one[2] % _P
    h = a + b
    e = h - (one[0] + one[1]) ** 2 % _P
    g = a - b
    f = c + g
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _decoded(text: bytes) -> _Point | None:
    told = int.from_bytes(text, "little")
    y, sign = told & (1 << 255) - 1, told >> 255
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if v * x * x % _P == -u % _P:
        x = x * _I % _P
    if v * x * x % _P != u or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


_BASE = _decoded((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))


def ed25519_fits(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature holds: R = s·B − k·A, compared as it is written."""
    if len(public) != 32 or len(signature) != 64:
        return False
    key = _decoded(public)
    s = int.from_bytes(signature[32:], "little")
    if key is None or s >= _L or _BASE is None:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _L
    minus = (_P - key[0], key[1], 1, _P - key[3])
    both = _added(_BASE, minus)
    sum_: _Point = (0, 1, 1, 0)
    for bit in range(max(s.bit_length(), k.bit_length()) - 1, -1, -1):
        sum_ = _doubled(sum_)
        match (s >> bit & 1, k >> bit & 1):
            case (1, 1):
                sum_ = _added(sum_, both)
            case (1, 0):
                sum_ = _added(sum_, _BASE)
            case (0, 1):
                sum_ = _added(sum_, minus)
    inverse = pow(sum_[2], _P - 2, _P)
    x, y = sum_[0] * inverse % _P, sum_[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


# ── ML-DSA-44 (FIPS 204), verification only ───────────────────────────────────────────────────────────────

_Q, _GAMMA_1, _GAMMA_2, _BETA, _OMEGA, _TAU = 8_380_417, 1 << 17, 95_232, 78, 80, 39
_ZETAS = [pow(1753, int(f"{n:08b}"[::-1], 2), _Q) for n in range(256)]

_Poly = list[int]


def _ntt(f: _Poly) -> _Poly:
    f, m, length = list(f), 0, 128
    while length:
        for start in range(0, 256, 2 * length):
            m += 1
            for j in range(start, start + length):
                t = _ZETAS[m] * f[j + length] % _Q
                f[j + length], f[j] = (f[j] - t) % _Q, (f[j] + t) % _Q
        length //= 2
    return f


def _back(f: _Poly) -> _Poly:
    f, m, length = list(f), 256, 1
    while length < 256:
        for start in range(0, 256, 2 * length):
            m -= 1
            for j in range(start, start + length):
                t = f[j]
                f[j] = (t + f[j + length]) % _Q
                f[j + length] = -_ZETAS[m] * (t - f[j + length]) % _Q
        length *= 2
    return [each * 8_347_681 % _Q for each in f]


def _bits(text: bytes, width: int) -> _Poly:
    whole = int.from_bytes(text, "little")
    return [whole >> width * n & (1 << width) - 1 for n in range(len(text) * 8 // width)]


def _expanded(seed: bytes) -> _Poly:
    # Three bytes at a time, those that are no number below q left out.
    stream = hashlib.shake_128(seed).digest(3 * 512)
    found = [each & 0x7FFFFF for each in _bits(stream, 24)]
    return [each for each in found if each < _Q][:256]


def _challenge(seed: bytes) -> _Poly:
    stream = hashlib.shake_256(seed).digest(1024)
    signs, c, at = int.from_bytes(stream[:8], "little"), [0] * 256, 8
    for i in range(256 - _TAU, 256):
        while stream[at] > i:
            at += 1
        j, at = stream[at], at + 1
        c[i], c[j] = c[j], 1 - 2 * (signs & 1)
        signs >>= 1
    return c


def _hints(text: bytes) -> list[set[int]] | None:
    found, at = [], 0
    for end in text[_OMEGA:]:
        row = text[at:end]
        if not at <= end <= _OMEGA or any(one >= other for one, other in pairwise(row)):
            return None
        found.append(set(row))
        at = end
    return found if not any(text[at:_OMEGA]) else None


def _high(r: int, hint: bool) -> int:
    low = (r + _GAMMA_2 - 1) % (2 * _GAMMA_2) - _GAMMA_2 + 1
    high = 0 if r - low == _Q - 1 else (r - low) // (2 * _GAMMA_2)
    if r - low == _Q - 1:
        low -= 1
    return high if not hint else (high + 1) % 44 if low > 0 else (high - 1) % 44


def ml_dsa_44_fits(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an ML-DSA-44 signature holds, made without a context."""
    if len(public) != 1312 or len(signature) != 2420:
        return False
    rho, seed = public[:32], signature[:32]
    t1 = [_bits(public[32 + 320 * i : 352 + 320 * i], 10) for i in range(4)]
    z = [[_GAMMA_1 - each for each in _bits(signature[32 + 576 * j : 608 + 576 * j], 18)] for j in range(4)]
    hints = _hints(signature[2336:])
    if hints is None or any(abs(each) >= _GAMMA_1 - _BETA for row in z for each in row):
        return False
    mu = hashlib.shake_256(hashlib.shake_256(public).digest(64) + b"\x00\x00" + message).digest(64)
    c = _ntt(_challenge(seed))
    turned = [_ntt(row) for row in z]
    told = bytearray()
    for i in range(4):
        scaled = _ntt([each << 13 for each in t1[i]])
        sums = [-one * other for one, other in zip(c, scaled, strict=True)]
        for j in range(4):
            row = _expanded(rho + bytes([j, i]))
            sums = [sum_ + one * other for sum_, one, other in zip(sums, row, turned[j], strict=True)]
        w = [_high(each, n in hints[i]) for n, each in enumerate(_back([each % _Q for each in sums]))]
        told += sum(each << 6 * n for n, each in enumerate(w)).to_bytes(192, "little")
    return hashlib.shake_256(mu + bytes(told)).digest(32) == seed


# ── signed notes, checkpoints (C2SP) ──────────────────────────────────────────────────────────────────────

NOTE, COSIGNATURE, ML_DSA_44 = 0x01, 0x04, 0x06
_PUBLIC_BYTES = {NOTE: 32, COSIGNATURE: 32, ML_DSA_44: 1312}

_NOT_A_NAME = re.compile(
    r"[+\x00-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff]"
)
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True)
class Key:
    name: str
    algorithm: int
    public: bytes

    @property
    def id(self) -> bytes:
        told = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return hashlib.sha256(told).digest()[:4]


@dataclass(frozen=True)
class Head:
    """A checkpoint: the log, its size, its root."""

    origin: str
    size: int
    root: bytes


def loose64(text: str) -> bytes | None:
    """The bytes of base64, its last bits whatever they are."""
    try:
        # Python passes over a padding too many.
        return None if len(text) % 4 else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def unbase64(text: str) -> bytes | None:
    """The bytes of base64 in its one spelling."""
    told = loose64(text)
    return told if told is not None and base64.b64encode(told).decode() == text else None


def key_of(text: str) -> Key:
    """A public key out of its line `name+id+material`."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    material = unbase64(encoded)
    if not _is_name(name) or not re.fullmatch("[0-9a-fA-F]{8}", key_id) or not material or len(material) < 2:
        raise Refused("key_malformed", reason="name+id+material")
    key = Key(name, material[0], material[1:])
    if key.algorithm == NOTE and len(key.public) != 32:
        raise Refused("key_malformed", reason="32 bytes")
    if key_id.lower() != key.id.hex():
        raise Refused("key_malformed", reason="id")
    if _PUBLIC_BYTES.get(key.algorithm) != len(key.public):
        raise Refused("key_type_unknown", name=name, algorithm=f"0x{key.algorithm:02x}")
    return key


def _is_name(name: str) -> bool:
    return not _NOT_A_NAME.search(name) and 0 < len(name.encode()) <= 255


def opened(note: bytes, keys: Sequence[Key]) -> tuple[bytes, list[tuple[Key, bytes]]]:
    """A note's text, and who of the known keys signed it. A wrong signature of theirs refuses it whole."""
    text, lines = _note(note)
    known = {(key.name, key.id): key for key in keys}
    told, signed = [], []
    for line in lines:
        name, space, encoded = line.removeprefix("— ").partition(" ")
        value = loose64(encoded) or b""
        if not line.startswith("— ") or not space or not _is_name(name) or len(value) < 5:
            raise Refused("note_malformed", reason="signature line")
        told.append((name, value, unbase64(encoded) is not None))
    for name, value, canonical in told:
        key = known.get((name, value[:4]))
        if key is None:
            continue
        if not canonical or not _fits(key, text, value[4:]):
            raise Refused("signature_wrong", name=name)
        signed.append((key, value[4:]))
    if not signed:
        raise Refused("signature_missing", names=", ".join(sorted({key.name for key in keys})) or "–")
    return text, signed


def _note(note: bytes) -> tuple[bytes, list[str]]:
    if len(note) > 1_000_000:
        raise Refused("note_malformed", reason="1000000")
    try:
        told = note.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("note_malformed", reason="UTF-8") from None
    if any(character < " " and character != "\n" for character in set(told)):
        raise Refused("note_malformed", reason="control character")
    text, blank, below = told.rpartition("\n\n")
    lines = below[:-1].split("\n")
    if not blank or not below or not below.endswith("\n") or len(lines) > 100:
        raise Refused("note_malformed", reason="signatures")
    return (text + "\n").encode(), lines


def _fits(key: Key, text: bytes, value: bytes) -> bool:
    if key.algorithm == NOTE:
        return ed25519_fits(key.public, text, value)
    if len(value) != (72 if key.algorithm == COSIGNATURE else 2428):
        return False
    (at,) = struct.unpack_from(">Q", value)
    try:
        head = head_of(text)
    except Refused:
        return False
    if at >= 2**63:
        return False
    if key.algorithm == COSIGNATURE:
        return ed25519_fits(key.public, b"cosignature/v1\ntime %d\n%b" % (at, text), value[8:])
    name, origin = key.name.encode(), head.origin.encode()
    message = b"subtree/v1\n\x00" + bytes([len(name)]) + name + value[:8] + bytes([len(origin)]) + origin
    return ml_dsa_44_fits(key.public, message + struct.pack(">QQ", 0, head.size) + head.root, value[8:])


def head_of(text: bytes) -> Head:
    """A checkpoint out of a note's text: one spelling, nothing else."""
    lines = text.decode("utf-8").split("\n")
    if len(lines) < 4 or lines.pop() != "" or not all(lines):
        raise Refused("checkpoint_malformed", reason="lines")
    origin, size, root = lines[:3]
    if len(origin.encode()) > 255 or not _SIZE.fullmatch(size) or int(size) >= 2**63:
        raise Refused("checkpoint_malformed", reason="origin, size")
    hash_ = unbase64(root)
    if hash_ is None or len(hash_) != 32:
        raise Refused("checkpoint_malformed", reason="root")
    return Head(origin, int(size), hash_)


# ── policies (C2SP tlog-policy) ───────────────────────────────────────────────────────────────────────────


@dataclass
class Policy:
    logs: list[Key] = field(default_factory=list)
    witnesses: dict[str, Key] = field(default_factory=dict)
    groups: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    quorum: str | None = None

    def reached(self, name: str, seen: Mapping[str, int]) -> bool:
        if name in self.groups:
            needed, members = self.groups[name]
            return sum(self.reached(member, seen) for member in members) >= needed
        return name == "none" or name in seen


def policy_of(text: bytes) -> Policy:
    """A policy out of its file."""
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    if len(text) > 500_000 or lines.pop() != "":
        raise Refused("policy_malformed", line=len(lines) + 1, reason="cut off")
    policy, grouped = Policy(), set[str]()
    for number, line in enumerate(lines, start=1):
        words = [word for word in re.split(r"[ \t]+", line) if word]
        if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", line) or (
            words and not words[0].startswith("#") and not _understood(policy, grouped, words)
        ):
            raise Refused("policy_malformed", line=number, reason=(words or [""])[0])
    if policy.quorum is None:
        raise Refused("policy_malformed", line=len(lines), reason="quorum")
    return policy


def _understood(policy: Policy, grouped: set[str], words: list[str]) -> bool:
    taken = {"none", *policy.witnesses, *policy.groups}
    defined = taken - {"none"}
    match words:
        case ["log", text, *url] if len(url) <= 1:
            key = _policy_key(text, {NOTE, ML_DSA_44})
            fine = key is not None and all(key.public != log.public for log in policy.logs)
            if fine and key:
                policy.logs.append(key)
            return fine and len(policy.logs) <= 100
        case ["witness", name, text, *url] if len(url) <= 1 and name not in taken:
            key = _policy_key(text, {COSIGNATURE, ML_DSA_44})
            fine = key is not None and all(key.public != each.public for each in policy.witnesses.values())
            if fine and key:
                policy.witnesses[name] = key
            return fine and len(policy.witnesses) <= 100
        case ["group", name, count, *members] if members and name not in taken:
            counted = int(count) if re.fullmatch("[1-9][0-9]{0,3}", count, re.ASCII) else 0
            needed = {"any": 1, "all": len(members)}.get(count, counted)
            for member in members:
                if member not in defined or member in grouped:
                    return False
                grouped.add(member)
            policy.groups[name] = (needed, members)
            return 1 <= needed <= len(members) and len(policy.groups) <= 100
        case ["quorum", name] if policy.quorum is None and name in taken:
            policy.quorum = name
            return True
    return False


def _policy_key(text: str, algorithms: set[int]) -> Key | None:
    try:
        key = key_of(text)
    except Refused:
        return None
    return key if key.algorithm in algorithms else None


@dataclass(frozen=True)
class Accepted:
    """A checkpoint that the policy accepts, and when which witness signed it."""

    head: Head
    seen: Mapping[str, int]


def accepted(note: bytes, policy: Policy | None) -> Accepted:
    """The checkpoint of a note, if a log of the policy signed it and enough witnesses did."""
    if policy is None:
        raise Refused("policy_missing")
    text, signed = opened(note, [*policy.logs, *policy.witnesses.values()])
    head = head_of(text)
    if not any(key in policy.logs and key.name == head.origin for key, _ in signed):
        raise Refused("log_unknown", origin=head.origin)
    seen: dict[str, int] = {}
    for key, value in signed:
        for name, witness in policy.witnesses.items():
            if witness == key:
                seen[name] = max(seen.get(name, 0), struct.unpack_from(">Q", value)[0])
    if policy.quorum is None or not policy.reached(policy.quorum, seen):
        raise Refused("quorum_missing", quorum=policy.quorum, seen=", ".join(sorted(seen)) or "–")
    return Accepted(head, seen)


# ── the tree (RFC 6962) ───────────────────────────────────────────────────────────────────────────────────


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def check_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Refuses unless the leaf is at this place in the tree with this root."""
    if not 0 <= index < size:
        raise Refused("index_outside_tree", index=index, size=size)
    # RFC 9162, 2.1.3.2: fn and sn walk up from the entry and from the last one.
    fn, sn, reached = index, size - 1, leaf
    needed, f, s = 0, fn, sn
    while s:
        needed += 1 if f & 1 or f < s else 0
        f, s = f >> 1, s >> 1
    if len(proof) != needed:
        raise Refused("proof_length_wrong", given=len(proof), needed=needed)
    for sibling in proof:
        while not fn & 1 and fn == sn:
            fn, sn = fn >> 1, sn >> 1
        reached = node_hash(sibling, reached) if fn & 1 else node_hash(reached, sibling)
        fn, sn = fn >> 1, sn >> 1
    if reached != root:
        raise Refused("root_differs")


def check_extension(old: Head, new: Head, proof: Sequence[bytes]) -> None:
    """Refuses unless the new tree begins with the whole of the old one."""
    if new.size < old.size:
        raise Refused("tree_shrank", old_size=old.size, new_size=new.size)
    empty = hashlib.sha256(b"").digest()
    if (old.size == 0 and old.root != empty) or (old.size == new.size and old.root != new.root):
        raise Refused("old_root_differs", old_size=old.size)
    if old.size in (0, new.size):
        if proof:
            raise Refused("proof_length_wrong", given=len(proof), needed=0)
        return
    # The old tree is a row of whole subtrees; the proof has the last of them and what surrounds it.
    shift = (old.size & -old.size).bit_length() - 1
    fn, sn = (old.size - 1) >> shift, (new.size - 1) >> shift
    path = list(proof)
    steps, f, s = 0, fn, sn
    while s:
        steps += 1 if f & 1 or f < s else 0
        f, s = f >> 1, s >> 1
    needed = steps + (1 if fn else 0)
    if len(path) != needed:
        raise Refused("proof_length_wrong", given=len(path), needed=needed)
    before = after = path.pop(0) if fn else old.root
    for sibling in path:
        while not fn & 1 and fn == sn:
            fn, sn = fn >> 1, sn >> 1
        if fn & 1:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
        else:
            after = node_hash(after, sibling)
        fn, sn = fn >> 1, sn >> 1
    if before != old.root:
        raise Refused("old_root_differs", old_size=old.size)
    if after != new.root:
        raise Refused("root_differs")


@dataclass(frozen=True)
class TlogProof:
    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None


def proof_of(text: bytes) -> TlogProof:
    """A .tlog-proof out of its file (C2SP tlog-proof). Its extra line is not signed, and not believed."""
    head, blank, checkpoint = text.partition(b"\n\n")
    if len(text) > 1_200_000 or not blank or not head.isascii():
        raise Refused("proof_malformed", reason="lines")
    lines = head.decode("ascii").split("\n")
    if lines.pop(0) != "c2sp.org/tlog-proof@v1":
        raise Refused("proof_malformed", reason="c2sp.org/tlog-proof@v1")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = unbase64(lines.pop(0).removeprefix("extra "))
        if extra is None or len(extra) > 100_000:
            raise Refused("proof_malformed", reason="extra")
    told = lines.pop(0) if lines else ""
    if not told.startswith("index ") or not _SIZE.fullmatch(told[6:]):
        raise Refused("proof_malformed", reason="index")
    return TlogProof(int(told[6:]), _hashes(lines), checkpoint, extra)


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    hashes = [unbase64(line) for line in lines]
    if len(lines) > 63 or any(hash_ is None or len(hash_) != 32 for hash_ in hashes):
        raise Refused("proof_malformed", reason="hashes")
    return tuple(hash_ for hash_ in hashes if hash_)


def check_logged(proof: TlogProof, entry: bytes, policy: Policy | None) -> Accepted:
    """The accepted checkpoint, if the entry is in its log."""
    found = accepted(proof.checkpoint, policy)
    check_inclusion(proof.index, found.head.size, leaf_hash(entry), proof.hashes, found.head.root)
    return found


# ── JSON, strictly ────────────────────────────────────────────────────────────────────────────────────────

Json = Any


def json_of(text: str) -> Json:
    """JSON without floats and without a member that comes twice."""

    def once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        told = dict(pairs)
        if len(told) != len(pairs):
            raise ValueError("a member comes twice")
        return told

    def none(_: str) -> Json:
        raise ValueError("a number is not whole")

    return json.loads(text, object_pairs_hook=once, parse_float=none, parse_constant=none)


def jcs(told: Json) -> bytes:
    """RFC 8785, of what has no floats and only ASCII names."""
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


# ── proofs of liabilities (docs/reference/psum-v1.md) ─────────────────────────────────────────────────────

_HEX = re.compile("[0-9a-f]{64}")
_DECIMAL = re.compile("-?(0|[1-9][0-9]{0,38})", re.ASCII)
_WHOLE_MAX = 2**53 - 1
_PROOF = {"schema", "commitment", "identifiers", "nonce", "balance", "fragments", "statement", "inclusion"}
_HEADER = {
    "profile",
    "origin",
    "asset",
    "scale",
    "audit",
    "day",
    "cut_off",
    "customers",
    "fragments",
    "basis",
}

_Sum = tuple[bytes, int]


def _malformed(reason: str) -> Refused:
    return Refused("liability_proof_malformed", reason=reason)


def _members(told: Json, names: set[str], what: str) -> dict[str, Json]:
    if not isinstance(told, dict) or set(told) != names:
        raise _malformed(what)
    return told


def _text(told: Json, what: str, most: int) -> str:
    if not isinstance(told, str) or len(told.encode("utf-8", "surrogatepass")) > most:
        raise _malformed(what)
    if any("\ud800" <= character <= "\udfff" for character in told):
        raise _malformed(what)
    return told


def _whole(told: Json, what: str, most: int = _WHOLE_MAX) -> int:
    if isinstance(told, bool) or not isinstance(told, int) or not 0 <= told <= most:
        raise _malformed(what)
    return told


def _decimal(told: Json, what: str) -> int:
    if not isinstance(told, str) or not _DECIMAL.fullmatch(told) or told == "-0":
        raise _malformed(what)
    return int(told)


def _hash(told: Json, what: str) -> bytes:
    if not isinstance(told, str) or not _HEX.fullmatch(told):
        raise _malformed(what)
    return bytes.fromhex(told)


def _list(told: Json, what: str, most: int) -> list[Json]:
    if not isinstance(told, list) or len(told) > most:
        raise _malformed(what)
    return told


def _canonical(told: Json, depth: int = 0) -> None:
    if depth > 100:
        raise _malformed("depth")
    if isinstance(told, dict):
        for name, value in told.items():
            if not name.isascii():
                raise _malformed("basis")
            _canonical(value, depth + 1)
    elif isinstance(told, list):
        for value in told:
            _canonical(value, depth + 1)
    elif isinstance(told, str):
        _text(told, "basis", 65_536)
    elif isinstance(told, int) and not isinstance(told, bool) and abs(told) > _WHOLE_MAX:
        raise _malformed("basis")


def _moment(told: Json, form: str, read: Callable[[str], object]) -> None:
    text = _text(told, "time", 40)
    try:
        fits = re.fullmatch(form, text, re.ASCII) and read(text.replace("Z", "+00:00"))
    except ValueError:
        fits = None
    if not fits:
        raise _malformed("time")


@dataclass(frozen=True)
class Commitment:
    """What is published of a tree."""

    told: dict[str, Json]
    origin: str
    customers: int
    fragments: int
    leaves: int
    height: int
    root: bytes
    total: int

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(b"tallystick/psum-v1/commitment\x00" + jcs(self.told)).digest()


def commitment_of(told: Json) -> Commitment:
    """A commitment out of its JSON: exactly its members, each of its type."""
    members = _members(told, {"header", "leaves", "height", "root", "total"}, "commitment")
    header = members["header"]
    if isinstance(header, dict) and isinstance(header.get("profile"), str) and header["profile"] != "psum-v1":
        raise Refused("profile_unknown", profile=header["profile"][:40])
    header = _members(header, _HEADER, "header")
    for name in ("profile", "origin", "asset"):
        _text(header[name], name, 200)
    _whole(header["scale"], "scale", 255)
    _whole(header["audit"], "audit")
    fragments = _whole(header["fragments"], "fragments", 4)
    _moment(header["day"], "[0-9]{4}-[0-9]{2}-[0-9]{2}", date.fromisoformat)
    _moment(
        header["cut_off"], "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", datetime.fromisoformat
    )
    if not fragments or not isinstance(header["basis"], dict):
        raise _malformed("header")
    _canonical(header)
    return Commitment(
        members,
        header["origin"],
        _whole(header["customers"], "customers"),
        fragments,
        _whole(members["leaves"], "leaves"),
        _whole(members["height"], "height", 255),
        _hash(members["root"], "root"),
        _decimal(members["total"], "total"),
    )


@dataclass(frozen=True)
class Fragment:
    """One leaf of an account, and its siblings from the leaf upwards."""

    amount: int
    index: int
    path: list[_Sum]


@dataclass(frozen=True)
class Liability:
    """What an account's owner was given."""

    commitment: Commitment
    identifiers: list[str]
    nonce: bytes
    balance: int
    fragments: list[Fragment]
    statement: str | None
    inclusion: str | None


def liability_of(text: bytes) -> Liability:
    """A proof of liabilities out of its file."""
    try:
        told = json_of(text.decode("utf-8")) if len(text) <= 65_536 else None
    except (ValueError, RecursionError):
        told = None
    members = _members(told, _PROOF, "proof")
    if members["schema"] != "tallystick/liability-proof/1":
        raise _malformed("schema")
    identifiers = [
        _text(each, "identifiers", 200) for each in _list(members["identifiers"], "identifiers", 8)
    ]
    if not identifiers:
        raise _malformed("identifiers")
    texts = [
        None if members[name] is None else _text(members[name], name, 65_536)
        for name in ("statement", "inclusion")
    ]
    return Liability(
        commitment_of(members["commitment"]),
        identifiers,
        _hash(members["nonce"], "nonce"),
        _decimal(members["balance"], "balance"),
        [_fragment(each) for each in _list(members["fragments"], "fragments", 4)],
        *texts,
    )


def _fragment(told: Json) -> Fragment:
    members = _members(told, {"amount", "index", "path"}, "fragment")
    path = []
    for step in _list(members["path"], "path", 36):
        if not isinstance(step, list) or len(step) != 2:
            raise _malformed("path")
        path.append((_hash(step[0], "path"), _decimal(step[1], "path")))
    return Fragment(_decimal(members["amount"], "amount"), _whole(members["index"], "index"), path)


def account_id(origin: str, identifiers: Sequence[str]) -> bytes:
    """The account by what its owner holds."""
    told = hashlib.sha256(b"tallystick/psum-v1/account\x00")
    texts = [each.encode() for each in (origin, *identifiers)]
    told.update(struct.pack(">H", len(texts[0])) + texts[0] + struct.pack(">H", len(identifiers)))
    for each in texts[1:]:
        told.update(struct.pack(">H", len(each)) + each)
    return told.digest()


def check_liability(
    proof: Liability,
    published: bytes,
    *,
    identifiers: Sequence[str] | None = None,
    balance: int | None = None,
) -> None:
    """The steps 3 to 14; `published` is the digest of the commitment that everybody is shown."""
    told = proof.commitment
    leaves = told.customers * told.fragments
    height = max(leaves - 1, 0).bit_length()
    if told.leaves != leaves or told.height != height or height > 36:
        shape = {"customers": told.customers, "fragments": told.fragments, "leaves": leaves, "height": height}
        raise Refused("tree_shape_wrong", **shape)
    if told.digest != published:
        raise Refused("another_tree")
    if identifiers is not None and list(identifiers) != proof.identifiers:
        raise Refused("account_differs")
    places = {each.index for each in proof.fragments}
    if not len(proof.fragments) == len(places) == told.fragments:
        raise Refused("fragments_incomplete", needed=told.fragments, given=len(places))
    tree = hashlib.sha256(b"tallystick/psum-v1/tree\x00" + jcs(told.told["header"])).digest()
    account = account_id(told.origin, proof.identifiers)
    for number, fragment in enumerate(proof.fragments):
        _check_fragment(told, tree, number, account + proof.nonce, fragment)
    counted = sum(each.amount for each in proof.fragments)
    for expected in (proof.balance, balance):
        if expected is not None and expected != counted:
            raise Refused("balance_differs", counted=counted, balance=expected)


def _check_fragment(told: Commitment, tree: bytes, number: int, owner: bytes, fragment: Fragment) -> None:
    for amount in (fragment.amount, *(sum_ for _, sum_ in fragment.path)):
        if amount < 0:
            raise Refused("amount_negative", amount=amount)
    if fragment.index >= told.leaves:
        raise Refused("index_outside_leaves", index=fragment.index, leaves=told.leaves)
    if len(fragment.path) != told.height:
        raise Refused("path_length_wrong", given=len(fragment.path), needed=told.height)
    total = fragment.amount
    for level, (_, beside) in enumerate(fragment.path):
        if max(total, beside) >> 64 + level or total + beside >> 65 + level:
            over = level if max(total, beside) >> 64 + level else level + 1
            raise Refused("sum_too_large", level=over)
        total += beside
    if total >> 64 + told.height:
        raise Refused("sum_too_large", level=told.height)
    for level, sibling in enumerate(fragment.path):
        place = fragment.index >> level ^ 1
        if place >= max(-(-told.leaves >> level), 1):
            pad = hashlib.sha256(b"\x12" + tree + struct.pack(">BQ", level, place)).digest()
            if sibling != (pad, 0):
                raise Refused("padding_altered", level=level)
    text = b"\x10" + tree + struct.pack(">H", number) + owner + fragment.amount.to_bytes(16, "big")
    leaf = (hashlib.sha256(text).digest(), fragment.amount)
    root = _climbed(leaf, fragment, _parent)
    if root[0] != told.root:
        for level in range(told.height):
            if _climbed(leaf, fragment, _parent, swapped=level)[0] == told.root:
                raise Refused("children_swapped", level=level)
        # Maxwell and Todd's tree, in which a part can count for less than it holds.
        broken = _climbed(leaf, fragment, _parent_of_maxwell_and_todd)[0] == told.root
        raise Refused("sums_not_bound" if broken else "liabilities_root_differs")
    if root[1] != told.total:
        raise Refused("total_differs", total=told.total, sum=root[1])


def _parent(left: _Sum, right: _Sum) -> _Sum:
    sums = left[1].to_bytes(16, "big"), right[1].to_bytes(16, "big")
    return hashlib.sha256(b"\x11" + left[0] + sums[0] + right[0] + sums[1]).digest(), left[1] + right[1]


def _parent_of_maxwell_and_todd(left: _Sum, right: _Sum) -> _Sum:
    total = left[1] + right[1]
    return hashlib.sha256(b"\x11" + total.to_bytes(16, "big") + left[0] + right[0]).digest(), total


def _climbed(
    leaf: _Sum, fragment: Fragment, parent: Callable[[_Sum, _Sum], _Sum], *, swapped: int = -1
) -> _Sum:
    node = leaf
    for level, sibling in enumerate(fragment.path):
        right = bool(fragment.index >> level & 1) != (level == swapped)
        node = parent(sibling, node) if right else parent(node, sibling)
    return node


# ── receipts ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Receipt:
    """An entry of the log, its proof, and what of the entry's content its owner may see."""

    entry: str
    proof: TlogProof
    salt: bytes | None
    payload: str | None
    item: dict[str, Json] | None


def receipt_of(text: bytes) -> Receipt:
    """A receipt out of its file."""
    try:
        told = json_of(text.decode("utf-8")) if len(text) <= 1_000_000 else None
        members = _members(told, {"schema", "entry", "proof", "salt", "payload", "item"}, "receipt")
        if members["schema"] != "tallystick/receipt/1":
            raise _malformed("schema")
        entry = _text(members["entry"], "entry", 65_535)
        proof = proof_of(_text(members["proof"], "proof", 1_000_000).encode())
        salt = None if members["salt"] is None else _hash(members["salt"], "salt")
        payload = None if members["payload"] is None else _text(members["payload"], "payload", 1_000_000)
        item = members["item"]
        if item is not None:
            _members(item, {"thing", "blind", "index", "count", "path"}, "item")
            _whole(item["index"], "index")
            _whole(item["count"], "count")
            [_hash(each, "path") for each in _list(item["path"], "path", 63)]
            for name, form in (("blind", "[0-9a-f]{32}"), ("thing", "([0-9a-f]{2})*")):
                if not isinstance(item[name], str) or not re.fullmatch(form, item[name]):
                    raise _malformed(name)
    except (ValueError, RecursionError):
        raise Refused("receipt_malformed", reason="JSON") from None
    except Refused as refused:
        if refused.code != "liability_proof_malformed":
            raise
        raise Refused("receipt_malformed", **refused.fields) from None
    return Receipt(entry, proof, salt, payload, item)


def check_receipt(receipt: Receipt, policy: Policy | None) -> Accepted:
    """The accepted checkpoint, if the entry is in its log and commits to what the receipt shows."""
    found = check_logged(receipt.proof, receipt.entry.encode(), policy)
    try:
        entry = json_of(receipt.entry)
    except (ValueError, RecursionError):
        entry = None
    entry = entry if isinstance(entry, dict) else {}
    if receipt.payload is not None:
        salted = b"evid/payload/v1\x00" + (receipt.salt or b"") + receipt.payload.encode()
        if receipt.salt is None or entry.get("c") != hashlib.sha256(salted).hexdigest():
            raise Refused("payload_differs")
    if (item := receipt.item) is not None:
        root, count = entry.get("r"), entry.get("n", item["count"])
        if not isinstance(root, str) or not _HEX.fullmatch(root) or count != item["count"]:
            raise Refused("item_differs")
        leaf = leaf_hash(bytes.fromhex(item["blind"] + item["thing"]))
        path = [bytes.fromhex(each) for each in item["path"]]
        try:
            check_inclusion(item["index"], item["count"], leaf, path, bytes.fromhex(root))
        except Refused:
            raise Refused("item_differs") from None
    return found


# A transfer's row as PostgreSQL's binary COPY hands it out: 22 fields, each after its length.
_TRANSFER_FIELDS, _ID, _DEBIT, _CREDIT, _AMOUNT, _AT, _REFERENCE = 22, 2, 5, 6, 7, 9, 18
_SINCE_2000 = 946_684_800


def transfer_of(row: bytes) -> dict[str, Json] | None:
    """What a transfer's row says, for its owner to read; nothing where it is no such row."""
    fields: list[bytes | None] = []
    at = 2
    while at + 4 <= len(row) and len(fields) < _TRANSFER_FIELDS:
        (length,) = struct.unpack_from(">i", row, at)
        fields.append(None if length < 0 else row[at + 4 : at + 4 + length])
        at += 4 + max(length, 0)
    told = (
        [fields[each] or b"" for each in (_ID, _DEBIT, _CREDIT, _AMOUNT, _AT)]
        if len(fields) == _TRANSFER_FIELDS
        else []
    )
    if at != len(row) or row[:2] != b"\x00\x16" or [len(each) for each in told] != [16, 8, 8, 8, 8]:
        return None
    debit, credit, amount, microseconds = (int.from_bytes(each, "big", signed=True) for each in told[1:])
    return {
        "id": f"trf_{uuid.UUID(bytes=told[0])}",
        "debit_account": f"acc_{debit:018d}",
        "credit_account": f"acc_{credit:018d}",
        "amount_minor": str(amount),
        "at": microseconds // 1_000_000 + _SINCE_2000,
        "reference": (fields[_REFERENCE] or b"").decode("utf-8", "replace"),
    }


# ── files: what each is, and what is said of it ───────────────────────────────────────────────────────────


@dataclass
class Answer:
    """What is said of one file. `code` is empty where it was verified."""

    file: str
    kind: str
    code: str = ""
    fields: dict[str, object] = field(default_factory=dict)
    facts: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What whoever checks brings along."""

    policy: Policy | None = None
    commitments: tuple[Commitment, ...] = ()
    identifiers: list[str] | None = None
    balance: int | None = None


_PAGE = re.compile(rb'<script type="application/json" id="evidence">(.*?)</script>', re.DOTALL)


def kind_of(content: bytes) -> str:
    """What a file is, by how it begins."""
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
    kinds = {"tallystick/liability-proof/1": "liability", "tallystick/receipt/1": "receipt"}
    return kinds.get(str(schema), "unknown")


def answers(given: Mapping[str, bytes], asked: Asked) -> list[Answer]:
    """What is said of each file, all of them looked at together."""
    files = dict(_unpacked(given))
    kinds = {name: kind_of(content) for name, content in files.items()}
    # What a proof is of lies beside it, under its name without the ending.
    entries = {name.removesuffix(".tlog-proof") for name, kind in kinds.items() if kind == "proof"}
    told, heads = [], list[tuple[Answer, Head]]()
    # Checkpoints first: what grew out of them is compared with them.
    order = sorted(files, key=lambda name: kinds[name] == "history")
    for name in order:
        if name in entries and kinds[name] == "unknown":
            continue
        answer = Answer(name, kinds[name])
        told.append(answer)
        try:
            head = _CHECKS[kinds[name]](answer, files, asked, [head for _, head in heads])
        except Refused as refused:
            answer.code, answer.fields = refused.code, refused.fields
        else:
            if head is not None:
                heads.append((answer, head))
    for answer, head in heads:
        for _, other in heads:
            if (head.origin, head.size) == (other.origin, other.size) and head.root != other.root:
                answer.code, answer.fields = "split_view", {"origin": head.origin, "size": head.size}
    return sorted(told, key=lambda answer: list(files).index(answer.file))


def _unpacked(given: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for name, content in given.items():
        if kind_of(content) != "page":
            yield name, content
            continue
        # A saved page. Its own policy is not believed: whoever checks brings theirs.
        try:
            found = _PAGE.search(content)
            inside = json.loads(found[1].decode("utf-8"))["files"] if found else {}
            texts = {f"{name}:{inner}": text.encode() for inner, text in inside.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            texts = {}
        # A page without files is answered too: nothing passes by being silent.
        yield from texts.items() or {name: b""}.items()


_Heads = Sequence[Head]


def _noted(answer: Answer, found: Accepted) -> Head:
    # Names are octets; what is not UTF-8 is shown as well as can be.
    seen = {
        name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"): at
        for name, at in found.seen.items()
    }
    answer.facts |= {"origin": found.head.origin, "size": found.head.size, "witnesses": seen}
    return found.head


def _checkpoint(answer: Answer, files: Mapping[str, bytes], asked: Asked, heads: _Heads) -> Head:
    return _noted(answer, accepted(files[answer.file], asked.policy))


def _proof(answer: Answer, files: Mapping[str, bytes], asked: Asked, heads: _Heads) -> Head:
    proof = proof_of(files[answer.file])
    entry = files.get(answer.file.removesuffix(".tlog-proof"))
    if entry is None or not answer.file.endswith(".tlog-proof"):
        raise Refused("entry_missing")
    answer.facts["index"] = proof.index
    return _noted(answer, check_logged(proof, entry, asked.policy))


def _history(answer: Answer, files: Mapping[str, bytes], asked: Asked, heads: _Heads) -> Head:
    above, blank, note = files[answer.file].partition(b"\n\n")
    first, *lines = above.decode("ascii", "replace").split("\n")
    if not blank or not _SIZE.fullmatch(first[4:]) or int(first[4:]) >= 2**63:
        raise Refused("proof_malformed", reason="old")
    hashes = _hashes(lines)
    found = accepted(note, asked.policy)
    old_size = int(first[4:])
    known = [head for head in heads if (head.origin, head.size) == (found.head.origin, old_size)]
    if old_size == 0:
        known = [Head(found.head.origin, 0, hashlib.sha256(b"").digest())]
    if not known:
        raise Refused("old_checkpoint_missing", size=old_size)
    for old in known:
        check_extension(old, found.head, hashes)
    answer.facts["old_size"] = old_size
    return _noted(answer, found)


def _receipt(answer: Answer, files: Mapping[str, bytes], asked: Asked, heads: _Heads) -> Head:
    receipt = receipt_of(files[answer.file])
    answer.facts["index"] = receipt.proof.index
    found = check_receipt(receipt, asked.policy)
    if receipt.item is not None and json_of(receipt.entry).get("t") == "custody.transfers_posted":
        answer.facts |= {"transfer": transfer_of(bytes.fromhex(receipt.item["thing"]))}
    return _noted(answer, found)


def _liability(answer: Answer, files: Mapping[str, bytes], asked: Asked, heads: _Heads) -> Head | None:
    proof = liability_of(files[answer.file])
    own, head, published = proof.commitment.digest, None, b""
    if asked.commitments:
        published = own if own in {each.digest for each in asked.commitments} else b""
    elif proof.statement is not None and proof.inclusion is not None:
        head = _noted(answer, _stated(proof.statement, proof.inclusion, asked.policy))
        published = own if _names(proof.statement, proof.commitment) else b""
    else:
        published = own
    check_liability(proof, published, identifiers=asked.identifiers, balance=asked.balance)
    if not asked.commitments and head is None:
        # The proof fits itself, and nobody has said that others were shown the same tree.
        raise Refused("commitment_missing")
    header = proof.commitment.told["header"]
    answer.facts |= {name: header[name] for name in ("asset", "scale", "day", "customers")}
    answer.facts |= {"identifiers": proof.identifiers, "balance": str(proof.balance)}
    answer.facts["total"] = str(proof.commitment.total)
    return head


def _stated(statement: str, inclusion: str, policy: Policy | None) -> Accepted:
    # The statement stands in an entry's payload; what else the entry says is the proof's extra. Nobody signs
    # that, but the entry that comes of it has to be in the log.
    proof = proof_of(inclusion.encode())
    entry = statement.encode()
    if proof.extra is not None:
        told, within = _object(proof.extra.decode("utf-8", "replace")), _object(statement)
        payload = told.get("p")
        if not isinstance(payload, dict) or "statement" in payload:
            raise Refused("payload_differs")
        entry = jcs({**told, "p": {**payload, "statement": within}})
    return check_logged(proof, entry, policy)


def _names(statement: str, commitment: Commitment) -> bool:
    assets = _object(statement).get("assets")
    return isinstance(assets, list) and any(
        isinstance(each, dict) and each.get("liabilities") == commitment.told for each in assets
    )


def _object(text: str) -> dict[str, Json]:
    try:
        told = json_of(text)
        # As the other implementations: nothing that RFC 8785 has two words for.
        _canonical(told)
    except (ValueError, RecursionError, Refused):
        told = None
    if not isinstance(told, dict):
        raise Refused("payload_differs")
    return told


def _unknown(answer: Answer, files: Mapping[str, bytes], asked: Asked, heads: _Heads) -> None:
    raise Refused("file_unknown")


_Check = Callable[[Answer, Mapping[str, bytes], Asked, _Heads], Head | None]
_CHECKS: dict[str, _Check] = {
    "checkpoint": _checkpoint,
    "proof": _proof,
    "history": _history,
    "receipt": _receipt,
    "liability": _liability,
    "unknown": _unknown,
    "page": _unknown,
}


# ── words ─────────────────────────────────────────────────────────────────────────────────────────────────

# WORDS (written by scripts/verifier.py)
WORDS: dict[str, dict[str, str]] = {
    "key_malformed": {
        "en": "This is not a key: {reason}.",
        "zh": "这不是密钥：{reason}。",
        "do": "policy",
    },
    "key_type_unknown": {
        "en": "The key {name} signs in a way that is not known here (type {algorithm}).",
        "zh": "密钥 {name} 的签名方式不受支持（类型 {algorithm}）。",
        "do": "policy",
    },
    "note_malformed": {
        "en": "This is not a signed note: {reason}.",
        "zh": "这不是带签名的文本：{reason}。",
        "do": "again",
    },
    "signature_wrong": {
        "en": "The signature of {name} does not fit the text: it was changed after it was signed, or forged.",
        "zh": "{name} 的签名与正文不符：正文在签名后被改动，或签名系伪造。",
        "do": "report",
    },
    "signature_missing": {
        "en": "Nobody who was expected to sign this did: {names}.",
        "zh": "应当签名的各方均未签名：{names}。",
        "do": "policy",
    },
    "checkpoint_malformed": {
        "en": "This is not a checkpoint: {reason}.",
        "zh": "这不是检查点：{reason}。",
        "do": "again",
    },
    "policy_malformed": {
        "en": "Line {line} of the policy cannot be used: {reason}.",
        "zh": "策略文件第 {line} 行无法使用：{reason}。",
        "do": "policy",
    },
    "log_unknown": {
        "en": "The log {origin} is none that the policy trusts, or its signature is missing.",
        "zh": "日志 {origin} 不在策略信任之列，或缺少其签名。",
        "do": "policy",
    },
    "quorum_missing": {
        "en": "Too few witnesses have cosigned: {quorum} is asked for, and there is only: {seen}.",
        "zh": "见证方共签不足：要求达到 {quorum}，而实际仅有：{seen}。",
        "do": "later",
    },
    "proof_malformed": {
        "en": "This is not a proof of inclusion: {reason}.",
        "zh": "这不是包含证明：{reason}。",
        "do": "again",
    },
    "index_outside_tree": {
        "en": "Entry {index} is not in a log of {size} entries.",
        "zh": "共有 {size} 个条目的日志中没有第 {index} 个（从 0 起计）。",
        "do": "report",
    },
    "tree_shrank": {
        "en": "A log of {new_size} entries cannot have grown out of one of {old_size}.",
        "zh": "只有 {new_size} 个条目的日志不可能由 {old_size} 条增长而来。",
        "do": "report",
    },
    "proof_length_wrong": {
        "en": "The proof has {given} hashes and needs {needed}: some were taken away or added.",
        "zh": "证明含 {given} 个哈希，应为 {needed} 个：有哈希被删去或添入。",
        "do": "report",
    },
    "old_root_differs": {
        "en": "The log of {old_size} entries that was seen earlier is not how this one begins: history was changed.",
        "zh": "此前见过的 {old_size} 个条目并非该日志的开头：历史已被改动。",
        "do": "report",
    },
    "root_differs": {
        "en": "The proof leads to another root than the signed one: entry, place or proof was changed.",
        "zh": "由证明算出的根哈希与已签名的不同：条目、位置或证明被改动。",
        "do": "report",
    },
    "liability_proof_malformed": {
        "en": "This is not a proof of liabilities: {reason}.",
        "zh": "这不是负债证明：{reason}。",
        "do": "again",
    },
    "profile_unknown": {
        "en": "The proof is made by rules that are not known here: {profile}.",
        "zh": "这份证明所用的规则此处不认识：{profile}。",
        "do": "newer",
    },
    "tree_shape_wrong": {
        "en": "{customers} accounts in {fragments} parts make {leaves} leaves and {height} levels; the proof says otherwise.",
        "zh": "{customers} 个账户各分为 {fragments} 份，应有 {leaves} 个叶子、{height} 层；证明所写与此不符。",
        "do": "report",
    },
    "another_tree": {
        "en": "The proof is of another tree than the published one: of another day, or of a tree made for you alone.",
        "zh": "这份证明所属的树不是已公布的那一棵：可能是另一天的，或是专门做给您一人看的。",
        "do": "report",
    },
    "account_differs": {
        "en": "The proof is of another account than yours: the same leaf may have been shown to somebody else too.",
        "zh": "这份证明属于另一个账户，不是您的：同一个叶子可能也出示给了别人。",
        "do": "own",
    },
    "fragments_incomplete": {
        "en": "A balance has {needed} parts, each at a place of its own; the proof shows {given}.",
        "zh": "一笔余额分为 {needed} 份，各有自己的位置；证明只出示了 {given} 份。",
        "do": "report",
    },
    "amount_negative": {
        "en": "The proof holds a negative amount ({amount}): that would hide what others are owed.",
        "zh": "证明中有负数金额（{amount}）：这会掩盖欠其他客户的钱。",
        "do": "report",
    },
    "index_outside_leaves": {
        "en": "There is no leaf {index} in a tree of {leaves}.",
        "zh": "这棵树有 {leaves} 个叶子，没有第 {index} 号。",
        "do": "report",
    },
    "path_length_wrong": {
        "en": "The path has {given} levels and needs {needed}: some were taken away or added.",
        "zh": "路径有 {given} 层，应有 {needed} 层：有的被删去或添加。",
        "do": "report",
    },
    "sum_too_large": {
        "en": "A sum at level {level} is larger than any can be: it was made to run over.",
        "zh": "第 {level} 层的合计超出可能的上限：它是为了溢出而造的。",
        "do": "report",
    },
    "padding_altered": {
        "en": "What fills the tree up at level {level} is not empty, as it must be.",
        "zh": "第 {level} 层用来补齐树的节点应为空，实际不是。",
        "do": "report",
    },
    "children_swapped": {
        "en": "Left and right were exchanged at level {level}: the leaf is not where the proof says.",
        "zh": "第 {level} 层的左右被对调：叶子不在证明所说的位置。",
        "do": "report",
    },
    "sums_not_bound": {
        "en": "The tree hashes the sum of two children and not each one's own: a part of it can count for less than it holds.",
        "zh": "这棵树只对两个子节点的合计取散列，而没有对各自的合计取散列：其中一部分可以被少计。",
        "do": "report",
    },
    "liabilities_root_differs": {
        "en": "The proof leads to another root than the published one: account, amount, place or path was changed.",
        "zh": "证明得出的根与已公布的不同：账户、金额、位置或路径被改动。",
        "do": "report",
    },
    "total_differs": {
        "en": "The published total is {total}, and the tree comes to {sum}.",
        "zh": "公布的总额是 {total}，而这棵树合计为 {sum}。",
        "do": "report",
    },
    "balance_differs": {
        "en": "The proof counts {counted} as owed to you, not {balance}.",
        "zh": "证明中计入欠您的是 {counted}，不是 {balance}。",
        "do": "own",
    },
    "file_unknown": {
        "en": "This is none of the files that can be checked: no checkpoint, proof, receipt or saved page.",
        "zh": "这不是可验证的文件：既非检查点、证明、回执，也非保存的网页。",
        "do": "again",
    },
    "policy_missing": {
        "en": "Nobody has said whose signatures count: checking needs a policy.",
        "zh": "未说明以谁的签名为准：验证需要策略文件。",
        "do": "policy",
    },
    "entry_missing": {
        "en": "The entry that the proof is of is not here: it lies beside the proof, under its name without the ending.",
        "zh": "缺少证明所针对的条目：它应与证明放在一起，文件名为证明文件名去掉扩展名。",
        "do": "beside",
    },
    "receipt_malformed": {
        "en": "This is not a receipt: {reason}.",
        "zh": "这不是回执：{reason}。",
        "do": "again",
    },
    "payload_differs": {
        "en": "What the receipt shows is not what was entered in the log: one of them was changed.",
        "zh": "回执所示内容与日志中登记的不一致：其中之一被改动。",
        "do": "report",
    },
    "item_differs": {
        "en": "What the receipt shows is not among the things that were entered in the log together.",
        "zh": "回执所示内容不在日志同批登记的各项之中。",
        "do": "report",
    },
    "old_checkpoint_missing": {
        "en": "The checkpoint of {size} entries that this one is said to have grown out of is not among the files.",
        "zh": "所给文件中没有 {size} 个条目时的检查点，而该日志据称由其增长而来。",
        "do": "beside",
    },
    "split_view": {
        "en": "There are two roots for {size} entries of {origin}: its log shows different people different histories.",
        "zh": "日志 {origin} 在 {size} 个条目处有两个不同的根哈希：它向不同的人出示不同的历史。",
        "do": "report",
    },
    "commitment_missing": {
        "en": "The proof fits itself, but nothing here says that everybody was shown the same tree.",
        "zh": "证明自身成立，但没有任何依据表明所有人看到的是同一棵树。",
        "do": "published",
    },
}
ADVICE: dict[str, dict[str, str]] = {
    "again": {
        "en": "Fetch the file again from where you got it. If it stays so, keep both and ask whoever gave it to you.",
        "zh": "请重新下载该文件。若仍如此，请保留两份文件并询问提供方。",
    },
    "policy": {
        "en": "Take the policy from the regulator's or the bank's site, or from your contract; not from the platform.",
        "zh": "请从监管机构或存管银行的网站、或您的合同中取得策略文件，不要使用平台提供的。",
    },
    "later": {
        "en": "Witnesses sign after the log does: fetch the file again later. If it stays so for a day, report it.",
        "zh": "见证方在日志之后签名：请稍后重新下载。若一天后仍如此，请向监管机构反映。",
    },
    "own": {
        "en": "Compare account, identifiers and amount with your contract. If they are as you gave them, report it to the regulator together with this file.",
        "zh": "请将账号、标识与金额同您的合同核对。若确与您提供的一致，请连同本文件向监管机构举报。",
    },
    "report": {
        "en": "Keep this file unchanged: it is evidence. Send it to the platform and to the regulator.",
        "zh": "请原样保存本文件：它是证据。请发送给平台和监管机构。",
    },
    "newer": {
        "en": "Fetch a newer verifier.",
        "zh": "请下载更新版本的验证工具。",
    },
    "beside": {
        "en": "Put the file beside this one and check both.",
        "zh": "请将该文件放在同一目录，一并验证。",
    },
    "published": {
        "en": "Give the commitment as the bank or the regulator shows it, or a proof that holds the signed statement.",
        "zh": "请提供银行或监管机构公布的承诺值，或使用含已签名声明的证明。",
    },
    "checkpoint": {
        "en": "Verified: a signed head of the log.",
        "zh": "已验证：日志的已签名检查点。",
    },
    "proof": {
        "en": "Verified: the entry is in the log, at {index}.",
        "zh": "已验证：该条目在日志中，序号 {index}。",
    },
    "history": {
        "en": "Verified: the log only grew, and begins with the {old_size} entries seen before.",
        "zh": "已验证：日志只增不改，开头即此前所见的 {old_size} 个条目。",
    },
    "receipt": {
        "en": "Verified: the receipt's entry is in the log, at {index}, and it is what the receipt shows.",
        "zh": "已验证：回执对应的条目在日志中，序号 {index}，且与回执所示一致。",
    },
    "liability": {
        "en": "Verified: {owed} {asset} is counted as owed to {identifiers} on {day}, in a total of {whole} {asset} over {customers} accounts.",
        "zh": "已验证：{day} 平台应付给 {identifiers} 的 {owed} {asset} 已计入负债总额 {whole} {asset}，共 {customers} 个账户。",
    },
    "log": {
        "en": "Log {origin}, {size} entries; cosigned by: {seen}.",
        "zh": "日志 {origin}，共 {size} 个条目；共签的见证方：{seen}。",
    },
}
# END OF WORDS


def _filled(template: str, fields: Mapping[str, object]) -> str:
    def one(found: re.Match[str]) -> str:
        value = fields.get(found[1], "–")
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    return re.sub(r"\{(\w+)\}", one, template)


def told(answer: Answer, language: str) -> str:
    """An answer in words."""
    if answer.code:
        words = WORDS[answer.code]
        return f"{_filled(words[language], answer.fields)} {ADVICE[words['do']][language]}"
    facts = dict(answer.facts)
    if answer.kind == "liability":
        facts |= {
            name: _major(facts[of], facts["scale"]) for name, of in (("owed", "balance"), ("whole", "total"))
        }
    seen = ", ".join(f"{name} ({_moment_of(at)})" for name, at in facts.get("witnesses", {}).items()) or "–"
    parts = [_filled(ADVICE[answer.kind][language], facts)]
    if "origin" in facts:
        parts.append(_filled(ADVICE["log"][language], {**facts, "seen": seen}))
    return " ".join(parts)


def _major(minor: str, scale: int) -> str:
    whole = minor.rjust(scale + 1, "0")
    return f"{whole[:-scale]}.{whole[-scale:]}" if scale else whole


def _moment_of(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return "–"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0], allow_abbrev=False)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--policy", type=Path, help="whose signatures count")
    parser.add_argument("--commitment", type=Path, action="append", default=[], help="as it was published")
    parser.add_argument("--identifier", action="append", help="of your account, in their order")
    parser.add_argument("--balance", type=int, help="yours, in minor units")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--language", choices=["en", "zh"], help="of the words; else as LANG says")
    options = parser.parse_args(arguments)
    language = options.language or ("zh" if os.environ.get("LANG", "").startswith("zh") else "en")
    try:
        asked = Asked(
            policy_of(_content(options.policy)) if options.policy else None,
            tuple(commitment_of(json_of(_content(path).decode())) for path in options.commitment),
            options.identifier,
            options.balance,
        )
        given = {str(path): _content(path) for path in options.files}
        for path in options.files:
            beside = path.with_name(path.name.removesuffix(".tlog-proof"))
            if path.name.endswith(".tlog-proof") and beside.is_file():
                given.setdefault(str(beside), _content(beside))
    except (OSError, ValueError) as failure:
        print(failure, file=sys.stderr)
        return 2
    except Refused as refused:
        print(told(Answer("", "", refused.code, refused.fields), language), file=sys.stderr)
        return 2
    found = answers(given, asked)
    if options.json:
        print(json.dumps([_spelled(answer, language) for answer in found], ensure_ascii=False, indent=1))
    else:
        for answer in found:
            print(f"{'✗' if answer.code else '✓'} {answer.file}: {told(answer, language)}")
    return 1 if any(answer.code for answer in found) or not found else 0


def _content(path: Path) -> bytes:
    if path.stat().st_size > FILE_BYTES_MAX:
        raise ValueError(f"{path}: more than {FILE_BYTES_MAX} bytes")
    return path.read_bytes()


def _spelled(answer: Answer, language: str) -> dict[str, Json]:
    return {
        "file": answer.file,
        "kind": answer.kind,
        "verified": not answer.code,
        "code": answer.code,
        "message": told(answer, language),
        "facts": answer.facts,
    }


if __name__ == "__main__":
    sys.exit(main())
