"""Where the conversations take place: which protocols are spoken on which side of the gateway.

A scene has `configuration(servers, seconds)`, `begin()` and `end()` of what the gateway speaks to, `talk()` with all that is
said, and `probe()`, which asks whether an ordinary request is served. What a scene keeps running from one gateway to the
next is begun with the scene.
"""

import streams
from conversations import SMALL, Talk, configuration, new_upstream, probe, sha
from gateway import FIELDS, Gateway
from pki import Pki
from raw import request_bytes, wait_until


class Plain:
    """HTTP/1.1 on both sides."""

    name = "h1"

    def __init__(self, binary, directory):
        self.binary, self.dir = binary, directory
        self.servers = []

    def begin(self):
        self.servers = [new_upstream()]

    def end(self):
        for server in self.servers:
            server.stop()

    def configuration(self, seconds):
        return configuration(self.servers[0], seconds)

    def talk(self, address, big, patience_s):
        return Talk(address, big, patience_s).all()

    def probe(self, address, patience_s):
        probe(address, patience_s)

    def may_cut(self, got, want):
        """May this be the outcome, though nothing has failed?"""
        return False

    def judge(self, gateway):
        """What must be so in the end beside the answers."""

    def leave(self):
        """The scene is over."""


class Spliced(Plain):
    """What is long, and not in chunks, goes by unseen."""

    name = "splice"

    def __init__(self, binary, directory):
        super().__init__(binary, directory)
        self.moved = []  # bytes, by each gateway

    def configuration(self, seconds):
        return {**super().configuration(seconds), "splice": {"min_size": "4KiB"}}

    def talk(self, address, big, patience_s):
        talk = Talk(address, big, patience_s)
        body, half = talk.big, talk.big[:len(talk.big) // 2]
        ask = [request_bytes("POST", "/back", [sha(body)], body)]
        return {"big": talk.talk_big_length(),
                "kept": talk.converse((ask, ["POST"]), ([request_bytes("GET", "/")], ["GET"]), (ask, ["POST"])),
                "behind": talk.converse((ask + [request_bytes("GET", "/")], ["POST", "GET"])),
                "cut": talk.one("POST", "/cut-large", [sha(half)], half)}

    def judge(self, gateway):
        if not gateway.log("admin listening"):
            return  # the fault has cost this line

        def holds():
            try:
                reading = gateway.metrics()
            except (AssertionError, OSError, ValueError):
                return False  # it has hit the question, and hits but once
            self.moved.append(reading.get("sluice_worker_spliced_bytes_total"))
            return reading.get("sluice_worker_pipes_used") == 0
        wait_until(holds, what="no pipe with content")


def routes(*ups):
    return [{"name": up, "match": {"path": f"/{up}/"}, "upstream": up, "rewrite": {"path_prefix": "/"}} for up in ups]


class Streams(Plain):
    """HTTP/2 downstream to an upstream of each version, and HTTP/1.1 to one of HTTP/2."""

    name = "h2"

    def may_cut(self, got, want):
        """
        A stream's reset overtakes what came before it: less of an answer that is cut may have come. Interim answers are left out
        while anything is unsent, here also what belongs to other streams or to none.
        """
        if got[0] == want[0] == "answer":
            return set(got[1]) <= set(want[1]) and got[2:] == want[2:]
        return want[0] == "cut" and (got[0] == "unsent" or (got[0] == "cut" and want[1].startswith(got[1])))

    def begin(self):
        self.servers = [new_upstream(), streams.new_upstream()]

    def configuration(self, seconds):
        config = configuration(self.servers[0], seconds)
        app = config["upstreams"]["app"]
        config["upstreams"] = {**config["upstreams"], "one": app,
                               "two": {**app, "endpoints": [self.servers[1].address], "protocol": "h2c"}}
        config["routes"] = routes("one", "two") + config["routes"]
        return config

    def talk(self, address, big, patience_s):
        return {**streams.StreamTalk(address, big, patience_s).all(),
                **streams.RefusedTalk(Talk(address, big, patience_s), "two").all()}

    def probe(self, address, patience_s, context=None):
        with streams.Streams(address, patience_s, context) as client:
            for up in ("/one", "/two"):
                outcome = client.outcome(client.begin("POST", up + "/back", [streams.sha(SMALL)], SMALL))
                assert outcome[0] == "answer" and (outcome[2], outcome[4]) == (200, SMALL), outcome


class Tunnels(Streams):
    """Tunnels whose log lines say much; one upstream is behind a plugin that waits for the end."""

    name = "tunnels"
    KEPT = {"req.x-tag": "of the client", "user_agent": "the test", "resp.x-answer": ("of one", "of two"), "attr.none": None}

    def configuration(self, seconds):
        config = super().configuration(seconds)
        config["access_log"] = {"path": "access.log", "format": "json",
                                "fields": [*FIELDS, "stream", "notes", *(k for k in self.KEPT if "." in k)]}
        config["routes"] = [{**routes("one")[0], "name": "watched", "match": {"path": "/watched/"}, "plugins": ["request_id"]},
                            *config["routes"]]
        return config

    def talk(self, address, big, patience_s):
        return streams.TunnelTalk(Talk(address, big, patience_s), ("one", "two", "watched")).all()

    def judge(self, gateway):
        """A line has what was kept for it, or is without."""
        for line in gateway.access_log(method="GET") + gateway.access_log(method="CONNECT"):
            for name, want in self.KEPT.items():
                assert line.get(name) in (want if isinstance(want, tuple) else (want,)) + (None, ""), line


class Tls(Streams):
    """TLS on both sides, HTTP/1.1 and HTTP/2 on each; a gateway without faults stands before the origin."""

    name = "tls"

    def __init__(self, binary, directory):
        super().__init__(binary, directory)
        self.origin = new_upstream()
        directory.mkdir()
        self.pki = Pki(str(directory))
        self.tls = {"certificates": [self.pki.make("www", "www.test")]}
        config = configuration(self.origin, 60)
        config["listeners"][0]["tls"] = self.tls
        self.behind = Gateway(binary, directory / "behind", config)

    def begin(self):
        pass

    def end(self):
        assert not self.origin.errors, self.origin.errors

    def configuration(self, seconds):
        config = configuration(self.behind, seconds)
        config["listeners"][0]["tls"] = self.tls
        ours = {**config["upstreams"]["app"], "tls": {"ca": self.pki.ca, "sni": "www.test"}}
        config["upstreams"] = {"app": ours, "one": ours, "two": {**ours, "protocol": "h2"}}
        config["routes"] = routes("one", "two") + config["routes"]
        return config

    def context(self, *protocols):
        context = self.pki.client()
        context.set_alpn_protocols(list(protocols))
        return context

    def talk(self, address, big, patience_s):
        by_1 = Talk(address, big, patience_s, self.context("http/1.1"))
        by_2 = streams.StreamTalk(address, big, patience_s, self.context("h2"))
        said = {**streams.UpstreamTalk(by_1, "one", "two").all(), "close": by_1.one("POST", "/one/back-close", [], SMALL)}
        for up in ("one", "two"):
            said[f"{up}_tunnel"] = by_1.tunnel_counted(f"/{up}/tunnel-counted")
            said[f"{up}_2_plain"] = by_2.talk_plain(f"/{up}")
            said[f"{up}_2_big"] = by_2.talk_big(f"/{up}")
            said[f"{up}_2_at_once"] = by_2.talk_at_once(f"/{up}")
        return said

    def probe(self, address, patience_s, context=None):
        super().probe(address, patience_s, self.context("h2"))

    def leave(self):
        self.behind.stop()
        self.origin.stop()


SCENES = {scene.name: scene for scene in (Plain, Spliced, Streams, Tunnels, Tls)}
