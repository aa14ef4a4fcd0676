"""Every known way to cheat a proof of liabilities is refused, and the refusal says which it was.

Each test is a cheat: it makes what a dishonest platform would hand out and publish, and the owner's verification
(or the bank's and the regulator's rebuild) answers. Permanent: none of these may ever verify again.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from tallystick.evidence import errors
from tallystick.evidence.liabilities import building, profile, proof_file, proving, snapshot, verification
from tallystick.evidence.liabilities.profile import Node
from tests.evidence.small_tree import (
    Honest,
    SmallTree,
    account,
    balance,
    header,
    keys_of,
    names,
)

CUSTOMERS = {number: balance(number) + 1 for number in range(5)}


@pytest.fixture(scope="module")
def honest() -> Honest:
    return Honest(CUSTOMERS)


def refused(told: dict[str, Any], published: dict[str, Any], **owner: Any) -> errors.LiabilityProofRefused:
    with pytest.raises(errors.LiabilityProofRefused) as caught:
        verification.read_and_verify(json.dumps(told).encode(), published, **owner)
    return caught.value


def leaf(told: profile.Header, number: int, fragment: int, amount: int) -> Node:
    """A leaf as the platform makes it, also where the amount is none that a leaf may have."""
    nonce = profile.nonce(keys_of(told).nonce, account(number))
    hashed = b"\x10" + profile.tree_id(told.spelled()) + fragment.to_bytes(2, "big") + account(number) + nonce
    return Node(hashlib.sha256(hashed + (amount % 2**128).to_bytes(16, "big")).digest(), amount)


def whole(customers: list[int], amounts: list[int], **more: Any) -> SmallTree:
    """A tree of one leaf a customer."""
    told = header(len(customers), 1)
    return SmallTree(
        told, [leaf(told, *each) for each in zip(customers, [0] * 9, amounts, strict=False)], **more
    )


def test_an_honest_proof_holds(honest):
    for number in CUSTOMERS:
        told = json.dumps(honest.proof(number)).encode()
        verification.read_and_verify(
            told, honest.tree.commitment, identifiers=names(number), balance=CUSTOMERS[number]
        )


def maxwell_todd(left: Node, right: Node) -> Node:
    """The hash of 2013: over the sum of both children, and not over each one's. The sum told is the larger."""
    hashed = b"\x11" + (left.sum + right.sum).to_bytes(16, "big") + left.hash + right.hash
    return Node(hashlib.sha256(hashed).digest(), max(left.sum, right.sum))


def test_maxwell_todd_a_tree_that_counts_the_larger_half_only():
    """Four owe 310 in all and 100 is published: with the hash of 2013 all four verified.

    Each is told of a sibling whose sum is what is missing to the parent's, so every path adds up.
    """
    amounts = [100, 90, 70, 50]
    told = header(4, 1)
    leaves = [leaf(told, number, 0, amount) for number, amount in enumerate(amounts)]

    def joined(left: Node, right: Node) -> Node:
        largest = max(left.sum, right.sum)
        return Node(
            hashlib.sha256(b"\x11" + largest.to_bytes(16, "big") + left.hash + right.hash).digest(), largest
        )

    tree = SmallTree(told, leaves, parent=joined)
    assert tree.commitment["total"] == "100"
    for number, amount in enumerate(amounts):
        proof = tree.proof(number, [number], [amount])
        counted = amount
        for step in proof["fragments"][0]["path"]:
            parent = max(counted, int(step[1]))
            step[1], counted = str(parent - counted), parent
        assert counted == 100, "the path adds up to what was published"
        assert refused(proof, tree.commitment).code == "sums_not_bound"


def test_negative_a_leaf_that_owes_the_platform():
    """A made-up customer with -900 hides what others are owed."""
    tree = whole(
        [1, 2, 3, 4],
        [500, 400, 300, -900],
        parent=lambda a, b: profile.parent(Node(a.hash, a.sum % 2**128), Node(b.hash, b.sum % 2**128)),
    )
    tree.total = 300
    for number, amount in ((3, 300), (1, 500)):
        proof = tree.proof(number, [number - 1], [amount])
        path = proof["fragments"][0]["path"]
        assert refused(proof, tree.commitment).code in {"amount_negative", "sum_too_large"}
        for step in path:
            step[1] = str(int(step[1]) % 2**128)
        assert refused(proof, tree.commitment).code == "sum_too_large"
    proof = tree.proof(3, [2], [300])
    proof["fragments"][0]["path"][0][1] = "-900"
    assert refused(proof, tree.commitment).code == "amount_negative"


