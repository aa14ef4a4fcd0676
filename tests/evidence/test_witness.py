"""A witness signs one history of a log: in a process of its own, over HTTP, through forks, crashes and nonsense."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from tallystick.evidence import checkpoints, cosignatures, errors, hashing, notes
from tallystick.evidence.witness import key_file, request, store, witnessing
from tests.evidence import vectors
from tests.evidence.outsider import SPARSE, PaperLog, opened, outsider

NOW = 1_790_000_000


def made(folder, *logs, name="example.com/witness", **more):
    known = [witnessing.Log(log.origin, (log.signer.key,), log.suite) for log in logs]
    return witnessing.open_witness(folder, known, name=name, **more)


def asked(witness, log, old, size=None, now=NOW):
    return witness.add_checkpoint(log.request(old, size), now_seconds=now)


@pytest.fixture
def log():
    return PaperLog().grow(7)


# ── the specification, over HTTP ─────────────────────────────────────────────────────────────────────────


@vectors.needed
def test_the_published_cases_in_their_order_against_a_running_witness(tmp_path):
    """Ten requests of torchwood's tests. It says 403 where the specification says 404: of an unknown log."""
    given = vectors.extracted("tlog-witness-add-checkpoint.json")
    sigsum, sumdb = given["keys"]["litewitness.txt"], given["keys"]["sumdb.txt"]
    key = notes.Key(sigsum["origin"], notes.ED25519, bytes.fromhex(sigsum["origin_sigsum_key_hex"]))
    logs = [key.text, f"{sumdb['origin']} {sumdb['vkey']}"]
    with outsider(tmp_path, logs) as witness:
        for number, case in enumerate(given["cases"]):
            status, type_, body = witness.post(case["request_body"].encode())
            (told,) = case["asserts"]
            wanted = 404 if "unknown log" in told else case["status"]
            assert status == wanted, (number, body)
            if told.startswith("body =="):
                assert body == told.removeprefix("body == ").strip('"').replace("\\n", "\n").encode()
                assert type_ == "text/x.tlog.size"
            else:
                assert told.removeprefix("body contains ").strip('"') in body.decode()
            if status == 200:
                note = case["request_body"].partition("\n\n")[2].encode()
                assert len(opened(body, note, witness.keys).signatures) == 1


def test_a_running_witness_tells_its_keys_signs_with_both_and_shows_what_it_signed(tmp_path, log):
    with outsider(tmp_path, [log.vkey], "--ml-dsa") as witness:
        assert [key.algorithm for key in witness.keys] == [cosignatures.ED25519, cosignatures.ML_DSA_44]
        began = int(time.time())
        status, _, answer = witness.post(log.request(0))
        assert status == 200
        found = opened(answer, log.note(), witness.keys)
        assert {each.key_id for each in found.signatures} == {key.id for key in witness.keys}
        assert all(began <= cosignatures.seconds(each) <= time.time() for each in found.signatures)
        path = f"/{hashlib.sha256(log.origin.encode()).hexdigest()}/checkpoint"
        status, _, kept = witness.ask("GET", path)
        # The whole signed checkpoint: the log's signature is on it, and the witness's own.
        assert (status, kept) == (200, log.note() + answer)
        assert witness.ask("GET", "/" + "0" * 64 + "/checkpoint")[0] == 404
        assert witness.keys[0].text in witness.ask("GET", "/")[2].decode()
        # Whoever runs it watches for a log that falls silent, and for one that forks.
        fork = log.branched(5).grow(2, "forged")
        assert witness.post(fork.request(7))[0] == 409
        measured = witness.ask("GET", "/metrics")[2].decode().splitlines()
        assert f'tallystick_witness_log_size{{log="{log.origin}"}} 7' in measured
        assert f'tallystick_witness_contradictions{{log="{log.origin}"}} 1' in measured
        assert 'tallystick_witness_answers_total{status="409"} 1' in measured


def test_what_is_no_request_is_refused_within_bounds(tmp_path, log):
    with outsider(tmp_path, [log.vkey]) as witness:
        assert witness.post(b"")[0] == 400
        assert witness.post(b"x" * (request.BODY_BYTES_MAX + 1))[0] == 413
        assert witness.post(log.request(0), headers={"Transfer-Encoding": "chunked"})[0] == 411
        assert witness.ask("POST", "/elsewhere", b"")[0] == 404
        assert witness.ask("PUT", "/add-checkpoint", b"")[0] == 501
        assert witness.ask("GET", "/", b"POST /add-checkpoint HTTP/1.1")[0] == 400
        # After all that, the next one is answered on a connection that stays open.
        with socket.create_connection(
            (urlsplit(witness.address).hostname, urlsplit(witness.address).port)
        ) as line:
            file = line.makefile("rb")
            for old in (0, 7):
                body = log.request(old)
                line.sendall(
                    b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                )
                assert file.readline() == b"HTTP/1.1 200 OK\r\n"
                length = 0
                while (header := file.readline()) != b"\r\n":
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                file.read(length)


