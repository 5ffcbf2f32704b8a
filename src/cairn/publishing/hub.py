"""Pushing a gallery to a folder or to a hub's repository, and pulling one from there.

``hf://owner/name`` is a model repository of the Hugging Face hub, ``hf://owner/name@revision`` a
branch, tag or commit of it. The library ``huggingface_hub`` speaks to it: it sends only what the
repository lacks, goes on where a download stopped, and takes the token from ``HF_TOKEN`` or from
``hf auth login``, and another hub's address from ``HF_ENDPOINT``.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cairn.errors import CairnError
from cairn.progress import say
from cairn.publishing.package import Package, pack, unpack

_ADDRESS = re.compile(r"hf:/{1,2}([^/@]+/[^/@]+?)(?:@([^@]+?))?/*")  # a Path makes hf:/ of hf://

_TRANSPORTS = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3")
"""Libraries that the hub's releases have spoken HTTP through."""


@dataclass(frozen=True)
class Repository:
    """A model repository on a hub.

    Args:
        name: ``owner/name``.
        revision: A branch, tag or commit; None for the default branch.
    """

    name: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"hf://{self.name}" + (f"@{self.revision}" if self.revision else "")

    @classmethod
    def of(cls, address: Path | str) -> Repository | None:
        """Return the repository that an address names; None where it is a folder's.

        Raises:
            CairnError: It begins with ``hf:`` and names none.
        """
        text = str(address)
        if not text.startswith("hf:"):
            return None
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise CairnError(
                "not an address of a repository",
                where=text,
                todo="write hf://owner/name, or hf://owner/name@revision",
            )
        return cls(found[1], found[2])


def push(
    location: Path | str,
    destination: Path | str,
    *,
    version: int | str | None = None,
    title: str = "",
    license: str = "",
    private: bool = True,
    message: str = "",
) -> tuple[Package, str]:
    """Publish a version of a gallery; return what it is, and where it is now.

    Args:
        location: The gallery: a folder, or ``s3://bucket/prefix``.
        destination: A new folder, or ``hf://owner/name``, which is made where it is not there;
            files that it has and the gallery has not are deleted in the same commit.
        version: Number or tag; the newest by default.
        title: See ``pack``, as for ``license``.
        license: See ``title``.
        private: Whether a repository that is made now can be seen by its owner alone.
        message: Of the commit; by default what is published.

    Raises:
        CairnError: As ``pack``; or the hub cannot be reached, or refuses.
    """
    repository = Repository.of(destination)
    if repository is None:
        package = pack(location, Path(destination), version=version, title=title, license=license)
        return package, str(destination)
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory(prefix="cairn-push-") as scratch:
        folder = Path(scratch) / "package"
        title = title or repository.name.partition("/")[2]
        package = pack(location, folder, version=version, title=title, license=license)
        with _reached(repository):
            api = HfApi()
            api.create_repo(repository.name, private=private, exist_ok=True)
            if repository.revision:
                api.create_branch(repository.name, branch=repository.revision, exist_ok=True)
            say(f"uploading {package.num_bytes / 1e6:,.1f} MB to {repository}")
            api.upload_folder(
                repo_id=repository.name,
                folder_path=folder,
                revision=repository.revision,
                commit_message=message
                or f"Gallery of {package.num_images} images of {package.num_landmarks} landmarks",
                delete_patterns=["*"],
            )
    return package, str(repository)


def pull(source: Path | str, out: Path) -> Package:
    """Make a gallery of a published one, after checking every file; return what it is.

    Args:
        source: A published folder, or ``hf://owner/name[@revision]``. An interrupted download goes
            on in the next call.
        out: The new gallery.

    Raises:
        CairnError: There is none, the hub cannot be reached or refuses, or as ``unpack``.
    """
    repository = Repository.of(source)
    if repository is None:
        return unpack(Path(source), Path(out))
    from huggingface_hub import snapshot_download

    from cairn.runs import require_absent

    require_absent(Path(out))  # before any download
    with _reached(repository):
        folder = snapshot_download(repository.name, revision=repository.revision)
    return unpack(Path(folder), Path(out))


@contextmanager
def _reached(repository: Repository) -> Iterator[None]:
    """Say in words what the hub's library says with an exception."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise CairnError(
            "this repository is gated",
            where=repository,
            todo="ask for access on its page, then log in: hf auth login",
        ) from None
    except errors.RevisionNotFoundError:
        raise CairnError("the repository has no such revision", where=repository) from None
    except errors.RepositoryNotFoundError:
        raise CairnError(
            "there is no such repository, or not for you to see",
            where=repository,
            todo="check the name; for a private one log in (hf auth login) or set HF_TOKEN",
        ) from None
    except errors.HFValidationError as error:
        raise CairnError(f"the hub takes no such name: {error}", where=repository) from None
    except errors.LocalEntryNotFoundError as error:
        raise _unreachable(repository, error) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise CairnError(
                "the hub refuses: this account or token may not do that",
                where=repository,
                todo="log in (hf auth login) or set HF_TOKEN to a token that may write",
            ) from None
        raise CairnError(
            f"the hub answered {status}: {str(error).splitlines()[0]}",
            where=repository,
            todo="give the command again; what is there already is not sent twice",
        ) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _TRANSPORTS:
            raise
        raise _unreachable(repository, error) from None


def _unreachable(repository: Repository, error: Exception) -> CairnError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return CairnError(
        f"the hub cannot be reached: {reason}",
        where=repository,
        todo="check the connection and HF_ENDPOINT, then give the command again; it goes on",
    )
