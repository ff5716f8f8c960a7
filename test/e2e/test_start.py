"""What a user does first: start it, ask it, read its help; and what scripts rely on: exit codes."""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile

import jsonschema
import pytest
import yaml

from gateway import ROOT, Admin, expect_problem, plain
from raw import ask, wait_until

COMMANDS = ["run", "check", "reload", "upstreams", "schema", "reference", "explain", "version", "completion", "help"]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def text_address(gateway):
    """The address of the listener, from the text log."""
    found = wait_until(lambda: re.search(r" listening .*\blistener=\S+ address=(\S+)", gateway.stderr()),
                       what="listening in the text log")
    return found[1]


def test_run_to_a_url_needs_no_file(start, upstream):
    gateway = start(args=["run", "--to", f"http://{upstream.address}", "--listen", "127.0.0.1:0"], wait=False)
    wait_until(lambda: gateway.process.poll() is not None or "ready" in gateway.stderr(), what="ready, or the end")
    if gateway.process.poll() == 1 and "9901" in gateway.stderr():
        gateway.stopped = True  # it has ended, rightly, by 1
        pytest.skip("another gateway has the default admin address")
    answer = ask(text_address(gateway), target="/hello?x=1")
    assert (answer.status, answer.body) == (200, b"ok")
    assert upstream.last.target == "/hello?x=1"


def test_run_to_what_is_no_url_is_wrong_usage(sluice):
    for url in ("nonsense", "ftp://127.0.0.1:1", "http://", "http://127.0.0.1:99999"):
        run = sluice("run", "--to", url, "--listen", "127.0.0.1:0")
        assert run.returncode in (2, 3), (url, run)
        assert "error" in run.stderr, run.stderr


def test_run_reads_sluice_yaml_of_the_current_folder(start, upstream):
    gateway = start(plain(upstream), args=["run"])
    assert gateway.ask().status == 200


def test_print_config_shows_what_would_run_and_ends(sluice, upstream):
    run = sluice("run", "--to", f"http://{upstream.address}", "--listen", "127.0.0.1:0", "--print-config")
    assert run.returncode == 0, run.stderr
    shown = yaml.safe_load(run.stdout)
    assert upstream.address in str(shown["upstreams"])
    assert "127.0.0.1:0" in str(shown["listeners"])


def test_the_printed_configuration_is_a_valid_one(sluice, tmp_path, upstream):
    printed = sluice("run", "--to", f"http://{upstream.address}", "--print-config").stdout
    (tmp_path / "printed.yaml").write_text(printed)
    run = sluice("check", "printed.yaml")
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_default_configuration_answers_at_once(start):
    """conf/sluice.yaml as shipped, on other ports: its echo route answers without anything else."""
    config = yaml.safe_load(open(os.path.join(ROOT, "conf", "sluice.yaml"), encoding="utf-8"))
    config["listeners"] = [{**(config.get("listeners") or [{}])[0], "name": "main", "bind": "127.0.0.1:0"}]
    config["admin"] = {"bind": "127.0.0.1:0"}
    config["log"] = {"format": "json"}
    gateway = start(config)
    answer = gateway.ask(target="/any?x=1", fields={"X-Seen": "yes"})
    assert answer.status == 200
    assert answer.get("content-type").startswith("application/json")
    assert json.loads(answer.body)["method"] == "GET"
    assert "/any" in answer.body.decode() and "yes" in answer.body.decode()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_first_curl_lines_work(start):
    gateway = start({"routes": [{"echo": True}]})

    def curl(*args):
        return subprocess.run(["curl", "-sS", "--max-time", "10", *args], capture_output=True, text=True,
                              check=True).stdout
    seen = json.loads(curl(f"http://{gateway.address}/hello?name=you"))
    assert seen["method"] == "GET"
    seen = json.loads(curl("-d", "some=form", f"http://{gateway.address}/form"))
    assert seen["method"] == "POST"
    assert "sluice_ready 1" in curl(f"http://{gateway.admin.address}/metrics")
    assert curl(f"http://{gateway.admin.address}/healthz").strip() == "ok"