@pytest.mark.parametrize(
    "body",
    [
        b"new 0\n\n",
        b"old 00\n\n",
        b"old -1\n\n",
        b"old 9999999999999999999\n\n",
        b"old 0\nnot a hash\n\n",
        b"old 0\n" + base64.b64encode(bytes(31)) + b"\n\n",
        b"old 0\n" + (base64.b64encode(bytes(32)) + b"\n") * 64 + b"\n",
        "old ٣\n\n".encode(),
        b"old 0\r\n\r\n",
    ],
)
def test_a_request_has_one_spelling(body, log):
    with pytest.raises(request.Malformed):
        request.parse(body + log.note())


def test_a_request_is_read_as_it_was_written(log):
    body = log.request(3)
    assert request.parse(body).body == body


def test_more_signatures_than_anybody_needs_are_refused(tmp_path, log):
    witness = made(tmp_path, log)
    line = notes.Signature("stranger.example", b"1234", bytes(64)).line.encode()
    few, many = (request.of(0, [], log.note() + line * n).body for n in (50, notes.SIGNATURES_MAX))
    assert witness.add_checkpoint(many, now_seconds=NOW).status == 400
    assert witness.add_checkpoint(few, now_seconds=NOW).status == 200
    # Of strangers nothing is kept.
    assert b"stranger" not in witness.store.head(log.origin).note


# ── the rules ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_log_that_grows_is_signed_step_by_step_and_one_that_shrinks_is_not(tmp_path, log):
    witness = made(tmp_path, log)
    for old, size in [(0, 0), (0, 3), (3, 4), (4, 7)]:
        assert asked(witness, log, old, size).status == 200
    assert asked(witness, log, 7, 4).status == 400
    answer = asked(witness, log, 4, 7)
    assert (answer.status, answer.body, answer.type) == (409, b"7\n", "text/x.tlog.size")
    assert asked(witness, log, 3, 4).body == b"7\n"
    assert witness.store.head(log.origin).size == 7


def test_an_empty_log_has_the_root_of_nothing(tmp_path, log):
    witness = made(tmp_path, log)
    text = checkpoints.Checkpoint(log.origin, 0, bytes(32)).text
    body = request.of(0, [], notes.sign(text, [log.signer])).body
    assert witness.add_checkpoint(body, now_seconds=NOW).status == 422


def test_the_same_size_is_signed_again_with_the_time_of_now(tmp_path, log):
    witness = made(tmp_path, log)
    for now in (NOW, NOW + 60):
        answer = asked(witness, log, 0 if now == NOW else 7, now=now)
        (signature,) = opened(answer.body, log.note(), witness.keys).signatures
        assert cosignatures.seconds(signature) == now
    assert witness.store.head(log.origin).at_seconds == NOW + 60


def test_a_signed_time_never_goes_back(tmp_path, log):
    witness = made(tmp_path, log)
    asked(witness, log, 0, 3)
    answer = asked(witness, log, 3, now=NOW - 5)
    (signature,) = opened(answer.body, log.note(), witness.keys).signatures
    assert cosignatures.seconds(signature) == NOW
    assert asked(witness, log, 7, now=NOW - 3600).status == 503


def test_a_fork_of_the_same_size_is_refused_and_kept_as_evidence(tmp_path, log):
    witness = made(tmp_path, log)
    fork = log.branched(5).grow(2, "forged")
    asked(witness, log, 0)
    for old in (7, 0):
        answer = asked(witness, fork, old)
        assert (answer.status, answer.body) == (409, b"7\n")
    (kept,) = witness.store.refused()
    # The two notes together convict the log: both are signed by it, of one size, with two roots.
    ours = checkpoints.open(witness.store.head(log.origin).note, [notes.verifier(log.signer.key)])
    theirs = checkpoints.open(kept.note, [notes.verifier(log.signer.key)])
    assert (ours.size, kept.reason) == (theirs.size, witnessing.FORK)
    assert ours.root != theirs.root


