"""Fixtures of the black-box tests. See test/README.md."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

pytest.register_assert_rewrite("raw", "upstream", "h2_upstream", "gateway", "nginx")

from fake_consul import FakeConsul  # noqa: E402
from gateway import DEFAULT_BINARY, Gateway, plain, run_sluice  # noqa: E402
from h2_upstream import H2Upstream  # noqa: E402
from nghttpd import Nghttpd  # noqa: E402
from nginx import Nginx  # noqa: E402
from upstream import Upstream  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--sluice", default=os.environ.get("SLUICE", DEFAULT_BINARY), help="the binary under test")


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """When a test failed, show the end of each gateway's log with it."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for gateway in getattr(item, "gateways", []):
            report.sections.append((f"stderr of the gateway in {gateway.dir}", gateway.stderr()[-4000:]))


@pytest.fixture(scope="session")
def binary(request):
    path = os.path.abspath(request.config.getoption("--sluice"))
    if not os.access(path, os.X_OK):
        pytest.fail(f"no binary at {path}: build it, or name one by --sluice or SLUICE", pytrace=False)
    return path


def close_all(things):
    """Stop each; the first failure is raised after all are stopped."""
    failures = []
    for thing in reversed(things):
        try:
            thing.stop()
        except AssertionError as failure:
            failures.append(failure)
    if failures:
        raise failures[0]


@pytest.fixture
def sluice(binary, tmp_path):
    """Run a command: sluice("check", "x.yaml") in the test's directory."""
    def run(*args, **options):
        return run_sluice(binary, *args, cwd=options.pop("cwd", tmp_path), **options)
    return run


@pytest.fixture
def start(binary, tmp_path, request):
    """Start gateways: start({...}); all are stopped and checked at the end."""
    started = []
    request.node.gateways = started

    def begin(config=None, **options):
        started.append(Gateway(binary, tmp_path / f"gateway{len(started)}", config, **options))
        return started[-1]
    yield begin
    close_all(started)


@pytest.fixture
def upstreams():
    """Make fake upstreams: upstreams() or upstreams(script)."""
    made = []

    def make(*args, **options):
        made.append(Upstream(*args, **options))
        return made[-1]
    yield make
    close_all(made)


@pytest.fixture
def h2_upstreams():
    """Make scripted HTTP/2 upstreams: h2_upstreams() or h2_upstreams(script)."""
    made = []

    def make(*args, **options):
        made.append(H2Upstream(*args, **options))
        return made[-1]
    yield make
    close_all(made)


@pytest.fixture
def upstream(upstreams):
    return upstreams()


@pytest.fixture
def gateway(upstream, start):
    """A gateway that sends everything to `upstream`."""
    return start(plain(upstream))


@pytest.fixture(scope="module")
def shared(binary, tmp_path_factory):
    """One gateway and one upstream for a whole module of stateless table tests."""
    fake = Upstream()
    gateway = Gateway(binary, tmp_path_factory.mktemp("shared"), plain(fake))
    gateway.upstream = fake
    yield gateway
    close_all([fake, gateway])


@pytest.fixture
def fake():
    """A Consul of ours."""
    consul = FakeConsul()
    yield consul
    consul.stop()


@pytest.fixture
def nginx(tmp_path):
    """Start a real nginx: nginx({"a.txt": b"..."})."""
    started = []

    def begin(files=None, **options):
        started.append(Nginx(tmp_path / f"nginx{len(started)}", files, **options))
        return started[-1]
    yield begin
    for server in started:
        server.stop()


@pytest.fixture
def nghttpd(tmp_path):
    """Start a real nghttpd: nghttpd({"a.txt": b"..."})."""
    started = []

    def begin(files, *options, **more):
        started.append(Nghttpd(tmp_path / f"nghttpd{len(started)}", files, *options, **more))
        return started[-1]
    yield begin
    for server in started:
        server.stop()
