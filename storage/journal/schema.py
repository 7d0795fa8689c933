"""The journal's tables.

`seq` counts the changes to commit to the dataset: votes, images that were posted, and acts of
moderators. All that one act changes has the act's number, so one commit holds it. Every change with
`seq <= committed_seq` is in the dataset, in that state or a later one.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from storage.acts import ActKind, AlarmKind, Report, SetAside
from storage.errors import JournalError
from storage.vote import Answer, Choice, Rating, SetState, ShownIn, ShownKind, VoterIds

APPLICATION_ID = 0x6F786864  # "oxhd"
VERSION = 2


def _one_of(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _count(table: str, column: str, *, while_: str, is_: str) -> str:
    """Triggers that keep in `images` how many rows of the table an image has for which this holds,
    whatever changes them."""
    one_less = f"UPDATE images SET {column} = {column} - 1 WHERE image_id = old.image_id;"
    one_more = f"UPDATE images SET {column} = {column} + 1 WHERE image_id = new.image_id;"
    was, is_now = f"old.{while_} IS {is_}", f"new.{while_} IS {is_}"

    return f"""
CREATE TRIGGER {column}_added AFTER INSERT ON {table} WHEN {is_now} BEGIN {one_more} END;
CREATE TRIGGER {column}_gained AFTER UPDATE ON {table} WHEN {is_now} AND NOT {was}
    BEGIN {one_more} END;
CREATE TRIGGER {column}_lost AFTER UPDATE ON {table} WHEN {was} AND NOT {is_now}
    BEGIN {one_less} END;
CREATE TRIGGER {column}_deleted AFTER DELETE ON {table} WHEN {was} BEGIN {one_less} END;"""


TABLES = f"""
CREATE TABLE sets (
    set_id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ({_one_of(SetState)})),
    requester_id INTEGER NOT NULL,
    guild_id INTEGER,
    channel_id INTEGER NOT NULL,
    message_id INTEGER,
    interaction_id INTEGER NOT NULL,
    request TEXT NOT NULL,        -- JSON: the prompt, the seeds and so on
    provenance TEXT,
    tries INTEGER NOT NULL DEFAULT 0, -- begun by a worker, and not ended
    created_at TEXT NOT NULL,
    posted_at TEXT,
    server TEXT                   -- the pseudonym of the server. NULL: not known
) STRICT;
CREATE INDEX sets_by_state ON sets (state) WHERE state = 'waiting';

CREATE TABLE images (
    image_id TEXT PRIMARY KEY,
    set_id TEXT NOT NULL REFERENCES sets,
    slot INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    made_at TEXT NOT NULL,
    image_shard INTEGER,          -- given at the first vote, never changed
    shown_row INTEGER,            -- given when posted, never changed, like shown_shard
    shown_shard INTEGER,
    seq INTEGER,                  -- of being posted, removed or restored. NULL: not posted
    unvoted_since TEXT,           -- made, or the last vote undone. NULL: it has votes
    removed_at TEXT,              -- because nobody voted on it
    taken_out TEXT,               -- when moderators removed it. NULL: they did not
    remote_only INTEGER NOT NULL DEFAULT 0, -- only the remote has its bytes
    missing_since TEXT,           -- it has votes, and its bytes are nowhere
    unsafe_score REAL,            -- NULL: there was no classifier
    withheld TEXT,                -- by whom; the bytes are not kept. NULL: not withheld
    doubtful INTEGER NOT NULL DEFAULT 0, -- a classifier found it so: it is shown as a spoiler
    erased INTEGER NOT NULL DEFAULT 0, -- who asked for it is forgotten: it is in no table
    guild INTEGER,                -- the server of its set, for `images_to_rate`
    paired INTEGER NOT NULL DEFAULT 0, -- made for an arena: never judged alone
    gold TEXT CHECK (gold IN ({_one_of(Rating)})), -- the right answer. NULL: not gold
    good INTEGER NOT NULL DEFAULT 0, -- votes that count, kept by triggers
    bad INTEGER NOT NULL DEFAULT 0,
    offered INTEGER NOT NULL DEFAULT 0, -- to people who have not answered yet, kept by triggers
    taken INTEGER AS (good + bad + offered),
    certain INTEGER,              -- whether its estimated label is. NULL: not estimated yet
    unclear INTEGER AS            -- by the estimate, or as the minority has a third: 2:1, 2:2
        (coalesce(NOT certain, good > 0 AND 3 * min(good, bad) >= good + bad)),
    place INTEGER NOT NULL DEFAULT (random()), -- among images with as many votes
    can_be_rated INTEGER AS (seq IS NOT NULL AND removed_at IS NULL AND taken_out IS NULL
        AND withheld IS NULL AND missing_since IS NULL AND NOT remote_only AND NOT erased
        AND NOT paired)
) STRICT;
CREATE INDEX sets_by_requester ON sets (requester_id, created_at);
CREATE INDEX sets_by_server ON sets (guild_id, posted_at);
CREATE INDEX images_by_set ON images (set_id);
CREATE INDEX images_by_seq ON images (seq) WHERE seq IS NOT NULL;
CREATE INDEX images_by_shown_shard ON images (shown_shard) WHERE shown_shard IS NOT NULL;
CREATE INDEX images_missing ON images (image_id) WHERE missing_since IS NOT NULL;
CREATE INDEX images_unvoted ON images (unvoted_since)
    WHERE unvoted_since IS NOT NULL AND removed_at IS NULL AND withheld IS NULL;

