"""A witness's secret keys: one file, made once, for its owner's eyes alone.

Promises: a key file appears whole or not at all and is never written over with other keys; one that others may
read is not used. A line is a secret key as C2SP's tools write it: `PRIVATE+KEY+name+id+material`.
"""

from __future__ import annotations

import base64
import contextlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from tallystick.core import chance
from tallystick.evidence import cosignatures, errors, notes
from tallystick.evidence.cosignatures import Cosigner

NAME = "witness.key"

_BEGIN = "PRIVATE+KEY+"
_SEED_BYTES = 32


def path_of(folder: Path) -> Path:
    """Where the keys of a witness are."""
    return folder / NAME


def read(folder: Path) -> list[Cosigner]:
    """The keys, in their order; none where there is no file.

    Raises `errors.WitnessKeyExposed` and `errors.KeyMalformed`.
    """
    path = path_of(folder)
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise errors.WitnessKeyExposed(path=path)
            text = file.read(100_000).decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return [_cosigner(line) for line in text.splitlines()]


def make(folder: Path, name: str, *, ml_dsa: bool = False) -> list[Cosigner]:
    """New keys under a name, durable: Ed25519, and ML-DSA-44 beside it where that is asked for.

    Raises `errors.KeyMalformed` where the name cannot be a key's.
    """
    made = [Cosigner(name, notes.Ed25519Secret(chance.salt()), cosignatures.ED25519)]
    if ml_dsa:
        made.append(_ml_dsa(name))
    _check_name(made[0])
    _write(folder, made, again=False)
    return made


def with_ml_dsa(folder: Path, there: Sequence[Cosigner]) -> list[Cosigner]:
    """The keys, with one of ML-DSA-44 added where there is none yet."""
    if any(each.algorithm == cosignatures.ML_DSA_44 for each in there):
        return list(there)
    both = [*there, _ml_dsa(there[0].name)]
    _write(folder, both, again=True)
    return both


def _ml_dsa(name: str) -> Cosigner:
    return Cosigner(name, cosignatures.MlDsa44Secret(chance.salt()), cosignatures.ML_DSA_44)


def _check_name(cosigner: Cosigner) -> None:
    # A public key is read more strictly than it is made.
    notes.parse_key(cosigner.key.text)


def _line(cosigner: Cosigner) -> str:
    secret = cosigner.secret
    assert isinstance(secret, notes.Ed25519Secret | cosignatures.MlDsa44Secret), "a device keeps its own keys"
    material = base64.b64encode(bytes([cosigner.algorithm]) + secret.seed).decode()
    return f"{_BEGIN}{cosigner.name}+{cosigner.key.id.hex()}+{material}\n"


def _cosigner(line: str) -> Cosigner:
    name, _, rest = line.removeprefix(_BEGIN).partition("+")
    key_id, _, encoded = rest.partition("+")
    material = notes.base64_bytes(encoded)
    if not line.startswith(_BEGIN) or material is None or len(material) != 1 + _SEED_BYTES:
        raise errors.KeyMalformed(reason="it is no secret key of a witness")
    algorithm, seed = material[0], material[1:]
    if algorithm == cosignatures.ED25519:
        cosigner = Cosigner(name, notes.Ed25519Secret(seed), algorithm)
    elif algorithm == cosignatures.ML_DSA_44:
        cosigner = Cosigner(name, cosignatures.MlDsa44Secret(seed), algorithm)
    else:
        raise errors.KeyMalformed(reason=f"a key of type 0x{algorithm:02x} signs no checkpoint")
    if cosigner.key.id.hex() != key_id:
        raise errors.KeyMalformed(reason="its id is not the one of its name and material")
    _check_name(cosigner)
    return cosigner


def _write(folder: Path, cosigners: Sequence[Cosigner], *, again: bool) -> None:
    path = path_of(folder)
    draft = path.with_name(f"{NAME}.draft")
    with contextlib.suppress(FileNotFoundError):
        # Left over by somebody who was killed here: its keys have signed nothing.
        draft.unlink()
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write("".join(map(_line, cosigners)).encode())
        file.flush()
        os.fsync(file.fileno())
    if again:
        draft.replace(path)
    else:
        # Fails where somebody else has made keys meanwhile: those stay.
        os.link(draft, path)
        draft.unlink()
    _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
