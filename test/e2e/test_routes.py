"""Which route serves a request, and what a route does with it."""

import json
import random

import pytest

from gateway import expect_problem, plain


def says(name, **match):
    """A route that answers with its own name."""
    return {"name": name, "match": match, "respond": {"status": 200, "body": name}} if match else \
        {"name": name, "respond": {"status": 200, "body": name}}


TABLE = [
    says("host-exact-path-exact", host="api.example.com", path_exact="/health"),
    says("host-exact-long", host="api.example.com", path="/orders/special"),
    says("host-exact-short", host="api.example.com", path="/orders"),
    says("host-exact-regex", host="api.example.com", path_regex="^/item/[0-9]+$"),
    says("host-exact-regex-longer", host="api.example.com", path_regex="^/item/[0-9]+[0-9]*$"),
    says("host-exact-item-prefix", host="api.example.com", path="/item/77"),
    says("wild-deep", host="*.eu.example.com", path="/"),
    says("wild-shallow", host="*.example.com", path="/"),
    says("two-hosts", host=["one.example.org", "two.example.org"]),
    says("get-only", host="m.example.org", path="/thing", methods=["GET"]),
    says("any-method", host="m.example.org", path="/thing"),
    says("field-exact", host="f.example.org", fields={"x-version": "2"}),
    says("field-two", host="f.example.org", fields={"x-version": "2", "x-debug": {"present": True}}),
    says("field-absent", host="f.example.org", path="/absent", fields={"x-debug": {"present": False}}),
    says("field-regex", host="f.example.org", path="/regex", fields={"accept": {"regex": "json"}}),
    says("field-prefix", host="f.example.org", path="/prefix", fields={"x-lang": {"prefix": "de"}}),
    says("field-exact-long", host="f.example.org", path="/exact", fields={"x-lang": {"exact": "de"}}),
    says("field-none", host="f.example.org"),
    says("query-exact", host="q.example.org", query={"beta": "1"}),
    says("query-present", host="q.example.org", path="/p", query={"debug": {"present": True}}),
    says("query-regex", host="q.example.org", path="/r", query={"id": {"regex": "^[0-9]+$"}}),
    says("query-none", host="q.example.org"),
    says("below-only", path="/below/"),
    says("segment", path="/seg"),
    says("exact", path_exact="/exact"),
    says("regex", path_regex="^/re/[a-z]+$"),
]

