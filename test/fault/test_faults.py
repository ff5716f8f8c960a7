"""The same conversations while reads and writes are short, put off or broken and memory runs out.

The faults are in the binary (any SAN= build) and chosen by its environment: gateway/net/fault.h,
gateway/base/alloc.h. What a kernel may do at any time (short, EAGAIN) must not change one
byte of an answer. What fails for good (no memory, a reset) may cost the exchange it hits, but is
answered by an error or an end that shows, leaves nothing behind, and the next request is served.
"""

import os
import re
import signal
import time

import pytest

import raw
from conversations import is_problem, is_same
from gateway import Gateway, read_text
from scenes import SCENES

BIG = 1024 * 1024
BYTE_BIG, BYTES_BIG = 6000, 40000  # where every byte, or seven, cost us and the peers a call
STEP_BIG = 96 * 1024  # where one process a step is started
PATIENCE_S = 30.0
STEP_PATIENCE_S = 6.0  # longer than the gateway's own deadlines in the steps
STEP_DEADLINE_S = 4
STALLS = {"head_timeout", "body_timeout", "response_timeout", "upstream_idle_timeout", "total_timeout",
          "write_timeout", "connect_timeout", "queue_timeout", "tunnel_timeout"}
SWEEP_S = float(os.environ.get("SLUICE_SWEEP_S", "7"))  # for one sweep over all n: the stride follows; 0: every n
LEAST_STEPS = 8  # of a sweep, however long each takes
NEVER = str(1 << 60)  # no call has this number


class Run:
    """One gateway with these faults, all conversations of a scene; ended and checked."""

    def __init__(self, scene, directory, faults, big=BIG, patience_s=PATIENCE_S, seconds=60, tries=1):
        scene.begin()
        self.gateway = Gateway(scene.binary, directory, scene.configuration(seconds), env=faults, wait=False)
        self.answers = None
        try:
            if not self.begin():
                return
            self.answers = scene.talk(self.gateway.address, big, patience_s)
            probe_until_right(scene, self.gateway.address, patience_s, tries)
            scene.judge(self.gateway)
        except BaseException:
            self.gateway.kill()
            raise
        finally:
            stop(self.gateway, scene, self.answers is not None)

    def begin(self):
        """True when ready; false when it has refused to start, and said so: by an abort where nothing less will do."""
        gateway = self.gateway
        raw.wait_until(lambda: gateway.log("ready") or gateway.process.poll() is not None or
                       (self.hit and gateway.log("admin listening")),
                       what=f"ready, or an end: {gateway.stderr()[-2000:]}")
        if gateway.process.poll() is None:
            return bool(gateway.addresses())  # the fault may cost one line of the log: then nobody can talk to it
        code, told = gateway.process.returncode, gateway.stderr()
        assert code in (1, 3) or (code == -signal.SIGABRT and "this must hold and does not" in told), f"{code}: {told[-4000:]}"
        return False

    @property
    def hit(self):
        """Was there such a call at all?"""
        return "\nfault: " in "\n" + self.gateway.stderr()

    @property
    def calls(self):
        """So many calls were counted that might have failed."""
        return int(re.search(r"^faults: (\d+) ", self.gateway.stderr(), re.M)[1])

    @property
    def reasons(self):
        return {line["reason"] for line in self.gateway.access_log()}


def probe_until_right(scene, address, patience_s, tries):
    """A fault may hit the probe itself: then one of the next must be right."""
    while True:
        try:
            return scene.probe(address, patience_s)
        except (AssertionError, OSError):
            tries -= 1
            if tries == 0:
                raise


def stop(gateway, scene, was_ready):
    try:
        scene.end()
    finally:
        if was_ready:
            gateway.stop()
        else:
            gateway.kill()
            gateway.check_stderr()


@pytest.fixture(scope="module", params=SCENES)
def scene(request, binary, tmp_path_factory):
    it = SCENES[request.param](binary, tmp_path_factory.mktemp("scene") / "scene")
    yield it
    it.leave()


@pytest.fixture(scope="module")
def right(scene, tmp_path_factory):
    """The answers without faults, by the size of the big bodies."""
    return {big: Run(scene, tmp_path_factory.mktemp("right"), {}, big).answers
            for big in (BIG, STEP_BIG, BYTES_BIG, BYTE_BIG)}


MEANT = {
    "h1": {
        "get": [200], "head": [200, 204], "post_length": [200], "post_chunked": [200], "edited": [200],
        "pipelined": [200] * 6, "pipelined_many": [200] * 60, "kept": [200] * 6, "big_length": [200], "big_chunked": [200],
        "until_close": [200], "early": [200], "early_and_gone": [403], "cut": ["cut", "cut"], "interim": [200], "tunnel": [101],
        "close": [200], "local": [200, 200, 200, 308, 413, 200], "malformed": [400, 400]},
    "splice": {"big": [200], "kept": [200] * 3, "behind": [200, 200], "cut": ["cut"]},
    "h2": {
        **{f"{up}_{name}": statuses for up in ("one", "two") for name, statuses in {
            "plain": [200] * 5, "trailers": [200], "at_once": [200] * 12, "big": [200], "early": [200], "cut": ["cut", "cut", 200],
            "interim": [200], "wrong": [200, 400]}.items()},
        "one_local": [200, 308, 413, 200], "two_local": [], "two_1_plain": [200] * 3, "two_1_big": [200], "two_1_cut": ["cut", "cut"],
        "two_1_refused": [200, 200]},
    "tunnels": {f"{up}_by_{by}": [status] for up in ("one", "two", "watched") for by, status in (("one", 101), ("two", 200))},
    "tls": {
        **{f"{up}_{name}": statuses for up in ("one", "two") for name, statuses in {
            "1_plain": [200] * 3, "1_big": [200], "1_cut": ["cut", "cut"], "2_plain": [200] * 5, "2_big": [200],
            "2_at_once": [200] * 12, "tunnel": [101]}.items()},
        "close": [200]},
}


