"""The test against scipy and sign patterns counted one by one; Holm and the intervals against hand-made numbers."""

import itertools
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unpaired import statistics
from unpaired.errors import InputError
from unpaired.statistics import (
    bootstrap_interval,
    holm,
    holm_corrected,
    paired_difference,
    patient_values,
    patients_needed,
    signed_rank,
    smallest_p,
    spearman,
    spearman_interval,
)

few = st.lists(st.integers(-4, 4), min_size=1, max_size=9)
floats = st.lists(st.floats(-100, 100, allow_subnormal=False).map(lambda x: round(x, 3)), min_size=1, max_size=30)


def counted(differences):
    """Two-sided p by trying every sign of every rank that isn't a zero's."""
    ranks = stats.rankdata(np.abs(differences))
    observed = sum(rank for rank, d in zip(ranks, differences, strict=True) if d > 0)
    moved = [rank for rank, d in zip(ranks, differences, strict=True) if d != 0]
    sums = [
        sum(r for r, s in zip(moved, signs, strict=True) if s) for signs in itertools.product((0, 1), repeat=len(moved))
    ]
    below, above = sum(s <= observed for s in sums), sum(s >= observed for s in sums)
    return min(1.0, 2 * min(below, above) / len(sums))


# ---- signed_rank


def test_a_case_by_hand():
    # |d| 1, 2, 3, 4 have the ranks 1 to 4; W- = 1. Of 16 sign patterns those with W- of 0 or 1 are 2: p = 2 * 2/16.
    test = signed_rank([-1.0, 2.0, 3.0, 4.0])
    assert (test.n, test.zeros, test.positive, test.negative) == (4, 0, 9.0, 1.0)
    assert test.p == 0.25
    assert test.effect == 0.8  # (9 - 1) / 10
    assert test.exact


def test_ties_and_zeros_by_hand():
    # Ranks of |d|: the zero 1, the ones 2.5 each, the five 4. The zero's rank is dropped: W+ = 6.5, W- = 2.5.
    # Of 8 patterns of (2.5, 2.5, 4) those with a sum up to 2.5 are {}, {2.5}, {2.5}: p = 2 * 3/8.
    test = signed_rank([0.0, 1.0, -1.0, 5.0])
    assert (test.zeros, test.positive, test.negative, test.p) == (1, 6.5, 2.5, 0.75)
    assert test.effect == pytest.approx(4 / 10)


@given(few)
def test_p_counts_every_pattern_of_signs(differences):
    test = signed_rank(np.array(differences, dtype=float))
    assert test.p == pytest.approx(counted(differences), abs=1e-12)


@settings(max_examples=10)
@given(few.filter(lambda values: len(values) > 1 and any(values)))
def test_scipys_permutations_agree(differences):
    method = stats.PermutationMethod(n_resamples=2**10)  # at least 2^9 patterns: scipy then tries each
    p = stats.wilcoxon(np.array(differences, dtype=float), zero_method="pratt", method=method).pvalue
    assert signed_rank(differences).p == pytest.approx(p, abs=1e-12)


@pytest.mark.parametrize("n", [1, 5, 20, 50, 200])
def test_scipys_exact_p_without_ties(n):
    differences = np.random.default_rng(n).normal(0.2, 1, n)
    found = signed_rank(differences)
    assert found.exact
    assert found.p == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue, rel=1e-9)


def test_many_patients_follow_the_normal_law_as_in_scipy():
    differences = np.round(np.random.default_rng(3).normal(0.05, 1, 900), 1)  # ties and zeros
    found = signed_rank(differences)
    theirs = stats.wilcoxon(differences, zero_method="pratt", correction=False, method="asymptotic").pvalue
    assert not found.exact
    assert found.p == pytest.approx(theirs, rel=1e-9)


def test_the_normal_law_takes_over_without_a_jump(monkeypatch):
    differences = np.random.default_rng(4).normal(0.1, 1, 400)
    exact = signed_rank(differences).p
    monkeypatch.setattr(statistics, "EXACT_UP_TO", 100)
    assert signed_rank(differences).p == pytest.approx(exact, abs=1e-3)


@given(floats)
def test_the_other_direction_has_the_same_p_and_the_opposite_effect(differences):
    values = np.array(differences)
    one, other = signed_rank(values), signed_rank(-values)
    assert (one.p, one.positive, one.effect) == (other.p, other.negative, -other.effect)
    assert 0 < one.p <= 1
    assert -1 <= one.effect <= 1
    assert one.positive + one.negative <= one.n * (one.n + 1) / 2


@given(floats, st.sampled_from([1e-4, 0.1, 3.0, 1e5]))
def test_the_unit_does_not_matter(differences, factor):
    values = np.array(differences)
    one, other = signed_rank(values), signed_rank(values * factor)
    assert one.p == pytest.approx(other.p, rel=1e-12)
    assert one.effect == pytest.approx(other.effect, abs=1e-12)


