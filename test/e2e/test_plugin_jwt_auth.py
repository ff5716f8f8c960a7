"""jwt_auth with real issuers: tokens signed by other libraries, keys served, rotated, gone."""

import base64
import json
import os
import threading
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwcrypto import jwk as jose_jwk
from jwcrypto import jwt as jose_jwt

from raw import wait_until

SECRET = "0123456789abcdef0123456789abcdef"
JWKS_PATH = "/jwks.json"


def plugin_folder(binary):
    return os.path.join(os.path.dirname(binary), "plugins")


class Issuer:
    """Signs tokens; serves its keys when given an upstream to serve them by."""

    def __init__(self, server=None, algorithm="ES256"):
        self.algorithm = algorithm
        self.keys = {}       # kid: private key
        self.published = []  # kids
        self.fetches = 0
        self.down = False
        self.delay = None    # an event to wait for before the answer
        self.address = server.address if server else None
        if server:
            server.on(JWKS_PATH, self.serve)

    def serve(self, ex):
        ex.read_body()
        self.fetches += 1
        if self.delay:
            self.delay.wait(10)
        if self.down:
            ex.reply(503, b"down")
            return
        ex.reply(200, self.document().encode(), [("Content-Type", "application/jwk-set+json")])

    def document(self):
        keys = []
        for kid in list(self.published):
            made = json.loads(jose_jwk.JWK.from_pyca(self.keys[kid].public_key()).export_public())
            keys.append({**made, "kid": kid, "use": "sig"})
        return json.dumps({"keys": keys})

    def add(self, kid, publish=True):
        make = {"RS": lambda: rsa.generate_private_key(65537, 2048), "PS": lambda: rsa.generate_private_key(65537, 2048),
                "ES": lambda: ec.generate_private_key({"ES256": ec.SECP256R1, "ES384": ec.SECP384R1,
                                                       "ES512": ec.SECP521R1}[self.algorithm]()),
                "Ed": ed25519.Ed25519PrivateKey.generate}
        self.keys[kid] = make[self.algorithm[:2]]()
        if publish:
            self.published.append(kid)
        return kid

    def token(self, kid, **claims):
        return jwt.encode({"sub": "me", "exp": int(time.time()) + 600, **claims}, self.keys[kid],
                          algorithm=self.algorithm, headers={"kid": kid})


def secret_token(**claims):
    return jwt.encode({"sub": "me", "exp": int(time.time()) + 600, **claims}, SECRET, algorithm="HS256")


def bearer(token):
    return [("Authorization", f"Bearer {token}")]


@pytest.fixture
def serve(start, binary, upstream):
    """A gateway with jwt_auth before an upstream."""
    def begin(options, workers=1, entry=None, **more):
        return start({"workers": workers, "plugin_path": [plugin_folder(binary)],
                      "routes": [{"name": "all", "upstream": "app",
                                  "plugins": [{"jwt_auth": options, **(entry or {})}]}],
                      "upstreams": {"app": {"endpoints": [upstream.address]}}, **more})
    return begin


@pytest.fixture
def issuer(upstreams):
    made = Issuer(upstreams())
    made.add("k1")
    return made


def jwks_url(issuer):
    return f"http://{issuer.address}{JWKS_PATH}"


def by_secret(**more):
    return {"keys": [{"secret": SECRET}], "algorithms": ["HS256"], **more}


def test_a_token_is_needed(serve, upstream):
    gateway = serve(by_secret())
    answer = gateway.ask()
    assert (answer.status, answer.get("www-authenticate")) == (401, 'Bearer realm="api"')
    assert gateway.ask(fields=bearer(secret_token())).status == 200
    assert len(upstream.requests) == 1
    assert gateway.metric("sluice_plugin_jwt_auth_refusals_total", reason="jwt_missing") == 1
    assert gateway.metric("sluice_plugin_jwt_auth_tokens_total", result="verified") == 1


def test_who_it_is_reaches_the_upstream_and_nothing_forged_does(serve, upstream):
    gateway = serve(by_secret(forward={"X-User": "sub", "X-Roles": "realm_access.roles"}))
    token = secret_token(realm_access={"roles": ["admin", "editor"]})
    for _ in range(2):  # the second from the cache
        assert gateway.ask(fields=bearer(token) + [("X-User", "root"), ("x_user", "root"), ("X-Roles", "root")]).status == 200
        seen = upstream.requests[-1]
        assert (seen.all("x-user"), seen.all("x-roles"), seen.all("x_user")) == (["me"], ["admin,editor"], [])
    assert gateway.metric("sluice_plugin_jwt_auth_tokens_total", result="cached") == 1


