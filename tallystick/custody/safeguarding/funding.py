"""Funding: what a proof proposes, posted as it was proposed, once.

Promises: only a proposal of the newest proof of its day is posted, exactly as it stands there; posting it twice
posts it once, for its id follows from the proof's digest.
"""

from __future__ import annotations

from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from tallystick.core.db import Db
from tallystick.custody import errors, history, ledger
from tallystick.custody.safeguarding import proofs
from tallystick.custody.safeguarding.comparison import Proposal
from tallystick.custody.safeguarding.proofs import Proof
from tallystick.custody.transfers import TransferRequest
from tallystick.identity import access
from tallystick.identity.access import Actor


def transfer_id(proof: Proof, number: int) -> str:
    """The id of the transfer that a proposal becomes: the same whenever it is posted."""
    return f"trf_{uuid5(NAMESPACE_URL, f'urn:tallystick:safeguarding:{proof.digest.hex()}:{number}')}"


def posted(db: Db, proof: Proof) -> dict[int, history.Transfer]:
    """The proposals of a proof that have been posted, by number."""
    wanted = {transfer_id(proof, each.number): each.number for each in proof.proposals}
    return {wanted[each.id]: each for each in history.transfers_of(db, list(wanted))}


def post(db: Db, proof_id: str, number: int, *, actor: Actor, now: datetime) -> history.Transfer:
    """Post a proposed transfer; posted before, it is found again.

    Raises `errors.ProofUnknown`, `ProposalUnknown`, `ProofSuperseded`, or why the ledger refuses it.
    """
    access.require(db, actor, "custody.post")
    proof = proofs.proof(db, proof_id)
    proposal = _proposal(proof, number)
    if before := posted(db, proof).get(number):
        return before
    newest = proofs.of_day(db, proof.book, proof.day)
    if newest is not None and newest.id != proof.id:
        raise errors.ProofSuperseded(proof=proof.id, newest=newest.id)
    request = TransferRequest(
        id=transfer_id(proof, number),
        debit_account=proposal.debit_account,
        credit_account=proposal.credit_account,
        amount_minor=proposal.amount_minor,
        code=proposal.code,
        reference=f"{proof.id}-{number}",
    )
    results = ledger.post(db, proof.book, [request], actor=actor, now=now)
    if (refusal := results.refusal_of(0)) is not None:
        raise refusal()
    return history.transfer(db, request.id)


def _proposal(proof: Proof, number: int) -> Proposal:
    for each in proof.proposals:
        if each.number == number:
            return each
    raise errors.ProposalUnknown(proof=proof.id, number=number)
