"""Where a `ResultScanner` is in an answer, as plain ints in the order that its loop asks for.

phase             what comes                                            what follows
FIRST             OK, ERR, LOCAL INFILE, or the count of columns         DONE or FIRST; COLUMNS
COLUMNS           definitions, counted down                              COLUMNS_END
COLUMNS_END       EOF (a procedure's own cursor may be told there)       ROWS: nobody opens cursors on a MySQL
ROWS              rows, then EOF or ERR                                  FIRST if more results exist, else DONE
PREPARED          the head of the answer to COM_STMT_PREPARE, or ERR     DEFINITIONS or DONE
DEFINITIONS       definitions of parameters, then of columns             DEFINITIONS_END
DEFINITIONS_END   EOF                                                    DEFINITIONS or DONE
STRING            one packet of any content (COM_STATISTICS)             DONE
BROKEN            nothing: every feed raises
"""

from __future__ import annotations

from typing import Final

from wire.constants import SERVER_MORE_RESULTS_EXISTS, SERVER_PS_OUT_PARAMS

_DONE: Final = 0
_FIRST: Final = 1
_COLUMNS_END: Final = 2
_PREPARED: Final = 3
_DEFINITIONS_END: Final = 4
_STRING: Final = 5
_BROKEN: Final = 6
# from here on packets only pass
_COLUMNS: Final = 10
_DEFINITIONS: Final = 11
_ROWS: Final = 12

_ENDED: Final = (_DONE, _BROKEN)
_ENDS_OF_DEFINITIONS: Final = (_COLUMNS_END, _DEFINITIONS_END)
_START: Final = (_FIRST, _PREPARED, _ROWS, _STRING)

# a header, read as one integer, minus the sequence id expected in its top byte is the length: out of range if the
# id is another, so that one subtraction serves both
_NEXT: Final = 1 << 24
_WRAP: Final = 0xFFFFFFFF
# MySQL says these two behind the definitions of OUT parameters, and forgets them behind their row; an OK follows
_OUT_PARAMS: Final = SERVER_PS_OUT_PARAMS | SERVER_MORE_RESULTS_EXISTS
