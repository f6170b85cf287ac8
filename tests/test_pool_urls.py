from __future__ import annotations

import polars as pl
import pytest

from tasksel.pool_urls import scan_url
from tasksel_core.errors import SchemaError

POOL = pl.DataFrame({"id": ["1", "2"], "prompt": ["a", "b"]})


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("name", ["pool.parquet", "pool.jsonl", "pool.NDJSON"])
def test_a_url_is_read_by_polars(tmp_path, name, eager):
    path = tmp_path / name
    POOL.write_parquet(path) if name.endswith("parquet") else POOL.write_ndjson(path)
    assert scan_url(path.as_uri(), eager=eager).frame.collect().equals(POOL)


def test_objects_in_json_lines_keep_the_order_of_their_fields(tmp_path):
    pool = tmp_path / "pool.jsonl"
    pool.write_text(
        '{"prompt": "a", "calls": [{"tool": {"name": "t", "at": 1}}, {"tool": {"at": 2, "name": "u"}}]}\n'
    )
    for _ in range(10):  # Polars draws an order each time
        frame = scan_url(pool.as_uri(), eager=False).frame.collect()
        assert list(frame["calls"][0][1]["tool"]) == ["name", "at"]
        assert frame["calls"][0].to_list()[1] == {"tool": {"name": "u", "at": 2}}


def test_several_parquet_files_are_one_pool(tmp_path):
    for number in range(2):
        POOL[[number]].write_parquet(tmp_path / f"{number}.parquet")
    assert scan_url(f"{tmp_path.as_uri()}/*.parquet", eager=True).frame.collect().equals(POOL)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pool.csv", r"pool\.csv cannot be read from a URL"),
        ("nowhere.parquet", r"nowhere\.parquet cannot be read \("),
        ("broken.parquet", r"broken\.parquet cannot be read \("),
        ("broken.jsonl", r"broken\.jsonl cannot be read \("),
        ("empty.parquet", "holds no rows"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, message):
    if name.startswith("broken"):
        (tmp_path / name).write_text("{")
    POOL.clear().write_parquet(tmp_path / "empty.parquet")
    with pytest.raises(SchemaError, match=message):
        scan_url((tmp_path / name).as_uri(), eager=True)