def test_without_faults_every_conversation_ends_as_meant(scene, right):
    got = {name: [o[2] if o[0] == "answer" else o[0] for o in outcomes] for name, outcomes in right[BIG].items()}
    assert got == MEANT[scene.name]


def test_what_is_special_is_among_them(scene, right):
    said = right[BIG]
    if scene.name == "h1":
        assert said["post_chunked"][0][3].count(("x-trailers", "[('x-t', 'v')]")) == 1
        assert said["interim"][0][1] == [100, 103]
    if scene.name == "splice":
        assert scene.moved[0] > 2 * BIG
    if scene.name == "h2":
        for up in ("one", "two"):
            assert ("x-trailers", "[('x-t', 'v')]") in said[f"{up}_trailers"][0][3]
            assert said[f"{up}_plain"][3][5] == [("x-t", "end")]
        assert (said["one_interim"][0][1], said["two_interim"][0][1]) == ([100, 103], [103])
    if scene.name == "tunnels":
        assert all(len(outcome[4]) == BIG for [outcome] in said.values())


HARMLESS = [
    {"READ": 1}, {"WRITE": 1}, {"READ": 1, "WRITE": 1}, {"READ": 7, "WRITE": 7}, {"AGAIN": 2}, {"AGAIN": 3},
    {"READ": 7, "WRITE": 7, "AGAIN": 2}, {"READ": 1, "WRITE": 1, "AGAIN": 3}, {"READ": 1000, "WRITE": 900, "AGAIN": 5},
]


@pytest.mark.parametrize("faults", HARMLESS, ids=lambda f: "-".join(f"{k.lower()}{v}" for k, v in f.items()))
def test_short_and_late_calls_change_no_answer(scene, tmp_path, right, faults):
    big = {1: BYTE_BIG, 7: BYTES_BIG}.get(min(faults.get("READ", BIG), faults.get("WRITE", BIG)), BIG)
    run = Run(scene, tmp_path, {f"SLUICE_FAULT_{k}": str(v) for k, v in faults.items()}, big)
    for name, outcomes in right[big].items():
        for got, want in zip(run.answers[name], outcomes, strict=True):
            assert is_same(got, want) or scene.may_cut(got, want), name
    assert not run.reasons & STALLS


# --- what fails for good


def judge(run, right, what):
    """Every answer is right, or an error, or visibly cut; and nothing only ended because time was up."""
    for name, outcomes in run.answers.items():
        for got, want in zip(outcomes, right[name]):
            fine = is_same(got, want) or is_problem(got) or got[0] in ("cut", "unsent")
            assert fine, f"{what}, {name}: {got!r:.2000}, not {want!r:.2000}"
            if got[0] == "cut" and want[0] != "unsent":
                whole = want[4] if want[0] == "answer" else want[1]
                assert whole.startswith(got[1]), f"{what}, {name}: a wrong piece"
    stalled = [line for line in run.gateway.access_log() if line["reason"] in STALLS]
    assert not stalled, f"{what}: ended only because time was up: {stalled}"


@pytest.mark.parametrize("fault", ["SLUICE_FAULT_ACCEPT", "SLUICE_FAULT_DIAL"])
def test_connections_that_cannot_be_made_are_told(scene, tmp_path, right, fault):
    run = Run(scene, tmp_path, {fault: "3"}, STEP_BIG, STEP_PATIENCE_S, STEP_DEADLINE_S, tries=100)
    judge(run, right[STEP_BIG], fault)
    if scene.name == "h1":
        assert any(outcomes != right[STEP_BIG][name] for name, outcomes in run.answers.items()), "nothing failed"


def step(scene, directory, right, variable, n):
    what = f"{variable}={n}"
    try:
        run = Run(scene, directory / f"{variable}-{n}", {variable: str(n)}, STEP_BIG, STEP_PATIENCE_S,
                  STEP_DEADLINE_S, tries=2)
        if run.answers is not None:
            judge(run, right, what)
    except (AssertionError, OSError, ValueError) as failure:
        logs = read_text(directory / f"{variable}-{n}" / "stderr.log")
        return f"{what}: {type(failure).__name__}: {failure!s:.3000}\n{logs[-1500:]}", "\nfault: " in "\n" + logs
    return None, run.hit


def sweep(scene, directory, right, variable):
    """Fail the n-th call, for every n, or as many as the time allows spread over all; every failure is told."""
    last = Run(scene, directory / "count", {variable: NEVER}, STEP_BIG).calls
    failures, n, steps, began = [], 1, 0, time.monotonic()
    hit = True
    while hit and len(failures) < 5:
        failure, hit = step(scene, directory / "sweep", right, variable, n)
        failures += [failure] if failure else []
        steps += 1
        spent_s = time.monotonic() - began
        steps_left = max(1.0, LEAST_STEPS - steps, (SWEEP_S - spent_s) * steps / spent_s)
        n += max(1, round((last - n) / steps_left)) if SWEEP_S > 0 else 1
    assert not failures, "\n".join(failures)
    assert steps > 5, "the faults do not fail anything"


def test_any_allocation_may_fail(scene, tmp_path, right):
    sweep(scene, tmp_path, right[STEP_BIG], "SLUICE_FAIL_ALLOC")


def test_any_connection_may_be_reset(scene, tmp_path, right):
    sweep(scene, tmp_path, right[STEP_BIG], "SLUICE_FAULT_RESET")
