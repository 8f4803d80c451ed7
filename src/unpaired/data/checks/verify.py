"""Every integrity rule of a dataset, each with its message. Errors make scores wrong or training fail; warnings may."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

from unpaired.data.checks.case_rules import CaseJob, Facts, case_findings
from unpaired.data.checks.comparison_rules import comparison_findings
from unpaired.data.checks.findings import Finding, Findings
from unpaired.data.dataset import Dataset, encode_values
from unpaired.data.manifest import as_dataset
from unpaired.data.parallel import for_each


def verify(
    data: Dataset | str | Path, *, workers: int = 0, progress: Callable[[int, int, str], None] | None = None
) -> Findings:
    """Check every file of a dataset: geometry, values, labels, splits. An empty list means that nothing is wrong.

    `data` is a dataset or its manifest. `workers` above 1 are processes; `progress` is called with (cases done, cases
    in all, case id). A bad case never stops the others. Raises InputError for a manifest that can't be read.
    """
    dataset = as_dataset(data)
    sets = {members: index for index, members in enumerate(dataset.label_sets())}
    background = frozenset(index for members, index in sets.items() if 0 in members)
    jobs = [
        CaseJob(
            entry,
            dataset.classes,
            {value: sets[members] for value, members in encode_values(dataset, entry).items()},
            background,
            dataset.modalities[entry.modality].clip,
        )
        for entry in dataset.cases
    ]
    findings: list[list[Finding]] = [[] for _ in jobs]
    facts = [Facts(entry) for entry in dataset.cases]
    for done, (position, result, failure) in enumerate(for_each(case_findings, jobs, workers), start=1):
        entry = jobs[position].entry
        if failure is None:
            findings[position], facts[position] = result
        else:
            findings[position] = [Finding("error", "unreadable", entry.id, entry.image, failure)]
        if progress is not None:
            progress(done, len(jobs), entry.id)
    return Findings(dataset, [*chain.from_iterable(findings), *comparison_findings(dataset, facts)])
