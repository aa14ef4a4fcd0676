"""A policy says whom to trust: read strictly, and one witness never counts twice."""

from __future__ import annotations

import pytest

from tallystick.evidence import checkpoints, cosignatures, errors, hashing, notes
from tallystick.evidence import policy as policies

LOG = notes.Signer("bank.example/log", notes.Ed25519Secret(b"l" * 32))
HEAD = checkpoints.Checkpoint("bank.example/log", 7, hashing.leaf_hash(b""))


def witness(letter: str, *, quantum: bool = False) -> cosignatures.Cosigner:
    seed = letter.encode() * 32
    if quantum:
        secret = cosignatures.MlDsa44Secret(seed)
        return cosignatures.Cosigner(f"w-{letter}.example", secret, cosignatures.ML_DSA_44)
    return cosignatures.Cosigner(f"w-{letter}.example", notes.Ed25519Secret(seed))


X = {f"X{n}": witness(str(n)) for n in (1, 2, 3)}
Y = {f"Y{n}": witness(str(n), quantum=n == 6) for n in (4, 5, 6)}

LINES = (
    "# whom we trust 我们信任谁",
    f"log {LOG.key.text} https://bank.example/log",
    *(f"witness {name}\t{each.key.text}" for name, each in X.items()),
    "group X-witnesses 2 X1 X2 X3",
    "",
    *(f"  witness {name} {each.key.text} https://{name}.example" for name, each in Y.items()),
    "group Y-witnesses any Y4 Y5 Y6",
    "group X-and-Y all X-witnesses Y-witnesses",
    "quorum X-and-Y",
)


def read(*lines: str) -> policies.Policy:
    return policies.parse("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))


def note(*names: str, log: notes.Signer = LOG, head: checkpoints.Checkpoint = HEAD) -> bytes:
    witnesses = {**X, **Y}
    signed = [witnesses[name].sign(head.text, at_seconds=1_000 + len(name)) for name in names]
    return notes.joined(head.text, [log.sign(head.text), *signed])


@pytest.mark.parametrize(
    ("names", "accepted"),
    [
        (("X1", "X2", "Y4"), True),
        (("X3", "X1", "Y6"), True),
        (("X1", "X2", "X3", "Y4", "Y5", "Y6"), True),
        (("X1", "X2"), False),
        (("X1", "Y4", "Y5", "Y6"), False),
        (("X1", "X1", "Y4"), False),
        ((), False),
    ],
)
def test_a_quorum_is_reached_by_enough_of_each_group(names, accepted):
    verdict = policies.judge(note(*names), read(*LINES))
    assert verdict.accepted is accepted
    assert verdict.checkpoint == HEAD
    assert set(verdict.seen) == set(names)
    assert isinstance(verdict.refusal, errors.QuorumMissing) is not accepted


def test_the_last_time_of_a_witness_is_told():
    again = notes.joined(
        HEAD.text, [LOG.sign(HEAD.text), *(X["X1"].sign(HEAD.text, at_seconds=at) for at in (9, 30, 20))]
    )
    assert policies.judge(again, read(*LINES[:-1], "quorum X1")).seen == {"X1": 30}


def test_a_log_that_nobody_trusts_is_not_believed():
    other = notes.Signer("other.example/log", notes.Ed25519Secret(b"o" * 32))
    for log in (other, notes.Signer(LOG.name, other.secret)):
        verdict = policies.judge(note("X1", "X2", "Y4", log=log), read(*LINES))
        assert isinstance(verdict.refusal, errors.LogUnknown)
    verdict = policies.judge(note(log=other), read(*LINES))
    assert isinstance(verdict.refusal, errors.SignatureMissing)


def test_a_trusted_log_does_not_speak_for_another_one():
    head = checkpoints.Checkpoint("other.example/log", 7, HEAD.root)
    verdict = policies.judge(note("X1", "X2", "Y4", head=head), read(*LINES))
    assert isinstance(verdict.refusal, errors.LogUnknown)


def test_a_policy_without_logs_or_witnesses_leaves_it_to_whoever_asks():
    nobody = read("quorum none")
    assert isinstance(policies.judge(note(), nobody).refusal, errors.SignatureMissing)
    assert policies.require(note(), nobody, logs=[LOG.key]).checkpoint == HEAD


def test_a_forged_cosignature_refuses_the_checkpoint():
    forged = notes.Signature(X["X3"].name, X["X3"].key.id, bytes(72))
    text = notes.joined(HEAD.text, [LOG.sign(HEAD.text), forged])
    with pytest.raises(errors.SignatureWrong):
        policies.require(text, read("quorum none", *LINES[1:5]))


def test_names_are_octets():
    """A Kelvin sign is no K; bytes that are not UTF-8 are names like any other."""
    kelvin = read(f"witness \u212a {X['X1'].key.text}", f"witness K {X['X2'].key.text}", "quorum K")
    assert set(kelvin.witnesses) == {"\u212a", "K"}
    odd = read(f"witness \udcff {X['X1'].key.text}", "quorum \udcff")
    assert policies.judge(note("X1"), odd, logs=[LOG.key]).accepted


W1, W2, LOG_LINE = LINES[2], LINES[3], LINES[1]


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (W1,),
        (W1, "quorum X1", "quorum X1"),
        ("quorum X1", W1),
        (W1, "quorum X2"),
        (W1, W1, "quorum X1"),
        (W1, W1.replace("witness X1", "witness X9"), "quorum X1"),
        (W1, W2.replace("witness X2", "witness X1"), "quorum X1"),
        (W1.replace("witness X1", "witness none"), "quorum none"),
        (LOG_LINE, LOG_LINE, "quorum none"),
        (f"log {X['X1'].key.text}", "quorum none"),
        (f"witness L {LOG.key.text}", "quorum none"),
        (W1, "group g any", "quorum g"),
        (W1, "group g any X2", "quorum g"),
        (W1, "group g any none", "quorum g"),
        (W1, "group g any X1 X1", "quorum g"),
        (W1, "group g 0 X1", "quorum g"),
        (W1, "group g 2 X1", "quorum g"),
        (W1, "group g 01 X1", "quorum g"),
        (W1, "group g -1 X1", "quorum g"),
        (W1, "group g some X1", "quorum g"),
        (W1, W2, "group g any X1", "group h all g X1", "quorum h"),
        (W1, "group X1 any X1", "quorum X1"),
        (W1, "group g any g", "quorum g"),
        (W1, "quorum"),
        (W1, "quorum X1 X1"),
        (W1 + " url url", "quorum X1"),
        ("witness X1", "quorum X1"),
        ("log", "quorum none"),
        ("trust nobody", "quorum none"),
        ("quorum\u00a0none",),
        ("quorum none\r",),
        ("# \x01", "quorum none"),
        ("quorum none\x7f",),
    ],
)
def test_a_policy_that_means_nothing_or_two_things_is_refused(lines):
    with pytest.raises(errors.PolicyMalformed):
        read(*lines)


def test_a_policy_cut_off_is_refused():
    """`quorum bank-and-regulator` cut short could name another quorum."""
    with pytest.raises(errors.PolicyMalformed):
        policies.parse("\n".join(LINES).encode())


def test_a_witness_with_two_keys_under_two_kinds_counts_as_it_is_named():
    assert policies.judge(note("X1", "X2", "Y6"), read(*LINES)).accepted