ASKED = [  # method, host, target, fields, the route that must answer (None: 404)
    ("GET", "api.example.com", "/health", {}, "host-exact-path-exact"),
    ("GET", "API.Example.COM", "/health", {}, "host-exact-path-exact"),
    ("GET", "api.example.com:8080", "/health", {}, "host-exact-path-exact"),
    ("GET", "api.example.com", "/health?x=1", {}, "host-exact-path-exact"),
    ("GET", "api.example.com", "/health/", {}, "wild-shallow"),
    ("GET", "api.example.com", "/orders", {}, "host-exact-short"),
    ("GET", "api.example.com", "/orders/", {}, "host-exact-short"),
    ("GET", "api.example.com", "/orders/1", {}, "host-exact-short"),
    ("GET", "api.example.com", "/orders/special", {}, "host-exact-long"),
    ("GET", "api.example.com", "/orders/special/1", {}, "host-exact-long"),
    ("GET", "api.example.com", "/orders/specially", {}, "host-exact-short"),
    ("GET", "api.example.com", "/ordersx", {}, "wild-shallow"),
    ("GET", "api.example.com", "/item/5", {}, "host-exact-regex-longer"),
    ("GET", "api.example.com", "/item/77", {}, "host-exact-item-prefix"),
    ("GET", "api.example.com", "/item/x", {}, "wild-shallow"),
    ("GET", "x.eu.example.com", "/any", {}, "wild-deep"),
    ("GET", "a.b.eu.example.com", "/any", {}, "wild-deep"),
    ("GET", "eu.example.com", "/any", {}, "wild-shallow"),
    ("GET", "example.com", "/any", {}, None),
    ("GET", "notexample.com", "/any", {}, None),
    ("GET", "one.example.org", "/any", {}, "two-hosts"),
    ("GET", "two.example.org", "/", {}, "two-hosts"),
    ("GET", "three.example.org", "/", {}, None),
    ("GET", "m.example.org", "/thing", {}, "get-only"),
    ("POST", "m.example.org", "/thing", {}, "any-method"),
    ("GET", "f.example.org", "/", {"X-Version": "2"}, "field-exact"),
    ("GET", "f.example.org", "/", {"X-Version": "2", "X-Debug": ""}, "field-two"),
    ("GET", "f.example.org", "/", {"X-Version": "22"}, "field-none"),
    ("GET", "f.example.org", "/absent", {}, "field-absent"),
    ("GET", "f.example.org", "/absent", {"X-Debug": "1"}, "field-none"),
    ("GET", "f.example.org", "/regex", {"Accept": "application/json"}, "field-regex"),
    ("GET", "f.example.org", "/regex", {"Accept": "text/html"}, "field-none"),
    ("GET", "f.example.org", "/prefix", {"X-Lang": "de-AT"}, "field-prefix"),
    ("GET", "f.example.org", "/prefix", {"X-Lang": "en"}, "field-none"),
    ("GET", "f.example.org", "/exact", {"X-Lang": "de"}, "field-exact-long"),
    ("GET", "f.example.org", "/exact", {"X-Lang": "de-AT"}, "field-none"),
    ("GET", "q.example.org", "/?beta=1", {}, "query-exact"),
    ("GET", "q.example.org", "/?a=b&beta=1&c", {}, "query-exact"),
    ("GET", "q.example.org", "/?beta=2", {}, "query-none"),
    ("GET", "q.example.org", "/?xbeta=1", {}, "query-none"),
    ("GET", "q.example.org", "/p?debug", {}, "query-present"),
    ("GET", "q.example.org", "/p", {}, "query-none"),
    ("GET", "q.example.org", "/r?id=12", {}, "query-regex"),
    ("GET", "q.example.org", "/r?id=x", {}, "query-none"),
    ("GET", "other.example", "/below/x", {}, "below-only"),
    ("GET", "other.example", "/below", {}, None),
    ("GET", "other.example", "/seg", {}, "segment"),
    ("GET", "other.example", "/seg/x", {}, "segment"),
    ("GET", "other.example", "/segx", {}, None),
    ("GET", "other.example", "/exact", {}, "exact"),
    ("GET", "other.example", "/exact/x", {}, None),
    ("GET", "other.example", "/re/abc", {}, "regex"),
    ("GET", "other.example", "/re/ABC", {}, None),
    ("GET", "one.example.org", "/seg", {}, "two-hosts"),
    ("GET", "f2.example.org", "/seg", {}, "segment"),
    ("GET", "other.example", "/seg/./x/../y", {}, "segment"),
    ("GET", "other.example", "/%73eg", {}, "segment"),
    ("GET", "other.example", "//seg//x", {}, "segment"),
]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_best_match_wins_in_any_order_of_writing(start, seed):
    routes = list(TABLE)
    if seed:
        random.Random(seed).shuffle(routes)
    gateway = start({"routes": routes})
    with gateway.client() as client:
        for method, host, target, fields, want in ASKED:
            answer = client.ask(method, target, fields, host=host)
            if want is None:
                expect_problem(answer, 404, "not_found")
            else:
                assert answer.body.decode() == want, (method, host, target, fields, answer.body)
        lines = gateway.wait_access(len(ASKED), client_port=client.port)
    assert [line["route"] for line in lines if line["status"] == 200] == [want for *_, want in ASKED if want]
    assert {line["reason"] for line in lines} == {"responded", "not_found"}


def test_explain_agrees_with_the_actual_routing(sluice, start):
    gateway = start({"routes": TABLE})
    for method, host, target, fields, want in ASKED[::3]:
        args = [x for name, value in fields.items() for x in ("-H", f"{name}: {value}")]
        run = sluice("explain", "-c", gateway.file, method, f"http://{host}{target}", *args)
        if want:
            assert run.returncode == 0 and want in run.stdout, (method, host, target, run)
        else:
            assert "not_found" in run.stdout or "no route" in run.stdout, (host, target, run)
        told = json.loads(sluice("explain", "-c", gateway.file, method, f"http://{host}{target}", *args,
                                 "--json").stdout)
        route = told["route"]["name"] if isinstance(told.get("route"), dict) else told.get("route")
        assert route == want, (method, host, target, told)


