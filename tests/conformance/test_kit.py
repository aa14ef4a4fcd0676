"""The conformance kit: two independent readers pass it, and none that is wrong does."""

from __future__ import annotations

import io
import json
import shlex
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from tallystick.cli import conformance as command
from tallystick.cli import statements as checking
from tallystick.conformance import cases, kit
from tallystick.custody.statements import file
from tests.tidy.source import ROOT

# Where the tests lie may have a blank in its name.
PYTHON = shlex.quote(sys.executable)
READER = f"{PYTHON} {shlex.quote(str(ROOT / 'examples' / 'statement_reader.py'))} {{file}}"
EVERY = cases.every()


def by_name(name):
    return next(case for case in EVERY if case.name == name)


def ours(content: bytes):
    return checking.checked_answer("file", file.judge(io.BytesIO(content)))


@pytest.mark.parametrize("case", cases.every(cases.PLATFORM), ids=lambda case: case.name)
def test_our_own_reader_answers_every_case(case):
    """`statements check` accepts each golden file with its sums, and refuses each malformed one on its line."""
    assert kit.judge(case, ours(case.content)) == []


def test_an_independent_reader_passes_the_whole_kit():
    """The example of the manual, which knows nothing of ours, passes every case of every format."""
    asked = [
        "run",
        "--against",
        READER,
        "--json",
        *(word for each in cases.FORMATS for word in ("--format", each)),
    ]
    done = CliRunner().invoke(command.conformance, asked)
    told = json.loads(done.stdout)
    assert [each["case"] for each in told["results"] if not each["passed"]] == []
    assert (done.exit_code, told["cases"], told["conforms"]) == (0, len(EVERY), True)
    keeps_to("conformance-run", told)


def test_every_answer_keeps_to_the_published_schema():
    """What our own reader says of each case is what the interface says an answer is."""
    schema = json.loads((ROOT / "docs" / "reference" / "interface" / "answer.json").read_text("utf-8"))
    for case in cases.every(cases.PLATFORM):
        Draft202012Validator(schema).validate(ours(case.content))


def keeps_to(name, told):
    schema = json.loads((ROOT / "docs" / "reference" / "schemas" / f"{name}.json").read_text("utf-8"))
    Draft202012Validator(schema).validate(told)


@pytest.mark.slow
def test_our_own_command_passes_as_a_stranger():
    """`tallystick statements check` through the kit's own door, one process a file: every fourth case."""
    ask = kit.command(f"{PYTHON} -P -m tallystick statements check --json {{file}}", timeout_seconds=120)
    assert [
        result.faults for result in kit.run(cases.every(cases.PLATFORM)[::4], ask) if not result.passed
    ] == []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("camt053-plain", {"entries": 4}),
        ("camt053-plain", {"sum_check": "absent"}),
        ("camt053-plain", {"status": "refused"}),
        ("camt053-plain", {"totals": []}),
        ("camt053-plain", {"totals": [{"account": "X"}]}),
        ("camt053-batch", {"entries": 3}),
        ("camt053-sum", {"status": "ok"}),
        ("camt053-sum", {"line": 1}),
        ("camt053-sum", {"line": None}),
        ("camt053-sum", {"reason": " "}),
        ("camt053-sum", {"status": "not_a_statement"}),
        ("camt053-prose", {"status": "ok"}),
    ],
)
def test_an_answer_that_is_wrong_fails(name, change):
    """One field off is one case failed, and said."""
    case = by_name(name)
    sound = ours(case.content)
    assert kit.judge(case, sound) == []
    assert kit.judge(case, sound | change)


def test_a_reader_that_accepts_everything_fails_every_malformed_case():
    """No malformed file passes by saying that all is well."""
    for case in EVERY:
        said = {"status": "ok", "entries": case.entries, "sum_check": "ok", "totals": list(case.totals)}
        assert bool(kit.judge(case, said)) == (case.verdict != "ok" or case.sum_check != "ok")


def test_a_malformed_case_differs_from_every_golden_one_by_its_fault():
    """Each case has a file and a name of its own; a golden file is no malformed one."""
    golden = {case.content for case in EVERY if case.verdict == "ok"}
    assert len({case.name for case in EVERY}) == len(EVERY) >= 70
    for case in EVERY:
        if case.verdict == "refused":
            assert case.content not in golden
            lines = case.content.count(b"\n") + 2
            assert 0 <= case.first_line <= case.last_line <= lines, case.name


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("/no/such/program {file}", "cannot be run"),
        (f"{PYTHON} -c pass {{file}}", "printed nothing"),
        (f"{PYTHON} -c print(1,2) {{file}}", "no JSON"),
        (f"{PYTHON} -c print('[1,2]') {{file}}", "one JSON object"),
        (f"{PYTHON} -c 'while True: pass' {{file}}", "no answer in"),
    ],
)
def test_a_side_that_does_not_answer_has_failed(template, told):
    """No program, no output, no JSON, no object, no end: a fault that says which."""
    seconds = 0.5 if "while" in template else 20
    (result,) = kit.run([EVERY[0]], kit.command(template, timeout_seconds=seconds))
    assert not result.passed
    assert told in result.faults[0]


class Side(BaseHTTPRequestHandler):
    """A payment firm's reader behind an address."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert parse_qs(urlsplit(self.path).query)["name"]
        told = json.dumps(ours(body)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def test_a_side_behind_an_address_is_asked_there():
    """The file is the body of a POST; the reply's body is the answer."""
    with HTTPServer(("127.0.0.1", 0), Side) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        ask = kit.address(f"http://127.0.0.1:{server.server_port}/check", timeout_seconds=20)
        results = list(kit.run(cases.every(("mt940",)), ask))
        server.shutdown()
        thread.join()
    assert results
    assert all(result.passed for result in results)
    with pytest.raises(ValueError, match="http"):
        kit.address("file:///etc/passwd", timeout_seconds=1)


def test_the_files_can_be_written_out_for_who_tests_by_hand(tmp_path):
    """Each file with its list; the samples of the manual are these very files."""
    done = CliRunner().invoke(command.conformance, ["files", str(tmp_path), "--json"])
    told = json.loads(done.stdout)
    keeps_to("conformance-files", told)
    assert len(told["cases"]) == len(EVERY) == len(list(tmp_path.iterdir())) - 1
    assert json.loads((tmp_path / "cases.json").read_text("utf-8")) == told
    for sample in (ROOT / "docs" / "reference" / "interface" / "samples").iterdir():
        assert sample.read_bytes() == (tmp_path / sample.name).read_bytes(), sample.name


def test_one_side_is_named_and_no_more():
    """Neither or both of command and address are refused, and a command without a place for the file."""
    for asked in ([], ["--against", "x {file}", "--url", "http://x"], ["--against", "x"]):
        assert CliRunner().invoke(command.conformance, ["run", *asked]).exit_code == 2