def test_overflow_a_balance_hidden_beside_one_that_makes_the_sum_run_over():
    """2^128 - 500 beside somebody's 500: in sums of 128 bits that comes to nothing, and the total to 5."""

    def wrapping(left: Node, right: Node) -> Node:
        return Node(profile.parent(left, right).hash, (left.sum + right.sum) % 2**128)

    for hidden in (500, 2**127):
        tree = whole([1, 2, 3, 4], [5, 0, hidden, 2**128 - hidden], parent=wrapping)
        assert tree.commitment["total"] == "5"
        assert refused(tree.proof(3, [2], [hidden]), tree.commitment).code == "sum_too_large"
    with pytest.raises(errors.AmountOutsideTree):
        snapshot.held([(account(1), 2**127)])


def test_children_swapped(honest):
    """A leaf shown at its neighbour's place, or at any other where only sides differ."""
    for level in range(honest.tree.commitment["height"]):
        proof = honest.proof(1)
        told = proof["fragments"][0]
        if told["index"] ^ (1 << level) < honest.tree.commitment["leaves"]:
            told["index"] ^= 1 << level
            answer = refused(proof, honest.tree.commitment)
            assert answer.code in {"children_swapped", "padding_altered", "fragments_incomplete"}
    proof = honest.proof(1)
    proof["fragments"][0]["index"] ^= 1
    answer = refused(proof, honest.tree.commitment)
    assert (answer.code, answer.fields) == ("children_swapped", {"level": 0})


def test_clash_one_leaf_shown_to_two_customers():
    """Two are owed 100 each; one leaf is made, and both are given its proof."""
    tree = whole([1, 3], [100, 200])
    proof = tree.proof(1, [0], [100])
    verification.verify(proof_file.proof(proof), tree.commitment, identifiers=names(1), balance=100)
    # As it is, it names another account than the second customer's.
    assert refused(proof, tree.commitment, identifiers=names(2), balance=100).code == "account_differs"
    # With the second customer's own account written on it, the leaf is another.
    forged = {**proof, "identifiers": list(names(2))}
    answer = refused(forged, tree.commitment, identifiers=names(2), balance=100)
    assert answer.code == "liabilities_root_differs"


def test_clash_an_account_that_is_in_the_snapshot_twice():
    """The rebuild sees it: the bank is handed the snapshot that the tree was made of."""
    records = snapshot.held([(account(1), 100), (account(2), 100)]).records(0, 2)
    told = header(3)
    with pytest.raises(errors.AccountTwice):
        building.build(told.spelled(), keys_of(told), snapshot.Held(records + records[40:]))


def test_one_fragment_shown_as_two():
    """A balance of 100 in two parts of 50, of which the tree holds one."""
    told = header(2, 2)
    tree = SmallTree(
        told, [leaf(told, 1, 0, 50), leaf(told, 2, 0, 7), leaf(told, 2, 1, 8), leaf(told, 3, 0, 9)]
    )
    twice = tree.proof(1, [0, 0], [50, 50])
    assert refused(twice, tree.commitment, balance=100).code == "fragments_incomplete"
    once = {**twice, "fragments": twice["fragments"][:1], "balance": "50"}
    assert refused(once, tree.commitment, balance=100).code == "fragments_incomplete"
    # The same leaf as part 1 is another leaf, wherever it is shown.
    elsewhere = tree.proof(1, [0, 3], [50, 50])
    assert refused(elsewhere, tree.commitment, balance=100).code == "liabilities_root_differs"


def test_omitted_a_customer_whom_the_tree_leaves_out():
    """What is published is less by their balance. They get no proof; the rebuild gets another root."""
    without = {number: amount for number, amount in CUSTOMERS.items() if number != 3}
    cheat = Honest(without)
    # Another's proof does not become theirs, and a made-up leaf leads nowhere.
    for number in without:
        proof = cheat.proof(number) | {"identifiers": list(names(3))}
        assert refused(proof, cheat.tree.commitment, identifiers=names(3)).code == "liabilities_root_differs"
    # The bank adds up the ledger's own accounts. The cheat's header says one fewer.
    own = snapshot.held([(account(number), amount) for number, amount in CUSTOMERS.items()])
    told = cheat.tree.told
    with pytest.raises(errors.SnapshotMalformed):
        proving.rebuild(cheat.tree.commitment, keys_of(told).tree_key, own)


