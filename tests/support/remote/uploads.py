"""What a request uploads, as one hash that does not depend on how it was packed."""

import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Iterator

_GZIP = b"\x1f\x8b"


def uploaded(body: bytes, *, content_type: str) -> str | None:
    """The SHA-256 of the names and contents of all files in the body; None without a body.

    Oxen packs files in any order, with a boundary and with times that are new in each request.
    """
    if not body:
        return None

    whole = hashlib.sha256()
    for name, content in sorted(_files(body, content_type)):
        whole.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())

    return whole.hexdigest()


def _files(body: bytes, content_type: str) -> Iterator[tuple[str, bytes]]:
    if boundary := re.search(r"boundary=(\S+)", content_type):
        for part in body.split(b"--" + boundary[1].encode())[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            name = re.search(rb'filename="([^"]*)"', head)
            yield "" if name is None else name[1].decode(), _plain(content.removesuffix(b"\r\n"))

        return

    content = _plain(body)
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                file = archive.extractfile(member)
                yield member.name, b"" if file is None else file.read()
    except tarfile.ReadError:
        yield "", content


def _plain(content: bytes) -> bytes:
    return gzip.decompress(content) if content.startswith(_GZIP) else content