def test_ready_is_logged_with_the_real_addresses(start, upstream):
    gateway = start(plain(upstream,
                          listeners=[{"name": "a", "bind": "127.0.0.1:0"}, {"name": "b", "bind": "127.0.0.1:0"}]))
    addresses = gateway.addresses()
    assert set(addresses) == {"a", "b"}
    assert all(re.fullmatch(r"127\.0\.0\.1:[1-9][0-9]*", address) for address in addresses.values())
    assert len(gateway.log("ready")) == 1 and len(gateway.log("admin listening")) == 1
    for name in addresses:
        assert gateway.ask(listener=name).status == 200


def test_a_listener_may_be_a_unix_socket_or_version_6(start, upstream):
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/edge.sock"
        gateway = start(plain(upstream,
                              listeners=[{"name": "u", "bind": f"unix:{path}"}, {"name": "six", "bind": "[::1]:0"}]))
        assert ask(f"unix:{path}").status == 200
        assert gateway.ask(listener="six").status == 200
        gateway.stop()
        assert not os.path.exists(path), "the socket file is left behind"


def test_an_upstream_endpoint_may_be_a_name(start, upstream):
    config = plain(upstream)
    config["upstreams"]["app"]["endpoints"] = [f"localhost:{upstream.port}"]
    gateway = start(config)
    statuses = {gateway.ask().status for _ in range(4)}  # localhost may be ::1 too, where nobody listens
    assert 200 in statuses


def test_an_address_in_use_fails_with_1_and_says_which(sluice, tmp_path, upstream):
    config = {"upstreams": {"app": {"endpoints": ["127.0.0.1:1"]}}, "routes": [{"upstream": "app"}], "admin": "off",
              "listeners": [{"bind": upstream.address}]}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    run = sluice("run", "-c", "c.yaml")
    assert run.returncode == 1, run
    assert upstream.address in run.stderr


def test_a_privileged_or_foreign_address_fails_with_1(sluice, tmp_path):
    config = {"routes": [{"echo": True}], "admin": "off", "listeners": [{"bind": "192.0.2.1:8080"}]}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    run = sluice("run", "-c", "c.yaml")
    assert run.returncode == 1 and "192.0.2.1:8080" in run.stderr, run


def test_a_missing_configuration_file_is_told(sluice):
    run = sluice("run", "-c", "nowhere.yaml")
    assert run.returncode in (1, 3) and "nowhere.yaml" in run.stderr, run


@pytest.mark.parametrize("args", [["frobnicate"], ["run", "--frobnicate"], ["run", "-c"], ["check", "a", "b", "c"],
                                  ["explain"], ["explain", "GET"], ["completion", "tcsh"], ["completion"],
                                  ["help", "frobnicate"]])
def test_wrong_usage_exits_with_2_and_points_to_help(sluice, args):
    run = sluice(*args)
    assert run.returncode == 2, run
    assert run.stderr.strip() and "Traceback" not in run.stderr


def test_a_mistyped_command_gets_the_nearest_name(sluice):
    run = sluice("chek")
    assert run.returncode == 2 and "check" in run.stderr, run


def test_version_tells_one_line(sluice):
    for args in (["version"], ["--version"]):
        run = sluice(*args)
        assert run.returncode == 0, run
        assert re.search(r"sluice \S*[0-9]+\.[0-9]+", run.stdout.splitlines()[0]), run.stdout


