"""The house, the single file and the JavaScript twin say the same of every published vector, attacks included."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import subprocess
import sys

import pytest
from click.testing import CliRunner

from scripts import vectors, verifier
from tallystick.cli import verify as cli
from tallystick.evidence import saved_page
from tests.verifier import implementations
from tests.verifier.implementations import FOLDER, NODE, alone, cases

with_node = pytest.mark.skipif(not NODE, reason="no Node.js: apt-get install nodejs")
each_file = pytest.mark.parametrize("name", sorted(vectors.FILES))


def wrong(told: list[dict], said: list[dict]) -> list[tuple]:
    """The cases whose answer is another than the published one."""
    found = []
    for case, answer in zip(told, said, strict=True):
        given = answer["policy"] if "policy" in case else answer["codes"]
        if given != case["expected"]:
            found.append((case["name"], case["expected"], given))
    return found


@each_file
def test_the_house_says_what_is_published(name):
    assert wrong(cases(name), [implementations.house(case) for case in cases(name)]) == []


@each_file
def test_the_single_file_says_what_is_published(name):
    assert wrong(cases(name), [implementations.single_file(case) for case in cases(name)]) == []


@with_node
@each_file
def test_the_twin_in_javascript_says_what_is_published_in_the_same_words(name):
    said = implementations.node(cases(name))
    assert wrong(cases(name), said) == []
    for case, answer in zip(cases(name), said, strict=True):
        python = implementations.single_file(case)
        assert answer.get("facts") == python.get("facts"), case["name"]
        if "words" in answer:
            verified = {file for file, code in answer["codes"].items() if not code}
            for file in verified:
                assert answer["words"][file] == python["words"][file], case["name"]


@each_file
def test_the_house_and_the_single_file_see_the_same_facts(name):
    """But for a transfer's row: evidence knows bytes, and no money."""
    for case in cases(name):
        told = [
            json.loads(json.dumps(each(case).get("facts", {})))
            for each in (implementations.house, implementations.single_file)
        ]
        for facts in told[1].values():
            facts.pop("transfer", None)
        assert told[0] == told[1], case["name"]


def test_a_transfers_owner_can_read_what_its_receipt_shows():
    (case,) = (case for case in cases("receipts") if case["name"] == "one_of_many")
    told = implementations.single_file(case)["facts"]["receipt.json"]["transfer"]
    assert told == {
        "id": "trf_4b227777-d4dd-1fc6-1c6f-884f48641d02",
        "debit_account": "acc_101000000000000017",
        "credit_account": "acc_101000000000000018",
        "amount_minor": "12504",
        "at": vectors.AT,
        "reference": "合同 7 第一期",
    }
    assert alone().transfer_of(b"") is None
    assert alone().transfer_of(b"\0\x16" + bytes(200)) is None


@with_node
def test_a_browser_without_ed25519_computes_it_itself():
    told = cases("checkpoints")[:12]
    assert wrong(told, implementations.node(told, without_ed25519=True)) == []


def test_a_page_is_checked_file_by_file_and_never_passes_by_holding_nothing():
    (sound,) = (case for case in cases("receipts") if case["name"] == "sound")
    (bad,) = (case for case in cases("receipts") if case["name"] == "payload_changed")
    pages = {
        "good.html": saved_page.page(sound["files"], policy="quorum none\n", title="x"),
        "bad.html": saved_page.page(bad["files"], policy="quorum none\n", title="x"),
        "empty.html": saved_page.page({}, policy="quorum none\n", title="x"),
        "odd.html": b'<!doctype html><script type="application/json" id="evidence">{"files": {"a": 1}}</script>',
    }
    texts = {name: {"base64": base64.b64encode(page).decode()} for name, page in pages.items()}
    # A receipt that looks like a page inside stays a receipt.
    posing = json.loads(sound["files"]["receipt.json"])
    posing["payload"] = '<!doctype html><script type="application/json" id="evidence">{"files":{}}</script>'
    case = {"files": {**texts, "posing": json.dumps(posing)}, "asked": sound["asked"]}
    expected = {
        "good.html:receipt.json": "",
        "bad.html:receipt.json": "payload_differs",
        "empty.html": "file_unknown",
        "odd.html": "file_unknown",
        "posing": "payload_differs",
    }
    assert implementations.house(case)["codes"] == expected
    assert implementations.single_file(case)["codes"] == expected
    if NODE:
        assert implementations.node([case])[0]["codes"] == expected


SOUND = {
    "checkpoints": ["sound", "extension"],
    "proofs": ["sound", "extra"],
    "histories": ["sound"],
    "receipts": ["sound", "one_of_many"],
    "liabilities": ["sound", "stated"],
}


def mutated(seed: int, rounds: int) -> list[dict]:
    """Sound cases with one byte of one file flipped, dropped, doubled or moved, repeatable by the seed."""
    chance = random.Random(seed)
    sound = [case for name, names in SOUND.items() for case in cases(name) if case["name"] in names]
    found = []
    for _ in range(rounds):
        case = chance.choice(sound)
        file = chance.choice(sorted(case["files"]))
        content = bytearray(implementations.content(case["files"][file]))
        at, other = chance.randrange(len(content)), chance.randrange(len(content))
        how = chance.choice(["flip", "drop", "double", "swap"])
        if how == "flip":
            content[at] ^= 1 << chance.randrange(8)
        elif how == "drop":
            del content[at]
        elif how == "double":
            content.insert(at, content[at])
        else:
            content[at], content[other] = content[other], content[at]
        changed = {"base64": base64.b64encode(bytes(content)).decode()}
        found.append(
            {**case, "files": {**case["files"], file: changed}, "name": f"{case['name']} {file} {how} {at}"}
        )
    return found


