"""Checks everything that `run` needs, and says how to fix what is missing."""

import asyncio
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence

import aiohttp
import discord

from bot.configuration import blocked_words, cluster, model_specs, remote, repository_settings
from bot.settings import Settings, SettingsError
from generation.cluster.doctor import check_cluster
from generation.worker.backend import Finding
from generation.worker.doctor import check_backend
from storage import offline
from storage.errors import JournalInUse, StorageError
from storage.plurals import count

REMOTE_ANSWERS_WITHIN_S = 20.0


def examine(settings: Settings) -> list[Finding]:
    """One finding a check. Nothing is changed, and nothing is made in a folder that is absent."""
    findings = [*_discord(settings)]
    folder = _folder(settings)
    findings.append(folder)
    if folder.ok and settings.data.is_dir():
        findings += [_privacy(settings), _disk(settings), *_storage(settings)]
        findings += _missing_images(settings)

    if settings.blocked_words is not None:
        findings.append(_blocked_words(settings))

    findings += _generation(settings)
    findings += [_remote(settings), _voter_ids(settings)]

    return findings


def _discord(settings: Settings) -> Iterator[Finding]:
    """The token, and the servers."""
    try:
        bot, guild_ids = asyncio.run(_login(settings.usable_token))
    except SettingsError as exc:
        yield Finding(subject="token", ok=False, detail=str(exc))
    except discord.LoginFailure:
        yield Finding(
            subject="token", ok=False, detail="Discord does not accept OXHERD_TOKEN; reset it"
        )
    except (aiohttp.ClientError, OSError, discord.HTTPException) as exc:
        detail = f"has a token's shape; Discord could not be asked whether it is valid: {exc}"
        yield Finding(subject="token", ok=True, detail=detail)
    else:
        yield Finding(subject="token", ok=True, detail=bot)
        yield _servers(settings, guild_ids)


def _servers(settings: Settings, guild_ids: Sequence[int]) -> Finding:
    absent = [str(guild_id) for guild_id in settings.guilds if guild_id not in guild_ids]
    if absent:
        return Finding(
            subject="servers",
            ok=False,
            detail=f"OXHERD_GUILDS names {', '.join(absent)}, where the bot is no member: invite "
            "it, or take them out.",
        )

    here = f"a member of {count(len(guild_ids), 'server')}"
    if settings.guilds:
        detail = f"{here}; serves the {len(settings.guilds)} of OXHERD_GUILDS"
    elif len(guild_ids) > 1:
        detail = (
            f"{here}, and serves only the one that it joined first: OXHERD_GUILDS is not set. The "
            f"ids are {', '.join(map(str, guild_ids))}"
        )
    else:
        detail = f"{here}; serves the one that it joined first"

    return Finding(subject="servers", ok=True, detail=detail)


async def _login(token: str) -> tuple[str, list[int]]:
    """Who the bot is on Discord and how to invite it, and the servers that it is a member of."""
    async with discord.Client(intents=discord.Intents.none()) as client:
        await client.login(token)
        assert client.application_id is not None
        link = discord.utils.oauth_url(
            client.application_id,
            permissions=discord.Permissions(
                view_channel=True,
                send_messages=True,
                attach_files=True,
                read_message_history=True,
            ),
            scopes=("bot", "applications.commands"),
        )

        servers = [server.id async for server in client.fetch_guilds(limit=None)]

        return f"Discord knows it as {client.user}; invite it with {link}", servers


def _folder(settings: Settings) -> Finding:
    nearest = next(
        path for path in (settings.data, *settings.data.resolve().parents) if path.exists()
    )
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as exc:
        return Finding(
            subject="data folder",
            ok=False,
            detail=f"{settings.data} cannot be written: {exc.strerror}. Choose a different "
            "folder with OXHERD_DATA, or let this user write there.",
        )

    made = "" if nearest == settings.data else " (made when the bot starts)"

    return Finding(subject="data folder", ok=True, detail=f"{settings.data.resolve()}{made}")