def test_a_fork_that_went_on_has_no_proof_and_is_refused(tmp_path, log):
    witness = made(tmp_path, log)
    asked(witness, log, 0, 6)
    fork = log.branched(5).grow(6, "forged")
    assert asked(witness, fork, 6).status == 422
    assert [each.reason for each in witness.store.refused()] == [witnessing.NO_EXTENSION]
    assert asked(witness, log, 6).status == 200


def test_what_is_kept_of_refusals_has_a_bound(tmp_path, log, monkeypatch):
    monkeypatch.setattr(store, "REFUSED_MAX", 3)
    witness = made(tmp_path, log)
    asked(witness, log, 0)
    for n in range(5):
        asked(witness, log.branched(5).grow(2, f"forged {n}"), 7)
    assert len(witness.store.refused()) == 3


def test_a_log_of_another_suite_is_witnessed_by_its_own(tmp_path):
    log = PaperLog("cn.example/ledger", suite=hashing.SM3).grow(5)
    witness = made(tmp_path, log)
    assert asked(witness, log, 0, 3).status == 200
    assert asked(witness, log, 3).status == 200
    other = PaperLog("cn.example/ledger").grow(9)
    assert asked(witness, other, 5).status == 422


def test_no_log_speaks_for_another_and_each_of_a_logs_keys_for_it(tmp_path, log):
    other = PaperLog("second.example/ledger", b"o" * 32).grow(3)
    new = notes.Signer(log.origin, notes.Ed25519Secret(b"n" * 32))
    known = witnessing.logs_of([log.vkey, new.key.text, other.vkey])
    witness = witnessing.open_witness(tmp_path, known, name="w.example")
    text = checkpoints.Checkpoint(log.origin, 3, log.root(3)).text
    for signer, status in ((other.signer, 403), (new, 200)):
        body = request.of(0, [], notes.sign(text, [signer])).body
        assert witness.add_checkpoint(body, now_seconds=NOW).status == status
    assert asked(witness, log, 3).status == 200
    assert asked(witness, PaperLog("third.example").grow(1), 0).status == 404


def test_of_two_histories_asked_at_once_one_is_signed(tmp_path, log):
    """Many at a time, each extending what was signed: whoever comes second is judged by what the first left."""
    witness = made(tmp_path, log)
    asked(witness, log, 0, 4)
    forks = [log.branched(4).grow(1 + n % 4, f"branch {n}") for n in range(12)]
    with ThreadPoolExecutor(6) as together:
        answers = list(together.map(lambda fork: asked(witness, fork, 4), forks))
    signed = [fork for fork, answer in zip(forks, answers, strict=True) if answer.status == 200]
    assert len(signed) == 1
    head = witness.store.head(log.origin)
    assert (head.size, head.root) == (len(signed[0].leaves), signed[0].root(len(signed[0].leaves)))


def test_two_processes_on_one_folder_sign_one_history(tmp_path, log):
    """Started twice by mistake: what counts is the file, not what a process remembers."""
    first, second = made(tmp_path, log), made(tmp_path, log)
    asked(first, log, 0, 4)
    assert asked(second, log.branched(4).grow(1, "a"), 4).status == 200
    assert asked(first, log.branched(4).grow(1, "b"), 4).body == b"5\n"
    before = second.store.head(log.origin)
    head = store.Head(log.origin, 6, bytes(32), b"", NOW)
    assert asked(first, log.branched(4).grow(1, "a"), 5, now=NOW + 1).status == 200
    # And where the second had looked before the first signed:
    assert second.store.replace(before, head) is False


# ── the folder ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_is_made_once_for_its_owner_alone_and_keeps_its_name(tmp_path, log):
    folder = tmp_path / "witness"
    keys = made(folder, log).keys
    for name in (key_file.NAME, store.NAME):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert made(folder, log).keys == keys == made(folder, log, name=None).keys
    with pytest.raises(errors.WitnessNameDiffers):
        made(folder, log, name="other.example")
    both = made(folder, log, ml_dsa=True).keys
    assert both[:1] == keys
    assert made(folder, log, ml_dsa=True).keys == both
    (folder / key_file.NAME).chmod(0o640)
    with pytest.raises(errors.WitnessKeyExposed):
        made(folder, log)


