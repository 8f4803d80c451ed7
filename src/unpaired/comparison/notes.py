"""What a reader must know beside a comparison's numbers: how they were made, and what they can't show."""

from collections.abc import Iterator

from unpaired.choices import counted, some_of
from unpaired.comparison.comparison import Comparison, empty_structures
from unpaired.comparison.contenders import SHOWN
from unpaired.scores.tables import definitions
from unpaired.statistics import ALPHA, patients_needed, smallest_p

WORSE_MARK, BETTER_MARK = "†", "*"


def notes(comparison: Comparison) -> Iterator[str]:
    """How the numbers were made, a sentence or two each; the budget first."""
    if comparison.budget:
        yield comparison.budget
    yield definitions(comparison.reference)
    several = {name: runs for name, runs in comparison.replicates.items() if runs.runs > 1}
    spread = "± is the standard deviation over patients"
    if several:
        listed = ", ".join(f"{name} {runs}" for name, runs in several.items())
        spread += (
            f"; for methods with several runs ({listed}) it is over the runs' means. A patient enters a test once, "
            "averaged over the runs that scored this patient"
        )
    yield (
        "A patient's value is the mean over the patient's cases of a modality, in the columns “mean” of each case's "
        f"mean over its classes; the table shows means over patients. {spread}."
    )
    family = (
        "the methods compared in one column of one score"
        if comparison.family == "methods"
        else "all methods and columns of one score's table"
    )
    yield (
        f"Bold: the best mean of a column. {BETTER_MARK} better, {WORSE_MARK} worse than {comparison.baseline}: "
        "two-sided Wilcoxon signed-rank test on paired patients, exact, ties with mean ranks and zeros after Pratt; "
        f"p corrected after Holm over {family} ({comparison.tests_in_family}), below {ALPHA}."
    )
    yield (
        "Intervals: 95 %, percentile bootstrap over patients, 10,000 resamples, expanded for few patients (Hesterberg "
        "2015). Effect: matched rank-biserial correlation, from -1 (worse in every patient) to 1 (better in every one)."
    )
    if comparison.several_seeds:
        yield (
            "Each seed: the difference by one training of the method and one of the baseline, in the order in which "
            "they were given, means over patients. Seeds too: the interval for other patients and other trainings, "
            "from the spread of both (Welch and Satterthwaite); the interval before it is for these trainings."
        )


def warnings(comparison: Comparison) -> Iterator[str]:
    """What limits the numbers: left-out cases, misses, too few patients, tests that no correction is over."""
    if comparison.left_out:
        yield left_out(comparison)
    yield from cautions(comparison)


def cautions(comparison: Comparison) -> Iterator[str]:
    """The warnings without the one about left-out cases."""
    yield from comparison.remarks
    for method in comparison.contenders:
        structures = "; ".join(empty_structures(method))
        if structures:
            yield f"{method.name} {structures}. Read the counts before the means."
    for score, keys in comparison.dropped.items():
        if keys:
            listed = ", ".join(sorted(f"{case}/{name}" for case, name in keys)[:SHOWN])
            more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
            yield (
                f"{len(keys)} structures are in no {score} of any method, because one of them has no value there "
                f"(policy {comparison.reference.policy}): {listed}{more}."
            )
    yield from _too_few(comparison)
    yield from _trained_once(comparison)
    yield from _seeds_disagree(comparison)
    tests = [difference for difference in comparison.differences.values() if difference.p is not None]
    families = len(tests) // max(1, comparison.tests_in_family)
    if families > 1:
        yield (
            f"{len(tests)} tests were made in {families} families, each corrected for itself: by chance alone about "
            f"{ALPHA:.0%} of the families show a mark. Decide on one score and column before looking."
        )


def left_out(comparison: Comparison) -> str:
    """What is in none of the numbers, and what that does to them."""
    cases = list(dict.fromkeys(item.case for item in comparison.left_out))
    listed = "; ".join(
        f"{item.case}{'' if item.class_name is None else '/' + item.class_name}: {item.method} ({item.reason})"
        for item in comparison.left_out[:SHOWN]
    )
    more = f"; and {len(comparison.left_out) - SHOWN} more" if len(comparison.left_out) > SHOWN else ""
    verb = "cases are" if len(cases) > 1 else "case is"
    return (
        f"LEFT OUT: {len(cases)} {verb}, in whole or in part, in none of these numbers, because not every method "
        f"scored them: {listed}{more}. A method that fails at hard cases looks better here than it is."
    )


def _too_few(comparison: Comparison) -> Iterator[str]:
    """Columns in which no result could be significant, whatever the methods do."""
    tests = comparison.tests_in_family
    for column in comparison.main_columns:
        patients = {row.patient for row in comparison.reference.rows(column.modality) if row.status != "not_applicable"}
        n, p = len(patients), smallest_p(len(patients))
        needed = f"at least {patients_needed(tests)} patients are needed"
        if p >= ALPHA:
            yield (
                f"{column.modality}: {counted(n, 'patient')}. No p below {p:.3g} is possible, so no "
                f"difference can be significant; {needed}."
            )
        elif p * tests >= ALPHA:
            yield (
                f"{column.modality}: {n} patients. The smallest possible p is {p:.3g}, after Holm over {tests} tests "
                f"{min(1.0, p * tests):.3g}, so no difference can be significant; {needed}."
            )


def _trained_once(comparison: Comparison) -> Iterator[str]:
    """Whose differences hold what one training happened to learn: no test over patients sees that."""
    once = [name for name, runs in comparison.replicates.items() if runs.seeds == 1]
    if not once:
        return
    of = "every method" if len(once) == len(comparison.contenders) else some_of(once, SHOWN)
    yield (
        f"Each patient has one result of {of}: tests and intervals say what other patients would give, not what "
        f"another training (its seed, the draw of its labels) would. Train with other seeds too, and give "
        f"{once[-1]}=RUN,RUN."
    )


def _seeds_disagree(comparison: Comparison) -> Iterator[str]:
    """Differences that hold over patients, and not over trainings."""
    for key, difference in comparison.differences.items():
        seeds = comparison.seed_differences[key]
        if seeds.turns and difference.significant and key.column in comparison.main_columns:
            alike = min(seeds.by_seed) > 0 or max(seeds.by_seed) < 0
            but = (
                f"but {len(seeds.by_seed)} trainings are too few, or too far apart, to say that another seed would not "
                "turn its sign (the interval over seeds too holds 0)"
                if alike
                else "but not in each training: another seed may turn its sign"
            )
            yield (
                f"{key.score}, {key.column.modality}: {key.method} differs from {comparison.baseline} over patients (p "
                f"{difference.p_holm:.2g} after Holm), {but}."
            )