@pytest.mark.parametrize("n", range(1, 12))
def test_when_every_patient_gains_p_is_the_smallest_there_is(n):
    test = signed_rank(np.arange(1.0, n + 1))
    assert test.p == smallest_p(n) == min(1, 2 / 2**n)
    assert test.effect == 1


def test_the_smallest_p_that_the_design_names():
    assert smallest_p(9) == pytest.approx(0.004, abs=1e-4)
    assert smallest_p(4) == 0.125
    assert smallest_p(0) == 1


def test_rounding_of_floats_makes_neither_ranks_nor_zeros():
    # 0.3 - 0.2 and 0.2 - 0.1 differ in the last digit; both are a tenth.
    assert 0.3 - 0.2 != 0.2 - 0.1
    assert signed_rank([0.3 - 0.2, -(0.2 - 0.1)]).positive == 1.5
    assert signed_rank([0.1 + 0.2 - 0.3, 1.0]).zeros == 1


def test_without_differences_nothing_is_significant():
    test = signed_rank([0.0, 0.0, 0.0])
    assert (test.p, test.effect, test.zeros) == (1, 0, 3)
    nobody = signed_rank([])
    assert (nobody.n, nobody.p, nobody.effect) == (0, None, None)


@pytest.mark.parametrize("bad", [[1.0, math.nan], [math.inf], [[1.0, 2.0]]])
def test_values_that_are_no_differences(bad):
    with pytest.raises(InputError, match="one finite difference per patient"):
        signed_rank(np.array(bad))
    with pytest.raises(InputError, match="one finite difference per patient"):
        bootstrap_interval(np.array(bad))


