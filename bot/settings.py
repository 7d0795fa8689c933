"""Everything an operator can change. The only reader of the environment.

A setting ``max_waiting`` is the variable ``OXHERD_MAX_WAITING``, from the process's environment or,
failing that, from ``.env`` in the working directory.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from dotenv.parser import parse_stream
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    SecretStr,
    ValidationError,
    model_validator,
)

from bot.offered_models import OfferedModel, offered_models
from generation.request import Size
from generation.worker.specs import Attention
from storage.remote.settings import RemoteSettings

PREFIX = "OXHERD_"

TOKENS = ("OXHERD_TOKEN", "OXHERD_REMOTE_TOKEN")

# What stands in these is not repeated in an error: a URL may have a password in it.
_NOT_SHOWN = (*TOKENS, "OXHERD_REMOTE")

_DEVICE = re.compile(r"auto|(cpu|cuda|mps|xpu)(:[0-9]+)?")

_ADDRESS = re.compile(r"([\w.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}")

# Pydantic's sentences for these are about its own parser.
_PROBLEMS = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
}

# Three dot-separated parts of base64url; the first is the application's id.
TOKEN_SHAPE = re.compile(r"[\w-]{20,}\.[\w-]{6,}\.[\w-]{20,}")


class SettingsError(Exception):
    """The settings cannot be used; the message says which and what to do."""


def _split(text: str) -> tuple[str, ...]:
    """``"a, b"`` as ``("a", "b")``."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _names(value: object) -> object:
    return _split(value) if isinstance(value, str) else value


def _entries(value: object) -> object:
    """``"a; b"`` as ``("a", "b")``; anything else as it is."""
    if not isinstance(value, str):
        return value

    return tuple(part.strip() for part in value.split(";") if part.strip())


def _sizes(value: object) -> object:
    """``"512x512, 64x128"`` as sizes; anything else as it is."""
    return tuple(map(Size.parse, _split(value))) if isinstance(value, str) else value


def _size(size: Size) -> Size:
    if any(side % 8 or not 64 <= side <= 1536 for side in (size.width_px, size.height_px)):
        # Four larger PNG files may exceed the 25 MiB that Discord takes in a request.
        raise ValueError(f"'{size}': each side must be a multiple of 8 between 64 and 1536 pixels")

    return size


def _remote(text: str) -> str:
    """Checked where it is set; the token has a setting of its own and is not part of it."""
    return RemoteSettings.at(text, branch="main", token="", create=False).url


def _address(text: str) -> str:
    """`host:port`; an IPv6 address is in brackets."""
    if not _ADDRESS.fullmatch(text):
        raise ValueError("must be an address like 10.0.0.1:6379, that of the cluster's head")

    return text


def _by_name(value: object) -> object:
    """``"a:1, b:0.5"`` as values by name; anything else as it is."""
    if not isinstance(value, str):
        return value

    parts = [part.rpartition(":") for part in _split(value)]
    if not all(name for name, _, _ in parts):
        raise ValueError("must be names with values, like one:1,other:0.5")

    return {name.strip(): text.strip() for name, _, text in parts}


def _known_devices(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not _DEVICE.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a device. Write auto, cpu, mps, cuda, or cuda:0 for one GPU"
            )

    return names


Guilds = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_names), Field(max_length=2_500)
]
Names = Annotated[tuple[str, ...], BeforeValidator(_names), Field(min_length=1)]
Models = Annotated[tuple[str, ...], BeforeValidator(_names), Field(max_length=24)]
Sizes = Annotated[
    tuple[Annotated[Size, AfterValidator(_size)], ...],
    BeforeValidator(_sizes),
    Field(min_length=1, max_length=25),
]


