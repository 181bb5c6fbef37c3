"""Flow control of a merge against shards that send no further than the window: it ends, and little is ever held."""

import random

import pytest

from core.rpc.messages import CHUNK_BYTES, WINDOW_BYTES
from router.engine.merge import MergeRun
from router.engine.output import ClientFlavour
from router.plan.plans import Aggregate, Merge, OrderKey
from wire.columns import number_column, text_column
from wire.constants import TYPE_LONGLONG
from wire.packets import iterate_payloads
from wire.results import text_result

COLUMNS = [number_column("id", TYPE_LONGLONG), text_column("pad")]
PLANS = {
    "concatenation": None,
    "order": Merge(2, order=(OrderKey(0),)),
    "hidden": Merge(1),
    "distinct": Merge(1, order=(OrderKey(0),), distinct=True),
    "groups": Merge(1, order=(OrderKey(0),), group=(OrderKey(0),), grouped=True),
    "hashed": Merge(1, group=(OrderKey(0),), aggregates=(Aggregate("count", 0),), grouped=True),
}


@pytest.mark.parametrize("wide", [10, 3_000, 200_000, 700_000])
@pytest.mark.parametrize("name", PLANS)
def test_windows_never_lock_up_a_merge(name, wide):
    dice = random.Random(f"{name} {wide}")
    total = 40 if wide > 100_000 else 1_200
    # one shard has the smaller keys, so that an ordered merge reads them one after the other
    parts = [
        [(number, "x" * dice.randint(0, wide)) for number in range(total)],
        [(number + total, "y" * dice.randint(0, wide)) for number in range(total)],
        [(number * 2, "z") for number in range(0, total, 7)],
    ]
    answers = [text_result(COLUMNS, part, 0) for part in parts]
    sent, granted = [0] * 3, [0] * 3
    run = MergeRun(PLANS[name], 3, ClientFlavour(), 1_000_000)

    def movable():
        return [
            shard
            for shard in range(3)
            if sent[shard] < len(answers[shard]) and sent[shard] - granted[shard] < WINDOW_BYTES
        ]

    def client_takes():
        for shard, size in run.credits():
            granted[shard] += size
            assert granted[shard] <= sent[shard]

    while not run.finished:
        if not movable() or dice.random() < 0.6:  # the client is slow at times
            client_takes()
        assert movable(), "every shard waits for credit, and the merge for rows"
        shard = dice.choice(movable())
        room = WINDOW_BYTES - (sent[shard] - granted[shard])
        data = answers[shard][sent[shard] : sent[shard] + min(CHUNK_BYTES, room)]
        sent[shard] += len(data)
        run.feed(shard, data, sent[shard] == len(answers[shard]))
    assert run.error is None
    if name in ("concatenation", "order"):
        assert run.rows_sent == sum(len(part) for part in parts)


def test_an_answer_that_is_not_wanted_any_more_may_run_out():
    run = MergeRun(Merge(2, limit=1), 2, ClientFlavour(), 10)
    long = text_result(COLUMNS, [(1, "x" * 1000)] * 600, 0)
    run.feed(0, long[:1500], False)
    head = text_result(COLUMNS, [], 0)
    out = b"".join(run.feed(1, head, True))
    assert run.finished
    assert run.done_early
    assert run.open_shards() == [0]
    assert len(list(iterate_payloads(out))) == 1 + 2 + 1 + 1 + 1
    at, granted = 1500, 0
    while at < len(long):
        assert at - granted < WINDOW_BYTES
        chunk = long[at : at + CHUNK_BYTES]
        at += len(chunk)
        assert run.feed(0, chunk, at == len(long)) == []
        granted += sum(size for _, size in run.credits())
    assert run.open_shards() == []
