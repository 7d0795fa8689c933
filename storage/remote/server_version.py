"""Which Oxen server it is, as far as that matters to operators."""

import json
import re
import urllib.request

from storage.remote.settings import RemoteSettings

_HUB = "hub.oxen.ai"
_NO_TOKENS_SINCE = (0, 59)  # read in its source: 0.58.1 still checks them
_ANSWERS_WITHIN_S = 5.0


def about_server(settings: RemoteSettings) -> str:
    """What to know about the server, as a phrase; empty if it does not say its version."""
    if settings.host == _HUB:
        return f"{_HUB} is not tested with oxherd, and its plans have limits"

    version = _version(settings)
    if version is None:
        return ""

    phrase = f"oxen-server {version}"
    if checks_no_token(version):
        phrase += ", which checks no token: whoever reaches it can read and write"

    return phrase


def checks_no_token(version: str) -> bool:
    """Whether an oxen-server of this version serves everybody, whatever its options."""
    return tuple(map(int, version.split(".")[:2])) >= _NO_TOKENS_SINCE


def _version(settings: RemoteSettings) -> str | None:
    url = f"{settings.scheme}://{settings.host}/api/version"
    try:
        with urllib.request.urlopen(url, timeout=_ANSWERS_WITHIN_S) as answer:
            found = str(json.load(answer)["oxen_version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

    return found if re.fullmatch(r"\d+\.\d+\.\d+[\w.+-]*", found) else None
