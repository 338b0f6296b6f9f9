# SPDX-License-Identifier: BSD-2-Clause
"""The judge of repeats: what it explains, and what it must not."""

import types

import lib
import repeats

KILLS = [(10.0, 10.1), (20.0, 20.1)]


def copy(queue_id, session, began, at, number=1):
    return types.SimpleNamespace(
        name=f"{session:06}", port="587", session=str(session), number=number, began=began, at=at,
        header=lambda name: f"from x by y id {queue_id}; today" if name == "Received" else "t1")


ID = "00000000690f1a2b"
OTHER = "00000000690f1a2c"
THIRD = "00000000690f1a2d"
DELIVERED = f'<6>relay: delivered id={ID} to="b@example.net" code=250'
CUT = f'<4>relay: uncertain id={ID} to="b@example.net" code=0'
UNCERTAIN = f"<4>relay: uncertain id={ID} why=stopped"
ENDED = "<4>supervisor: role-ended role=relay pid=7 signal=9"


def judge(copies, first=(), second=(), third=()):
    """One supervisor whose relay is killed, one that is killed with it, one more."""
    logs = [([*first, ENDED, *second], 1), (list(third), 0)]
    lives = repeats.lives_of(logs, KILLS)
    found = repeats.find(copies, lives)
    for r in found:
        assert ID in r.trace(lives)
    assert f"{len(found)} repeats by 2 kills" in repeats.table(found, lives)
    return [(r.reason, r.life) for r in found]


def test_reasons():
    two = [copy(ID, 1, 5.0, 9.9), copy(ID, 2, 10.2, 10.5)]
    late = [copy(ID, 1, 5.0, 10.02), two[1]]
    assert judge(two, second=[UNCERTAIN]) == [(repeats.REPLY, 0)]
    assert judge(late, second=[UNCERTAIN]) == [(repeats.DOT, 0)]
    assert judge(two, first=[DELIVERED], second=[UNCERTAIN]) == [(repeats.OUTCOME, 0)]
    # The second start finds it, or does not come so far.
    far = [copy(ID, 1, 5.0, 9.9), copy(ID, 2, 20.2, 20.5)]
    assert judge(far, third=[UNCERTAIN]) == [(repeats.REPLY, 0)]
    three = [*two, copy(ID, 3, 20.2, 20.5)]
    assert judge(three, second=[UNCERTAIN, DELIVERED], third=[UNCERTAIN]) == \
        [(repeats.REPLY, 0), (repeats.OUTCOME, 1)]


def test_no_reasons():
    two = [copy(ID, 1, 5.0, 9.9), copy(ID, 2, 10.2, 10.5)]
    assert judge(two[:1]) == []
    assert judge([two[0], copy(OTHER, 2, 10.2, 10.5)]) == []
    assert judge(two) == [(None, 0)]                                # no mark
    assert judge(two, first=[UNCERTAIN]) == [(None, 0)]             # before the kill
    assert judge(two, third=[UNCERTAIN]) == [(None, 0)]             # after the second copy
    assert judge(two, second=[UNCERTAIN.replace(ID, OTHER)]) == [(None, 0)]
    same = [copy(ID, 1, 5.0, 8.0), copy(ID, 2, 8.1, 9.9)]
    assert judge(same, first=[UNCERTAIN], second=[UNCERTAIN]) == [(None, 0)]
    assert judge(two, first=[CUT], second=[UNCERTAIN]) == [(None, 0)]
    unread = [copy(ID, 1, 0.0, 10 - repeats.LONG - 1), two[1]]
    assert judge(unread, second=[UNCERTAIN]) == [(None, 0)]
    went_on = [*two, copy(OTHER, 1, 5.0, 9.95, number=2)]
    assert judge(went_on, second=[UNCERTAIN]) == [(None, 0)]


def test_a_later_dot_proves_what_was_read_before():
    two = [copy(ID, 1, 5.0, 9.9), copy(ID, 2, 10.2, 10.5)]
    other = [copy(OTHER, 3, 5.0, 9.91), copy(THIRD, 3, 5.0, 9.95, number=2)]
    before = [DELIVERED.replace(ID, OTHER), DELIVERED]
    after = [DELIVERED, DELIVERED.replace(ID, OTHER)]
    assert judge([*two, *other], first=before, second=[UNCERTAIN]) == [(repeats.OUTCOME, 0)]
    assert judge([*two, *other], first=after, second=[UNCERTAIN]) == [(None, 0)]
    assert judge([*two, other[0]], first=after, second=[UNCERTAIN]) == [(repeats.OUTCOME, 0)]
    # Nothing was read of it: another session says nothing.
    assert judge([*two, *other], first=after[1:], second=[UNCERTAIN]) == [(repeats.REPLY, 0)]


def test_logs_and_kills_must_fit():
    for logs in ([([ENDED, ENDED, ENDED], 1), ([], 0)],     # it ended by itself
                 [([], 1), ([], 0)], [([ENDED], 1)]):
        try:
            repeats.lives_of(logs, KILLS)
        except ValueError:
            continue
        raise lib.Failure(f"taken: {logs}")
    # A supervisor that saw the last one end before it ended itself.
    assert len(repeats.lives_of([([ENDED, ENDED], 1), ([ENDED], 0)], KILLS)) == 3


lib.run_tests(globals())
