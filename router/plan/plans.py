"""What the planner gives and the engine runs: values only.

A plan is cached by normalised text and keyspace, so it holds no literal of a statement: a `Bind(i)` names the
i-th literal (or `?`) of the normalised statement, and a `Template` is text with binds in it.

Invariant: for any statement whose chooser names one shard, `sql` None means the original text goes there as it
came. `sql` and `merge` matter only when several shards answer.
"""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from router.plan.moves import Move

HIDDEN: Final = 1 << 20
"""In a `Merge` whose `visible` is -1, position HIDDEN + k is the k-th hidden column: `Merge.resolved` places it."""


@dataclass(frozen=True, slots=True)
class Bind:
    """The i-th literal of the normalised statement; `negative` when a unary minus stands before it."""

    index: int
    negative: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """Text made of fixed pieces and binds: `b"select "`, 0, b" from t"` — an int is a bind's index, replaced by
    the literal exactly as it was written (prepared: by the literal text of the bound value)."""

    pieces: tuple[bytes | int, ...]


class Choice(Enum):
    """How the shards of a statement are found."""

    ANY = (
        "any"  # any one shard of the keyspace answers alike (reference tables, no table, information_schema)
    )
    EQUAL = "equal"  # one value of the primary vindex
    IN = "in"  # several values of the primary vindex
    SCATTER = "scatter"  # all shards
    UNSHARDED = "unsharded"  # the keyspace has one shard


@dataclass(frozen=True, slots=True)
class Chooser:
    """`values` holds, for EQUAL and IN, the binds (or None for a literal NULL) to map with `vindex` (its name in
    the keyspace's VSchema). A vindex over several columns takes `columns` of them at a time. `keyspace` may be empty
    for ANY: any tablet of the cluster will do."""

    choice: Choice
    keyspace: str
    vindex: str = ""
    values: tuple[Bind | None, ...] = ()
    columns: int = 1


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One ORDER BY key of the merge. `column` is the position in the shard's rows (hidden columns included).
    `weight` is the position of its WEIGHT_STRING column, or -1 when the column's own type decides (numbers,
    times, binary). `pad` is the position of a column with the weight of a space where the collation pads, else
    empty: IF(LEFT(x, 0) = ' ', WEIGHT_STRING(CONCAT(LEFT(x, 0), ' ')), '')."""

    column: int
    weight: int = -1
    descending: bool = False
    pad: int = -1


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One output column that is combined across shards. `op`: count (sum of counts, an exact integer), sum, min,
    max, avg (column = SUM part, `extra` = position of the COUNT part). min and max of text use `weight` and `pad`
    (see OrderKey)."""

    op: str
    column: int
    extra: int = -1
    weight: int = -1
    pad: int = -1