def differing(told: list[dict]) -> list[tuple]:
    said = [
        [each(case)["codes"] for case in told]
        for each in (implementations.house, implementations.single_file)
    ]
    if NODE:
        said.append([answer["codes"] for answer in implementations.node(told)])
    return [
        (case["name"], *codes)
        for case, *codes in zip(told, *said, strict=True)
        if codes.count(codes[0]) < len(said)
    ]


def test_all_say_the_same_of_what_was_damaged():
    assert differing(mutated(1, 120)) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_all_say_the_same_of_much_that_was_damaged(seed):
    assert differing(mutated(seed, 1_000)) == []


@with_node
def test_sha256_written_out_is_sha256():
    """Every length around a block's border, against Python's."""
    script = (
        f"const {{ sha256 }} = require({json.dumps(str(FOLDER / 'verify.js'))});"
        "const told = [];"
        "for (let n = 0; n < 300; n += 1) told.push(Buffer.from(sha256(new Uint8Array(n).fill(n))).toString('hex'));"
        "told.push(Buffer.from(sha256(new Uint8Array(1000003).fill(7))).toString('hex'));"
        "console.log(JSON.stringify(told));"
    )
    done = subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=True)
    messages = [bytes([n % 256]) * n for n in range(300)] + [b"\x07" * 1_000_003]
    assert json.loads(done.stdout) == [hashlib.sha256(each).hexdigest() for each in messages]


def test_every_kind_of_attack_is_there_and_every_code_has_words():
    expected = {code for name in vectors.FILES for case in cases(name) for code in _codes(case)} - {""}
    words = alone().WORDS
    assert expected <= set(words)
    # Those that only a key or a policy by itself can meet.
    assert set(words) - expected == {"key_malformed", "key_type_unknown"}
    for code, told in words.items():
        assert all(told.values()), code
        assert told["do"] in alone().ADVICE, code


def _codes(case):
    return [case["expected"]] if isinstance(case["expected"], str) else case["expected"].values()


def test_vectors_and_words_are_as_their_scripts_write_them():
    for name, content in vectors.written().items():
        assert (FOLDER / "vectors" / name).read_text(encoding="utf-8") == content, "run scripts/vectors.py"
    for name, python in (("tallystick_verify.py", True), ("verify.js", False)):
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert verifier.written(text, python=python) == text, "run scripts/verifier.py"


def test_the_single_file_needs_nothing_but_python():
    """Isolated, without packages: every import is of the standard library."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(FOLDER / "tallystick_verify.py"), "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "tallystick."
        not in (FOLDER / "tallystick_verify.py").read_text(encoding="utf-8").split('"""')[2][:400]
    )


@pytest.fixture
def folder(tmp_path):
    """A proof with its entry, and a policy, as somebody would have them."""
    (sound,) = (case for case in cases("proofs") if case["name"] == "sound")
    for name, told in sound["files"].items():
        (tmp_path / name).write_bytes(implementations.content(told))
    (tmp_path / "policy").write_text(sound["asked"]["policy"])
    return tmp_path


COMMANDS = {
    "python": [sys.executable, "-I", "-S", str(FOLDER / "tallystick_verify.py")],
    "node": [NODE, str(FOLDER / "verify.js")],
}


@pytest.mark.parametrize("who", ["python", pytest.param("node", marks=with_node), "house"])
def test_at_the_command_line(folder, who, monkeypatch):
    """Exit code 0 and a word for what holds; 1 and what to do for what does not; 2 for what is no question."""
    monkeypatch.chdir(folder)

    def run(*words: str) -> tuple[int, str]:
        if who == "house":
            done = CliRunner().invoke(cli.verify, words)
            return done.exit_code, done.output
        told = subprocess.run(
            [*COMMANDS[who], *words], capture_output=True, text=True, check=False, timeout=60
        )
        return told.returncode, told.stdout

    policy = ("--policy", "policy")
    code, told = run("entry.tlog-proof", *policy)
    assert (code, told[0]) == (0, "✓")
    code, told = run("entry.tlog-proof", *policy, "--json")
    (answer,) = json.loads(told)
    assert (code, answer["verified"], answer["code"]) == (0, True, "")
    assert answer["facts"]["origin"] == vectors.ORIGIN
    (folder / "entry").write_bytes((folder / "entry").read_bytes() + b" ")
    code, told = run("entry.tlog-proof", *policy, "--json")
    (answer,) = json.loads(told)
    assert (code, answer["verified"], answer["code"]) == (1, False, "root_differs")
    code, told = run("entry.tlog-proof", *policy, "--language", "zh")
    assert (code, told[0], "监管机构" in told) == (1, "✗", True)
    (folder / "policy").write_text("trust me\n")
    assert run("entry.tlog-proof", *policy)[0] == 2
    assert run("nowhere", *policy)[0] == 2