def test_omitted_a_customer_replaced_by_nobody():
    """As many accounts as there should be, one of them made up: the rebuild names root or total."""
    cheat = Honest({**{number: amount for number, amount in CUSTOMERS.items() if number != 3}, 77: 0})
    own = snapshot.held([(account(number), amount) for number, amount in CUSTOMERS.items()])
    key = keys_of(cheat.tree.told).tree_key
    with pytest.raises(errors.RebuildDiffers) as caught:
        proving.rebuild(cheat.tree.commitment, key, own)
    assert caught.value.fields["member"] in {"root", "total"}
    honest = Honest(CUSTOMERS)
    assert proving.rebuild(honest.tree.commitment, key, own).commitment == honest.tree.commitment


def test_understated_a_balance_that_was_lowered(honest):
    """The tree holds less than the owner is owed: the proof counts less, or leads to another root."""
    lowered = Honest({**CUSTOMERS, 2: 1})
    answer = refused(lowered.proof(2), lowered.tree.commitment, identifiers=names(2), balance=CUSTOMERS[2])
    assert (answer.code, answer.fields["counted"]) == ("balance_differs", 1)
    proof = lowered.proof(2) | {"balance": str(CUSTOMERS[2])}
    assert refused(proof, lowered.tree.commitment).code == "balance_differs"
    proof["fragments"][0]["amount"] = str(CUSTOMERS[2] - int(proof["fragments"][1]["amount"]))
    assert refused(proof, lowered.tree.commitment).code == "liabilities_root_differs"


def test_understated_a_total_that_is_less_than_the_sum(honest):
    cheat = Honest(CUSTOMERS)
    cheat.tree.total = 1
    answer = refused(cheat.proof(2), cheat.tree.commitment)
    assert (answer.code, answer.fields["sum"]) == ("total_differs", sum(CUSTOMERS.values()))


def test_two_trees_a_customer_is_shown_one_that_nobody_else_sees(honest):
    """And yesterday's proof shown today."""
    private = Honest({1: CUSTOMERS[1], 2: 0})
    assert refused(private.proof(1), honest.tree.commitment).code == "another_tree"
    yesterday = {**CUSTOMERS, 0: 5}
    assert refused(Honest(yesterday).proof(1), honest.tree.commitment).code == "another_tree"


def test_hidden_in_the_padding():
    """A subtree beyond the last leaf could hold anything, also a sum that is missing elsewhere."""
    told = header(3, 1)
    leaves = [leaf(told, number, 0, 100) for number in range(3)]
    filled = SmallTree(told, [*leaves, leaf(told, 9, 0, 50)])
    published = {**filled.commitment, "leaves": 3}
    proof = filled.proof(2, [2], [100]) | {"commitment": published}
    answer = refused(proof, published)
    assert (answer.code, answer.fields) == ("padding_altered", {"level": 0})


def test_a_leaf_of_another_tree_does_not_stand_in_this_one():
    """The same customer, balance, part and key: another asset's tree has another leaf for them."""
    told, other = header(2, 1), header(2, 1, asset="EUR")
    nonce = profile.nonce(keys_of(told).nonce, account(1))
    theirs = profile.leaf(profile.tree_id(other.spelled()), 0, account(1), nonce, 100)
    tree = SmallTree(told, [theirs, leaf(told, 2, 0, 50)])
    assert refused(tree.proof(1, [0], [100]), tree.commitment).code == "liabilities_root_differs"


def test_two_audits_of_the_same_balances_cannot_be_linked():
    """Nothing that a proof of one audit shows of others comes again in the next one; only totals do."""
    seen = []
    for audit in (1, 2):
        told = header(40, audit=audit)
        tree = building.build(
            told.spelled(), keys_of(told), snapshot.held([(account(n), 1000 + n) for n in range(40)])
        )
        seen.append((told, tree))
    (first, first_tree), (second, second_tree) = seen
    assert first_tree.commitment["total"] == second_tree.commitment["total"]
    keys = [keys_of(each) for each in (first, second)]
    for number in range(40):
        nonces = [profile.nonce(each.nonce, account(number)) for each in keys]
        assert nonces[0] != nonces[1]
        assert profile.fragments(1000 + number, 2, nonces[0]) != profile.fragments(
            1000 + number, 2, nonces[1]
        )


