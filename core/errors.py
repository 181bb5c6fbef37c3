"""Every error that Sluice itself answers with: one table, one exception.

Invariants: a name and a number stand once (checked at import); numbers below 15000 are MySQL's own with
MySQL's SQLSTATE, numbers from 15000 up are the cluster's. `docs/errors.md` is generated from this table
(`python -m core.errors`), and a test holds the two together.

`retryable` says that nothing of the statement was executed, so that the sender may send it again elsewhere.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row of the table. `text` is a format string; `advice` is for the docs: what to change."""

    name: str
    number: int
    sqlstate: str
    retryable: bool
    text: str
    advice: str


_ROWS: Final = (
    # MySQL's own numbers
    ErrorCode(
        "HANDSHAKE",
        1043,
        "08S01",
        False,
        "Bad handshake",
        "The client speaks a protocol before 4.1, or broke the login off.",
    ),
    ErrorCode(
        "TOO_MANY_CONNECTIONS",
        1040,
        "08004",
        True,
        "Too many connections: {used} of max_connections = {limit} are in use",
        "Raise [router] max_connections, or close idle clients.",
    ),
    ErrorCode(
        "ACCESS_DENIED",
        1045,
        "28000",
        False,
        "Access denied for user '{user}'@'{host}' (using password: {using})",
        "Check the user and password: clusterctl users list; require_tls may ask for TLS.",
    ),
    ErrorCode(
        "DB_ACCESS_DENIED",
        1044,
        "42000",
        False,
        "Access denied for user '{user}'@'{host}' to database '{database}'",
        "The user has no role in this keyspace: clusterctl users grant USER ROLE:KEYSPACE",
    ),
    ErrorCode(
        "NO_DATABASE",
        1046,
        "3D000",
        False,
        "No database selected",
        "Run USE, or name the keyspace before the table.",
    ),
    ErrorCode(
        "UNKNOWN_DATABASE",
        1049,
        "42000",
        False,
        "Unknown database '{database}'",
        "SHOW DATABASES lists the keyspaces; a shard is written keyspace:-80.",
    ),
    ErrorCode(
        "DATABASE_EXISTS",
        1007,
        "HY000",
        False,
        "Can't create database '{database}'; database exists",
        "Keyspaces are declared in cluster.toml. An unsharded one can be dropped, which empties it, and created.",
    ),
    ErrorCode(
        "TABLES_LOCKED",
        1192,
        "HY000",
        False,
        "Can't execute the given command because you have active locked tables or an active transaction",
        "UNLOCK TABLES first.",
    ),
    ErrorCode(
        "READ_LOCKED",
        1223,
        "HY000",
        False,
        "Can't execute the query because you have a conflicting read lock",
        "UNLOCK TABLES first.",
    ),
    ErrorCode(
        "DATABASE_ABSENT",
        1008,
        "HY000",
        False,
        "Can't drop database '{database}'; database doesn't exist",
        "SHOW DATABASES lists the keyspaces.",
    ),
    ErrorCode(
        "UNKNOWN_COMMAND",
        1047,
        "08S01",
        False,
        "Unknown command {command}",
        "This command of the protocol is not served by Sluice.",
    ),
    ErrorCode(
        "DRAINING",
        1053,
        "08S01",
        True,
        "Server shutdown in progress: {what}",
        "The process is being replaced; connect again.",
    ),
    ErrorCode("SYNTAX", 1064, "42000", False, "{message}", "Correct the statement."),
    ErrorCode("EMPTY_QUERY", 1065, "42000", False, "Query was empty", "Send a statement."),
    ErrorCode(
        "NO_SUCH_THREAD",
        1094,
        "HY000",
        False,
        "Unknown thread id: {id}",
        "SHOW PROCESSLIST lists the connection ids.",
    ),
    ErrorCode(
        "COLUMN_COUNT",
        1136,
        "21S01",
        False,
        "Column count doesn't match value count at row {row}",
        "Give each row one value for each column.",
    ),
    ErrorCode(
        "UNKNOWN_ERROR", 1105, "HY000", False, "{message}", "An internal error; see the process's log."
    ),
    ErrorCode(
        "NO_SUCH_GRANT",
        1141,
        "42000",
        False,
        "There is no such grant defined for user '{user}' on host '%'",
        "clusterctl users list shows the users.",
    ),
    ErrorCode(
        "TABLE_ACCESS_DENIED",
        1142,
        "42000",
        False,
        "{command} command denied to user '{user}'@'{host}' for table '{table}'",
        "The user's roles do not cover this: clusterctl users grant USER ROLE:KEYSPACE",
    ),
    ErrorCode(
        "UNKNOWN_TABLE",
        1146,
        "42S02",
        False,
        "Table '{table}' doesn't exist in the VSchema: add it (clusterctl vschema apply), or name its keyspace",
        "Add the table to the keyspace's VSchema (docs/vschema.md), or name its keyspace.",
    ),
    ErrorCode(
        "PACKET_TOO_LARGE",
        1153,
        "08S01",
        False,
        "Got a packet bigger than 'max_allowed_packet' bytes ({limit})",
        "Send less at once, or raise max_allowed_packet.",
    ),
    ErrorCode(
        "NOT_PREPARABLE",
        1295,
        "HY000",
        False,
        "This command is not supported in the prepared statement protocol yet",
        "Send it as a plain statement.",
    ),
    ErrorCode(
        "LOCAL_INFILE_OFF",
        3948,
        "42000",
        False,
        "Loading local data is disabled; this must be enabled on both the client and server sides: {reason}",
        "Set [router] local_infile = true, and the client's own option (local_infile, allow_local_infile).",
    ),
    ErrorCode(
        "PACKETS_OUT_OF_ORDER",
        1156,
        "08S01",
        False,
        "Got packets out of order",
        "The client broke the protocol.",
    ),
    ErrorCode(
        "UNKNOWN_SYSTEM_VARIABLE",
        1193,
        "HY000",
        False,
        "Unknown system variable '{name}'",
        "SHOW VARIABLES lists what the servers know.",
    ),
    ErrorCode(
        "USER_LIMIT",
        1226,
        "42000",
        True,
        "User '{user}' has exceeded the '{resource}' resource (current value: {limit})",
        "Raise the limit: clusterctl limits set user:{user} ...",
    ),
    ErrorCode(
        "PRIVILEGE",
        1227,
        "42000",
        False,
        "Access denied; you need (at least one of) the {privilege} privilege(s) for this operation",
        "Ask an administrator of the cluster.",
    ),
    ErrorCode(
        "WRONG_VALUE_FOR_VAR",
        1231,
        "42000",
        False,
        "Variable '{name}' can't be set to the value of '{value}'",
        "Choose an allowed value.",
    ),
    ErrorCode(
        "NOT_SUPPORTED",
        1235,
        "42000",
        False,
        "Sluice does not support {construct}. {instead}",
        "The message names the construct and what to write instead.",
    ),
    ErrorCode(
        "VARIABLE_READ_ONLY",
        1238,
        "HY000",
        False,
        "Variable '{name}' is a read only variable",
        "Leave the variable out of SET.",
    ),
    ErrorCode(
        "UNKNOWN_STATEMENT",
        1243,
        "HY000",
        False,
        "Unknown prepared statement handler ({id}) given to {command}",
        "Prepare the statement first; it may have been closed.",
    ),
    ErrorCode(
        "ROUTINE_ACCESS_DENIED",
        1370,
        "42000",
        False,
        "{command} command denied to user '{user}'@'{host}' for routine '{routine}'",
        "The user's roles do not cover this: clusterctl users grant USER write:KEYSPACE",
    ),
    ErrorCode(
        "TOO_MANY_STATEMENTS",
        1461,
        "42000",
        False,
        "Can't create more than max_prepared_stmt_count statements (current value: {limit})",
        "Close prepared statements that are no longer used.",
    ),
    ErrorCode(
        "KILLED",
        1317,
        "70100",
        False,
        "Query execution was interrupted",
        "Somebody killed the query, or its client went away.",
    ),
    ErrorCode(
        "TIMED_OUT",
        3024,
        "HY000",
        False,
        "Query execution was interrupted, maximum statement execution time exceeded ({limit_s} s, {setting})",
        "Make the query faster, or raise [tablet] query_timeout_s.",
    ),
    ErrorCode(
        "NOT_THREAD_OWNER",
        1095,
        "HY000",
        False,
        "You are not owner of thread {id}",
        "A user ends only sessions of its own.",
    ),
    ErrorCode(
        "UNKNOWN_CHARSET",
        1115,
        "42000",
        False,
        "Unknown character set: '{charset}'",
        "SHOW CHARACTER SET lists what the servers know.",
    ),
    ErrorCode(
        "WRONG_ARGUMENTS",
        1210,
        "HY000",
        False,
        "Incorrect arguments to {what}",
        "Give as many values as the statement has placeholders.",
    ),
    ErrorCode(
        "WRONG_TYPE_FOR_VAR",
        1232,
        "42000",
        False,
        "Incorrect argument type to variable '{name}'",
        "Give a value of the variable's type.",
    ),
    ErrorCode(
        "COLLATION_CHARSET",
        1253,
        "42000",
        False,
        "COLLATION '{collation}' is not valid for CHARACTER SET '{charset}'",
        "SHOW COLLATION lists the collations of each character set.",
    ),
    ErrorCode(
        "XA_OUTSIDE",
        1400,
        "XAE09",
        False,
        "XAER_OUTSIDE: Some work is done outside global transaction",
        "COMMIT or ROLLBACK the open transaction before XA START.",
    ),
    ErrorCode(
        "NO_SUCH_SAVEPOINT",
        1305,
        "42000",
        False,
        "SAVEPOINT {name} does not exist",
        "The savepoint was never set, or went with a rollback or the transaction.",
    ),
    ErrorCode(
        "TRANSACTION_OPEN",
        1568,
        "25001",
        False,
        "Transaction characteristics can't be changed while a transaction is in progress",
        "Send SET TRANSACTION before the transaction begins.",
    ),
    ErrorCode(
        "SESSION_VARIABLE_READ_ONLY",
        1621,
        "HY000",
        False,
        "SESSION variable '{name}' is read-only. Use SET GLOBAL to assign the value",
        "It is part of the servers' configuration.",
    ),
    ErrorCode(
        "NOT_IN_SET_STATEMENT",
        1971,
        "42000",
        False,
        "The system variable {name} cannot be set in SET STATEMENT.",
        "Set it for the session, then reset it.",
    ),
    ErrorCode(
        "NOT_IN_TRANSACTION",
        1766,
        "HY000",
        False,
        "The system variable {name} cannot be set when there is an ongoing transaction.",
        "Set it before the transaction begins.",
    ),
    ErrorCode(
        "READ_ONLY_TRANSACTION",
        1792,
        "25006",
        False,
        "Cannot execute statement in a READ ONLY transaction.",
        "Start a READ WRITE transaction.",
    ),
    # the cluster's own
    ErrorCode(
        "TABLET_UNAVAILABLE",
        15001,
        "HY000",
        True,
        "No tablet serves {keyspace}/{shard} now ({reason}); waited {waited_ms} ms",
        "See clusterctl status: the shard's tablet or its MySQL is down or starting.",
    ),
    ErrorCode(
        "QUEUE_FULL",
        15002,
        "HY000",
        True,
        "The queue of {keyspace}/{shard} is full: {waiting} waiting of queue_size = {limit}, "
        "{in_use} of pool_size = {pool_size} connections in use",
        "Slow down, make queries shorter, or raise [tablet] queue_size or pool_size.",
    ),
    ErrorCode(
        "QUEUE_TIMEOUT",
        15003,
        "HY000",
        True,
        "No connection of {keyspace}/{shard} became free: waited {waited_ms} ms with {waiting} waiting, "
        "{in_use} of pool_size = {pool_size} in use; limit {limit_ms} ms (queue_timeout_ms)",
        "The shard is saturated: shorten queries and transactions, or raise pool_size.",
    ),
    ErrorCode(
        "OVERLOADED",
        15004,
        "HY000",
        True,
        "{keyspace}/{shard} is overloaded: queries wait {waited_ms} ms (target {target_ms} ms), "
        "{waiting} waiting; the newest are refused so that the oldest are served in time",
        "Try again later, with a growing pause.",
    ),
    ErrorCode(
        "LIMIT_CONCURRENCY",
        15005,
        "HY000",
        True,
        "Limit {scope} concurrency = {limit} is reached: {used}; {advice}",
        "Raise or remove the limit: clusterctl limits set SCOPE concurrency=N.",
    ),
    ErrorCode(
        "LIMIT_CONNECTIONS",
        15006,
        "08004",
        True,
        "Limit {scope} connections = {limit} is reached: {used} connections are open",
        "Raise or remove the limit: clusterctl limits set SCOPE connections=N.",
    ),
    ErrorCode(
        "RESERVED_FULL",
        15007,
        "HY000",
        True,
        "No further connection of {keyspace}/{shard} can be held by a session: {held} of {limit} are held "
        "by transactions and reservations; waited {waited_ms} ms",
        "End transactions sooner, or raise pool_size or [tablet] reserved_share.",
    ),
    ErrorCode(
        "CONNECTION_LOST",
        15008,
        "HY000",
        False,
        "The connection to MySQL of {keyspace}/{shard} was lost while the statement ran; "
        "whether it took effect is not known",
        "Check what was written before sending it again.",
    ),
    ErrorCode(
        "TRANSACTION_LOST",
        15009,
        "25000",
        False,
        "The transaction was lost ({reason}); nothing of it can be committed: send ROLLBACK",
        "Run the transaction again from its start.",
    ),
    ErrorCode(
        "XA_LOST",
        15050,
        "25000",
        False,
        "The connection of the XA transaction was lost ({reason}): what was prepared stays, all else was rolled back;"
        " send XA COMMIT or XA ROLLBACK, whose answer tells",
        "As the text says; 1397 to either: it was not prepared, and is rolled back.",
    ),
    ErrorCode(
        "TRANSACTION_TIMEOUT",
        15010,
        "25000",
        False,
        "The transaction was rolled back: it was open longer than {limit_s} s ({setting})",
        "Make the transaction shorter, or raise the limit.",
    ),
    ErrorCode(
        "INACTIVE",
        4031,
        "HY000",
        False,
        "The client was disconnected by the server because of inactivity. See wait_timeout and interactive_timeout for "
        "configuring this behavior.",
        "The session has set wait_timeout, and was silent for longer: connect again.",
    ),
    ErrorCode(
        "RESERVATION_LOST",
        15020,
        "HY000",
        False,
        "The connection that was reserved for this session is gone ({reason}), and with it the locks, handlers and "
        "temporary tables that it had",
        "Begin again with what they were for.",
    ),
    ErrorCode(
        "PARTIAL_COMMIT",
        15011,
        "HY000",
        False,
        "The transaction was committed on {done} but not on {failed}: {reason}",
        "Transactions over several shards are best effort in mode multi; compare the shards.",
    ),
    ErrorCode(
        "CROSS_SHARD_TRANSACTION",
        15012,
        "25000",
        False,
        "Transaction mode single: this transaction runs on {first}, the statement needs {second}",
        "Use SET transaction_mode = 'multi', or keep a transaction on one shard.",
    ),
    ErrorCode(
        "RESULT_TOO_LARGE",
        15013,
        "HY000",
        False,
        "Merging needs more than {limit} rows in the router's memory (max_memory_rows)",
        "Narrow the query, or raise [router] max_memory_rows.",
    ),
    ErrorCode(
        "BACKEND_REFUSED",
        15014,
        "HY000",
        True,
        "MySQL of {keyspace}/{shard} refused a connection: {reason}",
        "Check the shard's MySQL and its max_connections.",
    ),
    ErrorCode(
        "VINDEX_VALUE",
        15015,
        "HY000",
        False,
        "Vindex {vindex} cannot map {value}: {reason}",
        "Give the sharding column a value that its vindex accepts.",
    ),
    ErrorCode(
        "TOPOLOGY",
        15016,
        "HY000",
        True,
        "The cluster's topology is not known yet: {reason}",
        "Wait for the control plane; see clusterctl status.",
    ),
    ErrorCode(
        "SHARDS_DIFFER",
        15017,
        "HY000",
        False,
        "The shards answer with different columns: {what}",
        "Bring the tables of all shards to the same definition.",
    ),
    ErrorCode(
        "NOT_IN_VSCHEMA",
        15018,
        "01000",
        False,
        "Table '{table}' is not in the VSchema of its sharded keyspace: it can be used when clusterctl vschema apply "
        "has added it",
        "A warning of CREATE TABLE. Add the table to the VSchema (docs/vschema.md).",
    ),
    ErrorCode(
        "NEEDS_VARIABLES",
        15019,
        "HY000",
        False,
        "The statement may run stored programs that use what the session has: {names}",
        "The tablet tells the router, which gives them to the connection. A client sees it where a statement over "
        "several shards, or CREATE TABLE ... SELECT, runs such programs: select one shard, or fill the table then.",
    ),
    ErrorCode(
        "ACCOUNT_REMOVED",
        15030,
        "28000",
        False,
        "The account '{user}' was removed from the cluster; this session ends",
        "An administrator removed the user: clusterctl users list.",
    ),
    ErrorCode(
        "HTTP_SESSION_LOST",
        15040,
        "HY000",
        False,
        "The router kept this session for {what}, and it has ended ({reason})",
        "Begin again with what it was for; [router] http_idle_timeout_s says how long it is kept.",
    ),
    ErrorCode(
        "HTTP_SESSION_ELSEWHERE",
        15041,
        "HY000",
        True,
        "This session is kept by another router ({owner}) while it holds a transaction, locks or temporary tables",
        "Let the load balancer send the requests of one client to one router.",
    ),
    ErrorCode(
        "HTTP_SESSION_BUSY",
        15042,
        "HY000",
        True,
        "{waiting} requests wait for this session already",
        "Wait for the answers of a transaction's statements before sending more.",
    ),
    ErrorCode(
        "HTTP_ANSWER_TOO_LARGE",
        15043,
        "HY000",
        False,
        "The rows do not fit into a reply over HTTP ({reason}); the statement {effect}",
        "Narrow the query (LIMIT), or use MySQL's protocol, which streams.",
    ),
    ErrorCode(
        "HTTP_ANSWER_LOST",
        15044,
        "HY000",
        False,
        "The statement's session ended before its answer was whole ({reason}); whether it took effect is not known",
        "Check what was written before sending it again.",
    ),
)


