"""The papers' numbers as data: they agree with what the papers say about them, and are found by their names."""

from statistics import fmean

import pytest

from unpaired.comparison.papers.tables import BOTH, PAPER_TABLES, paper_table
from unpaired.comparison.records import Column
from unpaired.errors import InputError
from unpaired.scores.scores import PRESET_COLUMNS

SLIPS = {("Baseline", "mr", "ssc:asd_mm"): 0.053, ("Backbone", "ct", "ssc:dice"): 0.13}
"""Means that the SSC paper prints beside its cells' by more than rounding (1.86 for 1.81, 89.5 for 89.6)."""
SIX = ("Single", "UMMKD", "Joint", "MSBN", "Affinity", "CSA")


def mean(table, score, row, modality):
    return table.cells(score, row, table.readings[0])[Column(modality, "mean")].value


@pytest.mark.parametrize("name", PAPER_TABLES)
def test_every_table_is_whole(name):
    table = paper_table(name)
    assert set(table.scores) == set(PRESET_COLUMNS[table.preset])
    assert len(table.classes) == len(table.headings)
    for reading in table.readings:
        assert sorted(reading.modalities) == sorted(table.modalities)
    for score in table.scores:
        for row in table.rows:
            cells = table.cells(score, row, table.readings[0])
            assert not cells or set(cells) == set(table.columns)
            low, high = (60, 100) if score.endswith("dice") else (0, 70)
            assert all(low < cell.value < high for cell in cells.values())


@pytest.mark.parametrize("name", ["ssc-cardiac", "ssc-abdomen", "ssc-few-shot"])
def test_printed_means_are_those_of_the_printed_cells(name):
    table = paper_table(name)
    for score in table.scores:
        digit = 0.101 if score.endswith("dice") else 0.0101
        for row in table.rows:
            cells = table.cells(score, row, table.readings[0])
            if not cells:
                continue
            means = []
            for modality in table.modalities:
                own = fmean(cells[Column(modality, c)].value for c in table.classes)
                means.append(cells[Column(modality, "mean")].value)
                slip = SLIPS.get((row, modality, score), digit)
                assert means[-1] == pytest.approx(own, abs=slip), (row, modality, score)
            assert cells[BOTH].value == pytest.approx(fmean(means), abs=digit), (row, score)


def test_csa_table_1_agrees_with_the_paper_s_sentences():
    table = paper_table("csa-table-1")
    assert table.rows == SIX
    assert [mean(table, "csa:dice", "CSA", m) for m in ("lge", "bssfp")] == [87.65, 89.95]
    assert [mean(table, "csa:dice", "Single", m) for m in ("lge", "bssfp")] == [85.66, 88.92]
    assert [mean(table, "csa:dice", "UMMKD", m) for m in ("lge", "bssfp")] == [85.96, 89.66]
    # "decreased from 5.71mm to 4.04mm"
    assert [mean(table, "csa:hd_voxels", row, "lge") for row in ("UMMKD", "CSA")] == [5.71, 4.04]


def test_csa_tables_2_and_3_have_two_readings_the_likelier_first():
    table = paper_table("csa-tables-2-3")
    swapped, printed = table.readings
    assert (swapped.name, printed.name) == ("CT and MRI columns swapped", "columns as printed")
    row = table.cells("csa:dice", "CSA", printed)
    # "79.27% for LVM, 87.46% for LAC, and 81.42% for AA on CT modality; 88.89% for LVM"
    assert [row[Column("ct", name)].value for name in ("myo", "LA", "AA")] == [79.27, 87.46, 81.42]
    assert row[Column("mr", "myo")].value == 88.89
    other = table.cells("csa:dice", "CSA", swapped)
    for name in (*table.classes, "mean"):
        assert other[Column("mr", name)] == row[Column("ct", name)]
        assert other[Column("ct", name)] == row[Column("mr", name)]


def test_the_swap_is_likely_by_the_other_paper_s_umm_kd_row():
    ours, theirs = paper_table("csa-tables-2-3"), paper_table("ssc-cardiac")
    reference = theirs.cells("ssc:dice", "UMMKD", theirs.readings[0])
    columns = [Column(modality, name) for modality in ("ct", "mr") for name in ours.classes]
    off = [
        sum(abs(ours.cells("csa:dice", "UMMKD", reading)[c].value - reference[c].value) for c in columns)
        for reading in ours.readings
    ]
    assert off == [pytest.approx(10.8, abs=0.05), pytest.approx(56.4, abs=0.05)]


def test_numbers_keep_their_digits_and_spread():
    table = paper_table("ssc-cardiac")
    cell = table.cells("ssc:dice", "Payer", table.readings[0])[Column("ct", "AA")]
    assert (cell.value, cell.std, cell.text) == (91.1, 18.4, "91.1 ± 18.4")
    assert table.cells("ssc:asd_mm", "Payer", table.readings[0]) == {}


@pytest.mark.parametrize(
    ("name", "row"),
    [("v3+cr", "V3 + CR"), ("Ours", "V3 + CR"), ("joint training", "V2"), ("Ours w/o CR", "V3"), ("CSA", None)],
)
def test_rows_are_found_by_our_names_and_the_paper_s(name, row):
    assert paper_table("ssc-cardiac").row_called(name) == row


def test_classes_and_modalities_are_found_by_name_or_heading():
    found = paper_table("ssc-cardiac").match(["MRI", "ct", "us"], ["lvm", "LAC", "LV", "AA", "RV"])
    assert found == ({"ct": "ct", "mr": "MRI"}, {"myo": "lvm", "LA": "LAC", "LV": "LV", "AA": "AA"})
    abdomen = paper_table("ssc-abdomen").match(["ct", "t2"], ["liver", "spleen", "right kidney", "left kidney"])
    assert abdomen[0] == {"ct": "ct", "mr": "t2"}
    with pytest.raises(InputError, match=r"csa-table-1 has the modality 'lge', the scores compared have ct, mr"):
        paper_table("csa-table-1").match(["ct", "mr"], ["LV", "myo", "RV"])
    with pytest.raises(InputError, match=r"csa-table-1 has the class 'RV', the scores compared have LV, myo"):
        paper_table("csa-table-1").match(["lge", "bssfp"], ["LV", "myo"])


def test_a_wrong_name_gives_the_nearest():
    with pytest.raises(InputError, match=r"no paper's table 'csa-tabel-1'; did you mean csa-table-1"):
        paper_table("csa-tabel-1")
