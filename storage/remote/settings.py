"""Which repository on an Oxen server the dataset is pushed to."""

import re
from dataclasses import dataclass, field
from typing import Self

_URL = re.compile(r"(https?)://([^/@\s]+)/([\w.-]+)/([\w.-]+)/?")


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
        """From `https://host/namespace/name`. Raises ValueError for anything else."""
        match = _URL.fullmatch(url)
        if match is None:
            raise ValueError("it must look like https://hub.example.org/namespace/name")

        scheme, host, namespace, name = match.groups()

        return cls(
            scheme=scheme,
            host=host,
            namespace=namespace,
            name=name,
            branch=branch,
            token=token,
            create=create,
        )

    @property
    def url(self) -> str:
        """As it was set."""
        return f"{self.scheme}://{self.host}/{self.namespace}/{self.name}"
