"""What a model file tells people: its model card, in Markdown."""

from collections.abc import Mapping
from typing import Any

from unpaired.choices import counted
from unpaired.export.patient_groups import patient_groups_table
from unpaired.runs.model_file import SUFFIX


def model_card(facts: Mapping[str, Any]) -> str:
    """The facts of a model as Markdown for people."""
    lines = [f"# {', '.join(facts['classes'][1:])} in {', '.join(facts['modalities'])}", ""]
    lines += [facts["about"], ""] if facts["about"] else []
    kind = f"{facts['network']}, {facts['method']}"
    lines += [f"One network for every modality ({kind}), {counted(facts['runs'], 'run')} of {facts['budget']}.", ""]
    lines += ["| modality | training patients | labeled | validation patients |", "|---|---:|---:|---:|"]
    for name, count in facts["patients"].items():
        lines.append(f"| {name} | {count['train']} | {count['labeled']} | {count['validation']} |")
    lines += _simulated(facts)
    if facts["scores"]:
        lines += [
            "",
            f"Dice on test patients of the same data set, after {facts['budget']}:",
            "",
            "| modality | mean Dice | cases |",
            "|---|---:|---:|",
        ]
        lines += [f"| {name} | {row['dice']:.3f} | {row['cases']} |" for name, row in facts["scores"].items()]
    else:
        lines += ["", "It comes without scores: the runs were not evaluated when it was packed."]
    lines += ["", *_patients(facts)] if "demographics" in facts else []
    lines += [
        "",
        f"Licence: {facts['licence'] or 'not stated; ask whoever gave it to you before you use it'}.",
        "",
        f"Written by unpaired {facts['unpaired']} on {facts['packed']}. It is used by `unpaired predict FILE{SUFFIX} "
        f"scan.nii.gz out.nii.gz --modality {next(iter(facts['modalities']))}`.",
        "Research software, not a medical device.",
    ]
    return "\n".join(lines) + "\n"


def _simulated(facts: Mapping[str, Any]) -> list[str]:
    if facts["only_simulated"]:
        return ["", "All of its scans are simulated: none of these patients is a person."]
    if not facts["simulated"]:
        return []
    counts = ", ".join(f"{count} of {name}" for name, count in facts["simulated"].items())
    return [
        "",
        f"Simulated scans trained it too ({counts}): no person was scanned for them, and no row above counts them.",
    ]


def _patients(facts: Mapping[str, Any]) -> list[str]:
    if not facts["demographics"]:
        return ["The data set's manifest says nothing of its patients' age, sex, site or scanner."]
    intro = "Patients whose scans trained the networks (or chose their weights), and whose scans tested them:"
    return [intro, "", patient_groups_table(facts["demographics"]).markdown().rstrip()]
