"""The sum tree counts every balance once and in full, and every owner can see that theirs is in it."""

from __future__ import annotations

import functools
import hmac
import json
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.evidence import errors
from tallystick.evidence.liabilities import (
    building,
    engine,
    kernel,
    order,
    profile,
    proof_file,
    proving,
    snapshot,
    twin,
    verification,
)
from tallystick.evidence.liabilities.kernel import compiling
from tests.evidence import small_tree
from tests.evidence.small_tree import Honest, account, balance, header, keys_of, names

SIZES = [0, 1, 2, 3, 5, 127, 128, 129, 256, 257, 300]


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    """The kernel of this source, compiled as an installation would."""
    try:
        return compiling.compiled(tmp_path_factory.mktemp("kernel"))
    except compiling.NotCompiled as why:
        pytest.skip(f"no kernel: {why}")


@pytest.fixture(params=["twin", "portable", "accelerated"])
def using(request) -> engine.Engine:
    """Every engine that must give the same bytes."""
    if request.param == "twin":
        return engine.TWIN
    made = kernel.Kernel(request.getfixturevalue("library"), portable=request.param == "portable")
    if request.param == "accelerated" and made.NAME != "c-sha-ni":
        pytest.skip("this processor has no SHA extensions")
    return made


def pairs(customers: int) -> list[tuple[bytes, int]]:
    return [(account(number), balance(number)) for number in range(customers)]


def built(customers: int, fragments: int = 2, using: engine.Engine | None = None) -> building.Tree:
    told = header(customers, fragments)
    return building.build(
        told.spelled(), keys_of(told), snapshot.held(pairs(customers)), using=using, workers=2
    )


@functools.cache
def slow(customers: int, fragments: int) -> Honest:
    return Honest({number: balance(number) for number in range(customers)}, fragments)


@pytest.mark.parametrize("customers", SIZES)
def test_every_engine_builds_the_tree_of_the_specification(customers, using):
    """Root, total, height: those of a tree made slowly, node by node."""
    for fragments in (1, 2, 3):
        assert built(customers, fragments, using).commitment == slow(customers, fragments).tree.commitment


