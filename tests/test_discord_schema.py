"""Every request that the bot sends, checked against Discord's own API description.

The description (Discord's, MIT) is not part of this repository; without it these tests skip.
"""

import json
import re
from collections.abc import Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import discord
import pytest
from discord.utils import time_snowflake
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from bot.chat import following, messages, moderators
from bot.chat.custom_ids import PrivacyId, ReasonsId
from bot.chat.standing import weekly
from generation.worker import preview_budget
from storage.vote import Choice, Rating
from tests.support.discord.arena import MODELS, arena
from tests.support.discord.world import (
    World,
    buttons,
    image_ids,
    seen,
    set_button,
    undo_id,
    world,
)

DESCRIPTION = Path(__file__).parents[2] / "shared" / "discord-openapi.json"

pytestmark = pytest.mark.skipif(
    not DESCRIPTION.exists(), reason=f"{DESCRIPTION.name} is not beside this checkout"
)


class Description:
    """Discord's OpenAPI document, asked for the schema of one request's body."""

    def __init__(self) -> None:
        self._document = json.loads(DESCRIPTION.read_text())
        resource = Resource.from_contents(self._document, default_specification=DRAFT202012)
        self._registry: Registry[Any] = Registry().with_resource("urn:discord", resource)
        self._paths = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", template)), template)
            for template in self._document["paths"]
        ]

    def problems(self, method: str, path: str, body: Any) -> list[str]:
        """What the description has against the request; empty if nothing."""
        template = self._template(path, method)
        operation = self._document["paths"][template][method.lower()]
        if body is None:
            required = operation.get("requestBody", {}).get("required", False)
            return ["a body is required"] if required else []

        escaped = template.replace("~", "~0").replace("/", "~1")
        pointer = f"#/paths/{escaped}/{method.lower()}/requestBody/content/application~1json/schema"
        validator = Draft202012Validator(
            {"$ref": f"urn:discord{_encoded(pointer)}"}, registry=self._registry
        )

        return [error.message[:300] for error in validator.iter_errors(_as_described(body))]

    def problems_of(self, sent: Sequence[Any]) -> dict[str, list[str]]:
        """What it has against these requests, by method and path."""
        return {
            f"{r.method} {r.path}": found
            for r in sent
            if (found := self.problems(r.method, r.path, r.json))
        }

    def _template(self, path: str, method: str) -> str:
        plain = [
            template
            for pattern, template in self._paths
            if pattern.fullmatch(path) and method.lower() in self._document["paths"][template]
        ]
        # /webhooks/{id}/{token}/messages/@original is described next to …/{message_id}
        assert plain, f"{method} {path} is not described"

        return str(min(plain, key=lambda template: template.count("{")))


def _encoded(pointer: str) -> str:
    return pointer.replace("{", "%7B").replace("}", "%7D")


def _as_described(body: Any) -> Any:
    """discord.py numbers attachments, recipients and what a menu has chosen with integers, which
    Discord takes and does not describe."""
    body = deepcopy(body)
    for label in (body.get("data") or {}).get("components", []) if isinstance(body, dict) else []:
        for chosen in label.get("component", {}).get("default_values", []):
            chosen["id"] = str(chosen["id"])

    if isinstance(body, dict) and "recipient_id" in body:
        body["recipient_id"] = str(body["recipient_id"])

    for part in (body, body.get("data") if isinstance(body, dict) else None):
        for attachment in (part or {}).get("attachments", []) if isinstance(part, dict) else []:
            attachment["id"] = str(attachment["id"])

    return body