def test_explain_tells_timeouts_and_where_they_come_from(sluice, tmp_path):
    (tmp_path / "c.yaml").write_text("""\
upstreams:
  app:
    endpoints: [ "127.0.0.1:9000" ]
    timeout: { response: 7s }
routes:
  - name: slow
    match: { path: /slow }
    upstream: app
    timeout: { total: 90s }
  - name: near
    match: { path: /slow, methods: [ PUT ] }
    upstream: app
""")
    run = sluice("explain", "-c", "c.yaml", "GET", "http://a.example/slow/x")
    assert run.returncode == 0, run
    for piece in ("slow", "app", "127.0.0.1:9000", "7s", "90s", "near"):
        assert piece in run.stdout, (piece, run.stdout)
    assert "default" in run.stdout, "the connect timeout comes from the defaults"


def test_a_route_of_one_listener_is_not_on_the_other(start):
    gateway = start({"listeners": [{"name": "a", "bind": "127.0.0.1:0"}, {"name": "b", "bind": "127.0.0.1:0"}],
                     "routes": [{**says("only-a"), "listeners": ["a"]}]})
    assert gateway.ask(listener="a").body == b"only-a"
    expect_problem(gateway.ask(listener="b"), 404, "not_found")


def test_a_path_that_matches_but_for_its_method_is_405_with_allow(start):
    gateway = start({"routes": [says("r", path="/x", methods=["GET", "PUT"]),
                                says("d", path="/x", methods=["DELETE"])]})
    answer = gateway.ask("POST", "/x", body=b"")
    expect_problem(answer, 405, "method_not_allowed")
    allowed = {method.strip() for method in ",".join(answer.all("allow")).split(",")}
    assert {"GET", "PUT", "DELETE"} <= allowed <= {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}
    gateway.expect_end("method_not_allowed", path="/x")
    expect_problem(gateway.ask("POST", "/y", body=b""), 404, "not_found")


def test_no_route_is_404_and_counted(start):
    gateway = start({"routes": [says("a", path="/a")]})
    expect_problem(gateway.ask(target="/b?secret=1"), 404, "not_found")
    line = gateway.expect_end("not_found", path="/b")
    assert line["query"] == "secret=1" and line["route"] in (None, "")
    gateway.wait_metric(lambda m: m.get("sluice_requests_total", **{"class": "4xx"}) == 1)


@pytest.mark.parametrize("match, rewrite, asked, want", [
    ({"path": "/api/"}, {"path_prefix": "/"}, "/api/x?q=1", "/x?q=1"),
    ({"path": "/api/"}, {"path_prefix": "/v2/"}, "/api/x/y", "/v2/x/y"),
    ({"path": "/api"}, {"path_prefix": "/"}, "/api", "/"),
    ({"path": "/api"}, {"path_prefix": "/"}, "/api/x", "/x"),
    ({"path": "/api"}, {"path_prefix": "/v2"}, "/api/x", "/v2/x"),
    ({"path": "/api"}, {"path": "/fixed"}, "/api/x?q=1", "/fixed?q=1"),
    ({"path": "/a/"}, {"path_regex": {"match": "^/a/(.*)$", "to": "/b/$1"}}, "/a/x/y?q", "/b/x/y?q"),
    ({"path": "/a/"}, {"path_regex": {"match": "^/a/([^/]+)/([^/]+)$", "to": "/$2/$1"}}, "/a/x/y", "/y/x"),
    ({"path": "/a/"}, {"path_regex": {"match": "^/zzz$", "to": "/never"}}, "/a/x", "/a/x"),
])
def test_rewrite_changes_the_path_and_keeps_the_query(start, upstream, match, rewrite, asked, want):
    gateway = start({"upstreams": {"app": {"endpoints": [upstream.address]}},
                     "routes": [{"match": match, "rewrite": rewrite, "upstream": "app"}]})
    assert gateway.ask(target=asked).status == 200
    assert upstream.last.target == want
    assert gateway.wait_access()["path"] == asked.partition("?")[0]


def test_rewrite_changes_the_host(start, upstream):
    gateway = start({"upstreams": {"app": {"endpoints": [upstream.address]}},
                     "routes": [{"rewrite": {"host": "internal"}, "upstream": "app"}]})
    gateway.ask(host="www.example")
    assert upstream.last.all("host") == ["internal"]