def test_a_tree_of_several_chunks_is_the_same_on_every_engine(using):
    """Where chunks meet, and where the last tile is not whole."""
    customers = order.TILE * order.GROUPS_MAX + 77
    records = b"".join(number.to_bytes(32, "big") + number.to_bytes(8, "big") for number in range(customers))
    told = header(customers, 1)
    tree = building.build(told.spelled(), keys_of(told), snapshot.Held(records), using=using, workers=2)
    assert tree.commitment["total"] == str(customers * (customers - 1) // 2)
    assert tree.commitment["root"] == "a6e94724cbf90f6907b0bc18629c2d4d4c10b56fe9b466239f2effed73a3ecea"


def test_the_golden_tree_stays_what_it_was(using):
    """Frozen: a proof of any past day verifies for ever."""
    tree = built(1000, 2, using)
    assert tree.digest.hex() == "114bd34a87e029ee1db876c26385e054e8d3f7e840de22176209cb8df60831bf"
    assert (
        profile.tree_id(header(1000).spelled()).hex()
        == "fd560c6b44d81bb7d7c201f52195d462f4e769678120387c90a036cdce233d77"
    )


@pytest.mark.parametrize("fragments", [1, 2, 4])
@pytest.mark.parametrize("customers", [1, 3, 129, 300])
def test_every_owner_has_a_proof_that_holds(customers, fragments, using, tmp_path):
    told = header(customers, fragments)
    snapshot.write(tmp_path / "s", iter(pairs(customers)), lambda _: told)
    tree = built(customers, fragments)
    with snapshot.Snapshot(tmp_path / "s") as source:
        prover = proving.Prover(tree, keys_of(told), source, using=using)
        for number in range(0, customers, 17):
            made = proving.spelled(prover.prove(names(number)))
            proof = verification.read_and_verify(
                made, tree.commitment, identifiers=names(number), balance=balance(number)
            )
            assert proof.balance == balance(number)
            assert json.loads(made) == slow(customers, fragments).proof(number)


def test_an_account_that_was_left_out_has_no_proof(tmp_path):
    told = header(5)
    snapshot.write(tmp_path / "s", pairs(5), lambda _: told)
    with snapshot.Snapshot(tmp_path / "s") as source:
        prover = proving.Prover(built(5), keys_of(told), source)
        with pytest.raises(errors.AccountNotInTree):
            prover.prove(names(6))


def test_levels_that_were_kept_serve_the_same_proofs(tmp_path):
    """A prover made from files, as a server starts with, gives what the builder's own gives."""
    told = header(300)
    tree = built(300)
    snapshot.write(tmp_path / "s", pairs(300), lambda _: told)
    (tmp_path / "nodes").write_bytes(b"".join(tree.nodes()))
    again = proving.kept(tree.commitment, tmp_path / "nodes")
    with snapshot.Snapshot(tmp_path / "s") as source:
        proofs = [proving.Prover(each, keys_of(told), source).prove(names(299)) for each in (tree, again)]
    assert proofs[0] == proofs[1]
    (tmp_path / "nodes").write_bytes(b"".join(built(301).nodes()))
    with pytest.raises(errors.SnapshotMalformed):
        proving.kept(tree.commitment, tmp_path / "nodes")


# ── the order ────────────────────────────────────────────────────────────────────────────────────────────


@given(slots=st.integers(1, 3000), key=st.binary(min_size=32, max_size=32), number=st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_every_slot_has_a_place_of_its_own_and_is_found_again(slots, key, number):
    net = order.network(key, order.Chunk(number, 0, slots, 1))
    at = order.walked(net, order.every_slot(net))
    assert sorted(at.tolist()) == list(range(slots))
    assert order.walked(net, at, back=True).tolist() == list(range(slots))
    assert at[0] == small_tree.moved(key, number, slots, 0)
    assert at[-1] == small_tree.moved(key, number, slots, slots - 1)


@given(customers=st.integers(1, 10**9), data=st.data())
@settings(max_examples=100, deadline=None)
def test_chunks_cover_all_accounts_once_in_whole_tiles(customers, data):
    count = order.chunks(customers)
    number = data.draw(st.integers(0, count - 1))
    here = order.chunk(number, customers, 2)
    assert here.first % order.TILE == 0
    assert 0 < here.accounts <= order.TILE * order.GROUPS_MAX
    assert count == 1 or here.accounts >= 65_000 or number == count - 1
    after = order.chunk(number + 1, customers, 2).first if number + 1 < count else customers
    assert (here.end, order.chunk(0, customers, 2).first) == (after, 0)
    for index in (here.first, here.end - 1):
        assert order.chunk_of_account(index, customers, 2) == here


def test_the_kernel_orders_as_the_twin_does(library):
    made = kernel.Kernel(library)
    for slots in (1, 2, 3, 1000, 2**18):
        net = order.network(b"k" * 32, order.Chunk(3, 0, slots, 1))
        every = order.every_slot(net)
        at = made.walked(net, every)
        assert np.array_equal(at, twin.walked(net, every))
        assert np.array_equal(made.walked(net, at, back=True), every)
        with pytest.raises(AssertionError, match="outside"):
            made.walked(net, np.array([slots], np.uint32))


# ── fragments and keys ───────────────────────────────────────────────────────────────────────────────────


@given(
    amount=st.integers(0, profile.AMOUNT_MAX),
    count=st.integers(1, 4),
    nonce=st.binary(min_size=32, max_size=32),
)
def test_fragments_add_up_and_none_is_negative(amount, count, nonce):
    parts = profile.fragments(amount, count, nonce)
    assert (len(parts), sum(parts)) == (count, amount)
    assert min(parts) >= 0


def test_the_largest_balances_are_split_and_summed_without_running_over(using):
    """2^64 - 1 for everybody: the products and sums that a careless kernel would wrap."""
    told = header(150, 3)
    records = snapshot.held([(account(number), profile.AMOUNT_MAX) for number in range(150)])
    tree = building.build(told.spelled(), keys_of(told), records, using=using)
    assert tree.commitment["total"] == str(150 * profile.AMOUNT_MAX)
    assert tree.commitment == Honest(dict.fromkeys(range(150), profile.AMOUNT_MAX), 3).tree.commitment


def test_sums_that_no_tree_can_have_are_not_added(using):
    """Nodes that were tampered with before they were folded: 2^127 twice would come to 0."""
    for amount in (2**127, 2**99, 2**100):
        nodes = np.frombuffer(profile.Node(b"h" * 32, amount).kept * 2, np.uint8).reshape(2, -1)
        with pytest.raises(OverflowError):
            using.parents(nodes.copy())


def test_the_key_of_a_tree_is_hkdf_and_opens_no_other_tree():
    """RFC 5869, by another implementation of it."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    trees = [profile.tree_id(header(3, audit=audit).spelled()) for audit in (1, 2)]
    derived = [
        HKDF(SHA256(), 32, each, b"tallystick/psum-v1/key").derive(small_tree.MASTER) for each in trees
    ]
    assert [profile.tree_key(small_tree.MASTER, each) for each in trees] == derived
    assert derived[0] != derived[1]
    keys = profile.keys(derived[0])
    assert keys.nonce == hmac.digest(derived[0], b"nonce", "sha256") != keys.order


def test_identifiers_cannot_be_shifted_into_one_another():
    """Where one ends and the next begins is hashed too."""
    told = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc")]
    assert len({profile.account_id("o", each) for each in told}) == len(told)
    assert profile.account_id("oa", ["b"]) != profile.account_id("o", ["ab"])


# ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_snapshot_is_sorted_whatever_order_it_was_told_in(tmp_path, monkeypatch):
    """In memory, and through files where there is more than memory is given."""
    told = header(500)
    snapshot.write(tmp_path / "a", pairs(500), lambda count: header(count))
    monkeypatch.setattr(snapshot, "_HELD_MAX", 1000)
    snapshot.write(tmp_path / "b", reversed(pairs(500)), lambda _: told)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b"]
    with snapshot.Snapshot(tmp_path / "a") as opened:
        assert opened.records(0, 500) == snapshot.held(pairs(500)).records(0, 500)


def test_accounts_whose_ids_begin_alike_are_told_apart():
    """The first eight bytes decide nearly always; here they never do."""
    ids = [b"\0" * 8 + number.to_bytes(24, "big") for number in (3, 1, 2**190, 2)]
    found = snapshot.held([(each, 1) for each in ids])
    assert [found.records(i, i + 1)[:32] for i in range(4)] == sorted(ids)
    with pytest.raises(errors.AccountTwice):
        snapshot.held([(each, 1) for each in (*ids, ids[0])])


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: content[:-1],
        lambda content: content + content[-40:],
        lambda content: content.replace(b'"customers":3', b'"customers":2'),
        lambda content: content.replace(b'{"asset"', b'{ "asset"'),
        lambda content: content.replace(b"psum-v1", b"psum-v2"),
        lambda content: b"",
        lambda content: b"x" * 100_000,
    ],
)
def test_a_file_that_is_no_snapshot_is_refused(tmp_path, harm):
    snapshot.write(tmp_path / "s", pairs(3), lambda _: header(3))
    (tmp_path / "s").write_bytes(harm((tmp_path / "s").read_bytes()))
    with pytest.raises(errors.SnapshotMalformed):
        snapshot.Snapshot(tmp_path / "s")


def test_records_out_of_order_are_refused_while_building():
    records = snapshot.held(pairs(3)).records(0, 3)
    swapped = records[40:80] + records[:40] + records[80:]
    with pytest.raises(errors.SnapshotMalformed):
        building.build(header(3).spelled(), keys_of(header(3)), snapshot.Held(swapped))


# ── the kernel ───────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_compiler_there_is_no_kernel_and_a_reason(tmp_path, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(compiling.NotCompiled, match="no C compiler"):
        compiling.compiled(tmp_path)


def test_a_compiler_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "false")
    with pytest.raises(compiling.NotCompiled):
        compiling.compiled(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_hashes_otherwise_is_not_used(tmp_path, monkeypatch):
    """One constant of SHA-256 changed: the twin is chosen, and says why."""
    source = tmp_path / "psum.c"
    source.write_text(compiling.SOURCE.read_text().replace("0x428a2f98", "0x428a2f99"))
    monkeypatch.setattr(compiling, "SOURCE", source)
    try:
        compiling.compiled(tmp_path, flags=("-O0",))
    except compiling.NotCompiled as why:
        pytest.skip(f"no kernel: {why}")
    choice = engine.chosen.__wrapped__()
    assert choice.engine is engine.TWIN
    assert "otherwise" in choice.why_not


def test_a_library_of_another_source_is_not_found(tmp_path, monkeypatch):
    source = tmp_path / "psum.c"
    source.write_text("int psum_version(void) { return 2; }")
    (tmp_path / "psum-0000000000000000.so").write_bytes(b"")
    monkeypatch.setattr(compiling, "SOURCE", source)
    choice = engine.chosen.__wrapped__()
    assert choice.engine is engine.TWIN
    assert "no library" in choice.why_not


def test_the_kernel_refuses_places_outside_the_chunk(library):
    """The bounds that keep it from writing where it must not."""
    made = kernel.Kernel(library)
    at = np.array([0, 5], np.uint32)
    with pytest.raises(AssertionError, match="outside"):
        made.leaves(b"t" * 32, b"k" * 32, bytes(40), 2, at, 2)


def test_the_specification_shows_a_proof_that_is_read():
    """What the page shows as a proof has exactly the members that are read."""
    page = (Path(__file__).resolve().parents[2] / "docs/reference/psum-v1.md").read_text()
    shown = json.loads(page.split("```json\n")[1].split("```")[0])
    assert shown == slow(3, 2).proof(1)
    assert proof_file.read(json.dumps(shown)).balance == balance(1)