class SluiceError(Exception):
    """An error for the client: carries MySQL's number and SQLSTATE. Raise it by `fail(NAME, ...)`."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.number = code.number
        self.sqlstate = code.sqlstate
        self.message = message


def _index(rows: tuple[ErrorCode, ...]) -> dict[str, ErrorCode]:
    by_name: dict[str, ErrorCode] = {}
    numbers: set[int] = set()
    for row in rows:
        if row.name in by_name or row.number in numbers:
            raise AssertionError(f"error {row.name} ({row.number}) stands twice in core.errors")
        if row.number >= 15000 and len(row.sqlstate) != 5:
            raise AssertionError(f"error {row.name}: SQLSTATE has five characters")
        by_name[row.name] = row
        numbers.add(row.number)
    return by_name


CODES: Final[dict[str, ErrorCode]] = _index(_ROWS)
BY_NUMBER: Final[dict[int, ErrorCode]] = {row.number: row for row in _ROWS}


def fail(name: str, /, **values: object) -> SluiceError:
    """The exception for table row `name`, its text filled with `values`. KeyError if the row is unknown."""
    code = CODES[name]
    return SluiceError(code, code.text.format(**values))


def not_supported(construct: str, instead: str) -> SluiceError:
    """Error 1235 naming `construct` and what to write `instead` (a full sentence)."""
    return fail("NOT_SUPPORTED", construct=construct, instead=instead)


def markdown() -> str:
    """`docs/errors.md` as text."""
    lines = [
        "# Errors",
        "",
        "Generated from `core/errors.py` by `python -m core.errors`. Errors of MySQL itself pass through",
        "unchanged; these are the ones that Sluice answers with. *Retryable* means that nothing of the",
        "statement was executed.",
        "",
        "| number | SQLSTATE | name | retryable | text | what to do |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.number} | {row.sqlstate} | {row.name} | {'yes' if row.retryable else 'no'} "
        f"| {row.text} | {row.advice} |"
        for row in sorted(_ROWS, key=lambda row: row.number)
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
