"""Two nodes on loopback, a process of each, train one run: what `--nodes` does where nobody starts the processes."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import command, stored_recipe, tiny

from processes import ended
from unpaired.runs.run import Run
from warm_python import python


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


@pytest.mark.slow
def test_two_nodes_train_one_run(manifest: Path, tmp_path: Path) -> None:
    """The first one alone writes and speaks."""
    recipe = tiny(steps=2, validate_every=2)
    file = stored_recipe(tmp_path, replace(recipe, batch_size=1))
    run, cache, port = tmp_path / "run", tmp_path / "cache", free_port()
    words = command(file, manifest, run, cache, "--nodes", "2", "--devices", "1", "--workers", "0")
    nodes = []
    for rank in range(2):
        environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": str(rank)}
        environment["GLOO_SOCKET_IFNAME"] = "lo"
        nodes.append(python(*words, env=environment))
    with ended(*nodes):  # where one fails, the other would wait for it for good
        said = [node.communicate(timeout=300) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    assert said[1][0] == "", "the second node writes nothing on standard output"
    trained = Run.open(run)
    assert {row["step"] for row in trained.rows("validation")} == {"2"}
    weights = load_file(trained.weights("last"))
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