CREATE INDEX images_to_rate ON images (guild, taken, place, image_id)
    WHERE can_be_rated AND gold IS NULL;
CREATE INDEX images_unclear ON images (guild, taken, place, image_id)
    WHERE can_be_rated AND gold IS NULL AND unclear;
CREATE INDEX images_gold ON images (guild, place) WHERE gold IS NOT NULL;

CREATE TABLE votes (
    image_id TEXT NOT NULL REFERENCES images,
    voter_id INTEGER NOT NULL,
    rating TEXT CHECK (rating IN ({_one_of(Rating)})), -- NULL: undone
    reasons TEXT NOT NULL DEFAULT '[]', -- JSON: why
    previous TEXT CHECK (previous IN ({_one_of(Rating)})), -- what undoing brings back
    previous_reasons TEXT NOT NULL DEFAULT '[]',
    voted_at TEXT NOT NULL,       -- of the last change
    train_row INTEGER NOT NULL,   -- given at the first vote, never changed
    train_shard INTEGER NOT NULL, -- the same
    seq INTEGER NOT NULL,
    own_request INTEGER,          -- whether the voter asked for the image. NULL: not known
    shown_in TEXT NOT NULL CHECK (shown_in IN ({_one_of(ShownIn)})),
    seconds REAL,                 -- from being shown to the press. NULL: nobody can know
    consent INTEGER,              -- version of the text agreed to. NULL: none was set
    set_aside TEXT CHECK (set_aside IN ({_one_of(SetAside)})), -- by moderators, and why
    counted TEXT AS (CASE WHEN set_aside IS NULL THEN rating END), -- NULL: undone or set aside
    PRIMARY KEY (image_id, voter_id)
) STRICT;
CREATE INDEX votes_by_seq ON votes (seq);
CREATE INDEX votes_by_shard ON votes (train_shard, train_row);
CREATE INDEX votes_by_voter ON votes (voter_id, image_id);
{_count("votes", "good", while_="counted", is_="'good'")}
{_count("votes", "bad", while_="counted", is_="'bad'")}

CREATE TABLE exposures (          -- images that people were shown under /rate
    exposure_id INTEGER PRIMARY KEY,
    image_id TEXT NOT NULL REFERENCES images,
    rater_id INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ({_one_of(ShownKind)})),
    shown_at TEXT NOT NULL,
    answer TEXT CHECK (answer IN ({_one_of(Answer)})), -- NULL: none yet
    seconds REAL,                 -- from being shown to the answer
    offered INTEGER NOT NULL      -- whether the image is kept free for this answer
) STRICT;
CREATE INDEX exposures_of_images ON exposures (image_id);
CREATE INDEX exposures_of_raters ON exposures (rater_id, image_id);
CREATE INDEX exposures_in_order ON exposures (rater_id);
CREATE INDEX exposures_unanswered ON exposures (rater_id) WHERE answer IS NULL;
CREATE INDEX exposures_offered ON exposures (shown_at) WHERE offered;
{_count("exposures", "offered", while_="offered", is_="1")}

