"""How fast a file of a million entries is read and judged, and how much memory that takes, in each format.

Each file is written to disk first, every entry with references of its own, and then read by a process of
its own: its rate is entries over its time from opening to the last judgement (over the processor's time too, for
machines that are shared), its memory the process's
largest size, the interpreter and Django included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

FORMATS = ("camt.053", "mt940", "ofx", "csv")
COLUMNS = {
    "name": "bench",
    "decimal": ".",
    "date_format": "%Y-%m-%d",
    "currency": "EUR",
    "account": "NL91ABNA0417164300",
    "columns": {
        "booking_date": "day",
        "amount": "amount",
        "end_to_end_id": "order",
        "remittance": "text",
        "balance": "balance",
    },
}


def content(name: str, count: int) -> Iterator[str]:
    """A file of `count` entries of 1.00, piece by piece."""
    if name == "camt.053":
        yield (
            '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><GrpHdr/>\n'
            "<Stmt><Id>S1</Id><Acct><Id><IBAN>NL91ABNA0417164300</IBAN></Id><Ccy>EUR</Ccy></Acct>\n"
        )
        for code, amount in (("OPBD", 0), ("CLBD", count)):
            yield (
                f'<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">{amount}</Amt>'
                "<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-03-02</Dt></Dt></Bal>\n"
            )
        for number in range(count):
            yield (
                '<Ntry><Amt Ccy="EUR">1.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>\n'
                "<BookgDt><Dt>2026-03-02</Dt></BookgDt><ValDt><Dt>2026-03-02</Dt></ValDt><NtryDtls><TxDtls>\n"
                f"<Refs><EndToEndId>E2E-{number}</EndToEndId></Refs><RmtInf><Ustrd>order {number}</Ustrd></RmtInf>"
                "</TxDtls></NtryDtls></Ntry>\n"
            )
        yield "</Stmt></BkToCstmrStmt></Document>"
    elif name == "mt940":
        yield ":20:REF\r\n:25:NL91ABNA0417164300\r\n:28C:1/1\r\n:60F:C260301EUR0,\r\n"
        for number in range(count):
            yield f":61:2603020302C1,00NTRFREF{number}//B{number}\r\n:86:/EREF/E2E-{number}/REMI/order {number}\r\n"
        yield f":62F:C260331EUR{count},\r\n-\r\n"
    elif name == "ofx":
        yield (
            "OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\nENCODING:USASCII\nCHARSET:1252\n\n<OFX><BANKMSGSRSV1>"
            "<STMTTRNRS><TRNUID>1<STMTRS><CURDEF>EUR<BANKACCTFROM><ACCTID>1</BANKACCTFROM><BANKTRANLIST>\n"
        )
        for number in range(count):
            yield (
                "<STMTTRN><TRNTYPE>CREDIT<DTPOSTED>20260302<TRNAMT>1.00\n"
                f"<FITID>F{number}<NAME>Wang Fang<MEMO>order {number}</STMTTRN>\n"
            )
        yield "</BANKTRANLIST></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>"
    else:
        yield "day,order,text,amount,balance\n"
        for number in range(count):
            yield f"2026-03-02,E2E-{number},order {number},1.00,{number + 1}.00\n"


def read(path: Path) -> dict[str, float]:
    """Judge one file in this process."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tallystick.settings")
    import django

    django.setup()
    from tallystick.custody.statements import file, mapping

    declared = mapping.load(json.dumps(COLUMNS).encode())
    began, cpu = time.perf_counter(), time.process_time()
    with path.open("rb") as source:
        judged = file.judge(source, mappings=[declared])
    took, busy = time.perf_counter() - began, time.process_time() - cpu
    assert judged.status == "ok", judged.reason
    return {
        "entries": judged.entries,
        "entries_per_s": round(judged.entries / took),
        "entries_per_cpu_s": round(judged.entries / busy),
        "file_mb": round(path.stat().st_size / 1e6, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def main() -> None:
    """Print one JSON object, a key a format."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    words.add_argument("--entries", type=int, default=1_000_000)
    words.add_argument("--format", choices=FORMATS, action="append")
    words.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.read:
        print(json.dumps(read(given.read)))
        return
    told = {}
    with tempfile.TemporaryDirectory() as directory:
        for name in given.format or FORMATS:
            path = Path(directory) / "statement"
            with path.open("w", newline="") as out:
                out.writelines(content(name, given.entries))
            done = subprocess.run(
                [sys.executable, __file__, "--read", str(path)], check=True, capture_output=True, text=True
            )
            told[name] = json.loads(done.stdout)
            path.unlink()
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
