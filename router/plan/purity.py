"""What a statement does besides reading rows: whether its answer may be shared, and whether it needs a connection of
its own.

Invariant: a function that is not in the table below is taken to be anything: stored functions, clocks, locks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from router.sql.lex import BIND, MARK, NAME, VARIABLE, WORD, Lexeme

# Functions whose result depends on their arguments (and the session's settings, which are part of the key) alone.
_PURE: Final = frozenset(
    """
    ABS ACOS ADDDATE ADDTIME AES_DECRYPT AES_ENCRYPT ANY_VALUE ASCII ASIN ATAN ATAN2 AVG BIN BIN_TO_UUID BIT_AND
    BIT_COUNT BIT_LENGTH BIT_OR BIT_XOR CAST CEIL CEILING CHAR CHARACTER_LENGTH CHARSET CHAR_LENGTH COALESCE COLLATION
    COMPRESS CONCAT CONCAT_WS CONV CONVERT CONVERT_TZ COS COT COUNT CRC32 CUME_DIST DATE DATEDIFF DATE_ADD DATE_FORMAT
    DATE_SUB DAY DAYNAME DAYOFMONTH DAYOFWEEK DAYOFYEAR DEGREES DENSE_RANK ELT EXISTS EXP EXPORT_SET EXTRACT FIELD
    FIND_IN_SET FIRST_VALUE FLOOR FORMAT FROM_BASE64 FROM_DAYS FROM_UNIXTIME GREATEST GROUPING GROUP_CONCAT HEX HOUR IF
    IFNULL IN INET6_ATON INET6_NTOA INET_ATON INET_NTOA INSERT INSTR INTERVAL ISNULL IS_UUID JSON_ARRAY JSON_ARRAYAGG
    JSON_CONTAINS JSON_CONTAINS_PATH JSON_DEPTH JSON_EXTRACT JSON_KEYS JSON_LENGTH JSON_OBJECT JSON_OBJECTAGG
    JSON_OVERLAPS JSON_QUOTE JSON_SEARCH JSON_TYPE JSON_UNQUOTE JSON_VALID JSON_VALUE LAG LAST_DAY LAST_VALUE LCASE LEAD
    LEAST LEFT LENGTH LN LOCATE LOG LOG10 LOG2 LOWER LPAD LTRIM MAKEDATE MAKETIME MAKE_SET MATCH MAX MD5 MICROSECOND MID
    MIN MINUTE MOD MONTH MONTHNAME NTH_VALUE NTILE NULLIF OCT OCTET_LENGTH ORD PERCENT_RANK PERIOD_ADD PERIOD_DIFF PI
    POSITION POW POWER QUARTER QUOTE RADIANS RANK REGEXP_INSTR REGEXP_LIKE REGEXP_REPLACE REGEXP_SUBSTR REPEAT REPLACE
    REVERSE RIGHT ROUND ROW ROW_NUMBER RPAD RTRIM SECOND SEC_TO_TIME SHA SHA1 SHA2 SIGN SIN SOUNDEX SPACE SQRT STD
    STDDEV STDDEV_POP STDDEV_SAMP STRCMP STR_TO_DATE SUBDATE SUBSTR SUBSTRING SUBSTRING_INDEX SUBTIME SUM TAN TIME
    TIMEDIFF TIMESTAMP TIMESTAMPADD TIMESTAMPDIFF TIME_FORMAT TIME_TO_SEC TO_BASE64 TO_DAYS TO_SECONDS TRIM TRUNCATE
    UCASE UNCOMPRESS UNHEX UPPER UUID_TO_BIN VALUES VARIANCE VAR_POP VAR_SAMP WEEK WEEKDAY WEEKOFYEAR WEIGHT_STRING YEAR
    YEARWEEK SELECT FROM WHERE AND OR NOT XOR ON USING BY AS ANY SOME ALL UNION EXCEPT INTERSECT OVER PARTITION HAVING
    LIKE BETWEEN DIV BINARY CASE WHEN THEN ELSE JOIN AGAINST INDEX KEY VALUE DISTINCT SIGNED UNSIGNED DECIMAL NCHAR
    VARCHAR DATETIME DOUBLE FLOAT REGEXP RLIKE COLLATE SET LATERAL IS RETURN OF END WITH RECURSIVE ROLLUP
    GEOMCOLLECTION GEOMETRYCOLLECTION LINESTRING MULTILINESTRING MULTIPOINT MULTIPOLYGON POINT POLYGON MBRCONTAINS
    MBRCOVEREDBY MBRCOVERS MBRDISJOINT MBREQUALS MBRINTERSECTS MBROVERLAPS MBRTOUCHES MBRWITHIN ST_AREA ST_ASBINARY
    ST_ASGEOJSON ST_ASTEXT ST_ASWKB ST_ASWKT ST_BUFFER ST_BUFFER_STRATEGY ST_CENTROID ST_COLLECT ST_CONTAINS
    ST_CONVEXHULL ST_CROSSES ST_DIFFERENCE ST_DIMENSION ST_DISJOINT ST_DISTANCE_SPHERE ST_ENDPOINT ST_ENVELOPE ST_EQUALS
    ST_EXTERIORRING ST_FRECHETDISTANCE ST_GEOHASH ST_GEOMCOLLFROMTEXT ST_GEOMCOLLFROMWKB ST_GEOMETRYFROMTEXT
    ST_GEOMETRYFROMWKB ST_GEOMETRYN ST_GEOMETRYTYPE ST_GEOMFROMGEOJSON ST_GEOMFROMTEXT ST_GEOMFROMWKB
    ST_HAUSDORFFDISTANCE ST_INTERIORRINGN ST_INTERSECTION ST_INTERSECTS ST_ISCLOSED ST_ISEMPTY ST_ISRING ST_ISSIMPLE
    ST_ISVALID ST_LATFROMGEOHASH ST_LATITUDE ST_LENGTH ST_LINEFROMTEXT ST_LINEFROMWKB ST_LINEINTERPOLATEPOINT
    ST_LINEINTERPOLATEPOINTS ST_LONGFROMGEOHASH ST_LONGITUDE ST_MAKEENVELOPE ST_MLINEFROMTEXT ST_MPOINTFROMTEXT
    ST_MPOLYFROMTEXT ST_NUMGEOMETRIES ST_NUMINTERIORRINGS ST_NUMPOINTS ST_OVERLAPS ST_POINTATDISTANCE
    ST_POINTFROMGEOHASH ST_POINTFROMTEXT ST_POINTFROMWKB ST_POINTN ST_POINTONSURFACE ST_POLYFROMTEXT ST_POLYFROMWKB
    ST_RELATE ST_SIMPLIFY ST_SRID ST_STARTPOINT ST_SWAPXY ST_SYMDIFFERENCE ST_TOUCHES ST_TRANSFORM ST_UNION ST_VALIDATE
    ST_WITHIN ST_X ST_Y
    """.split()  # noqa: SIM905
)
# MySQL's and MariaDB's other functions: their results change, but they write no table.
_IMPURE: Final = frozenset(
    """
    BENCHMARK CONNECTION_ID CURDATE CURRENT_DATE CURRENT_ROLE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURTIME
    DATABASE DECODE_HISTOGRAM FORMAT_BYTES FORMAT_PICO_TIME FOUND_ROWS GET_LOCK GTID_SUBSET GTID_SUBTRACT ICU_VERSION
    IS_FREE_LOCK IS_USED_LOCK JSON_INSERT JSON_MERGE JSON_MERGE_PATCH JSON_MERGE_PRESERVE JSON_PRETTY JSON_REMOVE
    JSON_REPLACE JSON_SET JSON_TABLE LAST_INSERT_ID LOAD_FILE LOCALTIME LOCALTIMESTAMP MYSQL_QUERY_ATTRIBUTE_STRING
    NAME_CONST NOW RAND RANDOM_BYTES RELEASE_ALL_LOCKS RELEASE_LOCK ROW_COUNT SCHEMA SESSION_USER SLEEP
    STATEMENT_DIGEST ST_DISTANCE SYSDATE SYSTEM_USER UNIX_TIMESTAMP USER UTC_DATE UTC_TIME UTC_TIMESTAMP UUID
    UUID_SHORT VERSION
    """.split()  # noqa: SIM905
)
LAST_INSERT_ID: Final = "LAST_INSERT_ID(value)"
LASTVAL: Final = "LASTVAL()"
"""Reasons of `reserve_reason`."""
_UNSHARED_WORDS: Final = frozenset(
    """
    CURRENT_USER CURRENT_TIMESTAMP CURRENT_DATE CURRENT_TIME LOCALTIME LOCALTIMESTAMP UTC_DATE UTC_TIME UTC_TIMESTAMP
    INTO CURRENT_ROLE SQL_CALC_FOUND_ROWS NEXTVAL LASTVAL SETVAL PROCEDURE
    """.split()  # noqa: SIM905
)
_LOCK_FUNCTIONS: Final = frozenset(
    "GET_LOCK RELEASE_LOCK RELEASE_ALL_LOCKS IS_FREE_LOCK IS_USED_LOCK".split()  # noqa: SIM905
)


def is_shareable(lexemes: list[Lexeme]) -> bool:
    """Whether two executions at the same moment must give the same answer and do nothing else: no clock, no random
    number, no variable, no session state, no lock, no function we do not know."""
    if _takes_next_value(lexemes):
        return False
    for at, lexeme in enumerate(lexemes):
        if lexeme.kind is VARIABLE or (lexeme.kind is WORD and lexeme.text in _UNSHARED_WORDS):
            return False
        if lexeme.text == "(" and lexeme.kind is MARK and at:
            before = lexemes[at - 1]
            if before.kind is WORD and before.text not in _PURE and not _is_name(lexemes, at - 1):
                return False
            if before.kind is NAME and not _is_name(lexemes, at - 1):
                return False
    return True


def may_write(lexemes: list[Lexeme]) -> bool:
    """Whether a read calls a function that may be a stored one, and so write, or takes a sequence's next value."""
    return next(unknown_calls(lexemes), None) is not None or _takes_next_value(lexemes)


