"""The protocol's numbers, as plain ints: `enum.IntFlag` costs a microsecond an operation on the hot path.

Source: MySQL's `mysql_com.h`, `my_command.h` and `field_types.h`. One table, nothing else lives here.
"""

from __future__ import annotations

from typing import Final

MAX_PAYLOAD: Final = 0xFFFFFF
"""Largest payload of one packet; a payload of this size or more goes on in the next packet."""
SCRAMBLE_LENGTH: Final = 20

# --- capability flags -------------------------------------------------------------------------------------------
CLIENT_LONG_PASSWORD: Final = 1 << 0
CLIENT_FOUND_ROWS: Final = 1 << 1
CLIENT_LONG_FLAG: Final = 1 << 2
CLIENT_CONNECT_WITH_DB: Final = 1 << 3
CLIENT_NO_SCHEMA: Final = 1 << 4
CLIENT_COMPRESS: Final = 1 << 5
CLIENT_ODBC: Final = 1 << 6
CLIENT_LOCAL_FILES: Final = 1 << 7
CLIENT_IGNORE_SPACE: Final = 1 << 8
CLIENT_PROTOCOL_41: Final = 1 << 9
CLIENT_INTERACTIVE: Final = 1 << 10
CLIENT_SSL: Final = 1 << 11
CLIENT_IGNORE_SIGPIPE: Final = 1 << 12
CLIENT_TRANSACTIONS: Final = 1 << 13
CLIENT_SECURE_CONNECTION: Final = 1 << 15
CLIENT_MULTI_STATEMENTS: Final = 1 << 16
CLIENT_MULTI_RESULTS: Final = 1 << 17
CLIENT_PS_MULTI_RESULTS: Final = 1 << 18
CLIENT_PLUGIN_AUTH: Final = 1 << 19
CLIENT_CONNECT_ATTRS: Final = 1 << 20
CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA: Final = 1 << 21
CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS: Final = 1 << 22
CLIENT_SESSION_TRACK: Final = 1 << 23
CLIENT_DEPRECATE_EOF: Final = 1 << 24
CLIENT_OPTIONAL_RESULTSET_METADATA: Final = 1 << 25
CLIENT_ZSTD_COMPRESSION_ALGORITHM: Final = 1 << 26
CLIENT_QUERY_ATTRIBUTES: Final = 1 << 27
CLIENT_MULTI_FACTOR_AUTHENTICATION: Final = 1 << 28

CLIENT_MYSQL: Final = CLIENT_LONG_PASSWORD
"""What MariaDB makes of that flag: neither end says it where the flags below are said (32 and up, in the last four
bytes of what is reserved in the greeting, and in the login). Source: MariaDB's `mysql_com.h`."""
MARIADB_CLIENT_STMT_BULK_OPERATIONS: Final = 1 << 34
"""COM_STMT_BULK_EXECUTE."""
MARIADB_CLIENT_EXTENDED_METADATA: Final = 1 << 35
"""Each column definition has one more string, before its fixed part: what its type is called, how its text is to be
read (`json`)."""

SERVER_CAPABILITIES: Final = (
    CLIENT_LONG_PASSWORD
    | CLIENT_FOUND_ROWS
    | CLIENT_LONG_FLAG
    | CLIENT_CONNECT_WITH_DB
    | CLIENT_NO_SCHEMA
    | CLIENT_COMPRESS
    | CLIENT_ODBC
    | CLIENT_LOCAL_FILES
    | CLIENT_IGNORE_SPACE
    | CLIENT_PROTOCOL_41
    | CLIENT_INTERACTIVE
    | CLIENT_IGNORE_SIGPIPE
    | CLIENT_TRANSACTIONS
    | CLIENT_SECURE_CONNECTION
    | CLIENT_MULTI_STATEMENTS
    | CLIENT_MULTI_RESULTS
    | CLIENT_PS_MULTI_RESULTS
    | CLIENT_PLUGIN_AUTH
    | CLIENT_CONNECT_ATTRS
    | CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
    | CLIENT_SESSION_TRACK
    | CLIENT_DEPRECATE_EOF
    | CLIENT_ZSTD_COMPRESSION_ALGORITHM
    | CLIENT_QUERY_ATTRIBUTES
)
"""What this package can serve; a greeting adds CLIENT_SSL where there is a certificate, and may take some away."""

