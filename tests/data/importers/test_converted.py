"""What an importer writes is kept where it was made of the same source, made anew or refused where it was not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from unpaired.data.importers.converted import convert
from unpaired.errors import InputError


class Conversion:
    """A scan of two files that is converted to two others; counts how often."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "a"
        self.files = [folder / "out" / "x_image.txt", folder / "out" / "x_label.txt"]
        self.times = 0
        self.fill(self.source, "one", "two")

    def fill(self, source: Path, image: str, label: str) -> None:
        source.mkdir(exist_ok=True)
        (source / "image").write_text(image, "utf-8")
        (source / "label").write_text(label, "utf-8")

    def __call__(self, source: Path | None = None, choices: str = "", end: Callable[[], None] = lambda: None) -> None:
        place = source or self.source

        def write() -> None:
            self.times += 1
            for file, name in zip(self.files, ("image", "label"), strict=True):
                file.write_text((place / name).read_text("utf-8").upper(), "utf-8")
                end()

        convert(self.files, place, [place / "image", place / "label"], choices, write)

    def written(self) -> list[str]:
        return [file.read_text("utf-8") for file in self.files]


@pytest.fixture
def conversion(tmp_path: Path) -> Conversion:
    return Conversion(tmp_path)


def test_what_was_made_of_the_same_is_kept_wherever_that_lies(conversion: Conversion, tmp_path: Path) -> None:
    conversion()
    conversion()
    conversion.source.rename(tmp_path / "moved")
    conversion(tmp_path / "moved")
    assert (conversion.times, conversion.written()) == (1, ["ONE", "TWO"])


def test_a_source_that_changed_in_its_place_is_converted_anew(conversion: Conversion) -> None:
    conversion()
    conversion.fill(conversion.source, "one", "three")
    conversion()
    assert (conversion.times, conversion.written()) == (2, ["ONE", "THREE"])
    conversion(choices="another")
    assert conversion.times == 3, "so are other choices"
    conversion.files[1].unlink()
    conversion(choices="another")
    assert (conversion.times, conversion.written()) == (4, ["ONE", "THREE"])


def test_another_source_of_one_name_is_refused_and_nothing_changes(conversion: Conversion, tmp_path: Path) -> None:
    conversion()
    conversion.fill(tmp_path / "b", "one", "other")
    with pytest.raises(InputError, match=r"x_image\.txt was converted from .*a, not from .*b; write the manifest"):
        conversion(tmp_path / "b")
    assert (conversion.times, conversion.written()) == (1, ["ONE", "TWO"])


def test_files_that_nobody_knows_or_that_were_corrected_by_hand_are_refused(conversion: Conversion) -> None:
    conversion.files[0].parent.mkdir()
    conversion.files[1].write_text("mine", "utf-8")
    with pytest.raises(InputError, match=r"x_label\.txt is there, and no record says what it was converted from"):
        conversion()
    conversion.files[1].unlink()
    conversion()
    conversion.files[1].write_text("corrected", "utf-8")
    conversion.fill(conversion.source, "one", "three")
    with pytest.raises(InputError, match=r"x_label\.txt was changed after it had been converted"):
        conversion()
    assert conversion.written() == ["ONE", "corrected"]


def test_what_was_killed_half_way_goes_on(conversion: Conversion) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conversion(end=stop)
    assert [file.exists() for file in conversion.files] == [True, False]
    conversion()
    assert (conversion.times, conversion.written()) == (2, ["ONE", "TWO"])


def test_a_damaged_record_is_one_line(conversion: Conversion) -> None:
    conversion()
    for text in ("", "{}", '{"schema": 1}', '{"schema": 1, "place": 3}'):
        (conversion.files[0].parent / "x_image.txt.converted.json").write_text(text, "utf-8")
        with pytest.raises(InputError, match="delete it and the files"):
            conversion()
