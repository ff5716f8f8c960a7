"""The life of a plugin's file: loaded, replaced while requests are under way, unloaded; errors and crashes named."""

import os
import shutil
import signal

import pytest

import plugins
from plugins import done, marks, probe
from raw import wait_until


@pytest.fixture
def shelf(tmp_path, binary):
    """A folder of plugins of this test's own."""
    folder = tmp_path / "shelf"
    shutil.copytree(plugins.folder(binary), folder)
    return folder


def mapped(gateway, name):
    """The private copies of this plugin that are mapped, by inode."""
    with open(f"/proc/{gateway.pid}/maps", encoding="utf-8") as maps:
        return {line.split()[4] for line in maps if f"memfd:sluice-{name}" in line}


def change(path):
    """Other content that does the same: what follows the last section is nobody's business."""
    with open(path, "rb") as file:
        content = file.read()
    with open(str(path) + ".new", "wb") as file:
        file.write(content + b"\0")
    os.replace(str(path) + ".new", path)


def config(shelf, *entries, **more):
    return {"plugin_path": [str(shelf)], "plugins": list(entries),
            "routes": [{"name": "all", "echo": True}], **more}


def test_new_content_is_loaded_by_a_reload_and_the_old_unloaded_when_nobody_needs_it(start, shelf):
    gateway = start(config(shelf, probe("a", entry={"wait": "1h", "when": {"path": "/wait"}}, request="wait"),
                           probe("b", "b")))
    first = mapped(gateway, "probe")
    assert len(first) == 1
    with gateway.client() as client:
        client.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: gateway.metric("sluice_plugin_waits_total", plugin="probe") == 1, what="a request that waits")
        change(shelf / "probe.so")
        gateway.must_reload()
        assert marks(gateway.ask())[-1][0] == "b.request"
        assert len(mapped(gateway, "probe")) == 2 and first < mapped(gateway, "probe")
    wait_until(lambda: len(mapped(gateway, "probe")) == 1, what="the old file to go")
    assert not first & mapped(gateway, "probe")
    wait_until(lambda: len(done(gateway, "a")) == 1, what="the end of the one that waited")


def test_a_reload_without_change_loads_nothing(start, shelf):
    gateway = start(config(shelf, probe("a")))
    first = mapped(gateway, "probe")
    for _ in range(3):
        gateway.must_reload()
    assert gateway.ask().status == 200
    wait_until(lambda: mapped(gateway, "probe") == first, what="one file")


def test_a_file_that_is_replaced_does_not_touch_what_runs(start, shelf):
    gateway = start(config(shelf, probe("a")))
    with open(shelf / "probe.so", "r+b") as file:
        file.truncate(100)
    assert gateway.ask().status == 200
    status, told = gateway.reload()
    assert status != 200 and "probe" in str(told)
    assert gateway.ask().status == 200


@pytest.mark.parametrize("written, expected", [
    ({"probe": {"wrod": "x"}}, ["unknown key 'wrod'", "did you mean 'word'"]),
    ({"probe": {"word": "bad"}}, ["plugin 'probe': the word 'bad' is bad", "choose another word"]),
    ({"probe": {"request": "pas"}}, ["unknown value 'pas'", "did you mean 'pass'"]),
    ({"probe": {}, "on_error": "ope"}, ["unknown value 'ope'"]),
    ({"probe": {"text": "${nothing"}}, ["'${' without '}'"]),
    ({"prob": {}}, ["there is no prob.so in"]),
    ({"probe": {}, "editor": {}}, ["an entry names one plugin"]),
])
def test_wrong_entries_are_told_with_their_place(sluice, shelf, tmp_path, written, expected):
    import yaml
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(config(shelf, written)), encoding="utf-8")
    result = sluice("check", str(path))
    assert result.returncode != 0
    for text in expected:
        assert text in result.stderr, result.stderr
    assert f"{path}:" in result.stderr


def test_several_errors_are_told_at_once(sluice, shelf, tmp_path):
    import yaml
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(config(shelf, {"probe": {"wrod": 1, "request": "x"}}, {"editor": {"limit": "x"}})),
                    encoding="utf-8")
    result = sluice("check", str(path))
    assert result.stderr.count("error:") == 3, result.stderr


@pytest.mark.skipif(bool(os.environ.get("SLUICE_SAN")), reason="a sanitizer has its own say about signals")
@pytest.mark.parametrize("how", ["crash", "overflow"])
def test_a_crash_names_plugin_and_phase(start, shelf, how):
    gateway = start(config(shelf, probe("a", request=how)))
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert gateway.wait() == -signal.SIGSEGV
    gateway.stopped = True
    assert "SIGSEGV in plugin probe, phase request_head, content " in gateway.stderr()
    assert "plugins[0]" in gateway.stderr()


def test_a_callback_that_holds_its_worker_is_warned_of(start, shelf):
    gateway = start({"plugin_path": [str(shelf)], "plugins": [probe("a", request="slow"), probe("b", "b", request="fail")],
                     "routes": [{"name": "all", "respond": {"status": 200}}]})
    assert gateway.ask().status == 500
    assert gateway.metric("sluice_plugin_slow_total", plugin="probe", phase="request_head") >= 1
    told = gateway.log("plugin held its worker: what takes time belongs into offload() or a call")[0]
    assert (told["plugin"], told["phase"], told["place"]) == ("probe", "request_head", "plugins[0]")
    assert int(told["us"]) >= 15000


def test_plugins_are_counted(start, shelf):
    gateway = start(config(shelf, probe("a", request="reply"), probe("b", "b")))
    gateway.ask()
    gateway.wait_metric(lambda m: m.get("sluice_plugin_phase_seconds_count", plugin="probe", phase="done") == 1, "the end")
    metrics = gateway.metrics()
    assert metrics.get("sluice_plugin_phase_seconds_count", plugin="probe", phase="request_head") == 1
    assert metrics.get("sluice_plugin_replies_total", plugin="probe") == 1
    assert metrics.get("sluice_plugin_phase_seconds_sum", plugin="probe", phase="request_head") > 0
    assert metrics.get("sluice_plugin_phase_seconds_bucket", plugin="probe", phase="request_head", le="+Inf") == 1
    assert metrics.get("sluice_plugin_place_replies_total", place="probe") == 1
    assert not metrics.has("sluice_plugin_place_replies_total", place="b")
    places = gateway.admin.json("/plugins")["places"]
    assert {one["id"]: one["replies"] for one in places} == {"probe": 1, "b": 0}
