"""A dated branch is continued only if the bot went on there."""

from storage.remote.branches import BranchCommit, dated_branches, goes_on


def history(*commits: str) -> list[BranchCommit]:
    """`bot 2` is the bot's commit 2. Given oldest first, returned newest first."""
    made = [commit.split(" ") for commit in reversed(commits)]

    return [BranchCommit(id=number, author=author, message="") for author, number in made]


def test_the_newest_of_several_dated_branches_comes_first() -> None:
    names = ["main", "main-2026-05-04", "main-2026-05-04-9", "main-2026-05-04-10", "main-x"]

    assert dated_branches([*names, "other-2027-01-01", "main-2026-05-05"], branch="main") == [
        "main-2026-05-05",
        "main-2026-05-04-10",
        "main-2026-05-04-9",
        "main-2026-05-04",
    ]


def test_where_the_bot_went_on_after_somebody_moved_main() -> None:
    main = history("bot 1", "bot 2", "carol 3")

    assert goes_on(history("bot 1", "bot 2", "bot 4"), branch=main)


def test_a_copy_of_an_earlier_state_is_not_continued() -> None:
    main = history("bot 1", "bot 2", "bot 3")

    assert not goes_on(history("bot 1", "bot 2"), branch=main)
    assert not goes_on(main, branch=main)


def test_a_branch_with_somebody_else_s_commits_is_not_continued() -> None:
    main = history("bot 1", "bot 2", "bot 3")

    assert not goes_on(history("bot 1", "bot 2", "carol 4"), branch=main)
    assert not goes_on(history("bot 1", "bot 2", "bot 4", "carol 5"), branch=main)


def test_the_bot_may_have_changed_its_name_before() -> None:
    main = history("bot 1", "herd 2", "carol 3")

    assert goes_on(history("bot 1", "herd 2", "herd 4"), branch=main)


def test_without_main_the_dated_branch_is_all_there_is() -> None:
    assert goes_on(history("bot 1", "carol 2"), branch=[])
