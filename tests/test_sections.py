"""A section checks its values wherever it is made, and is a dataclass for all else."""

import dataclasses
import pickle

import pytest

from telephone_asr.channel.options import Echo, Line
from telephone_asr.errors import InputError
from telephone_asr.sections import read_section

ECHO = Echo(share=0.5, loss_db=(20, 30))


def test_it_is_a_frozen_dataclass():
    assert repr(ECHO) == "Echo(share=0.5, delay_ms=(50.0, 300.0), loss_db=(20.0, 30.0))"
    assert Echo(0.5, (50, 300), (20, 30)) == ECHO
    assert hash(Echo(0.5, loss_db=(20.0, 30.0))) == hash(ECHO)
    assert dataclasses.asdict(ECHO) == vars(ECHO)
    assert pickle.loads(pickle.dumps(Line(echo=ECHO))) == Line(echo=ECHO)
    with pytest.raises(dataclasses.FrozenInstanceError):
        ECHO.share = 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 2}, "share: expected 1 or less, got 2."),
        ({"share": True}, "share: expected a number, got True (bool)."),
        ({"share": "0.5"}, "share: expected a number, got '0.5' (str)."),
        ({"loss_db": (20,)}, "loss_db: expected a list of 2 values, got [20]."),
        ({"loss_db": (30, 20)}, "loss_db: expected low <= high, got [30, 20]."),
        ({"shares": 1}, "shares: unknown key; expected one of share, delay_ms, loss_db."),
    ],
)
def test_a_wrong_value_is_refused_in_code_as_in_a_file(changes, message):
    with pytest.raises(InputError) as made:
        Echo(**changes)
    with pytest.raises(InputError) as read:
        read_section(Echo, {**vars(ECHO), **changes})
    assert str(made.value) == str(read.value) == message


def test_a_changed_copy_is_checked_too():
    with pytest.raises(InputError, match=r"share: expected 0 or more, got -1\."):
        dataclasses.replace(ECHO, share=-1)


def test_a_default_in_code_is_none_for_a_file():
    assert Echo().share == 0
    with pytest.raises(InputError, match=r"^share: missing key; expected a number\.$"):
        read_section(Echo, {"delay_ms": [50, 300], "loss_db": [20, 40]})