@pytest.mark.parametrize("redirect, asked, status, want", [
    ({"scheme": "https"}, "/a?b=c", 308, "https://www.example/a?b=c"),
    ({"status": 301, "host": "new.example"}, "/a", 301, "http://new.example/a"),
    ({"status": 302, "scheme": "https", "host": "new.example", "port": 8443}, "/a?b", 302,
     "https://new.example:8443/a?b"),
    ({"status": 307, "scheme": "https", "port": 443}, "/a", 307, "https://www.example/a"),
    ({"status": 303, "path": "/new"}, "/old?b=c", 303, "/new?b=c"),
])
def test_redirect_builds_the_location(start, redirect, asked, status, want):
    gateway = start({"routes": [{"redirect": redirect}]})
    answer = gateway.ask(target=asked, host="www.example")
    assert answer.status == status
    location = answer.get("location")
    assert location in (want, "http://www.example" + want), location
    gateway.expect_end("redirected", path=asked.partition("?")[0])


def test_redirect_replaces_a_prefix(start):
    gateway = start({"routes": [{"match": {"path": "/old/"}, "redirect": {"path_prefix": "/new/"}}]})
    assert gateway.ask(target="/old/a/b?c=d").get("location").endswith("/new/a/b?c=d")


@pytest.mark.parametrize("target",
                         ["//evil.example/a", "/\\evil.example", "/%0d%0aSet-Cookie:%20a=b", "//evil.example/%2e%2e"])
def test_a_redirect_cannot_be_bent_elsewhere(start, target):
    gateway = start({"routes": [{"redirect": {"scheme": "https"}}]})
    answer = gateway.ask(target=target, host="www.example")
    assert answer.all("set-cookie") == []
    if answer.status == 308:
        assert answer.get("location").startswith("https://www.example/"), answer


def test_respond_answers_as_told(start):
    gateway = start({"routes": [{"name": "own",
                                 "respond": {"status": 418, "body": "short\nand stout\n",
                                             "content_type": "text/teapot",
                                                            "fields": {"x-a": "b"}}}]})
    answer = gateway.ask("POST", body=b"ignored")
    assert (answer.status, answer.body) == (418, b"short\nand stout\n")
    assert answer.get("content-type") == "text/teapot" and answer.get("x-a") == "b"
    line = gateway.expect_end("responded")
    assert line["route"] == "own" and line["bytes_out"] == len(answer.body)


def test_respond_without_a_body_has_length_0_or_none(start):
    gateway = start({"routes": [{"match": {"path": "/none"}, "respond": {"status": 204}},
                                {"respond": {"status": 403}}]})
    with gateway.client() as client:
        assert client.ask(target="/none").status == 204
        assert client.ask().body == b""
        assert client.ask(target="/none").status == 204


def test_echo_tells_about_the_request_in_json(start):
    gateway = start({"routes": [{"echo": True}]})
    answer = gateway.ask("PUT", "/a/b?c=d", {"X-Seen": 'quote " and \\ and \xe9'}, body=b"12345", host="www.example")
    told = json.loads(answer.body)
    assert answer.get("content-type").startswith("application/json")
    assert told["method"] == "PUT"
    text = json.dumps(told)
    assert "/a/b" in text and "www.example" in text and "127.0.0.1" in text and 'quote \\" and' in text
    gateway.expect_end("responded")


def test_request_fields_are_set_added_and_removed(start, upstream):
    gateway = start({"upstreams": {"app": {"endpoints": [upstream.address]}},
                     "routes": [{"upstream": "app", "request_fields": {
        "set": {"x-set": "new", "x-also": "1"}, "add": {"x-add": "second"}, "remove": ["x-gone", "X-Case-Gone"]}}]})
    gateway.ask(fields=[("X-Set", "old"), ("X-Set", "older"), ("X-Add", "first"), ("X-Gone", "1"), ("x-gone", "2"),
                        ("x-case-GONE", "3")])
    assert upstream.last.all("x-set") == ["new"] and upstream.last.all("x-also") == ["1"]
    assert upstream.last.all("x-add") == ["first", "second"]
    assert upstream.last.all("x-gone") == [] and upstream.last.all("x-case-gone") == []


