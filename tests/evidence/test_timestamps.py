"""RFC 3161 against a local authority made with OpenSSL, over loopback: asked, kept, and verified offline."""

from __future__ import annotations

import datetime as clock
import http.server
import shutil
import subprocess
import threading
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from django.db import DatabaseError, connections

from tallystick.core.db import APP
from tallystick.evidence import errors, log, timestamps
from tallystick.evidence.timestamps import Authority

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is not installed: no authority"
)

NOW = clock.datetime.now(clock.UTC)
MESSAGE = b"first.example\n3\nbcPZsSHVXw2BJpA1JB1vKlVqKm0m6lKPMTYBqTrwOCk=\n"
CONFIG = """
[tsa]
default_tsa = one
[one]
dir = {folder}
serial = $dir/serial
default_policy = 1.2.3.4.1
digests = sha256, sha512
signer_digest = sha256
ess_cert_id_alg = sha256
accuracy = secs:1
"""


def certificate(name, key, issuer, issuer_key, *, is_root, days=(-1, 1)):
    def called(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
    )
    if not is_root:
        stamping = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        builder = builder.add_extension(stamping, critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


def pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM)


def authority_in(folder, *, days=(-1, 1), root_days=(-30, 30)):
    """Keys and certificates of an authority, and what OpenSSL needs to know."""
    folder.mkdir()
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = certificate("root", root_key, "root", root_key, is_root=True, days=root_days)
    signer = certificate("stamps", key, "root", root_key, is_root=False, days=days)
    (folder / "root.pem").write_bytes(pem(root))
    (folder / "signer.pem").write_bytes(pem(signer))
    form = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    (folder / "serial").write_text("01")
    (folder / "openssl.cnf").write_text(CONFIG.format(folder=folder))
    return folder


def reply(folder, question):
    (folder / "question").write_bytes(question)
    subprocess.run(
        ["openssl", "ts", "-reply", "-config", "openssl.cnf", "-section", "one", "-queryfile", "question",
         "-signer", "signer.pem", "-inkey", "key.pem", "-out", "answer"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return (folder / "answer").read_bytes()


class Served:
    """An authority at an address of this machine; `answers` may be changed to cheat."""

    def __init__(self, folder):
        self.folder = folder
        self.answers = lambda question: reply(folder, question)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                question = self.rfile.read(int(self.headers["Content-Length"]))
                answer = outer.answers(question)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def authority(self):
        return Authority.of(f"http://127.0.0.1:{self.server.server_port}/", self.folder / "root.pem")


@pytest.fixture
def served(tmp_path):
    made = Served(authority_in(tmp_path / "authority"))
    yield made
    made.server.shutdown()
    made.server.server_close()


def stamp(served, **more):
    given = {"authority": served.authority, "by": "system:cli", "now": clock.datetime.now(clock.UTC), **more}
    return timestamps.stamp(APP, "checkpoint first.example 3", MESSAGE, **given)


@pytest.mark.django_db
def test_a_checkpoint_is_stamped_kept_and_verified_offline(served):
    made = stamp(served)
    served.server.shutdown()
    (kept,) = timestamps.timestamps(APP, subject="checkpoint first.example 3")
    assert kept == made
    at = timestamps.verify(kept.token, kept.message, nonce=kept.nonce, roots=served.authority.roots)
    assert at == kept.gen_time
    assert log.events(APP, kind="evidence.timestamped", limit=1)[0].payload["timestamp"] == made.reference
    with pytest.raises(DatabaseError), connections[APP].cursor() as cursor:
        cursor.execute("delete from evidence_timestamp")


@pytest.mark.django_db
def test_what_was_altered_or_is_anothers_is_refused(served, tmp_path):
    made = stamp(served)
    roots = served.authority.roots
    stranger = Authority.of("http://x", authority_in(tmp_path / "stranger") / "root.pem").roots
    for token, message, nonce, trusted, why in (
        (made.token, MESSAGE + b"x", made.nonce, roots, "Mismatch"),
        (made.token, MESSAGE, made.nonce + 1, roots, "nonce"),
        (made.token, MESSAGE, made.nonce, stranger, "."),
        (made.token[:-1] + bytes([made.token[-1] ^ 1]), MESSAGE, made.nonce, roots, "."),
        (b"no answer", MESSAGE, made.nonce, roots, "RFC 3161"),
    ):
        with pytest.raises(errors.TimestampWrong, match=why):
            timestamps.verify(token, message, nonce=nonce, roots=trusted)


@pytest.mark.django_db
def test_a_replayed_answer_a_wrong_clock_and_silence_leave_nothing(served):
    old = stamp(served)
    served.answers = lambda _question: old.token
    with pytest.raises(errors.TimestampWrong, match="nonce"):
        stamp(served)
    served.answers = lambda question: reply(served.folder, question)
    with pytest.raises(errors.TimestampWrong, match="clock"):
        stamp(served, now=NOW + timedelta(hours=1))
    served.answers = lambda _question: bytes(timestamps.ANSWER_BYTES_MAX + 1)
    with pytest.raises(errors.AuthoritySilent):
        stamp(served)
    authority = served.authority
    served.server.shutdown()
    served.server.server_close()
    with pytest.raises(errors.AuthoritySilent):
        stamp(served, authority=authority)
    assert len(timestamps.timestamps(APP)) == 1


def test_the_chain_is_judged_at_the_time_the_token_names(tmp_path):
    """A certificate that has ended since does no harm; one that had ended by then does."""
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    def token(folder):
        asked = TimestampRequestBuilder().data(MESSAGE).hash_algorithm(HashAlgorithm.SHA256).build()
        return asked.nonce, reply(folder, asked.as_bytes())

    ended = authority_in(tmp_path / "ended", days=(-20, -10))
    nonce, told = token(ended)
    with pytest.raises(errors.TimestampWrong):
        timestamps.verify(
            told, MESSAGE, nonce=nonce, roots=Authority.of("http://x", ended / "root.pem").roots
        )
    good = authority_in(tmp_path / "good")
    nonce, told = token(good)
    timestamps.verify(told, MESSAGE, nonce=nonce, roots=Authority.of("http://x", good / "root.pem").roots)


def test_an_authority_needs_an_address_and_roots(tmp_path):
    for url, roots in (("", "x"), ("ftp://x", "x"), ("http://x", tmp_path / "none"), ("http://x", "")):
        with pytest.raises(errors.AuthorityUnset):
            Authority.of(url, roots)