class Settings(BaseModel):
    """The program's settings: read once, then passed on. docs/settings.md is made from this."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    token: SecretStr | None = Field(None, description="Discord bot token; `run` needs it")
    data: Path = Field(Path("oxherd-data"), description="folder of journal, dataset and logs")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="lowest level that is written to the log on standard error"
    )
    log_lines: Literal["text", "json"] = Field(
        "text", description="the log's lines: for people, or one JSON object each"
    )
    metrics_port: int | None = Field(
        None, ge=1, le=65_535, description="port of `/metrics` for Prometheus; none unless set"
    )
    metrics_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="address that `/metrics` listens on; there is no password",
    )

    backend: Literal["diffusers", "placeholder"] = Field(
        "diffusers", description="what makes the images; `placeholder` draws them without a model"
    )
    model: str = Field(
        "CompVis/stable-diffusion-v1-4",
        min_length=1,
        description="text-to-image model: a name on the model hub, or a folder",
    )
    revision: str | None = Field(None, description="the model's revision: branch, tag or commit")
    more_models: Models = Field(
        (),
        description="more models for members to choose from: names, with `@revision` if it should "
        "not be the newest, or folders, also those of `oxherd tune`",
    )
    loras: Annotated[tuple[str, ...], BeforeValidator(_entries)] = Field(
        (),
        description="LoRAs for members to choose as models, separated by `;`: `name=… "
        "lora=NAME@COMMIT few=lcm`; see [operating](operating.md#loras)",
    )
    allow_pickles: bool = Field(
        False,
        description="load weights that are pickles, which can run code: only for models you trust",
    )
    devices: Annotated[Names, AfterValidator(_known_devices)] = Field(
        ("auto",),
        description="devices, with one worker each: `auto`, `cpu`, `cuda:0,cuda:1`, `mps`; with "
        "`OXHERD_RAY` set, none unless this is set too",
    )
    ray: Annotated[str, AfterValidator(_address)] | None = Field(
        None,
        description="head of a Ray cluster whose hosts have workers too, `host:port`; needs the "
        "extra `ray`",
    )
    ray_workers: int = Field(
        1,
        ge=1,
        le=512,
        description="workers on the cluster: as many as it will ever have room for; those without "
        "room wait for it",
    )
    ray_gpus: float = Field(
        1, ge=0, le=64, description="GPUs that Ray reserves for each of these workers"
    )
    ray_resources: Annotated[Mapping[str, PositiveFloat], BeforeValidator(_by_name)] = Field(
        {},
        description="custom resources that Ray reserves for each of these workers: "
        "`oxherd:1,fast:0.5`",
    )
    ray_folder: PurePosixPath = Field(
        PurePosixPath("~/.cache/oxherd"),
        description="folder on each host of the cluster for what is compiled and learnt of models",
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto",
        description="the weights' number format; `auto` is the family's on CUDA, else float32",
    )
    offload: bool = Field(
        False, description="keep idle parts of the model in main memory, for small GPUs; slower"
    )
    preview: Literal["auto", "always", "never"] = Field(
        "auto",
        description="small previews of slow requests: `auto` (unless images may be withheld in the "
        "end), `always`, `never`",
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto",
        description="serve a compiled version of the model once it is made; `auto` is on for "
        "NVIDIA GPUs since Ampere",
    )
    attention: Attention = Field(
        "native",
        description="kernels that compute attention, by diffusers' name, for families that let "
        "them be chosen: `native` (torch chooses), `_native_cudnn`, `_native_efficient`, "
        "`_native_flash`, `_native_math`, or, if its package is installed, `flash`, `_flash_3`, "
        "`sage`, `xformers`; see [models](models.md#faster-by-a-setting)",
    )
    step_cache: Annotated[Mapping[str, PositiveFloat], BeforeValidator(_by_name)] = Field(
        {},
        description="models, by the names that members choose, whose steps are skipped while they "
        "change less than this share: `FLUX.1-dev:0.1`; see "
        "[models](models.md#faster-by-a-setting)",
    )
    quantize: Annotated[Mapping[str, Literal["int8", "float8"]], BeforeValidator(_by_name)] = Field(
        {},
        description="models, by the names that members choose, whose weights are rounded to 8 "
        "bits: `FLUX.1-dev:int8`, or `float8`; needs the extra `quantized`; see "
        "[models](models.md#faster-by-a-setting)",
    )
    placeholder_step_seconds: float = Field(
        0.1, ge=0, le=10, description="how long the placeholder pretends each step takes, seconds"
    )

    guilds: Guilds = Field(
        (),
        description="ids of the Discord servers that are served; unless set, the one that the bot "
        "joined first",
    )
    blocked_words: Path | None = Field(
        None, description="file of words and phrases that prompts may not have, one per line"
    )
    safety_model: str | None = Field(
        None,
        min_length=1,
        description="image classifier that checks every image before it is shown: `open_nsfw` "
        "(extra `safety`), a name on the model hub, or a folder; none unless set",
    )
    safety_revision: str | None = Field(
        None, description="the classifier's revision: branch, tag or commit"
    )
    safety_labels: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        (), description="the classifier's unsafe labels, if their names do not say so"
    )
    safety_threshold: float = Field(
        0.5, gt=0, le=1, description="an image that scores this much or more is withheld"
    )
    safety_doubtful: float | None = Field(
        None,
        gt=0,
        le=1,
        description="an image that scores this much or more, and is not withheld, is doubtful and "
        "posted as a spoiler; none unless set",
    )
    doubtful_images: Literal["spoiler", "age_restricted"] = Field(
        "spoiler",
        description="where doubtful images are posted: `spoiler`, everywhere; `age_restricted`, "
        "only in channels that Discord restricts by age, and withheld elsewhere",
    )

    max_prompt_chars: int = Field(500, ge=1, le=1500, description="longest prompt, characters")
    default_steps: int | None = Field(
        None,
        ge=1,
        description="denoising steps unless the member chooses; unless set, those that the model "
        "was made for",
    )
    max_steps: int = Field(100, ge=1, le=1000, description="most denoising steps")
    default_guidance: float | None = Field(
        None,
        ge=0,
        description="guidance scale unless the member chooses; unless set, that of the model",
    )
    max_guidance: float = Field(20.0, ge=0, le=100, description="highest guidance scale")
    vary_strength: float = Field(
        0.6,
        gt=0,
        le=1,
        description="how far variations are from their image, from near 0 (the same) to 1 "
        "(nothing of it)",
    )
    sizes: Sizes = Field(
        (Size(512, 512), Size(512, 768), Size(768, 512)),
        description="sizes that members may choose, width x height in pixels; the first is default",
    )

    max_waiting: int = Field(
        24,
        ge=1,
        description="requests that may wait for a worker; servers in `OXHERD_GUILDS` share equally",
    )
    max_waiting_per_person: int = Field(
        3,
        ge=1,
        description="requests of one member that may wait; one, once half of the places are taken",
    )
    max_requests_per_minute: int = Field(
        10, ge=1, description="requests of one member in a minute, also those that were cancelled"
    )
    max_running_per_person: int = Field(
        1, ge=1, description="requests of one member that may run at once"
    )
    deadline_s: float = Field(600, gt=0, description="longest a request may run, seconds")
    silence_s: float = Field(
        120, gt=0, description="a worker that is silent for longer is replaced, seconds"
    )

    keep_unvoted_days: float = Field(
        30,
        gt=0,
        le=36_500,
        description="days after which images without votes leave the disk",
    )
    keep_requests_days: float | None = Field(
        None,
        gt=0,
        le=36_500,
        description="days after which requests without votes, with prompts, leave the journal and "
        "the dataset; never unless set",
    )
    keep_closed_days: float | None = Field(
        None,
        gt=0,
        le=36_500,
        description="days after which cancelled and failed requests leave the journal; never "
        "unless set",
    )
    raters: int = Field(
        3,
        ge=1,
        le=1_000,
        description="votes that `/rate` gets for each image, from different members; up to three "
        "times as many where the label is not certain",
    )
    gold_share: float = Field(
        0.1, ge=0, le=0.5, description="share of gold images among those that `/rate` shows"
    )
    repeat_share: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="share of images that `/rate` shows a rater again, to learn whether they agree "
        "with themselves",
    )
    shutdown_grace_s: float = Field(
        30, ge=0, description="time a running request gets when the bot is told to stop, seconds"
    )
    flush_s: float = Field(
        20, ge=0, description="time the last votes get to be committed on a stop, seconds"
    )
    commit_every_s: float = Field(
        0,
        ge=0,
        le=86_400,
        description="votes rest this long, so that several share a commit, which saves disk; "
        "0: each is committed at once, seconds",
    )
    commit_timeout_s: float = Field(
        60, gt=0, description="a commit that takes longer is ended and tried again, seconds"
    )
    voter_ids: Literal["discord", "pseudonym"] = Field(
        "discord",
        description="what the dataset says of who voted: Discord's id, or a random number that "
        "only the journal can lead back to it",
    )
    remote: Annotated[str, AfterValidator(_remote)] | None = Field(
        None,
        description="repository on an Oxen server that votes are pushed to: "
        "`https://host/namespace/name`",
    )
    remote_branch: Annotated[str, AfterValidator(RemoteSettings.branch_named)] = Field(
        "main", description="the branch on the server that belongs to the bot"
    )
    remote_token: SecretStr | None = Field(None, description="the Oxen server's access token")
    remote_create: bool = Field(
        True, description="create the repository (private) if it does not exist"
    )
    push_timeout_s: float = Field(
        600,
        gt=0,
        description="a push is ended and tried again after this time in which nothing moved on its "
        "line, seconds",
    )
    remote_alarm_s: float = Field(
        900,
        gt=0,
        description="age of the oldest unpushed commit from which the health check fails and the "
        "moderators are told, seconds",
    )
    moderators_channel: int | None = Field(
        None,
        ge=1,
        description="id of the operator's channel: votes that do not reach the remote, and what "
        "concerns a server that has chosen no channel with `/oxherd channel`",
    )
    alarm_new_accounts: int = Field(
        10,
        ge=2,
        description="so many new accounts that vote on one image, or on one member's images, "
        "within ten minutes are an alarm",
    )
    alarm_agreeing: int = Field(
        30, ge=2, description="the same of accounts of any age that rate alike"
    )
    alarm_new_days: int = Field(30, ge=1, description="how old a new account is at most, days")
    min_free_mb: int = Field(500, ge=0, description="`doctor` and `status` warn below this, MB")

    commit_name: str = Field("oxherd", min_length=1, description="author of the commits: name")
    commit_email: str = Field(
        "oxherd@localhost", min_length=3, description="author of the commits: e-mail address"
    )
    dataset_licence: str = Field(
        "not stated", min_length=1, description="the dataset's licence, written into its card"
    )

    @model_validator(mode="after")
    def _defaults_within_limits(self) -> Self:
        if self.default_steps is not None and self.default_steps > self.max_steps:
            raise ValueError(
                f"OXHERD_DEFAULT_STEPS is {self.default_steps}, above OXHERD_MAX_STEPS, "
                f"{self.max_steps}"
            )

        if self.default_guidance is not None and self.default_guidance > self.max_guidance:
            raise ValueError(
                f"OXHERD_DEFAULT_GUIDANCE is {self.default_guidance:g}, above "
                f"OXHERD_MAX_GUIDANCE, {self.max_guidance:g}"
            )

        return self

    @model_validator(mode="after")
    def _token_only_where_it_is_encrypted(self) -> Self:
        if self.remote is not None and self.remote_token is not None:
            token = self.remote_token.get_secret_value()
            try:
                RemoteSettings.at(self.remote, branch="main", token=token, create=False)
            except ValueError as exc:
                raise ValueError(f"OXHERD_REMOTE: {exc}") from exc

        return self

    @model_validator(mode="after")
    def _models_told_apart(self) -> Self:
        self.offered_models  # noqa: B018 - asked for its error

        return self

    @property
    def offered_models(self) -> tuple[OfferedModel, ...]:
        """The default model, and those that members may choose beside it."""
        drawn = self.backend == "placeholder" and "model" not in self.model_fields_set
        default = "placeholder" if drawn else self.model

        return offered_models(default, self.revision, self.more_models, self.loras)

    @model_validator(mode="after")
    def _faster_models_are_offered(self) -> Self:
        names = [offered.name for offered in self.offered_models]
        for setting, chosen in (("STEP_CACHE", self.step_cache), ("QUANTIZE", self.quantize)):
            for name in chosen:
                if name not in names:
                    raise ValueError(
                        f"{PREFIX}{setting} names {name!r}, and the models that members choose are "
                        f"{', '.join(names)}"
                    )

        for name, threshold in self.step_cache.items():
            if threshold > 1:
                raise ValueError(f"OXHERD_STEP_CACHE: {name} has {threshold:g}; up to 1 is allowed")

        return self

    @model_validator(mode="after")
    def _safety_only_with_a_classifier(self) -> Self:
        """Whoever sets a threshold believes that something is looked at."""
        for name in ("safety_revision", "safety_labels", "safety_threshold", "safety_doubtful"):
            if name in self.model_fields_set and self.safety_model is None:
                raise ValueError(
                    f"{PREFIX}{name.upper()} is set, and OXHERD_SAFETY_MODEL is not: nothing would "
                    "look at the images"
                )

        if self.safety_doubtful is not None and self.safety_doubtful >= self.safety_threshold:
            raise ValueError(
                f"OXHERD_SAFETY_DOUBTFUL is {self.safety_doubtful:g}, which must be below "
                f"OXHERD_SAFETY_THRESHOLD, {self.safety_threshold:g}: from there on, images are "
                "withheld"
            )

        if "doubtful_images" in self.model_fields_set and self.safety_doubtful is None:
            raise ValueError(
                "OXHERD_DOUBTFUL_IMAGES is set, and OXHERD_SAFETY_DOUBTFUL is not: no image would "
                "be doubtful"
            )

        return self

    @property
    def local_devices(self) -> tuple[str, ...]:
        """The devices of this host that have workers."""
        elsewhere = self.ray is not None and "devices" not in self.model_fields_set

        return () if elsewhere else self.devices

    @model_validator(mode="after")
    def _ray_settings_only_with_a_cluster(self) -> Self:
        for name in ("ray_workers", "ray_gpus", "ray_resources", "ray_folder"):
            if name in self.model_fields_set and self.ray is None:
                raise ValueError(
                    f"{PREFIX}{name.upper()} is set, and OXHERD_RAY is not: no worker would be on "
                    "a cluster"
                )

        return self

    @property
    def usable_token(self) -> str:
        """The token. Raises SettingsError when there is none, or it cannot be one."""
        if self.token is None:
            raise SettingsError(
                "OXHERD_TOKEN is not set. Copy the bot's token from the Discord developer portal "
                "(your application, Bot, Reset Token) into the environment or .env."
            )

        token = self.token.get_secret_value().strip()
        if not TOKEN_SHAPE.fullmatch(token):
            raise SettingsError(
                "OXHERD_TOKEN does not have a bot token's shape: three parts joined by dots. "
                "The client secret and the public key are other things; copy the token from the "
                "developer portal (your application, Bot, Reset Token)."
            )

        return token


def load(environment: Mapping[str, str], env_file: Path) -> Settings:
    """Read the settings; the environment wins over the file, which may be absent.

    Raises SettingsError naming the variable, and the nearest known one where it is unknown.
    """
    values = {**dict(_from_file(env_file)), **environment}
    given = {name: text for name, text in values.items() if name.upper().startswith(PREFIX)}
    known = {PREFIX + field.upper(): field for field in Settings.model_fields}

    for name in given:
        if name not in known:
            raise SettingsError(_unknown(name, list(known)))

    try:
        # An empty variable is how a compose file says "not set".
        return Settings.model_validate({known[n]: text for n, text in given.items() if text != ""})
    except ValidationError as exc:
        raise SettingsError(_sentence(exc, given)) from exc


def _from_file(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8-sig") as stream:  # Windows editors begin it with a mark
            bindings = list(parse_stream(stream))
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"{path} cannot be read: {reason}.") from exc

    for binding in bindings:
        if binding.error:
            raise SettingsError(
                f"{path}, line {binding.original.line}: not of the form NAME=value."
            )

        if binding.key is not None:
            yield binding.key, binding.value or ""


def _unknown(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""

    return f"{name} is not a setting of oxherd.{hint}"


def _sentence(error: ValidationError, given: Mapping[str, str]) -> str:
    first: Any = error.errors(include_url=False)[0]
    if not first["loc"]:
        return f"{first['ctx']['error']}."

    name = PREFIX + str(first["loc"][0]).upper()
    problem = _PROBLEMS.get(first["type"]) or str(first["msg"]).removeprefix("Value error, ")
    shown = "" if name in _NOT_SHOWN else f" (it is {given[name]!r})"

    return f"{name}: {problem[0].lower()}{problem[1:]}{shown}."