def test_response_fields_are_set_added_and_removed(start, upstream):
    gateway = start({"upstreams": {"app": {"endpoints": [upstream.address]}},
                     "routes": [{"upstream": "app", "response_fields": {
        "set": {"strict-transport-security": "max-age=1"}, "add": {"x-add": "second"}, "remove": ["server"]}}]})
    upstream.answer("/", b"HTTP/1.1 200 OK\r\nServer: odd\r\nX-Add: first\r\nContent-Length: 2\r\n\r\nok")
    answer = gateway.ask()
    assert answer.all("strict-transport-security") == ["max-age=1"]
    assert answer.all("x-add") == ["first", "second"] and answer.all("server") == []


@pytest.mark.parametrize("balance", ["round_robin", "least_requests"])
def test_a_split_keeps_its_ratio(start, upstreams, balance):
    stable, canary = upstreams(), upstreams()
    gateway = start({"upstreams": {"stable": {"endpoints": [stable.address], "balance": balance},
                                   "canary": {"endpoints": [canary.address], "balance": balance}},
                     "routes": [{"split": [{"upstream": "stable", "weight": 90},
                                           {"upstream": "canary", "weight": 10}]}]})
    count = 1000
    with gateway.client() as client:
        for _ in range(count):
            assert client.ask().status == 200
    got = len(canary.requests)
    expected = count / 10
    square = (got - expected) ** 2 / expected + (got - expected) ** 2 / (count - expected)
    assert square < 20, f"{got} of {count} went to the canary"  # 20: once in 100,000 runs by chance
    assert len(stable.requests) == count - got
    reading = gateway.metrics()
    assert reading.get("sluice_upstream_requests_total", upstream="canary") == got


def test_a_weight_of_0_gets_nothing_or_is_refused(sluice, start, tmp_path, upstreams):
    (tmp_path / "c.yaml").write_text("upstreams: { a: { endpoints: [ '127.0.0.1:1' ] }, b: { endpoints: [ '127.0.0.1:2' ] } }\n"
                                     "routes: [ { split: [ { upstream: a, weight: 0 }, { upstream: b, weight: 0 } ] } ]\n")
    assert sluice("check", "c.yaml").returncode == 3, "a split in which nobody has any weight"


def test_routes_without_a_name_are_numbered_and_metrics_name_them(start, upstream):
    gateway = start(plain(upstream, routes=[{"match": {"path": "/a"}, "upstream": "app"}, {"upstream": "app"}]))
    gateway.ask(target="/a")
    gateway.ask(target="/b")
    assert gateway.wait_access(path="/a")["route"] == "route-1"
    assert gateway.wait_access(path="/b")["route"] == "route-2"
    reading = gateway.wait_metric(lambda m: m.get("sluice_requests_total", route="route-2") == 1)
    assert reading.get("sluice_requests_total", route="route-1", **{"class": "2xx"}) == 1


def test_slashes_are_merged_unless_told_otherwise(start, upstream):
    gateway = start(plain(upstream))
    gateway.ask(target="//a///b?c=//d")
    assert upstream.last.target == "/a/b?c=//d"
    other = start(plain(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "merge_slashes": False}]))
    other.ask(target="//a///b")
    assert upstream.last.target == "//a///b"


@pytest.mark.parametrize("target", ["/a%20b", "/a%2Fb", "/%E4%BD%A0", "/a?b=%26&c=+", "/a;b=c", "/~x", "/a%3Fb"])
def test_percent_encoding_keeps_its_meaning(gateway, upstream, target):
    gateway.ask(target=target)
    assert upstream.last.target.lower() == target.lower()


def test_a_regex_that_would_run_for_ever_does_not(start):
    gateway = start({"routes": [says("evil", path_regex="^/(a+)+$"), says("rest")]})
    answer = gateway.ask(target="/" + "a" * 4000 + "!")
    assert answer.status in (200, 404, 500), answer
    assert gateway.ask(target="/x").body == b"rest"


def test_two_equal_matches_are_warned_about_and_the_first_wins(sluice, start, tmp_path):
    gateway = start({"routes": [says("first", path="/a"), says("second", path="/a")]})
    assert gateway.ask(target="/a").body == b"first"
    run = sluice("check", gateway.file)
    assert run.returncode == 0
    assert "warning" in run.stdout + run.stderr and "second" in run.stdout + run.stderr
