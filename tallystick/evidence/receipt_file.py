"""The file of a receipt: an entry of a log, its proof, and what of the entry its owner may see.

Nothing here judges signatures; `checking` does. The member names are the file's, in exactly this set.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from tallystick.evidence import batches, canonical, errors, hashing, tlog_proof

SCHEMA = "tallystick/receipt/1"

BYTES_MAX = 1_000_000

_MEMBERS = {"schema", "entry", "proof", "salt", "payload", "item"}
_ITEM = {"thing", "blind", "index", "count", "path"}
_HEX = re.compile(r"(?:[0-9a-f]{2})*")


@dataclass(frozen=True, slots=True)
class Item:
    """One of many things that one entry is about: its bytes, and the way to the entry's own root."""

    thing: bytes
    blind: bytes
    index: int
    count: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt. Salt and payload are nothing where the owner is not shown them."""

    entry: str
    proof: tlog_proof.TlogProof
    salt: bytes | None = None
    payload: str | None = None
    item: Item | None = None

    @property
    def text(self) -> str:
        """The receipt as it is kept in a file."""
        item = self.item
        told = {
            "schema": SCHEMA,
            "entry": self.entry,
            "proof": self.proof.text.decode(),
            "salt": None if self.salt is None else self.salt.hex(),
            "payload": self.payload,
            "item": None
            if item is None
            else {
                "thing": item.thing.hex(),
                "blind": item.blind.hex(),
                "index": item.index,
                "count": item.count,
                "path": [hash_.hex() for hash_ in item.path],
            },
        }
        return json.dumps(told, ensure_ascii=False, indent=1) + "\n"


def parse(content: bytes) -> Receipt:
    """A receipt out of its file. Nothing in it has been checked yet."""
    if len(content) > BYTES_MAX:
        raise errors.ReceiptMalformed(reason=f"more than {BYTES_MAX} bytes")
    told = _object(content.decode("utf-8", "replace"), _MEMBERS)
    if told["schema"] != SCHEMA:
        raise errors.ReceiptMalformed(reason="its schema is another one")
    return Receipt(
        entry=_text(told["entry"]),
        proof=tlog_proof.parse(_text(told["proof"]).encode()),
        salt=None if told["salt"] is None else _octets(told["salt"], 32),
        payload=None if told["payload"] is None else _text(told["payload"]),
        item=None if told["item"] is None else _item(told["item"]),
    )


def check_content(receipt: Receipt) -> None:
    """Refuses unless the entry commits to the payload and the thing that the receipt shows."""
    try:
        entry = json.loads(receipt.entry)
    except (ValueError, RecursionError):
        entry = None
    entry = entry if isinstance(entry, dict) else {}
    if receipt.payload is not None:
        if (
            receipt.salt is None
            or entry.get("c") != canonical.commitment(receipt.payload, receipt.salt).hex()
        ):
            raise errors.PayloadDiffers
    if (item := receipt.item) is not None:
        root = entry.get("r")
        if not isinstance(root, str) or entry.get("n", item.count) != item.count:
            raise errors.ItemDiffers
        leaf = batches.leaf(item.thing, item.blind)
        try:
            hashing.verify_inclusion(item.index, item.count, leaf, item.path, bytes.fromhex(root))
        except (errors.ProofRefused, ValueError):
            raise errors.ItemDiffers from None


def _item(told: object) -> Item:
    if not isinstance(told, dict) or set(told) != _ITEM or not isinstance(told["path"], list):
        raise errors.ReceiptMalformed(reason="item has other members")
    if len(told["path"]) > hashing.PROOF_HASHES_MAX:
        raise errors.ReceiptMalformed(reason="its path is too long")
    return Item(
        thing=_octets(told["thing"]),
        blind=_octets(told["blind"], batches.BLIND_BYTES),
        index=_whole(told["index"]),
        count=_whole(told["count"]),
        path=tuple(_octets(each, hashing.HASH_BYTES) for each in told["path"]),
    )


def _object(text: str, names: set[str]) -> dict[str, canonical.Value]:
    try:
        told = canonical.parsed(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or set(told) != names:
        raise errors.ReceiptMalformed(reason=f"no JSON of exactly {', '.join(sorted(names))}")
    return told


def _text(told: object) -> str:
    if not isinstance(told, str) or any("\ud800" <= character <= "\udfff" for character in told):
        raise errors.ReceiptMalformed(reason="something in it is no text")
    return told


def _octets(told: object, count: int | None = None) -> bytes:
    if not isinstance(told, str) or not _HEX.fullmatch(told) or len(told) != 2 * (count or len(told) // 2):
        raise errors.ReceiptMalformed(
            reason="something in it is not as many bytes in hexadecimal as it must be"
        )
    return bytes.fromhex(told)


def _whole(told: object) -> int:
    if isinstance(told, bool) or not isinstance(told, int) or not 0 <= told <= canonical.WHOLE_MAX:
        raise errors.ReceiptMalformed(reason="something in it is no whole number")
    return told
