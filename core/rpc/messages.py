"""The records that processes exchange; `docs/protocol.md` tells the story, this file is the contract.

A ZeroMQ message is one frame: a msgpack array of records, each an array whose first element is its kind.
Senders batch: whatever was sent during one turn of the event loop leaves as one frame. Records are plain
tuples on the way out and lists on the way in, since they are built and read once a query.

Times are milliseconds on the *tablet's* monotonic clock: WELCOME and PONG carry it, and the router converts
(it knows the offset), so that a deadline is a point in time on any host.
"""

from typing import Any, Final

VERSION: Final = 6
"""Both sides must have the same; HELLO with another version is answered with REFUSED."""

# ---- router (or another asker) to tablet
HELLO: Final = 1  # [HELLO, version, peer name]                        -> WELCOME or REFUSED
PING: Final = 2  # [PING, sender's clock_ms, the next one comes within ms]  -> PONG
EXECUTE: Final = 3  # [EXECUTE, id, deadline_ms, flags, handle, user, settings, tables, sql, extra]
CREDIT: Final = 4  # [CREDIT, id, bytes]   the client took that many bytes of a streaming result
CANCEL: Final = 5  # [CANCEL, id]          nobody waits for it any more: dequeue or kill
FREE: Final = 6  # [FREE, handle]        roll back and give the held connection back
PREPARE: Final = (
    7  # [PREPARE, id, deadline_ms, user, settings, sql, database, handle]  -> PREPARED or FAIL; handle: 0, or on whose
    #    connection (it may have tables that no other has)
)
PEER_GONE: Final = 8  # [PEER_GONE, peer name] that worker process is dead: free what it holds
STATS: Final = 9  # [STATS, id]           -> STATS_REPLY
FILE: Final = (
    10  # [FILE, id, data]      a piece of the file that I_INFILE asked for; the empty one is its end
)
FORM: Final = 11  # [FORM, number, flags, user, settings, tables]  what RUNs of this peer have alike
RUN: Final = (
    12  # [RUN, id, form's number, handle, sql, params]  EXECUTE in short: with no deadline and no other extra
)
MAX_FORMS: Final = 1024
"""Numbers are below; a FORM with a number that was in use takes its place."""

# ---- tablet to router
WELCOME: Final = 20  # [WELCOME, version, alias, keyspace, shard, tablet_type, clock_ms, server dict, state]
REFUSED: Final = 21  # [REFUSED, reason]
PONG: Final = 22  # [PONG, asker's clock_ms, tablet's clock_ms, state, in_use, waiting]
RESULT: Final = 23  # [RESULT, id, info, data] or, when EXECUTE named or wanted a handle or F_STATUS:
#                          [RESULT, id, info, data, handle, status]
FAIL: Final = 24  # [FAIL, id, number, sqlstate, text, handle]  the tablet's own refusal or loss;
#                          handle: 0 when the connection it named is gone or was never given
PREPARED: Final = (
    25  # [PREPARED, id, params, columns, packets]  packets: the server's COM_STMT_PREPARE answer, definitions in
    #           the form that it has
)
STATS_REPLY: Final = 26  # [STATS_REPLY, id, dict]
STATE: Final = 27  # [STATE, state]  pushed to every known peer when the tablet's state changes
TAKEN: Final = 28  # [TAKEN, id, bytes]  MySQL's socket took so much of the FILE records

# ---- router main to router worker, and back (core.rpc as well, other sockets)
SNAPSHOT: Final = 40  # [SNAPSHOT, version, dict]  everything a worker knows of the cluster, whole
REPORT: Final = 41  # [REPORT, worker name, dict] a worker's counters, once a second
DRAIN: Final = 42  # [DRAIN, grace_s]
ATTACH: Final = 43  # [ATTACH, worker name, pid]  first record of a worker
ASK: Final = 44  # [ASK, id, what, dict]       a question across processes (KILL, PROCESSLIST)
ANSWER: Final = 45  # [ANSWER, id, dict]

