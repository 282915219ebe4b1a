"""`edgeuk pipeline test`: CSV files in, the firmware's filters as a program, results out."""

from decimal import Decimal as D

import pytest

from edgeuk.errors import ConfigError, UsageError
from edgeuk.pipeline_host import Sample, read_csv, run_filters


def samples(*values):
    return [Sample(D(i), D(v)) for i, v in enumerate(values)]


def test_a_chain_gives_what_it_would_on_the_device():
    chain = [
        ("calibrate_linear", {"calibrate_linear": [[0, 1], [10, 11]]}),
        ("median", {"median": 3}),
        ("clamp", {"clamp": [0, 30]}),
        ("delta", {"delta": D("0.25"), "heartbeat": 3000}),
    ]
    results = run_filters(chain, 2, samples("1", "99", "1.1", "1.2", "1.126", "1.2"))
    # Plus 1: 2, 100, 2.1, 2.2, 2.13, 2.2. Medians: 2, 51, 2.1, 2.2, 2.13, 2.2.
    assert [r.value for r in results] == [D(2), D(30), D("2.1"), None, None, D("2.2")]
    assert [r.clamped for r in results] == [False, True, False, False, False, False]
    assert results[4].input == D("1.13")


def test_two_filters_of_one_kind_keep_their_state_apart():
    chain = [("median", {"median": 3}), ("median", {"median": 5})]
    results = run_filters(chain, 0, samples(1, 9, 2, 8, 3, 7))
    # Medians of 3: 1, 5, 2, 8, 3, 7; of 5 of those: 1, 3, 2, 3.5 (up to 4), 3, 5.
    assert [r.value for r in results] == [1, 3, 2, 4, 3, 5]


def test_no_filters_give_back_what_came():
    assert [r.value for r in run_filters([], 1, samples("1.25", "-1.25"))] == [D("1.3"), D("-1.3")]


def test_a_second_run_begins_anew():
    for _ in range(2):
        assert run_filters([("delta", {"delta": 5})], 0, samples(1))[0].value == 1


def test_a_value_beyond_64_bits_is_refused():
    with pytest.raises(UsageError, match="out of range for a channel of 9 decimals"):
        run_filters([], 9, samples("1e10"))


@pytest.mark.parametrize("head", ["time,value\n", "Zeit; s , Wert\n", "", "\ufeff", "# note\n"])
def test_csv_may_have_a_header(tmp_path, head):
    path = tmp_path / "data.csv"
    path.write_text(head + '0,21.5\n\n1.5, -3e1\n"2",".5"\n')
    assert read_csv(path) == [
        Sample(D(0), D("21.5")),
        Sample(D("1.5"), D(-30)),
        Sample(D(2), D("0.5")),
    ]


def test_every_bad_row_is_reported(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("time,value\n0,1\nx,1\n1,y\n2\n3,4,5\n2,nan\n-1,1\n0.5,1\n0.25,1\n")
    with pytest.raises(ConfigError) as caught:
        read_csv(path)
    faults = [(f.place.line, f.what) for f in caught.value.faults]
    assert faults == [
        (3, "time `x` is not a number"),
        (4, "value `y` is not a number"),
        (5, "1 column instead of 2"),
        (6, "3 columns instead of 2"),
        (7, "value `nan` is not a number"),
        (8, "time -1 is out of range"),
        (10, "time goes back, from 0.5 to 0.25"),
    ]


def test_a_file_without_rows_or_not_there_or_not_text(tmp_path):
    path = tmp_path / "data.csv"
    with pytest.raises(UsageError, match="no such file"):
        read_csv(path)
    path.write_text("time,value\n")
    with pytest.raises(ConfigError, match="no rows"):
        read_csv(path)
    path.write_bytes(b"0,1\n\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_csv(path)