async def set_and_look_again(w: World, mod: Any) -> None:
    """Send every form of `/oxherd` with something in each field, and open it again."""
    role = w.guild.create_role("raters")
    forms: dict[str, dict[str, Any]] = {
        "access": {
            **{name: [role] for name in ("asking-roles", "voting-roles")},
            **{name: [w.channel] for name in ("asking-channels", "voting-channels")},
        },
        "reasons": {"good": "\n".join(f"reason {number}" for number in range(25)), "bad": ""},
    }
    for name, fields in forms.items():
        form = await mod.slash(w.channel, f"oxherd {name}")
        await mod.submit_modal(form, {**fields, "why": "a test"})
        await mod.slash(w.channel, f"oxherd {name}")

    form = await mod.slash(w.channel, "oxherd access")
    await mod.submit_modal(form, {})


@pytest.mark.stalls("the description is read and applied in the test itself")
async def test_every_request_matches_discords_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    description = Description()

    monkeypatch.setattr(following, "PROGRESS_EVERY_S", 0.2)
    monkeypatch.setattr(preview_budget, "EVERY_S", 0.2)

    async with world(tmp_path, placeholder_step_seconds=0.1, default_steps=6) as w:
        w.settings = w.settings.model_copy(update={"moderators_channel": w.channel.id})
        await w.restart()
        message = await w.imagine(w.alice, "a *fox* in the snow", negative_prompt="rain", seed=3)
        await w.vote(w.bob, message, 1, Rating.GOOD)
        voted = await w.vote(w.bob, message, 1, Rating.BAD)
        why = str(ReasonsId(image_ids(message)[0], Rating.BAD))
        await w.bob.select(voted, ["ugly", "unsafe"], custom_id=why)
        await w.bob.click(voted, custom_id=undo_id(image_ids(message)[0], Rating.BAD))
        await w.bob.click(message, custom_id=set_button(message, "details"))
        form = await w.bob.click(message, custom_id=set_button(message, "edit"))
        await w.bob.submit_modal(form, {"prompt": "an *owl*", "size": ["128x64"]})
        await w.posted()
        await w.bob.slash(w.channel, "show", id=image_ids(message)[0])
        menu = await w.bob.click(message, custom_id=set_button(message, "vary"))
        await w.bob.select(seen(menu), [image_ids(message)[0]])
        await w.posted()
        cancelled = await w.bob.click(message, custom_id=set_button(message, "again"))
        await w.bob.click(seen(cancelled), custom_id=set_button(seen(cancelled).message, "cancel"))
        await w.posted()
        slow = await w.ask(w.bob, "a crow", steps=100)
        await w.until(lambda: bool(seen(slow).message.attachments))  # a preview
        await w.bob.click(seen(slow), custom_id=set_button(seen(slow).message, "cancel"))
        await w.posted()
        await w.press(w.bob, message, "oxherd1:vote:forged")
        await w.ask(w.alice, " ")
        late = await w.ask(w.alice, "an owl")
        monkeypatch.setattr(messages, "TOKEN_LIFE", timedelta(seconds=-1))
        await w.posted()
        mod = w.moderator()
        await mod.slash(w.channel, "oxherd ban", member=w.bob, reason="a test", hours=1)
        await mod.slash(w.channel, "oxherd unban", member=w.bob)
        form = await mod.context_menu(w.channel, "Remove from dataset", message)
        await mod.submit_modal(form, {"what": [image_ids(message)[0]], "why": "a test"})
        await mod.slash(w.channel, "oxherd restore", id=image_ids(message)[0])
        await mod.slash(w.channel, "oxherd remove", id=image_ids(message)[0], reason="a test")
        told = seen(await w.bob.slash(w.channel, "privacy"))
        for action in ("data", "forget", "everything"):
            await w.bob.click(told, custom_id=str(PrivacyId(action)))

        await mod.slash(w.channel, "oxherd limits", votes_per_minute=100, reason="a test")
        await mod.slash(w.channel, "oxherd queue show")
        await w.bob.slash(w.channel, "leaderboard")
        liked = await w.imagine(w.alice, "an owl")
        await w.vote(w.bob, liked, 1, Rating.GOOD)
        await w.alice.slash(w.channel, "me")
        await w.alice.slash(w.channel, "top")
        await mod.slash(w.channel, "oxherd stats")
        await mod.slash(w.channel, "oxherd weekly", channel=w.channel)
        due = weekly.last_due(discord.utils.utcnow()) + timedelta(days=7)
        await weekly.post_due(w.parts.store, w.client, w.parts.requests.gate, now=due)
        await set_and_look_again(w, mod)
        reported = await w.imagine(w.alice, "a crow")
        of_crow = image_ids(reported)[0]
        await mod.slash(w.channel, "oxherd gold mark", id=of_crow, answer="good", reason="a test")
        await mod.slash(w.channel, "oxherd gold list")
        await mod.slash(w.channel, "oxherd gold unmark", id=of_crow)
        await mod.slash(w.channel, "oxherd pace", rate=0.5, post=0.1, reason="a test")
        shown = seen(await w.bob.slash(w.channel, "rate"))
        for label in ("Skip", "Report"):
            await w.bob.click(shown, label=label)

        await w.bob.click(shown, custom_id=buttons(shown.message)[0])
        await w.bob.context_menu(w.channel, "Report", reported)
        review = w.last_message()
        form = await mod.click(review, label="Remove and warn")
        await mod.submit_modal(form, {"why": "a test"})
        good, bad, voted_on, _ = image_ids(await w.imagine(w.alice, "an ox"))
        form = await mod.slash(w.channel, "oxherd guidelines")
        await mod.submit_modal(
            form, {"text": "No text.", "good": good, "bad": bad, "again": ["again"]}
        )
        form = await mod.slash(w.channel, "oxherd consent set")
        await mod.submit_modal(form, {"text": "Votes are published.", "why": "a test"})
        asked = await w.vote(w.bob, message, 2, Rating.GOOD)
        await w.bob.click(asked, custom_id=buttons(asked)[0])
        for voter in range(3):
            await w.parts.store.vote(
                voted_on, time_snowflake(datetime.now(UTC)) + voter, Rating.BAD
            )

        few = w.settings.model_copy(update={"alarm_new_accounts": 3})
        await moderators.tell_news(few, w.parts.store, w.client)
        alarm = next(m for m in w.channel.history() if "accounts younger than" in m.content)
        await mod.click(alarm, custom_id=buttons(alarm)[0])
        sent = [r for r in w.env.http_requests if r.method != "GET"]

    assert late.response is not None
    kinds = {(r.method, re.sub(r"\d{6,}|simcord[\w.-]+", "…", r.path)) for r in sent}
    assert len(kinds) >= 5, kinds
    assert description.problems_of(sent) == {}


