"""Model files on the Hugging Face Hub: `hf://owner/name` is taken everywhere a model file is.

    hf://owner/name                            the repository's only model file, as it is now
    hf://owner/name@v1                         of a tag, branch or commit
    hf://owner/name/hearts/heart.unpaired      one of several

What comes is a file from anybody: `model_file.unpack` opens it, which executes nothing, and its hashes must be right. A
commit's hash in the address says which bytes are meant; a name alone means whatever its owner puts there. The library
`huggingface-hub` (extra `hub`) does the talking: with its token, its endpoint ($HF_ENDPOINT) and its $HF_HUB_OFFLINE.
"""

import errno
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unpaired.choices import some_of
from unpaired.errors import InputError
from unpaired.files import OTHER_CACHE, input_error_if_unwritable, user_cache

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SCHEME = "hf:"
OF_A_DISK = {
    getattr(errno, name, None)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EACCES", "EPERM", "EROFS", "ENOTDIR", "EEXIST", "ENAMETOOLONG", "EIO")
} - {None}
"""What a disk answers and a network doesn't; not every system knows all."""
MODEL_SUFFIX = ".unpaired"
_NAME = r"[A-Za-z0-9][\w.-]*"
_ADDRESS = re.compile(
    rf"hf:/+(?P<repo>{_NAME}/{_NAME})(@(?P<revision>[^/@]+))?(/(?P<file>.+{re.escape(MODEL_SUFFIX)}))?"
)


@dataclass(frozen=True)
class HubAddress:
    """A model file on the Hub; without `file` the only one of its repository."""

    repo: str
    revision: str | None = None
    file: str | None = None

    @classmethod
    def parse(cls, path: str | Path) -> "HubAddress":
        """The address in "hf://owner/name@revision/file.unpaired". Raises InputError for another form."""
        text = _text(path)
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise InputError(f"expected hf://owner/name, hf://owner/name@revision/file{MODEL_SUFFIX}, got {text!r}")
        return cls(match["repo"], match["revision"], match["file"])

    def __str__(self) -> str:
        revision, file = f"@{self.revision}" if self.revision else "", f"/{self.file}" if self.file else ""
        return f"hf://{self.repo}{revision}{file}"


def is_hub_address(path: str | Path) -> bool:
    """Whether a path is an address on the Hub; a `Path` of it has lost a slash."""
    return _text(path).startswith(SCHEME)


def pull(address: str | Path) -> Path:
    """Fetch the model file at an address into the user's cache, unless its newest version is there; where it lies.

    Raises InputError for an address of another form, a repository or file that isn't there or can't be read, none or
    several model files where none is named, and where the library is missing.
    """
    asked = HubAddress.parse(address)
    api = hub_api()
    with hub_errors(asked):
        name = asked.file or _only_model(api, asked)
        cache, revision = user_cache("hub"), asked.revision
        with _disk_errors(cache):
            file = api.hf_hub_download(asked.repo, name, revision=revision, cache_dir=cache)  # pyright: ignore[reportUnknownMemberType]
    return Path(file)


@contextmanager
def _disk_errors(cache: Path) -> Generator[None]:
    """What the disk refuses is said of the cache; all else that is an OSError, as the library's own are, goes on."""
    try:
        yield
    except OSError as error:
        if error.errno not in OF_A_DISK:
            raise
        with input_error_if_unwritable(cache, OTHER_CACHE):
            raise


def hub_api() -> "HfApi":
    """The Hub's client. Raises InputError where its library is not installed."""
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise InputError(
            "the Hub needs the package huggingface-hub, which is not installed: pip install 'unpaired[hub]'"
        ) from error
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="unpaired")


@contextmanager
def hub_errors(address: HubAddress) -> Generator[None]:
    """What the library raises, as InputError in one line: no such place, no permission, no network."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.errors import HTTPError as NetworkError  # pyright: ignore[reportPrivateImportUsage]

    try:
        yield
    except (HfHubHTTPError, NetworkError, HFValidationError, OSError) as error:
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(f"{address}: {said.rstrip('.')}; check the name, `hf auth login`, and the network") from error


def _only_model(api: "HfApi", address: HubAddress) -> str:
    files = [
        name for name in api.list_repo_files(address.repo, revision=address.revision) if name.endswith(MODEL_SUFFIX)
    ]
    if len(files) != 1:
        holds = f"{len(files)} model files ({some_of(sorted(files), 5)})" if files else "no model file"
        raise InputError(f"{address} holds {holds}; name one: hf://{address.repo}/NAME{MODEL_SUFFIX}")
    return files[0]


def _text(path: str | Path) -> str:
    return path.as_posix() if isinstance(path, Path) else path
