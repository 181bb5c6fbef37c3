"""Admission limits: what they are (`scopes`), who they hold for (`table`), how they are counted over the workers of a
router (`counters`), and how a query passes, waits or is refused (`gate`, `waiting`). Pure: no process, no etcd.

The way of a limit: `clusterctl limits set` writes a record; each router's main process watches the records, gives
every limit rows of the counters (`SlotTable`) and puts the list into its workers' snapshot (`to_snapshot`); each
worker compiles it (`LimitTable.from_snapshot`) and asks its `Gate`.
"""

from core.limits.counters import SharedCounters, SlotTable
from core.limits.gate import Gate
from core.limits.scopes import KEYS, Limit, LimitError, Scope, parse_assignments, parse_scope
from core.limits.table import LimitTable, Rule, even_share, to_snapshot
from core.limits.waiting import WaitingLine

__all__ = [
    "KEYS",
    "Gate",
    "Limit",
    "LimitError",
    "LimitTable",
    "Rule",
    "Scope",
    "SharedCounters",
    "SlotTable",
    "WaitingLine",
    "even_share",
    "parse_assignments",
    "parse_scope",
    "to_snapshot",
]