def _privacy(settings: Settings) -> Finding:
    folder = settings.data.resolve()
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        return Finding(
            subject="privacy",
            ok=False,
            detail=f"{folder} has mode {mode:o}, so other users of this host can read prompts and "
            f"voters' ids: chmod 700 {folder}",
        )

    return Finding(subject="privacy", ok=True, detail="only this user can open the data folder")


def _disk(settings: Settings) -> Finding:
    free_mb = shutil.disk_usage(settings.data).free // 10**6
    if free_mb < settings.min_free_mb:
        return Finding(
            subject="disk",
            ok=False,
            detail=f"{free_mb:,} MB free, less than OXHERD_MIN_FREE_MB, {settings.min_free_mb:,}: "
            "make room, or move OXHERD_DATA.",
        )

    return Finding(subject="disk", ok=True, detail=f"{free_mb:,} MB free")


def _storage(settings: Settings) -> Iterator[Finding]:
    """Journal and repository. A running bot holds both, which is fine."""
    data, repository = settings.data, repository_settings(settings)
    checks: dict[str, Callable[[], str]] = {
        "journal": lambda: offline.check_journal(data),
        "repository": lambda: offline.check_repository(data, repository),
    }
    for subject, check in checks.items():
        try:
            yield Finding(subject=subject, ok=True, detail=check())
        except JournalInUse:
            yield Finding(subject=subject, ok=True, detail="in use by the running bot")
        except StorageError as exc:
            yield Finding(subject=subject, ok=False, detail=str(exc))


def _missing_images(settings: Settings) -> Iterator[Finding]:
    try:
        missing = offline.check_images(settings.data)
    except StorageError:
        return  # the journal's own finding says why

    if missing.images:
        yield Finding(
            subject="images",
            ok=False,
            detail=f"{missing}. Put the files back, as {settings.data / 'spool'}/IMAGE_ID.png: "
            "the votes are then committed by themselves.",
        )


def _remote(settings: Settings) -> Finding:
    where = remote(settings, timeout_s=REMOTE_ANSWERS_WITHIN_S)
    if where is None:
        detail = f"none: commits stay in {settings.data / 'dataset'}"
        return Finding(subject="remote", ok=True, detail=detail)

    try:
        found = offline.check_remote(where)
    except StorageError as exc:
        return Finding(subject="remote", ok=False, detail=str(exc))

    return Finding(subject="remote", ok=True, detail=f"{where.settings.url} {found}")


def _voter_ids(settings: Settings) -> Finding:
    if settings.voter_ids == "pseudonym":
        detail = "the dataset has a random number for each voter; only the journal knows who it is"
    elif settings.remote is None:
        detail = "the dataset has the voters' Discord ids; OXHERD_VOTER_IDS=pseudonym hides them"
    else:
        detail = (
            f"the voters' Discord ids go to {settings.remote} with every vote, and its history "
            "keeps them. OXHERD_VOTER_IDS=pseudonym sends random numbers instead: set it before "
            "the first push"
        )

    return Finding(subject="voters", ok=True, detail=detail)


def _blocked_words(settings: Settings) -> Finding:
    try:
        words = blocked_words(settings)
    except SettingsError as exc:
        return Finding(subject="blocked words", ok=False, detail=str(exc))

    return Finding(
        subject="blocked words",
        ok=True,
        detail=f"{count(len(words), 'word')} in {settings.blocked_words}",
    )


def _generation(settings: Settings) -> Iterator[Finding]:
    """The default model on every device, the other models on the first, and the cluster."""
    models = model_specs(settings)
    default = next(iter(models))
    for number, device in enumerate(settings.local_devices):
        yield from check_backend({default: models[default]} if number else models, device=device)

    if (hosts := cluster(settings)) is not None:
        yield check_cluster(hosts)