# ---- Holm


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.04, and none below the one before.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_a_test_that_was_not_possible_does_not_count():
    assert holm([0.02, None, 0.5]) == [0.04, None, 0.5]
    assert holm([]) == []
    assert holm([0.6, 0.9]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_none_and_bonferroni_and_keeps_the_order(p_values):
    corrected = holm(p_values)
    assert all(p <= q <= min(1, p * len(p_values)) + 1e-15 for p, q in zip(p_values, corrected, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert all(np.diff(np.array(corrected)[order]) >= 0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.999))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values, alpha):
    rejected = set()
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[place] * (len(p_values) - rank) >= alpha:
            break
        rejected.add(int(place))
    assert {place for place, p in enumerate(holm(p_values)) if p < alpha} == rejected


@pytest.mark.parametrize("comparisons", [1, 2, 3, 8, 64])
def test_patients_needed_is_the_first_number_that_suffices(comparisons):
    n = patients_needed(comparisons)
    assert comparisons * smallest_p(n) < 0.05 <= comparisons * smallest_p(n - 1)


def test_patients_needed_is_below_alpha_not_at_it_and_without_a_comparison_as_for_one():
    # All five patients better: p = 2 / 2^5 = 1/16, which isn't below 1/16; six give 1/32.
    assert patients_needed(alpha=1 / 16) == 6
    assert patients_needed(0) == patients_needed(1) == 6


# ---- the interval


def test_plain_percentiles_are_scipys():
    differences = np.random.default_rng(5).normal(1, 2, 25)
    ours = bootstrap_interval(differences, expanded=False)
    theirs = stats.bootstrap(
        (differences,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(6)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.05)


def test_the_interval_of_two_patients_by_counting():
    # Means of two draws from {0, 1} are 0, 1/2, 1 with chances 1/4, 1/2, 1/4.
    interval = bootstrap_interval([0.0, 1.0], level=0.4, expanded=False)  # percentiles 30 and 70
    assert (interval.low, interval.high) == (0.5, 0.5)
    interval = bootstrap_interval([0.0, 1.0], level=0.6, expanded=False)  # percentiles 20 and 80
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_with_few_patients_the_expanded_interval_holds_the_truth_where_plain_percentiles_do_not():
    generator = np.random.default_rng(7)
    hits = np.zeros(2)
    for number in range(400):
        differences = generator.normal(0, 1, 6)
        for place, expanded in enumerate((False, True)):
            found = bootstrap_interval(differences, resamples=1000, seed=number, expanded=expanded)
            hits[place] += found.low <= 0 <= found.high
    assert hits[0] / 400 < 0.90
    assert hits[1] / 400 > 0.91


@pytest.mark.parametrize(("n", "level"), [(4, 0.8), (6, 0.95), (25, 0.9)])
def test_the_percentiles_are_expanded_by_students_t_with_a_degree_less_than_patients(n, level):
    # Hesterberg 2015, section 5.3: the tail alpha' / 2 = Phi(-sqrt(n / (n - 1)) t_{1 - alpha / 2, n - 1}).
    differences = np.random.default_rng(n).normal(1, 2, n)
    tail = stats.norm.cdf(-math.sqrt(n / (n - 1)) * stats.t.ppf((1 + level) / 2, df=n - 1))
    plain = bootstrap_interval(differences, level=1 - 2 * tail, expanded=False)
    expanded = bootstrap_interval(differences, level=level)
    assert (expanded.low, expanded.high) == pytest.approx((plain.low, plain.high), rel=1e-6)


@settings(max_examples=30)
@given(floats.filter(lambda values: len(values) > 1))
def test_the_interval_lies_among_the_patients_and_is_the_same_again(differences):
    interval = bootstrap_interval(differences, resamples=300)
    assert min(differences) - 1e-9 <= interval.low <= interval.high <= max(differences) + 1e-9
    assert interval == bootstrap_interval(differences, resamples=300)


def test_equal_differences_have_an_interval_of_one_point():
    interval = bootstrap_interval([0.25] * 8)
    assert (interval.low, interval.high) == (0.25, 0.25)


def test_many_patients_are_drawn_one_resample_at_a_time():
    differences = np.random.default_rng(8).normal(0, 1, 5000)
    interval = bootstrap_interval(differences, resamples=500)
    assert statistics.KEPT < 500 * 5000
    half = 1.96 / np.sqrt(5000)  # the standard error of a mean of 5000 normal values
    assert interval.low == pytest.approx(differences.mean() - half, abs=half / 3)
    assert interval.high == pytest.approx(differences.mean() + half, abs=half / 3)
    assert interval == bootstrap_interval(differences, resamples=500)


def test_one_patient_has_no_interval():
    assert bootstrap_interval([1.0]) is None
    assert bootstrap_interval([]) is None


@pytest.mark.parametrize(("level", "resamples"), [(0, 10), (1, 10), (0.95, 0)])
def test_levels_that_are_none(level, resamples):
    with pytest.raises(InputError, match="expected 0 < level < 1"):
        bootstrap_interval([1.0, 2.0], level=level, resamples=resamples)


# ---- a patient's value, and the paired comparison of two methods


def test_a_patient_is_the_mean_over_cases_of_each_cases_mean():
    rows = [("p", "s1", 0.8), ("q", "t", 0.3), ("p", "s1", 0.4), ("p", "s2", 1.0)]
    assert patient_values(rows) == {"p": pytest.approx((0.6 + 1.0) / 2), "q": 0.3}
    assert list(patient_values(rows)) == ["p", "q"]
    assert patient_values([]) == {}


@given(st.lists(st.tuples(st.sampled_from("pq"), st.sampled_from("st"), st.floats(0, 1)), min_size=1, max_size=12))
def test_the_order_of_rows_does_not_change_a_patients_value(rows):
    assert patient_values(rows) == patient_values(reversed(rows))


def test_a_paired_difference_by_hand():
    method = {"a": 0.9, "b": 0.5, "c": 0.7, "only here": 0.1}
    baseline = {"only there": 0.2, "c": 0.7, "b": 0.6, "a": 0.5}
    difference = paired_difference(method, baseline)
    assert (difference.patients, difference.better, difference.worse, difference.equal) == (3, 1, 1, 1)
    assert difference.mean == pytest.approx((0.4 - 0.1 + 0) / 3)
    test = signed_rank([0.0, -0.1, 0.4])
    assert (difference.p, difference.effect, difference.exact) == (test.p, test.effect, True)
    assert difference.interval == bootstrap_interval([0.0, -0.1, 0.4])
    assert difference.p_holm is None
    assert not difference.significant


def test_where_smaller_is_better_the_effect_turns_and_the_difference_keeps_its_sign():
    method, baseline = {"a": 3.0, "b": 4.0, "c": 9.0}, {"a": 5.0, "b": 5.0, "c": 8.0}
    up, down = (paired_difference(method, baseline, higher) for higher in (True, False))
    assert (up.mean, up.interval, up.p) == (down.mean, down.interval, down.p)
    assert (up.better, up.worse, up.effect) == (down.worse, down.better, -down.effect)
    assert down.better == 2


def test_rounding_makes_no_patient_better():
    assert paired_difference({"a": 0.1 + 0.2}, {"a": 0.3}).equal == 1


def test_without_a_common_patient_there_is_nothing_to_say():
    nothing = paired_difference({"a": 1.0}, {"b": 1.0})
    assert (nothing.patients, nothing.mean, nothing.interval, nothing.p, nothing.effect) == (0, None, None, None, None)


def test_each_family_is_corrected_for_itself():
    generator = np.random.default_rng(2)
    keys = list(itertools.product(("dice", "hd"), "xyz"))
    baseline = {str(k): 0.0 for k in range(8)}
    differences = {
        key: paired_difference(dict(zip(baseline, generator.normal(0.8, 1, 8), strict=True)), baseline) for key in keys
    }
    differences["dice", "nobody"] = paired_difference({}, baseline)
    families = holm_corrected(differences, lambda key: key[0])
    assert list(families) == list(differences)
    for family in ("dice", "hd"):
        chosen = [key for key in differences if key[0] == family]
        assert [families[key].p_holm for key in chosen] == holm([differences[key].p for key in chosen])
    assert any(difference.significant for difference in holm_corrected(differences, lambda key: key).values())


def test_significant_is_below_five_percent_not_at_it():
    difference = paired_difference({"a": 1.0}, {"a": 0.0})
    assert not difference.significant  # not corrected yet
    assert [replace(difference, p_holm=p).significant for p in (0.049, 0.05, 1.0)] == [True, False, False]


# ---- rank correlation


@pytest.mark.parametrize("n", [3, 6, 40])
@pytest.mark.parametrize("ties", [False, True])
def test_ranks_correlate_as_scipy_says(n: int, ties: bool) -> None:
    rng = np.random.default_rng(n)
    for _ in range(10):
        first, second = rng.normal(size=(2, n))
        if ties:
            first, second = np.round(first), np.round(second)
        if len(set(first)) > 1 and len(set(second)) > 1:
            assert spearman(list(first), list(second)) == pytest.approx(stats.spearmanr(first, second).statistic)


def test_what_has_no_ranks_has_no_correlation() -> None:
    assert spearman([], []) is None
    assert spearman([0.1, 0.2], [0.1, 0.2]) is None
    assert spearman([0.5, 0.5, 0.5], [0.1, 0.2, 0.3]) is None
    assert spearman([1, 2, 3], [10, 20, 5000]) == 1
    assert spearman([1, 2, 3], [3, 2, 1]) == -1


def test_the_interval_narrows_with_patients_and_holds_the_estimate() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for n in (6, 20, 80):
        first = rng.normal(size=n)
        second = first + rng.normal(size=n)
        found = spearman_interval(list(first), list(second), [f"p{i}" for i in range(n)])
        assert found is not None
        rho = spearman(list(first), list(second))
        assert rho is not None
        assert found.low <= rho <= found.high
        widths.append(found.high - found.low)
    assert all(before > after for before, after in pairwise(widths))


def test_the_interval_is_of_patients_not_of_their_cases() -> None:
    """Four scans of each patient, all alike, are no four times as many patients."""
    rng = np.random.default_rng(1)
    first = list(rng.normal(size=8))
    second = [value + noise for value, noise in zip(first, rng.normal(size=8), strict=True)]
    names = [f"p{i}" for i in range(8)]
    once = spearman_interval(first, second, names)
    four = spearman_interval(first * 4, second * 4, names * 4)
    pretended = spearman_interval(first * 4, second * 4, [f"p{i}" for i in range(32)])
    assert once is not None
    assert four is not None
    assert (four.low, four.high) == pytest.approx((once.low, once.high), abs=0.02)
    assert pretended is not None
    assert pretended.high - pretended.low < 0.8 * (once.high - once.low)


def test_few_patients_get_no_interval() -> None:
    assert spearman_interval([1, 2, 3], [1, 2, 3], ["a", "b", "c"]) is None
    assert spearman_interval([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], ["a", "b", "c", "c", "c"]) is None
    assert spearman_interval([1, 1, 1, 1], [1, 2, 3, 4], list("abcd")) is None
    four = spearman_interval([1, 2, 3, 4], [1, 2, 3, 4], list("abcd"))
    assert four is not None
    assert four.high == 1
    assert spearman_interval([1, 2, 3, 4], [1, 2, 3, 4], list("abcd")) == spearman_interval(
        [1, 2, 3, 4], [1, 2, 3, 4], list("abcd")
    )


def test_draws_are_those_of_a_plain_loop():
    """Patients with one to three pairs each; every draw is correlated by scipy's own function."""
    generator = np.random.default_rng(4)
    patients = [name for name in "abcdef" for _ in range(generator.integers(1, 4))]
    first = np.round(generator.normal(size=len(patients)), 1)
    second = np.round(first + generator.normal(size=len(patients)), 1)
    draws = np.random.default_rng(9).integers(6, size=(40, 6))
    expected = []
    for draw in draws:
        places = [place for number in draw for place, name in enumerate(patients) if name == "abcdef"[number]]
        if len(set(first[places])) > 1 and len(set(second[places])) > 1:
            expected.append(stats.spearmanr(first[places], second[places]).statistic)
    interval = spearman_interval(list(first), list(second), patients, resamples=40, seed=9)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(expected, [2.5, 97.5])))
