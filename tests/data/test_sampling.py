"""UnpairedSteps: a pure function of (seed, rank, step), fair to small modalities, right about places."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unpaired.data.augment import NO_AUGMENTATION, Augmentation
from unpaired.data.case import Geometry
from unpaired.data.dataset import Dataset
from unpaired.data.prepare import prepare
from unpaired.data.prepared import PreparedCase
from unpaired.data.preprocess import Preprocessing
from unpaired.data.sampling import (
    Sampling,
    UnpairedSteps,
    cut,
    draw_image,
    draw_sample,
    with_patients,
    with_rare_classes,
)
from unpaired.errors import InputError


@pytest.fixture(scope="module")
def cases(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[PreparedCase]]:
    """ct with two cases, lge with one: very different sizes."""
    prepared = prepare(phantom, Preprocessing(), tmp_path_factory.mktemp("prepared"))
    assert not prepared.failures
    return {
        "ct": [prepared.cases[case.id] for case in phantom.of("ct", "train")],
        "lge": [prepared.cases[case.id] for case in phantom.of("lge", "train")[:1]],
    }


@pytest.fixture(scope="module")
def unlabeled(cases: dict[str, list[PreparedCase]]) -> dict[str, list[PreparedCase]]:
    """Of ct three cases without a label map (the third is the first again), of lge none."""
    first, second = (replace(case, id=f"{case.id} unlabeled", label_file=None) for case in cases["ct"])
    return {"ct": [first, second, replace(first, id="third")], "lge": []}


def steps(cases: dict[str, list[PreparedCase]], **options) -> UnpairedSteps:
    sampling = Sampling(
        options.pop("patch_size", (32, 32)),
        options.pop("batch_size", 2),
        options.pop("context_slices", 1),
        augmentation=options.pop("augmentation", NO_AUGMENTATION),
        unlabeled_batch_size=options.pop("unlabeled_batch_size", 0),
    )
    return UnpairedSteps(cases, [(i,) for i in range(6)], 6, sampling, steps=options.pop("steps", 8), **options)


def same(a: dict, b: dict) -> bool:
    return all(
        torch.equal(a[m].images, b[m].images) and torch.equal(a[m].label_map, b[m].label_map) for m in a
    ) and list(a) == list(b)


def test_a_step_depends_on_seed_rank_and_step_alone(cases: dict[str, list[PreparedCase]]) -> None:
    with_augmentation = {"augmentation": Augmentation(), "seed": 5}
    first, second = steps(cases, **with_augmentation), steps(cases, **with_augmentation)
    ahead = [first[t] for t in (6, 0, 3)]
    torch.manual_seed(123)
    np.random.seed(4)
    for t, batch in zip((6, 0, 3), ahead, strict=True):
        assert same(second[t], batch)
    assert not same(first[0], first[1])
    assert not same(first[0], steps(cases, augmentation=Augmentation(), seed=6)[0])
    assert not same(first[0], steps(cases, augmentation=Augmentation(), seed=5, rank=1, world_size=2)[0])


def test_sampling_leaves_the_global_random_states_alone(cases: dict[str, list[PreparedCase]]) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(1)
    np.random.seed(1)
    _ = steps(cases, augmentation=Augmentation())[0]
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])


def test_two_ranks_together_are_one_rank_with_the_doubled_batch(cases: dict[str, list[PreparedCase]]) -> None:
    whole = steps(cases, batch_size=4)[3]
    halves = [steps(cases, batch_size=2, rank=rank, world_size=2)[3] for rank in (0, 1)]
    for modality in cases:
        assert torch.equal(whole[modality].images, torch.cat([half[modality].images for half in halves]))


def test_every_modality_fills_its_batch_and_every_case_is_drawn_equally_often(
    cases: dict[str, list[PreparedCase]], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: Counter[str] = Counter()

    def record(case: PreparedCase, sampling: Sampling, rng: np.random.Generator):
        drawn[case.id] += 1
        return torch.zeros(1, 2, 2), torch.zeros(2, 2, dtype=torch.long)

    monkeypatch.setattr("unpaired.data.sampling.draw_sample", record)
    stream = steps(cases, steps=8)
    for t in range(8):
        assert {modality: len(batch.images) for modality, batch in stream[t].items()} == {"ct": 2, "lge": 2}
    counts = {modality: [drawn[case.id] for case in members] for modality, members in cases.items()}
    assert counts == {"ct": [8, 8], "lge": [16]}


def grid_case(
    folder: Path, shape: tuple[int, int, int] = (5, 20, 24), foreground: np.ndarray | None = None
) -> PreparedCase:
    """A case whose voxel values say where they are: volume = index + 1, label = index mod 7."""
    index = np.arange(np.prod(shape)).reshape(shape)
    np.save(folder / "volume.npy", (index + 1).astype(np.float32))
    np.save(folder / "label.npy", (index % 7).astype(np.uint8))
    np.savez(folder / "foreground.npz", **({} if foreground is None else {"3": foreground}))
    identity = tuple(tuple(float(i == j) for j in range(4)) for i in range(4))
    box = tuple((0, n) for n in shape)
    geometry = Geometry(shape, identity, (0, 1, 2), (False, False, False), box, shape)  # type: ignore[arg-type]
    return PreparedCase("grid", "p", "ct", geometry, folder / "volume.npy", folder / "label.npy")


@pytest.mark.parametrize("patch", [(8, 10), (3, 8, 10), (30, 30), (7, 30, 10)])
def test_image_and_label_map_come_from_the_same_place(tmp_path: Path, patch: tuple[int, ...]) -> None:
    case = grid_case(tmp_path)
    for seed in range(20):
        image, label_map = draw_sample(case, Sampling(patch, 1), np.random.default_rng(seed))
        assert image.shape == (1, *patch)
        assert label_map.shape == patch
        inside = image[0] > 0
        assert inside.any()
        assert torch.equal(((image[0][inside] - 1) % 7).long(), label_map[inside])
        assert not label_map[~inside].any()


def test_a_patch_that_fits_never_leaves_the_volume(tmp_path: Path) -> None:
    case = grid_case(tmp_path)
    for seed in range(30):
        image, _ = draw_sample(case, Sampling((4, 16, 16), 1), np.random.default_rng(seed))
        assert (image > 0).all()


def test_foreground_is_hit_as_often_as_asked(tmp_path: Path) -> None:
    case = grid_case(tmp_path, (9, 60, 60), np.array([[4, 50, 50]], dtype=np.int32))
    target = float(case.volume()[4, 50, 50])
    sampling = Sampling((3, 12, 12), 1, foreground_share=0.75)
    hits = [bool((draw_sample(case, sampling, np.random.default_rng(seed))[0] == target).any()) for seed in range(200)]
    assert 0.65 < np.mean(hits) < 0.85


def test_small_structures_are_looked_for_as_often_as_large_ones(tmp_path: Path) -> None:
    """One voxel of class 1 in a corner, 400 of class 2 far from it: each in every second patch."""
    case = grid_case(tmp_path, (9, 60, 60))
    many = np.array([(4, 35 + n // 20, 35 + n % 20) for n in range(400)], np.int32)
    case = with_foreground(case, {1: np.array([[4, 6, 6]], np.int32), 2: many})
    target = float(case.volume()[4, 6, 6])
    sampling = Sampling((3, 12, 12), 1, foreground_share=1.0)
    hits = [bool((draw_sample(case, sampling, np.random.default_rng(seed))[0] == target).any()) for seed in range(200)]
    assert 0.4 < np.mean(hits) < 0.6


def test_the_voxel_that_is_looked_for_lies_anywhere_in_the_middle_half_of_the_patch(tmp_path: Path) -> None:
    """A patch of 41 around a voxel far from all borders: at place 20, up to 10 to either side."""
    case = grid_case(tmp_path, (9, 100, 100), np.array([[4, 50, 50]], dtype=np.int32))
    target = float(case.volume()[4, 50, 50])
    sampling = Sampling((3, 41, 41), 1, foreground_share=1.0)
    places = []
    for seed in range(150):
        image, _ = draw_sample(case, sampling, np.random.default_rng(seed))
        places.append(torch.nonzero(image[0] == target)[0].tolist())
    for of_axis in list(zip(*places, strict=True))[1:]:
        assert 10 <= min(of_axis) <= 12
        assert 28 <= max(of_axis) <= 30
        assert np.mean(of_axis) == pytest.approx(20, abs=1.5)


def test_a_scan_smaller_than_the_patch_lies_in_its_middle(tmp_path: Path) -> None:
    """Of odd rests one voxel more comes before it, as in prediction (`window_starts`)."""
    case = grid_case(tmp_path, (3, 6, 7))
    expected = np.zeros((5, 10, 12))
    expected[1:4, 2:8, 3:10] = np.arange(3 * 6 * 7).reshape(3, 6, 7) + 1
    for seed in range(5):
        image, _ = draw_sample(case, Sampling((5, 10, 12), 1), np.random.default_rng(seed))
        assert np.array_equal(image[0].numpy(), expected)


def test_neighbor_slices_become_channels_and_the_outermost_repeat() -> None:
    volume = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((4, 2, 2), np.float32)
    whole = cut(volume, np.array([0, 0, 0]), np.array([4, 2, 2]), context_slices=3)
    assert whole[:, :, 0, 0].T.tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]


def test_cut_fills_the_outside_with_zeros() -> None:
    volume = np.ones((2, 3, 3), np.float32)
    box = cut(volume, np.array([-1, 1, -2]), np.array([4, 4, 4]))
    assert box.shape == (1, 4, 4, 4)
    assert box.sum() == 2 * 2 * 2
    assert box[0, 1:3, :2, 2:].all()
    assert not cut(volume, np.array([5, 0, 0]), np.array([1, 3, 3])).any()


def test_no_case_or_no_modality_is_refused(cases: dict[str, list[PreparedCase]]) -> None:
    with pytest.raises(InputError, match="no labeled training case of modality bssfp"):
        steps({**cases, "bssfp": []})
    with pytest.raises(InputError, match="none given"):
        steps({})


def test_steps_outside_the_run_are_refused(cases: dict[str, list[PreparedCase]]) -> None:
    with pytest.raises(IndexError):
        steps(cases)[8]


def test_label_sets_travel_with_the_batch(cases: dict[str, list[PreparedCase]], tmp_path: Path) -> None:
    sets = [(0,), (1,), (2,), (3,), (4,), (5,), (0, 3)]
    stream = UnpairedSteps(cases, sets, 6, Sampling((16, 16), 1), steps=1)
    expected = torch.cat([torch.eye(6), torch.tensor([[1.0, 0, 0, 1, 0, 0]])]).bool()
    assert torch.equal(stream[0]["ct"].label_sets, expected)


def test_unlabeled_images_come_beside_labeled_ones_which_stay_as_they_were(
    cases: dict[str, list[PreparedCase]], unlabeled: dict[str, list[PreparedCase]]
) -> None:
    options = {"augmentation": Augmentation(), "seed": 5}
    without = steps(cases, **options)
    stream = steps(cases, **options, unlabeled=unlabeled, unlabeled_batch_size=3)
    for t in (4, 0):
        assert same(stream[t], without[t])
        assert stream[t]["lge"].unlabeled is None, "lge has no unlabeled case"
        images = stream[t]["ct"].unlabeled
        assert images is not None
        assert images.shape == (3, 1, 32, 32)
        again = steps(cases, **options, unlabeled=unlabeled, unlabeled_batch_size=3)[t]["ct"].unlabeled
        assert torch.equal(images, again)
        assert without[t]["ct"].unlabeled is None
    assert not torch.equal(stream[0]["ct"].unlabeled, stream[1]["ct"].unlabeled)
    assert not torch.equal(stream[0]["ct"].unlabeled[:2], stream[0]["ct"].images), "streams of their own"
    unasked = steps(cases, **options, unlabeled=unlabeled)
    assert unasked[0]["ct"].unlabeled is None


def test_two_ranks_share_the_unlabeled_images_too(
    cases: dict[str, list[PreparedCase]], unlabeled: dict[str, list[PreparedCase]]
) -> None:
    whole = steps(cases, unlabeled=unlabeled, unlabeled_batch_size=4)[3]["ct"].unlabeled
    halves = [
        steps(cases, unlabeled=unlabeled, unlabeled_batch_size=2, rank=rank, world_size=2)[3]["ct"].unlabeled
        for rank in (0, 1)
    ]
    assert torch.equal(whole, torch.cat(halves))


def test_every_unlabeled_case_is_drawn_equally_often_however_many_labeled_ones_there_are(
    cases: dict[str, list[PreparedCase]], unlabeled: dict[str, list[PreparedCase]], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: Counter[str] = Counter()

    def record(case: PreparedCase, sampling: Sampling, rng: np.random.Generator):
        drawn[case.id] += 1
        return torch.zeros(1, 2, 2)

    monkeypatch.setattr("unpaired.data.sampling.draw_image", record)
    stream = steps(cases, steps=9, unlabeled=unlabeled, unlabeled_batch_size=2)
    for t in range(9):
        images = stream[t]["ct"].unlabeled
        assert images is not None
        assert len(images) == 2
    assert [drawn[case.id] for case in unlabeled["ct"]] == [6, 6, 6]


@pytest.mark.parametrize("patch", [(8, 10), (3, 8, 10)])
def test_an_unlabeled_patch_lies_anywhere(tmp_path: Path, patch: tuple[int, ...]) -> None:
    case = replace(grid_case(tmp_path), label_file=None)
    seen = torch.zeros(5 * 20 * 24)
    for seed in range(200):
        image = draw_image(case, Sampling(patch, 1), np.random.default_rng(seed))
        assert image.shape == (1, *patch)
        seen[image.flatten().long() - 1] = 1
    assert seen.mean() > 0.95


def test_unlabeled_images_that_nobody_has_are_refused(cases: dict[str, list[PreparedCase]]) -> None:
    with pytest.raises(InputError, match="no unlabeled training case; check the split"):
        steps(cases, unlabeled={"ct": []}, unlabeled_batch_size=1)


def with_foreground(case: PreparedCase, foreground: dict[int, np.ndarray]) -> PreparedCase:
    """The case as if these were the voxels of its labels."""
    vars(case)["foreground"] = foreground  # a cached property, else read from the case's files
    return case


def test_cases_with_a_class_that_few_label_come_more_often(cases: dict[str, list[PreparedCase]]) -> None:
    """Of eight cases all label class 1, two class 2 as well, and one 3; a label that is no class counts for none."""
    somewhere, nowhere = np.zeros((1, 3), np.int32), np.zeros((0, 3), np.int32)
    labeled = [(1,), (1,), (1,), (1,), (1,), (1, 2), (1, 2, 3), (1,)]
    members = [
        with_foreground(
            replace(cases["ct"][0], id=str(number)),
            {**dict.fromkeys(range(1, 7), nowhere), **dict.fromkeys(of_case, somewhere), 6: somewhere},
        )
        for number, of_case in enumerate(labeled)
    ]
    for strength, expected in ((0.0, [1] * 8), (1.0, [1, 1, 1, 1, 1, 4, 8, 1]), (0.5, [1, 1, 1, 1, 1, 2, 3, 1])):
        count = Counter(case.id for case in with_rare_classes(members, 6, strength))
        assert [count[str(number)] for number in range(8)] == expected
    seen = Counter(of_class for case in with_rare_classes(members, 6, 1.0) for of_class in labeled[int(case.id)])
    assert seen[3] / seen[1] > 0.4, "of every second sample, where one in eight labels it"


def test_rare_classes_are_off_by_default_and_change_who_is_drawn(cases: dict[str, list[PreparedCase]]) -> None:
    somewhere = np.zeros((1, 3), np.int32)
    first, second = cases["ct"]
    labeled = ((first, 1), (replace(first, id="again"), 1), (replace(second), 2))
    three = {"ct": [with_foreground(replace(case), {number: somewhere}) for case, number in labeled]}
    sampling = Sampling((8, 8), 4, rare_classes=1.0)
    drawn = UnpairedSteps(three, [(i,) for i in range(6)], 6, sampling, steps=8).drawn["ct"]
    assert Counter(case.id for case in drawn) == {first.id: 2, "again": 2, second.id: 3}
    assert steps(three, patch_size=(8, 8)).drawn["ct"] == three["ct"]


@pytest.mark.parametrize(
    ("scanned", "invented", "share", "of_patients"),
    [
        (1, 29, 0.5, 29),
        (4, 29, 0.5, 28),
        (25, 29, 0.5, 25),
        (2, 6, 0.75, 2),
        (3, 5, 0, 3),
        (3, 5, 1, 3),
        (0, 5, 0.5, 0),
        (3, 0, 0.5, 3),
    ],
)
def test_patients_are_drawn_again_until_no_more_than_a_share_is_simulated(
    cases: dict[str, list[PreparedCase]], scanned: int, invented: int, share: float, of_patients: int
) -> None:
    members = [
        replace(cases["ct"][0], id=f"{kind}{n}")
        for kind, count in (("p", scanned), ("s", invented))
        for n in range(count)
    ]
    drawn = Counter(case.id for case in with_patients(members, {f"s{n}" for n in range(invented)}, share))
    assert sum(count for name, count in drawn.items() if name[0] == "p") == of_patients
    assert sum(count for name, count in drawn.items() if name[0] == "s") == (0 if share == 0 else invented)


def test_steps_draw_half_of_patients_beside_simulated_ones(cases: dict[str, list[PreparedCase]]) -> None:
    first, second = cases["ct"]
    three = {"ct": [first, second, replace(second, id="again")]}
    drawn = UnpairedSteps(
        three, [(i,) for i in range(6)], 6, Sampling((8, 8), 4), steps=8, simulated={second.id, "again"}
    )
    assert Counter(case.id for case in drawn.drawn["ct"]) == {first.id: 2, second.id: 1, "again": 1}