@pytest.mark.stalls("the description is read and applied in the test itself")
async def test_so_does_every_request_about_an_arena(tmp_path: Path) -> None:
    description = Description()
    async with arena(tmp_path) as (w, a):
        await w.any_pace()
        await a.start("a *fox*", "an owl", votes=2)
        post = await a.posted(1)
        await a.prefer(w.alice, post, Choice.LEFT)
        await a.order("status")
        panel = seen(await w.bob.slash(w.channel, "rate"))
        for label in ("Right", "Change my last answer", "Report"):
            await w.bob.click(panel, label=label)

        form = await a.moderator.context_menu(w.channel, "Remove from dataset", post)
        left, _right = post.attachments
        removed = {"what": [left.filename.removesuffix(".png")], "why": "a test"}
        await a.moderator.submit_modal(form, removed)
        await a.order("stop")
        await a.result()
        for what in ("promote", "back"):
            options = {"name": MODELS[1]} if what == "promote" else {}
            await a.moderator.slash(w.channel, f"oxherd model {what}", **options)

        sent = [r for r in w.env.http_requests if r.method != "GET"]

    assert description.problems_of(sent) == {}


def test_the_check_can_fail() -> None:
    found = Description().problems(
        "POST", "/channels/1/messages", {"content": "x" * 5000, "components": "no list"}
    )

    assert found
