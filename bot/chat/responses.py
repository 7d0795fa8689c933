"""Answering an interaction: within three seconds, once, and whatever goes wrong.

Discord refuses the answer to an interaction that is not acknowledged within 3 s (error 10062), and
a token after 15 min (50027). Both happen on a slow network, and neither may stop the work.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO
from typing import Any, TypeVar

import aiohttp
import discord
from discord import ui

from bot.chat import texts
from bot.chat.admission.gate import Barred, NoticeDue
from bot.chat.context import Interaction
from bot.chat.custom_ids import is_edit_form
from bot.prompts.refusals import BlockedPrompt, Refused
from bot.prompts.typed import Typed
from generation.errors import GenerationError, QueueFull, TooManyYours
from storage.errors import StorageError

log = logging.getLogger(__name__)

T = TypeVar("T")

# Work that takes longer is acknowledged with "thinking…" first. Discord's limit is 3 s.
DEFER_AFTER_S = 1.5

# Discord refused, or could not be reached: discord.py does not wrap the network's errors.
NOT_TAKEN = (discord.HTTPException, aiohttp.ClientError, OSError)

NO_MENTIONS = discord.AllowedMentions.none()

# What Discord takes as the text of a message.
MESSAGE_CHARS = 2000


async def in_time(
    interaction: Interaction,
    work: Awaitable[T],
    *,
    new_message: bool = True,
    public: bool = False,
) -> T:
    """The work's result. If the work is slow, the interaction is acknowledged meanwhile.

    new_message: whether the answer will be a message, which is private unless `public`; otherwise
    it will be an edit of the message with the button. Raises what the work raises. Cancelling this
    does not cancel the work.
    """
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=DEFER_AFTER_S)
    if not done:
        with tolerated(interaction, doing="deferring"):
            await interaction.response.defer(ephemeral=not public, thinking=new_message)

    return await asyncio.shield(task)


@asynccontextmanager
async def answered(interaction: Interaction, *, typed: Typed | None = None) -> AsyncIterator[None]:
    """Whatever goes wrong inside, the member reads a sentence and the log has the cause.

    What they typed is given back with it: what is in the interaction, or else `typed`.
    """
    reference = str(interaction.id)
    with interaction.client.context.in_hand:
        try:
            yield
        except BlockedPrompt as exc:
            log.info("interaction %s: %s", reference, exc)
            before = typed or Typed.of_request(exc.request)
            await give_back(interaction, texts.refused(exc), typed=before)
        except Barred as exc:
            log.info("interaction %s: the member is barred", reference)
            await give_back(interaction, str(exc), typed=typed)
        except NoticeDue as exc:
            await interaction.client.context.show_notice(interaction, exc)
        except Refused as exc:
            log.info("interaction %s: %s", reference, exc)
            await give_back(interaction, texts.refused(exc), typed=typed)
        except (QueueFull, TooManyYours) as exc:
            log.info("interaction %s: %s", reference, exc)
            await give_back(interaction, texts.refusal(exc, reference=reference), typed=typed)
        except (GenerationError, StorageError) as exc:
            log.warning("interaction %s: %s", reference, exc)
            await give_back(interaction, texts.refusal(exc, reference=reference), typed=typed)
        except discord.NotFound as exc:
            log.info("interaction %s could not be answered in time: %s", reference, exc)
        except Exception:
            log.exception("interaction %s failed", reference)
            await give_back(interaction, texts.unexpected(reference), typed=typed)


async def give_back(interaction: Interaction, sentence: str, *, typed: Typed | None = None) -> None:
    """Say privately why not, with what the member typed, so that nobody types it again.

    typed: what to give back if there is nothing in the interaction itself.
    """
    typed = typed_in(interaction) or typed
    if not typed:
        await say_privately(interaction, sentence)
        return

    text = texts.given_back(sentence, typed)
    if len(text) <= MESSAGE_CHARS:
        await say_privately(interaction, text)
    else:
        file = prompt_file(typed)
        await say_privately(interaction, texts.given_back_in_file(sentence), files=[file])


def prompt_file(typed: Typed) -> discord.File:
    """All that was typed, where it is too long for a message."""
    return discord.File(BytesIO(str(typed).encode()), "prompt.txt")


def typed_in(interaction: Interaction) -> Typed | None:
    """What the interaction asks for images with; None if it does not. Nothing is checked."""
    data = _data(interaction)
    match interaction.type:
        case discord.InteractionType.application_command if data.get("name") == "imagine":
            return Typed.of({each["name"]: each["value"] for each in data.get("options", ())})
        case discord.InteractionType.modal_submit if is_edit_form(data.get("custom_id", "")):
            return Typed.of(entered_in(interaction))
        case _:
            return None


def entered_in(interaction: Interaction) -> dict[str, str]:
    """What was entered into a form or chosen there, by the fields' ids. Nothing is checked."""
    fields = [label.get("component", {}) for label in _data(interaction).get("components", ())]

    return {
        field.get("custom_id", ""): next(iter(field.get("values", ())), field.get("value") or "")
        for field in fields
    }


