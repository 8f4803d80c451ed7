"""What a script asks of Slurm; `inference/test_cluster.py` runs one."""

import pytest

from unpaired.errors import InputError
from unpaired.slurm import Resources


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"time": "soon"}, "time 'soon': expected something like 04:00:00"),
        ({"memory": "16 GB"}, "memory '16 GB': expected something like 16G"),
        ({"partition": "a\nb"}, r"partition 'a\\nb': expected"),
        ({"cpus": 0}, "at least 1 core"),
        ({"at_once": 0}, "1 task at once"),
    ],
)
def test_what_slurm_would_not_understand_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Resources(**changes)  # pyright: ignore[reportArgumentType]