def test_refusals_say_why_and_never_what(serve):
    gateway = serve(by_secret(audience=["orders"], scopes=["read"]))
    now = int(time.time())
    cases = [(secret_token(aud="orders", scope="read", exp=now - 100), 401, "invalid_token", "jwt_expired"),
             (secret_token(aud="others", scope="read"), 401, "invalid_token", "jwt_audience"),
             (secret_token(aud="orders", scope="write"), 403, "insufficient_scope", "jwt_scope"),
             (jwt.encode({"sub": "me", "exp": now + 9}, "another-secret-of-32-bytes-or-more", algorithm="HS256"),
              401, "invalid_token", "jwt_signature"),
             (jwt.encode({"sub": "me", "exp": now + 9}, None, algorithm="none"), 401, "invalid_token", "jwt_alg"),
             ("garbage", 401, "invalid_token", "jwt_malformed")]
    for token, status, error, word in cases:
        answer = gateway.ask(fields=bearer(token))
        assert answer.status == status, word
        assert f'error="{error}"' in answer.get("www-authenticate"), word
        assert gateway.metric("sluice_plugin_jwt_auth_refusals_total", reason=word) == 1
    assert gateway.ask(fields=bearer("a") + bearer("b")).status == 400
    logs = gateway.stderr() + json.dumps(gateway.access_log())
    for token, *_ in cases:
        assert token not in logs and token.split(".")[0] not in logs


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"])
def test_tokens_of_other_libraries_are_verified(serve, tmp_path, algorithm):
    issuer = Issuer(algorithm=algorithm)
    issuer.add("k1")
    file = tmp_path / "keys.json"
    file.write_text(issuer.document())
    gateway = serve({"jwks_file": str(file)})
    assert gateway.ask(fields=bearer(issuer.token("k1"))).status == 200
    key = jose_jwk.JWK.from_pyca(issuer.keys["k1"])
    other = jose_jwt.JWT(header={"alg": algorithm, "kid": "k1"}, claims={"exp": int(time.time()) + 60, "sub": "me"})
    other.make_signed_token(key)
    assert gateway.ask(fields=bearer(other.serialize())).status == 200
    head, body, signature = issuer.token("k1").split(".")
    forged = base64.urlsafe_b64encode(json.dumps({"sub": "root", "exp": 9999999999}).encode()).decode().rstrip("=")
    assert gateway.ask(fields=bearer(f"{head}.{forged}.{signature}")).status == 401
    assert body != forged


def test_a_token_in_the_query_is_taken_out(serve, upstream):
    gateway = serve(by_secret(query="access_token"))
    assert gateway.ask(target=f"/a?x=1&access_token={secret_token()}&y=2").status == 200
    assert upstream.requests[-1].target == "/a?x=1&y=2"


def test_a_token_in_a_cookie_is_taken_out_when_wanted(serve, upstream):
    gateway = serve(by_secret(cookie="jwt", strip="all"))
    assert gateway.ask(fields=[("Cookie", f"a=b; jwt={secret_token()}; c=d")]).status == 200
    assert upstream.requests[-1].all("cookie") == ["a=b; c=d"]


def test_without_a_token_one_may_be_anonymous(serve, upstream):
    gateway = serve(by_secret(required=False, anonymous="guest", forward={"X-User": "sub"}))
    assert gateway.ask(fields=[("X-User", "root")]).status == 200
    assert upstream.requests[-1].all("x-user") == []
    assert gateway.ask(fields=bearer("garbage")).status == 401


def test_keys_are_fetched_once_for_all_workers(serve, issuer):
    gateway = serve({"jwks": jwks_url(issuer)}, workers=4)
    token = issuer.token("k1")
    for _ in range(40):  # connections of their own, so that all workers are asked
        assert gateway.ask(fields=bearer(token)).status == 200
    assert issuer.fetches == 1


def test_a_rotation_under_load_loses_no_request(serve, issuer):
    gateway = serve({"jwks": jwks_url(issuer), "jwks_cooldown": "100ms"}, workers=4)
    assert gateway.ask(fields=bearer(issuer.token("k1"))).status == 200
    newest, answers, stop = ["k1"], [], threading.Event()

    def load():
        with gateway.client() as client:
            while not stop.is_set():
                kid = newest[0]
                answers.append((kid, client.ask(fields=bearer(issuer.token(kid, jti=os.urandom(8).hex()))).status))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for n in range(2, 8):
            kid = issuer.add(f"k{n}")
            newest[0] = kid  # signed with, the moment it is published
            wait_until(lambda kid=kid: sum(1 for k, _ in answers if k == kid) > 8, what=f"answers with {kid}")
            issuer.published[:] = issuer.published[-2:]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert {status for _, status in answers} == {200}
    assert issuer.fetches >= 7