def _data(interaction: Interaction) -> Mapping[str, Any]:
    """What Discord sent, whose keys depend on its kind."""
    return interaction.data or {}


async def say_privately(
    interaction: Interaction,
    text: str,
    *,
    view: ui.View | None = None,
    files: Sequence[discord.File] = (),
) -> int | None:
    """Send a message that only this member sees; its id, None if Discord did not take it.

    There may have been an answer already.
    """
    if view is not None:
        view.stop()  # discord.py would keep it for 15 minutes; its buttons work without it

    return await _answer(
        interaction,
        content=text,
        view=discord.utils.MISSING if view is None else view,
        files=files,
    )


async def show_privately(
    interaction: Interaction, view: ui.LayoutView, *, files: Sequence[discord.File] = ()
) -> int | None:
    """The same with a message that has texts, images and buttons as the view lays them out."""
    view.stop()  # as in `say_privately`

    return await _answer(interaction, content=discord.utils.MISSING, view=view, files=files)


async def _answer(
    interaction: Interaction, *, content: str, view: Any, files: Sequence[discord.File]
) -> int | None:
    attached = list(files) or discord.utils.MISSING
    with tolerated(interaction, doing="answering"):
        if interaction.response.is_done():
            sent: discord.WebhookMessage = await interaction.followup.send(
                content,
                view=view,
                files=attached,
                ephemeral=True,
                allowed_mentions=NO_MENTIONS,
                wait=True,
            )
            return sent.id

        response = await interaction.response.send_message(
            content, view=view, files=attached, ephemeral=True, allowed_mentions=NO_MENTIONS
        )
        return response.message_id

    return None


async def replace_pressed(
    interaction: Interaction,
    text: str,
    *,
    view: ui.View | None = None,
    files: Sequence[discord.File] | None = None,
) -> None:
    """Replace the message whose button was pressed with the text. files: what is attached to it
    then; None: what is attached now."""
    if view is not None:
        view.stop()  # as in `say_privately`

    attached = discord.utils.MISSING if files is None else list(files)
    with tolerated(interaction, doing="editing the answer"):
        if interaction.response.is_done():
            await interaction.edit_original_response(
                content=text, view=view, attachments=attached, allowed_mentions=NO_MENTIONS
            )
        else:
            await interaction.response.edit_message(
                content=text, view=view, attachments=attached, allowed_mentions=NO_MENTIONS
            )


@contextmanager
def tolerated(interaction: Interaction, *, doing: str) -> Iterator[None]:
    """Log it and go on if Discord refuses an answer or cannot be reached."""
    try:
        yield
    except discord.NotFound as exc:
        log.info("interaction %d: %s came too late: %s", interaction.id, doing, exc)
    except (*NOT_TAKEN, discord.InteractionResponded) as exc:
        log.warning("interaction %d: %s failed: %s", interaction.id, doing, exc)
