"""Plugins that send a request elsewhere, one that stays loaded, and files that are no plugin of this gateway."""

import os
import shutil
import subprocess

import pytest

import plugins
from raw import wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

HEADER = os.path.join(ROOT, "gateway", "abi")
SOURCE = """
#include "sluice_plugin.h"
%s
"""
DESCRIPTOR = """
static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    (void)call;
    return SLUICE_NEXT;
}
static const struct sluice_option options[] = {{.kind = SLUICE_OPTION_END}};
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const struct sluice_plugin sluice_plugin = {
    .size = SIZE, .abi = ABI, .abi_minor = 0, .option_size = OPTION_SIZE, .name = NAME, .version = "1",
    .options = options, .conf_size = CONF_SIZE, .on_request_head = on_request_head,
};
"""


def config(folder, upstreams, entry, **more):
    return {"plugin_path": [str(folder)],
            "upstreams": {name: {"endpoints": [fake.address]} for name, fake in upstreams.items()},
            "routes": [{"name": "all", "upstream": "a", "plugins": [{"router": entry}]}], **more}


@pytest.fixture
def two(upstreams):
    return {"a": upstreams(), "b": upstreams()}


def test_a_request_goes_to_the_path_that_a_plugin_sets(start, binary, two):
    gateway = start(config(plugins.folder(binary), two, {"path": "/new/place", "query": "x=1"}))
    assert gateway.ask(target="/old?y=2").status == 200
    assert two["a"].last.request_line.split(" ")[1] == "/new/place?x=1"
    gateway.must_reload(config(plugins.folder(binary), two, {"path": "/alone"}))
    assert gateway.ask(target="/old?y=2").status == 200
    assert two["a"].last.request_line.split(" ")[1] == "/alone"


@pytest.mark.parametrize("path", ["relative", "/a b", "/a\x01", "/a#b", "*"])
def test_no_path_that_could_be_read_in_two_ways_is_taken(start, binary, two, path):
    gateway = start(config(plugins.folder(binary), two, {"path": path}))
    assert gateway.ask().status == 500
    assert not two["a"].requests
    gateway.expect_end("plugin_failed")


def test_a_request_goes_to_the_upstream_that_a_plugin_sets(start, binary, two):
    gateway = start(config(plugins.folder(binary), two, {"upstream": "b"}))
    assert gateway.ask(target="/x").status == 200
    assert not two["a"].requests and two["b"].last.path == "/x"


def test_once_it_is_answered_it_is_too_late(start, binary, two):
    gateway = start(config(plugins.folder(binary), two, {"upstream": "b", "late": True}))
    answer = gateway.ask(target="/x")
    assert answer.status == 200
    assert [value for name, value in answer.fields if name.lower() == "x-router"] == [
        "target too late", "upstream too late"]
    assert two["b"].last.path == "/x" and len(two["b"].requests) == 1


def test_a_plugin_that_says_so_stays_loaded(start, binary, two, tmp_path):
    def mapped(name):
        with open(f"/proc/{gateway.pid}/maps", encoding="utf-8") as maps:
            return any(f"memfd:sluice-{name} " in line or f"memfd:sluice-{name}\n" in line for line in maps)
    shutil.copytree(plugins.folder(binary), tmp_path / "shelf")
    with_both = config(tmp_path / "shelf", two, {"upstream": "b"}, plugins=[plugins.probe("a")])
    gateway = start(with_both)
    assert gateway.ask().status == 200 and mapped("router") and mapped("probe")
    gateway.must_reload({**with_both, "plugins": [], "routes": [{"name": "all", "upstream": "a"}]})
    wait_until(lambda: not mapped("probe"), what="the other one to go")
    assert mapped("router")
    assert gateway.ask().status == 200 and two["a"].requests
    gateway.must_reload(with_both)
    assert gateway.ask().status == 200 and mapped("router")


def build(folder, name, body, **values):
    values = {"SIZE": "sizeof(struct sluice_plugin)", "ABI": "SLUICE_ABI", "CONF_SIZE": "8",
              "OPTION_SIZE": "sizeof(struct sluice_option)", "NAME": f'"{name}"', **values}
    source = folder / f"{name}.c"
    source.write_text(SOURCE % body)
    subprocess.run(["cc", "-shared", "-fPIC", f"-I{HEADER}", *[f"-D{key}={value}" for key, value in values.items()],
                    "-o", str(folder / f"{name}.so"), str(source)], check=True)


@pytest.mark.parametrize("name, values, told", [
    ("fine", {}, None),
    ("later", {"ABI": "2"}, "it was built for plugin ABI 2, this gateway speaks ABI 1: build it again"),
    ("older", {"ABI": "0"}, "it was built for plugin ABI 0, this gateway speaks ABI 1"),
    ("empty", {"SIZE": "4"}, "it exports no descriptor of a plugin (its size says 4)"),
    ("small", {"SIZE": "64"}, "its descriptor has 64 bytes, ABI 1.0 has at least"),
    ("options", {"OPTION_SIZE": "16"}, "its options have 16 bytes each, ABI 1.0 has at least"),
    ("nowhere", {"CONF_SIZE": "0"}, "it has options, and conf_size 0 to keep them in"),
    ("other", {"NAME": '"another"'}, "it calls itself 'another', the file is called 'other'"),
])
def test_what_does_not_fit_is_refused_and_both_sides_are_named(sluice, tmp_path, name, values, told):
    build(tmp_path, name, DESCRIPTOR, **values)
    (tmp_path / "c.yaml").write_text(f"plugin_path: [ . ]\nplugins: [ {name} ]\nroutes: [ {{ echo: true }} ]\n")
    run = sluice("check", "c.yaml")
    said = run.stdout + run.stderr
    if told:
        assert run.returncode == 3 and told in said and "c.yaml:2:12" in said, said
    else:
        assert run.returncode == 0, said


@pytest.mark.parametrize("content, told", [
    (b"no code at all", "it cannot be loaded"), (b"", "cannot be copied"),
    (None, "it exports no 'sluice_plugin'")])
def test_a_file_without_a_descriptor_is_refused(sluice, tmp_path, content, told):
    if content is None:
        build(tmp_path, "blank", "int nothing;")
    else:
        (tmp_path / "blank.so").write_bytes(content)
    (tmp_path / "c.yaml").write_text("plugin_path: [ . ]\nplugins: [ blank ]\nroutes: [ { echo: true } ]\n")
    run = sluice("check", "c.yaml")
    assert run.returncode == 3 and told in run.stdout + run.stderr, run.stdout + run.stderr
