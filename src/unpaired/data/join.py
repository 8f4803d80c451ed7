"""Several datasets as one, such as the CT of one study and the MR of another: what unpaired training is for."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from unpaired.choices import counted, several, some_of
from unpaired.data.checks.spelling import similar_names
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.file_names import require_distinct
from unpaired.data.manifest import as_dataset
from unpaired.data.overwriting import require_other_file
from unpaired.data.simulated import with_simulated_training
from unpaired.data.store import store_dataset
from unpaired.errors import InputError

SHOWN = 3
LabelMap = Mapping[int, tuple[str, ...]]


def join(
    data: Sequence[Dataset | str | Path], out: str | Path, *, say: Callable[[str], None] = lambda line: None
) -> Dataset:
    """Make one dataset of several, such as the CT of one study and the MR of another, and write its manifest.

    data: two datasets or more, or their manifests; patients of equal names are one person.  out: the manifest to write,
    which also names the dataset. Files stay where they are. A class that one of them doesn't have was not looked for in
    its cases, so it isn't taken for background there. `say` gets a line for each modality, one for the file, one for
    patients of several datasets, and one for names of patients or classes that differ in spelling alone. Raises
    InputError for datasets that don't go together (see `join_datasets`), and where `out` is one of their manifests.
    """
    out = Path(out)
    data = several(data)
    require_other_file(out, *data)
    datasets = [as_dataset(each) for each in data]
    joined = join_datasets(datasets, out.stem if out.suffix == ".json" else out.name)
    store_dataset(joined, out, say)
    for line in (*_shared_patients(datasets), *similar_names(joined)):
        say(f"note: {line}")
    return joined


def join_datasets(datasets: Sequence[Dataset], name: str) -> Dataset:
    """All cases of the datasets, in order; patients of equal names are one person, splits stay.

    Classes are the union, in order of first appearance. A class that one of the datasets doesn't have was not looked
    for in its cases (`annotated`), so that it isn't taken for background there. Where codes of a class differ, those of
    the first dataset hold. Simulated scans beside those of patients train. Raises InputError for fewer than two, for
    case ids that occur twice, for classes that differ in upper and lower case alone, for a background or options of a
    modality that differ, and for a simulated patient who is called like a real one.
    """
    if len(datasets) < 2:
        raise InputError(f"expected two datasets or more to join, got {len(datasets)}")
    classes = tuple(dict.fromkeys(class_name for dataset in datasets for class_name in dataset.classes))
    require_distinct(classes, "class", f"write it alike in {' and '.join(dataset.name for dataset in datasets)}")
    modalities: dict[str, Modality] = {}
    label_maps: dict[str, LabelMap] = {}
    cases: dict[str, CaseEntry] = {}
    for dataset in datasets:
        _require_alike(dataset, datasets[0], modalities)
        modalities |= dataset.modalities
        names = {case.label_map: dataset.label_map_of(case) for case in dataset.cases}
        renamed = {label_map: _place(label_map, table, dataset.name, label_maps) for label_map, table in names.items()}
        for case in dataset.cases:
            if case.id in cases:
                raise InputError(
                    f"two cases are called {case.id}, one of them in dataset {dataset.name}; give it another id"
                )
            looked_for = dataset.classes[1:] if case.annotated is None else case.annotated
            whole = set(looked_for) == set(classes[1:])
            annotated = None if whole else tuple(looked_for)
            cases[case.id] = replace(case, label_map=renamed[case.label_map], annotated=annotated)
    about = " ".join(dict.fromkeys(dataset.about for dataset in datasets if dataset.about))
    codes = {class_name: code for dataset in reversed(datasets) for class_name, code in dataset.codes.items()}
    joined = Dataset(name, classes, modalities, tuple(cases.values()), label_maps, about, codes)
    return with_simulated_training(joined)


def _shared_patients(datasets: Sequence[Dataset]) -> Iterator[str]:
    """A line on patients that several datasets have, which two sites may have called alike."""
    count = Counter(patient for dataset in datasets for patient in {case.patient for case in dataset.cases})
    shared = [patient for patient, number in sorted(count.items()) if number > 1]
    if shared:
        yield (
            f"{counted(len(shared), 'patient')} of several datasets ({some_of(shared, SHOWN)}) "
            f"{'is' if len(shared) == 1 else 'are'} taken for one person each; where these are others, such as those "
            "of two hospitals that count from 1, give them other names"
        )


def _require_alike(dataset: Dataset, first: Dataset, modalities: Mapping[str, Modality]) -> None:
    if dataset.classes[0] != first.classes[0]:
        raise InputError(
            f"dataset {dataset.name} calls its background {dataset.classes[0]!r}, {first.name} {first.classes[0]!r}; "
            "name it alike"
        )
    for modality, options in dataset.modalities.items():
        if modalities.get(modality, options) != options:
            raise InputError(
                f"modality {modality} has the options {options} in dataset {dataset.name}, but {modalities[modality]} "
                "in another; make them equal, or give one of the modalities another name"
            )


def _place(name: str, table: LabelMap, dataset: str, label_maps: dict[str, LabelMap]) -> str:
    """Put a label map among those of all datasets, under its own name if that is free or stands for the same."""
    if name == "identity" or label_maps.get(name, table) != table:
        name = f"{dataset}-{name}"
    if label_maps.setdefault(name, table) != table:
        raise InputError(f"two datasets called {dataset} have other label maps; give one of them another name")
    return name
