"""Whatever people press and wherever the writer is stopped, the dataset becomes what they voted."""

import re
import tempfile
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from storage.dataset.layout import concatenated
from storage.dataset.memory import MemoryRepository
from storage.dataset.oxen import OxenRepository, OxenSettings
from storage.dataset.repository import DataRepository
from storage.folder import DataFolder
from storage.journal.shards import ShardSizes
from storage.vote import Rating, VoteKind
from tests.support.storage.data import NOON, dataset, files_below, png_of
from tests.support.storage.desk import Desk, Station

SMALL_SHARDS = ShardSizes(train_rows=2, shown_rows=3, images=2)
VOTERS = st.integers(1, 3)
LIMITS = st.sampled_from([1, 2, 3, 512])


class VotesLife(RuleBasedStateMachine):
    """A desk on the left, two sets and a dictionary on the right."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.folder = DataFolder(Path(self.stack.enter_context(tempfile.TemporaryDirectory())))
        self.memory = MemoryRepository()
        self.shown: list[str] = []
        self.removed: set[str] = set()
        self.ratings: dict[tuple[str, int], Rating] = {}
        self.undo_to: dict[tuple[str, int], Rating] = {}

    @initialize()
    def start(self) -> None:
        self.running = ExitStack()
        self.desk = self.running.enter_context(
            Desk.open(self.folder, self.open_repository, shard_sizes=SMALL_SHARDS)
        )

    @rule()
    @precondition(lambda self: len(self.shown) < 12)
    def somebody_is_shown_a_set(self) -> None:
        self.shown += self.desk.show(f"set-{len(self.shown)}")

    @rule(data=st.data(), voter_id=VOTERS, rating=st.sampled_from([*Rating, None]))
    @precondition(lambda self: self.shown)
    def somebody_presses(self, data: st.DataObject, voter_id: int, rating: Rating | None) -> None:
        image_id = data.draw(st.sampled_from(self.shown))

        outcome = self.desk.vote(image_id, voter_id, rating)

        key = (image_id, voter_id)
        if image_id in self.removed:
            assert outcome.kind is VoteKind.REMOVED_IMAGE
        else:
            assert outcome.previous == self.ratings.get(key)
            if rating is not outcome.previous:
                self.becomes(key, rating, undo_to=None if rating is None else outcome.previous)

    @rule(data=st.data(), voter_id=VOTERS, rating=st.sampled_from(Rating))
    @precondition(lambda self: self.shown)
    def somebody_undoes(self, data: st.DataObject, voter_id: int, rating: Rating) -> None:
        image_id = data.draw(st.sampled_from(self.shown))
        key = (image_id, voter_id)

        outcome = self.desk.undo(image_id, voter_id, rating)

        if image_id not in self.removed and self.ratings.get(key) is rating:
            assert outcome.previous is rating
            assert outcome.rating == self.undo_to.get(key)
            self.becomes(key, outcome.rating, undo_to=None)
        else:
            assert not outcome.kind.changed_something

    def becomes(
        self, key: tuple[str, int], rating: Rating | None, *, undo_to: Rating | None
    ) -> None:
        for states, state in ((self.ratings, rating), (self.undo_to, undo_to)):
            states.pop(key, None)
            if state is not None:
                states[key] = state

    @rule(limit=LIMITS)
    def the_writer_commits(self, limit: int) -> None:
        self.desk.commit(limit=limit)

        # Half the backlog or all of it: no row is ever without its image.
        rows_without = [
            problem for problem in dataset(self.committed_files()).problems if "row, but" in problem
        ]
        assert rows_without == []

    @rule(station=st.sampled_from(Station), limit=LIMITS)
    def the_writer_is_stopped(self, station: Station, limit: int) -> None:
        self.desk.commit_until(station, limit=limit)

    @rule()
    def everything_starts_again(self) -> None:
        self.running.close()
        self.start()

    @rule()
    def what_nobody_voted_on_is_dropped(self) -> None:
        late = NOON + timedelta(days=1)
        dropped = self.desk.note(lambda journal: journal.drop_unvoted(before=late, now=late))
        self.desk.spool.discard(dropped)

        assert not {image_id for image_id, _ in self.ratings} & set(dropped)
        self.removed |= set(dropped)

    @rule()
    def somebody_wants_a_snapshot(self) -> None:
        self.desk.settle()
        self.desk.writer().snapshot()

        files = self.committed_files()
        shards = sorted(path for path in files if re.fullmatch(r"train/.*\.csv", path))
        assert files.get("train.csv", b"") == concatenated(files[path] for path in shards)

    @rule(limit=LIMITS)
    def the_dataset_holds_what_was_voted(self, limit: int) -> None:
        self.desk.settle(limit=limit)

        found = dataset(self.committed_files())
        assert found.problems == ()
        assert found.ratings == self.ratings
        assert found.images == {image_id for image_id, _ in self.ratings}
        assert found.shown == set(self.shown)
        for image_id in set(self.shown) - found.images - self.removed:
            assert self.desk.spool.path(image_id).read_bytes() == png_of(image_id)

        assert set(self.desk.spool.ids()) == set(self.shown) - found.images - self.removed

    def teardown(self) -> None:
        self.the_dataset_holds_what_was_voted(512)
        self.running.close()
        self.stack.close()

    def open_repository(self) -> DataRepository:
        return self.memory

    def committed_files(self) -> dict[str, bytes]:
        return self.memory.files


class VotesLifeInOxen(VotesLife):
    """The same, with the real repository."""

    def open_repository(self) -> DataRepository:
        return OxenRepository.open(
            OxenSettings(
                path=self.folder.dataset, config_dir=self.folder.oxen_config, journal_id="0"
            )
        )

    def committed_files(self) -> dict[str, bytes]:
        return files_below(self.folder.dataset)


TestVotesLife = VotesLife.TestCase
TestVotesLife.settings = settings(
    max_examples=50, stateful_step_count=30, deadline=None, print_blob=True
)

TestVotesLifeInOxen = VotesLifeInOxen.TestCase
TestVotesLifeInOxen.settings = settings(
    max_examples=4,
    stateful_step_count=20,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
