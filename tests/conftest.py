"""One thread for the tiny models of the tests: more only wait for each other."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