@dataclass(frozen=True, slots=True)
class Merge:
    """How the rows of several shards become one result. The first `visible` columns reach the client, in the shard's
    order; the last `hidden` of each row are helpers. `visible` is -1 where the text has `*`: then call `resolved`
    once the shards' columns are known. `names`: column names the client must see where the shard's text would give
    another (position -> name)."""

    visible: int
    hidden: int = 0
    order: tuple[OrderKey, ...] = ()
    group: tuple[OrderKey, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
    grouped: bool = False  # aggregation: `group` empty means one row over everything
    distinct: bool = False
    exact: bool = False  # DISTINCT drops only rows that are the same byte by byte
    distinct_weights: tuple[OrderKey, ...] = ()  # the keys of DISTINCT, one for each visible column
    limit: Bind | int | None = None
    offset: Bind | int | None = None
    names: tuple[tuple[int, str], ...] = ()

    def resolved(self, width: int) -> "Merge":
        """The same for rows of `width` columns, with no HIDDEN position left."""
        first = width - self.hidden

        def place(at: int) -> int:
            return first + at - HIDDEN if at >= HIDDEN else at

        def key(one: OrderKey) -> OrderKey:
            return OrderKey(place(one.column), place(one.weight), one.descending, place(one.pad))

        return replace(
            self,
            visible=first,
            order=tuple(map(key, self.order)),
            group=tuple(map(key, self.group)),
            aggregates=tuple(
                Aggregate(a.op, place(a.column), place(a.extra), place(a.weight), place(a.pad))
                for a in self.aggregates
            ),
            distinct_weights=tuple(map(key, self.distinct_weights)),
        )


@dataclass(frozen=True, slots=True)
class FinishPart:
    """A table of a statement that one server finishes: `name` of the temporary table, where the rows lie, and the
    condition (what stands behind WHERE, None for all rows) for those that can matter. `whole`: all its columns are
    needed, not only those that the statement names. `again`: the part before it whose rows these are."""

    name: str
    keyspace: str
    table: str
    chooser: Chooser
    where: Template | None
    whole: bool = True
    again: str = ""


@dataclass(frozen=True, slots=True)
class Finish:
    """How one server of `keyspace` finishes a statement over fetched rows: the text with the temporary tables' names.
    `names`: all names and words of the statement, in lower case."""

    keyspace: str
    parts: tuple[FinishPart, ...]
    sql: Template
    names: frozenset[str]
    name_binds: tuple[int, ...] = ()
    """Literals inside column names in backticks: piece -1-k is the k-th, escaped."""


@dataclass(frozen=True, slots=True)
class FinishPlan:
    """A read of tables that no shard has together: always finished on one server. `refusal`: why nothing less does."""

    finish: Finish
    tables: tuple[str, ...]
    refusal: tuple[str, str]


@dataclass(frozen=True, slots=True)
class LookupRoute:
    """All rows that matter have one of `values` in `column` of `table`, which owns the lookup vindex `vindex`: its
    lookup table knows their shards."""

    table: str
    column: str
    vindex: str
    values: tuple[Bind | None, ...]


@dataclass(frozen=True, slots=True)
class SelectPlan:
    """A read. `refusal`: why several shards cannot answer it (the 1235 text: construct, instead), or None: whenever
    the chooser names more than one shard, refuse. In `sql`, piece -1 is the number `merge.offset + merge.limit`."""

    chooser: Chooser
    tables: tuple[str, ...]
    consolidate: bool  # deterministic, non-locking, no session state: may share another's result
    locking: bool = False  # FOR UPDATE / SHARE: belongs to a transaction
    sql: Template | None = None
    merge: Merge | None = None
    refusal: tuple[str, str] | None = None
    writes: bool = False  # calls a function that is not MySQL's own, which may write any table
    finish: Finish | None = None  # what is refused on several shards runs this way
    unread: bool = False  # refused because it could not be read: MySQL decides whether that is a syntax error
    lookup: LookupRoute | None = None  # fewer shards than the chooser names
    late: Finish | None = None  # what runs where the shards' types cannot be merged
    partial: bool = False  # on several shards: calls what may be an aggregate, of groups that are not whole


@dataclass(frozen=True, slots=True)
class OwnedPart:
    """A written table that owns lookup vindexes: its alias (quoted) in the statement, the columns that change (None:
    rows go), and `rows`: `FROM ... WHERE ...`, which finds the rows that are written."""

    table: str
    alias: bytes
    changed: frozenset[str] | None
    rows: Template


@dataclass(frozen=True, slots=True)
class MovePlan:
    """A write that is always run as `move`, since no shard has all that it reads. `refusal`: why nothing less does."""

    move: "Move"
    tables: tuple[str, ...]
    refusal: tuple[str, str]


@dataclass(frozen=True, slots=True)
class DmlPlan:
    """UPDATE, DELETE (and what else writes existing rows). Several shards: the original text runs on each, in one
    transaction; affected rows are added. `tables` None: not known, every table counts as written."""

    chooser: Chooser
    tables: tuple[str, ...] | None
    refusal: tuple[str, str] | None = None
    unread: bool = False  # as in SelectPlan
    copies: bool = False  # every shard has the same rows: what one affected is what the statement affected
    owned: tuple[OwnedPart, ...] = ()  # tables whose lookup tables must be kept in step
    move: "Move | None" = None  # what is refused on several shards runs this way
    lookup: LookupRoute | None = None  # as in SelectPlan


@dataclass(frozen=True, slots=True)
class InsertRow:
    """One row of VALUES: its text (with the parentheses), and the bind of its primary vindex value (None: NULL or
    left to the sequence, see `InsertPlan.sequence_fills_vindex`). With a sequence, `text` has one piece -1: the value
    of the auto_increment column, generated or as given in `sequence_value`."""

    text: Template
    vindex_value: Bind | None
    sequence_value: Bind | None = None  # the literal given for the auto_increment column, if any
    items: tuple[tuple[str, Template], ...] = ()
    """Where the table owns lookup vindexes: each column with its value, piece -1 as in `text`."""


@dataclass(frozen=True, slots=True)
class InsertPlan:
    """INSERT ... VALUES into a sharded table, or into any table with a sequence. The engine groups rows by shard
    and sends head + rows + tail to each. With a sequence, an id is generated for rows that give none
    (`sequence_value` None), NULL or 0, as AUTO_INCREMENT does."""

    keyspace: str
    table: str
    tables: tuple[str, ...]
    head: Template
    rows: tuple[InsertRow, ...]
    tail: Template
    vindex: str = ""  # empty: unsharded keyspace
    sequence: tuple[str, str] | None = None  # (keyspace, table) of the sequence
    sequence_fills_vindex: bool = False
    separator: bytes = b","
    owned: bool = False  # the table owns lookup vindexes
    plain: bool = True  # no row that is there already can change


@dataclass(frozen=True, slots=True)
class DdlPlan:
    """DDL, and other statements that go to every shard of a keyspace as they came. Commits first, as on MySQL."""

    keyspace: str
    tables: tuple[str, ...] | None
    commits: bool = True
    unknown: str = ""  # the table it makes, where the VSchema does not have it
    renews: bool = False  # it changes what connections keep of their default database


class Kind(Enum):
    """Statements that the session itself handles; `router/session*` has one function for each."""

    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    ROLLBACK_TO = "rollback_to"
    RELEASE_SAVEPOINT = "release_savepoint"
    SET = "set"
    USE = "use"
    SHOW = "show"
    KILL = "kill"
    EXPLAIN = "explain"
    LOCK_TABLES = "lock_tables"
    UNLOCK_TABLES = "unlock_tables"
    PREPARE = "prepare"
    EXECUTE = "execute"
    DEALLOCATE = "deallocate"
    CALL = "call"
    LOAD_DATA = "load_data"
    DO = "do"
    FLUSH = "flush"
    XA = "xa"
    DIAGNOSTICS = "diagnostics"  # GET DIAGNOSTICS
    DATABASE = "database"  # CREATE or DROP DATABASE
    EMPTY = "empty"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """A statement for the session. `text_dependent`: literals matter, so it is parsed again from the original."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class LocalColumn:
    """A column of a SELECT that the router answers itself: `value` is ("variable", name) for @@name,
    ("user_variable", name), ("function", "last_insert_id" | "found_rows" | "row_count" | "connection_id" |
    "database" | "user" | "current_user" | "version"), or ("literal", bind index); `name` the column name MySQL would
    show."""

    name: str
    value: tuple[str, str | int]


@dataclass(frozen=True, slots=True)
class SubstitutePlan:
    """A statement that reads session state (`@@x`, `@u`, LAST_INSERT_ID(), DATABASE(), CONNECTION_ID() ...).
    `template` has these spots as negative pieces: piece -1-k is `spots[k]`; the session renders them as literals
    normalises and plans the text that results, with `substitute=False`.

    Spots: ("variable", name as written behind @@: `session.sql_mode`), ("user_variable", name without @; "_in_list"
    in ORDER BY and GROUP BY, where no number may stand alone),
    ("connect_attributes", alias or ""): a table of connection attributes (`plan/connect_attributes.py`), and one of
    variables by the spots of its VARIABLES, of sessions by those of SESSIONS,
    ("function", one of those of LocalColumn, or "schema": DATABASE() without the target shard), and
    ("name_part", i): the text of literal i inside a backticked column
    name, so with every backtick in it doubled."""

    template: Template
    spots: tuple[tuple[str, str], ...]
    local: tuple[LocalColumn, ...] | None = (
        None  # SELECT of such values only, without FROM: answer in the router
    )
    limit: Bind | None = None  # LIMIT of the local answer: where it is 0, there is no row


@dataclass(frozen=True, slots=True)
class ViewRead:
    """A read of tables that the VSchema does not name: (keyspace, name, alias) of each, which may be views, and the
    text with piece -1-k in the place of the k-th."""

    views: tuple[tuple[str, str, str], ...]
    sql: Template


@dataclass(frozen=True, slots=True)
class ColumnsRead:
    """An INSERT without a column list into a table whose columns the VSchema does not list: the text with piece -1 in
    the place of the list. `empty`: its rows are too, so the list is."""

    keyspace: str
    table: str
    sql: Template
    empty: bool = False


@dataclass(frozen=True, slots=True)
class PlanError:
    """The statement cannot be run: MySQL's number, SQLSTATE and text (an unknown table, a syntax error ...). `views`:
    it can, if its unknown tables are views; `columns`: once a server has said what the columns are."""

    number: int
    sqlstate: str
    text: str
    views: ViewRead | None = None
    columns: ColumnsRead | None = None


Plan = (
    SelectPlan
    | FinishPlan
    | DmlPlan
    | MovePlan
    | InsertPlan
    | DdlPlan
    | SessionPlan
    | SubstitutePlan
    | PlanError
)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan with what `clusterctl explain` shows. `reserve`: why the session must hold a reserved connection before
    it runs this (GET_LOCK, a temporary table, an assignment to a user variable ...), or empty. `insert`: of an INSERT,
    F_INSERT, F_UPSERT or F_INSERT_ID, by what its OK packet will tell."""

    plan: Plan
    tier: str  # "route", "merge", "finish", "write", "move", "session", "refused"
    why: tuple[str, ...] = field(default=())  # why not a lower tier, one line each
    reserve: str = ""
    insert: int = 0