# --- commands ---------------------------------------------------------------------------------------------------
COM_SLEEP: Final = 0x00
COM_QUIT: Final = 0x01
COM_INIT_DB: Final = 0x02
COM_QUERY: Final = 0x03
COM_FIELD_LIST: Final = 0x04
COM_CREATE_DB: Final = 0x05
COM_DROP_DB: Final = 0x06
COM_REFRESH: Final = 0x07
COM_SHUTDOWN: Final = 0x08
COM_STATISTICS: Final = 0x09
COM_PROCESS_INFO: Final = 0x0A
COM_CONNECT: Final = 0x0B
COM_PROCESS_KILL: Final = 0x0C
COM_DEBUG: Final = 0x0D
COM_PING: Final = 0x0E
COM_TIME: Final = 0x0F
COM_DELAYED_INSERT: Final = 0x10
COM_CHANGE_USER: Final = 0x11
COM_BINLOG_DUMP: Final = 0x12
COM_TABLE_DUMP: Final = 0x13
COM_CONNECT_OUT: Final = 0x14
COM_REGISTER_SLAVE: Final = 0x15
COM_STMT_PREPARE: Final = 0x16
COM_STMT_EXECUTE: Final = 0x17
COM_STMT_SEND_LONG_DATA: Final = 0x18
COM_STMT_CLOSE: Final = 0x19
COM_STMT_RESET: Final = 0x1A
COM_SET_OPTION: Final = 0x1B
COM_STMT_FETCH: Final = 0x1C
COM_DAEMON: Final = 0x1D
COM_BINLOG_DUMP_GTID: Final = 0x1E
COM_RESET_CONNECTION: Final = 0x1F
COM_CLONE: Final = 0x20
COM_STMT_BULK_EXECUTE: Final = 0xFA
"""MariaDB's own."""

COMMAND_NAMES: Final[dict[int, str]] = {
    value: name
    for name, value in list(globals().items())
    if name.startswith("COM_") and isinstance(value, int)
}

OPTION_MULTI_STATEMENTS_ON: Final = 0
OPTION_MULTI_STATEMENTS_OFF: Final = 1

# COM_STMT_EXECUTE flags
CURSOR_TYPE_NO_CURSOR: Final = 0
CURSOR_TYPE_READ_ONLY: Final = 1
CURSOR_TYPE_FOR_UPDATE: Final = 2
CURSOR_TYPE_SCROLLABLE: Final = 4
PARAMETER_COUNT_AVAILABLE: Final = 8

# --- status flags -----------------------------------------------------------------------------------------------
SERVER_STATUS_IN_TRANS: Final = 1 << 0
SERVER_STATUS_AUTOCOMMIT: Final = 1 << 1
SERVER_MORE_RESULTS_EXISTS: Final = 1 << 3
SERVER_QUERY_NO_GOOD_INDEX_USED: Final = 1 << 4
SERVER_QUERY_NO_INDEX_USED: Final = 1 << 5
SERVER_STATUS_CURSOR_EXISTS: Final = 1 << 6
SERVER_STATUS_LAST_ROW_SENT: Final = 1 << 7
SERVER_STATUS_DB_DROPPED: Final = 1 << 8
SERVER_STATUS_NO_BACKSLASH_ESCAPES: Final = 1 << 9
SERVER_STATUS_METADATA_CHANGED: Final = 1 << 10
SERVER_QUERY_WAS_SLOW: Final = 1 << 11
SERVER_PS_OUT_PARAMS: Final = 1 << 12
SERVER_STATUS_IN_TRANS_READONLY: Final = 1 << 13
MARIADB_STATUS_ANSI_QUOTES: Final = 1 << 15
SERVER_SESSION_STATE_CHANGED: Final = 1 << 14