# ---- EXECUTE flags
F_PREPARED: Final = 1  # sql is a statement text, extra["params"] the COM_STMT_EXECUTE tail (see below)
F_BEGIN: Final = 2  # handle is 0: take a connection, run extra["begin"] on it, keep it (a transaction)
F_RESERVE: Final = 4  # handle is 0: take a connection and keep it (reserved, not a transaction)
F_RELEASE: Final = 8  # when done, give the handle's connection back to the pool
F_CONSOLIDATE: Final = 16  # a deterministic, non-locking read outside a transaction: may share a result
F_WRITE: Final = (
    32  # writes `tables` (None: not known), or COMMITs: advances their epochs; once done it stands
)
F_DEPRECATE_EOF: Final = 64  # packets in the flavour of CLIENT_DEPRECATE_EOF
F_SESSION_TRACK: Final = 128  # tell what MySQL's trackers say of transaction and GTIDs (I_TRACKED)
F_STATUS: Final = 256  # append handle and status to RESULT
F_NO_AUTOCOMMIT: Final = (
    512  # the client's autocommit is off: clear SERVER_STATUS_AUTOCOMMIT in the status flags
)
F_MORE_RESULTS: Final = 1024  # set SERVER_MORE_RESULTS_EXISTS at the end (for who numbers packets itself)
F_ADMIN: Final = 2048  # for the tablet's own lane: never queued behind clients (health, KILL)
F_OLAP: Final = 4096  # no query timeout, streams
F_WARNINGS: Final = 16_384  # where there are warnings, send them (I_WARNINGS)
F_FOUND_ROWS: Final = 8192  # the client has CLIENT_FOUND_ROWS: affected rows of UPDATE count matched rows
F_PATIENT: Final = (
    32_768  # the answer may wait up to PATIENCE_S for others to the same worker (a storm of logins)
)
F_INSERT: Final = (
    1 << 16  # an INSERT of literals: tell what LAST_INSERT_ID() is where the OK packet does not (I_INSERT_ID)
)
F_UPSERT: Final = 1 << 17  # the same for one row with ON DUPLICATE KEY UPDATE
F_VARIABLES: Final = 1 << 18  # the connection has what stored programs use of the session
NEEDS_INSERT_ID: Final = "LAST_INSERT_ID()"
NEEDS_CONNECTION_ID: Final = "CONNECTION_ID()"
NEEDS_ROW_COUNT: Final = "ROW_COUNT()"
NEEDS_FOUND_ROWS: Final = "FOUND_ROWS()"
"""Among the names of NEEDS_VARIABLES; those of variables are in lower case."""
F_INSERT_ID: Final = (
    1 << 19  # tell it in any case; it begins as extra["insert_id"] (CALL, INSERT ... SELECT)
)
F_TRACK_ROWS: Final = 1 << 22  # with F_SESSION_TRACK: also what MariaDB does not say of itself after rows
F_INFILE: Final = 1 << 20  # a LOAD DATA LOCAL: the router sends the file when it is asked for it (I_INFILE)
F_RENEW: Final = (
    1 << 21
)  # changes what connections keep of their database: afterwards none of them is used again

F_CALL: Final = (
    1
    << 23  # runs a procedure, which may begin and end transactions: the server's autocommit is the client's meanwhile
)
F_BRIEF: Final = (
    1
    << 24  # with F_RESERVE: for a few statements that wait for nothing else, so no share of sessions that hold
)
F_SETTINGS: Final = 1 << 26  # tell what stored programs have SET of session variables (I_SETTINGS)
F_COUNTS: Final = (
    1 << 31
)  # ROW_COUNT() and FOUND_ROWS() begin as extra["counts"]: [number or None, number or None]
F_PARTIAL: Final = (
    1 << 25
)  # one of several shards' parts, of groups that may not be whole: MySQL's aggregates only
F_EXTENDED: Final = (
    1 << 27
)  # the client has MARIADB_CLIENT_EXTENDED_METADATA: so its column definitions are, whatever the server's are
F_BRANCH: Final = 1 << 28  # XA START, XA END: on a connection that is held (F_BEGIN, F_RESERVE, a handle)
F_BRANCH_ENDS: Final = 1 << 29  # XA PREPARE, XA COMMIT, XA ROLLBACK

# EXECUTE extra: None, or a dict with any of
#   "begin":    str    statements that open the transaction (START TRANSACTION ..., SET TRANSACTION ...; each its own)
#   "params":   bytes  COM_STMT_EXECUTE payload after the statement id, types included (new_params_bound = 1); or
#               that of COM_STMT_BULK_EXECUTE (SEND_TYPES), its command byte, which begins no other, before it
#   "attributes": bytes  query attributes of the statement: their block in COM_QUERY (wire/query_attributes.py)
#   "database": str    default database when it is not the keyspace's own
#   "insert_id": int   LAST_INSERT_ID() of the session (F_INSERT_ID)
#   "scopes":   list   admission scopes beyond user, keyspace and shard (workload, fingerprint)

# ---- RESULT info
I_LAST: Final = 1  # the answer ends here
I_ERR: Final = 2  # the answer (data, when I_LAST) ends with an ERR packet of MySQL
I_OK: Final = 4  # the whole answer is one OK packet
I_SHARED: Final = 8  # a consolidated answer: executed for another session
I_WARNINGS: Final = 16  # no part of the answer: data is what SHOW WARNINGS says of it; comes before I_LAST
I_INFILE: Final = (
    32  # no part of the answer: data is the name of the file that MySQL wants; FILE records follow
)
I_TRACKED: Final = (
    64  # no part of the answer: what MySQL's trackers say (F_SESSION_TRACK); comes before I_LAST
)
I_INSERT_ID: Final = (
    128  # before I_LAST, no part of the answer: data is LAST_INSERT_ID() after the statement, and FOUND_ROWS() behind a
    #      blank where the statement changed that ("?": nobody knows to what); with I_LAST: the OK packet's insert id
    #      is not LAST_INSERT_ID()
)
I_SETTINGS: Final = (
    512  # before I_LAST, no part of the answer: a row of `@@name` and value that programs may have SET
)
I_ENDS_OK: Final = 256  # with I_LAST: the answer has several results and ends with an OK packet (CALL)
ROWS_SHIFT: Final = 16  # with I_LAST: info >> ROWS_SHIFT is the number of rows of the last result set

# ---- states of a process
STARTING: Final = "STARTING"
SERVING: Final = "SERVING"
DRAINING: Final = "DRAINING"
NOT_SERVING: Final = "NOT_SERVING"
DEAD: Final = "DEAD"

WINDOW_BYTES: Final = 262_144
"""A streaming answer may be that far ahead of the CREDITs; smaller answers need none."""

FILE_WINDOW_BYTES: Final = 262_144
"""A file may be that far ahead of the TAKENs."""

CHUNK_BYTES: Final = 65_536
"""About the size of a RESULT's data when an answer streams."""

Record = list[Any]
