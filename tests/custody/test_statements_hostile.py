"""Files made to harm: each is answered quickly, in little memory, and nothing outside is touched."""

from __future__ import annotations

import concurrent.futures
import io
import multiprocessing
import resource
import tracemalloc
from typing import BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.custody.statements import camt as camt_reader
from tallystick.custody.statements import errors, file, rows, xml_stream
from tests.custody import test_statements_csv as csv
from tests.custody import test_statements_interim as interim
from tests.custody import test_statements_ofx as ofx
from tests.custody.statement_samples import Endless, camt, camt_entry, camt_statement, mt940

SOUND = camt(camt_statement(camt_entry()))

ATTACKS = {
    "entity_declared": (
        b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "b">]>' + SOUND.split(b"?>", 1)[1],
        errors.UnsafeXml,
    ),
    "billion_laughs": (
        b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
        + b"".join(
            b'<!ENTITY lol%d "%s">' % (n, b"&lol%d;" % (n - 1) * 10 if n > 1 else b"&lol;" * 10)
            for n in range(1, 10)
        )
        + b"]><Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.08'>&lol9;</Document>",
        errors.UnsafeXml,
    ),
    "external_entity": (
        b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        + SOUND.split(b"?>", 1)[1],
        errors.UnsafeXml,
    ),
    "external_dtd": (
        b'<?xml version="1.0"?><!DOCTYPE Document SYSTEM "http://127.0.0.1:9/x.dtd">'
        + SOUND.split(b"?>", 1)[1],
        errors.UnsafeXml,
    ),
    "undefined_entity": (SOUND.replace(b"S1", b"&nothing;"), errors.BrokenXml),
    "deep_nesting": (SOUND.replace(b"<GrpHdr/>", b"<a>" * 5_000 + b"</a>" * 5_000), errors.TooLarge),
    "long_text": (SOUND.replace(b"S1", b"x" * 1_000_000), errors.TooLarge),
    "long_attribute": (SOUND.replace(b"<GrpHdr/>", b'<a b="' + b"x" * 3_000_000 + b'"/>'), errors.TooLarge),
    "many_elements": (SOUND.replace(b"<GrpHdr/>", b"<a/>" * 100_000), errors.TooLarge),
    "cut_short": (SOUND[:-200], errors.BrokenXml),
    "garbage_after": (SOUND + b"<more/>", errors.BrokenXml),
    "invalid_utf8": (SOUND.replace(b"S1", b"\xff\xfe"), errors.BrokenXml),
    "invalid_gbk": (
        SOUND.replace(b'"1.0"?', b'"1.0" encoding="gbk"?').replace(b"S1", b"\xff\xff"),
        errors.UnreadableText,
    ),
    "unknown_encoding": (SOUND.replace(b'"1.0"?', b'"1.0" encoding="martian"?'), errors.UnreadableText),
    "codec_that_is_no_text": (SOUND.replace(b'"1.0"?', b'"1.0" encoding="zlib"?'), errors.UnreadableText),
    "long_line": (mt940(":86:" + "x" * 100_000), errors.TooLarge),
    "long_field": (mt940(":61:2603020302C10,00NTRFREF", ":86:x", *["y"] * 5_000), errors.TooLarge),
}


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_an_attack_is_refused(name: str) -> None:
    """Each is refused for what it is, with the line where it shows."""
    content, kind = ATTACKS[name]
    judged = file.judge(io.BytesIO(content))
    assert type(judged.refusal) is kind, judged
    assert judged.refusal.line >= 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"   \n",
        b"\x00" * 1_000,
        b"%PDF-1.7\n",
        b"PK\x03\x04",
        b"a,b,c\n1,2,3\n",
        b"<html><body/></html>",
        b"<!DOCTYPE html><html/>",
        b"<",
        b"OFXHEADER:100\n",
        b"{}",
    ],
)
def test_what_is_no_statement_is_said_to_be_none(content: bytes) -> None:
    """Nothing is wrong with such a file; it is only not ours."""
    assert file.judge(io.BytesIO(content)).status == "not_a_statement"


def test_a_file_over_the_limit_is_refused_unread() -> None:
    """The size is judged before the content."""
    with pytest.raises(errors.TooLarge):
        file.reader(io.BytesIO(SOUND), bytes_max=100)