def test_help_names_every_command(sluice):
    for args in (["--help"], ["-h"], ["help"]):
        run = sluice(*args)
        assert run.returncode == 0, run
        for command in COMMANDS:
            assert re.search(rf"^\s*(sluice )?{command}\b", run.stdout, re.M), (args, command, run.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(sluice, command):
    texts = set()
    for args in ([command, "--help"], [command, "-h"], ["help", command]):
        run = sluice(*args)
        assert run.returncode == 0, run
        texts.add(run.stdout)
    assert len(texts) == 1 and command in texts.pop()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(sluice, shell):
    run = sluice("completion", shell)
    assert run.returncode == 0, run
    for command in COMMANDS:
        assert command in run.stdout
    if shutil.which(shell):
        check = subprocess.run([shell, "-n"], input=run.stdout, capture_output=True, text=True, check=False)
        assert check.returncode == 0, check.stderr


def test_bash_completion_completes_a_command(sluice, tmp_path):
    (tmp_path / "c").write_text(sluice("completion", "bash").stdout)
    script = ("source ./c; COMP_WORDS=(sluice che); COMP_CWORD=1; COMP_LINE='sluice che'; COMP_POINT=10; "
              "f=$(complete -p sluice | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $f sluice che sluice; echo \"${COMPREPLY[@]}\"")
    run = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["check"], run


def test_the_schema_accepts_what_check_accepts(sluice, tmp_path):
    schema = json.loads(sluice("schema").stdout)
    jsonschema.validators.validator_for(schema).check_schema(schema)
    good = {
        "workers": 2, "admin": "off", "log": {"level": "debug"},
        "listeners": [{"name": "edge", "bind": "127.0.0.1:0", "limits": {"line": "8KiB"},
                       "timeout": {"head": "10s"}}],
        "upstreams": {"app": {"endpoints": ["127.0.0.1:9000", {"address": "127.0.0.1:9001", "weight": 5}]}},
        "routes": [{"name": "a", "match": {"host": "a.example", "path": "/x/", "methods": ["GET"],
                                           "fields": {"x-version": "2", "x-debug": {"present": True}}},
                    "upstream": "app", "request_fields": {"set": {"x-a": "b"}, "remove": ["x-c"]}},
                   {"split": [{"upstream": "app", "weight": 95}]},
                   {"match": {"path": "/old"}, "redirect": {"status": 301, "path": "/new"}}],
    }
    jsonschema.validate(good, schema)
    (tmp_path / "good.yaml").write_text(yaml.safe_dump(good))
    assert sluice("check", "good.yaml").returncode == 0


@pytest.mark.parametrize("bad", [{"rutes": []}, {"workers": "many"}, {"routes": "none"}, {"log": {"level": "loud"}},
                                 {"listeners": [{"bnd": "127.0.0.1:0"}]}, {"routes": [{"upstreem": "a"}]}, {"workers": 0},
                                 {"workers": 1000}, {"listeners": [{"bind": "127.0.0.1:0", "timeout": {"head": 0}}]},
                                 {"listeners": [{"bind": "127.0.0.1:0", "timeout": {"head": "0s"}}]},
                                 {"listeners": [{"bind": "127.0.0.1:0", "limits": {"line": 10}}]},
                                 {"routes": [{"echo": True, "limits": {"body": "0KiB"}}]}])
def test_the_schema_refuses_what_check_refuses(sluice, tmp_path, bad):
    schema = json.loads(sluice("schema").stdout)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema)
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(bad))
    assert sluice("check", "bad.yaml").returncode == 3


def test_the_schema_knows_the_options_of_plugins(sluice):
    schema = json.loads(sluice("schema").stdout)
    jsonschema.validate({"plugins": ["cors", {"request_id": None}, {"request_id": {"field": "x-id"}, "wait": "1s"},
                                     {"somebody_elses": {"any": ["thing"]}, "name": "x"},
                                     {"any_of": [{"cors": {"origins": ["https://a.example"]}}, "request_id"]}],
                         "routes": [{"echo": True, "plugins": {"request_id": {}}}]}, schema)
    for wrong in ([{"request_id": {"fild": "x-id"}}], [{"request_id": {}, "when": {"bogus": 1}}], [{}], [7],
                  [{"any_of": [{"request_id": {"fild": "x-id"}}]}], [{"cors": {"max_age": "long"}}],
                  [{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1}]):
        for bad in ({"plugins": wrong}, {"routes": [{"echo": True, "plugins": wrong}]}):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(bad, schema)
    reference = sluice("reference").stdout
    assert "## `plugins[].jwt_auth`\n" in reference and "## `plugins[].when`\n" in reference


def test_a_plugin_that_cannot_be_loaded_is_left_out_of_the_schema(sluice, tmp_path):
    (tmp_path / "cracked.so").write_bytes(b"no code")
    run = sluice("schema", env={"SLUICE_PLUGINS": str(tmp_path)})
    assert run.returncode == 0 and "cracked" in run.stderr
    assert "cracked" not in json.loads(run.stdout)["$defs"] and "request_id" in json.loads(run.stdout)["$defs"]


