"""The runner of a write that reads first."""

from __future__ import annotations

from router.execute.move_change import ChangeMover
from router.execute.move_insert import InsertMover
from router.plan.moves import InsertMove, Move, SeveralChanges
from router.sessions.parts import Runner
from router.view import ClusterView


def mover_of(move: Move, refusal: tuple[str, str], view: ClusterView) -> Runner:
    """`refusal`: what the client is told where it cannot be done."""
    if isinstance(move, InsertMove):
        return InsertMover(move, refusal, view)
    changes = move.changes if isinstance(move, SeveralChanges) else (move,)
    return ChangeMover(changes, refusal, view)
