"""A statement whose stored programs read ROW_COUNT() or FOUND_ROWS() finds the session's (`program_counts.py`)."""

from tablet.backend.connection import Command, Connection
from tablet.pool.setup import run_steps
from tablet.statements.insert_ids import InsertIds
from tablet.statements.program_counts import steps
from tablet.statements.request import SETUP


class Counts(InsertIds):
    """The part of a statement's life that is about ROW_COUNT() and FOUND_ROWS()."""

    __slots__ = ()

    def _sets_counts(self) -> bool:
        """Before it runs: True where they must be set first; then that is under way, and `_send` follows."""
        if self.counts is None:
            return False
        connection: Connection = self.connection
        (row_count, found_rows), self.counts = self.counts, None
        self.state = SETUP
        connection.dirty = True

        def ready(failed: Command | None) -> None:
            if failed is not None:
                self._setup_failed(failed)
            elif self.stopped is not None:
                self._stopped_before_running()
            else:
                self._send()

        run_steps(connection, steps(row_count, found_rows, mariadb=self.execution.programs.mariadb), ready)
        return True