def unknown_calls(lexemes: list[Lexeme]) -> Iterator[int]:
    """The places of the names of functions that may be stored ones."""
    for at, lexeme in enumerate(lexemes):
        if lexeme.text != "(" or lexeme.kind is not MARK or not at or _is_name(lexemes, at - 1):
            continue
        before = lexemes[at - 1]
        if before.kind is NAME or (
            before.kind is WORD and before.text not in _PURE and before.text not in _IMPURE
        ):
            yield at - 1


def _is_name(lexemes: list[Lexeme], at: int) -> bool:
    """Whether the parenthesis behind a word holds columns of a CTE or alias, or an index list: not a call. Nor is
    COLUMNS behind the path of a JSON_TABLE."""
    before = lexemes[at - 1].text if at else ""
    if lexemes[at].text == "COLUMNS" and at and lexemes[at - 1].kind is BIND:
        return True
    return before in ("WITH", "RECURSIVE", "AS", "PARTITION")


def _takes_next_value(lexemes: list[Lexeme]) -> bool:
    """NEXT VALUE FOR (or PREVIOUS), which is written without a parenthesis."""
    return any(
        lexeme.kind is WORD
        and lexeme.text in ("NEXT", "PREVIOUS")
        and lexemes[at + 1].text == "VALUE"
        and lexemes[at + 2].text == "FOR"
        for at, lexeme in enumerate(lexemes[:-2])
    )


