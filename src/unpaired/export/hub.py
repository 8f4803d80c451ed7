"""A model file goes to the Hugging Face Hub, with its model card; `runs.hub` fetches it from there."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.runs.hub import HubAddress, hub_api, hub_errors
from unpaired.runs.model_file import CARD, MODEL, SUFFIX, unpack

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TAGS = ("medical-imaging", "segmentation", "unpaired")


@dataclass(frozen=True)
class PushedModel:
    """Where a model went: `address` is what `predict` takes (as of this commit), `url` its page."""

    address: str
    url: str
    card_written: bool
    """False where the repository has a model card already, which is left alone."""


def push(model: str | Path, repo: str, *, public: bool = False) -> PushedModel:
    """Put a model file into the repository `repo` ("owner/name") of the Hub, which is made if it isn't there.

    A new repository is private unless `public`; one that is there stays as it is. The file keeps its name, and its
    model card becomes the repository's README.md where there is none. Who pushes is who logged in with `hf auth login`.
    Raises InputError for what is no model file, a damaged one, a name of another form, and what the Hub refuses.
    """
    path = Path(model)
    if path.suffix != SUFFIX or not path.is_file():
        raise InputError(f"expected a model file ({SUFFIX}) to push, got {path}; make one with `unpaired pack`")
    place = HubAddress.parse(f"hf://{repo.removeprefix('hf://')}")
    if place.revision or place.file:
        raise InputError(f"expected a repository's name such as owner/hearts, got {repo!r}")
    folder = unpack(path)[0].parent  # which checks every hash
    api = hub_api()
    with hub_errors(place):
        api.create_repo(place.repo, private=not public, exist_ok=True)
        has_card = api.file_exists(place.repo, CARD)
        commit = _commit(api, place.repo, path, None if has_card else card_with_tags(folder))
    return PushedModel(f"hf://{place.repo}@{commit}/{path.name}", f"{api.endpoint}/{place.repo}", not has_card)


def card_with_tags(folder: Path) -> str:
    """The model card of an unpacked model, with what the Hub sorts models by in front of it."""
    facts = read(folder / MODEL, dict[str, Any], "it should describe a model")
    tags = [*TAGS, *(str(name) for name in facts.get("modalities", ()))]
    lines = ["---", "library_name: unpaired", "pipeline_tag: image-segmentation", "tags:"]
    lines += [f"- {_quoted(tag)}" for tag in dict.fromkeys(tags)]
    return "\n".join([*lines, "---", "", (folder / CARD).read_text(encoding="utf-8")])


def _quoted(text: str) -> str:
    """A YAML string, whatever is in it."""
    return "'" + text.replace("'", "''") + "'"


def _commit(api: "HfApi", repo: str, path: Path, card: str | None) -> str:
    from huggingface_hub import CommitOperationAdd

    operations = [CommitOperationAdd(path.name, path)]
    if card is not None:
        operations.append(CommitOperationAdd(CARD, card.encode()))
    return api.create_commit(repo, operations, commit_message=f"Add {path.name}").oid
