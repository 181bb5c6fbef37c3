"""How tests are shared out to processes (`-n`): all of a flavour to one, as they share its cluster; the rest by file.

Names of tests are all that the process knows which hands them out; parameters stand in brackets: `test_x[mysql-3]`.
xdist has groups by mark for that (`--dist loadgroup`), but writes them where pytest 9.2 does not read them any more.
"""

from xdist.scheduler import LoadScopeScheduling

from tests.kit.servers import FLAVOURS


def group_of(test: str) -> str:
    """>>> group_of("tests/e2e/test_a.py::test_b[reads-mariadb]"), group_of("tests/unit/test_a.py::TestC::test_d")
    ('mariadb', 'tests/unit/test_a.py')
    """
    name, _, parameters = test.partition("[")
    for flavour in FLAVOURS:
        if flavour in parameters.rstrip("]").split("-"):
            return flavour
    return name.partition("::")[0]


class ByFlavour(LoadScopeScheduling):
    """xdist's scheduler of groups, with `group_of` for what one is."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