def test_a_new_witness_needs_a_name_that_a_key_can_have(tmp_path, log):
    with pytest.raises(errors.WitnessUnmade):
        made(tmp_path, log, name=None)
    for name in ("a b", "a+b", ""):
        with pytest.raises(errors.KeyMalformed):
            made(tmp_path, log, name=name)
    assert key_file.read(tmp_path) == []


def test_a_key_that_lost_its_memory_signs_nothing(tmp_path, log):
    asked(made(tmp_path, log), log, 0)
    for path in tmp_path.glob(f"{store.NAME}*"):
        path.unlink()
    with pytest.raises(errors.WitnessStateMissing):
        made(tmp_path, log)


def test_a_memory_that_lost_its_key_gets_no_other(tmp_path, log):
    asked(made(tmp_path, log), log, 0)
    (tmp_path / key_file.NAME).unlink()
    with pytest.raises(errors.WitnessStateDamaged):
        made(tmp_path, log)


@pytest.mark.parametrize("change", ["size = 3", "root = zeroblob(32)", "note = zeroblob(9)", "origin = 'x'"])
def test_a_memory_that_was_written_to_is_found(tmp_path, log, change):
    """Set back by hand, it would sign a second history."""
    witness = made(tmp_path, log)
    asked(witness, log, 0)
    witness.store._db.execute(f"update head set {change}")
    with pytest.raises(errors.WitnessStateDamaged):
        made(tmp_path, log)


def test_the_command_refuses_in_a_line_without_an_installation(tmp_path, log):
    command = [
        sys.executable,
        "-P",
        "-m",
        "tallystick",
        "witness",
        "--folder",
        str(tmp_path),
        "--log",
        log.vkey,
    ]
    done = subprocess.run(command, env=SPARSE, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs a name" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# ── crashes ──────────────────────────────────────────────────────────────────────────────────────────────

KILLED = """
import os, signal
from tallystick.evidence.witness import store
replace = store.Store.replace
def killed(self, before, head):
    {when}
store.Store.replace = killed
"""


@pytest.mark.parametrize(
    ("when", "kept"),
    [
        ("done = replace(self, before, head); os.kill(os.getpid(), signal.SIGKILL)", 5),
        ("os.kill(os.getpid(), signal.SIGKILL)", 3),
    ],
    ids=["after it was remembered", "before"],
)
def test_killed_between_memory_and_answer_it_forgets_nothing_it_may_have_signed(tmp_path, log, when, kept):
    asked(made(tmp_path, log), log, 0, 3, now=int(time.time()))
    with outsider(tmp_path, [log.vkey], program=KILLED.format(when=when)) as witness:
        with pytest.raises((OSError, http.client.HTTPException)):
            witness.post(log.request(3, 5))
        assert witness.process.wait(30) == -signal.SIGKILL
    again = made(tmp_path, log)
    # The log never saw the answer, and goes on by what it is told.
    fork = log.branched(3).grow(2, "forged")
    answer = asked(again, log, 3, 5, now=int(time.time()))
    assert (answer.status, answer.body) == ((409, b"5\n") if kept == 5 else (200, answer.body))
    assert asked(again, fork, 5, now=int(time.time())).status == 409
    assert asked(again, log, 5, now=int(time.time())).status == 200


def test_a_disk_that_takes_nothing_gets_no_signature(tmp_path, log):
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40960, 40960))"
    full += "; import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    asked(made(tmp_path, log), log, 0, 3)
    with outsider(tmp_path, [log.vkey], program=full) as witness:
        assert 500 in (witness.post(log.request(3, 3))[0] for _ in range(40))
    assert asked(made(tmp_path, log), log, 3, now=int(time.time())).status == 200


def test_somebody_who_sends_slowly_is_cut_off_and_keeps_nobody_out(tmp_path, log):
    quick = "from tallystick.evidence.witness import server\nserver.REQUEST_SECONDS_MAX = 1\nserver.CONNECTIONS_MAX = 3"
    with outsider(tmp_path, [log.vkey], program=quick) as witness:
        place = (urlsplit(witness.address).hostname, urlsplit(witness.address).port)
        slow = [socket.create_connection(place) for _ in range(3)]
        for line in slow:
            line.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 5\r\n\r\n")
        answered = None
        while answered is None:
            # There is no room, and then there is: whoever sends nothing more is cut off.
            with contextlib.suppress(OSError, http.client.HTTPException):
                answered = witness.post(log.request(0))[0]
        assert answered == 200
        for line in slow:
            line.settimeout(20)
            with contextlib.suppress(ConnectionResetError):
                assert line.recv(200) == b""
            line.close()
