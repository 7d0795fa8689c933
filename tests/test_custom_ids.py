"""The custom id codec: what is written is read back, and nothing else is."""

import pytest
import shortuuid
from hypothesis import given
from hypothesis import strategies as st

from bot.chat.custom_ids import (
    AgreeId,
    EditFormId,
    NotOurs,
    PrivacyId,
    RateId,
    ReasonsId,
    SetId,
    ShownId,
    UndoId,
    VaryId,
    VoteId,
    is_known,
)
from storage.vote import Rating

IDS = st.uuids().map(shortuuid.encode)
NUMBERS = st.integers(0, 999_999_999)
CustomId = (
    VoteId
    | UndoId
    | ReasonsId
    | SetId
    | VaryId
    | EditFormId
    | PrivacyId
    | AgreeId
    | RateId
    | ShownId
)
CUSTOM_IDS = st.one_of(
    st.builds(VoteId, IDS, st.sampled_from(Rating)),
    st.builds(UndoId, IDS, st.sampled_from(Rating)),
    st.builds(ReasonsId, IDS, st.sampled_from(Rating)),
    st.builds(SetId, st.sampled_from(["again", "edit", "vary", "details", "cancel"]), IDS),
    st.builds(VaryId, IDS),
    st.builds(EditFormId, IDS),
    st.just(RateId()),
    st.builds(ShownId, st.sampled_from(["good", "bad", "skip", "report"]), st.integers(1, 2**59)),
    st.builds(PrivacyId, st.sampled_from(["data", "forget", "votes", "everything", "keep"])),
)


# The press in it may have any length.
AGREE_IDS = st.builds(AgreeId, NUMBERS, NUMBERS, st.text("aA1:-_", min_size=1, max_size=64))


@given(CUSTOM_IDS | AGREE_IDS)
def test_what_is_written_is_read_back(custom_id: CustomId) -> None:
    assert type(custom_id).parse(str(custom_id)) == custom_id


@given(CUSTOM_IDS | AGREE_IDS)
def test_every_id_fits_into_discords_hundred_characters(custom_id: CustomId) -> None:
    assert len(str(custom_id)) <= 100


@given(CUSTOM_IDS, st.data())
def test_a_truncated_id_is_not_ours(custom_id: CustomId, data: st.DataObject) -> None:
    text = str(custom_id)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]

    assert not is_known(cut)
    with pytest.raises(NotOurs):
        type(custom_id).parse(cut)


@pytest.mark.parametrize(
    "forged",
    [
        "oxherd1:vote:../../etc/passwd:good",
        "oxherd1:vote:" + "A" * 22 + ":great",
        "oxherd2:vote:" + "A" * 22 + ":good",
        "oxherd1:vote:" + "A" * 22 + ":good\n",
        "oxherd1:vote:" + "0" * 22 + ":good",
    ],
    ids=["path", "rating", "version", "newline", "alphabet"],
)
def test_a_forged_id_is_not_ours(forged: str) -> None:
    assert not is_known(forged)
