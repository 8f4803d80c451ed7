"""Folds for nnU-Net: a splits_final.json for each of the nnU-Net datasets that a dataset is made of.

nnU-Net knows two sides, and so a fold is translated by what it is for: `val` are the cases that score the fold (those
that it tests; where it tests none, as in folds that came from nnU-Net, those that it validates), `train` are the
labeled ones that it trains. Names are those of nnU-Net's scans, without channel.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from unpaired.choices import counted, some_of
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.manifest import as_dataset
from unpaired.data.split import NNUNetFold, Split, is_list_of_folds, read_folds, read_split, scan_name
from unpaired.errors import InputError
from unpaired.files import write_json
from unpaired.runs.folder import RunFolder, is_run
from unpaired.runs.model_file import run_folders

SPLITS = "splits_final.json"
TRAINING, TESTING = "imagesTr", "imagesTs"
"""nnU-Net's folders of scans: for its folds, and for testing, which no fold may name."""


def nnunet_splits(
    data: Dataset | str | Path,
    folds: str | Path | Sequence[Split],
    out: str | Path,
    *,
    with_validation: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Write folds as nnU-Net's splits_final.json, in `out` (nnUNet_preprocessed) a folder for each nnU-Net dataset.

    data: the dataset that was imported from nnU-Net's folders, or its manifest; cases that lie in no imagesTr (of
    other layouts) stand under their ids in `out` itself.  folds: splits, or a folder of split files or of runs (fold0,
    fold1, ...), or one run or split file.  with_validation: nnU-Net trains with the cases that chose the weights here,
    which it has no side for; else they are in no side.

    Unlabeled cases and those of imagesTs are left out. `say` gets a line for each file, and for what nnU-Net will lack.
    Raises InputError where a file with other folds is there, and for a split that doesn't fit the dataset.
    """
    dataset = as_dataset(data)
    splits = [split.apply(dataset) for split in (_folds(Path(folds)) if isinstance(folds, str | Path) else folds)]
    files = _files(splits, Path(out), with_validation)
    if not files:
        raise InputError(f"dataset {dataset.name}: no labeled case is in a fold; nothing to write for nnU-Net")
    for file, written in files.items():
        _require_no_others(file, written)
    for file, written in files.items():
        write_json(file, [asdict(fold) for fold in written])
        for line in _told(file, written):
            say(line)
    left = {case.id for split in splits for case in split.of(split="validation", labeled=True)}
    if left and not with_validation and any(split.of(split="test") for split in splits):
        say(
            "note: cases that choose the weights here (validation) are in no side of their fold, since nnU-Net's val "
            "is what scores it; --with-validation lets nnU-Net train with them"
        )
    return list(files)


def _folds(place: Path) -> list[Split]:
    if place.is_dir():
        runs = [folder for folder in run_folders(place) if is_run(folder)]
        return [read_split(RunFolder(folder).split_file) for folder in runs] or read_folds(place)
    return read_folds(place) if place.is_file() and is_list_of_folds(place) else [read_split(place)]


def _files(splits: Sequence[Dataset], out: Path, with_validation: bool) -> dict[Path, list[NNUNetFold]]:
    """{file: its folds}, a file for each nnU-Net dataset that has a labeled case in one of the folds."""
    sides = [_sides(split, with_validation) for split in splits]
    return {
        out / folder / SPLITS: [
            NNUNetFold(*(tuple(sorted(fold.get((folder, side), ()))) for side in ("train", "val"))) for fold in sides
        ]
        for folder in sorted({folder for fold in sides for folder, _ in fold})
    }


def _sides(split: Dataset, with_validation: bool) -> dict[tuple[str, str], set[str]]:
    """{(nnU-Net dataset, "train" or "val"): names of scans} of a fold."""
    cases = [(place, case) for case in split.of(labeled=True) if (place := _place(case))]
    scores = "test" if any(case.split == "test" for _, case in cases) else "validation"
    trains = {"train", "validation"} if with_validation else {"train"}
    names: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for (folder, name), case in cases:
        if case.split == scores:
            names[folder, "val"].add(name)
        elif case.split in trains:
            names[folder, "train"].add(name)
    return names


def _place(case: CaseEntry) -> tuple[str, str] | None:
    """The nnU-Net dataset of a case and its scan's name there; None for a case that no fold may name."""
    folder = case.image.parent
    if folder.name == TRAINING:
        return folder.parent.name, scan_name(case.image.name)
    return None if folder.name == TESTING else (".", case.id)


def _require_no_others(file: Path, written: list[NNUNetFold]) -> None:
    if file.is_file() and read_folds(file) != [Split(fold.train, fold.val) for fold in written]:
        raise InputError(
            f"{file} is there with other folds, which nnU-Net may have trained with; rename it, or name another folder"
        )


def _told(file: Path, folds: Sequence[NNUNetFold]) -> Iterator[str]:
    """What is in a file, and what nnU-Net will lack."""
    scored = Counter(name for fold in folds for name in fold.val)
    names = {name for fold in folds for name in (*fold.train, *fold.val)}
    yield f"wrote {file}: {counted(len(folds), 'fold')} of {counted(len(names), 'scan')}"
    empty = [str(number) for number, fold in enumerate(folds) if not fold.train or not fold.val]
    if empty:
        yield f"note: {file}: fold {', '.join(empty)} has no scan to train or none to score; nnU-Net can't use it"
    never = sorted(names - set(scored))
    if never and len(folds) > 1:
        yield (
            f"note: {file}: {counted(len(never), 'scan is', 'scans are')} in no fold's val ({some_of(never)}), "
            "so nnU-Net's scores over all folds lack them"
        )