def test_two_audits_show_a_customer_other_neighbours(tmp_path):
    """By the proofs themselves: no hash and hardly any neighbour's amount comes twice, and places change."""
    shown = []
    for audit in (1, 2):
        told = header(60, audit=audit)
        path = tmp_path / str(audit)
        snapshot.write(path, ((account(n), 10**9 + n) for n in range(60)), lambda _, told=told: told)
        with snapshot.Snapshot(path) as source:
            tree = building.build(told.spelled(), keys_of(told), source)
            prover = proving.Prover(tree, keys_of(told), source)
            proofs = [prover.prove(names(number)) for number in range(60)]
        places = [each.index for proof in proofs for each in proof.fragments]
        hashes = {node.hash for proof in proofs for each in proof.fragments for node in each.path}
        neighbours = {each.path[0].sum for proof in proofs for each in proof.fragments}
        shown.append((places, hashes, neighbours))
    assert not shown[0][1] & shown[1][1]
    assert not shown[0][2] & shown[1][2]
    same = sum(a == b for a, b in zip(shown[0][0], shown[1][0], strict=True))
    assert same < 9  # of 120, one is expected where places are drawn anew


# ── every single member of a proof matters ───────────────────────────────────────────────────────────────


def changes(told: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Each place of a JSON value that holds no object or list, with another value of its type."""
    if isinstance(told, dict):
        return [each for key in told for each in changes(told[key], (*path, key))]
    if isinstance(told, list):
        return [each for number, inner in enumerate(told) for each in changes(inner, (*path, number))]
    if isinstance(told, int):
        return [
            (path, told + 1),
            (path, told - 1),
            (path, -1),
            (path, 2**60),
            (path, str(told)),
            (path, None),
        ]
    if isinstance(told, str):
        other = "1" if told[:1] == "0" else "0"
        return [(path, other + told[1:]), (path, told + other), (path, told[:-1]), (path, 7), (path, None)]
    return [(path, "")] if told is None else []


def test_no_change_of_a_proof_goes_through(honest):
    published = honest.tree.commitment
    told = honest.proof(1)
    tried = 0
    for path, value in changes(told):
        if path[0] in {"statement", "inclusion"}:
            continue  # not this check's: whoever checks signatures checks them
        forged = copy.deepcopy(told)
        inner = forged
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        refused(forged, published)
        tried += 1
    assert tried > 150


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b"\xff\xfe",
        b'{"schema": "tallystick/liability-proof/1", "schema": 1}',
        b'{"a": 1.5}',
        b'{"a": NaN}',
        b"[" * 60_000,
        b" " * 70_000,
    ],
)
def test_what_is_no_proof_is_said_to_be_none(content, honest):
    with pytest.raises(errors.LiabilityProofMalformed):
        verification.read_and_verify(content, honest.tree.commitment)


def test_a_proof_by_other_rules_names_them(honest):
    told = honest.proof(1)
    told["commitment"] = {
        **told["commitment"],
        "header": {**told["commitment"]["header"], "profile": "psum-v9"},
    }
    assert refused(told, honest.tree.commitment).fields == {"profile": "psum-v9"}


def test_a_shape_that_does_not_follow_is_refused(honest):
    for member, value in (("leaves", 16), ("height", 5)):
        told = honest.proof(1)
        told["commitment"] = {**told["commitment"], member: value}
        assert refused(told, told["commitment"]).code == "tree_shape_wrong"


def test_indexes_and_paths_out_of_bounds(honest):
    def changed(change: Callable[[dict[str, Any]], None]) -> str:
        told = honest.proof(1)
        change(told["fragments"][0])
        return refused(told, honest.tree.commitment).code

    assert changed(lambda told: told.update(index=10)) == "index_outside_leaves"
    assert changed(lambda told: told["path"].pop()) == "path_length_wrong"
    assert changed(lambda told: told["path"].append(told["path"][0])) == "path_length_wrong"
    assert changed(lambda told: told["path"].extend(told["path"] * 9)) == "liability_proof_malformed"
    assert changed(lambda told: told.update(amount=str(2**64))) == "sum_too_large"
    assert changed(lambda told: told["path"][1].__setitem__(1, str(2**65))) == "sum_too_large"
