"""An argument too many, an option or a command that there isn't: one line with what there is and the nearest guess."""

from pathlib import Path

import pytest

from unpaired import cli


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (["verify", "a", "b"], "verify takes DATA and no more, so 'b' is one too many; see unpaired verify --help"),
        (["studies", "x"], "studies takes options alone, so 'x' is one too many; see unpaired studies --help"),
        (
            ["few-shot", "a", "b", "mr", "1", "x"],
            "few-shot takes DATA OUT MODALITY COUNT and no more, so 'x' is one too many; see unpaired few-shot --help",
        ),
        (
            ["train", "r", "d", "o", "steps=500"],
            "train takes RECIPE DATA RUN and no more, so 'steps=500' is one too many; did you mean --set steps=500? "
            "see unpaired train --help",
        ),
        (
            ["train", "r", "d", "o", "workers=3"],
            "train takes RECIPE DATA RUN and no more, so 'workers=3' is one too many; did you mean --workers 3? see "
            "unpaired train --help",
        ),
        (
            ["train", "r", "d", "o", "\N{EM DASH}device", "cpu"],
            "train takes RECIPE DATA RUN and no more, so '\N{EM DASH}device' is one too many; did you mean --device? "
            "see unpaired train --help",
        ),
        (
            ["split", "a", "b", "--test", "0.1", "0.2"],
            "split takes DATA OUT and no more, so '0.2' is one too many; --test takes one value, '0.1' here; see "
            "unpaired split --help",
        ),
        (
            ["report", "run", "--viewer", "true"],
            "report has no option --viewer; did you mean --viewer-mb? see unpaired report --help",
        ),
        (["verify", "a", "--frob=2"], "verify has no option --frob; see unpaired verify --help"),
        (
            ["verify", "a", "--jso"],
            "verify has no option --jso; did you mean --json or --no-json? see unpaired verify --help",
        ),
        (
            ["train", "--recipe", "phantom/csa", "--data", "d"],
            "train has no option --recipe; RECIPE is given by its place: unpaired train RECIPE DATA RUN; see unpaired "
            "train --help",
        ),
        (["split", "a", "b", "--test", "-x"], "split has no option -x; see unpaired split --help"),
        (["dicom", "send", "a", "b", "-x"], "dicom send has no option -x; see unpaired dicom send --help"),
        (["evaluat", "a"], "there is no command 'evaluat'; did you mean evaluate? (see unpaired --help)"),
        (
            ["dicom", "segment"],
            "there is no command 'segment'; known: list, fetch, send, watch (see unpaired dicom --help)",
        ),
        (["dicom", "lst"], "there is no command 'lst'; did you mean list? (see unpaired dicom --help)"),
    ],
)
def test_what_a_command_does_not_take_is_one_line(
    typed: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(typed) == 2
    assert capsys.readouterr() == ("", f"unpaired: {line}\n")


def test_a_flag_takes_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    for typed in (["--no-json", "true"], ["--no-json=true"]):
        assert cli.main(["verify", "a", *typed]) == 2
        assert "so 'true' is one too many; --no-json takes no value; see" in capsys.readouterr().err


def test_a_path_with_spaces_and_a_shells_list_of_files_are_guessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my new scans", "a.nii.gz", "b.nii.gz", "c.nii.gz"):
        Path(name).touch()
    assert cli.main(["predict", "run", "my", "new", "scans", "out"]) == 2
    assert (
        "'scans' is one too many; a path with spaces stands in quotes: 'my new scans'; see" in capsys.readouterr().err
    )
    assert cli.main(["predict", "run", "a.nii.gz", "b.nii.gz", "c.nii.gz", "out"]) == 2
    assert "'c.nii.gz' is one too many; where a pattern such as *.nii.gz" in capsys.readouterr().err
    assert cli.main(["verify", "a", "x" * 5000]) == 2
    assert "is one too many; see unpaired verify --help" in capsys.readouterr().err