WHOLE = [
    SOUND,
    mt940(":61:2603020302C10,00NTRFREF", ":86:166?00a?20EREF+b?32c"),
    interim.mt942(":61:260302C10,00NTRFREF", ":86:/TRTP/SEPA/NAME/J/REMI/x"),
    interim.message("camt.052", interim.ACCOUNT, camt_entry()),
    interim.message("camt.054", interim.ACCOUNT, camt_entry(details="<TxDtls><RmtInf/></TxDtls>")),
    ofx.ofx(ofx.statement(ofx.entry())).encode(),
    ofx.ofx(ofx.closed(ofx.statement(ofx.entry())), header=ofx.XML).encode("utf-16"),
    (csv.HEAD + "02.03.2026;A;1.234,56;2.234,56\n03.03.2026;B;-34,56;2.200,00\n").encode(),
    b"day,order,gross,fee,net,payout\n2026-03-02,O-1,100.00,0.60,99.40,P1\n",
]
"""A sound file of every format."""
TOKENS = [
    b"<",
    b">",
    b"&",
    b'"',
    b":61:",
    b":20:",
    b"-}",
    b"<STMTTRN>",
    b"</Ntry>",
    b"<![CDATA[",
    b"\xff\xfe",
    b"\0",
]
MAPPINGS = [csv.declared(csv.BANK), csv.declared(csv.CHANNEL)]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_gets_an_answer_and_never_a_wrong_sum(data: st.DataObject) -> None:
    """Bytes cut, doubled or changed anywhere: an answer, never another error; what passes adds up."""
    whole = data.draw(st.sampled_from(WHOLE))
    at = data.draw(st.integers(0, len(whole) - 1))
    until = data.draw(st.integers(at, min(len(whole), at + 40)))
    put = data.draw(st.binary(max_size=8) | st.sampled_from(TOKENS))
    damaged = whole[:at] + put + whole[until:]
    judged = file.judge(io.BytesIO(damaged), mappings=MAPPINGS)
    if isinstance(judged.refusal, errors.StatementRefused):
        assert judged.refusal.line >= 1
        assert judged.reason
    for statement in judged.statements if judged.sum_check == "ok" else ():
        assert statement.opening_minor is not None
        assert statement.closing_minor is not None
        net = statement.credits_minor - statement.debits_minor
        assert statement.opening_minor + net == statement.closing_minor


def many(count: int) -> dict[str, BinaryIO]:
    """A statement of `count` entries in each format, made as it is read."""
    details = (
        "<TxDtls><Refs><EndToEndId>E2E</EndToEndId></Refs><RmtInf><Ustrd>order 7</Ustrd></RmtInf></TxDtls>"
    )
    head, tail = camt(camt_statement("@@", opening="0", closing=f"{count}.00")).split(b"@@")
    xml = Endless(head, camt_entry("1.00", details=details).encode() + b"\n", count, tail)
    head, tail = mt940("@@", opening=":60F:C260301EUR0,", closing=f":62F:C260331EUR{count},").split(b"@@\r\n")
    swift = Endless(head, b":61:2603020302C1,00NTRFREF//BANK\r\n:86:/EREF/E2E/REMI/order 7\r\n", count, tail)
    head, tail = ofx.ofx(ofx.statement("@@")).encode().split(b"@@")
    tags = Endless(head, ofx.entry(TRNAMT="1.00").encode() + b"\n", count, tail)
    table = Endless(b"Day;Ref;Amount\n", b"02.03.2026;E2E;1,00\n", count, b"")
    made = {"camt.053": xml, "mt940": swift, "ofx": tags, "csv": table}
    return {name: cast(BinaryIO, endless) for name, endless in made.items()}


FORMATS = ["camt.053", "mt940", "ofx", "csv"]
COLUMNS = csv.declared(csv.BANK, {"balance": None})


def grown_by(name: str, count: int) -> tuple[int, int]:
    """Entries read, and by how many kilobytes the process's largest size grew: in a process of its own."""
    for _ in file.reader(many(1_000)[name], mappings=[COLUMNS]).read():
        pass
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    entries = sum(
        isinstance(row, rows.Entry) for row in file.reader(many(count)[name], mappings=[COLUMNS]).read()
    )
    return entries, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def peak_bytes(source: BinaryIO) -> tuple[int, int]:
    tracemalloc.start()
    try:
        entries = sum(isinstance(row, rows.Entry) for row in file.reader(source, mappings=[COLUMNS]).read())
        return entries, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", FORMATS)
def test_memory_does_not_grow_with_the_file(name: str) -> None:
    """Ten times the entries take the memory of one time, give or take its buffers: entries kept would be twice that."""
    _, small = peak_bytes(many(200)[name])
    entries, large = peak_bytes(many(2_000)[name])
    assert entries == 2_000
    assert large < small + 2_000_000


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_two_hundred_thousand_entries_stream(name: str) -> None:
    """A month of a large platform adds less than 16 megabytes to the process, however long the file."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        entries, grown_kb = pool.submit(grown_by, name, 200_000).result()
    assert entries == 200_000
    assert grown_kb < 16_000


def test_a_batch_larger_than_any_scheme_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Details are held until their entry ends, so their number is bounded."""
    monkeypatch.setattr(camt_reader, "DETAILS_MAX", 10)
    judged = file.judge(io.BytesIO(camt(camt_statement(camt_entry(details="<TxDtls/>" * 11)))))
    assert isinstance(judged.refusal, errors.TooLarge)


def test_bounds_leave_room_for_what_banks_send() -> None:
    """The deepest path of the standard and the longest of its texts are well inside the bounds."""
    assert xml_stream.DEPTH_MAX >= 2 * 20
    assert xml_stream.TEXT_MAX >= 3 * 20_000
