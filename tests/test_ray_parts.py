"""What the Ray backend is made of, without a Ray."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import tasksel_core
from tasksel import ray_cluster
from tasksel.backends import choose_backend
from tasksel.ray_cluster import WorkerShape, connect, find_shape
from tasksel.ray_desk import RayDesk, Turn
from tasksel.strategies.partitioned_k_center import partitioned_k_center
from tasksel_core.errors import ConfigError, MissingExtraError


def node(alive=True, **resources):
    return {"Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("nodes", "n_workers", "shape"),
    [
        ([node(CPU=2.0)], None, (2, 1, 0)),
        ([node(CPU=1.0)], 4, (4, 1, 0)),
        ([node(CPU=16.0)], 1, (1, 16, 0)),
        ([node(CPU=16.0), node(CPU=4.0)], 3, (3, 5, 0)),
        ([node(CPU=16.0), node(alive=False, CPU=16.0)], 2, (2, 8, 0)),
        ([node(CPU=8.0), node(CPU=64.0, GPU=4.0), node(CPU=64.0, GPU=4.0)], None, (8, 1, 1)),
        ([node(CPU=64.0, GPU=4.0)], 2, (2, 1, 1)),
        ([node()], None, (2, 1, 0)),
    ],
)
def test_workers_share_what_a_cluster_has(nodes, n_workers, shape):
    assert find_shape(nodes, n_workers) == WorkerShape(*shape)


def test_workers_that_need_no_gpu_leave_it_alone():
    nodes = [node(CPU=16.0), node(CPU=64.0, GPU=8.0)]
    assert find_shape(nodes, None, needs_gpu=False) == WorkerShape(20, 4, 0)
    assert find_shape([node(CPU=2.0)], None, needs_gpu=False) == WorkerShape(2, 1, 0)


@pytest.mark.parametrize("n_workers", [0, -1, 1.5, True, "2"])
def test_a_number_of_workers_that_is_none_is_refused(n_workers):
    with pytest.raises(ConfigError, match=r"n_workers is .*whole number of at least 1"):
        choose_backend("ray", object, n_workers=n_workers)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"tasksel\[ray\]"):
        connect()


def test_an_address_of_ray_client_is_refused_before_ray_is_asked_for():
    with pytest.raises(ConfigError, match="is an address of Ray Client"):
        connect("ray://head:10001")


def test_a_desk_hands_out_what_was_laid_down_until_it_is_forgotten():
    async def visit():
        desk = RayDesk()
        waiting = asyncio.ensure_future(desk.comes(1))
        taken_early = asyncio.ensure_future(desk.take(0))
        await asyncio.sleep(0)
        assert not waiting.done()
        await desk.put(0, ["a"])
        assert await taken_early == Turn(["a"], 1)
        assert await desk.take(0) == Turn(["a"], 2)
        await desk.put(1, ["b"])
        assert await waiting
        await desk.forget(0)
        assert await desk.take(0) is None
        end = asyncio.ensure_future(desk.comes(2))
        await desk.close()
        assert not await end
        heard = asyncio.ensure_future(desk.hears_stop())
        await desk.stop()
        await heard
        assert await desk.take(1) is None

    asyncio.run(asyncio.wait_for(visit(), 10))


def test_a_desk_dismisses_those_that_have_come_and_lets_nobody_come_after_them():
    async def visit():
        desk = RayDesk()
        await desk.enrol("a", ["handle of a"])
        await desk.enrol("b", ["handle of b"])
        await desk.enrol("a", ["handle of a, started again"])
        assert await desk.dismiss() == ["handle of a, started again", "handle of b"]
        with pytest.raises(RuntimeError, match="the stage is over"):
            await desk.enrol("c", ["handle of c"])
        assert await desk.dismiss() == []

    asyncio.run(asyncio.wait_for(visit(), 10))


def spread_backwards(function, inputs):
    return reversed(list(enumerate(map(function, inputs))))


@pytest.mark.parametrize(
    ("n_rows", "budget", "partitions"), [(200, 20, 7), (200, 60, 4), (5, 9, 3), (3, 2, 8)]
)
def test_k_center_in_parts_is_that_of_the_kernel(n_rows, budget, partitions):
    points = np.random.default_rng(n_rows).integers(0, 4, size=(n_rows, 3)).astype(np.float32)
    rows, radii = partitioned_k_center(points, budget, partitions, spread_backwards)
    expected_rows, expected_radii = tasksel_core.k_center_greedy(points, budget, partitions=partitions)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(radii, expected_radii)
    assert rows.dtype == expected_rows.dtype
    assert radii.dtype == expected_radii.dtype
