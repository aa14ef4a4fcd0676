"""A posting process with clients that do not give up: run by the tests, to be killed at any moment.

    python -m tests.faults.worker PLAN LOG

Each thread makes call after call, each following from (seed, thread, number) alone, and asks again with the
same ids until it is answered. Every answer is a line in LOG, written in one piece after it came. Started
again after a kill, each thread goes on with the call that has no answer in LOG yet.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
import traceback
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def call(plan: dict[str, Any], thread: int, number: int) -> list[Any]:
    """The requests of one call: top-ups, chains that may lack the money, money held and posted in part."""
    from tallystick.custody.numbers import account_text, authorisation_text
    from tallystick.custody.transfers import TransferRequest

    chance = random.Random(f"{plan['seed']} {thread} {number}")
    client, other = plan["clients"][thread], plan["clients"][(thread + 1) % len(plan["clients"])]
    ids = [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(4)]
    lend = {
        "debit_account": account_text(client),
        "credit_account": account_text(other),
        "code": "lend",
        "authorisation": authorisation_text(plan["authorisations"][thread]),
    }
    kind = chance.randrange(3)
    if kind == 0:
        return [
            TransferRequest(
                id=each,
                debit_account=account_text(plan["bank"]),
                credit_account=account_text(client),
                amount_minor=chance.randint(1, 100),
                code="top_up",
                reference=f"{thread}/{number}",
            )
            for each in ids[: chance.randint(1, 4)]
        ]
    amounts = [chance.randint(1, 60) for _ in range(3)]
    if kind == 1:
        return [
            TransferRequest(id=each, amount_minor=amount, linked=nth < 2, **lend)
            for nth, (each, amount) in enumerate(zip(ids, amounts, strict=False))
        ]
    return [
        TransferRequest(id=ids[0], amount_minor=amounts[0], kind="pending", **lend),
        TransferRequest(id=ids[1], pending_id=ids[0], kind="post_pending", amount_minor=1),
    ]


def answers(log: Path) -> list[dict[str, Any]]:
    """Every answer so far; a line cut off by a kill was never an answer."""
    whole = log.read_text().split("\n")[:-1] if log.exists() else []
    return [json.loads(line) for line in whole if line]


def main() -> None:
    import django

    django.setup()
    from tallystick.core.db import Db
    from tallystick.custody import ledger, posting
    from tallystick.custody.errors import PostingStopped
    from tallystick.custody.numbers import BookId
    from tallystick.identity.access import Actor

    plan, log = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    done = dict.fromkeys(range(len(plan["clients"])), -1)
    for each in answers(log):
        done[each["thread"]] = max(done[each["thread"]], each["number"])
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def client(thread: int) -> None:
        number = done[thread]
        while not stopping.is_set():
            number += 1
            requests = call(plan, thread, number)
            while True:
                try:
                    results = ledger.post(
                        Db("default"),
                        BookId(plan["book"]),
                        requests,
                        actor=Actor.system("simulation"),
                        now=datetime.now(UTC),
                    )
                    break
                except PostingStopped:
                    time.sleep(0.02)
                except BaseException:
                    os.write(out, json.dumps({"fault": traceback.format_exc()}).encode() + b"\n")
                    os._exit(3)
            answer = {
                "thread": thread,
                "number": number,
                "ids": [request.id for request in requests],
                "positions": results.position.tolist(),
                "refusals": [(why := results.refusal_of(i)) and why.__name__ for i in range(len(results))],
                "amounts": results.amount.tolist(),
            }
            os.write(out, json.dumps(answer).encode() + b"\n")

    threads = [threading.Thread(target=client, args=(thread,)) for thread in done]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    posting.close()


if __name__ == "__main__":
    main()
