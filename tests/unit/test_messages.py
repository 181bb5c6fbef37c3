"""What routers and tablets say to each other: no two meanings in one number."""

import pytest

from core.rpc import messages


@pytest.mark.parametrize("family", ["F_", "I_", "NEEDS_"])
def test_each_name_has_a_value_of_its_own(family: str) -> None:
    """Also where two changes, each right by itself, come together."""
    values = {name: value for name, value in vars(messages).items() if name.startswith(family)}
    assert len(values) > 1
    assert len(set(values.values())) == len(values), values
    if family != "NEEDS_":
        assert all(value.bit_count() == 1 for value in values.values()), values