def test_the_schema_accepts_every_shipped_configuration(sluice):
    schema = json.loads(sluice("schema").stdout)
    folder = os.path.join(ROOT, "conf")
    files = [os.path.join(base, name) for base, _, names in os.walk(folder)
             for name in names if name.endswith((".yaml", ".yml"))]
    assert len(files) > 1
    for name in files:
        jsonschema.validate(yaml.safe_load(open(name, encoding="utf-8")), schema)
        if os.path.dirname(name) != folder:
            continue  # an example may name files of its machine
        run = sluice("check", name)
        assert run.returncode == 0, (name, run.stdout, run.stderr)


def test_the_reference_describes_every_key_of_the_schema(sluice):
    schema = json.loads(sluice("schema").stdout)
    reference = sluice("reference").stdout
    for key in schema["properties"]:
        assert key in reference, key


def test_check_opens_no_socket(sluice, tmp_path, upstream):
    """The address is in use and the admin's too: a check does not notice."""
    config = {"routes": [{"echo": True}], "admin": {"bind": upstream.address},
              "listeners": [{"bind": upstream.address}]}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    run = sluice("check", "c.yaml")
    assert run.returncode == 0, run


def test_nothing_but_log_lines_is_on_stderr_in_json(start, upstream):
    gateway = start(plain(upstream))
    gateway.ask()
    gateway.stop()
    for line in gateway.stderr().splitlines():
        record = json.loads(line)
        assert record["level"] in ("error", "warn", "info"), record


def test_an_upstream_that_is_down_at_the_start_is_no_obstacle(start, upstreams):
    fake = upstreams()
    port = fake.port
    fake.stop_listening()
    gateway = start(plain(fake))
    expect_problem(gateway.ask(), 502, "connect_failed")
    fake.listen(port)
    assert wait_until(lambda: gateway.ask().status == 200)


@pytest.mark.parametrize("name", ["log", "access_log"])
def test_a_log_that_cannot_be_opened_is_told_with_its_place(sluice, tmp_path, name):
    (tmp_path / "c.yaml").write_text(
        "listeners: [ { bind: '127.0.0.1:0' } ]\nadmin: off\nroutes: [ { echo: true } ]\n"
        f"{name}:\n  path: {tmp_path}/none/x.log\n")
    run = sluice("run", "-c", str(tmp_path / "c.yaml"))
    assert run.returncode == 1, run
    assert "c.yaml:5:9: error:" in run.stderr and f"{name}.path" in run.stderr, run


def test_too_few_descriptors_are_said_so(binary, tmp_path):
    (tmp_path / "c.yaml").write_text("workers: 2\nlisteners: [ { bind: '127.0.0.1:0' } ]\nadmin: 127.0.0.1:0\n"
                                     "routes: [ { echo: true } ]\n")
    failed = 0
    for limit in range(8, 20):
        run = subprocess.run(["sh", "-c", f"ulimit -n {limit}; exec timeout 1 {binary} run -c {tmp_path}/c.yaml"],
                             capture_output=True, text=True, timeout=20, check=False)
        if run.returncode in (0, 124):
            continue
        failed += 1
        assert "Too many open files" in run.stderr, (limit, run)
    assert failed, "some limit is too low"


def test_no_option_outgrows_its_column_of_the_help(sluice):
    for command in ("run", "check", "explain", "reload", "schema", "reference", "version"):
        told = sluice("help", command).stdout.split("options:\n")[1].splitlines()
        assert all(line[27] == " " for line in told if len(line) > 28), told


def test_the_admin_listener_can_be_off(start, upstream):
    gateway = start(plain(upstream, admin="off"))
    assert gateway.log("admin listening") == []
    assert gateway.ask().status == 200


def test_sigint_drains_too(start, upstream):
    gateway = start(plain(upstream))
    gateway.process.send_signal(2)
    assert gateway.wait() == 0


def test_the_admin_listener_may_be_a_unix_socket(start, upstream):
    with tempfile.TemporaryDirectory() as folder:
        gateway = start(plain(upstream, admin={"bind": f"unix:{folder}/admin.sock"}))
        assert Admin(f"unix:{folder}/admin.sock").ask(path="/readyz").status == 200
        assert gateway.admin.address == f"unix:{folder}/admin.sock"
        assert os.stat(f"{folder}/admin.sock").st_mode & 0o777 == 0o600, "others may use the admin socket"
