"""A process that posts: run by the tests beside others, or to be killed.

    python -m tests.custody.posting_process BOOK SEED COUNT BANK CLIENT... < nothing

Posts COUNT top-ups of one minor unit in calls of random size, ids made from the seed, and prints each
acknowledged id with its position, a line each, only after the answer.
"""

from __future__ import annotations

import random
import sys
import uuid
from datetime import UTC, datetime


def main() -> None:
    import django

    django.setup()
    from tallystick.core.db import Db
    from tallystick.custody import ledger, posting
    from tallystick.custody.numbers import BookId, account_text
    from tallystick.custody.transfers import TransferRequest
    from tallystick.identity.access import Actor

    book, seed, count, bank, *clients = (int(each) for each in sys.argv[1:])
    chance, left = random.Random(seed), count
    while left:
        size = min(left, chance.choice((1, 2, 7)))
        left -= size
        requests = [
            TransferRequest(
                id=str(uuid.UUID(int=chance.getrandbits(128))),
                debit_account=account_text(bank),
                credit_account=account_text(chance.choice(clients)),
                amount_minor=1,
                code="top_up",
            )
            for _ in range(size)
        ]
        now = datetime.now(UTC)
        results = ledger.post(
            Db("default"), BookId(book), requests, actor=Actor.system("simulation"), now=now
        )
        for request, position in zip(requests, results.position.tolist(), strict=True):
            print(request.id, position, flush=True)
    posting.close()


if __name__ == "__main__":
    main()
