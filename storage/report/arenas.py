"""The arenas of a dataset, with what their votes say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from storage.dataset import columns
from storage.dataset.layout import unguarded
from storage.dataset.reader import dataset_rows
from storage.errors import ReadingError
from storage.estimate.arena import judge
from storage.journal.arena.values import Judgement, Outcome
from storage.vote import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class ArenaResult:
    """An arena that is closed. rule: when it was to end, fixed when it was opened."""

    arena_id: str
    closed_at: str
    rule: str
    outcome: Outcome


def arenas(tables: Path) -> list[ArenaResult]:
    """Those that are closed, the newest first. tables: the folder with `arena`; there is none
    before the first vote in one. Raises ReadingError for a table that is not ours."""
    try:
        rows = [row for _, _, row in dataset_rows(tables / "arena")]
        closed = [row for row in rows if columns.closed_at(row) is not None]
        closed.sort(key=lambda row: (row["closed_at"], row["arena_id"]), reverse=True)

        return [
            _result(arena_id, list(votes))
            for arena_id, votes in groupby(closed, key=lambda row: row["arena_id"])
        ]
    except (OSError, ValueError, KeyError) as exc:
        raise ReadingError.not_ours(tables, reason=str(exc)) from exc


def _result(arena_id: str, rows: Iterable[Mapping[str, str]]) -> ArenaResult:
    [first, *_] = rows = list(rows)
    votes = [
        Judgement(
            pair=row["pair_id"],
            voter=int(row["voter_id"]),
            left_model=unguarded(row["model_left"]),
            right_model=unguarded(row["model_right"]),
            choice=Choice(row["choice"]),
        )
        for row in rows
    ]
    models = {model for vote in votes for model in (vote.left_model, vote.right_model)}

    return ArenaResult(
        arena_id=arena_id,
        closed_at=first["closed_at"],
        rule=first["rule"],
        outcome=judge(votes, sorted(models)),
    )