CREATE TABLE ballots (            -- since when people have a ballot for a set
    set_id TEXT NOT NULL REFERENCES sets,
    voter_id INTEGER NOT NULL,
    shown_at TEXT NOT NULL,
    PRIMARY KEY (set_id, voter_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE arenas (             -- blind comparisons of models
    arena_id TEXT PRIMARY KEY,
    guild_id INTEGER,             -- NULL: not known
    channel_id INTEGER NOT NULL,  -- where pairs and the result are posted
    moderator_id INTEGER,         -- who opened it
    models TEXT NOT NULL,         -- JSON: their names
    plan TEXT NOT NULL,           -- JSON: what the images of its pairs are made from
    asks INTEGER NOT NULL,        -- whether its prompts are those of the channel's requests
    pairs INTEGER NOT NULL,       -- the rule: it ends when it has so many, and
    votes INTEGER NOT NULL,       -- each has so many
    opened_at TEXT NOT NULL,
    closed_at TEXT,               -- NULL: it is open
    stopped INTEGER NOT NULL DEFAULT 0, -- by a moderator, before its rule was met
    result_id INTEGER             -- the message with the result. NULL: not posted
) STRICT;
CREATE UNIQUE INDEX arenas_open ON arenas (guild_id) WHERE closed_at IS NULL;

CREATE TABLE arena_pairs (
    pair_id TEXT PRIMARY KEY,
    arena_id TEXT NOT NULL REFERENCES arenas,
    number INTEGER NOT NULL,      -- in the arena, from 0
    left_set TEXT NOT NULL UNIQUE REFERENCES sets,
    right_set TEXT NOT NULL UNIQUE REFERENCES sets,
    left_model TEXT NOT NULL,
    right_model TEXT NOT NULL,
    asker_id INTEGER NOT NULL,    -- whose prompt it is. 0: nobody's
    left_out INTEGER NOT NULL DEFAULT 0, -- an image could not be made, or not be shown
    message_id INTEGER,           -- NULL: not posted
    posted_at TEXT,
    UNIQUE (arena_id, number)
) STRICT;

CREATE VIEW shown_pairs AS        -- that people may see
    SELECT arena_pairs.*, lefts.image_id AS left_image, rights.image_id AS right_image,
        lefts.image_shard AS left_shard, rights.image_shard AS right_shard, request, server,
        (SELECT count(*) FROM arena_votes
            WHERE arena_votes.pair_id = arena_pairs.pair_id AND counted IS NOT NULL) AS votes
    FROM arena_pairs JOIN images AS lefts ON lefts.set_id = left_set
        JOIN images AS rights ON rights.set_id = right_set
        JOIN sets ON sets.set_id = left_set
    WHERE NOT left_out AND lefts.taken_out IS NULL AND rights.taken_out IS NULL
        AND lefts.missing_since IS NULL AND rights.missing_since IS NULL
        AND NOT lefts.erased AND NOT rights.erased;

CREATE TABLE arena_votes (
    pair_id TEXT NOT NULL REFERENCES arena_pairs,
    voter_id INTEGER NOT NULL,
    choice TEXT CHECK (choice IN ({_one_of(Choice)})), -- NULL: forgotten
    voted_at TEXT NOT NULL,       -- of the last change
    arena_row INTEGER NOT NULL,   -- given at the first vote, never changed
    arena_shard INTEGER NOT NULL, -- the same
    seq INTEGER NOT NULL,
    shown_in TEXT NOT NULL CHECK (shown_in IN ({_one_of(ShownIn)})),
    seconds REAL,                 -- from being shown to the press. NULL: nobody can know
    consent INTEGER,              -- version of the text agreed to. NULL: none was set
    set_aside TEXT CHECK (set_aside IN ({_one_of(SetAside)})), -- by moderators, and why
    counted TEXT AS (CASE WHEN set_aside IS NULL THEN choice END), -- NULL: it does not count
    PRIMARY KEY (pair_id, voter_id)
) STRICT;
CREATE INDEX arena_votes_by_seq ON arena_votes (seq);
CREATE INDEX arena_votes_by_shard ON arena_votes (arena_shard, arena_row);
CREATE INDEX arena_votes_by_voter ON arena_votes (voter_id);

CREATE TABLE arena_showings (     -- pairs that people were shown under /rate
    pair_id TEXT NOT NULL REFERENCES arena_pairs,
    rater_id INTEGER NOT NULL,
    shown_at TEXT NOT NULL,
    answered INTEGER NOT NULL,    -- or skipped
    PRIMARY KEY (pair_id, rater_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX arena_showings_of_raters ON arena_showings (rater_id) WHERE NOT answered;

CREATE VIEW judged_images AS      -- that a vote which counts is on, alone or in a pair
    SELECT image_id FROM votes WHERE counted IS NOT NULL
    UNION ALL SELECT left_image FROM shown_pairs WHERE shown_pairs.votes
    UNION ALL SELECT right_image FROM shown_pairs WHERE shown_pairs.votes;

CREATE TABLE acts (               -- what moderators did, and where
    act_id INTEGER PRIMARY KEY,
    guild_id INTEGER,
    kind TEXT NOT NULL CHECK (kind IN ({_one_of(ActKind)})),
    moderator_id INTEGER,         -- NULL: the bot by itself, or the operator on its host
    member_id INTEGER,            -- on whom
    set_id TEXT REFERENCES sets,  -- on which request, or an image of it
    reason TEXT NOT NULL,
    until TEXT,
    votes INTEGER NOT NULL,       -- how many were set aside or brought back
    images INTEGER NOT NULL,      -- how many were removed or brought back
    acted_at TEXT NOT NULL,
    seq INTEGER,                  -- of what it changes in the dataset. NULL: nothing
    told INTEGER NOT NULL DEFAULT 0 -- whether the moderators' channel has it
) STRICT;
CREATE INDEX acts_by_seq ON acts (seq) WHERE seq IS NOT NULL;
CREATE INDEX acts_by_member ON acts (member_id, kind);
CREATE INDEX acts_untold ON acts (act_id) WHERE told = 0;

CREATE TABLE rules (
    guild_id INTEGER PRIMARY KEY,
    rules TEXT NOT NULL           -- JSON: what moderators have set for the server
) STRICT;

CREATE TABLE weekly_posts (       -- of the best images, the last one of each server
    guild_id INTEGER PRIMARY KEY,
    day TEXT NOT NULL,            -- on which it is due
    tries INTEGER NOT NULL,
    done INTEGER NOT NULL         -- 0: after a try, perhaps Discord has it and perhaps not
) STRICT;
CREATE TABLE copies (              -- messages that show a request again
    message_id INTEGER PRIMARY KEY,
    channel_id INTEGER NOT NULL,
    set_id TEXT NOT NULL REFERENCES sets
) STRICT;
CREATE INDEX copies_by_set ON copies (set_id);

CREATE TABLE reports (             -- not by whom: nobody needs that afterwards
    set_id TEXT PRIMARY KEY REFERENCES sets,
    state TEXT NOT NULL CHECK (state IN ('{Report.OPEN}', '{Report.DECIDED}'))
) STRICT;

CREATE TABLE alarms (             -- of accounts that vote together
    alarm_id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ({_one_of(AlarmKind)})),
    guild_id INTEGER,
    image_id TEXT REFERENCES images, -- on this one, or
    author_id INTEGER,            -- on images that this member asked for
    rating TEXT CHECK (rating IN ({_one_of(Rating)})), -- that they agree on
    oldest INTEGER NOT NULL,      -- account: Discord's ids begin with when it was made
    since TEXT NOT NULL,          -- when the votes were given
    raised_at TEXT NOT NULL,
    told INTEGER NOT NULL DEFAULT 0 -- whether the moderators' channel has it
) STRICT;
CREATE INDEX alarms_by_image ON alarms (image_id);

CREATE TABLE bans (
    guild_id INTEGER NOT NULL,
    member_id INTEGER NOT NULL,
    until TEXT,                   -- NULL: for good
    reason TEXT NOT NULL,
    PRIMARY KEY (guild_id, member_id)
) STRICT;

CREATE TABLE people (
    user_id INTEGER PRIMARY KEY,  -- Discord's; for somebody who is not known, the pseudonym itself
    pseudonym INTEGER NOT NULL UNIQUE
) STRICT;

CREATE TABLE servers (guild_id INTEGER PRIMARY KEY, pseudonym TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE guidelines (         -- what is good and bad in a server, as moderators say
    guild_id INTEGER PRIMARY KEY,
    text TEXT NOT NULL,           -- empty: there are none
    good_image TEXT,              -- an example; it may be removed or forgotten since
    bad_image TEXT,               -- the same
    edition INTEGER NOT NULL      -- a new one is shown again
) STRICT;

CREATE TABLE guidelines_read (    -- the last edition that a person was shown
    user_id INTEGER NOT NULL,
    guild_id INTEGER NOT NULL,
    edition INTEGER NOT NULL,
    PRIMARY KEY (user_id, guild_id)
) STRICT;

CREATE TABLE consent_texts (      -- that people of a server are asked to agree to
    guild_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    text TEXT NOT NULL,           -- empty: nobody is asked any more
    set_at TEXT NOT NULL,
    PRIMARY KEY (guild_id, version)
) STRICT;

CREATE TABLE consents (           -- the last version that a person agreed to
    user_id INTEGER NOT NULL,
    guild_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    agreed_at TEXT NOT NULL,
    PRIMARY KEY (user_id, guild_id)
) STRICT;

CREATE TABLE privacy (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    voter_ids TEXT NOT NULL CHECK (voter_ids IN ({_one_of(VoterIds)})), -- in the dataset
    salt BLOB NOT NULL,           -- of the hashes that stand for people who are forgotten
    unclean INTEGER NOT NULL      -- whether the file may hold bytes of what was deleted
) STRICT;
INSERT INTO privacy VALUES (1, '{VoterIds.DISCORD}', randomblob(32), 0);

CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT INTO counters VALUES
    ('seq', 0), ('train_row', 0), ('shown_row', 0), ('arena_row', 0), ('image', 0);

CREATE TABLE watermark (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    journal_id TEXT NOT NULL,     -- the dataset's card names it: one dataset follows one journal
    committed_seq INTEGER NOT NULL,
    commits INTEGER NOT NULL,     -- made so far
    commit_id TEXT,
    committed_at TEXT,
    snapshot_at TEXT
) STRICT;
INSERT INTO watermark VALUES (1, lower(hex(randomblob(8))), 0, 0, NULL, NULL, NULL);

CREATE TABLE refounded (          -- a dataset that was made anew and is to replace the old one
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    committed_seq INTEGER NOT NULL,
    commits INTEGER NOT NULL,
    commit_id TEXT NOT NULL
) STRICT;

CREATE TABLE remote (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    url TEXT NOT NULL,
    branch TEXT NOT NULL,              -- as set
    pushed_to TEXT NOT NULL,           -- a different one if somebody else moved that
    pushed_seq INTEGER NOT NULL,       -- everything up to here is on the remote
    commits INTEGER NOT NULL,          -- how many of watermark.commits are on the remote
    commit_id TEXT,                    -- the newest one that is on the remote
    pushed_at TEXT,
    waiting_since TEXT,                -- the time of the oldest commit that is not
    alarmed_at TEXT,                   -- when the moderators were told that it is behind
    announced_branch TEXT,             -- the branch that they were last told of
    replaced_branch TEXT,              -- has the history before the dataset was made anew: delete
    free_at TEXT                       -- when it was seen to have no dataset but this one
) STRICT;
"""


def prepare(connection: sqlite3.Connection, *, path: Path) -> None:
    """Create the tables of a new journal, all or nothing.

    Raises JournalError for a foreign database and for a journal of a newer or older oxherd.
    """
    (found_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    is_new = (found_id, version, tables) == (0, 0, 0)
    if found_id != APPLICATION_ID and not is_new:
        raise JournalError.foreign(path, found=f"a database with application id {found_id:#x}")

    if version > VERSION:
        raise JournalError.too_new(path, found=version, newest=VERSION)

    if version < VERSION and not is_new:
        raise JournalError.too_old(path, found=version, oldest=VERSION)

    if is_new:
        connection.executescript(
            f"BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; {TABLES};"
            f"PRAGMA user_version = {VERSION}; COMMIT;"
        )
