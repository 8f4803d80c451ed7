"""A new folder: through links too, and never in the place of anything."""

from pathlib import Path

import pytest

from unpaired.errors import InputError
from unpaired.export.folder import new_folder


@pytest.mark.parametrize("there", [True, False])
def test_a_link_to_an_empty_folder_or_to_nothing_leads_to_what_is_written(tmp_path: Path, there: bool) -> None:
    target, link = tmp_path / "disk" / "exported", tmp_path / "out"
    if there:
        target.mkdir(parents=True)
    link.symlink_to(target)
    with new_folder(link) as folder:
        (folder / "model.json").write_text("{}")
    assert link.is_symlink()
    assert [path.name for path in target.iterdir()] == ["model.json"]
    with pytest.raises(InputError, match="out is there already"), new_folder(link):
        pass
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["disk", "exported", "model.json", "out"]