# --- first bytes of answers -------------------------------------------------------------------------------------
OK_HEADER: Final = 0x00
AUTH_MORE_DATA_HEADER: Final = 0x01
LOCAL_INFILE_HEADER: Final = 0xFB
EOF_HEADER: Final = 0xFE
AUTH_SWITCH_HEADER: Final = 0xFE
ERR_HEADER: Final = 0xFF

# --- session tracking entries -----------------------------------------------------------------------------------
SESSION_TRACK_SYSTEM_VARIABLES: Final = 0
SESSION_TRACK_SCHEMA: Final = 1
SESSION_TRACK_STATE_CHANGE: Final = 2
SESSION_TRACK_GTIDS: Final = 3
SESSION_TRACK_TRANSACTION_CHARACTERISTICS: Final = 4
SESSION_TRACK_TRANSACTION_STATE: Final = 5

# --- column types -----------------------------------------------------------------------------------------------
TYPE_DECIMAL: Final = 0
TYPE_TINY: Final = 1
TYPE_SHORT: Final = 2
TYPE_LONG: Final = 3
TYPE_FLOAT: Final = 4
TYPE_DOUBLE: Final = 5
TYPE_NULL: Final = 6
TYPE_TIMESTAMP: Final = 7
TYPE_LONGLONG: Final = 8
TYPE_INT24: Final = 9
TYPE_DATE: Final = 10
TYPE_TIME: Final = 11
TYPE_DATETIME: Final = 12
TYPE_YEAR: Final = 13
TYPE_NEWDATE: Final = 14
TYPE_VARCHAR: Final = 15
TYPE_BIT: Final = 16
TYPE_TIMESTAMP2: Final = 17
TYPE_DATETIME2: Final = 18
TYPE_TIME2: Final = 19
TYPE_VECTOR: Final = 242
TYPE_BOOL: Final = 244
TYPE_JSON: Final = 245
TYPE_NEWDECIMAL: Final = 246
TYPE_ENUM: Final = 247
TYPE_SET: Final = 248
TYPE_TINY_BLOB: Final = 249
TYPE_MEDIUM_BLOB: Final = 250
TYPE_LONG_BLOB: Final = 251
TYPE_BLOB: Final = 252
TYPE_VAR_STRING: Final = 253
TYPE_STRING: Final = 254
TYPE_GEOMETRY: Final = 255

UNSIGNED_PARAMETER: Final = 0x8000
"""Set in the two-byte type of a COM_STMT_EXECUTE parameter whose value is unsigned."""

# --- column flags -----------------------------------------------------------------------------------------------
NOT_NULL_FLAG: Final = 1 << 0
PRI_KEY_FLAG: Final = 1 << 1
UNIQUE_KEY_FLAG: Final = 1 << 2
MULTIPLE_KEY_FLAG: Final = 1 << 3
BLOB_FLAG: Final = 1 << 4
UNSIGNED_FLAG: Final = 1 << 5
ZEROFILL_FLAG: Final = 1 << 6
BINARY_FLAG: Final = 1 << 7
ENUM_FLAG: Final = 1 << 8
AUTO_INCREMENT_FLAG: Final = 1 << 9
TIMESTAMP_FLAG: Final = 1 << 10
SET_FLAG: Final = 1 << 11
NO_DEFAULT_VALUE_FLAG: Final = 1 << 12
ON_UPDATE_NOW_FLAG: Final = 1 << 13
NUM_FLAG: Final = 1 << 15

NOT_FIXED_DECIMALS: Final = 31

# --- collations (character set ids) that we need by name ---------------------------------------------------------
CHARSET_LATIN1: Final = 8
CHARSET_UTF8MB3: Final = 33
CHARSET_UTF8MB4: Final = 45
CHARSET_BINARY: Final = 63
CHARSET_UTF8MB4_0900_AI_CI: Final = 255

# --- authentication plugins -------------------------------------------------------------------------------------
NATIVE_PASSWORD: Final = "mysql_native_password"
CACHING_SHA2_PASSWORD: Final = "caching_sha2_password"
