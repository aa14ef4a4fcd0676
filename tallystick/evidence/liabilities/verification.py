"""Verification: what an owner's proof is checked against, step by step; the first that fails is the answer.

Needs SHA-256 and whole numbers, no secret and no database. The steps carry the numbers they have in
docs/reference/psum-v1.md, where every implementation finds the same names for the same failures.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from tallystick.evidence import canonical, errors
from tallystick.evidence.liabilities import profile, proof_file
from tallystick.evidence.liabilities.profile import Node
from tallystick.evidence.liabilities.proof_file import Commitment, Fragment, Proof

Parent = Callable[[Node, Node], Node]


def verify(
    proof: Proof,
    published: Mapping[str, canonical.Value],
    *,
    identifiers: Sequence[str] | None = None,
    balance: int | None = None,
) -> None:
    """Whether the account's balance is counted in the published tree, in full and for nobody else.

    `published` is the commitment as the signed log, the bank or the regulator has it: never the proof's own.
    `identifiers` and `balance` are what the owner holds and expects. Raises an `errors.LiabilityProofRefused`.
    """
    told = proof.commitment
    # 3. The shape follows from how many accounts there are.
    leaves = told.customers * told.fragments
    height = profile.height_of(leaves)
    if told.leaves != leaves or told.height != height or height > profile.HEIGHT_MAX:
        raise errors.TreeShapeWrong(
            customers=told.customers, fragments=told.fragments, leaves=leaves, height=height
        )
    # 4. One tree for everybody.
    if not hmac.compare_digest(profile.commitment_digest(told.told), profile.commitment_digest(published)):
        raise errors.AnotherTree
    # 5. The owner's own account.
    if identifiers is not None and tuple(identifiers) != proof.identifiers:
        raise errors.AccountDiffers
    # 6. All of the balance.
    indexes = {each.index for each in proof.fragments}
    if not len(proof.fragments) == len(indexes) == told.fragments:
        raise errors.FragmentsIncomplete(needed=told.fragments, given=len(indexes))
    tree = profile.tree_id(told.header)
    account = profile.account_id(told.origin, proof.identifiers)
    for number, fragment in enumerate(proof.fragments):
        _check(told, tree, fragment, number=number, account=account, nonce=proof.nonce)
    # 14. What the parts come to.
    counted = sum(each.amount for each in proof.fragments)
    for expected in (proof.balance, balance):
        if expected is not None and expected != counted:
            raise errors.BalanceDiffers(counted=counted, balance=expected)


def _check(
    told: Commitment, tree: bytes, fragment: Fragment, *, number: int, account: bytes, nonce: bytes
) -> None:
    # 7. Nothing is owed to the platform.
    for amount in (fragment.amount, *(each.sum for each in fragment.path)):
        if amount < 0:
            raise errors.AmountNegative(amount=amount)
    # 8, 9. A place in the tree, and a way to its root.
    if fragment.index >= told.leaves:
        raise errors.IndexOutsideLeaves(index=fragment.index, leaves=told.leaves)
    if len(fragment.path) != told.height:
        raise errors.PathLengthWrong(given=len(fragment.path), needed=told.height)
    # 10. Nothing runs over.
    total = fragment.amount
    _bounded(0, total)
    for level, sibling in enumerate(fragment.path):
        _bounded(level, sibling.sum)
        total += sibling.sum
        _bounded(level + 1, total)
    # 11. What fills up is empty.
    for level, sibling in enumerate(fragment.path):
        beside = (fragment.index >> level) ^ 1
        if beside >= profile.level_size(told.leaves, level) and sibling != profile.padding(
            tree, level, beside
        ):
            raise errors.PaddingAltered(level=level)
    # 12. The one root.
    leaf = profile.leaf(tree, number, account, nonce, fragment.amount)
    root = _climb(leaf, fragment, profile.parent)
    if root.hash != told.root:
        raise _cause(told, leaf, fragment)
    # 13. The total is what it comes to.
    if root.sum != told.total:
        raise errors.TotalDiffers(total=told.total, sum=root.sum)


def _bounded(level: int, amount: int) -> None:
    if amount >> (64 + level):
        raise errors.SumTooLarge(level=level)


def _climb(leaf: Node, fragment: Fragment, parent: Parent, *, swapped: int = -1) -> Node:
    node = leaf
    for level, sibling in enumerate(fragment.path):
        on_the_left = (fragment.index >> level & 1) ^ (level == swapped)
        node = parent(sibling, node) if on_the_left else parent(node, sibling)
    return node


def _cause(told: Commitment, leaf: Node, fragment: Fragment) -> errors.LiabilityProofRefused:
    """Why the root is another one, where that can be told: by trying what a cheat would have done."""
    for level in range(told.height):
        if _climb(leaf, fragment, profile.parent, swapped=level).hash == told.root:
            return errors.ChildrenSwapped(level=level)
    if _climb(leaf, fragment, _maxwell_todd).hash == told.root:
        return errors.SumsNotBound()
    return errors.LiabilitiesRootDiffers()


def _maxwell_todd(left: Node, right: Node) -> Node:
    """The parent as the first proofs of liabilities had it (Maxwell and Todd, 2013), which binds no child's sum.

    Hu, Zhang and Guo, "Breaking the Binding" (2018): whoever makes the tree lets a node tell each of its sides
    the other side's sum as suits it, as long as what is hashed adds up to the same.
    """
    total = left.sum + right.sum
    return Node(sha256(b"\x11" + total.to_bytes(16, "big") + left.hash + right.hash).digest(), total)


def read_and_verify(
    content: bytes,
    published: Mapping[str, canonical.Value],
    *,
    identifiers: Sequence[str] | None = None,
    balance: int | None = None,
) -> Proof:
    """A proof out of its file, if it holds."""
    proof = proof_file.read(content)
    verify(proof, published, identifiers=identifiers, balance=balance)
    return proof
