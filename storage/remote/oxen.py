"""The Oxen server, through Oxen's client. One of the files that use Oxen's client.

A push sends what the server does not have, and then moves the branch, which the server only does
when it has everything. So a push that is killed at any point leaves the branch as it was, and the
next one sends only the rest.
"""

import logging
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from storage.dataset.card import journal_of
from storage.dataset.layout import CARD
from storage.dataset.oxen import list_finely
from storage.dataset.planner import newest_change
from storage.errors import RemoteError
from storage.oxen_client import oxen
from storage.remote.branches import BranchCommit, dated_branches, goes_on
from storage.remote.oxen_errors import remote_errors, says_absent
from storage.remote.repository import COMMITS_AT_ONCE, Fetched
from storage.remote.server_version import about_server
from storage.remote.settings import RemoteSettings

log = logging.getLogger(__name__)

_REMOTE = "origin"
_TABLES = ("train", "generations")
_ARENA = "arena"


class OxenRemote:
    """A RemoteRepository."""

    def __init__(self, settings: RemoteSettings) -> None:
        self._settings = settings

    @classmethod
    def open(cls, settings: RemoteSettings, *, config_dir: Path) -> Self:
        """Give Oxen's client the token. Does not connect to the server."""
        config_dir.mkdir(parents=True, exist_ok=True)
        config_dir.chmod(0o700)
        os.environ["OXEN_CONFIG_DIR"] = str(config_dir)
        config = config_dir / "auth_config.toml"
        config.unlink(missing_ok=True)
        with remote_errors(settings, doing="writing its configuration"):
            if settings.token:
                before = os.umask(0o077)
                oxen.oxen_py.auth.config_auth(settings.host, settings.token, str(config))
                config.chmod(0o600)
                os.umask(before)

        return cls(settings)

    def push(self, path: Path, *, branch: str, commits_at_once: int = COMMITS_AT_ONCE) -> None:
        os.environ["OXEN_NUM_THREADS"] = str(commits_at_once)  # Oxen reads it in each push
        with remote_errors(self._settings, doing="pushing", branch=branch):
            repo = oxen.Repo(str(path))
            if not repo.branch_exists(branch):
                repo.checkout(branch, create=True)

            try:
                repo.set_remote(_REMOTE, self._settings.url)  # asks the server for the repository
            except ValueError as exc:
                if not says_absent(exc):
                    raise

                self._create()
                repo.set_remote(_REMOTE, self._settings.url)

            repo.push(_REMOTE, branch)

    def has_branch(self, branch: str) -> bool:
        with remote_errors(self._settings, doing="looking for a branch"):
            return bool(self._remote().branch_exists(branch))

    def delete_branch(self, branch: str) -> None:
        with remote_errors(self._settings, doing="deleting a branch", branch=branch):
            remote = self._remote()
            if remote.branch_exists(branch):
                remote.delete_branch(branch)

    def describe(self, branch: str) -> str:
        found = self._branch_found(branch)
        about = about_server(self._settings)

        return f"{found}; {about}" if about else found

    def _branch_found(self, branch: str) -> str:
        with remote_errors(self._settings, doing="looking at the repository"):
            remote = self._remote()
            if not remote.exists():
                if not self._settings.create:
                    raise RemoteError.absent(self._settings.url)

                return "answers; the first push makes the repository, private"

            if not remote.branch_exists(branch):
                return f"answers; the first push makes the branch {branch}"

            return f"answers; the branch {branch} is at {remote.get_branch(branch).commit_id[:12]}"

    def fetch(self, path: Path, *, branch: str) -> Fetched | None:
        with remote_errors(self._settings, doing="fetching"):
            remote = self._remote()
            found = self._newest(remote, branch, scratch=path) if remote.exists() else None
            if found is None:
                return None

            history = self._fetch_history(path, branch=found)
            newest = history[0].id
            # Most datasets have no votes in arenas; each question is a request.
            has_arenas = any(_ARENA in commit.message for commit in history)
            for name in (CARD, *_TABLES, *([_ARENA] if has_arenas else [])):
                if remote.file_exists(name, newest):
                    remote.download(name, str(path), revision=newest)

            card = path / CARD
            if not card.exists() or journal_of(card.read_text(encoding="utf-8")) is None:
                log.warning("oxherd did not make the branch %s of %s", found, self._settings.url)
                return None

        return Fetched(
            branch=found,
            commit_id=newest,
            commits=len(history),
            newest_seq=newest_change(commit.message for commit in history),
        )

    def _remote(self) -> Any:
        """Oxen's object for the repository. Making it sends a request."""
        here = self._settings

        return oxen.RemoteRepo(f"{here.namespace}/{here.name}", here.host, scheme=here.scheme)

    def _newest(self, remote: Any, branch: str, *, scratch: Path) -> str | None:
        """The branch that continues the dataset; None if there is none."""
        heads: dict[str, str] = {found.name: found.commit_id for found in remote.branches()}
        dated = dated_branches(heads, branch=branch)
        if not dated:
            return branch if branch in heads else None

        # A new folder for each: Oxen caches what it knows of a path for as long as it runs.
        with TemporaryDirectory(prefix=f"{scratch.name}.", dir=scratch.parent) as folder:
            set_one = []
            if branch in heads:
                set_one = self._fetch_history(Path(folder) / "set", branch=branch)

            known = {commit.id for commit in set_one}
            for number, name in enumerate(dated):
                if heads[name] in known:
                    continue

                history = self._fetch_history(Path(folder) / str(number), branch=name)
                if goes_on(history, branch=set_one):
                    return name

                log.warning("the branch %s is not oxherd's and is not continued", name)

        return branch if branch in heads else None

    def _fetch_history(self, path: Path, *, branch: str) -> list[BranchCommit]:
        """Fetch the whole history and tree, which are small; the commits, newest first.

        A repository that Oxen cloned in part (with `filters`) loses the rest at its next commit
        (0.65.1). One that was pulled in `remote_mode` has the whole tree and no files; afterwards
        the mode is turned off, and it is an ordinary repository.
        """
        path.mkdir(parents=True)
        repo = oxen.Repo(str(path))
        repo.init()
        list_finely(path)
        config = path / ".oxen" / "config.toml"
        plain = config.read_text(encoding="utf-8")
        repo.set_remote(_REMOTE, self._settings.url)
        config.write_text(
            "remote_mode = true\n" + config.read_text(encoding="utf-8"), encoding="utf-8"
        )
        oxen.Repo(str(path)).pull(_REMOTE, branch)
        config.write_text(plain, encoding="utf-8")

        return [
            BranchCommit(
                id=commit.id,
                author=f"{commit.author} <{commit.email}>",
                message=commit.message,
            )
            for commit in oxen.Repo(str(path)).log()
        ]

    def _create(self) -> None:
        if not self._settings.create:
            raise RemoteError.absent(self._settings.url)

        self._remote().create(empty=True, is_public=False)
