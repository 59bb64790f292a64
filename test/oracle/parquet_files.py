"""Parquet files of test/vectors/data, written by pyarrow (see README.md): the same four rows by several codecs."""
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path(__file__).parent.parent / "vectors" / "data"
ROWS = [
    {"mr": "name[Aromi], food[Thai]", "ref": "Aromi serves Thai food.", "stars": 4},
    {"mr": "name[Zizzi]", "ref": "Zizzi é, “quoted”\nand on a second line.", "stars": 5},
    {"mr": "name[Aromi], area[riverside]", "ref": "Aromi is by the river.", "stars": 3},
    {"mr": "name[Giraffe]", "ref": "", "stars": 0},
]
CHATS = [
    {"messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]},
    {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"},
                  {"role": "assistant", "content": "4"}]},
]

OUT.mkdir(parents=True, exist_ok=True)
table = pa.Table.from_pylist(ROWS)
for codec in ["none", "snappy", "zstd", "gzip"]:
    pq.write_table(table, OUT / f"pairs-{codec}.parquet", compression=codec, row_group_size=3)
pq.write_table(pa.Table.from_pylist(CHATS), OUT / "chats.parquet", compression="zstd")
pq.write_table(pa.table({"text": pa.array(["a", None])}), OUT / "null.parquet", compression="none")
print("pyarrow", pa.__version__, file=sys.stderr)
