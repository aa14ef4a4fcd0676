"""The implementations that the vectors hold to one answer, each behind the same function."""

from __future__ import annotations

import base64
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tallystick.core.errors import Refusal
from tallystick.evidence import checking
from tallystick.evidence import policy as policies
from tallystick.evidence.liabilities import proof_file

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "verifier"
NODE = shutil.which("node") or ""

Case = dict[str, Any]
Said = list[dict[str, Any]]
"""For each case: code by file, and the facts of each."""


def cases(name: str) -> list[Case]:
    return json.loads((FOLDER / "vectors" / f"{name}.json").read_text(encoding="utf-8"))["cases"]


def content(told: str | dict[str, str]) -> bytes:
    return told.encode() if isinstance(told, str) else base64.b64decode(told["base64"])


def alone() -> Any:
    """The single file, as a module of its own."""
    name = "tallystick_verify"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, FOLDER / "tallystick_verify.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def house(case: Case) -> dict[str, Any]:
    """What Tallystick says."""
    if "policy" in case:
        return {"policy": _code(policies.parse, case["policy"].encode())}
    asked = case["asked"]
    found = checking.answers(
        {name: content(told) for name, told in case["files"].items()},
        checking.Asked(
            policies.parse(asked["policy"].encode()) if asked["policy"] else None,
            [proof_file.commitment(told).told for told in asked.get("commitments", [])],
            asked.get("identifiers"),
            asked.get("balance"),
        ),
    )
    return {
        "codes": {each.file: each.refusal.code if each.refusal else "" for each in found},
        "facts": {each.file: each.facts for each in found if not each.refusal},
    }


def single_file(case: Case) -> dict[str, Any]:
    """What the file without Tallystick says."""
    verify = alone()
    if "policy" in case:
        return {"policy": _code(verify.policy_of, case["policy"].encode())}
    asked = case["asked"]
    found = verify.answers(
        {name: content(told) for name, told in case["files"].items()},
        verify.Asked(
            verify.policy_of(asked["policy"].encode()) if asked["policy"] else None,
            tuple(verify.commitment_of(told) for told in asked.get("commitments", [])),
            asked.get("identifiers"),
            asked.get("balance"),
        ),
    )
    return {
        "codes": {each.file: each.code for each in found},
        "facts": {each.file: each.facts for each in found if not each.code},
        "words": {each.file: [verify.told(each, language) for language in ("en", "zh")] for each in found},
    }


def _code(read: Callable[[bytes], object], text: bytes) -> str:
    try:
        read(text)
    except (Refusal, alone().Refused) as refused:
        return str(refused.code)
    return ""


JAVASCRIPT = """
async function said(cases) {
  const utf8 = (text) => new TextEncoder().encode(text);
  const bytes = (told) => typeof told === "string" ? utf8(told)
    : Uint8Array.from(atob(told.base64), (each) => each.charCodeAt(0));
  const policyOf = (text) => tallystick.policyOf(utf8(text));
  const all = [];
  for (const one of cases) {
    if ("policy" in one) {
      all.push({ policy: await policyOf(one.policy).then(() => "", (refused) => refused.code) });
      continue;
    }
    const { asked } = one;
    const read = (told) => tallystick.commitmentOf(tallystick.jsonOf(JSON.stringify(told)));
    const found = await tallystick.answers(
      new Map(Object.entries(one.files).map(([name, told]) => [name, bytes(told)])),
      {
        policy: asked.policy ? await policyOf(asked.policy) : null,
        commitments: await Promise.all((asked.commitments ?? []).map(read)),
        identifiers: asked.identifiers ?? null,
        balance: asked.balance === undefined ? null : BigInt(asked.balance),
      },
    );
    const by = (value) => Object.fromEntries(found.map((each) => [each.file, value(each)]));
    all.push({
      codes: by((each) => each.code),
      facts: Object.fromEntries(found.filter((each) => !each.code).map((each) => [each.file, each.facts])),
      words: by((each) => [tallystick.told(each, "en"), tallystick.told(each, "zh")]),
    });
  }
  return all;
}
"""
"""`said(cases)`, where `tallystick` is what verify.js defines."""


def node(told: list[Case], *, without_ed25519: bool = False) -> Said:
    """What the twin says, in one process for all cases."""
    crippled = (
        "const imported = crypto.subtle.importKey.bind(crypto.subtle);"
        "crypto.subtle.importKey = (...given) => given[2].name === 'Ed25519'"
        " ? Promise.reject(new DOMException('', 'NotSupportedError')) : imported(...given);"
    )
    script = (
        f"const tallystick = require({json.dumps(str(FOLDER / 'verify.js'))});"
        + (crippled if without_ed25519 else "")
        + JAVASCRIPT
        + "said(JSON.parse(require('fs').readFileSync(0, 'utf8')))"
        ".then((all) => process.stdout.write(JSON.stringify(all)));"
    )
    done = subprocess.run(
        [NODE, "-e", script], input=json.dumps(told), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
