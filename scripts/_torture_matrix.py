"""The cells of matrices that `scripts/test` leaves out: every strategy on every task, every recipe of the Hub."""

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(["-m", "matrix", "-n", "auto", "--dist", "loadgroup", *sys.argv[1:]]))
