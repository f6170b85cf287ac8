"""Sizes past 31 and 32 bits, reached without memory: views that repeat one element, and files with holes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

import tasksel_core as core
from tasksel.embedding_run_shards import embeddings_format, embeddings_schema
from tasksel.engines.openai_replies import read_completion
from tasksel.pool import read_pool
from tasksel.score_shards import SCORES_SCHEMA, scores_format
from tasksel_core.errors import ArrayError, BudgetError, ConfigError, ProviderError, SchemaError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TOO_MANY = 2**32
LARGEST = 2**63 - 1
ROUNDINGS = ("webster", "largest-remainder", "paper")


def repeated(value: Any, *shape: int) -> NDArray[Any]:
    """Return an array of any size in the memory of one element."""
    return np.broadcast_to(value, shape)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.float32]:
    """Logprobs of 2^32 tokens and some more, 16 GiB of which two pages are written."""
    path: Path = tmp_path_factory.mktemp("tokens") / "logprobs"
    values = np.memmap(path, dtype=np.float32, mode="w+", shape=(2**32 + 64,))
    for border in (2**31, 2**32):
        values[border - 8 : border + 8] = -np.arange(1, 17)
    return values


class TestTokens:
    """Positions of tokens past 2^31 and 2^32."""

    @pytest.mark.parametrize("border", [2**31, 2**32])
    def test_confidences_are_those_of_the_tokens_at_the_border(
        self, tokens: NDArray[np.float32], border: int
    ) -> None:
        offsets = np.array([-8, -2, 0, 0, 3, 8], dtype=np.int64) + border
        found = core.log_confidence(tokens, offsets)
        assert found.tolist()[:2] + found.tolist()[3:] == [-21.0, -15.0, -30.0, -70.0]
        assert np.isnan(found[2])

    def test_a_refused_token_is_named_by_its_position(self, tokens: NDArray[np.float32]) -> None:
        offsets = np.array([2**32, 2**32 + 3, 2**32 + 20], dtype=np.int64)
        tokens[2**32 + 9] = np.nan
        with pytest.raises(ArrayError, match=r"NaN at position 4294967305 \(example 1\)"):
            core.log_confidence(tokens, offsets)

    def test_offsets_past_the_tokens_are_refused(self, tokens: NDArray[np.float32]) -> None:
        with pytest.raises(ArrayError, match="ends at 4294967361, beyond the 4294967360 values"):
            core.log_confidence(tokens, np.array([0, 2**32 + 65]))

    def test_offsets_that_wrapped_in_32_bits_are_refused(self) -> None:
        wrapped = (np.array([2**31 - 5, 2**31 + 5])).astype(np.int32)
        with pytest.raises(ArrayError, match="offsets: falls from 2147483643 to -2147483643"):
            core.log_confidence(repeated(np.float32(-1), 2**32), wrapped)

    @pytest.mark.parametrize("length", [2**50, 2**59])
    def test_more_offsets_than_memory_are_refused(self, length: int) -> None:
        with pytest.raises(ArrayError, match=f"offsets: {length} elements apart in memory"):
            core.log_confidence(np.zeros(1, dtype=np.float32), repeated(np.int64(0), length))


class TestRows:
    """More rows than 32 bits can number."""

    @pytest.mark.parametrize("dtype", [np.int64, np.int32])
    def test_tasks_of_too_many_rows_are_refused(self, dtype: type[Any]) -> None:
        task = repeated(dtype(0), TOO_MANY)
        refusal = "task: 4294967296 rows; allowed: at most 4,294,967,295"
        with pytest.raises(ArrayError, match=refusal):
            core.round_robin(task, np.array([1]))
        with pytest.raises(ArrayError, match=refusal):
            core.weighted_round_robin(task, np.array([1.0]))

    def test_too_many_tasks_are_refused(self) -> None:
        with pytest.raises(ArrayError, match="weights: 4294967296 tasks; allowed: at most 4,294,967,295"):
            core.weighted_round_robin(np.zeros(1, dtype=np.int64), repeated(1.0, TOO_MANY))
        with pytest.raises(BudgetError, match="n_tasks: 4294967296; allowed: at most 4,294,967,295"):
            core.task_log_confidence(np.zeros(1), np.zeros(1, dtype=np.int64), TOO_MANY)

    def test_bases_of_too_many_rows_are_refused(self) -> None:
        queries, base = np.zeros((2, 1), dtype=np.float32), repeated(np.float32(0), TOO_MANY, 1)
        with pytest.raises(ArrayError, match="base: 4294967296 rows; allowed: at most 4,294,967,295"):
            core.nearest_neighbours(queries, base, 1)
        with pytest.raises(ArrayError, match="base: 4294967296 rows"):
            core.ball_counts(queries, base, np.zeros(1, dtype=np.float32))

    @pytest.mark.parametrize("select", [core.facility_location, core.graph_cut])
    @pytest.mark.parametrize("k", [0, 1])
    def test_lists_of_too_many_rows_are_refused(self, select: Any, k: int) -> None:
        lists = (repeated(np.int64(-1), TOO_MANY, k), repeated(np.float32(0), TOO_MANY, k))
        with pytest.raises(ArrayError, match="points: 4294967296 rows; allowed: at most 4,294,967,295"):
            select(lists, 1)

    def test_embeddings_of_too_many_rows_have_no_graph(self) -> None:
        with pytest.raises(ArrayError, match="points: 4294967296 rows"):
            core.facility_location(repeated(np.float32(1), TOO_MANY, 1), 1)

    def test_too_many_centers_are_refused_before_they_are_looked_for(self) -> None:
        rows = repeated(np.float32(1), 2**40, 1)
        for partitions in (None, 7):
            with pytest.raises(BudgetError, match="at most 4,294,967,295 centers in all"):
                core.k_center_greedy(rows, LARGEST, partitions=partitions)
        with pytest.raises(ArrayError, match="centers: 1099511627776 rows; allowed: at most 4,294,967,295"):
            core.covering_radii(rows[:2], rows)
        with pytest.raises(BudgetError, match="n_clusters: 4294967295; allowed: at most 4,294,967,294"):
            core.k_means(rows, 2**32 - 1)

    # Past 2^64, past the largest length, and past the addresses of a process.
    @pytest.mark.parametrize(("n_queries", "n_rows"), [(2**34, 2**31), (2**31, 2**31), (2**20, 2**30)])
    def test_more_neighbours_than_memory_are_refused(self, n_queries: int, n_rows: int) -> None:
        queries, base = repeated(np.float32(0), n_queries, 1), repeated(np.float32(0), n_rows, 1)
        with pytest.raises(BudgetError, match=f"no memory for {n_queries} x {n_rows} neighbours"):
            core.nearest_neighbours(queries, base, n_rows)

    def test_a_graph_of_more_neighbours_than_memory_is_refused(self) -> None:
        points = repeated(np.float32(1), 2**31, 1)
        with pytest.raises(BudgetError, match="n_neighbours: 2147483647, and there is no memory for"):
            core.facility_location(points, 1, n_neighbours=2**31)

    def test_a_frame_of_too_many_rows_is_no_pool(self) -> None:
        part = pl.DataFrame({"prompt": pl.repeat(None, 2**26, dtype=pl.Null, eager=True)})
        frame = pl.concat([part] * 64, rechunk=False)
        assert frame.height == TOO_MANY
        with pytest.raises(SchemaError, match="holds 4,294,967,296 rows; a pool has at most 4,294,967,295"):
            read_pool(frame)


class TestCounts:
    """Counts and budgets up to the largest int64, and Python's own integers past it."""

    @pytest.mark.parametrize("rounding", ROUNDINGS)
    @pytest.mark.parametrize("budget", [2**31, 2**32, 2**53 + 1, LARGEST - 1, LARGEST, 10**30])
    def test_quotas_of_large_budgets_keep_their_sum(self, rounding: str, budget: int) -> None:
        available = np.array([LARGEST, 2**32 + 1, 1, 0, LARGEST], dtype=np.int64)
        weights = np.array([1.0, 3.0, 1e300, 2.0, 1e-300])
        quotas = core.allocate(weights, available, budget, rounding=rounding)
        assert sum(quotas.tolist()) == min(budget, LARGEST)
        assert all(
            0 <= quota <= most for quota, most in zip(quotas.tolist(), available.tolist(), strict=True)
        )

    @pytest.mark.parametrize("rounding", ROUNDINGS)
    def test_held_rows_and_bases_do_not_wrap(self, rounding: str) -> None:
        available = np.full(3, LARGEST, dtype=np.int64)
        labelled = np.array([LARGEST, 0, LARGEST // 2], dtype=np.int64)
        quotas = core.allocate(
            np.ones(3), available, LARGEST, base=LARGEST, labelled=labelled, rounding=rounding
        )
        assert sum(quotas.tolist()) == LARGEST
        assert quotas[0] == 0
        # The two that hold fewer are brought to one level.
        assert abs(int(quotas[1]) - int(quotas[2]) - LARGEST // 2) <= 1

    def test_unsigned_counts_past_the_range_are_refused(self) -> None:
        with pytest.raises(ArrayError, match="available: an array of dtype uint64"):
            core.allocate(np.ones(1), np.array([2**63], dtype=np.uint64), 1)

    def test_budgets_past_the_range_take_all(self) -> None:
        rows = core.weighted_round_robin(np.array([0, 1, 0]), np.ones(2), budget=2**80, base=2**80)
        assert sorted(rows.tolist()) == [0, 1, 2]
        points = np.arange(3, dtype=np.float32)[:, None]
        assert sorted(core.k_center_greedy(points, 2**80)[0].tolist()) == [0, 1, 2]
        assert core.nearest_neighbours(points, points, 2**80)[0].shape == (3, 3)

    def test_a_seed_past_64_bits_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"seed: 18446744073709551616; allowed: an integer from 0 to"):
            core.round_robin(np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64), seed=2**64)


class TestColumns:
    """Sums over columns that polars would take in the 32 bits of the column."""

    def test_tokens_of_a_shard_of_scores(self) -> None:
        frame = pl.DataFrame(schema=SCORES_SCHEMA).clear(3)
        counts = pl.Series([2**31 - 1] * 3, dtype=pl.Int32)
        frame = frame.with_columns(truncated_tokens=counts)
        assert scores_format(SCORES_SCHEMA).count(frame)["truncated_tokens"] == 3 * (2**31 - 1)

    def test_tokens_of_a_shard_of_embeddings(self) -> None:
        schema = embeddings_schema(1, has_tokens=True)
        counts = pl.Series([2**31 - 1] * 3, dtype=pl.Int32)
        frame = pl.DataFrame(schema=schema).clear(3)
        frame = frame.with_columns(counts.alias(name) for name, dtype in schema.items() if dtype == pl.Int32)
        found = embeddings_format(schema).count(frame)
        assert {found["tokens"], found["truncated_tokens"]} == {3 * (2**31 - 1)}


@pytest.mark.parametrize(
    "reply",
    [
        '"usage": {"prompt_tokens": 2147483648}',
        '"usage": {"completion_tokens": 1e400, "prompt_tokens": 99999999999999999999}',
        '"token_ids": [2147483648]',
    ],
)
def test_a_reply_with_impossible_counts_is_no_completion(reply: str) -> None:
    logprobs = '"logprobs": {"tokens": ["a"], "token_logprobs": [-0.5]}'
    choice = f'{{"text": "a", "finish_reason": "length", {logprobs}'
    choice += f", {reply}}}" if "token_ids" in reply else "}"
    usage = "" if "token_ids" in reply else f", {reply}"
    with pytest.raises(ProviderError, match="reply is no completion"):
        read_completion(f'{{"choices": [{choice}]{usage}}}', top_k=2)


@pytest.mark.parametrize("token", ['"token_id:2147483648"', '"a"'])
def test_a_reply_with_numbers_past_float64_is_no_completion(token: str) -> None:
    number = "-0.5" if "token_id" in token else "-1" + "0" * 400
    body = (
        f'{{"choices": [{{"text": "a", "finish_reason": "length", '
        f'"logprobs": {{"tokens": [{token}], "token_logprobs": [{number}]}}}}]}}'
    )
    with pytest.raises(ProviderError, match="reply is no completion"):
        read_completion(body, top_k=2)
