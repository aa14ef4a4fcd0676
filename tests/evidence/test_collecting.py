"""Witnesses are asked, what they sign is kept, and whoever falls silent or saw another history is told of once."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from tallystick.core.db import APP, SEQUENCER
from tallystick.evidence import (
    checkpoints,
    errors,
    hashing,
    keys,
    log,
    notes,
    policy,
    publishing,
    reading,
    sealing,
)
from tallystick.evidence.keys import LEDGER, PUBLIC
from tallystick.evidence.witness import asking, collecting, quorum, request, witnessing
from tallystick.evidence.witness.collecting import Terms, Tried
from tests.evidence.outsider import outsider

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
TERMS = Terms(ask_seconds=60, silent_seconds=3600)


def happened(count=1):
    with transaction.atomic(using=APP):
        for n in range(count):
            log.append(APP, "identity.signed_in", {"n": n}, actor="usr_1", at=NOW)
    sealing.seal(SEQUENCER, now=NOW)


@pytest.fixture
def logs(ledger_database):
    """Both logs, with a few entries."""
    keys.open_logs(SEQUENCER, "first.example", actor="system:cli", now=NOW)
    happened(3)


class Town:
    """Witnesses by their address, each asked without a network, at a time of their own."""

    def __init__(self, folder, *names):
        self.now, self.gone, self.asked = NOW, set(), []
        known = [
            witnessing.Log(
                reading.head(APP, log_id).origin, tuple(each.key for each in keys.kept(APP, log_id))
            )
            for log_id in keys.LOGS.values()
        ]
        self.witnesses = {
            f"http://{name}": witnessing.open_witness(
                folder / name, known, name=f"{name}.example", ml_dsa=name == "bank"
            )
            for name in names
        }

    def ask(self, url, sent):
        self.asked.append((url, sent))
        if url in self.gone:
            return asking.Unreachable("it took too long")
        answer = self.witnesses[url].add_checkpoint(sent.body, now_seconds=int(self.now.timestamp()))
        match answer.status:
            case 200:
                return asking.Cosigned(answer.body)
            case 409:
                return asking.SignedOther(int(answer.body))
        return asking.Declined(answer.status, answer.body.decode())

    @property
    def text(self):
        lines, named = [], []
        for url, witness in self.witnesses.items():
            for key in witness.keys:
                named.append(f"{key.name}-{key.algorithm}")
                lines.append(f"witness {named[-1]} {key.text} {url}")
        return "\n".join([*lines, f"group all-of-them all {' '.join(named)}", "quorum all-of-them", ""])

    @property
    def policy(self):
        return policy.parse(self.text.encode())


def changes(status=None):
    told = [each.payload for each in reversed(log.events(APP, kind="evidence.witness_changed"))]
    return [each for each in told if status in (None, each["status"])]


def round_of(collector, town, seconds=0, **more):
    town.now = NOW + timedelta(seconds=seconds)
    return collector.advance(town.policy, now=town.now, **more)


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("tried", "size", "seconds", "due"),
    [
        (None, 5, 0, True),
        (Tried(NOW, 5), 6, 59, False),
        (Tried(NOW, 5), 6, 60, True),
        (Tried(NOW, 5), 5, 60, False),
        (Tried(NOW, 5), 5, 900, True),
        (Tried(NOW, 5, failed=1), 5, 60, True),
        (Tried(NOW, 5, failed=3), 9, 239, False),
        (Tried(NOW, 5, failed=3), 9, 240, True),
        (Tried(NOW, 5, failed=99), 5, 899, False),
        (Tried(NOW, 5, failed=99), 5, 900, True),
    ],
)
def test_who_is_asked_when(tried, size, seconds, due):
    assert collecting.is_due(size, tried, TERMS, NOW + timedelta(seconds=seconds)) is due


@pytest.mark.parametrize(
    ("before", "signed", "disagrees", "last", "seconds", "after"),
    [
        (None, False, False, None, 0, "expected"),
        ("expected", True, False, None, 0, "answering"),
        ("expected", False, False, None, 3599, "expected"),
        ("expected", False, False, None, 3600, "silent"),
        ("answering", False, False, 100, 3699, "answering"),
        ("answering", False, False, 100, 3700, "silent"),
        ("silent", False, False, 100, 9000, "silent"),
        ("silent", True, False, 100, 9000, "answering"),
        ("answering", False, True, 100, 101, "disagreeing"),
        ("disagreeing", False, False, 100, 9000, "disagreeing"),
        ("disagreeing", True, False, 100, 9000, "answering"),
    ],
)
def test_how_a_witness_stands_by_the_time_it_is_told(before, signed, disagrees, last, seconds, after):
    told = collecting.status_of(
        before,
        signed=signed,
        disagrees=disagrees,
        last=None if last is None else NOW + timedelta(seconds=last),
        since=NOW,
        terms=TERMS,
        now=NOW + timedelta(seconds=seconds),
    )
    assert told == after


# ── the step ─────────────────────────────────────────────────────────────────────────────────────────────


def test_what_witnesses_sign_is_kept_published_and_makes_the_quorum(logs, tmp_path):
    town = Town(tmp_path, "bank", "regulator")
    collector = collecting.Collector(SEQUENCER, town.ask, TERMS)
    head = reading.head(APP, LEDGER)
    with pytest.raises(errors.QuorumMissing):
        quorum.require(APP, LEDGER, town.policy, entries_min=1)
    # Three keys for each of the two logs: the bank signs with both kinds.
    assert round_of(collector, town) == 6
    assert quorum.require(APP, LEDGER, town.policy, entries_min=head.size) == head.size
    publishing.publish(APP, tmp_path / "files")
    note = (tmp_path / "files" / "ledger" / "checkpoint").read_bytes()
    verdict = policy.judge(note, town.policy, logs=[each.key for each in keys.kept(APP, LEDGER)])
    assert verdict.accepted
    assert set(verdict.seen.values()) == {int(NOW.timestamp())}


def test_a_daily_statement_waits_for_the_quorum_and_a_minutes_checkpoint_does_not(logs, tmp_path, settings):
    town = Town(tmp_path, "bank", "regulator")
    collector = collecting.Collector(SEQUENCER, town.ask, TERMS)
    round_of(collector, town)
    before = reading.head(APP, LEDGER).size
    town.gone.add("http://regulator")
    happened(5)
    size = reading.head(APP, LEDGER).size
    # Fail-open: sealed, signed by who is there, published. What others are shown is still the one before.
    assert round_of(collector, town, 60) == 4
    assert b"bank.example" in reading.note(APP, LEDGER, size)
    assert quorum.newest(APP, LEDGER, town.policy) == before
    # Fail-closed.
    with pytest.raises(errors.QuorumMissing):
        quorum.require(APP, LEDGER, town.policy, entries_min=size)
    with pytest.raises(errors.PolicyMissing):
        quorum.require(APP, LEDGER, None, entries_min=1)
    settings.WITNESS_POLICY = tmp_path / "policy"
    settings.WITNESS_POLICY.write_text(town.text)
    with pytest.raises(errors.QuorumMissing):
        quorum.required_inclusion(APP, LEDGER, size - 1)
    assert quorum.inclusion(APP, LEDGER, size - 1).size == size
    # An entry that they have seen is shown under what they have seen, although the log went on.
    for proof in (quorum.inclusion, quorum.required_inclusion):
        assert proof(APP, LEDGER, 0).size == before
    assert quorum.unseen(APP, LEDGER, town.policy) == size - before
    town.gone.clear()
    round_of(collector, town, 180)
    assert quorum.require(APP, LEDGER, town.policy, entries_min=size) >= size


def test_a_witness_is_followed_from_whatever_it_signed_last(logs, tmp_path):
    """Also where this installation has forgotten it: a new process, a database put back to before the answer."""
    town = Town(tmp_path, "bank")
    origin = reading.head(APP, LEDGER).origin
    for count in (0, 4, 9):
        happened(count)
        head = reading.head(APP, LEDGER)
        old = town.witnesses["http://bank"].store.head(origin)
        # Somebody else brought it here, and the answer is lost.
        proof = reading.consistency(APP, LEDGER, old.size if old else 0, head.size) if old else []
        sent = request.of(old.size if old else 0, proof, reading.own_note(APP, LEDGER, head.size))
        assert isinstance(town.ask("http://bank", sent), asking.Cosigned)
    happened(2)
    town.asked.clear()
    assert round_of(collecting.Collector(SEQUENCER, town.ask, TERMS), town) == 4
    ledger = [sent for _, sent in town.asked if origin.encode() in sent.note]
    assert [each.old_size for each in ledger] == [0, head.size]
    assert ledger[1].proof


def test_a_log_that_stands_still_is_signed_anew_in_time(logs, tmp_path):
    town = Town(tmp_path, "bank")
    collector = collecting.Collector(SEQUENCER, town.ask, TERMS)
    round_of(collector, town)
    # The witness's own standing has become an entry.
    sealing.seal(SEQUENCER, now=NOW)
    round_of(collector, town, 60)
    assert round_of(collector, town, 959) == 0
    assert round_of(collector, town, 960) == 4
    stands = quorum.stands(APP, town.policy)
    assert {each.signed_at for each in stands} == {NOW + timedelta(seconds=960)}
    assert {each.status for each in stands} == {"answering"}


def test_silence_is_told_once_past_its_deadline_and_its_end_too(logs, tmp_path):
    town = Town(tmp_path, "bank", "regulator")
    collector = collecting.Collector(SEQUENCER, town.ask, TERMS)
    round_of(collector, town)
    town.gone.add("http://regulator")
    for seconds in range(60, 3600, 600):
        round_of(collector, town, seconds)
    assert changes("silent") == []
    for seconds in range(3600, 9000, 600):
        round_of(collector, town, seconds)
    silent = changes("silent")
    assert {(each["log"], each["witness"]) for each in silent} == {
        ("ledger", "regulator.example-4"),
        ("public", "regulator.example-4"),
    }
    assert len(silent) == 2
    town.gone.clear()
    round_of(collector, town, 12_000)
    assert [each["before"] for each in changes("answering")][-2:] == ["silent", "silent"]
    assert {each.status for each in quorum.stands(APP, town.policy)} == {"answering"}


def test_another_process_goes_on_with_what_was_told(logs, tmp_path):
    town = Town(tmp_path, "bank")
    town.gone.add("http://bank")
    round_of(collecting.Collector(SEQUENCER, town.ask, TERMS), town)
    for _ in range(2):
        # Nothing in memory: asked at once, and the silence is still told once.
        round_of(collecting.Collector(SEQUENCER, town.ask, TERMS), town, 3600)
    assert [each["status"] for each in changes()] == ["expected"] * 4 + ["silent"] * 4


def test_a_log_that_was_set_back_is_found_by_what_the_witness_remembers(logs, tmp_path):
    """The database is restored to yesterday: a witness has signed more entries than there are."""
    happened(4)
    head = reading.head(APP, LEDGER)
    signers = keys.signers(SEQUENCER, LEDGER, after=head.size)
    # More entries; as many with another root; fewer, of another history.
    for size, told in (
        (head.size + 5, "here are fewer"),
        (head.size, "another root"),
        (head.size - 1, "no part"),
    ):
        tree = hashing.Tree()
        tree.append(hashing.leaf_hashes(bytes([n]) for n in range(size)))
        folder = tmp_path / told
        folder.mkdir()
        other = Town(folder, "bank")
        text = checkpoints.Checkpoint(head.origin, size, tree.root()).text
        assert isinstance(
            other.ask("http://bank", request.of(0, [], notes.sign(text, signers))), asking.Cosigned
        )
        round_of(collecting.Collector(SEQUENCER, other.ask, TERMS), other)
        disagreeing = [each for each in changes("disagreeing") if told in each["reason"]]
        assert [each["log"] for each in disagreeing] == ["ledger", "ledger"]
        # It is not silence, and does not become it.
        round_of(collecting.Collector(SEQUENCER, other.ask, TERMS), other, 9000)
        assert {each.status for each in quorum.stands(APP, other.policy) if each.log_id == LEDGER} == {
            "disagreeing"
        }


@pytest.mark.parametrize("lie", ["nonsense", "of another", "yesterday's", "no signature"])
def test_an_answer_that_is_no_signature_of_theirs_is_not_kept(logs, tmp_path, lie):
    town = Town(tmp_path, "bank")
    stranger = witnessing.open_witness(
        tmp_path / "x", town.witnesses["http://bank"].logs.values(), name="bank.example"
    )

    def lying(url, sent):
        match lie:
            case "nonsense":
                return asking.Cosigned(b"thank you\n")
            case "of another":
                return asking.Cosigned(
                    stranger.add_checkpoint(sent.body, now_seconds=int(NOW.timestamp())).body
                )
            case "yesterday's":
                town.now = NOW - timedelta(days=1)
                return town.ask(url, sent)
        return asking.Cosigned(b"")

    assert collecting.Collector(SEQUENCER, lying, TERMS).advance(town.policy, now=NOW) == 0
    assert quorum.newest(APP, LEDGER, town.policy) is None


def test_a_witness_is_replaced_by_another_line_in_the_policy(logs, tmp_path):
    """The procedure of the manual: the new one first beside the old one, then alone."""
    both = Town(tmp_path, "bank", "regulator")
    collector = collecting.Collector(SEQUENCER, both.ask, TERMS)
    round_of(collector, both)
    new = Town(tmp_path, "bank", "successor")
    happened(2)
    collector = collecting.Collector(SEQUENCER, new.ask, TERMS)
    assert round_of(collector, new, 60) == 6
    assert quorum.require(APP, LEDGER, new.policy, entries_min=1)
    # What the old one signed still holds by the policy of its time.
    assert quorum.require(APP, LEDGER, both.policy, entries_min=1)


# ── over the network ─────────────────────────────────────────────────────────────────────────────────────


def ask(url, sent):
    return asking.ask(url, sent, timeout_seconds=2)


def test_a_witness_in_another_process_signs_and_refuses_a_fork(logs, tmp_path):
    vkeys = [each.key.text for log_id in (LEDGER, PUBLIC) for each in keys.kept(APP, log_id)]
    now = datetime.now(UTC)
    with outsider(tmp_path, vkeys) as witness:
        (key,) = witness.keys
        trusted = policy.parse(f"witness bank {key.text} {witness.address}\nquorum bank\n".encode())
        collector = collecting.Collector(SEQUENCER, ask, TERMS)
        assert collector.advance(trusted, now=now) == 2
        head = reading.head(APP, LEDGER)
        assert quorum.require(APP, LEDGER, trusted, entries_min=head.size) == head.size
        # Whoever has the log's key tells another history of the same length, and one that is longer.
        signers = keys.signers(SEQUENCER, LEDGER, after=head.size)
        for size, status in ((head.size, asking.SignedOther), (head.size + 1, asking.Declined)):
            text = checkpoints.Checkpoint(head.origin, size, bytes(32)).text
            refused = ask(witness.address, request.of(head.size, [], notes.sign(text, signers)))
            assert isinstance(refused, status)
        kept = asking.last_checkpoint(witness.address, head.origin)
        assert isinstance(kept, bytes)
        assert kept.startswith(reading.own_note(APP, LEDGER, head.size))
    assert isinstance(ask(witness.address, request.of(0, [], kept)), asking.Unreachable)


@pytest.mark.parametrize(
    "url", ["ftp://x.example", "http://127.0.0.1:1", "http://[", "http://h:port", "file:///etc"]
)
def test_an_address_where_nobody_is_costs_one_answer(url):
    assert isinstance(ask(url, request.of(0, [], b"")), asking.Unreachable)


@contextlib.contextmanager
def answering(*pieces, pause=0.0):
    """Somebody on the network who sends these pieces to whoever connects, with a pause after each."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            line, _ = server.accept()
            with line, contextlib.suppress(OSError):
                line.recv(65_536)
                for piece in pieces:
                    line.sendall(piece)
                    time.sleep(pause)
                line.shutdown(socket.SHUT_WR)
                while line.recv(65_536):
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(20)


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\n", *[b"x: y\r\n"] * 200],
        [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x"] * 200],
        [b"H"] * 200,
    ],
    ids=["headers", "body", "nothing whole"],
)
def test_somebody_who_drips_is_cut_off(pieces):
    with answering(*pieces, pause=0.1) as url:
        began = time.monotonic()
        outcome = asking.ask(url, request.of(0, [], b""), timeout_seconds=1)
        assert outcome == asking.Unreachable("it took too long")
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000, asking.Unreachable("its answer is too long")),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", asking.Declined(302, "")),
        (b"HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size\r\n\r\n7\n", asking.SignedOther(7)),
        (b"HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size\r\n\r\n07\n", asking.Declined(409, "07")),
        (b"HTTP/1.1 409 Conflict\r\n\r\n7\n", asking.Declined(409, "7")),
        (b"HTTP/1.1 403 No\r\n\r\n\x1b[31mno\xff", asking.Declined(403, "[31mno\ufffd")),
        (b"SSH-2.0\r\n", asking.Unreachable("no connection (BadStatusLine)")),
    ],
)
def test_what_an_answer_is(answer, outcome):
    with answering(answer) as url:
        assert ask(url, request.of(0, [], b"")) == outcome