def test_made_up_names_cost_the_issuer_little(serve, issuer):
    gateway = serve({"jwks": jwks_url(issuer), "jwks_cooldown": "60s"})
    assert gateway.ask(fields=bearer(issuer.token("k1"))).status == 200
    for n in range(20):
        kid = issuer.add(f"x{n}", publish=False)
        assert gateway.ask(fields=bearer(issuer.token(kid))).status == 401
    assert issuer.fetches == 1
    assert gateway.metric("sluice_plugin_jwt_auth_refusals_total", reason="jwt_key") == 20
    assert gateway.ask(fields=bearer(issuer.token("k1"))).status == 200


def test_keys_outlive_the_issuer_and_a_reload(serve, issuer):
    options = {"jwks": jwks_url(issuer), "jwks_refresh": "1s"}
    gateway = serve(options)
    assert gateway.ask(fields=bearer(issuer.token("k1"))).status == 200
    issuer.down = True
    gateway.wait_metric(lambda m: m.get("sluice_plugin_jwt_auth_fetches_total", result="failed") >= 2, "failed fetches")
    assert gateway.ask(fields=bearer(issuer.token("k1"))).status == 200
    gateway.must_reload()
    assert gateway.ask(fields=bearer(issuer.token("k1"))).status == 200
    assert len(gateway.log("cannot fetch keys")) == 1
    issuer.down = False
    wait_until(lambda: gateway.log("keys can be fetched again"), what="the issuer is back")


@pytest.mark.parametrize("on_error, status", [("closed", 500), ("open", 200)])
def test_without_any_keys_on_error_decides(serve, issuer, on_error, status):
    issuer.down = True
    gateway = serve({"jwks": jwks_url(issuer)}, entry={"on_error": on_error, "wait": "200ms"})
    assert gateway.ask(fields=bearer(issuer.token("k1"))).status == status
    issuer.down = False
    wait_until(lambda: gateway.metric("sluice_plugin_jwt_auth_fetches_total", result="done") >= 1, what="keys")
    wait_until(lambda: gateway.ask(fields=bearer(issuer.token("k1"))).status == 200, what="a good answer")


def test_the_first_requests_wait_for_a_slow_issuer(serve, issuer):
    issuer.delay = threading.Event()
    gateway = serve({"jwks": jwks_url(issuer)}, workers=2)
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(gateway.ask(fields=bearer(issuer.token("k1"))).status))
               for _ in range(6)]
    for thread in threads:
        thread.start()
    wait_until(lambda: gateway.metric("sluice_worker_exchanges_active") == 6, what="six requests that wait")
    issuer.delay.set()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 6
    assert issuer.fetches == 1


def test_a_reload_follows_a_changed_file_of_keys(serve, tmp_path):
    old, new = Issuer(), Issuer()
    old.add("k1")
    new.add("k1")
    file = tmp_path / "keys.json"
    file.write_text(old.document())
    gateway = serve({"jwks_file": str(file)})
    assert gateway.ask(fields=bearer(old.token("k1"))).status == 200
    file.write_text(new.document())
    gateway.must_reload()
    assert gateway.ask(fields=bearer(old.token("k1"))).status == 401
    assert gateway.ask(fields=bearer(new.token("k1"))).status == 200


@pytest.mark.parametrize("options, words", [
    ({}, "give jwks, jwks_file or keys"),
    ({"keys": [{"secret": SECRET}]}, "list HS256"),
    ({"keys": [{"secret": "short"}], "algorithms": ["HS256"]}, "too weak"),
    ({"keys": [{"secret": SECRET}], "algorithms": ["none"]}, "unknown value 'none'"),
    ({"keys": [{"secret": SECRET, "pem": "x"}], "algorithms": ["HS256"]}, "exactly one source")])
def test_mistakes_are_told_by_check(sluice, binary, tmp_path, options, words):
    file = tmp_path / "bad.json"  # JSON is YAML
    file.write_text(json.dumps({"plugin_path": [plugin_folder(binary)],
                                "listeners": [{"name": "main", "bind": "127.0.0.1:0"}],
                                "routes": [{"name": "all", "echo": True, "plugins": [{"jwt_auth": options}]}]}, indent=1))
    done = sluice("check", str(file))
    assert done.returncode != 0
    assert words in done.stdout + done.stderr, done.stdout + done.stderr
    assert SECRET not in (done.stdout + done.stderr).replace(f'"secret": "{SECRET}"', "")
