"""Round robin between owners; in order within one."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from generation.queue.fair_queue import FairQueue

ALICE, BOB, CAROL = 1, 2, 3


def queue_of(*items: tuple[str, int]) -> FairQueue[str]:
    queue: FairQueue[str] = FairQueue()
    for item, owner in items:
        queue.add(item, owner=owner)

    return queue


def taken(queue: FairQueue[str]) -> list[str]:
    order = []
    while (item := queue.take()) is not None:
        order.append(item)

    return order


def test_a_newcomer_waits_for_one_request_of_somebody_who_queued_many() -> None:
    queue = queue_of(("a1", ALICE), ("a2", ALICE), ("a3", ALICE), ("b1", BOB))

    assert taken(queue) == ["a1", "b1", "a2", "a3"]


def test_coming_back_gains_no_turn() -> None:
    queue = queue_of(("a1", ALICE), ("b1", BOB), ("c1", CAROL))
    queue.take()
    queue.add("a2", owner=ALICE)

    assert taken(queue) == ["b1", "c1", "a2"]


def test_who_may_not_run_keeps_their_turn() -> None:
    queue = queue_of(("a1", ALICE), ("b1", BOB), ("c1", CAROL))

    assert queue.take(lambda owner: owner != ALICE) == "b1"
    assert taken(queue) == ["a1", "c1"]


def test_what_is_put_first_is_taken_before_everybody() -> None:
    queue = queue_of(("a1", ALICE), ("b1", BOB))
    queue.put_first("c0", owner=CAROL)

    assert queue.in_order() == ["c0", "a1", "b1"]
    assert taken(queue) == ["c0", "a1", "b1"]


def test_removing_finds_an_item_wherever_it_stands_and_only_once() -> None:
    queue = queue_of(("a1", ALICE), ("b1", BOB))
    queue.put_first("c0", owner=CAROL)

    assert [queue.remove(item) for item in ("b1", "c0", "b1")] == [True, True, False]
    assert taken(queue) == ["a1"]


owners = st.lists(st.integers(min_value=0, max_value=4), max_size=30)


@given(owners=owners)
def test_the_predicted_order_is_the_order_of_taking(owners: Sequence[int]) -> None:
    queue = queue_of(*((f"{owner}/{number}", owner) for number, owner in enumerate(owners)))

    predicted = queue.in_order()

    assert len(queue) == len(owners)
    assert taken(queue) == predicted


@given(owners=owners, newcomer=st.just(99))
def test_nobody_waits_for_two_requests_of_anybody_else(
    owners: Sequence[int], newcomer: int
) -> None:
    queue = queue_of(*((f"{owner}/{number}", owner) for number, owner in enumerate(owners)))
    queue.add("mine", owner=newcomer)

    ahead = taken(queue)
    ahead = [item.split("/")[0] for item in ahead[: ahead.index("mine")]]

    assert len(ahead) == len(set(ahead))


@given(owners=owners)
def test_one_persons_requests_stay_in_order(owners: Sequence[int]) -> None:
    queue = queue_of(*((f"{owner}/{number:02}", owner) for number, owner in enumerate(owners)))

    order = taken(queue)

    for owner in set(owners):
        mine = [item for item in order if item.startswith(f"{owner}/")]
        assert mine == sorted(mine)
