"""Which repository on an Oxen server the dataset is pushed to."""

import re
from dataclasses import dataclass, field
from typing import Self

# A name that begins with a letter is no `..`, and no option of a command.
_URL = re.compile(
    r"(https?)://((?:[\w.-]+|\[[0-9a-f:.]+\])(?::[0-9]+)?)/(\w[\w.-]*)/(\w[\w.-]*)/?", re.ASCII
)
_BRANCH = re.compile(r"\w[\w.-]*", re.ASCII)
_THIS_HOST = re.compile(r"(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSettings:
    """A repository on an Oxen server, and the branch that the bot pushes to.

    create: whether to make the repository, private, when it does not exist. The token is not in the
    `repr`.
    """

    scheme: str
    host: str
    namespace: str
    name: str
    branch: str = "main"
    token: str = field(default="", repr=False)
    create: bool = True

    @classmethod
    def at(cls, url: str, *, branch: str, token: str, create: bool) -> Self:
        """From `https://host/namespace/name`. Raises ValueError for anything else, and for a
        token that would be sent unencrypted."""
        match = _URL.fullmatch(url)
        if match is None:
            raise ValueError("it must look like https://hub.example.org/namespace/name")

        scheme, host, namespace, name = match.groups()
        if token and scheme == "http" and not _THIS_HOST.fullmatch(host):
            raise ValueError(
                "the token would be sent unencrypted: use https://, or an encrypted tunnel to a "
                "port of this host"
            )

        return cls(
            scheme=scheme,
            host=host,
            namespace=namespace,
            name=name,
            branch=branch,
            token=token,
            create=create,
        )

    @staticmethod
    def branch_named(name: str) -> str:
        """The name, if a branch can have it. Raises ValueError."""
        if not _BRANCH.fullmatch(name) or ".." in name or name.endswith((".", ".lock")):
            raise ValueError("a branch's name has letters, digits, single dots, - and _")

        return name

    @property
    def url(self) -> str:
        """As it was set."""
        return f"{self.scheme}://{self.host}/{self.namespace}/{self.name}"