def is_locking(lexemes: list[Lexeme]) -> bool:
    """FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE."""
    for at, lexeme in enumerate(lexemes[:-1]):
        if lexeme.kind is not WORD:
            continue
        following = lexemes[at + 1].text
        if lexeme.text == "FOR" and following in ("UPDATE", "SHARE"):
            return True
        if lexeme.text == "LOCK" and following == "IN":
            return True
    return False


def reserve_reason(lexemes: list[Lexeme]) -> str:
    """Why the statement leaves something behind in its connection, or needs what is there; empty when not."""
    for at, lexeme in enumerate(lexemes):
        following = lexemes[at + 1].text if at + 1 < len(lexemes) else ""
        if lexeme.kind is WORD:
            if lexeme.text in _LOCK_FUNCTIONS and following == "(":
                return lexeme.text
            if lexeme.text == "SQL_CALC_FOUND_ROWS":
                return "SQL_CALC_FOUND_ROWS"
            if lexeme.text == "LAST_INSERT_ID" and following == "(" and lexemes[at + 2].text != ")":
                return LAST_INSERT_ID
            if (lexeme.text == "LASTVAL" and following == "(") or (
                lexeme.text == "PREVIOUS"
                and [one.text for one in lexemes[at + 1 : at + 3]] == ["VALUE", "FOR"]
            ):
                return LASTVAL
            if lexeme.text == "INTO" and at + 1 < len(lexemes) and lexemes[at + 1].kind is VARIABLE:
                return "SELECT ... INTO a user variable"
        elif lexeme.kind is VARIABLE and following == ":=":
            return "an assignment to a user variable"
    return ""
