"""The kit: hands every case's file to the other side, and judges the answers.

Promises: the other side is reached by its command or its address and by nothing else; what it says is
held against what the case says, field by field; a side that says nothing in time has failed the case.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick.conformance.cases import Case

ANSWER_BYTES_MAX = 1 << 20
STDERR_SHOWN = 300

Ask = Callable[[Path], Any]
"""Hands a file over and gives back the answer, parsed from JSON. Raises `NoAnswer`."""


class NoAnswer(Exception):
    """The other side gave no answer that could be read; says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one case. faults: each thing that was not as it must be; none: passed."""

    case: Case
    answer: dict[str, Any] | None
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.faults


def command(template: str, *, timeout_seconds: float) -> Ask:
    """Ask by a command: `{file}` in it is the path; its standard output is the answer."""
    words = shlex.split(template)
    if not any("{file}" in word for word in words):
        raise ValueError("the command must hold {file}")

    def ask(path: Path) -> Any:
        try:
            done = subprocess.run(
                [word.replace("{file}", str(path)) for word in words],
                capture_output=True,
                timeout=timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NoAnswer(f"no answer in {timeout_seconds:g} seconds") from None
        except OSError as failure:
            raise NoAnswer(f"cannot be run: {failure.strerror}") from None
        if not done.stdout.strip():
            told = done.stderr.decode("utf-8", "replace").strip()[-STDERR_SHOWN:]
            raise NoAnswer(f"printed nothing (exit code {done.returncode}): {told}")
        return _parsed(done.stdout)

    return ask


def address(url: str, *, timeout_seconds: float) -> Ask:
    """Ask by HTTP: the file is the body of a POST, its name in the query; the body of the reply is the answer."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("the address must begin with http:// or https://")

    def ask(path: Path) -> Any:
        mark = "&" if urllib.parse.urlsplit(url).query else "?"
        asked = urllib.request.Request(  # noqa: S310 -- of http and https alone, see above
            f"{url}{mark}name={urllib.parse.quote(path.name)}",
            data=path.read_bytes(),
            headers={"Content-Type": "application/octet-stream", "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(asked, timeout=timeout_seconds) as reply:  # noqa: S310
                return _parsed(reply.read(ANSWER_BYTES_MAX + 1))
        except urllib.error.HTTPError as failure:
            raise NoAnswer(
                f"answered {failure.code}: a file that is refused is an answer, with 200"
            ) from None
        except (urllib.error.URLError, TimeoutError, OSError) as failure:
            raise NoAnswer(f"cannot be reached: {failure}") from None

    return ask


def run(cases: Sequence[Case], ask: Ask, directory: Path | None = None) -> Iterator[Result]:
    """Each case in turn. The files are written to `directory`, or to one that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tally-conformance-") as temporary:
        place = directory or Path(temporary)
        for case in cases:
            path = place / case.file_name
            path.write_bytes(case.content)
            try:
                told = ask(path)
            except NoAnswer as nothing:
                yield Result(case, None, (str(nothing),))
                continue
            answer, faults = _one(told)
            yield Result(case, answer, tuple(faults or judge(case, answer or {})))


def judge(case: Case, answer: dict[str, Any]) -> list[str]:
    """Everything in an answer that is not as the case says it must be."""
    if case.verdict != "ok":
        return _judge_refusal(case, answer)
    faults = []
    for field, expected in (("status", "ok"), ("entries", case.entries), ("sum_check", case.sum_check)):
        if answer.get(field) != expected:
            faults.append(f"{field} is {answer.get(field)!r}, and must be {expected!r}")
    if faults and answer.get("reason"):
        faults.append(f"it says: {answer['reason']}")
    told = answer.get("totals")
    if not isinstance(told, list) or len(told) != len(case.totals):
        faults.append(f"totals must be a list of {len(case.totals)}")
        return faults
    for nth, (mine, theirs) in enumerate(zip(case.totals, told, strict=True), start=1):
        for field, expected in mine.items():
            given = theirs.get(field) if isinstance(theirs, dict) else None
            if given != expected:
                faults.append(f"totals {nth}: {field} is {given!r}, and must be {expected!r}")
    return faults


def report(results: Sequence[Result], *, against: str) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "schema": "tallystick/conformance-run/1",
        "against": against,
        "cases": len(results),
        "passed": sum(result.passed for result in results),
        "failed": sum(not result.passed for result in results),
        "conforms": all(result.passed for result in results) and bool(results),
        "results": [
            {
                "case": result.case.name,
                "format": result.case.format,
                "title": result.case.title,
                "expected": result.case.expected,
                "passed": result.passed,
                "faults": list(result.faults),
                "answer": result.answer,
            }
            for result in results
        ],
    }


def _judge_refusal(case: Case, answer: dict[str, Any]) -> list[str]:
    allowed = ("refused",) if case.last_line else ("refused", "not_a_statement")
    if answer.get("status") not in allowed:
        return [f"status is {answer.get('status')!r}, and must be {' or '.join(allowed)}"]
    faults = []
    if not str(answer.get("reason") or "").strip():
        faults.append("no reason is given")
    line = answer.get("line")
    if case.last_line and not (isinstance(line, int) and case.first_line <= line <= case.last_line):
        faults.append(f"line is {line!r}, and must be {case.first_line} to {case.last_line}")
    return faults


def _one(told: Any) -> tuple[dict[str, Any] | None, list[str]]:
    """The answer, whether it came alone or in a list of one."""
    if isinstance(told, list) and len(told) == 1:
        told = told[0]
    if isinstance(told, dict):
        return told, []
    return None, ["the answer must be one JSON object, or a list of one"]


def _parsed(raw: bytes) -> Any:
    if len(raw) > ANSWER_BYTES_MAX:
        raise NoAnswer(f"the answer is longer than {ANSWER_BYTES_MAX} bytes")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as wrong:
        raise NoAnswer(f"the answer is no JSON: {wrong}") from None
