"""What the fault runs stand on; see test_faults.py."""

import os
import sys

import pytest

TEST = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TEST, "support"))

pytest.register_assert_rewrite("raw", "upstream", "gateway", "conversations")

DEFAULT = os.path.join(os.path.dirname(TEST), "build", "address-undefined", "sluice")


def pytest_addoption(parser):
    parser.addoption("--sluice", default=os.environ.get("SLUICE", DEFAULT),
                     help="a binary built with faults (any SAN= build)")


@pytest.fixture(scope="session")
def binary(request):
    path = os.path.abspath(request.config.getoption("--sluice"))
    with open(path, "rb") as file:
        assert b"SLUICE_FAULT_READ" in file.read(), f"{path} is built without faults: use SAN=address,undefined"
    return path
